#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A plain user's daemon with users of its own, by newuidmap(1): who files belong to, on both sides.
# usage: tests/cli/uidmap.sh VIRTIOFSD VIRTIOFS_MOUNT
#
# Runs in a mount namespace of its own, in which /etc/subuid and /etc/subgid are others.
set -u

NOBODY=65534 # what the plain user's number is; has to have a name

skip() {
	echo "skipped: $*"
	exit 77
}

if [ -z "${UIDMAP_NS-}" ]; then
	[ "$(id -u)" = 0 ] || skip "not root"
	command -v newuidmap >/dev/null && command -v newgidmap >/dev/null || skip "no newuidmap (package uidmap)"
	[ -e /etc/subuid ] && [ -e /etc/subgid ] || skip "no /etc/subuid"
	[ -r /dev/fuse ] && (: <>/dev/fuse) 2>/dev/null || skip "/dev/fuse cannot be opened"
	setpriv --reuid=$NOBODY --regid=$NOBODY --clear-groups unshare -U true 2>/dev/null || skip "no user namespaces here"
	UIDMAP_NS=1 exec unshare -m --propagation private "$0" "$(realpath "$1")" "$(realpath "$2")"
fi

T=$(mktemp -d) && chmod 755 "$T" || exit 2
MOUNT=$2
pids=()
failures=0

end() {
	kill -KILL "${pids[@]}" 2>/dev/null
	umount -l "$T/m" 2>/dev/null
	rm -rf "$T"
}
trap end EXIT
cd "$T" || exit 2

fail() {
	echo "FAIL: $*" >&2
	failures=$((failures + 1))
}

until_ok() {
	local n=0
	until "$@" 2>/dev/null; do
		n=$((n + 1))
		[ $n -lt 400 ] || return 1
		sleep 0.05
	done
}

want() { # text command...
	local got
	got=$("${@:2}" 2>&1)
	[ "$got" = "$1" ] || fail "${*:2}: '$got', not '$1'"
}

refused() { # text command...
	local got
	got=$("${@:2}" 2>&1) && fail "${*:2}: it works"
	[[ $got == *"$1"* ]] || fail "${*:2}: '$got' does not say '$1'"
}

as() { # uid command...
	setpriv --reuid="$1" --regid="$1" --clear-groups -- "${@:2}"
}

owner() { stat -c %u:%g "$1"; }

cp "$1" bin && chmod 755 bin
name=$(id -un $NOBODY) || skip "user $NOBODY has no name"
echo "$name:200000:1000" >subuid
echo "$name:300000:1000" >subgid
mount --bind subuid /etc/subuid && mount --bind subgid /etc/subgid || skip "cannot bind files"
mkdir m share
mkdir -m 777 run share/all
chown $NOBODY:$NOBODY share
echo mine >share/mine
chown $NOBODY:$NOBODY share/mine
echo foreign >share/foreign
chown 1234:1234 share/foreign

own=(--uid-map ":0:$NOBODY:1:" --uid-map ":1:200000:1000:" --gid-map ":0:$NOBODY:1:" --gid-map ":1:300000:1000:")
setpriv --reuid=$NOBODY --regid=$NOBODY --clear-groups -- \
	./bin --shared-dir share --socket-path run/s "${own[@]}" 2>log </dev/null &
daemon=$!
pids+=("$daemon")
until_ok grep -q "Waiting for vhost-user socket connection" log || fail "not ready: $(cat log)"
inner=$(pgrep -P $daemon)
want "0 $NOBODY 1
1 200000 1000" sed 's/^ *//; s/  */ /g' "/proc/$inner/uid_map"
want "0 $NOBODY 1
1 300000 1000" sed 's/^ *//; s/  */ /g' "/proc/$inner/gid_map"

"$MOUNT" -f run/s m 2>mount.err &
mount=$!
pids+=("$mount")
until_ok mountpoint -q m || fail "not mounted: $(cat mount.err)"

# Who is who.
want 0:0 owner m/mine
want 65534:65534 owner m/foreign
want foreign cat m/foreign
# What is made belongs to its maker, also a setgid directory's group and what root gives away.
as 5 touch m/all/five
want 200004:300004 owner share/all/five
want 5:5 owner m/all/five
mkdir -m 2777 m/group
chown 0:7 m/group && chmod 2777 m/group
as 5 mkdir m/group/dir
want 200004:300006 owner share/group/dir
chown 1000:1000 m/mine
want 200999:300999 owner share/mine
want 1000:1000 owner m/mine
# Users that do not exist in there.
refused 'not permitted' as 5000 touch m/all/stranger
refused 'not permitted' as 5000 mkdir m/all/stranger
refused 'not permitted' chown 5000 m/mine
refused 'not permitted' chown :5000 m/mine
[ ! -e share/all/stranger ] || fail "a stranger made a file"
want 200999:300999 owner share/mine

umount m
wait $mount || fail "virtiofs-mount: status $?: $(cat mount.err)"
wait $daemon || fail "status $?: $(cat log)"
[ ! -e run/s ] && [ ! -e run/s.pid ] || fail "files stay behind"

# More than there is in the files.
as $NOBODY ./bin --shared-dir share --socket-path run/s --uid-map :0:200000:1001: 2>log </dev/null
[ $? = 1 ] && [ "$(wc -l <log)" = 1 ] && grep -q -- '--uid-map: newuidmap: .' log || fail "too many: $(cat log)"
as $NOBODY ./bin --shared-dir share --socket-path run/s --gid-map :0:200000:1: 2>log </dev/null
[ $? = 1 ] && [ "$(wc -l <log)" = 1 ] && grep -q -- '--gid-map: newgidmap: .' log || fail "others' groups: $(cat log)"

if [ $failures != 0 ]; then
	echo "$failures failed"
	exit 1
fi
