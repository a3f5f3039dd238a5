# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# about: tar packs and unpacks extended attributes, ACLs, capabilities, holes, links and times, from and to the share
# guests: uml
# daemon: --xattr --posix-acl=auto --modcaps=+mknod
# root: yes

attributes() { (cd "$1" && find . -print0 | LC_ALL=C sort -z | xargs -0 getfattr -h -d -m '^(user|security|system.posix_acl)' --); }
listing() { (cd "$1" && find . -printf '%p %y %m %U:%G %n %s %T@ [%l]\n' | LC_ALL=C sort); }
sums() { (cd "$1" && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum); }
same() { # a b
	local what
	for what in attributes listing sums; do
		diff <($what "$1") <($what "$2")
	done
}

tree() { # dir
	local i
	mkdir -p "$1"/deep/er
	for ((i = 0; i < 40; i++)); do
		printf '%d %.*s\n' $i $((i * 50)) "$(printf '%02000d' $i)" >"$1/deep/file$i"
		setfattr -n user.number -v "value $i" "$1/deep/file$i"
		setfattr -n user.zero -v 0x6100620a00ff "$1/deep/file$i"
		chown $((1000 + i)):$((2000 + i)) "$1/deep/file$i"
		chmod $((i % 8))$((i % 5))4 "$1/deep/file$i"
		touch -h -d "@$((1000000000 + i)).123456789" "$1/deep/file$i"
	done
	setfattr -n user.empty "$1/deep"
	setfattr -n user.long -v "$(printf '%01500d' 0)" "$1/deep/er"
	printf program >"$1/program"
	# cap_net_raw=ep, revision 2
	setfattr -n security.capability -v 0x0100000200200000000000000000000000000000 "$1/program"
	ln "$1/deep/file2" "$1/deep/hard"
	ln -s file3 "$1/deep/soft"
	mkfifo -m 640 "$1/fifo"
	mknod "$1/null" c 1 3
	truncate -s 8M "$1/holes"
	printf middle | dd of="$1/holes" bs=1 seek=4000000 conv=notrunc status=none
	chmod 2775 "$1/deep/er"
	chmod 600 "$1/program"
	setfacl -m u:1234:r,g:55:rw "$1/program"
	setfacl -m u:77:rwx,d:u:78:rwx,d:g:79:r "$1/deep/er"
	touch -h -d @1111111111.5 "$1"/{fifo,null,holes,program,deep/soft}
	touch -d @1234567890.5 "$1/deep/er" "$1/deep" "$1"
}

pack() { # dir file
	tar --format=pax --acls --xattrs --xattrs-include='*' --sort=name --sparse --numeric-owner -C "$1" -cf "$2" .
}
unpack() { # file dir
	mkdir "$2"
	tar --acls --xattrs --xattrs-include='*' --numeric-owner --same-permissions --same-owner -C "$2" -xf "$1"
}

before() {
	tree host
	setfattr -n user.probe -v 1 host/program 2>/dev/null || skip "no extended attributes here"
	setfattr -x user.probe host/program
}

guest() {
	step "made on the host, packed in the guest"
	want 'cap_net_raw' bash -c "getfattr --only-values -n security.capability host/program | od -An -tx1 |
		grep -q '01 00 00 02 00 20 00 00' && echo cap_net_raw"
	pack host host.tar
	unpack host.tar copy
	drop_caches
	same host copy
	[ "$(stat -c %b copy/holes)" -lt 200 ]

	step "made in the guest"
	tree mine
	same host mine
	pack mine mine.tar
	unpack mine.tar mine.copy
	drop_caches
	same mine mine.copy
	rm -rf mine
	unpack host.tar mine

	step "the guest goes by ACLs"
	want program as 1234 cat copy/program
	fails 'Permission denied' as 1235 cat copy/program
	mkdir copy/deep/er/new
	want user:78:rwx bash -c "getfacl -n copy/deep/er/new 2>/dev/null | grep ^user:78"
	want default:group:79:r-- bash -c "getfacl -n copy/deep/er/new 2>/dev/null | grep ^default:group:79"
	rmdir copy/deep/er/new
	touch -d @1234567890.5 copy/deep/er

	step "what differs is seen"
	setfattr -n user.number -v other mine.copy/deep/file7
	if diff -q <(attributes host) <(attributes mine.copy) >/dev/null; then return 1; fi
	setfattr -n user.number -v "value 7" mine.copy/deep/file7
}

after() {
	local d
	for d in copy mine mine.copy; do
		same host $d
	done
	unpack mine.tar "$RUN/out"
	listing host | diff - <(listing "$RUN/out")
}
