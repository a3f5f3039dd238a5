# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# about: a source tree of 20,000 files is unpacked, compared, committed and removed, and the daemon is as it was
# guests: uml qemu uml-next
# tree: yes
# timeout: 1200

# Three at once, which hides some of the latency of an emulated guest: each takes a part of the tree's folders. Of these
# sysdeps is more than half, so its own are dealt out.
tops() { sed -n 's|^\(tree/sysdeps/[^/]\+\)/\?$|\1|p; \|^tree/sysdeps/|d; s|^\(tree/[^/]\+\)/\?$|\1|p' >"$RUN/tops"; }
part() { # which
	awk -v n="$1" 'NR % 3 == n' "$RUN/tops"
}
thrice() { # function
	local n pids=() pid
	for n in 0 1 2; do
		"$1" $n &
		pids+=($!)
	done
	for pid in "${pids[@]}"; do wait "$pid"; done
}
unpack_part() { part "$1" | tar -xf "$TREE" -T -; }
remove_part() { part "$1" | xargs -d '\n' rm -rf; }
sums_part() {
	part "$1" | xargs -d '\n' -I{} find {} -type f -print0 | xargs -0r sha256sum >"$RUN/sums.$1"
}
sums() {
	thrice sums_part
	LC_ALL=C sort "$RUN"/sums.{0,1,2}
}

# An emulated guest would take minutes to make 20,000 objects: there the host makes the repository, and the guest finds
# that the tree is what was committed, which reads every file.
before() {
	[[ $GUEST = qemu* ]] || return 0
	export GIT_AUTHOR_NAME=Host GIT_AUTHOR_EMAIL=host@localhost GIT_COMMITTER_NAME=Host GIT_COMMITTER_EMAIL=host@localhost
	mkdir "$RUN/git"
	cd "$RUN/git"
	tar -xf "$TREE_TAR" --strip-components=1
	git init -q -b main .
	git config gc.auto 0 # it would go on behind our back
	git add .
	git commit -q -m all
	git repack -adq
	mv .git "$SHARE/repository"
	rm -rf "$RUN/git"
}

guest() {
	RUN=/tmp TREE=/host$TREE_TAR
	tar -tf "$TREE" | tops
	ls -A >list # what the daemon needs anyway is there before the first count
	sync
	drop_caches
	host before_all

	step "unpack"
	mkdir tree # tar does not bear that another one makes it at the same time
	thrice unpack_part
	drop_caches
	step "checksums"
	sums >sums
	step "compare on the host"
	host compare
	cd tree
	if [ -d ../repository ]; then
		step "git status with the host's repository"
		mv ../repository .git
	else
		step "git add and commit"
		git init -q -b main .
		git config gc.auto 0
		git add .
		git commit -q -m all
	fi
	want '' git status --porcelain
	want 20000 grep -c ^100 < <(git ls-files -s)
	step "git status, cold"
	drop_caches
	want '' git status --porcelain
	step "a change"
	echo change >>README
	mkdir new
	echo new >new/file
	want $' M README\n?? new/' git status --porcelain
	git add .
	git commit -q -m change
	want '' git status --porcelain
	cd ..
	step "rm -rf"
	rm -rf tree/.git tree/new
	thrice remove_part
	rmdir tree/sysdeps tree
	rm sums
	step "drop caches"
	drop_caches
	host after_first

	step "again, for what leaks"
	tar -xf "$TREE" tree/elf tree/posix tree/nptl
	ls -lR tree >/dev/null
	rm -rf tree
	drop_caches
	host after_second
}

host_before_all() {
	daemon_fds >"$RUN/fds"
	daemon_rss >"$RUN/rss"
	echo "before: $(cat "$RUN/fds") descriptors, $(cat "$RUN/rss") KiB"
}

host_compare() {
	tar -df "$TREE_TAR" # contents, modes, times
	tar -tf "$TREE_TAR" | tops
	diff sums <(sums)
}

# FORGETs may be on their way when the guest has answered, and each closes a file that was removed: 6 ms, on a disk that is
# busy and discards at once.
fds_back() { [ "$(daemon_fds)" = "$(cat "$RUN/fds")" ]; }

counted() { # what limit-in-KiB
	local rss
	if ! eventually 100 fds_back; then
		echo "FAIL: $1: $(daemon_fds) descriptors; there were $(cat "$RUN/fds")"
		return 1
	fi
	rss=$(daemon_rss)
	echo "$1: $(daemon_fds) descriptors, $rss KiB"
	if ! daemon_sanitized && [ $((rss - $(cat "$RUN/rss"))) -gt "$2" ]; then
		echo "FAIL: $1: memory grew from $(cat "$RUN/rss") to $rss KiB; $2 are allowed"
		return 1
	fi
	echo "$rss" >"$RUN/rss"
}

# Freed memory may stay with the allocator and the tables keep their size: 20,000 inodes are worth a few MiB. The second
# time must find all of that, so what grows then leaks.
host_after_first() {
	want list ls -A
	counted "after 20,000 files" 16384
}

host_after_second() { counted "after the second time" 512; }

after() { want list ls -A; }
