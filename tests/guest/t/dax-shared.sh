# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# about: DAX: two guests and the host see each other's changes of a mapped file at once; truncation and growth by the host
# guests: qemu-dax qemu-next-dax
# mount: dax=always
# timeout: 600

ROUNDS=200

# Another daemon on the same share, and another guest, with a folder of their own.
second() {
	local status=1
	set +eE
	trap - ERR
	CASE=second RUN=$RUN/second
	mkdir "$RUN" && one_env >"$RUN/env" && : >"$RUN/console" || return
	if daemon_start "$@"; then
		guest_start 1 1
		guest_serve $((SECONDS + 450))
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
	# The host has one of its own: what the guest has mapped is being written to, for execve(2).
	gcc -O1 -Wall -o "$RUN/dax" "$HERE/t/dax.c"
	cp "$RUN/dax" dax
	head -c 16384 /dev/zero >turns
	head -c 5000000 /dev/urandom >both
	sha256sum both >both.sum
	second >"$RUN/second.log" 2>&1 &
}

guest() {
	local who=0
	sha256sum -c --quiet both.sum
	want dax ./dax is turns
	: >"ready-$CASE"
	[ "$CASE" != second ] || who=1
	[ "$CASE" = second ] || host turns
	until [ -e go ]; do sleep 0.1; done
	step "turns"
	./dax turns turns $who 3 $ROUNDS
	step "they were taken"
	: >"done-$CASE"
	[ "$CASE" != second ] || return 0

	# Without a word to the guest, what is mapped in it changes.
	./dax hold both >/tmp/held &
	local pid=$!
	until [ -s /tmp/held ]; do sleep 0.1; done
	host writes
	./dax want-map both 3000000 'from the host'
	./dax want-read both 3000000 'from the host'
	./dax poke both 4000001 'from the guest'
	host sees
	kill $pid
	wait $pid || :

	# Its size is known to the guest when it asks, and no sooner; it must not touch what is gone.
	host shrinks
	sleep 1.2
	want 2500000 stat -c %s both
	want 2500000 wc -c <both
	host grows
	sleep 1.2
	want 4500000 stat -c %s both
	./dax want-map both 4400000 'new again'
	./dax want-read both 4400000 'new again'
}

host_turns() {
	eventually 200 test -e ready-second
	: >go
	{ "$RUN/dax" turns turns 2 3 $ROUNDS && : >done-host; } &
}
host_writes() { "$RUN/dax" poke both 3000000 'from the host'; }
host_sees() {
	want 'from the guest' dd if=both bs=1 skip=4000001 count=14 status=none
	"$RUN/dax" want-map both 4000001 'from the guest'
}
host_shrinks() { truncate -s 2500000 both; }
host_grows() {
	truncate -s 4500000 both
	"$RUN/dax" poke both 4400000 'new again'
}

after() {
	eventually 100 test -e "$RUN/second/status"
	cat "$RUN/second.log"
	want 0 cat "$RUN/second/status"
	eventually 10 test -e done-host
	want $((3 * ROUNDS)) awk '{ print $1 }' < <(od -A n -t u8 -N 8 turns)
}
