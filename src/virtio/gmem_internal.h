/* SPDX-License-Identifier: Apache-2.0 */
/* What a memory table looks like. For the files of this folder only. */
#ifndef CULVERT_GMEM_INTERNAL_H
#define CULVERT_GMEM_INTERNAL_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gmem.h"
#include "util.h"

/* Pages of a file that are mapped. @refs: tables that use it; the rest does not change. */
struct gmem_mapping {
	_Atomic unsigned int refs;
	void *base;
	size_t len;
	struct guard_entry *guard;
};

/* Map the pages around [offset, offset + size); *ret_at is where the first byte is. 0 or -errno. */
int gmem_map_pages(int fd, uint64_t offset, uint64_t size, int prot, struct gmem_mapping *ret,
		   uint8_t **ret_at);

/* Give a reference back; the last one unmaps and frees. */
void gmem_mapping_put(struct gmem_mapping *map);

/*
 * A piece of guest memory. Does not change, and lives as long as its table. @mirror: it is a gmem_mirror,
 * which no ring lies in and which makes room for others.
 */
struct gmem_region {
	uint64_t gpa;
	uint64_t size;
	uint64_t uva;
	uint8_t *host;
	struct gmem_mapping *map;
	bool readonly;
	bool mirror;
};

/* @refs: holders of the table; the rest does not change. @regions: sorted by gpa. */
struct gmem {
	_Atomic unsigned int refs;
	unsigned int count;
	struct gmem_region regions[];
};

/* @map: the range; @hole: an empty file. Constant, but for what is mapped in it. */
struct gmem_mirror {
	struct gmem_mapping *map;
	int hole;
};

/* The region that holds @gpa, or NULL. */
const struct gmem_region *gmem_find(const struct gmem *gm, uint64_t gpa);

/* gmem_gpa() for one who asks again and again: @near is the region that was hit last. */
static inline const void *gmem_near_gpa(const struct gmem *gm, const struct gmem_region *near,
					uint64_t gpa, uint64_t len)
{
	uint64_t at = gpa - near->gpa;

	return likely(at < near->size && len <= near->size - at) ? near->host + at
								 : gmem_gpa(gm, gpa, len);
}

#endif
