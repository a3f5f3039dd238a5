// SPDX-License-Identifier: Apache-2.0
/* Descriptor chains that no honest driver makes, and what must come of them. */
/*
 * Theory of operation
 *
 * Each row carries a GETATTR of the root, cut up or spoiled. What the ring's rules forbid breaks the queue;
 * an address outside memory is the request's own affair; lengths of zero are passed over.
 */
#include "hz.h"

#define W    VRING_DESC_F_WRITE
#define NX   VRING_DESC_F_NEXT
#define IND  VRING_DESC_F_INDIRECT
#define ASK  56u /* bytes of the GETATTR */
#define ROOM 120u
#define LAST                      \
	{                         \
		A_OUT, ROOM, W, 0 \
	}
#define FIRST                    \
	{                        \
		A_IN, ASK, NX, 0 \
	}
/* Of tables, where links are told: split by its next, packed by its place. */
#define T_ASK                    \
	{                        \
		A_IN, ASK, NX, 1 \
	}
#define T_OUT                     \
	{                         \
		A_OUT, ROOM, W, 0 \
	}

static struct vuf_ring *ring(const struct hz *h)
{
	return &h->f->v->ring[1];
}

static void head_that_is_none(struct hz *h)
{
	vuf_ring_offer(ring(h), ring(h)->conf.size);
}

static void head_of_65535(struct hz *h)
{
	vuf_ring_offer(ring(h), UINT16_MAX);
}

static void index_that_runs_ahead(struct hz *h)
{
	ring(h)->avail_pos += ring(h)->conf.size + 1;
}

static void index_that_runs_back(struct hz *h)
{
	ring(h)->avail_pos -= 1;
}

/* Next to next, all around the ring, which is in its first lap. */
static void a_chain_without_end(struct hz *h)
{
	struct vuf_ring *r;

	hz_reset(h);
	r = ring(h);

	for (unsigned int i = 0; i < r->conf.size; i++)
		r->pdesc[i] = (struct vring_packed_desc){
			.addr = h->io_gpa, .len = 1, .flags = 1u << 7 | NX};
}

/* clang-format off */
const struct hz_chain hz_chains[] = {
	/* Honest, to know that the table works. */
	{"as it should be", 2, {FIRST, LAST}, .want = 0},
	{"as it should be, in a table", 1, {{A_TABLE, 32, IND, 0}}, 2, {T_ASK, T_OUT}, .want = 0},
	{"cut into single bytes and an empty one", 5, {{A_IN, 16, NX, 0}, {A_IN + 16, 0, NX, 0}, {A_IN + 16, 40, NX, 0}, {A_OUT, 1, NX | W, 0}, {A_OUT + 1, 119, W, 0}}, .want = 0},

	/* Lengths. */
	{"nothing at all", 1, {{A_IN, 0, 0, 0}}, .want = HZ_SILENT},
	{"nothing to write", 1, {{A_OUT, 0, W, 0}}, .want = HZ_SILENT},
	{"no request, room for a reply", 1, {LAST}, .want = HZ_FAILS},
	{"a request, no room", 1, {{A_IN, ASK, 0, 0}}, .want = HZ_SILENT},
	{"room of 8 bytes", 2, {FIRST, {A_OUT, 8, W, 0}}, .want = HZ_SILENT},
	{"room of 15 bytes", 2, {FIRST, {A_OUT, 15, W, 0}}, .want = HZ_SILENT},
	{"room of 16 bytes", 2, {FIRST, {A_OUT, 16, W, 0}}, .want = -EIO},
	{"room of 119 bytes", 2, {FIRST, {A_OUT, 119, W, 0}}, .want = -EIO},
	{"4 GiB to read", 2, {{A_IN, UINT32_MAX - 255, NX, 0}, LAST}, .want = -EFAULT},
	{"4 GiB to write", 2, {FIRST, {A_OUT, UINT32_MAX - 255, W, 0}}, .want = HZ_SILENT},
	{"more than 4 GiB", 3, {FIRST, {A_OUT, UINT32_MAX, W | NX, 0}, {A_OUT, UINT32_MAX, W, 0}}, .want = HZ_BROKEN},

	/* Addresses. */
	{"a request in no memory", 2, {{A_HOLE, ASK, NX, 0}, LAST}, .want = -EFAULT},
	{"a reply in no memory", 2, {FIRST, {A_HOLE, ROOM, W, 0}}, .want = HZ_SILENT},
	{"both in no memory", 2, {{A_HOLE, ASK, NX, 0}, {A_HOLE, ROOM, W, 0}}, .want = HZ_SILENT},
	{"a request over the edge of memory", 2, {{A_EDGE, ASK, NX, 0}, LAST}, .want = -EFAULT},
	{"a reply over the edge of memory", 2, {FIRST, {A_EDGE, ROOM, W, 0}}, .want = HZ_SILENT},
	{"a reply's end in no memory", 3, {FIRST, {A_OUT, 16, W | NX, 0}, {A_HOLE, 104, W, 0}}, .want = -EFAULT},
	{"a request that wraps", 2, {{UINT64_MAX - 15, ASK, NX, 0}, LAST}, .want = -EFAULT},
	{"a reply that wraps", 2, {FIRST, {UINT64_MAX - 15, ROOM, W, 0}}, .want = HZ_SILENT},
	{"a request at 2^64-1", 2, {{UINT64_MAX, 1, NX, 0}, LAST}, .want = -EFAULT},

	/* Order and links. */
	{"readable after writable", 2, {{A_OUT, ROOM, NX | W, 0}, {A_IN, ASK, 0, 0}}, .want = HZ_BROKEN},
	{"readable between writable", 3, {{A_OUT, 16, NX | W, 0}, {A_IN, ASK, NX, 0}, {A_OUT, 16, W, 0}}, .want = HZ_BROKEN},
	{"a link to 65535", 1, {{A_IN, 1, NX, 0xffff}}, .split_only = true, .want = HZ_BROKEN},
	{"a link out of the ring", 1, {{A_IN, 1, NX, 128}}, .split_only = true, .want = HZ_BROKEN},
	{"a loop of two", 2, {{A_IN, 1, NX, 1}, {A_IN, 1, NX, 1}}, .split_only = true, .want = HZ_BROKEN},
	{"a loop of writable ones", 3, {FIRST, {A_OUT, 16, W | NX, 2}, {A_OUT, 16, W | NX, 1}}, .split_only = true, .want = HZ_BROKEN},
	{"a loop of empty ones", 2, {{A_IN, 0, NX, 1}, {A_IN, 0, NX, 1}}, .split_only = true, .want = HZ_BROKEN},
	{"a link that is cut off", 1, {{A_IN, ASK, NX, 100}}, .split_only = true, .want = HZ_SILENT},
	{"a chain all around", 0, .twist = a_chain_without_end, .packed_only = true, .want = HZ_BROKEN},
	{"a head that is none", 0, .twist = head_that_is_none, .split_only = true, .want = HZ_BROKEN},
	{"head 65535", 0, .twist = head_of_65535, .split_only = true, .want = HZ_BROKEN},
	{"an index that runs ahead", 0, .twist = index_that_runs_ahead, .split_only = true, .want = HZ_BROKEN},
	{"an index that runs back", 0, .twist = index_that_runs_back, .split_only = true, .want = HZ_BROKEN},

	/* Tables. */
	{"a table of no bytes", 1, {{A_TABLE, 0, IND, 0}}, .want = HZ_BROKEN},
	{"a table of half an entry", 1, {{A_TABLE, 24, IND, 0}}, 1, {{A_IN, ASK, 0, 0}}, .want = HZ_BROKEN},
	{"a table of 8 bytes", 1, {{A_TABLE, 8, IND, 0}}, .want = HZ_BROKEN},
	{"a table of 4 GiB", 1, {{A_TABLE, 0xfffffff0u, IND, 0}}, .want = HZ_ANY, .split_only = true},
	{"a table in a table", 1, {{A_TABLE, 32, IND, 0}}, 2, {{A_TABLE, 32, IND, 0}, T_OUT}, .want = HZ_BROKEN},
	{"a table in a table, linked", 1, {{A_TABLE, 32, IND, 0}}, 2, {{A_IN, ASK, NX, 1}, {A_TABLE, 16, IND, 0}}, .want = HZ_BROKEN},
	{"a table and a link", 2, {{A_TABLE, 32, IND | NX, 0}, LAST}, 1, {T_ASK}, .want = HZ_BROKEN},
	{"a table in no memory", 1, {{A_HOLE, 32, IND, 0}}, .want = HZ_SILENT},
	{"a table that wraps", 1, {{UINT64_MAX - 15, 32, IND, 0}}, .want = HZ_SILENT},
	{"a table over the edge of memory", 1, {{A_EDGE, 32, IND, 0}}, .want = HZ_SILENT},
	{"a table that links out of it", 1, {{A_TABLE, 32, IND, 0}}, 2, {{A_IN, ASK, NX, 2}, T_OUT}, .split_only = true, .want = HZ_BROKEN},
	{"a table that links to itself", 1, {{A_TABLE, 32, IND, 0}}, 2, {{A_IN, 1, NX, 0}, T_OUT}, .split_only = true, .want = HZ_BROKEN},
	{"a table that loops over nothing", 1, {{A_TABLE, 32, IND, 0}}, 2, {{A_IN, 0, NX, 1}, {A_IN, 0, NX, 0}}, .split_only = true, .want = HZ_BROKEN},
	{"a table with readable after writable", 1, {{A_TABLE, 32, IND, 0}}, 2, {{A_OUT, ROOM, W | NX, 1}, {A_IN, ASK, 0, 0}}, .want = HZ_BROKEN},
	{"a table with an entry in no memory", 1, {{A_TABLE, 32, IND, 0}}, 2, {{A_HOLE, ASK, NX, 1}, T_OUT}, .want = -EFAULT},
	{"a table with more than 4 GiB", 1, {{A_TABLE, 48, IND, 0}}, 3, {T_ASK, {A_OUT, UINT32_MAX, W | NX, 2}, {A_OUT, UINT32_MAX, W, 0}}, .want = HZ_BROKEN},
	{"a table that is to be written", 1, {{A_TABLE, 32, IND | W, 0}}, 2, {T_ASK, T_OUT}, .want = HZ_ANY},
	{"flags that mean nothing", 2, {{A_IN, ASK, NX | 0x40, 0}, {A_OUT, ROOM, W | 0x40, 0}}, .want = HZ_ANY},
};
/* clang-format on */

const unsigned int hz_nchains = ARRAY_SIZE(hz_chains);
