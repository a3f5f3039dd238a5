# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# about: the calls of basic.c with the options that change which requests there are
# guests: uml uml-next
# daemon: --xattr
# case writeback: --cache always --writeback
# case killpriv: --killpriv-v2
# case direct: --allow-direct-io --preserve-noatime --no-readdirplus
# case mmap: --cache never --allow-mmap
# root: yes

before() {
	gcc -O1 -o program "$HERE/t/basic.c"
	mkdir calls
	echo 'from the host' >file
}

# This kernel is as new as that, or newer.
kernel() { # version
	[ "$(printf '%s\n' "$1" "$(uname -r)" | sort -V | head -n 1)" = "$1" ]
}

guest() {
	if [ "$CASE" = mmap ] && ! kernel 6.6; then
		skip "shared mappings without a cache take Linux 6.6 in the guest"
	fi
	(cd calls && ../program)

	step "set-id bits"
	cp /bin/true set-id
	chown 1000:1000 set-id
	chmod 6755 set-id
	as 1000 sh -c 'echo more >>set-id'
	want 755 stat -c %a set-id
	chmod 6755 set-id
	chown 1000:2000 set-id
	want 755 stat -c %a set-id
	chmod 6757 set-id
	as 3000 truncate -s 10 set-id
	want 757 stat -c %a set-id

	step "the host's side"
	want 'from the host' cat file
	echo 'from the guest' >guest
	dd if=/dev/zero of=big bs=64k count=40 status=none
	printf end >>big
	[ "$CASE" != direct ] || dd if=/dev/zero of=direct bs=64k count=4 oflag=direct status=none
	sync
	host sees
}

host_sees() {
	want 'from the guest' cat guest
	want 2621443 stat -c %s big
	want end tail -c 3 big
	[ "$CASE" != direct ] || want 262144 stat -c %s direct
	want 757 stat -c %a set-id
}
