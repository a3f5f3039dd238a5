/* SPDX-License-Identifier: Apache-2.0 */
/* One thread per virtqueue: takes requests from the ring, runs them, gives them back. */
#ifndef CULVERT_QUEUE_H
#define CULVERT_QUEUE_H

#include <stdbool.h>

struct pool;
struct queues;
struct session;
struct vu_vring;

/**
 * struct queues_conf - what the queues work with; outlives them.
 * @se:   the session that all requests belong to.
 * @pool: where requests go that wait for a disk, or NULL: they run on the queue's thread.
 * @pool_first: what merely may wait goes there, too, before it is known whether it has to.
 * @spares: threads that take a queue over from one that is stuck in a request, or NULL: the queue then
 *        waits for it.
 * @maps: where requests go that wait for the front-end, or NULL: they do not wait then.
 * @max:  queues at most, hiprio included.
 * @max_pending: requests of a queue that are on their way at most: until one comes back no more are
 *        taken from the ring. 0 = as many as the ring has descriptors.
 * @poll_us: how long a queue that was busy looks for more before it sleeps, if that has paid; 0 = not at all.
 * @drain_ms: how long queues_stop() waits for requests that are elsewhere.
 */
struct queues_conf {
	struct session *se;
	struct pool *pool;
	struct pool *maps;
	struct pool *spares;
	unsigned int max;
	unsigned int max_pending;
	unsigned int drain_ms;
	unsigned int poll_us;
	bool pool_first;
};

/* All functions: control thread. */

/** queues_new() - queues without threads. 0 or -errno. */
int queues_new(const struct queues_conf *conf, struct queues **ret);

/**
 * queues_free() - end the threads, and free it all. Accepts NULL. The pools have been stopped.
 *
 * All rings are stopped, and no request is elsewhere any more, those that were given up included. A
 * thread that is stuck in a request is waited for.
 */
void queues_free(struct queues *qs);

/** queues_end() - end the threads, those of the spare ones that serve a queue, too. All rings are stopped. */
void queues_end(struct queues *qs);

/** queues_set_pools() - other pools, see struct queues_conf. No ring is served. */
void queues_set_pools(struct queues *qs, struct pool *pool, struct pool *maps, struct pool *spares);

/** queues_start() - serve a ring on which vq_start() was called. 0 or -errno. */
int queues_start(struct queues *qs, struct vu_vring *vr);

/**
 * queues_stop() - serve a ring no longer.
 *
 * On return its thread does not touch it, and every chain that was taken from it has been pushed
 * and the driver signalled. Waits for locks are called off. Requests that are elsewhere (pool, backend)
 * are waited for at most
 * @conf.drain_ms; then they are given up: they end on their own some time, and unheard.
 */
void queues_stop(struct queues *qs, struct vu_vring *vr);

/**
 * queues_hold() - keep all queue threads from rings, memory table and session until
 * queues_release().
 *
 * Waits for the request that each is running on its own thread, until a spare one takes over, not for
 * those elsewhere. Nests.
 */
void queues_hold(struct queues *qs);

/** queues_release() - let them go on; they look at their rings again, kicked or not. */
void queues_release(struct queues *qs);

/** queues_lost() - whether queues_stop() gave requests up since this was asked last. */
bool queues_lost(struct queues *qs);

/** queues_work_fd() - an eventfd that becomes readable when queues_work() has something to do. */
int queues_work_fd(const struct queues *qs);

/** queues_work() - run requests that need all queues held: INIT and DESTROY. */
void queues_work(struct queues *qs);

#endif
