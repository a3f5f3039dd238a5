# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# about: all of stress-ng's file system class checks itself on the share; more of fio's verified jobs
# guests: uml
# daemon: --xattr
# timeout: 600

# All of the class but what does not work on ext4 here, either: bind-mount is not for root's namespace, and this kernel has
# no binderfs.
EXCLUDED="bind-mount binderfs"
SECONDS_EACH=1

job() { # name fio-options...
	step "fio: $1"
	fio --name="$1" --verify_fatal=1 --thread --verify_state_save=0 --minimal --output=/tmp/fio.out --unlink=1 \
		--randrepeat=1 --size=8m --ioengine=psync "${@:2}" || {
		cat /tmp/fio.out
		return 1
	}
	drop_caches
}

guest() {
	local s ops failed='' all=0
	mkdir tmp
	for s in $(stress-ng --class 'filesystem?' 2>&1 | sed -n "s/^class 'filesystem' stressors: //p"); do
		[[ " $EXCLUDED " != *" $s "* ]] || continue
		all=$((all + 1))
		case $s in
		copy-file) ops=1 ;;
		dirdeep | dirmany | filename | hdd | iomix | xattr) ops=20 ;;
		*) ops=100 ;;
		esac
		step "stress-ng: $s"
		# It ends after so many operations or seconds, whichever is first. 3, 4: this kernel lacks the system call.
		stress-ng --temp-path tmp "--$s" 1 "--$s-ops" $ops --timeout $SECONDS_EACH --verify --hdd-bytes 4m \
			--iomix-bytes 4m --fallocate-bytes 4m --sync-file-bytes 4m --dirdeep-inodes 200 --copy-file-bytes 128m \
			>/tmp/stress.out 2>&1 || case $? in
			3 | 4) tail -n 3 /tmp/stress.out ;;
			*)
				cat /tmp/stress.out
				failed+=" $s"
				;;
			esac
	done
	want '' echo $failed
	[ $all -gt 40 ]
	want '' ls -A tmp
	rmdir tmp

	job md5 --rw=randrw --bs=8k --verify=md5 --fsync=64
	job pattern --rw=randwrite --bsrange=512-64k --bs_unaligned=1 --verify=pattern --verify_pattern=0xdeadbeef
	job backlog --rw=randwrite --bs=4k --verify=crc32c --verify_backlog=64
	job offset --rw=write:4k --bs=4k --verify=sha256 --offset=1m
	job vectors --rw=randwrite --bs=16k --verify=crc64 --ioengine=pvsync
	job sync --rw=randwrite --bs=16k --verify=crc32c --sync=1 --size=1m
	job files --rw=randwrite --bs=4k --verify=crc32c --nrfiles=32 --file_service_type=random
	job trim --rw=randwrite --bs=16k --verify=crc32c --fallocate=keep --direct=1

	step "fio sees what is wrong"
	local bad=(fio --name=bad --bs=64k --size=1m --verify=crc32c --verify_state_save=0 --filename=bad --minimal --thread)
	"${bad[@]}" --rw=write --do_verify=0 >/dev/null
	"${bad[@]}" --rw=read >/dev/null
	printf X | dd of=bad bs=1 seek=500000 conv=notrunc status=none
	if "${bad[@]}" --rw=read >/dev/null 2>&1; then return 1; fi
	rm bad
}

after() { want '' ls -A; }
