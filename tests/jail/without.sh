#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The daemon where the kernel lacks what it likes to use: it falls back, or says what is missing.
# usage: tests/jail/without.sh DENY NO_MNT_ID VIRTIOFSD PROTO_DIR
#
# Each group of calls is taken away from a part of the protocol tests, daemon and all.
set -u

DENY=$(realpath "$1") LIB=$(realpath "$2") BIN=$(realpath "$3") PROTO=$(realpath "$4") || exit 2
T=$(mktemp -d) || exit 2
trap 'rm -rf "$T"' EXIT
failures=0
groups=(
	openat2
	name_to_handle_at
	"name_to_handle_at=95" # EOPNOTSUPP
	open_by_handle_at
	io_uring_setup
	landlock_create_ruleset
	close_range
	mount_setattr
	open_tree
	"open_tree=1" # EPERM
	"openat2,name_to_handle_at,io_uring_setup,landlock_create_ruleset,close_range,mount_setattr,open_tree,clone3,rseq"
)
parts=(name file modes)

fail() {
	echo "FAIL: $*"
	failures=$((failures + 1))
}

run() { # what command...
	local what=$1 part
	shift
	for part in "${parts[@]}"; do
		"$@" "$PROTO/proto_$part" "$BIN" split >"$T/log" 2>&1 ||
			{ fail "without $what: $part" && grep -vE '^\[ +(RUN|OK) ' "$T/log" | head -n 20; }
	done
}

# That the tool takes something away at all.
"$DENY" openat2,statx=38 /bin/true || fail "deny-syscall does not run a program"
"$DENY" execve=1 /bin/true 2>/dev/null
[ $? = 126 ] || fail "deny-syscall denies nothing"

for g in "${groups[@]}"; do
	run "$g" "$DENY" "$g"
done
# A sanitizer wants to be loaded first.
if ! grep -qa __asan_init "$BIN"; then
	run "mount ids" env LD_PRELOAD="$LIB"
fi

# What there is no way around is named, in one line.
says() { # calls text options...
	local calls=$1 text=$2
	shift 2
	mkdir -p "$T/share"
	timeout 20 "$DENY" "$calls" "$BIN" --shared-dir "$T/share" --socket-path "$T/s" "$@" >"$T/log" 2>&1 </dev/null
	[ $? = 1 ] && grep -q -- "$text" "$T/log" || fail "without $calls: $(cat "$T/log")"
	[ ! -e "$T/s" ] || fail "without $calls: the socket stays"
}
says statx 'statx(2) is missing'
says landlock_create_ruleset 'sandbox landlock: this kernel has no Landlock' --sandbox landlock
says seccomp,prctl=22 'sandbox none: seccomp: ' --sandbox none --seccomp kill

if [ $failures != 0 ]; then
	echo "$failures failed"
	exit 1
fi
