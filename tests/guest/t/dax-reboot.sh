# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# about: DAX: the guest reboots, cleanly and not, with files mapped; nothing of them is left in the window
# guests: qemu-dax qemu-next-dax
# mount: none
# boots: 3
# window: 64M
# timeout: 600

before() {
	# The host has one of its own: what the guest has mapped is being written to, for execve(2).
	gcc -O1 -Wall -o "$RUN/dax" "$HERE/t/dax.c"
	cp "$RUN/dax" dax
	head -c 20000000 /dev/urandom >one
	head -c 20000000 /dev/urandom >two
	sha256sum one two >sums
}

guest() {
	host maps 0
	share_mount -o dax=always
	cd "$M"
	sha256sum -c --quiet sums
	./dax hold one >/tmp/held &
	until [ -s /tmp/held ]; do sleep 0.1; done
	./dax poke two $((BOOT * 4096)) "boot $BOOT"
	# The next boot sees other files in the same place first.
	sha256sum one two | sort -k "$BOOT" >/tmp/sums
	cp /tmp/sums sums
	host maps some
	case $BOOT in
	1) busybox reboot -f ;;
	2) echo b >/proc/sysrq-trigger ;;
	3)
		kill %1
		wait %1 || :
		cd /
		return
		;;
	esac
	sleep 1000
}

host_maps() { # 0 or some
	local n
	n=$(dax_maps)
	echo "$n files mapped in QEMU"
	if [ "$1" = 0 ]; then [ "$n" = 0 ]; else [ "$n" -gt 0 ]; fi
}

after() {
	sha256sum -c --quiet sums
	local i
	for i in 1 2 3; do
		"$RUN/dax" want-read two $((i * 4096)) "boot $i"
	done
}
