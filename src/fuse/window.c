// SPDX-License-Identifier: Apache-2.0
/* The DAX window: which part of which file is mapped where. */
/*
 * Theory of operation
 *
 * The guest may map over what is mapped, unmap a part of a mapping, or what is not mapped at all. The
 * front-end takes nothing of that: a range is mapped when nothing is there, and unmapped as it was
 * mapped. So there is a list of the mappings as the front-end has them, sorted by their place in the
 * window, and each request becomes those messages that make the difference. It is an array of a fixed
 * size: a guest that wants more mappings than that is refused.
 *
 * What a request asks for may be there already, in one piece or in several: then there is no message, or
 * those for what is missing. Else what is in the way is unmapped, and what was in the way only in part is
 * mapped again where it was not.
 *
 * A mapping is stale when its session is over or the guest has forgotten its file; nobody has to look for
 * it then, as it is known by itself. FORGET and DESTROY must not wait for the front-end, so they ask for
 * somebody who may (@tidy). A stale mapping is never taken for what a request asks for.
 *
 * When the outcome of a message is not known (@doubt), nothing is sent before it is. What was perhaps
 * mapped is on the list as stale. That the front-end refuses to unmap something means that it has done
 * so by itself, as on a reset of the device.
 *
 * What the front-end can map is found out with a file of our own, before the first file of the guest's.
 * One that maps no page that is not within the file is called strict. There, a mapping ends where the
 * file's whole pages end, and is continued when the file has grown: @room says how far the guest believes
 * that it goes. A page that is the file's only in part cannot be shown; as a guest that looked there
 * would find nothing and not know it, a range with such a page is refused.
 *
 * Locks: @lock is held while the front-end is waited for, so only threads take it that may wait. What
 * others look at is atomic. The daemon's and the backend's functions are called under it.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fd.h"
#include "log.h"
#include "util.h"
#include "window.h"

#define RANGE      (UINT64_C(2) << 20) /* what Linux maps at a time */
#define MAPS_MIN   1024u
#define MAPS_MAX   65536u
#define NODE_BITS  12
#define NO_SESSION 0u

/**
 * struct mapping - as the front-end has it. All under window.lock.
 * @moffset, @len: where in the window.
 * @foffset: where in the file.
 * @nodeid:  the file.
 * @room:    bytes behind it that it is to be continued by when the file has them; always free.
 * @session: that it belongs to; NO_SESSION = stale.
 * @write:   it can be written to.
 */
struct mapping {
	uint64_t moffset;
	uint64_t len;
	uint64_t foffset;
	uint64_t nodeid;
	uint64_t room;
	uint32_t session;
	bool write;
};

/**
 * struct window - see above.
 * @size, @max, @ops, @owner: constant.
 * @files, @be: constant once a session has begun.
 * @session: of now; NO_SESSION = none.
 * @last:    the number of the last one. Control thread.
 * @kind:    enum window_kind. Written under @lock, and by window_reset().
 * @front:   how many front-ends there were.
 * @count:   @n for those who do not hold @lock.
 * @nodes:   how many mappings there are of files whose nodeid has this hash. Written under @lock.
 * @doubt:   the outcome of the last message is not known: it was about the mapping at @doubt_at, and a
 *           map or not (@doubt_map). Under @lock, as all that follows.
 * @seen:    @front when all of this was up to date.
 * @n, @map: the mappings, sorted by moffset.
 */
struct window {
	uint64_t size;
	unsigned int max;
	const struct window_ops *ops;
	void *owner;
	const struct window_files *files;
	void *be;
	_Atomic uint32_t session;
	uint32_t last;
	_Atomic int kind;
	_Atomic uint32_t front;
	_Atomic unsigned int count;
	_Atomic uint32_t nodes[1u << NODE_BITS];
	pthread_mutex_t lock;
	bool doubt;
	bool doubt_map;
	uint64_t doubt_at;
	uint32_t seen;
	unsigned int n;
	struct mapping map[];
};

uint64_t window_align(void)
{
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

int window_new(uint64_t size, const struct window_ops *ops, void *owner, struct window **ret)
{
	uint64_t max = MIN(MAX(2 * size / RANGE, (uint64_t)MAPS_MIN), (uint64_t)MAPS_MAX);
	struct window *w = calloc(1, sizeof(*w) + max * sizeof(w->map[0]));

	if (!w)
		return -ENOMEM;
	w->size = size;
	w->max = (unsigned int)max;
	w->ops = ops;
	w->owner = owner;
	pthread_mutex_init(&w->lock, NULL);
	*ret = w;
	return 0;
}

void window_free(struct window *w)
{
	if (!w)
		return;
	pthread_mutex_destroy(&w->lock);
	free(w);
}

bool window_holds(const struct window *w, uint64_t moffset, uint64_t len)
{
	return len && (moffset | len) % window_align() == 0 && len <= w->size &&
	       moffset <= w->size - len;
}

bool window_ready(const struct window *w)
{
	return w->ops->ready(w->owner);
}

void window_begin(struct window *w, const struct window_files *files, void *be)
{
	w->files = files;
	w->be = be;
	if (++w->last == NO_SESSION)
		w->last++;
	atomic_store(&w->session, w->last);
	w->ops->tidy(w->owner);
}

void window_end(struct window *w)
{
	atomic_store(&w->session, NO_SESSION);
	if (atomic_load(&w->count))
		w->ops->tidy(w->owner);
}

uint32_t window_session(const struct window *w)
{
	return atomic_load(&w->session);
}

void window_reset(struct window *w)
{
	atomic_fetch_add(&w->front, 1);
	atomic_store(&w->kind, WINDOW_UNKNOWN);
}

enum window_kind window_kind(const struct window *w)
{
	return (enum window_kind)atomic_load_explicit(&w->kind, memory_order_relaxed);
}

unsigned int window_count(const struct window *w)
{
	return atomic_load(&w->count);
}

/* ---- the list; from here on, under the lock ---- */

static uint64_t end_of(const struct mapping *m)
{
	return m->moffset + m->len;
}

static unsigned int hash(uint64_t nodeid)
{
	return (unsigned int)(nodeid * UINT64_C(0x9e3779b97f4a7c15) >> (64 - NODE_BITS));
}

/* The first mapping that ends behind @at. */
static unsigned int find(const struct window *w, uint64_t at)
{
	unsigned int low = 0, high = w->n;

	while (low < high) {
		unsigned int mid = low + (high - low) / 2;

		if (end_of(&w->map[mid]) <= at)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static void insert(struct window *w, const struct mapping *m)
{
	unsigned int i = find(w, m->moffset);

	memmove(&w->map[i + 1], &w->map[i], (w->n - i) * sizeof(*m));
	w->map[i] = *m;
	atomic_store(&w->count, ++w->n);
	atomic_fetch_add(&w->nodes[hash(m->nodeid)], 1);
}

static void drop(struct window *w, unsigned int i)
{
	atomic_fetch_sub(&w->nodes[hash(w->map[i].nodeid)], 1);
	atomic_store(&w->count, --w->n);
	memmove(&w->map[i], &w->map[i + 1], (w->n - i) * sizeof(w->map[0]));
}

static bool stale(const struct window *w, const struct mapping *m)
{
	return m->session == NO_SESSION || m->session != atomic_load(&w->session) ||
	       !w->files->alive(w->be, m->nodeid);
}

/* ---- messages ---- */

/* Not in doubt, and not to a front-end that has come since. */
static bool may_send(const struct window *w)
{
	return !w->doubt && w->seen == atomic_load(&w->front);
}

static bool unknown(int r)
{
	return r == -EINPROGRESS || r == -EINTR;
}

static void doubt(struct window *w, bool map, uint64_t at)
{
	w->doubt = true;
	w->doubt_map = map;
	w->doubt_at = at;
}

/* Before anything else is sent: who is it sent to, and what came of the last message? */
static int settle(struct window *w)
{
	uint32_t front = atomic_load(&w->front);
	int r;

	if (front != w->seen) {
		while (w->n)
			drop(w, w->n - 1);
		w->doubt = false;
		w->seen = front;
	}
	if (!w->doubt)
		return 0;
	r = w->ops->outcome(w->owner);
	if (r && r != -EREMOTEIO)
		return r;
	w->doubt = false;
	if (!w->doubt_map || r == -EREMOTEIO)
		drop(w, find(w, w->doubt_at));
	return 0;
}

/* Nothing is to be continued to @moffset and beyond. */
static void take_room(struct window *w, uint64_t moffset)
{
	unsigned int i = find(w, moffset);
	struct mapping *before = i ? &w->map[i - 1] : NULL;

	if (before && end_of(before) + before->room > moffset)
		before->room = moffset - end_of(before);
}

/* Map @m, where nothing is. */
static int map(struct window *w, const struct mapping *m, int fd)
{
	struct mapping done = *m;
	int r;

	if (!may_send(w))
		return -EINPROGRESS;
	if (w->n == w->max)
		return -ENOMEM;
	r = w->ops->map(w->owner, fd, m->foffset, m->moffset, m->len, m->write);
	if (unknown(r)) {
		done.session = NO_SESSION;
		doubt(w, true, m->moffset);
	} else if (r) {
		return r;
	}
	take_room(w, m->moffset);
	insert(w, &done);
	return r;
}

static int unmap(struct window *w, unsigned int i)
{
	struct mapping *m = &w->map[i];
	int r;

	if (!may_send(w))
		return -EINPROGRESS;
	r = w->ops->unmap(w->owner, m->moffset, m->len);
	if (r == 0 || r == -EREMOTEIO) {
		drop(w, i);
		return 0;
	}
	if (unknown(r)) {
		m->session = NO_SESSION;
		doubt(w, false, m->moffset);
	}
	return r;
}

/* What is left of a mapping on one side of what was taken out of it. */
static void map_rest(struct window *w, const struct mapping *m, uint64_t from, uint64_t to)
{
	struct mapping rest = *m;
	int fd, r;

	rest.foffset += from - m->moffset;
	rest.moffset = from;
	rest.len = to - from;
	if (to != end_of(m))
		rest.room = 0;
	fd = w->files->open(w->be, m->nodeid, m->write);
	r = fd < 0 ? fd : map(w, &rest, fd);
	if (fd >= 0)
		w->files->close(w->be, fd);
	if (r)
		log_debug("window: the rest of a mapping is lost: %s", strerror(-r));
}

static int clear(struct window *w, uint64_t moffset, uint64_t len)
{
	const uint64_t end = moffset + len;
	unsigned int i;

	take_room(w, moffset);
	for (i = find(w, moffset); i < w->n && w->map[i].moffset < end; i = find(w, moffset)) {
		const struct mapping m = w->map[i];
		bool rest = (m.moffset < moffset || end_of(&m) > end) && !stale(w, &m);
		int r = unmap(w, i);

		if (r)
			return r;
		if (rest && end_of(&m) > end)
			map_rest(w, &m, end, end_of(&m));
		if (rest && m.moffset < moffset)
			map_rest(w, &m, m.moffset, moffset);
	}
	return 0;
}

/* Is all that is in the range what @m wants there? */
static bool agrees(const struct window *w, const struct mapping *m)
{
	for (unsigned int i = find(w, m->moffset); i < w->n && w->map[i].moffset < end_of(m); i++) {
		const struct mapping *is = &w->map[i];

		if (is->nodeid != m->nodeid ||
		    is->foffset - is->moffset != m->foffset - m->moffset ||
		    (m->write && !is->write) || stale(w, is))
			return false;
	}
	return true;
}

/* Map what is missing of @m, where what is there is what it wants. */
static int fill(struct window *w, const struct mapping *m, int fd)
{
	uint64_t at = m->moffset;
	int r = 0;

	while (r == 0 && at < end_of(m)) {
		unsigned int i = find(w, at);
		uint64_t next = i < w->n ? w->map[i].moffset : w->size;
		struct mapping hole = *m;

		if (next > at) {
			hole.foffset += at - m->moffset;
			hole.moffset = at;
			hole.len = MIN(next, end_of(m)) - at;
			hole.room = 0;
			r = map(w, &hole, fd);
			at += hole.len;
		} else {
			at = end_of(&w->map[i]);
		}
	}
	if (r == 0 && m->room)
		w->map[find(w, end_of(m) - 1)].room = m->room;
	return r;
}

/* ---- what the front-end can do ---- */

/* Try to map @len bytes of our own file. 0, -EREMOTEIO, or why that is not known. */
static int try(struct window *w, int fd, uint64_t len)
{
	/* For writing: of those that tell us of memory, some do not tell of what is for reading only. */
	const struct mapping m = {.len = len, .session = NO_SESSION, .write = true};
	int r = map(w, &m, fd);

	return r ? r : unmap(w, find(w, 0));
}

static int probe(struct window *w)
{
	const uint64_t page = window_align();
	enum window_kind kind = WINDOW_WHOLE;
	scoped_fd int fd = -1;
	int r;

	if (window_kind(w) != WINDOW_UNKNOWN)
		return 0;
	/* A doubt of the last time. */
	r = clear(w, 0, w->size);
	if (r)
		return r;
	fd = memfd_create("culvert-dax", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, (off_t)page) < 0)
		return -errno;
	r = try(w, fd, 2 * page);
	if (r == -EREMOTEIO) {
		kind = WINDOW_STRICT;
		r = try(w, fd, page);
	}
	if (r == -EREMOTEIO) {
		kind = WINDOW_BROKEN;
		r = 0;
	}
	if (r)
		return r;
	if (!may_send(w))
		return -EINPROGRESS;
	atomic_store(&w->kind, (int)kind);
	log_debug("window: the front-end maps %s", kind == WINDOW_WHOLE ? "any part of a file"
						   : kind == WINDOW_STRICT
							   ? "whole pages within a file"
							   : "nothing");
	return 0;
}

/* ---- requests ---- */

static int enter(struct window *w)
{
	int r;

	pthread_mutex_lock(&w->lock);
	r = settle(w);
	if (r == 0)
		r = probe(w);
	/* One that does not answer at all: nobody should wait for it again and again. */
	if (r == -EINPROGRESS && w->doubt && window_kind(w) == WINDOW_UNKNOWN)
		atomic_store(&w->kind, WINDOW_BROKEN);
	return r;
}

static int leave(struct window *w, int r)
{
	pthread_mutex_unlock(&w->lock);
	if (r == 0 || r == -ENOMEM || r == -ESTALE)
		return r;
	/* A fault is tried again, which a file that waits for the ring to go on is worth. */
	if (r == -EINTR || r == -ECANCELED)
		return -EAGAIN;
	return r == -ENOSPC ? -ENOMEM : -EIO;
}

/* How much of @m a strict front-end can show. */
static int cut(const struct window *w, struct mapping *m, uint64_t size)
{
	const uint64_t page = window_align(), whole = size / page * page;

	if (window_kind(w) != WINDOW_STRICT)
		return 0;
	if (whole <= m->foffset || (whole != size && whole < m->foffset + m->len))
		return -EIO;
	if (m->len > whole - m->foffset) {
		m->room = m->len - (whole - m->foffset);
		m->len = whole - m->foffset;
	}
	return 0;
}

static int setup(struct window *w, const struct window_part *part, int fd, uint64_t size,
		 uint32_t session)
{
	struct mapping m = {
		.moffset = part->moffset,
		.len = part->len,
		.foffset = part->foffset,
		.nodeid = part->nodeid,
		.session = session,
		.write = part->write,
	};
	int r;

	if (session == NO_SESSION || session != atomic_load(&w->session))
		return -ESTALE;
	if (window_kind(w) == WINDOW_BROKEN)
		return -EIO;
	r = cut(w, &m, size);
	if (r)
		return r;
	if (agrees(w, &m))
		take_room(w, m.moffset);
	else
		r = clear(w, part->moffset, part->len);
	/* Behind the end of what can be shown there is nothing either. */
	if (r == 0 && m.room)
		r = clear(w, end_of(&m), m.room);
	return r ? r : fill(w, &m, fd);
}

int window_setup(struct window *w, const struct window_part *part, int fd, uint64_t size,
		 uint32_t session)
{
	int r = enter(w);

	if (r == 0)
		r = setup(w, part, fd, size, session);
	r = leave(w, r);
	/* The guest may have forgotten the file meanwhile, or ended the session. */
	if (r == 0 && (session != window_session(w) || !w->files->alive(w->be, part->nodeid)))
		w->ops->tidy(w->owner);
	return r;
}

int window_remove(struct window *w, uint64_t moffset, uint64_t len)
{
	int r = enter(w);

	if (r == 0)
		r = clear(w, moffset, len);
	return leave(w, r);
}

bool window_grows(const struct window *w, uint64_t nodeid)
{
	return window_kind(w) == WINDOW_STRICT && atomic_load(&w->nodes[hash(nodeid)]);
}

static bool continues(const struct window *w, const struct mapping *m, uint64_t nodeid)
{
	return m->room && m->nodeid == nodeid && !stale(w, m);
}

bool window_can_show(struct window *w, uint64_t nodeid, uint64_t size)
{
	const uint64_t part = size % window_align(), whole = size - part;
	bool can = true;

	pthread_mutex_lock(&w->lock);
	for (unsigned int i = 0; part && i < w->n; i++) {
		const struct mapping *m = &w->map[i];
		uint64_t end = m->foffset + m->len;

		if (continues(w, m, nodeid) && whole >= end && whole < end + m->room)
			can = false;
	}
	pthread_mutex_unlock(&w->lock);
	return can;
}

/* Continue a mapping as far as there are whole pages in the file. */
static void go_on(struct window *w, unsigned int i, uint64_t whole)
{
	struct mapping more = w->map[i];
	int fd, r;

	more.foffset += more.len;
	more.moffset += more.len;
	if (whole <= more.foffset)
		return;
	more.len = MIN(whole - more.foffset, more.room);
	more.room -= more.len;
	fd = w->files->open(w->be, more.nodeid, more.write);
	r = fd < 0 ? fd : map(w, &more, fd);
	if (fd >= 0)
		w->files->close(w->be, fd);
	if (r)
		log_debug("window: a mapping cannot be continued: %s", strerror(-r));
}

uint64_t window_show(struct window *w, uint64_t nodeid, uint64_t size)
{
	uint64_t shown = size;
	bool able;

	pthread_mutex_lock(&w->lock);
	able = settle(w) == 0;
	for (unsigned int i = 0; i < w->n; i++) {
		const struct mapping *m = &w->map[i];

		if (able && continues(w, m, nodeid))
			go_on(w, i, size - size % window_align());
		/* What was added stands behind it and comes next. */
		if (continues(w, m, nodeid) && m->foffset + m->len < size)
			shown = MIN(shown, m->foffset + m->len);
	}
	pthread_mutex_unlock(&w->lock);
	return shown;
}

enum window_kind window_probe(struct window *w)
{
	if (window_kind(w) == WINDOW_UNKNOWN)
		leave(w, enter(w));
	return window_kind(w);
}

void window_forget(struct window *w, uint64_t nodeid)
{
	if (atomic_load(&w->nodes[hash(nodeid)]) && !w->files->alive(w->be, nodeid))
		w->ops->tidy(w->owner);
}

/* One stale mapping behind @*at. False: there is none, or it cannot be helped now. */
static bool tidy_one(struct window *w, uint64_t *at)
{
	bool did = false;

	pthread_mutex_lock(&w->lock);
	if (settle(w) == 0) {
		unsigned int i = find(w, *at);

		while (i < w->n && !stale(w, &w->map[i]))
			i++;
		if (i < w->n) {
			*at = w->map[i].moffset;
			did = unmap(w, i) == 0;
		}
	}
	pthread_mutex_unlock(&w->lock);
	return did;
}

void window_tidy(struct window *w)
{
	uint64_t at = 0;

	window_probe(w);
	/* Others have their turn in between. */
	while (tidy_one(w, &at))
		;
}
