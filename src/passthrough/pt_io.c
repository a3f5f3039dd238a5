// SPDX-License-Identifier: Apache-2.0
/* Data of open files: read, write, sync, allocate, seek, copy. */
/*
 * Theory of operation
 *
 * Data moves between the page cache of the host and the guest's pages in one system call; the guest's
 * buffers become the call's iovec array, at most VEC_MAX segments at a time. A call that moves less
 * than it was given ends the request, so a request is one call unless the guest has cut its buffers
 * into more segments than that. A buffer that has gone from under us is EFAULT from the kernel.
 *
 * A WRITE from the guest's page cache (FUSE_WRITE_CACHE) goes where its offset says, any other one
 * that says O_APPEND to the end. When set-id bits are to go, the thread writes without CAP_FSETID,
 * so that the kernel takes them as it would for the caller.
 *
 * A descriptor with O_DIRECT takes aligned data only, which the guest's kernel does not know of: when a
 * page of a mapping ends with the file, or a program has taken O_DIRECT off with fcntl(2), what the
 * host refuses is done through a second descriptor without. So is nothing that says O_DIRECT itself.
 *
 * A READ on a thread that must not wait takes what is in the page cache, and nothing (REQ_WOULD_WAIT) if
 * not all of it is. What the kernel gives then ends at the border of a page where a page is missing, and
 * anywhere else at the end of the file, so that a second call is rarely needed to tell. File systems that
 * cannot say whether they would wait are read all the same: those in memory never do. Direct and
 * synchronous data always waits.
 *
 * No locks, no allocation: the handle is found and held with one atomic operation, or was by the request before.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "cred.h"
#include "fd.h"
#include "pt_impl.h"
#include "util.h"

#define VEC_MAX  512u
#define PAGE     4096u       /* no file system has smaller ones in the page cache */
#define COPY_MAX 0x7ffff000u /* what one system call moves at most */

/*
 * Not the functions of the C library: to it they are cancellation points, which costs a process with threads two
 * locked instructions a call. Where a long does not hold an offset, how it is passed is the library's business.
 */
#ifdef __LP64__
#define PREAD(fd, buf, len, off)         syscall(SYS_pread64, fd, buf, len, off)
#define PWRITE(fd, buf, len, off)        syscall(SYS_pwrite64, fd, buf, len, off)
#define PREADV2(fd, vec, n, off, flags)  syscall(SYS_preadv2, fd, vec, n, off, 0L, flags)
#define PWRITEV2(fd, vec, n, off, flags) syscall(SYS_pwritev2, fd, vec, n, off, 0L, flags)
#else
#define PREAD(fd, buf, len, off)         pread(fd, buf, len, (off_t)(off))
#define PWRITE(fd, buf, len, off)        pwrite(fd, buf, len, (off_t)(off))
#define PREADV2(fd, vec, n, off, flags)  preadv2(fd, vec, (int)(n), (off_t)(off), flags)
#define PWRITEV2(fd, vec, n, off, flags) pwritev2(fd, vec, (int)(n), (off_t)(off), flags)
#endif

/* seccomp: preadv2 */
static ssize_t read_vec(int fd, const struct iovec *vec, unsigned long n, uint64_t off, int flags)
{
	return PREADV2(fd, vec, n, off, flags);
}

/* seccomp: pwritev2 */
static ssize_t write_vec(int fd, const struct iovec *vec, unsigned long n, uint64_t off, int flags)
{
	return PWRITEV2(fd, vec, n, off, flags);
}

/* The same for one segment. */
static out_of_line ssize_t read_flagged(int fd, void *buf, size_t len, uint64_t off, int flags)
{
	const struct iovec vec = {.iov_base = buf, .iov_len = len};

	return read_vec(fd, &vec, 1, off, flags);
}

static out_of_line ssize_t write_flagged(int fd, void *buf, size_t len, uint64_t off, int flags)
{
	const struct iovec vec = {.iov_base = buf, .iov_len = len};

	return write_vec(fd, &vec, 1, off, flags);
}

/* seccomp: pread64 */
static ssize_t read_one(int fd, void *buf, size_t len, uint64_t off, int flags)
{
	return flags ? read_flagged(fd, buf, len, off, flags) : PREAD(fd, buf, len, off);
}

/* seccomp: pwrite64 */
static ssize_t write_one(int fd, void *buf, size_t len, uint64_t off, int flags)
{
	return flags ? write_flagged(fd, buf, len, off, flags) : PWRITE(fd, buf, len, off);
}

/*
 * The file behind a handle without O_DIRECT, where that came with the open and not with this request.
 * Only with a file that the handle may be used for in that way. A descriptor to close, or -errno.
 */
/* seccomp: openat */
static int undirect(const struct pt *pt, const struct pt_file *file, uint32_t flags, int mode)
{
	const uint32_t had = file->ref.rec->flags;
	int fd;

	if (!(had & O_DIRECT) || flags & O_DIRECT)
		return -EINVAL;
	if ((had & O_ACCMODE) != O_RDWR && (had & O_ACCMODE) != (uint32_t)mode)
		return -EBADF;
	fd = openat(pt->conf.proc_fd_fd, pt_fdname(file->ref.file->fd).s,
		    mode | ((int)had & (O_DSYNC | O_SYNC)) | O_CLOEXEC | O_NOCTTY);
	return fd < 0 ? -errno : fd;
}

/* Whether a read(2) of @len bytes that came to @got, at @end by now, says that there is no more. */
static bool is_end(size_t got, size_t len, uint64_t end, int flags)
{
	return got < len && (got == 0 || !(flags & RWF_NOWAIT) || end % PAGE);
}

static out_of_line ssize_t read_parts(int fd, const struct fuse_read_in *in, struct iov_cursor at,
				      int flags)
{
	struct iovec vec[VEC_MAX];
	size_t done = 0;

	while (done < in->size) {
		size_t len;
		unsigned int n = iov_slice(&at, in->size - done, vec, VEC_MAX, &len);
		ssize_t got;

		if (len == 0)
			break;
		got = read_vec(fd, vec, n, in->offset + done, flags);
		if (unlikely(got < 0)) {
			if (errno == EAGAIN && flags & RWF_NOWAIT)
				return REQ_WOULD_WAIT;
			return done ? (ssize_t)done : -errno;
		}
		done += (size_t)got;
		if (is_end((size_t)got, len, in->offset + done, flags))
			break;
		if (done < in->size)
			iov_skip(&at, (size_t)got);
	}
	return (ssize_t)done;
}

/* @dst stays where it is: it may be used again after an error. */
static ssize_t read_all(int fd, const struct fuse_read_in *in, const struct iov_cursor *dst,
			int flags)
{
	struct iov_cursor at = *dst;
	char *one = iov_one(&at, in->size);
	ssize_t got;

	if (unlikely(!one))
		return read_parts(fd, in, *dst, flags);
	got = read_one(fd, one, in->size, in->offset, flags);
	if (unlikely(got < 0))
		return errno == EAGAIN && flags & RWF_NOWAIT ? REQ_WOULD_WAIT : -errno;
	if (likely((size_t)got == in->size ||
		   is_end((size_t)got, in->size, in->offset + (size_t)got, flags)))
		return got;
	return read_parts(fd, in, *dst, flags);
}

/* On a thread that must not wait. */
static ssize_t read_cached(const struct pt *pt, const struct pt_file *file,
			   const struct fuse_read_in *in, const struct iov_cursor *dst)
{
	struct handle *rec = file->ref.rec;
	ssize_t n;

	if (unlikely(rec->flags & O_DIRECT))
		return REQ_WOULD_WAIT;
	if (!atomic_load_explicit(&rec->waits, memory_order_relaxed)) {
		n = read_all(file->ref.file->fd, in, dst, RWF_NOWAIT);
		if (likely(n != -EOPNOTSUPP))
			return n;
		atomic_store_explicit(&rec->waits, 1, memory_order_relaxed);
	}
	if (pt->conf.pool_first)
		return REQ_WOULD_WAIT;
	return read_all(file->ref.file->fd, in, dst, 0);
}

/* What a descriptor with O_DIRECT was not good for. */
static out_of_line ssize_t read_undirect(const struct pt *pt, const struct pt_file *file,
					 const struct fuse_read_in *in,
					 const struct iov_cursor *dst)
{
	scoped_fd int fd = undirect(pt, file, in->flags, O_RDONLY);

	return fd < 0 ? -EINVAL : read_all(fd, in, dst, 0);
}

/* One system call; two for a file that ends at the border of a page, if more was asked for. */
ssize_t pt_read(struct request *req, uint64_t nodeid, const struct fuse_read_in *in,
		struct iov_cursor *dst)
{
	struct pt *pt = req_backend(req);
	scoped_file struct pt_file file = {0};
	ssize_t n;
	int r = pt_file_use(req, in->fh, nodeid, &file);

	if (unlikely(r))
		return r;
	if (req->no_wait)
		return read_cached(pt, &file, in, dst);
	n = read_all(file.ref.file->fd, in, dst, 0);
	return likely(n != -EINVAL) ? n : read_undirect(pt, &file, in, dst);
}

static int write_flags(const struct pt *pt, const struct fuse_write_in *in)
{
	int flags = 0;

	if (in->write_flags & FUSE_WRITE_CACHE)
		return 0;
	/* A guest that delays writes knows better where the end is. */
	if (in->flags & O_APPEND && !pt_has(pt, FUSE_WRITEBACK_CACHE))
		flags |= RWF_APPEND;
	if ((in->flags & O_SYNC) == O_SYNC)
		flags |= RWF_SYNC;
	else if (in->flags & O_DSYNC)
		flags |= RWF_DSYNC;
	return flags;
}

static out_of_line ssize_t write_parts(int fd, int flags, const struct fuse_write_in *in,
				       struct iov_cursor *src)
{
	struct iovec vec[VEC_MAX];
	size_t done = 0;

	while (done < in->size) {
		size_t len;
		unsigned int n = iov_slice(src, in->size - done, vec, VEC_MAX, &len);
		ssize_t put;

		if (len == 0)
			break;
		put = write_vec(fd, vec, n, in->offset + done, flags);
		if (unlikely(put < 0))
			return done ? (ssize_t)done : -errno;
		done += iov_skip(src, (size_t)put);
		if ((size_t)put < len)
			break;
	}
	return (ssize_t)done;
}

static ssize_t write_all(int fd, int flags, const struct fuse_write_in *in, struct iov_cursor *src)
{
	char *one = iov_one(src, in->size);
	ssize_t put;

	if (unlikely(!one))
		return write_parts(fd, flags, in, src);
	put = write_one(fd, one, in->size, in->offset, flags);
	if (unlikely(put < 0))
		return -errno;
	return (ssize_t)iov_skip(src, (size_t)put);
}

/* What a descriptor with O_DIRECT was not good for. */
static out_of_line ssize_t write_undirect(const struct pt *pt, const struct pt_file *file,
					  const struct fuse_write_in *in, struct iov_cursor *src)
{
	scoped_fd int fd = undirect(pt, file, in->flags, O_WRONLY);

	return fd < 0 ? -EINVAL : write_all(fd, write_flags(pt, in), in, src);
}

static ssize_t write_file(const struct pt *pt, const struct pt_file *file,
			  const struct fuse_write_in *in, struct iov_cursor *src)
{
	ssize_t n = write_all(file->ref.file->fd, write_flags(pt, in), in, src);

	return likely(n != -EINVAL) ? n : write_undirect(pt, file, in, src);
}

/* What takes more than to write. */
static out_of_line ssize_t write_and_more(struct request *req, uint64_t nodeid,
					  const struct pt_file *file,
					  const struct fuse_write_in *in, struct iov_cursor *src)
{
	struct pt *pt = req_backend(req);
	int r = pt_dax_may_grow(pt, nodeid, file->ref.file->fd, in->offset + in->size);
	struct cred cred = {0};
	ssize_t n;

	if (unlikely(r))
		return r;
	if (in->write_flags & FUSE_WRITE_KILL_SUIDGID)
		pt_kill(req, &cred);
	pt_changed(pt, file->ref.file->fd);
	n = write_file(pt, file, in, src);
	cred_end(&cred);
	r = pt_dax_grown(pt, nodeid, file->ref.file->fd);
	return unlikely(r) && n > 0 ? r : n;
}

/* One system call; two to four more when set-id bits are to be cleared. */
ssize_t pt_write(struct request *req, uint64_t nodeid, const struct fuse_write_in *in,
		 struct iov_cursor *src)
{
	struct pt *pt = req_backend(req);
	scoped_file struct pt_file file = {0};
	int r = pt_file_use(req, in->fh, nodeid, &file);

	if (unlikely(r))
		return r;
	/* An append-only file: see pt_open.c. The host would append whatever the offset says. */
	if (unlikely(file.ref.rec->flags & O_APPEND) &&
	    (in->write_flags & FUSE_WRITE_CACHE || !(in->flags & O_APPEND)))
		return -EPERM;
	if (unlikely(req->no_wait && (file.ref.rec->flags & O_DIRECT ||
				      (file.ref.rec->flags | in->flags) & O_DSYNC)))
		return REQ_WOULD_WAIT;
	if (likely(!(in->write_flags & FUSE_WRITE_KILL_SUIDGID) && !pt->capability[0] &&
		   !pt_has(pt, FUSE_MAP_ALIGNMENT)))
		return write_file(pt, &file, in, src);
	return write_and_more(req, nodeid, &file, in, src);
}

/* seccomp: fsync, fdatasync */
static int sync_fd(int fd, bool datasync)
{
	return (datasync ? fdatasync(fd) : fsync(fd)) < 0 ? -errno : 0;
}

/* One system call each, from here on. */
int pt_fsync(struct request *req, uint64_t nodeid, uint64_t fh, bool datasync)
{
	struct pt *pt = req_backend(req);
	scoped_file struct pt_file file = {0};
	int r = pt_file_get(pt, fh, nodeid, HANDLE_FILE, &file);

	return r < 0 ? r : sync_fd(file.ref.file->fd, datasync);
}

int pt_fsyncdir(struct request *req, uint64_t nodeid, uint64_t fh, bool datasync)
{
	struct pt *pt = req_backend(req);
	scoped_file struct pt_file file = {0};
	int r = pt_file_get(pt, fh, nodeid, HANDLE_DIR, &file);

	return r < 0 ? r : sync_fd(file.ref.file->fd, datasync);
}

/*
 * FALLOCATE and COPY_FILE_RANGE have no flag that says whether set-id bits go, and the guest leaves
 * some of them to us, or all: they do, for any caller but root.
 */
static void kill_for(const struct request *req, struct cred *cred)
{
	if (req->hdr.uid)
		pt_kill(req, cred);
}

/* seccomp: fallocate */
int pt_fallocate(struct request *req, uint64_t nodeid, const struct fuse_fallocate_in *in)
{
	struct pt *pt = req_backend(req);
	scoped_file struct pt_file file = {0};
	struct cred cred = {0};
	int r = pt_file_get(pt, in->fh, nodeid, HANDLE_FILE, &file);

	if (r)
		return r;
	if (in->offset > INT64_MAX || in->length > INT64_MAX)
		return -EFBIG;
	if (!(in->mode & FALLOC_FL_KEEP_SIZE))
		r = pt_dax_may_grow(pt, nodeid, file.ref.file->fd, in->offset + in->length);
	if (r)
		return r;
	pt_changed(pt, file.ref.file->fd);
	kill_for(req, &cred);
	if (fallocate(file.ref.file->fd, (int)in->mode, (off_t)in->offset, (off_t)in->length) < 0)
		r = -errno;
	cred_end(&cred);
	return r ? r : pt_dax_grown(pt, nodeid, file.ref.file->fd);
}

/* seccomp: lseek */
int pt_lseek(struct request *req, uint64_t nodeid, const struct fuse_lseek_in *in,
	     uint64_t *ret_off)
{
	struct pt *pt = req_backend(req);
	scoped_file struct pt_file file = {0};
	off_t off;
	int r = pt_file_get(pt, in->fh, nodeid, HANDLE_FILE, &file);

	if (r)
		return r;
	/* Any other position is the guest's own business. */
	if (in->whence != SEEK_DATA && in->whence != SEEK_HOLE)
		return -EINVAL;
	off = lseek(file.ref.file->fd, (off_t)in->offset, (int)in->whence);
	if (off < 0)
		return -errno;
	*ret_off = (uint64_t)off;
	return 0;
}

/* It ends where the source does. */
static int copy_may_grow(struct pt *pt, const struct pt_file *src, const struct pt_file *dst,
			 const struct fuse_copy_file_range_in *in)
{
	struct stat st;
	uint64_t left;
	int r;

	if (likely(!pt_has(pt, FUSE_MAP_ALIGNMENT)))
		return 0;
	r = fd_stat(src->ref.file->fd, &st);
	if (r < 0)
		return r;
	left = (uint64_t)st.st_size - MIN((uint64_t)st.st_size, in->off_in);
	return pt_dax_may_grow(pt, in->nodeid_out, dst->ref.file->fd,
			       in->off_out + MIN(in->len, left));
}

/* seccomp: copy_file_range */
ssize_t pt_copy_file_range(struct request *req, uint64_t nodeid,
			   const struct fuse_copy_file_range_in *in)
{
	struct pt *pt = req_backend(req);
	scoped_file struct pt_file src = {0}, dst = {0};
	off_t from = (off_t)in->off_in, to = (off_t)in->off_out;
	struct cred cred = {0};
	ssize_t n;
	int r = pt_file_get(pt, in->fh_in, nodeid, HANDLE_FILE, &src);

	if (r == 0)
		r = pt_file_get(pt, in->fh_out, in->nodeid_out, HANDLE_FILE, &dst);
	if (r)
		return r;
	if (from < 0 || to < 0)
		return -EINVAL;
	r = copy_may_grow(pt, &src, &dst, in);
	if (r)
		return r;
	pt_changed(pt, dst.ref.file->fd);
	kill_for(req, &cred);
	n = copy_file_range(src.ref.file->fd, &from, dst.ref.file->fd, &to,
			    MIN(in->len, (uint64_t)COPY_MAX), (unsigned int)in->flags);
	n = n < 0 ? -errno : n;
	cred_end(&cred);
	r = pt_dax_grown(pt, in->nodeid_out, dst.ref.file->fd);
	return r && n > 0 ? r : n;
}
