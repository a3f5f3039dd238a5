# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# about: the front-end closes the socket while the guest lives on
# guests: qemu
# mount: none

guest() {
	share_mount
	echo text >"$M/file"
	umount "$M"
	host unplug
	fails 'wrong fs type' share_mount
}

host_unplug() {
	wc -l <"$RUN/daemon.log" >"$RUN/lines"
	monitor 'device_del fs'
	eventually 30 closed
}

# QEMU lets go of the socket when no device uses it any more, which takes the guest's consent: ask until it does.
closed() {
	monitor 'chardev-remove fs'
	daemon_gone
}

after() {
	want text cat file
	want 1 wc -l < <(tail -n +$(($(cat "$RUN/lines") + 1)) "$RUN/daemon.log")
}
