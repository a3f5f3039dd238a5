/* SPDX-License-Identifier: Apache-2.0 */
/* Guest memory: the regions that the front-end shared, addresses into them, and the dirty log. */
#ifndef CULVERT_GMEM_H
#define CULVERT_GMEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct guard_entry;

#define GMEM_REGIONS_MAX 509 /* what GET_MAX_MEM_SLOTS says */

/**
 * struct gmem_conf - a region as the front-end describes it.
 * @gpa:    guest physical address, bytes.
 * @size:   bytes.
 * @uva:    the front-end's own address of it; ring addresses are given in these.
 * @offset: bytes into the file descriptor that comes with it.
 * @cut:    the file may be shorter: it is one of the guest's in its DAX window.
 */
struct gmem_conf {
	uint64_t gpa;
	uint64_t size;
	uint64_t uva;
	uint64_t offset;
	bool cut;
};

/**
 * struct gmem - a memory table: immutable once published, reference counted.
 *
 * A changed table is a new one that shares the mappings which stay; a request in flight keeps the
 * table that its buffers were translated by, so changing the table waits for nobody.
 */
struct gmem;

/** gmem_new() - an empty table with one reference, or NULL when out of memory. */
struct gmem *gmem_new(void);

/** gmem_get() - one more reference. Any thread. Returns @gm. */
struct gmem *gmem_get(struct gmem *gm);

/** gmem_put() - give a reference back; the last one unmaps what no other table uses. Accepts NULL. */
void gmem_put(struct gmem *gm);

/**
 * gmem_with() - a copy of a table with one more region.
 * @gm:     the table.
 * @conf:   the region: refused with -EINVAL when empty, wrapping, overlapping another (by gpa or
 *          uva), or larger than the file behind @fd. Nothing in it need be page-aligned: User-Mode
 *          Linux takes its size from what the user types.
 * @fd:     memory to map shared; stays the caller's. When it may not be written to (a DAX window
 *          onto a read-only file), the region is read-only.
 * @ret:    the new table, owned by the caller.
 *
 * Returns 0, -EINVAL, -ENOSPC (GMEM_REGIONS_MAX), -ENOMEM or what mmap(2) says.
 */
int gmem_with(const struct gmem *gm, const struct gmem_conf *conf, int fd, struct gmem **ret);

/** gmem_without() - a copy less the region with this gpa, size and uva; -ENOENT if there is none. */
int gmem_without(const struct gmem *gm, const struct gmem_conf *conf, struct gmem **ret);

/** gmem_page_size() - what a mapping of the file must be a multiple of, bytes: huge pages or usual ones. */
size_t gmem_page_size(int fd);

/**
 * struct gmem_mirror - what the guest sees in its DAX window, mapped here as well.
 *
 * Requests may have their buffers there (Linux: O_DIRECT, and writes that make a DAX file longer). Its pages
 * come and go while tables have it; where nothing is mapped, system calls fail with EFAULT.
 */
struct gmem_mirror;

/** gmem_mirror_new() - one of @size bytes with nothing in it, one reference. 0 or -errno. */
int gmem_mirror_new(uint64_t size, struct gmem_mirror **ret);

/** gmem_mirror_free() - no more changes; unmapped with the last table that has it. Accepts NULL. */
void gmem_mirror_free(struct gmem_mirror *mirror);

/**
 * gmem_mirror_map() - show @len bytes at @fd_offset of @fd (stays the caller's) at @offset, page-aligned.
 *
 * May reach over the end of the file. One thread at a time. 0, -EINVAL (out of bounds) or what mmap(2) says.
 */
int gmem_mirror_map(struct gmem_mirror *mirror, int fd, uint64_t fd_offset, uint64_t offset,
		    uint64_t len, bool write);

/** gmem_mirror_unmap() - show nothing there any more. As gmem_mirror_map(). */
int gmem_mirror_unmap(struct gmem_mirror *mirror, uint64_t offset, uint64_t len);

/**
 * gmem_with_mirror() - a copy of a table with the mirror at @gpa, and at no other place.
 *
 * -EINVAL when there is guest memory, or it wraps; -ENOMEM. Regions that are added later take its place.
 */
int gmem_with_mirror(const struct gmem *gm, uint64_t gpa, const struct gmem_mirror *mirror,
		     struct gmem **ret);

/** gmem_without_mirror() - a copy of a table without one. 0 or -ENOMEM. */
int gmem_without_mirror(const struct gmem *gm, struct gmem **ret);

/** gmem_count() - regions in the table. */
unsigned int gmem_count(const struct gmem *gm);

/**
 * gmem_gpa_iov() - guest physical range to host buffers, split where regions meet.
 * @gm:    the table.
 * @gpa:   start, bytes; any value.
 * @len:   bytes; any value above 0.
 * @write: the buffers will be written to: a read-only region does not count as mapped.
 * @iov:   filled in.
 * @max:   entries in @iov.
 *
 * Returns the entries used, -EFAULT when a part of the range is not mapped, or -E2BIG. Any thread
 * that keeps the table from going away.
 */
int gmem_gpa_iov(const struct gmem *gm, uint64_t gpa, uint64_t len, bool write, struct iovec *iov,
		 unsigned int max);

/** gmem_read() - copy @len bytes at a guest physical address, once. 0, or -EFAULT (gone ones, too). */
int gmem_read(const struct gmem *gm, uint64_t gpa, void *buf, size_t len);

/** gmem_gpa() - one contiguous piece at a guest physical address, for reading, or NULL. */
const void *gmem_gpa(const struct gmem *gm, uint64_t gpa, uint64_t len);

/** gmem_uva() - one contiguous writable piece at a front-end address, or NULL. For rings. */
void *gmem_uva(const struct gmem *gm, uint64_t uva, uint64_t len);

/**
 * struct gmem_log - the dirty log of a migration: one bit per 4 KiB page of guest memory.
 * @base:    the bitmap, mapped shared with the front-end. Bits are set atomically.
 * @size:    bytes of @base; pages beyond are not logged.
 * @map:     the pages that hold it.
 * @map_len: bytes of @map.
 * @guard:   the front-end may take the pages away; then what is marked in them is lost.
 *
 * Does not change between gmem_log_init() and gmem_log_done(), which the control thread calls while
 * the queues are quiesced.
 */
struct gmem_log {
	uint8_t *base;
	uint64_t size;
	void *map;
	size_t map_len;
	struct guard_entry *guard;
};

/**
 * gmem_log_init() - map @size bytes at @offset of @fd (stays the caller's).
 *
 * Returns 0, -EINVAL (empty, or larger than the file) or what mmap(2) says.
 */
int gmem_log_init(struct gmem_log *log, int fd, uint64_t size, uint64_t offset);

/** gmem_log_done() - unmap; accepts one that was never mapped (all zero). */
void gmem_log_done(struct gmem_log *log);

/** gmem_log_gpa() - mark @len bytes from @gpa as written. Any thread. */
void gmem_log_gpa(struct gmem_log *log, uint64_t gpa, uint64_t len);

/** gmem_log_iov() - mark the first @len bytes of @iov, which gmem_gpa_iov() of @gm gave. Any thread. */
void gmem_log_iov(struct gmem_log *log, const struct gmem *gm, const struct iovec *iov,
		  unsigned int cnt, uint64_t len);

#endif
