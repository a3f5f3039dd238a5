// SPDX-License-Identifier: Apache-2.0
/* Directories of memfs: looking up, making, renaming and removing names. */
/*
 * Theory of operation
 *
 * A directory is a list of names in the order in which they were made, each with a number that only
 * grows: its offset. So a reader that stops and goes on later neither misses nor repeats a name
 * that was there all the time, whatever else comes and goes. A name is found by walking the list:
 * tests have small directories.
 *
 * What can fail is done before anything is changed. All under struct memfs.lock.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "memfs_i.h"

#define COOKIE_DOT    1u
#define COOKIE_DOTDOT 2u

static struct memfs_dent *find(struct memfs_node *dir, const char *name)
{
	struct memfs_dent *d;

	for (d = dir->first; d; d = d->next)
		if (!strcmp(d->name, name))
			return d;
	return NULL;
}

static struct memfs_dent *dent_new(const char *name)
{
	size_t len = strlen(name);
	struct memfs_dent *d = calloc(1, sizeof(*d) + len + 1);

	if (d) {
		d->len = len;
		memcpy(d->name, name, len + 1);
	}
	return d;
}

static void touch(struct memfs_node *dir)
{
	dir->mtime = dir->ctime = memfs_now();
}

/* @d becomes the name of @n in @dir. */
static void insert(struct memfs_node *dir, struct memfs_dent *d, struct memfs_node *n)
{
	if (!dir->cookies)
		dir->cookies = COOKIE_DOTDOT;
	d->cookie = ++dir->cookies;
	d->node = n;
	d->prev = dir->last;
	d->next = NULL;
	if (dir->last)
		dir->last->next = d;
	else
		dir->first = d;
	dir->last = d;
	if (S_ISDIR(n->mode)) {
		n->parent = dir;
		dir->nlink++;
	}
	touch(dir);
}

static void take_out(struct memfs_node *dir, struct memfs_dent *d)
{
	if (d->prev)
		d->prev->next = d->next;
	else
		dir->first = d->next;
	if (d->next)
		d->next->prev = d->prev;
	else
		dir->last = d->prev;
	if (S_ISDIR(d->node->mode)) {
		d->node->parent = NULL;
		dir->nlink--;
	}
	touch(dir);
	free(d);
}

/* A name less for @n, which is the last one of a directory. */
static void lose_name(struct memfs *fs, struct memfs_node *n)
{
	n->nlink -= S_ISDIR(n->mode) ? 2 : 1;
	n->ctime = memfs_now();
	memfs_node_drop(fs, n);
}

void memfs_name_clear(struct memfs_node *dir)
{
	while (dir->first) {
		struct memfs_dent *d = dir->first;

		dir->first = d->next;
		free(d);
	}
	dir->last = NULL;
}

int memfs_name_lookup(struct request *req, uint64_t parent, const char *name,
		      struct fuse_entry_out *ret)
{
	int err;
	scoped_memfs struct memfs *fs = memfs_enter(req, &err);
	struct memfs_node *dir = err ? NULL : memfs_node(fs, parent);
	struct memfs_dent *d;

	if (!dir)
		return err ? err : -ESTALE;
	if (!S_ISDIR(dir->mode))
		return -ENOTDIR;
	d = find(dir, name);
	if (!d)
		return -ENOENT;
	memfs_entry(d->node, ret);
	return 0;
}

/* A new node under a new name. The caller holds the lock. */
static int make(struct memfs *fs, struct request *req, uint64_t parent, const char *name,
		uint32_t mode, struct memfs_node **ret)
{
	struct memfs_node *dir, *n;
	struct memfs_dent *d;
	int err;

	dir = memfs_dir(fs, parent, &err);
	if (!dir)
		return err;
	if (find(dir, name))
		return -EEXIST;
	d = dent_new(name);
	n = d ? memfs_node_new(fs, req, mode) : NULL;
	if (!n) {
		free(d);
		return -ENOSPC;
	}
	if (dir->mode & S_ISGID) {
		n->gid = dir->gid;
		if (S_ISDIR(mode))
			n->mode |= S_ISGID;
	}
	n->nlink = S_ISDIR(mode) ? 2 : 1;
	insert(dir, d, n);
	*ret = n;
	return 0;
}

int memfs_name_symlink(struct request *req, uint64_t parent, const char *name, const char *target,
		       struct fuse_entry_out *ret)
{
	int err;
	scoped_memfs struct memfs *fs = memfs_enter(req, &err);
	struct memfs_node *n;
	char *copy;

	if (err)
		return err;
	copy = strdup(target);
	if (!copy)
		return -ENOMEM;
	err = make(fs, req, parent, name, S_IFLNK | 0777, &n);
	if (err) {
		free(copy);
		return err;
	}
	n->target = copy;
	n->size = strlen(copy);
	memfs_entry(n, ret);
	return 0;
}

int memfs_name_mknod(struct request *req, uint64_t parent, const char *name,
		     const struct fuse_mknod_in *in, struct fuse_entry_out *ret)
{
	int err;
	scoped_memfs struct memfs *fs = memfs_enter(req, &err);
	uint32_t mode = in->mode & S_IFMT ? in->mode : in->mode | S_IFREG;
	struct memfs_node *n;

	if (!err)
		err = make(fs, req, parent, name, mode, &n);
	if (err)
		return err;
	if (S_ISCHR(mode) || S_ISBLK(mode))
		n->rdev = in->rdev;
	memfs_entry(n, ret);
	return 0;
}

int memfs_name_mkdir(struct request *req, uint64_t parent, const char *name,
		     const struct fuse_mkdir_in *in, struct fuse_entry_out *ret)
{
	int err;
	scoped_memfs struct memfs *fs = memfs_enter(req, &err);
	struct memfs_node *n;

	if (!err)
		err = make(fs, req, parent, name, S_IFDIR | (in->mode & 07777), &n);
	if (err)
		return err;
	memfs_entry(n, ret);
	return 0;
}

int memfs_name_create(struct request *req, uint64_t parent, const char *name,
		      const struct fuse_create_in *in, struct fuse_entry_out *ret_entry,
		      struct fuse_open_out *ret_open)
{
	int err;
	scoped_memfs struct memfs *fs = memfs_enter(req, &err);
	struct memfs_node *n;
	struct memfs_dent *d;
	bool made;

	if (err)
		return err;
	err = make(fs, req, parent, name, S_IFREG | (in->mode & 07777), &n);
	made = !err;
	if (err == -EEXIST && !(in->flags & O_EXCL)) {
		d = find(memfs_node(fs, parent), name);
		n = d->node;
		err = S_ISREG(n->mode) ? 0 : S_ISDIR(n->mode) ? -EISDIR : -ENXIO;
	}
	if (!err)
		err = memfs_open(fs, n, in->flags, false, ret_open);
	if (err) {
		if (made) {
			struct memfs_node *dir = memfs_node(fs, parent);

			take_out(dir, dir->last);
			lose_name(fs, n);
		}
		return err;
	}
	if (in->flags & O_TRUNC)
		memfs_data_truncate(fs, n, 0);
	memfs_entry(n, ret_entry);
	return 0;
}

int memfs_name_tmpfile(struct request *req, uint64_t parent, const struct fuse_create_in *in,
		       struct fuse_entry_out *ret_entry, struct fuse_open_out *ret_open)
{
	int err;
	scoped_memfs struct memfs *fs = memfs_enter(req, &err);
	struct memfs_node *n;

	if (err || !memfs_dir(fs, parent, &err))
		return err;
	n = memfs_node_new(fs, req, S_IFREG | (in->mode & 07777));
	if (!n)
		return -ENOSPC;
	n->unnamed = !(in->flags & O_EXCL);
	err = memfs_open(fs, n, in->flags, false, ret_open);
	if (err) {
		memfs_node_drop(fs, n);
		return err;
	}
	memfs_entry(n, ret_entry);
	return 0;
}

int memfs_name_link(struct request *req, uint64_t nodeid, uint64_t newparent, const char *newname,
		    struct fuse_entry_out *ret)
{
	int err;
	scoped_memfs struct memfs *fs = memfs_enter(req, &err);
	struct memfs_node *n = err ? NULL : memfs_node(fs, nodeid), *dir;
	struct memfs_dent *d;

	if (!n)
		return err ? err : -ESTALE;
	dir = memfs_dir(fs, newparent, &err);
	if (!dir)
		return err;
	if (S_ISDIR(n->mode))
		return -EPERM;
	if (find(dir, newname))
		return -EEXIST;
	if (!n->nlink && !n->unnamed)
		return -ENOENT;
	d = dent_new(newname);
	if (!d)
		return -ENOMEM;
	insert(dir, d, n);
	n->nlink++;
	n->unnamed = false;
	n->ctime = memfs_now();
	memfs_entry(n, ret);
	return 0;
}

static int remove_name(struct request *req, uint64_t parent, const char *name, bool want_dir)
{
	int err;
	scoped_memfs struct memfs *fs = memfs_enter(req, &err);
	struct memfs_node *dir, *n;
	struct memfs_dent *d;

	if (err)
		return err;
	dir = memfs_dir(fs, parent, &err);
	if (!dir)
		return err;
	d = find(dir, name);
	if (!d)
		return -ENOENT;
	n = d->node;
	if (!want_dir && S_ISDIR(n->mode))
		return -EISDIR;
	if (want_dir && !S_ISDIR(n->mode))
		return -ENOTDIR;
	if (want_dir && n->first)
		return -ENOTEMPTY;
	take_out(dir, d);
	lose_name(fs, n);
	return 0;
}

int memfs_name_unlink(struct request *req, uint64_t parent, const char *name)
{
	return remove_name(req, parent, name, false);
}

int memfs_name_rmdir(struct request *req, uint64_t parent, const char *name)
{
	return remove_name(req, parent, name, true);
}

/* Whether @dir is @n or below it. */
static bool below(const struct memfs *fs, const struct memfs_node *dir, const struct memfs_node *n)
{
	for (; dir && dir != fs->root; dir = dir->parent)
		if (dir == n)
			return true;
	return dir == n;
}

static int check_replace(const struct memfs_node *n, const struct memfs_node *old)
{
	if (S_ISDIR(n->mode) && !S_ISDIR(old->mode))
		return -ENOTDIR;
	if (!S_ISDIR(n->mode) && S_ISDIR(old->mode))
		return -EISDIR;
	if (old->first && S_ISDIR(old->mode))
		return -ENOTEMPTY;
	return 0;
}

/* The names stay where they are and change nodes. */
static void exchange(struct memfs_node *dir1, struct memfs_dent *d1, struct memfs_node *dir2,
		     struct memfs_dent *d2)
{
	struct memfs_node *n1 = d1->node, *n2 = d2->node;

	if (S_ISDIR(n1->mode)) {
		dir1->nlink--;
		dir2->nlink++;
		n1->parent = dir2;
	}
	if (S_ISDIR(n2->mode)) {
		dir2->nlink--;
		dir1->nlink++;
		n2->parent = dir1;
	}
	d1->node = n2;
	d2->node = n1;
	n1->ctime = n2->ctime = memfs_now();
	touch(dir1);
	touch(dir2);
}

/* @whiteout, a name and its node, takes the place of the old name. */
static int make_whiteout(struct memfs *fs, struct request *req, const char *name,
			 struct memfs_dent **ret_dent, struct memfs_node **ret_node)
{
	struct memfs_dent *d = dent_new(name);
	struct memfs_node *n = d ? memfs_node_new(fs, req, S_IFCHR) : NULL;

	if (!n) {
		free(d);
		return -ENOSPC;
	}
	n->nlink = 1;
	*ret_dent = d;
	*ret_node = n;
	return 0;
}

int memfs_name_rename(struct request *req, uint64_t parent, const char *name, uint64_t newparent,
		      const char *newname, uint32_t flags)
{
	int err;
	scoped_memfs struct memfs *fs = memfs_enter(req, &err);
	struct memfs_node *dir1, *dir2, *n, *old, *white_node = NULL;
	struct memfs_dent *d1, *d2, *named, *white = NULL;

	if (err)
		return err;
	dir1 = memfs_dir(fs, parent, &err);
	dir2 = dir1 ? memfs_dir(fs, newparent, &err) : NULL;
	if (!dir2)
		return err;
	d1 = find(dir1, name);
	d2 = find(dir2, newname);
	if (!d1 || (flags & RENAME_EXCHANGE && !d2))
		return -ENOENT;
	if (flags & RENAME_NOREPLACE && d2)
		return -EEXIST;
	n = d1->node;
	old = d2 ? d2->node : NULL;
	if (S_ISDIR(n->mode) && below(fs, dir2, n))
		return -EINVAL;
	if (old && S_ISDIR(old->mode) && below(fs, dir1, old))
		return flags & RENAME_EXCHANGE ? -EINVAL : -ENOTEMPTY;
	if (n == old)
		return 0;
	if (flags & RENAME_EXCHANGE) {
		exchange(dir1, d1, dir2, d2);
		return 0;
	}
	err = old ? check_replace(n, old) : 0;
	if (err)
		return err;
	named = dent_new(newname);
	if (!named)
		return -ENOMEM;
	if (flags & RENAME_WHITEOUT)
		err = make_whiteout(fs, req, name, &white, &white_node);
	if (err) {
		free(named);
		return err;
	}
	take_out(dir1, d1);
	if (old) {
		take_out(dir2, d2);
		lose_name(fs, old);
	}
	insert(dir2, named, n);
	if (white)
		insert(dir1, white, white_node);
	n->ctime = memfs_now();
	return 0;
}

/* One entry; for READDIRPLUS with a lookup, which only counts if the entry fitted. */
static int add(struct direntbuf *db, struct memfs_node *n, bool lookup, uint64_t off,
	       const char *name, size_t len)
{
	struct direntbuf_entry e;

	if (!direntbuf_fits(db, len))
		return -ENOSPC;
	e.out = (struct fuse_entry_out){0};
	if (db->plus && lookup)
		memfs_entry(n, &e.out);
	return direntbuf_add(db, &e, n->id, off, IFTODT(n->mode), name, len);
}

int memfs_name_readdir(struct request *req, uint64_t nodeid, const struct fuse_read_in *in,
		       struct direntbuf *db)
{
	int err;
	scoped_memfs struct memfs *fs = memfs_enter(req, &err);
	struct memfs_handle *h = err ? NULL : memfs_handle(fs, nodeid, in->fh, true);
	struct memfs_node *dir, *up;
	struct memfs_dent *d;

	if (!h)
		return err ? err : -EBADF;
	dir = h->node;
	up = dir->parent ? dir->parent : dir;
	if (in->offset < COOKIE_DOT)
		err = add(db, dir, false, COOKIE_DOT, ".", 1);
	if (!err && in->offset < COOKIE_DOTDOT)
		err = add(db, up, false, COOKIE_DOTDOT, "..", 2);
	for (d = dir->first; !err && d; d = d->next)
		if (d->cookie > in->offset)
			err = add(db, d->node, true, d->cookie, d->name, d->len);
	/* No room for the first one would look like the end. */
	return err && !db->used ? -EINVAL : 0;
}
