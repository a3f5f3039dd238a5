// SPDX-License-Identifier: Apache-2.0
/* virtiofs-bench: READ and WRITE. */
/*
 * Theory of operation
 *
 * READ goes through the data file block after block: all of it where blocks are of a MiB, else its first
 * 4 MiB, so that the price of a request is not hidden behind that of memory. Up to a page the reply is compared as a whole; of a
 * larger one a word in each page, another one each time, and every 16th as a whole, since comparing it
 * all would cost as much as the daemon's work. A buffer never gets the same block twice in a row, so what
 * it held before is never the right answer.
 *
 * In WRITE each slot has blocks of its own. The first word of a page says which write it was; afterwards
 * the file must have in it what was written last.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "util.h"

#define WHOLE_EVERY 16u
#define CACHED      (4u << 20) /* of the file, where the CPU's caches are to hold it */
#define MANY_BYTES  (1u << 20)

static uint64_t blocks_of(const struct work *w)
{
	return (w->size < MANY_BYTES ? CACHED : FILES_DATA) / w->size;
}

/* Whether @got is what the data file has at @at. */
static bool same_data(const struct files *f, const uint8_t *got, uint64_t at, size_t size,
		      uint64_t seq)
{
	const uint8_t *want = f->data + at;

	if (size <= BENCH_PAGE || seq % WHOLE_EVERY == 0)
		return !memcmp(got, want, size);
	for (size_t i = seq * 8 % BENCH_PAGE; i < size; i += BENCH_PAGE)
		if (memcmp(got + i, want + i, 8) != 0)
			return false;
	return true;
}

static int read_begin(struct load *l)
{
	return share_enter(l);
}

void read_issue(struct load *l, struct slot *s)
{
	uint64_t at = l->next++ % blocks_of(l->work) * l->work->size;
	struct fuse_read_in *in;

	if (s->seq++ && at == s->at)
		at = l->next++ % blocks_of(l->work) * l->work->size;
	s->at = at;
	slot_begin(l, s, FUSE_READ, l->arm->data);
	in = slot_arg(s, sizeof(*in));
	in->fh = l->arm->data_fh;
	in->offset = at;
	in->size = (uint32_t)l->work->size;
	slot_reply_data(s, l->work->size);
}

int read_check(struct load *l, struct slot *s, bool *ret_rest)
{
	*ret_rest = true;
	if (slot_error(s) || slot_len(s) != l->work->size)
		return load_fail(l, "READ: error %d, %zu bytes", slot_error(s), slot_len(s));
	if (!same_data(l->files, s->data, s->at, l->work->size, s->seq) && l->arm->kind != ARM_NULL)
		return load_fail(l, "READ at %llu: the data are wrong", (unsigned long long)s->at);
	return 1;
}

static int read_native(struct native *n)
{
	size_t size = n->work->size;
	uint64_t blocks = blocks_of(n->work);

	for (unsigned int i = 0; i < n->batch; i++) {
		n->at[i] = n->next++ % blocks * size;
		n->res[i] = native_errno(pread(n->files->data_fd,
					       n->buf + (size_t)(i % n->depth) * size, size,
					       (off_t)n->at[i]));
	}
	return (int)n->batch;
}

static int read_native_check(struct native *n)
{
	size_t size = n->work->size;

	for (unsigned int i = 0; i < n->batch; i++) {
		if (n->res[i] != (int)size)
			return n->res[i] < 0 ? n->res[i] : -EIO;
		if (i + n->depth >= n->batch &&
		    !same_data(n->files, n->buf + (size_t)(i % n->depth) * size, n->at[i], size,
			       n->next))
			return -EIO;
	}
	return 0;
}

/* ---- WRITE ---- */

static void stamp_pages(uint8_t *data, uint64_t at, size_t size, uint64_t seq)
{
	for (size_t i = 0; i < size; i += BENCH_PAGE) {
		uint64_t stamp = files_stamp((at + i) / BENCH_PAGE, seq);

		memcpy(data + i, &stamp, sizeof(stamp));
	}
}

static int write_begin(struct load *l)
{
	l->seqs = calloc(blocks_of(l->work), sizeof(*l->seqs));
	if (!l->seqs)
		return -ENOMEM;
	for (unsigned int i = 0; i < l->nslots; i++)
		memcpy(l->slot[i].data, l->files->data, l->work->size);
	return share_enter(l);
}

static void write_issue(struct load *l, struct slot *s)
{
	uint64_t mine = MAX(blocks_of(l->work) / l->nslots, 1u);
	uint64_t block = s->number + s->seq++ % mine * l->nslots;
	struct fuse_write_in *in;

	s->at = block * l->work->size;
	l->seqs[block] = ++l->next;
	stamp_pages(s->data, s->at, l->work->size, l->next);
	slot_begin(l, s, FUSE_WRITE, l->arm->out);
	in = slot_arg(s, sizeof(*in));
	in->fh = l->arm->out_fh;
	in->offset = s->at;
	in->size = (uint32_t)l->work->size;
	slot_send_data(s, l->work->size);
	slot_reply(s, sizeof(struct fuse_write_out));
}

static int write_check(struct load *l, struct slot *s, bool *ret_rest)
{
	const struct fuse_write_out *out = slot_payload(s);

	*ret_rest = true;
	if (slot_error(s) || slot_len(s) != sizeof(*out) ||
	    (out->size != l->work->size && l->arm->kind != ARM_NULL))
		return load_fail(l, "WRITE: error %d, %u bytes written", slot_error(s), out->size);
	return 1;
}

/* Whether the file has what write number @seq put at @at. */
static bool was_written(const struct files *f, uint8_t *buf, uint64_t at, size_t size, uint64_t seq)
{
	if (pread(f->out_fd, buf, size, (off_t)at) != (ssize_t)size)
		return false;
	for (size_t i = 0; i < size; i += BENCH_PAGE) {
		uint64_t stamp = files_stamp((at + i) / BENCH_PAGE, seq);

		if (memcmp(buf + i, &stamp, sizeof(stamp)) != 0 ||
		    memcmp(buf + i + 8, f->data + i + 8, MIN(size - i, (size_t)BENCH_PAGE) - 8) !=
			    0)
			return false;
	}
	return true;
}

static int write_end(struct load *l)
{
	uint8_t *buf = malloc(l->work->size);
	int r = buf ? 0 : -ENOMEM;

	for (uint64_t b = 0; r == 0 && l->arm->kind != ARM_NULL && b < blocks_of(l->work); b++)
		if (l->seqs[b] &&
		    !was_written(l->files, buf, b * l->work->size, l->work->size, l->seqs[b]))
			r = load_fail(l, "WRITE at %llu: the file has something else in it",
				      (unsigned long long)b * l->work->size);
	free(buf);
	free(l->seqs);
	l->seqs = NULL;
	return r;
}

static int write_native_begin(struct native *n)
{
	for (unsigned int i = 0; i < n->depth; i++)
		memcpy(n->buf + (size_t)i * n->work->size, n->files->data, n->work->size);
	return 0;
}

static int write_native(struct native *n)
{
	size_t size = n->work->size;
	uint64_t blocks = blocks_of(n->work);

	for (unsigned int i = 0; i < n->batch; i++) {
		uint8_t *buf = n->buf + (size_t)(i % n->depth) * size;

		n->at[i] = n->next++ % blocks * size;
		stamp_pages(buf, n->at[i], size, n->next);
		n->res[i] = native_errno(pwrite(n->files->out_fd, buf, size, (off_t)n->at[i]));
	}
	return (int)n->batch;
}

static int write_native_check(struct native *n)
{
	size_t size = n->work->size;
	uint64_t first = n->next - n->batch;
	uint8_t *buf = malloc(size);
	int r = buf ? 0 : -ENOMEM;

	for (unsigned int i = 0; r == 0 && i < n->batch; i++)
		if (n->res[i] != (int)size)
			r = n->res[i] < 0 ? n->res[i] : -EIO;
	/* One that no later write of the batch has replaced. */
	if (r == 0 && !was_written(n->files, buf, n->at[n->batch - 1], size, first + n->batch))
		r = -EIO;
	free(buf);
	return r;
}

#define IO_ROWS(suffix, bytes, depth)                                                              \
	{.name = "read-" suffix,                                                                   \
	 .about = "READ of " suffix " from the page cache",                                        \
	 .size = bytes,                                                                            \
	 .dir = -1,                                                                                \
	 .max_depth = depth,                                                                       \
	 .unit = "op",                                                                             \
	 .echo = true,                                                                             \
	 .begin = read_begin,                                                                      \
	 .issue = read_issue,                                                                      \
	 .check = read_check,                                                                      \
	 .native = read_native,                                                                    \
	 .native_check = read_native_check},                                                       \
	{                                                                                          \
		.name = "write-" suffix, .about = "WRITE of " suffix " over a file that is there", \
		.size = bytes, .dir = -1, .max_depth = depth, .unit = "op", .echo = true,          \
		.begin = write_begin, .end = write_end, .issue = write_issue,                      \
		.check = write_check, .native_begin = write_native_begin, .native = write_native,  \
		.native_check = write_native_check,                                                \
	}

const struct work work_io[] = {
	IO_ROWS("4k", 4096, 0),
	IO_ROWS("64k", 65536, 0),
	IO_ROWS("1m", 1048576, 32),
	{0},
};
