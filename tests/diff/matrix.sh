#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The errno matrix on the daemon's share, mounted by virtiofs-mount, against a plain directory beside it.
#
# usage: matrix.sh MATRIX VIRTIOFS_MOUNT VIRTIOFSD [OPTION of matrix…]
#
# Everything happens in a mount namespace of its own, on an ext4 image in memory. In every cache mode,
# and with what else changes how a call is carried out. Below share and plain are mounted a file system
# without room (full), a read-only one (ro), and one that is over its quota, where btrfs can be made.
# Ends with 77 where FUSE or images cannot be mounted.
set -u

if [ "${CULVERT_MATRIX_NS:-}" != 1 ]; then
	[ "$(id -u)" = 0 ] || { echo "SKIP: mounting needs root" && exit 77; }
	[ -r /dev/fuse ] && (: <>/dev/fuse) 2>/dev/null || { echo "SKIP: /dev/fuse cannot be opened" && exit 77; }
	unshare -m true 2>/dev/null || { echo "SKIP: no mount namespace can be had" && exit 77; }
	CULVERT_MATRIX_NS=1 exec unshare -m --propagation private "$0" "$@"
fi

MATRIX=$(realpath "$1") MOUNT=$(realpath "$2") DAEMON=$(realpath "$3")
shift 3
T=$(mktemp -d) && chmod 755 "$T" || exit 1
images=$T
failures=0
pids=()
extra=("$@")

end() {
	kill -KILL "${pids[@]}" 2>/dev/null
	umount -R -l "$T/m" "$T/fs" "$T/btrfs" 2>/dev/null
	rm -rf "$T" "$images"
}
trap end EXIT
cd "$T" || exit 1
mkdir m fs btrfs
[ ! -w /dev/shm ] || images=$(mktemp -d /dev/shm/culvert.XXXXXX) || exit 1
truncate -s 1G "$images/ext4" && mkfs.ext4 -q "$images/ext4" && mount -o loop,noatime "$images/ext4" fs ||
	{ echo "SKIP: an ext4 image cannot be mounted" && exit 77; }

# Both sides alike.
quota=yes
truncate -s 256M "$images/btrfs"
mkfs.btrfs -q "$images/btrfs" >/dev/null 2>&1 && mount -o loop "$images/btrfs" btrfs 2>/dev/null &&
	btrfs -q quota enable btrfs || quota=
for side in share plain; do
	mkdir -p fs/$side/{ro,full} fs/ro.$side/d
	echo content >fs/ro.$side/f
	ln -s f fs/ro.$side/l
	chown -hR 1000:1000 fs/ro.$side
	chmod 777 fs/ro.$side fs/ro.$side/d
	mount --bind fs/ro.$side fs/$side/ro && mount -o remount,bind,ro fs/$side/ro || exit 1
	mount -t tmpfs -o size=64k,nr_inodes=4,mode=777 full fs/$side/full || exit 1
	mkdir fs/$side/full/d
	dd if=/dev/zero of=fs/$side/full/f bs=4096 2>/dev/null
	: >fs/$side/full/last
	chown 1000:1000 fs/$side/full/{f,d}
	chmod 777 fs/$side/full/{f,d}
	[ -n "$quota" ] || continue
	mkdir fs/$side/quota
	btrfs -q subvolume create btrfs/$side && mount --bind btrfs/$side fs/$side/quota || exit 1
	mkdir -m 777 fs/$side/quota/d
	dd if=/dev/urandom of=fs/$side/quota/f bs=64k count=40 2>/dev/null
	chmod 666 fs/$side/quota/f
	sync -f btrfs
	btrfs qgroup limit 1M btrfs/$side || exit 1
	sync -f btrfs
done
[ -n "$quota" ] || echo "not run: a quota (no btrfs here)"

until_ok() {
	local n=0
	until "$@" 2>/dev/null; do
		n=$((n + 1))
		[ $n -lt 400 ] || return 1
		sleep 0.05
	done
}

# run NAME MATRIX-OPTIONS -- DAEMON-OPTIONS
run() {
	local name=$1 options=()
	shift
	while [ "$1" != -- ]; do
		options+=("$1")
		shift
	done
	shift
	echo "== $name"
	rm -f log
	"$DAEMON" --socket-path s --shared-dir fs/share --xattr --modcaps=+mknod "$@" 2>log </dev/null &
	daemon=$!
	pids=("$daemon")
	until_ok grep -q "Waiting for vhost-user socket connection" log
	"$MOUNT" -f -o noatime s m 2>mount.err &
	mount=$!
	pids+=("$mount")
	if until_ok mountpoint -q m && until_ok stat m/. >/dev/null; then
		"$MATRIX" "${extra[@]}" "${options[@]}" m fs/share fs/plain || failures=$((failures + 1))
	else
		echo "FAIL: $name: not mounted: $(cat log mount.err)"
		failures=$((failures + 1))
	fi
	umount m
	wait $mount && wait $daemon || {
		echo "FAIL: $name: they end badly: $(cat log mount.err)"
		failures=$((failures + 1))
	}
}

mkdir fs/{share,plain}/links
run auto -- --cache auto
rmdir fs/{share,plain}/links
run "auto, cold" -c -- --cache auto
run never -- --cache never
run metadata -- --cache metadata
run always -- --cache always
run "always, write-back" -w -- --cache always --writeback
run "always, cold, file handles" -c -- --cache always --inode-file-handles mandatory
run "killpriv, no submounts" -- --killpriv-v2 --no-announce-submounts
run "no sandbox, a pool" -- --sandbox none --thread-pool-size 4
[ $failures = 0 ] && echo "all is well"
exit $((failures > 0))
