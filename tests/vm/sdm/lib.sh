# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# shellcheck disable=SC2012,SC2015 # our own file names; || fail ends the test
#
# For the sdm tests, which run in a guest (tests/vm/guest) with sdm.ko loaded:
# two network namespaces, a and b, joined by veth, an sdm on each end.
# SDM_BIN: directory of devmem-stream and hds. Sourced by each test.

set -u
PORT=5000
OUT=$(mktemp -d)
PIDS=()

fail() {
	echo "FAIL: $*"
	# what was written last says most
	for f in $(ls -t "$OUT" | head -n 4); do
		[ -f "$OUT/$f" ] && [ -s "$OUT/$f" ] && { echo "--- $f"; tail -n 20 "$OUT/$f"; }
	done
	exit 1
}

skip() {
	echo "SKIP: $*"
	exit 77
}

[ -x "${SDM_BIN:-}/devmem-stream" ] || skip "SDM_BIN is not set to the directory of devmem-stream"
[ -d /sys/module/sdm ] || modprobe sdm 2>/dev/null || skip "the sdm module is not loaded"

a() { ip netns exec a "$@"; }
b() { ip netns exec b "$@"; }

# net_up [mtu]: both sdm up with addresses and header split on
net_up() {
	local mtu=${1:-1500}

	ip netns add a && ip netns add b || fail "cannot make namespaces"
	ip link add ea mtu "$mtu" netns a numtxqueues 4 numrxqueues 4 type veth \
		peer name eb mtu "$mtu" netns b numtxqueues 4 numrxqueues 4 ||
		fail "cannot make a veth pair"
	for n in a b; do
		ip -n $n link set lo up
		ip -n $n link set e$n up
		ip -n $n link add sdm0 link e$n type sdm || fail "cannot make an sdm on e$n"
		ip -n $n link set sdm0 up || fail "cannot set the sdm up"
		ip netns exec $n "$SDM_BIN/hds" sdm0 on || fail "no header split"
	done
	ip -n a addr add 10.9.0.1/24 dev sdm0
	ip -n b addr add 10.9.0.2/24 dev sdm0
	ip -n a addr add fd09::1/64 nodad dev sdm0
	ip -n b addr add fd09::2/64 nodad dev sdm0
}

net_down() {
	ip netns del a
	ip netns del b
}

# steer <a|b> <queue> [port]: TCP to or from the port, both families, to a queue
steer() {
	local p=${3:-$PORT} f

	for f in tcp4 tcp6; do
		ip netns exec "$1" ethtool -N sdm0 flow-type $f dst-port "$p" action "$2" >/dev/null &&
		ip netns exec "$1" ethtool -N sdm0 flow-type $f src-port "$p" action "$2" >/dev/null ||
			fail "no flow rule in $1"
	done
}

# rss_but <a|b> <queue>: keep all else off that queue (the last one)
rss_but() {
	ip netns exec "$1" ethtool -X sdm0 equal "$2" || fail "cannot set the indirection table"
}

# counter <a|b> <name>
counter() {
	ip netns exec "$1" ethtool -S sdm0 | awk -v n="$2:" '$1 == n { print $2 }'
}

# expect <what> <value> <test operator> <value>
expect() {
	test "$2" "$3" "$4" || fail "$1 is $2, expected $3 $4"
}

# value <file> <name>: of what devmem-stream printed
value() {
	tr ' ' '\n' <"$OUT/$1" | awk -F= -v n="$2" '$1 == n { print $2 }'
}

# start <a|b> <name> <devmem-stream argument...>: in the background; PID in $STARTED
start() {
	local ns=$1 name=$2

	shift 2
	ip netns exec "$ns" "$SDM_BIN/devmem-stream" -i sdm0 "$@" >"$OUT/$name" 2>"$OUT/$name.err" &
	STARTED=$!
	PIDS+=("$STARTED")
}

# finish <pid> <what> [expected status]
finish() {
	local status=0

	wait "$1" || status=$?
	[ "$status" = "${3:-0}" ] || fail "$2 ended with $status, expected ${3:-0}"
}

# finish_any <pid>: end it whatever state it is in
finish_any() {
	kill "$1" 2>/dev/null
	wait "$1" 2>/dev/null
	return 0
}

# duplex <label> <address of a> <bytes>: both directions by devmem at the same time, each
# byte, token and completion accounted for
duplex() {
	local label=$1 addr=$2 bytes=$3 before after n

	shift 3
	before=$(counter a rx_devmem_bytes)
	start a server -l -R "$bytes" -T "$bytes" -q 3 "$@" "$addr"
	local server=$STARTED
	start b client -R "$bytes" -T "$bytes" -q 3 "$@" "$addr"
	finish "$STARTED" "$label: client"
	finish "$server" "$label: server"
	after=$(counter a rx_devmem_bytes)
	for n in server client; do
		expect "$label $n received" "$(value $n received)" = "$bytes"
		expect "$label $n linear bytes" "$(value $n linear_bytes)" = 0
		expect "$label $n tokens in" "$(value $n tokens_in)" = "$(value $n tokens_out)"
		expect "$label $n completions" "$(value $n completions)" = "$(value $n sends)"
		expect "$label $n sends that were copied" "$(value $n completions_copied)" = 0
	done
	expect "$label devmem bytes of a" $((after - before)) -ge "$bytes"
	echo "$label: $(tr '\n' ' ' <"$OUT/server")"
}

# dmabufs_gone: no dmabuf lives any more: each page pool and binding has let go. A pool
# with tokens out looks for their return once a second. And the kernel leaves packets
# that were freed on another CPU in that CPU's list until it receives something
# (skb_attempt_defer_free()): so each receives something.
dmabufs_gone() {
	local n i cpu

	ip link set lo up
	for ((i = 0; i < 600; i++)); do
		n=$(sed -n 's/^Total \([0-9]*\) objects.*/\1/p' /sys/kernel/debug/dma_buf/bufinfo)
		[ "${n:-0}" = 0 ] && return
		for cpu in $(seq 0 $(($(nproc) - 1))); do
			taskset -c "$cpu" bash -c 'echo >/dev/udp/127.0.0.1/9' 2>/dev/null
		done
		sleep 0.1
	done
	fail "$n dmabufs are still held a minute after their users have gone"
}

# refused <what> <command...>: it must fail
refused() {
	local what=$1

	shift
	"$@" >"$OUT/refused" 2>&1 && fail "$what was not refused"
	echo "$what: refused: $(paste -sd' ' "$OUT/refused")"
}

# both_steered: queue 3 of each sdm for the test's port, nothing else on it
both_steered() {
	for n in a b; do
		rss_but $n 3
		steer $n 3
	done
}

# wait_for <seconds> <what> <command...>: until the command succeeds
wait_for() {
	local left=$(($1 * 10)) what=$2

	shift 2
	until "$@"; do
		[ $((left--)) -gt 0 ] || fail "$what did not happen in time"
		sleep 0.1
	done
}

# received_more <a|b> <bytes>: the sdm has put more than that into dmabufs
received_more() {
	[ "$(counter "$1" rx_devmem_bytes)" -gt "$2" ]
}

# inject_dir <a|b> [interface]: where debugfs has what is injected into its queues
inject_dir() {
	echo "/sys/kernel/debug/sdm/${2:-sdm0}@$(ip netns exec "$1" stat -Lc %i /proc/self/ns/net)"
}

# inject <a|b> <queue> [<what> <value>]...: see sdm_inject.c
inject() {
	local dir

	dir=$(inject_dir "$1")/rx-$2
	shift 2
	while [ $# -gt 0 ]; do
		echo "$2" >"$dir/$1" || fail "cannot write $2 to $dir/$1"
		shift 2
	done
}
