// SPDX-License-Identifier: Apache-2.0
// Operations on open files.
/*
 * Theory of operation
 *
 * A slot is opened, used and closed on both sides alike. Lengths are cut to EXEC_BUF, and rounded to
 * 4096 with O_DIRECT: what alignment a file system wants is its own affair, and FUSE wants none.
 * Every function runs on one side; nothing is shared between the sides but the slot's flags, which are
 * set on side B, after both have done the same.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "exec.h"
#include "util.h"

#define BLOCK 4096

static void slot_filled(struct slot *s, enum side side, int64_t oflags)
{
	struct stat st;

	if (side != SIDE_B || s->fd[SIDE_B] < 0 || fstat(s->fd[SIDE_B], &st))
		return;
	s->direct = oflags & O_DIRECT;
	s->fifo = S_ISFIFO(st.st_mode);
	s->dir = S_ISDIR(st.st_mode) && !(oflags & O_PATH);
	s->wild = false;
	if (s->dir)
		exec_scan_start(s);
}

static int64_t fill_slot(struct ex *ex, const struct op *op, enum side side, int dir,
			 const char *path, int64_t oflags, mode_t mode)
{
	struct slot *s = &ex->slot[op->n[0]];
	int flags = (int)oflags | O_CLOEXEC | (ex->fifo ? O_NONBLOCK : 0);

	if (side == SIDE_A) {
		exec_close_slot(s);
		if (ex->conf->faulty == FAULT_APPEND)
			flags &= ~O_APPEND;
	}
	s->fd[side] = openat(dir, path, flags, mode);
	slot_filled(s, side, oflags);
	return s->fd[side] < 0 ? -errno : 0;
}

static int64_t do_open(struct ex *ex, const struct op *op, enum side side, struct outcome *o)
{
	char path[EXEC_PATH];
	int dir;

	(void)o;
	/* A slot cannot be its own base: it is closed first. */
	if (side == SIDE_A && (op->s[0][0] != '@' || strtol(op->s[0] + 1, NULL, 10) != op->n[0]))
		exec_close_slot(&ex->slot[op->n[0]]);
	dir = exec_path(ex, op, op->s[0], side, path);
	if (op->s[0][0] == '@' && strtol(op->s[0] + 1, NULL, 10) == op->n[0])
		return -EBADF;
	return fill_slot(ex, op, side, dir, path, op->n[1], (mode_t)op->n[2] & 07777);
}

static int64_t do_reopen(struct ex *ex, const struct op *op, enum side side, struct outcome *o)
{
	char path[64];

	(void)o;
	if (op->n[0] == op->n[1])
		return -EBADF;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", ex->slot[op->n[1]].fd[side]);
	/* The link in /proc is to be followed. */
	return fill_slot(ex, op, side, AT_FDCWD, path, op->n[2] & ~(int64_t)O_NOFOLLOW, 0);
}

static int64_t do_dup(struct ex *ex, const struct op *op, enum side side, struct outcome *o)
{
	struct slot *s = &ex->slot[op->n[0]];
	struct slot *from = &ex->slot[op->n[1]];

	(void)o;
	if (s == from)
		return -EBADF;
	if (side == SIDE_A)
		exec_close_slot(s);
	s->fd[side] = fcntl(from->fd[side], F_DUPFD_CLOEXEC, 0);
	if (s->fd[side] < 0)
		return -errno;
	if (side == SIDE_B) {
		s->direct = from->direct;
		s->dir = from->dir;
		s->fifo = from->fifo;
		s->wild = from->wild = true;
	}
	return 0;
}

static int64_t do_close(struct ex *ex, const struct op *op, enum side side, struct outcome *o)
{
	struct slot *s = &ex->slot[op->n[0]];
	int64_t r;

	(void)o;
	if (s->fd[side] < 0)
		return -EBADF;
	r = exec_result(close(s->fd[side]));
	s->fd[side] = -1;
	if (side == SIDE_B)
		exec_close_slot(s);
	return r;
}

static size_t clamp_len(const struct slot *s, int64_t len)
{
	size_t n = len < 0 ? 0 : len > EXEC_BUF ? EXEC_BUF : (size_t)len;

	return s->direct ? (n + BLOCK - 1) & ~(size_t)(BLOCK - 1) : n;
}

static int64_t clamp_off(const struct slot *s, int64_t off)
{
	return s->direct ? off & ~(int64_t)(BLOCK - 1) : off;
}

/* Cut @len bytes of @buf in @cnt pieces, the first ones small. Returns the number of pieces. */
static int cut(struct iovec iov[8], unsigned char *buf, size_t len, int64_t cnt, bool direct)
{
	size_t piece = direct ? BLOCK : 1 + len / 37;
	int n = 0;

	while (n < 7 && n + 1 < cnt && len > piece) {
		iov[n++] = (struct iovec){buf, piece};
		buf += piece;
		len -= piece;
	}
	iov[n++] = (struct iovec){buf, len};
	return n;
}

/* Would a transfer of a slot with O_DIRECT be at an odd place? Side B tells, before it has done it. */
static bool is_odd(const struct slot *s, bool at, bool writes)
{
	struct stat st;

	if (!s->direct)
		return false;
	if (writes && fcntl(s->fd[SIDE_B], F_GETFL) & O_APPEND)
		return !fstat(s->fd[SIDE_B], &st) && st.st_size % BLOCK;
	return !at && lseek(s->fd[SIDE_B], 0, SEEK_CUR) % BLOCK;
}

static int64_t do_read(struct ex *ex, const struct op *op, enum side side, struct outcome *o)
{
	struct slot *s = &ex->slot[op->n[0]];
	bool at = op->code == OP_PREAD;
	size_t len = clamp_len(s, op->n[1 + at]);
	int64_t off = clamp_off(s, op->n[1]);
	struct iovec iov[8];
	int cnt = cut(iov, ex->buf[side], len, op->n[2 + at], s->direct);
	int64_t r;

	if (is_odd(s, at, false))
		return 0;
	if (cnt > 1)
		r = at ? preadv(s->fd[side], iov, cnt, off) : readv(s->fd[side], iov, cnt);
	else
		r = at ? pread(s->fd[side], iov->iov_base, len, off)
		       : read(s->fd[side], iov->iov_base, len);
	if (r < 0)
		return -errno;
	o->data = ex->buf[side];
	o->len = (size_t)r;
	return r;
}

static int64_t do_write(struct ex *ex, const struct op *op, enum side side, struct outcome *o)
{
	struct slot *s = &ex->slot[op->n[0]];
	bool at = op->code == OP_PWRITE;
	size_t len = clamp_len(s, op->n[1 + at]);
	int64_t off = clamp_off(s, op->n[1]);
	struct timespec old[2];
	struct iovec iov[8];
	struct stat st;
	int64_t r;
	int cnt = cut(iov, ex->buf[side], len, op->n[2 + at], s->direct);

	(void)o;
	if (is_odd(s, at, true))
		return 0;
	exec_fill(ex->buf[side], len, op->n[3 + at], at ? off : 0);
	if (side == SIDE_A && ex->conf->faulty == FAULT_LOST && at && off >= 65536 && off < 1 << 30)
		off += BLOCK;
	if (side == SIDE_A && ex->conf->faulty == FAULT_MTIME && !fstat(s->fd[side], &st)) {
		old[0] = st.st_atim;
		old[1] = st.st_mtim;
	}
	if (cnt > 1)
		r = at ? pwritev(s->fd[side], iov, cnt, off) : writev(s->fd[side], iov, cnt);
	else
		r = at ? pwrite(s->fd[side], iov->iov_base, len, off)
		       : write(s->fd[side], iov->iov_base, len);
	r = exec_result(r);
	if (side == SIDE_A && ex->conf->faulty == FAULT_MTIME && r > 0)
		futimens(s->fd[side], old);
	return r;
}

static int64_t do_lseek(struct ex *ex, const struct op *op, enum side side, struct outcome *o)
{
	struct slot *s = &ex->slot[op->n[0]];

	(void)o;
	/* Positions in a directory are the file system's own: seekdir. */
	if (s->dir && s->fd[side] >= 0)
		return 0;
	if (side == SIDE_A && ex->conf->faulty == FAULT_HOLE && op->n[2] == SEEK_HOLE)
		return exec_result(lseek(s->fd[side], 0, SEEK_END));
	return exec_result(lseek(s->fd[side], clamp_off(s, op->n[1]), (int)op->n[2]));
}

static int64_t do_ftruncate(struct ex *ex, const struct op *op, enum side side, struct outcome *o)
{
	int64_t len = op->n[1];

	(void)o;
	if (side == SIDE_A && ex->conf->faulty == FAULT_TRUNCATE && len > 0)
		len--;
	return exec_result(ftruncate(ex->slot[op->n[0]].fd[side], len));
}

static int64_t do_fallocate(struct ex *ex, const struct op *op, enum side side, struct outcome *o)
{
	(void)o;
	return exec_result(
		fallocate(ex->slot[op->n[0]].fd[side], (int)op->n[1], op->n[2], op->n[3]));
}

static int64_t do_copyrange(struct ex *ex, const struct op *op, enum side side, struct outcome *o)
{
	struct slot *in = &ex->slot[op->n[0]];
	struct slot *out = &ex->slot[op->n[2]];
	loff_t off_in = op->n[1];
	loff_t off_out = op->n[3];
	size_t len = clamp_len(in, op->n[4]);

	(void)o;
	if (in->direct || out->direct || off_in > 1ll << 43 || off_out > 1ll << 43)
		return 0;
	return exec_result(copy_file_range(in->fd[side], op->n[1] == -1 ? NULL : &off_in,
					   out->fd[side], op->n[3] == -1 ? NULL : &off_out, len,
					   0));
}

static bool same_file(const struct slot *a, const struct slot *b)
{
	struct stat st[2];

	return !fstat(a->fd[SIDE_B], &st[0]) && !fstat(b->fd[SIDE_B], &st[1]) &&
	       st[0].st_ino == st[1].st_ino;
}

static int64_t do_sendfile(struct ex *ex, const struct op *op, enum side side, struct outcome *o)
{
	struct slot *out = &ex->slot[op->n[0]];
	struct slot *in = &ex->slot[op->n[1]];
	off_t off = op->n[2];

	(void)o;
	/* Near the end of what the host can have, splice says so itself; the client cannot know. */
	if (in->direct || out->direct || off > 1ll << 43)
		return 0;
	/* Pages on their way may be those that are written to. */
	if (same_file(in, out))
		return 0;
	return exec_result(sendfile(out->fd[side], in->fd[side], off == -1 ? NULL : &off,
				    clamp_len(in, op->n[3])));
}

static int64_t do_sync(struct ex *ex, const struct op *op, enum side side, struct outcome *o)
{
	int fd = ex->slot[op->n[0]].fd[side];

	(void)o;
	if (side == SIDE_A && ex->conf->faulty == FAULT_HANG)
		for (;;)
			pause();
	if (op->code == OP_FSYNC)
		return exec_result(fsync(fd));
	return exec_result(op->code == OP_SYNCFS ? syncfs(fd) : fdatasync(fd));
}

static int64_t do_fattr(struct ex *ex, const struct op *op, enum side side, struct outcome *o)
{
	int fd = ex->slot[op->n[0]].fd[side];
	struct timespec ts[2] = {{op->n[1], op->n[2]}, {op->n[3], op->n[4]}};
	mode_t mode = (mode_t)op->n[1] & 07777;

	(void)o;
	switch (op->code) {
	case OP_FCHMOD:
		if (side == SIDE_A && ex->conf->faulty == FAULT_SETID)
			mode &= 01777;
		return exec_result(fchmod(fd, mode));
	case OP_FCHOWN:
		return exec_result(fchown(fd, (uid_t)op->n[1], (gid_t)op->n[2]));
	case OP_FUTIMENS:
		return exec_result(futimens(fd, ts));
	default:
		return fd < 0 ? -EBADF : 0; /* fstat: check_op() does it */
	}
}

static int64_t do_setfl(struct ex *ex, const struct op *op, enum side side, struct outcome *o)
{
	struct slot *s = &ex->slot[op->n[0]];
	int flags = (int)op->n[1] | (s->fifo ? O_NONBLOCK : 0);
	int64_t r;

	(void)o;
	if (side == SIDE_A && ex->conf->faulty == FAULT_APPEND)
		flags &= ~O_APPEND;
	r = exec_result(fcntl(s->fd[side], F_SETFL, flags));
	if (!r && side == SIDE_B)
		s->direct = op->n[1] & O_DIRECT;
	return r;
}

static int64_t do_fadvise(struct ex *ex, const struct op *op, enum side side, struct outcome *o)
{
	(void)o;
	return -posix_fadvise(ex->slot[op->n[0]].fd[side], 0, 0, (int)op->n[1]);
}

static int64_t do_lock(struct ex *ex, const struct op *op, enum side side, struct outcome *o)
{
	int fd = ex->slot[op->n[0]].fd[side];
	struct flock lk = {
		.l_type = (short)op->n[1],
		.l_whence = SEEK_SET,
		.l_start = op->n[2],
		.l_len = op->n[3],
	};

	(void)o;
	if (op->code == OP_FLOCK)
		return exec_result(flock(fd, (int)op->n[1] | LOCK_NB));
	return exec_result(fcntl(fd, F_OFD_SETLK, &lk));
}

exec_fn exec_file_fn(uint8_t code)
{
	static const exec_fn fns[OP_COUNT] = {
		[OP_OPEN] = do_open,
		[OP_REOPEN] = do_reopen,
		[OP_DUP] = do_dup,
		[OP_CLOSE] = do_close,
		[OP_READ] = do_read,
		[OP_PREAD] = do_read,
		[OP_WRITE] = do_write,
		[OP_PWRITE] = do_write,
		[OP_LSEEK] = do_lseek,
		[OP_FTRUNCATE] = do_ftruncate,
		[OP_FALLOCATE] = do_fallocate,
		[OP_COPYRANGE] = do_copyrange,
		[OP_SENDFILE] = do_sendfile,
		[OP_FSYNC] = do_sync,
		[OP_FDATASYNC] = do_sync,
		[OP_SYNCFS] = do_sync,
		[OP_FCHMOD] = do_fattr,
		[OP_FCHOWN] = do_fattr,
		[OP_FUTIMENS] = do_fattr,
		[OP_FSTAT] = do_fattr,
		[OP_SETFL] = do_setfl,
		[OP_FADVISE] = do_fadvise,
		[OP_FLOCK] = do_lock,
		[OP_OFDLOCK] = do_lock,
	};

	return fns[code];
}
