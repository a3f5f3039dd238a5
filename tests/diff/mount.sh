#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# How mounts of virtiofs-mount begin and end: options, users, the background, signals, a mount in use.
#
# usage: mount.sh VIRTIOFS_MOUNT VIRTIOFSD
#
# Ends with 77 where FUSE cannot be mounted.
set -u

MOUNT=$(realpath "$1") DAEMON=$(realpath "$2")

# shellcheck source=tests/diff/lib.sh
. "$(dirname "$0")/lib.sh"
own_namespace "$0" "$MOUNT" "$DAEMON"
own_folder
make_fs tmpfs

step() { echo "== $*"; }

step "in the background"
start_daemon --tag right
for args in 's' 's m more' '--nonsense s m'; do
	# shellcheck disable=SC2086
	"$MOUNT" $args 2>mount.err && fail "$args: it works"
	[ "$(wc -l <mount.err)" = 1 ] || fail "$args: $(cat mount.err)"
done
"$MOUNT" --tag wrong s m 2>mount.err && fail "a wrong tag: it works"
grep -q 'the daemon.s tag is "right", not "wrong"' mount.err || fail "a wrong tag: $(cat mount.err)"
daemon_ends "a wrong tag"
start_daemon --tag right
"$MOUNT" --tag right -o ro -o nosuid s m || fail "background"
mounted || fail "background: not mounted when it is ready"
touch m/x 2>/dev/null && fail "read-only: it can be written"
grep -q "^right $T/m fuse.virtiofs ro,nosuid" /proc/self/mounts || fail "options: $(grep "$T/m" /proc/self/mounts)"
umount m
daemon_ends "background"

step "what cannot be"
start_daemon
"$MOUNT" -o nonsense s m 2>mount.err && fail "a mount option that there is not: it works"
grep -q '^virtiofs-mount: m: Invalid argument' mount.err || fail "a mount option that there is not: $(cat mount.err)"
daemon_ends "a mount option that there is not"
start_daemon
"$MOUNT" s nowhere 2>mount.err && fail "no such folder: it works"
grep -q '^virtiofs-mount: nowhere: No such file' mount.err || fail "no such folder: $(cat mount.err)"
daemon_ends "no such folder"
"$MOUNT" s m 2>mount.err && fail "no daemon: it works"
grep -q '^virtiofs-mount: s: ' mount.err || fail "no daemon: $(cat mount.err)"

step "several queues, split and packed"
for how in "--queues 4" "--queues 4 --packed"; do
	start_daemon
	# shellcheck disable=SC2086
	start_mount $how
	for n in 1 2 3 4 5 6; do
		(for i in $(seq 50); do echo "$n $i" >"m/$n.$i" && cat "m/$n.$i" >/dev/null && rm "m/$n.$i" || exit 1; done) &
		others[n]=$!
	done
	for n in 1 2 3 4 5 6; do wait "${others[n]}" || fail "$how: process $n"; done
	umount m || fail "$how: umount"
	mount_ends 0 "$how"
	daemon_ends "$how"
done

step "signals"
for signal in TERM INT HUP; do
	start_daemon
	start_mount
	kill -$signal "$mount"
	mount_ends 0 "SIG$signal"
	daemon_ends "SIG$signal"
done

step "in use"
start_daemon
start_mount
echo kept >m/file
exec 8<m/file
umount m 2>mount.err && fail "in use: umount works"
grep -q busy mount.err || fail "in use: umount says: $(cat mount.err)"
kill -0 "$mount" && [ "$(cat m/file)" = kept ] || fail "in use: after umount refused, it does not work on"
kill -TERM "$mount"
until_ok gone || fail "in use, SIGTERM: still mounted"
[ "$(cat <&8)" = kept ] || fail "in use, SIGTERM: what was open does not work on"
kill -0 "$mount" || fail "in use, SIGTERM: it has ended before its last user"
exec 8<&-
mount_ends 0 "in use, SIGTERM"
grep -q 'is in use: detached' mount.err || fail "in use, SIGTERM: it says: $(cat mount.err)"
daemon_ends "in use, SIGTERM"

step "in use, umount -l"
start_daemon
start_mount
exec 8<m/file
umount -l m || fail "in use: umount -l"
gone || fail "umount -l: still mounted"
[ "$(cat <&8)" = kept ] || fail "umount -l: what was open does not work on"
exec 8<&-
mount_ends 0 "umount -l"
daemon_ends "umount -l"

step "in use, a second signal"
start_daemon
start_mount
exec 8<m
kill -TERM "$mount"
until_ok gone || fail "a second signal: still mounted after the first"
kill -TERM "$mount"
mount_ends 1 "a second signal"
grep -q 'ended while in use' mount.err || fail "a second signal: it says: $(cat mount.err)"
[ "$(stat -c %s m/file /proc/self/fd/8/file 2>/dev/null)" = "" ] || fail "a second signal: what was open works on"
exec 8<&-
daemon_ends "a second signal"

step "the daemon is killed"
start_daemon
start_mount
exec 8<m
# shellcheck disable=SC2046
kill -KILL "$daemon" $(pgrep -P "$daemon")
mount_ends 1 "the daemon is killed"
[ "$(wc -l <mount.err)" = 1 ] && grep -q 'the daemon hung up: unmounted' mount.err ||
	fail "the daemon is killed: $(cat mount.err)"
exec 8<&- 7<&-
wait "$daemon" 2>/dev/null
rm -f s s.pid

step "virtiofs-mount is killed"
start_daemon
start_mount
kill -KILL "$mount"
wait "$mount" 2>/dev/null
daemon_ends "virtiofs-mount is killed"
ls m 2>mount.err && fail "killed: the mount still works"
grep -q 'not connected' mount.err || fail "killed: $(cat mount.err)"
umount m || fail "killed: umount"

rm -f fs/share/file
[ -z "$(find fs/share fs/plain -mindepth 1)" ] || fail "left behind: $(ls fs/share fs/plain)"
[ ! -e s ] || fail "the socket is left"
[ $failures = 0 ] && echo "all is well"
exit $((failures > 0))
