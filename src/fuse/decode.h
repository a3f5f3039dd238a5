/* SPDX-License-Identifier: Apache-2.0 */
/* What the opcode table and the decoders share; private to this folder. */
#ifndef CULVERT_DECODE_H
#define CULVERT_DECODE_H

#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "dispatch.h"
#include "request.h"
#include "session.h"
#include "util.h"

/* Bytes of extensions at most: 16 for groups, 280 and the label itself for a label. */
#define DECODE_EXT_MAX 8192u

enum row_flag {
	ROW_EARLY = 1 << 0,    /* may come before INIT */
	ROW_NO_REPLY = 1 << 1, /* the guest expects none and leaves no room for one */
	ROW_CHANGES = 1 << 2,  /* EROFS on a share that may not be changed */
	ROW_EXT = 1 << 3,      /* extensions may follow (fuse_in_header.total_extlen) */
	ROW_TAIL = 1 << 4,     /* something of the decoder's follows the names: see request.tail */
	ROW_XATTR_NAME = 1 << 5,  /* the name is an attribute's: any bytes but NUL */
	ROW_NAME_UNUSED = 1 << 6, /* a name follows that means nothing (TMPFILE: Linux sends "/") */
	ROW_ROOM_OPTIONAL = 1 << 7, /* runs without room for an answer, too (INTERRUPT) */
	ROW_GROWING = 1 << 8, /* the decoder wants what there is beyond the least arguments, too */
	ROW_SIZE = 1 << 9,    /* changes or tells attributes: the window may have a say */
	ROW_KEEPS = 1 << 10,  /* asks for the same inode or handle again and again: request.keeps */
};

/**
 * struct fuse_row - an opcode.
 * @name:   for messages.
 * @args:   bytes of the fixed arguments; a body that is shorter is refused. More is ignored where
 *          no names follow, as other kernels than Linux send more.
 * @names:  how many terminated names follow.
 * @room:   bytes of payload that the reply has at least when it succeeds.
 * @class:  where it runs.
 * @flags:  enum row_flag.
 * @op:     offset of the operation in struct fuse_ops; 0 = needs none.
 * @decode: runs it; NULL = not supported.
 */
struct fuse_row {
	const char *name;
	uint16_t args;
	uint8_t names;
	uint16_t room;
	enum fuse_class class;
	unsigned int flags;
	size_t op;
	void (*decode)(struct request *req);
};

/** decode_args() - the fixed arguments; what the body lacks of @size is zero. */
static always_inline void decode_args(const struct request *req, void *ret, size_t size)
{
	size_t have = req->body_len;

	if (likely(have >= size)) {
		memcpy(ret, req->body, size);
		return;
	}
	memset(ret, 0, size);
	memcpy(ret, req->body, have);
}

/**
 * decode_open_flags() - FUSE_OPEN_* of an open.
 * @flags:      its open(2) flags.
 * @open_flags: what the guest sent.
 *
 * The field means something once KILLPRIV_V2 is agreed on; other kernels than Linux leave junk in it.
 * Without, a guest clears set-id bits itself, except where OPEN truncates: then it is ours to do, for
 * callers who may not keep them.
 */
static inline uint32_t decode_open_flags(const struct request *req, uint32_t flags,
					 uint32_t open_flags)
{
	if (session_has(req->se, FUSE_HANDLE_KILLPRIV_V2))
		return open_flags;
	return flags & O_TRUNC && req->hdr.uid ? FUSE_OPEN_KILL_SUIDGID : 0;
}

/** decode_body() - bytes behind the header, in all. */
uint32_t decode_body(const struct request *req);

/**
 * decode_ext_len() - bytes of extensions at the end of the body, as far as they were agreed on.
 *
 * Linux 5.17 to 6.2 does not announce the only one that it knows, the label: @left is what follows when
 * nothing is announced.
 */
uint32_t decode_ext_len(const struct request *req, uint32_t left);

/**
 * struct decode_exts - extensions, for as long as the operation runs.
 * @bytes: as they came.
 * @label: points into them.
 */
struct decode_exts {
	_Alignas(8) uint8_t bytes[DECODE_EXT_MAX];
	struct req_label label;
};

/** decode_ext() - take @req->supp_gid and @req->label from @len bytes of @exts. 0 or -EINVAL. */
int decode_ext(struct request *req, struct decode_exts *exts, size_t len);

/** decode_exts() - the same with what follows the names; once only, nothing else is behind them. */
int decode_exts(struct request *req, struct decode_exts *exts);

/**
 * decode_tail() - copy what follows the names, up to @len bytes; once only.
 *
 * Returns the bytes copied.
 */
size_t decode_tail(struct request *req, void *buf, size_t len);

/** decode_done() - answer with @len bytes at @buf, or with @err; nothing for REQ_PENDING. */
void decode_done(struct request *req, int err, const void *buf, size_t len);

void decode_init(struct request *req);
void decode_destroy(struct request *req);
void decode_interrupt(struct request *req);
void decode_forget(struct request *req);
void decode_batch_forget(struct request *req);
void decode_ignore(struct request *req);

void decode_lookup(struct request *req);
void decode_symlink(struct request *req);
void decode_mknod(struct request *req);
void decode_mkdir(struct request *req);
void decode_unlink(struct request *req);
void decode_rmdir(struct request *req);
void decode_rename(struct request *req);
void decode_rename2(struct request *req);
void decode_link(struct request *req);
void decode_create(struct request *req);
void decode_tmpfile(struct request *req);

void decode_getattr(struct request *req);
void decode_statx(struct request *req);
void decode_setattr(struct request *req);
void decode_readlink(struct request *req);
void decode_statfs(struct request *req);
void decode_access(struct request *req);
void decode_setxattr(struct request *req);
void decode_getxattr(struct request *req);
void decode_listxattr(struct request *req);
void decode_removexattr(struct request *req);
void decode_ioctl(struct request *req);

void decode_open(struct request *req);
void decode_opendir(struct request *req);
void decode_read(struct request *req);
void decode_write(struct request *req);
void decode_flush(struct request *req);
void decode_release(struct request *req);
void decode_releasedir(struct request *req);
void decode_fsync(struct request *req);
void decode_fsyncdir(struct request *req);
void decode_syncfs(struct request *req);
void decode_getlk(struct request *req);
void decode_setlk(struct request *req);
void decode_setlkw(struct request *req);
void decode_readdir(struct request *req);
void decode_readdirplus(struct request *req);
void decode_fallocate(struct request *req);
void decode_lseek(struct request *req);
void decode_copy_file_range(struct request *req);

void decode_setupmapping(struct request *req);
void decode_removemapping(struct request *req);

#endif
