// SPDX-License-Identifier: Apache-2.0
/* Who holds byte-range locks in which inode, each with an open file description of its own. */
/*
 * Theory of operation
 *
 * A table of lists, by inode, of records with references. The table has one, and so has each request
 * that uses a record; the last one to let go closes the description, and the locks on it go with it.
 * To end an owner's locks is to take its record out of the table. Should a request still use it, it
 * is unlocked at once as well, and what that request may yet be granted goes when it lets go.
 *
 * A FLUSH is no such end where requests use the record: in Linux, a thread that waits for a lock while
 * another one closes the file gets its lock in the end. The record then stays, with nothing locked.
 *
 * Threads: any. Lock: pt_locks.lock, a leaf; open, close, lock and unlock happen outside it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "lock_owner.h"
#include "pt_impl.h"
#include "util.h"

static struct lock_owner **bucket(struct pt_locks *l, uint64_t node)
{
	return &l->buckets[(node * 0x9e3779b97f4a7c15ull >> 32) % LOCK_OWNER_BUCKETS];
}

static void close_owner(struct pt *pt, struct lock_owner *own)
{
	close(own->fd);
	fdcache_release(&pt->inodes.fds);
	free(own);
}

/* Under the lock. Returns whether it was the last one: the caller closes it without the lock. */
static bool unref(struct pt_locks *l, struct lock_owner *own)
{
	if (--own->refs)
		return false;
	lock_range_free(&own->ranges, &l->budget);
	return true;
}

void lock_owner_put(struct pt *pt, struct lock_owner *own)
{
	bool last;

	pthread_mutex_lock(&pt->locks.lock);
	last = unref(&pt->locks, own);
	pthread_mutex_unlock(&pt->locks.lock);
	if (last)
		close_owner(pt, own);
}

/* Under the lock. Returns it with a reference, or NULL. */
static struct lock_owner *find(struct pt_locks *l, uint64_t node, uint64_t owner)
{
	struct lock_owner *own = *bucket(l, node);

	while (own && (own->node != node || own->owner != owner))
		own = own->next;
	if (own)
		own->refs++;
	return own;
}

struct lock_owner *lock_owner_find(struct pt *pt, uint64_t node, uint64_t owner)
{
	struct pt_locks *l = &pt->locks;
	struct lock_owner *own;

	if (!atomic_load_explicit(&l->count, memory_order_relaxed))
		return NULL;
	pthread_mutex_lock(&l->lock);
	own = find(l, node, owner);
	pthread_mutex_unlock(&l->lock);
	return own;
}

/*
 * Any lock should be possible on it, whatever handle comes next. Files that cannot be written may
 * still be locked for reading.
 */
/* seccomp: openat */
static int open_description(struct pt *pt, int fd)
{
	static const int modes[] = {O_RDWR, O_RDONLY, O_WRONLY};
	const struct pt_fdname name = pt_fdname(fd);
	int r = -ENOLCK;

	for (unsigned int i = pt->conf.readonly ? 1 : 0; i < ARRAY_SIZE(modes); i++) {
		fd = openat(pt->conf.proc_fd_fd, name.s, modes[i] | O_CLOEXEC | O_NOCTTY);
		if (fd >= 0)
			return fd;
		r = -errno;
		if (r != -EACCES && r != -EPERM && r != -EROFS && r != -ETXTBSY)
			break;
	}
	return r == -EMFILE || r == -ENFILE ? -ENOLCK : r;
}

static int owner_new(struct pt *pt, const struct pt_file *file, const struct fuse_lk_in *in,
		     struct lock_owner **ret)
{
	struct lock_owner *own;
	int r;

	if (atomic_load(&pt->locks.count) >= PT_LOCK_OWNERS_MAX)
		return -ENOLCK;
	own = calloc(1, sizeof(*own));
	if (!own)
		return -ENOLCK;
	r = fdcache_reserve(&pt->inodes.fds);
	if (r < 0) {
		free(own);
		return -ENOLCK;
	}
	own->fd = open_description(pt, file->ref.file->fd);
	if (own->fd < 0) {
		r = own->fd;
		fdcache_release(&pt->inodes.fds);
		free(own);
		return r;
	}
	own->node = file->ref.rec->node;
	own->owner = in->owner;
	own->fh = in->fh;
	*ret = own;
	return 0;
}

int lock_owner_get(struct pt *pt, const struct pt_file *file, const struct fuse_lk_in *in,
		   struct lock_owner **ret)
{
	struct lock_owner *own, *new = NULL, **head;
	struct pt_locks *l = &pt->locks;
	int r;

	own = lock_owner_find(pt, file->ref.rec->node, in->owner);
	if (!own) {
		r = owner_new(pt, file, in, &new);
		if (r < 0)
			return r;
		pthread_mutex_lock(&l->lock);
		own = find(l, new->node, new->owner);
		if (!own) {
			head = bucket(l, new->node);
			new->next = *head;
			*head = own = new;
			new->refs = 2;
			new = NULL;
			atomic_fetch_add(&l->count, 1);
		}
	} else {
		pthread_mutex_lock(&l->lock);
	}
	if (own->fh != in->fh)
		own->shared = true;
	r = lock_range_reserve(&own->ranges, in->lk.start, in->lk.end, in->lk.type, &l->budget);
	pthread_mutex_unlock(&l->lock);
	if (new)
		close_owner(pt, new);
	if (r < 0)
		lock_owner_put(pt, own);
	else
		*ret = own;
	return r;
}

/* seccomp: fcntl 1==F_OFD_SETLK */
static int unlock_all(const struct lock_owner *own)
{
	struct flock fl = {.l_type = F_UNLCK, .l_whence = SEEK_SET};

	return fcntl(own->fd, F_OFD_SETLK, &fl);
}

/* Under the lock: out of the table; the reference that it held is the caller's. */
static struct lock_owner *take(struct pt_locks *l, struct lock_owner **at)
{
	struct lock_owner *own = *at;

	*at = own->next;
	own->next = NULL;
	atomic_store(&own->gone, true);
	atomic_fetch_sub(&l->count, 1);
	return own;
}

/* Let go of those that were taken: at once, also where a request in flight still uses them. */
static void drop(struct pt *pt, struct lock_owner *list)
{
	while (list) {
		struct lock_owner *own = list;

		list = own->next;
		unlock_all(own);
		lock_owner_put(pt, own);
	}
}

static bool tied_to(const struct lock_owner *own, uint64_t fh)
{
	return own->fh == fh && !own->shared;
}

void lock_owner_drop(struct pt *pt, uint64_t node, const uint64_t *fh)
{
	struct lock_owner *own, *list = NULL, **at;
	struct pt_locks *l = &pt->locks;

	pthread_mutex_lock(&l->lock);
	for (at = bucket(l, node); *at;) {
		if ((*at)->node == node && (!fh || tied_to(*at, *fh))) {
			own = take(l, at);
			own->next = list;
			list = own;
		} else {
			at = &(*at)->next;
		}
	}
	pthread_mutex_unlock(&l->lock);
	drop(pt, list);
}

void lock_owner_flush(struct pt *pt, uint64_t nodeid, uint64_t owner)
{
	struct pt_locks *l = &pt->locks;
	struct lock_owner **at, *own = NULL;
	bool last = false;

	if (!atomic_load_explicit(&l->count, memory_order_relaxed))
		return;
	pthread_mutex_lock(&l->lock);
	for (at = bucket(l, nodeid); *at; at = &(*at)->next) {
		own = *at;
		if (own->node == nodeid && own->owner == owner)
			break;
		own = NULL;
	}
	/* Another thread of the process may wait for a lock, which it will get. */
	if (own && own->refs == 1)
		last = unref(l, take(l, at));
	else if (own)
		own->refs++;
	if (own && !last)
		lock_range_free(&own->ranges, &l->budget);
	pthread_mutex_unlock(&l->lock);
	if (last) {
		close_owner(pt, own);
	} else if (own) {
		unlock_all(own);
		lock_owner_put(pt, own);
	}
}

void lock_owner_clear(struct pt *pt)
{
	struct pt_locks *l = &pt->locks;
	struct lock_owner *own, *list = NULL;

	pthread_mutex_lock(&l->lock);
	for (uint32_t i = 0; i < LOCK_OWNER_BUCKETS && atomic_load(&l->count); i++) {
		while (l->buckets[i]) {
			own = take(l, &l->buckets[i]);
			own->next = list;
			list = own;
		}
	}
	pthread_mutex_unlock(&l->lock);
	drop(pt, list);
}

void lock_owner_settle(struct pt *pt, struct lock_owner *own, const struct fuse_file_lock *lk,
		       bool made)
{
	struct pt_locks *l = &pt->locks;

	pthread_mutex_lock(&l->lock);
	if (made) {
		lock_range_set(&own->ranges, lk->start, lk->end, lk->type);
		own->pid = lk->pid;
	} else {
		lock_range_cancel(&own->ranges);
	}
	pthread_mutex_unlock(&l->lock);
}

uint32_t lock_owner_holder(struct pt *pt, uint64_t node, uint64_t owner, uint64_t start)
{
	struct pt_locks *l = &pt->locks;
	uint32_t pid = 0;

	pthread_mutex_lock(&l->lock);
	for (struct lock_owner *own = *bucket(l, node); own && !pid; own = own->next)
		if (own->node == node && own->owner != owner &&
		    lock_range_find(&own->ranges, start))
			pid = own->pid;
	pthread_mutex_unlock(&l->lock);
	return pid;
}
