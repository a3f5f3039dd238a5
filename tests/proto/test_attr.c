// SPDX-License-Identifier: Apache-2.0
/* Opcodes on attributes: GETATTR, SETATTR, STATX, STATFS, ACCESS, and the four for xattrs. */
/*
 * Theory of operation
 *
 * Replies are compared with stat(2), statx(2), statvfs(3) and getxattr(2) of the host, field by field;
 * what must fail is compared with the errno of the same call on the host.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "fx.h"
#include "fz.h"
#include "util.h"

#define STALE 0x7777777700001234ull

static const struct fx_opts with_xattr = {.args = {"--xattr"}};

/* One of every kind; devices only as root. */
static const char *const kinds[] = {"file", "dir", "link", "fifo", "sock"};

static void make_kinds(const struct fx *f)
{
	fx_put(f, "file", "0123456789", 10, 0640);
	assert_int_equal(mkdir(fx_path(f, "dir"), 0750), 0);
	assert_int_equal(symlink("file", fx_path(f, "link")), 0);
	assert_int_equal(mkfifo(fx_path(f, "fifo"), 0604), 0);
	assert_int_equal(mknod(fx_path(f, "sock"), S_IFSOCK | 0777, 0), 0);
}

static void attr_is_the_hosts(struct fx *f, const struct fuse_attr_out *a, const char *name)
{
	struct stat st = fx_stat(f, name);

	fz_attr_is(&a->attr, &st);
	assert_int_equal(a->attr_valid, 1);
	assert_int_equal(a->attr_valid_nsec, 0);
	assert_int_equal(a->dummy, 0);
}

static void getattr_of_every_kind(void **state)
{
	struct fx *f = *state;
	struct fuse_attr_out a;
	struct fuse_open_out o;
	uint64_t node;

	make_kinds(f);
	for (unsigned int i = 0; i < ARRAY_SIZE(kinds); i++) {
		assert_int_equal(fz_getattr(f, fz_walk(f, kinds[i]), &a), 0);
		attr_is_the_hosts(f, &a, kinds[i]);
	}
	assert_int_equal(fz_getattr(f, FUSE_ROOT_ID, &a), 0);
	attr_is_the_hosts(f, &a, ".");
	/* By a handle, of a file and of a directory. */
	node = fz_walk(f, "file");
	assert_int_equal(fz_open(f, node, O_RDONLY, &o), 0);
	assert_int_equal(fz_getattr_fh(f, node, o.fh, &a), 0);
	attr_is_the_hosts(f, &a, "file");
	assert_int_equal(fz_getattr_fh(f, FUSE_ROOT_ID, o.fh, &a), -EBADF);
	assert_int_equal(fz_release(f, node, o.fh), 0);
	assert_int_equal(fz_getattr_fh(f, node, o.fh, &a), -EBADF);
	node = fz_walk(f, "dir");
	assert_int_equal(fz_opendir(f, node, &o), 0);
	assert_int_equal(fz_getattr_fh(f, node, o.fh, &a), 0);
	attr_is_the_hosts(f, &a, "dir");
	assert_int_equal(fz_releasedir(f, node, o.fh), 0);
	assert_int_equal(fz_getattr(f, STALE, &a), -ESTALE);
	assert_int_equal(fz_getattr(f, 0, &a), -ESTALE);
}

static void setattr_of_every_kind(void **state)
{
	struct fx *f = *state;
	struct fuse_attr_out a;

	make_kinds(f);
	for (unsigned int i = 0; i < ARRAY_SIZE(kinds); i++) {
		bool is_link = strcmp(kinds[i], "link") == 0;
		uint64_t node = fz_walk(f, kinds[i]);
		struct fuse_setattr_in in = {.valid = FATTR_MODE, .mode = 01733};
		struct stat st;

		assert_int_equal(fz_setattr(f, node, &in, &a), is_link ? -EOPNOTSUPP : 0);
		if (!is_link) {
			attr_is_the_hosts(f, &a, kinds[i]);
			assert_int_equal(a.attr.mode & 07777, 01733);
		}
		in = (struct fuse_setattr_in){
			.valid = FATTR_ATIME | FATTR_MTIME,
			.atime = 1,
			.atimensec = 999999999,
			.mtime = (uint64_t)-5,
			.mtimensec = 0,
		};
		assert_int_equal(fz_setattr(f, node, &in, &a), 0);
		attr_is_the_hosts(f, &a, kinds[i]);
		st = fx_stat(f, kinds[i]);
		assert_int_equal(st.st_atim.tv_sec, 1);
		assert_int_equal(st.st_atim.tv_nsec, 999999999);
		assert_int_equal(st.st_mtim.tv_sec, -5);
		if (geteuid() != 0)
			continue;
		in = (struct fuse_setattr_in){.valid = FATTR_UID, .uid = 1234};
		assert_int_equal(fz_setattr(f, node, &in, &a), 0);
		attr_is_the_hosts(f, &a, kinds[i]);
		assert_int_equal(a.attr.uid, 1234);
		assert_int_equal(a.attr.gid, st.st_gid);
		in = (struct fuse_setattr_in){.valid = FATTR_UID | FATTR_GID, .gid = 4321};
		assert_int_equal(fz_setattr(f, node, &in, &a), 0);
		attr_is_the_hosts(f, &a, kinds[i]);
		assert_int_equal(a.attr.uid, 0);
		assert_int_equal(a.attr.gid, 4321);
	}
	/* What the link points to was left alone. */
	assert_int_equal(fx_stat(f, "link").st_gid, geteuid() ? fx_stat(f, ".").st_gid : 4321);
}

static void setattr_size(void **state)
{
	struct fx *f = *state;
	struct fuse_setattr_in in = {.valid = FATTR_SIZE, .size = 4};
	struct fuse_attr_out a;
	struct fuse_open_out o;
	uint64_t node;
	char buf[16];

	make_kinds(f);
	node = fz_walk(f, "file");
	assert_int_equal(fz_setattr(f, node, &in, &a), 0);
	attr_is_the_hosts(f, &a, "file");
	assert_int_equal(a.attr.size, 4);
	in.size = 1ull << 40;
	assert_int_equal(fz_setattr(f, node, &in, &a), 0);
	attr_is_the_hosts(f, &a, "file");
	assert_int_equal(fz_open(f, node, O_RDWR, &o), 0);
	assert_int_equal(fz_read(f, node, o.fh, 0, buf, 6), 6);
	assert_memory_equal(buf, "0123\0\0", 6);
	/* By handle, as ftruncate(2) comes. */
	in.valid |= FATTR_FH;
	in.fh = o.fh;
	in.size = 2;
	assert_int_equal(fz_setattr(f, node, &in, &a), 0);
	attr_is_the_hosts(f, &a, "file");
	assert_int_equal(fz_release(f, node, o.fh), 0);
	assert_int_equal(fz_setattr(f, node, &in, &a), -EBADF);
	in.valid = FATTR_SIZE;
	in.size = 1ull << 63;
	assert_int_equal(fz_setattr(f, node, &in, &a), -EINVAL);
	in.size = INT64_MAX;
	assert_int_equal(fz_setattr(f, node, &in, &a),
			 truncate(fx_path(f, "file"), INT64_MAX) < 0 ? -errno : 0);
	in.size = 0;
	assert_int_equal(fz_setattr(f, fz_walk(f, "dir"), &in, &a), -EISDIR);
	for (unsigned int i = 2; i < ARRAY_SIZE(kinds); i++)
		assert_int_equal(fz_setattr(f, fz_walk(f, kinds[i]), &in, &a), -EINVAL);
}

static void setattr_times(void **state)
{
	struct fx *f = *state;
	struct fuse_setattr_in in = {.valid = FATTR_ATIME, .atime = 1000, .atimensec = 1000000000};
	struct fuse_attr_out a;
	struct timespec before, after;
	struct stat st;
	uint64_t node;

	make_kinds(f);
	node = fz_walk(f, "file");
	st = fx_stat(f, "file");
	/* Nanoseconds with a meaning of their own for utimensat(2). */
	assert_int_equal(fz_setattr(f, node, &in, &a), -EINVAL);
	in.atimensec = UTIME_NOW;
	assert_int_equal(fz_setattr(f, node, &in, &a), -EINVAL);
	in.atimensec = UTIME_OMIT;
	assert_int_equal(fz_setattr(f, node, &in, &a), -EINVAL);
	in.atimensec = 7;
	assert_int_equal(fz_setattr(f, node, &in, &a), 0);
	attr_is_the_hosts(f, &a, "file");
	assert_int_equal(a.attr.atime, 1000);
	assert_int_equal(a.attr.atimensec, 7);
	assert_int_equal(a.attr.mtime, st.st_mtim.tv_sec);
	assert_int_equal(a.attr.mtimensec, st.st_mtim.tv_nsec);
	/* Now is the host's now. File times are taken from the coarse clock. */
	clock_gettime(CLOCK_REALTIME_COARSE, &before);
	in.valid = FATTR_ATIME | FATTR_ATIME_NOW | FATTR_MTIME | FATTR_MTIME_NOW;
	assert_int_equal(fz_setattr(f, node, &in, &a), 0);
	clock_gettime(CLOCK_REALTIME, &after);
	attr_is_the_hosts(f, &a, "file");
	assert_in_range(a.attr.mtime * 1000000000 + a.attr.mtimensec,
			before.tv_sec * 1000000000ll + before.tv_nsec,
			after.tv_sec * 1000000000ll + after.tv_nsec);
	/* A change time cannot be set, but sending it is no mistake. */
	in = (struct fuse_setattr_in){.valid = FATTR_MTIME | FATTR_CTIME, .mtime = 5, .ctime = 6};
	assert_int_equal(fz_setattr(f, node, &in, &a), 0);
	assert_int_equal(a.attr.mtime, 5);
	assert_true(a.attr.ctime > 6);
}

/* All at once, as open(O_TRUNC) + chmod + chown + utimes would be: mode and times win. */
static void setattr_of_everything(void **state)
{
	struct fx *f = *state;
	struct fuse_setattr_in in = {
		.valid = FATTR_MODE | FATTR_UID | FATTR_GID | FATTR_SIZE | FATTR_ATIME |
			 FATTR_MTIME | FATTR_LOCKOWNER,
		.mode = 06755,
		.uid = 7,
		.gid = 8,
		.size = 3,
		.atime = 11,
		.mtime = 12,
	};
	struct fuse_attr_out a;

	fx_need_root();
	fx_put(f, "file", "content", 7, 0600);
	assert_int_equal(fz_setattr(f, fz_walk(f, "file"), &in, &a), 0);
	attr_is_the_hosts(f, &a, "file");
	assert_int_equal(a.attr.mode, S_IFREG | 06755);
	assert_int_equal(a.attr.uid, 7);
	assert_int_equal(a.attr.gid, 8);
	assert_int_equal(a.attr.size, 3);
	assert_int_equal(a.attr.atime, 11);
	assert_int_equal(a.attr.mtime, 12);
	/* chown(2) takes the set-id bits away. */
	in.valid = FATTR_GID;
	in.gid = 9;
	assert_int_equal(fz_setattr(f, fz_walk(f, "file"), &in, &a), 0);
	assert_int_equal(a.attr.mode, S_IFREG | 0755);
	/* Ids that are none, and nothing at all. */
	in.valid = FATTR_UID;
	in.uid = UINT32_MAX;
	assert_int_equal(fz_setattr(f, fz_walk(f, "file"), &in, &a), -EINVAL);
	in.valid = 0;
	assert_int_equal(fz_setattr(f, fz_walk(f, "file"), &in, &a), 0);
	attr_is_the_hosts(f, &a, "file");
	assert_int_equal(fz_setattr(f, STALE, &in, &a), -ESTALE);
}

static void time_is(const struct fuse_sx_time *a, const struct statx_timestamp *b)
{
	assert_int_equal(a->tv_sec, b->tv_sec);
	assert_int_equal(a->tv_nsec, b->tv_nsec);
	assert_int_equal(a->__reserved, 0);
}

static void statx_of_every_kind(void **state)
{
	struct fx *f = *state;
	struct fuse_statx_out o;

	make_kinds(f);
	for (unsigned int i = 0; i < ARRAY_SIZE(kinds); i++) {
		const struct fuse_statx *s = &o.stat;
		struct statx x;

		assert_int_equal(
			fz_statx(f, fz_walk(f, kinds[i]), STATX_BASIC_STATS | STATX_BTIME, &o), 0);
		assert_int_equal(statx(AT_FDCWD, fx_path(f, kinds[i]), AT_SYMLINK_NOFOLLOW,
				       STATX_BASIC_STATS | STATX_BTIME, &x),
				 0);
		assert_int_equal(o.attr_valid, 1);
		assert_int_equal(o.attr_valid_nsec, 0);
		assert_int_equal(o.flags, 0);
		assert_int_equal(s->mask, x.stx_mask & (STATX_BASIC_STATS | STATX_BTIME));
		assert_int_equal(s->blksize, x.stx_blksize);
		assert_int_equal(s->nlink, x.stx_nlink);
		assert_int_equal(s->uid, x.stx_uid);
		assert_int_equal(s->gid, x.stx_gid);
		assert_int_equal(s->mode, x.stx_mode);
		assert_int_equal(s->ino, x.stx_ino);
		assert_int_equal(s->size, x.stx_size);
		assert_int_equal(s->blocks, x.stx_blocks);
		assert_int_equal(s->rdev_major, x.stx_rdev_major);
		assert_int_equal(s->rdev_minor, x.stx_rdev_minor);
		time_is(&s->atime, &x.stx_atime);
		time_is(&s->mtime, &x.stx_mtime);
		time_is(&s->ctime, &x.stx_ctime);
		time_is(&s->btime, &x.stx_btime);
		for (unsigned int k = 0; k < ARRAY_SIZE(s->__spare2); k++)
			assert_int_equal(s->__spare2[k], 0);
	}
	assert_int_equal(fz_statx(f, STALE, STATX_BASIC_STATS, &o), -ESTALE);
}

static void statfs_is_the_hosts(void **state)
{
	struct fx *f = *state;
	struct fuse_kstatfs k;
	struct statvfs st;

	fx_put(f, "file", "", 0, 0644);
	assert_int_equal(fz_statfs(f, fz_walk(f, "file"), &k), 0);
	assert_int_equal(fz_statfs(f, FUSE_ROOT_ID, &k), 0);
	assert_int_equal(statvfs(f->share, &st), 0);
	assert_int_equal(k.blocks, st.f_blocks);
	assert_int_equal(k.files, st.f_files);
	assert_int_equal(k.bsize, st.f_bsize);
	assert_int_equal(k.frsize, st.f_frsize);
	assert_int_equal(k.namelen, st.f_namemax);
	/* Others use the file system, too. */
	assert_in_range(k.bfree, 1, st.f_blocks);
	assert_in_range(k.bavail, 0, k.bfree);
	assert_in_range(k.ffree, 0, st.f_files);
	for (unsigned int i = 0; i < ARRAY_SIZE(k.spare); i++)
		assert_int_equal(k.spare[i], 0);
	assert_int_equal(k.padding, 0);
	assert_int_equal(fz_statfs(f, STALE, &k), -ESTALE);
}

static void access_by_mode_bits(void **state)
{
	struct fx *f = *state;
	uint64_t node;

	fx_put(f, "file", "", 0, 0640);
	node = fz_walk(f, "file");
	assert_int_equal(fz_access(f, node, F_OK), 0);
	assert_int_equal(fz_access(f, node, R_OK | W_OK), 0);
	assert_int_equal(fz_access(f, node, X_OK), -EACCES);
	assert_int_equal(fz_access(f, STALE, F_OK), -ESTALE);
	f->uid = 55555;
	f->gid = 55555;
	assert_int_equal(fz_access(f, node, F_OK), 0);
	assert_int_equal(fz_access(f, node, R_OK), -EACCES);
	f->gid = getegid();
	assert_int_equal(fz_access(f, node, R_OK), 0);
	assert_int_equal(fz_access(f, node, W_OK), -EACCES);
	f->uid = 0;
}

static void xattrs_are_off_by_default(void **state)
{
	struct fx *f = *state;
	char buf[64];

	fx_put(f, "file", "", 0, 0644);
	assert_int_equal(fz_setxattr(f, FUSE_ROOT_ID, "user.x", "v", 1, 0), -ENOSYS);
	assert_int_equal(fz_getxattr(f, FUSE_ROOT_ID, "user.x", buf, 64), -ENOSYS);
	assert_int_equal(fz_listxattr(f, FUSE_ROOT_ID, buf, 64), -ENOSYS);
	assert_int_equal(fz_removexattr(f, FUSE_ROOT_ID, "user.x"), -ENOSYS);
}

/* Skip where the file system below has no user attributes. */
static void need_xattr(const struct fx *f)
{
	if (setxattr(f->share, "user.probe", "", 0, 0) < 0) {
		print_message("no user attributes here: %s\n", strerror(errno));
		skip();
	}
	removexattr(f->share, "user.probe");
}

static void xattrs_come_and_go(void **state)
{
	struct fx *f = *state;
	char buf[256], name[300];
	uint64_t node;

	need_xattr(f);
	fx_put(f, "file", "", 0, 0644);
	node = fz_walk(f, "file");
	assert_int_equal(fz_getxattr(f, node, "user.x", NULL, 0), -ENODATA);
	assert_int_equal(fz_setxattr(f, node, "user.x", "value", 5, 0), 0);
	assert_int_equal(getxattr(fx_path(f, "file"), "user.x", buf, 256), 5);
	assert_memory_equal(buf, "value", 5);
	assert_int_equal(fz_getxattr(f, node, "user.x", NULL, 0), 5);
	assert_int_equal(fz_getxattr(f, node, "user.x", buf, 5), 5);
	assert_int_equal(fz_getxattr(f, node, "user.x", buf, 4), -ERANGE);
	assert_int_equal(fz_setxattr(f, node, "user.x", "v", 1, XATTR_CREATE), -EEXIST);
	assert_int_equal(fz_setxattr(f, node, "user.y", "v", 1, XATTR_REPLACE), -ENODATA);
	assert_int_equal(fz_setxattr(f, node, "user.y", "", 0, XATTR_CREATE), 0);
	assert_int_equal(fz_getxattr(f, node, "user.y", NULL, 0), 0);
	assert_int_equal(fz_getxattr(f, node, "user.y", buf, 10), 0);
	assert_int_equal(fz_setxattr(f, node, "user.x", "v", 1, 77), -EINVAL);
	assert_int_equal(fz_listxattr(f, node, NULL, 0), 14);
	assert_int_equal(fz_listxattr(f, node, buf, 13), -ERANGE);
	assert_int_equal(fz_listxattr(f, node, buf, 256), 14);
	assert_non_null(memmem(buf, 14, "user.x", 7));
	assert_non_null(memmem(buf, 14, "user.y", 7));
	assert_int_equal(fz_removexattr(f, node, "user.y"), 0);
	assert_int_equal(fz_removexattr(f, node, "user.y"), -ENODATA);
	assert_int_equal(fz_listxattr(f, node, buf, 256), 7);
	/* The longest name, one that is longer, none, and one of no class. */
	memset(name, 'n', sizeof(name));
	memcpy(name, "user.", 5);
	name[255] = '\0';
	assert_int_equal(fz_setxattr(f, node, name, "v", 1, 0), 0);
	assert_int_equal(fz_getxattr(f, node, name, buf, 10), 1);
	name[255] = 'n';
	name[256] = '\0';
	assert_int_equal(fz_setxattr(f, node, name, "v", 1, 0), -ERANGE);
	assert_int_equal(fz_getxattr(f, node, name, buf, 10), -ERANGE);
	assert_int_equal(fz_setxattr(f, node, "", "v", 1, 0), -ERANGE);
	assert_int_equal(fz_setxattr(f, node, "noclass", "v", 1, 0), -EOPNOTSUPP);
	assert_int_equal(fz_setxattr(f, STALE, "user.x", "v", 1, 0), -ESTALE);
	/* A directory has them, too; a link and a pipe may not. */
	assert_int_equal(fz_setxattr(f, FUSE_ROOT_ID, "user.d", "dir", 3, 0), 0);
	assert_int_equal(fz_getxattr(f, FUSE_ROOT_ID, "user.d", buf, 256), 3);
	assert_int_equal(symlink("file", fx_path(f, "link")), 0);
	assert_int_equal(fz_setxattr(f, fz_walk(f, "link"), "user.x", "v", 1, 0),
			 lsetxattr(fx_path(f, "link"), "user.x", "v", 1, 0) < 0 ? -errno : 0);
}

static void xattr_sizes(void **state)
{
	static uint8_t value[65537], got[65536];
	struct fx *f = *state;
	struct fuse_setxattr_in in = {.size = 4};
	uint64_t node;

	need_xattr(f);
	fx_put(f, "file", "", 0, 0644);
	node = fz_walk(f, "file");
	for (size_t i = 0; i < sizeof(value); i++)
		value[i] = (uint8_t)(i * 31);
	for (size_t size = 1; size <= 65536; size *= 4) {
		int want = setxattr(f->share, "user.twin", value, size, 0) < 0 ? -errno : 0;

		assert_int_equal(fz_setxattr(f, node, "user.v", value, size, 0), want);
		if (want)
			continue;
		assert_int_equal(fz_getxattr(f, node, "user.v", got, sizeof(got)), size);
		assert_memory_equal(got, value, size);
	}
	assert_int_equal(fz_setxattr(f, node, "user.v", value, 65537, 0), -E2BIG);
	/* A size that is not what came. */
	for (size_t len = 0; len < 8; len++) {
		struct iovec iov[] = {IOV(in), IOV_STR("user.w"), {value, len}};

		assert_int_equal(fz_call(f, FUSE_SETXATTR, node, iov, 3, NULL, 0, NULL),
				 len == 4 ? 0 : -EINVAL);
	}
	assert_int_equal(fz_getxattr(f, node, "user.w", got, sizeof(got)), 4);
}

/* A guest before 7.33 sends the short structure. */
static void the_short_setxattr(void **state)
{
	struct fx *f = *state;
	char buf[8];

	need_xattr(f);
	assert_int_equal(vuf_fuse_init(f->v, 31, 0, &f->init), 0);
	assert_int_equal(fz_setxattr(f, FUSE_ROOT_ID, "user.x", "value", 5, 0), 0);
	assert_int_equal(getxattr(f->share, "user.x", buf, 8), 5);
	assert_memory_equal(buf, "value", 5);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		FX_TEST(getattr_of_every_kind, NULL),
		FX_TEST(setattr_of_every_kind, NULL),
		FX_TEST(setattr_size, NULL),
		FX_TEST(setattr_times, NULL),
		FX_TEST(setattr_of_everything, NULL),
		FX_TEST(statx_of_every_kind, NULL),
		FX_TEST(statfs_is_the_hosts, NULL),
		FX_TEST(access_by_mode_bits, NULL),
		FX_TEST(xattrs_are_off_by_default, NULL),
		FX_TEST(xattrs_come_and_go, &with_xattr),
		FX_TEST(xattr_sizes, &with_xattr),
		FX_TEST(the_short_setxattr, &with_xattr),
	};

	return fx_main(argc, argv, "attr", tests, ARRAY_SIZE(tests));
}
