// SPDX-License-Identifier: Apache-2.0
/* What single opcodes answer, over memfs, byte by byte where it matters. */
/*
 * Theory of operation
 *
 * test_dispatch.c has what holds of all of them. Here each one gets the requests that are
 * particular to it, and its reply is taken apart as the guest's kernel would.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "fuse_sample.h"
#include "util.h"

#define ROOT FUSE_ROOT_ID

static struct rig *start(struct scene *sc)
{
	struct rig *r = rig_new_init();

	scene_new(r, sc);
	return r;
}

/* ---- what single opcodes answer ---- */

static void check_attr(const struct fuse_attr *a, uint64_t ino, uint32_t mode, uint64_t size)
{
	assert_int_equal(a->ino, ino);
	assert_int_equal(a->mode, mode);
	assert_int_equal(a->size, size);
	assert_int_equal(a->uid, 1000);
	assert_int_equal(a->gid, 1001);
	assert_int_equal(a->mtime, RIG_TIME);
	assert_int_equal(a->mtimensec, 5);
	assert_int_equal(a->blksize, 4096);
}

static void test_entries(void **state)
{
	struct scene sc;
	struct rig *r = start(&sc);
	struct fuse_entry_out entry;
	struct fuse_attr_out attr;
	struct fuse_mknod_in mknod = {.mode = S_IFBLK | 0640, .rdev = 0x12345};
	struct fuse_getattr_in getattr = {.getattr_flags = FUSE_GETATTR_FH, .fh = sc.fh};
	uint64_t id;

	(void)state;
	assert_int_equal(rig_lookup(r, ROOT, "f", &id), 0);
	assert_int_equal(id, sc.f);
	memcpy(&entry, r->reply, sizeof(entry));
	assert_int_equal(entry.entry_valid, 1);
	check_attr(&entry.attr, sc.f, 0100644, sizeof(SAMPLE_DATA) - 1);
	assert_int_equal(rig_lookup(r, ROOT, "nothing", NULL), -ENOENT);
	assert_int_equal(rig_lookup(r, sc.f, "x", NULL), -ENOTDIR);
	assert_int_equal(rig_lookup(r, 999, "x", NULL), -ESTALE);

	assert_int_equal(rig_call(r, FUSE_MKNOD, sc.d, &mknod, sizeof(mknod), "blk"), 0);
	memcpy(&entry, r->reply, sizeof(entry));
	assert_int_equal(entry.attr.mode, S_IFBLK | 0640);
	assert_int_equal(entry.attr.rdev, 0x12345);
	mknod.mode = S_IFDIR | 0755;
	assert_int_equal(rig_call(r, FUSE_MKNOD, sc.d, &mknod, sizeof(mknod), "x"), -EPERM);
	mknod.mode = S_IFLNK | 0755;
	assert_int_equal(rig_call(r, FUSE_MKNOD, sc.d, &mknod, sizeof(mknod), "x"), -EINVAL);
	mknod.mode = 0170000;
	assert_int_equal(rig_call(r, FUSE_MKNOD, sc.d, &mknod, sizeof(mknod), "x"), -EINVAL);
	mknod.mode = 0600;
	assert_int_equal(rig_call(r, FUSE_MKNOD, sc.d, &mknod, sizeof(mknod), "plain"), 0);
	memcpy(&entry, r->reply, sizeof(entry));
	assert_int_equal(entry.attr.mode, 0100600);

	assert_int_equal(rig_call(r, FUSE_GETATTR, sc.f, &getattr, sizeof(getattr), NULL), 0);
	memcpy(&attr, r->reply, sizeof(attr));
	check_attr(&attr.attr, sc.f, 0100644, sizeof(SAMPLE_DATA) - 1);
	getattr.fh = sc.gh;
	assert_int_equal(rig_call(r, FUSE_GETATTR, sc.f, &getattr, sizeof(getattr), NULL), -EBADF);

	assert_int_equal(rig_link(r, sc.f, sc.d, "hard"), 0);
	memcpy(&entry, r->reply, sizeof(entry));
	assert_int_equal(entry.nodeid, sc.f);
	assert_int_equal(entry.attr.nlink, 2);
	rig_free(r);
}

static void test_statx(void **state)
{
	struct scene sc;
	struct rig *r = start(&sc);
	struct fuse_statx_in in = {.sx_mask = 0xfff};
	struct fuse_statx_out out;

	(void)state;
	assert_int_equal(rig_call(r, FUSE_STATX, sc.f, &in, sizeof(in), NULL), 0);
	memcpy(&out, r->reply, sizeof(out));
	assert_int_equal(out.stat.mask & 0xfff, 0xfff);
	assert_int_equal(out.stat.size, sizeof(SAMPLE_DATA) - 1);
	assert_int_equal(out.stat.ino, sc.f);
	assert_int_equal(out.stat.mode, 0100644);
	assert_int_equal(out.stat.btime.tv_sec, RIG_TIME);
	in.getattr_flags = FUSE_GETATTR_FH;
	in.fh = 77;
	assert_int_equal(rig_call(r, FUSE_STATX, sc.f, &in, sizeof(in), NULL), -EBADF);
	rig_free(r);
}

static void test_create(void **state)
{
	struct rig *r = rig_new_init();
	struct fuse_entry_out entry;
	struct fuse_open_out open;
	uint64_t id, fh;

	(void)state;
	assert_int_equal(rig_create(r, ROOT, "new", O_RDWR, &id, &fh), 0);
	memcpy(&entry, r->reply, sizeof(entry));
	memcpy(&open, r->reply + sizeof(entry), sizeof(open));
	assert_int_equal(entry.nodeid, id);
	assert_int_equal(open.fh, fh);
	check_attr(&entry.attr, id, 0100644, 0);
	assert_int_equal(entry.attr.nlink, 1);
	assert_int_equal(rig_create(r, ROOT, "new", O_RDWR | O_EXCL, &id, &fh), -EEXIST);
	rig_free(r);
}

static void test_data(void **state)
{
	struct scene sc;
	struct rig *r = start(&sc);
	struct fuse_write_out out;
	struct fuse_attr attr;

	(void)state;
	assert_int_equal(rig_read(r, sc.f, sc.fh, 0, 100), 0);
	assert_int_equal(r->len, sizeof(SAMPLE_DATA) - 1);
	assert_memory_equal(r->reply, SAMPLE_DATA, r->len);
	assert_int_equal(rig_read(r, sc.f, sc.fh, 7, 3), 0);
	assert_int_equal(r->len, 3);
	assert_memory_equal(r->reply, "wor", 3);
	assert_int_equal(rig_read(r, sc.f, sc.fh, 12, 3), 0);
	assert_int_equal(r->len, 0);
	assert_int_equal(rig_read(r, sc.f, sc.fh, 0, 0), 0);
	assert_int_equal(r->len, 0);

	assert_int_equal(rig_write(r, sc.f, sc.fh, 100, "abc", 3), 0);
	memcpy(&out, r->reply, sizeof(out));
	assert_int_equal(out.size, 3);
	assert_int_equal(rig_getattr(r, sc.f, &attr), 0);
	assert_int_equal(attr.size, 103);
	assert_int_equal(rig_read(r, sc.f, sc.fh, 98, 10), 0);
	assert_int_equal(r->len, 5);
	assert_memory_equal(r->reply, "\0\0abc", 5);
	assert_int_equal(rig_write(r, sc.f, sc.fh, 0, "", 0), 0);
	assert_int_equal(rig_read(r, sc.g, sc.fh, 0, 10), -EBADF);
	assert_int_equal(rig_read(r, sc.f, 4711, 0, 10), -EBADF);
	rig_free(r);
}

/* A READ for more than there is room for is cut to the room: the data never goes elsewhere. */
static void test_read_room(void **state)
{
	struct scene sc;
	struct rig *r = start(&sc);
	struct fuse_read_in in = {.fh = sc.fh, .size = UINT32_MAX};

	(void)state;
	for (size_t room = 16; room < 40; room++) {
		rig_begin(r, FUSE_READ, sc.f);
		rig_add(r, &in, sizeof(in));
		rig_send(r, room);
		assert_int_equal(r->error, 0);
		assert_int_equal(r->len, MIN(room - 16, sizeof(SAMPLE_DATA) - 1));
		assert_memory_equal(r->reply, SAMPLE_DATA, r->len);
	}
	rig_free(r);
}

static void test_big_write(void **state)
{
	struct scene sc;
	struct rig *r = start(&sc);
	size_t max = SESSION_MAX_WRITE;
	struct fuse_write_in in = {.fh = sc.fh, .size = (uint32_t)max + 1};
	uint8_t *data = calloc(1, max + 1);

	(void)state;
	assert_non_null(data);
	/* The tree is as large as one such write, and has one page in use that is overwritten. */
	memset(data, 7, max);
	r->frame.in = 4096;
	assert_int_equal(rig_write(r, sc.f, sc.fh, 0, data, max), 0);
	assert_int_equal(rig_read(r, sc.f, sc.fh, 0, (uint32_t)max), 0);
	assert_int_equal(r->len, max);
	assert_memory_equal(r->reply, data, max);
	rig_begin(r, FUSE_WRITE, sc.f);
	rig_add(r, &in, sizeof(in));
	rig_add(r, data, max + 1);
	rig_send(r, RIG_ROOM);
	assert_int_equal(r->error, -EINVAL);
	assert_int_equal(rig_write(r, sc.g, sc.gh, 0, "x", 1), -ENOSPC);
	free(data);
	rig_free(r);
}

static void test_readdir(void **state)
{
	static const char *const want[] = {".", "..", "f", "g", "d", "e", "l"};
	struct scene sc;
	struct rig *r = start(&sc);
	unsigned int n = 0;
	uint64_t off = 0;

	(void)state;
	/* One entry at a time: what is asked for next is the offset of the one before. */
	for (;;) {
		struct fuse_dirent d;

		assert_int_equal(rig_readdir(r, ROOT, sc.rh, off, 32, false), 0);
		if (!r->len)
			break;
		assert_int_equal(r->len, 32);
		memcpy(&d, r->reply, sizeof(d));
		assert_int_equal(d.namelen, strlen(want[n]));
		assert_memory_equal(r->reply + FUSE_NAME_OFFSET, want[n], d.namelen);
		for (size_t i = FUSE_NAME_OFFSET + d.namelen; i < 32; i++)
			assert_int_equal(r->reply[i], 0);
		assert_int_equal(d.type, n == 6 ? 10 : n == 2 || n == 3 ? 8 : 4);
		off = d.off;
		n++;
	}
	assert_int_equal(n, 7);
	assert_int_equal(rig_readdir(r, ROOT, sc.rh, 0, 31, false), -EINVAL);
	assert_int_equal(rig_readdir(r, sc.d, sc.rh, 0, 100, false), -EBADF);
	assert_int_equal(rig_readdir(r, sc.f, sc.fh, 0, 100, false), -EBADF);
	rig_free(r);
}

static void test_readdirplus(void **state)
{
	struct scene sc;
	struct rig *r = start(&sc);
	struct memfs_stats before, after;
	struct fuse_direntplus dp;

	(void)state;
	memfs_stats(r->fs, &before);
	/* Room for four, and a bit that is no use. */
	assert_int_equal(rig_readdir(r, ROOT, sc.rh, 0, 4 * 160 + 159, true), 0);
	assert_int_equal(r->len, 4 * 160);
	memcpy(&dp, r->reply, sizeof(dp));
	assert_int_equal(dp.entry_out.nodeid, 0);
	memcpy(&dp, r->reply + 320, sizeof(dp));
	assert_int_equal(dp.entry_out.nodeid, sc.f);
	assert_int_equal(dp.entry_out.attr.size, sizeof(SAMPLE_DATA) - 1);
	assert_int_equal(dp.dirent.namelen, 1);
	assert_int_equal(r->reply[320 + FUSE_NAME_OFFSET_DIRENTPLUS], 'f');
	/* Only what was given counts: f and g. */
	memfs_stats(r->fs, &after);
	assert_int_equal(after.lookups, before.lookups + 2);
	rig_free(r);
}

static void test_readlink(void **state)
{
	struct scene sc;
	struct rig *r = start(&sc);

	(void)state;
	/* Windows sends a body with it. */
	rig_begin(r, FUSE_READLINK, sc.l);
	rig_add(r, "\0\0\0\0\0\0\0\0", 8);
	rig_send(r, RIG_ROOM);
	assert_int_equal(r->error, 0);
	assert_int_equal(r->len, strlen(SAMPLE_TARGET));
	assert_memory_equal(r->reply, SAMPLE_TARGET, r->len);
	assert_int_equal(rig_call(r, FUSE_READLINK, sc.f, NULL, 0, NULL), -EINVAL);
	rig_free(r);
}

static void test_symlink_targets(void **state)
{
	struct rig *r = rig_new_init();
	char target[4097];
	uint64_t id;

	(void)state;
	memset(target, 't', sizeof(target));
	target[4095] = '\0';
	assert_int_equal(rig_symlink(r, ROOT, "long", target, &id), 0);
	assert_int_equal(rig_call(r, FUSE_READLINK, id, NULL, 0, NULL), 0);
	assert_int_equal(r->len, 4095);
	assert_memory_equal(r->reply, target, 4095);
	target[4095] = 't';
	target[4096] = '\0';
	assert_int_equal(rig_symlink(r, ROOT, "longer", target, &id), -ENAMETOOLONG);
	assert_int_equal(rig_symlink(r, ROOT, "empty", "", &id), -ENOENT);
	assert_int_equal(rig_symlink(r, ROOT, "up", "../../..", &id), 0);
	assert_int_equal(rig_lookup(r, ROOT, "longer", NULL), -ENOENT);
	rig_free(r);
}

static void test_rename(void **state)
{
	struct scene sc;
	struct rig *r = start(&sc);
	uint32_t bad[] = {8, UINT32_MAX, RENAME_NOREPLACE | RENAME_EXCHANGE,
			  RENAME_WHITEOUT | RENAME_EXCHANGE};
	uint64_t id;

	(void)state;
	assert_int_equal(rig_rename(r, ROOT, "f", sc.d, "ff", 0), 0);
	assert_int_equal(rig_lookup(r, ROOT, "f", NULL), -ENOENT);
	assert_int_equal(rig_lookup(r, sc.d, "ff", &id), 0);
	assert_int_equal(id, sc.f);
	assert_int_equal(rig_rename(r, sc.d, "ff", ROOT, "g", RENAME_NOREPLACE), -EEXIST);
	assert_int_equal(rig_rename(r, sc.d, "ff", ROOT, "g", RENAME_EXCHANGE), 0);
	assert_int_equal(rig_lookup(r, ROOT, "g", &id), 0);
	assert_int_equal(id, sc.f);
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(rig_rename(r, ROOT, "g", sc.d, "z", bad[i]), -EINVAL);
	rig_free(r);
}

static void test_xattr(void **state)
{
	struct scene sc;
	struct rig *r = start(&sc);
	struct fuse_getxattr_out out;
	struct fuse_setxattr_in set = {.size = 65537};
	char *big = malloc(65537);
	char name[256];

	(void)state;
	assert_non_null(big);
	assert_int_equal(rig_getxattr(r, sc.f, SAMPLE_XATTR, 0), 0);
	assert_int_equal(r->len, sizeof(out));
	memcpy(&out, r->reply, sizeof(out));
	assert_int_equal(out.size, sizeof(SAMPLE_VALUE) - 1);
	assert_int_equal(rig_getxattr(r, sc.f, SAMPLE_XATTR, 4), -ERANGE);
	assert_int_equal(rig_getxattr(r, sc.f, SAMPLE_XATTR, UINT32_MAX), 0);
	assert_int_equal(r->len, sizeof(SAMPLE_VALUE) - 1);
	assert_memory_equal(r->reply, SAMPLE_VALUE, r->len);
	assert_int_equal(rig_getxattr(r, sc.f, "user.none", 10), -ENODATA);

	assert_int_equal(rig_setxattr(r, sc.f, SAMPLE_XATTR, "x", 1, XATTR_CREATE), -EEXIST);
	assert_int_equal(rig_setxattr(r, sc.f, "user.none", "x", 1, XATTR_REPLACE), -ENODATA);
	assert_int_equal(rig_setxattr(r, sc.f, "user.none", "x", 1, 4), -EINVAL);
	assert_int_equal(rig_setxattr(r, sc.f, "user.void", "", 0, 0), 0);
	assert_int_equal(rig_getxattr(r, sc.f, "user.void", 10), 0);
	assert_int_equal(r->len, 0);

	/* On the heap, and as large as it can be. */
	memset(big, 'b', 65537);
	r->frame.in = 999;
	assert_int_equal(rig_setxattr(r, sc.f, "user.big", big, 65536, 0), 0);
	rig_begin(r, FUSE_GETXATTR, sc.f);
	rig_add(r, &(struct fuse_getxattr_in){.size = 65536}, 8);
	rig_name(r, "user.big");
	rig_send(r, 16 + 65536);
	assert_int_equal(r->error, 0);
	assert_int_equal(r->len, 65536);
	assert_memory_equal(r->reply, big, 65536);
	assert_int_equal(rig_getxattr(r, sc.f, "user.big", 4096), -ERANGE);
	rig_begin(r, FUSE_SETXATTR, sc.f);
	rig_add(r, &set, sizeof(set));
	rig_name(r, "user.bigger");
	rig_add(r, big, 65537);
	rig_send(r, RIG_ROOM);
	assert_int_equal(r->error, -E2BIG);

	assert_int_equal(rig_call(r, FUSE_LISTXATTR, sc.f, &(struct fuse_getxattr_in){.size = 0}, 8,
				  NULL),
			 0);
	memcpy(&out, r->reply, sizeof(out));
	assert_int_equal(out.size, strlen("user.a user.void user.big "));
	assert_int_equal(rig_call(r, FUSE_LISTXATTR, sc.f, &(struct fuse_getxattr_in){.size = 5}, 8,
				  NULL),
			 -ERANGE);

	/* Names of attributes are free but for their length. */
	memset(name, 'n', 255);
	memcpy(name, "user./..", 8);
	name[255] = '\0';
	assert_int_equal(rig_setxattr(r, sc.f, name, "x", 1, 0), 0);
	assert_int_equal(rig_getxattr(r, sc.f, name, 10), 0);
	assert_int_equal(rig_call(r, FUSE_REMOVEXATTR, sc.f, NULL, 0, name), 0);
	assert_int_equal(rig_call(r, FUSE_REMOVEXATTR, sc.f, NULL, 0, name), -ENODATA);
	free(big);
	rig_free(r);
}

/* Before 7.33, and when it was not agreed on later, the arguments are 8 bytes. */
static void test_setxattr_short(void **state)
{
	struct scene sc;
	struct rig *r = rig_new();

	(void)state;
	assert_int_equal(rig_init(r, 31, UINT32_MAX & ~(FUSE_INIT_EXT | FUSE_SETXATTR_EXT)), 0);
	scene_new(r, &sc);
	assert_int_equal(rig_setxattr(r, sc.f, "user.b", "value", 5, 0), 0);
	assert_int_equal(rig_getxattr(r, sc.f, "user.b", 10), 0);
	assert_int_equal(r->len, 5);
	assert_memory_equal(r->reply, "value", 5);
	rig_free(r);
}

static void test_lseek_fallocate_copy(void **state)
{
	struct scene sc;
	struct rig *r = start(&sc);
	struct fuse_lseek_in seek = {.fh = sc.fh, .offset = 12, .whence = SEEK_HOLE};
	struct fuse_fallocate_in alloc = {.fh = sc.fh, .length = 5000};
	struct fuse_copy_file_range_in copy = {
		.fh_in = sc.fh, .nodeid_out = sc.g, .fh_out = sc.gh, .off_in = 7, .len = 100};
	struct fuse_lseek_out off;
	struct fuse_write_out out;
	struct fuse_attr attr;

	(void)state;
	assert_int_equal(rig_call(r, FUSE_LSEEK, sc.f, &seek, sizeof(seek), NULL), -ENXIO);
	seek.offset = 3;
	assert_int_equal(rig_call(r, FUSE_LSEEK, sc.f, &seek, sizeof(seek), NULL), 0);
	memcpy(&off, r->reply, sizeof(off));
	assert_int_equal(off.offset, 12);
	for (uint32_t whence = 0; whence < 10; whence++) {
		seek.whence = whence;
		rig_call(r, FUSE_LSEEK, sc.f, &seek, sizeof(seek), NULL);
		if (whence != SEEK_DATA && whence != SEEK_HOLE)
			assert_int_equal(r->error, -EINVAL);
	}
	assert_int_equal(rig_call(r, FUSE_FALLOCATE, sc.f, &alloc, sizeof(alloc), NULL), 0);
	assert_int_equal(rig_getattr(r, sc.f, &attr), 0);
	assert_int_equal(attr.size, 5000);
	alloc.mode = 0x80000000;
	assert_int_equal(rig_call(r, FUSE_FALLOCATE, sc.f, &alloc, sizeof(alloc), NULL),
			 -EOPNOTSUPP);
	assert_int_equal(rig_call(r, FUSE_COPY_FILE_RANGE, sc.f, &copy, sizeof(copy), NULL), 0);
	memcpy(&out, r->reply, sizeof(out));
	assert_int_equal(out.size, 100);
	assert_int_equal(rig_read(r, sc.g, sc.gh, 0, 6), 0);
	assert_memory_equal(r->reply, "world\0", 6);
	copy.flags = 1;
	assert_int_equal(rig_call(r, FUSE_COPY_FILE_RANGE, sc.f, &copy, sizeof(copy), NULL),
			 -EINVAL);
	rig_free(r);
}

static void test_statfs(void **state)
{
	struct rig *r = rig_new_init();
	struct fuse_statfs_out out;

	(void)state;
	assert_int_equal(rig_call(r, FUSE_STATFS, ROOT, NULL, 0, NULL), 0);
	memcpy(&out, r->reply, sizeof(out));
	assert_int_equal(out.st.blocks, 256);
	assert_int_equal(out.st.bsize, 4096);
	assert_int_equal(out.st.namelen, 255);
	rig_free(r);
}

static void test_forget(void **state)
{
	struct scene sc;
	struct rig *r = start(&sc);
	struct memfs_stats before, after;
	struct fuse_batch_forget_in batch = {.count = 3};
	struct fuse_forget_one one[] = {{sc.d, 1}, {sc.l, UINT64_MAX}, {99, 5}};
	struct fuse_attr attr;

	(void)state;
	memfs_stats(r->fs, &before);
	rig_forget(r, sc.e, 1);
	rig_forget(r, ROOT, UINT64_MAX);
	rig_forget(r, 0, 1);
	memfs_stats(r->fs, &after);
	assert_int_equal(after.lookups, before.lookups - 1);
	assert_int_equal(rig_getattr(r, sc.e, &attr), -ESTALE);
	assert_int_equal(rig_getattr(r, ROOT, &attr), 0);

	rig_begin(r, FUSE_BATCH_FORGET, 0);
	rig_add(r, &batch, sizeof(batch));
	rig_add(r, one, sizeof(one));
	rig_send(r, 0);
	assert_int_equal(rig_getattr(r, sc.d, &attr), -ESTALE);
	assert_int_equal(rig_getattr(r, sc.l, &attr), -ESTALE);
	/* Room that is left all the same stays empty. */
	rig_begin(r, FUSE_FORGET, sc.f);
	rig_add(r, &(struct fuse_forget_in){.nlookup = 1}, 8);
	r->msg.unique_zero = true;
	rig_send(r, 100);
	assert_int_equal(r->used, 0);
	assert_int_equal(rig_getattr(r, sc.f, &attr), -ESTALE);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_entries),        cmocka_unit_test(test_statx),
		cmocka_unit_test(test_create),         cmocka_unit_test(test_data),
		cmocka_unit_test(test_read_room),      cmocka_unit_test(test_big_write),
		cmocka_unit_test(test_readdir),        cmocka_unit_test(test_readdirplus),
		cmocka_unit_test(test_readlink),       cmocka_unit_test(test_symlink_targets),
		cmocka_unit_test(test_rename),         cmocka_unit_test(test_xattr),
		cmocka_unit_test(test_setxattr_short), cmocka_unit_test(test_lseek_fallocate_copy),
		cmocka_unit_test(test_statfs),         cmocka_unit_test(test_forget),
	};

	return cmocka_run_group_tests_name("opcodes", tests, NULL, NULL);
}
