#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The daemon, mounted by virtiofs-mount, against the plain directory of the same file system.
#
# usage: mount.sh FSDIFF VIRTIOFS_MOUNT VIRTIOFSD [OPERATIONS [SEED]]
#
# Everything happens in a mount namespace of its own, on an ext4 image in memory where that is possible.
# In every cache mode: fsdiff, then unmount; both programs end with status 0. Then how mounts end, and
# options. Ends with 77 where FUSE cannot be mounted.
set -u

FSDIFF=$(realpath "$1") MOUNT=$(realpath "$2") DAEMON=$(realpath "$3")
OPS=${4:-20000} SEED=${5:-$RANDOM}

if [ "${CULVERT_MOUNT_NS:-}" != 1 ]; then
	[ "$(id -u)" = 0 ] || { echo "SKIP: mounting needs root" && exit 77; }
	[ -r /dev/fuse ] && (: <>/dev/fuse) 2>/dev/null || { echo "SKIP: /dev/fuse cannot be opened" && exit 77; }
	unshare -m true 2>/dev/null || { echo "SKIP: no mount namespace can be had" && exit 77; }
	CULVERT_MOUNT_NS=1 exec unshare -m --propagation private "$0" "$FSDIFF" "$MOUNT" "$DAEMON" "$OPS" "$SEED"
fi

T=$(mktemp -d) || exit 1
image=
failures=0
pids=()

end() {
	kill -KILL "${pids[@]}" 2>/dev/null
	umount -l "$T/m" "$T/fs" 2>/dev/null
	rm -rf "$T" "$image"
}
trap end EXIT
cd "$T" || exit 1
mkdir m fs
if [ -w /dev/shm ] && image=$(mktemp /dev/shm/culvert.XXXXXX) && truncate -s 2G "$image" &&
	mkfs.ext4 -q "$image" 2>/dev/null && mount -o loop "$image" fs 2>/dev/null; then
	echo "on ext4 in memory, seed $SEED"
else
	echo "on $(stat -f -c %T "$T"), seed $SEED"
fi
mkdir fs/share fs/plain

fail() {
	echo "FAIL: $*"
	failures=$((failures + 1))
}

# Start the daemon; it is ready when this returns.
start_daemon() { # option...
	rm -f log
	mkfifo log
	"$DAEMON" --socket-path s --shared-dir fs/share --xattr "$@" 2>log </dev/null &
	daemon=$!
	pids+=("$daemon")
	exec 7<log
	while read -r line <&7; do
		[[ $line != *"Waiting for vhost-user socket connection"* ]] || return 0
	done
	fail "the daemon does not start: $line"
	return 1
}

# The daemon has ended with status 0.
daemon_ends() { # what
	local status
	timeout 20 tail -s 0.02 --pid="$daemon" -f /dev/null || fail "$1: the daemon does not end"
	wait "$daemon"
	status=$?
	[ $status = 0 ] || fail "$1: the daemon's status is $status: $(cat <&7)"
	exec 7<&-
}

until_ok() {
	local n=0
	until "$@" 2>/dev/null; do
		n=$((n + 1))
		[ $n -lt 400 ] || return 1
		sleep 0.05
	done
}

mounted() { mountpoint -q m; }
gone() { ! mounted; }

# In the foreground, so that its status can be had.
start_mount() { # option...
	"$MOUNT" -f "$@" s m 2>mount.err &
	mount=$!
	pids+=("$mount")
	until_ok mounted || fail "virtiofs-mount $*: $(cat mount.err)"
	until_ok stat m/. >/dev/null || fail "virtiofs-mount $*: does not answer"
}

mount_ends() { # status what
	local status
	timeout 20 tail -s 0.02 --pid="$mount" -f /dev/null || fail "$2: virtiofs-mount does not end"
	wait "$mount"
	status=$?
	[ $status = "$1" ] || fail "$2: status $status, not $1: $(cat mount.err)"
	gone || fail "$2: it is still mounted"
}

compare() { # what fsdiff-option...
	local what=$1
	shift
	"$FSDIFF" --seed "$SEED" --hang 120 "$@" m fs/plain || fail "$what: a difference"
}

for cache in auto always never metadata; do
	echo "== cache $cache"
	start_daemon --cache $cache || continue
	start_mount
	compare "$cache" --ops "$OPS" --procs 2
	umount m || fail "$cache: umount"
	mount_ends 0 "$cache: umount"
	[ -s mount.err ] && fail "$cache: virtiofs-mount says: $(cat mount.err)"
	daemon_ends "$cache: umount"
done

echo "== a second actor on the host"
start_daemon --cache never && start_mount &&
	compare "second actor" --ops $((OPS / 4)) --host-side fs/share
umount m
mount_ends 0 "second actor"
daemon_ends "second actor"

echo "== several processes in the same directories, three queues, packed"
start_daemon --cache auto && start_mount --queues 3 --packed &&
	compare "shared directories" --ops $((OPS / 2)) --procs 3 --shared
umount m
mount_ends 0 "packed"
daemon_ends "packed"

echo "== in the background"
start_daemon --tag right
"$MOUNT" --tag wrong s m 2>mount.err && fail "a wrong tag: it works"
grep -q 'the daemon.s tag is "right", not "wrong"' mount.err || fail "a wrong tag: $(cat mount.err)"
daemon_ends "a wrong tag"
start_daemon --tag right
"$MOUNT" --tag right -o ro,nosuid s m || fail "background"
mounted || fail "background: not mounted when it is ready"
touch m/x 2>/dev/null && fail "read-only: it can be written"
grep -q "^right $T/m fuse.virtiofs ro,nosuid" /proc/self/mounts || fail "options: $(grep "$T/m" /proc/self/mounts)"
umount m
daemon_ends "background"

echo "== how it ends"
start_daemon
start_mount
kill -TERM $mount
mount_ends 0 "SIGTERM"
daemon_ends "SIGTERM"

start_daemon
start_mount
exec 8<m
kill -TERM $mount
until_ok gone || fail "SIGTERM in use: still mounted"
[ "$(stat -c %F /proc/self/fd/8)" != "" ] || fail "SIGTERM in use: what was open does not work on"
exec 8<&-
mount_ends 0 "SIGTERM in use"
daemon_ends "SIGTERM in use"

start_daemon
start_mount
exec 8<m
# shellcheck disable=SC2046
kill -KILL $daemon $(pgrep -P $daemon)
mount_ends 1 "the daemon is killed"
[ "$(wc -l <mount.err)" = 1 ] && grep -q 'the daemon hung up: unmounted' mount.err ||
	fail "the daemon is killed: $(cat mount.err)"
exec 8<&- 7<&-
wait $daemon
rm -f s s.pid

"$MOUNT" s m 2>mount.err && fail "no daemon: it works"
grep -q '^virtiofs-mount: s: ' mount.err || fail "no daemon: $(cat mount.err)"

[ -z "$(ls -A fs/share)" ] && [ -z "$(ls -A fs/plain)" ] || fail "left behind: $(ls fs/share fs/plain)"
[ -e s ] && fail "the socket is left"
umount fs 2>/dev/null || [ -z "$image" ] || ! mountpoint -q fs || fail "the image is in use"
[ $failures = 0 ] && echo "all is well"
exit $((failures > 0))
