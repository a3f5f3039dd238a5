# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# bench/guest's part in the guest: tests/guest/guest/main.sh sources it and calls guest().

# What is done: in the mount, with cold caches. What must be so before and afterwards is not timed.
work_untar() { tar -xf "/host$RUN/tree.tar"; }
work_find() { [ "$(find tree -type f -size -1000000k | wc -l)" = "$COUNT" ]; }
work_status() { [ -z "$(git -C repo status --porcelain)" ]; }
work_build() { make -s -C source; }
work_rm() { rm -rf tree; }

before_untar() { rm -rf tree; }
before_find() { [ -d tree ] || work_untar; }
before_status() { :; }
before_build() { rm -f source/*.o source/*/*.o; }
before_rm() { [ -d tree ] || work_untar; }

after_untar() { tar -df "/host$RUN/tree.tar"; }
after_find() { :; }
after_status() { :; }
after_build() { [ -s source/joined.o ]; }
after_rm() { [ ! -e tree ]; }

one() { # number round work arm
	local status=0 t0 t1
	mount -t virtiofs "$4" "$M"
	cd "$M" || return
	"before_$3"
	cd / || return
	# Unmounting is what makes all of it cold.
	umount "$M"
	drop_caches
	mount -t virtiofs "$4" "$M"
	cd "$M" || return
	host before "$4"
	t0=${EPOCHREALTIME/./}
	"work_$3" || status=1
	sync -f .
	t1=${EPOCHREALTIME/./}
	# The clock of the figures stops here; so must the daemon's.
	local ms=$(((t1 - t0) / 1000))
	host result "$1" "$2" "$3" "$4" $status $ms
	"after_$3"
	cd / || return
	umount "$M"
}

guest() {
	git config --global safe.directory '*'
	# Programs and libraries are read once before: they come over another file system.
	git --version >/dev/null
	echo 'int x;' >/tmp/x.c
	gcc -c -o /tmp/x.o /tmp/x.c
	cp "/host$RUN/plan" /tmp/plan
	cd / || return
	while read -r -u 3 -a words; do
		host more || break
		one "${words[@]}"
	done 3</tmp/plan
}
