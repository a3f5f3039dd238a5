// SPDX-License-Identifier: Apache-2.0
/* Fuzzing target: a virtqueue, split or packed, whose driver does anything and whose memory changes. */
/*
 * Theory of operation
 *
 * The input is the ring's description and a program of steps of both sides: the driver adds chains that are
 * honest but for what the input spoils, writes anywhere into the rings, takes its index anywhere; the device
 * takes chains, gives them back in any order, asks for kicks, stops, starts, finds its memory changed, or is
 * one that comes after a crash and finds the region of inflight tracking, in which anything may stand, too.
 *
 * Guest memory is three regions: the rings and data, data that meets them and lies elsewhere in the host, and
 * beyond a hole some that may only be read. What must hold: every segment of a chain that was taken lies in
 * one of them and, if it is to be written, not in the last; no chain has more than it may; no head is taken
 * twice; and of a split ring the device writes nothing but the used ring.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_ring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "gmem.h"
#include "util.h"
#include "vq.h"
#include "vq_inflight.h"

#define A_GPA  0x10000u /* the rings, then data */
#define A_SIZE 0x20000u
#define B_GPA  0x30000u
#define B_SIZE 0x10000u
#define C_GPA  0x80000u /* for reading */
#define C_SIZE 0x4000u
#define UVA    0x7f0000000000ull

#define DESC     0x0u /* offsets into region A */
#define DRIVER   0x4000u
#define DEVICE   0x5000u
#define RINGS    0x8000u /* bytes of all */
#define TABLES   0x8000u
#define DATA     0x10000u
#define HELD_MAX 48u
#define LOG_SIZE 8u

struct held {
	struct vq_chain chain;
	struct gmem *gm;
	uint64_t room;
};

static uint8_t *mem, *mem_c; /* regions A and B; region C */
static struct gmem *all, *part;
static struct gmem_log dirty;

static struct vq vq;
static struct vq_conf conf;
static struct held held[HELD_MAX];
static unsigned int n_held;
static uint8_t shadow[DEVICE]; /* what the driver wrote into its areas of a split ring */
static void *region;
static size_t region_size;
static struct {
	uint16_t slot, avail;
	bool wrap;
} drv;

static struct gmem *with(struct gmem *gm, int fd, uint64_t gpa, uint64_t size, uint64_t offset)
{
	const struct gmem_conf c = {.gpa = gpa, .size = size, .uva = gpa + UVA, .offset = offset};
	struct gmem *more = NULL;

	MUST(gmem_with(gm, &c, fd, &more) == 0);
	return more;
}

void target_init(void)
{
	int fd = memfd_create("ring", MFD_CLOEXEC), fd_c = memfd_create("rom", MFD_CLOEXEC);
	int fd_log = memfd_create("log", MFD_CLOEXEC), ro;
	struct gmem *empty = gmem_new(), *both;
	char path[40];

	MUST(ftruncate(fd, A_SIZE + B_SIZE) == 0 && ftruncate(fd_c, C_SIZE) == 0);
	MUST(ftruncate(fd_log, 4096) == 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd_c);
	ro = open(path, O_RDONLY | O_CLOEXEC);
	MUST(ro >= 0);
	/* B comes first in the file: what meets in the guest does not in the host. */
	part = with(empty, fd, A_GPA, A_SIZE, B_SIZE);
	both = with(part, fd, B_GPA, B_SIZE, 0);
	all = with(both, ro, C_GPA, C_SIZE, 0);
	gmem_put(empty);
	gmem_put(both);
	mem = gmem_uva(all, A_GPA + UVA, A_SIZE);
	mem_c = (uint8_t *)(uintptr_t)gmem_gpa(all, C_GPA, C_SIZE);
	MUST(mem && mem_c);
	MUST(gmem_log_init(&dirty, fd_log, LOG_SIZE, 0) == 0);
}

/* By the driver, into region A. */
static void poke(uint32_t at, const void *bytes, size_t len)
{
	MUST(at + len <= A_SIZE);
	memcpy(mem + at, bytes, len);
	if (at + len <= sizeof(shadow))
		memcpy(shadow + at, bytes, len);
	else if (at < sizeof(shadow))
		memcpy(shadow + at, bytes, sizeof(shadow) - at);
}

static uint64_t any_address(struct feed *f)
{
	switch (feed_below(f, 8)) {
	case 0:
		return feed_odd64(f);
	case 1:
		return A_GPA + feed_u16(f);
	case 2:
		return B_GPA - feed_u8(f);
	case 3:
		return B_GPA + B_SIZE - feed_u8(f);
	case 4:
		return C_GPA + feed_u16(f) % C_SIZE;
	default:
		return A_GPA + DATA + feed_u16(f);
	}
}

static uint32_t any_len(struct feed *f)
{
	if (feed_one_in(f, 8))
		return (uint32_t)feed_odd64(f);
	return feed_u8(f) << feed_below(f, 3) * 4;
}

/* ---- the driver ---- */

static void put_desc(uint32_t at, bool in_table, uint64_t addr, uint32_t len, uint16_t flags,
		     uint16_t next)
{
	if (conf.packed) {
		struct vring_packed_desc d = {addr, len, next, flags};

		if (!in_table)
			d.flags |= 1u << (drv.wrap ? VRING_PACKED_DESC_F_AVAIL
						   : VRING_PACKED_DESC_F_USED);
		poke(at, &d, sizeof(d));
	} else {
		struct vring_desc d = {addr, len, flags, next};

		poke(at, &d, sizeof(d));
	}
}

/* The next slot of the ring that a descriptor goes to. */
static uint16_t next_slot(void)
{
	uint16_t slot = drv.slot;

	if (++drv.slot >= conf.size) {
		drv.slot = 0;
		drv.wrap ^= conf.packed;
	}
	return slot;
}

static void make_available(uint16_t head)
{
	if (conf.packed)
		return;
	poke(DRIVER + 4 + drv.avail % conf.size * 2u, &head, 2);
	drv.avail++;
	poke(DRIVER + 2, &drv.avail, 2);
}

static void add_chain(struct feed *f)
{
	uint8_t how = feed_u8(f);
	unsigned int n = 1 + (how & 3), nread = feed_below(f, n + 1);
	bool indirect = how & 4;
	uint32_t table = TABLES + (how >> 3 & 3) * 0x1208u;
	uint16_t head = drv.slot;

	if (feed_one_in(f, 16))
		n = feed_u8(f);
	for (unsigned int i = 0; i < n; i++) {
		uint16_t flags = i < nread ? 0 : VRING_DESC_F_WRITE, next = 0;
		uint32_t at;

		if (i + 1 < n)
			flags |= VRING_DESC_F_NEXT;
		if (feed_one_in(f, 16))
			flags ^= feed_u8(f);
		if (indirect) {
			at = table + i * 16;
			next = (uint16_t)(i + 1);
		} else {
			bool wrap = drv.wrap;

			at = DESC + next_slot() * 16u;
			next = conf.packed ? head : drv.slot;
			/* The bits are those of the lap that the slot is in. */
			if (wrap != drv.wrap) {
				drv.wrap = wrap;
				put_desc(at, false, any_address(f), any_len(f), flags, next);
				drv.wrap = !wrap;
				continue;
			}
		}
		put_desc(at, indirect, any_address(f), any_len(f), flags, next);
	}
	if (indirect) {
		bool wrap = drv.wrap;
		uint32_t len = n * 16, at = DESC + next_slot() * 16u;

		if (feed_one_in(f, 16))
			len = any_len(f);
		if (wrap != drv.wrap && conf.packed) {
			drv.wrap = wrap;
			put_desc(at, false, A_GPA + table, len, VRING_DESC_F_INDIRECT, head);
			drv.wrap = !wrap;
		} else {
			put_desc(at, false, A_GPA + table, len, VRING_DESC_F_INDIRECT, head);
		}
	}
	make_available(head);
}

static void scribble(struct feed *f)
{
	uint32_t at = feed_u16(f) % (RINGS + 0x4000);
	uint8_t bytes[8];
	size_t len = 1u << feed_below(f, 4);

	/* Where it matters most. */
	switch (feed_below(f, 4)) {
	case 0:
		at = DRIVER + at % 8;
		break;
	case 1:
		at = DEVICE + at % 8;
		break;
	default:
		break;
	}
	feed_bytes(f, bytes, len);
	poke(at, bytes, len);
}

/* ---- the device ---- */

static bool within(const struct iovec *iov, const uint8_t *base, size_t size)
{
	const uint8_t *at = iov->iov_base;

	return at >= base && at - base <= (ptrdiff_t)size &&
	       iov->iov_len <= size - (size_t)(at - base);
}

static void look_at(const struct held *h)
{
	uint8_t *b = gmem_uva(all, B_GPA + UVA, B_SIZE);
	uint64_t total = 0;
	unsigned int n = h->chain.nread + h->chain.nwrite;

	MUST(n <= h->chain.max);
	for (unsigned int i = 0; i < n; i++) {
		const struct iovec *iov = &h->chain.iov[i];
		bool written = i >= h->chain.nread;

		MUST(iov->iov_len > 0);
		MUST(within(iov, mem, A_SIZE) || within(iov, b, B_SIZE) ||
		     (!written && within(iov, mem_c, C_SIZE)));
		total += iov->iov_len;
	}
	MUST(total <= 1ull << 32);
	for (unsigned int i = 0; i < n_held; i++)
		MUST(conf.packed || held[i].chain.id != h->chain.id ||
		     held[i].chain.start != h->chain.start);
}

static void drop(unsigned int i)
{
	free(held[i].chain.iov);
	gmem_put(held[i].gm);
	held[i] = held[--n_held];
}

static bool pop(struct feed *f)
{
	struct held *h = &held[n_held];
	unsigned int max = VQ_CHAIN_IOV(conf.size);
	bool broken = vq.broken;
	int r;

	if (n_held == HELD_MAX)
		return false;
	if (feed_one_in(f, 16))
		max = 1 + feed_u8(f) % max;
	*h = (struct held){.chain = {.iov = malloc(max * sizeof(struct iovec)), .max = max}};
	MUST(h->chain.iov);
	r = vq_pop(&vq, &h->chain);
	MUST(r == 1 || r == 0 || r == -EPROTO);
	MUST(r != -EPROTO || vq.broken);
	MUST(!broken || r != 1);
	if (r != 1) {
		free(h->chain.iov);
		return false;
	}
	look_at(h);
	for (unsigned int i = 0; i < h->chain.nwrite; i++)
		h->room += h->chain.iov[h->chain.nread + i].iov_len;
	h->gm = gmem_get(vq.gm);
	n_held++;
	MUST(vq.in_use <= conf.size);
	return true;
}

static void push(struct feed *f)
{
	unsigned int i;
	uint64_t written;

	if (!n_held)
		return;
	i = feed_below(f, 256) % n_held;
	written = feed_u8(f) & 1 ? held[i].room : feed_u16(f);
	vq_push(&vq, &held[i].chain, (uint32_t)MIN(MIN(written, held[i].room), UINT32_MAX),
		held[i].gm);
	drop(i);
}

static void attach(void)
{
	if (!vq.running || vq.infl || n_held)
		return;
	if (!region) {
		region_size = vq_inflight_size(conf.size, conf.packed);
		region = calloc(1, region_size);
		MUST(region);
	}
	vq_inflight_attach(&vq, region, region_size);
}

static void start(struct feed *f)
{
	int r;

	if (feed_one_in(f, 8))
		conf.base = feed_u32(f);
	r = vq_start(&vq, &conf, feed_one_in(f, 8) ? part : all);
	MUST(r == 0 || r == -EINVAL || r == -EFAULT);
	vq.log = feed_one_in(f, 4) ? &dirty : NULL;
}

static void stop(struct feed *f)
{
	uint8_t *copy = NULL;

	if (!vq.running)
		return;
	/* As if the process had ended: nothing was taken out of the region. */
	if (vq.infl && feed_one_in(f, 2)) {
		copy = malloc(region_size);
		MUST(copy);
		memcpy(copy, region, region_size);
	}
	conf.base = vq_stop(&vq);
	MUST(!vq.running && !vq.infl);
	if (copy)
		memcpy(region, copy, region_size);
	free(copy);
	/* What is away comes back later, or never. */
	while (n_held && feed_one_in(f, 2))
		drop(n_held - 1);
}

static void step(struct feed *f)
{
	unsigned int what = feed_below(f, 20);

	if (!vq.running && what >= 4 && what < 16) {
		start(f);
		return;
	}
	switch (what) {
	case 0:
	case 1:
	case 2:
		add_chain(f);
		break;
	case 3:
		scribble(f);
		break;
	case 4:
	case 5:
	case 6:
	case 7:
		for (unsigned int n = 1 + feed_below(f, 4); n && pop(f); n--)
			;
		break;
	case 8:
	case 9:
	case 10:
		push(f);
		break;
	case 11:
	case 12:
		vq_flush(&vq);
		break;
	case 13:
		vq_kicks_on(&vq, feed_below(f, MIN(vq.conf.size / 2u + 1, 256)));
		break;
	case 14:
		vq_kicks_off(&vq);
		break;
	case 15:
		vq_rebind(&vq, feed_one_in(f, 2) ? part : all);
		break;
	case 16:
		attach();
		break;
	case 17:
		if (region && !feed_one_in(f, 4))
			feed_bytes(f, (uint8_t *)region + feed_u16(f) % (region_size - 8),
				   1u << feed_below(f, 4));
		break;
	case 18:
		drv.avail = feed_u16(f);
		poke(DRIVER + 2, &drv.avail, 2);
		break;
	default:
		stop(f);
		break;
	}
}

void target_run(struct feed *f)
{
	uint8_t flags = feed_u8(f);

	memset(mem, 0, RINGS);
	memset(shadow, 0, sizeof(shadow));
	memset(&drv, 0, sizeof(drv));
	drv.wrap = true;
	conf = (struct vq_conf){
		.packed = flags & 1,
		.event_idx = flags & 2,
		.indirect = flags & 4,
		.log_used = flags & 8,
		.log_gpa = A_GPA + DEVICE,
		.desc = A_GPA + DESC + UVA,
		.driver = A_GPA + DRIVER + UVA,
		.device = A_GPA + DEVICE + UVA,
	};
	conf.size = conf.packed ? 1 + feed_u8(f) : 1u << feed_below(f, 9);
	if (flags & 16)
		conf.size = VQ_SIZE_MAX;
	conf.base = conf.packed ? VQ_BASE_PACKED : 0;
	start(f);
	if (flags & 32)
		attach();
	while (f->left)
		step(f);
	if (!conf.packed)
		MUST(!memcmp(mem, shadow, sizeof(shadow)));
	while (n_held)
		drop(n_held - 1);
	if (vq.running)
		vq_stop(&vq);
	memset(&vq, 0, sizeof(vq));
	free(region);
	region = NULL;
}
