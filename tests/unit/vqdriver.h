/* SPDX-License-Identifier: Apache-2.0 */
/* The driver's side of a virtqueue, in both formats, over a memory of its own: for tests of vq.h. */
#ifndef CULVERT_TEST_VQDRIVER_H
#define CULVERT_TEST_VQDRIVER_H

#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stdint.h>

#include "gmem.h"
#include "vq.h"

#define DRV_GPA   0x40000000ull  /* the guest's memory: two regions that meet */
#define DRV_HALF  0x800000ull    /* bytes of each */
#define DRV_SIZE  (2 * DRV_HALF) /* bytes of both */
#define DRV_MEET  (DRV_GPA + DRV_HALF)
#define DRV_UVA   0x7f0000000000ull     /* uva - gpa */
#define DRV_DATA  (DRV_MEET + 0x400000) /* where the tests may put what they like */
#define DRV_TABLE 0x1208ull             /* bytes from one indirect table to the next */

struct drv_seg {
	uint64_t gpa;
	uint32_t len;
};

enum drv_how {
	DRV_DIRECT,
	DRV_INDIRECT,
	DRV_MIXED, /* one descriptor and then a table; split rings only */
};

/* Owned by one thread. */
struct drv {
	bool packed;
	bool event_idx;
	uint16_t size;
	int fd;
	uint8_t *mem;
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	struct vring_packed_desc *pdesc;
	struct vring_packed_desc_event *driver_ev;
	struct vring_packed_desc_event *device_ev;
	uint16_t free_ids[VQ_SIZE_MAX]; /* split: descriptors; packed: buffer ids */
	uint16_t nfree_ids;
	uint16_t free_slots; /* descriptors that may be added */
	uint16_t ndesc[VQ_SIZE_MAX];
	uint16_t chain[VQ_SIZE_MAX]; /* split: next descriptor of a chain that is out */
	bool out[VQ_SIZE_MAX];
	uint16_t avail_idx;
	uint16_t kicked_idx; /* avail_idx when a kick was last decided on */
	bool avail_wrap;
	uint16_t used_idx;
	bool used_wrap;
	uint32_t added; /* packed: descriptors since a kick was last decided on */
	uint64_t seed;
};

/* A ring of @size, all zero, its indices at @start (split). */
void drv_init(struct drv *d, bool packed, uint16_t size, bool event_idx, uint16_t start);
void drv_done(struct drv *d);

/* Make @to, whose memory is its own, the driver that @from is; memory is not copied. */
void drv_clone(struct drv *to, const struct drv *from);

/* What the front-end would say of it, and its memory table. */
struct vq_conf drv_conf(const struct drv *d, bool indirect);
struct gmem *drv_gmem(const struct drv *d);

/* The driver's own view of an address. */
void *drv_at(const struct drv *d, uint64_t gpa);

/* The guest physical address of the n-th indirect table. */
uint64_t drv_table(uint16_t n);

/* The id that the next chain will have, when there is room for it. */
uint16_t drv_next_id(const struct drv *d);

/* Make a chain available; returns its id, or -1 when there is no room. */
int drv_add(struct drv *d, const struct drv_seg *segs, unsigned int nread, unsigned int nwrite,
	    enum drv_how how);

/* Whether the device wants a kick for what was added since the last call. */
bool drv_kick(struct drv *d);

/* The next used chain: its id, or -1. */
int drv_get(struct drv *d, uint32_t *ret_len);

/* Ask for notifications, or not. drv_irq_on() returns whether something was used meanwhile. */
bool drv_irq_on(struct drv *d);
void drv_irq_off(struct drv *d);

/* A ring with both ends. */
struct rig {
	struct drv d;
	struct vq vq;
	struct vq_conf conf;
	struct gmem *gm;
};

/* Three buffers of 16 bytes, one behind the other from DRV_DATA on. */
extern const struct drv_seg rig_small[3];

/* Start it, indirect tables allowed. rig_done() stops what still runs. */
void rig_init(struct rig *r, bool packed, uint16_t size, bool event_idx, uint16_t start);
void rig_done(struct rig *r);

/* A chain that must be there; its segments stand in an array that the next call uses again. */
struct vq_chain rig_pop(struct rig *r);

/* Inflight tracking: the region is in the memory of the ring. */
#define RIG_REGION (DRV_GPA + 0x40000)

void *rig_region(const struct rig *r);
void rig_attach(struct rig *r);

/* Make a chain of one to three descriptors available, or a table; its id or -1. */
int rig_add(struct rig *r, uint64_t *seed);

/* Chains that the driver waits for, oldest first. */
struct rig_expect {
	int ids[VQ_SIZE_MAX];
	unsigned int n;
};

/* @id < 0 is accepted and ignored. */
void rig_expect_add(struct rig_expect *e, int id);
void rig_expect_remove(struct rig_expect *e, int id);

/* Take what the device gave back out of @e. */
void rig_get_all(struct rig *r, struct rig_expect *e);

#endif
