// SPDX-License-Identifier: Apache-2.0
/* Options that change what replies say: cache modes, read-only, submounts; and whose files they are. */
/*
 * Theory of operation
 *
 * A mode is an option of the daemon, so each test has a daemon of its own with that option. Submounts
 * are made in a mount namespace of the test's own, on a share that passes later mounts on.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fx.h"
#include "fz.h"
#include "util.h"

#define DAY          86400u
#define MOUNT_CYCLES 300

struct mode {
	struct fx_opts opts;
	uint64_t valid;
	uint32_t file_flags;
	uint32_t dir_flags;
};

static const struct mode cache_auto = {{.args = {"--cache=auto"}}, 1, 0, 0};
static const struct mode cache_always = {
	{.args = {"--cache=always"}}, DAY, FOPEN_KEEP_CACHE, FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR};
static const struct mode cache_never = {{.args = {"--cache=never"}}, 0, FOPEN_DIRECT_IO, 0};
static const struct mode cache_none = {{.args = {"--cache=none"}}, 0, FOPEN_DIRECT_IO, 0};
static const struct mode cache_metadata = {
	{.args = {"--cache=metadata"}}, DAY, FOPEN_DIRECT_IO, FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR};

static void entry_valid_is(const struct fuse_entry_out *e, uint64_t valid)
{
	assert_int_equal(e->entry_valid, valid);
	assert_int_equal(e->attr_valid, valid);
	assert_int_equal(e->entry_valid_nsec, 0);
	assert_int_equal(e->attr_valid_nsec, 0);
}

/* Every reply with a time-out or with open flags has those of the mode. */
static void cache_mode(void **state)
{
	struct fx *f = *state;
	const struct mode *m = (const void *)f->opts;
	struct fuse_setattr_in set = {.valid = FATTR_MODE, .mode = 0600};
	struct fuse_entry_out e;
	struct fuse_attr_out a;
	struct fuse_statx_out s;
	struct fuse_open_out o;
	struct fz_entry_open c;
	uint8_t buf[4096];
	ssize_t len;

	fx_put(f, "file", "content", 7, 0644);
	assert_int_equal(fz_lookup(f, FUSE_ROOT_ID, "file", &e), 0);
	entry_valid_is(&e, m->valid);
	assert_int_equal(fz_getattr(f, e.nodeid, &a), 0);
	assert_int_equal(a.attr_valid, m->valid);
	assert_int_equal(fz_setattr(f, e.nodeid, &set, &a), 0);
	assert_int_equal(a.attr_valid, m->valid);
	assert_int_equal(fz_statx(f, e.nodeid, STATX_BASIC_STATS, &s), 0);
	assert_int_equal(s.attr_valid, m->valid);
	assert_int_equal(fz_open(f, e.nodeid, O_RDWR, &o), 0);
	/* Whether close(2) is to be told depends on the file system. */
	assert_int_equal(o.open_flags & ~(uint32_t)FOPEN_NOFLUSH, m->file_flags);
	assert_int_equal(fz_release(f, e.nodeid, o.fh), 0);
	assert_int_equal(fz_open(f, e.nodeid, O_RDONLY, &o), 0);
	assert_int_equal(o.open_flags, m->file_flags | FOPEN_NOFLUSH);
	assert_int_equal(fz_release(f, e.nodeid, o.fh), 0);
	assert_int_equal(fz_mkdir(f, FUSE_ROOT_ID, "dir", 0755, &e), 0);
	entry_valid_is(&e, m->valid);
	assert_int_equal(fz_opendir(f, e.nodeid, &o), 0);
	assert_int_equal(o.open_flags, m->dir_flags);
	assert_int_equal(fz_releasedir(f, e.nodeid, o.fh), 0);
	assert_int_equal(fz_symlink(f, FUSE_ROOT_ID, "link", "x", &e), 0);
	entry_valid_is(&e, m->valid);
	assert_int_equal(fz_mknod(f, FUSE_ROOT_ID, "fifo", S_IFIFO | 0600, 0, &e), 0);
	entry_valid_is(&e, m->valid);
	assert_int_equal(fz_link(f, e.nodeid, FUSE_ROOT_ID, "fifo2", &e), 0);
	entry_valid_is(&e, m->valid);
	assert_int_equal(fz_create(f, FUSE_ROOT_ID, "new", O_CREAT | O_RDWR, 0644, &c), 0);
	entry_valid_is(&c.entry, m->valid);
	assert_int_equal(c.open.open_flags & ~(uint32_t)FOPEN_NOFLUSH, m->file_flags);
	assert_int_equal(fz_release(f, c.entry.nodeid, c.open.fh), 0);
	assert_int_equal(fz_opendir(f, FUSE_ROOT_ID, &o), 0);
	len = fz_readdir(f, FUSE_ROOT_ID, o.fh, 0, true, buf, sizeof(buf));
	assert_true(len > 0);
	for (ssize_t at = 0; at < len;) {
		const struct fuse_direntplus *dp = (const void *)(buf + at);

		if (dp->entry_out.nodeid)
			entry_valid_is(&dp->entry_out, m->valid);
		at += FUSE_DIRENTPLUS_SIZE(dp);
	}
	assert_int_equal(fz_releasedir(f, FUSE_ROOT_ID, o.fh), 0);
	/* Nothing that READDIRPLUS brings could be kept without a time-out. */
	assert_int_equal(!!(f->init.flags & FUSE_DO_READDIRPLUS), m->valid != 0);
	assert_int_equal(!!(f->init.flags & FUSE_AUTO_INVAL_DATA),
			 !(m->file_flags & FOPEN_KEEP_CACHE));
}

static const struct fx_opts readonly = {.args = {"--readonly", "--xattr"}};

static void readonly_refuses_every_change(void **state)
{
	struct fx *f = *state;
	static const uint32_t valid[] = {FATTR_MODE,  FATTR_UID,   FATTR_GID, FATTR_SIZE,
					 FATTR_ATIME, FATTR_MTIME, 0};
	struct fuse_entry_out e;
	struct fuse_attr_out a;
	struct fuse_open_out o;
	struct fz_entry_open c;
	struct stat before, after;
	uint64_t node;
	char buf[512];

	fx_put(f, "file", "content", 7, 0666);
	assert_int_equal(mkdir(fx_path(f, "dir"), 0777), 0);
	before = fx_stat(f, ".");
	node = fz_walk(f, "file");
	for (unsigned int i = 0; i < ARRAY_SIZE(valid); i++) {
		struct fuse_setattr_in in = {.valid = valid[i]};

		assert_int_equal(fz_setattr(f, node, &in, &a), -EROFS);
	}
	assert_int_equal(fz_symlink(f, FUSE_ROOT_ID, "x", "y", &e), -EROFS);
	assert_int_equal(fz_mknod(f, FUSE_ROOT_ID, "x", S_IFREG | 0666, 0, &e), -EROFS);
	assert_int_equal(fz_mkdir(f, FUSE_ROOT_ID, "x", 0777, &e), -EROFS);
	assert_int_equal(fz_unlink(f, FUSE_ROOT_ID, "file"), -EROFS);
	assert_int_equal(fz_rmdir(f, FUSE_ROOT_ID, "dir"), -EROFS);
	assert_int_equal(fz_rename(f, FUSE_ROOT_ID, "file", FUSE_ROOT_ID, "x", 0), -EROFS);
	assert_int_equal(fz_rename(f, FUSE_ROOT_ID, "file", FUSE_ROOT_ID, "dir", RENAME_EXCHANGE),
			 -EROFS);
	assert_int_equal(fz_link(f, node, FUSE_ROOT_ID, "x", &e), -EROFS);
	assert_int_equal(fz_create(f, FUSE_ROOT_ID, "x", O_CREAT | O_RDWR, 0666, &c), -EROFS);
	assert_int_equal(fz_tmpfile(f, FUSE_ROOT_ID, O_RDWR, 0666, &c), -EROFS);
	assert_int_equal(fz_setxattr(f, node, "user.x", "y", 1, 0), -EROFS);
	assert_int_equal(fz_removexattr(f, node, "user.x"), -EROFS);
	assert_int_equal(fz_open(f, node, O_WRONLY, &o), -EROFS);
	assert_int_equal(fz_open(f, node, O_RDWR, &o), -EROFS);
	assert_int_equal(fz_open(f, node, O_RDONLY | O_TRUNC, &o), -EROFS);
	/* What only reads goes on, and its handle is good for nothing else. */
	assert_int_equal(fz_open(f, node, O_RDONLY, &o), 0);
	assert_int_equal(fz_read(f, node, o.fh, 0, buf, 8), 7);
	assert_int_equal(fz_write(f, node, o.fh, 0, "x", 1), -EROFS);
	assert_int_equal(fz_fallocate(f, node, o.fh, 0, 0, 100), -EROFS);
	assert_int_equal(fz_copy(f, node, o.fh, 0, node, o.fh, 100, 1), -EROFS);
	assert_int_equal(fz_flush(f, node, o.fh), 0);
	assert_int_equal(fz_fsync(f, node, o.fh, false), 0);
	assert_int_equal(fz_release(f, node, o.fh), 0);
	assert_int_equal(fz_opendir(f, FUSE_ROOT_ID, &o), 0);
	assert_true(fz_readdir(f, FUSE_ROOT_ID, o.fh, 0, false, buf, 512) > 0);
	assert_int_equal(fz_releasedir(f, FUSE_ROOT_ID, o.fh), 0);
	after = fx_stat(f, ".");
	assert_int_equal(after.st_ctim.tv_nsec, before.st_ctim.tv_nsec);
	assert_int_equal(after.st_ctim.tv_sec, before.st_ctim.tv_sec);
	assert_int_equal(fx_stat(f, "file").st_size, 7);
}

static const struct fx_opts submounts = {.tmpfs = true, .no_start = true};
static const struct fx_opts no_submounts = {
	.tmpfs = true, .no_start = true, .args = {"--no-announce-submounts"}};
static const struct fx_opts old_guest = {
	.tmpfs = true, .no_start = true, .flags = FX_LINUX_FLAGS & ~FUSE_SUBMOUNTS};

/* A share with a mount in it, and one file on either. */
static void make_submount(struct fx *f, const char *name)
{
	char file[32];

	assert_int_equal(mkdir(fx_path(f, name), 0755), 0);
	assert_int_equal(mount("tmpfs", fx_path(f, name), "tmpfs", 0, "mode=711"), 0);
	snprintf(file, sizeof(file), "%s/file", name);
	fx_put(f, file, "below", 5, 0644);
}

static void submount_is_marked(void **state)
{
	struct fx *f = *state;
	bool marked = f->opts == &submounts;
	struct fuse_entry_out e, file;
	struct fuse_open_out o;
	struct stat st;
	uint8_t buf[4096];
	bool seen = false;
	ssize_t len;

	fx_need_root();
	fx_put(f, "file", "above", 5, 0644);
	make_submount(f, "sub");
	fx_start(f);
	fx_connect(f);
	fx_up(f, true);
	assert_int_equal(!!(f->init.flags & FUSE_SUBMOUNTS), marked);
	assert_int_equal(fz_lookup(f, FUSE_ROOT_ID, "sub", &e), 0);
	assert_int_equal(e.attr.flags, marked ? FUSE_ATTR_SUBMOUNT : 0);
	/* What is mounted, not what it is mounted on. */
	st = fx_stat(f, "sub");
	assert_int_equal(e.attr.mode, st.st_mode);
	assert_int_equal(e.attr.ino, st.st_ino);
	assert_int_equal(fz_lookup(f, e.nodeid, "file", &file), 0);
	assert_int_equal(file.attr.flags, 0);
	fz_entry_is(f, &file, "sub/file");
	/* Even where both file systems have given out the same inode number. */
	assert_int_not_equal(file.nodeid, fz_walk(f, "file"));
	assert_int_equal(fz_opendir(f, FUSE_ROOT_ID, &o), 0);
	len = fz_readdir(f, FUSE_ROOT_ID, o.fh, 0, true, buf, sizeof(buf));
	assert_true(len > 0);
	for (ssize_t at = 0; at < len;) {
		const struct fuse_direntplus *dp = (const void *)(buf + at);

		if (dp->dirent.namelen == 3 && memcmp(dp->dirent.name, "sub", 3) == 0) {
			assert_int_equal(dp->entry_out.attr.flags, marked ? FUSE_ATTR_SUBMOUNT : 0);
			assert_int_equal(dp->entry_out.nodeid, e.nodeid);
			seen = true;
		}
		at += FUSE_DIRENTPLUS_SIZE(dp);
	}
	assert_true(seen);
	assert_int_equal(fz_releasedir(f, FUSE_ROOT_ID, o.fh), 0);
}

/* Mounted while the guest runs, used, forgotten, unmounted: Kata's life of a container. */
static void later_mounts_come_and_go(void **state)
{
	struct fx *f = *state;
	struct fuse_entry_out e, file;
	struct fuse_attr_out a;
	unsigned int fds;

	fx_need_root();
	fx_start(f);
	fx_connect(f);
	fx_up(f, true);
	fds = fx_count_fds(f);
	for (int i = 0; i < MOUNT_CYCLES; i++) {
		make_submount(f, "sub");
		assert_int_equal(fz_lookup(f, FUSE_ROOT_ID, "sub", &e), 0);
		assert_int_equal(e.attr.flags, FUSE_ATTR_SUBMOUNT);
		assert_int_equal(fz_lookup(f, e.nodeid, "file", &file), 0);
		assert_int_equal(file.attr.size, 5);
		fz_forget(f, file.nodeid, 1);
		fz_forget(f, e.nodeid, 1);
		assert_int_equal(fz_getattr(f, FUSE_ROOT_ID, &a), 0);
		if (umount2(fx_path(f, "sub"), 0) < 0)
			fail_msg("cannot unmount: %s", strerror(errno));
		assert_int_equal(rmdir(fx_path(f, "sub")), 0);
		assert_int_equal(fz_lookup(f, FUSE_ROOT_ID, "sub", &e), -ENOENT);
	}
	assert_int_equal(fx_count_fds(f), fds);
}

static void owner_is(const struct fx *f, const char *name, uid_t uid, gid_t gid)
{
	struct stat st = fx_stat(f, name);

	assert_int_equal(st.st_uid, uid);
	assert_int_equal(st.st_gid, gid);
}

static void what_is_made_is_the_callers(void **state)
{
	struct fx *f = *state;
	struct fuse_entry_out e;
	struct fz_entry_open c;

	fx_need_root();
	assert_int_equal(chmod(f->share, 0777), 0);
	for (int i = 0; i < 4; i++) {
		/* As a user, as its group, as both, as root: none sticks to the thread. */
		f->uid = i == 0 || i == 2 ? 12345 : 0;
		f->gid = i == 1 || i == 2 ? 54321 : 0;
		assert_int_equal(fz_mknod(f, FUSE_ROOT_ID, "mknod", S_IFREG | 0600, 0, &e), 0);
		assert_int_equal(e.attr.uid, f->uid);
		assert_int_equal(e.attr.gid, f->gid);
		assert_int_equal(fz_mkdir(f, FUSE_ROOT_ID, "mkdir", 0700, &e), 0);
		assert_int_equal(fz_symlink(f, FUSE_ROOT_ID, "symlink", "x", &e), 0);
		assert_int_equal(fz_create(f, FUSE_ROOT_ID, "create", O_CREAT | O_RDWR, 0400, &c),
				 0);
		assert_int_equal(fz_write(f, c.entry.nodeid, c.open.fh, 0, "x", 1), 1);
		assert_int_equal(fz_release(f, c.entry.nodeid, c.open.fh), 0);
		assert_int_equal(fz_tmpfile(f, FUSE_ROOT_ID, O_RDWR, 0600, &c), 0);
		assert_int_equal(c.entry.attr.uid, f->uid);
		assert_int_equal(c.entry.attr.gid, f->gid);
		assert_int_equal(fz_release(f, c.entry.nodeid, c.open.fh), 0);
		owner_is(f, "mknod", f->uid, f->gid);
		owner_is(f, "mkdir", f->uid, f->gid);
		owner_is(f, "symlink", f->uid, f->gid);
		owner_is(f, "create", f->uid, f->gid);
		assert_int_equal(fz_unlink(f, FUSE_ROOT_ID, "mknod"), 0);
		assert_int_equal(fz_rmdir(f, FUSE_ROOT_ID, "mkdir"), 0);
		assert_int_equal(fz_unlink(f, FUSE_ROOT_ID, "symlink"), 0);
		assert_int_equal(fz_unlink(f, FUSE_ROOT_ID, "create"), 0);
	}
	f->uid = UINT32_MAX;
	assert_true(fz_mkdir(f, FUSE_ROOT_ID, "nobody", 0700, &e) < 0);
	assert_int_equal(access(fx_path(f, "nobody"), F_OK), -1);
	f->uid = f->gid = 0;
}

/* MKDIR or CREATE with an extension behind the name. */
static int make_with_ext(struct fx *f, uint32_t opcode, uint64_t parent, const char *name,
			 uint32_t mode, const void *ext, size_t len, uint16_t total)
{
	struct fuse_create_in create = {.flags = O_CREAT | O_RDWR, .mode = mode};
	struct fuse_mkdir_in dir = {.mode = mode};
	struct vuf_req *q = f->q;
	struct fuse_in_header *h = vuf_req_begin(q, opcode, parent);

	h->uid = f->uid;
	h->gid = f->gid;
	h->total_extlen = total;
	if (opcode == FUSE_CREATE)
		vuf_req_add(q, &create, sizeof(create));
	else
		vuf_req_add(q, &dir, sizeof(dir));
	vuf_req_add_str(q, name);
	vuf_req_add(q, ext, len);
	q->out_len = 16 + sizeof(struct fz_entry_open);
	assert_int_equal(vuf_req_call(q, &f->v->ring[1]), 0);
	return vuf_req_error(q);
}

/* In a set-gid directory the bit stays on a new file only if its maker is in the group. */
static void a_supplementary_group_counts(void **state)
{
	struct fx *f = *state;
	struct {
		struct fuse_ext_header h;
		uint32_t n;
		uint32_t group;
	} ext = {{16, FUSE_EXT_GROUPS}, 1, 2000};
	uint64_t dir;

	fx_need_root();
	assert_true(f->init.flags2 & FUSE_CREATE_SUPP_GROUP >> 32);
	assert_int_equal(mkdir(fx_path(f, "d"), 0755), 0);
	assert_int_equal(chown(fx_path(f, "d"), 0, 2000), 0);
	assert_int_equal(chmod(fx_path(f, "d"), 02770), 0);
	dir = fz_walk(f, "d");
	f->uid = 1000;
	f->gid = 1001;
	/* A stranger to the group, or whom the guest's kernel lets in for another reason. */
	assert_int_equal(
		make_with_ext(f, FUSE_CREATE, dir, "stranger", S_IFREG | 02775, NULL, 0, 0), 0);
	owner_is(f, "d/stranger", 1000, 2000);
	assert_int_equal(fx_stat(f, "d/stranger").st_mode & 07777, 0775);
	/* A member. */
	assert_int_equal(make_with_ext(f, FUSE_CREATE, dir, "member", S_IFREG | 02775, &ext, 16, 2),
			 0);
	owner_is(f, "d/member", 1000, 2000);
	assert_int_equal(fx_stat(f, "d/member").st_mode & 07777, 02775);
	/* A member of another group is a stranger. */
	ext.group = 3000;
	assert_int_equal(make_with_ext(f, FUSE_CREATE, dir, "other", S_IFREG | 02775, &ext, 16, 2),
			 0);
	assert_int_equal(fx_stat(f, "d/other").st_mode & 07777, 0775);
	/* It lasts for one request. */
	ext.group = 2000;
	assert_int_equal(make_with_ext(f, FUSE_MKDIR, dir, "dir", 0755, &ext, 16, 2), 0);
	owner_is(f, "d/dir", 1000, 2000);
	assert_int_equal(make_with_ext(f, FUSE_CREATE, dir, "again", S_IFREG | 02775, NULL, 0, 0),
			 0);
	assert_int_equal(fx_stat(f, "d/again").st_mode & 07777, 0775);
	f->uid = f->gid = 0;
}

static void extensions_that_lie(void **state)
{
	static const uint32_t bad[][6] = {
		{0, FUSE_EXT_GROUPS, 1, 5},
		{8, FUSE_EXT_GROUPS, 1, 5},
		{12, FUSE_EXT_GROUPS, 1, 5},
		{24, FUSE_EXT_GROUPS, 1, 5},
		{16, 99, 1, 5},
		{16, 0, 1, 5},
		{16, FUSE_EXT_GROUPS, 2, 5},
		{16, FUSE_EXT_GROUPS, UINT32_MAX, 5},
	};
	struct fx *f = *state;
	uint32_t two[8] = {16, FUSE_EXT_GROUPS, 1, 5, 16, FUSE_EXT_GROUPS, 1, 6};
	uint32_t good[4] = {16, FUSE_EXT_GROUPS, 0, 0};

	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(make_with_ext(f, FUSE_MKDIR, FUSE_ROOT_ID, "x", 0755, bad[i], 16,
					       2),
				 -EINVAL);
	assert_int_equal(make_with_ext(f, FUSE_MKDIR, FUSE_ROOT_ID, "x", 0755, two, 32, 4),
			 -EINVAL);
	/* More is said than was sent, and less. */
	assert_int_equal(make_with_ext(f, FUSE_MKDIR, FUSE_ROOT_ID, "x", 0755, good, 16, 3),
			 -EINVAL);
	assert_int_equal(make_with_ext(f, FUSE_MKDIR, FUSE_ROOT_ID, "x", 0755, good, 16, 65535),
			 -EINVAL);
	assert_int_equal(make_with_ext(f, FUSE_MKDIR, FUSE_ROOT_ID, "x", 0755, good, 16, 1),
			 -EINVAL);
	assert_int_equal(make_with_ext(f, FUSE_MKDIR, FUSE_ROOT_ID, "x", 0755, good, 16, 0),
			 -EINVAL);
	assert_int_equal(access(fx_path(f, "x"), F_OK), -1);
	/* No group at all is a fine list of groups. */
	assert_int_equal(make_with_ext(f, FUSE_MKDIR, FUSE_ROOT_ID, "x", 0755, good, 16, 2), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		{"cache_auto", cache_mode, fx_setup, fx_teardown, (void *)(uintptr_t)&cache_auto},
		{"cache_always", cache_mode, fx_setup, fx_teardown,
		 (void *)(uintptr_t)&cache_always},
		{"cache_never", cache_mode, fx_setup, fx_teardown, (void *)(uintptr_t)&cache_never},
		{"cache_none", cache_mode, fx_setup, fx_teardown, (void *)(uintptr_t)&cache_none},
		{"cache_metadata", cache_mode, fx_setup, fx_teardown,
		 (void *)(uintptr_t)&cache_metadata},
		FX_TEST(readonly_refuses_every_change, &readonly),
		FX_TEST(submount_is_marked, &submounts),
		{"submount_is_not_marked", submount_is_marked, fx_setup, fx_teardown,
		 (void *)(uintptr_t)&no_submounts},
		{"submount_unknown_to_guest", submount_is_marked, fx_setup, fx_teardown,
		 (void *)(uintptr_t)&old_guest},
		FX_TEST(later_mounts_come_and_go, &submounts),
		FX_TEST(what_is_made_is_the_callers, NULL),
		FX_TEST(a_supplementary_group_counts, NULL),
		FX_TEST(extensions_that_lie, NULL),
	};

	return fx_main(argc, argv, "modes", tests, ARRAY_SIZE(tests));
}
