/* SPDX-License-Identifier: Apache-2.0 */
/* FUSE requests as a guest's kernel makes them: build, submit, wait, verify. */
#ifndef CULVERT_VUF_FUSE_H
#define CULVERT_VUF_FUSE_H

#include <linux/fuse.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vuf.h"

#define VUF_SEGS_MAX 1024u /* descriptors of one request */

/**
 * struct vuf_framing - how a request and the room for its reply are cut into descriptors.
 * @in, @nin:   lengths of the readable descriptors, in bytes; the last one repeats until all is
 *              covered. VUF_REST takes all that is left.
 * @out, @nout: of the writable ones.
 */
struct vuf_framing {
	const uint32_t *in;
	unsigned int nin;
	const uint32_t *out;
	unsigned int nout;
};

#define VUF_REST UINT32_MAX

/** vuf_framing_linux - headers apart, the rest in one piece: much as Linux does. The default. */
extern const struct vuf_framing vuf_framing_linux;

/**
 * struct vuf_req - a request: its bytes and the room for its reply, in guest memory.
 *
 * Belongs to one thread; to the device between vuf_req_submit() and @done. Used over and over.
 *
 * @v:        the front-end.
 * @in, @out: the buffers, of @in_cap and @out_cap bytes.
 * @in_gpa, @out_gpa: where they lie.
 * @in_len:   bytes of the request so far, header included.
 * @out_len:  bytes offered for the reply; vuf_req_begin() sets @out_cap, and it may be lowered.
 * @framing:  how to cut; vuf_req_new() sets vuf_framing_linux.
 * @used:     bytes that the device says it wrote. Valid when @done.
 * @unique:   a private copy of the header's.
 * @opcode:   a private copy of the header's.
 * @done:     the device has given it back.
 * @user:     the caller's.
 */
struct vuf_req {
	struct vuf *v;
	uint8_t *in;
	uint8_t *out;
	uint64_t in_gpa;
	uint64_t out_gpa;
	size_t in_cap;
	size_t out_cap;
	size_t in_len;
	size_t out_len;
	const struct vuf_framing *framing;
	uint32_t used;
	uint64_t unique;
	uint32_t opcode;
	bool done;
	void *user;
};

/** vuf_req_new() - buffers of so many bytes (each at least a header's). NULL: no memory. Any thread. */
struct vuf_req *vuf_req_new(struct vuf *v, size_t in_cap, size_t out_cap);

/** vuf_req_free() - free the buffers; the device must not hold it. Accepts NULL. */
void vuf_req_free(struct vuf_req *q);

/**
 * vuf_req_begin() - write a header with a new unique, caller uid 0, gid 0, pid 1.
 *
 * Returns the header, to be changed at will until the request is submitted.
 */
struct fuse_in_header *vuf_req_begin(struct vuf_req *q, uint32_t opcode, uint64_t nodeid);

/** vuf_req_add() - append bytes, and count them in the header. 0, or -ENOSPC: @in_cap. */
int vuf_req_add(struct vuf_req *q, const void *bytes, size_t len);

/** vuf_req_add_str() - append a string with its NUL. */
int vuf_req_add_str(struct vuf_req *q, const char *s);

/** vuf_req_room() - append @len bytes to be filled in by the caller; NULL when they do not fit. */
void *vuf_req_room(struct vuf_req *q, size_t len);

/** vuf_req_adopt() - the caller has written a whole request of @len bytes into @in. */
void vuf_req_adopt(struct vuf_req *q, size_t len);

/**
 * vuf_req_submit() - put the request on a ring; vuf_ring_kick() then sends it and what came before.
 *
 * The place of the reply's header is wiped. Returns 0, -ENOSPC (the ring is full), -E2BIG (VUF_SEGS_MAX)
 * or -ENOMEM.
 */
int vuf_req_submit(struct vuf_req *q, struct vuf_ring *r);

/**
 * vuf_req_reap() - take back the next request that the device has done on @r, if there is one.
 *
 * Only for rings that carry nothing but struct vuf_req. Returns 1, 0, or -EPROTO (vuf_ring_get()).
 */
int vuf_req_reap(struct vuf_ring *r, struct vuf_req **ret);

/**
 * vuf_req_wait() - kick, and wait until @q is done. Others that come meanwhile are marked done, too.
 *
 * Returns 0 or a negative errno (vuf_ring_wait(), vuf_ring_get()). After a failure the device may still
 * hold the request.
 */
int vuf_req_wait(struct vuf_req *q, struct vuf_ring *r);

/**
 * vuf_req_check() - whether the reply is one that Linux would take.
 *
 * FORGET and BATCH_FORGET: nothing was written. INTERRUPT: nothing, or a reply. All others: the header is
 * whole, its length is what the device says it wrote, the unique is the request's, the error is an errno,
 * and an error carries no payload. Returns 0 or -EPROTO.
 */
int vuf_req_check(const struct vuf_req *q);

/** vuf_req_error() - 0 or the negative errno in the reply. */
int vuf_req_error(const struct vuf_req *q);

/** vuf_req_payload() - the reply behind its header. */
static inline const void *vuf_req_payload(const struct vuf_req *q)
{
	return q->out + sizeof(struct fuse_out_header);
}

/** vuf_req_payload_len() - its bytes, when vuf_req_check() said 0. */
size_t vuf_req_payload_len(const struct vuf_req *q);

/** vuf_req_call() - submit, wait, check. 0 or a negative errno of the transport; not of the reply. */
int vuf_req_call(struct vuf_req *q, struct vuf_ring *r);

/**
 * vuf_fuse_init() - INIT on ring 1.
 * @minor:   of protocol 7.
 * @flags:   64 bits that the guest offers; FUSE_INIT_EXT is added when the upper half is not zero.
 * @ret:     the reply.
 *
 * Returns 0, the reply's error, or the transport's: -EPROTO for a reply of another size or major.
 */
int vuf_fuse_init(struct vuf *v, uint32_t minor, uint64_t flags, struct fuse_init_out *ret);

#endif
