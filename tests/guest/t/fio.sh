# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# about: fio writes, reads back and verifies 64 MiB: sequential, random, direct, mapped, several jobs at once
# guests: uml qemu uml-next
# timeout: 600

job() { # name fio-options...
	step "$1"
	fio --name="$1" --verify=crc32c --verify_fatal=1 --thread --minimal --output=/tmp/fio.out --unlink=1 \
		--randrepeat=1 --allrandrepeat=1 "${@:2}" || {
		cat /tmp/fio.out
		return 1
	}
	drop_caches
}

guest() {
	local some=64m few=16m
	[ "$GUEST" != qemu ] || some=16m few=4m
	job sequential --rw=write --bs=256k --size=64m --ioengine=psync --end_fsync=1
	job random --rw=randwrite --bs=64k --size=64m --ioengine=psync --end_fsync=1
	job small --rw=randrw --bs=4k --size=$few --ioengine=psync --fsync=256
	job direct --rw=randwrite --bs=64k --size=$some --ioengine=psync --direct=1
	job parallel --rw=randwrite --bs=32k --size=$few --numjobs=4 --ioengine=psync
	job mapped --rw=randwrite --bs=16k --size=$few --ioengine=mmap
	job odd --rw=randwrite --bsrange=1k-300k --bs_unaligned=1 --size=$some --ioengine=psync

	step "what was verified in the guest is on the host"
	fio --name=kept --rw=write --bs=128k --size=64m --ioengine=psync --thread --minimal --output=/tmp/fio.out \
		--verify=crc32c --do_verify=0 --end_fsync=1 --filename=kept
	host verify
}

host_verify() {
	fio --name=kept --rw=read --bs=128k --size=64m --ioengine=psync --thread --minimal --verify=crc32c \
		--verify_fatal=1 --filename=kept
}
