#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The daemon, mounted by virtiofs-mount, against a plain directory of the same file system.
#
# usage: filesystems.sh FSDIFF VIRTIOFS_MOUNT VIRTIOFSD FILESYSTEM [OPERATIONS [SEED [CACHE...]]]
#
# FILESYSTEM is made for the test: ext4, xfs, btrfs, tmpfs, overlayfs or fuse (a share of a share). In each cache
# mode: OPERATIONS of two processes at once in warm caches; a tenth as many with caches that are dropped again and
# again; as many by three processes in the same directories; as many with a second actor on the host. The CACHE
# "options", which is among them on ext4, is as many with each of the options that change what requests there are.
# Both programs end with status 0, and nothing is left.
# Ends with 77 where that cannot be mounted.
set -u

FSDIFF=$(realpath "$1") MOUNT=$(realpath "$2") DAEMON=$(realpath "$3") FS=$4
OPS=${5:-20000} SEED=${6:-$RANDOM}
MODES=("${@:7}")
if [ ${#MODES[@]} = 0 ]; then
	MODES=(auto always never metadata)
	[ "$FS" != ext4 ] || MODES+=(options)
fi

# shellcheck source=tests/diff/lib.sh
. "$(dirname "$0")/lib.sh"
own_namespace "$0" "$FSDIFF" "$MOUNT" "$DAEMON" "$FS" "$OPS" "$SEED" "${MODES[@]}"
own_folder
make_fs "$FS"

# One share, from start to end. fsdiff is told what its client may keep.
round() { # what daemon-options mount-options fsdiff-option...
	local what=$1 dopts mopts
	read -ra dopts <<<"$2"
	read -ra mopts <<<"$3"
	shift 3
	[[ " ${dopts[*]} " != *" --cache "@(always|metadata)" "* ]] || set -- "$@" --listings
	[[ " ${dopts[*]} " != *" --writeback "* ]] || set -- "$@" --writeback
	echo "== $FS, $what"
	start_daemon "${dopts[@]}" || return
	start_mount "${mopts[@]}"
	"$FSDIFF" --seed "$SEED" --hang 120 "$@" m fs/plain || fail "$FS, $what: a difference"
	umount m || fail "$FS, $what: umount"
	mount_ends 0 "$FS, $what"
	[ ! -s mount.err ] || fail "$FS, $what: virtiofs-mount says: $(cat mount.err)"
	daemon_ends "$FS, $what"
	[ -z "$(find fs/share fs/plain -mindepth 1)" ] || fail "$FS, $what: left behind: $(ls fs/share fs/plain)"
	[ ! -e s ] || fail "$FS, $what: the socket is left"
}

# What the host's kernel has forgotten, but the client has not, is still there under its name. On FUSE it has another
# number for the kernel then.
forgotten() {
	echo "== $FS, files that the host has forgotten"
	for n in 1 2 3; do echo $n >"fs/share/$n"; done
	start_daemon --cache never && start_mount
	python3 - <<-'END' || fail "$FS, files that the host has forgotten"
		import os
		fds = [os.open(f"m/{n}", os.O_PATH) for n in (1, 2, 3)]
		for i in range(2):
		    open("/proc/sys/vm/drop_caches", "w").write("2")
		    for n, fd in enumerate(fds, 1):
		        os.stat(fd)
		        assert open(f"/proc/self/fd/{fd}").read() == f"{n}\n"
	END
	umount m || fail "forgotten: umount"
	mount_ends 0 "forgotten"
	daemon_ends "forgotten"
	rm fs/share/[123]
}

few=$(((OPS + 9) / 10))
cold=$((few < 20000 ? few : 20000)) # dropping caches takes its time
options() {
	local opts
	for opts in --killpriv-v2 "--cache always --writeback" "--cache never --allow-mmap" "--cache metadata --allow-mmap" \
		--allow-direct-io --no-readdirplus "--inode-file-handles mandatory" "--inode-file-handles never" \
		"--posix-acl always" --preserve-noatime "--thread-pool-size 4" "-o flock,posix_lock"; do
		round "$opts" "$opts" "" --ops "$few" --procs 2
	done
}

forgotten
for cache in "${MODES[@]}"; do
	if [ "$cache" = options ]; then
		options
		continue
	fi
	# What a client may keep for a while it does not ask for again: the second actor's work shows when caches are dropped.
	settle=drop
	[ "$cache" != never ] || settle=none
	round "cache $cache" "--cache $cache" "" --ops "$OPS" --procs 2
	round "cache $cache, cold" "--cache $cache" "" --ops "$cold" --cold 100
	round "cache $cache, three processes in the same directories" "--cache $cache" "--queues 3 --packed" \
		--ops "$few" --procs 3 --shared --cold 1000
	round "cache $cache, a second actor" "--cache $cache" "" --ops "$few" --host-side fs/share --settle $settle
done

[ "$failures" = 0 ] && echo "all is well"
exit $((failures > 0))
