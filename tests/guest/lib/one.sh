# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# One run of one test in one guest. Sourced by tests/guest/run, which says how it goes.

DAEMON_PID='' GUEST_SID='' RUN='' LOG='' OWN_SHARE='' TREE_TAR='' PG='' WINDOW=256M

note() { printf '== %s\n' "$*" >>"$LOG"; }

# Run a function of the test on the host. Its status is this one's.
one_host() { # function args...
	(
		exec >>"$LOG" 2>&1 </dev/null 3>&- 4>&- 5>&- 6>&- 7>&- 8>&-
		set -eEuo pipefail
		trap 'printf "FAIL: %s:%s: %s\n" "${BASH_SOURCE[0]##*/}" "$LINENO" "$BASH_COMMAND"' ERR
		# shellcheck source=tests/guest/lib/host.sh
		. "$HERE/lib/host.sh"
		# shellcheck disable=SC1090
		. "$HERE/t/$TEST.sh"
		cd "$SHARE"
		if declare -F "$1" >/dev/null; then
			"$@"
		elif [ "$1" != before ] && [ "$1" != after ]; then
			echo "FAIL: the test has no function $1"
			exit 1
		fi
	)
}

quote() { printf "'%s'" "${1//\'/\'\\\'\'}"; }

# What the guest is told: a file of assignments for its shell.
one_env() {
	local v
	for v in TEST CASE GUEST MOUNT TAG TREE_TAR PG; do
		printf '%s=%s\n' "$v" "$(quote "${!v}")"
	done
	printf 'GUEST_DIR=%s\nSHELL_SIZE=%s\n' "$(quote "$HERE")" "$(quote "${1-}")"
}

daemon_start() { # options...
	local tag=()
	SOCKET=$RUN/fs.sock
	# QEMU has a tag of its own; 7.1 to 8.0 must not be offered one.
	[[ $GUEST = qemu* ]] || tag=(--tag "$TAG")
	[[ $GUEST != *-dax ]] || tag+=(--dax-window "$WINDOW")
	[ "$(id -u)" = 0 ] || [[ " $* " == *" --sandbox"* ]] || set -- --sandbox none "$@"
	note "$DAEMON" --socket-path "$SOCKET" --shared-dir "$SHARE" "${tag[@]}" "$@"
	setsid "${PIN[@]}" "$DAEMON" --socket-path "$SOCKET" --shared-dir "$SHARE" "${tag[@]}" "$@" \
		</dev/null >"$RUN/daemon.out" 2>"$RUN/daemon.log" 3>&- 4>&- &
	DAEMON_PID=$!
	local i
	for ((i = 0; i < 500; i++)); do
		[ ! -S "$SOCKET" ] || return 0
		kill -0 "$DAEMON_PID" 2>/dev/null || break
		sleep 0.02
	done
	note "the daemon does not listen on $SOCKET"
	return 1
}

# Wait for the daemon to end, which it does when its front-end is gone. Sets DAEMON_STATUS.
daemon_end() { # seconds
	local i
	DAEMON_STATUS=hangs
	for ((i = 0; i < $1 * 50; i++)); do
		kill -0 "$DAEMON_PID" 2>/dev/null || {
			wait "$DAEMON_PID"
			DAEMON_STATUS=$?
			break
		}
		sleep 0.02
	done
	[ "$DAEMON_STATUS" != hangs ] || session_end "$DAEMON_PID"
	for (( ; i < $1 * 50; i++)); do
		[ -n "$(session_pids "$DAEMON_PID")" ] || break
		sleep 0.02
	done
	[ -z "$(session_pids "$DAEMON_PID")" ] || {
		note "processes of the daemon are left"
		session_end "$DAEMON_PID"
		DAEMON_STATUS=left
	}
	DAEMON_PID=''
}

guest_fifos() {
	mkfifo "$RUN"/{ctl,mon}.{in,out} "$RUN/nothing" || return
	# Both ends of each stay open here, so that nobody blocks in open(2) or dies of SIGPIPE.
	exec 4<>"$RUN/ctl.out" 5<>"$RUN/ctl.in" 6<>"$RUN/mon.out" 7<>"$RUN/mon.in" 8<>"$RUN/nothing"
}

# Start the guest, and a watcher that says when it is gone.
guest_start() { # queues boots
	guest_fifos || return
	(
		(guest_exec "$GUEST" "$SOCKET" "$TAG" "$@" "$WINDOW") \
			<&8 >"$RUN/console" 2>&1 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- &
		echo $! >"$RUN/guest.pid.new"
		mv "$RUN/guest.pid.new" "$RUN/guest.pid"
		wait $!
		echo "gone $?" >&4
	) 2>/dev/null 3>&- &
	until [ -s "$RUN/guest.pid" ]; do sleep 0.01; done
	GUEST_SID=$(cat "$RUN/guest.pid")
}

guest_end() {
	[ -z "$GUEST_SID" ] || session_end "$GUEST_SID"
	GUEST_SID=''
}

# Serve the guest's lines until it is gone. 0: its part went well; 77: it gave up; 1: not well, or not in time.
guest_serve() { # deadline (in $SECONDS)
	local line words status=1 boot=0 left
	while :; do
		left=$(($1 - SECONDS))
		if [ $left -le 0 ] || ! read -r -t $left -u 4 line; then
			note "out of time"
			return 1
		fi
		read -ra words <<<"$line"
		case ${words[0]-} in
		boot)
			boot=$((boot + 1))
			echo $boot >&5
			;;
		call)
			one_host "host_${words[1]}" "${words[@]:2}"
			echo $? >&5
			;;
		skip)
			echo "${line#skip }" >"$RUN/skip"
			;;
		say)
			note "${line#say }"
			[ "$live" = 0 ] || printf '%4d s  %s\n' $SECONDS "${line#say }"
			;;
		exit)
			status=${words[1]}
			;;
		gone)
			[ -f "$RUN/goes" ] && status=0
			[ "$status" = 0 ] || note "the guest's part ended with status $status"
			[ ! -f "$RUN/skip" ] || return 77
			return "$status"
			;;
		*)
			note "the guest says: $line"
			;;
		esac
	done
}

# What else must be true after any run.
one_verdict() { # status
	local status=$1
	if [ "$DAEMON_STATUS" != 0 ]; then
		note "the daemon did not end with status 0: $DAEMON_STATUS"
		status=1
	fi
	if grep -aE 'ERROR: [A-Za-z]*Sanitizer|runtime error:' "$RUN/daemon.log" >>"$LOG"; then
		note "a sanitizer complains"
		status=1
	fi
	if grep -aE 'Kernel panic|BUG: |Oops' "$RUN/console" >>"$LOG"; then
		note "the guest's kernel complains"
		status=1
	fi
	return "$status"
}

one_run() { # test case guest
	local file=$HERE/t/$1.sh status timeout queues opts=() reason
	TEST=$1 CASE=$2 GUEST=$3 TAG=$(header "$file" tag | grep . || echo culvert)
	RUN=$(mktemp -d "$WORK/run.XXXXXX") && OWN_SHARE=$(mktemp -d "$SHARES/XXXXXX") && chmod 755 "$OWN_SHARE" || return 1
	SHARE=${share:-$OWN_SHARE} LOG=$RUN/log KEEP=$LOGS/$1-$2-$3.log
	rm -f "$KEEP"
	: >"$LOG" && : >"$RUN/console" && : >"$RUN/daemon.log" || return 1

	reason=$(guest_possible "$GUEST") || {
		echo "$reason" >"$RUN/skip"
		return 77
	}
	if [ "$(header "$file" root)" = yes ] && [ "$(id -u)" != 0 ]; then
		echo "needs root, to have files of other users" >"$RUN/skip"
		return 77
	fi
	guest_prepare "$GUEST" || return 1
	MOUNT=$(header "$file" mount)
	timeout=$(header "$file" timeout)
	queues=$(header "$file" queues)
	WINDOW=$(header "$file" window | grep . || echo 256M)
	read -ra opts <<<"$(header "$file" daemon) $(header "$file" "case $CASE")"
	if [ "$(header "$file" tree)" = yes ]; then
		tree_get || return 1
	fi
	if [ "$(header "$file" postgresql)" = yes ]; then
		pg_get || return 1
	fi
	one_env >"$RUN/env"
	# User-Mode Linux is one thread; it and the daemon are fastest on one CPU.
	PIN=()
	[[ $GUEST != uml* ]] || PIN=(taskset -c "$CPU")

	one_host before
	status=$?
	[ $status = 0 ] || return $status
	daemon_start "${opts[@]}" || {
		daemon_end 1
		return 1
	}
	guest_start "${queues:-1}" "$(header "$file" boots | grep . || echo 1)" || return 1
	guest_serve $((SECONDS + ${timeout:-120}))
	status=$?
	guest_end
	daemon_end 10
	exec 4>&- 5>&- 6>&- 7>&- 8>&-
	if [ $status = 0 ]; then
		one_host after
		status=$?
	fi
	[ $status != 77 ] || return 77
	one_verdict $status
}

# Keep the log of a run, and print its end.
one_report() { # lines
	{
		# Without what terminals want, and what User-Mode Linux tells of its host.
		sed -E 's/\x1b\[[0-9;?]*[a-zA-Z]//g; s/\r//g; /^(Core dump limits|\t(soft|hard) - |Checking )/d' "$RUN/console"
		echo "== the daemon's log"
		cat "$RUN/daemon.log"
		echo "== the harness and the host's part"
		cat "$LOG"
	} >"$KEEP"
	tail -n "$1" "$KEEP" | sed 's/^/    | /'
}

one_unmount() {
	local dir
	[ ! -f "$RUN/mounts" ] || tac "$RUN/mounts" | while IFS= read -r dir; do
		umount -l "$dir"
	done
}

# Leave nothing behind but a kept log: no process, no mount, no file.
one_end() {
	trap '' INT TERM HUP
	exec 2>/dev/null # the shell would tell of each process that is killed
	guest_end
	[ -z "$DAEMON_PID" ] || session_end "$DAEMON_PID"
	one_unmount
	rm -rf --one-file-system "$RUN" "$OWN_SHARE"
}

# A shell in a guest, on the terminal that this runs in.
one_shell() { # guest share
	local saved
	TEST=- CASE=- GUEST=$1 TAG=culvert MOUNT='' SHARE=$2 PIN=() WINDOW=256M
	RUN=$(mktemp -d "$WORK/run.XXXXXX")
	LOG=$RUN/log
	guest_prepare "$GUEST" || return
	one_env "$(stty size 2>/dev/null || echo 24 80)" >"$RUN/env"
	daemon_start || {
		cat "$RUN/daemon.log" "$LOG" >&2
		return 1
	}
	printf 'In the guest, %s is /mnt/share. Leave with "exit".\n' "$SHARE"
	saved=$(stty -g 2>/dev/null)
	guest_fifos || return
	(
		echo "$BASHPID" >"$RUN/guest.pid"
		guest_exec "$GUEST" "$SOCKET" "$TAG" 1 1 "$WINDOW"
	)
	[ -z "$saved" ] || stty "$saved"
	daemon_end 10
}
