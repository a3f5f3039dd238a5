# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# about: DAX: the daemon ends while the guest has files mapped: nothing stays mapped, and the guest runs on
# guests: qemu-dax qemu-next-dax
# mount: dax=always
# window: 64M
# timeout: 300

before() {
	# The host has one of its own: what the guest has mapped is being written to, for execve(2).
	gcc -O1 -Wall -o "$RUN/dax" "$HERE/t/dax.c"
	cp "$RUN/dax" dax
	head -c 10000000 /dev/urandom >file
}

guest() {
	cp dax /tmp/dax
	cd /
	/tmp/dax hold "$M/file" >/tmp/held &
	until [ -s /tmp/held ]; do sleep 0.1; done
	host ends
	# The file system is gone, the machine is not.
	echo alive >/tmp/alive
	want alive cat /tmp/alive
	kill %1
	want 1024 wc -c < <(head -c 1024 /dev/urandom)
	host leaves
	busybox poweroff -f -n # sync(2) would wait for the daemon
	sleep 1000
}

host_ends() {
	[ "$(dax_maps)" -gt 0 ]
	kill -TERM "$DAEMON_PID"
	eventually 10 daemon_gone
	eventually 10 unmapped
}
unmapped() { [ "$(dax_maps)" = 0 ]; }

host_leaves() { guest_goes; }
