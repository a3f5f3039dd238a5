// SPDX-License-Identifier: Apache-2.0
/* Opcodes on files: CREATE, TMPFILE, OPEN, RELEASE, READ, WRITE, FLUSH, FSYNC and what moves data. */
/*
 * Theory of operation
 *
 * Each operation is compared with the same system call on a twin on the host, or with what the host
 * sees of the shared file afterwards.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"
#include "fx.h"
#include "fz.h"
#include "util.h"

#define STALE 0x7777777700001234ull
#define MIB   (1u << 20)

/* Whether the file in the share has exactly these bytes. */
static void content_is(const struct fx *f, const char *name, const void *bytes, size_t len)
{
	scoped_fd int fd = open(fx_path(f, name), O_RDONLY | O_CLOEXEC);
	char *buf = malloc(len + 1);

	assert_non_null(buf);
	assert_true(fd >= 0);
	assert_int_equal(read(fd, buf, len + 1), len);
	assert_memory_equal(buf, bytes, len);
	free(buf);
}

static void create_opens(void **state)
{
	static const uint32_t modes[] = {0644, 0777, 0444, 0, 0600};
	struct fx *f = *state;
	struct fz_entry_open c;
	struct fuse_attr_out a;
	char buf[8];

	for (unsigned int i = 0; i < ARRAY_SIZE(modes); i++) {
		char name[16];

		snprintf(name, sizeof(name), "f%u", i);
		assert_int_equal(fz_create(f, FUSE_ROOT_ID, name, O_CREAT | O_RDWR | O_EXCL,
					   S_IFREG | modes[i], &c),
				 0);
		fz_entry_is(f, &c.entry, name);
		assert_int_equal(c.entry.attr.mode, S_IFREG | modes[i]);
		assert_int_equal(c.open.padding, 0);
		/* Whatever the mode says, who made it may write. */
		assert_int_equal(fz_write(f, c.entry.nodeid, c.open.fh, 0, "abc", 3), 3);
		assert_int_equal(fz_read(f, c.entry.nodeid, c.open.fh, 0, buf, 8), 3);
		assert_memory_equal(buf, "abc", 3);
		assert_int_equal(fz_getattr_fh(f, c.entry.nodeid, c.open.fh, &a), 0);
		assert_int_equal(a.attr.size, 3);
		assert_int_equal(fz_release(f, c.entry.nodeid, c.open.fh), 0);
	}
	assert_int_equal(fz_create(f, FUSE_ROOT_ID, "f0", O_CREAT | O_RDWR | O_EXCL, 0644, &c),
			 -EEXIST);
	/* The host was quicker: it is opened. */
	assert_int_equal(fz_create(f, FUSE_ROOT_ID, "f0", O_CREAT | O_RDWR, 0644, &c), 0);
	fz_entry_is(f, &c.entry, "f0");
	assert_int_equal(c.entry.attr.size, 3);
	assert_int_equal(fz_release(f, c.entry.nodeid, c.open.fh), 0);
	assert_int_equal(fz_create(f, FUSE_ROOT_ID, "f0", O_CREAT | O_RDWR | O_TRUNC, 0644, &c), 0);
	assert_int_equal(fx_stat(f, "f0").st_size, 0);
	assert_int_equal(fz_release(f, c.entry.nodeid, c.open.fh), 0);
	assert_int_equal(fz_create(f, STALE, "x", O_CREAT | O_RDWR, 0644, &c), -ESTALE);
}

/* CREATE on a name that is something else: never opened, never followed. */
static void create_opens_no_other_kind(void **state)
{
	struct fx *f = *state;
	struct fz_entry_open c;
	struct fuse_open_out o;
	char outside[96];

	snprintf(outside, sizeof(outside), "%s/outside", f->dir);
	assert_int_equal(mkdir(fx_path(f, "dir"), 0755), 0);
	assert_int_equal(symlink(outside, fx_path(f, "link")), 0);
	assert_int_equal(mkfifo(fx_path(f, "fifo"), 0666), 0);
	assert_int_equal(mknod(fx_path(f, "sock"), S_IFSOCK | 0666, 0), 0);
	for (uint32_t excl = 0; excl <= O_EXCL; excl += O_EXCL) {
		uint32_t flags = O_CREAT | O_RDWR | excl;

		assert_int_equal(fz_create(f, FUSE_ROOT_ID, "dir", flags, 0644, &c),
				 excl ? -EEXIST : -EISDIR);
		assert_true(fz_create(f, FUSE_ROOT_ID, "link", flags, 0644, &c) < 0);
		assert_true(fz_create(f, FUSE_ROOT_ID, "fifo", flags, 0644, &c) < 0);
		assert_true(fz_create(f, FUSE_ROOT_ID, "sock", flags, 0644, &c) < 0);
	}
	assert_int_equal(access(outside, F_OK), -1);
	/* Nor does OPEN. */
	assert_int_equal(fz_open(f, fz_walk(f, "dir"), O_RDONLY, &o), -EISDIR);
	assert_true(fz_open(f, fz_walk(f, "link"), O_RDONLY, &o) < 0);
	assert_true(fz_open(f, fz_walk(f, "fifo"), O_RDWR, &o) < 0);
	assert_true(fz_open(f, fz_walk(f, "fifo"), O_RDONLY, &o) < 0);
	assert_true(fz_open(f, fz_walk(f, "sock"), O_RDWR, &o) < 0);
	if (geteuid() == 0) {
		assert_int_equal(mknod(fx_path(f, "null"), S_IFCHR | 0666, 0x103), 0);
		assert_true(fz_open(f, fz_walk(f, "null"), O_RDWR, &o) < 0);
		assert_true(fz_create(f, FUSE_ROOT_ID, "null", O_CREAT | O_RDWR, 0, &c) < 0);
	}
}

static void tmpfile_has_no_name(void **state)
{
	struct fx *f = *state;
	struct fz_entry_open c;
	struct fuse_entry_out e;
	struct fuse_attr_out a;
	uint64_t dir;
	int r;

	assert_int_equal(mkdir(fx_path(f, "d"), 0755), 0);
	dir = fz_walk(f, "d");
	r = fz_tmpfile(f, dir, O_RDWR, S_IFREG | 0640, &c);
	if (r == -EOPNOTSUPP)
		skip();
	assert_int_equal(r, 0);
	assert_int_equal(c.entry.attr.mode, S_IFREG | 0640);
	assert_int_equal(c.entry.attr.nlink, 0);
	assert_int_equal(c.entry.attr.size, 0);
	assert_int_equal(fz_write(f, c.entry.nodeid, c.open.fh, 0, "temporary", 9), 9);
	assert_int_equal(fz_getattr(f, c.entry.nodeid, &a), 0);
	assert_int_equal(a.attr.size, 9);
	assert_int_equal(fz_rmdir(f, FUSE_ROOT_ID, "d"), 0);
	assert_int_equal(fz_link(f, c.entry.nodeid, FUSE_ROOT_ID, "named", &e), 0);
	assert_int_equal(e.nodeid, c.entry.nodeid);
	fz_entry_is(f, &e, "named");
	content_is(f, "named", "temporary", 9);
	assert_int_equal(fz_release(f, c.entry.nodeid, c.open.fh), 0);
	/* With O_EXCL it shall never have one. */
	assert_int_equal(fz_tmpfile(f, FUSE_ROOT_ID, O_RDWR | O_EXCL, S_IFREG | 0600, &c), 0);
	assert_int_equal(fz_link(f, c.entry.nodeid, FUSE_ROOT_ID, "never", &e), -ENOENT);
	assert_int_equal(fz_release(f, c.entry.nodeid, c.open.fh), 0);
	assert_int_equal(fz_tmpfile(f, fz_walk(f, "named"), O_RDWR, 0600, &c), -ENOTDIR);
}

static void handles_are_checked(void **state)
{
	struct fx *f = *state;
	struct fuse_open_out o, d;
	uint64_t a, b;
	char buf[512];

	fx_put(f, "a", "aaaa", 4, 0644);
	fx_put(f, "b", "bbbb", 4, 0644);
	a = fz_walk(f, "a");
	b = fz_walk(f, "b");
	assert_int_equal(fz_open(f, a, O_RDWR, &o), 0);
	assert_int_equal(fz_opendir(f, FUSE_ROOT_ID, &d), 0);
	/* Another node's, another kind's, made up. */
	for (int i = 0; i < 4; i++) {
		uint64_t node = i == 0 ? b : i == 1 ? FUSE_ROOT_ID : a;
		uint64_t fh = i == 0 ? o.fh : i == 1 ? d.fh : i == 2 ? 0 : o.fh ^ 1ull << 40;
		uint64_t off;

		assert_int_equal(fz_read(f, node, fh, 0, buf, 4), -EBADF);
		assert_int_equal(fz_write(f, node, fh, 0, "x", 1), -EBADF);
		assert_int_equal(fz_flush(f, node, fh), -EBADF);
		assert_int_equal(fz_fsync(f, node, fh, false), -EBADF);
		assert_int_equal(fz_fallocate(f, node, fh, 0, 0, 10), -EBADF);
		assert_int_equal(fz_lseek(f, node, fh, 0, SEEK_DATA, &off), -EBADF);
		assert_int_equal(fz_copy(f, node, fh, 0, a, o.fh, 0, 1), -EBADF);
		assert_int_equal(fz_copy(f, a, o.fh, 0, node, fh, 0, 1), -EBADF);
		assert_int_equal(fz_release(f, node, fh), -EBADF);
		if (i != 1) {
			assert_int_equal(fz_readdir(f, node, fh, 0, false, buf, 512), -EBADF);
			assert_int_equal(fz_fsyncdir(f, node, fh, false), -EBADF);
			assert_int_equal(fz_releasedir(f, node, fh), -EBADF);
		}
	}
	assert_int_equal(fz_readdir(f, a, o.fh, 0, true, buf, 512), -EBADF);
	assert_int_equal(fz_releasedir(f, a, o.fh), -EBADF);
	assert_int_equal(fz_release(f, a, o.fh), 0);
	assert_int_equal(fz_release(f, a, o.fh), -EBADF);
	assert_int_equal(fz_read(f, a, o.fh, 0, buf, 4), -EBADF);
	assert_int_equal(fz_releasedir(f, FUSE_ROOT_ID, d.fh), 0);
	assert_int_equal(fz_releasedir(f, FUSE_ROOT_ID, d.fh), -EBADF);
	assert_int_equal(fz_open(f, STALE, O_RDONLY, &o), -ESTALE);
	content_is(f, "a", "aaaa", 4);
}

static void open_modes(void **state)
{
	struct fx *f = *state;
	struct fuse_open_out o;
	uint64_t node;
	char buf[4];

	fx_put(f, "file", "1234", 4, 0644);
	node = fz_walk(f, "file");
	assert_int_equal(fz_open(f, node, O_RDONLY, &o), 0);
	assert_int_equal(o.padding, 0);
	assert_int_equal(fz_read(f, node, o.fh, 0, buf, 4), 4);
	assert_int_equal(fz_write(f, node, o.fh, 0, "x", 1), -EBADF);
	assert_int_equal(fz_release(f, node, o.fh), 0);
	assert_int_equal(fz_open(f, node, O_WRONLY, &o), 0);
	assert_int_equal(fz_read(f, node, o.fh, 0, buf, 4), -EBADF);
	assert_int_equal(fz_write(f, node, o.fh, 0, "x", 1), 1);
	assert_int_equal(fz_release(f, node, o.fh), 0);
	content_is(f, "file", "x234", 4);
	assert_int_equal(fz_open(f, node, O_RDWR | O_TRUNC, &o), 0);
	assert_int_equal(fx_stat(f, "file").st_size, 0);
	assert_int_equal(fz_release(f, node, o.fh), 0);
	/* Two handles of one file see each other. */
	for (int i = 0; i < 2; i++)
		assert_int_equal(fz_open(f, node, O_RDWR | O_SYNC | O_CLOEXEC | O_NONBLOCK, &o), 0);
	assert_int_equal(fz_write(f, node, o.fh, 0, "abcd", 4), 4);
	assert_int_equal(fz_release(f, node, o.fh), 0);
}

static void read_and_write_anywhere(void **state)
{
	struct fx *f = *state;
	struct fuse_open_out o;
	uint8_t *bytes = malloc(MIB), *got = malloc(MIB);
	uint64_t node;
	unsigned int seed = 7;

	assert_non_null(bytes);
	assert_non_null(got);
	for (size_t i = 0; i < MIB; i++)
		bytes[i] = (uint8_t)rand_r(&seed);
	fx_put(f, "file", "", 0, 0644);
	node = fz_walk(f, "file");
	assert_int_equal(fz_open(f, node, O_RDWR, &o), 0);
	assert_int_equal(fz_read(f, node, o.fh, 0, got, MIB), 0);
	assert_int_equal(fz_write(f, node, o.fh, 0, bytes, MIB), MIB);
	content_is(f, "file", bytes, MIB);
	assert_int_equal(fz_read(f, node, o.fh, 0, got, MIB), MIB);
	assert_memory_equal(got, bytes, MIB);
	/* Odd places and lengths, over the end. */
	for (int i = 0; i < 50; i++) {
		size_t off = (size_t)rand_r(&seed) % (MIB + 100), len = rand_r(&seed) % 9000 + 1;
		size_t want = off >= MIB ? 0 : MIN(len, MIB - off);

		assert_int_equal(fz_read(f, node, o.fh, off, got, len), want);
		assert_memory_equal(got, bytes + MIN(off, (size_t)MIB), want);
		if (!want)
			continue;
		memset(bytes + off, i, want);
		assert_int_equal(fz_write(f, node, o.fh, off, bytes + off, want), want);
	}
	content_is(f, "file", bytes, MIB);
	assert_int_equal(fz_read(f, node, o.fh, 0, got, 0), 0);
	/* A hole before what is written far out. */
	assert_int_equal(fz_write(f, node, o.fh, 1ull << 33, "far", 3), 3);
	assert_int_equal(fx_stat(f, "file").st_size, (1ull << 33) + 3);
	assert_int_equal(fz_read(f, node, o.fh, (1ull << 33) - 5, got, 100), 8);
	assert_memory_equal(got, "\0\0\0\0\0far", 8);
	/* Edges of what an offset can be. */
	assert_int_equal(fz_read(f, node, o.fh, INT64_MAX, got, 10), 0);
	assert_int_equal(fz_read(f, node, o.fh, 1ull << 63, got, 10), -EINVAL);
	assert_int_equal(fz_read(f, node, o.fh, UINT64_MAX, got, 10), -EINVAL);
	assert_int_equal(fz_write(f, node, o.fh, INT64_MAX, got, 10), -EFBIG);
	assert_int_equal(fz_write(f, node, o.fh, 1ull << 63, got, 10), -EINVAL);
	assert_int_equal(fz_release(f, node, o.fh), 0);
	free(bytes);
	free(got);
}

/* WRITE whose size is not what came, or more than was agreed on. */
static void write_sizes_that_lie(void **state)
{
	struct fx *f = *state;
	struct fuse_write_in in = {.size = 3};
	struct fuse_open_out o;
	struct fuse_write_out out;
	uint64_t node;

	fx_put(f, "file", "", 0, 0644);
	node = fz_walk(f, "file");
	assert_int_equal(fz_open(f, node, O_RDWR, &o), 0);
	in.fh = o.fh;
	for (size_t len = 0; len < 6; len++) {
		struct iovec iov[] = {IOV(in), {(void *)(uintptr_t) "abcdef", len}};
		int r = fz_call(f, FUSE_WRITE, node, iov, 2, &out, sizeof(out), NULL);

		assert_int_equal(r, len == 3 ? 0 : -EINVAL);
	}
	content_is(f, "file", "abc", 3);
	in.size = UINT32_MAX;
	assert_int_equal(fz_call(f, FUSE_WRITE, node, &(struct iovec)IOV(in), 1, &out, sizeof(out),
				 NULL),
			 -EINVAL);
	assert_int_equal(fz_write(f, node, o.fh, 0, NULL, 0), 0);
	assert_int_equal(fz_release(f, node, o.fh), 0);
}

/* READ that asks for more than there is room for: as much as fits. */
static void read_sizes_that_lie(void **state)
{
	struct fx *f = *state;
	struct fuse_read_in in = {.size = UINT32_MAX};
	struct iovec iov = IOV(in);
	struct fuse_open_out o;
	uint64_t node;
	char buf[8];
	size_t len;

	fx_put(f, "file", "0123456789", 10, 0644);
	node = fz_walk(f, "file");
	assert_int_equal(fz_open(f, node, O_RDONLY, &o), 0);
	in.fh = o.fh;
	assert_int_equal(fz_call(f, FUSE_READ, node, &iov, 1, buf, 8, &len), 0);
	assert_int_equal(len, 8);
	assert_memory_equal(buf, "01234567", 8);
	assert_int_equal(fz_call(f, FUSE_READ, node, &iov, 1, buf, 0, &len), 0);
	assert_int_equal(len, 0);
	assert_int_equal(fz_release(f, node, o.fh), 0);
}

static void flush_and_fsync(void **state)
{
	struct fx *f = *state;
	struct fuse_open_out o;
	uint64_t node;

	fx_put(f, "file", "", 0, 0644);
	node = fz_walk(f, "file");
	assert_int_equal(fz_open(f, node, O_RDWR, &o), 0);
	assert_int_equal(fz_write(f, node, o.fh, 0, "x", 1), 1);
	assert_int_equal(fz_flush(f, node, o.fh), 0);
	assert_int_equal(fz_fsync(f, node, o.fh, false), 0);
	assert_int_equal(fz_fsync(f, node, o.fh, true), 0);
	assert_int_equal(fz_release(f, node, o.fh), 0);
	assert_int_equal(fz_syncfs(f, FUSE_ROOT_ID), 0);
	assert_int_equal(fz_syncfs(f, node), 0);
}

/* Every mode of fallocate(2), beside the host's own on a twin. */
static void fallocate_is_the_hosts(void **state)
{
	static const struct {
		uint32_t mode;
		uint64_t off;
		uint64_t len;
	} calls[] = {
		{0, 0, 100},
		{0, 60000, 10000},
		{FALLOC_FL_KEEP_SIZE, 100000, 100000},
		{FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 8192, 8192},
		{FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 33333, 999},
		{FALLOC_FL_PUNCH_HOLE, 0, 4096},
		{FALLOC_FL_ZERO_RANGE, 20480, 4096},
		{FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 65536, 65536},
		{FALLOC_FL_COLLAPSE_RANGE, 4096, 4096},
		{FALLOC_FL_INSERT_RANGE, 4096, 4096},
		{1u << 30, 0, 1},
	};
	struct fx *f = *state;
	scoped_fd int fd = -1;
	struct fuse_open_out o;
	uint8_t bytes[65536], got[1 << 17];
	uint64_t node;

	memset(bytes, 0x55, sizeof(bytes));
	fx_put(f, "file", bytes, sizeof(bytes), 0644);
	fx_put(f, "twin", bytes, sizeof(bytes), 0644);
	fd = open(fx_path(f, "twin"), O_RDWR | O_CLOEXEC);
	node = fz_walk(f, "file");
	assert_int_equal(fz_open(f, node, O_RDWR, &o), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(calls); i++) {
		int r = fallocate(fd, (int)calls[i].mode, (off_t)calls[i].off, (off_t)calls[i].len);
		struct stat a, b;
		ssize_t len;

		assert_int_equal(fz_fallocate(f, node, o.fh, calls[i].mode, calls[i].off,
					      calls[i].len),
				 r < 0 ? -errno : 0);
		a = fx_stat(f, "file");
		b = fx_stat(f, "twin");
		assert_int_equal(a.st_size, b.st_size);
		// Of one that was written back in more parts, ext4 keeps the extents in a block of their own.
		assert_true(labs(a.st_blocks - b.st_blocks) <= a.st_blksize / 512);
		len = pread(fd, got, sizeof(got), 0);
		content_is(f, "file", got, (size_t)len);
	}
	assert_int_equal(fz_fallocate(f, node, o.fh, 0, 0, 0), -EINVAL);
	assert_int_equal(fz_fallocate(f, node, o.fh, 0, 1ull << 63, 1), -EINVAL);
	assert_int_equal(fz_fallocate(f, node, o.fh, 0, 0, 1ull << 63), -EINVAL);
	assert_int_equal(fz_fallocate(f, node, o.fh, 0, INT64_MAX, INT64_MAX), -EFBIG);
	assert_int_equal(fz_release(f, node, o.fh), 0);
	assert_int_equal(fz_open(f, node, O_RDONLY, &o), 0);
	assert_int_equal(fz_fallocate(f, node, o.fh, 0, 0, 100), -EBADF);
	assert_int_equal(fz_release(f, node, o.fh), 0);
}

static void lseek_finds_data_and_holes(void **state)
{
	struct fx *f = *state;
	scoped_fd int fd = -1;
	struct fuse_open_out o;
	uint64_t node, off = 99;

	fx_put(f, "file", "data", 4, 0644);
	fd = open(fx_path(f, "file"), O_RDWR | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "more", 4, 1 << 20), 4);
	assert_int_equal(ftruncate(fd, 3 << 20), 0);
	node = fz_walk(f, "file");
	assert_int_equal(fz_open(f, node, O_RDONLY, &o), 0);
	for (uint64_t at = 0; at <= 3u << 20; at += 128 * 1024) {
		for (uint32_t whence = SEEK_DATA; whence <= SEEK_HOLE; whence++) {
			off_t want = lseek(fd, (off_t)at, (int)whence);
			int error = want < 0 ? -errno : 0;

			assert_int_equal(fz_lseek(f, node, o.fh, at, whence, &off), error);
			if (!error)
				assert_int_equal(off, want);
		}
	}
	assert_int_equal(fz_lseek(f, node, o.fh, 0, SEEK_SET, &off), -EINVAL);
	assert_int_equal(fz_lseek(f, node, o.fh, 0, 77, &off), -EINVAL);
	assert_int_equal(fz_lseek(f, node, o.fh, UINT64_MAX, SEEK_DATA, &off), -ENXIO);
	assert_int_equal(fz_release(f, node, o.fh), 0);
}

static void copy_file_range_copies(void **state)
{
	struct fx *f = *state;
	struct fuse_open_out a, b;
	struct fuse_copy_file_range_in in = {.len = 1, .flags = 1};
	struct fuse_write_out out;
	uint8_t bytes[50000];
	uint64_t na, nb;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7);
	fx_put(f, "a", bytes, sizeof(bytes), 0644);
	fx_put(f, "b", "", 0, 0644);
	na = fz_walk(f, "a");
	nb = fz_walk(f, "b");
	assert_int_equal(fz_open(f, na, O_RDWR, &a), 0);
	assert_int_equal(fz_open(f, nb, O_RDWR, &b), 0);
	assert_int_equal(fz_copy(f, na, a.fh, 0, nb, b.fh, 0, 30000), 30000);
	content_is(f, "b", bytes, 30000);
	/* Over the end: what there is. At the end: nothing. */
	assert_int_equal(fz_copy(f, na, a.fh, 30000, nb, b.fh, 30000, 1 << 30), 20000);
	content_is(f, "b", bytes, sizeof(bytes));
	assert_int_equal(fz_copy(f, na, a.fh, 50000, nb, b.fh, 0, 10), 0);
	/* Within one file, apart and overlapping. */
	assert_int_equal(fz_copy(f, na, a.fh, 0, na, a.fh, 60000, 100), 100);
	assert_int_equal(fz_copy(f, na, a.fh, 0, na, a.fh, 10, 100), -EINVAL);
	assert_int_equal(fz_copy(f, na, a.fh, 1ull << 63, nb, b.fh, 0, 1), -EINVAL);
	assert_true(fz_copy(f, na, a.fh, 0, nb, b.fh, INT64_MAX, 100) < 0);
	in.fh_in = a.fh;
	in.fh_out = b.fh;
	in.nodeid_out = nb;
	assert_int_equal(fz_call(f, FUSE_COPY_FILE_RANGE, na, &(struct iovec)IOV(in), 1, &out,
				 sizeof(out), NULL),
			 -EINVAL);
	assert_int_equal(fz_release(f, na, a.fh), 0);
	assert_int_equal(fz_release(f, nb, b.fh), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		FX_TEST(create_opens, NULL),
		FX_TEST(create_opens_no_other_kind, NULL),
		FX_TEST(tmpfile_has_no_name, NULL),
		FX_TEST(handles_are_checked, NULL),
		FX_TEST(open_modes, NULL),
		FX_TEST(read_and_write_anywhere, NULL),
		FX_TEST(write_sizes_that_lie, NULL),
		FX_TEST(read_sizes_that_lie, NULL),
		FX_TEST(flush_and_fsync, NULL),
		FX_TEST(fallocate_is_the_hosts, NULL),
		FX_TEST(lseek_finds_data_and_holes, NULL),
		FX_TEST(copy_file_range_copies, NULL),
	};

	return fx_main(argc, argv, "file", tests, ARRAY_SIZE(tests));
}
