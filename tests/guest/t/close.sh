# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# about: close(2) is a request (FLUSH) where it can end a lock, or say that what was written was not, and only there
# guests: uml uml-next
# daemon: --log-level debug
# case plain: --cache=auto
# case locks: -o posix_lock

before() {
	echo 'from the host' >file
	# ext4, xfs, tmpfs and btrfs have nothing to do when a file is closed. A shell that redirects closes twice.
	[[ $(stat -f -c %t .) = @(ef53|58465342|1021994|9123683e) ]] && echo 0 >"$RUN/writing" || echo 2 >"$RUN/writing"
}

guest() {
	want 'from the host' cat file
	if [ "$CASE" = locks ]; then host flushed 1; else host flushed 0; fi
	echo 'from the guest' >guest
	if [ "$CASE" = locks ]; then host flushed 3; else host flushed_as_written; fi
	host sees
}

host_flushed() { # so many times until now
	want "$1" awk '/ FLUSH unique .* nodeid/ { n++ } END { print n + 0 }' "$RUN/daemon.log"
}

host_flushed_as_written() { host_flushed "$(cat "$RUN/writing")"; }

host_sees() { want 'from the guest' cat guest; }
