// SPDX-License-Identifier: Apache-2.0
/* virtiofs-bench: requests in the air. */
/*
 * Theory of operation
 *
 * A closed loop: each slot has one request out at any time, and issues the next one when the reply to the
 * last has been verified. All that is ready is put on the rings before they are kicked, so the daemon
 * sees as large a batch as the depth allows.
 *
 * Between batches the loop sleeps until the last of the replies is there (one wake-up, one interrupt, one
 * kick a batch; what a daemon on the same CPU is asked for), or it looks for replies without a pause and
 * replaces each request at once (what keeps a daemon on another CPU busy).
 *
 * A request is laid out as Linux does it: header, arguments, pages of data; header of the reply, its
 * arguments, pages of data. What a reply is checked against is not in guest memory.
 *
 * Threads: one.
 */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "util.h"

#define SPINS_PER_LOOK 4096u /* rounds without a reply after which time is looked at */

uint64_t bench_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t bench_thread_cpu(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

int load_fail(struct load *l, const char *fmt, ...)
{
	va_list ap;

	if (!l->err[0]) {
		va_start(ap, fmt);
		vsnprintf(l->err, sizeof(l->err), fmt, ap);
		va_end(ap);
	}
	return -EPROTO;
}

/* ---- slots ---- */

static int slot_init(struct load *l, struct slot *s)
{
	struct vuf_mem *m = &l->arm->v->mem;

	s->in = vuf_mem_alloc(m, BENCH_PAGE, BENCH_PAGE, &s->in_gpa);
	s->out = vuf_mem_alloc(m, BENCH_PAGE, BENCH_PAGE, &s->out_gpa);
	if (l->data_len)
		s->data = vuf_mem_alloc(m, l->data_len, BENCH_PAGE, &s->data_gpa);
	return s->in && s->out && (s->data || !l->data_len) ? 0 : -ENOMEM;
}

int load_init(struct load *l, const struct work *w, struct arm *a, struct files *f,
	      unsigned int depth, unsigned int queues)
{
	int r = 0;

	memset(l, 0, sizeof(*l));
	l->work = w;
	l->arm = a;
	l->files = f;
	l->depth = depth;
	l->queues = queues;
	l->data_len = (w->size + BENCH_PAGE - 1) / BENCH_PAGE * BENCH_PAGE;
	l->nslots = depth * queues;
	l->slot = calloc(l->nslots, sizeof(*l->slot));
	if (!l->slot)
		return -ENOMEM;
	for (unsigned int i = 0; r == 0 && i < l->nslots; i++) {
		l->slot[i].number = i;
		l->slot[i].own = &a->v->ring[1 + i % queues];
		r = slot_init(l, &l->slot[i]);
	}
	if (r < 0)
		load_done(l);
	return r;
}

void load_done(struct load *l)
{
	struct vuf_mem *m = &l->arm->v->mem;

	for (unsigned int i = 0; l->slot && i < l->nslots; i++) {
		vuf_mem_free(m, l->slot[i].in, BENCH_PAGE);
		vuf_mem_free(m, l->slot[i].out, BENCH_PAGE);
		vuf_mem_free(m, l->slot[i].data, l->data_len);
		free(l->slot[i].seen);
	}
	free(l->slot);
	l->slot = NULL;
}

static void add_seg(struct slot *s, uint64_t gpa, size_t len, bool write)
{
	s->seg[s->nseg++] = (struct vuf_seg){.gpa = gpa, .len = (uint32_t)len, .write = write};
}

/* A page each: that is how the pages of a file come. */
static void add_pages(struct slot *s, size_t len, bool write)
{
	for (size_t at = 0; at < len; at += BENCH_PAGE)
		add_seg(s, s->data_gpa + at, MIN(len - at, (size_t)BENCH_PAGE), write);
}

struct fuse_in_header *slot_begin(struct load *l, struct slot *s, uint32_t opcode, uint64_t node)
{
	struct fuse_in_header *h = (void *)s->in;

	*h = (struct fuse_in_header){
		.len = sizeof(*h),
		.opcode = opcode,
		.unique =
			atomic_fetch_add_explicit(&l->arm->v->unique, 2, memory_order_relaxed) + 2,
		.nodeid = node,
		.pid = 1,
	};
	s->unique = h->unique;
	s->opcode = opcode;
	s->ring = s->own;
	s->in_len = sizeof(*h);
	s->room = 0;
	s->nseg = 0;
	add_seg(s, s->in_gpa, sizeof(*h), false);
	return h;
}

void *slot_arg(struct slot *s, size_t len)
{
	struct fuse_in_header *h = (void *)s->in;
	void *at = s->in + s->in_len;

	/* Arguments follow each other in one descriptor. */
	if (s->nseg == 1)
		add_seg(s, s->in_gpa + s->in_len, 0, false);
	s->seg[1].len += (uint32_t)len;
	s->in_len += (uint32_t)len;
	h->len += (uint32_t)len;
	memset(at, 0, len);
	return at;
}

void slot_name(struct slot *s, const char *name)
{
	size_t len = strlen(name) + 1;

	memcpy(slot_arg(s, len), name, len);
}

void slot_send_data(struct slot *s, size_t len)
{
	struct fuse_in_header *h = (void *)s->in;

	h->len += (uint32_t)len;
	add_pages(s, len, false);
}

void slot_reply(struct slot *s, size_t len)
{
	s->room = (uint32_t)(sizeof(struct fuse_out_header) + len);
	add_seg(s, s->out_gpa, sizeof(struct fuse_out_header), true);
	if (len)
		add_seg(s, s->out_gpa + sizeof(struct fuse_out_header), len, true);
}

void slot_reply_data(struct slot *s, size_t len)
{
	s->room = (uint32_t)(sizeof(struct fuse_out_header) + len);
	add_seg(s, s->out_gpa, sizeof(struct fuse_out_header), true);
	add_pages(s, len, true);
}

int slot_error(const struct slot *s)
{
	return ((const struct fuse_out_header *)(const void *)s->out)->error;
}

const void *slot_payload(const struct slot *s)
{
	return s->out + sizeof(struct fuse_out_header);
}

/* ---- rings ---- */

static int submit(struct load *l, struct slot *s)
{
	int r;

	/* What was there before must not look like an answer. */
	memset(s->out, 0xff, sizeof(struct fuse_out_header));
	/* From here on it is the daemon's time: neither verifying the last reply is, nor preparing this request. */
	if (l->hist && !s->t0)
		s->t0 = bench_now();
	r = vuf_ring_add(s->ring, s->seg, s->nseg, s);
	if (r < 0)
		load_fail(l, "a request does not fit the ring: %s", strerror(-r));
	return r;
}

static int check_header(struct load *l, const struct slot *s)
{
	const struct fuse_out_header *h = (const void *)s->out;

	if (!s->room)
		return s->used ? load_fail(l, "an answer to opcode %u, which has none", s->opcode)
			       : 0;
	if (s->used < sizeof(*h) || s->used > s->room || h->len != s->used ||
	    h->unique != s->unique || h->error > 0 || h->error <= -512 ||
	    (h->error && h->len != sizeof(*h)))
		return load_fail(l, "not an answer to opcode %u: %u bytes, length %u, error %d",
				 s->opcode, s->used, h->len, h->error);
	return 0;
}

static unsigned int rings_of(const struct load *l)
{
	return 1 + l->queues;
}

static void kick_all(struct load *l)
{
	for (unsigned int i = 0; i < rings_of(l); i++)
		l->kicks += vuf_ring_kick(&l->arm->v->ring[i]);
}

static unsigned int out_all(const struct load *l)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < rings_of(l); i++)
		n += l->arm->v->ring[i].nout;
	return n;
}

/* Notifications that came, each counted. */
static void drain_calls(struct load *l, struct vuf_ring *r)
{
	uint64_t n;

	if (read(r->call_fd, &n, sizeof(n)) == sizeof(n))
		l->calls += n;
}

static int check_life(struct load *l, int timeout_ms, bool calls)
{
	struct pollfd p[2 * (BENCH_QUEUES_MAX + 1) + 1];
	unsigned int n = 0, nrings = rings_of(l);
	int r;

	for (unsigned int i = 0; i < nrings; i++) {
		p[n++] = (struct pollfd){.fd = l->arm->v->ring[i].err_fd, .events = POLLIN};
		p[n++] = (struct pollfd){.fd = calls ? l->arm->v->ring[i].call_fd : -1,
					 .events = POLLIN};
	}
	p[n++] = (struct pollfd){.fd = l->arm->v->sock, .events = 0};
	r = poll(p, n, timeout_ms);
	if (r < 0 && errno != EINTR)
		return -errno;
	if (p[n - 1].revents)
		return load_fail(l, "the daemon hung up");
	for (unsigned int i = 0; i < nrings; i++) {
		if (p[2 * i].revents)
			return load_fail(l, "the daemon broke off queue %u", i);
		if (p[2 * i + 1].revents)
			drain_calls(l, &l->arm->v->ring[i]);
	}
	if (r == 0 && timeout_ms)
		return load_fail(l, "no answer within %d s", timeout_ms / 1000);
	return 0;
}

static int wait_sleeping(struct load *l)
{
	bool ready = false;

	for (unsigned int i = 0; i < rings_of(l); i++) {
		struct vuf_ring *r = &l->arm->v->ring[i];

		if (r->nout)
			ready |= vuf_ring_arm(r, l->wake ? l->wake : r->nout);
	}
	/* With several queues the first that is through wakes us. */
	return ready ? 0 : check_life(l, BENCH_WAIT_MS, true);
}

static int wait_spinning(struct load *l)
{
	uint64_t until = 0;

	for (;;) {
		for (unsigned int n = 0; n < SPINS_PER_LOOK; n++) {
			for (unsigned int i = 0; i < rings_of(l); i++)
				if (vuf_ring_pending(&l->arm->v->ring[i]))
					return 0;
			__builtin_ia32_pause();
		}
		if (!until)
			until = bench_now() + BENCH_WAIT_MS * 1000000ull;
		else if (bench_now() > until)
			return load_fail(l, "no answer within %d s", BENCH_WAIT_MS / 1000);
		if (check_life(l, 0, false) < 0)
			return -EPROTO;
	}
}

static int issue(struct load *l, struct slot *s)
{
	l->work->issue(l, s);
	return submit(l, s);
}

/* One reply: verified, counted, and followed by the slot's next request. */
static int take(struct load *l, struct slot *s, uint64_t now)
{
	bool rest = true;
	int n = check_header(l, s);

	if (n < 0)
		return n;
	l->requests++;
	l->arm->requests++;
	n = l->work->check(l, s, &rest);
	if (n < 0)
		return n;
	l->ops += (unsigned int)n;
	if (rest && l->hist && !s->unmeasured)
		hist_add(l->hist, now - s->t0);
	if (rest)
		s->t0 = 0;
	if (rest && now >= l->deadline)
		return 0;
	return issue(l, s);
}

/* Let what is in the air come down; what is in the replies must still be given back. */
static void drain(struct load *l)
{
	void *token;
	uint32_t used;
	bool rest;
	int r = 0;

	while (r >= 0 && out_all(l)) {
		kick_all(l);
		r = l->spin ? wait_spinning(l) : wait_sleeping(l);
		for (unsigned int i = 0; r >= 0 && i < rings_of(l); i++)
			while ((r = vuf_ring_get(&l->arm->v->ring[i], &token, &used)) > 0) {
				struct slot *s = token;

				s->used = used;
				if (check_header(l, s) == 0)
					l->work->check(l, s, &rest);
			}
	}
}

static int reap(struct load *l)
{
	uint64_t now = bench_now();
	int got = 0;

	for (unsigned int i = 0; i < rings_of(l); i++) {
		struct vuf_ring *ring = &l->arm->v->ring[i];
		void *token;
		uint32_t used;
		int r;

		while ((r = vuf_ring_get(ring, &token, &used)) > 0) {
			struct slot *s = token;

			s->used = used;
			got++;
			r = take(l, s, now);
			if (r < 0)
				return r;
		}
		if (r < 0)
			return load_fail(l, "the daemon broke the rules of queue %u", i);
		if (l->spin)
			vuf_ring_disarm(ring);
	}
	return got;
}

int load_run(struct load *l)
{
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < rings_of(l); i++)
		vuf_ring_disarm(&l->arm->v->ring[i]);
	for (unsigned int i = 0; r == 0 && i < l->nslots; i++) {
		l->slot[i].t0 = 0;
		r = issue(l, &l->slot[i]);
	}
	while (r >= 0 && out_all(l)) {
		kick_all(l);
		r = l->spin ? wait_spinning(l) : wait_sleeping(l);
		if (r == 0)
			r = reap(l);
	}
	if (r < 0)
		drain(l);
	for (unsigned int i = 0; i < rings_of(l); i++)
		drain_calls(l, &l->arm->v->ring[i]);
	return r < 0 ? r : 0;
}

int slot_call(struct load *l, struct slot *s)
{
	void *token = NULL;
	int r = submit(l, s);

	vuf_ring_kick(s->ring);
	while (r == 0) {
		r = vuf_ring_get(s->ring, &token, &s->used);
		if (r == 0)
			r = vuf_ring_wait(s->ring, 1, BENCH_WAIT_MS);
		else if (r > 0)
			break;
	}
	if (r < 0)
		return load_fail(l, "no answer to opcode %u: %s", s->opcode, strerror(-r));
	l->arm->requests++;
	r = check_header(l, s);
	return r < 0 || !s->room ? r : slot_error(s);
}
