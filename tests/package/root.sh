#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The Debian package on a bare system: it is installed beside the distribution's virtiofsd, its daemon serves a mount on
# the host, a real guest and the demo, and when it is purged everything is as it was.
#
# usage: tests/package/root.sh SUITE DEB
#
# Theory of operation: the system is a folder that mmdebstrap fills from this machine's mirror. The test runs in a mount
# namespace of its own, so that no mount is left however it ends. The folder is bound to itself there, because the
# sandbox calls pivot_root(2), which wants a root that is a mount point. Needs root.
set -u
if [ -z "${CULVERT_MNT_NS-}" ]; then
	CULVERT_MNT_NS=1 exec unshare --mount --propagation private "$0" "$@"
fi
# shellcheck source=tests/package/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
suite=${1-} deb=${2-}
[ -f "$deb" ] || die "usage: $0 SUITE DEB"
CACHE=$TOP/.cache/guest
# shellcheck source=tests/guest/lib/fetch.sh
. "$TOP/tests/guest/lib/fetch.sh"
ROOT=$WORK/root
DAEMON=/usr/libexec/culvert/virtiofsd
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8

in_root() { chroot "$ROOT" "$@"; }
apt() { in_root apt-get -qq -o Dpkg::Use-Pty=0 -o Acquire::Languages=none -o DPkg::Options::=--force-unsafe-io "$@"; }

# All files but those that apt and dpkg keep for themselves.
snapshot() {
	(cd "$ROOT" && find . -xdev \( -path ./proc -o -path ./sys -o -path ./dev -o -path ./tmp -o -path ./var/cache -o -path ./var/log \
		-o -path ./var/lib/apt -o -path ./var/lib/dpkg -o -path ./etc/ld.so.cache \) -prune -o -printf '%p %y %m %U %G %l\n' |
		LC_ALL=C sort)
}

bootstrap() {
	local mirror
	mirror=$(apt_mirror) || return
	mkdir "$ROOT" && mmdebstrap --quiet --variant=apt --dpkgopt=force-unsafe-io --aptopt='Acquire::Languages "none"' \
		"$suite" "$ROOT" "deb $mirror $suite main" || return
	mount --bind "$ROOT" "$ROOT" && mount -t proc proc "$ROOT/proc" && mount --rbind /dev "$ROOT/dev" &&
		mount -t tmpfs tmpfs "$ROOT/run" && cp /etc/resolv.conf "$ROOT/etc/resolv.conf" && cp "$deb" "$ROOT/tmp/culvert.deb" &&
		apt update && snapshot >"$WORK/before"
}

install() {
	apt --no-install-recommends install /tmp/culvert.deb && in_root "$DAEMON" --version
}

# dpkg refuses a file that another package has. What the other package needs is not needed for that.
beside() {
	local pkg=virtiofsd
	in_root apt-cache show virtiofsd >/dev/null 2>&1 || pkg=qemu-system-common
	in_root sh -ec "cd /tmp && apt-get -qq -o APT::Sandbox::User=root download $pkg && dpkg --force-depends --unpack ./${pkg}_*.deb" &&
		[ "$(in_root dpkg -S "*virtiofsd*" | cut -d : -f 1 | sort -u | wc -l)" = 2 ] && in_root dpkg --purge $pkg
}

gone() { # pid
	local i
	for ((i = 0; i < 500; i++)); do
		kill -0 "$1" 2>/dev/null || return 0
		sleep 0.02
	done
	return 1
}

# What the package installs is enough to serve a share and to mount it.
session() {
	local pid status
	mkdir -p "$ROOT/srv/share" "$ROOT/mnt/share" && echo host >"$ROOT/srv/share/file" || return
	in_root "$DAEMON" --socket-path /run/fs.sock --shared-dir /srv/share --xattr &
	pid=$!
	until [ -S "$ROOT/run/fs.sock" ]; do kill -0 $pid && sleep 0.02 || return; done
	in_root virtiofs-mount /run/fs.sock /mnt/share && work_on /mnt/share in_root
	status=$?
	umount "$ROOT/mnt/share" || kill $pid
	gone $pid && wait $pid && [ $status = 0 ] && [ "$(cat "$ROOT/srv/share/hard")" = guest ] &&
		[ ! -e "$ROOT/run/fs.sock" ] && [ ! -e "$ROOT/run/fs.sock.pid" ] && rm -r "$ROOT/srv/share" && rmdir "$ROOT/mnt/share"
}

# With those above it; outside_no_more removes what was made.
make_dir() { [ -d "$1" ] || { make_dir "${1%/*}" && mkdir "$1" && echo "$1" >>"$WORK/made"; }; }

# The daemon in the root for harnesses outside of it: their folders are there under their own names, and what they mount
# in these is, too. The folder of the demo is one of our own.
outside() {
	local dir
	mkdir -p "$WORK/guest" "$WORK/demo" "$CACHE" "$TOP/.cache/demo" && mount --bind "$WORK/demo" "$TOP/.cache/demo" || return
	for dir in "$WORK/guest" "$TOP/.cache"; do
		make_dir "$ROOT$dir" && mount --rbind "$dir" "$dir" && mount --make-rshared "$dir" && mount --rbind "$dir" "$ROOT$dir" || return
	done
	printf '#!/bin/sh\nexec chroot "%s" %s "$@"\n' "$ROOT" $DAEMON >"$WORK/daemon" && chmod 755 "$WORK/daemon"
}

outside_no_more() {
	local dir
	for dir in "$TOP/.cache" "$WORK/guest"; do
		umount -R "$ROOT$dir" && umount -R "$dir" || return
	done
	tac "$WORK/made" | xargs -d '\n' rmdir
}

guest() {
	TMPDIR=$WORK/guest "$TOP/tests/guest/run" --daemon "$WORK/daemon" --log "$WORK/log" --guest uml --verbose --jobs 1 basic
}

demo() {
	TMPDIR=$WORK/guest make -s -C "$TOP" demo DAEMON="$WORK/daemon" && cd "$WORK/demo/share" && [ -x work/hello/hello ]
}

# Removed, it leaves what Debian calls its configuration; purged, nothing. Who has installed libraries with it can tell
# apt to take them along.
purge() {
	apt remove culvert && [ ! -e "$ROOT$DAEMON" ] && [ -e "$ROOT/etc/apparmor.d/usr.libexec.culvert.virtiofsd" ] &&
		apt purge --autoremove culvert && snapshot >"$WORK/after" && same "$WORK/before" "$WORK/after"
}

check "$suite: a bare system" bootstrap || exit 1
check "$suite: the package installs" install && {
	check "$suite: beside the distribution's" beside
	check "$suite: a session with what is installed" session
	check "$suite: folders of harnesses" outside && {
		check "$suite: a guest" guest
		check "$suite: make demo" demo
		check "$suite: no folders of harnesses" outside_no_more
	}
}
check "$suite: purged, nothing is left" purge
verdict
