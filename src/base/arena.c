// SPDX-License-Identifier: Apache-2.0
/* One flat piece of shared memory that holds everything a guest can name. */
/*
 * Theory of operation
 *
 * The arena is a sealed memfd (its size cannot change), mapped once. Whole pages are carved off its
 * front by the thread that sets things up; nothing is given back.
 *
 * Cells. A string of bytes takes a run of 16-byte cells. Runs are cut from the never-used end, and a
 * freed run goes to the list of runs of its length, so the usual put is a pop. When neither has
 * anything, all free runs are sorted by place, and neighbours are melted together; then a longer one is
 * cut. The walk takes time in proportion to the free runs, so it is made only after a fair part of all
 * cells has been dropped since the last one.
 *
 * A free run holds {next run, cells} in its first cell. free[0] lists the runs longer than the
 * longest string. Locks: cells.lock, a leaf, over all of it; reading a run that one owns takes none.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "arena.h"
#include "fd.h"
#include "util.h"

#define RUN_MAX (CELL_LEN_MAX / CELL_SIZE)

static int page_round(size_t size, size_t *ret)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	if (__builtin_add_overflow(size, page - 1, &size))
		return -EINVAL;
	*ret = size & ~(page - 1);
	return 0;
}

int arena_init(struct arena *a, const char *name, size_t size)
{
	scoped_fd int fd = -1;
	void *base;
	int r = page_round(size, &size);

	if (r < 0 || size == 0)
		return -EINVAL;
	fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)size) < 0)
		return -errno;
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -errno;
	base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (base == MAP_FAILED)
		return -errno;
	*a = (struct arena){.fd = fd_steal(&fd), .base = base, .size = size};
	return 0;
}

void arena_done(struct arena *a)
{
	if (a->base)
		munmap(a->base, a->size);
	fd_close(&a->fd);
	a->base = NULL;
	a->size = a->used = 0;
}

void *arena_carve(struct arena *a, size_t size)
{
	void *at = a->base + a->used;

	if (page_round(size, &size) < 0 || size == 0 || size > a->size - a->used)
		return NULL;
	a->used += size;
	return at;
}

/* What the first cell of a free run holds. */
struct run {
	uint32_t next;
	uint32_t cells;
};

static_assert(sizeof(struct run) <= CELL_SIZE, "a free run is described in its first cell");

static struct run *run_at(const struct cells *cs, uint32_t cell)
{
	return (struct run *)(void *)(cs->base + (size_t)cell * CELL_SIZE);
}

static void run_free(struct cells *cs, uint32_t cell, uint32_t cells)
{
	uint32_t *head = &cs->free[cells > RUN_MAX ? 0 : cells];

	*run_at(cs, cell) = (struct run){.next = *head, .cells = cells};
	*head = cell;
}

/* Take the first run off a list, and give back what is more than @cells of it. */
static uint32_t run_cut(struct cells *cs, uint32_t *head, uint32_t cells)
{
	uint32_t cell = *head, have = run_at(cs, cell)->cells;

	*head = run_at(cs, cell)->next;
	if (have > cells)
		run_free(cs, cell + cells, have - cells);
	return cell;
}

static uint32_t run_longer(struct cells *cs, uint32_t cells)
{
	for (uint32_t len = cells + 1; len <= RUN_MAX; len++)
		if (cs->free[len])
			return run_cut(cs, &cs->free[len], cells);
	return cs->free[0] ? run_cut(cs, &cs->free[0], cells) : 0;
}

/* Merge two lists that are sorted by place. */
static uint32_t runs_merge(struct cells *cs, uint32_t a, uint32_t b)
{
	uint32_t head = 0, *tail = &head;

	while (a && b) {
		uint32_t *low = a < b ? &a : &b;

		*tail = *low;
		tail = &run_at(cs, *low)->next;
		*low = *tail;
	}
	*tail = a ? a : b;
	return head;
}

/* All free runs as one list sorted by place: a merge sort from the bottom, sorted[i] of 2^i runs. */
static uint32_t runs_sort(struct cells *cs)
{
	uint32_t sorted[33] = {0}, all = 0;

	for (unsigned int len = 0; len <= RUN_MAX; len++) {
		uint32_t rest = cs->free[len];

		cs->free[len] = 0;
		while (rest) {
			uint32_t one = rest;
			unsigned int i;

			rest = run_at(cs, one)->next;
			run_at(cs, one)->next = 0;
			for (i = 0; sorted[i]; i++) {
				one = runs_merge(cs, sorted[i], one);
				sorted[i] = 0;
			}
			sorted[i] = one;
		}
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(sorted); i++)
		all = runs_merge(cs, all, sorted[i]);
	return all;
}

/* Make one free run of every group of free runs that touch. */
static void runs_melt(struct cells *cs)
{
	uint32_t rest = runs_sort(cs);

	while (rest) {
		uint32_t cell = rest, cells = run_at(cs, cell)->cells;

		rest = run_at(cs, cell)->next;
		while (rest == cell + cells && rest) {
			cells += run_at(cs, rest)->cells;
			rest = run_at(cs, rest)->next;
		}
		if (cell + cells == cs->next)
			cs->next = cell;
		else
			run_free(cs, cell, cells);
	}
	cs->dropped = 0;
}

int cells_init(struct cells *cs, struct arena *a, uint32_t count)
{
	uint8_t *base = arena_carve(a, (size_t)count * CELL_SIZE);

	if (!base)
		return -ENOMEM;
	*cs = (struct cells){.base = base, .count = count, .next = 1};
	return -pthread_mutex_init(&cs->lock, NULL);
}

void cells_done(struct cells *cs)
{
	if (!cs->base)
		return;
	pthread_mutex_destroy(&cs->lock);
	cs->base = NULL;
}

/* A run of just that length, or a new one; 0 if there is neither. */
static uint32_t run_get(struct cells *cs, uint32_t cells)
{
	uint32_t cell = cs->next;

	if (cs->free[cells])
		return run_cut(cs, &cs->free[cells], cells);
	if (cells > cs->count - cell)
		return 0;
	cs->next += cells;
	return cell;
}

uint32_t cells_put(struct cells *cs, const void *bytes, size_t len)
{
	uint32_t cells = (uint32_t)((len + CELL_SIZE - 1) / CELL_SIZE), cell;

	if (len == 0 || len > CELL_LEN_MAX)
		return 0;
	pthread_mutex_lock(&cs->lock);
	cell = run_get(cs, cells);
	if (!cell && cs->dropped > cs->count / 16) {
		runs_melt(cs);
		cell = run_get(cs, cells);
	}
	if (!cell)
		cell = run_longer(cs, cells);
	pthread_mutex_unlock(&cs->lock);
	if (cell)
		memcpy(cs->base + (size_t)cell * CELL_SIZE, bytes, len);
	return cell;
}

void cells_drop(struct cells *cs, uint32_t cell, size_t len)
{
	uint32_t cells = (uint32_t)((len + CELL_SIZE - 1) / CELL_SIZE);

	if (!cell)
		return;
	pthread_mutex_lock(&cs->lock);
	run_free(cs, cell, cells);
	cs->dropped += cells;
	pthread_mutex_unlock(&cs->lock);
}
