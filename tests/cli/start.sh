#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Start, files, signals and end of the real program, in every sandbox, without a guest.
# usage: tests/cli/start.sh VIRTIOFSD
#
# The front-end is a few lines of Python: it connects, and hangs up or talks nonsense.
set -u

BIN=$(realpath "$1") || exit 2
T=$(mktemp -d) || exit 2
pids=()
failures=0

end() {
	local p
	for p in "${pids[@]}"; do
		kill -KILL "$p" 2>/dev/null
	done
	rm -rf "$T"
}
trap end EXIT
cd "$T" || exit 2
mkdir share

fail() {
	echo "FAIL: $*" >&2
	failures=$((failures + 1))
}

# until COMMAND...: wait until it succeeds, 20 seconds at most.
until_ok() {
	local n=0
	until "$@" 2>/dev/null; do
		n=$((n + 1))
		[ $n -lt 400 ] || return 1
		sleep 0.05
	done
}

# start ARGS...: sets pid; ready when the line is there.
start() {
	rm -f log
	: >log
	"$BIN" --shared-dir share "$@" 2>log </dev/null &
	pid=$!
	pids+=("$pid")
	until_ok grep -q "Waiting for vhost-user socket connection" log || fail "$*: not ready: $(cat log)"
}

# ends STATUS WHAT: the program that was started ends so.
ends() {
	local status
	timeout 20 tail -s 0.02 --pid="$pid" -f /dev/null || fail "$2: does not end"
	wait "$pid"
	status=$?
	[ $status = "$1" ] || fail "$2: status $status, not $1: $(cat log)"
}

# client: connect to s; then run the Python on stdin with the socket as c.
client() {
	{
		echo "import socket, sys, os, struct"
		echo "c = socket.socket(socket.AF_UNIX)"
		echo "c.settimeout(20)"
		echo "c.connect('s')"
		cat
	} >client.py
	python3 client.py
}

gone() {
	[ ! -e s ] && [ ! -e s.pid ] || fail "$1: files stay behind"
}

# A socket for a group, under the option's other name; what is said of migration changes nothing. The level
# comes from the environment.
group=$(id -G | tr ' ' '\n' | tail -n 1)
for wanted in "$group" "$(getent group "$group" | cut -d: -f1)"; do
	[ -n "$wanted" ] || continue
	RUST_LOG=hyper=trace,virtiofsd=debug start --socket s --socket-group "$wanted" --sandbox none --log-level=off \
		--migration-mode=find-paths --migration-on-error=guest-error --migration-verify-handles \
		--migration-confirm-paths --poll-us=50
	[ "$(stat -c %a%F%g s)" = "770socket$group" ] || fail "--socket-group $wanted: $(stat -c %a%F%g s)"
	[ "$(stat -c %a s.pid)" = 600 ] || fail "--socket-group $wanted: pid file: $(stat -c %a s.pid)"
	client <<<"" || fail "--socket-group: no connection"
	ends 0 "--socket-group"
	gone "--socket-group"
	grep -q ' DEBUG vhost-user: the front-end hung up' log || fail "RUST_LOG=virtiofsd=debug: $(cat log)"
done

# Sandboxes that work here.
modes=()
for mode in namespace chroot none; do
	: >log
	"$BIN" --shared-dir share --socket-path s --sandbox $mode 2>log </dev/null &
	pid=$!
	pids+=("$pid")
	until_ok eval 'grep -q Waiting log || ! kill -0 $pid'
	if grep -q Waiting log; then
		modes+=("$mode")
		kill -TERM $pid
	elif [ "$(id -u)" = 0 ]; then
		echo "skipped: sandbox $mode does not work here: $(cat log)"
	fi
	wait $pid
done
[ ${#modes[@]} != 0 ] || fail "no sandbox works"

for mode in "${modes[@]}"; do
	box="--sandbox $mode"

	# Files: there before the ready line, ours alone, and gone at the end; each signal is a clean end.
	for sig in TERM INT HUP; do
		: >log
		(umask 0777; exec "$BIN" --shared-dir share --socket-path s $box 2>log </dev/null) &
		pid=$!
		pids+=("$pid")
		until_ok grep -q Waiting log || fail "$mode: not ready: $(cat log)"
		[ "$(stat -c %a%F s)" = 700socket ] || fail "$mode: socket: $(stat -c %a%F s)"
		[ "$(stat -c %a s.pid)" = 600 ] || fail "$mode: pid file: $(stat -c %a s.pid)"
		[ "$(cat s.pid)" = $pid ] || fail "$mode: pid file says $(cat s.pid), not $pid"
		[ "$(cat /proc/$pid/comm)" = virtiofsd ] || fail "$mode: comm $(cat /proc/$pid/comm)"
		[ "$(grep -c Waiting log)" = 1 ] || fail "$mode: ready more than once"
		kill -$sig $pid
		ends 0 "$mode, SIG$sig"
		gone "$mode, SIG$sig"
	done

	# Killed: the service goes with it, what stays is stale, and the next one takes it over.
	start --socket-path s $box
	inner=$(pgrep -P $pid)
	kill -KILL $pid
	wait $pid 2>/dev/null
	for p in $inner; do
		until_ok eval "! kill -0 $p" || fail "$mode: the service outlives its keeper"
	done
	[ -S s ] || fail "$mode: no stale socket to test with"
	start --socket-path s $box

	# The service inside is killed: what was started tells of it and ends, and leaves nothing either.
	inner=$(pgrep -P $pid)
	if [ -n "$inner" ]; then
		kill -KILL "$inner"
		ends 137 "$mode, service killed"
		gone "$mode, service killed"
		[ "$(grep -c "ERROR the service was killed by signal 9" log)" = 1 ] || fail "$mode: service killed: $(cat log)"
		start --socket-path s $box
	fi

	# In use: the second one does not start, and the first is not disturbed.
	timeout 20 "$BIN" --shared-dir share --socket-path s $box 2>second </dev/null
	[ $? = 1 ] || fail "$mode: a second daemon starts on the same socket"
	[ "$(wc -l <second)" = 1 ] && grep -q "s.pid" second || fail "$mode: second: $(cat second)"

	# One front-end: a second is refused while it is served; its hanging up is the end.
	client <<-'PY' || fail "$mode: the front-end is not served alone"
		c.sendall(struct.pack("<III", 1, 1, 0))
		assert len(c.recv(20, socket.MSG_WAITALL)) == 20
		d = socket.socket(socket.AF_UNIX)
		try:
		    d.connect("s")
		    sys.exit(1)
		except ConnectionRefusedError:
		    pass
	PY
	ends 0 "$mode, hang-up"
	gone "$mode, hang-up"
	[ "$(grep -c disconnected log)" = 1 ] || fail "$mode: log of the hang-up: $(cat log)"

	# Nonsense costs the connection; that is the end of a daemon that serves one.
	start --socket-path s $box
	client <<-'PY' || fail "$mode: nonsense is answered"
		c.sendall(b"\xff" * 12)
		try:
		    assert c.recv(1) == b""
		except ConnectionResetError:
		    pass
	PY
	ends 0 "$mode, nonsense"
	gone "$mode, nonsense"
	[ "$(grep -c ERROR log)" = 1 ] || fail "$mode: log of the nonsense: $(cat log)"

	# Half a message blocks nothing: a signal still ends it at once.
	start --socket-path s $box
	client <<-PY || fail "$mode: half a message keeps it from ending"
		import signal, time
		c.sendall(b"\x01\0\0\0")
		os.kill($pid, signal.SIGTERM)
		t = time.monotonic()
		try:
		    assert c.recv(1) == b""
		except ConnectionResetError:
		    pass
		assert time.monotonic() - t < 1.5
	PY
	ends 0 "$mode, half a message"
	gone "$mode, half a message"

	# A listening socket that was passed, with a client queued already; its name is not touched.
	python3 - "$BIN" $mode <<-'PY' || fail "$mode: --fd"
		import os, socket, struct, subprocess, sys
		l = socket.socket(socket.AF_UNIX)
		l.bind("passed")
		l.listen(1)
		c = socket.socket(socket.AF_UNIX)
		c.settimeout(20)
		c.connect("passed")
		c.sendall(struct.pack("<III", 1, 1, 0))
		fd = l.fileno()
		p = subprocess.Popen([sys.argv[1], "--shared-dir=share", "--sandbox=" + sys.argv[2],
		                      "--fd=%d" % fd], pass_fds=[fd], stdin=subprocess.DEVNULL,
		                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
		assert len(c.recv(20, socket.MSG_WAITALL)) == 20
		c.close()
		assert p.wait(20) == 0, p.returncode
		assert os.path.exists("passed")
		os.unlink("passed")
	PY

	# Nothing open but the log, and that a pipe whose reader goes: neither is an end.
	python3 - "$BIN" $mode <<-'PY' || fail "$mode: a closed stderr"
		import os, socket, struct, subprocess, sys
		r, w = os.pipe()
		p = subprocess.Popen([sys.argv[1], "--shared-dir=share", "--socket-path=s",
		                      "--log-level=debug", "--sandbox=" + sys.argv[2]],
		                     stderr=w, preexec_fn=lambda: (os.close(0), os.close(1)))
		os.close(w)
		text = b""
		while b"Waiting for vhost-user socket connection" not in text:
		    got = os.read(r, 4096)
		    assert got, text
		    text += got
		os.close(r)
		c = socket.socket(socket.AF_UNIX)
		c.settimeout(20)
		c.connect("s")
		for n in range(3):
		    c.sendall(struct.pack("<III", 1, 1, 0))
		    assert len(c.recv(20, socket.MSG_WAITALL)) == 20
		c.close()
		assert p.wait(20) == 0, p.returncode
	PY
	gone "$mode, closed stderr"

	# No word where none is asked for, --syslog without a system log included.
	"$BIN" --shared-dir share --socket-path s $box --syslog 2>log </dev/null &
	pid=$!
	pids+=("$pid")
	until_ok test -S s
	until_ok eval 'client </dev/null'
	ends 0 "$mode, --syslog"
	[ ! -s log ] || fail "$mode: --syslog writes to stderr: $(cat log)"
done

if [ $failures != 0 ]; then
	echo "$failures failed"
	exit 1
fi
