# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the tests of the package have in common. Sourced; sets WORK, a folder that is gone afterwards.

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd) || exit 2
export TOP
passed=0 failed=0

# What is bound below WORK is of the same file system, maybe: nothing is removed as long as it is there.
clean() {
	local dir
	awk -v w="$WORK/" 'index($5, w) == 1 { print $5 }' /proc/self/mountinfo | tac | while read -r dir; do
		umount -l "$dir"
	done
	! grep -qF " $WORK/" /proc/self/mountinfo && rm -rf --one-file-system "$WORK"
}

WORK=$(mktemp -d "${TMPDIR:-/tmp}/culvert-package.XXXXXX") || exit 2
chmod 755 "$WORK"
trap clean EXIT
trap 'exit 143' INT TERM HUP

die() {
	printf '%s: %s\n' "$(basename "$0")" "$*" >&2
	exit 2
}

# A command that has to succeed; what it prints is shown when it does not.
check() { # name command...
	local name=$1 start=$SECONDS
	shift
	if ("$@") >"$WORK/out" 2>&1 </dev/null; then
		printf 'ok   %s (%d s)\n' "$name" $((SECONDS - start))
		passed=$((passed + 1))
		return 0
	fi
	printf 'FAIL %s\n' "$name"
	tail -n 40 "$WORK/out" | sed 's/^/    | /'
	failed=$((failed + 1))
	return 1
}

# Two files, or what two commands print, must be the same.
same() { # file file
	diff -u "$1" "$2"
}

# Use a share in which the host has made "file"; the host then finds "hard".
work_on() { # mount-point [command that runs another one]
	"${@:2}" bash -exc '
		cd "$0"
		[ "$(cat file)" = host ]
		mkdir dir
		cp -a /usr/share/doc/culvert dir/
		diff -r /usr/share/doc/culvert dir/culvert
		mv dir/culvert doc
		ln file hard
		[ "$(stat -c %h hard)" = 2 ]
		rm -r doc dir
		echo guest >file
	' "$1"
}

verdict() {
	printf '%d passed, %d failed, 0 skipped\n' $passed $failed
	[ $failed = 0 ]
}
