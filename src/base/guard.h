/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that another process may take away while it is mapped here: a touch must not end us. */
#ifndef CULVERT_GUARD_H
#define CULVERT_GUARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct guard_entry;

/**
 * guard_init() - take SIGBUS and SIGSEGV for this process.
 *
 * Before the first guard_add() and before any thread; may be called again. Threads must not block
 * them. 0 or -errno.
 */
int guard_init(void);

/**
 * guard_add() - pages that may go: from now on a touch of one that has gone reads zeroes.
 * @base: first byte of the mapping, writable or not.
 * @len:  its bytes.
 * @page: what a mapping of the file must be a multiple of, bytes; a power of two.
 * @ret:  what guard_del() wants.
 *
 * The page is replaced by one of our own, for good, and the thread that touched it counts a hit. What is
 * written there is lost. Any thread. 0 or -ENOMEM.
 */
int guard_add(void *base, size_t len, size_t page, struct guard_entry **ret);

/** guard_del() - the pages are about to be unmapped; nobody touches them any more. Accepts NULL. */
void guard_del(struct guard_entry *entry);

/* Pages that this thread found gone, ever. Written by the handler of the thread's own signal. */
extern _Thread_local volatile uint32_t guard_count;

/**
 * guard_hits() - how many pages this thread has found gone.
 *
 * Who must know whether what was read is real takes the number before and after. The compiler moves no
 * access to memory over the call.
 */
static inline uint32_t guard_hits(void)
{
	uint32_t n;

	__asm__ volatile("" ::: "memory");
	n = guard_count;
	__asm__ volatile("" ::: "memory");
	return n;
}

/* Pages that any thread found gone, ever. */
extern _Atomic uint32_t guard_total;

/** guard_age() - changes whenever any thread finds a page gone: time to ask guard_gone() again. */
static inline uint32_t guard_age(void)
{
	return atomic_load_explicit(&guard_total, memory_order_acquire);
}

/**
 * guard_gone() - whether one of these guarded bytes was found gone by any thread, and replaced.
 *
 * The caller keeps the memory from being unmapped. Any thread; takes no lock.
 */
bool guard_gone(const void *at, size_t len);

#endif
