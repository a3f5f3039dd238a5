/* SPDX-License-Identifier: Apache-2.0 */
/* One flat piece of shared memory that holds everything a guest can name. */
#ifndef CULVERT_ARENA_H
#define CULVERT_ARENA_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

/**
 * struct arena - a memfd, mapped whole and sparse: memory is used when it is touched.
 * @fd:   the memfd; can be handed to another process that then sees the same state.
 * @base: where it is mapped; never moves.
 * @size: bytes, fixed at arena_init().
 * @used: bytes carved so far; only the thread that sets things up carves.
 *
 * Nothing in it is a pointer: records refer to each other by slot number and generation, and to
 * bytes by cell number.
 */
struct arena {
	int fd;
	uint8_t *base;
	size_t size;
	size_t used;
};

/** arena_init() - make an arena of @size bytes (rounded up to pages), all zero. 0 or -errno. */
int arena_init(struct arena *a, const char *name, size_t size);

/** arena_done() - unmap and close. */
void arena_done(struct arena *a);

/** arena_carve() - the next @size bytes, page-aligned and zero; NULL when it is full. Set-up only. */
void *arena_carve(struct arena *a, size_t size);

#define CELL_SIZE    16u   /* bytes in a cell */
#define CELL_LEN_MAX 1024u /* longest string of bytes that cells_put() takes */

/**
 * struct cells - names and file handles: short strings of bytes in runs of 16-byte cells.
 * @base:  the cells, in an arena. Cell 0 is never used, so that 0 can mean none.
 * @count: cells in all.
 * @next:  first cell that was never used. Under @lock.
 * @free:  heads of the lists of freed runs, by length in cells; [0]: longer ones. Under @lock.
 * @dropped: cells dropped since free runs were last melted together. Under @lock.
 * @lock:  a leaf lock.
 *
 * The bytes of a run do not change between cells_put() and cells_drop().
 */
struct cells {
	uint8_t *base;
	uint32_t count;
	uint32_t next;
	uint32_t free[CELL_LEN_MAX / CELL_SIZE + 1];
	uint64_t dropped;
	pthread_mutex_t lock;
};

/** cells_init() - carve @count cells out of @a. 0 or -errno. */
int cells_init(struct cells *cs, struct arena *a, uint32_t count);

/** cells_done() - forget them; the arena keeps the memory. */
void cells_done(struct cells *cs);

/** cells_put() - keep a copy of @len bytes (1 to CELL_LEN_MAX). Returns the first cell, 0 when full. */
uint32_t cells_put(struct cells *cs, const void *bytes, size_t len);

/** cells_at() - the bytes of a run. */
static inline const void *cells_at(const struct cells *cs, uint32_t cell)
{
	return cs->base + (size_t)cell * CELL_SIZE;
}

/** cells_drop() - give back a run of @len bytes; cell 0 is accepted and ignored. */
void cells_drop(struct cells *cs, uint32_t cell, size_t len);

#endif
