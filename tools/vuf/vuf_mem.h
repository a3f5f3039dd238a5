/* SPDX-License-Identifier: Apache-2.0 */
/* Guest memory as a front-end has it: regions of memory files with holes between, and an allocator. */
#ifndef CULVERT_VUF_MEM_H
#define CULVERT_VUF_MEM_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VUF_REGIONS_MAX 32u
#define VUF_MEM_SPAN    (1ull << 36) /* guest physical addresses end below this */
#define VUF_PAGE        4096u

/**
 * struct vuf_region - one region.
 * @gpa:    guest physical address, bytes; a multiple of the page.
 * @size:   bytes; a multiple of the page.
 * @offset: bytes into @fd.
 * @uva:    the address that the back end is told as ours: ring addresses are given in these. In the
 *          argument of vuf_mem_add(), 0 means where it is really mapped.
 * @fd:     the memory file. In the argument of vuf_mem_add(), -1 makes a new one of
 *          @offset + @size bytes.
 */
struct vuf_region {
	uint64_t gpa;
	uint64_t size;
	uint64_t offset;
	uint64_t uva;
	int fd;
};

struct vuf_extent;

/**
 * struct vuf_mem - all regions, and what of them is free.
 * @base:    where guest physical address 0 is mapped: gpa and pointer differ by a constant, so a
 *           buffer over two adjacent regions is one piece here. Constant.
 * @region:  the regions. Changed under @lock, by the thread that owns the connection.
 * @nregions: how many. As @region.
 * @lock:    guards the rest, too; a leaf lock.
 * @ext:     free pieces, sorted by address; none lies in two regions.
 * @next:    how many.
 * @cap:     entries allocated.
 */
struct vuf_mem {
	uint8_t *base;
	struct vuf_region region[VUF_REGIONS_MAX];
	unsigned int nregions;
	pthread_mutex_t lock;
	struct vuf_extent *ext;
	size_t next;
	size_t cap;
};

/** vuf_mem_init() - no region yet. 0 or -errno. */
int vuf_mem_init(struct vuf_mem *m);

/** vuf_mem_done() - unmap and close everything; accepts one that is all zero. */
void vuf_mem_done(struct vuf_mem *m);

/**
 * vuf_mem_add() - map one more region; all of it is free, and zero if the file is new.
 * @conf: as described at the struct. A descriptor in it stays the caller's.
 *
 * Returns the region's index, -EINVAL (alignment, beyond VUF_MEM_SPAN), -EEXIST (overlaps another),
 * -ENOSPC (VUF_REGIONS_MAX) or another negative errno. The back end is told by vuf_share_mem() or
 * vuf_add_region().
 */
int vuf_mem_add(struct vuf_mem *m, const struct vuf_region *conf);

/**
 * vuf_mem_drop() - unmap the region at @index; the last one takes its place.
 *
 * Returns 0, -EINVAL, or -EBUSY when a part of it is allocated.
 */
int vuf_mem_drop(struct vuf_mem *m, unsigned int index);

/**
 * vuf_mem_alloc() - take @size bytes (not 0) aligned to @align (a power of two), zeroed.
 * @ret_gpa: their guest physical address; may be NULL.
 *
 * Never over the edge of a region. Returns the bytes, or NULL. Any thread.
 */
void *vuf_mem_alloc(struct vuf_mem *m, size_t size, size_t align, uint64_t *ret_gpa);

/**
 * vuf_mem_take() - take exactly the @size bytes at @gpa, perhaps over the edge of two regions.
 *
 * Returns the bytes (not zeroed), or NULL when not all of them are free. Any thread.
 */
void *vuf_mem_take(struct vuf_mem *m, uint64_t gpa, size_t size);

/** vuf_mem_free() - give back what was allocated or taken, or a part of it. Accepts NULL. */
void vuf_mem_free(struct vuf_mem *m, void *p, size_t size);

/** vuf_mem_avail() - bytes that are free in all. Any thread. */
uint64_t vuf_mem_avail(struct vuf_mem *m);

/** vuf_mem_at() - the bytes at a guest physical address. Touching a hole raises SIGSEGV. */
static inline void *vuf_mem_at(const struct vuf_mem *m, uint64_t gpa)
{
	return m->base + gpa;
}

/** vuf_mem_gpa() - the guest physical address of what is at @p. */
static inline uint64_t vuf_mem_gpa(const struct vuf_mem *m, const void *p)
{
	return (uint64_t)((const uint8_t *)p - m->base);
}

/** vuf_mem_uva() - the address of @gpa as the back end is told it; 0 when it is in no region. */
uint64_t vuf_mem_uva(const struct vuf_mem *m, uint64_t gpa);

#endif
