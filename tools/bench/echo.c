// SPDX-License-Identifier: Apache-2.0
/* virtiofs-bench: a ring that answers: what all daemons pay, and what the generator costs. */
/*
 * Theory of operation
 *
 * One thread is the device of all rings of a front-end in the same process. It takes chains with the
 * project's own virtqueue, reads the header of the request, answers with a header whose length is all
 * the room there is, and touches no payload. It sleeps in poll(2) on the kicks, or looks at the rings
 * without a pause.
 *
 * Threads: the thread owns everything but @stop_fd and @stop until it has ended.
 */
#include <errno.h>
#include <linux/fuse.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "bench.h"
#include "fd.h"
#include "gmem.h"
#include "util.h"
#include "vq.h"

struct echo {
	struct vuf *v;
	struct gmem *gm;
	struct vq *vq;
	struct iovec *iov;
	pthread_t thread;
	int stop_fd;
	_Atomic bool stop;
	_Atomic pid_t tid;
};

static void answer(struct vq *vq, const struct vq_chain *c, const struct gmem *gm)
{
	struct fuse_in_header in;
	struct fuse_out_header out = {0};

	if (c->nread && c->iov[0].iov_len >= sizeof(in) && c->nwrite &&
	    c->iov[c->nread].iov_len >= sizeof(out)) {
		memcpy(&in, c->iov[0].iov_base, sizeof(in));
		for (unsigned int i = 0; i < c->nwrite; i++)
			out.len += (uint32_t)c->iov[c->nread + i].iov_len;
		out.unique = in.unique;
		memcpy(c->iov[c->nread].iov_base, &out, sizeof(out));
	}
	vq_push(vq, c, out.len, gm);
}

static void batch(struct echo *e, unsigned int i)
{
	struct vq *vq = &e->vq[i];
	struct vq_chain c = {.iov = e->iov, .max = VQ_CHAIN_IOV(BENCH_RING)};

	for (unsigned int n = 0; n < 64 && vq_pop(vq, &c) == 1; n++)
		answer(vq, &c, e->gm);
	if (vq_flush(vq))
		fd_signal(e->v->ring[i].call_fd);
}

static void serve(struct echo *e, unsigned int i)
{
	do {
		vq_kicks_off(&e->vq[i]);
		batch(e, i);
	} while (vq_kicks_on(&e->vq[i], 0));
}

static void *polling_main(void *arg)
{
	struct echo *e = arg;

	e->tid = gettid();
	for (unsigned int i = 0; i < e->v->nrings; i++)
		vq_kicks_off(&e->vq[i]);
	while (!e->stop) {
		for (unsigned int i = 0; i < e->v->nrings; i++)
			batch(e, i);
		cpu_relax();
	}
	return NULL;
}

static void *echo_main(void *arg)
{
	struct echo *e = arg;
	struct pollfd p[BENCH_QUEUES_MAX + 2];
	unsigned int n = e->v->nrings;

	e->tid = gettid();
	for (unsigned int i = 0; i < n; i++)
		p[i] = (struct pollfd){.fd = e->v->ring[i].kick_fd, .events = POLLIN};
	p[n] = (struct pollfd){.fd = e->stop_fd, .events = POLLIN};
	while (!(p[n].revents & POLLIN)) {
		if (poll(p, n + 1, -1) < 0)
			continue;
		for (unsigned int i = 0; i < n; i++) {
			if (!(p[i].revents & POLLIN))
				continue;
			fd_drain(p[i].fd);
			serve(e, i);
		}
	}
	return NULL;
}

static int start_ring(struct echo *e, unsigned int i)
{
	const struct vuf_ring *r = &e->v->ring[i];
	struct vq_conf conf = {
		.size = r->conf.size,
		.packed = r->conf.packed,
		.event_idx = r->conf.event_idx,
		.indirect = r->conf.indirect,
		.desc = vuf_mem_uva(&e->v->mem, r->area_gpa[0]),
		.driver = vuf_mem_uva(&e->v->mem, r->area_gpa[1]),
		.device = vuf_mem_uva(&e->v->mem, r->area_gpa[2]),
		.base = vuf_ring_base(r),
	};

	return vq_start(&e->vq[i], &conf, e->gm);
}

static int map_memory(struct echo *e)
{
	e->gm = gmem_new();
	if (!e->gm)
		return -ENOMEM;
	for (unsigned int i = 0; i < e->v->mem.nregions; i++) {
		const struct vuf_region *rg = &e->v->mem.region[i];
		struct gmem_conf conf = {
			.gpa = rg->gpa, .size = rg->size, .uva = rg->uva, .offset = rg->offset};
		struct gmem *more;
		int r = gmem_with(e->gm, &conf, rg->fd, &more);

		if (r < 0)
			return r;
		gmem_put(e->gm);
		e->gm = more;
	}
	return 0;
}

int echo_start(struct vuf *v, bool poll, struct echo **ret)
{
	struct echo *e = calloc(1, sizeof(*e));
	int r = -ENOMEM;

	if (!e)
		return r;
	*ret = e;
	e->v = v;
	e->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	e->vq = calloc(v->nrings, sizeof(*e->vq));
	e->iov = calloc(VQ_CHAIN_IOV(BENCH_RING), sizeof(*e->iov));
	if (e->stop_fd >= 0 && e->vq && e->iov)
		r = map_memory(e);
	for (unsigned int i = 0; r == 0 && i < v->nrings; i++)
		r = start_ring(e, i);
	if (r == 0)
		r = -pthread_create(&e->thread, NULL, poll ? polling_main : echo_main, e);
	/* Without its thread there is nothing to stop. */
	if (r == 0)
		while (!e->tid)
			sched_yield();
	return r;
}

void echo_stop(struct echo *e)
{
	if (!e)
		return;
	if (e->tid) {
		e->stop = true;
		fd_signal(e->stop_fd);
		pthread_join(e->thread, NULL);
	}
	for (unsigned int i = 0; e->vq && i < e->v->nrings; i++)
		if (e->vq[i].running)
			vq_stop(&e->vq[i]);
	fd_close(&e->stop_fd);
	gmem_put(e->gm);
	free(e->vq);
	free(e->iov);
	free(e);
}

pid_t echo_tid(const struct echo *e)
{
	return e->tid;
}
