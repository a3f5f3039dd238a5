// SPDX-License-Identifier: Apache-2.0
/* FUSE operations for tests. */
/*
 * Theory of operation
 *
 * One request of the fixture's is used again and again, with the room for the reply cut down to what
 * Linux leaves for that opcode: a reply that is longer than it may be cannot get by. Whatever is not
 * an errno in a well-formed reply fails the test here.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "fz.h"
#include "util.h"

#define FAIL_IF_BAD(r, f, opcode)                                                                 \
	do {                                                                                      \
		if ((r) < 0)                                                                      \
			fail_msg("opcode %u: %s; the daemon said:\n%s", (opcode), strerror(-(r)), \
				 (f)->log);                                                       \
	} while (0)

int fz_call(struct fx *f, uint32_t opcode, uint64_t nodeid, const struct iovec *in,
	    unsigned int nin, void *out, size_t size, size_t *ret_len)
{
	struct vuf_req *q = f->q;
	struct fuse_in_header *h = vuf_req_begin(q, opcode, nodeid);
	size_t len;
	int r = 0;

	h->uid = f->uid;
	h->gid = f->gid;
	for (unsigned int i = 0; i < nin && r == 0; i++)
		r = vuf_req_add(q, in[i].iov_base, in[i].iov_len);
	assert_int_equal(r, 0);
	assert_true(sizeof(struct fuse_out_header) + size <= q->out_cap);
	q->out_len = sizeof(struct fuse_out_header) + size;
	r = vuf_req_call(q, &f->v->ring[f->ring]);
	if (r < 0)
		fx_log_count(f, "");
	FAIL_IF_BAD(r, f, opcode);
	r = vuf_req_error(q);
	if (r < 0)
		return r;
	len = vuf_req_payload_len(q);
	if (ret_len)
		*ret_len = len;
	else if (len != size)
		fail_msg("opcode %u: %zu bytes of payload instead of %zu", opcode, len, size);
	if (len)
		memcpy(out, vuf_req_payload(q), len);
	return 0;
}

/* A request of which the reply is one structure or nothing. */
#define CALL(f, op, node, out, outsize, ...)                                    \
	({                                                                      \
		struct iovec in_[] = {__VA_ARGS__};                             \
		fz_call(f, op, node, in_, ARRAY_SIZE(in_), out, outsize, NULL); \
	})

int fz_lookup(struct fx *f, uint64_t parent, const char *name, struct fuse_entry_out *ret)
{
	return CALL(f, FUSE_LOOKUP, parent, ret, sizeof(*ret), IOV_STR(name));
}

int fz_getattr(struct fx *f, uint64_t nodeid, struct fuse_attr_out *ret)
{
	struct fuse_getattr_in in = {0};

	return CALL(f, FUSE_GETATTR, nodeid, ret, sizeof(*ret), IOV(in));
}

int fz_getattr_fh(struct fx *f, uint64_t nodeid, uint64_t fh, struct fuse_attr_out *ret)
{
	struct fuse_getattr_in in = {.getattr_flags = FUSE_GETATTR_FH, .fh = fh};

	return CALL(f, FUSE_GETATTR, nodeid, ret, sizeof(*ret), IOV(in));
}

int fz_setattr(struct fx *f, uint64_t nodeid, const struct fuse_setattr_in *in,
	       struct fuse_attr_out *ret)
{
	return CALL(f, FUSE_SETATTR, nodeid, ret, sizeof(*ret), IOV(*in));
}

int fz_statx(struct fx *f, uint64_t nodeid, uint32_t mask, struct fuse_statx_out *ret)
{
	struct fuse_statx_in in = {.sx_mask = mask};

	return CALL(f, FUSE_STATX, nodeid, ret, sizeof(*ret), IOV(in));
}

int fz_readlink(struct fx *f, uint64_t nodeid, char *buf)
{
	size_t len;
	int r = fz_call(f, FUSE_READLINK, nodeid, NULL, 0, buf, 4095, &len);

	if (r == 0)
		buf[len] = '\0';
	return r;
}

int fz_symlink(struct fx *f, uint64_t parent, const char *name, const char *target,
	       struct fuse_entry_out *ret)
{
	return CALL(f, FUSE_SYMLINK, parent, ret, sizeof(*ret), IOV_STR(name), IOV_STR(target));
}

int fz_mknod(struct fx *f, uint64_t parent, const char *name, uint32_t mode, uint32_t rdev,
	     struct fuse_entry_out *ret)
{
	struct fuse_mknod_in in = {.mode = mode, .rdev = rdev, .umask = 022};

	return CALL(f, FUSE_MKNOD, parent, ret, sizeof(*ret), IOV(in), IOV_STR(name));
}

int fz_mkdir(struct fx *f, uint64_t parent, const char *name, uint32_t mode,
	     struct fuse_entry_out *ret)
{
	struct fuse_mkdir_in in = {.mode = mode, .umask = 022};

	return CALL(f, FUSE_MKDIR, parent, ret, sizeof(*ret), IOV(in), IOV_STR(name));
}

int fz_unlink(struct fx *f, uint64_t parent, const char *name)
{
	return CALL(f, FUSE_UNLINK, parent, NULL, 0, IOV_STR(name));
}

int fz_rmdir(struct fx *f, uint64_t parent, const char *name)
{
	return CALL(f, FUSE_RMDIR, parent, NULL, 0, IOV_STR(name));
}

int fz_rename(struct fx *f, uint64_t parent, const char *name, uint64_t newparent,
	      const char *newname, uint32_t flags)
{
	struct fuse_rename_in in = {.newdir = newparent};
	struct fuse_rename2_in in2 = {.newdir = newparent, .flags = flags};

	if (!flags)
		return CALL(f, FUSE_RENAME, parent, NULL, 0, IOV(in), IOV_STR(name),
			    IOV_STR(newname));
	return CALL(f, FUSE_RENAME2, parent, NULL, 0, IOV(in2), IOV_STR(name), IOV_STR(newname));
}

int fz_link(struct fx *f, uint64_t nodeid, uint64_t newparent, const char *newname,
	    struct fuse_entry_out *ret)
{
	struct fuse_link_in in = {.oldnodeid = nodeid};

	return CALL(f, FUSE_LINK, newparent, ret, sizeof(*ret), IOV(in), IOV_STR(newname));
}

int fz_open(struct fx *f, uint64_t nodeid, uint32_t flags, struct fuse_open_out *ret)
{
	struct fuse_open_in in = {.flags = flags};

	return CALL(f, FUSE_OPEN, nodeid, ret, sizeof(*ret), IOV(in));
}

int fz_create(struct fx *f, uint64_t parent, const char *name, uint32_t flags, uint32_t mode,
	      struct fz_entry_open *ret)
{
	struct fuse_create_in in = {.flags = flags, .mode = mode, .umask = 022};

	return CALL(f, FUSE_CREATE, parent, ret, sizeof(*ret), IOV(in), IOV_STR(name));
}

int fz_tmpfile(struct fx *f, uint64_t parent, uint32_t flags, uint32_t mode,
	       struct fz_entry_open *ret)
{
	struct fuse_create_in in = {.flags = flags | O_TMPFILE, .mode = mode, .umask = 022};

	/* Linux sends the name of a nameless dentry. */
	return CALL(f, FUSE_TMPFILE, parent, ret, sizeof(*ret), IOV(in), IOV_STR("/"));
}

ssize_t fz_read(struct fx *f, uint64_t nodeid, uint64_t fh, uint64_t off, void *buf, size_t size)
{
	struct fuse_read_in in = {.fh = fh, .offset = off, .size = (uint32_t)size};
	struct iovec iov[] = {IOV(in)};
	size_t len;
	int r = fz_call(f, FUSE_READ, nodeid, iov, 1, buf, size, &len);

	return r < 0 ? r : (ssize_t)len;
}

ssize_t fz_write(struct fx *f, uint64_t nodeid, uint64_t fh, uint64_t off, const void *buf,
		 size_t size)
{
	struct fuse_write_in in = {.fh = fh, .offset = off, .size = (uint32_t)size};
	struct iovec iov[] = {IOV(in), {(void *)(uintptr_t)buf, size}};
	struct fuse_write_out out;
	int r = fz_call(f, FUSE_WRITE, nodeid, iov, 2, &out, sizeof(out), NULL);

	if (r < 0)
		return r;
	assert_int_equal(out.padding, 0);
	return out.size;
}

int fz_flush(struct fx *f, uint64_t nodeid, uint64_t fh)
{
	struct fuse_flush_in in = {.fh = fh, .lock_owner = 0x1234};

	return CALL(f, FUSE_FLUSH, nodeid, NULL, 0, IOV(in));
}

int fz_release(struct fx *f, uint64_t nodeid, uint64_t fh)
{
	struct fuse_release_in in = {.fh = fh};

	return CALL(f, FUSE_RELEASE, nodeid, NULL, 0, IOV(in));
}

int fz_fsync(struct fx *f, uint64_t nodeid, uint64_t fh, bool datasync)
{
	struct fuse_fsync_in in = {.fh = fh, .fsync_flags = datasync ? FUSE_FSYNC_FDATASYNC : 0};

	return CALL(f, FUSE_FSYNC, nodeid, NULL, 0, IOV(in));
}

int fz_fallocate(struct fx *f, uint64_t nodeid, uint64_t fh, uint32_t mode, uint64_t off,
		 uint64_t len)
{
	struct fuse_fallocate_in in = {.fh = fh, .offset = off, .length = len, .mode = mode};

	return CALL(f, FUSE_FALLOCATE, nodeid, NULL, 0, IOV(in));
}

int fz_lseek(struct fx *f, uint64_t nodeid, uint64_t fh, uint64_t off, uint32_t whence,
	     uint64_t *ret)
{
	struct fuse_lseek_in in = {.fh = fh, .offset = off, .whence = whence};
	struct fuse_lseek_out out;
	int r = CALL(f, FUSE_LSEEK, nodeid, &out, sizeof(out), IOV(in));

	if (r == 0)
		*ret = out.offset;
	return r;
}

ssize_t fz_copy(struct fx *f, uint64_t node_in, uint64_t fh_in, uint64_t off_in, uint64_t node_out,
		uint64_t fh_out, uint64_t off_out, uint64_t len)
{
	struct fuse_copy_file_range_in in = {
		.fh_in = fh_in,
		.off_in = off_in,
		.nodeid_out = node_out,
		.fh_out = fh_out,
		.off_out = off_out,
		.len = len,
	};
	struct fuse_write_out out;
	int r = CALL(f, FUSE_COPY_FILE_RANGE, node_in, &out, sizeof(out), IOV(in));

	return r < 0 ? r : (ssize_t)out.size;
}

int fz_opendir(struct fx *f, uint64_t nodeid, struct fuse_open_out *ret)
{
	struct fuse_open_in in = {0};

	return CALL(f, FUSE_OPENDIR, nodeid, ret, sizeof(*ret), IOV(in));
}

ssize_t fz_readdir(struct fx *f, uint64_t nodeid, uint64_t fh, uint64_t off, bool plus, void *buf,
		   size_t size)
{
	struct fuse_read_in in = {.fh = fh, .offset = off, .size = (uint32_t)size};
	struct iovec iov[] = {IOV(in)};
	size_t len;
	int r = fz_call(f, plus ? FUSE_READDIRPLUS : FUSE_READDIR, nodeid, iov, 1, buf, size, &len);

	return r < 0 ? r : (ssize_t)len;
}

int fz_releasedir(struct fx *f, uint64_t nodeid, uint64_t fh)
{
	struct fuse_release_in in = {.fh = fh};

	return CALL(f, FUSE_RELEASEDIR, nodeid, NULL, 0, IOV(in));
}

int fz_fsyncdir(struct fx *f, uint64_t nodeid, uint64_t fh, bool datasync)
{
	struct fuse_fsync_in in = {.fh = fh, .fsync_flags = datasync ? FUSE_FSYNC_FDATASYNC : 0};

	return CALL(f, FUSE_FSYNCDIR, nodeid, NULL, 0, IOV(in));
}

int fz_statfs(struct fx *f, uint64_t nodeid, struct fuse_kstatfs *ret)
{
	return fz_call(f, FUSE_STATFS, nodeid, NULL, 0, ret, sizeof(*ret), NULL);
}

int fz_syncfs(struct fx *f, uint64_t nodeid)
{
	struct fuse_syncfs_in in = {0};

	return CALL(f, FUSE_SYNCFS, nodeid, NULL, 0, IOV(in));
}

int fz_access(struct fx *f, uint64_t nodeid, uint32_t mask)
{
	struct fuse_access_in in = {.mask = mask};

	return CALL(f, FUSE_ACCESS, nodeid, NULL, 0, IOV(in));
}

int fz_setupmapping(struct fx *f, uint64_t nodeid, uint64_t fh, uint64_t foffset, uint64_t len,
		    uint64_t flags, uint64_t moffset)
{
	struct fuse_setupmapping_in in = {
		.fh = fh,
		.foffset = foffset,
		.len = len,
		.flags = flags,
		.moffset = moffset,
	};

	return CALL(f, FUSE_SETUPMAPPING, nodeid, NULL, 0, IOV(in));
}

int fz_removemapping(struct fx *f, uint64_t nodeid, const struct fuse_removemapping_one *one,
		     uint32_t count)
{
	struct fuse_removemapping_in in = {.count = count};

	return CALL(f, FUSE_REMOVEMAPPING, nodeid, NULL, 0, IOV(in),
		    {(void *)(uintptr_t)one, count * sizeof(*one)});
}

int fz_setxattr(struct fx *f, uint64_t nodeid, const char *name, const void *value, size_t size,
		uint32_t flags)
{
	struct fuse_setxattr_in in = {.size = (uint32_t)size, .flags = flags};
	/* The long form only where it was agreed on. */
	size_t fixed =
		f->init.flags & FUSE_SETXATTR_EXT ? sizeof(in) : FUSE_COMPAT_SETXATTR_IN_SIZE;

	return CALL(f, FUSE_SETXATTR, nodeid, NULL, 0, {&in, fixed}, IOV_STR(name),
		    {(void *)(uintptr_t)value, size});
}

/* GETXATTR and LISTXATTR: a length, or the bytes. */
static ssize_t sized(struct fx *f, uint32_t opcode, uint64_t nodeid, const struct iovec *in,
		     unsigned int nin, void *buf, size_t size)
{
	struct fuse_getxattr_out out;
	size_t len;
	int r;

	if (size) {
		r = fz_call(f, opcode, nodeid, in, nin, buf, size, &len);
		return r < 0 ? r : (ssize_t)len;
	}
	r = fz_call(f, opcode, nodeid, in, nin, &out, sizeof(out), NULL);
	if (r < 0)
		return r;
	assert_int_equal(out.padding, 0);
	return out.size;
}

ssize_t fz_getxattr(struct fx *f, uint64_t nodeid, const char *name, void *buf, size_t size)
{
	struct fuse_getxattr_in in = {.size = (uint32_t)size};
	struct iovec iov[] = {IOV(in), IOV_STR(name)};

	return sized(f, FUSE_GETXATTR, nodeid, iov, 2, buf, size);
}

ssize_t fz_listxattr(struct fx *f, uint64_t nodeid, char *buf, size_t size)
{
	struct fuse_getxattr_in in = {.size = (uint32_t)size};
	struct iovec iov[] = {IOV(in)};

	return sized(f, FUSE_LISTXATTR, nodeid, iov, 1, buf, size);
}

int fz_removexattr(struct fx *f, uint64_t nodeid, const char *name)
{
	return CALL(f, FUSE_REMOVEXATTR, nodeid, NULL, 0, IOV_STR(name));
}

void fz_forget(struct fx *f, uint64_t nodeid, uint64_t nlookup)
{
	struct fuse_forget_in in = {.nlookup = nlookup};
	struct vuf_req *q = f->q;
	int r;

	vuf_req_begin(q, FUSE_FORGET, nodeid);
	vuf_req_add(q, &in, sizeof(in));
	/* Linux leaves no room at all, and sends it on the hiprio queue. */
	q->out_len = 0;
	r = vuf_req_submit(q, &f->v->ring[0]);
	/* Nobody but a test waits for a FORGET: the daemon may be in no hurry for it, unless it is kicked all the same. */
	if (r == 0) {
		vuf_ring_kick_force(&f->v->ring[0]);
		r = vuf_req_wait(q, &f->v->ring[0]);
	}
	if (r == 0)
		r = vuf_req_check(q);
	FAIL_IF_BAD(r, f, (uint32_t)FUSE_FORGET);
}

uint64_t fz_walk(struct fx *f, const char *path)
{
	uint64_t at = FUSE_ROOT_ID;

	while (*path) {
		size_t len = strcspn(path, "/");
		struct fuse_entry_out e;
		char name[256];

		assert_true(len < sizeof(name));
		memcpy(name, path, len);
		name[len] = '\0';
		assert_int_equal(fz_lookup(f, at, name, &e), 0);
		if (at != FUSE_ROOT_ID)
			fz_forget(f, at, 1);
		at = e.nodeid;
		path += len + (path[len] == '/');
	}
	return at;
}

uint32_t fz_rdev(dev_t dev)
{
	uint32_t ma = major(dev), mi = minor(dev);

	return (mi & 0xff) | ma << 8 | (mi & ~0xffu) << 12;
}

void fz_attr_is(const struct fuse_attr *a, const struct stat *st)
{
	assert_int_equal(a->ino, st->st_ino);
	assert_int_equal(a->size, st->st_size);
	assert_int_equal(a->blocks, st->st_blocks);
	assert_int_equal(a->atime, st->st_atim.tv_sec);
	assert_int_equal(a->mtime, st->st_mtim.tv_sec);
	assert_int_equal(a->ctime, st->st_ctim.tv_sec);
	assert_int_equal(a->atimensec, st->st_atim.tv_nsec);
	assert_int_equal(a->mtimensec, st->st_mtim.tv_nsec);
	assert_int_equal(a->ctimensec, st->st_ctim.tv_nsec);
	assert_int_equal(a->mode, st->st_mode);
	assert_int_equal(a->nlink, st->st_nlink);
	assert_int_equal(a->uid, st->st_uid);
	assert_int_equal(a->gid, st->st_gid);
	assert_int_equal(a->rdev, fz_rdev(st->st_rdev));
	assert_int_equal(a->blksize, st->st_blksize);
	assert_int_equal(a->flags, 0);
}

void fz_entry_is(const struct fx *f, const struct fuse_entry_out *e, const char *name)
{
	struct stat st = fx_stat(f, name);

	assert_int_not_equal(e->nodeid, 0);
	assert_int_not_equal(e->nodeid, FUSE_ROOT_ID);
	fz_attr_is(&e->attr, &st);
}
