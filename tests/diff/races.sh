#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What must hold while several processes change the same files and directories (races.c), on a share.
#
# usage: races.sh RACES VIRTIOFS_MOUNT VIRTIOFSD [CACHE...]
#
# On ext4, in each cache mode. Where the client may keep entries for a day, names are replaced in the mount
# alone; where it caches data, only it appends.
set -u

RACES=$(realpath "$1") MOUNT=$(realpath "$2") DAEMON=$(realpath "$3")
MODES=("${@:4}")
[ ${#MODES[@]} -gt 0 ] || MODES=(auto never metadata always writeback)

# shellcheck source=tests/diff/lib.sh
. "$(dirname "$0")/lib.sh"
own_namespace "$0" "$RACES" "$MOUNT" "$DAEMON" "${MODES[@]}"
own_folder
make_fs ext4

for mode in "${MODES[@]}"; do
	echo "== $mode"
	options=(--cache "$mode") tests=drtnm host=fs/share
	case $mode in
	never) tests=drtna ;;
	metadata) tests=drta ;;
	always) tests=drtm ;;
	writeback) options=(--cache always --writeback) tests=drtm host=m ;;
	esac
	start_daemon "${options[@]}" || continue
	start_mount -q 3
	"$RACES" m $host $tests || fail "$mode"
	umount m || fail "$mode: umount"
	mount_ends 0 "$mode"
	daemon_ends "$mode"
done
# Locks of the host: who waits can be called off, and leaves nothing behind.
echo "== locks"
start_daemon -o flock,posix_lock
start_mount -q 3
: >fs/share/lock
exec 8<fs/share/lock
flock 8
flock -n m/lock true && fail "locks: what the host has locked is free"
for signal in INT TERM KILL; do
	began=$SECONDS
	{ timeout -s $signal 1 flock m/lock true; } 2>/dev/null
	status=$?
	[ $status = 124 ] || [ $status$signal = 137KILL ] || fail "locks: SIG$signal: status $status"
	[ $((SECONDS - began)) -lt 15 ] || fail "locks: SIG$signal takes $((SECONDS - began)) s"
done
exec 8<&-
flock -w 10 m/lock true || fail "locks: one is left behind"
flock -n fs/share/lock true || fail "locks: one is left behind on the host"
rm fs/share/lock
umount m || fail "locks: umount"
mount_ends 0 locks
daemon_ends locks

[ $failures = 0 ] && echo "all is well"
exit $((failures > 0))
