// SPDX-License-Identifier: Apache-2.0
/* FUSE requests as a guest's kernel makes them. */
/*
 * Theory of operation
 *
 * A request is two buffers of guest memory that live as long as the caller likes; submitting one
 * allocates nothing, so a load generator can run millions through a few. How the buffers are cut into
 * descriptors is data (struct vuf_framing), not code.
 *
 * What the reply is checked against is kept outside of guest memory (@unique, @opcode, @out_len): a
 * device that overwrites the request cannot make a wrong answer look right.
 *
 * Threads: a request belongs to one, and so does the ring that it is on.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util.h"
#include "vuf_fuse.h"

static const uint32_t linux_in[] = {sizeof(struct fuse_in_header), VUF_REST};
static const uint32_t linux_out[] = {sizeof(struct fuse_out_header), VUF_REST};

const struct vuf_framing vuf_framing_linux = {
	.in = linux_in,
	.nin = ARRAY_SIZE(linux_in),
	.out = linux_out,
	.nout = ARRAY_SIZE(linux_out),
};

struct vuf_req *vuf_req_new(struct vuf *v, size_t in_cap, size_t out_cap)
{
	struct vuf_req *q = calloc(1, sizeof(*q));

	if (!q)
		return NULL;
	q->v = v;
	q->in_cap = MAX(in_cap, sizeof(struct fuse_in_header));
	q->out_cap = MAX(out_cap, sizeof(struct fuse_out_header));
	q->framing = &vuf_framing_linux;
	q->in = vuf_mem_alloc(&v->mem, q->in_cap, 8, &q->in_gpa);
	q->out = vuf_mem_alloc(&v->mem, q->out_cap, 8, &q->out_gpa);
	if (!q->in || !q->out) {
		vuf_req_free(q);
		return NULL;
	}
	return q;
}

void vuf_req_free(struct vuf_req *q)
{
	if (!q)
		return;
	vuf_mem_free(&q->v->mem, q->in, q->in_cap);
	vuf_mem_free(&q->v->mem, q->out, q->out_cap);
	free(q);
}

struct fuse_in_header *vuf_req_begin(struct vuf_req *q, uint32_t opcode, uint64_t nodeid)
{
	struct fuse_in_header *h = (void *)q->in;

	*h = (struct fuse_in_header){
		.len = sizeof(*h),
		.opcode = opcode,
		.unique = atomic_fetch_add_explicit(&q->v->unique, 2, memory_order_relaxed) + 2,
		.nodeid = nodeid,
		.pid = 1,
	};
	q->in_len = sizeof(*h);
	q->out_len = q->out_cap;
	q->done = false;
	return h;
}

void *vuf_req_room(struct vuf_req *q, size_t len)
{
	struct fuse_in_header *h = (void *)q->in;
	void *at = q->in + q->in_len;

	if (len > q->in_cap - q->in_len)
		return NULL;
	q->in_len += len;
	h->len += (uint32_t)len;
	return at;
}

int vuf_req_add(struct vuf_req *q, const void *bytes, size_t len)
{
	void *at = vuf_req_room(q, len);

	if (!at)
		return -ENOSPC;
	if (len)
		memcpy(at, bytes, len);
	return 0;
}

int vuf_req_add_str(struct vuf_req *q, const char *s)
{
	return vuf_req_add(q, s, strlen(s) + 1);
}

void vuf_req_adopt(struct vuf_req *q, size_t len)
{
	q->in_len = MIN(len, q->in_cap);
	q->out_len = q->out_cap;
	q->done = false;
}

/* Cut [gpa, gpa + len) as told; returns the descriptors in all, or -E2BIG. */
static int cut(struct vuf_seg *seg, unsigned int n, uint64_t gpa, size_t len, bool write,
	       const uint32_t *lens, unsigned int nlens)
{
	for (unsigned int i = 0; len; i++) {
		uint32_t want = lens[MIN(i, nlens - 1)];
		uint32_t l = (uint32_t)MIN((size_t)want, len);

		if (n == VUF_SEGS_MAX || !l)
			return -E2BIG;
		seg[n++] = (struct vuf_seg){.gpa = gpa, .len = l, .write = write};
		gpa += l;
		len -= l;
	}
	return (int)n;
}

int vuf_req_submit(struct vuf_req *q, struct vuf_ring *r)
{
	const struct fuse_in_header *h = (const void *)q->in;
	const struct vuf_framing *f = q->framing;
	struct vuf_seg seg[VUF_SEGS_MAX];
	int n = cut(seg, 0, q->in_gpa, q->in_len, false, f->in, f->nin);

	if (n >= 0)
		n = cut(seg, (unsigned int)n, q->out_gpa, q->out_len, true, f->out, f->nout);
	if (n < 0)
		return n;
	q->unique = h->unique;
	q->opcode = h->opcode;
	q->done = false;
	memset(q->out, 0xff, MIN(q->out_len, sizeof(struct fuse_out_header)));
	return vuf_ring_add(r, seg, (unsigned int)n, q);
}

int vuf_req_reap(struct vuf_ring *r, struct vuf_req **ret)
{
	void *token;
	uint32_t used;
	int n = vuf_ring_get(r, &token, &used);

	if (n == 1) {
		struct vuf_req *q = token;

		q->used = used;
		q->done = true;
		*ret = q;
	}
	return n;
}

int vuf_req_wait(struct vuf_req *q, struct vuf_ring *r)
{
	vuf_ring_kick(r);
	while (!q->done) {
		struct vuf_req *other;
		int n = vuf_req_reap(r, &other);

		if (n == 0)
			n = vuf_ring_wait(r, 1, q->v->conf.timeout_ms);
		if (n < 0)
			return n;
	}
	return 0;
}

int vuf_req_check(const struct vuf_req *q)
{
	const struct fuse_out_header *h = (const void *)q->out;

	if (q->opcode == FUSE_FORGET || q->opcode == FUSE_BATCH_FORGET)
		return q->used ? -EPROTO : 0;
	if (q->opcode == FUSE_INTERRUPT && !q->used)
		return 0;
	if (q->used < sizeof(*h) || q->used > q->out_len || h->len != q->used ||
	    h->unique != q->unique)
		return -EPROTO;
	if (h->error > 0 || h->error <= -512 || (h->error && h->len != sizeof(*h)))
		return -EPROTO;
	return 0;
}

int vuf_req_error(const struct vuf_req *q)
{
	return ((const struct fuse_out_header *)(const void *)q->out)->error;
}

size_t vuf_req_payload_len(const struct vuf_req *q)
{
	return q->used < sizeof(struct fuse_out_header) ? 0
							: q->used - sizeof(struct fuse_out_header);
}

int vuf_req_call(struct vuf_req *q, struct vuf_ring *r)
{
	int n = vuf_req_submit(q, r);

	if (n == 0)
		n = vuf_req_wait(q, r);
	if (n == 0)
		n = vuf_req_check(q);
	return n;
}

int vuf_fuse_init(struct vuf *v, uint32_t minor, uint64_t flags, struct fuse_init_out *ret)
{
	struct fuse_init_in in = {
		.major = FUSE_KERNEL_VERSION,
		.minor = minor,
		.max_readahead = 128 * 1024,
	};
	struct vuf_req *q = vuf_req_new(v, 256, 256);
	int r;

	if (!q)
		return -ENOMEM;
	if (flags >> 32)
		flags |= FUSE_INIT_EXT;
	in.flags = (uint32_t)flags;
	in.flags2 = (uint32_t)(flags >> 32);
	vuf_req_begin(q, FUSE_INIT, 0);
	/* Before 7.36 the structure ended with the flags. */
	vuf_req_add(q, &in, minor < 36 ? offsetof(struct fuse_init_in, flags2) : sizeof(in));
	r = vuf_req_call(q, &v->ring[1]);
	/* The device may still hold it: then it stays allocated until the memory goes. */
	if (r < 0 && !q->done)
		return r;
	if (r == 0)
		r = vuf_req_error(q);
	if (r == 0) {
		memcpy(ret, vuf_req_payload(q), sizeof(*ret));
		if (vuf_req_payload_len(q) != sizeof(*ret) || ret->major != FUSE_KERNEL_VERSION)
			r = -EPROTO;
	}
	vuf_req_free(q);
	return r;
}
