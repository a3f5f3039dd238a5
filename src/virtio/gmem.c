// SPDX-License-Identifier: Apache-2.0
/* Guest memory: the regions that the front-end shared, addresses into them, and the dirty log. */
/*
 * Theory of operation
 *
 * A table is an array of regions sorted by guest physical address; it never changes after gmem_with()
 * or gmem_without() has returned it. Regions of several tables share a mapping, which is unmapped
 * with the last table that has it. So readers take no lock: who holds a reference on a table may
 * translate by it and use what it got, in any thread. Only the two reference counts ever change.
 *
 * A mapping covers whole pages of the file (huge pages where the file is made of them); a region is
 * the piece of it that the front-end named, to the byte. Sizes are checked against the file, but it
 * need not keep its size: every mapping is guarded (guard.h), so a touch of what has gone reads zeroes.
 *
 * One region may be a mirror of the DAX window (gmem_mirror.c): what is mapped there changes under the table,
 * and what is not is EFAULT for a system call and a hit of the guard for us.
 *
 * A lookup is a binary search; tables have a handful of regions, up to some hundred with DAX.
 */
#include <errno.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "fd.h"
#include "gmem_internal.h"
#include "guard.h"
#include "util.h"

#define LOG_PAGE_SHIFT 12

static struct gmem *table_alloc(unsigned int count)
{
	struct gmem *gm = calloc(1, sizeof(*gm) + count * sizeof(gm->regions[0]));

	if (gm)
		gm->refs = 1;
	return gm;
}

static void unmap_pages(const struct gmem_mapping *map)
{
	guard_del(map->guard);
	munmap(map->base, map->len);
}

void gmem_mapping_put(struct gmem_mapping *map)
{
	if (atomic_fetch_sub(&map->refs, 1) != 1)
		return;
	unmap_pages(map);
	free(map);
}

struct gmem *gmem_new(void)
{
	return table_alloc(0);
}

struct gmem *gmem_get(struct gmem *gm)
{
	atomic_fetch_add_explicit(&gm->refs, 1, memory_order_relaxed);
	return gm;
}

void gmem_put(struct gmem *gm)
{
	if (!gm || atomic_fetch_sub(&gm->refs, 1) != 1)
		return;
	for (unsigned int i = 0; i < gm->count; i++)
		gmem_mapping_put(gm->regions[i].map);
	free(gm);
}

unsigned int gmem_count(const struct gmem *gm)
{
	return gm->count;
}

/* Whether [offset, offset + size) lies in the file (unless @cut), as far as its kind has a size at all. */
static int check_file(int fd, uint64_t offset, uint64_t size, bool cut)
{
	struct stat st;
	uint64_t end;
	int r;

	if (size == 0 || size > SIZE_MAX / 2 || __builtin_add_overflow(offset, size, &end) ||
	    end > INT64_MAX)
		return -EINVAL;
	r = fd_stat(fd, &st);
	if (r < 0)
		return r;
	return S_ISREG(st.st_mode) && !cut && end > (uint64_t)st.st_size ? -EINVAL : 0;
}

/* seccomp: fstatfs */
size_t gmem_page_size(int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) == 0 && fs.f_type == HUGETLBFS_MAGIC)
		return (size_t)fs.f_bsize;
	return (size_t)sysconf(_SC_PAGESIZE);
}

int gmem_map_pages(int fd, uint64_t offset, uint64_t size, int prot, struct gmem_mapping *ret,
		   uint8_t **ret_at)
{
	size_t page = gmem_page_size(fd);
	size_t pad = (size_t)(offset & (page - 1));
	size_t len = ((size_t)size + pad + page - 1) & ~(page - 1);
	void *base = mmap(NULL, len, prot, MAP_SHARED | MAP_NORESERVE, fd, (off_t)(offset - pad));

	int r;

	if (base == MAP_FAILED)
		return -errno;
	r = guard_add(base, len, page, &ret->guard);
	if (r < 0) {
		munmap(base, len);
		return r;
	}
	madvise(base, len, MADV_DONTDUMP);
	ret->base = base;
	ret->len = len;
	*ret_at = (uint8_t *)base + pad;
	return 0;
}

static int map_region(const struct gmem_conf *conf, int fd, struct gmem_region *ret)
{
	struct gmem_mapping map = {.refs = 1}, *heap;
	bool readonly = false;
	uint8_t *at;
	int r = gmem_map_pages(fd, conf->offset, conf->size, PROT_READ | PROT_WRITE, &map, &at);

	if (r == -EACCES || r == -EPERM) {
		readonly = true;
		r = gmem_map_pages(fd, conf->offset, conf->size, PROT_READ, &map, &at);
	}
	if (r < 0)
		return r;
	heap = malloc(sizeof(*heap));
	if (!heap) {
		unmap_pages(&map);
		return -ENOMEM;
	}
	*heap = map;
	*ret = (struct gmem_region){
		.gpa = conf->gpa,
		.size = conf->size,
		.uva = conf->uva,
		.host = at,
		.map = heap,
		.readonly = readonly,
	};
	return 0;
}

static bool overlap(uint64_t a, uint64_t b, uint64_t size_a, uint64_t size_b)
{
	return a < b ? b - a < size_a : a - b < size_b;
}

static bool conflicts(const struct gmem *gm, const struct gmem_conf *conf)
{
	for (unsigned int i = 0; i < gm->count; i++) {
		const struct gmem_region *r = &gm->regions[i];

		if (r->mirror)
			continue;
		if (overlap(conf->gpa, r->gpa, conf->size, r->size) ||
		    overlap(conf->uva, r->uva, conf->size, r->size))
			return true;
	}
	return false;
}

static void add_copy(struct gmem *to, const struct gmem_region *r)
{
	atomic_fetch_add_explicit(&r->map->refs, 1, memory_order_relaxed);
	to->regions[to->count++] = *r;
}

/* Put @added, whose mapping becomes the table's, and all of @gm into @to; a mirror gives way. */
static void merge(struct gmem *to, const struct gmem *gm, const struct gmem_region *added)
{
	bool done = false;

	for (unsigned int i = 0; i < gm->count; i++) {
		const struct gmem_region *r = &gm->regions[i];

		if (!done && r->gpa > added->gpa) {
			to->regions[to->count++] = *added;
			done = true;
		}
		if (!r->mirror || !overlap(r->gpa, added->gpa, r->size, added->size))
			add_copy(to, r);
	}
	if (!done)
		to->regions[to->count++] = *added;
}

int gmem_with(const struct gmem *gm, const struct gmem_conf *conf, int fd, struct gmem **ret)
{
	struct gmem_region added;
	struct gmem *with;
	uint64_t end;
	int r = check_file(fd, conf->offset, conf->size, conf->cut);

	if (r < 0)
		return r;
	if (__builtin_add_overflow(conf->gpa, conf->size, &end) ||
	    __builtin_add_overflow(conf->uva, conf->size, &end) || conflicts(gm, conf))
		return -EINVAL;
	if (gm->count >= GMEM_REGIONS_MAX)
		return -ENOSPC;
	with = table_alloc(gm->count + 1);
	if (!with)
		return -ENOMEM;
	r = map_region(conf, fd, &added);
	if (r < 0) {
		free(with);
		return r;
	}
	merge(with, gm, &added);
	*ret = with;
	return 0;
}

int gmem_with_mirror(const struct gmem *gm, uint64_t gpa, const struct gmem_mirror *mirror,
		     struct gmem **ret)
{
	struct gmem *without, *with;
	struct gmem_region added;
	uint64_t end;
	int r;

	if (__builtin_add_overflow(gpa, (uint64_t)mirror->map->len, &end))
		return -EINVAL;
	r = gmem_without_mirror(gm, &without);
	if (r < 0)
		return r;
	added = (struct gmem_region){
		.gpa = gpa,
		.size = mirror->map->len,
		.host = mirror->map->base,
		.map = mirror->map,
		.mirror = true,
	};
	for (unsigned int i = 0; r == 0 && i < without->count; i++)
		if (overlap(gpa, without->regions[i].gpa, added.size, without->regions[i].size))
			r = -EINVAL;
	with = r == 0 ? table_alloc(without->count + 1) : NULL;
	if (with) {
		atomic_fetch_add_explicit(&added.map->refs, 1, memory_order_relaxed);
		merge(with, without, &added);
		*ret = with;
	} else if (r == 0) {
		r = -ENOMEM;
	}
	gmem_put(without);
	return r;
}

int gmem_without_mirror(const struct gmem *gm, struct gmem **ret)
{
	struct gmem *without = table_alloc(gm->count);

	if (!without)
		return -ENOMEM;
	for (unsigned int i = 0; i < gm->count; i++)
		if (!gm->regions[i].mirror)
			add_copy(without, &gm->regions[i]);
	*ret = without;
	return 0;
}

int gmem_without(const struct gmem *gm, const struct gmem_conf *conf, struct gmem **ret)
{
	struct gmem *without;
	unsigned int gone;

	for (gone = 0; gone < gm->count; gone++) {
		const struct gmem_region *r = &gm->regions[gone];

		if (r->gpa == conf->gpa && r->size == conf->size && r->uva == conf->uva &&
		    !r->mirror)
			break;
	}
	if (gone == gm->count)
		return -ENOENT;
	without = table_alloc(gm->count - 1);
	if (!without)
		return -ENOMEM;
	for (unsigned int i = 0; i < gm->count; i++)
		if (i != gone)
			add_copy(without, &gm->regions[i]);
	*ret = without;
	return 0;
}

const struct gmem_region *gmem_find(const struct gmem *gm, uint64_t gpa)
{
	const struct gmem_region *r = gm->regions;
	unsigned int low = 0, high = gm->count;

	/* The last one that begins at @gpa or before it. */
	while (low < high) {
		unsigned int mid = (low + high) / 2;

		if (r[mid].gpa <= gpa)
			low = mid + 1;
		else
			high = mid;
	}
	return low > 0 && gpa - r[low - 1].gpa < r[low - 1].size ? &r[low - 1] : NULL;
}

int gmem_gpa_iov(const struct gmem *gm, uint64_t gpa, uint64_t len, bool write, struct iovec *iov,
		 unsigned int max)
{
	const struct gmem_region *r = gmem_find(gm, gpa);
	const struct gmem_region *last = gm->regions + gm->count;
	unsigned int used = 0;

	if (!r)
		return -EFAULT;
	for (;;) {
		uint64_t room = r->size - (gpa - r->gpa), n = MIN(len, room);

		if (write && r->readonly)
			return -EFAULT;
		if (used == max)
			return -E2BIG;
		iov[used].iov_base = r->host + (gpa - r->gpa);
		iov[used].iov_len = (size_t)n;
		used++;
		len -= n;
		if (len == 0)
			return (int)used;
		gpa += n;
		r++;
		if (r == last || r->gpa != gpa)
			return -EFAULT;
	}
}

int gmem_read(const struct gmem *gm, uint64_t gpa, void *buf, size_t len)
{
	uint32_t hits = guard_hits();
	char *to = buf;

	while (len) {
		const struct gmem_region *r = gmem_find(gm, gpa);
		size_t n;

		if (!r)
			return -EFAULT;
		n = (size_t)MIN((uint64_t)len, r->size - (gpa - r->gpa));
		memcpy(to, r->host + (gpa - r->gpa), n);
		to += n;
		gpa += n;
		len -= n;
	}
	/* What is decided upon is the copy: see iov.c. */
	return guard_hits() == hits ? 0 : -EFAULT;
}

const void *gmem_gpa(const struct gmem *gm, uint64_t gpa, uint64_t len)
{
	const struct gmem_region *r = gmem_find(gm, gpa);

	return r && len <= r->size - (gpa - r->gpa) ? r->host + (gpa - r->gpa) : NULL;
}

void *gmem_uva(const struct gmem *gm, uint64_t uva, uint64_t len)
{
	for (unsigned int i = 0; i < gm->count; i++) {
		const struct gmem_region *r = &gm->regions[i];
		uint64_t at = uva - r->uva;

		if (!r->mirror && uva >= r->uva && at < r->size)
			return !r->readonly && len <= r->size - at ? r->host + at : NULL;
	}
	return NULL;
}

int gmem_log_init(struct gmem_log *log, int fd, uint64_t size, uint64_t offset)
{
	struct gmem_mapping map;
	uint8_t *at;
	int r = check_file(fd, offset, size, false);

	if (r == 0)
		r = gmem_map_pages(fd, offset, size, PROT_READ | PROT_WRITE, &map, &at);
	if (r < 0)
		return r;
	*log = (struct gmem_log){
		.base = at, .size = size, .map = map.base, .map_len = map.len, .guard = map.guard};
	return 0;
}

void gmem_log_done(struct gmem_log *log)
{
	if (log->map) {
		guard_del(log->guard);
		munmap(log->map, log->map_len);
	}
	*log = (struct gmem_log){0};
}

void gmem_log_gpa(struct gmem_log *log, uint64_t gpa, uint64_t len)
{
	uint64_t page = gpa >> LOG_PAGE_SHIFT, end;

	if (len == 0)
		return;
	if (__builtin_add_overflow(gpa, len - 1, &end))
		end = UINT64_MAX;
	end = MIN((end >> LOG_PAGE_SHIFT) + 1, log->size * 8);
	while (page < end) {
		unsigned int first = page % 8, bits = (unsigned int)MIN(8 - first, end - page);
		uint8_t mask = (uint8_t)(((1u << bits) - 1) << first);

		__atomic_fetch_or(&log->base[page / 8], mask, __ATOMIC_SEQ_CST);
		page += bits;
	}
}

/* The guest physical address of a host address that came out of this table. */
static const struct gmem_region *find_host(const struct gmem *gm, const uint8_t *at)
{
	for (unsigned int i = 0; i < gm->count; i++) {
		const struct gmem_region *r = &gm->regions[i];

		if (at >= r->host && at < r->host + r->size)
			return r;
	}
	return NULL;
}

void gmem_log_iov(struct gmem_log *log, const struct gmem *gm, const struct iovec *iov,
		  unsigned int cnt, uint64_t len)
{
	for (unsigned int i = 0; i < cnt && len; i++) {
		uint64_t n = MIN(len, (uint64_t)iov[i].iov_len);
		const uint8_t *at = iov[i].iov_base;
		const struct gmem_region *r = find_host(gm, at);

		if (r)
			gmem_log_gpa(log, r->gpa + (uint64_t)(at - r->host), n);
		len -= n;
	}
}
