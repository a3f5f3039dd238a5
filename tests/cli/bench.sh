#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# virtiofs-bench does all its work with virtiofsd, finds it right, and writes down as much as it did; a daemon that
# answers wrongly, and wrong options, end it with one line.
#
# usage: bench.sh VIRTIOFSD VIRTIOFS_BENCH
set -u
DAEMON=$1 BENCH=$2
DIR=$(mktemp -d "${TMPDIR:-/tmp}/culvert-bench.XXXXXX") || exit 1
mkdir "$DIR/share" "$DIR/other"
bad=0 pids=()

# shellcheck disable=SC2317 # called by trap
leave() {
	[ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2>/dev/null
	wait
	rm -rf "$DIR"
}
trap leave EXIT

fail() {
	printf 'FAIL: %s\n' "$*"
	bad=1
}

daemon() { # name share options...
	local i
	"$DAEMON" --socket-path "$DIR/$1.sock" --shared-dir "$DIR/$2" --sandbox none "${@:3}" 2>"$DIR/$1.log" &
	pids+=($!)
	for ((i = 0; i < 500; i++)); do
		[ ! -S "$DIR/$1.sock" ] || return 0
		sleep 0.02
	done
	fail "the daemon does not listen: $(cat "$DIR/$1.log")"
}

# Ends with status 1 and one line, which has these words.
complains() { # words arguments...
	local status
	"$BENCH" "${@:2}" >"$DIR/out" 2>"$DIR/err"
	status=$?
	[ $status = 1 ] || fail "${*:2}: status $status"
	case $(grep '^virtiofs-bench:' "$DIR/err") in
	*$'\n'*) fail "${*:2}: $(cat "$DIR/err")" ;;
	*"$1"*) ;;
	*) fail "${*:2}: $(cat "$DIR/err")" ;;
	esac
}

mapfile -t works < <("$BENCH" --list | cut -d ' ' -f 1)
[ ${#works[@]} -ge 15 ] || fail "--list: ${works[*]}"

daemon a share
daemon b share --cache never
# A hundred thousand files are too many for a test.
list=$(printf '%s\n' "${works[@]}" | grep -v 100k | paste -sd ,)
"$BENCH" -w "$list" -r 2 -t 4 -d 1,8 -q 1,2 -c any -j "$DIR/json" "$DIR/share" a="$DIR/a.sock" b="$DIR/b.sock" \
	native null >"$DIR/out" 2>"$DIR/err" || fail "it ended with status $?: $(tail -n 2 "$DIR/err")"
[ ! -e "$DIR/share/virtiofs-bench" ] || fail "it has left its files"
python3 - "$DIR/json" "$list" <<'PY' || fail "its JSON is not as it should be"
import json, sys
top = json.load(open(sys.argv[1], encoding="utf-8"))
assert [a["name"] for a in top["arms"]] == ["a", "b", "native", "null"], top["arms"]
for work in sys.argv[2].split(","):
	for arm in ("a", "b"):
		for queues in (1, 2):
			got = [r for r in top["results"] if (r["work"], r["arm"], r["queues"]) == (work, arm, queues)]
			assert {r["round"] for r in got} == {0, 1}, (work, arm, queues, len(got))
			for r in got:
				assert r["ops"] > 0 and r["requests"] > 0 and r["cpu_ns"] > 0 and r["kicks"] > 0, r
				assert r["depth"] > 1 or r["latency_ns"][0] > 0 or r["work"] == "forget", r
for arm in ("native", "null"):
	assert any(r["arm"] == arm and r["ops"] > 0 for r in top["results"]), arm
PY

daemon c share
"$BENCH" -i 500 -j "$DIR/json" "$DIR/share" "$DIR/c.sock" >"$DIR/out" 2>&1 || fail "--inodes: $(cat "$DIR/out")"
python3 -c 'import json, sys
r, = json.load(open(sys.argv[1]))["results"]
assert r["arm"] == "c.sock" and r["known"] == 500 and r["rss_after"] > 0 and r["fds_after"] > 0, r' "$DIR/json" ||
	fail "--inodes: its JSON is not as it should be"

# A daemon that shares another folder with the same names gives other inode numbers, sizes and contents.
daemon d other
mkdir -p "$DIR/other/virtiofs-bench/made" "$DIR/other/virtiofs-bench/dir-1k"
head -c 8M /dev/zero | tee "$DIR/other/virtiofs-bench/data" >"$DIR/other/virtiofs-bench/out"
complains "d: read-4k: READ at" -q 1 -w read-4k "$DIR/share" d="$DIR/d.sock"

complains "it takes a directory and" "$DIR/share"
complains "there is no such workload" -w nonsense "$DIR/share" native
complains "not 1 to" -d 0 "$DIR/share" native
complains "not same, two or any" -c three "$DIR/share" native
complains "not an arm" "$DIR/share" =
complains "No such file or directory" "$DIR/nowhere" native
complains "connecting: No such file or directory" "$DIR/share" "$DIR/nobody"
[ $bad = 0 ] && echo "${#works[@]} workloads"
exit $bad
