// SPDX-License-Identifier: Apache-2.0
/* What the host does to names while the guest holds what was behind them. */
/*
 * Theory of operation
 *
 * In each mode of --inode-file-handles, and as a plain user, with a daemon that has far fewer descriptors
 * than there are files, so that what the guest holds was closed meanwhile. The guest looks every name up
 * anew, as Linux does when an entry is not valid any more, and what it finds must be right: the same
 * node where the file is the same, another one where it is another, and never ESTALE.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fx.h"
#include "fz.h"
#include "util.h"

#define FEW   "--rlimit-nofile=128"
#define CROWD 150u

static const struct fx_opts mandatory = {.args = {FEW, "--inode-file-handles=mandatory"}};
static const struct fx_opts prefer = {.args = {FEW, "--sandbox=namespace"}};
static const struct fx_opts prefer_none = {.args = {FEW, "--sandbox=none"}};
static const struct fx_opts never = {.args = {FEW, "--sandbox=none", "--inode-file-handles=never"}};
static const struct fx_opts plain_user = {.args = {FEW, "--sandbox=none"}, .uid = 65534};

static const struct fx_opts uncached = {.args = {FEW, "--cache=never"}};
static const struct fx_opts uncached_user = {.args = {FEW, "--sandbox=none", "--cache=never"},
					     .uid = 65534};

/* As many lookups as close all that is idle. */
static void crowd(struct fx *f)
{
	struct fuse_attr_out a;
	char name[32];

	for (unsigned int i = 0; i < CROWD; i++) {
		uint64_t node;

		snprintf(name, sizeof(name), "crowd/%u", i);
		node = fz_walk(f, name);
		assert_int_equal(fz_getattr(f, node, &a), 0);
		fz_forget(f, node, 1);
	}
}

static void start(struct fx *f)
{
	char name[32];

	fx_need_root();
	assert_int_equal(mkdir(fx_path(f, "crowd"), 0755), 0);
	for (unsigned int i = 0; i < CROWD; i++) {
		snprintf(name, sizeof(name), "crowd/%u", i);
		fx_put(f, name, "", 0, 0644);
	}
}

static void host_rename(struct fx *f, const char *from, const char *to, unsigned int flags)
{
	assert_int_equal(renameat2(AT_FDCWD, fx_path(f, from), AT_FDCWD, fx_path(f, to), flags), 0);
}

static uint64_t look(struct fx *f, uint64_t dir, const char *name)
{
	struct fuse_entry_out e;

	assert_int_equal(fz_lookup(f, dir, name, &e), 0);
	return e.nodeid;
}

/* The node works, and has this in it. */
static void holds(struct fx *f, uint64_t node, const char *text)
{
	struct fuse_open_out o;
	struct fuse_attr_out a;
	char buf[32];

	assert_int_equal(fz_getattr(f, node, &a), 0);
	assert_int_equal(a.attr.size, strlen(text));
	assert_int_equal(fz_open(f, node, O_RDONLY, &o), 0);
	assert_int_equal(fz_read(f, node, o.fh, 0, buf, sizeof(buf)), strlen(text));
	assert_memory_equal(buf, text, strlen(text));
	assert_int_equal(fz_release(f, node, o.fh), 0);
}

static void renamed(void **state)
{
	struct fx *f = *state;
	struct fuse_entry_out e;
	uint64_t node;

	start(f);
	fx_put(f, "a", "one", 3, 0644);
	node = look(f, FUSE_ROOT_ID, "a");
	for (int closed = 0; closed < 2; closed++) {
		const char *from = closed ? "b" : "a", *to = closed ? "c" : "b";

		host_rename(f, from, to, 0);
		if (closed)
			crowd(f);
		assert_int_equal(fz_lookup(f, FUSE_ROOT_ID, from, &e), -ENOENT);
		assert_int_equal(look(f, FUSE_ROOT_ID, to), node);
		crowd(f);
		holds(f, node, "one");
	}
	/* Two that change places. */
	fx_put(f, "d", "four", 4, 0644);
	e.nodeid = look(f, FUSE_ROOT_ID, "d");
	host_rename(f, "c", "d", RENAME_EXCHANGE);
	crowd(f);
	assert_int_equal(look(f, FUSE_ROOT_ID, "d"), node);
	assert_int_equal(look(f, FUSE_ROOT_ID, "c"), e.nodeid);
	crowd(f);
	holds(f, node, "one");
	holds(f, e.nodeid, "four");
}

/* The name lives on, the file does not; and one that is open goes on in any case. */
static void replaced(void **state)
{
	struct fx *f = *state;
	struct fuse_open_out o;
	struct fuse_attr_out a;
	uint64_t old, new, open;
	char buf[8];

	start(f);
	fx_put(f, "file", "old", 3, 0644);
	fx_put(f, "open", "held", 4, 0666);
	old = look(f, FUSE_ROOT_ID, "file");
	open = look(f, FUSE_ROOT_ID, "open");
	assert_int_equal(fz_open(f, open, O_RDWR, &o), 0);
	for (int closed = 0; closed < 2; closed++) {
		if (closed)
			crowd(f);
		fx_put(f, "tmp", "newer", 5, 0644);
		host_rename(f, "tmp", "file", 0);
		fx_put(f, "tmp", "other", 5, 0644);
		host_rename(f, "tmp", "open", 0);
		new = look(f, FUSE_ROOT_ID, "file");
		assert_int_not_equal(new, old);
		holds(f, new, "newer");
		assert_int_not_equal(look(f, FUSE_ROOT_ID, "open"), open);
		crowd(f);
		holds(f, new, "newer");
		assert_int_equal(fz_read(f, open, o.fh, 0, buf, 8), 4);
		assert_memory_equal(buf, "held", 4);
		assert_int_equal(fz_getattr_fh(f, open, o.fh, &a), 0);
		assert_int_equal(a.attr.nlink, 0);
		/* Also without the handle: fstat(2) of a Linux guest sends it, stat by /proc does not. */
		assert_int_equal(fz_getattr(f, open, &a), 0);
		old = new;
	}
	assert_int_equal(fz_release(f, open, o.fh), 0);
}

/* The host's file system gives the number out again: it is another file all the same. */
static void made_anew(void **state)
{
	struct fx *f = *state;
	unsigned int same = 0;
	struct fuse_attr_out a;

	start(f);
	for (unsigned int i = 0; i < 20; i++) {
		struct stat before, after;
		uint64_t old, new;
		int r;

		fx_put(f, "file", "old", 3, 0644);
		before = fx_stat(f, "file");
		old = look(f, FUSE_ROOT_ID, "file");
		if (i % 2)
			crowd(f);
		assert_int_equal(unlink(fx_path(f, "file")), 0);
		fx_put(f, "file", "new file", 8, 0644);
		after = fx_stat(f, "file");
		same += before.st_ino == after.st_ino;
		new = look(f, FUSE_ROOT_ID, "file");
		assert_int_not_equal(new, old);
		holds(f, new, "new file");
		r = fz_getattr(f, old, &a);
		assert_true(r == -ESTALE || (r == 0 && a.attr.nlink == 0 && a.attr.size == 3));
		fz_forget(f, old, 1);
		fz_forget(f, new, 1);
		assert_int_equal(unlink(fx_path(f, "file")), 0);
	}
	print_message("the number was the same %u times\n", same);
}

/* What lies in a directory that moves is found as soon as the directory is. */
static void moved_with_its_directory(void **state)
{
	struct fx *f = *state;
	uint64_t dir, deep, file, away;
	struct fuse_open_out o;

	start(f);
	assert_int_equal(mkdir(fx_path(f, "dir"), 0755), 0);
	assert_int_equal(mkdir(fx_path(f, "dir/deep"), 0755), 0);
	assert_int_equal(mkdir(fx_path(f, "away"), 0755), 0);
	fx_put(f, "dir/deep/file", "text", 4, 0644);
	dir = look(f, FUSE_ROOT_ID, "dir");
	deep = look(f, dir, "deep");
	file = look(f, deep, "file");
	for (int i = 0; i < 3; i++) {
		const char *from = i == 0 ? "dir" : i == 1 ? "away/one" : "two";
		const char *to = i == 0 ? "away/one" : i == 1 ? "two" : "away/three";

		host_rename(f, from, to, 0);
		crowd(f);
		away = i == 1 ? FUSE_ROOT_ID : look(f, FUSE_ROOT_ID, "away");
		assert_int_equal(look(f, away, i == 1 ? to : to + 5), dir);
		crowd(f);
		holds(f, file, "text");
		assert_int_equal(look(f, deep, "file"), file);
		assert_int_equal(fz_opendir(f, deep, &o), 0);
		assert_int_equal(fz_releasedir(f, deep, o.fh), 0);
	}
}

/* One of two names is as good as the other. */
static void another_name(void **state)
{
	struct fx *f = *state;
	struct fuse_entry_out e;
	uint64_t node;

	start(f);
	fx_put(f, "a", "text", 4, 0644);
	node = look(f, FUSE_ROOT_ID, "a");
	assert_int_equal(link(fx_path(f, "a"), fx_path(f, "b")), 0);
	assert_int_equal(unlink(fx_path(f, "a")), 0);
	crowd(f);
	assert_int_equal(fz_lookup(f, FUSE_ROOT_ID, "a", &e), -ENOENT);
	assert_int_equal(look(f, FUSE_ROOT_ID, "b"), node);
	crowd(f);
	holds(f, node, "text");
}

/*
 * The host replaces a file between the lookup and the use: what was found is used, as a local system call
 * has its file once it has found it. Where entries are kept, from the first that was stale on.
 */
static void replaced_in_between(void **state)
{
	struct fx *f = *state;
	const bool kept = f->opts != &uncached && f->opts != &uncached_user;
	struct fuse_open_out o;
	struct fuse_attr_out a;
	uint64_t node;
	char buf[8];

	start(f);
	fx_put(f, "file", "old", 3, 0644);
	if (kept) {
		crowd(f);
		node = look(f, FUSE_ROOT_ID, "file");
		crowd(f);
		fx_put(f, "tmp", "old", 3, 0644);
		host_rename(f, "tmp", "file", 0);
		assert_int_equal(fz_getattr(f, node, &a), -ESTALE);
	}
	for (int i = 0; i < 50; i++) {
		node = look(f, FUSE_ROOT_ID, "file");
		fx_put(f, "tmp", "old", 3, 0644);
		host_rename(f, "tmp", "file", 0);
		assert_int_equal(fz_getattr(f, node, &a), 0);
		assert_int_equal(a.attr.nlink, 0);
		assert_int_equal(fz_open(f, node, O_RDONLY, &o), 0);
		assert_int_equal(fz_read(f, node, o.fh, 0, buf, 8), 3);
		assert_int_equal(fz_release(f, node, o.fh), 0);
		fz_forget(f, node, 1);
	}
}

#define MODE(fn, mode)                                                                 \
	{                                                                              \
#fn " " #mode, fn, fx_setup, fx_teardown, (void *)(uintptr_t) & (mode) \
	}
#define MODES(fn)                                                                      \
	MODE(fn, mandatory), MODE(fn, prefer), MODE(fn, prefer_none), MODE(fn, never), \
		MODE(fn, plain_user)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		MODES(renamed),
		MODES(replaced),
		MODES(made_anew),
		MODES(moved_with_its_directory),
		MODES(another_name),
		MODES(replaced_in_between),
		MODE(replaced_in_between, uncached),
		MODE(replaced_in_between, uncached_user),
	};

	return fx_main(argc, argv, "host", tests, ARRAY_SIZE(tests));
}
