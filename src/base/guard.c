// SPDX-License-Identifier: Apache-2.0
/* Memory that another process may take away while it is mapped here: a touch must not end us. */
/*
 * Theory of operation
 *
 * A page of a shared file that was truncated, or a huge page that there is none of any more, raises
 * SIGBUS in the thread that touches it; a write to one that is mapped for reading raises SIGSEGV. The
 * handler looks whether the address is in guarded memory, maps a private page of zeroes there, counts
 * the hit for this thread, and returns: the access is made again and succeeds. So every access ends, by
 * whatever thread and in whatever instruction, and who has to know looks at guard_hits(). Only the first
 * to touch a page has that hit; the page is written down before it is replaced, so that others who share
 * it can ask, too (guard_age(), guard_gone()). Anything else that raises either ends the process as
 * ever.
 *
 * Why that is safe. The signal is synchronous: it comes between two instructions of the thread that made
 * the access, which is in the midst of a copy or a load, never in the allocator or a lock. The handler
 * makes one system call and touches atomic variables. The mapping stays while it runs, because whoever
 * accesses it keeps it from being unmapped. Two threads on one page replace it twice; nothing but
 * zeroes and words nobody will read is lost.
 *
 * The list of what is guarded is read by handlers and must not be locked: entries stand in chunks that
 * are never freed, used over and over, each with a sequence count that is odd while it changes. A
 * handler passes over an entry that changes: the one that it is in cannot. What it gets of an entry was
 * all true at one moment, in which the entry it is in covered the address; mappings do not overlap, so
 * it is the right one.
 *
 * Each page costs the process up to two more mappings, of which the kernel gives it 65,530, and has to
 * be written down. After PAGES_MAX of them, or when a page cannot be mapped, all of the guarded memory
 * is replaced at once, which makes one mapping of it: the guest has lost its memory anyway.
 *
 * Lock: one for changing the list, a leaf.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "guard.h"
#include "util.h"

#define CHUNK     64u
#define PAGES_MAX 64u /* replaced one by one */

/**
 * struct guard_entry - a mapping.
 * @seq:   odd while it changes.
 * @base, @len, @page: see guard_add(); @len 0: free. Written under the lock, read by handlers.
 * @hits:  pages that were replaced, or are about to be; above PAGES_MAX: all.
 * @gone:  which.
 */
struct guard_entry {
	_Atomic uint32_t seq;
	_Atomic uintptr_t base;
	_Atomic size_t len;
	_Atomic size_t page;
	_Atomic uint32_t hits;
	_Atomic uintptr_t gone[PAGES_MAX];
};

struct chunk {
	struct chunk *_Atomic next;
	struct guard_entry entry[CHUNK];
};

_Thread_local volatile uint32_t guard_count;
_Atomic uint32_t guard_total;

/* What the signals did before. Written by guard_init(). */
static struct sigaction old_bus, old_segv;

static struct chunk first;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

struct place {
	struct guard_entry *entry;
	uintptr_t base;
	size_t len;
	size_t page;
};

static bool read_entry(struct guard_entry *e, struct place *ret)
{
	uint32_t seq = atomic_load_explicit(&e->seq, memory_order_acquire);

	ret->entry = e;
	ret->base = atomic_load_explicit(&e->base, memory_order_relaxed);
	ret->len = atomic_load_explicit(&e->len, memory_order_relaxed);
	ret->page = atomic_load_explicit(&e->page, memory_order_relaxed);
	atomic_thread_fence(memory_order_acquire);
	return seq % 2 == 0 && atomic_load_explicit(&e->seq, memory_order_relaxed) == seq;
}

static bool find(uintptr_t at, struct place *ret)
{
	for (struct chunk *c = &first; c; c = atomic_load_explicit(&c->next, memory_order_acquire))
		for (unsigned int i = 0; i < CHUNK; i++)
			if (read_entry(&c->entry[i], ret) && at - ret->base < ret->len)
				return true;
	return false;
}

static bool replace(uintptr_t at, size_t len)
{
	return mmap((void *)at, len, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) != MAP_FAILED;
}

/* Replace the page at @at, or all there is of the mapping. */
static bool bridge(const struct place *p, uintptr_t at)
{
	uint32_t n = atomic_fetch_add(&p->entry->hits, 1);

	if (n < PAGES_MAX) {
		atomic_store(&p->entry->gone[n], at);
		atomic_fetch_add(&guard_total, 1);
		if (replace(at, p->page))
			return true;
	}
	atomic_store(&p->entry->hits, PAGES_MAX + 1);
	atomic_fetch_add(&guard_total, 1);
	return replace(p->base, p->len);
}

/*
 * The signal is not for us: what it would have done without us. If that is the end, it comes without a
 * system call, for a filter may not let one pass that changes what a signal does: the kernel ends a thread
 * whose access raises a signal that it blocks.
 */
static void pass_on(int sig, const siginfo_t *info, ucontext_t *context)
{
	const struct sigaction *old = sig == SIGBUS ? &old_bus : &old_segv;
	volatile uintptr_t nowhere = 1; /* nothing is mapped there */

	if ((old->sa_flags & SA_SIGINFO) || old->sa_handler != SIG_DFL) {
		/* The access is made again, or the signal is sent again. */
		sigaction(sig, old, NULL);
		if (info->si_code <= 0)
			raise(sig);
	} else if (info->si_code > 0) {
		sigaddset(&context->uc_sigmask, sig);
	} else {
		/* Sent by kill(2): there is no access. SIGBUS becomes SIGSEGV by this one. */
		*(volatile char *)nowhere = 0;
	}
}

static void on_fault(int sig, siginfo_t *info, void *context)
{
	uintptr_t at = (uintptr_t)info->si_addr;
	int saved = errno;
	struct place p;

	/* Above 0: the kernel says so, about an address; not a process by kill(2). */
	if (info->si_code > 0 && find(at, &p) && bridge(&p, at - (at - p.base) % p.page)) {
		guard_count = guard_count + 1;
		errno = saved;
		return;
	}
	pass_on(sig, info, context);
	errno = saved;
}

bool guard_gone(const void *at, size_t len)
{
	uintptr_t from = (uintptr_t)at;
	struct place p;
	uint32_t n;

	if (!find(from, &p))
		return false;
	n = atomic_load(&p.entry->hits);
	if (n > PAGES_MAX)
		return true;
	for (uint32_t i = 0; i < n; i++) {
		uintptr_t page = atomic_load(&p.entry->gone[i]);

		if (page < from + len && from < page + p.page)
			return true;
	}
	return false;
}

static int take(int sig, struct sigaction *old)
{
	struct sigaction act = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO}, was;

	sigemptyset(&act.sa_mask);
	if (sigaction(sig, &act, &was) < 0)
		return -errno;
	if (was.sa_sigaction != on_fault)
		*old = was;
	return 0;
}

int guard_init(void)
{
	int r = take(SIGBUS, &old_bus);

	return r < 0 ? r : take(SIGSEGV, &old_segv);
}

static void set(struct guard_entry *e, uintptr_t base, size_t len, size_t page)
{
	uint32_t seq = atomic_load_explicit(&e->seq, memory_order_relaxed);

	atomic_store_explicit(&e->seq, seq + 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	atomic_store_explicit(&e->base, base, memory_order_relaxed);
	atomic_store_explicit(&e->len, len, memory_order_relaxed);
	atomic_store_explicit(&e->page, page, memory_order_relaxed);
	atomic_store_explicit(&e->hits, 0, memory_order_relaxed);
	for (unsigned int i = 0; i < PAGES_MAX; i++)
		atomic_store_explicit(&e->gone[i], 0, memory_order_relaxed);
	atomic_store_explicit(&e->seq, seq + 2, memory_order_release);
}

/* Under the lock. NULL: out of memory. */
static struct guard_entry *free_entry(void)
{
	struct chunk *c = &first, *more;

	for (;;) {
		for (unsigned int i = 0; i < CHUNK; i++)
			if (!atomic_load_explicit(&c->entry[i].len, memory_order_relaxed))
				return &c->entry[i];
		more = atomic_load_explicit(&c->next, memory_order_relaxed);
		if (!more) {
			more = calloc(1, sizeof(*more));
			if (!more)
				return NULL;
			atomic_store_explicit(&c->next, more, memory_order_release);
		}
		c = more;
	}
}

int guard_add(void *base, size_t len, size_t page, struct guard_entry **ret)
{
	struct guard_entry *e;

	pthread_mutex_lock(&lock);
	e = free_entry();
	if (e)
		set(e, (uintptr_t)base, len, page);
	pthread_mutex_unlock(&lock);
	if (!e)
		return -ENOMEM;
	*ret = e;
	return 0;
}

void guard_del(struct guard_entry *entry)
{
	if (!entry)
		return;
	pthread_mutex_lock(&lock);
	set(entry, 0, 0, 1);
	pthread_mutex_unlock(&lock);
}
