# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# about: --readonly lets the guest read and change nothing
# daemon: --readonly --xattr

before() {
	mkdir dir
	echo text >dir/file
	ln -s file dir/link
	setfattr -n user.x -v y dir/file
	chmod 1777 . dir
	find . -printf '%p %y %m %U %G %n %s %T@ %l\n' | sort >"$RUN/before"
}

guest() {
	want text cat dir/link
	want file ls dir -I link
	want y getfattr --only-values -n user.x dir/file
	stat -f . >/dev/null
	local e='Read-only file system'
	fails "$e" touch new
	fails "$e" mkdir new
	fails "$e" mkfifo new
	fails "$e" ln -s a new
	fails "$e" ln dir/file new
	fails "$e" mv dir/file new
	fails "$e" rm dir/file
	fails "$e" rmdir dir
	fails "$e" chmod 600 dir/file
	fails "$e" chown 1 dir/file
	fails "$e" touch dir/file
	fails "$e" truncate -s 0 dir/file
	fails "$e" fallocate -l 100 dir/file
	fails "$e" setfattr -n user.z -v y dir/file
	fails "$e" setfattr -x user.x dir/file
	fails "$e" bash -c 'echo more >>dir/file'
	fails "$e" as 1000 touch dir/new
}

after() {
	find . -printf '%p %y %m %U %G %n %s %T@ %l\n' | sort | diff "$RUN/before" -
	want y getfattr --only-values -n user.x dir/file
}
