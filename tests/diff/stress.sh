#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# stress-ng's file-system class and fio, which check what they do, on a share that virtiofs-mount mounts.
#
# usage: stress.sh VIRTIOFS_MOUNT VIRTIOFSD [SECONDS [CACHE...]]
#
# All of the class, one after the other, for SECONDS each (2), first on a plain directory and then in each cache mode
# (auto, never). What works on the plain directory works on the share. The folder is on an ext4 image. The last line is
# "N passed, N failed, N skipped"; skipped is what does not work on the plain directory either, and says why.
set -u

MOUNT=$(realpath "$1") DAEMON=$(realpath "$2") SECS=${3:-2}
MODES=("${@:4}")
[ ${#MODES[@]} -gt 0 ] || MODES=(auto never)

# shellcheck source=tests/diff/lib.sh
. "$(dirname "$0")/lib.sh"
skip() {
	printf 'SKIP: %s\n\n0 passed, 0 failed, 1 skipped\n' "$*"
	exit 0
}
own_namespace "$0" "$MOUNT" "$DAEMON" "$SECS" "${MODES[@]}"
for program in stress-ng fio; do
	command -v $program >/dev/null || skip "$program is not installed: scripts/deps mount"
done
own_folder
make_fs ext4
passed=0 skipped=0

# Bytes are small, so that every stressor comes round more than once; who only measures waits for nothing.
stress() { # folder stressor
	mkdir -p "$1/tmp" && timeout -k 10 $((SECS + 120)) stress-ng --temp-path "$1/tmp" "--$2" 1 --timeout "$SECS" --verify \
		--oomable --hdd-bytes 8m --iomix-bytes 8m --fallocate-bytes 8m --sync-file-bytes 8m --copy-file-bytes 128m \
		--dirdeep-inodes 400 >out 2>&1
}

# Jobs of fio: a name, and options.
JOBS=(
	"sequential --rw=write --bs=256k --size=64m --end_fsync=1"
	"random --rw=randwrite --bs=4k --size=16m --verify_backlog=128"
	"mixed --rw=randrw --bs=8k --size=16m --fsync=64 --verify=md5"
	"odd --rw=randwrite --bsrange=512-300k --bs_unaligned=1 --size=32m --verify=pattern --verify_pattern=0xdeadbeef"
	"direct --rw=randwrite --bs=64k --size=32m --direct=1 --verify=sha256"
	"threads --rw=randwrite --bs=32k --size=8m --numjobs=4"
	"files --rw=randwrite --bs=4k --size=16m --nrfiles=64 --file_service_type=random"
	"vectors --rw=randwrite --bs=16k --size=16m --ioengine=pvsync --verify=crc64"
	"queued --rw=randwrite --bs=16k --size=32m --ioengine=libaio --iodepth=16 --direct=1"
	"sync --rw=randwrite --bs=16k --size=2m --sync=1"
	"holes --rw=write:12k --bs=4k --size=16m --fallocate=keep"
	"mapped --rw=randwrite --bs=16k --size=16m --ioengine=mmap"
)

job() { # folder name option...
	(cd "$1" && timeout 300 fio --name="$2" --ioengine=psync --verify=crc32c --verify_fatal=1 --thread --verify_state_save=0 \
		--minimal --unlink=1 --randrepeat=1 --allrandrepeat=1 "${@:3}") >out 2>&1
}

# Do it in the folder; what it should come to is in the table, or goes there.
declare -A plain
try() { # folder what name command...
	local name=$3 status
	"${@:4}"
	status=$?
	rm -rf "$1/tmp"
	if [ "$1" = fs/plain ]; then
		plain[$name]=$status
		[ $status = 0 ] || echo "$name does not work on ext4 either ($status): $(grep -vE 'dispatching|setting to|passed|failed:' out | tail -n 1)"
		return
	elif [ $status = 0 ]; then
		passed=$((passed + 1))
	elif [ "${plain[$name]}" != 0 ]; then
		skipped=$((skipped + 1))
	else
		cat out
		fail "$2: $name: status $status"
	fi
}

all() { # folder what
	local s job
	for s in $(stress-ng --class 'filesystem?' 2>&1 | sed -n "s/^class 'filesystem' stressors: //p"); do
		try "$1" "$2" "$s" stress "$1" "$s"
	done
	for job in "${JOBS[@]}"; do
		read -ra words <<<"$job"
		# A file that is mapped with "cache never" has no pages to share.
		[ "$2 ${words[0]}" != "never mapped" ] && [ "$2 ${words[0]}" != "metadata mapped" ] || continue
		try "$1" "$2" "fio ${words[0]}" job "$1" "${words[@]}"
	done
}

echo "== a plain directory"
all fs/plain plain
for cache in "${MODES[@]}"; do
	echo "== cache $cache"
	start_daemon --cache "$cache" || continue
	start_mount --queues 2
	all m "$cache"
	[ -z "$(ls -A m)" ] || fail "$cache: left behind: $(ls m)"
	umount m || fail "$cache: umount"
	mount_ends 0 "$cache"
	[ ! -s mount.err ] || fail "$cache: virtiofs-mount says: $(cat mount.err)"
	daemon_ends "$cache"
done
printf '\n%d passed, %d failed, %d skipped\n' "$passed" "$failures" "$skipped"
exit $((failures > 0))
