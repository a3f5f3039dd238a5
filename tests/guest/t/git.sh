# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# about: git on a repository of 300 commits: import, clone, gc, fsck, branches, worktrees, fetch and push
# guests: uml
# root: yes
# timeout: 300

COMMITS=300

# A history for git fast-import: 40 files in folders that change in turn, a rename and a removal now and then, a script,
# a symbolic link, three side branches and their merges, tags.
history() {
	local i
	printf 'feature done\n'
	for ((i = 1; i <= COMMITS; i++)); do
		local side=main
		((i % 25 < 20 || i < 25)) || side=side$((i / 100))
		printf 'commit refs/heads/%s\nmark :%d\ncommitter Guest <guest@localhost> %d +0000\n' $side $i $((1600000000 + i * 60))
		printf 'data <<.\nchange %d\n.\n' $i
		((i == 1)) || printf 'from :%d\n' $((i - 1))
		((i < 50 || i % 25)) || printf 'merge :%d\n' $((i - 20))
		printf 'M 100644 inline src/part%d/file%d.c\ndata <<.\n' $((i % 8)) $((i % 40))
		printf 'line %d of change '"$i"'\n' {1..30}
		printf '.\n'
		((i % 60)) || printf 'R src/part%d/file%d.c doc/file%d.txt\n' $((i % 8)) $((i % 40)) $i
		((i % 90)) || printf 'D doc/file%d.txt\n' $i
		((i != 10)) || printf 'M 100755 inline run\ndata <<.\n#!/bin/sh\n.\nM 120000 inline link\ndata 14\nsrc/part1/file\n'
		((i % 100)) || printf 'reset refs/tags/v%d\nfrom :%d\n' $i $i
	done
	printf 'done\n'
}

# The same, made by a git that is on no share, to compare with.
before() {
	git init -q -b main --bare "$RUN/ref.git"
	history | git -C "$RUN/ref.git" fast-import --quiet
	git -C "$RUN/ref.git" for-each-ref >refs
}

modes() { # mode: of every object file and pack, and no other
	want "$1" bash -c "find '$2' -type f \\( -path '*/objects/??/*' -o -name '*.pack' -o -name '*.idx' \\) -printf '%m\n' | sort -u"
}

fsck() { # repository
	want '' git -C "$1" fsck --full --strict --no-dangling --no-progress
}

guest() {
	local b
	git config --global safe.directory '*'
	export GIT_PROGRESS_DELAY=9999
	step "import"
	git init -q -b main --bare origin.git
	history | git -C origin.git fast-import --quiet
	git -C origin.git for-each-ref | diff refs -

	step "clone: by links, by pack, and read back cold"
	git clone -q origin.git links
	git clone -q --no-local -b main "$M/origin.git" work
	drop_caches
	fsck work
	modes 444 work/.git
	want '' git -C links status --porcelain
	want 2 stat -c %h links/.git/objects/pack/*.pack
	cd work || return

	step "as a plain user, who may not write what is 0444"
	mkdir -m 777 "$M/plain"
	as 1000 git clone -q --no-local "$M/origin.git" "$M/plain/clone"
	want 1000 bash -c "find $M/plain/clone -printf '%U\n' | sort -u"
	(cd "$M/plain/clone" && echo new >file && as 1000 git add run && chown 1000 file &&
		as 1000 git add file && as 1000 git commit -q -m plain)
	modes 444 "$M/plain/clone/.git"
	want '' as 1000 git -C "$M/plain/clone" fsck --full --no-dangling --no-progress
	fails 'Permission denied' as 1000 bash -c "echo >>\$(ls -d $M/plain/clone/.git/objects/??/* | head -n 1)"

	step "check out all that there is"
	for b in side1 side2 v100 v200 v300 main; do
		git checkout -q $b
		want '' git status --porcelain
		want "$(git rev-parse "$b^{tree}")" git write-tree
	done
	want src/part1/file readlink link
	want 755 stat -c %a run

	step "work: commits, a merge, a rebase, a stash, loose objects"
	git checkout -q -b topic v200
	for b in 1 2 3; do
		echo "topic $b" >"topic$b"
		git add .
		git commit -q -m "topic $b"
	done
	git rebase -q main
	git checkout -q main
	git merge -q --no-ff -m merged topic
	echo changed >>run
	git stash -q
	want '' git status --porcelain
	git stash pop -q
	want ' M run' git status --porcelain
	git checkout -q run

	step "a worktree"
	git worktree add -q ../tree side2
	want '' git -C ../tree status --porcelain
	echo more >../tree/more
	git -C ../tree add more
	git -C ../tree commit -q -m more
	mv ../tree ../moved
	git worktree repair ../moved >/dev/null 2>&1
	want '' git -C ../moved status --porcelain
	git worktree remove ../moved
	[ ! -e ../moved ]

	step "push and fetch"
	git push -q origin main side2 topic
	git -C ../links pull -q
	want "$(git rev-parse main)" git -C ../links rev-parse HEAD

	step "gc, twice"
	git gc -q --prune=now
	git repack -q -a -d -f
	want 0 bash -c "find .git/objects/?? -type f 2>/dev/null | wc -l"
	want 1 bash -c "ls .git/objects/pack/*.pack | wc -l"
	modes 444 .git
	drop_caches
	fsck .
	want '' git status --porcelain
	git log --all --format='%H %T' | sort >../log
	cd ..

	step "one byte is wrong"
	cp -r work broken
	chmod u+w broken/.git/objects/pack/*.pack
	printf X | dd of="$(echo broken/.git/objects/pack/*.pack)" bs=1 seek=3000 conv=notrunc status=none
	if git -C broken fsck --full >/dev/null 2>&1; then return 1; fi
	rm -rf broken
	[ ! -e broken ]
}

# What the guest made is whole on the host.
after() {
	export LC_ALL=C
	git -C work fsck --full --strict --no-dangling --no-progress
	git -C origin.git fsck --full --no-dangling --no-progress
	git -C work log --all --format='%H %T' | sort | diff log -
	git -C work checkout -q side1
	want '' git -C work status --porcelain
}
