// SPDX-License-Identifier: Apache-2.0
/* From a name on the host to an inode's record, and from a record back to a descriptor. */
/*
 * Theory of operation
 *
 * Finding. statx(2) of the name gives identity without the handle. A record with the same identity and
 * an open descriptor is the one: as long as it is open the inode number is in use. So is one with the
 * same time of birth, where that counts (ident.c). Otherwise the handle is read by name and compared.
 * The two calls can see two different inodes if the host swaps the name between them; the record that
 * comes of it fits no inode, fails its proof when it is opened, and the guest looks the name up again.
 * So nothing need be opened to make a record. One that is found by identity alone, under the name it goes by, is
 * found without the stripe's lock (inode_impl.h, inode_change()).
 *
 * Where there are no handles, or no name (O_TMPFILE), the descriptor itself is the identity: it is
 * opened first, stat'ed, and kept for the life of the record.
 *
 * Opening. By handle where that can be done (inode_handle.c), else by name: up from the inode to the
 * first ancestor that has a descriptor or can be opened by handle (the root has one), then down
 * again, one component at a time: openat2(2) beneath the directory without following links, statx(2)
 * and name_to_handle_at(2) of what was opened, compared with the record. References are held on the
 * records of the way, and a pin on the descriptor of the last step, so the cache can be as small as
 * two. The names are copied under the stripe's lock and may be stale a moment later; the proof
 * decides. A step that fails because the host has moved things is asked of inode_table.rescue, which
 * knows what the guest has open.
 *
 * What is about to lose its name is opened by it first, and then compared: what the guest does not know, or has
 * open anyway, costs a call or two too many that way, and what it has merely seen, as nearly all that is
 * removed, one or two less than it would to find it and to open it then.
 *
 * A lookup leaves a descriptor for later, which mostly is never. But what the host replaces between the
 * lookup and the first use would be stale, though its name lives, and Linux tries again only once. So
 * lookups open what they find where the guest may keep nothing and comes back at once (@eager), and for
 * a while after something has proven stale, which is when a guest tries again.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fd.h"
#include "inode.h"
#include "inode_impl.h"
#include "util.h"

/* Deeper than this an inode whose ancestors were all closed is not found again. */
#define DEPTH_MAX 2048u
/* So many records of a chain are looked at without the lock. */
#define UNLOCKED_MAX 16u
/* How often idle descriptors are closed when the process's limit is lower than we were told. */
#define EMFILE_TRIES 16

/* After something has proven stale: so many lookups open what they find. */
#define STALE_LOOKUPS 64u

#define OPEN_FLAGS (O_PATH | O_NOFOLLOW | O_CLOEXEC)

/* seccomp: openat2, openat */
static int open_component(struct inode_table *t, int dirfd, const char *name)
{
	struct open_how how = {
		.flags = OPEN_FLAGS,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	int fd;

	if (likely(!atomic_load_explicit(&t->no_openat2, memory_order_relaxed))) {
		fd = (int)syscall(SYS_openat2, dirfd, name, &how, sizeof(how));
		if (fd >= 0 || (errno != ENOSYS && errno != EPERM))
			return fd < 0 ? -errno : fd;
		if (errno == ENOSYS)
			atomic_store_explicit(&t->no_openat2, true, memory_order_relaxed);
	}
	/* One component that is neither ".." nor a link: the same thing, without the belt. */
	fd = openat(dirfd, name, OPEN_FLAGS);
	return fd < 0 ? -errno : fd;
}

/* O_PATH of one component; closes idle descriptors if the process's limit is lower than we think. */
static int open_path(struct inode_table *t, int dirfd, const char *name)
{
	int r = open_component(t, dirfd, name);

	for (int i = 0; i < EMFILE_TRIES && r == -EMFILE && fdcache_shrink(&t->fds); i++)
		r = open_component(t, dirfd, name);
	return r == -EMFILE ? -ENFILE : r;
}

static int at_stat(const struct inode_at *at, struct statx *ret)
{
	return at->fd >= 0 ? ident_stat(at->fd, "", AT_EMPTY_PATH, ret)
			   : ident_stat(at->dirfd, at->name, 0, ret);
}

static int at_handle(const struct inode_at *at, struct ident_mount *mount, struct ident_handle *ret)
{
	return at->fd >= 0 ? ident_handle(mount, at->fd, "", AT_EMPTY_PATH, ret)
			   : ident_handle(mount, at->dirfd, at->name, 0, ret);
}

/* An O_PATH descriptor of its own, within the budget. */
static int at_open(struct inode_table *t, const struct inode_at *at)
{
	char path[16];
	int r = fdcache_reserve(&t->fds);

	if (r < 0)
		return r;
	if (at->fd < 0) {
		r = open_path(t, at->dirfd, at->name);
	} else {
		snprintf(path, sizeof(path), "%d", at->fd);
		r = openat(t->proc_fd, path, O_PATH | O_CLOEXEC);
		if (r < 0)
			r = errno == EMFILE ? -ENFILE : -errno;
	}
	if (r < 0)
		fdcache_release(&t->fds);
	return r;
}

/* Whether a record with such an identity is the one that has it now, its handle unseen. */
static bool is_proven(const struct inode_table *t, const struct inode *ino, uint32_t slot,
		      const struct inode_key *key)
{
	return ino->flags & INODE_NO_HANDLE || fdcache_has(&t->fds, slot) ||
	       (ino->birth && ino->birth == key->birth);
}

/*
 * The next record from @slot on with an identity: by its handle if @h has one, else one whose
 * descriptor is open or whose birth is the same. It may be on its way out. Under the stripe's lock.
 */
static struct inode *chain_next(struct inode_table *t, uint32_t slot, const struct inode_key *key,
				const struct ident_handle *h)
{
	struct inode *ino;

	for (; slot; slot = ino->next) {
		ino = inode_in(t, slot);
		if (!inode_matches(ino, key))
			continue;
		if (h && h->len && !(ino->flags & INODE_NO_HANDLE)) {
			if (inode_same_handle(t, ino, h))
				return ino;
		} else if (is_proven(t, ino, slot, key)) {
			return ino;
		}
	}
	return NULL;
}

/* Whether the handle would tell more of such an identity. Under the stripe's lock. */
static bool chain_may_have(struct inode_table *t, uint64_t hash, const struct inode_key *key)
{
	uint32_t slot = *inode_chain(t, hash);

	while (slot && !inode_matches(inode_in(t, slot), key))
		slot = inode_in(t, slot)->next;
	return slot;
}

/* The record with an identity, with a reference. Under the stripe's lock. */
static struct inode *chain_find(struct inode_table *t, uint64_t hash, const struct inode_key *key,
				const struct ident_handle *h)
{
	struct inode *ino = chain_next(t, *inode_chain(t, hash), key, h);

	while (ino && !slots_try_ref(ino))
		ino = chain_next(t, ino->next, key, h);
	return ino;
}

/* Count a lookup where there is one already. Any thread. */
static bool count_another(struct inode *ino)
{
	uint64_t n = atomic_load_explicit(&ino->nlookup, memory_order_relaxed);

	do {
		if (n == 0 || n == UINT64_MAX)
			return n;
	} while (!atomic_compare_exchange_weak_explicit(
		&ino->nlookup, &n, n + 1, memory_order_acquire, memory_order_relaxed));
	return true;
}

/*
 * Count a lookup; the first one takes a reference. False if the record is on its way out. Under the
 * stripe's lock.
 */
static bool count_lookup(struct inode *ino)
{
	if (count_another(ino))
		return true;
	if (!slots_try_ref(ino))
		return false;
	atomic_store_explicit(&ino->nlookup, 1, memory_order_release);
	return true;
}

static int store_handle(struct inode_table *t, struct inode *ino, const struct ident_handle *h)
{
	ino->handle_type = h->type;
	ino->handle_len = h->len;
	if (h->len == 0) {
		ino->flags |= INODE_NO_HANDLE;
	} else if (h->len <= sizeof(ino->handle.bytes)) {
		memcpy(ino->handle.bytes, h->bytes, h->len);
	} else {
		ino->handle.cell = cells_put(&t->cells, h->bytes, h->len);
		if (!ino->handle.cell)
			return -ENOMEM;
		ino->flags |= INODE_LONG;
	}
	return 0;
}

/* A record with one lookup and the reference for that. Under the stripe's lock. */
static struct inode *record_new(struct inode_table *t, const struct inode_key *key,
				const struct ident_handle *h, uint32_t settled,
				const struct inode_at *at)
{
	struct inode *ino = slots_alloc(&t->slots);
	size_t len = at->name ? strlen(at->name) : 0;

	if (!ino)
		return NULL;
	ino->ino = key->ino;
	ino->dev = key->dev;
	ino->type = key->type;
	ino->birth = settled;
	if (at->name)
		ino->name = cells_put(&t->cells, at->name, len);
	if (store_handle(t, ino, h) < 0 || (at->name && !ino->name)) {
		cells_drop(&t->cells, ino->name, len);
		if (ino->flags & INODE_LONG)
			cells_drop(&t->cells, ino->handle.cell, h->len);
		slots_free(&t->slots, ino);
		return NULL;
	}
	ino->mount = key->mount;
	ident_mount_ref(&t->mounts, key->mount);
	if (at->name) {
		slots_ref(at->dir);
		ino->parent = inode_slot(t, at->dir);
		ino->name_len = (uint8_t)len;
	}
	inode_link(t, ino);
	slots_publish(ino);
	/* Last: a lookup that goes wrong must be able to take its count back. */
	atomic_store_explicit(&ino->nlookup, 1, memory_order_release);
	return ino;
}

#define peek(x) __atomic_load_n(&(x), __ATOMIC_RELAXED)

/* What seems to be the record with an identity, if it goes by @at's name. Its stripe may change meanwhile. */
static struct inode *chain_glance(struct inode_table *t, uint64_t hash, const struct inode_key *key,
				  const struct inode_at *at)
{
	uint32_t slot = peek(*inode_chain(t, hash));

	for (unsigned int n = 0; slot && n < UNLOCKED_MAX; n++) {
		struct inode *ino = inode_in(t, slot);

		if (inode_matches(ino, key) && is_proven(t, ino, slot, key))
			return inode_has_name(t, ino, at->dir, at->name, strlen(at->name)) ? ino
											   : NULL;
		slot = peek(ino->next);
	}
	return NULL;
}

/*
 * find_or_make() for what the guest knows by this very name, without the lock: see inode_change(). False: it may
 * be known all the same. @ret_surplus: an id of which one lookup too many was counted, or as it was; to be taken
 * back when the inode was found otherwise, so that it is not forgotten in between. Whatever is read on the way,
 * names and buckets lie in the arena, and so does what is up to a name's length behind them.
 */
static bool find_unlocked(struct inode_table *t, const struct inode_key *key,
			  const struct inode_at *at, struct inode_found *ret, uint64_t *ret_surplus)
{
	uint64_t hash = inode_hash(t, key->ino, key->dev, key->mount);
	struct inode_stripe *s = &t->stripes[hash % INODE_STRIPES];
	uint32_t seq = atomic_load_explicit(&s->seq, memory_order_acquire);
	struct inode *ino;

	unordered_reads_begin();
	ino = chain_glance(t, hash, key, at);
	unordered_reads_end();
	if (!ino || seq & 1 || !count_another(ino))
		return false;
	*ret = (struct inode_found){.id = inode_id(t, ino), .mount = key->mount};
	atomic_thread_fence(memory_order_acquire);
	if (likely(atomic_load_explicit(&s->seq, memory_order_relaxed) == seq))
		return true;
	*ret_surplus = ret->id;
	return false;
}

/* What find_or_make() came to. */
struct found {
	struct inode *ino; /* with a reference, if @made or @renamed, or asked for */
	bool made;
	bool renamed;
};

/*
 * The record that @key and @h say, made if there is none and @h is there, with a lookup counted. In
 * the usual case no reference is taken, only the id is read: the guest may forget it at once. With
 * @take there is one. @settled: its birth if that is settled, else 0.
 */
static bool find_or_make(struct inode_table *t, const struct inode_key *key,
			 const struct ident_handle *h, uint32_t settled, const struct inode_at *at,
			 bool take, struct inode_found *ret, struct found *f)
{
	uint64_t hash = inode_hash(t, key->ino, key->dev, key->mount);
	struct inode_stripe *s = &t->stripes[hash % INODE_STRIPES];
	struct inode *ino;

	*f = (struct found){0};
	pthread_mutex_lock(&s->lock);
	ino = chain_next(t, *inode_chain(t, hash), key, h);
	while (ino && !count_lookup(ino))
		ino = chain_next(t, ino->next, key, h);
	if (ino) {
		f->renamed =
			at->name && !inode_has_name(t, ino, at->dir, at->name, strlen(at->name));
		if (unlikely(settled))
			ino->birth = settled;
	} else if (h) {
		ino = record_new(t, key, h, settled, at);
		f->made = ino != NULL;
	}
	if (ino) {
		*ret = (struct inode_found){.id = inode_id(t, ino), .mount = ino->mount};
		if (f->made || f->renamed || take) {
			slots_ref(ino);
			f->ino = ino;
		}
	}
	pthread_mutex_unlock(&s->lock);
	return ino != NULL;
}

/* Identity but for the handle. Its mount is the directory's, or @ret->held has a reference on it. */
static int key_of(struct inode_table *t, const struct inode_at *at, const struct statx *stx,
		  struct inode_key *ret)
{
	uint64_t id = ident_mount_key(stx);
	uint16_t mount = at->dir->mount;
	bool held = t->mounts.mounts[mount].key != id;

	if (unlikely(held))
		mount = ident_mount_get(&t->mounts, id);
	if (!mount)
		return -ENFILE;
	*ret = (struct inode_key){.ino = stx->stx_ino,
				  .dev = ident_dev(stx),
				  .mount = mount,
				  .type = (uint8_t)(stx->stx_mode >> 12),
				  .birth = ident_birth(&t->mounts.mounts[mount], stx, t->seed),
				  .held = held};
	return 0;
}

static void key_put(struct inode_table *t, struct inode_key *key)
{
	if (key->held)
		inode_mount_put(t, key->mount);
	key->held = false;
}

/* A record was made: its descriptor, and what its mount should know. */
static void adopt(struct inode_table *t, struct inode *ino, const struct inode_at *at, int *fd)
{
	struct ident_mount *mount = &t->mounts.mounts[ino->mount];
	struct fdcache_pin pin = {.fd = -1};
	uint32_t slot = inode_slot(t, ino), none = 0;

	if (ino->mount != at->dir->mount) {
		atomic_compare_exchange_strong_explicit(&mount->top, &none, slot,
							memory_order_relaxed, memory_order_relaxed);
		if (none == 0 && at->name)
			ident_mount_learn(mount, at->dirfd, at->name);
		inode_mount_enter(t, ino, at);
	}
	if (*fd < 0)
		return;
	fdcache_insert(&t->fds, slot, fd_steal(fd), &pin);
	fdcache_keep(&t->fds, slot, true);
	fdcache_unpin(&t->fds, &pin);
}

/* Whether this lookup opens what it finds. */
static bool wants_fd(struct inode_table *t)
{
	uint32_t n = atomic_load_explicit(&t->stale, memory_order_relaxed);

	/* That threads count the same one twice does not matter. */
	if (unlikely(n))
		atomic_store_explicit(&t->stale, n - 1, memory_order_relaxed);
	return t->eager || n;
}

/* The birth of an inode, if that is proof from now on. */
static uint32_t settled_birth(const struct inode_table *t, const struct inode_key *key,
			      const struct statx *stx)
{
	uint32_t birth = ident_birth(&t->mounts.mounts[key->mount], stx, t->seed);

	return birth && ident_settled(stx) ? birth : 0;
}

/* The slow way: by its handle, or by a descriptor where that is all there is. */
static int lookup_slow(struct inode_table *t, const struct inode_at *at, struct statx *stx,
		       struct inode_key *key, struct inode_found *ret, struct found *f)
{
	bool hold = at->name && at->fd < 0 && wants_fd(t), keep = false;
	struct inode_at opened = *at;
	struct ident_handle h;
	scoped_fd int fd = -1;
	int r = hold ? 0 : at_handle(at, &t->mounts.mounts[key->mount], &h), none = -1;

	if (r < 0)
		return r;
	if (hold || h.len == 0 || !at->name) {
		fd = at_open(t, at);
		if (fd < 0)
			return fd;
		key_put(t, key);
		opened.fd = fd;
		r = at_stat(&opened, stx);
		if (r == 0)
			r = key_of(t, at, stx, key);
		if (r == 0)
			r = at_handle(&opened, &t->mounts.mounts[key->mount], &h);
	}
	if (r == 0) {
		keep = h.len == 0 || !at->name;
		if (!find_or_make(t, key, &h, settled_birth(t, key, stx), at, hold, ret, f))
			r = -ENOMEM;
	}
	if (r == 0 && f->made)
		adopt(t, f->ino, at, keep ? &fd : &none);
	if (r == 0 && hold && fd >= 0) {
		struct fdcache_pin pin;

		inode_insert(t, f->ino, fd_steal(&fd), &pin);
		fdcache_unpin(&t->fds, &pin);
	}
	if (fd >= 0)
		fdcache_release(&t->fds);
	return r;
}

int inode_lookup(struct inode_table *t, const struct inode_at *at, struct statx *ret_stx,
		 struct inode_found *ret)
{
	struct found f = {0};
	struct inode_key key;
	uint64_t surplus = 0;
	int r = at_stat(at, ret_stx);

	if (r == 0)
		r = key_of(t, at, ret_stx, &key);
	if (r < 0)
		return r;
	/* The birth tells which one it is, but leaves no descriptor. */
	if (unlikely(t->eager || atomic_load_explicit(&t->stale, memory_order_relaxed)))
		key.birth = 0;
	if (likely(at->name && find_unlocked(t, &key, at, ret, &surplus))) {
		key_put(t, &key);
		return 0;
	}
	if (!find_or_make(t, &key, NULL, 0, at, false, ret, &f))
		r = lookup_slow(t, at, ret_stx, &key, ret, &f);
	if (unlikely(surplus))
		inode_forget(t, surplus, 1);
	key_put(t, &key);
	if (unlikely(f.renamed))
		inode_renamed(t, f.ino, at->dir, at->name);
	inode_put(t, f.ino);
	return r;
}

struct inode *inode_peek(struct inode_table *t, const struct inode_at *at)
{
	struct inode *ino = NULL;
	struct inode_stripe *s;
	struct ident_handle h;
	struct inode_key key;
	struct statx stx;
	uint64_t hash;
	bool known;

	if (at_stat(at, &stx) < 0 || key_of(t, at, &stx, &key) < 0)
		return NULL;
	hash = inode_hash(t, key.ino, key.dev, key.mount);
	s = &t->stripes[hash % INODE_STRIPES];
	pthread_mutex_lock(&s->lock);
	ino = chain_find(t, hash, &key, NULL);
	known = chain_may_have(t, hash, &key);
	pthread_mutex_unlock(&s->lock);
	if (!ino && known && at_handle(at, &t->mounts.mounts[key.mount], &h) == 0) {
		pthread_mutex_lock(&s->lock);
		ino = chain_find(t, hash, &key, &h);
		pthread_mutex_unlock(&s->lock);
	}
	key_put(t, &key);
	return ino;
}

/* Whether the open @fd is @ino. */
static int prove(struct inode_table *t, const struct inode *ino, int fd)
{
	struct ident_mount *mount = &t->mounts.mounts[ino->mount];
	struct ident_handle h;
	struct statx stx;
	int r = ident_stat(fd, "", AT_EMPTY_PATH, &stx);

	if (r < 0)
		return r;
	if (!inode_is(t, ino, &stx))
		return -ESTALE;
	/* Without a handle nothing proves that the number was not used again. */
	if (ino->flags & INODE_NO_HANDLE)
		return -ESTALE;
	r = ident_handle(mount, fd, "", AT_EMPTY_PATH, &h);
	if (r == 0 && !inode_same_handle(t, ino, &h))
		r = -ESTALE;
	return r;
}

/* Copy the name of @ino, if it is in @dir. */
static bool name_in(struct inode_table *t, struct inode *ino, const struct inode *dir, char *name)
{
	struct inode_stripe *s = inode_stripe(t, ino);
	bool there;

	pthread_mutex_lock(&s->lock);
	there = ino->parent == inode_slot(t, dir);
	if (there) {
		memcpy(name, cells_at(&t->cells, ino->name), ino->name_len);
		name[ino->name_len] = '\0';
	}
	pthread_mutex_unlock(&s->lock);
	return there;
}

void inode_insert(struct inode_table *t, struct inode *ino, int fd, struct fdcache_pin *ret)
{
	struct inode_stripe *s = inode_stripe(t, ino);

	fdcache_insert(&t->fds, inode_slot(t, ino), fd, ret);
	/* Without a name, or when it went just now, this descriptor is all that is left. */
	pthread_mutex_lock(&s->lock);
	if (!ino->parent)
		fdcache_keep(&t->fds, inode_slot(t, ino), true);
	pthread_mutex_unlock(&s->lock);
}

/* One step down: from @pin, the descriptor of @dir, to that of @ino. */
static int step(struct inode_table *t, const struct inode *dir, struct inode *ino,
		struct fdcache_pin *pin)
{
	char name[NAME_MAX + 1];
	scoped_fd int fd = -1;
	int r;

	if (!name_in(t, ino, dir, name))
		return -ESTALE;
	r = fdcache_reserve(&t->fds);
	if (r < 0)
		return r;
	fd = open_path(t, pin->fd, name);
	r = fd < 0 ? fd : prove(t, ino, fd);
	if (r < 0) {
		fdcache_release(&t->fds);
		return r == -ENOENT || r == -ENOTDIR || r == -ELOOP || r == -EXDEV ? -ESTALE : r;
	}
	fdcache_unpin(&t->fds, pin);
	inode_insert(t, ino, fd_steal(&fd), pin);
	return 0;
}

static struct inode *parent_get(struct inode_table *t, struct inode *ino)
{
	struct inode_stripe *s = inode_stripe(t, ino);
	struct inode *parent = NULL;

	pthread_mutex_lock(&s->lock);
	if (ino->parent) {
		parent = inode_in(t, ino->parent);
		slots_ref(parent);
	}
	pthread_mutex_unlock(&s->lock);
	return parent;
}

static int rescue(struct inode_table *t, struct inode *ino, struct fdcache_pin *ret)
{
	return t->rescue ? t->rescue(t, ino, ret) : -ESTALE;
}

static bool at_hand(struct inode_table *t, struct inode *ino, struct fdcache_pin *pin)
{
	return fdcache_pin(&t->fds, inode_slot(t, ino), pin) ||
	       (t->by_handle && inode_open_handle(t, ino, pin) == 0);
}

static int reopen(struct inode_table *t, struct inode *ino, struct fdcache_pin *ret)
{
	struct fdcache_pin pin = {.fd = -1};
	uint32_t way[DEPTH_MAX];
	unsigned int depth = 0;
	struct inode *at = ino;
	int r = 0;

	/* Up: way[] holds a reference on each, but for @ino, which is the caller's. */
	while (!at_hand(t, at, &pin)) {
		struct inode *parent = depth < DEPTH_MAX ? parent_get(t, at) : NULL;

		if (!parent) {
			r = rescue(t, at, &pin);
			break;
		}
		way[depth++] = inode_slot(t, at);
		at = parent;
	}
	/* Down, giving back what is behind. */
	while (depth > 0) {
		struct inode *next = inode_in(t, way[--depth]);

		if (r == 0)
			r = step(t, at, next, &pin);
		if (r == -ESTALE) {
			fdcache_unpin(&t->fds, &pin);
			r = rescue(t, next, &pin);
		}
		inode_put(t, at);
		at = next;
	}
	if (r < 0)
		fdcache_unpin(&t->fds, &pin);
	else
		*ret = pin;
	if (r == -ESTALE)
		atomic_store_explicit(&t->stale, STALE_LOOKUPS, memory_order_relaxed);
	return r;
}

int inode_open(struct inode_table *t, struct inode *ino, struct fdcache_pin *ret)
{
	if (likely(fdcache_pin(&t->fds, inode_slot(t, ino), ret)))
		return 0;
	return reopen(t, ino, ret);
}

int inode_open_as(struct inode_table *t, struct inode *ino, int fd, struct fdcache_pin *ret)
{
	const struct inode_at at = {.fd = fd};
	int own = at_open(t, &at);

	if (own < 0)
		return own;
	inode_insert(t, ino, own, ret);
	return 0;
}

struct inode *inode_hold(struct inode_table *t, const struct inode_at *at, struct fdcache_pin *ret)
{
	scoped_fd int fd = at_open(t, at);
	struct inode_at opened = *at;
	struct inode *ino;

	if (fd < 0 && fd != -ENFILE)
		return NULL;
	/* Where none is free, what is open already can be held all the same. */
	if (fd >= 0)
		opened.fd = fd;
	ino = inode_peek(t, &opened);
	if (ino && inode_named(t, ino, at->dir, at->name)) {
		if (fd >= 0) {
			inode_insert(t, ino, fd_steal(&fd), ret);
			return ino;
		}
		if (inode_open(t, ino, ret) == 0)
			return ino;
	}
	if (fd >= 0)
		fdcache_release(&t->fds);
	inode_put(t, ino);
	return NULL;
}
