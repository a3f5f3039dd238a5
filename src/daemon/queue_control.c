// SPDX-License-Identifier: Apache-2.0
/* Queues as the control thread has them: held, started, stopped, made and taken apart. */
/*
 * Theory of operation
 *
 * To hold a queue is to raise @holds and to wait until its thread is not busy. Stopping a ring holds the
 * queue, and waits for what is away. What does not come back in time is given up together with its slab.
 *
 * All functions: control thread. Locks: see queue.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "dispatch.h"
#include "fd.h"
#include "log.h"
#include "queue_impl.h"
#include "session.h"
#include "util.h"

/* In two steps, so that many queues finish what they are at side by side. */
static void ask(struct queue *q)
{
	pthread_mutex_lock(&q->lock);
	q->holds++;
	pthread_mutex_unlock(&q->lock);
}

static void wait_idle(struct queue *q)
{
	pthread_mutex_lock(&q->lock);
	while (q->busy)
		pthread_cond_wait(&q->idle, &q->lock);
	pthread_mutex_unlock(&q->lock);
}

static void release(struct queue *q)
{
	q->rewatch = true;
	pthread_mutex_lock(&q->lock);
	if (--q->holds == 0)
		pthread_cond_signal(&q->go);
	pthread_mutex_unlock(&q->lock);
	if (q->have_thread)
		fd_signal(q->evfd);
}

void queues_hold(struct queues *qs)
{
	for (unsigned int i = 0; i < qs->conf.max; i++)
		ask(&qs->q[i]);
	for (unsigned int i = 0; i < qs->conf.max; i++)
		wait_idle(&qs->q[i]);
}

void queues_release(struct queues *qs)
{
	for (unsigned int i = 0; i < qs->conf.max; i++)
		release(&qs->q[i]);
}

bool queues_lost(struct queues *qs)
{
	bool lost = qs->lost;

	qs->lost = false;
	return lost;
}

void queues_set_pools(struct queues *qs, struct pool *pool, struct pool *maps, struct pool *spares)
{
	qs->conf.pool = pool;
	qs->conf.maps = maps;
	pthread_mutex_lock(&qs->watch_lock);
	qs->conf.spares = spares;
	pthread_mutex_unlock(&qs->watch_lock);
}

int queues_work_fd(const struct queues *qs)
{
	return qs->work_fd;
}

void queues_work(struct queues *qs)
{
	struct queue_req *list;

	fd_drain(qs->work_fd);
	pthread_mutex_lock(&qs->work_lock);
	list = qs->work;
	qs->work = NULL;
	qs->work_end = &qs->work;
	pthread_mutex_unlock(&qs->work_lock);
	if (!list)
		return;
	queues_hold(qs);
	while (list) {
		struct queue_req *r = list;

		list = r->next;
		fuse_dispatch(&r->req);
	}
	queues_release(qs);
}

/* Start the thread and wait until it is ready. */
static int start_thread(struct queue *q)
{
	int r;

	q->init_result = 1;
	r = -pthread_create(&q->thread, NULL, queue_main, q);
	if (r < 0)
		return r;
	pthread_mutex_lock(&q->lock);
	while (q->init_result == 1)
		pthread_cond_wait(&q->idle, &q->lock);
	r = q->init_result;
	pthread_mutex_unlock(&q->lock);
	if (r < 0) {
		pthread_join(q->thread, NULL);
		return r;
	}
	q->have_thread = true;
	return 0;
}

/* What a ring with @size descriptors needs; no ring is served meanwhile, so nothing is away. */
/* seccomp: eventfd2 */
static int prepare(struct queue *q, unsigned int size)
{
	unsigned int limit = q->qs->conf.max_pending;
	struct slab *slab;

	if (q->evfd < 0) {
		q->evfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (q->evfd < 0)
			return -errno;
	}
	if (q->slab && q->slab->size == size)
		return 0;
	slab = slab_new(size, limit ? MIN(size, limit) : size, q->evfd, q);
	if (!slab)
		return -ENOMEM;
	slab_free(q->slab);
	q->slab = slab;
	return 0;
}

int queues_start(struct queues *qs, struct vu_vring *vr)
{
	struct queue *q;
	int r;

	if (vr->index >= qs->conf.max)
		return -EINVAL;
	q = &qs->q[vr->index];
	/* Held before there is a thread: it finds everything in place. */
	ask(q);
	wait_idle(q);
	r = prepare(q, vr->vq.conf.size);
	if (r == 0 && !q->have_thread)
		r = start_thread(q);
	if (r == 0)
		queue_spare_start(qs);
	if (r == 0) {
		q->vr = vr;
		q->complained = false;
		q->batch_bytes = 0;
	}
	release(q);
	return r;
}

/* Wait for what is away, or let go of it. By the control thread, as the owner. */
static void drain(struct queue *q)
{
	int64_t until = now_ns() + q->qs->conf.drain_ms * 1000000ll;
	struct queue_req *list;
	unsigned int left;

	/* Locks may be waited for as long as somebody else likes. */
	if (q->slab->away)
		session_hurry(q->qs->conf.se);
	while (q->slab->away) {
		/* Nobody else runs these; one of them may be this queue's. */
		queues_work(q->qs);
		queue_push_all(q, slab_completed(q->slab));
		if (!q->slab->away || slab_wait(q->slab, until))
			continue;
		left = slab_give_up(q->slab, &list);
		queue_push_all(q, list);
		if (left) {
			q->slab = NULL;
			q->qs->lost = true;
			log_warn("queue %u: %u requests did not end within %u ms and are given up",
				 q->index, left, q->qs->conf.drain_ms);
			return;
		}
	}
}

void queues_stop(struct queues *qs, struct vu_vring *vr)
{
	struct queue *q;

	if (vr->index >= qs->conf.max)
		return;
	q = &qs->q[vr->index];
	ask(q);
	wait_idle(q);
	if (q->vr) {
		drain(q);
		queue_flush(q);
		q->vr = NULL;
	}
	release(q);
}

int queues_new(const struct queues_conf *conf, struct queues **ret)
{
	size_t size = sizeof(struct queues) + conf->max * sizeof(struct queue);
	struct queues *qs = aligned_alloc(_Alignof(struct queue), size);

	if (!qs)
		return -ENOMEM;
	memset(qs, 0, size);
	qs->conf = *conf;
	qs->work_end = &qs->work;
	qs->work_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (qs->work_fd < 0) {
		int r = -errno;

		free(qs);
		return r;
	}
	pthread_mutex_init(&qs->work_lock, NULL);
	pthread_mutex_init(&qs->watch_lock, NULL);
	for (unsigned int i = 0; i < conf->max; i++) {
		struct queue *q = &qs->q[i];

		q->qs = qs;
		q->index = i;
		q->evfd = -1;
		q->epfd = -1;
		pthread_mutex_init(&q->lock, NULL);
		pthread_cond_init(&q->go, NULL);
		pthread_cond_init(&q->idle, NULL);
	}
	*ret = qs;
	return 0;
}

static void end_thread(struct queue *q)
{
	if (!q->have_thread)
		return;
	pthread_mutex_lock(&q->lock);
	q->quit = true;
	pthread_cond_signal(&q->go);
	pthread_mutex_unlock(&q->lock);
	fd_signal(q->evfd);
	pthread_mutex_lock(&q->lock);
	while (!q->over)
		pthread_cond_wait(&q->idle, &q->lock);
	pthread_mutex_unlock(&q->lock);
	/* It may have served the queue to the end, or long since been stuck. */
	pthread_join(q->thread, NULL);
	q->have_thread = false;
}

void queues_end(struct queues *qs)
{
	for (unsigned int i = 0; i < qs->conf.max; i++)
		end_thread(&qs->q[i]);
	queue_spare_end(qs);
}

void queues_free(struct queues *qs)
{
	if (!qs)
		return;
	queues_end(qs);
	for (unsigned int i = 0; i < qs->conf.max; i++) {
		struct queue *q = &qs->q[i];

		slab_free(q->slab);
		fd_close(&q->evfd);
		pthread_cond_destroy(&q->idle);
		pthread_cond_destroy(&q->go);
		pthread_mutex_destroy(&q->lock);
	}
	pthread_mutex_destroy(&qs->watch_lock);
	pthread_mutex_destroy(&qs->work_lock);
	fd_close(&qs->work_fd);
	free(qs);
}
