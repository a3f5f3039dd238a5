# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# about: the daemon ends with status 0 and one line, however its front-end goes
# case poweroff:
# case kill:
# case busy:
# case idle:
# mount: none

guest() {
	case $CASE in
	poweroff) # with the share mounted, and a file open
		share_mount
		exec 7>"$M/file"
		echo text >&7
		sync
		host leaves
		busybox poweroff -f
		;;
	kill)
		share_mount
		echo text >"$M/file"
		host dies
		;;
	busy) # in the middle of things
		share_mount
		echo text >"$M/file"
		dd if=/dev/zero of="$M/big" bs=1M count=100000 status=none &
		find /usr/bin -type f -exec cat {} + 2>/dev/null | split -b 1000 -a 6 - "$M/x." &
		host dies_busy
		;;
	idle) # never mounted
		host dies
		;;
	esac
	sleep 1000
}

host_leaves() {
	wc -l <"$RUN/daemon.log" >"$RUN/lines"
	guest_goes
}
host_dies() {
	wc -l <"$RUN/daemon.log" >"$RUN/lines"
	guest_kill
}
several() { [ "$(find . -name 'x.*' | wc -l)" -gt 20 ] && [ -s big ]; }
host_dies_busy() {
	eventually 30 several
	host_dies
}

after() {
	[ "$CASE" = idle ] || want text cat file
	tail -n +$(($(cat "$RUN/lines") + 1)) "$RUN/daemon.log" >"$RUN/last"
	cat "$RUN/last"
	want 1 grep -c . "$RUN/last"
	grep disconnected "$RUN/last"
}
