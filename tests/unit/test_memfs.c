// SPDX-License-Identifier: Apache-2.0
/* memfs behaves like a file system: what other tests then rely on. */
/*
 * Theory of operation
 *
 * Everything goes through the session, as requests. Names and lifetimes are tested case by case,
 * with the number of nodes counted before and after. File data is in test_memfs_data.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "fuse_rig.h"
#include "rnd.h"
#include "util.h"

#define ROOT FUSE_ROOT_ID

static uint64_t nodes(struct rig *r)
{
	struct memfs_stats st;

	memfs_stats(r->fs, &st);
	return st.nodes;
}

static uint64_t pages(struct rig *r)
{
	struct memfs_stats st;

	memfs_stats(r->fs, &st);
	return st.pages;
}

static uint32_t nlink_of(struct rig *r, uint64_t id)
{
	struct fuse_attr attr;

	assert_int_equal(rig_getattr(r, id, &attr), 0);
	return attr.nlink;
}

/* ---- names and lifetimes ---- */

static void test_lifetime(void **state)
{
	struct rig *r = rig_new_init();
	uint64_t id, fh, again;

	(void)state;
	assert_int_equal(nodes(r), 1);
	assert_int_equal(rig_create(r, ROOT, "f", O_RDWR, &id, &fh), 0);
	assert_int_equal(rig_write(r, id, fh, 0, "data", 4), 0);
	assert_int_equal(rig_unlink(r, ROOT, "f"), 0);
	assert_int_equal(nlink_of(r, id), 0);
	/* The guest may forget it; the handle still reads. */
	rig_forget(r, id, 1);
	assert_int_equal(rig_read(r, id, fh, 0, 10), 0);
	assert_int_equal(r->len, 4);
	assert_int_equal(rig_open(r, id, O_RDONLY, &again), -ESTALE);
	assert_int_equal(nodes(r), 2);
	assert_int_equal(rig_release(r, id, fh, false), 0);
	assert_int_equal(nodes(r), 1);
	assert_int_equal(pages(r), 0);

	/* The other way round, and with the name going last. */
	assert_int_equal(rig_create(r, ROOT, "f", O_RDWR, &again, &fh), 0);
	assert_int_not_equal(again, id);
	assert_int_equal(rig_release(r, again, fh, false), 0);
	rig_forget(r, again, 1);
	assert_int_equal(nodes(r), 2);
	assert_int_equal(rig_unlink(r, ROOT, "f"), 0);
	assert_int_equal(nodes(r), 1);
	rig_free(r);
}

static void test_lookup_counts(void **state)
{
	struct rig *r = rig_new_init();
	struct fuse_attr attr;
	uint64_t id;

	(void)state;
	assert_int_equal(rig_mkdir(r, ROOT, "d", &id), 0);
	for (unsigned int i = 0; i < 9; i++)
		assert_int_equal(rig_lookup(r, ROOT, "d", NULL), 0);
	rig_forget(r, id, 9);
	assert_int_equal(rig_getattr(r, id, &attr), 0);
	rig_forget(r, id, 1);
	assert_int_equal(rig_getattr(r, id, &attr), -ESTALE);
	assert_int_equal(rig_lookup(r, ROOT, "d", NULL), 0);
	/* More than there are is all of them. */
	rig_forget(r, id, UINT64_MAX);
	assert_int_equal(rig_getattr(r, id, &attr), -ESTALE);
	rig_forget(r, id, UINT64_MAX);
	assert_int_equal(nodes(r), 2);
	rig_free(r);
}

static void test_links(void **state)
{
	struct fuse_create_in in = {.flags = O_RDWR, .mode = 0600};
	struct rig *r = rig_new_init();
	struct fuse_entry_out entry;
	uint64_t f, fh, d;

	(void)state;
	assert_int_equal(rig_create(r, ROOT, "f", O_RDWR, &f, &fh), 0);
	assert_int_equal(rig_mkdir(r, ROOT, "d", &d), 0);
	assert_int_equal(nlink_of(r, ROOT), 3);
	assert_int_equal(nlink_of(r, d), 2);
	assert_int_equal(rig_link(r, f, d, "g"), 0);
	assert_int_equal(nlink_of(r, f), 2);
	assert_int_equal(rig_link(r, f, d, "g"), -EEXIST);
	assert_int_equal(rig_link(r, d, ROOT, "dd"), -EPERM);
	assert_int_equal(rig_link(r, f, f, "x"), -ENOTDIR);
	assert_int_equal(rig_unlink(r, ROOT, "d"), -EISDIR);
	assert_int_equal(rig_rmdir(r, ROOT, "f"), -ENOTDIR);
	assert_int_equal(rig_rmdir(r, ROOT, "d"), -ENOTEMPTY);
	assert_int_equal(rig_unlink(r, ROOT, "none"), -ENOENT);
	assert_int_equal(rig_unlink(r, d, "g"), 0);
	assert_int_equal(rig_unlink(r, ROOT, "f"), 0);
	assert_int_equal(rig_link(r, f, ROOT, "back"), -ENOENT);
	assert_int_equal(rig_rmdir(r, ROOT, "d"), 0);
	assert_int_equal(nlink_of(r, ROOT), 2);
	assert_int_equal(nlink_of(r, d), 0);

	/* What has no name yet can get one, unless it was made to have none. */
	assert_int_equal(rig_call(r, FUSE_TMPFILE, ROOT, &in, sizeof(in), "/"), 0);
	memcpy(&entry, r->reply, sizeof(entry));
	assert_int_equal(entry.attr.nlink, 0);
	assert_int_equal(rig_link(r, entry.nodeid, ROOT, "named"), 0);
	assert_int_equal(nlink_of(r, entry.nodeid), 1);
	in.flags |= O_EXCL;
	assert_int_equal(rig_call(r, FUSE_TMPFILE, ROOT, &in, sizeof(in), "/"), 0);
	memcpy(&entry, r->reply, sizeof(entry));
	assert_int_equal(rig_link(r, entry.nodeid, ROOT, "other"), -ENOENT);
	rig_free(r);
}

static void test_removed_dir(void **state)
{
	struct fuse_create_in in = {.flags = O_RDWR, .mode = 0600};
	struct rig *r = rig_new_init();
	uint64_t d, dh;

	(void)state;
	assert_int_equal(rig_mkdir(r, ROOT, "d", &d), 0);
	assert_int_equal(rig_opendir(r, d, &dh), 0);
	assert_int_equal(rig_rmdir(r, ROOT, "d"), 0);
	assert_int_equal(rig_mkdir(r, d, "x", NULL), -ENOENT);
	assert_int_equal(rig_call(r, FUSE_TMPFILE, d, &in, sizeof(in), "/"), -ENOENT);
	assert_int_equal(rig_lookup(r, d, "x", NULL), -ENOENT);
	assert_int_equal(rig_rename(r, d, "x", ROOT, "y", 0), -ENOENT);
	assert_int_equal(rig_readdir(r, d, dh, 0, 1000, true), 0);
	assert_int_equal(r->len, 320);
	rig_forget(r, d, 1);
	assert_int_equal(nodes(r), 2);
	assert_int_equal(rig_release(r, d, dh, true), 0);
	assert_int_equal(nodes(r), 1);
	rig_free(r);
}

static void test_setgid_dir(void **state)
{
	struct fuse_setattr_in set = {.valid = FATTR_MODE | FATTR_GID, .mode = 042775, .gid = 77};
	struct rig *r = rig_new_init();
	struct fuse_attr attr;
	uint64_t d, id;

	(void)state;
	assert_int_equal(rig_mkdir(r, ROOT, "d", &d), 0);
	assert_int_equal(rig_setattr(r, d, &set), 0);
	assert_int_equal(rig_mkdir(r, d, "sub", &id), 0);
	assert_int_equal(rig_getattr(r, id, &attr), 0);
	assert_int_equal(attr.gid, 77);
	assert_int_equal(attr.mode, 042755);
	assert_int_equal(rig_create(r, d, "f", O_RDWR, &id, NULL), 0);
	assert_int_equal(rig_getattr(r, id, &attr), 0);
	assert_int_equal(attr.gid, 77);
	assert_int_equal(attr.uid, 1000);
	assert_int_equal(attr.mode, 0100644);
	rig_free(r);
}

static void test_open_kinds(void **state)
{
	static const uint32_t kinds[] = {S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK};
	struct rig *r = rig_new_init();
	uint64_t d, l, f, fh;

	(void)state;
	assert_int_equal(rig_mkdir(r, ROOT, "d", &d), 0);
	assert_int_equal(rig_symlink(r, ROOT, "l", "x", &l), 0);
	assert_int_equal(rig_create(r, ROOT, "f", O_RDWR, &f, &fh), 0);
	assert_int_equal(rig_open(r, d, O_RDONLY, &fh), -EISDIR);
	assert_int_equal(rig_open(r, l, O_RDONLY, &fh), -ELOOP);
	assert_int_equal(rig_opendir(r, f, &fh), -ENOTDIR);
	assert_int_equal(rig_create(r, ROOT, "d", O_RDWR, NULL, NULL), -EISDIR);
	for (unsigned int i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct fuse_mknod_in in = {.mode = kinds[i] | 0600, .rdev = 0x103};
		struct fuse_entry_out entry;
		char name[] = {(char)('0' + i), '\0'};

		assert_int_equal(rig_call(r, FUSE_MKNOD, ROOT, &in, sizeof(in), name), 0);
		memcpy(&entry, r->reply, sizeof(entry));
		assert_int_equal(entry.attr.mode, kinds[i] | 0600);
		assert_int_equal(entry.attr.rdev, i < 2 ? 0x103 : 0);
		assert_int_equal(rig_open(r, entry.nodeid, O_RDONLY, &fh), -ENXIO);
	}
	rig_free(r);
}

/* ---- rename ---- */

static void test_rename_rules(void **state)
{
	struct rig *r = rig_new_init();
	uint64_t a, b, c, f, g, id;

	(void)state;
	assert_int_equal(rig_mkdir(r, ROOT, "a", &a), 0);
	assert_int_equal(rig_mkdir(r, a, "b", &b), 0);
	assert_int_equal(rig_mkdir(r, b, "c", &c), 0);
	assert_int_equal(rig_create(r, ROOT, "f", O_RDWR, &f, NULL), 0);
	assert_int_equal(rig_create(r, ROOT, "g", O_RDWR, &g, NULL), 0);

	/* No directory into itself or what is below it. */
	assert_int_equal(rig_rename(r, ROOT, "a", a, "x", 0), -EINVAL);
	assert_int_equal(rig_rename(r, ROOT, "a", c, "x", 0), -EINVAL);
	assert_int_equal(rig_rename(r, ROOT, "a", c, "x", RENAME_NOREPLACE), -EINVAL);
	assert_int_equal(rig_rename(r, ROOT, "f", c, "x", RENAME_EXCHANGE), -ENOENT);
	assert_int_equal(rig_rename(r, b, "c", ROOT, "a", RENAME_EXCHANGE), -EINVAL);
	assert_int_equal(rig_rename(r, b, "c", ROOT, "a", 0), -ENOTEMPTY);
	assert_int_equal(rig_rename(r, ROOT, "f", ROOT, "a", 0), -EISDIR);
	assert_int_equal(rig_rename(r, ROOT, "a", ROOT, "f", 0), -ENOTDIR);
	assert_int_equal(rig_rename(r, ROOT, "none", ROOT, "f", 0), -ENOENT);
	assert_int_equal(rig_rename(r, ROOT, "f", f, "x", 0), -ENOTDIR);
	assert_int_equal(rig_rename(r, ROOT, "f", ROOT, "g", RENAME_NOREPLACE), -EEXIST);

	/* Two names of one file: nothing happens. */
	assert_int_equal(rig_link(r, f, ROOT, "f2"), 0);
	assert_int_equal(rig_rename(r, ROOT, "f", ROOT, "f2", 0), 0);
	assert_int_equal(rig_lookup(r, ROOT, "f", &id), 0);
	assert_int_equal(rig_rename(r, ROOT, "f", ROOT, "f", 0), 0);
	assert_int_equal(rig_unlink(r, ROOT, "f2"), 0);

	/* The one replaced goes with its last lookup. */
	assert_int_equal(rig_rename(r, ROOT, "f", ROOT, "g", 0), 0);
	assert_int_equal(nlink_of(r, g), 0);
	assert_int_equal(nlink_of(r, f), 1);
	assert_int_equal(rig_lookup(r, ROOT, "g", &id), 0);
	assert_int_equal(id, f);

	/* Directories take their links along. */
	assert_int_equal(rig_rename(r, b, "c", ROOT, "c", 0), 0);
	assert_int_equal(nlink_of(r, ROOT), 4);
	assert_int_equal(nlink_of(r, b), 2);
	assert_int_equal(rig_rename(r, ROOT, "c", a, "b", 0), 0);
	assert_int_equal(nlink_of(r, b), 0);
	assert_int_equal(nlink_of(r, ROOT), 3);
	assert_int_equal(nlink_of(r, a), 3);
	rig_free(r);
}

static void test_rename_exchange(void **state)
{
	struct rig *r = rig_new_init();
	uint64_t a, b, d, f, dh, id;

	(void)state;
	assert_int_equal(rig_mkdir(r, ROOT, "a", &a), 0);
	assert_int_equal(rig_mkdir(r, ROOT, "b", &b), 0);
	assert_int_equal(rig_mkdir(r, a, "d", &d), 0);
	assert_int_equal(rig_create(r, b, "f", O_RDWR, &f, NULL), 0);
	assert_int_equal(rig_rename(r, a, "d", b, "f", RENAME_EXCHANGE), 0);
	assert_int_equal(rig_lookup(r, b, "f", &id), 0);
	assert_int_equal(id, d);
	assert_int_equal(rig_lookup(r, a, "d", &id), 0);
	assert_int_equal(id, f);
	assert_int_equal(nlink_of(r, a), 2);
	assert_int_equal(nlink_of(r, b), 3);
	/* ".." has moved, too. */
	assert_int_equal(rig_opendir(r, d, &dh), 0);
	assert_int_equal(rig_readdir(r, d, dh, 1, 32, false), 0);
	memcpy(&id, r->reply, sizeof(id));
	assert_int_equal(id, b);
	/* Not with what holds it. */
	assert_int_equal(rig_rename(r, ROOT, "b", b, "f", RENAME_EXCHANGE), -EINVAL);
	rig_free(r);
}

static void test_rename_whiteout(void **state)
{
	struct rig *r = rig_new_init();
	struct fuse_entry_out entry;
	uint64_t f;

	(void)state;
	assert_int_equal(rig_create(r, ROOT, "f", O_RDWR, &f, NULL), 0);
	assert_int_equal(rig_rename(r, ROOT, "f", ROOT, "g", RENAME_WHITEOUT), 0);
	assert_int_equal(rig_lookup(r, ROOT, "f", NULL), 0);
	memcpy(&entry, r->reply, sizeof(entry));
	assert_int_equal(entry.attr.mode, S_IFCHR);
	assert_int_equal(entry.attr.rdev, 0);
	assert_int_equal(rig_rename(r, ROOT, "g", ROOT, "h", RENAME_WHITEOUT | RENAME_NOREPLACE),
			 0);
	rig_free(r);
}

/* ---- reading directories ---- */

static unsigned int read_names(struct rig *r, uint64_t dh, uint64_t *off, uint8_t *seen,
			       uint32_t size)
{
	unsigned int count = 0;

	assert_int_equal(rig_readdir(r, ROOT, dh, *off, size, false), 0);
	for (size_t at = 0; at < r->len;) {
		struct fuse_dirent d;

		memcpy(&d, r->reply + at, sizeof(d));
		assert_true(d.off > *off);
		*off = d.off;
		if (r->reply[at + FUSE_NAME_OFFSET] != '.') {
			char name[8] = {0};

			memcpy(name, r->reply + at + FUSE_NAME_OFFSET, d.namelen);
			seen[atoi(name)]++;
		}
		at += FUSE_DIRENT_SIZE(&d);
		count++;
	}
	return count;
}

/* Names that are there all the time are seen once, whatever comes and goes. */
static void test_readdir_changes(void **state)
{
	struct rig *r = rig_new_init();
	uint8_t seen[1000] = {0};
	uint64_t dh, off = 0, seed = 99;
	char name[8];

	(void)state;
	for (unsigned int i = 0; i < 500; i++) {
		snprintf(name, sizeof(name), "%u", i);
		assert_int_equal(rig_mkdir(r, ROOT, name, NULL), 0);
	}
	assert_int_equal(rig_opendir(r, ROOT, &dh), 0);
	for (unsigned int step = 0; read_names(r, dh, &off, seen, 300); step++) {
		/* Odd ones below 500 go at random, others come. */
		snprintf(name, sizeof(name), "%u", rnd_below(&seed, 250) * 2 + 1);
		rig_rmdir(r, ROOT, name);
		snprintf(name, sizeof(name), "%u", 500 + step);
		if (step < 400)
			rig_mkdir(r, ROOT, name, NULL);
	}
	for (unsigned int i = 0; i < 1000; i++) {
		assert_in_range(seen[i], 0, 1);
		if (i < 500 && i % 2 == 0)
			assert_int_equal(seen[i], 1);
	}
	/* From the start again, and past the end. */
	off = 0;
	memset(seen, 0, sizeof(seen));
	assert_int_not_equal(read_names(r, dh, &off, seen, 300), 0);
	off = UINT32_MAX;
	assert_int_equal(read_names(r, dh, &off, seen, 300), 0);
	rig_free(r);
}

/* ---- handles ---- */

static void test_handles(void **state)
{
	struct rig *r = rig_new_init();
	struct memfs_stats st;
	uint64_t f, g, d, fh, gh, dh, rd, wr, again;

	(void)state;
	assert_int_equal(rig_create(r, ROOT, "f", O_RDWR, &f, &fh), 0);
	assert_int_equal(rig_create(r, ROOT, "g", O_RDWR, &g, &gh), 0);
	assert_int_equal(rig_mkdir(r, ROOT, "d", &d), 0);
	assert_int_equal(rig_opendir(r, d, &dh), 0);
	assert_int_equal(rig_open(r, f, O_RDONLY, &rd), 0);
	assert_int_equal(rig_open(r, f, O_WRONLY, &wr), 0);

	assert_int_equal(rig_read(r, f, gh, 0, 1), -EBADF);
	assert_int_equal(rig_read(r, f, dh, 0, 1), -EBADF);
	assert_int_equal(rig_read(r, d, dh, 0, 1), -EBADF);
	assert_int_equal(rig_read(r, f, wr, 0, 1), -EBADF);
	assert_int_equal(rig_write(r, f, rd, 0, "x", 1), -EBADF);
	assert_int_equal(rig_write(r, f, wr, 0, "x", 1), 0);
	assert_int_equal(rig_readdir(r, f, fh, 0, 100, false), -EBADF);
	assert_int_equal(rig_readdir(r, ROOT, dh, 0, 100, false), -EBADF);
	assert_int_equal(rig_release(r, f, dh, false), -EBADF);
	assert_int_equal(rig_release(r, d, dh, false), -EBADF);
	assert_int_equal(rig_release(r, f, fh, true), -EBADF);
	assert_int_equal(rig_release(r, g, fh, false), -EBADF);

	assert_int_equal(rig_release(r, f, fh, false), 0);
	assert_int_equal(rig_release(r, f, fh, false), -EBADF);
	/* The next one in its place is another one. */
	assert_int_equal(rig_open(r, f, O_RDWR, &again), 0);
	assert_int_not_equal(again, fh);
	assert_int_equal(rig_read(r, f, fh, 0, 1), -EBADF);
	assert_int_equal(rig_read(r, f, again, 0, 1), 0);
	assert_int_equal(rig_release(r, d, dh, true), 0);
	memfs_stats(r->fs, &st);
	assert_int_equal(st.handles, 4);
	rig_free(r);
}

static void test_append(void **state)
{
	struct rig *r = rig_new_init();
	uint64_t f, fh;

	(void)state;
	assert_int_equal(rig_create(r, ROOT, "f", O_RDWR | O_APPEND, &f, &fh), 0);
	assert_int_equal(rig_write(r, f, fh, 0, "one", 3), 0);
	assert_int_equal(rig_write(r, f, fh, 0, "two", 3), 0);
	assert_int_equal(rig_read(r, f, fh, 0, 10), 0);
	assert_int_equal(r->len, 6);
	assert_memory_equal(r->reply, "onetwo", 6);
	assert_int_equal(rig_open(r, f, O_WRONLY | O_TRUNC, NULL), 0);
	assert_int_equal(rig_read(r, f, fh, 0, 10), 0);
	assert_int_equal(r->len, 0);
	rig_free(r);
}

/* ---- attributes ---- */

static void test_setattr(void **state)
{
	struct fuse_setattr_in chmod_in = {.valid = FATTR_MODE, .mode = 0107777};
	struct fuse_setattr_in chown_in = {.valid = FATTR_UID | FATTR_GID, .uid = 5, .gid = 6};
	struct fuse_setattr_in times = {.valid = FATTR_ATIME | FATTR_MTIME | FATTR_CTIME,
					.atime = 1,
					.atimensec = 2,
					.mtime = 3,
					.mtimensec = 4,
					.ctime = 5,
					.ctimensec = 6};
	struct fuse_setattr_in size = {.valid = FATTR_SIZE, .size = 10};
	struct rig *r = rig_new_init();
	struct fuse_attr attr;
	uint64_t f, fh, d;

	(void)state;
	assert_int_equal(rig_create(r, ROOT, "f", O_RDWR, &f, &fh), 0);
	assert_int_equal(rig_mkdir(r, ROOT, "d", &d), 0);
	assert_int_equal(rig_setattr(r, f, &chmod_in), 0);
	assert_int_equal(rig_getattr(r, f, &attr), 0);
	assert_int_equal(attr.mode, 0107777);
	assert_int_equal(rig_setattr(r, f, &chown_in), 0);
	assert_int_equal(rig_getattr(r, f, &attr), 0);
	assert_int_equal(attr.uid, 5);
	assert_int_equal(attr.gid, 6);
	assert_int_equal(attr.mode, 0101777);
	assert_int_equal(rig_setattr(r, f, &times), 0);
	assert_int_equal(rig_getattr(r, f, &attr), 0);
	assert_int_equal(attr.atime * 10 + attr.atimensec, 12);
	assert_int_equal(attr.mtime * 10 + attr.mtimensec, 34);
	assert_int_equal(attr.ctime * 10 + attr.ctimensec, 56);
	assert_int_equal(rig_setattr(r, d, &size), -EISDIR);
	assert_int_equal(rig_setattr(r, f, &size), 0);
	assert_int_equal(rig_getattr(r, f, &attr), 0);
	assert_int_equal(attr.size, 10);
	assert_int_equal(attr.mtime, RIG_TIME);
	size.valid |= FATTR_FH;
	size.fh = 12345;
	assert_int_equal(rig_setattr(r, f, &size), -EBADF);
	size.fh = fh;
	assert_int_equal(rig_setattr(r, f, &size), 0);
	rig_free(r);
}

static void test_xattr_limit(void **state)
{
	struct rig *r = rig_new_init();
	unsigned int n;
	char name[16];

	(void)state;
	for (n = 0; n < 1000; n++) {
		snprintf(name, sizeof(name), "user.%u", n);
		if (rig_setxattr(r, ROOT, name, "x", 1, 0))
			break;
	}
	assert_int_equal(r->error, -ENOSPC);
	assert_int_equal(n, 128);
	assert_int_equal(rig_setxattr(r, ROOT, "user.0", "longer", 6, 0), 0);
	assert_int_equal(rig_getxattr(r, ROOT, "user.0", 100), 0);
	assert_int_equal(r->len, 6);
	rig_free(r);
}

static void test_fail(void **state)
{
	struct rig *r = rig_new_init();

	(void)state;
	memfs_fail(r->fs, 3, -EDQUOT);
	assert_int_equal(rig_mkdir(r, ROOT, "a", NULL), 0);
	assert_int_equal(rig_mkdir(r, ROOT, "b", NULL), 0);
	assert_int_equal(rig_mkdir(r, ROOT, "c", NULL), -EDQUOT);
	assert_int_equal(rig_mkdir(r, ROOT, "c", NULL), 0);
	memfs_fail(r->fs, 1, -EIO);
	memfs_fail(r->fs, 0, 0);
	assert_int_equal(rig_mkdir(r, ROOT, "d", NULL), 0);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lifetime),
		cmocka_unit_test(test_lookup_counts),
		cmocka_unit_test(test_links),
		cmocka_unit_test(test_removed_dir),
		cmocka_unit_test(test_setgid_dir),
		cmocka_unit_test(test_open_kinds),
		cmocka_unit_test(test_rename_rules),
		cmocka_unit_test(test_rename_exchange),
		cmocka_unit_test(test_rename_whiteout),
		cmocka_unit_test(test_readdir_changes),
		cmocka_unit_test(test_handles),
		cmocka_unit_test(test_append),
		cmocka_unit_test(test_setattr),
		cmocka_unit_test(test_xattr_limit),
		cmocka_unit_test(test_fail),
	};

	return cmocka_run_group_tests_name("memfs", tests, NULL, NULL);
}
