# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# about: the share works in each sandbox, and the sandbox is there
# daemon: --modcaps=+mknod
# case none: --sandbox none
# case chroot: --sandbox chroot
# case namespace: --sandbox namespace
# case landlock: --sandbox landlock
# root: yes

before() {
	chmod 1777 .
	ln -s /etc/hostname absolute
	echo text >file
}

guest() {
	want text cat file
	as 1000 touch mine
	want '1000 1000' stat -c '%u %g' mine
	mkdir dir
	mv file dir/
	ln -s ../dir/file dir/link
	want text cat dir/link
	# A link is followed in the guest, never on the host.
	want "$(cat /etc/hostname)" cat absolute
	mknod null c 1 3
	chown 5:6 dir
	host jail
}

# The process that serves is the last one that came.
host_jail() {
	local pid own=$BASHPID n
	pid=$(daemon_pids | sort -n | tail -n 1)
	same() { [ "$(readlink "/proc/$pid/ns/$1")" = "$(readlink "/proc/$own/ns/$1")" ]; }
	grep -E '^(Name|Cap|NoNewPrivs|Seccomp:)' "/proc/$pid/status"
	grep -qx $'Seccomp:\t2' "/proc/$pid/status"
	case $CASE in
	none | landlock)
		want / readlink "/proc/$pid/root"
		same mnt
		;;
	chroot)
		want "$SHARE" readlink "/proc/$pid/root"
		same mnt
		;;
	namespace)
		for n in mnt pid net; do
			! same $n
		done
		# Its root is the share, and nothing else is mounted there but what it needs.
		[ -d "/proc/$pid/root/dir" ]
		[ ! -e "/proc/$pid/root/usr" ]
		;;
	esac
}

after() {
	want '5 6' stat -c '%u %g' dir
	want '1000 1000' stat -c '%u %g' mine
	want 'character special file' stat -c %F null
}
