# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# about: the guest reboots, cleanly and not, and mounts again; the daemon is the same
# guests: qemu
# boots: 3
# timeout: 300

guest() {
	case $BOOT in
	1)
		echo one >file
		mkdir -p many
		touch many/{1..300}
		ls -lR >/dev/null
		exec 7<file
		host count
		sync
		busybox reboot -f # with the share mounted, and a file open
		sleep 1000
		;;
	2)
		want one cat file
		echo two >>file
		ls -lR >/dev/null
		host count
		sync
		echo b >/proc/sysrq-trigger # as if reset
		sleep 1000
		;;
	3)
		want $'one\ntwo' cat file
		ls -lR >/dev/null
		host count
		;;
	esac
}

# What an earlier boot held is let go.
host_count() {
	[ "$(daemon_pids | wc -l)" -gt 0 ]
	daemon_fds >>"$RUN/fds"
	cat "$RUN/fds"
	[ "$(tail -n 1 "$RUN/fds")" -le $(($(head -n 1 "$RUN/fds") + 8)) ]
}

after() { want $'one\ntwo' cat file; }
