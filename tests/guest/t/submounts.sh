# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# about: file systems that are mounted inside the share, before and later, nested and bound, announced and not
# case announced: --announce-submounts
# case plain: --no-announce-submounts
# timeout: 300
# root: yes

before() {
	mkdir -p sub dir/sub later same/deep bound
	submount sub
	submount dir/sub
	touch sub/{1..40}
	echo 'in the share' >file
	echo 'in the first' >sub/file
	echo 'in the second' >dir/sub/file
	mkdir sub/deep sub/nested
	submount sub/nested
	echo 'in the third' >sub/nested/file
	# The same directory twice.
	echo same >same/file
	echo deep >same/deep/file
	mount --bind same bound
	realpath bound >>"$RUN/mounts"
	# What is mounted in here later reaches the daemon.
	submount later
	mount --make-shared later
	mkdir later/{one,two}
	echo under | tee later/file later/one/file >later/two/file
}

dev() { stat -c %d "$1"; }

# Each a device of its own, or all the same one.
devices() { # path...
	local n=1
	[ "$CASE" = plain ] || n=$#
	want "$n" wc -l < <(stat -c %d "$@" | sort -u)
	shift # the share itself
	for p; do
		if [ "$CASE" = plain ]; then
			! mountpoint -q "$p"
		else
			mountpoint -q "$p"
			want "$(dev "$p")" stat -c %d "$p/file"
		fi
	done
}

guest() {
	step "mounted before"
	want 'in the share' cat file
	want 'in the first' cat sub/file
	want 'in the second' cat dir/sub/file
	want 'in the third' cat sub/nested/file
	want 43 wc -l < <(ls sub)
	echo written >sub/deep/new
	fails 'cross-device' ln file sub/hard
	fails 'cross-device' ln sub/file sub/nested/hard
	mv sub/1 moved
	want 42 wc -l < <(ls sub)
	# stat(2) alone does not mount what it looks at.
	want same cat bound/file
	devices . sub dir/sub sub/nested bound
	if [ "$CASE" = announced ]; then
		want file find . -xdev -maxdepth 1 -type f -name file -printf '%f'
		want '' find . -xdev -path '*sub/*'
		want '' find . -xdev -path '*bound/*'
	fi
	# Two files of one number on two file systems are two files.
	drop_caches
	want 'in the first' cat sub/file
	want 'in the second' cat dir/sub/file
	# Without devices of their own two directories may look like one, and ls(1) would take it for a loop.
	[ "$CASE" = plain ] || ls -lR >/dev/null

	step "bound"
	want deep cat bound/deep/file
	want "$(stat -c %i same/file)" stat -c %i bound/file
	fails 'cross-device' ln same/file bound/hard
	echo changed >bound/file
	sleep 1.1
	want changed cat same/file
	rm same/file
	sleep 1.1
	fails 'No such file' cat bound/file
	echo new >same/file

	step "mounted later, on a directory that is known"
	want under cat later/one/file
	host later one
	sleep 1.1
	want later cat later/one/file
	devices . later later/one
	echo written >later/one/new
	host holds one

	step "unmounted when the guest has let go"
	[ "$CASE" = plain ] || umount later/one
	drop_caches
	host unmounts one
	sleep 1.1
	want under cat later/one/file
	! mountpoint -q later/one
	# And once more, another one.
	host later one
	sleep 1.1
	want later cat later/one/file
	fails 'No such file' cat later/one/new
	devices . later later/one

	step "taken away while it is in use"
	host later two
	sleep 1.1
	want later cat later/two/file
	# Not an open file where it is announced: closing the last one of a mount that is gone crashes Linux 6.1.
	[ "$CASE" = announced ] || exec 8<later/two/file
	host detach two
	sleep 1.1
	want under cat later/two/file
	! mountpoint -q later/two
	if [ "$CASE" = plain ]; then
		want later cat <&8
		exec 8<&-
	fi
}

host_later() { # directory
	submount "later/$1"
	echo later >"later/$1/file"
}

# The guest has it: it is in use.
host_holds() { # directory
	want written cat "later/$1/new"
	! umount "later/$1" 2>/dev/null
}

host_unmounts() { # directory
	eventually 10 umount "later/$1"
}

host_detach() { # directory
	umount -l "later/$1"
}

after() {
	want written cat sub/deep/new
	[ -f moved ]
}
