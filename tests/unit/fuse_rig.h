/* SPDX-License-Identifier: Apache-2.0 */
/* A session over memfs and requests made by hand, for the tests of src/fuse and src/memfs. */
#ifndef CULVERT_FUSE_RIG_H
#define CULVERT_FUSE_RIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatch.h"
#include "memfs.h"
#include "session.h"

#define RIG_MAX  (1100u * 1024) /* bytes of a message at most */
#define RIG_ROOM 4400u          /* room for the reply where a test does not care */
#define RIG_TIME 1700000000     /* what the clock says: it stands still */

/**
 * struct rig_frame - how a message is cut up. Each piece is a block of its own on the heap, so that
 * a sanitizer sees a byte too many.
 * @in, @out: bytes of a piece; 0 = one piece for the header and one for the rest.
 * @empty:    an empty piece before each other one.
 */
struct rig_frame {
	size_t in;
	size_t out;
	bool empty;
};

/**
 * struct rig_msg - a request as bytes.
 * @hdr:  header; rig_send() fills in len (unless @len_wrong) and unique.
 * @body: the rest; RIG_MAX bytes, the same for all rigs.
 */
struct rig_msg {
	struct fuse_in_header hdr;
	size_t len;
	bool len_wrong;
	bool unique_zero;
	size_t cut_header; /* bytes of the header that are missing; then there is no body */
	uint8_t *body;
};

/**
 * struct rig - what a test holds on to.
 * @done:  calls of request.done for the last request; every rig_send() checks that it is one.
 * @used:  what it was told.
 * @error: of the reply's header; 1 when there was no reply.
 * @reply, @len: the payload; RIG_MAX bytes, the same for all rigs.
 */
struct rig {
	struct memfs *fs;
	struct fuse_ops ops;
	struct session se;
	struct rig_frame frame;
	uint64_t unique;
	unsigned int done;
	size_t used;
	int error;
	size_t len;
	uint8_t *reply;
	struct rig_msg msg;
	struct request req;
};

/** rig_new() - a tree of 1 MiB and a session over it that has not begun. */
struct rig *rig_new(void);

/** rig_new_init() - the same after INIT with all flags that there are. */
struct rig *rig_new_init(void);
void rig_free(struct rig *r);

/** rig_send() - run @r->msg with @room bytes for the reply, header included. */
void rig_send(struct rig *r, size_t room);

/** rig_begin() - start a message in @r->msg: header, and room for nothing more. */
void rig_begin(struct rig *r, uint32_t opcode, uint64_t nodeid);
void rig_add(struct rig *r, const void *bytes, size_t len);
void rig_name(struct rig *r, const char *name);

/** rig_init() - INIT of protocol 7.@minor with @flags. Returns the error. */
int rig_init(struct rig *r, uint32_t minor, uint64_t flags);

/* Single operations with enough room. They return the error; replies are in @r->reply. */
int rig_call(struct rig *r, uint32_t opcode, uint64_t nodeid, const void *args, size_t args_len,
	     const char *name);
int rig_lookup(struct rig *r, uint64_t parent, const char *name, uint64_t *ret_id);
int rig_mkdir(struct rig *r, uint64_t parent, const char *name, uint64_t *ret_id);
int rig_create(struct rig *r, uint64_t parent, const char *name, uint32_t flags, uint64_t *ret_id,
	       uint64_t *ret_fh);
int rig_symlink(struct rig *r, uint64_t parent, const char *name, const char *target,
		uint64_t *ret_id);
int rig_open(struct rig *r, uint64_t id, uint32_t flags, uint64_t *ret_fh);
int rig_opendir(struct rig *r, uint64_t id, uint64_t *ret_fh);
int rig_release(struct rig *r, uint64_t id, uint64_t fh, bool dir);
int rig_write(struct rig *r, uint64_t id, uint64_t fh, uint64_t off, const void *data, size_t len);
int rig_read(struct rig *r, uint64_t id, uint64_t fh, uint64_t off, uint32_t len);
int rig_readdir(struct rig *r, uint64_t id, uint64_t fh, uint64_t off, uint32_t len, bool plus);
int rig_rename(struct rig *r, uint64_t from, const char *name, uint64_t to, const char *newname,
	       uint32_t flags);
int rig_link(struct rig *r, uint64_t id, uint64_t parent, const char *name);
int rig_unlink(struct rig *r, uint64_t parent, const char *name);
int rig_rmdir(struct rig *r, uint64_t parent, const char *name);
int rig_getattr(struct rig *r, uint64_t id, struct fuse_attr *ret);
int rig_setattr(struct rig *r, uint64_t id, const struct fuse_setattr_in *in);
int rig_setxattr(struct rig *r, uint64_t id, const char *name, const void *value, size_t len,
		 uint32_t flags);
int rig_getxattr(struct rig *r, uint64_t id, const char *name, uint32_t size);
void rig_forget(struct rig *r, uint64_t id, uint64_t count);

#endif
