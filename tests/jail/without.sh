#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The daemon where the kernel lacks what it likes to use: it falls back, or says what is missing.
# usage: tests/jail/without.sh CALLS DENY NO_MNT_ID VIRTIOFSD TESTS_DIR
#
# CALLS, separated by commas, are taken away from protocol tests, daemon and all, and all pass but for those in cannot():
# they are about what there is no way around, and fail. "all" stands for all calls at once, and takes all protocol tests and
# the hostile guests; "mount-ids" for statx(2) without these; "sentences" for what the daemon says where it cannot go on, or
# with less. With CULVERT_CROSS in the environment (meson test --suite jail --setup cross), each of CALLS takes all, too.
set -u

CALLS=$1 DENY=$(realpath "$2") LIB=$(realpath "$3") BIN=$(realpath "$4") TESTS=$(realpath "$5") || exit 2
T=$(mktemp -d) || exit 2
trap 'rm -rf "$T"' EXIT
failures=0
all=openat2,name_to_handle_at,open_by_handle_at,io_uring_setup,landlock_create_ruleset,close_range
all+=,mount_setattr,open_tree,clone3,rseq,set_robust_list
parts=(name file modes dir host opts life xattr)
sanitized=
# A sanitized daemon is slow, and its filter only logs.
grep -qa __asan_init "$BIN" && sanitized=1 parts=(name file modes)

fail() {
	echo "FAIL: $*"
	failures=$((failures + 1))
}

# Tests that cannot pass: of files that are opened by their handles, of more files than descriptors where a descriptor
# is all there is to know a file by, and of a chroot that has no way to /proc but the open one, of which it warns.
cannot() { # part
	case $calls,$1 in
	*name_to_handle_at*,host | *open_by_handle_at*,host)
		printf '%s mandatory\n' renamed replaced made_anew moved_with_its_directory another_name replaced_in_between
		;;&
	*name_to_handle_at*,host) printf 'replaced_in_between %s\n' prefer prefer_none never plain_user ;;
	*name_to_handle_at*,opts) printf 'handles_in_the_sandbox %s\n' mandatory prefer prefer_none never ;;
	*open_by_handle_at*,opts) printf 'handles_in_the_sandbox %s\n' mandatory prefer_none ;;
	*name_to_handle_at*,scale) printf '%s\n' a_million_lookups files_opened_to_the_limit ;;
	*open_tree*,life) printf '%s in_chroot\n' a_hang_up_ends_it signals_end_it ;;
	esac
}

# Names of the tests that did not pass, from what cmocka prints while they run, and after.
not_passed() { # log
	sed -nE 's/^\[  (FAILED |ERROR  ) \] ([a-z_]+( [a-z0-9_-]+)*)$/\2/p' "$1" | sort -u
}

# What cannot pass is skipped for who is not root.
run() { # what program daemon-and-arguments...
	local what=$1 name=${2##*/} log=$T/log want got
	shift
	timeout 500 "${without[@]}" "$@" >"$log" 2>&1
	local status=$?
	want=$(cannot "${name#proto_}" | sort -u)
	got=$(not_passed "$log")
	if [ -z "$want" ] || [ "$(id -u)" != 0 ]; then
		[ $status = 0 ] && return
	elif [ "$got" = "$want" ] && [ $status != 0 ]; then
		return
	fi
	fail "without $what: $name: status $status"
	diff <(echo "$want") <(echo "$got") | sed -n 's/^< /it passes: /p; s/^> /it fails: /p'
	grep -vE '^\[ +(RUN|OK) ' "$log" | tail -n 60
}

protocol() { # what part...
	local what=$1 part
	shift
	for part; do
		case $part in
		# One of the front-ends that map files.
		dax*) run "$what" "$TESTS/proto/proto_$part" "$BIN" split '* qemu11' ;;
		*) run "$what" "$TESTS/proto/proto_$part" "$BIN" split ;;
		esac
	done
}

everything() { # what
	local each
	mapfile -t each < <(find "$TESTS/proto" -maxdepth 1 -name 'proto_*' -type f -executable | sed 's,.*/proto_,,' | sort)
	[ ${#each[@]} -gt 25 ] || fail "${#each[@]} protocol tests"
	protocol "$1" "${each[@]}"
	[ "$(id -u)" = 0 ] && run "$1" "$TESTS/hostile/hostile" "$BIN" packed namespace
	run "$1" "$TESTS/hostile/hostile" "$BIN" split user-none
}

# What the daemon says, in one line, when it ends, or as it begins to listen. It runs for no longer than that.
says() { # status calls text options...
	local status=$1 calls=$2 text=$3 dir=$T/share-$RANDOM pid
	shift 3
	mkdir -p "$dir"
	: >"$T/log"
	"$DENY" "$calls" "$BIN" --shared-dir "$dir" --socket-path "$T/s" "$@" >>"$T/log" 2>&1 </dev/null &
	pid=$!
	for _ in {1..1200}; do
		grep -q 'Waiting for' "$T/log" && kill -TERM $pid 2>/dev/null
		kill -0 $pid 2>/dev/null || break
		sleep 0.05
	done
	kill -KILL $pid 2>/dev/null
	wait $pid
	[ $? = "$status" ] && [ "$(grep -cF -- "$text" "$T/log")" = 1 ] || fail "without $calls: $(cat "$T/log")"
	[ ! -e "$T/s" ] || fail "without $calls: the socket stays"
}

sentences() {
	# That the tool takes something away at all.
	"$DENY" openat2,statx=38 /bin/true || fail "deny-syscall does not run a program"
	"$DENY" execve=1 /bin/true 2>/dev/null
	[ $? = 126 ] || fail "deny-syscall denies nothing"
	says 1 statx 'sandbox: statx(2) is missing' --sandbox none
	says 1 landlock_create_ruleset 'sandbox landlock: this kernel has no Landlock' --sandbox landlock
	says 1 landlock_create_ruleset=95 'sandbox landlock: this kernel has no Landlock' --sandbox landlock
	says 1 seccomp,prctl=22 'sandbox none: seccomp: ' --sandbox none --seccomp kill
	says 0 name_to_handle_at 'name_to_handle_at(2) is missing or denied: each file that the guest remembers stays open' \
		--sandbox none
	says 0 name_to_handle_at=95 'its file system has no file handles: each file that the guest remembers stays open' \
		--sandbox none
	[ "$(id -u)" = 0 ] || return
	says 1 statx 'statx(2) is missing'
	says 1 name_to_handle_at 'mandatory: name_to_handle_at(2) is missing or denied' --inode-file-handles=mandatory
	says 1 name_to_handle_at=1 'mandatory: name_to_handle_at(2) is missing or denied' --inode-file-handles=mandatory
	says 1 name_to_handle_at=95 'mandatory: its file system has no file handles' --inode-file-handles=mandatory
	says 1 open_by_handle_at 'mandatory: open_by_handle_at(2) is missing' --inode-file-handles=mandatory
	says 1 open_by_handle_at=1 'mandatory: CAP_DAC_READ_SEARCH is missing' --inode-file-handles=mandatory
	says 0 mount_setattr 'mount_setattr(2) is missing (Linux 5.12): nodev, nosuid, noexec hold for the share, not for'
	says 0 mount_setattr 'nosuid, noexec, ro hold for the share, not for' --readonly
	says 1 mount_setattr=1 'sandbox namespace: mount flags: Operation not permitted'
	says 1 pivot_root 'sandbox namespace: pivot_root: Function not implemented'
	says 1 unshare=1 'sandbox namespace: pid namespace: Operation not permitted'
	says 0 open_tree "sandbox chroot: the surroundings' /proc can be reached from inside: " --sandbox chroot
}

calls=$CALLS
without=("$DENY" "$calls")
case $CALLS in
sentences) sentences ;;
mount-ids)
	without=(env LD_PRELOAD="$LIB")
	if [ "${CULVERT_CROSS-}" ]; then everything "mount ids"; else protocol "mount ids" "${parts[@]}"; fi
	;;
all)
	calls=$all
	without=("$DENY" "$calls")
	if [ "$sanitized" ]; then protocol "all of it" "${parts[@]}"; else everything "all of it"; fi
	;;
*)
	if [ "${CULVERT_CROSS-}" ]; then everything "$CALLS"; else protocol "$CALLS" "${parts[@]}"; fi
	;;
esac

if [ $failures != 0 ]; then
	echo "$failures failed"
	exit 1
fi
