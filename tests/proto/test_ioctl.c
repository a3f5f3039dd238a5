// SPDX-License-Identifier: Apache-2.0
/* Attributes of chattr(1) by way of IOCTL, and files that they make append-only. */
/*
 * Theory of operation
 *
 * What the guest is told is compared with what the host's own ioctl(2) says; requests have the sizes that
 * Linux sends. Takes root, and a file system that knows these attributes: else the tests are skipped.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "fx.h"
#include "fz.h"
#include "util.h"

static const struct fx_opts boxed = {.args = {"--sandbox=namespace"}};
static const struct fx_opts free_hand = {.args = {"--sandbox=none"}};
static const struct fx_opts readonly = {.args = {"--readonly"}};
static const struct fx_opts squashed = {
	.args = {"--translate-uid=map:5000:1000:1", "--sandbox=namespace"}};

/* As the host has them. */
static int host_flags(struct fx *f, const char *name)
{
	int fd = open(fx_path(f, name), O_RDONLY | O_CLOEXEC), flags;

	assert_true(fd >= 0);
	if (ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0)
		skip();
	close(fd);
	return flags;
}

static void host_set(struct fx *f, const char *name, int flags)
{
	int fd = open(fx_path(f, name), O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ioctl(fd, FS_IOC_SETFLAGS, &flags), 0);
	close(fd);
}

static struct fsxattr host_fsxattr(struct fx *f, const char *name)
{
	int fd = open(fx_path(f, name), O_RDONLY | O_CLOEXEC);
	struct fsxattr attr;

	assert_true(fd >= 0);
	if (ioctl(fd, FS_IOC_FSGETXATTR, &attr) < 0)
		skip();
	close(fd);
	return attr;
}

/* One IOCTL; the length of what came or an error. */
static int call(struct fx *f, uint64_t node, uint64_t fh, unsigned long cmd, const void *in,
		uint32_t in_size, void *out, uint32_t out_size)
{
	struct fuse_ioctl_in head = {
		.fh = fh, .cmd = (uint32_t)cmd, .in_size = in_size, .out_size = out_size};
	const struct iovec io[] = {IOV(head), {(void *)(uintptr_t)in, in_size}};
	struct {
		struct fuse_ioctl_out head;
		uint8_t data[256];
	} reply = {0};
	size_t len;
	int r;

	assert_true(out_size <= sizeof(reply.data));
	r = fz_call(f, FUSE_IOCTL, node, io, in_size ? 2 : 1, &reply, sizeof(reply.head) + out_size,
		    &len);
	if (r < 0)
		return r;
	assert_int_equal(reply.head.result, 0);
	assert_int_equal(reply.head.flags, 0);
	assert_true(len >= sizeof(reply.head));
	len -= sizeof(reply.head);
	if (len)
		memcpy(out, reply.data, len);
	return (int)len;
}

static int get_flags(struct fx *f, uint64_t node, uint64_t fh, int *ret)
{
	return call(f, node, fh, FS_IOC_GETFLAGS, NULL, 0, ret, sizeof(*ret));
}

static int set_flags(struct fx *f, uint64_t node, uint64_t fh, int flags)
{
	return call(f, node, fh, FS_IOC_SETFLAGS, &flags, sizeof(flags), NULL, 0);
}

/* Files and directories; a change by its owner arrives, one by somebody else does not. */
static void flags_are_the_hosts(void **state)
{
	struct fx *f = *state;
	struct fuse_open_out file, dir;
	uint64_t node, dnode;
	int before, got = 0, version;

	fx_need_root();
	fx_put(f, "file", "x", 1, 0644);
	assert_int_equal(chown(fx_path(f, "file"), 1000, 1000), 0);
	assert_int_equal(mkdir(fx_path(f, "dir"), 0755), 0);
	before = host_flags(f, "file");
	host_set(f, "dir", host_flags(f, "dir") | FS_NOATIME_FL);
	node = fz_walk(f, "file");
	dnode = fz_walk(f, "dir");
	assert_int_equal(fz_open(f, node, O_RDONLY, &file), 0);
	assert_int_equal(fz_opendir(f, dnode, &dir), 0);

	assert_int_equal(get_flags(f, node, file.fh, &got), sizeof(got));
	assert_int_equal(got, before);
	assert_int_equal(get_flags(f, dnode, dir.fh, &got), sizeof(got));
	assert_int_equal(got, host_flags(f, "dir"));
	assert_true(got & FS_NOATIME_FL);
	/* As long as it says there, but 4 bytes are what programs have room for. */
	got = call(f, node, file.fh, FS_IOC_GETVERSION, NULL, 0, &version, sizeof(long));
	assert_true(got == sizeof(int) || got == -ENOTTY);

	f->uid = f->gid = 1000;
	assert_int_equal(set_flags(f, node, file.fh, before | FS_NODUMP_FL), 0);
	assert_int_equal(host_flags(f, "file"), before | FS_NODUMP_FL);
	assert_int_equal(set_flags(f, dnode, dir.fh, FS_NODUMP_FL), -EPERM);
	/* Immutable takes a privilege that its owner does not have. */
	assert_int_equal(set_flags(f, node, file.fh, before | FS_IMMUTABLE_FL), -EPERM);
	f->uid = f->gid = 2000;
	assert_int_equal(set_flags(f, node, file.fh, before), -EPERM);
	assert_int_equal(host_flags(f, "file"), before | FS_NODUMP_FL);
	f->uid = f->gid = 0;
	assert_int_equal(set_flags(f, node, file.fh, before), 0);
	assert_int_equal(host_flags(f, "file"), before);
	assert_int_equal(fz_release(f, node, file.fh), 0);
	assert_int_equal(fz_releasedir(f, dnode, dir.fh), 0);
}

/* Root of the guest: what the sandbox leaves to the daemon. */
static void immutable_takes_the_capability(void **state)
{
	struct fx *f = *state;
	const bool may = f->opts == &free_hand;
	struct fuse_open_out file;
	uint64_t node;
	int before;

	fx_need_root();
	fx_put(f, "file", "x", 1, 0644);
	before = host_flags(f, "file");
	node = fz_walk(f, "file");
	assert_int_equal(fz_open(f, node, O_RDONLY, &file), 0);
	assert_int_equal(set_flags(f, node, file.fh, before | FS_IMMUTABLE_FL), may ? 0 : -EPERM);
	assert_int_equal(host_flags(f, "file"), may ? before | FS_IMMUTABLE_FL : before);
	host_set(f, "file", before);
	assert_int_equal(fz_release(f, node, file.fh), 0);
}

/* The project is the host's. */
static void a_project_stays(void **state)
{
	struct fx *f = *state;
	struct fsxattr before, attr;
	struct fuse_open_out dir;
	uint64_t node;

	fx_need_root();
	assert_int_equal(mkdir(fx_path(f, "dir"), 0755), 0);
	before = host_fsxattr(f, "dir");
	node = fz_walk(f, "dir");
	assert_int_equal(fz_opendir(f, node, &dir), 0);
	memset(&attr, 0xff, sizeof(attr));
	assert_int_equal(call(f, node, dir.fh, FS_IOC_FSGETXATTR, NULL, 0, &attr, sizeof(attr)),
			 sizeof(attr));
	assert_memory_equal(&attr, &before, sizeof(attr));

	attr.fsx_xflags |= FS_XFLAG_NODUMP;
	assert_int_equal(call(f, node, dir.fh, FS_IOC_FSSETXATTR, &attr, sizeof(attr), NULL, 0), 0);
	assert_true(host_fsxattr(f, "dir").fsx_xflags & FS_XFLAG_NODUMP);
	attr.fsx_projid = 77;
	assert_int_equal(call(f, node, dir.fh, FS_IOC_FSSETXATTR, &attr, sizeof(attr), NULL, 0),
			 -EPERM);
	attr.fsx_projid = before.fsx_projid;
	attr.fsx_xflags ^= FS_XFLAG_PROJINHERIT;
	assert_int_equal(call(f, node, dir.fh, FS_IOC_FSSETXATTR, &attr, sizeof(attr), NULL, 0),
			 -EPERM);
	assert_int_equal(set_flags(f, node, dir.fh, host_flags(f, "dir") ^ FS_PROJINHERIT_FL),
			 -EPERM);
	assert_int_equal(host_fsxattr(f, "dir").fsx_projid, before.fsx_projid);
	assert_int_equal(host_fsxattr(f, "dir").fsx_xflags, before.fsx_xflags | FS_XFLAG_NODUMP);
	assert_int_equal(fz_releasedir(f, node, dir.fh), 0);
}

static void what_is_refused(void **state)
{
	struct fx *f = *state;
	struct fuse_open_out file;
	uint8_t buf[128] = {0};
	uint64_t node;
	int flags = 0;

	fx_put(f, "file", "x", 1, 0644);
	node = fz_walk(f, "file");
	assert_int_equal(fz_open(f, node, O_RDONLY, &file), 0);
	/* Others: a terminal, what copies ranges, what discards blocks, a number that means nothing. */
	assert_int_equal(call(f, node, file.fh, 0x5401, NULL, 0, buf, 36), -ENOTTY);
	assert_int_equal(call(f, node, file.fh, FICLONE, NULL, 0, NULL, 0), -ENOTTY);
	assert_int_equal(call(f, node, file.fh, FITRIM, buf, 24, buf, 24), -ENOTTY);
	assert_int_equal(call(f, node, file.fh, 0, buf, 128, buf, 128), -ENOTTY);
	/* Wrong sizes. */
	assert_int_equal(call(f, node, file.fh, FS_IOC_GETFLAGS, NULL, 0, buf, 2), -EINVAL);
	assert_int_equal(call(f, node, file.fh, FS_IOC_GETFLAGS, buf, 4, buf, 4), -EINVAL);
	assert_int_equal(call(f, node, file.fh, FS_IOC_SETFLAGS, buf, 8, NULL, 0), -EINVAL);
	assert_int_equal(call(f, node, file.fh, FS_IOC_SETFLAGS, NULL, 0, NULL, 0), -EINVAL);
	assert_int_equal(call(f, node, file.fh, FS_IOC_FSSETXATTR, buf, 27, NULL, 0), -EINVAL);
	/* Handles that are none, or another node's. */
	assert_int_equal(get_flags(f, node, file.fh + 1, &flags), -EBADF);
	assert_int_equal(get_flags(f, FUSE_ROOT_ID, file.fh, &flags), -EBADF);
	assert_int_equal(fz_release(f, node, file.fh), 0);
}

/* Sizes that the request itself does not keep to. */
static void sizes_that_lie(void **state)
{
	struct fx *f = *state;
	struct fuse_ioctl_in head = {.cmd = (uint32_t)FS_IOC_SETFLAGS, .in_size = 4};
	const uint32_t sizes[] = {0, 3, 5, 64, 65, UINT32_MAX};
	struct iovec io[] = {IOV(head), {(void *)(uintptr_t) "1234", 4}};
	struct fuse_open_out file;
	uint8_t out[64];
	uint64_t node;

	fx_put(f, "file", "x", 1, 0644);
	node = fz_walk(f, "file");
	assert_int_equal(fz_open(f, node, O_RDONLY, &file), 0);
	head.fh = file.fh;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		head.in_size = sizes[i];
		assert_true(fz_call(f, FUSE_IOCTL, node, io, 2, out, 16, NULL) < 0);
	}
	/* Less room for the reply than it says. */
	head = (struct fuse_ioctl_in){
		.fh = file.fh, .cmd = (uint32_t)FS_IOC_GETFLAGS, .out_size = 4};
	assert_int_equal(fz_call(f, FUSE_IOCTL, node, io, 1, out, 18, NULL), -EINVAL);
	assert_int_equal(fz_release(f, node, file.fh), 0);
}

static void nothing_changes_a_readonly_share(void **state)
{
	struct fx *f = *state;
	struct fuse_open_out file;
	uint64_t node;
	int before, got = 0;

	fx_put(f, "file", "x", 1, 0644);
	before = host_flags(f, "file");
	node = fz_walk(f, "file");
	assert_int_equal(fz_open(f, node, O_RDONLY, &file), 0);
	assert_int_equal(get_flags(f, node, file.fh, &got), sizeof(got));
	assert_int_equal(set_flags(f, node, file.fh, before | FS_NODUMP_FL), -EROFS);
	assert_int_equal(host_flags(f, "file"), before);
	assert_int_equal(fz_release(f, node, file.fh), 0);
}

/* The caller is who the rules say. */
static void callers_are_translated(void **state)
{
	struct fx *f = *state;
	struct fuse_open_out file;
	uint64_t node;
	int before;

	fx_need_root();
	fx_put(f, "file", "x", 1, 0644);
	before = host_flags(f, "file");
	assert_int_equal(chown(fx_path(f, "file"), 1000, 1000), 0);
	node = fz_walk(f, "file");
	assert_int_equal(fz_open(f, node, O_RDONLY, &file), 0);
	f->uid = 5000;
	assert_int_equal(set_flags(f, node, file.fh, before | FS_NODUMP_FL), 0);
	f->uid = 5001;
	assert_int_equal(set_flags(f, node, file.fh, before), -EPERM);
	f->uid = 0;
	assert_int_equal(fz_release(f, node, file.fh), 0);
}

static ssize_t append(struct fx *f, uint64_t node, uint64_t fh, uint64_t off, uint32_t flags,
		      uint32_t write_flags)
{
	struct fuse_write_in in = {
		.fh = fh, .offset = off, .size = 3, .flags = flags, .write_flags = write_flags};
	const struct iovec io[] = {IOV(in), {(void *)(uintptr_t) "new", 3}};
	struct fuse_write_out out = {0};
	int r = fz_call(f, FUSE_WRITE, node, io, 2, &out, sizeof(out), NULL);

	return r < 0 ? r : (ssize_t)out.size;
}

/* Opened only to append, past the guest's page cache; and nothing but that is written. */
static void append_only_files(void **state)
{
	struct fx *f = *state;
	struct fuse_open_out file;
	uint64_t node;
	char buf[16];
	int before, fd;

	fx_need_root();
	fx_put(f, "log", "old", 3, 0644);
	before = host_flags(f, "log");
	host_set(f, "log", before | FS_APPEND_FL);
	node = fz_walk(f, "log");
	assert_int_equal(fz_open(f, node, O_WRONLY, &file), -EPERM);
	assert_int_equal(fz_open(f, node, O_WRONLY | O_APPEND | O_TRUNC, &file), -EPERM);
	assert_int_equal(fz_open(f, node, O_RDWR | O_APPEND, &file), 0);
	assert_true(file.open_flags & FOPEN_DIRECT_IO);
	assert_int_equal(append(f, node, file.fh, 0, O_RDWR, 0), -EPERM);
	assert_int_equal(append(f, node, file.fh, 0, O_RDWR | O_APPEND, FUSE_WRITE_CACHE), -EPERM);
	assert_int_equal(append(f, node, file.fh, 1, O_RDWR | O_APPEND, 0), 3);
	assert_int_equal(fz_read(f, node, file.fh, 0, buf, 16), 6);
	assert_memory_equal(buf, "oldnew", 6);
	assert_int_equal(fz_release(f, node, file.fh), 0);

	/* As ever, once it is an ordinary file. */
	fd = open(fx_path(f, "log"), O_RDONLY | O_CLOEXEC);
	assert_int_equal(ioctl(fd, FS_IOC_SETFLAGS, &before), 0);
	close(fd);
	assert_int_equal(fz_open(f, node, O_RDWR | O_APPEND, &file), 0);
	assert_false(file.open_flags & FOPEN_DIRECT_IO);
	assert_int_equal(append(f, node, file.fh, 0, O_RDWR, 0), 3);
	assert_int_equal(fz_read(f, node, file.fh, 0, buf, 16), 6);
	assert_memory_equal(buf, "newnew", 6);
	assert_int_equal(fz_release(f, node, file.fh), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		FX_TEST(flags_are_the_hosts, &boxed),
		FX_TEST(flags_are_the_hosts, &free_hand),
		FX_TEST(immutable_takes_the_capability, &boxed),
		FX_TEST(immutable_takes_the_capability, &free_hand),
		FX_TEST(a_project_stays, &boxed),
		FX_TEST(what_is_refused, NULL),
		FX_TEST(sizes_that_lie, NULL),
		FX_TEST(nothing_changes_a_readonly_share, &readonly),
		FX_TEST(callers_are_translated, &squashed),
		FX_TEST(append_only_files, NULL),
	};

	return fx_main(argc, argv, "ioctl", tests, ARRAY_SIZE(tests));
}
