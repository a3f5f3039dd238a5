#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What each sandbox leaves of the host, seen from outside; and that later host mounts arrive in it.
# usage: tests/cli/jail.sh VIRTIOFSD
#
# Runs in a mount namespace of its own, of which the mounts are shared as a host's are.
set -u

if [ -z "${JAIL_NS-}" ]; then
	[ "$(id -u)" = 0 ] || { echo "skipped: not root" && exit 77; }
	command -v setpriv >/dev/null || { echo "skipped: no setpriv" && exit 77; }
	unshare -m --propagation shared true || { echo "skipped: no mount namespaces here" && exit 77; }
	BIN=$(realpath "$1") || exit 2
	JAIL_NS=1 exec unshare -m --propagation shared "$0" "$BIN"
fi

BIN=$1
T=$(mktemp -d) || exit 2
pids=()
failures=0

end() {
	local p
	for p in "${pids[@]}"; do
		kill -KILL "$p" 2>/dev/null
	done
	umount -l "$T/share/dir" "$T/kata/shared" 2>/dev/null
	rm -rf "$T"
}
trap end EXIT
chmod 755 "$T"
cd "$T" || exit 2
mkdir share share/dir other outside
: >outside/secret
: >other/file
: >share/hello

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

# start ARGS...: sets pid, and inner, the process that serves.
start() {
	: >log
	"$@" 2>log </dev/null &
	pid=$!
	pids+=("$pid")
	until_ok grep -q "Waiting for vhost-user socket connection" log || fail "$*: not ready: $(cat log)"
	inner=$(pgrep -P $pid)
	inner=${inner:-$pid}
}

stop() {
	kill -TERM $pid
	wait $pid || fail "status $?: $(cat log)"
}

# has FIELD VALUE: of /proc/PID/status.
has() {
	local got
	got=$(sed -n "s/^$1:\t*//p" /proc/$inner/status)
	[ "$got" = "$2" ] || fail "$mode: $1 is $got, not $2"
}

# No descriptor leads to a directory of the host, but for those that lie in the share.
no_host_dirs() {
	local fd to
	for fd in /proc/$inner/fd/*; do
		to=$(readlink "$fd") || continue
		[ -d "$fd/." ] || continue
		case $to in
		/ | /proc | "/proc/$inner/fd" | "$T/share" | "$T/share"/*) ;;
		*) fail "$mode: descriptor ${fd##*/} is $to" ;;
		esac
	done
}

dropped() {
	has CapEff 00000000800000db
	has CapPrm 00000000800000db
	has CapInh 0000000000000000
	has CapBnd 0000000000000000
	has CapAmb 0000000000000000
	has NoNewPrivs 1
	has Seccomp 2
	has Umask 0000
	grep -Eq '^Max core file size +0 +0 ' /proc/$inner/limits || fail "$mode: it may leave a core"
}

# ---- namespace ----

mode=namespace
start "$BIN" --shared-dir share --socket-path s
dropped
has NSpid "$inner	1"
for ns in mnt pid net ipc uts cgroup; do
	[ "$(readlink /proc/$inner/ns/$ns)" != "$(readlink /proc/$$/ns/$ns)" ] ||
		fail "$mode: the $ns namespace is the host's"
done
[ "$(wc -l <"/proc/$inner/mountinfo")" = 1 ] || fail "$mode: mounts: $(cat "/proc/$inner/mountinfo")"
[ "$(ls "/proc/$inner/root/")" = "$(ls share)" ] || fail "$mode: root: $(ls "/proc/$inner/root/")"
[ "$(readlink "/proc/$inner/cwd")" = / ] || fail "$mode: cwd: $(readlink "/proc/$inner/cwd")"
no_host_dirs

# A later mount is seen, and its going, too: nothing here holds on to it.
mount --bind other share/dir
[ -e "/proc/$inner/root/dir/file" ] || fail "$mode: a later mount does not show"
umount share/dir || fail "$mode: a later mount cannot be unmounted"
[ ! -e "/proc/$inner/root/dir/file" ] || fail "$mode: an unmounted file system is still there"
rmdir share/dir && mkdir share/dir || fail "$mode: the mount point cannot be removed"
stop

mode="namespace, read-only"
mount --bind other share/dir
start "$BIN" --shared-dir share --socket-path s --readonly
[ "$(wc -l <"/proc/$inner/mountinfo")" = 2 ] || fail "$mode: mounts: $(cat "/proc/$inner/mountinfo")"
[ "$(cut -d' ' -f6 "/proc/$inner/mountinfo" | grep -c '^ro')" = 2 ] ||
	fail "$mode: mounts: $(cat "/proc/$inner/mountinfo")"
: >share/dir/still-writable-outside || fail "$mode: the host's mount became read-only"
stop
umount share/dir

# As container runtimes lay it out: a bind that is a slave and read-only; containers come later.
mode="namespace, slave"
mkdir -p kata/mounts kata/shared
mount --bind kata/mounts kata/shared
mount --make-slave kata/shared
mount -o remount,bind,ro kata/shared
start "$BIN" --shared-dir kata/shared --socket-path s
mkdir -p kata/mounts/c1/rootfs
mount --bind other kata/mounts/c1/rootfs
[ -e "/proc/$inner/root/c1/rootfs/file" ] || fail "$mode: a later mount does not show"
umount kata/mounts/c1/rootfs && rmdir kata/mounts/c1/rootfs kata/mounts/c1 ||
	fail "$mode: the mount point cannot be removed"
stop
umount kata/shared

# Wherever the share lies.
for dir in / . share/../share; do
	mode="namespace, $dir"
	start "$BIN" --shared-dir "$dir" --socket-path s
	[ -e "/proc/$inner/root/$(realpath --relative-to "$(realpath "$dir")" .)/share/hello" ] ||
		[ -e "/proc/$inner/root/hello" ] || fail "$mode: not the share: $(ls "/proc/$inner/root/")"
	stop
done

# ---- namespace, with users of its own ----

# lines FILE: of ids, one space apart.
lines() {
	sed 's/^ *//; s/  */ /g' "$1"
}

if unshare -U true 2>/dev/null; then
	mode="namespace, own ids"
	start "$BIN" --shared-dir share --socket-path s --uid-map :0:100000:10: --uid-map :10:5:1: --gid-map /0/200000/7/
	[ "$(lines /proc/$inner/uid_map)" = "0 100000 10
10 5 1" ] || fail "$mode: $(cat /proc/$inner/uid_map)"
	[ "$(lines /proc/$inner/gid_map)" = "0 200000 7" ] || fail "$mode: $(cat /proc/$inner/gid_map)"
	has Uid "100000	100000	100000	100000"
	has Gid "200000	200000	200000	200000"
	has NSpid "$inner	1"
	has CapBnd 0000000000000000
	has NoNewPrivs 1
	[ "$(readlink /proc/$pid/ns/user)" = "$(readlink /proc/$$/ns/user)" ] || fail "$mode: the keeper is in it, too"
	[ "$(ls "/proc/$inner/root/")" = "$(ls share)" ] || fail "$mode: root: $(ls "/proc/$inner/root/")"
	stop
	[ ! -e s ] && [ ! -e s.pid ] || fail "$mode: files stay behind"

	# Not allowed, by whoever it is that says so: one line, and nothing stays behind.
	mode="namespace, own ids, as nobody"
	cp "$BIN" bin
	chmod 755 bin
	mkdir -p -m 777 run
	for path in "$PATH" /nowhere; do
		setpriv --reuid=65534 --regid=65534 --clear-groups env PATH="$path" ./bin \
			--shared-dir share --socket-path run/s --uid-map :0:0:10: 2>log
		[ $? = 1 ] && [ "$(wc -l <log)" = 1 ] && grep -q -- '--uid-map: newuidmap: .' log ||
			fail "$mode: $(cat log)"
		[ ! -e run/s ] && [ ! -e run/s.pid ] || fail "$mode: files stay behind"
	done
	grep -q 'not found (package uidmap)' log || fail "$mode: $(cat log)"
	rm -rf run bin
else
	echo "not run: ids of its own (no user namespaces here)"
fi

# ---- namespace, unprivileged ----

if setpriv --reuid=65534 --regid=65534 --clear-groups unshare -U true 2>/dev/null; then
	mode="namespace, as nobody"
	cp "$BIN" bin
	chmod 755 bin
	mkdir -m 777 run
	start setpriv --reuid=65534 --regid=65534 --clear-groups ./bin --shared-dir share --socket-path run/s
	has NSpid "$inner	1"
	has CapBnd 0000000000000000
	has NoNewPrivs 1
	[ "$(tr -s ' ' <"/proc/$inner/uid_map")" = " 65534 65534 1" ] || fail "$mode: $(cat "/proc/$inner/uid_map")"
	[ "$(ls "/proc/$inner/root/")" = "$(ls share)" ] || fail "$mode: root: $(ls "/proc/$inner/root/")"
	stop
	[ ! -e run/s ] && [ ! -e run/s.pid ] || fail "$mode: files stay behind"
else
	echo "not run: the sandbox of an unprivileged user (no user namespaces here)"
fi

# ---- chroot, none ----

mode=chroot
start "$BIN" --shared-dir share --socket-path s --sandbox chroot
dropped
[ "$(readlink "/proc/$inner/root")" = "$T/share" ] || fail "$mode: $(readlink "/proc/$inner/root")"
no_host_dirs
stop

mode=none
start "$BIN" --shared-dir share --socket-path s --sandbox none
[ $inner = $pid ] || fail "$mode: a second process"
case $(readlink "/proc/$pid/cwd") in
"$T"*) fail "$mode: it stands where it was started" ;;
esac
has Umask 0000
stop

# ---- landlock ----

mode=landlock
start "$BIN" --shared-dir share --socket-path s --sandbox landlock
dropped
[ "$(readlink "/proc/$inner/root")" = / ] || fail "$mode: $(readlink "/proc/$inner/root")"
no_host_dirs
stop

# ---- what is passed in, the filter, capabilities ----

for mode in namespace chroot landlock none; do
	exec 9<"$T/other" 8<outside/secret
	for action in kill trap log none; do
		start "$BIN" --shared-dir share --socket-path s --sandbox $mode --seccomp $action
		[ $action = none ] && has Seccomp 0 || has Seccomp 2
		[ $mode = none ] || [ $action = none ] || [ "$(sed -n 's/^Seccomp:\t*//p' /proc/$pid/status)" = 2 ] ||
			fail "$mode, $action: the keeper has no filter"
		for fd in /proc/$inner/fd/* /proc/$pid/fd/*; do
			case $(readlink "$fd") in
			"$T/other" | "$T/outside/secret") fail "$mode: an inherited descriptor is open: $fd" ;;
			esac
		done
		stop
	done
	exec 9<&- 8<&-
done

mode=modcaps
start "$BIN" --shared-dir share --socket-path s --modcaps=-chown:+mknod
has CapEff 00000000880000da
has CapBnd 0000000000000000
stop
start "$BIN" --shared-dir share --socket-path s --sandbox none -o modcaps=-chown:-net_raw
has CapPrm "$(printf %016x $((0x$(sed -n 's/^CapPrm:\t*//p' /proc/$$/status) & ~0x2001)))"
stop

# A stage that fails ends it, says which, and leaves nothing behind.
mode=failing
setpriv --bounding-set=-sys_chroot "$BIN" --shared-dir share --socket-path s --sandbox chroot 2>log
[ $? = 1 ] && [ "$(wc -l <log)" = 1 ] && grep -q 'sandbox chroot: chroot: Operation not permitted' log ||
	fail "$mode: $(cat log)"
until_ok [ ! -e s ] && until_ok [ ! -e s.pid ] || fail "$mode: files stay behind"

if [ $failures != 0 ]; then
	echo "$failures failed"
	exit 1
fi
