// SPDX-License-Identifier: Apache-2.0
// Operations on names.
/*
 * Theory of operation
 *
 * Each operation is one system call on one side, relative to that side's root or to an open directory;
 * cat, put, mkmany and rmmany are short sequences. Extended attributes go by path through
 * /proc/self/fd, for want of calls that take a directory's descriptor. No state.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "exec.h"
#include "util.h"

#define PATH(n)               \
	char path[EXEC_PATH]; \
	int dir = exec_path(ex, op, op->s[n], side, path)

static int64_t do_create(struct ex *ex, const struct op *op, enum side side, struct outcome *o)
{
	PATH(0);
	mode_t mode = (mode_t)op->n[0];

	(void)o;
	if (op->code == OP_MKDIR)
		return exec_result(mkdirat(dir, path, mode & 07777));
	return exec_result(mknodat(dir, path, mode, (dev_t)op->n[1]));
}

static int64_t do_remove(struct ex *ex, const struct op *op, enum side side, struct outcome *o)
{
	PATH(0);
	int64_t r;

	(void)o;
	r = exec_result(unlinkat(dir, path, op->code == OP_RMDIR ? AT_REMOVEDIR : 0));
	if (side == SIDE_A && ex->conf->faulty == FAULT_ERRNO && r == -EISDIR)
		r = -EPERM;
	return r;
}

/*
 * ext4 leaves a whiteout even where the rename then fails (the target is a directory with entries),
 * takes it back, and has stamped the directory: a change that a client with a cache cannot know of.
 */
static bool is_dir_on_b(const struct ex *ex, const struct op *op, const char *s)
{
	char path[EXEC_PATH];
	struct stat st;
	int dir = exec_path(ex, op, s, SIDE_B, path);

	return !fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW) && S_ISDIR(st.st_mode);
}

static int64_t do_rename(struct ex *ex, const struct op *op, enum side side, struct outcome *o)
{
	char to[EXEC_PATH];
	int to_dir = exec_path(ex, op, op->s[1], side, to);
	unsigned int flags = (unsigned int)op->n[0];
	PATH(0);

	(void)o;
	if (side == SIDE_A && ex->conf->faulty == FAULT_NOREPLACE)
		flags &= ~(unsigned int)RENAME_NOREPLACE;
	if (flags & RENAME_WHITEOUT && is_dir_on_b(ex, op, op->s[0]))
		flags &= ~(unsigned int)RENAME_WHITEOUT;
	return exec_result(renameat2(dir, path, to_dir, to, flags));
}

static int64_t do_link(struct ex *ex, const struct op *op, enum side side, struct outcome *o)
{
	char to[EXEC_PATH];
	int to_dir = exec_path(ex, op, op->s[1], side, to);
	PATH(0);

	(void)o;
	if (side == SIDE_A && ex->conf->faulty == FAULT_LINK && !faccessat(dir, path, F_OK, 0)) {
		int fd = openat(to_dir, to, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);

		if (fd >= 0)
			close(fd);
		return fd < 0 ? -errno : 0;
	}
	return exec_result(linkat(dir, path, to_dir, to, (int)op->n[0]));
}

static int64_t do_linkfd(struct ex *ex, const struct op *op, enum side side, struct outcome *o)
{
	char from[64];
	PATH(0);

	(void)o;
	snprintf(from, sizeof(from), "/proc/self/fd/%d", ex->slot[op->n[0]].fd[side]);
	return exec_result(linkat(AT_FDCWD, from, dir, path, AT_SYMLINK_FOLLOW));
}

static int64_t do_symlink(struct ex *ex, const struct op *op, enum side side, struct outcome *o)
{
	char target[EXEC_PATH];
	PATH(1);

	(void)o;
	if (prog_decode(op->s[0], target, sizeof(target)) < 0)
		return -EINVAL;
	return exec_result(symlinkat(target, dir, path));
}

static int64_t do_readlink(struct ex *ex, const struct op *op, enum side side, struct outcome *o)
{
	PATH(0);
	int64_t r = exec_result(readlinkat(dir, path, (char *)ex->buf[side], EXEC_BUF));

	if (r > 0) {
		o->data = ex->buf[side];
		o->len = (size_t)r;
	}
	return r;
}

static int64_t do_attr(struct ex *ex, const struct op *op, enum side side, struct outcome *o)
{
	PATH(0);
	struct timespec ts[2] = {{op->n[0], op->n[1]}, {op->n[2], op->n[3]}};
	mode_t mode = (mode_t)op->n[0] & 07777;
	struct statx stx;

	(void)o;
	switch (op->code) {
	case OP_CHMOD:
		if (side == SIDE_A && ex->conf->faulty == FAULT_SETID)
			mode &= 01777;
		return exec_result(fchmodat(dir, path, mode, 0));
	case OP_CHOWN:
		return exec_result(fchownat(dir, path, (uid_t)op->n[0], (gid_t)op->n[1],
					    (int)op->n[2] & AT_SYMLINK_NOFOLLOW));
	case OP_UTIMENS:
		return exec_result(utimensat(dir, path, ts, (int)op->n[4] & AT_SYMLINK_NOFOLLOW));
	case OP_ACCESS:
		return exec_result(faccessat(dir, path, (int)op->n[0],
					     (int)op->n[1] & (AT_SYMLINK_NOFOLLOW | AT_EACCESS)));
	default:
		return exec_result(statx(
			dir, path, (int)op->n[0] & (AT_SYMLINK_NOFOLLOW | AT_STATX_FORCE_SYNC),
			STATX_BASIC_STATS | STATX_BTIME, &stx));
	}
}

static int64_t do_truncate(struct ex *ex, const struct op *op, enum side side, struct outcome *o)
{
	char proc[64];
	int64_t len = op->n[0];
	PATH(0);
	int fd;

	(void)o;
	/* truncate(2) takes no directory: by way of the file's O_PATH descriptor. */
	fd = openat(dir, path, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	if (side == SIDE_A && ex->conf->faulty == FAULT_TRUNCATE && len > 0)
		len--;
	len = exec_result(truncate(proc, len));
	close(fd);
	return len;
}

static int64_t do_statfs(struct ex *ex, const struct op *op, enum side side, struct outcome *o)
{
	PATH(0);
	struct statfs st;
	int64_t vals[4];
	int fd = openat(dir, path, O_PATH | O_CLOEXEC);
	int64_t r;

	if (fd < 0)
		return -errno;
	r = exec_result(fstatfs(fd, &st));
	close(fd);
	if (r)
		return r;
	/* The rest is of the mount, or changes by itself. */
	vals[0] = st.f_bsize;
	vals[1] = st.f_frsize;
	vals[2] = ex->conf->apart ? 0 : (int64_t)st.f_blocks;
	vals[3] = st.f_namelen;
	memcpy(ex->buf[side], vals, sizeof(vals));
	o->data = ex->buf[side];
	o->len = sizeof(vals);
	return 0;
}

static int64_t do_cat(struct ex *ex, const struct op *op, enum side side, struct outcome *o)
{
	PATH(0);
	int fd = openat(dir, path, O_RDONLY | O_CLOEXEC | (ex->fifo ? O_NONBLOCK : 0));
	size_t len = 0;
	int64_t r = 1;

	if (fd < 0)
		return -errno;
	while (len < EXEC_BUF && r > 0) {
		r = exec_result(read(fd, ex->buf[side] + len, EXEC_BUF - len));
		len += r > 0 ? (size_t)r : 0;
	}
	close(fd);
	if (r < 0)
		return r;
	o->data = ex->buf[side];
	o->len = len;
	return (int64_t)len;
}

static int64_t do_put(struct ex *ex, const struct op *op, enum side side, struct outcome *o)
{
	PATH(0);
	int fd = openat(dir, path, O_WRONLY | O_CREAT | O_CLOEXEC | (ex->fifo ? O_NONBLOCK : 0),
			0644);
	size_t len = op->n[1] < 0 ? 0 : op->n[1] > EXEC_BUF ? EXEC_BUF : (size_t)op->n[1];
	int64_t r;

	(void)o;
	if (fd < 0)
		return -errno;
	exec_fill(ex->buf[side], len, op->n[2], op->n[0]);
	r = exec_result(pwrite(fd, ex->buf[side], len, op->n[0]));
	close(fd);
	return r;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* File systems list attributes in an order of their own: sort what @buf holds. */
static void sort_names(char *buf, size_t len)
{
	char **names = calloc(len + 1, sizeof(*names));
	char *copy = malloc(len + 1);
	size_t cnt = 0;

	if (names && copy) {
		memcpy(copy, buf, len);
		for (size_t i = 0; i < len; i += strlen(copy + i) + 1)
			names[cnt++] = copy + i;
		qsort(names, cnt, sizeof(*names), compare_names);
		for (size_t i = 0; i < cnt; i++)
			buf = stpcpy(buf, names[i]) + 1;
	}
	free(names);
	free(copy);
}

/* By descriptor when @path is NULL. */
static int64_t set_xattr(int fd, const char *path, struct ex *ex, const int64_t *n,
			 const char *text, enum side side)
{
	size_t len = n[0] < 0 ? 0 : n[0] > EXEC_BUF ? EXEC_BUF : (size_t)n[0];
	char name[EXEC_PATH];
	int flags = (int)n[2];

	if (prog_decode(text, name, sizeof(name)) < 0)
		return -EINVAL;
	if (side == SIDE_A && ex->conf->faulty == FAULT_XATTR)
		flags = 0;
	exec_fill(ex->buf[side], len, n[1], 0);
	return exec_result(path ? setxattr(path, name, ex->buf[side], len, flags)
				: fsetxattr(fd, name, ex->buf[side], len, flags));
}

static int64_t list_xattr(int fd, const char *path, char *buf, int64_t size)
{
	int64_t r = exec_result(path ? listxattr(path, buf, (size_t)size)
				     : flistxattr(fd, buf, (size_t)size));

	if (r > 0 && size)
		sort_names(buf, (size_t)r);
	return r;
}

static int64_t get_xattr(int fd, const char *path, char *buf, int64_t size, const char *text)
{
	char name[EXEC_PATH];

	if (prog_decode(text, name, sizeof(name)) < 0)
		return -EINVAL;
	return exec_result(path ? getxattr(path, name, buf, (size_t)size)
				: fgetxattr(fd, name, buf, (size_t)size));
}

static int64_t remove_xattr(int fd, const char *path, const char *text)
{
	char name[EXEC_PATH];

	if (prog_decode(text, name, sizeof(name)) < 0)
		return -EINVAL;
	return exec_result(path ? removexattr(path, name) : fremovexattr(fd, name));
}

static int64_t any_xattr(int fd, const char *path, struct ex *ex, const struct op *op,
			 enum side side, struct outcome *o)
{
	const int64_t *n = path ? op->n : op->n + 1;
	const char *name = path ? op->s[1] : op->s[0];
	int64_t size = n[0] < 0 ? 0 : n[0] > EXEC_BUF ? EXEC_BUF : n[0];
	char *buf = (char *)ex->buf[side];
	int64_t r;

	switch (op->code) {
	case OP_SETXATTR:
	case OP_FSETXATTR:
		return set_xattr(fd, path, ex, n, name, side);
	case OP_RMXATTR:
	case OP_FRMXATTR:
		return remove_xattr(fd, path, name);
	case OP_LISTXATTR:
	case OP_FLISTXATTR:
		r = list_xattr(fd, path, buf, size);
		break;
	default:
		r = get_xattr(fd, path, buf, size, name);
	}
	if (r > 0 && size) {
		o->data = ex->buf[side];
		o->len = (size_t)r;
	}
	return r;
}

static int64_t do_xattr(struct ex *ex, const struct op *op, enum side side, struct outcome *o)
{
	int at = (int)op->n[op->code == OP_SETXATTR ? 3 : op->code == OP_RMXATTR ? 0 : 1];
	char proc[64];
	PATH(0);
	int fd =
		openat(dir, path, O_PATH | O_CLOEXEC | (at & AT_SYMLINK_NOFOLLOW ? O_NOFOLLOW : 0));
	int64_t r;

	if (fd < 0)
		return -errno;
	/* With O_NOFOLLOW the descriptor may be of a link, and following /proc leads to the link. */
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	r = any_xattr(fd, proc, ex, op, side, o);
	close(fd);
	return r;
}

static int64_t do_fxattr(struct ex *ex, const struct op *op, enum side side, struct outcome *o)
{
	return any_xattr(ex->slot[op->n[0]].fd[side], NULL, ex, op, side, o);
}

static int64_t do_mkmany(struct ex *ex, const struct op *op, enum side side, struct outcome *o)
{
	PATH(0);
	int64_t made = 0;
	int at;

	(void)o;
	for (int i = 0; i < PROG_SLOTS; i++)
		ex->slot[i].touched_many = true;
	at = openat(dir, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (at < 0)
		return -errno;
	for (; made < op->n[0] && made < 100000; made++) {
		char name[32];
		int fd;

		snprintf(name, sizeof(name), "m%05d", (int)made);
		fd = openat(at, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
		if (fd < 0) {
			made = -errno;
			break;
		}
		close(fd);
	}
	close(at);
	return made;
}

/* As rm -r does: unlink what reading the directory gives, while reading it. */
static int64_t do_rmmany(struct ex *ex, const struct op *op, enum side side, struct outcome *o)
{
	PATH(0);
	int64_t removed = 0;
	int64_t r;
	int at = openat(dir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)o;
	for (int i = 0; i < PROG_SLOTS; i++)
		ex->slot[i].touched_many = true;
	if (at < 0)
		return -errno;
	while ((r = syscall(SYS_getdents64, at, ex->buf[side], 4096)) > 0) {
		for (int64_t pos = 0; pos < r;) {
			struct dirent64 *d = (void *)(ex->buf[side] + pos);

			pos += d->d_reclen;
			if (d->d_name[0] == 'm' && strlen(d->d_name) == 6 &&
			    !unlinkat(at, d->d_name, 0))
				removed++;
		}
	}
	close(at);
	return r < 0 ? -errno : removed;
}

exec_fn exec_name_fn(uint8_t code)
{
	static const exec_fn fns[OP_COUNT] = {
		[OP_MKDIR] = do_create,      [OP_MKNOD] = do_create,
		[OP_RMDIR] = do_remove,      [OP_UNLINK] = do_remove,
		[OP_RENAME] = do_rename,     [OP_LINK] = do_link,
		[OP_LINKFD] = do_linkfd,     [OP_SYMLINK] = do_symlink,
		[OP_READLINK] = do_readlink, [OP_CHMOD] = do_attr,
		[OP_CHOWN] = do_attr,        [OP_UTIMENS] = do_attr,
		[OP_ACCESS] = do_attr,       [OP_STAT] = do_attr,
		[OP_TRUNCATE] = do_truncate, [OP_STATFS] = do_statfs,
		[OP_CAT] = do_cat,           [OP_PUT] = do_put,
		[OP_SETXATTR] = do_xattr,    [OP_GETXATTR] = do_xattr,
		[OP_LISTXATTR] = do_xattr,   [OP_RMXATTR] = do_xattr,
		[OP_FSETXATTR] = do_fxattr,  [OP_FGETXATTR] = do_fxattr,
		[OP_FLISTXATTR] = do_fxattr, [OP_FRMXATTR] = do_fxattr,
		[OP_MKMANY] = do_mkmany,     [OP_RMMANY] = do_rmmany,
	};

	return fns[code];
}
