// SPDX-License-Identifier: Apache-2.0
/* Open files and directories: what the guest calls fh. */
/*
 * Theory of operation
 *
 * A handle is a record in a slots table and, by the same slot, a descriptor in plain memory. fh is the
 * slot's id. The guest's own reference lasts from handle_new() to handle_release(), which takes it
 * back only for the first that asks (@open); each request in flight has one more. Whoever gives back
 * the last one closes the descriptor.
 *
 * A handle does not need its inode's record: the guest may forget that first. The other way round an
 * inode can need its handles: when it was closed to make room and the host has renamed or removed it,
 * any open file of it leads back to it. So the handles of an inode form a list, by the inode's slot;
 * a slot that is used again can have handles of two generations in it.
 *
 * Locks: handle_file.lock is held over system calls on directories and inside no other lock; lookups
 * of READDIRPLUS take the inode table's locks inside it. The lists' locks are leaves.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "fd.h"
#include "handle.h"
#include "util.h"

static_assert(sizeof(struct handle) == 24, "no padding");

static void *map_zeroed(size_t size)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return at == MAP_FAILED ? NULL : at;
}

static void unmap(struct handle_table *t)
{
	if (t->files)
		munmap(t->files, sizeof(*t->files) * t->size);
	if (t->first)
		munmap(t->first, sizeof(*t->first) * t->inodes);
	t->files = NULL;
	t->first = NULL;
	slots_done(&t->slots);
	arena_done(&t->arena);
}

int handle_table_init(struct handle_table *t, uint32_t max, struct fdcache *fds)
{
	uint32_t size = max + 1;
	int r;

	*t = (struct handle_table){.arena.fd = -1, .fds = fds, .size = size, .inodes = fds->slots};
	r = arena_init(&t->arena, "culvert-handles", (size_t)size * sizeof(struct handle));
	if (r < 0)
		return r;
	r = slots_init(&t->slots, &t->arena, sizeof(struct handle), sizeof(struct handle), size);
	if (r == 0) {
		t->files = map_zeroed(sizeof(*t->files) * size);
		t->first = map_zeroed(sizeof(*t->first) * t->inodes);
		if (!t->files || !t->first)
			r = -ENOMEM;
	}
	for (unsigned int i = 0; r == 0 && i < HANDLE_LISTS; i++)
		r = -pthread_mutex_init(&t->lists[i], NULL);
	if (r < 0)
		unmap(t);
	return r;
}

void handle_table_done(struct handle_table *t)
{
	if (!t->files)
		return;
	handle_table_clear(t);
	for (unsigned int i = 0; i < HANDLE_LISTS; i++)
		pthread_mutex_destroy(&t->lists[i]);
	unmap(t);
}

static pthread_mutex_t *list_lock(struct handle_table *t, uint64_t node)
{
	return &t->lists[slots_of_id(node) % HANDLE_LISTS];
}

static void list_add(struct handle_table *t, const struct handle *rec)
{
	uint32_t slot = slots_index(&t->slots, rec), *first = &t->first[slots_of_id(rec->node)];
	struct handle_file *file = &t->files[slot];
	pthread_mutex_t *lock = list_lock(t, rec->node);

	pthread_mutex_lock(lock);
	file->prev = 0;
	file->next = *first;
	if (*first)
		t->files[*first].prev = slot;
	*first = slot;
	pthread_mutex_unlock(lock);
}

static void list_del(struct handle_table *t, const struct handle *rec)
{
	const struct handle_file *file = &t->files[slots_index(&t->slots, rec)];
	pthread_mutex_t *lock = list_lock(t, rec->node);

	pthread_mutex_lock(lock);
	if (file->prev)
		t->files[file->prev].next = file->next;
	else
		t->first[slots_of_id(rec->node)] = file->next;
	if (file->next)
		t->files[file->next].prev = file->prev;
	pthread_mutex_unlock(lock);
}

int handle_new(struct handle_table *t, uint64_t node, enum handle_kind kind, uint32_t flags, int fd,
	       uint64_t *ret_fh)
{
	struct handle *rec = slots_alloc(&t->slots);
	struct handle_file *file;

	if (!rec) {
		fd_close(&fd);
		fdcache_release(t->fds);
		return -ENFILE;
	}
	file = &t->files[slots_index(&t->slots, rec)];
	file->fd = fd;
	file->pos = 0;
	file->ahead = NULL;
	pthread_mutex_init(&file->lock, NULL);
	rec->node = node;
	rec->kind = (uint8_t)kind;
	rec->flags = flags;
	atomic_store_explicit(&rec->open, 1, memory_order_relaxed);
	*ret_fh = slots_id(&t->slots, rec);
	list_add(t, rec);
	slots_publish(rec);
	return 0;
}

int handle_get(struct handle_table *t, uint64_t fh, uint64_t node, enum handle_kind kind,
	       struct handle_ref *ret)
{
	struct handle_ref ref = {.rec = slots_get(&t->slots, fh)};

	if (unlikely(!ref.rec))
		return -EBADF;
	if (unlikely(!handle_good(ref.rec, node, kind))) {
		handle_put(t, &ref);
		return -EBADF;
	}
	ref.file = &t->files[slots_of_id(fh)];
	*ret = ref;
	return 0;
}

bool handle_keep_ahead(struct handle_table *t, struct handle_file *file, const void *entries,
		       size_t size)
{
	struct handle_ahead *ahead = NULL;

	if (atomic_fetch_add_explicit(&t->ahead, (uint32_t)size, memory_order_relaxed) + size <=
	    HANDLE_AHEAD_MAX)
		ahead = malloc(sizeof(*ahead) + size);
	if (!ahead) {
		atomic_fetch_sub_explicit(&t->ahead, (uint32_t)size, memory_order_relaxed);
		return false;
	}
	ahead->at = 0;
	ahead->size = (uint32_t)size;
	memcpy(ahead->buf, entries, size);
	file->ahead = ahead;
	return true;
}

void handle_drop_ahead(struct handle_table *t, struct handle_file *file)
{
	struct handle_ahead *ahead = file->ahead;

	if (!ahead)
		return;
	file->ahead = NULL;
	atomic_fetch_sub_explicit(&t->ahead, ahead->size, memory_order_relaxed);
	free(ahead);
}

int handle_any(struct handle_table *t, uint64_t node, struct handle_ref *ret)
{
	pthread_mutex_t *lock = list_lock(t, node);
	int r = -ENOENT;

	pthread_mutex_lock(lock);
	for (uint32_t slot = t->first[slots_of_id(node)]; slot && r < 0;
	     slot = t->files[slot].next) {
		struct handle *rec = slots_at(&t->slots, slot);

		if (rec->node != node || !slots_try_ref(rec))
			continue;
		*ret = (struct handle_ref){.rec = rec, .file = &t->files[slot]};
		r = 0;
	}
	pthread_mutex_unlock(lock);
	return r;
}

void handle_put(struct handle_table *t, struct handle_ref *ref)
{
	struct handle *rec = ref->rec;
	struct handle_file *file;

	*ref = (struct handle_ref){0};
	if (!rec || !slots_unref(rec))
		return;
	list_del(t, rec);
	file = &t->files[slots_index(&t->slots, rec)];
	handle_drop_ahead(t, file);
	fd_close(&file->fd);
	pthread_mutex_destroy(&file->lock);
	fdcache_release(t->fds);
	slots_free(&t->slots, rec);
}

/* Take back the guest's reference, once. */
static int let_go(struct handle_table *t, struct handle_ref *ref)
{
	struct handle_ref guest = *ref;

	if (!atomic_exchange_explicit(&ref->rec->open, 0, memory_order_relaxed))
		return -EBADF;
	handle_put(t, &guest);
	return 0;
}

int handle_release(struct handle_table *t, uint64_t fh, uint64_t node, enum handle_kind kind)
{
	struct handle_ref ref;
	int r = handle_get(t, fh, node, kind, &ref);

	if (r < 0)
		return r;
	r = let_go(t, &ref);
	handle_put(t, &ref);
	return r;
}

void handle_table_clear(struct handle_table *t)
{
	uint32_t end;

	pthread_mutex_lock(&t->slots.lock);
	end = t->slots.next;
	pthread_mutex_unlock(&t->slots.lock);
	for (uint32_t slot = 1; slot < end; slot++) {
		struct handle *at = slots_at(&t->slots, slot);
		struct handle_ref ref = {.rec = slots_get(&t->slots, slots_id(&t->slots, at))};

		if (ref.rec)
			let_go(t, &ref);
		handle_put(t, &ref);
	}
}
