// SPDX-License-Identifier: Apache-2.0
/* Guest memory as a front-end has it. */
/*
 * Theory of operation
 *
 * VUF_MEM_SPAN bytes of address space are reserved, and each region's memory file is mapped into
 * them at its guest physical address. So a pointer and a guest physical address differ by @base
 * alone, a buffer that straddles two adjacent regions is contiguous for us (the back end sees two
 * pieces), and a stray access to a hole ends in SIGSEGV.
 *
 * The allocator is a sorted array of free extents, first fit. What is free is described outside of
 * the shared memory, so nothing that the back end writes can confuse it. Freed extents melt together
 * only inside a region: so rings, which the back end must see as one piece, get one.
 *
 * Threads: regions change only on the thread that owns the connection; alloc and free come from any
 * thread, under @lock.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fd.h"
#include "util.h"
#include "vuf_mem.h"

struct vuf_extent {
	uint64_t gpa;
	uint64_t size;
};

int vuf_mem_init(struct vuf_mem *m)
{
	void *base = mmap(NULL, VUF_MEM_SPAN, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (base == MAP_FAILED)
		return -errno;
	memset(m, 0, sizeof(*m));
	m->base = base;
	pthread_mutex_init(&m->lock, NULL);
	return 0;
}

void vuf_mem_done(struct vuf_mem *m)
{
	if (!m->base)
		return;
	for (unsigned int i = 0; i < m->nregions; i++)
		fd_close(&m->region[i].fd);
	munmap(m->base, VUF_MEM_SPAN);
	free(m->ext);
	pthread_mutex_destroy(&m->lock);
	memset(m, 0, sizeof(*m));
}

/* The region that holds @gpa, or NULL. */
static const struct vuf_region *region_of(const struct vuf_mem *m, uint64_t gpa)
{
	for (unsigned int i = 0; i < m->nregions; i++)
		if (gpa - m->region[i].gpa < m->region[i].size)
			return &m->region[i];
	return NULL;
}

/* Index of the first extent that begins at @gpa or later. */
static size_t ext_after(const struct vuf_mem *m, uint64_t gpa)
{
	size_t lo = 0, hi = m->next;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (m->ext[mid].gpa < gpa)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static int ext_insert(struct vuf_mem *m, size_t i, uint64_t gpa, uint64_t size)
{
	if (m->next == m->cap) {
		size_t cap = m->cap ? 2 * m->cap : 64;
		struct vuf_extent *ext = realloc(m->ext, cap * sizeof(*ext));

		if (!ext)
			return -ENOMEM;
		m->ext = ext;
		m->cap = cap;
	}
	memmove(&m->ext[i + 1], &m->ext[i], (m->next - i) * sizeof(*m->ext));
	m->ext[i] = (struct vuf_extent){gpa, size};
	m->next++;
	return 0;
}

static void ext_remove(struct vuf_mem *m, size_t i)
{
	m->next--;
	memmove(&m->ext[i], &m->ext[i + 1], (m->next - i) * sizeof(*m->ext));
}

/* Take [gpa, gpa + size) out of extent @i, which holds it. */
static int ext_carve(struct vuf_mem *m, size_t i, uint64_t gpa, uint64_t size)
{
	uint64_t before = gpa - m->ext[i].gpa;
	uint64_t after = m->ext[i].size - before - size;

	if (before && after) {
		int r = ext_insert(m, i + 1, gpa + size, after);

		if (r < 0)
			return r;
		m->ext[i].size = before;
	} else if (before) {
		m->ext[i].size = before;
	} else if (after) {
		m->ext[i] = (struct vuf_extent){gpa + size, after};
	} else {
		ext_remove(m, i);
	}
	return 0;
}

/* Give back a piece that lies in one region, and melt it with its neighbours there. */
static int ext_release(struct vuf_mem *m, const struct vuf_region *rg, uint64_t gpa, uint64_t size)
{
	size_t i = ext_after(m, gpa);
	bool left = i > 0 && m->ext[i - 1].gpa + m->ext[i - 1].size == gpa && gpa != rg->gpa;
	bool right = i < m->next && gpa + size == m->ext[i].gpa && gpa + size != rg->gpa + rg->size;

	if (left && right) {
		m->ext[i - 1].size += size + m->ext[i].size;
		ext_remove(m, i);
	} else if (left) {
		m->ext[i - 1].size += size;
	} else if (right) {
		m->ext[i].gpa = gpa;
		m->ext[i].size += size;
	} else {
		return ext_insert(m, i, gpa, size);
	}
	return 0;
}

static int check_new(const struct vuf_mem *m, const struct vuf_region *c)
{
	if (!c->size || (c->gpa | c->size | c->offset) % VUF_PAGE || c->size > VUF_MEM_SPAN ||
	    c->gpa > VUF_MEM_SPAN - c->size)
		return -EINVAL;
	if (m->nregions == VUF_REGIONS_MAX)
		return -ENOSPC;
	for (unsigned int i = 0; i < m->nregions; i++) {
		const struct vuf_region *r = &m->region[i];

		if (c->gpa < r->gpa + r->size && r->gpa < c->gpa + c->size)
			return -EEXIST;
	}
	return 0;
}

/* Make a hole again of where a region is mapped. */
static void unmap(const struct vuf_mem *m, const struct vuf_region *rg)
{
	(void)mmap(m->base + rg->gpa, rg->size, PROT_NONE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}

int vuf_mem_add(struct vuf_mem *m, const struct vuf_region *conf)
{
	struct vuf_region rg = *conf;
	int r = check_new(m, conf);
	scoped_fd int fd = -1;

	if (r < 0)
		return r;
	if (conf->fd < 0) {
		fd = memfd_create("guest memory", MFD_CLOEXEC);
		if (fd < 0 || ftruncate(fd, (off_t)(conf->offset + conf->size)) < 0)
			return -errno;
	} else {
		fd = dup(conf->fd);
		if (fd < 0)
			return -errno;
	}
	if (mmap(m->base + rg.gpa, rg.size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
		 (off_t)rg.offset) == MAP_FAILED)
		return -errno;
	if (!rg.uva)
		rg.uva = (uintptr_t)(m->base + rg.gpa);
	pthread_mutex_lock(&m->lock);
	r = ext_insert(m, ext_after(m, rg.gpa), rg.gpa, rg.size);
	if (r == 0) {
		rg.fd = fd_steal(&fd);
		r = (int)m->nregions;
		m->region[m->nregions++] = rg;
	}
	pthread_mutex_unlock(&m->lock);
	if (r < 0)
		unmap(m, &rg);
	return r;
}

int vuf_mem_drop(struct vuf_mem *m, unsigned int index)
{
	struct vuf_region rg;
	size_t i;
	int r = -EBUSY;

	if (index >= m->nregions)
		return -EINVAL;
	rg = m->region[index];
	pthread_mutex_lock(&m->lock);
	i = ext_after(m, rg.gpa);
	if (i < m->next && m->ext[i].gpa == rg.gpa && m->ext[i].size == rg.size) {
		ext_remove(m, i);
		m->region[index] = m->region[--m->nregions];
		r = 0;
	}
	pthread_mutex_unlock(&m->lock);
	if (r < 0)
		return r;
	unmap(m, &rg);
	fd_close(&rg.fd);
	return 0;
}

void *vuf_mem_alloc(struct vuf_mem *m, size_t size, size_t align, uint64_t *ret_gpa)
{
	uint64_t gpa = 0;
	bool found = false;

	if (!size || !align || (align & (align - 1)))
		return NULL;
	pthread_mutex_lock(&m->lock);
	for (size_t i = 0; i < m->next && !found; i++) {
		const struct vuf_extent *e = &m->ext[i];

		gpa = (e->gpa + align - 1) & ~(uint64_t)(align - 1);
		if (gpa - e->gpa <= e->size && e->size - (gpa - e->gpa) >= size)
			found = ext_carve(m, i, gpa, size) == 0;
	}
	pthread_mutex_unlock(&m->lock);
	if (!found)
		return NULL;
	memset(m->base + gpa, 0, size);
	if (ret_gpa)
		*ret_gpa = gpa;
	return m->base + gpa;
}

/* Whether all of a range is free; under the lock. */
static bool range_is_free(const struct vuf_mem *m, uint64_t gpa, uint64_t size)
{
	uint64_t at = gpa, end = gpa + size;

	for (size_t i = 0; i < m->next && at < end; i++)
		if (at - m->ext[i].gpa < m->ext[i].size)
			at = m->ext[i].gpa + m->ext[i].size;
	return at >= end;
}

void *vuf_mem_take(struct vuf_mem *m, uint64_t gpa, size_t size)
{
	uint64_t at = gpa, end = gpa + size;
	bool ok;

	if (!size || size > VUF_MEM_SPAN || gpa > VUF_MEM_SPAN - size)
		return NULL;
	pthread_mutex_lock(&m->lock);
	ok = range_is_free(m, gpa, size);
	for (size_t i = 0; ok && i < m->next && at < end;) {
		uint64_t stop = MIN(end, m->ext[i].gpa + m->ext[i].size);

		if (at - m->ext[i].gpa >= m->ext[i].size) {
			i++;
			continue;
		}
		ok = ext_carve(m, i, at, stop - at) == 0;
		at = stop;
	}
	pthread_mutex_unlock(&m->lock);
	return ok ? m->base + gpa : NULL;
}

void vuf_mem_free(struct vuf_mem *m, void *p, size_t size)
{
	uint64_t at, end;

	if (!p)
		return;
	at = vuf_mem_gpa(m, p);
	end = at + size;
	pthread_mutex_lock(&m->lock);
	while (at < end) {
		const struct vuf_region *rg = region_of(m, at);
		uint64_t stop;

		/* Out of memory for the list, or no region: what is left is lost until the end. */
		if (!rg)
			break;
		stop = MIN(end, rg->gpa + rg->size);
		if (ext_release(m, rg, at, stop - at) < 0)
			break;
		at = stop;
	}
	pthread_mutex_unlock(&m->lock);
}

uint64_t vuf_mem_avail(struct vuf_mem *m)
{
	uint64_t sum = 0;

	pthread_mutex_lock(&m->lock);
	for (size_t i = 0; i < m->next; i++)
		sum += m->ext[i].size;
	pthread_mutex_unlock(&m->lock);
	return sum;
}

uint64_t vuf_mem_uva(const struct vuf_mem *m, uint64_t gpa)
{
	const struct vuf_region *rg = region_of(m, gpa);

	return rg ? rg->uva + (gpa - rg->gpa) : 0;
}
