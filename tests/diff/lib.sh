# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# A share that virtiofsd serves and virtiofs-mount mounts, on a file system that is made for the test.
#
# Theory of operation: a script that sources this is started again in a mount namespace of its own, and works in
# a folder of its own, $T: "fs" is the file system, fs/share what the daemon shares, fs/plain what it is compared
# with, "m" the mount, "s" the socket. Images are in memory where there is room, so that no disk is waited for.
# What is started is ended on any way out: mounts from the last to the first, processes by their ids. A script
# that cannot run says why and ends with 77. Wants $MOUNT and $DAEMON, the programs; counts $failures.

T='' IMAGES='' failures=0 pids=() mounts=()

skip() {
	echo "SKIP: $*"
	exit 77
}

fail() {
	echo "FAIL: $*"
	failures=$((failures + 1))
}

# Start over in a mount namespace of our own; what is needed for any FUSE mount is there.
own_namespace() { # script argument...
	[ "${CULVERT_MOUNT_NS:-}" != 1 ] || return 0
	[ "$(id -u)" = 0 ] || skip "mounting needs root"
	[ -r /dev/fuse ] && (: <>/dev/fuse) 2>/dev/null || skip "/dev/fuse cannot be opened"
	unshare -m true 2>/dev/null || skip "no mount namespace can be had"
	CULVERT_MOUNT_NS=1 exec unshare -m --propagation private "$@"
}

own_folder() {
	T=$(mktemp -d "${TMPDIR:-/tmp}/culvert.XXXXXX") || exit 1
	chmod 755 "$T"
	trap own_end EXIT
	IMAGES=$T
	[ "$(df --output=avail -m /dev/shm 2>/dev/null | tail -n 1)" -lt 1500 ] 2>/dev/null || [ ! -w /dev/shm ] ||
		IMAGES=$(mktemp -d /dev/shm/culvert.XXXXXX) || exit 1
	cd "$T" || exit 1
	mkdir m fs
}

own_end() {
	local n
	cd /
	exec 7<&- 8<&-
	exec 2>/dev/null # the shell would tell of each process that is killed
	kill -KILL "${pids[@]}"
	umount -l "$T/m" 2>/dev/null
	for ((n = ${#mounts[@]} - 1; n >= 0; n--)); do
		umount -l "${mounts[n]}" 2>/dev/null
	done
	rm -rf --one-file-system "$T"
	[ "$IMAGES" = "$T" ] || rm -rf "$IMAGES"
}

until_ok() {
	local n=0
	until "$@" 2>/dev/null; do
		n=$((n + 1))
		[ $n -lt 400 ] || return 1
		sleep 0.05
	done
}

# An image with a file system of this type, mounted.
loop_fs() { # type dir
	local image=$IMAGES/$1.image
	command -v "mkfs.$1" >/dev/null || skip "mkfs.$1 is not installed: scripts/deps check"
	truncate -s 2G "$image" && "mkfs.$1" -q "$image" >/dev/null || exit 1
	mount -t "$1" -o loop "$image" "$2" || skip "an image with $1 cannot be mounted"
	mounts+=("$T/$2")
}

# A new file system on fs, with the folders in it.
make_fs() { # name
	case $1 in
	ext4 | xfs | btrfs) loop_fs "$1" fs ;;
	tmpfs)
		mount -t tmpfs -o size=2g,mode=755 culvert fs || exit 1
		mounts+=("$T/fs")
		;;
	overlayfs)
		mkdir below
		loop_fs ext4 below
		mkdir below/{lower,upper,work}
		mount -t overlay -o lowerdir=below/lower,upperdir=below/upper,workdir=below/work culvert fs ||
			skip "overlayfs cannot be mounted"
		mounts+=("$T/fs")
		;;
	fuse)
		# A share of a share: the FUSE file system that is always there is our own. One that is not told which
		# caller has CAP_FSETID goes by his uid, and for it the daemon is root, without or with it.
		mkdir below
		loop_fs ext4 below
		"$DAEMON" --socket-path below.sock --shared-dir below --xattr --killpriv-v2 --log-level warn &
		pids+=($!)
		until_ok test -S below.sock
		"$MOUNT" -f -o dev,suid below.sock fs &
		pids+=($!)
		mounts+=("$T/fs")
		until_ok mountpoint -q fs || exit 1
		;;
	*)
		echo "no such file system: $1"
		exit 2
		;;
	esac
	mkdir fs/share fs/plain || exit 1
}

# Start the daemon; it is ready when this returns. Words in AS are put before it.
AS=()
start_daemon() { # option...
	rm -f log
	mkfifo log
	"${AS[@]}" "$DAEMON" --socket-path s --shared-dir fs/share --xattr --modcaps=+mknod "$@" 2>log </dev/null &
	daemon=$!
	pids+=("$daemon")
	exec 7<log
	while read -r line <&7; do
		[[ $line != *"Waiting for vhost-user socket connection"* ]] || return 0
	done
	fail "the daemon does not start: $line"
	return 1
}

# The process has ended, within 20 seconds.
ended() { # pid
	timeout 20 tail -s 0.02 --pid="$1" -f /dev/null
}

# The daemon has ended with status 0.
daemon_ends() { # what
	local status
	ended "$daemon" || fail "$1: the daemon does not end"
	wait "$daemon"
	status=$?
	[ $status = 0 ] || fail "$1: the daemon's status is $status: $(cat <&7)"
	exec 7<&-
}

# mountpoint(1) would ask the mount, which may be a user's own.
mounted() { grep -q " $T/m fuse" /proc/self/mounts; }
gone() { ! mounted; }

# In the foreground, so that its status can be had.
start_mount() { # option...
	"${AS[@]}" "$MOUNT" -f "$@" s m 2>mount.err &
	mount=$!
	pids+=("$mount")
	until_ok mounted || fail "virtiofs-mount $*: $(cat mount.err)"
	until_ok "${AS[@]}" stat m/. >/dev/null || fail "virtiofs-mount $*: does not answer"
}

mount_ends() { # status what
	local status
	ended "$mount" || fail "$2: virtiofs-mount does not end"
	wait "$mount"
	status=$?
	[ $status = "$1" ] || fail "$2: status $status, not $1: $(cat mount.err)"
	gone || fail "$2: it is still mounted"
}
