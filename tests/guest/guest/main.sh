# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Runs one test's guest() in the guest. Sourced by nobody: init starts it, with descriptor 9 on the control channel.
#
# Theory of operation: lines go to the host ("boot", "call NAME ARGS", "skip REASON", "exit STATUS"), and "boot" and
# "call" are answered with one line (the number of this boot; the status of host_NAME). What a test prints goes to the
# console, which the host keeps as a log.

# shellcheck disable=SC1090
. "$1"
M=/mnt/share
mkdir -p "$M"
export GIT_AUTHOR_NAME=Guest GIT_AUTHOR_EMAIL=guest@localhost GIT_COMMITTER_NAME=Guest GIT_COMMITTER_EMAIL=guest@localhost

tell() { printf '%s\n' "$*" >&9; }
ask() {
	tell "$@"
	IFS= read -r REPLY <&9 || REPLY=1
}

# For tests: run host_NAME ARGS on the host, in the middle of things; its status is this one's.
host() {
	ask call "$@"
	return "$REPLY"
}

# For tests: give up, with the reason why this machine cannot do it.
skip() {
	tell skip "$@"
	exit 77
}

# For tests: tell who watches what comes next.
say() { tell say "$@"; }

# For tests: as another user and group, without root's capabilities.
as() { # uid command...
	setpriv --reuid "$1" --regid "$1" --clear-groups --inh-caps=-all "${@:2}"
}

# For tests: what the command prints must be this.
want() { # text command...
	local got
	got=$("${@:2}") || {
		printf 'FAIL: "%s" ended with status %s\n' "${*:2}" $?
		return 1
	}
	[ "$got" = "$1" ] || {
		printf 'FAIL: "%s" printed\n%s\nand should have printed\n%s\n' "${*:2}" "$got" "$1"
		return 1
	}
}

# For tests: the command must fail, and say so in these words (as the C library spells the errno).
fails() { # words command...
	local got
	if got=$("${@:2}" 2>&1); then
		printf 'FAIL: "%s" succeeded and should have failed: %s\n' "${*:2}" "$1"
		return 1
	fi
	case $got in
	*"$1"*) ;;
	*)
		printf 'FAIL: "%s" should have failed with "%s" and failed with\n%s\n' "${*:2}" "$1" "$got"
		return 1
		;;
	esac
}

share_mount() { # options...
	mount -t virtiofs "$@" "$TAG" "$M"
}

drop_caches() {
	sync
	echo 3 >/proc/sys/vm/drop_caches
}

step() { printf '# %s: %s\n' "$(cut -d ' ' -f 1 /proc/uptime)" "$*"; }

if [ -n "$SHELL_SIZE" ]; then
	share_mount || exit
	cd "$M" || exit
	console=/dev/$(cat /sys/class/tty/console/active)
	read -r rows cols <<<"$SHELL_SIZE"
	stty -F "$console" rows "$rows" cols "$cols"
	PS1='guest:\w# ' setsid -c bash --norc -i <>"$console" >&0 2>&1
	cd / && umount "$M"
	exit 0
fi

ask boot
BOOT=$REPLY
hostname culvert
step "Linux $(uname -r), boot $BOOT"

(
	set -eEuo pipefail
	trap 'printf "FAIL: %s:%s: %s\n" "${BASH_SOURCE[0]##*/}" "$LINENO" "$BASH_COMMAND"' ERR
	[ "$MOUNT" = none ] || share_mount ${MOUNT:+-o "$MOUNT"}
	cd "$M"
	# shellcheck disable=SC1090
	. "/guest/t/$TEST.sh"
	guest
	cd /
	! mountpoint -q "$M" || umount -R "$M"
)
status=$?
step "guest part ends with status $status"
dmesg | grep -E 'BUG:|Oops|WARNING: |Call Trace|virtio.?fs.*(fail|error|bad)' && status=99
tell exit "$status"
