# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# about: every kind of operation, as root and as a user; the host sees what the guest saw
# guests: uml qemu uml-next
# daemon: --xattr --modcaps=+mknod
# timeout: 240
# root: yes

before() {
	mkdir sub users
	chmod 1777 users
	echo 'from the host' >sub/host
	head -c 300000 /dev/urandom >blob
	sha256sum blob >blob.sum
	ln -s /nowhere/at/all dangling
	stat -f -c '%b %l' . >"$RUN/statfs"
	lsattr -d . >/dev/null 2>&1 && : >flags || :
	gcc -O1 -o program "$HERE/t/basic.c"
}

# What both sides must see alike: type, mode, owners, links, size (not a directory's), times of change, target.
view() {
	find . -mindepth 1 ! -name view \( -type d -printf '%P %y %m %U %G %n %T@ %C@\n' \
		-o -printf '%P %y %m %U %G %n %s %T@ %C@ %l\n' \) | LC_ALL=C sort
}

guest() {
	step "reading"
	want 'from the host' cat sub/host
	sha256sum -c --quiet blob.sum
	want /nowhere/at/all readlink dangling
	fails 'No such file' cat dangling
	want "$(host statfs; cat sub/statfs)" stat -f -c '%b %l' .

	step "files"
	echo one >f
	echo two >>f
	want $'one\ntwo' cat f
	truncate -s 5 f
	want 5 stat -c %s f
	cp blob copy
	cmp blob copy
	dd if=/dev/zero of=copy bs=1000 count=3 seek=5 conv=notrunc status=none
	mkfifo fifo
	echo through >fifo &
	want through cat fifo
	mknod null c 1 3
	mknod disk b 7 200
	want '1 3' stat -c '%Hr %Lr' null

	step "chattr"
	if [ -e flags ]; then
		chattr +d sub copy
		lsattr copy | grep -q '^[^ ]*d'
		host nodump
		# The sandbox does not have the capability.
		fails 'not permitted' chattr +i copy
	fi

	step "names"
	mkdir -p a/b/c
	fails 'not empty' rmdir a
	ln f a/hard
	want 2 stat -c %h f
	want "$(stat -c %i f)" stat -c %i a/hard
	ln -s ../f a/soft
	want 5 stat -L -c %s a/soft
	mv a/b z
	mv a/soft z/c/
	fails 'No such file' stat a/b
	fails 'subdirectory of itself' mv z z/c/
	touch victim
	rm victim
	fails 'No such file' rm victim

	step "attributes"
	chmod 4711 copy
	chmod 1777 z
	chown 1234:2345 z f
	chown -h 77:88 dangling
	want '77 88' stat -c '%u %g' dangling
	touch -d '2001-02-03 04:05:06.123456789 UTC' f
	want '981173106.123456789' stat -c %.9Y f
	touch -h -d '@12345.5' dangling
	chmod 0640 fifo
	mkdir setgid
	chown 0:4444 setgid
	chmod 2755 setgid
	touch setgid/inherits
	want 4444 stat -c %g setgid/inherits

	step "extended attributes"
	setfattr -n user.first -v 'a value' blob
	setfattr -n user.second -v "$(head -c 2000 /dev/zero | tr '\0' v)" blob
	want 'a value' getfattr --only-values -n user.first blob
	want 2000 wc -c < <(getfattr --only-values -n user.second blob)
	setfattr -x user.second blob
	fails 'No such attribute' getfattr -n user.second blob
	want 'user.first="a value"' grep user < <(getfattr -d blob)

	step "another user"
	echo secret >secret
	chmod 600 secret
	fails 'Permission denied' as 1000 cat secret
	fails 'Permission denied' as 1000 touch notmine
	as 1000 mkdir users/own
	as 1000 bash -c 'umask 027; echo mine >users/own/file; ln -s x users/own/link; mkfifo users/own/fifo'
	want '1000 1000 640' stat -c '%u %g %a' users/own/file
	want '1000 1000' stat -c '%u %g' users/own/link
	want '1000 1000 640' stat -c '%u %g %a' users/own/fifo
	fails 'Permission denied' as 1001 cat users/own/file
	fails 'not permitted' as 1001 mv users/own users/taken
	fails 'not permitted' as 1001 chmod 777 users/own/file
	want mine as 1000 cat users/own/file

	step "what takes a program"
	mkdir calls
	(cd calls && ../program)
	rm program

	sync
	drop_caches
	view >view
}

host_statfs() { cp "$RUN/statfs" sub/statfs; }

host_nodump() { want 2 grep -c '^[^ ]*d' < <(lsattr -d sub copy); }

after() {
	diff view <(view)
	cmp -n 5000 blob copy
	want $'one\nt' cat f
	want 'a value' getfattr --only-values -n user.first blob
	want 'one two three' cat calls/appended
	want written cat calls/mode-0000
	want $'mapped' dd if=calls/mapped bs=1 skip=9000 count=6 status=none
	want closed head -c 6 calls/mapped
	want $'fifo\ncharacter special file\nblock special file\nsocket' stat -c %F fifo null disk calls/socket
}
