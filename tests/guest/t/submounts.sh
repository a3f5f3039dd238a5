# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# about: file systems that are mounted inside the share, announced and not
# case announced: --announce-submounts
# case plain: --no-announce-submounts
# root: yes

before() {
	mkdir -p sub dir/sub
	submount sub
	submount dir/sub
	touch sub/{1..40}
	echo 'in the share' >file
	echo 'in the first' >sub/file
	echo 'in the second' >dir/sub/file
	mkdir sub/deep
}

dev() { stat -c %d "$1"; }

guest() {
	want 'in the share' cat file
	want 'in the first' cat sub/file
	want 'in the second' cat dir/sub/file
	want 42 wc -l < <(ls sub)
	echo written >sub/deep/new
	fails 'cross-device' ln file sub/hard
	mv sub/1 moved
	want 41 wc -l < <(ls sub)
	case $CASE in
	announced)
		mountpoint -q sub
		mountpoint -q dir/sub
		[ "$(dev sub)" != "$(dev .)" ]
		[ "$(dev sub/file)" = "$(dev sub)" ]
		[ "$(dev dir/sub)" != "$(dev sub)" ]
		want file find . -maxdepth 1 -type f -xdev -name file -printf '%f'
		want '' find . -xdev -path '*sub/*'
		;;
	plain)
		! mountpoint -q sub
		[ "$(dev sub)" = "$(dev .)" ]
		;;
	esac
	# Two files of one number on two file systems are two files.
	drop_caches
	want 'in the first' cat sub/file
	want 'in the second' cat dir/sub/file
	ls -lR >/dev/null
}

after() {
	want written cat sub/deep/new
	[ -f moved ]
}
