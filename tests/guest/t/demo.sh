# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# about: what scripts/demo shows: real work on a share that has a source tree in "tree" and room in "work"
# guests: uml qemu
# named: yes
# mount: none
# tree: yes
# timeout: 600

sums() { # directory
	(cd "$1" && find . -type f -print0 | LC_ALL=C sort -z | xargs -0r sha256sum)
}

guest() {
	local n t0 t1
	say "Linux $(uname -r) is up; mount -t virtiofs $TAG $M"
	share_mount
	cd "$M"
	say "mounted: $(df -h . | awk 'NR == 2 { print $2 " in all, " $4 " free" }'); ls: $(ls -m)"
	n=$(find tree -type f | wc -l)
	say "listed the tree: $n files in $(find tree -type d | wc -l) directories; now a checksum of each"
	sums tree >work/sums
	say "read $(du -sm tree | cut -f 1) MiB; the host compares the checksums with its own"
	host compare
	say "they are the same, all $(wc -l <work/sums)"

	say "unpack an archive of 20,000 files on the share"
	tar -xf "/host$TREE_TAR" -C work
	say "unpacked $(find work/tree -type f | wc -l) files; the host compares them with the archive"
	host compare_tar
	say "they are the same, with modes and times"

	say "build a C program on the share, and run it there"
	mkdir work/hello
	cd work/hello
	printf '#include <stdio.h>\nint main(void)\n{\n\tputs("hello from the share");\n\treturn 0;\n}\n' >hello.c
	printf 'hello: hello.c\n\tcc -O2 -Wall -o hello hello.c\n' >Makefile
	make -s
	want "hello from the share" ./hello
	say "it says: $(./hello)"

	say "git init, add, commit, status"
	echo hello >.gitignore
	git init -q -b main .
	git add .
	git commit -q -m "a program"
	want '' git status --porcelain
	say "$(git log -1 --oneline): $(git ls-files | wc -l) files, the work tree is clean"

	say "the host edits hello.c"
	t0=$(date +%s%N)
	host edit
	until grep -q 'edited on the host' hello.c; do sleep 0.02; done
	t1=$(date +%s%N)
	say "the guest sees the new line after $(((t1 - t0) / 1000000)) ms; git status:$(git status --porcelain)"

	say "rm -rf of what was unpacked"
	cd "$M"
	rm -rf work/tree
	want "$(printf 'hello\nsums')" ls work
	say "it is gone"
}

host_compare() { diff work/sums <(sums tree); }
host_compare_tar() { tar -C work -df "$TREE_TAR"; }
host_edit() { echo '/* edited on the host */' >>work/hello/hello.c; }

after() { [ -x work/hello/hello ]; }
