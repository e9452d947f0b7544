# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# What scripts/test and scripts/test-debug share: running tests and counting them. To be sourced after lib.sh; $pattern is
# what the names of the tests to run contain.

pattern=${pattern:-}
logs=$(mktemp -d /tmp/devmem-test.XXXXXX)
started=$SECONDS
: >"$logs/results"

# What became of one test: ok, skip or fail, its name, then time, reason or output; or again, with the output of a first try
# that failed. The lanes run at the same time: a line each.
record() {
	printf '%s\t%s\t%s\n' "$1" "$2" "${3%%$'\n'*}" >>"$logs/results"
	case $1 in
	ok) printf 'ok    %s (%s)\n' "$2" "$3" ;;
	again) printf 'AGAIN %s\n      %s\n' "$2" "${3//$'\n'/$'\n      '}" ;;
	skip) printf 'skip  %s: %s\n' "$2" "$3" ;;
	fail) printf 'FAIL  %s\n      %s\n' "$2" "${3//$'\n'/$'\n      '}" ;;
	esac
}

# The end of a failed test's log, after the lines in it that say what failed: those can be far up.
failure() {
	{ head -n -60 "$1" | grep -aE '(^|[[:space:]])(FAILED|FAIL|not ok)([[:space:]:]|$)' | head -n 20 || true; }
	tail -n 60 "$1"
}

# One test that ended: its name, exit status, seconds, log. 77 is a skip, its last line the reason.
record_status() {
	case $2 in
	0) record ok "$1" "${3}s" ;;
	77) record skip "$1" "$(tail -n 1 "$4")" ;;
	*) record fail "$1" "exit $2"$'\n'"$(failure "$4")" ;;
	esac
}

# Whether the failure in a log may be the busy machine's, so that a second try is fair, as in the network developers' own runs of
# the kernel's tests. What a kernel or a sanitizer complains of is a fault however seldom it is seen. A guest whose clock stood
# still is no complaint (tests/vm/guest).
may_try_again() {
	! grep -aqE "kernel complained:|Sanitizer|runtime error:" "$1"
}

# A command with its output in a log; a failure gets one more try, told under that name. Its exit status; what a retry took is in
# $took, as is what the only try did.
twice() {
	local name=$1 log=$2 t0=$SECONDS rc=0

	shift 2
	"$@" >"$log" 2>&1 </dev/null || rc=$?
	if [ $rc -ne 0 ] && [ $rc -ne 77 ] && [ "$name" != lint ] && may_try_again "$log"; then
		record again "$name" "exit $rc"$'\n'"$(failure "$log")"
		cp "$log" "$log.first"
		t0=$SECONDS rc=0
		"$@" >"$log" 2>&1 </dev/null || rc=$?
	fi
	took=$((SECONDS - t0))
	return $rc
}

# One test: its name and command.
run() {
	local name=$1 log=$logs/${1//\//_}.log took=0 rc=0

	shift
	[[ $name == *"$pattern"* ]] || return 0
	twice "$name" "$log" "$@" || rc=$?
	record_status "$name" "$rc" "$took" "$log"
}

# Several guest tests in one boot, counted one by one: a prefix for their names, the tests' paths, --, the command that runs
# tests/vm/batch with the tests that are to be appended to it. What the kernel says at the end, when the module goes and leaks
# are looked for, is a test of its own.
run_batch() {
	local prefix=$1 last log line name status seconds rc=0 tests=()
	local -A left=()

	shift
	last=$prefix$(basename "$(dirname "$1")")/kernel-log
	log=$logs/${last//\//_}.log
	while [ "$1" != -- ]; do
		name=$prefix$(basename "$(dirname "$1")")/$(basename "$1")
		[[ $name != *"$pattern"* ]] || { tests+=("$1") && left[$name]=1; }
		shift
	done
	shift
	[ ${#tests[@]} -gt 0 ] || return 0
	twice "$last" "$log" "$@" "${tests[@]}" || rc=$?
	: >"$log.one"
	while IFS= read -r line; do
		if [[ $line =~ ^batch:\ ([^ ]+)\ ([0-9]+)\ ([0-9]+)$ ]]; then
			name=$prefix${BASH_REMATCH[1]} status=${BASH_REMATCH[2]} seconds=${BASH_REMATCH[3]}
			record_status "$name" "$status" "$seconds" "$log.one"
			unset "left[$name]"
			: >"$log.one"
		else
			printf '%s\n' "$line" >>"$log.one"
		fi
	done <"$log"
	for name in "${!left[@]}"; do
		record fail "$name" "the guest ended before it did ($rc)"$'\n'"$(tail -n 60 "$log.one")"
	done
	record_status "$last" "$rc" 0 "$log.one"
}

# The counts, and the exit status: whether all is well.
summary() {
	local passed failed skipped

	passed=$(grep -c ^ok "$logs/results") || true
	failed=$(grep -c ^fail "$logs/results") || true
	skipped=$(grep -c ^skip "$logs/results") || true
	step "result after $(((SECONDS - started) / 60)) min $(((SECONDS - started) % 60)) s"
	sed -n 's/^skip\t\([^\t]*\)\t/skipped: \1: /p; s/^again\t\([^\t]*\)\t.*/second try: \1/p; s/^fail\t\([^\t]*\)\t.*/failed: \1/p' \
		"$logs/results"
	[ "$failed" -gt 0 ] || rm -rf "$logs"
	[ "$failed" -eq 0 ] || echo "logs: $logs"
	echo "$passed passed, $failed failed, $skipped skipped"
	[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
}
