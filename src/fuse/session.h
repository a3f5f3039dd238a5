/* SPDX-License-Identifier: Apache-2.0 */
/* A FUSE session: what INIT agreed on, and the requests that are on their way. */
#ifndef CULVERT_SESSION_H
#define CULVERT_SESSION_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "ops.h"

#define SESSION_PENDING_LISTS 64u
#define SESSION_MAX_PAGES     256u /* data pages of one request */
#define SESSION_MAX_WRITE     (SESSION_MAX_PAGES * 4096u)

/**
 * struct session - shared by all queues of a device.
 * @ops, @be:  the backend. Constant.
 * @window:    the DAX window, or NULL. Set before the first request; the daemon's.
 * @write_limit: bytes of data of one request at most, whole pages. Set before the first request.
 * @active:    INIT was answered and neither DESTROY nor reset has come since.
 * @minor:     protocol minor agreed on. Written while the queues are quiesced.
 * @flags:     INIT flags (64 bits) agreed on. Written while the queues are quiesced.
 * @max_write: bytes of a WRITE at most, as told to the guest.
 * @readonly:  the backend said at INIT that nothing may be changed: such opcodes answer EROFS.
 * @pending_lock: guards @pending; a leaf lock.
 * @pending:   requests that left their queue's thread, so that INTERRUPT finds them; lists by unique.
 *
 * Requests that a pool thread still runs when the session ends go on: they hold references on what
 * they use, and their replies are written to a ring that may have gone (vq_push() then does nothing).
 */
struct session {
	const struct fuse_ops *ops;
	void *be;
	struct window *window;
	uint32_t write_limit;
	_Atomic bool active;
	_Atomic uint32_t minor;
	_Atomic uint64_t flags;
	_Atomic uint32_t max_write;
	_Atomic bool readonly;
	pthread_mutex_t pending_lock;
	struct request *pending[SESSION_PENDING_LISTS];
};

/** session_init() - a session over @ops and its backend; nothing is active. 0 or -errno. */
int session_init(struct session *se, const struct fuse_ops *ops, void *be);

/** session_done() - end it if it is active, and free what it holds. */
void session_done(struct session *se);

/**
 * session_end() - as DESTROY does: the backend lets go of all that the guest knew.
 *
 * Control thread, queues quiesced. Also for device reset and disconnect.
 */
void session_end(struct session *se);

/**
 * session_purge() - the same, and of what requests have left that were on their way when it ended.
 *
 * Control thread, nothing on its way any more.
 */
void session_purge(struct session *se);

/** session_has() - whether all bits of @flags were agreed on at INIT. */
static inline bool session_has(struct session *se, uint64_t flags)
{
	return (atomic_load_explicit(&se->flags, memory_order_relaxed) & flags) == flags;
}

/** session_pending_add() - make a request known to INTERRUPT, before it leaves its queue's thread. */
void session_pending_add(struct session *se, struct request *req);

/** session_pending_del() - the request was answered, or is about to be; no error if it is not there. */
void session_pending_del(struct session *se, struct request *req);

/** session_interrupt() - mark the pending request with this unique. True when there is one. */
bool session_interrupt(struct session *se, uint64_t unique);

/** session_hurry() - a ring stops: mark all pending requests, so that those that wait for locks end. */
void session_hurry(struct session *se);

#endif
