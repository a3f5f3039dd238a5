#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The tester finds nothing between two plain directories, and finds, shrinks and replays what is wrong.
#
# usage: selfcheck.sh FSDIFF [OPERATIONS]
set -u
fsdiff=$1
ops=${2:-200000}
dir=$(mktemp -d "${TMPDIR:-/tmp}/fsdiff.XXXXXX") || exit 1
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/a" "$dir/b"

fail() {
	printf 'FAIL: %s\n' "$*"
	exit 1
}

"$fsdiff" --ops "$ops" --seed 1 --procs 2 --sync 0 "$dir/a" "$dir/b" ||
	fail "a difference between two plain directories"
"$fsdiff" --ops $((ops / 4)) --seed 2 --procs 3 --shared --sync 0 "$dir/a" "$dir/b" ||
	fail "a difference in shared directories"
"$fsdiff" --ops $((ops / 4)) --seed 3 --host-side "$dir/a" --sync 0 "$dir/a" "$dir/b" ||
	fail "a difference with a second actor"

for fault in truncate append noreplace setid link mtime lost-write errno xattr readdir hole hang; do
	sync=0
	[ $fault != hang ] || sync=100
	"$fsdiff" --ops 100000 --seed 5 --sync $sync --hang 2 --break $fault "$dir/a" "$dir/b" \
		>"$dir/program" 2>"$dir/err"
	status=$?
	if grep -q 'user attributes: no' "$dir/program" && [ $fault = xattr ]; then
		continue
	fi
	lines=$(grep -vc '^#' "$dir/program")
	if [ $status != 1 ] || [ "$lines" -gt 8 ] || ! grep -q '^# shrunk' "$dir/program"; then
		cat "$dir/program" "$dir/err"
		fail "$fault: status $status, $lines operations left"
	fi
	"$fsdiff" --replay "$dir/program" --hang 2 --no-shrink --break $fault "$dir/a" "$dir/b" >"$dir/again"
	[ $? = 1 ] || fail "$fault: its program does not show it again"
	"$fsdiff" --replay "$dir/program" "$dir/a" "$dir/b" >"$dir/again" ||
		fail "$fault: its program shows a difference without it"
	printf 'found %s with %s operations\n' $fault "$lines"
done
rmdir "$dir/a" "$dir/b" || fail "something was left behind"
