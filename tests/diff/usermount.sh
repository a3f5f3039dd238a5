#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# virtiofs-mount for a user who may not mount, with the help of fusermount3.
#
# usage: usermount.sh VIRTIOFS_MOUNT VIRTIOFSD
#
# The user is nobody; he runs the daemon, too. Ends with 77 where FUSE cannot be mounted, or not by users.
set -u

MOUNT=$(realpath "$1") DAEMON=$(realpath "$2")

# shellcheck source=tests/diff/lib.sh
. "$(dirname "$0")/lib.sh"
own_namespace "$0" "$MOUNT" "$DAEMON"
helper=$(command -v fusermount3) && [ -u "$helper" ] || skip "fusermount3 is not installed: scripts/deps check"
own_folder
make_fs tmpfs
AS=(setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all)

# Most machines let everybody open the device.
if ! "${AS[@]}" bash -c ': <>/dev/fuse' 2>/dev/null; then
	mknod -m 666 fs/fuse c 10 229 && mount --bind fs/fuse /dev/fuse && "${AS[@]}" bash -c ': <>/dev/fuse' 2>/dev/null ||
		skip "users cannot open /dev/fuse"
	mounts+=(/dev/fuse)
fi

chown 65534:65534 . m fs/share
start_daemon --sandbox none
start_mount --queues 2
grep -q "^s $T/m fuse.virtiofs rw,nosuid,nodev,.*user_id=65534" /proc/self/mounts ||
	fail "a user's mount: $(grep "$T/m" /proc/self/mounts)"
"${AS[@]}" bash -c 'echo mine >m/mine && [ "$(cat m/mine)" = mine ]' || fail "a user's mount: he cannot use it"
cat m/mine 2>/dev/null && fail "a user's mount: root can look into it"
[ "$(stat -c %u fs/share/mine)" = 65534 ] || fail "a user's mount: the file is not his"
"${AS[@]}" bash -c 'exec 8<m/mine; ! fusermount3 -u m 2>/dev/null' || fail "a user's mount: taken away while it is in use"
"${AS[@]}" fusermount3 -u m || fail "a user's mount: fusermount3 -u"
mount_ends 0 "a user's mount"
[ ! -s mount.err ] || fail "a user's mount: virtiofs-mount says: $(cat mount.err)"
daemon_ends "a user's mount"

start_daemon --sandbox none
start_mount
kill -TERM "$mount"
mount_ends 0 "a user's mount, SIGTERM"
daemon_ends "a user's mount, SIGTERM"

start_daemon --sandbox none
start_mount
exec 8< <("${AS[@]}" bash -c 'exec 9<m/mine; echo open; sleep 1; cat <&9')
read -r -u 8 line
kill -TERM "$mount"
until_ok gone || fail "a user's mount in use, SIGTERM: still mounted"
[ "$(cat <&8)" = mine ] || fail "a user's mount in use, SIGTERM: what was open does not work on"
exec 8<&-
mount_ends 0 "a user's mount in use, SIGTERM"
daemon_ends "a user's mount in use, SIGTERM"

start_daemon --sandbox none
"${AS[@]}" "$MOUNT" -o allow_other s m 2>mount.err && {
	grep -qx 'user_allow_other' /etc/fuse.conf || fail "a user's allow_other: it works"
	umount m
}
daemon_ends "a user's allow_other"
rm fs/share/mine
rm -f fs/fuse
[ -z "$(find fs/share fs/plain -mindepth 1)" ] || fail "left behind: $(ls fs/share fs/plain)"
[ ! -e s ] || fail "the socket is left"
[ $failures = 0 ] && echo "all is well"
exit $((failures > 0))
