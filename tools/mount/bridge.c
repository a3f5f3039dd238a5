// SPDX-License-Identifier: Apache-2.0
/* Carrying FUSE requests from /dev/fuse to virtqueues, and replies back. */
/*
 * Theory of operation
 *
 * A buffer is a piece of guest memory that a request is read into by read(2) on /dev/fuse, and that the
 * daemon writes the reply into; the reply is written to /dev/fuse from there. So payload is copied by
 * the kernel alone. The request starts 80 bytes before a page and the reply's data on a page, so that
 * the data of WRITE and READ are aligned.
 *
 * Each worker has a request queue of its own and a descriptor of its own, on which the kernel hands it
 * requests; it reads requests as long as there are some, and takes back what is used. FORGET,
 * BATCH_FORGET and INTERRUPT go to the queue for urgent requests, as VIRTIO wants it, under its lock;
 * the first worker listens to it, for the sake of answers to INTERRUPT. Buffers move between queues, so
 * they come from one stack for all.
 *
 * What the daemon writes is believed as far as Linux believes it: the reply must bear the length that
 * the ring says, and the request's unique. Anything else becomes EIO.
 *
 * The end: the first worker that sees one notes why, which wakes the main thread and the others.
 * Requests that are out then are lost with the mount.
 *
 * Lock order: hiprio_lock, lock.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "bridge.h"
#include "fd.h"
#include "fusedev.h"
#include "log.h"
#include "util.h"

#define MAX_PAGES     256u
#define MAX_WRITE     (MAX_PAGES * 4096u)
#define LEAD          (VUF_PAGE - sizeof(struct fuse_in_header) - sizeof(struct fuse_write_in))
#define IN_CAP        (sizeof(struct fuse_in_header) + sizeof(struct fuse_write_in) + MAX_WRITE + VUF_PAGE)
#define BUF_SIZE      (MAX_WRITE + 5 * VUF_PAGE)
#define BUFS_PER_RING 128u
#define RING_SIZE     128u
#define RING_MEM      (32ull << 20) /* rings and indirect tables */
#define BUFS_GPA      (1ull << 32)

#define HIPRIO_WAIT_MS 20000
#define INIT_WAIT_MS   20000
#define SPIN_MAX_US    64u

/* FUSE flags that are more than messages: windows, descriptors, other channels, mounts of their own. */
#define FLAGS_MASKED                                                                               \
	((uint64_t)(1u << 26 /* MAP_ALIGNMENT */ | 1u << 27 /* SUBMOUNTS */) |                     \
	 1ull << 33 /* HAS_INODE_DAX */ | 1ull << 37 /* PASSTHROUGH */ | 1ull << 39 /* RESEND */ | \
	 1ull << 41 /* OVER_IO_URING */)

/**
 * struct bridge_buf - a buffer. Belongs to the stack, a worker, or the device.
 * @mem, @gpa:  BUF_SIZE bytes; constant.
 * @in_len:     bytes of the request, which is at @mem + LEAD.
 * @out:        offset of the reply in @mem.
 * @room:       bytes for the reply.
 * @unique, @opcode: copies of the request's.
 * @next:       on the stack. Guarded by the bridge's lock.
 */
struct bridge_buf {
	uint8_t *mem;
	uint64_t gpa;
	uint32_t in_len;
	uint32_t out;
	uint32_t room;
	uint32_t opcode;
	uint64_t unique;
	struct bridge_buf *next;
};

struct vuf_conf bridge_vuf_conf(unsigned int queues, bool packed)
{
	static struct vuf_region regions[2];

	regions[0] = (struct vuf_region){.gpa = 0, .size = RING_MEM, .fd = -1};
	regions[1] = (struct vuf_region){
		.gpa = BUFS_GPA, .size = (uint64_t)queues * BUFS_PER_RING * BUF_SIZE, .fd = -1};
	return (struct vuf_conf){
		.packed = packed,
		.rings = queues + 1,
		.ring_size = RING_SIZE,
		.region = regions,
		.nregions = ARRAY_SIZE(regions),
		.proto = VUF_PROTO_ALL &
			 ~(1ull << VU_PROTOCOL_F_BACKEND_REQ |
			   1ull << VU_PROTOCOL_F_BACKEND_SEND_FD |
			   1ull << VU_PROTOCOL_F_INFLIGHT_SHMFD | 1ull << VU_PROTOCOL_F_LOG_SHMFD),
	};
}

static void note_end(struct bridge *b, enum bridge_end why)
{
	int runs = BRIDGE_RUNS;

	if (atomic_compare_exchange_strong(&b->end, &runs, why))
		fd_signal(b->end_fd);
}

static struct bridge_buf *take_buf(struct bridge *b)
{
	struct bridge_buf *buf;

	pthread_mutex_lock(&b->lock);
	buf = b->free_bufs;
	if (buf)
		b->free_bufs = buf->next;
	pthread_mutex_unlock(&b->lock);
	return buf;
}

static void give_buf(struct bridge *b, struct bridge_buf *buf)
{
	pthread_mutex_lock(&b->lock);
	buf->next = b->free_bufs;
	b->free_bufs = buf;
	pthread_mutex_unlock(&b->lock);
}

int bridge_new(struct vuf *v, struct bridge **ret)
{
	struct bridge *b = calloc(1, sizeof(*b));
	uint8_t *mem;

	if (!b)
		return -ENOMEM;
	b->v = v;
	b->end_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pthread_mutex_init(&b->lock, NULL);
	pthread_mutex_init(&b->hiprio_lock, NULL);
	for (unsigned int i = 0; i < BRIDGE_WORKERS_MAX; i++)
		b->worker[i].fd = -1;
	b->nworkers = v->nrings - 1;
	b->nbufs = b->nworkers * BUFS_PER_RING;
	b->bufs = calloc(b->nbufs, sizeof(*b->bufs));
	mem = vuf_mem_take(&v->mem, BUFS_GPA, (size_t)b->nbufs * BUF_SIZE);
	if (b->end_fd < 0 || !b->bufs || !mem) {
		bridge_free(b);
		return -ENOMEM;
	}
	/* The first ones come off the stack first: memory that was used is used again. */
	for (unsigned int i = b->nbufs; i--;) {
		b->bufs[i].mem = mem + (size_t)i * BUF_SIZE;
		b->bufs[i].gpa = BUFS_GPA + (uint64_t)i * BUF_SIZE;
		give_buf(b, &b->bufs[i]);
	}
	*ret = b;
	return 0;
}

void bridge_free(struct bridge *b)
{
	if (!b)
		return;
	if (b->end_fd >= 0)
		note_end(b, BRIDGE_UNMOUNTED);
	for (unsigned int i = 0; i < BRIDGE_WORKERS_MAX; i++) {
		if (b->worker[i].started)
			pthread_join(b->worker[i].thread, NULL);
		fd_close(&b->worker[i].fd);
	}
	fd_close(&b->end_fd);
	pthread_mutex_destroy(&b->lock);
	pthread_mutex_destroy(&b->hiprio_lock);
	free(b->bufs);
	free(b);
}

/* A request of @len bytes is in @buf: remember what is needed of it, and find room for the reply. */
static void adopt(struct bridge_buf *buf, size_t len)
{
	const struct fuse_in_header *ih = (const void *)(buf->mem + LEAD);
	size_t end = LEAD + len + sizeof(struct fuse_out_header);

	end = (end + VUF_PAGE - 1) & ~(size_t)(VUF_PAGE - 1);
	buf->in_len = (uint32_t)len;
	buf->out = (uint32_t)(end - sizeof(struct fuse_out_header));
	buf->room = BUF_SIZE - buf->out;
	buf->opcode = ih->opcode;
	buf->unique = ih->unique;
}

/* Put a request on a ring: headers apart, as Linux cuts them. */
static int submit(struct vuf_ring *ring, struct bridge_buf *buf)
{
	uint32_t head = sizeof(struct fuse_in_header);
	uint32_t args = buf->opcode == FUSE_WRITE ? sizeof(struct fuse_write_in) : 0;
	bool mute = buf->opcode == FUSE_FORGET || buf->opcode == FUSE_BATCH_FORGET;
	struct vuf_seg seg[5];
	uint64_t at = buf->gpa + LEAD;
	unsigned int n = 0;

	seg[n++] = (struct vuf_seg){.gpa = at, .len = head};
	if (args && buf->in_len > head + args) {
		seg[n++] = (struct vuf_seg){.gpa = at + head, .len = args};
		head += args;
	}
	if (buf->in_len > head)
		seg[n++] = (struct vuf_seg){.gpa = at + head, .len = buf->in_len - head};
	if (!mute) {
		at = buf->gpa + buf->out;
		memset(buf->mem + buf->out, 0, sizeof(struct fuse_out_header));
		head = sizeof(struct fuse_out_header);
		seg[n++] = (struct vuf_seg){.gpa = at, .len = head, .write = true};
		seg[n++] =
			(struct vuf_seg){.gpa = at + head, .len = buf->room - head, .write = true};
	}
	return vuf_ring_add(ring, seg, n, buf);
}

/* Answer the kernel with an errno. */
static void fail(int fd, uint64_t unique, int err)
{
	struct fuse_out_header oh = {.len = sizeof(oh), .error = -err, .unique = unique};

	/* The request may have been given up, or the mount be gone. */
	(void)!write(fd, &oh, sizeof(oh));
}

/* The kernel takes this answer only where the request that was interrupted is known. */
static void answer_interrupt(struct bridge *b, const struct bridge_buf *buf, uint32_t used)
{
	for (unsigned int i = 0; used && i < b->nworkers; i++)
		if (write(b->worker[i].fd, buf->mem + buf->out, used) >= 0)
			return;
}

/* The daemon has given a request back: pass on what it says. */
static void answer(struct bridge *b, int fd, const struct bridge_buf *buf, uint32_t used)
{
	struct fuse_out_header oh;

	if (buf->opcode == FUSE_FORGET || buf->opcode == FUSE_BATCH_FORGET)
		return;
	if (buf->opcode == FUSE_INTERRUPT) {
		answer_interrupt(b, buf, used);
		return;
	}
	memcpy(&oh, buf->mem + buf->out, sizeof(oh));
	if (used < sizeof(oh) || oh.len != used || oh.unique != buf->unique) {
		log_debug("request %u: a reply of %u bytes that says %u", buf->opcode, used,
			  oh.len);
		fail(fd, buf->unique, EIO);
		return;
	}
	if (write(fd, buf->mem + buf->out, used) < 0 && errno == EINVAL) {
		log_debug("request %u: the kernel does not take the reply", buf->opcode);
		fail(fd, buf->unique, EIO);
	}
}

/* Take back what is used of a ring. How many, or -EPROTO. */
static int reap(struct bridge *b, struct vuf_ring *ring, int fd)
{
	uint32_t used;
	void *token;
	int n = 0;
	int r;

	while ((r = vuf_ring_get(ring, &token, &used)) > 0) {
		answer(b, fd, token, used);
		give_buf(b, token);
		n++;
	}
	return r < 0 ? r : n;
}

/* Urgent requests have a ring of their own, which all workers use. */
static int send_urgent(struct bridge_worker *w, struct bridge_buf *buf)
{
	struct bridge *b = w->b;
	struct vuf_ring *ring = &b->v->ring[0];
	int r;

	pthread_mutex_lock(&b->hiprio_lock);
	r = reap(b, ring, w->fd);
	while (r >= 0 && (r = submit(ring, buf)) == -ENOSPC) {
		vuf_ring_kick(ring);
		r = vuf_ring_wait(ring, 1, HIPRIO_WAIT_MS);
		if (r >= 0)
			r = reap(b, ring, w->fd);
	}
	if (r >= 0)
		vuf_ring_kick(ring);
	pthread_mutex_unlock(&b->hiprio_lock);
	return r;
}

static bool is_urgent(uint32_t opcode)
{
	return opcode == FUSE_FORGET || opcode == FUSE_BATCH_FORGET || opcode == FUSE_INTERRUPT;
}

/* Carry one request. 1, 0 when there is none or no room for it, or a negative errno. */
static int carry(struct bridge_worker *w)
{
	struct bridge_buf *buf;
	uint64_t unique;
	bool urgent;
	ssize_t n;
	int r;

	if (!w->ring->nfree)
		return 0;
	buf = take_buf(w->b);
	if (!buf)
		return 0;
	n = read(w->fd, buf->mem + LEAD, IN_CAP);
	if (n < (ssize_t)sizeof(struct fuse_in_header)) {
		r = n < 0 ? -errno : -EIO;
		give_buf(w->b, buf);
		if (r == -EAGAIN)
			return 0;
		/* ENOENT: the request was given up before it was read. */
		return r == -EINTR || r == -ENOENT ? 1 : r;
	}
	adopt(buf, (size_t)n);
	/* Once it is on a ring the buffer is not ours: others take back what is urgent. */
	unique = buf->unique;
	urgent = is_urgent(buf->opcode);
	r = urgent ? send_urgent(w, buf) : submit(w->ring, buf);
	if (r < 0) {
		if (!urgent)
			fail(w->fd, unique, EIO);
		give_buf(w->b, buf);
		return r == -ECONNRESET || r == -EPROTO ? r : 1;
	}
	if (!urgent)
		vuf_ring_kick(w->ring);
	return 1;
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Look at the ring for a while before sleeping, as long as that has been of use. True: it was. */
static bool spin(struct bridge_worker *w)
{
	uint64_t end;

	if (!w->ring->nout)
		return false;
	for (end = now_ns() + (uint64_t)w->spin * 1000u; now_ns() < end;) {
		if (vuf_ring_pending(w->ring)) {
			w->spin = MIN(w->spin * 2, SPIN_MAX_US);
			return true;
		}
		sched_yield();
	}
	w->spin = MAX(w->spin / 2, 1u);
	return false;
}

/* Sleep until there is something to do. 0, or a reason to end. */
static enum bridge_end nap(struct bridge_worker *w)
{
	struct bridge *b = w->b;
	struct vuf_ring *urgent = &b->v->ring[0];
	bool first = w == &b->worker[0];
	bool room = w->ring->nfree > 0;
	struct pollfd p[] = {
		{.fd = room ? w->fd : -1, .events = POLLIN},
		{.fd = w->ring->call_fd, .events = POLLIN},
		{.fd = b->v->sock, .events = POLLRDHUP},
		{.fd = b->end_fd, .events = POLLIN},
		{.fd = w->ring->err_fd, .events = POLLIN},
		{.fd = first ? urgent->call_fd : -1, .events = POLLIN},
	};
	bool ready = vuf_ring_arm(w->ring, 1);

	if (first) {
		pthread_mutex_lock(&b->hiprio_lock);
		if (urgent->nout)
			ready |= vuf_ring_arm(urgent, 1);
		pthread_mutex_unlock(&b->hiprio_lock);
	}
	if (!ready && poll(p, ARRAY_SIZE(p), -1) < 0)
		return BRIDGE_RUNS;
	vuf_ring_disarm(w->ring);
	if (p[1].revents)
		fd_drain(w->ring->call_fd);
	if (p[5].revents)
		fd_drain(urgent->call_fd);
	if (p[4].revents)
		return BRIDGE_BROKEN;
	if (p[2].revents & (POLLRDHUP | POLLHUP | POLLERR))
		return BRIDGE_HUNG_UP;
	return BRIDGE_RUNS;
}

static bool stopped(struct bridge *b)
{
	return atomic_load_explicit(&b->end, memory_order_relaxed) != BRIDGE_RUNS;
}

static int reap_urgent(struct bridge_worker *w)
{
	struct bridge *b = w->b;
	int r;

	if (w != &b->worker[0])
		return 0;
	pthread_mutex_lock(&b->hiprio_lock);
	r = reap(b, &b->v->ring[0], w->fd);
	pthread_mutex_unlock(&b->hiprio_lock);
	return r;
}

static enum bridge_end end_of(int r)
{
	return r == -ENODEV ? BRIDGE_UNMOUNTED : r == -ECONNRESET ? BRIDGE_HUNG_UP : BRIDGE_BROKEN;
}

static void *run_worker(void *arg)
{
	struct bridge_worker *w = arg;
	struct bridge *b = w->b;

	while (!stopped(b)) {
		int carried = carry(w);
		int reaped = reap(b, w->ring, w->fd);
		int urgent = reap_urgent(w);
		enum bridge_end end = BRIDGE_RUNS;

		if (carried < 0 || reaped < 0 || urgent < 0)
			end = end_of(carried < 0 ? carried : -EPROTO);
		else if (!carried && !reaped && !urgent && !spin(w))
			end = nap(w);
		if (end != BRIDGE_RUNS)
			note_end(b, end);
	}
	return NULL;
}

/* The kernel's first request. */
static int read_init(int fd, struct bridge_buf *buf)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	struct fuse_in_header *ih = (void *)(buf->mem + LEAD);
	struct fuse_init_in *init = (void *)(ih + 1);
	ssize_t n;

	if (poll(&p, 1, INIT_WAIT_MS) < 1)
		return -ETIMEDOUT;
	n = read(fd, ih, IN_CAP);
	if (n < 0)
		return -errno;
	if (n < (ssize_t)(sizeof(*ih) + offsetof(struct fuse_init_in, flags2)) ||
	    ih->opcode != FUSE_INIT)
		return -EPROTO;
	init->flags &= ~(uint32_t)FLAGS_MASKED;
	if (n >= (ssize_t)(sizeof(*ih) + sizeof(*init)))
		init->flags2 &= ~(uint32_t)(FLAGS_MASKED >> 32);
	adopt(buf, (size_t)n);
	return 0;
}

/* No request may be larger than a buffer is. */
static void limit_init(struct bridge_buf *buf, uint32_t used)
{
	struct fuse_init_out *out = (void *)(buf->mem + buf->out + sizeof(struct fuse_out_header));

	if (used < sizeof(struct fuse_out_header) + sizeof(*out))
		return;
	out->max_write = MIN(out->max_write, MAX_WRITE);
	out->max_pages = MIN(out->max_pages, MAX_PAGES);
}

int bridge_init(struct bridge *b, int fd)
{
	struct vuf_ring *ring = &b->v->ring[1];
	struct bridge_buf *buf = take_buf(b);
	struct fuse_out_header oh;
	uint32_t used = 0;
	void *token;
	int r = read_init(fd, buf);

	if (r >= 0)
		r = submit(ring, buf);
	if (r >= 0) {
		vuf_ring_kick(ring);
		r = vuf_ring_wait(ring, 1, INIT_WAIT_MS);
	}
	if (r >= 0)
		r = vuf_ring_get(ring, &token, &used) > 0 ? 0 : -EPROTO;
	if (r < 0)
		return r;
	memcpy(&oh, buf->mem + buf->out, sizeof(oh));
	if (used < sizeof(oh) || oh.len != used || oh.error > 0)
		return -EPROTO;
	if (!oh.error)
		limit_init(buf, used);
	answer(b, fd, buf, used);
	give_buf(b, buf);
	return oh.error;
}

int bridge_start(struct bridge *b, int fd)
{
	/* All descriptors first: a worker may end the mount. */
	for (unsigned int i = 0; i < b->nworkers; i++) {
		struct bridge_worker *w = &b->worker[i];

		w->b = b;
		w->ring = &b->v->ring[i + 1];
		w->spin = 1;
		w->fd = i ? fusedev_clone(b->worker[0].fd) : fd;
		if (w->fd < 0)
			return w->fd;
	}
	for (unsigned int i = 0; i < b->nworkers; i++) {
		struct bridge_worker *w = &b->worker[i];
		int r = pthread_create(&w->thread, NULL, run_worker, w);

		if (r) {
			note_end(b, BRIDGE_BROKEN);
			return -r;
		}
		w->started = true;
	}
	return 0;
}
