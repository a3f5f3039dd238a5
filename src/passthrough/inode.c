// SPDX-License-Identifier: Apache-2.0
/* The inodes that the guest knows: records, references, names, lookup counts. */
/*
 * Theory of operation
 *
 * A record is 64 bytes in a slots table; a nodeid is the slot's id, so an old nodeid finds nothing
 * once the slot is used again. Names and long handles are in cells; both, the hash table and the
 * mounts are in one arena and refer to each other by number. Descriptors are elsewhere (fdcache.c).
 *
 * References on a record: one while the guest's lookup count is not 0, one for each use in flight,
 * one for each record that names it as its parent. Without a lookup count a record can live on as a
 * parent, but its nodeid is unknown to the guest; a LOOKUP revives it. When the last reference goes
 * the record is taken out of its hash chain and gives up the reference on its parent, in a loop, not
 * in recursion: the guest chooses how deep trees are.
 *
 * Hash table. 256 stripes by the low bits of the hash of (mount, device, inode number), each with its
 * lock, and buckets that double when there are two records for each; the buckets of all stripes are
 * interleaved, so that the table stays dense while it grows. A chain may hold several records with
 * one identity: inode numbers are used again, and the handle tells which is which. A record that is
 * being taken apart can still be in a chain; it has no references, so nobody gets it.
 *
 * What the guest knows by the name that it asks for is found without the lock (find_unlocked()): a stripe has
 * a number that changes before and after its chains or names do. The lookup is counted before that number is
 * looked at again, so where it is the same, the count went to the right record. Else it is taken back.
 *
 * Names. A record remembers one name (parent and component) by which it can be opened again. LOOKUP,
 * LINK and RENAME set it, UNLINK and RMDIR take it away; without one the inode keeps its descriptor.
 * Parents of directories must not form a circle though the host can move directories any way it
 * likes while the guest sees only half of it. So before a directory gets a new parent the way from
 * there to the root is walked; where it passes the directory itself some link on it is stale, and
 * the one that would close the circle is cut.
 *
 * Lock order: tree, stripe, then the leaves (fdcache, slots, cells, mounts). Never two stripes.
 * A record's stripe depends on its constant identity alone. References are given back without locks
 * held, or where the holder has another one.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>

#include "fd.h"
#include "inode.h"
#include "inode_impl.h"
#include "util.h"

#define STRIPE_BITS        8
#define CELLS_PER_INODE    3u
#define RECORDS_PER_BUCKET 2u

static_assert(sizeof(struct inode) == 64, "a record is a cache line");
static_assert(1u << STRIPE_BITS == INODE_STRIPES, "stripes are chosen by bits of the hash");

uint64_t inode_hash(const struct inode_table *t, uint64_t ino, uint32_t dev, uint16_t mount)
{
	uint64_t h = ino ^ t->seed;

	h *= UINT64_C(0x9e3779b97f4a7c15);
	h ^= h >> 32;
	h += ((uint64_t)dev << 16 | mount) ^ (t->seed << 7 | t->seed >> 57);
	h *= UINT64_C(0xd6e8feb86659fd93);
	h ^= h >> 32;
	h *= UINT64_C(0xd6e8feb86659fd93);
	return h ^ h >> 32;
}

static uint64_t hash_of(const struct inode_table *t, const struct inode *ino)
{
	return inode_hash(t, ino->ino, ino->dev, ino->mount);
}

struct inode_stripe *inode_stripe(struct inode_table *t, const struct inode *ino)
{
	return &t->stripes[hash_of(t, ino) % INODE_STRIPES];
}

uint32_t *inode_chain(struct inode_table *t, uint64_t hash)
{
	size_t stripe = hash % INODE_STRIPES;
	size_t bucket = hash >> STRIPE_BITS & t->stripes[stripe].mask;

	return &t->buckets[bucket * INODE_STRIPES + stripe];
}

/* Double a stripe's buckets: each chain is parted into its own and a new bucket's. */
static void stripe_grow(struct inode_table *t, struct inode_stripe *s)
{
	size_t stripe = (size_t)(s - t->stripes);
	size_t old = (size_t)s->mask + 1;

	s->mask = (uint32_t)(2 * old - 1);
	for (size_t b = 0; b < old; b++) {
		uint32_t slot = t->buckets[b * INODE_STRIPES + stripe];

		t->buckets[b * INODE_STRIPES + stripe] = 0;
		while (slot) {
			struct inode *ino = inode_in(t, slot);
			uint32_t *head = inode_chain(t, hash_of(t, ino));
			uint32_t rest = ino->next;

			ino->next = *head;
			*head = slot;
			slot = rest;
		}
	}
}

void inode_link(struct inode_table *t, struct inode *ino)
{
	struct inode_stripe *s = inode_stripe(t, ino);
	uint32_t *head;

	inode_change(s);
	if (s->count++ > s->mask * RECORDS_PER_BUCKET && s->mask + 1 < t->bucket_max)
		stripe_grow(t, s);
	head = inode_chain(t, hash_of(t, ino));
	ino->next = *head;
	*head = inode_slot(t, ino);
	inode_changed(s);
}

static void inode_unlink(struct inode_table *t, struct inode *ino)
{
	struct inode_stripe *s = inode_stripe(t, ino);
	uint32_t slot = inode_slot(t, ino), *link;

	pthread_mutex_lock(&s->lock);
	link = inode_chain(t, hash_of(t, ino));
	while (*link && *link != slot)
		link = &inode_in(t, *link)->next;
	if (*link) {
		inode_change(s);
		*link = ino->next;
		s->count--;
		inode_changed(s);
	}
	pthread_mutex_unlock(&s->lock);
}

bool inode_same_handle(const struct inode_table *t, const struct inode *ino,
		       const struct ident_handle *h)
{
	const void *bytes =
		ino->flags & INODE_LONG ? cells_at(&t->cells, ino->handle.cell) : ino->handle.bytes;

	return ino->handle_len == h->len && ino->handle_type == h->type &&
	       memcmp(bytes, h->bytes, h->len) == 0;
}

uint64_t inode_id(const struct inode_table *t, const struct inode *ino)
{
	return slots_id(&t->slots, ino);
}

struct inode *inode_get(struct inode_table *t, uint64_t nodeid)
{
	struct inode *ino = slots_get(&t->slots, nodeid);

	if (likely(ino && inode_known(ino)))
		return ino;
	inode_put(t, ino);
	return NULL;
}

/* The last reference is gone. Returns the parent, whose reference goes next. */
static struct inode *take_apart(struct inode_table *t, struct inode *ino)
{
	uint32_t slot = inode_slot(t, ino), top = slot, parent;

	inode_unlink(t, ino);
	fdcache_drop(&t->fds, slot);
	cells_drop(&t->cells, ino->name, ino->name_len);
	if (ino->flags & INODE_LONG)
		cells_drop(&t->cells, ino->handle.cell, ino->handle_len);
	atomic_compare_exchange_strong_explicit(&t->mounts.mounts[ino->mount].top, &top, 0,
						memory_order_relaxed, memory_order_relaxed);
	inode_mount_put(t, ino->mount);
	parent = ino->parent;
	slots_free(&t->slots, ino);
	return parent ? inode_in(t, parent) : NULL;
}

void inode_put(struct inode_table *t, struct inode *ino)
{
	while (ino && slots_unref(ino))
		ino = take_apart(t, ino);
}

/* @n lookups less; whether these were the last. Under the stripe's lock. */
static bool take_back(struct inode *ino, uint64_t n)
{
	uint64_t count = atomic_load_explicit(&ino->nlookup, memory_order_relaxed);

	do {
		if (count == 0 || count == UINT64_MAX || n == 0)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(&ino->nlookup, &count,
							count - MIN(count, n), memory_order_relaxed,
							memory_order_relaxed));
	return count <= n;
}

void inode_forget(struct inode_table *t, uint64_t nodeid, uint64_t n)
{
	struct inode *ino = slots_get(&t->slots, nodeid);
	struct inode_stripe *s;

	if (!ino)
		return;
	if (!inode_is_root(t, ino)) {
		s = inode_stripe(t, ino);
		pthread_mutex_lock(&s->lock);
		if (take_back(ino, n))
			slots_unref(ino);
		pthread_mutex_unlock(&s->lock);
	}
	inode_put(t, ino);
}

bool inode_has_name(const struct inode_table *t, const struct inode *ino, const struct inode *dir,
		    const char *name, size_t len)
{
	return ino->parent == inode_slot(t, dir) && ino->name_len == len &&
	       memcmp(cells_at(&t->cells, ino->name), name, len) == 0;
}

bool inode_named(struct inode_table *t, struct inode *ino, const struct inode *dir,
		 const char *name)
{
	struct inode_stripe *s = inode_stripe(t, ino);
	bool named;

	pthread_mutex_lock(&s->lock);
	named = inode_has_name(t, ino, dir, name, strlen(name));
	pthread_mutex_unlock(&s->lock);
	return named;
}

int inode_name(struct inode_table *t, uint64_t nodeid, char *buf)
{
	struct inode *ino = inode_get(t, nodeid);
	struct inode_stripe *s;
	int len = 0;

	if (!ino)
		return -ENOENT;
	s = inode_stripe(t, ino);
	pthread_mutex_lock(&s->lock);
	if (ino->parent) {
		len = ino->name_len;
		memcpy(buf, cells_at(&t->cells, ino->name), (size_t)len);
		buf[len] = '\0';
	}
	pthread_mutex_unlock(&s->lock);
	inode_put(t, ino);
	return len ? len : -ENOENT;
}

struct inode *inode_set_name(struct inode_table *t, struct inode *ino, struct inode *dir,
			     uint32_t cell, size_t len)
{
	struct inode *old = ino->parent ? inode_in(t, ino->parent) : NULL;
	struct inode_stripe *s = inode_stripe(t, ino);

	if (dir)
		slots_ref(dir);
	inode_change(s);
	cells_drop(&t->cells, ino->name, ino->name_len);
	ino->parent = dir ? inode_slot(t, dir) : 0;
	ino->name = cell;
	ino->name_len = (uint8_t)len;
	inode_changed(s);
	fdcache_keep(&t->fds, inode_slot(t, ino), !dir || ino->flags & INODE_NO_HANDLE);
	return old;
}

/* The way from @dir to the root must not lead through @ino. Under the tree's lock. */
static struct inode *cut_circle(struct inode_table *t, struct inode *ino, struct inode *dir)
{
	struct inode *parent, *old = NULL;

	for (struct inode *at = dir; at->parent && !old; at = parent) {
		struct inode_stripe *s = inode_stripe(t, at);

		parent = inode_in(t, at->parent);
		if (parent != ino)
			continue;
		pthread_mutex_lock(&s->lock);
		old = inode_set_name(t, at, NULL, 0, 0);
		pthread_mutex_unlock(&s->lock);
	}
	return old;
}

static bool is_dir(const struct inode *ino)
{
	return ino->type == S_IFDIR >> 12;
}

void inode_renamed(struct inode_table *t, struct inode *ino, struct inode *dir, const char *name)
{
	struct inode_stripe *s = inode_stripe(t, ino);
	struct inode *old = NULL, *cut = NULL;
	size_t len = strlen(name);
	uint32_t cell;

	if (inode_is_root(t, ino) || ino == dir)
		return;
	/* Where names have no room left, the old one stays: at worst it is stale. */
	cell = cells_put(&t->cells, name, len);
	if (!cell)
		return;
	if (is_dir(ino)) {
		pthread_mutex_lock(&t->tree);
		cut = cut_circle(t, ino, dir);
	}
	pthread_mutex_lock(&s->lock);
	if (inode_has_name(t, ino, dir, name, len))
		cells_drop(&t->cells, cell, len);
	else
		old = inode_set_name(t, ino, dir, cell, len);
	pthread_mutex_unlock(&s->lock);
	if (is_dir(ino))
		pthread_mutex_unlock(&t->tree);
	inode_put(t, cut);
	inode_put(t, old);
}

void inode_unlinked(struct inode_table *t, struct inode *ino, const struct inode *dir,
		    const char *name)
{
	struct inode_stripe *s = inode_stripe(t, ino);
	struct inode *old = NULL;

	if (is_dir(ino))
		pthread_mutex_lock(&t->tree);
	pthread_mutex_lock(&s->lock);
	if (inode_has_name(t, ino, dir, name, strlen(name)))
		old = inode_set_name(t, ino, NULL, 0, 0);
	pthread_mutex_unlock(&s->lock);
	if (is_dir(ino))
		pthread_mutex_unlock(&t->tree);
	inode_put(t, old);
}

struct inode *inode_mount_top(struct inode_table *t, uint32_t mount)
{
	struct inode *ino;
	uint32_t slot;

	if (mount == 0 || mount >= IDENT_MOUNTS)
		return NULL;
	slot = atomic_load_explicit(&t->mounts.mounts[mount].top, memory_order_relaxed);
	if (!slot)
		return NULL;
	ino = slots_get(&t->slots, slots_id(&t->slots, inode_in(t, slot)));
	if (ino && ino->mount != mount) {
		inode_put(t, ino);
		return NULL;
	}
	return ino;
}

/* Let the guest forget one record; the caller holds a reference on it. */
static void forget_all(struct inode_table *t, struct inode *ino)
{
	struct inode_stripe *s = inode_stripe(t, ino);

	pthread_mutex_lock(&s->lock);
	if (atomic_exchange_explicit(&ino->nlookup, 0, memory_order_relaxed) != 0)
		slots_unref(ino);
	pthread_mutex_unlock(&s->lock);
}

void inode_table_clear(struct inode_table *t)
{
	uint32_t end;

	pthread_mutex_lock(&t->slots.lock);
	end = t->slots.next;
	pthread_mutex_unlock(&t->slots.lock);
	for (uint32_t slot = 1; slot < end; slot++) {
		struct inode *ino = slots_get(&t->slots, slots_id(&t->slots, inode_in(t, slot)));

		if (ino && !inode_is_root(t, ino))
			forget_all(t, ino);
		inode_put(t, ino);
	}
}

static int root_init(struct inode_table *t, int root_fd)
{
	const struct inode_at at = {.fd = fcntl(root_fd, F_DUPFD_CLOEXEC, 0)};
	scoped_fd int fd = at.fd;
	struct fdcache_pin pin = {.fd = -1};
	struct statx stx;
	int r;

	if (fd < 0)
		return -errno;
	r = fdcache_reserve(&t->fds);
	if (r < 0)
		return r;
	r = ident_stat(fd, "", AT_EMPTY_PATH, &stx);
	if (r < 0)
		return r;
	if (!S_ISDIR(stx.stx_mode))
		return -ENOTDIR;
	t->root = slots_alloc(&t->slots);
	if (!t->root)
		return -ENOMEM;
	t->root->ino = stx.stx_ino;
	t->root->dev = ident_dev(&stx);
	t->root->mount = ident_mount_get(&t->mounts, ident_mount_key(&stx));
	t->root->type = S_IFDIR >> 12;
	ident_mount_learn(&t->mounts.mounts[t->root->mount], fd, NULL);
	/* Its descriptor stays open, which proves it as well as a handle does. */
	t->root->flags = INODE_NO_HANDLE;
	atomic_store_explicit(&t->root->nlookup, 1, memory_order_relaxed);
	inode_link(t, t->root);
	slots_publish(t->root);
	fdcache_insert(&t->fds, inode_slot(t, t->root), fd_steal(&fd), &pin);
	fdcache_keep(&t->fds, inode_slot(t, t->root), true);
	fdcache_unpin(&t->fds, &pin);
	return 0;
}

static int table_carve(struct inode_table *t, uint32_t max)
{
	size_t buckets, size, page = 4096;
	int r;

	t->bucket_max = 1;
	while (t->bucket_max < max / INODE_STRIPES)
		t->bucket_max *= 2;
	buckets = sizeof(*t->buckets) * INODE_STRIPES * t->bucket_max;
	size = (size_t)max * (sizeof(struct inode) + CELLS_PER_INODE * CELL_SIZE) + buckets +
	       sizeof(struct ident_mount) * IDENT_MOUNTS + page * 64;
	r = arena_init(&t->arena, "culvert-inodes", size);
	if (r < 0)
		return r;
	/* Slot 0 and the root come on top. */
	r = slots_init(&t->slots, &t->arena, sizeof(struct inode), offsetof(struct inode, nlookup),
		       max + 2);
	if (r < 0)
		return r;
	r = cells_init(&t->cells, &t->arena, max * CELLS_PER_INODE + 16);
	if (r < 0)
		return r;
	r = ident_mounts_init(&t->mounts, &t->arena);
	if (r < 0)
		return r;
	t->buckets = arena_carve(&t->arena, buckets);
	return t->buckets ? 0 : -ENOMEM;
}

int inode_table_init(struct inode_table *t, int root_fd, int proc_fd, uint32_t max,
		     uint32_t max_fds)
{
	int r;

	memset(t, 0, sizeof(*t));
	t->arena.fd = -1;
	t->proc_fd = proc_fd;
	if (max == 0 || max > UINT32_MAX / CELLS_PER_INODE - 16)
		return -EINVAL;
	if (getrandom(&t->seed, sizeof(t->seed), GRND_NONBLOCK) != sizeof(t->seed))
		t->seed = (uint64_t)(uintptr_t)t;
	pthread_mutex_init(&t->tree, NULL);
	for (unsigned int i = 0; i < INODE_STRIPES; i++)
		pthread_mutex_init(&t->stripes[i].lock, NULL);
	r = table_carve(t, max);
	if (r == 0)
		r = fdcache_init(&t->fds, max + 2, max_fds);
	if (r == 0)
		r = root_init(t, root_fd);
	if (r < 0)
		inode_table_done(t);
	return r;
}

void inode_table_done(struct inode_table *t)
{
	fdcache_done(&t->fds);
	ident_mounts_done(&t->mounts);
	cells_done(&t->cells);
	slots_done(&t->slots);
	arena_done(&t->arena);
	for (unsigned int i = 0; i < INODE_STRIPES; i++)
		pthread_mutex_destroy(&t->stripes[i].lock);
	pthread_mutex_destroy(&t->tree);
}
