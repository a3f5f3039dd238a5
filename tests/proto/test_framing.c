// SPDX-License-Identifier: Apache-2.0
/* Any framing of a request: how it is cut into descriptors is the driver's business. */
/*
 * Theory of operation
 *
 * The same few operations, small and large, run through every way to cut them up that is listed
 * here, through the ring itself and through indirect tables, and give the same replies. Then buffers
 * that straddle two regions of guest memory, and descriptors that are outside of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/xattr.h>

#include "fx.h"
#include "fz.h"
#include "util.h"

#define MIB (1u << 20)

static const struct fx_opts long_rings = {.vuf = {.ring_size = 1024}, .args = {"--xattr"}};

static const uint32_t one[] = {1}, rest[] = {VUF_REST}, sevens[] = {7}, sixteen[] = {16},
		      early[] = {15, 2, VUF_REST}, late[] = {39, 2, VUF_REST},
		      crumbs[] = {1, 1, 1, 38, VUF_REST}, growing[] = {1, 2, 4, 8, 16, 32, 64, 128},
		      pages[] = {40, 4096}, tail[] = {16, 100, 1, 4096},
		      apart[] = {40, 16, VUF_REST}, by_half[] = {8, VUF_REST};

#define CUTS(in, out)                                    \
	{                                                \
		in, ARRAY_SIZE(in), out, ARRAY_SIZE(out) \
	}

static const struct vuf_framing framings[] = {
	CUTS(rest, rest),     CUTS(apart, rest),   CUTS(early, early), CUTS(late, by_half),
	CUTS(crumbs, crumbs), CUTS(one, rest),     CUTS(rest, one),    CUTS(sevens, sevens),
	CUTS(sixteen, one),   CUTS(growing, late), CUTS(pages, tail),  CUTS(one, sixteen),
	CUTS(late, growing),  CUTS(apart, early),  CUTS(growing, one),
};

/* A little of everything, through whatever framing f->q has. */
static void operations(struct fx *f, size_t data)
{
	uint8_t bytes[4096], got[4096];
	struct fuse_entry_out e;
	struct fuse_open_out o;
	struct fz_entry_open c;
	struct fuse_attr_out a;
	char target[4096];

	for (size_t i = 0; i < data; i++)
		bytes[i] = (uint8_t)(i * 13 + data);
	assert_int_equal(
		fz_create(f, FUSE_ROOT_ID, "a name of some length", O_CREAT | O_RDWR, 0640, &c), 0);
	fz_entry_is(f, &c.entry, "a name of some length");
	assert_int_equal(fz_write(f, c.entry.nodeid, c.open.fh, 3, bytes, data), data);
	memset(got, 0, sizeof(got));
	assert_int_equal(fz_read(f, c.entry.nodeid, c.open.fh, 3, got, data), data);
	assert_memory_equal(got, bytes, data);
	/* A reply that ends before its room does. */
	assert_int_equal(fz_read(f, c.entry.nodeid, c.open.fh, data, got, data), 3);
	assert_memory_equal(got, bytes + data - 3, 3);
	assert_int_equal(fz_getattr(f, c.entry.nodeid, &a), 0);
	assert_int_equal(a.attr.size, data + 3);
	assert_int_equal(fz_release(f, c.entry.nodeid, c.open.fh), 0);
	assert_int_equal(fz_setxattr(f, c.entry.nodeid, "user.name", bytes, 300, 0), 0);
	assert_int_equal(fz_getxattr(f, c.entry.nodeid, "user.name", got, 400), 300);
	assert_memory_equal(got, bytes, 300);
	assert_int_equal(fz_symlink(f, FUSE_ROOT_ID, "link", "the target of a link", &e), 0);
	assert_int_equal(fz_call(f, FUSE_READLINK, e.nodeid, NULL, 0, target, 20, NULL), 0);
	assert_memory_equal(target, "the target of a link", 20);
	assert_int_equal(fz_opendir(f, FUSE_ROOT_ID, &o), 0);
	assert_true(fz_readdir(f, FUSE_ROOT_ID, o.fh, 0, true, got, 700) > 300);
	assert_int_equal(fz_releasedir(f, FUSE_ROOT_ID, o.fh), 0);
	assert_int_equal(fz_rename(f, FUSE_ROOT_ID, "link", FUSE_ROOT_ID, "knil", 0), 0);
	assert_int_equal(fz_unlink(f, FUSE_ROOT_ID, "knil"), 0);
	assert_int_equal(fz_unlink(f, FUSE_ROOT_ID, "a name of some length"), 0);
	assert_int_equal(fz_lookup(f, FUSE_ROOT_ID, "knil", &e), -ENOENT);
}

static void every_framing(void **state)
{
	struct fx *f = *state;

	if (setxattr(f->share, "user.probe", "", 0, 0) < 0)
		skip();
	for (unsigned int i = 0; i < ARRAY_SIZE(framings); i++) {
		f->q->framing = &framings[i];
		for (unsigned int min = 0; min < 3; min++) {
			f->v->ring[1].indirect_min = min;
			operations(f, 700);
		}
	}
	f->q->framing = &vuf_framing_linux;
}

/* As Linux frames a large WRITE and READ: a descriptor for each page. */
static void a_descriptor_for_each_page(void **state)
{
	static const uint32_t in[] = {40, 40, 4096}, out[] = {16, 4096},
			      odd[] = {40, 40, 4095, 4097};
	static const struct vuf_framing paged = CUTS(in, out), uneven = CUTS(odd, out);
	static uint8_t bytes[MIB], got[MIB];
	struct fx *f = *state;
	struct fz_entry_open c;

	for (size_t i = 0; i < MIB; i++)
		bytes[i] = (uint8_t)(i >> 4 ^ i);
	assert_int_equal(fz_create(f, FUSE_ROOT_ID, "file", O_CREAT | O_RDWR, 0640, &c), 0);
	for (unsigned int min = 0; min < 3; min += 2) {
		f->v->ring[1].indirect_min = min;
		f->q->framing = &paged;
		assert_int_equal(fz_write(f, c.entry.nodeid, c.open.fh, 0, bytes, MIB), MIB);
		assert_int_equal(fz_read(f, c.entry.nodeid, c.open.fh, 0, got, MIB), MIB);
		assert_memory_equal(bytes, got, MIB);
		f->q->framing = &uneven;
		assert_int_equal(fz_write(f, c.entry.nodeid, c.open.fh, 5, bytes, MIB), MIB);
		assert_int_equal(fz_read(f, c.entry.nodeid, c.open.fh, 5, got, MIB), MIB);
		assert_memory_equal(bytes, got, MIB);
		memset(got, 0, MIB);
	}
	f->q->framing = &vuf_framing_linux;
	assert_int_equal(fz_release(f, c.entry.nodeid, c.open.fh), 0);
}

/* One descriptor over two regions that are neighbours for the guest, and not for the host. */
static void buffers_over_two_regions(void **state)
{
	static const struct vuf_framing whole = CUTS(rest, rest);
	struct fx *f = *state;
	struct vuf_mem *m = &f->v->mem;
	struct vuf_req *q = f->q, saved = *q;
	uint64_t edge = m->region[1].gpa;
	const size_t size = 256 * 1024;

	assert_int_equal(m->region[0].gpa + m->region[0].size, edge);
	q->framing = &whole;
	q->in_cap = q->out_cap = size;
	for (unsigned int at = 8; at < 80; at += 8) {
		/* The edge wanders through the header, the arguments and the data. */
		q->in_gpa = edge - at;
		q->in = vuf_mem_take(m, q->in_gpa, size);
		assert_non_null(q->in);
		operations(f, 700);
		vuf_mem_free(m, q->in, size);
		q->in = saved.in;
		q->in_gpa = saved.in_gpa;
		q->out_gpa = edge - at;
		q->out = vuf_mem_take(m, q->out_gpa, size);
		assert_non_null(q->out);
		operations(f, 700);
		vuf_mem_free(m, q->out, size);
		q->out = saved.out;
		q->out_gpa = saved.out_gpa;
	}
	*q = saved;
}

/* The same at odd addresses, so that the edge cuts through fields. */
static void fields_over_two_regions(void **state)
{
	struct fx *f = *state;
	struct vuf_mem *m = &f->v->mem;
	struct vuf_ring *r = &f->v->ring[1];
	struct vuf_req *q = f->q;
	struct fuse_getattr_in in = {0};
	uint64_t edge = m->region[1].gpa;
	uint8_t *bytes = vuf_mem_take(m, edge - 512, 1024);
	uint32_t room = 16 + sizeof(struct fuse_attr_out), len;
	void *token;

	assert_non_null(bytes);
	for (unsigned int at = 1; at < 200; at += 3) {
		struct vuf_seg seg[] = {
			{.gpa = edge - at, .len = 56},
			{.gpa = edge - at, .len = room, .write = true},
		};
		const struct fuse_attr_out *a = vuf_req_payload(q);

		vuf_req_begin(q, FUSE_GETATTR, FUSE_ROOT_ID);
		vuf_req_add(q, &in, sizeof(in));
		q->unique = ((struct fuse_in_header *)(void *)q->in)->unique;
		q->opcode = FUSE_GETATTR;
		memcpy(bytes + 512 - at, q->in, q->in_len);
		assert_int_equal(vuf_ring_add(r, seg, 2, q), 0);
		vuf_ring_kick(r);
		assert_int_equal(vuf_ring_wait(r, 1, FX_WAIT_MS), 0);
		assert_int_equal(vuf_ring_get(r, &token, &len), 1);
		memcpy(q->out, bytes + 512 - at, room);
		q->used = len;
		assert_int_equal(vuf_req_check(q), 0);
		assert_int_equal(vuf_req_payload_len(q), sizeof(*a));
		assert_int_equal(a->attr.ino, fx_stat(f, ".").st_ino);
	}
	vuf_mem_free(m, bytes, 1024);
}

/* Descriptors of no length hold nothing and do no harm. */
static void descriptors_of_no_length(void **state)
{
	struct fx *f = *state;
	struct vuf_ring *r = &f->v->ring[1];
	struct vuf_req *q = f->q;
	struct fuse_getattr_in in = {0};
	uint32_t room = sizeof(struct fuse_attr_out), len;
	const struct vuf_seg seg[] = {
		{.gpa = q->in_gpa, .len = 0},
		{.gpa = q->in_gpa, .len = 40},
		{.gpa = 1ull << 60, .len = 0},
		{.gpa = q->in_gpa + 40, .len = 16},
		{.gpa = q->out_gpa, .len = 0, .write = true},
		{.gpa = q->out_gpa, .len = 16, .write = true},
		{.gpa = q->out_gpa + 16, .len = room, .write = true},
		{.gpa = q->out_gpa, .len = 0, .write = true},
	};
	void *token;

	for (unsigned int min = 0; min < 3; min += 2) {
		r->indirect_min = min;
		vuf_req_begin(q, FUSE_GETATTR, FUSE_ROOT_ID);
		vuf_req_add(q, &in, sizeof(in));
		q->unique = ((struct fuse_in_header *)(void *)q->in)->unique;
		q->opcode = FUSE_GETATTR;
		assert_int_equal(vuf_ring_add(r, seg, ARRAY_SIZE(seg), q), 0);
		vuf_ring_kick(r);
		assert_int_equal(vuf_ring_wait(r, 1, FX_WAIT_MS), 0);
		assert_int_equal(vuf_ring_get(r, &token, &len), 1);
		q->used = len;
		assert_int_equal(vuf_req_check(q), 0);
		assert_int_equal(vuf_req_error(q), 0);
		assert_int_equal(len, 16 + room);
	}
}

/* An address that is no memory fails its request, with what can be said; the queue goes on. */
static void addresses_outside_memory(void **state)
{
	struct fx *f = *state;
	struct vuf_ring *r = &f->v->ring[1];
	struct vuf_req *q = f->q;
	struct fuse_getattr_in in = {0};
	struct fuse_attr_out a;
	uint64_t hole = 1ull << 31, last = f->v->mem.region[2].gpa + f->v->mem.region[2].size;
	const struct {
		uint64_t gpa;
		uint32_t len;
	} bad[] = {{hole, 16}, {last, 16}, {last - 8, 16}, {UINT64_MAX - 7, 8}, {UINT64_MAX, 16}};

	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		for (unsigned int at = 0; at < 4; at++) {
			struct vuf_seg seg[] = {
				{.gpa = q->in_gpa, .len = 40},
				{.gpa = q->in_gpa + 40, .len = 16},
				{.gpa = q->out_gpa, .len = 16, .write = true},
				{.gpa = q->out_gpa + 16, .len = sizeof(a), .write = true},
			};
			const struct fuse_out_header *h = (void *)q->out;
			uint32_t len;
			void *token;

			vuf_req_begin(q, FUSE_GETATTR, FUSE_ROOT_ID);
			vuf_req_add(q, &in, sizeof(in));
			memset(q->out, 0xff, 16);
			seg[at].gpa = bad[i].gpa;
			seg[at].len = bad[i].len;
			assert_int_equal(vuf_ring_add(r, seg, 4, q), 0);
			vuf_ring_kick(r);
			assert_int_equal(vuf_ring_wait(r, 1, FX_WAIT_MS), 0);
			assert_int_equal(vuf_ring_get(r, &token, &len), 1);
			/* A reply where its header has a place, and where it is known to what. */
			if (at == 1 || at == 3 || len) {
				assert_int_not_equal(at, 2);
				assert_int_equal(len, 16);
				assert_int_equal(h->len, 16);
				assert_int_equal(h->error, -EFAULT);
			}
			if (at == 1 || at == 3)
				assert_int_equal(h->unique,
						 ((struct fuse_in_header *)(void *)q->in)->unique);
			assert_int_equal(fz_getattr(f, FUSE_ROOT_ID, &a), 0);
		}
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		FX_TEST(every_framing, &long_rings),
		FX_TEST(a_descriptor_for_each_page, &long_rings),
		FX_TEST(buffers_over_two_regions, &long_rings),
		FX_TEST(fields_over_two_regions, NULL),
		FX_TEST(descriptors_of_no_length, NULL),
		FX_TEST(addresses_outside_memory, NULL),
	};

	return fx_main(argc, argv, "framing", tests, ARRAY_SIZE(tests));
}
