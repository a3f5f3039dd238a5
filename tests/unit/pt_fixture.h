/* SPDX-License-Identifier: Apache-2.0 */
/* A passthrough backend over a temporary directory, and calls of its operations. */
#ifndef CULVERT_TEST_PT_FIXTURE_H
#define CULVERT_TEST_PT_FIXTURE_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "pt_impl.h"
#include "session.h"

struct ptf {
	char path[64];
	int root; /* a descriptor of the directory, for what the host does */
	int fds;  /* descriptors open before the backend was made */
	struct pt *pt;
	struct session se;
	struct request req;
};

/* Descriptors open in this process. */
static inline int ptf_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n - 3; /* ".", ".." and its own */
}

static inline void ptf_req(struct ptf *f, struct request *req)
{
	memset(req, 0, sizeof(*req));
	req->se = &f->se;
	req->supp_gid = UINT32_MAX;
}

/* In @base, or where TMPDIR says. */
static inline void ptf_start_in(struct ptf *f, const char *base, struct pt_conf conf,
				uint64_t flags)
{
	const uint64_t asked_for = FUSE_SUBMOUNTS | FUSE_WRITEBACK_CACHE | FUSE_HANDLE_KILLPRIV_V2;
	struct fuse_init init = {.capable = flags, .want = flags & ~asked_for};
	int proc;

	memset(f, 0, sizeof(*f));
	if (!base)
		base = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
	snprintf(f->path, sizeof(f->path), "%s/culvert-pt-XXXXXX", base);
	assert_non_null(mkdtemp(f->path));
	assert_int_equal(chmod(f->path, 0755), 0);
	f->fds = ptf_fds();
	f->root = open(f->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(f->root >= 0);
	proc = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(proc >= 0);
	conf.root_fd = f->root;
	conf.proc_fd_fd = proc;
	assert_int_equal(pt_new(&conf, &f->pt), 0);
	close(proc);
	f->se.ops = &pt_ops;
	f->se.be = f->pt;
	assert_int_equal(pt_ops.init(f->pt, &init), 0);
	assert_int_equal(pt_ops.thread_init(f->pt), 0);
	ptf_req(f, &f->req);
}

static inline void ptf_start(struct ptf *f, struct pt_conf conf)
{
	ptf_start_in(f, NULL, conf, UINT64_MAX);
}

static inline int ptf_rm(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

/* Ends it all; no descriptor may be left over. */
static inline void ptf_stop(struct ptf *f)
{
	pt_free(f->pt);
	close(f->root);
	assert_int_equal(ptf_fds(), f->fds);
	nftw(f->path, ptf_rm, 16, FTW_DEPTH | FTW_PHYS);
}

static inline struct pt_stats ptf_stats(struct ptf *f)
{
	struct pt_stats st;

	pt_stats(f->pt, &st);
	return st;
}

/* nodeid, or a negative errno. */
static inline int64_t ptf_lookup(struct ptf *f, uint64_t parent, const char *name)
{
	struct fuse_entry_out e = {0};
	int r = pt_ops.lookup(&f->req, parent, name, &e);

	return r < 0 ? r : (int64_t)e.nodeid;
}

static inline uint64_t ptf_node(struct ptf *f, uint64_t parent, const char *name)
{
	int64_t id = ptf_lookup(f, parent, name);

	assert_true(id > 0);
	return (uint64_t)id;
}

static inline int ptf_getattr(struct ptf *f, uint64_t node, struct fuse_attr *ret)
{
	struct fuse_attr_out out = {0};
	int r = pt_ops.getattr(&f->req, node, NULL, &out);

	if (ret)
		*ret = out.attr;
	return r;
}

static inline int64_t ptf_mkdir(struct ptf *f, uint64_t parent, const char *name)
{
	struct fuse_mkdir_in in = {.mode = 0755};
	struct fuse_entry_out e = {0};
	int r = pt_ops.mkdir(&f->req, parent, name, &in, &e);

	return r < 0 ? r : (int64_t)e.nodeid;
}

static inline int ptf_open(struct ptf *f, uint64_t node, uint32_t flags, uint64_t *ret_fh)
{
	struct fuse_open_in in = {.flags = flags};
	struct fuse_open_out out = {0};
	int r = pt_ops.open(&f->req, node, &in, &out);

	*ret_fh = out.fh;
	return r;
}

static inline int64_t ptf_create(struct ptf *f, uint64_t parent, const char *name, uint32_t mode,
				 uint32_t flags, uint64_t *ret_fh)
{
	struct fuse_create_in in = {.mode = S_IFREG | mode, .flags = flags};
	struct fuse_entry_out e = {0};
	struct fuse_open_out out = {0};
	int r = pt_ops.create(&f->req, parent, name, &in, &e, &out);

	*ret_fh = out.fh;
	return r < 0 ? r : (int64_t)e.nodeid;
}

static inline int ptf_release(struct ptf *f, uint64_t node, uint64_t fh)
{
	struct fuse_release_in in = {.fh = fh};

	return pt_ops.release(&f->req, node, &in);
}

static inline ssize_t ptf_write(struct ptf *f, uint64_t node, uint64_t fh, uint64_t off,
				const void *buf, size_t len, uint32_t open_flags,
				uint32_t write_flags)
{
	struct fuse_write_in in = {.fh = fh,
				   .offset = off,
				   .size = (uint32_t)len,
				   .flags = open_flags,
				   .write_flags = write_flags};
	struct iovec vec = {.iov_base = (void *)(uintptr_t)buf, .iov_len = len};
	struct iov_cursor c;

	iov_init(&c, &vec, 1);
	return pt_ops.write(&f->req, node, &in, &c);
}

static inline ssize_t ptf_read(struct ptf *f, uint64_t node, uint64_t fh, uint64_t off, void *buf,
			       size_t len)
{
	struct fuse_read_in in = {.fh = fh, .offset = off, .size = (uint32_t)len};
	struct iovec vec = {.iov_base = buf, .iov_len = len};
	struct iov_cursor c;

	iov_init(&c, &vec, 1);
	return pt_ops.read(&f->req, node, &in, &c);
}

/* On the host: a file with these bytes. */
static inline void ptf_host_file(struct ptf *f, const char *name, const char *bytes)
{
	int fd = openat(f->root, name, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, strlen(bytes)), (ssize_t)strlen(bytes));
	close(fd);
}

static inline void ptf_host_mkdir(struct ptf *f, const char *name)
{
	assert_int_equal(mkdirat(f->root, name, 0755), 0);
}

#endif
