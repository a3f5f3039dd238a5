# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# about: DAX in a QEMU without our patches: files of whole pages are mapped, the others read and written
# guests: stock-dax
# mount: none
# window: 64M
# timeout: 600

before() {
	# The host has one of its own: what the guest has mapped is being written to, for execve(2).
	gcc -O1 -Wall -o "$RUN/dax" "$HERE/t/dax.c"
	cp "$RUN/dax" dax
	mkdir files
	head -c $((5 << 20)) /dev/urandom >whole
	head -c 3000001 /dev/urandom >part
	: >empty
	sha256sum whole part empty >sums
}

guest() {
	step "dax=inode"
	share_mount
	cd "$M"
	cp dax sums /tmp
	sha256sum -c --quiet sums
	want cached ./dax is part
	(cd files && ../dax files && rm huge)
	cd /
	umount "$M"

	step "dax=always"
	share_mount -o dax=always
	cd "$M"
	want dax /tmp/dax is whole
	grep whole /tmp/sums | sha256sum -c --quiet
	host maps
	/tmp/dax poke whole 3000000 'from the guest' msync
	host sees
	/tmp/dax want-map whole 4000000 'from the host'
	cd /
}

host_maps() { [ "$(dax_maps)" -gt 0 ]; }
host_sees() {
	"$RUN/dax" want-map whole 3000000 'from the guest'
	"$RUN/dax" poke whole 4000000 'from the host'
}

after() { grep -v whole sums | sha256sum -c --quiet; }
