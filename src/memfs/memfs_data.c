// SPDX-License-Identifier: Apache-2.0
/* File data of memfs: sparse pages, and what reads and writes them. */
/*
 * Theory of operation
 *
 * A file is an array of pages sorted by their place; what is missing reads as zeroes. Bytes behind
 * the size are zero in every page, so that a file that grows shows nothing old. Pages are counted
 * against the size of the tree before they are made; loops run over pages that exist or that there
 * is room for, never over a range that the guest named. All under struct memfs.lock.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "memfs_i.h"
#include "util.h"

static const uint8_t zeroes[MEMFS_PAGE];

/* The place of the first page at or behind @index. */
static size_t place(const struct memfs_node *n, uint64_t index)
{
	size_t lo = 0, hi = n->npages;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (n->pages[mid].index < index)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static uint8_t *page_at(const struct memfs_node *n, uint64_t index)
{
	size_t at = place(n, index);

	return at < n->npages && n->pages[at].index == index ? n->pages[at].mem : NULL;
}

/* The page, made if it is missing; NULL when there is no room. */
static uint8_t *page_make(struct memfs *fs, struct memfs_node *n, uint64_t index)
{
	size_t at = place(n, index);
	uint8_t *mem;

	if (at < n->npages && n->pages[at].index == index)
		return n->pages[at].mem;
	if (fs->used_pages >= fs->max_pages)
		return NULL;
	if (n->npages == n->cap) {
		size_t cap = n->cap ? n->cap * 2 : 8;
		struct memfs_page *pages = realloc(n->pages, cap * sizeof(*pages));

		if (!pages)
			return NULL;
		n->pages = pages;
		n->cap = cap;
	}
	mem = calloc(1, MEMFS_PAGE);
	if (!mem)
		return NULL;
	memmove(&n->pages[at + 1], &n->pages[at], (n->npages - at) * sizeof(n->pages[0]));
	n->pages[at] = (struct memfs_page){.index = index, .mem = mem};
	n->npages++;
	fs->used_pages++;
	return mem;
}

/* Free the pages from @first up to, not including, @end. */
static void pages_drop(struct memfs *fs, struct memfs_node *n, uint64_t first, uint64_t end)
{
	size_t from = place(n, first), to = place(n, end);

	for (size_t i = from; i < to; i++)
		free(n->pages[i].mem);
	if (to > from) {
		memmove(&n->pages[from], &n->pages[to], (n->npages - to) * sizeof(n->pages[0]));
		n->npages -= to - from;
		fs->used_pages -= to - from;
	}
	if (!n->npages) {
		free(n->pages);
		n->pages = NULL;
		n->cap = 0;
	}
}

/* Zero @off up to @end, both within one page. */
static void zero_part(struct memfs_node *n, uint64_t off, uint64_t end)
{
	uint8_t *mem = page_at(n, off / MEMFS_PAGE);

	if (mem && end > off)
		memset(mem + off % MEMFS_PAGE, 0, end - off);
}

/* Make a hole from @off up to @end. */
static void punch(struct memfs *fs, struct memfs_node *n, uint64_t off, uint64_t end)
{
	uint64_t first = off / MEMFS_PAGE + !!(off % MEMFS_PAGE), last = end / MEMFS_PAGE;

	if (first > last) {
		zero_part(n, off, end);
		return;
	}
	zero_part(n, off, first * MEMFS_PAGE);
	zero_part(n, last * MEMFS_PAGE, end);
	pages_drop(fs, n, first, last);
}

void memfs_data_truncate(struct memfs *fs, struct memfs_node *n, uint64_t size)
{
	/* Behind the size there may be pages that fallocate(2) made. */
	if (size < n->size)
		punch(fs, n, size, UINT64_MAX - MEMFS_PAGE + 1);
	n->size = size;
	n->mtime = n->ctime = memfs_now();
}

int memfs_data_open(struct request *req, uint64_t nodeid, const struct fuse_open_in *in,
		    struct fuse_open_out *ret)
{
	int err;
	scoped_memfs struct memfs *fs = memfs_enter(req, &err);
	struct memfs_node *n = err ? NULL : memfs_node(fs, nodeid);

	if (!n)
		return err ? err : -ESTALE;
	if (S_ISDIR(n->mode))
		return -EISDIR;
	if (S_ISLNK(n->mode))
		return -ELOOP;
	if (!S_ISREG(n->mode))
		return -ENXIO;
	err = memfs_open(fs, n, in->flags, false, ret);
	if (!err && in->flags & O_TRUNC)
		memfs_data_truncate(fs, n, 0);
	return err;
}

static struct memfs_handle *reader(struct memfs *fs, uint64_t nodeid, uint64_t fh)
{
	struct memfs_handle *h = memfs_handle(fs, nodeid, fh, false);

	return h && (h->flags & O_ACCMODE) != O_WRONLY ? h : NULL;
}

static struct memfs_handle *writer(struct memfs *fs, uint64_t nodeid, uint64_t fh)
{
	struct memfs_handle *h = memfs_handle(fs, nodeid, fh, false);

	return h && (h->flags & O_ACCMODE) != O_RDONLY ? h : NULL;
}

ssize_t memfs_data_read(struct request *req, uint64_t nodeid, const struct fuse_read_in *in,
			struct iov_cursor *dst)
{
	int err;
	scoped_memfs struct memfs *fs = memfs_enter(req, &err);
	struct memfs_handle *h = err ? NULL : reader(fs, nodeid, in->fh);
	size_t want, done = 0;

	if (!h)
		return err ? err : -EBADF;
	if (in->offset >= h->node->size)
		return 0;
	want = MIN((uint64_t)in->size, h->node->size - in->offset);
	while (done < want) {
		uint64_t off = in->offset + done;
		const uint8_t *mem = page_at(h->node, off / MEMFS_PAGE);
		size_t skip = off % MEMFS_PAGE, len = MIN(want - done, MEMFS_PAGE - skip);

		iov_write(dst, mem ? mem + skip : zeroes, len);
		done += len;
	}
	h->node->atime = memfs_now();
	return (ssize_t)done;
}

static void written(struct memfs_node *n, uint64_t end)
{
	n->size = MAX(n->size, end);
	n->mtime = n->ctime = memfs_now();
}

static void kill_setid(struct memfs_node *n)
{
	n->mode &= ~(uint32_t)S_ISUID;
	if (n->mode & S_IXGRP)
		n->mode &= ~(uint32_t)S_ISGID;
}

ssize_t memfs_data_write(struct request *req, uint64_t nodeid, const struct fuse_write_in *in,
			 struct iov_cursor *src)
{
	int err;
	scoped_memfs struct memfs *fs = memfs_enter(req, &err);
	struct memfs_handle *h = err ? NULL : writer(fs, nodeid, in->fh);
	uint64_t off = in->offset;
	size_t done = 0;

	if (!h)
		return err ? err : -EBADF;
	/* With a cache that writes back the guest knows better where the end is. */
	if (h->flags & O_APPEND && !(in->write_flags & FUSE_WRITE_CACHE))
		off = h->node->size;
	if (in->size > INT64_MAX - off)
		return -EFBIG;
	while (done < in->size) {
		uint8_t *mem = page_make(fs, h->node, (off + done) / MEMFS_PAGE);
		size_t skip = (off + done) % MEMFS_PAGE;
		size_t len = MIN(in->size - done, MEMFS_PAGE - skip);

		if (!mem)
			break;
		iov_read(src, mem + skip, len);
		done += len;
	}
	if (!done && in->size)
		return -ENOSPC;
	if (done)
		written(h->node, off + done);
	if (in->write_flags & FUSE_WRITE_KILL_SUIDGID)
		kill_setid(h->node);
	return (ssize_t)done;
}

/* Make all pages of a range, or none of them. */
static int allocate(struct memfs *fs, struct memfs_node *n, uint64_t off, uint64_t end)
{
	uint64_t first = off / MEMFS_PAGE, last = (end - 1) / MEMFS_PAGE;
	uint64_t have = place(n, last + 1) - place(n, first);

	if (last - first + 1 - have > fs->max_pages - fs->used_pages)
		return -ENOSPC;
	for (uint64_t i = first; i <= last; i++)
		if (!page_make(fs, n, i))
			return -ENOMEM;
	return 0;
}

int memfs_data_fallocate(struct request *req, uint64_t nodeid, const struct fuse_fallocate_in *in)
{
	int err;
	scoped_memfs struct memfs *fs = memfs_enter(req, &err);
	struct memfs_handle *h = err ? NULL : writer(fs, nodeid, in->fh);
	uint64_t end = in->offset + in->length;
	struct memfs_node *n;

	if (!h)
		return err ? err : -EBADF;
	n = h->node;
	switch (in->mode) {
	case FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE:
		punch(fs, n, in->offset, end);
		break;
	case FALLOC_FL_ZERO_RANGE:
	case FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE:
		punch(fs, n, in->offset, end);
		err = allocate(fs, n, in->offset, end);
		break;
	case 0:
	case FALLOC_FL_KEEP_SIZE:
		err = allocate(fs, n, in->offset, end);
		break;
	default:
		return -EOPNOTSUPP;
	}
	if (!err)
		written(n, in->mode & FALLOC_FL_KEEP_SIZE ? 0 : end);
	return err;
}

/* The first byte of data at or behind @off. */
static uint64_t next_data(const struct memfs_node *n, uint64_t off)
{
	size_t at = place(n, off / MEMFS_PAGE);

	if (at == n->npages)
		return n->size;
	return MAX(off, n->pages[at].index * MEMFS_PAGE);
}

static uint64_t next_hole(const struct memfs_node *n, uint64_t off)
{
	uint64_t index = off / MEMFS_PAGE;
	size_t at = place(n, index);

	if (at == n->npages || n->pages[at].index != index)
		return off;
	for (; at < n->npages && n->pages[at].index == index; at++)
		index++;
	return MIN(n->size, index * MEMFS_PAGE);
}

int memfs_data_lseek(struct request *req, uint64_t nodeid, const struct fuse_lseek_in *in,
		     uint64_t *ret_off)
{
	int err;
	scoped_memfs struct memfs *fs = memfs_enter(req, &err);
	struct memfs_handle *h = err ? NULL : memfs_handle(fs, nodeid, in->fh, false);
	uint64_t off;

	if (!h)
		return err ? err : -EBADF;
	if (in->offset >= h->node->size)
		return -ENXIO;
	if (in->whence == SEEK_DATA)
		off = next_data(h->node, in->offset);
	else
		off = next_hole(h->node, in->offset);
	if (in->whence == SEEK_DATA && off >= h->node->size)
		return -ENXIO;
	*ret_off = off;
	return 0;
}

ssize_t memfs_data_copy(struct request *req, uint64_t nodeid,
			const struct fuse_copy_file_range_in *in)
{
	int err;
	scoped_memfs struct memfs *fs = memfs_enter(req, &err);
	struct memfs_handle *from = err ? NULL : reader(fs, nodeid, in->fh_in);
	struct memfs_handle *to = err ? NULL : writer(fs, in->nodeid_out, in->fh_out);
	uint64_t want, done = 0;

	if (!from || !to)
		return err ? err : -EBADF;
	if (from->node == to->node && in->off_in < in->off_out + in->len &&
	    in->off_out < in->off_in + in->len)
		return -EINVAL;
	if (in->off_in >= from->node->size)
		return 0;
	want = MIN(in->len, from->node->size - in->off_in);
	while (done < want) {
		uint64_t src = in->off_in + done, dst = in->off_out + done;
		uint64_t here = MEMFS_PAGE - src % MEMFS_PAGE;
		uint64_t there = MEMFS_PAGE - dst % MEMFS_PAGE;
		size_t len = MIN(want - done, MIN(here, there));
		uint8_t *out = page_make(fs, to->node, dst / MEMFS_PAGE);
		const uint8_t *mem = page_at(from->node, src / MEMFS_PAGE);

		if (!out)
			break;
		memcpy(out + dst % MEMFS_PAGE, mem ? mem + src % MEMFS_PAGE : zeroes, len);
		done += len;
	}
	if (!done && want)
		return -ENOSPC;
	if (done)
		written(to->node, in->off_out + done);
	return (ssize_t)done;
}
