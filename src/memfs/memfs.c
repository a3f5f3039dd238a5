// SPDX-License-Identifier: Apache-2.0
/* A file system in memory behind fuse_ops: the tree as a whole, nodes and handles. */
/*
 * Theory of operation
 *
 * One mutex guards everything; each operation takes it on entry and lets go of it when its block
 * ends. Ids that the guest sends are looked up in tables with generations, so that any number is
 * harmless.
 *
 * A node lives while it has a name, a lookup or a handle; memfs_node_drop() is called wherever one
 * of them goes. The guest can name a node only while it has a lookup on it, as with a real backend,
 * but for the root. The end of a session takes lookups and handles away; the tree stays, as a
 * directory on disk would.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "memfs_i.h"
#include "util.h"

/* ---- ids ---- */

/* 0 when the table is full. */
static uint64_t ids_add(struct memfs_ids *ids, void *obj)
{
	uint32_t slot = ids->free;

	if (slot) {
		ids->free = ids->slots[slot].next;
	} else {
		if (ids->count >= MEMFS_IDS_MAX)
			return 0;
		if (ids->count + 1 >= ids->cap) {
			uint32_t cap = ids->cap ? ids->cap * 2 : 64;
			struct memfs_id *slots = realloc(ids->slots, cap * sizeof(*slots));

			if (!slots)
				return 0;
			memset(slots + ids->cap, 0, (cap - ids->cap) * sizeof(*slots));
			ids->slots = slots;
			ids->cap = cap;
		}
		slot = ++ids->count;
	}
	ids->slots[slot].obj = obj;
	return (uint64_t)ids->slots[slot].gen << 32 | slot;
}

static void *ids_get(const struct memfs_ids *ids, uint64_t id)
{
	uint32_t slot = (uint32_t)id;

	if (!slot || slot > ids->count || ids->slots[slot].gen != id >> 32)
		return NULL;
	return ids->slots[slot].obj;
}

static void ids_del(struct memfs_ids *ids, uint64_t id)
{
	struct memfs_id *slot = &ids->slots[(uint32_t)id];

	slot->obj = NULL;
	slot->gen++;
	slot->next = ids->free;
	ids->free = (uint32_t)id;
}

/* ---- entering and leaving ---- */

struct memfs *memfs_enter(struct request *req, int *ret_err)
{
	struct memfs *fs = req_backend(req);

	pthread_mutex_lock(&fs->lock);
	*ret_err = 0;
	if (fs->fail_nth && !--fs->fail_nth)
		*ret_err = fs->fail_error;
	return fs;
}

void memfs_leave(struct memfs **fs)
{
	pthread_mutex_unlock(&(*fs)->lock);
}

static struct memfs *lock(void *be)
{
	struct memfs *fs = be;

	pthread_mutex_lock(&fs->lock);
	return fs;
}

void memfs_fail(struct memfs *fs, uint32_t nth, int error)
{
	scoped_memfs struct memfs *locked = lock(fs);

	locked->fail_nth = nth;
	locked->fail_error = error;
}

/* ---- nodes ---- */

struct timespec memfs_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now;
}

static struct memfs_node *node_new(struct memfs *fs, uint32_t mode)
{
	struct memfs_node *n = calloc(1, sizeof(*n));

	if (!n)
		return NULL;
	n->id = ids_add(&fs->nodes, n);
	if (!n->id) {
		free(n);
		return NULL;
	}
	n->mode = mode;
	n->atime = n->mtime = n->ctime = n->btime = memfs_now();
	return n;
}

struct memfs_node *memfs_node_new(struct memfs *fs, const struct request *req, uint32_t mode)
{
	struct memfs_node *n = node_new(fs, mode);

	if (n) {
		n->uid = req->hdr.uid;
		n->gid = req->hdr.gid;
	}
	return n;
}

static void node_free(struct memfs *fs, struct memfs_node *n)
{
	memfs_data_truncate(fs, n, 0);
	memfs_name_clear(n);
	while (n->xattrs) {
		struct memfs_xattr *x = n->xattrs;

		n->xattrs = x->next;
		free(x->name);
		free(x->value);
		free(x);
	}
	free(n->target);
	ids_del(&fs->nodes, n->id);
	free(n);
}

void memfs_node_drop(struct memfs *fs, struct memfs_node *n)
{
	if (!n->nlink && !n->nlookup && !n->opens)
		node_free(fs, n);
}

struct memfs_node *memfs_node(struct memfs *fs, uint64_t id)
{
	struct memfs_node *n = ids_get(&fs->nodes, id);

	return n && (n->nlookup || n == fs->root) ? n : NULL;
}

struct memfs_node *memfs_dir(struct memfs *fs, uint64_t id, int *ret_err)
{
	struct memfs_node *n = memfs_node(fs, id);

	if (!n)
		*ret_err = -ESTALE;
	else if (!S_ISDIR(n->mode))
		*ret_err = -ENOTDIR;
	else if (!n->nlink)
		*ret_err = -ENOENT;
	else
		return n;
	return NULL;
}

void memfs_attr(const struct memfs_node *n, struct fuse_attr *ret)
{
	*ret = (struct fuse_attr){
		.ino = n->id,
		.size = n->size,
		.blocks = n->npages * (MEMFS_PAGE / 512),
		.atime = (uint64_t)n->atime.tv_sec,
		.mtime = (uint64_t)n->mtime.tv_sec,
		.ctime = (uint64_t)n->ctime.tv_sec,
		.atimensec = (uint32_t)n->atime.tv_nsec,
		.mtimensec = (uint32_t)n->mtime.tv_nsec,
		.ctimensec = (uint32_t)n->ctime.tv_nsec,
		.mode = n->mode,
		.nlink = n->nlink,
		.uid = n->uid,
		.gid = n->gid,
		.rdev = n->rdev,
		.blksize = MEMFS_PAGE,
	};
}

void memfs_entry(struct memfs_node *n, struct fuse_entry_out *ret)
{
	if (n->nlookup < UINT64_MAX)
		n->nlookup++;
	ret->nodeid = n->id;
	ret->entry_valid = MEMFS_VALID_SEC;
	ret->attr_valid = MEMFS_VALID_SEC;
	memfs_attr(n, &ret->attr);
}

/* ---- handles ---- */

struct memfs_handle *memfs_handle(struct memfs *fs, uint64_t id, uint64_t fh, bool dir)
{
	struct memfs_handle *h = ids_get(&fs->handles, fh);

	return h && h->node->id == id && h->dir == dir ? h : NULL;
}

int memfs_open(struct memfs *fs, struct memfs_node *n, uint32_t flags, bool dir,
	       struct fuse_open_out *ret)
{
	struct memfs_handle *h = calloc(1, sizeof(*h));

	if (!h)
		return -ENOMEM;
	h->id = ids_add(&fs->handles, h);
	if (!h->id) {
		free(h);
		return -ENFILE;
	}
	h->node = n;
	h->flags = flags;
	h->dir = dir;
	n->opens++;
	ret->fh = h->id;
	return 0;
}

void memfs_close(struct memfs *fs, struct memfs_handle *h)
{
	struct memfs_node *n = h->node;

	n->opens--;
	ids_del(&fs->handles, h->id);
	free(h);
	memfs_node_drop(fs, n);
}

/* ---- the session ---- */

static int memfs_init(void *be, struct fuse_init *init)
{
	(void)be;
	init->time_gran = 1;
	return 0;
}

static void memfs_destroy(void *be)
{
	scoped_memfs struct memfs *fs = lock(be);

	for (uint32_t i = 1; i <= fs->handles.count; i++)
		if (fs->handles.slots[i].obj)
			memfs_close(fs, fs->handles.slots[i].obj);
	for (uint32_t i = 1; i <= fs->nodes.count; i++) {
		struct memfs_node *n = fs->nodes.slots[i].obj;

		if (!n)
			continue;
		n->nlookup = 0;
		memfs_node_drop(fs, n);
	}
}

static void memfs_forget(void *be, uint64_t nodeid, uint64_t nlookup)
{
	scoped_memfs struct memfs *fs = lock(be);
	struct memfs_node *n = memfs_node(fs, nodeid);

	if (!n)
		return;
	n->nlookup -= MIN(n->nlookup, nlookup);
	memfs_node_drop(fs, n);
}

/* ---- what needs a node or a handle, and does nothing ---- */

static int need_node(struct request *req, uint64_t nodeid)
{
	int err;
	scoped_memfs struct memfs *fs = memfs_enter(req, &err);

	if (err)
		return err;
	return memfs_node(fs, nodeid) ? 0 : -ESTALE;
}

static int need_handle(struct request *req, uint64_t nodeid, uint64_t fh, bool dir)
{
	int err;
	scoped_memfs struct memfs *fs = memfs_enter(req, &err);

	if (err)
		return err;
	return memfs_handle(fs, nodeid, fh, dir) ? 0 : -EBADF;
}

static int memfs_access(struct request *req, uint64_t nodeid, uint32_t mask)
{
	(void)mask;
	return need_node(req, nodeid);
}

static int memfs_syncfs(struct request *req, uint64_t nodeid)
{
	return need_node(req, nodeid);
}

static int memfs_flush(struct request *req, uint64_t nodeid, const struct fuse_flush_in *in)
{
	return need_handle(req, nodeid, in->fh, false);
}

static int memfs_fsync(struct request *req, uint64_t nodeid, uint64_t fh, bool datasync)
{
	(void)datasync;
	return need_handle(req, nodeid, fh, false);
}

static int memfs_fsyncdir(struct request *req, uint64_t nodeid, uint64_t fh, bool datasync)
{
	(void)datasync;
	return need_handle(req, nodeid, fh, true);
}

static int release(struct request *req, uint64_t nodeid, uint64_t fh, bool dir)
{
	int err;
	scoped_memfs struct memfs *fs = memfs_enter(req, &err);
	struct memfs_handle *h = err ? NULL : memfs_handle(fs, nodeid, fh, dir);

	if (!h)
		return err ? err : -EBADF;
	memfs_close(fs, h);
	return 0;
}

static int memfs_release(struct request *req, uint64_t nodeid, const struct fuse_release_in *in)
{
	return release(req, nodeid, in->fh, false);
}

static int memfs_releasedir(struct request *req, uint64_t nodeid, const struct fuse_release_in *in)
{
	return release(req, nodeid, in->fh, true);
}

static int memfs_opendir(struct request *req, uint64_t nodeid, const struct fuse_open_in *in,
			 struct fuse_open_out *ret)
{
	int err;
	scoped_memfs struct memfs *fs = memfs_enter(req, &err);
	struct memfs_node *n = err ? NULL : memfs_node(fs, nodeid);

	if (!n)
		return err ? err : -ESTALE;
	if (!S_ISDIR(n->mode))
		return -ENOTDIR;
	return memfs_open(fs, n, in->flags, true, ret);
}

/* ---- the tree ---- */

int memfs_new(size_t max_bytes, struct memfs **ret)
{
	struct memfs *fs = calloc(1, sizeof(*fs));
	int err;

	if (!fs)
		return -ENOMEM;
	err = -pthread_mutex_init(&fs->lock, NULL);
	if (err) {
		free(fs);
		return err;
	}
	fs->max_pages = max_bytes / MEMFS_PAGE;
	/* The first slot of a fresh table, so the id is FUSE_ROOT_ID. */
	fs->root = node_new(fs, S_IFDIR | 0755);
	if (!fs->root) {
		memfs_free(fs);
		return -ENOMEM;
	}
	fs->root->nlink = 2;
	fs->root->parent = fs->root;
	*ret = fs;
	return 0;
}

void memfs_free(struct memfs *fs)
{
	if (!fs)
		return;
	memfs_destroy(fs);
	for (uint32_t i = 1; i <= fs->nodes.count; i++)
		if (fs->nodes.slots[i].obj)
			node_free(fs, fs->nodes.slots[i].obj);
	free(fs->nodes.slots);
	free(fs->handles.slots);
	pthread_mutex_destroy(&fs->lock);
	free(fs);
}

void memfs_stats(struct memfs *fs, struct memfs_stats *ret)
{
	scoped_memfs struct memfs *locked = lock(fs);

	*ret = (struct memfs_stats){.pages = locked->used_pages};
	for (uint32_t i = 1; i <= locked->handles.count; i++)
		ret->handles += !!locked->handles.slots[i].obj;
	for (uint32_t i = 1; i <= locked->nodes.count; i++) {
		const struct memfs_node *n = locked->nodes.slots[i].obj;

		ret->nodes += !!n;
		ret->lookups += n ? n->nlookup : 0;
	}
}

const struct fuse_ops memfs_ops = {
	.name = "memfs",
	.init = memfs_init,
	.destroy = memfs_destroy,
	.forget = memfs_forget,
	.lookup = memfs_name_lookup,
	.getattr = memfs_meta_getattr,
	.statx = memfs_meta_statx,
	.setattr = memfs_meta_setattr,
	.readlink = memfs_meta_readlink,
	.symlink = memfs_name_symlink,
	.mknod = memfs_name_mknod,
	.mkdir = memfs_name_mkdir,
	.unlink = memfs_name_unlink,
	.rmdir = memfs_name_rmdir,
	.rename = memfs_name_rename,
	.link = memfs_name_link,
	.open = memfs_data_open,
	.create = memfs_name_create,
	.tmpfile = memfs_name_tmpfile,
	.read = memfs_data_read,
	.write = memfs_data_write,
	.flush = memfs_flush,
	.release = memfs_release,
	.fsync = memfs_fsync,
	.fallocate = memfs_data_fallocate,
	.lseek = memfs_data_lseek,
	.copy_file_range = memfs_data_copy,
	.opendir = memfs_opendir,
	.readdir = memfs_name_readdir,
	.releasedir = memfs_releasedir,
	.fsyncdir = memfs_fsyncdir,
	.statfs = memfs_meta_statfs,
	.syncfs = memfs_syncfs,
	.access = memfs_access,
	.setxattr = memfs_meta_setxattr,
	.getxattr = memfs_meta_getxattr,
	.listxattr = memfs_meta_listxattr,
	.removexattr = memfs_meta_removexattr,
};
