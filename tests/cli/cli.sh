#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The command line of the real program: what it prints and how it ends, without a guest.
# usage: tests/cli/cli.sh VIRTIOFSD
set -u

BIN=$(realpath "$1") || exit 2
VERSION=$2
T=$(mktemp -d) || exit 2
trap 'rm -rf "$T"' EXIT
cd "$T" || exit 2
mkdir share
: >file
failures=0
limit=20 # seconds; nothing here takes one

fail() {
	echo "FAIL: $*" >&2
	failures=$((failures + 1))
}

# run ARGS...: sets out, err (contents) and status.
run() {
	timeout $limit "$BIN" "$@" >out 2>err </dev/null
	status=$?
	out=$(cat out)
	err=$(cat err)
}

# refused STATUS NAMES... -- ARGS...: ends with this status and one line that says each of the names.
refused() {
	local want=$1 names=() name
	shift
	while [ "$1" != -- ]; do
		names+=("$1")
		shift
	done
	shift
	run "$@"
	[ "$status" = "$want" ] || fail "$*: status $status, not $want"
	[ "$(wc -l <err)" = 1 ] || fail "$*: not one line: $err"
	[ -z "$out" ] || fail "$*: writes to stdout: $out"
	for name in "${names[@]}"; do
		case $err in
		*"$name"*) ;;
		*) fail "$*: '$err' does not say '$name'" ;;
		esac
	done
	[ ! -e s ] && [ ! -e s.pid ] || fail "$*: leaves files behind"
}

# ---- what prints and ends ----

run --help
[ "$status" = 0 ] || fail "--help: status $status"
[ -z "$err" ] || fail "--help: $err"
for name in shared-dir socket-path fd tag cache sandbox readonly xattr thread-pool-size \
	announce-submounts no-announce-submounts rlimit-nofile log-level syslog \
	seccomp modcaps show-jail print-capabilities version help; do
	grep -q -- "--$name" out || fail "--help does not tell of --$name"
done

run --version
[ "$status" = 0 ] && [ "$out" = "virtiofsd $VERSION" ] && [ -z "$err" ] ||
	fail "--version: $status '$out' '$err'"

run --print-capabilities
[ "$status" = 0 ] && [ -z "$err" ] || fail "--print-capabilities: $status '$err'"
python3 - <<'PY' || fail "--print-capabilities: not what management software reads: $out"
import json
caps = json.load(open("out"))
assert caps["type"] == "fs" and isinstance(caps["features"], list), caps
PY

# With nothing in the environment, as somebody without privileges, and with everything closed.
# What would be in force follows the options, and needs none.
run --show-jail
[ "$status" = 0 ] && [ -z "$err" ] || fail "--show-jail: $status '$err'"
for line in 'sandbox: namespace' 'pivot_root: yes' 'chroot: no' 'mount flags: nodev, nosuid, noexec' 'seccomp: kill' \
	'capabilities kept, where there are any: chown dac_override fowner fsetid setgid setuid setfcap'; do
	grep -qxF "$line" out || fail "--show-jail has no line '$line': $out"
done
grep -q '^  allowed: .* clone(0&THREAD_MASK==THREAD_FLAGS) ' out || fail "--show-jail: no calls: $out"
[ "$(sed -n 's/^  allowed: //p' out | sed 's/ or ([^)]*)//g' | wc -w)" -le 120 ] || fail "--show-jail: too many calls"
run --show-jail --sandbox chroot --readonly --seccomp none --modcaps=+mknod:-chown:+SYS_ADMIN
for line in 'sandbox: chroot' 'pivot_root: no' 'chroot: yes' 'mount flags: no' 'seccomp: none' \
	'capabilities kept, where there are any: dac_override fowner fsetid setgid setuid sys_admin mknod setfcap'; do
	grep -qxF "$line" out || fail "--show-jail has no line '$line': $out"
done
! grep -q '^  allowed:' out || fail "--show-jail: a list that is not in force: $out"
run --show-jail --readonly --inode-file-handles=mandatory --seccomp=log
for line in 'mount flags: nodev, nosuid, noexec, ro' 'Landlock: no: files are opened by handles' 'seccomp: log' \
	'  allowed to open files by handle: open_by_handle_at'; do
	grep -qxF "$line" out || fail "--show-jail has no line '$line': $out"
done

for option in --help --version --print-capabilities --show-jail; do
	env -i "$BIN" $option >/dev/null 2>&1 || fail "$option in an empty environment: $?"
	"$BIN" $option <&- >&- 2>&- || fail "$option with nothing open: $?"
	if [ "$(id -u)" = 0 ] && id nobody >/dev/null 2>&1 && command -v setpriv >/dev/null; then
		cp "$BIN" /dev/shm/culvert-cli.$$ 2>/dev/null || continue
		chmod 755 /dev/shm/culvert-cli.$$
		setpriv --reuid=nobody --regid=nogroup --clear-groups /dev/shm/culvert-cli.$$ $option \
			>/dev/null 2>err || fail "$option as nobody: $? $(cat err)"
		rm -f /dev/shm/culvert-cli.$$
	fi
done

# ---- what is refused: 2, one line, at once ----

refused 2 --shared-dir --
refused 2 --socket-path --fd -- --shared-dir share
refused 2 --nonsense -- --shared-dir share --socket-path s --nonsense
refused 2 --nonsense=1 -- --nonsense=1
refused 2 -x -- -x
refused 2 "unknown option '-help'" -- -help
refused 2 --thread-pool-size missing "behind a =" -- --thread-pool-size -1
refused 2 stray -- --shared-dir share --socket-path s stray
refused 2 --fd --socket-path exclude -- --shared-dir share --socket-path s --fd 3
refused 2 --cache often -- --shared-dir share --socket-path s --cache often
refused 2 --seccomp often -- --shared-dir share --socket-path s --seccomp often
refused 2 --modcaps "'mknod'" + -- --shared-dir share --socket-path s --modcaps mknod
refused 2 --modcaps flying -- --shared-dir share --socket-path s --modcaps=+mknod:-flying
refused 2 --modcaps "''" -- --shared-dir share --socket-path s --modcaps=+mknod:
refused 2 --sandbox strong -- --shared-dir share --socket-path s --sandbox=strong
refused 2 --log-level loud -- --shared-dir share --socket-path s --log-level=loud
refused 2 --thread-pool-size many -- --shared-dir share --socket-path s --thread-pool-size many
refused 2 --thread-pool-size -1 -- --shared-dir share --socket-path s --thread-pool-size=-1
refused 2 --tag -- --shared-dir share --socket-path s --tag=
refused 2 --tag 36 -- --shared-dir share --socket-path s --tag 1234567890123456789012345678901234567
refused 2 --translate-uid "'map:1:2'" "3 numbers" -- --shared-dir share --socket-path s --translate-uid=map:1:2
refused 2 --translate-uid "'squash:1:2:3'" forbid-guest -- --shared-dir share --socket-path s --translate-uid=squash:1:2:3
refused 2 --translate-gid "'map:0:1:4294967295'" 4294967294 -- --shared-dir share --socket-path s --translate-gid=map:0:1:4294967295
refused 2 --translate-gid "'guest:5:7:1'" earlier guest -- --shared-dir share --socket-path s --translate-gid=map:0:1:10 --translate-gid=guest:5:7:1
for map in "" : 0:0:1 :0:0:1 :0:0:0: :0:0:1:: :0:0: :0:4294967295:1: :0:x:1: :0:0:4294967296: 1011111; do
	refused 2 --uid-map "'$map'" COUNT -- --shared-dir share --socket-path s "--uid-map=$map"
	refused 2 --gid-map "'$map'" COUNT -- --shared-dir share --socket-path s "--gid-map=$map"
done
for mode in chroot none; do
	refused 2 --gid-map --sandbox=namespace -- --shared-dir share --socket-path s --gid-map=:0:0:1: --sandbox=$mode
done
refused 2 --socket-group "'nobody-has-this'" /etc/group -- --shared-dir share --socket-path s --socket-group nobody-has-this
refused 2 --socket-group --fd exclude -- --shared-dir share --fd 3 --socket-group 0
refused 2 --migration-mode "'swim'" find-paths -- --shared-dir share --socket-path s --migration-mode=swim
refused 2 --migration-on-error "'panic'" guest-error -- --shared-dir share --socket-path s --migration-on-error panic
refused 2 --posix-acl-create-fallback -- --shared-dir share --socket-path s --posix-acl-create-fallback
refused 2 --daemonize foreground -- --shared-dir share --socket-path s --daemonize
refused 2 "-o timeout" --cache -- --socket-path s -o source=share,timeout=1
refused 2 "-o vhost_user_socket" --socket-path -- -o source=share,vhost_user_socket=s
refused 2 "-o norace" -- --socket-path s -o source=share,norace
refused 2 "-o cache" "'sometimes'" "auto, always, never, metadata" -- --socket-path s -o source=share,cache=sometimes
refused 2 "unknown option '-dx'" -- --shared-dir share --socket-path s -dx
refused 2 "unexpected argument '-'" -- --shared-dir share --socket-path s -
refused 2 "unknown option '--'" -- --shared-dir share --socket-path s --
refused 2 --rlimit-nofile "'-5'" -- --shared-dir share --socket-path s --rlimit-nofile=-5
refused 2 --fd "'three'" -- --shared-dir share --fd three
refused 2 --inode-file-handles "'maybe'" mandatory -- --shared-dir share --socket-path s --inode-file-handles=maybe
refused 2 --xattr yes -- --shared-dir share --socket-path s --xattr=yes
refused 2 --shared-dir missing -- --socket-path s --shared-dir
refused 2 nonsense -- --socket-path s -o source=share,nonsense
refused 2 --shared-dir "'nowhere'" "No such file" -- --shared-dir nowhere --socket-path s
refused 2 --shared-dir "'file'" "Not a directory" -- --shared-dir file --socket-path s
refused 2 --fd 97 -- --shared-dir share --fd 97
refused 2 "--fd 0" "not a listening socket" -- --shared-dir share --fd 0

# ---- what cannot be done: 1, one line ----

refused 1 --socket-path nowhere/s "No such file" -- --shared-dir share --socket-path nowhere/s
refused 1 --socket-path "'file'" exists -- --shared-dir share --socket-path file
long=$(printf '%0120d' 0)
refused 1 --socket-path "too long" -- --shared-dir share --socket-path "$long"
[ -f file ] || fail "a file in the socket's place was removed"
[ ! -e file.pid ] || fail "a pid file stays behind after a failure"

if [ $failures != 0 ]; then
	echo "$failures failed"
	exit 1
fi
