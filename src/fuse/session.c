// SPDX-License-Identifier: Apache-2.0
/* A FUSE session: what INIT agreed on, and the requests that are on their way. */
/*
 * Theory of operation
 *
 * What was agreed on is written by decode_init() and session_end(), both of which run while the
 * queues are quiesced, and read by every thread without a lock; the fields are atomic because a
 * pool thread may still run a request of the session before.
 *
 * @pending are singly linked lists, by a few bits of the request's unique. A request is in one of
 * them from session_pending_add() to session_pending_del(), and so alive while session_interrupt()
 * marks it. The guest chooses the uniques: they may collide and repeat, which costs it time and
 * nothing else, as requests are taken out by their address.
 */
#include <string.h>

#include "session.h"
#include "util.h"

int session_init(struct session *se, const struct fuse_ops *ops, void *be)
{
	memset(se, 0, sizeof(*se));
	se->ops = ops;
	se->be = be;
	se->write_limit = SESSION_MAX_WRITE;
	return -pthread_mutex_init(&se->pending_lock, NULL);
}

void session_done(struct session *se)
{
	session_end(se);
	pthread_mutex_destroy(&se->pending_lock);
}

void session_end(struct session *se)
{
	if (!atomic_load(&se->active))
		return;
	atomic_store(&se->active, false);
	atomic_store(&se->minor, 0);
	atomic_store(&se->flags, 0);
	atomic_store(&se->max_write, 0);
	atomic_store(&se->readonly, false);
	if (se->ops->destroy)
		se->ops->destroy(se->be);
}

void session_purge(struct session *se)
{
	session_end(se);
	if (se->ops->destroy)
		se->ops->destroy(se->be);
}

static struct request **pending_list(struct session *se, uint64_t unique)
{
	/* Linux counts in steps of two and keeps the lowest bit for interrupts. */
	return &se->pending[(unique >> 1) % SESSION_PENDING_LISTS];
}

void session_pending_add(struct session *se, struct request *req)
{
	struct request **head = pending_list(se, req->hdr.unique);

	pthread_mutex_lock(&se->pending_lock);
	req->next_pending = *head;
	*head = req;
	pthread_mutex_unlock(&se->pending_lock);
}

void session_pending_del(struct session *se, struct request *req)
{
	pthread_mutex_lock(&se->pending_lock);
	for (struct request **at = pending_list(se, req->hdr.unique); *at;
	     at = &(*at)->next_pending) {
		if (*at == req) {
			*at = req->next_pending;
			req->next_pending = NULL;
			break;
		}
	}
	pthread_mutex_unlock(&se->pending_lock);
}

/* Under the lock. */
static void interrupt(struct session *se, struct request *req, enum req_interrupt why)
{
	atomic_store(&req->interrupted, why);
	if (se->ops->interrupt)
		se->ops->interrupt(se->be, req);
}

bool session_interrupt(struct session *se, uint64_t unique)
{
	bool found = false;

	pthread_mutex_lock(&se->pending_lock);
	for (struct request *req = *pending_list(se, unique); req; req = req->next_pending) {
		if (req->hdr.unique == unique) {
			interrupt(se, req, REQ_INTERRUPTED);
			found = true;
		}
	}
	pthread_mutex_unlock(&se->pending_lock);
	return found;
}

void session_hurry(struct session *se)
{
	pthread_mutex_lock(&se->pending_lock);
	for (unsigned int i = 0; i < SESSION_PENDING_LISTS; i++)
		for (struct request *req = se->pending[i]; req; req = req->next_pending)
			interrupt(se, req, REQ_RING_STOPS);
	pthread_mutex_unlock(&se->pending_lock);
}
