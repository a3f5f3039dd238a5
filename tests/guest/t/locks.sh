# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# about: two guests and the host count in one file under fcntl(2) and flock(2) locks, and lose nothing
# guests: uml uml-next
# daemon: -o flock,posix_lock
# case auto: --cache=auto
# case never: --cache=never
# timeout: 200

ROUNDS=150

# Another daemon on the same share, and another guest, with a folder of their own.
second() {
	local status=1
	set +eE
	trap - ERR
	CASE=second RUN=$RUN/second
	mkdir "$RUN" && one_env >"$RUN/env" && : >"$RUN/console" || return
	if daemon_start "$@"; then
		guest_start 1 1
		guest_serve $((SECONDS + 180))
		status=$?
		guest_end
		daemon_end 10
		[ "$DAEMON_STATUS" = 0 ] || status="daemon: $DAEMON_STATUS"
	fi
	cat "$RUN/console" "$RUN/daemon.log"
	echo "$status" >"$RUN/status.new"
	mv "$RUN/status.new" "$RUN/status"
}

before() {
	gcc -O1 -Wall -o count "$HERE/t/locks.c"
	printf '%08d' 0 | tee posix.count >flock.count
	: >posix
	: >flock
	second -o flock,posix_lock "--cache=$CASE" >"$RUN/second.log" 2>&1 &
}

counting() {
	local pids=() p
	./count posix posix $ROUNDS &
	pids+=($!)
	./count posix posix $ROUNDS &
	pids+=($!)
	./count flock flock $ROUNDS &
	pids+=($!)
	./count flock flock $ROUNDS &
	pids+=($!)
	for p in "${pids[@]}"; do
		wait "$p"
	done
}

guest() {
	step "until the other guest is there"
	: >"ready-$CASE"
	[ "$CASE" = second ] || host count
	until [ -e go ]; do sleep 0.1; done
	step "counting"
	counting
	step "counted"
	: >"done-$CASE"

	# What is locked in one guest is locked in the other, and what a process had goes with it.
	if [ "$CASE" = second ]; then
		until [ -e taken ]; do sleep 0.1; done
		fails 'temporarily unavailable' ./count -n posix held 1
		fails 'temporarily unavailable' ./count -n flock held 1
		: >tried
		: >waits
		./count posix held 1
		./count flock held 1
	else
		until [ -e done-second ]; do sleep 0.1; done
		printf '%08d' 0 >held.count
		: >held
		./count -h posix held 1 >/tmp/one &
		local one=$!
		./count -h flock held 1 >/tmp/two &
		local two=$!
		until [ -s /tmp/one ] && [ -s /tmp/two ]; do sleep 0.1; done
		: >taken
		until [ -e tried ]; do sleep 0.1; done
		until [ -e waits ]; do sleep 0.1; done
		kill -KILL $one $two
		wait $one $two || :
	fi
}

# The host counts along, as soon as both are ready.
host_count() {
	eventually 120 test -e ready-second
	: >go
	{ ./count posix posix $ROUNDS && ./count flock flock $ROUNDS && : >done-host; } &
}

after() {
	eventually 100 test -e "$RUN/second/status"
	cat "$RUN/second.log"
	want 0 cat "$RUN/second/status"
	eventually 10 test -e done-host
	want "$(printf '%08d' $((5 * ROUNDS)))" cat posix.count
	want "$(printf '%08d' $((5 * ROUNDS)))" cat flock.count
	want 00000002 cat held.count
}
