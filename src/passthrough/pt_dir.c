// SPDX-License-Identifier: Apache-2.0
/* Reading directories, with attributes or without. */
/*
 * Theory of operation
 *
 * Entries go from getdents64(2) on the stack straight into the reply. The offset of an entry is the
 * host's own d_off, which stays good while others come and go. What was read and does not fit stays
 * with the handle for the request that goes on from there, as readdir(3) of a C library keeps it, so
 * reading on costs no lseek(2), and one getdents64(2) for a batch however small the replies are. A
 * start, and any other jump, costs one lseek(2) and reads anew. All handles together keep
 * HANDLE_AHEAD_MAX; beyond that the descriptor is set back to what was not taken. One reader at a time
 * per handle.
 *
 * READDIRPLUS looks every name up: 1 statx(2) for an inode that is known, one call more for a new one
 * (inode_lookup()). An entry is looked up only after it is clear that it fits, so no lookup is counted
 * that the guest is not told of. A name that has gone meanwhile is left out; one that cannot be looked
 * up is given without attributes (nodeid 0), and the guest asks for itself.
 *
 * Locks: handle_file.lock over all of it; the inode table's are taken inside.
 */
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "pt_impl.h"
#include "util.h"

#define BATCH_MAX  16384u /* bytes of host entries at a time */
#define BATCH_MIN  4096u
#define PLUS_RATIO 5u /* a typical entry with attributes to one without */

static bool is_dots(const char *name)
{
	return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

/*
 * A reader of one directory, within one request. Names are looked up relative to the handle's own
 * descriptor, so @dir is a record without a pin; only READDIRPLUS has it.
 */
struct reader {
	struct pt *pt;
	struct pt_node dir;
	struct direntbuf *db;
	bool root;
};

/* Add one entry; 1 when it was added or left out, 0 when the buffer is full. */
static int add(struct reader *rd, const struct dirent64 *de)
{
	struct direntbuf_entry e;
	size_t len = strlen(de->d_name);
	uint64_t ino = de->d_ino;
	int r = -EAGAIN; /* not looked up */

	if (!direntbuf_fits(rd->db, len))
		return 0;
	if (rd->db->plus && !is_dots(de->d_name))
		r = pt_find(rd->pt, &rd->dir, de->d_name, -1, &e.out);
	if (r == -ENOENT)
		return 1;
	if (r == 0) {
		ino = e.out.attr.ino;
	} else {
		/* What is above the share is nobody's business. */
		if (rd->root && is_dots(de->d_name))
			ino = rd->pt->inodes.root->ino;
		e.out = (struct fuse_entry_out){.attr = {.ino = ino, .mode = DTTOIF(de->d_type)}};
	}
	direntbuf_add(rd->db, &e, ino, (uint64_t)de->d_off, de->d_type, de->d_name, len);
	return 1;
}

/* Add host entries as far as they fit; the bytes of those. */
static size_t add_all(struct reader *rd, struct handle_file *file, const char *entries, size_t size)
{
	size_t at = 0;

	while (at < size) {
		const struct dirent64 *de = (const void *)(entries + at);

		if (!add(rd, de))
			break;
		file->pos = de->d_off;
		at += de->d_reclen;
	}
	return at;
}

/* These were read and do not fit. */
static void keep(struct reader *rd, struct handle_file *file, const char *entries, size_t size)
{
	off_t taken = file->pos;

	if (handle_keep_ahead(&rd->pt->handles, file, entries, size))
		return;
	file->pos = -1;
	if (lseek(file->fd, taken, SEEK_SET) == taken)
		file->pos = taken;
}

/* Add those that did not fit the last time; false: they do not now. */
static bool add_ahead(struct reader *rd, struct handle_file *file)
{
	struct handle_ahead *ahead = file->ahead;

	if (!ahead)
		return true;
	ahead->at += (uint32_t)add_all(rd, file, ahead->buf + ahead->at, ahead->size - ahead->at);
	if (ahead->at < ahead->size)
		return false;
	handle_drop_ahead(&rd->pt->handles, file);
	return true;
}

/* Fill the reply with what comes next. Under the handle's lock. */
/* seccomp: getdents64, lseek */
static int fill(struct reader *rd, struct handle_file *file)
{
	char buf[BATCH_MAX] __attribute__((aligned(8)));
	bool fits = add_ahead(rd, file);

	while (fits) {
		size_t want = rd->db->plus ? rd->db->left / PLUS_RATIO : rd->db->left, taken;
		ssize_t n;

		want = MIN(MAX(want, BATCH_MIN), sizeof(buf));
		n = getdents64(file->fd, buf, want);
		if (n < 0)
			return rd->db->used ? 0 : -errno;
		if (n == 0)
			return 0;
		taken = add_all(rd, file, buf, (size_t)n);
		fits = taken == (size_t)n;
		if (!fits)
			keep(rd, file, buf + taken, (size_t)n - taken);
	}
	return rd->db->used ? 0 : -EINVAL;
}

int pt_readdir(struct request *req, uint64_t nodeid, const struct fuse_read_in *in,
	       struct direntbuf *db)
{
	struct pt *pt = req_backend(req);
	scoped_file struct pt_file file = {0};
	struct reader rd = {.pt = pt, .db = db, .root = nodeid == FUSE_ROOT_ID};
	struct handle_file *hf;
	int r = pt_file_get(pt, in->fh, nodeid, HANDLE_DIR, &file);

	if (r)
		return r;
	hf = file.ref.file;
	if (db->plus) {
		rd.dir = (struct pt_node){
			.pt = pt, .ino = inode_get(&pt->inodes, nodeid), .pin.fd = hf->fd};
		if (!rd.dir.ino)
			return -ESTALE;
	}
	pthread_mutex_lock(&hf->lock);
	/* From the start even if it stands there: btrfs looks only then for what is new (rewinddir). */
	if (hf->pos != (off_t)in->offset || in->offset == 0) {
		handle_drop_ahead(&pt->handles, hf);
		hf->pos = -1;
		if (lseek(hf->fd, (off_t)in->offset, SEEK_SET) < 0)
			r = -errno;
		else
			hf->pos = (off_t)in->offset;
	}
	if (r == 0)
		r = fill(&rd, hf);
	pthread_mutex_unlock(&hf->lock);
	pt_node_put(&rd.dir);
	return r;
}
