// SPDX-License-Identifier: Apache-2.0
/* The driver's side of a virtqueue: what split and packed rings have in common. */
/*
 * Theory of operation
 *
 * A ring is three areas in guest memory and an account, in our own memory, of the chains that are out:
 * so whatever the device gives back can be checked against what it was given. Written independently
 * of src/virtio, which is the other side: the two test each other.
 *
 * Waiting is exact: ask for a notification, look once more, then sleep on the call eventfd. A device
 * that fails to notify shows as a time-out, one that broke off the queue as its err eventfd, one that
 * died as a hang-up of the connection's socket.
 *
 * Threads: a ring belongs to one thread at a time; nothing here locks. Indirect tables come from
 * vuf_mem, which does.
 */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

#include "fd.h"
#include "util.h"
#include "vuf_ring_impl.h"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "rings are little-endian");
static_assert(sizeof(struct vring_desc) == 16 && sizeof(struct vring_packed_desc) == 16, "wire");

#define TABLE_MIN 16u /* entries that an indirect table has at least */

size_t vuf_ring_area_size(const struct vuf_ring_conf *conf, unsigned int area)
{
	if (area == 0)
		return 16u * conf->size;
	if (conf->packed)
		return sizeof(struct vring_packed_desc_event);
	return area == 1 ? 6u + 2u * conf->size : 6u + 8u * conf->size;
}

static int make_areas(struct vuf_ring *r)
{
	void *area[3];

	for (unsigned int i = 0; i < 3; i++) {
		area[i] =
			vuf_mem_alloc(r->mem, vuf_ring_area_size(&r->conf, i), 16, &r->area_gpa[i]);
		if (!area[i])
			return -ENOMEM;
		/* Told at once, so that vuf_ring_done() finds what there is. */
		if (i == 0)
			r->desc = area[0];
		else if (i == 1)
			r->avail = area[1];
		else
			r->used = area[2];
	}
	r->pdesc = area[0];
	r->driver = area[1];
	r->device = area[2];
	return 0;
}

int vuf_ring_init(struct vuf_ring *r, struct vuf_mem *mem, const struct vuf_ring_conf *conf)
{
	int err = -ENOMEM;

	memset(r, 0, sizeof(*r));
	r->kick_fd = r->call_fd = r->err_fd = r->watch_fd = -1;
	if (!conf->size || conf->size > VUF_RING_MAX ||
	    (!conf->packed && (conf->size & (conf->size - 1))))
		return -EINVAL;
	r->conf = *conf;
	r->mem = mem;
	r->indirect_min = 2;
	r->slot = calloc(conf->size, sizeof(*r->slot));
	r->link = calloc(conf->size, sizeof(*r->link));
	if (!r->slot || !r->link)
		goto fail;
	r->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r->call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r->err_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r->kick_fd < 0 || r->call_fd < 0 || r->err_fd < 0) {
		err = -errno;
		goto fail;
	}
	err = make_areas(r);
	if (err < 0)
		goto fail;
	vuf_ring_reset(r, conf->packed ? VUF_BASE_PACKED : 0);
	return 0;
fail:
	vuf_ring_done(r);
	return err;
}

void vuf_ring_done(struct vuf_ring *r)
{
	if (!r->mem)
		return;
	for (unsigned int i = 0; r->slot && i < r->conf.size; i++)
		vuf_mem_free(r->mem, r->slot[i].table, r->slot[i].table_cap * 16u);
	free(r->slot);
	free(r->link);
	vuf_mem_free(r->mem, r->desc, vuf_ring_area_size(&r->conf, 0));
	vuf_mem_free(r->mem, r->avail, vuf_ring_area_size(&r->conf, 1));
	vuf_mem_free(r->mem, r->used, vuf_ring_area_size(&r->conf, 2));
	fd_close(&r->kick_fd);
	fd_close(&r->call_fd);
	fd_close(&r->err_fd);
	memset(r, 0, sizeof(*r));
}

void vuf_ring_reset(struct vuf_ring *r, uint32_t base)
{
	for (unsigned int i = 0; i < 3; i++)
		memset(vuf_mem_at(r->mem, r->area_gpa[i]), 0, vuf_ring_area_size(&r->conf, i));
	for (unsigned int i = 0; i < r->conf.size; i++)
		r->slot[i].token = NULL;
	r->nfree = r->conf.size;
	r->nout = 0;
	if (r->conf.packed)
		packed_reset(r, base);
	else
		split_reset(r, base);
	fd_drain(r->call_fd);
	fd_drain(r->kick_fd);
	fd_drain(r->err_fd);
}

uint32_t vuf_ring_base(const struct vuf_ring *r)
{
	uint32_t at;

	if (!r->conf.packed)
		return (uint16_t)r->used_pos;
	at = (uint32_t)(r->used_pos % r->conf.size);
	if (!((r->used_pos / r->conf.size) & 1))
		at |= 0x8000;
	return at | at << 16;
}

void *slot_table(struct vuf_ring *r, struct vuf_slot *s, unsigned int n)
{
	uint32_t cap = TABLE_MIN;

	if (n <= s->table_cap)
		return s->table;
	while (cap < n)
		cap *= 2;
	vuf_mem_free(r->mem, s->table, s->table_cap * 16u);
	s->table_cap = 0;
	s->table = vuf_mem_alloc(r->mem, cap * 16u, 16, NULL);
	if (s->table)
		s->table_cap = cap;
	return s->table;
}

uint64_t segs_room(const struct vuf_seg *seg, unsigned int n)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < n; i++)
		if (seg[i].write)
			sum += seg[i].len;
	return sum;
}

int vuf_ring_add(struct vuf_ring *r, const struct vuf_seg *seg, unsigned int n, void *token)
{
	if (!n || !token)
		return -EINVAL;
	return r->conf.packed ? packed_add(r, seg, n, token) : split_add(r, seg, n, token);
}

int vuf_ring_raw(struct vuf_ring *r, const struct vring_desc *d, unsigned int n, uint16_t at,
		 void *token)
{
	if (!n || !token)
		return -EINVAL;
	return r->conf.packed ? packed_raw(r, d, n, at, token) : split_raw(r, d, n, at, token);
}

bool vuf_ring_kick(struct vuf_ring *r)
{
	if (!(r->conf.packed ? packed_publish(r) : split_publish(r)))
		return false;
	fd_signal(r->kick_fd);
	r->kicks++;
	return true;
}

void vuf_ring_kick_force(struct vuf_ring *r)
{
	if (vuf_ring_kick(r))
		return;
	fd_signal(r->kick_fd);
	r->kicks++;
}

int vuf_ring_get(struct vuf_ring *r, void **ret_token, uint32_t *ret_len)
{
	return r->conf.packed ? packed_get(r, ret_token, ret_len)
			      : split_get(r, ret_token, ret_len);
}

bool vuf_ring_pending(const struct vuf_ring *r)
{
	return r->conf.packed ? packed_pending(r) : split_pending(r);
}

bool vuf_ring_arm(struct vuf_ring *r, unsigned int n)
{
	n = MAX(MIN(n, r->nout), 1u);
	if (r->conf.packed)
		packed_arm(r, n);
	else
		split_arm(r, n);
	/* The wish must be visible before we look for what came meanwhile. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return vuf_ring_pending(r);
}

void vuf_ring_disarm(struct vuf_ring *r)
{
	if (r->conf.packed)
		packed_disarm(r);
	else
		split_disarm(r);
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000ll + ts.tv_nsec / 1000000;
}

int vuf_ring_wait(struct vuf_ring *r, unsigned int n, int timeout_ms)
{
	int64_t deadline = now_ms() + timeout_ms;

	while (!vuf_ring_arm(r, n)) {
		struct pollfd pfd[3] = {
			{.fd = r->call_fd, .events = POLLIN},
			{.fd = r->err_fd, .events = POLLIN},
			{.fd = r->watch_fd, .events = 0},
		};
		int64_t left = deadline - now_ms();

		if (left <= 0)
			return -ETIMEDOUT;
		if (poll(pfd, 3, (int)left) < 0 && errno != EINTR)
			return -errno;
		if (pfd[0].revents & POLLIN) {
			fd_drain(r->call_fd);
			r->calls++;
		} else if (pfd[1].revents & POLLIN) {
			return -EPROTO;
		} else if (pfd[2].revents) {
			return -ECONNRESET;
		}
	}
	return 0;
}

bool vuf_ring_broken(struct vuf_ring *r)
{
	struct pollfd pfd = {.fd = r->err_fd, .events = POLLIN};
	bool broken = poll(&pfd, 1, 0) == 1;

	/* Not without having seen it: it may have come since. */
	if (broken)
		fd_drain(r->err_fd);
	return broken;
}
