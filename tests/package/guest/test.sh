#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The installed units and the AppArmor profile, under the systemd and in the kernel of this machine. Started by systemd.sh, in
# a machine of its own.
set -u
# shellcheck source=tests/package/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
DAEMON=/usr/libexec/culvert/virtiofsd
PROFILE=culvert-virtiofsd
UNIT=virtiofsd@srv-data
SOCKET=/run/virtiofsd/srv-data.sock
CONF=/etc/virtiofsd/srv-data.conf

eventually() { # command...
	local i
	for ((i = 0; i < 3000; i++)); do
		! "$@" || return 0
		sleep 0.1
	done
	printf 'in vain: %s\n' "$*"
	systemctl status --no-pager --full "$UNIT.service" "$UNIT.socket"
	return 1
}

# A boot is over when nothing is left to start.
booted() {
	systemctl is-system-running --wait
	systemctl --failed --no-legend --plain | tee "$WORK/failed" | cut -d ' ' -f 1
	[ ! -s "$WORK/failed" ]
}

# What the package has installed is what the kernel has loaded; it can be loaded again.
loaded() { grep -xF "$PROFILE (enforce)" /sys/kernel/security/apparmor/profiles; }
profile() {
	aa-enabled && loaded && apparmor_parser --replace --skip-cache /etc/apparmor.d/usr.libexec.culvert.virtiofsd && loaded
}

# The profile alone, without the daemon's own jail: it can execute nothing.
profile_alone() {
	local i
	! aa-exec -p $PROFILE -- bash -c 'exec /bin/true' || return
	for ((i = 0; i < 50; i++)); do
		refused | grep "operation=\"exec\" .*profile=\"$PROFILE\" name=\"/usr/bin/true\"" && return
		sleep 0.1
	done
	return 1
}

verify() {
	systemd-analyze verify --man=no $UNIT.service $UNIT.socket >"$WORK/said" 2>&1
	cat "$WORK/said"
	[ ! -s "$WORK/said" ] && systemd-analyze security --no-pager $UNIT.service
}

state() { [ "$(systemctl show -P ActiveState "$1")/$(systemctl show -P Result "$1")" = "$2" ]; }

# Both processes, the keeper and the service.
confined() {
	local pid n=0
	for pid in $(cat "/sys/fs/cgroup/system.slice/system-virtiofsd.slice/$UNIT.service/cgroup.procs"); do
		n=$((n + 1))
		cat "/proc/$pid/attr/current"
		[ "$(cat "/proc/$pid/attr/current")" = "$PROFILE (enforce)" ] || return
		grep -x 'NoNewPrivs:	1' "/proc/$pid/status" || return
	done
	echo "$n processes"
	[ $n -gt 0 ]
}

session() { # options...
	mkdir -p /etc/virtiofsd && printf 'OPTIONS="%s"\n' "$*" >$CONF || return
	mkdir -p /srv/data /mnt/data && mount -t tmpfs data /srv/data && echo host >/srv/data/file && virtiofs-mount $SOCKET /mnt/data || return
	state $UNIT.service active/success && confined && work_on /mnt/data
	local status=$?
	umount /mnt/data && eventually state $UNIT.service inactive/success && [ $status = 0 ] &&
		[ "$(cat /srv/data/hard)" = guest ] && umount /srv/data && state $UNIT.socket active/success
}

start() {
	systemctl start $UNIT.socket && [ "$(stat -c '%a %U %F' $SOCKET)" = '600 root socket' ] && state $UNIT.service inactive/success
}

# The connection that waits starts a daemon that cannot start over and over, until systemd gives the socket up.
wrong() {
	echo 'OPTIONS=--nonsense' >$CONF
	! virtiofs-mount $SOCKET /mnt/data && eventually state $UNIT.socket failed/service-start-limit-hit || return
	journalctl --no-pager -u $UNIT.service | grep -F "unknown option '--nonsense'" || return
	systemctl reset-failed $UNIT.service $UNIT.socket && start
}

# Stopped with its guest connected: nothing is left of it, and nobody starts it again.
stop() {
	rm -f $CONF && virtiofs-mount $SOCKET /mnt/data && confined && systemctl stop $UNIT.socket $UNIT.service || return
	state $UNIT.service inactive/success && [ ! -e $SOCKET ] && eventually unmounted && [ -z "$(pgrep -x virtiofsd)" ]
}
unmounted() { ! mountpoint -q /mnt/data; }

# Started by hand, by somebody without privileges.
by_hand() { # user in the guest, options...
	local pid user=$1
	shift
	rm -rf /tmp/u && install -d -o nobody /tmp/u /tmp/u/data && echo host >/tmp/u/data/file && chown nobody /tmp/u/data/file || return
	setpriv --reuid nobody --regid nogroup --clear-groups "$DAEMON" --socket-path /tmp/u/s --shared-dir /tmp/u/data "$@" &
	pid=$!
	until [ -S /tmp/u/s ]; do kill -0 $pid && sleep 0.1 || return; done
	[ "$(cat /proc/$pid/attr/current)" = "$PROFILE (enforce)" ] && virtiofs-mount /tmp/u/s /mnt/data || return
	[ "$(cat /mnt/data/file)" = host ] && setpriv --reuid "$user" --regid "$user" --clear-groups mkdir /mnt/data/dir
	local status=$?
	umount /mnt/data && wait $pid && [ $status = 0 ] && [ -d /tmp/u/data/dir ]
}

# What the kernel has refused since the last time that this was asked; all of it is told.
refused() {
	dmesg --read-clear | tee "$WORK/kernel" | grep -F 'apparmor="DENIED"'
}
nothing_refused() { ! refused; }

# What is refused is told by a thread of the kernel, a little later, and while the system boots not all of it.
echo 0 >/proc/sys/kernel/printk_ratelimit

check "the system is up" booted
check "AppArmor has the profile" profile
check "systemd is content with the units" verify
check "the profile lets it execute nothing" profile_alone
check "the socket is started, and no daemon" start || exit 1
check "a front-end connects: a session, confined" session
check "again, with other options" session --xattr --posix-acl=auto --modcaps=+mknod --translate-uid=host:1000:0:1 --syslog
check "a wrong option" wrong
for sandbox in chroot landlock none; do
	check "sandbox $sandbox" session --sandbox=$sandbox
done
check "file handles" session --inode-file-handles=mandatory
check "a pool of threads, no seccomp" session --thread-pool-size=4 --seccomp=none --log-level=debug
check "a user namespace" session --uid-map=:0:0:65536: --gid-map=:0:0:65536:
check "stopped with the guest connected" stop
check "by a user, in a user namespace" by_hand 65534
printf 'nobody:100000:1000\n' | tee /etc/subuid >/etc/subgid
check "by a user, with newuidmap" by_hand 0 --{uid,gid}-map=:0:65534:1: --{uid,gid}-map=:1:100000:1000:
check "by a user, with landlock" by_hand 65534 --sandbox=landlock
check "AppArmor was in the way of nothing" nothing_refused
verdict
