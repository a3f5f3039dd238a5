# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# about: attributes by other names, ACLs, and overlayfs with its upper directory on the share
# guests: uml uml-next qemu
# daemon: --modcaps=+mknod
# case acl: --posix-acl
# case trusted: --xattrmap=:map:trusted.:user.virtiofs.:
# case user: --xattr
# case label: --security-label --sandbox none
# timeout: 240
# root: yes

before() {
	for t in getfacl getfattr; do
		command -v $t >/dev/null || skip "the packages acl and attr are not installed"
	done
	setfattr -n user.probe -v x . 2>/dev/null || skip "no attributes on this file system"
	setfattr -x user.probe .
	mkdir work twin
	chmod 755 work twin
	if [ "$CASE" = acl ]; then
		setfacl -m u:1234:r work || skip "no ACLs on this file system"
		setfacl -b work
	fi
}

# What is done in the guest's directory and on the host in its twin, and must come to the same.
acl_script() {
	setfacl -m u:1234:rwx,g:2345:r-x .
	setfacl -d -m u::rwx,u:1234:rwx,g::r-x,m::rwx,o::--- .
	(umask 022 && echo one >file && mkdir dir && mkfifo fifo)
	(umask 077 && echo two >dir/private && mkdir dir/deep && mknod dir/node c 1 3)
	setfacl -b -k dir/deep
	(umask 027 && echo three >dir/deep/plain && mkdir dir/deep/er && touch dir/deep/er/file)
	(umask 0 && touch dir/deep/open)
	ln -s file link
	cp -p file copied
	cp file again
	chmod 640 file
	setfacl -m m::rx copied
	setfacl -x u:1234 again
	chgrp 2345 again
	chmod g+s dir
	touch dir/in-the-group
	mv dir/private moved
	tar --acls --xattrs --xattrs-include='user.*' -cf ../"$1".tar dir
	mkdir unpacked
	setfacl -b -k unpacked
	tar --acls --xattrs --xattrs-include='user.*' -C unpacked -xf ../"$1".tar
	rm ../"$1".tar
}

acl_guest() {
	chmod 1777 .
	cd work || return
	acl_script guest
	step "who may what"
	echo secret >shared
	setfacl -b shared
	chmod 600 shared
	fails 'Permission denied' as 1234 cat shared
	setfacl -m u:1234:r shared
	want secret as 1234 cat shared
	fails 'Permission denied' as 1234 tee shared </dev/null
	fails 'Permission denied' as 1235 cat shared
	setfacl -m m::- shared
	fails 'Permission denied' as 1234 cat shared
	fails 'not permitted' as 1235 setfacl -m u:1235:rw shared
	rm shared
	# Where an ACL lets a user write, files are made for that user, with what they inherit.
	as 1234 bash -c 'umask 077; touch theirs; mkdir theirdir'
	want 1234 stat -c %u theirs
	want 'user:1234:rwx' grep '^user:1234' < <(getfacl -cp theirdir)
	rm -r theirs theirdir
	drop_caches
	getfacl -nR . >../guest.acl
}

acl_after() {
	(cd twin && acl_script host)
	(cd work && getfacl -nR .) >host.acl
	diff guest.acl host.acl
	diff <(cd work && getfacl -nR .) <(cd twin && getfacl -nR .)
	diff <(cd work && find . -printf '%P %M\n' | sort) <(cd twin && find . -printf '%P %M\n' | sort)
}

layers_lower() {
	mkdir -p lower/{dir/sub,gone,kept}
	echo lower >lower/file
	echo lower >lower/dir/a
	echo lower >lower/dir/sub/b
	echo lower >lower/gone/c
	echo lower >lower/removed
	echo lower >lower/kept/d
	setfattr -n user.tag -v lower lower/file
}

# Change a mounted overlay in each way that leaves something of its own in the upper directory.
layers_change() {
	echo upper >>m/file
	rm m/removed
	rm -r m/gone
	mkdir m/gone
	echo new >m/gone/new
	rm m/dir/a
	mv m/kept/d m/kept/e
	chmod 700 m/kept
	setfattr -n user.tag -v upper m/file
	mkdir m/made
	rmdir m/made
	echo more >>m/dir/sub/b
	# Longer than names are good for without being asked for again.
	sleep 1.1
	ln m/file m/hard
	echo z >m/f0
	fails 'File exists' ln m/f0 m/dir/sub/b
	mv m/f0 m/dir/sub/b
	mv m/dir/sub m/moved
	echo x >m/f1
	echo y >m/f2
	mv m/f1 m/f2
}

layers_seen() { # mount
	(cd "$1" && find . -mindepth 1 -printf '%P %M\n' && cat file gone/new kept/e moved/b f2 &&
		getfattr --only-values -n user.tag file && echo) | sort
}

layers_guest() {
	local opts='' prefix=trusted
	[ "$CASE" = trusted ] || opts=,userxattr prefix=user
	mkdir lower upper w m
	layers_lower
	mount -t overlay -o "lowerdir=lower,upperdir=upper,workdir=w$opts" overlay m
	if dmesg | grep -E 'overlayfs: .*(does not support (RENAME_WHITEOUT|xattr|d_type)|failed)'; then
		return 1
	fi
	layers_change
	layers_seen m >seen
	grep -q '^lower$' seen
	umount m

	step "what is in the upper directory"
	want '0 0 character special file' stat -c '%Hr %Lr %F' upper/removed
	want '0 0 character special file' stat -c '%Hr %Lr %F' upper/dir/a
	want y getfattr --only-values -n "$prefix.overlay.opaque" upper/gone

	step "mounted again"
	drop_caches
	mount -t overlay -o "lowerdir=lower,upperdir=upper,workdir=w$opts" overlay m
	diff seen <(layers_seen m)
	umount m

	step "the upper directory as a layer: packed, unpacked, and put upon the lower"
	tar --xattrs --xattrs-include='*' -C upper -cf layer.tar .
	mkdir layer
	tar --xattrs --xattrs-include='*' -C layer -xf layer.tar
	mkdir upper2 w2
	mount -t overlay -o "lowerdir=layer:lower,upperdir=upper2,workdir=w2$opts" overlay m
	diff seen <(layers_seen m)
	echo third >m/removed
	want third cat m/removed
	rm m/removed
	rm m/f2
	umount m
	want '0 0' stat -c '%Hr %Lr' upper2/f2

	step "a whiteout takes no privilege, a device does"
	mkdir -m 777 users
	as 1000 mknod users/whiteout c 0 0
	want '1000 0 0' stat -c '%u %Hr %Lr' users/whiteout
	fails 'not permitted' as 1000 mknod users/null c 1 3
}

names_guest() {
	step "names"
	echo >work/file
	setfattr -n user.a -v one work/file
	setfattr -h -n user.long -v "$(head -c 2000 /dev/zero | tr '\0' v)" work/file
	want one getfattr --only-values -n user.a work/file
	case $CASE in
	trusted)
		setfattr -n trusted.a -v two work/file
		want two getfattr --only-values -n trusted.a work/file
		want $'trusted.a\nuser.a\nuser.long' names work/file
		# Its name on the host is no way to it.
		fails 'not permitted' setfattr -n user.virtiofs.trusted.a -v three work/file
		fails 'not permitted' getfattr -n user.virtiofs.trusted.a work/file
		chmod 666 work/file
		fails 'not permitted' as 1000 setfattr -n user.virtiofs.trusted.a -v three work/file
		fails 'not permitted' as 1000 setfattr -n trusted.a -v three work/file
		;;
	user)
		fails 'not permitted' setfattr -n trusted.a -v two work/file
		want $'user.a\nuser.long' names work/file
		# ACLs were not asked for.
		fails 'not supported' setfacl -m u:1234:r work/file
		;;
	esac
	setfattr -x user.long work/file
	fails 'No such attribute' getfattr -n user.long work/file
}

names() {
	getfattr --absolute-names -m - "$1" | grep -v '^#' | grep . | sort
}

# Without a policy SELinux calls everything unlabeled, and sends that with all that it creates: at the end of the request
# up to Linux 6.2, announced in its header since. A guest without SELinux says that there is none.
label_guest() {
	echo content >file
	mkdir dir
	mkfifo fifo
	ln -s "$(head -c 4000 /dev/zero | tr '\0' x)" long
	ln -s a short
	cp -r dir copy
	want content cat file
	want a readlink short
	want 4001 wc -c < <(readlink long)
	want fifo stat -c %F fifo
	! grep -q selinuxfs /proc/filesystems || touch selinux
}

guest() {
	case $CASE in
	acl)
		acl_guest
		;;
	label)
		label_guest
		;;
	*)
		names_guest
		layers_guest
		;;
	esac
}

after() {
	case $CASE in
	acl)
		acl_after
		;;
	trusted)
		want two getfattr --only-values -n user.virtiofs.trusted.a work/file
		want y getfattr --only-values -n user.virtiofs.trusted.overlay.opaque upper/gone
		want '0 0' stat -c '%Hr %Lr' upper/removed
		;;
	label)
		[ -f selinux ] || return 0
		for f in file dir fifo long short copy; do
			want unlabeled getfattr -h --only-values -n security.selinux $f
		done
		;;
	user)
		want y getfattr --only-values -n user.overlay.opaque upper/gone
		want '0 0' stat -c '%Hr %Lr' upper/removed
		;;
	esac
}
