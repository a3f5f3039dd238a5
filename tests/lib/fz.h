/* SPDX-License-Identifier: Apache-2.0 */
/* FUSE operations for tests: one call each, the reply's size checked, the error returned. */
#ifndef CULVERT_FZ_H
#define CULVERT_FZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "fuse_abi.h"
#include "fx.h"

/*
 * All of them send one request on f->ring as f->uid and f->gid with the room for the reply that Linux
 * would leave, wait, fail the test when the transport or the form of the reply is wrong, and return 0 or
 * the negative errno that the reply carries. Outputs are untouched on an error.
 */

/**
 * fz_call() - any request.
 * @in, @nin:   what follows the header.
 * @out, @size: room for the reply's payload.
 * @ret_len:    the payload's length; NULL when it must be exactly @size.
 */
int fz_call(struct fx *f, uint32_t opcode, uint64_t nodeid, const struct iovec *in,
	    unsigned int nin, void *out, size_t size, size_t *ret_len);

/** IOV() - an element of an iovec array over an object. */
#define IOV(obj)                                         \
	{                                                \
		(void *)(uintptr_t) & (obj), sizeof(obj) \
	}
/** IOV_STR() - over a string and its NUL. */
#define IOV_STR(s)                                    \
	{                                             \
		(void *)(uintptr_t)(s), strlen(s) + 1 \
	}

struct fz_entry_open {
	struct fuse_entry_out entry;
	struct fuse_open_out open;
};

int fz_lookup(struct fx *f, uint64_t parent, const char *name, struct fuse_entry_out *ret);
int fz_getattr(struct fx *f, uint64_t nodeid, struct fuse_attr_out *ret);
int fz_getattr_fh(struct fx *f, uint64_t nodeid, uint64_t fh, struct fuse_attr_out *ret);
int fz_setattr(struct fx *f, uint64_t nodeid, const struct fuse_setattr_in *in,
	       struct fuse_attr_out *ret);
int fz_statx(struct fx *f, uint64_t nodeid, uint32_t mask, struct fuse_statx_out *ret);
/* @buf: at least 4,096 bytes; the target with a NUL behind it. */
int fz_readlink(struct fx *f, uint64_t nodeid, char *buf);
int fz_symlink(struct fx *f, uint64_t parent, const char *name, const char *target,
	       struct fuse_entry_out *ret);
int fz_mknod(struct fx *f, uint64_t parent, const char *name, uint32_t mode, uint32_t rdev,
	     struct fuse_entry_out *ret);
int fz_mkdir(struct fx *f, uint64_t parent, const char *name, uint32_t mode,
	     struct fuse_entry_out *ret);
int fz_unlink(struct fx *f, uint64_t parent, const char *name);
int fz_rmdir(struct fx *f, uint64_t parent, const char *name);
/* RENAME without flags, RENAME2 with. */
int fz_rename(struct fx *f, uint64_t parent, const char *name, uint64_t newparent,
	      const char *newname, uint32_t flags);
int fz_link(struct fx *f, uint64_t nodeid, uint64_t newparent, const char *newname,
	    struct fuse_entry_out *ret);
int fz_open(struct fx *f, uint64_t nodeid, uint32_t flags, struct fuse_open_out *ret);
int fz_create(struct fx *f, uint64_t parent, const char *name, uint32_t flags, uint32_t mode,
	      struct fz_entry_open *ret);
int fz_tmpfile(struct fx *f, uint64_t parent, uint32_t flags, uint32_t mode,
	       struct fz_entry_open *ret);
/* The bytes read or written, or a negative errno. */
ssize_t fz_read(struct fx *f, uint64_t nodeid, uint64_t fh, uint64_t off, void *buf, size_t size);
ssize_t fz_write(struct fx *f, uint64_t nodeid, uint64_t fh, uint64_t off, const void *buf,
		 size_t size);
int fz_flush(struct fx *f, uint64_t nodeid, uint64_t fh);
int fz_release(struct fx *f, uint64_t nodeid, uint64_t fh);
int fz_fsync(struct fx *f, uint64_t nodeid, uint64_t fh, bool datasync);
int fz_fallocate(struct fx *f, uint64_t nodeid, uint64_t fh, uint32_t mode, uint64_t off,
		 uint64_t len);
int fz_lseek(struct fx *f, uint64_t nodeid, uint64_t fh, uint64_t off, uint32_t whence,
	     uint64_t *ret);
ssize_t fz_copy(struct fx *f, uint64_t node_in, uint64_t fh_in, uint64_t off_in, uint64_t node_out,
		uint64_t fh_out, uint64_t off_out, uint64_t len);
int fz_opendir(struct fx *f, uint64_t nodeid, struct fuse_open_out *ret);
/* READDIR or READDIRPLUS; the bytes that came. */
ssize_t fz_readdir(struct fx *f, uint64_t nodeid, uint64_t fh, uint64_t off, bool plus, void *buf,
		   size_t size);
int fz_releasedir(struct fx *f, uint64_t nodeid, uint64_t fh);
int fz_fsyncdir(struct fx *f, uint64_t nodeid, uint64_t fh, bool datasync);
int fz_statfs(struct fx *f, uint64_t nodeid, struct fuse_kstatfs *ret);
int fz_syncfs(struct fx *f, uint64_t nodeid);
int fz_access(struct fx *f, uint64_t nodeid, uint32_t mask);
int fz_setxattr(struct fx *f, uint64_t nodeid, const char *name, const void *value, size_t size,
		uint32_t flags);
/* @flags: FUSE_SETUPMAPPING_FLAG_…; @fh: Linux sends UINT64_MAX. */
int fz_setupmapping(struct fx *f, uint64_t nodeid, uint64_t fh, uint64_t foffset, uint64_t len,
		    uint64_t flags, uint64_t moffset);
int fz_removemapping(struct fx *f, uint64_t nodeid, const struct fuse_removemapping_one *one,
		     uint32_t count);
/* @size 0 asks for the length; else the value. */
ssize_t fz_getxattr(struct fx *f, uint64_t nodeid, const char *name, void *buf, size_t size);
ssize_t fz_listxattr(struct fx *f, uint64_t nodeid, char *buf, size_t size);
int fz_removexattr(struct fx *f, uint64_t nodeid, const char *name);
void fz_forget(struct fx *f, uint64_t nodeid, uint64_t nlookup);

/** fz_walk() - LOOKUP of "a/b/c" from the root on; parents are forgotten. The last node's id. */
uint64_t fz_walk(struct fx *f, const char *path);

/** fz_rdev() - a device number as the protocol has it. */
uint32_t fz_rdev(dev_t dev);

/** fz_attr_is() - fail the test unless the attributes are the host's, all of them. */
void fz_attr_is(const struct fuse_attr *a, const struct stat *st);

/** fz_entry_is() - of a LOOKUP or creation: the attributes, and a nodeid that is not 0. */
void fz_entry_is(const struct fx *f, const struct fuse_entry_out *e, const char *name);

#endif
