# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash disable=SC2034
#
# What scripts/demo and scripts/test share. To be sourced, so what is set here is used elsewhere (SC2034); expects
# `set -euo pipefail`.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=${DEVMEM_BUILD:-$root/build}
jobs=$(nproc)

# Debian packages, by what they are for.
build_packages=(cmake gcc make pkg-config libnl-3-dev libnl-genl-3-dev libdrm-dev libjansson-dev zlib1g-dev systemtap-sdt-dev)
deb_packages=(debhelper dh-dkms dpkg-dev lintian debootstrap groff-base)
kernel_deb_packages=(debhelper dpkg-dev rsync kmod)
image_packages=(debootstrap dosfstools mtools fdisk e2fsprogs qemu-system-x86 ovmf)
net_packages=(iproute2 ethtool kmod)
train_packages=(python3-sklearn)
test_packages=(libcmocka-dev shellcheck clang-format clang-tidy cppcheck python3 python3-yaml python3-jsonschema binutils bc rpm cpio tmux jq librsvg2-bin gdb bpftrace)
x86_packages=(qemu-system-x86 libelf-dev)

step() { printf '\n\033[1m==> %s\033[0m\n' "$*"; }
note() { printf '    %s\n' "$*"; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

# Can directory $1 take about $2 MiB? Asked before the work and not after it; nothing is made yet.
out_check() {
	local dir=$1 have

	while [ ! -e "$dir" ]; do
		dir=$(dirname "$dir")
	done
	[ -d "$dir" ] || die "$dir is no directory; name another one with --out"
	[ -w "$dir" ] || die "$dir cannot be written; name another directory with --out"
	have=$(($(df --output=avail -k "$dir" | tail -n 1) / 1024))
	[ "$have" -ge "$2" ] || die "$dir has $have MiB free, about $2 are wanted; free some, or name another directory with --out"
}

# Files $2... to directory $1, all or none; prints where they are.
out_put() {
	local out=$1 part f

	shift
	{ mkdir -p "$out" && part=$(mktemp -d "$out/.part.XXXXXX"); } || die "$out cannot be written"
	if ! cp --sparse=always -- "$@" "$part/"; then
		rm -rf "$part"
		die "$out got nothing; free space there, or name another directory with --out"
	fi
	for f; do
		mv -f "$part/${f##*/}" "$out/"
		echo "$out/${f##*/}"
	done
	rmdir "$part"
}

as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		die "'$*' wants root, and there is no sudo: run this script as root"
	fi
}

# Installs those of the named packages that are missing, and says which.
need_packages() {
	local p missing=()

	command -v dpkg-query >/dev/null ||
		die "this is no Debian or Ubuntu: install the equivalents of: $*"
	for p in "$@"; do
		dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null | grep -qx installed || missing+=("$p")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	note "installing ${missing[*]}"
	as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" \
		>/tmp/devmem-apt.$$ 2>&1 ||
		{
			as_root apt-get update -qq &&
				as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
					--no-install-recommends "${missing[@]}"
		} >/tmp/devmem-apt.$$ 2>&1 ||
		{ tail -n 5 /tmp/devmem-apt.$$ >&2; rm -f /tmp/devmem-apt.$$; die "apt-get could not install ${missing[*]}"; }
	rm -f /tmp/devmem-apt.$$
}

# Configures and builds the tree. $1: build directory, the rest: more arguments for cmake.
build_tree() {
	local dir=$1 log=$1/build.log

	shift
	mkdir -p "$dir"
	{ cmake -S "$root" -B "$dir" -DCMAKE_BUILD_TYPE=RelWithDebInfo "$@" && cmake --build "$dir" -j "$jobs"; } \
		>"$log" 2>&1 || { tail -n 30 "$log" >&2; die "the build failed; all of it is in $log"; }
}

# The UML kernel and sdm, from the cache or built; arguments go to build-kernel. Fills $kernel_source, $kernel and $sdm_module.
build_guest_kernel() {
	local out

	out=$("$root/kernel-patches/build-kernel" --install-deps "$@" um) || exit 1
	kernel_source=$(sed -n 's/^source=//p' <<<"$out")
	kernel=$(sed -n 's/^kernel=//p' <<<"$out")
	sdm_module=$(sed -n 's/^sdm=//p' <<<"$out")
}

# The same for x86-64. Fills $x86_kernel and $x86_sdm.
build_guest_kernel_x86() {
	local out

	out=$("$root/kernel-patches/build-kernel" --install-deps "$@" x86) || exit 1
	x86_kernel=$(sed -n 's/^kernel=//p' <<<"$out")
	x86_sdm=$(sed -n 's/^sdm=//p' <<<"$out")
}
