// SPDX-License-Identifier: Apache-2.0
/* The requests of one queue: preallocated, taken, completed elsewhere, and given up. */
/*
 * Theory of operation
 *
 * One mapping holds as many requests as the ring has descriptors, or fewer if so configured, each with room for the longest
 * chain. It is never initialised as a whole: requests are taken from it one after the other, and
 * the one given back last is used first, so that only as many are ever touched as are on the way at
 * once.
 *
 * A request that is answered by another thread than the owner's goes to a list. The owner may let
 * go of what is away (a ring is stopped, and the host's file system does not answer): then
 * completions are counted and dropped, each with its reference on the memory table, and the last
 * one frees the slab, from whatever thread it comes.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "fd.h"
#include "slab.h"

void slab_free(struct slab *slab)
{
	if (!slab)
		return;
	munmap(slab->mem, slab->stride * slab->max);
	pthread_cond_destroy(&slab->arrived);
	pthread_mutex_destroy(&slab->lock);
	free(slab);
}

struct slab *slab_new(unsigned int size, unsigned int max, int wake_fd, void *user)
{
	struct slab *slab = calloc(1, sizeof(*slab));
	size_t page = (size_t)sysconf(_SC_PAGESIZE), need;
	pthread_condattr_t attr;

	if (!slab)
		return NULL;
	/* Page by page: a request with few segments touches one page, whatever the ring allows. */
	need = sizeof(struct queue_req) + VQ_CHAIN_IOV(size) * sizeof(struct iovec);
	slab->user = user;
	slab->wake_fd = wake_fd;
	slab->size = size;
	slab->max = max;
	slab->stride = (need + page - 1) / page * page;
	slab->mem = mmap(NULL, slab->stride * max, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (slab->mem == MAP_FAILED) {
		free(slab);
		return NULL;
	}
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_mutex_init(&slab->lock, NULL);
	pthread_cond_init(&slab->arrived, &attr);
	pthread_condattr_destroy(&attr);
	return slab;
}

struct queue_req *slab_get(struct slab *slab)
{
	struct queue_req *r = slab->free;

	if (r) {
		slab->free = r->next;
	} else if (slab->fresh < slab->max) {
		r = (struct queue_req *)(void *)(slab->mem + slab->stride * slab->fresh++);
		r->slab = slab;
		r->chain.iov = r->iov;
		r->chain.max = VQ_CHAIN_IOV(slab->size);
	}
	return r;
}

void slab_put(struct queue_req *r)
{
	r->next = r->slab->free;
	r->slab->free = r;
}

void slab_complete(struct queue_req *r)
{
	struct slab *slab = r->slab;
	bool last = false, dropped;
	struct gmem *gm = NULL;

	pthread_mutex_lock(&slab->lock);
	dropped = slab->given_up;
	if (dropped) {
		/* Without the lock another thread may free the slab, and the request with it. */
		gm = r->gm;
		last = --slab->left == 0;
	} else {
		r->next = slab->completed;
		slab->completed = r;
		if (!r->next) {
			fd_signal(slab->wake_fd);
			pthread_cond_signal(&slab->arrived);
		}
	}
	pthread_mutex_unlock(&slab->lock);
	gmem_put(gm);
	if (last)
		slab_free(slab);
}

static struct queue_req *reversed(struct queue_req *list)
{
	struct queue_req *out = NULL;

	while (list) {
		struct queue_req *r = list;

		list = r->next;
		r->next = out;
		out = r;
	}
	return out;
}

struct queue_req *slab_completed(struct slab *slab)
{
	struct queue_req *list;

	pthread_mutex_lock(&slab->lock);
	list = slab->completed;
	slab->completed = NULL;
	pthread_mutex_unlock(&slab->lock);
	return reversed(list);
}

bool slab_wait(struct slab *slab, int64_t until)
{
	struct timespec ts = {.tv_sec = until / 1000000000, .tv_nsec = until % 1000000000};
	bool came;
	int r = 0;

	pthread_mutex_lock(&slab->lock);
	while (!slab->completed && r != ETIMEDOUT)
		r = pthread_cond_timedwait(&slab->arrived, &slab->lock, &ts);
	came = slab->completed;
	pthread_mutex_unlock(&slab->lock);
	return came;
}

unsigned int slab_give_up(struct slab *slab, struct queue_req **ret_list)
{
	struct queue_req *list;
	unsigned int left;

	pthread_mutex_lock(&slab->lock);
	list = slab->completed;
	slab->completed = NULL;
	left = slab->away;
	for (struct queue_req *r = list; r; r = r->next)
		left--;
	slab->given_up = left > 0;
	slab->left = left;
	pthread_mutex_unlock(&slab->lock);
	*ret_list = reversed(list);
	return left;
}
