/* SPDX-License-Identifier: Apache-2.0 */
/* From bytes to a backend operation: the opcode table and the decoders. */
#ifndef CULVERT_DISPATCH_H
#define CULVERT_DISPATCH_H

#include <stdbool.h>
#include <stdint.h>

struct request;

/* Where a request may run. */
enum fuse_class {
	FUSE_INLINE,    /* on the queue's thread */
	FUSE_MAY_BLOCK, /* it may wait for a disk, and mostly does not */
	FUSE_TRIES, /* the same, but it can do without waiting, or find that it has to: @no_wait */
	FUSE_WAITS, /* it mostly waits for a disk */
	FUSE_MAPS,  /* on a thread that may wait for the front-end, never on the queue's */
	FUSE_MAY_WAIT,  /* the same, and its answer may take as long as the guest likes: SETLKW */
	FUSE_EXCLUSIVE, /* on the control thread, with all queues quiesced: INIT and DESTROY */
	FUSE_ANSWERED,  /* it was malformed and is answered already: gone */
};

/**
 * fuse_receive() - copy a request's header and arguments, and check them against the opcode's row.
 * @req: @se, @in, @out and @done set.
 *
 * Returns where to run it. With FUSE_ANSWERED the request has been answered with an error, or given
 * back unanswered where there is no room for one, and must not be touched.
 */
enum fuse_class fuse_receive(struct request *req);

/**
 * fuse_dispatch() - run a received request.
 *
 * True: it is answered, or will be later by the backend (REQ_PENDING). False: it is to be run once more
 * without @req->no_wait, elsewhere. FUSE_EXCLUSIVE requests: only with the queues quiesced. Others: any
 * thread that the backend was told of (ops->thread_init).
 */
bool fuse_dispatch(struct request *req);

/** fuse_opcode_name() - "LOOKUP" and so on, for messages; "?" for an unknown one. */
const char *fuse_opcode_name(uint32_t opcode);

#endif
