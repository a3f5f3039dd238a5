# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What a test's host functions (before, host_NAME, after) can call. They run in $SHARE, with "set -e", each in a process
# of its own: what they want to remember they write to a file in $RUN.

# Give up, with the reason why this machine cannot do it.
skip() {
	printf '%s\n' "$*" >"$RUN/skip"
	exit 77
}

# What the command prints must be this.
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

# Wait until the command succeeds, for so many seconds at most.
eventually() { # seconds command...
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		[ $SECONDS -lt $end ] || {
			printf 'FAIL: still not so: %s\n' "$*"
			return 1
		}
		sleep 0.05
	done
}

# The daemon's processes (the sandbox may have made a second one).
daemon_pids() {
	session_pids "$DAEMON_PID"
}

# How many descriptors the daemon has open.
daemon_fds() {
	local p
	for p in $(daemon_pids); do
		ls "/proc/$p/fd"
	done | wc -l
}

# What the daemon holds in memory, in KiB: all but the guest's memory, which is what else it maps shared.
daemon_rss() {
	local p
	for p in $(daemon_pids); do
		cat "/proc/$p/smaps"
	done | awk '/^[0-9a-f]+-/ { count = $2 !~ /s$/ || /memfd:culvert/ } /^Rss:/ && count { sum += $2 }
		END { print sum + 0 }'
}

# Whether the daemon was built with a sanitizer, so that its memory says nothing.
daemon_sanitized() {
	grep -qE 'lib[at]san' "/proc/$DAEMON_PID/maps"
}

daemon_gone() { [ -z "$(daemon_pids)" ]; }

# From here on the guest may go without a word.
guest_goes() { touch "$RUN/goes"; }

# End the guest as a crash would.
guest_kill() {
	guest_goes
	session_end "$(cat "$RUN/guest.pid")"
}

# How many parts of files QEMU has mapped into the guest's DAX window. The names that it sees are the sandbox's.
dax_maps() {
	awk '$2 ~ /s$/ && $5 != 0 && $6 !~ /^\/(memfd:|dev\/)/' "/proc/$(cat "$RUN/guest.pid")/maps" | wc -l
}

# A command for QEMU's monitor.
monitor() { # words
	printf '%s\n' "$*" >"$RUN/mon.in"
}

# Mount an empty file system in the share; it is unmounted when the run is over.
submount() { # directory
	mount -t tmpfs -o mode=755 culvert-test "$1" || skip "cannot mount a file system here"
	realpath "$1" >>"$RUN/mounts"
}
