// SPDX-License-Identifier: Apache-2.0
/* What chattr(1) and lsattr(1) ask for: attributes that the host's file system keeps beside the mode. */
/*
 * Theory of operation
 *
 * Linux sends these ioctls with a handle that it opens for them, and sizes that are those of the host's
 * structures; it has asked who may before. What sets something is done as the caller, so that the host's
 * kernel asks again: owner or CAP_FOWNER, and CAP_LINUX_IMMUTABLE for append-only and immutable files,
 * which the sandboxes do not have. Every other ioctl is ENOTTY.
 *
 * A project, and whether a directory hands it down, is what the host limits a share by: it stays as it
 * is.
 *
 * One system call; a change two more, and four to switch ids. No locks.
 */
#include <assert.h>
#include <errno.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>

#include "cred.h"
#include "pt_impl.h"
#include "util.h"

/* FS_IOC_GETFLAGS and its like say long, and mean int. */
static const struct command {
	unsigned long cmd;
	uint32_t in;
	uint32_t out;
} commands[] = {
	{FS_IOC_GETFLAGS, 0, sizeof(int)},
	{FS_IOC_SETFLAGS, sizeof(int), 0},
	{FS_IOC_GETVERSION, 0, sizeof(int)},
	{FS_IOC_FSGETXATTR, 0, sizeof(struct fsxattr)},
	{FS_IOC_FSSETXATTR, sizeof(struct fsxattr), 0},
};

static_assert(sizeof(struct fsxattr) == 28, "struct fsxattr");

static const struct command *command_of(uint32_t cmd)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (commands[i].cmd == cmd)
			return &commands[i];
	return NULL;
}

/* 0, or -EPERM for a change of the project. */
/* seccomp: ioctl 1==FS_IOC_GETFLAGS */
static int check_flags(int fd, const void *in)
{
	int now, flags;

	memcpy(&flags, in, sizeof(flags));
	if (ioctl(fd, FS_IOC_GETFLAGS, &now) < 0)
		return -errno;
	return (now ^ flags) & FS_PROJINHERIT_FL ? -EPERM : 0;
}

/* seccomp: ioctl 1==FS_IOC_FSGETXATTR */
static int check_fsxattr(int fd, const void *in)
{
	struct fsxattr now, attr;

	memcpy(&attr, in, sizeof(attr));
	if (ioctl(fd, FS_IOC_FSGETXATTR, &now) < 0)
		return -errno;
	return now.fsx_projid != attr.fsx_projid ||
			       (now.fsx_xflags ^ attr.fsx_xflags) & FS_XFLAG_PROJINHERIT
		       ? -EPERM
		       : 0;
}

/* seccomp: ioctl 1==FS_IOC_SETFLAGS, ioctl 1==FS_IOC_FSSETXATTR */
static int change(struct request *req, int fd, const struct command *c, const void *in)
{
	struct fsxattr buf; /* the largest, and aligned */
	struct cred cred;
	int r = c->cmd == FS_IOC_SETFLAGS ? check_flags(fd, in) : check_fsxattr(fd, in);

	if (r == 0)
		r = pt_become(req, &cred);
	if (r)
		return r;
	memcpy(&buf, in, c->in);
	r = ioctl(fd, c->cmd, &buf) < 0 ? -errno : 0;
	cred_end(&cred);
	return r;
}

/* seccomp: ioctl 1==FS_IOC_GETFLAGS, ioctl 1==FS_IOC_FSGETXATTR, ioctl 1==FS_IOC_GETVERSION */
ssize_t pt_ioctl(struct request *req, uint64_t nodeid, const struct fuse_ioctl_in *in,
		 const void *data, void *ret)
{
	const struct command *c = command_of(in->cmd);
	struct pt *pt = req_backend(req);
	scoped_file struct pt_file file = {0};
	struct fsxattr buf = {0};
	int r;

	if (!c)
		return -ENOTTY;
	if (in->in_size != c->in || in->out_size < c->out)
		return -EINVAL;
	r = pt_file_get(pt, in->fh, nodeid, HANDLE_FILE, &file);
	if (r < 0)
		r = pt_file_get(pt, in->fh, nodeid, HANDLE_DIR, &file);
	if (r < 0)
		return r;
	if (c->in)
		return pt->conf.readonly ? -EROFS : change(req, file.ref.file->fd, c, data);
	if (ioctl(file.ref.file->fd, c->cmd, &buf) < 0)
		return -errno;
	memcpy(ret, &buf, c->out);
	return (ssize_t)c->out;
}
