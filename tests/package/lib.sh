# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash disable=SC2034
#
# What the tests of Debian packages share: a fresh Debian, commands in it, and counting. To be sourced, so what is set
# here is used elsewhere (SC2034); expects `set -euo pipefail`.
#
#   system_make MIRROR    a fresh system at $system, from that mirror of Debian ('': apt's own); ends the test as skipped where it is out of reach
#   system_boot           what runs in it has PIDs, mounts, a network of lo alone and a /dev/shm of its own from now on; under
#                         systemd, if the system has one that comes up: then $booted is yes
#   inside COMMAND...     in the system, without a network but lo
#   apt_inside ...        apt-get in the system, with this machine's network

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
suite=bookworm
cache=${XDG_CACHE_HOME:-$HOME/.cache}/nccl-net-devmem/debootstrap
[ "$(id -u)" -eq 0 ] || { echo "skip: a chroot needs root"; exit 77; }
work=$(mktemp -d)
system=$work/system
failed=0
booted=no
holder='' init=''

# The first process of a namespace of PIDs takes all others of it along.
holder_end() {
	[ -n "$holder" ] || return 0
	kill -KILL "$holder" 2>/dev/null || true
	wait "$holder" 2>/dev/null || true
	holder=''
}

# shellcheck disable=SC2317 # called by a trap
cleanup() {
	holder_end
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM HUP

check() { # what it is, then a command
	local what=$1

	shift
	if "$@" >"$work/out" 2>&1; then
		echo "ok - $what"
	else
		echo "not ok - $what"
		tail -n 15 "$work/out" | sed 's/^/    /'
		failed=$((failed + 1))
	fi
}

not() { ! "$@"; }

# is <what> <wanted> <found>
is() {
	check "$1" test "$2" = "$3"
	[ "$2" = "$3" ] || echo "    wanted '$2', found '$3'"
}

# eventually <seconds> <command...>: until it succeeds.
eventually() {
	local end=$((SECONDS + $1))

	shift
	until "$@"; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.2
	done
}

# deb_renumber <package> <sed's program for its control file> <new package>: the same in all but what is said of it.
deb_renumber() {
	local tree=$work/renumbered

	dpkg-deb -R "$1" "$tree"
	sed -i "$2" "$tree/DEBIAN/control"
	dpkg-deb -b "$tree" "$3" >/dev/null
	rm -rf "$tree"
}

system_make() {
	local mirror=$1 f

	# shellcheck disable=SC2016 # apt expands this, not the shell
	[ -n "$mirror" ] || mirror=$(apt-get indextargets --no-release-info --format '$(REPO_URI)' 'Created-By: Packages' |
		awk '/\/debian\/?$/ && !n++')
	[ -n "$mirror" ] || { echo "skip: apt on this machine has no mirror of Debian; name one"; exit 77; }
	mkdir -p "$cache" "$system"
	if [ ! -e "$cache/$suite.tar" ]; then
		if ! debootstrap --variant=minbase "$suite" "$work/fresh" "$mirror" >"$work/debootstrap" 2>&1; then
			tail -n 5 "$work/debootstrap"
			[ $failed -eq 0 ] || exit 1
			echo "skip: debootstrap cannot have $suite from $mirror"
			exit 77
		fi
		tar -C "$work/fresh" -cf "$cache/$suite.tar.$$" . || { rm -f "$cache/$suite.tar.$$"; exit 1; }
		mv "$cache/$suite.tar.$$" "$cache/$suite.tar"
		rm -rf "$work/fresh"
	fi
	tar -C "$system" -xf "$cache/$suite.tar"
	cp /etc/resolv.conf "$system/etc/resolv.conf"
	cp -L /etc/hosts "$system/etc/hosts"
	echo "deb $mirror $suite main" >"$system/etc/apt/sources.list"
	for f in /etc/apt/apt.conf.d/*proxy*; do
		[ ! -e "$f" ] || cp "$f" "$system/etc/apt/apt.conf.d/"
	done
	# shellcheck disable=SC2016 # the inner shell is to expand
	unshare --mount --pid --fork sh -c 'mount -t proc proc "$0/proc" && exec chroot "$0" apt-get -qq update' "$system" \
		>"$work/out" 2>&1 && return
	cat "$work/out"
	[ $failed -eq 0 ] || exit 1
	echo "skip: apt does not reach $mirror"
	exit 77
}

# What systemd expects of who starts a container, and what any program expects of a system. Not a chroot: in one systemd cannot give
# services a view of files of their own.
# shellcheck disable=SC2016 # the inner shell is to expand
boot='set -e
mount --bind "$0" "$0"
mount -t proc proc "$0/proc"
mount -t sysfs -o ro sysfs "$0/sys"
mount -t tmpfs -o mode=755 tmpfs "$0/run"
mount -t tmpfs -o mode=755 tmpfs "$0/dev"
for d in null zero full random urandom tty; do : >"$0/dev/$d"; mount --bind "/dev/$d" "$0/dev/$d"; done
mkdir -m 1777 "$0/dev/shm"
mount -t tmpfs tmpfs "$0/dev/shm"
ln -s /proc/self/fd "$0/dev/fd"
mkdir "$0/dev/pts"
mount -t devpts -o newinstance,ptmxmode=666 devpts "$0/dev/pts"
ln -s pts/ptmx "$0/dev/ptmx"
mount -t cgroup2 cgroup2 "$0/sys/fs/cgroup" || true
ip link set lo up
cd "$0"
pivot_root . .
umount -l .
exec "$@"'

# system_hold <command...>: it is the first process of the system.
system_hold() {
	unshare --mount --net --pid --ipc --uts --cgroup --fork --kill-child sh -c "$boot" "$system" \
		env -i container=devmem PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@" >"$work/boot" 2>&1 </dev/null &
	holder=$!
	eventually 60 init_find
}

init_find() {
	init=$(cat "/proc/$holder/task/$holder/children" 2>/dev/null) && init=${init%% *} && [ -n "$init" ]
}

system_boot() {
	if [ -x "$system/lib/systemd/systemd" ]; then
		system_hold /lib/systemd/systemd
		if eventually 90 inside sh -c 'systemctl is-system-running 2>/dev/null | grep -qE "^(running|degraded)"'; then
			booted=yes
			return
		fi
		holder_end
	fi
	system_hold sleep infinity
	eventually 60 inside test -d /proc/1
}

enter() { # namespaces, then a command
	local namespaces=$1

	shift
	# shellcheck disable=SC2086 # options, one by one
	nsenter -t "$init" -r -w $namespaces env PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive LC_ALL=C "$@"
}

inside() {
	enter "-m -n -p -i -u -C" "$@"
}

apt_inside() {
	enter "-m -p -i -u -C" apt-get -qq -o Dpkg::Use-Pty=0 -y --no-install-recommends "$@"
}

# Everything but what dpkg, apt, the loader and systemd keep books with.
listing() {
	inside find / -xdev \( -path /debs -o -path /older -o -path /newer -o -path /var/lib/dpkg -o -path /var/lib/apt -o -path /var/cache \
		-o -path /var/log -o -path /tmp -o -path /var/tmp -o -path /etc/ld.so.cache \) -prune -o -print | sort
	inside find /run /dev/shm \( -path /run/systemd -o -path /run/log -o -path /run/user -o -path /run/lock \) -prune -o -print | sort
}
