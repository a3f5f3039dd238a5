// SPDX-License-Identifier: Apache-2.0
/* Locks that the guest takes on the host's files, where it was told to (-o posix_lock, -o flock). */
/*
 * Theory of operation
 *
 * Byte-range locks. The guest's kernel names their owner: a process's table of files, or an open file
 * for its own F_OFD_SETLK. Ours are open file description locks of the host, so each pair of inode
 * and owner has a description of its own, opened for reading and writing where that is allowed, and
 * closed with the record (struct lock_owner). They conflict with each other, with what other daemons
 * do for other guests, and with the host's processes. The host finds no deadlock among them: owners
 * that wait for each other do so until one of them is interrupted.
 *
 * The guest says FLUSH whenever a process closes a file: that owner's locks on the inode go. What no
 * FLUSH tells of goes with the handle: a record that was only used through one handle ends with it
 * (F_OFD_SETLK; a FLUSH that got lost). The last FORGET and the end of the session end the rest.
 *
 * flock(2) locks belong to open files, which is what handles are: they are taken on the handle's own
 * descriptor and go when that is closed.
 *
 * Waiting. SETLKW first tries without. Then a thread of lock_wait.c sleeps in the host's kernel and
 * answers the request in the end. It is called off by INTERRUPT, when its ring stops, and when
 * handle, inode or session go. Whoever calls off says so first (request.interrupted, handle.open,
 * lock_owner.gone) and looks for waits then; a wait gets into the list first and looks at these then.
 * So none is missed. A guest that waits on half of its ring is refused (ENOLCK): the unlocking must
 * find room in it.
 *
 * Bounds: PT_LOCK_*_MAX, and descriptors come from the budget of all others. What is beyond is ENOLCK.
 * Ranges are counted in lock_range.c; they follow the host's, and may miss by what one owner does on
 * several threads at once, so nothing but the bound and the pid in GETLK's answer hangs on them.
 *
 * Nothing of this is in the arena: locks cannot outlive the process.
 *
 * Threads: any. Lock: pt_locks.lock, a leaf.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "lock_owner.h"
#include "pt_impl.h"
#include "util.h"

#define DONE_MS 2000 /* how long the end waits for threads */

/**
 * struct setlk - a SETLKW that waits. Its thread's own.
 * @own: a reference; NULL for flock.
 */
struct setlk {
	struct lock_wait wait;
	struct request *req;
	struct pt *pt;
	struct pt_file file;
	struct lock_owner *own;
	struct fuse_file_lock lk;
};

/* ---- what the guest asks for ---- */

static struct flock to_host(const struct fuse_file_lock *lk)
{
	return (struct flock){
		.l_type = (short)lk->type,
		.l_whence = SEEK_SET,
		.l_start = (off_t)lk->start,
		.l_len = lk->end == INT64_MAX ? 0 : (off_t)(lk->end - lk->start + 1),
	};
}

static bool is_released(const struct pt_file *file)
{
	return !atomic_load(&file->ref.rec->open);
}

/* The change is made (@r is 0) or not; the reference goes. */
static void settle(struct pt *pt, const struct pt_file *file, struct lock_owner *own,
		   const struct fuse_file_lock *lk, int r)
{
	lock_owner_settle(pt, own, lk, r == 0);
	/* RELEASE may have looked before there was something to find. */
	if (is_released(file))
		lock_owner_drop(pt, own->node, &own->fh);
	lock_owner_put(pt, own);
}

/* seccomp: fcntl 1==F_OFD_SETLK, fcntl 1==F_OFD_SETLKW */
static int host_setlk(const struct lock_owner *own, const struct fuse_file_lock *lk, int cmd)
{
	struct flock fl = to_host(lk);

	if (fcntl(own->fd, cmd, &fl) == 0)
		return 0;
	if (errno == EACCES)
		return -EAGAIN;
	/* The guest's file is open for this; it is our own that could not be. */
	return errno == EBADF ? -ENOLCK : -errno;
}

/* seccomp: flock */
static int host_flock(const struct pt_file *file, uint32_t type, int nonblock)
{
	int op = type == F_UNLCK ? LOCK_UN : type == F_RDLCK ? LOCK_SH : LOCK_EX;

	return flock(file->ref.file->fd, op | nonblock) < 0 ? -errno : 0;
}

/* lock_wait.block */
static int setlk_block(struct lock_wait *w)
{
	struct setlk *s = container_of(w, struct setlk, wait);

	if (atomic_load(&s->req->interrupted) || is_released(&s->file) ||
	    (s->own && atomic_load(&s->own->gone)))
		return -ECANCELED;
	return s->own ? host_setlk(s->own, &s->lk, F_OFD_SETLKW)
		      : host_flock(&s->file, s->lk.type, 0);
}

/* Why the request that is called off was; the guest turns EINTR into a second try after the signal. */
static int why(const struct request *req)
{
	return atomic_load(&req->interrupted) == REQ_RING_STOPS ? -EAGAIN : -EINTR;
}

/* lock_wait.end */
static void setlk_end(struct lock_wait *w, int r)
{
	struct setlk *s = container_of(w, struct setlk, wait);
	struct request *req = s->req;

	if (r == -ECANCELED)
		r = why(req);
	if (s->own)
		settle(s->pt, &s->file, s->own, &s->lk, r);
	pt_file_put(&s->file);
	free(s);
	req_reply_err(req, r);
}

/* Takes over @file and @own if it returns REQ_PENDING. */
static int start_wait(struct request *req, struct pt_file *file, struct lock_owner *own,
		      const struct fuse_lk_in *in)
{
	struct pt *pt = req_backend(req);
	struct setlk *s;

	if (req->crowded)
		return -ENOLCK;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOLCK;
	*s = (struct setlk){
		.wait = {.block = setlk_block,
			 .end = setlk_end,
			 .node = file->ref.rec->node,
			 .fh = in->fh,
			 .req = req},
		.req = req,
		.pt = pt,
		.file = *file,
		.own = own,
		.lk = in->lk,
	};
	if (lock_wait_start(&pt->locks.waits, &s->wait) < 0) {
		free(s);
		return -ENOLCK;
	}
	*file = (struct pt_file){0};
	return REQ_PENDING;
}

static int set_flock(struct request *req, struct pt_file *file, const struct fuse_lk_in *in,
		     bool wait)
{
	int r = host_flock(file, in->lk.type, LOCK_NB);

	return r == -EAGAIN && wait ? start_wait(req, file, NULL, in) : r;
}

static int set_posix(struct request *req, struct pt_file *file, const struct fuse_lk_in *in,
		     bool wait)
{
	const uint32_t mode = file->ref.rec->flags & O_ACCMODE;
	struct pt *pt = req_backend(req);
	struct lock_owner *own;
	int r;

	if ((in->lk.type == F_RDLCK && mode == O_WRONLY) ||
	    (in->lk.type == F_WRLCK && mode == O_RDONLY))
		return -EBADF;
	if (in->lk.type == F_UNLCK) {
		own = lock_owner_find(pt, file->ref.rec->node, in->owner);
		if (!own)
			return 0;
		lock_owner_put(pt, own);
	}
	r = lock_owner_get(pt, file, in, &own);
	if (r < 0)
		return r;
	r = host_setlk(own, &in->lk, F_OFD_SETLK);
	if (r == -EAGAIN && wait) {
		r = start_wait(req, file, own, in);
		if (r == REQ_PENDING)
			return r;
	}
	settle(pt, file, own, &in->lk, r);
	return r;
}

int pt_setlk(struct request *req, uint64_t nodeid, const struct fuse_lk_in *in, bool wait)
{
	struct pt *pt = req_backend(req);
	scoped_file struct pt_file file = {0};
	int r;

	if (!pt->locks.buckets)
		return -ENOSYS;
	r = pt_file_get(pt, in->fh, nodeid, HANDLE_FILE, &file);
	if (r < 0)
		return r;
	return in->lk_flags & FUSE_LK_FLOCK ? set_flock(req, &file, in, wait)
					    : set_posix(req, &file, in, wait);
}

/* seccomp: fcntl 1==F_OFD_GETLK */
int pt_getlk(struct request *req, uint64_t nodeid, const struct fuse_lk_in *in,
	     struct fuse_file_lock *ret)
{
	struct pt *pt = req_backend(req);
	scoped_file struct pt_file file = {0};
	struct flock fl = to_host(&in->lk);
	struct lock_owner *own;
	int r;

	if (!pt->locks.buckets)
		return -ENOSYS;
	r = pt_file_get(pt, in->fh, nodeid, HANDLE_FILE, &file);
	if (r < 0)
		return r;
	own = lock_owner_find(pt, nodeid, in->owner);
	/* An owner without locks sees what any description sees. */
	if (fcntl(own ? own->fd : file.ref.file->fd, F_OFD_GETLK, &fl) < 0)
		r = -errno;
	if (own)
		lock_owner_put(pt, own);
	if (r < 0)
		return r;
	*ret = in->lk;
	ret->type = (uint32_t)fl.l_type;
	ret->pid = 0;
	if (fl.l_type == F_UNLCK)
		return 0;
	ret->start = (uint64_t)fl.l_start;
	ret->end = fl.l_len ? (uint64_t)(fl.l_start + fl.l_len - 1) : INT64_MAX;
	/* The locks of processes carry a pid, those of descriptions do not: ours are of the latter. */
	if (fl.l_pid == -1)
		ret->pid = lock_owner_holder(pt, nodeid, in->owner, ret->start);
	return 0;
}

/* ---- what ends locks and waits ---- */

static bool same_req(const struct lock_wait *w, const struct lock_wait *key)
{
	return w->req == key->req;
}

static bool same_node(const struct lock_wait *w, const struct lock_wait *key)
{
	return w->node == key->node;
}

static bool same_fh(const struct lock_wait *w, const struct lock_wait *key)
{
	return w->node == key->node && w->fh == key->fh;
}

static bool same_share(const struct lock_wait *w, const struct lock_wait *key)
{
	(void)w;
	(void)key;
	return true;
}

void pt_interrupt(void *be, const struct request *req)
{
	const struct lock_wait key = {.req = req};
	struct pt *pt = be;

	if (pt->locks.buckets)
		lock_wait_cancel(&pt->locks.waits, same_req, &key);
}

int pt_lock_release(struct pt *pt, uint64_t nodeid, const struct fuse_release_in *in)
{
	const struct lock_wait key = {.node = nodeid, .fh = in->fh};
	scoped_file struct pt_file file = {0};
	int r;

	if (!pt->locks.buckets)
		return handle_release(&pt->handles, in->fh, nodeid, HANDLE_FILE);
	r = pt_file_get(pt, in->fh, nodeid, HANDLE_FILE, &file);
	if (r == 0)
		r = handle_release(&pt->handles, in->fh, nodeid, HANDLE_FILE);
	if (r < 0)
		return r;
	lock_wait_cancel(&pt->locks.waits, same_fh, &key);
	/* Another request may keep the descriptor open for a while. */
	if (in->release_flags & FUSE_RELEASE_FLOCK_UNLOCK)
		host_flock(&file, F_UNLCK, LOCK_NB);
	lock_owner_drop(pt, nodeid, &in->fh);
	return 0;
}

void pt_lock_forget(struct pt *pt, uint64_t nodeid)
{
	const struct lock_wait key = {.node = nodeid};
	struct inode *ino;

	if (!atomic_load_explicit(&pt->locks.count, memory_order_relaxed))
		return;
	ino = inode_get(&pt->inodes, nodeid);
	inode_put(&pt->inodes, ino);
	if (ino)
		return;
	lock_owner_drop(pt, nodeid, NULL);
	lock_wait_cancel(&pt->locks.waits, same_node, &key);
}

void pt_lock_clear(struct pt *pt)
{
	if (!pt->locks.buckets)
		return;
	lock_owner_clear(pt);
	lock_wait_cancel(&pt->locks.waits, same_share, NULL);
}

int pt_lock_init(struct pt *pt)
{
	struct pt_locks *l = &pt->locks;
	int r;

	if (!pt->conf.flock && !pt->conf.posix_lock)
		return 0;
	l->budget = PT_LOCK_RANGES_MAX;
	l->buckets = calloc(LOCK_OWNER_BUCKETS, sizeof(struct lock_owner *));
	if (!l->buckets)
		return -ENOMEM;
	r = -pthread_mutex_init(&l->lock, NULL);
	if (r == 0) {
		r = lock_waits_init(&l->waits, PT_LOCK_WAITS_MAX);
		if (r < 0)
			pthread_mutex_destroy(&l->lock);
	}
	if (r < 0) {
		free(l->buckets);
		l->buckets = NULL;
	}
	return r;
}

bool pt_lock_done(struct pt *pt)
{
	struct pt_locks *l = &pt->locks;

	if (!l->buckets)
		return true;
	pt_lock_clear(pt);
	if (!lock_waits_done(&l->waits, DONE_MS))
		return false;
	pthread_mutex_destroy(&l->lock);
	free(l->buckets);
	l->buckets = NULL;
	return true;
}
