// SPDX-License-Identifier: Apache-2.0
/* Hostile acts that take more than a row: memory that goes away or changes, a host that moves things. */
/*
 * Theory of operation
 *
 * Each function does its worst with a guest whose nodes and handles are known (hz_know()) and leaves one
 * that works, connecting anew where it has spoiled this one. Where something races, a thread of the test
 * changes what the daemon looks at as fast as it can, for a number of rounds that takes a fraction of a
 * second; whatever comes back, nothing of what lies outside the share may.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "fd.h"
#include "fz.h"
#include "hz.h"

#define MIB    (1u << 20)
#define HIGH   (1ull << 32) /* the third region: 32 MiB with a file of its own */
#define GONE   (HIGH + 16 * MIB)
#define ROUNDS 300u

static struct vuf_ring *ring(const struct hz *h)
{
	return &h->f->v->ring[1];
}

/* ---- memory that goes away ---- */

static void shrink(struct hz *h, unsigned int region, off_t size)
{
	assert_int_equal(ftruncate(h->f->v->mem.region[region].fd, size), 0);
}

/* A request of @len bytes at h->io as a chain of @n descriptors; the error in the reply at A_OUT. */
static int send_raw(struct hz *h, const void *req, size_t len, const struct vring_desc *d,
		    unsigned int n, uint32_t *ret_used)
{
	struct vring_desc copy[4];
	struct fuse_out_header out;
	struct vuf_ring *r = ring(h);
	void *token;
	int err;

	memset(h->io, 0, 4096);
	memcpy(h->io, req, len);
	for (unsigned int i = 0; i < n; i++) {
		copy[i] = d[i];
		copy[i].addr = hz_subst(h, d[i].addr);
		copy[i].next = fx_packed() ? 5 : (uint16_t)(i + 1);
	}
	if (vuf_ring_raw(r, copy, n, fx_packed() ? 5 : 0, h) < 0)
		fail_msg("the ring is not fresh");
	vuf_ring_kick_force(r);
	err = vuf_ring_wait(r, 1, FX_WAIT_MS);
	if (err < 0)
		return err;
	assert_int_equal(vuf_ring_get(r, &token, ret_used), 1);
	memcpy(&out, h->io + 1024, sizeof(out));
	return out.error;
}

struct io {
	struct fuse_in_header hdr;
	union {
		struct fuse_read_in read;
		struct fuse_write_in write;
		struct fuse_getattr_in getattr;
	};
} __attribute__((packed));

static struct io make_io(const struct hz *h, uint32_t op, uint32_t len)
{
	struct io io = {
		.hdr = {.len = len, .opcode = op, .unique = 99, .nodeid = h->word[HZ_FILE]}};

	if (op == FUSE_READ)
		io.read = (struct fuse_read_in){.fh = h->word[HZ_FH], .size = 4096};
	if (op == FUSE_WRITE)
		io.write = (struct fuse_write_in){.fh = h->word[HZ_FH], .size = 4096};
	return io;
}

#define W  VRING_DESC_F_WRITE
#define NX VRING_DESC_F_NEXT

static void payload_goes(struct hz *h)
{
	const struct vring_desc rd[] = {
		{A_IN, 80, NX, 0}, {A_OUT, 16, W | NX, 0}, {GONE, 4096, W, 0}};
	const struct vring_desc wr[] = {{A_IN, 80, NX, 0}, {GONE, 4096, NX, 0}, {A_OUT, 24, W, 0}};
	struct io io;
	uint32_t used;

	hz_reset(h);
	shrink(h, 2, 16 * MIB);
	io = make_io(h, FUSE_READ, 80);
	assert_int_equal(send_raw(h, &io, 80, rd, 3, &used), -EFAULT);
	assert_int_equal(used, 16);
	hz_reset(h);
	io = make_io(h, FUSE_WRITE, 80 + 4096);
	assert_int_equal(send_raw(h, &io, 80, wr, 3, &used), -EFAULT);
	/* The queue is none the worse, without a reset. */
	hz_probe(h);
	hz_connect(h, true);
}

static void headers_go(struct hz *h)
{
	const struct vring_desc in[] = {{GONE, 56, NX, 0}, {A_OUT, 120, W, 0}};
	const struct vring_desc out[] = {{A_IN, 56, NX, 0}, {GONE + 2 * MIB, 120, W, 0}};
	const struct vring_desc args[] = {
		{A_IN, 40, NX, 0}, {GONE + 4 * MIB, 16, NX, 0}, {A_OUT, 120, W, 0}};
	struct io io;
	uint32_t used;

	hz_reset(h);
	shrink(h, 2, 16 * MIB);
	io = make_io(h, FUSE_GETATTR, 56);
	assert_int_equal(send_raw(h, &io, 56, in, 2, &used), -EFAULT);
	hz_reset(h);
	assert_int_equal(send_raw(h, &io, 56, out, 2, &used), 0);
	assert_int_equal(used, 0);
	hz_reset(h);
	assert_true(send_raw(h, &io, 40, args, 3, &used) < 0);
	hz_probe(h);
	hz_connect(h, true);
}

static void a_table_goes(struct hz *h)
{
	const struct vring_desc d[] = {{GONE, 32, VRING_DESC_F_INDIRECT, 0}};
	struct io io;
	uint32_t used;

	hz_reset(h);
	shrink(h, 2, 16 * MIB);
	io = make_io(h, FUSE_GETATTR, 56);
	assert_int_equal(send_raw(h, &io, 56, d, 1, &used), -EPROTO);
	hz_reset(h);
	hz_probe(h);
	hz_connect(h, true);
}

static void wait_err(const struct vuf_ring *r)
{
	struct pollfd pfd = {.fd = r->err_fd, .events = POLLIN};

	if (poll(&pfd, 1, FX_WAIT_MS) != 1)
		fail_msg("the queue is not broken");
}

/* All memory at once, rings included. Nothing here may touch it any more either. */
static void all_memory_goes(struct hz *h)
{
	struct vuf *v = h->f->v;

	for (unsigned int i = 0; i < v->mem.nregions; i++)
		shrink(h, i, 0);
	for (unsigned int i = 0; i < v->nrings; i++) {
		fd_signal(v->ring[i].kick_fd);
		wait_err(&v->ring[i]);
	}
	hz_connect(h, true);
}

/* Only the rings' own, in the midst of requests. */
static void rings_go_under_load(struct hz *h)
{
	struct vuf *v = h->f->v;
	struct vuf_req *q[32];

	for (unsigned int i = 0; i < ARRAY_SIZE(q); i++) {
		q[i] = vuf_req_new(v, 4096, 4096);
		assert_non_null(q[i]);
		vuf_req_begin(q[i], FUSE_GETATTR, FUSE_ROOT_ID);
		vuf_req_add(q[i], &(struct fuse_getattr_in){0}, sizeof(struct fuse_getattr_in));
		assert_int_equal(vuf_req_submit(q[i], ring(h)), 0);
	}
	vuf_ring_kick_force(ring(h));
	shrink(h, 0, 0);
	for (unsigned int i = 0; i < 20; i++)
		fd_signal(ring(h)->kick_fd);
	wait_err(ring(h));
	for (unsigned int i = 0; i < ARRAY_SIZE(q); i++)
		vuf_req_free(q[i]);
	hz_connect(h, true);
}

static void inflight_goes(struct hz *h)
{
	scoped_fd int fd = memfd_create("inflight", 0);
	struct vu_inflight in = {.num_queues = 3, .queue_size = 128};
	struct fuse_attr_out a;
	struct vuf *v;

	hz_connect(h, false);
	v = h->f->v;
	assert_int_equal(vuf_negotiate(v), 0);
	in.mmap_size = 1 << 16;
	assert_int_equal(ftruncate(fd, 1 << 16), 0);
	assert_int_equal(vuf_set_inflight(v, &in, fd), 0);
	fx_up(h->f, true);
	assert_int_equal(fz_getattr(h->f, FUSE_ROOT_ID, &a), 0);
	assert_int_equal(ftruncate(fd, 0), 0);
	for (unsigned int i = 0; i < 2; i++) {
		vuf_req_begin(h->f->q, FUSE_GETATTR, FUSE_ROOT_ID);
		vuf_req_add(h->f->q, &(struct fuse_getattr_in){0}, sizeof(struct fuse_getattr_in));
		assert_int_equal(vuf_req_submit(h->f->q, &v->ring[i + 1]), 0);
		assert_int_equal(vuf_req_wait(h->f->q, &v->ring[i + 1]), -EPROTO);
	}
	hz_connect(h, true);
}

/* ---- memory that changes ---- */

struct flipper {
	pthread_t thread;
	_Atomic bool stop;
	void (*flip)(void *arg, unsigned int i);
	void *arg;
};

static void *flip_on(void *arg)
{
	struct flipper *f = arg;

	for (unsigned int i = 0; !atomic_load_explicit(&f->stop, memory_order_relaxed); i++)
		f->flip(f->arg, i);
	return NULL;
}

static void flip_begin(struct flipper *f, void (*flip)(void *arg, unsigned int i), void *arg)
{
	f->flip = flip;
	f->arg = arg;
	atomic_store(&f->stop, false);
	assert_int_equal(pthread_create(&f->thread, NULL, flip_on, f), 0);
}

static void flip_end(struct flipper *f)
{
	atomic_store(&f->stop, true);
	pthread_join(f->thread, NULL);
}

/* A name between "file" and ones that lead out. */
static void flip_name(void *arg, unsigned int i)
{
	static const char names[][16] = {"file\0\0\0\0\0\0\0",   "../canary\0\0",
					 "..\0\0\0\0\0\0\0\0\0", "up/canary\0\0",
					 "out\0\0\0\0\0\0\0\0",  "AAAAAAAAAAA"};
	volatile char *at = arg;

	for (unsigned int k = 0; k < 11; k++)
		at[k] = names[i % ARRAY_SIZE(names)][k];
}

static uint64_t canary_ino(const struct hz *h)
{
	char path[128];
	struct stat st;

	snprintf(path, sizeof(path), "%s/canary", h->f->dir);
	assert_int_equal(stat(path, &st), 0);
	return st.st_ino;
}

static void names_change(struct hz *h)
{
	struct vuf_req *q = h->f->q;
	uint64_t canary = canary_ino(h), share = fx_stat(h->f, "..").st_ino;
	struct flipper f;

	vuf_req_begin(q, FUSE_LOOKUP, FUSE_ROOT_ID);
	flip_begin(&f, flip_name, q->in + sizeof(struct fuse_in_header));
	for (unsigned int i = 0; i < 10 * ROUNDS; i++) {
		const struct fuse_entry_out *e = vuf_req_payload(q);

		vuf_req_begin(q, FUSE_LOOKUP, FUSE_ROOT_ID);
		vuf_req_room(q, 12);
		q->in[sizeof(struct fuse_in_header) + 11] = '\0';
		assert_int_equal(vuf_req_call(q, ring(h)), 0);
		if (vuf_req_error(q) == 0) {
			assert_int_not_equal(e->attr.ino, canary);
			assert_int_not_equal(e->attr.ino, share);
		}
	}
	flip_end(&f);
}

static void flip_header(void *arg, unsigned int i)
{
	static const uint32_t ops[] = {FUSE_GETATTR, FUSE_STATFS, FUSE_READLINK, FUSE_ACCESS, 4711};
	static const uint32_t lens[] = {56, 40, 0, UINT32_MAX, 57};
	volatile struct fuse_in_header *hdr = arg;

	hdr->opcode = ops[i % ARRAY_SIZE(ops)];
	hdr->len = lens[i / 3 % ARRAY_SIZE(lens)];
	hdr->nodeid = i % 7 ? FUSE_ROOT_ID : i;
}

static void headers_change(struct hz *h)
{
	struct vuf_req *q = h->f->q;
	struct flipper f;

	flip_begin(&f, flip_header, q->in);
	for (unsigned int i = 0; i < 10 * ROUNDS; i++) {
		vuf_req_begin(q, FUSE_GETATTR, FUSE_ROOT_ID);
		vuf_req_room(q, sizeof(struct fuse_getattr_in));
		assert_int_equal(vuf_req_submit(q, ring(h)), 0);
		assert_int_equal(vuf_req_wait(q, ring(h)), 0);
		assert_true(q->used >= sizeof(struct fuse_out_header));
	}
	flip_end(&f);
}

static void flip_value(void *arg, unsigned int i)
{
	volatile struct fuse_setxattr_in *in = arg;

	in->size = i % 3 ? 16 : i % 2 ? UINT32_MAX : 100;
}

static void sizes_change(struct hz *h)
{
	struct vuf_req *q = h->f->q;
	struct flipper f;

	flip_begin(&f, flip_value, q->in + sizeof(struct fuse_in_header));
	for (unsigned int i = 0; i < 5 * ROUNDS; i++) {
		vuf_req_begin(q, FUSE_SETXATTR, h->word[HZ_FILE]);
		vuf_req_add(q, &(struct fuse_setxattr_in){.size = 16},
			    sizeof(struct fuse_setxattr_in));
		vuf_req_add_str(q, "user.x");
		vuf_req_room(q, 16);
		assert_int_equal(vuf_req_call(q, ring(h)), 0);
	}
	flip_end(&f);
}

/* A table's entries, between good ones and bad. The queue may break; the process may not. */
static void flip_table(void *arg, unsigned int i)
{
	volatile struct vring_desc *t = arg;

	t[0].len = i % 3 ? 56 : UINT32_MAX;
	t[1].addr = i % 5 ? t[0].addr + 1024 : A_HOLE;
	if (!fx_packed())
		t[0].next = i % 2 ? 1 : 7;
}

static void tables_change(struct hz *h)
{
	struct vring_desc t[] = {{0, 56, NX, 1}, {0, 120, W, 0}};
	struct vring_desc d = {0, 32, VRING_DESC_F_INDIRECT, 5};
	struct io io = make_io(h, FUSE_GETATTR, 56);
	struct flipper f;

	hz_reset(h);
	for (unsigned int i = 0; i < ROUNDS; i++) {
		struct vuf_ring *r = ring(h);
		void *token;
		uint32_t used;

		memcpy(h->io, &io, 56);
		t[0].addr = h->io_gpa;
		t[1].addr = h->io_gpa + 1024;
		d.addr = h->io_gpa + 2048;
		memcpy(h->io + 2048, t, sizeof(t));
		if (fx_packed()) {
			((uint16_t *)(void *)(h->io + 2048))[7] = NX;
			((uint16_t *)(void *)(h->io + 2048))[15] = W;
		}
		flip_begin(&f, flip_table, h->io + 2048);
		if (vuf_ring_raw(r, &d, 1, fx_packed() ? 5 : 0, h) == 0) {
			vuf_ring_kick_force(r);
			if (vuf_ring_wait(r, 1, FX_WAIT_MS) == 0)
				vuf_ring_get(r, &token, &used);
		}
		flip_end(&f);
		if (i % 4 == 0)
			hz_reset(h);
	}
	hz_reset(h);
}

/* A head that is given out twice at once: answered twice, or the queue breaks. */
static void one_head_twice(struct hz *h)
{
	struct vring_desc d[] = {{A_IN, 56, NX, 1}, {A_OUT, 120, W, 0}};
	struct vuf_ring *r = ring(h);
	struct io io = make_io(h, FUSE_GETATTR, 56);

	if (fx_packed())
		return;
	hz_reset(h);
	memcpy(h->io, &io, 56);
	d[0].addr = hz_subst(h, d[0].addr);
	d[1].addr = hz_subst(h, d[1].addr);
	assert_int_equal(vuf_ring_raw(r, d, 2, 0, h), 0);
	for (unsigned int i = 0; i < 100; i++)
		vuf_ring_offer(r, 0);
	vuf_ring_kick_force(r);
	vuf_ring_wait(r, 1, FX_WAIT_MS);
	hz_reset(h);
}

/* ---- a host that moves things ---- */

static void a_directory_is_moved_out(struct hz *h)
{
	static const char *const names[] = {"..", "../canary", "../../etc/passwd", ".", "/"};
	struct fx *f = h->f;
	char moved[128];
	struct fuse_entry_out e;
	struct fz_entry_open c;
	uint64_t dir = h->word[HZ_DIR];

	snprintf(moved, sizeof(moved), "%s/moved", f->dir);
	assert_int_equal(rename(fx_path(f, "dir"), moved), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(names); i++) {
		assert_int_equal(fz_lookup(f, dir, names[i], &e), -EINVAL);
		assert_int_equal(fz_create(f, dir, names[i], O_RDWR, 0644, &c), -EINVAL);
		assert_int_equal(fz_mkdir(f, dir, names[i], 0755, &e), -EINVAL);
		assert_int_equal(fz_unlink(f, dir, names[i]), -EINVAL);
		assert_int_equal(fz_rmdir(f, dir, names[i]), -EINVAL);
		assert_int_equal(fz_rename(f, dir, names[i], FUSE_ROOT_ID, "x", 0), -EINVAL);
		assert_int_equal(fz_rename(f, FUSE_ROOT_ID, "file", dir, names[i], 0), -EINVAL);
		assert_int_equal(fz_link(f, h->word[HZ_FILE], dir, names[i], &e), -EINVAL);
		assert_int_equal(fz_symlink(f, dir, names[i], "x", &e), -EINVAL);
		assert_int_equal(fz_mknod(f, dir, names[i], S_IFREG | 0644, 0, &e), -EINVAL);
	}
	assert_int_equal(fz_lookup(f, dir, "canary", &e), -ENOENT);
	assert_int_equal(rename(moved, fx_path(f, "dir")), 0);
	hz_unharmed(h);
}

static void flip_swap(void *arg, unsigned int i)
{
	const struct hz *h = arg;
	char a[128], b[128];

	(void)i;
	snprintf(a, sizeof(a), "%s/swap", h->f->share);
	snprintf(b, sizeof(b), "%s/other", h->f->share);
	renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE);
}

/* A directory and a symlink to what is outside change places all the time. */
static void directory_and_symlink_swap(struct hz *h)
{
	struct fx *f = h->f;
	struct fuse_entry_out e, inner;
	struct fz_entry_open c;
	uint64_t canary = canary_ino(h);
	struct flipper fl;

	assert_int_equal(mkdir(fx_path(f, "swap"), 0755), 0);
	assert_int_equal(symlink(f->dir, fx_path(f, "other")), 0);
	flip_begin(&fl, flip_swap, h);
	for (unsigned int i = 0; i < ROUNDS; i++) {
		if (fz_lookup(f, FUSE_ROOT_ID, "swap", &e))
			continue;
		if (fz_lookup(f, e.nodeid, "canary", &inner) == 0)
			assert_int_not_equal(inner.attr.ino, canary);
		if (fz_create(f, e.nodeid, "new", O_RDWR, 0644, &c) == 0) {
			fz_release(f, c.entry.nodeid, c.open.fh);
			fz_unlink(f, e.nodeid, "new");
		}
		fz_create(f, FUSE_ROOT_ID, "swap", O_RDWR | O_TRUNC, 0644, &c);
	}
	flip_end(&fl);
	hz_unharmed(h);
	unlink(fx_path(f, "swap"));
	unlink(fx_path(f, "other"));
	unlink(fx_path(f, "swap/new"));
	unlink(fx_path(f, "other/new"));
	rmdir(fx_path(f, "swap"));
	rmdir(fx_path(f, "other"));
	hz_connect(h, true);
}

/* A file and a fifo change places between LOOKUP and OPEN: a fifo's OPEN would wait for a writer. */
static void file_and_fifo_swap(struct hz *h)
{
	struct fx *f = h->f;
	struct fuse_entry_out e;
	struct fuse_open_out o;
	struct flipper fl;

	fx_put(f, "swap", "x", 1, 0644);
	assert_int_equal(mkfifo(fx_path(f, "other"), 0644), 0);
	flip_begin(&fl, flip_swap, h);
	for (unsigned int i = 0; i < ROUNDS; i++) {
		struct fz_entry_open c;

		if (fz_lookup(f, FUSE_ROOT_ID, "swap", &e) == 0 &&
		    fz_open(f, e.nodeid, i % 2 ? O_RDONLY : O_RDWR, &o) == 0) {
			assert_true(S_ISREG(e.attr.mode));
			fz_release(f, e.nodeid, o.fh);
		}
		if (fz_create(f, FUSE_ROOT_ID, "swap", O_RDWR, 0644, &c) == 0)
			fz_release(f, c.entry.nodeid, c.open.fh);
	}
	flip_end(&fl);
	unlink(fx_path(f, "swap"));
	unlink(fx_path(f, "other"));
	hz_connect(h, true);
}

/* Devices are never opened, whoever made them. */
static void devices(struct hz *h)
{
	struct fx *f = h->f;
	struct fuse_entry_out e;
	struct fz_entry_open c;
	struct fuse_open_out o;

	if (mknod(fx_path(f, "zero"), S_IFCHR | 0666, makedev(1, 5)) < 0) {
		print_message("no device can be made here: %s\n", strerror(errno));
		return;
	}
	assert_int_equal(fz_lookup(f, FUSE_ROOT_ID, "zero", &e), 0);
	assert_int_equal(fz_open(f, e.nodeid, O_RDONLY, &o), -ENXIO);
	assert_int_equal(fz_opendir(f, e.nodeid, &o), -ENOTDIR);
	assert_true(fz_create(f, FUSE_ROOT_ID, "zero", O_RDWR | O_TRUNC, 0644, &c) < 0);
	assert_int_equal(fz_unlink(f, FUSE_ROOT_ID, "zero"), 0);
}

static void flip_size(void *arg, unsigned int i)
{
	const struct hz *h = arg;
	char path[128];

	snprintf(path, sizeof(path), "%s/file", h->f->share);
	if (truncate(path, i % 2 ? 0 : 1 << 18) < 0)
		abort();
}

/* Short reads, never a signal. */
static void the_host_truncates(struct hz *h)
{
	struct fx *f = h->f;
	char buf[65536];
	struct flipper fl;

	flip_begin(&fl, flip_size, h);
	for (unsigned int i = 0; i < ROUNDS; i++) {
		ssize_t n = fz_read(f, h->word[HZ_FILE], h->word[HZ_FH], i * 512, buf, sizeof(buf));

		assert_in_range(n, 0, sizeof(buf));
		assert_true(fz_write(f, h->word[HZ_FILE], h->word[HZ_FH], i * 512, buf, 4096) > 0);
	}
	flip_end(&fl);
}

/* ---- limits ---- */

/* Opened to the limit: an errno; the front-end's descriptors still find room, and FORGET goes on. */
static void descriptors_run_out(struct hz *h)
{
	struct fx *f = h->f;
	struct fuse_open_out o;
	unsigned int n = 0;
	int r;

	while ((r = fz_open(f, h->word[HZ_FILE], O_RDONLY, &o)) == 0)
		assert_true(++n < 1000);
	assert_true(r == -ENFILE || r == -EMFILE);
	assert_true(n > 50);
	assert_int_equal(fz_opendir(f, h->word[HZ_DIR], &o), r);
	assert_int_equal(vuf_share_mem(f->v), 0);
	hz_probe(h);
	hz_connect(h, true);
	assert_int_equal(fz_open(f, h->word[HZ_FILE], O_RDONLY, &o), 0);
}

/* Lookup counts and uses in flight are two things: FORGET of everything while READs are on their way. */
static void forget_races_read(struct hz *h)
{
	struct fx *f = h->f;
	struct vuf_req *q[16];
	struct fuse_open_out o;

	for (unsigned int i = 0; i < ARRAY_SIZE(q); i++) {
		q[i] = vuf_req_new(f->v, 256, 8192);
		assert_non_null(q[i]);
	}
	for (unsigned int round = 0; round < ROUNDS / 3; round++) {
		uint64_t node = fz_walk(f, "file");

		assert_int_equal(fz_open(f, node, O_RDONLY, &o), 0);
		for (unsigned int i = 0; i < ARRAY_SIZE(q); i++) {
			struct fuse_read_in in = {.fh = o.fh, .size = 4096};

			vuf_req_begin(q[i], i % 2 ? FUSE_READ : FUSE_GETATTR, node);
			vuf_req_add(q[i], &in, sizeof(in));
			assert_int_equal(vuf_req_submit(q[i], ring(h)), 0);
		}
		vuf_ring_kick_force(ring(h));
		f->ring = 2;
		fz_forget(f, node, UINT64_MAX);
		f->ring = 1;
		for (unsigned int i = 0; i < ARRAY_SIZE(q); i++)
			if (!q[i]->done)
				assert_int_equal(vuf_req_wait(q[i], ring(h)), 0);
		fz_release(f, node, o.fh);
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(q); i++)
		vuf_req_free(q[i]);
	hz_connect(h, true);
}

/* All queues broken at once. */
static void every_queue_broken(struct hz *h)
{
	const struct vring_desc bad[] = {{A_OUT, 16, W | NX, 1}, {A_IN, 40, 0, 0}};
	struct vuf *v = h->f->v;

	for (unsigned int i = 0; i < v->nrings; i++) {
		struct vring_desc d[2];

		for (unsigned int k = 0; k < 2; k++) {
			d[k] = bad[k];
			d[k].addr = hz_subst(h, d[k].addr);
			if (fx_packed())
				d[k].next = 5;
		}
		while (vuf_ring_raw(&v->ring[i], d, 2, fx_packed() ? 5 : 0, h) == -EBUSY)
			hz_reset(h);
		vuf_ring_kick_force(&v->ring[i]);
	}
	for (unsigned int i = 0; i < v->nrings; i++)
		wait_err(&v->ring[i]);
	hz_reset(h);
}

/* An interrupt for each word of a thousand that the guest never asked for, kicks without end. */
static void kicks_without_end(struct hz *h)
{
	uint64_t most = UINT64_MAX - 1;

	for (unsigned int i = 0; i < 1000; i++)
		if (write(ring(h)->kick_fd, i % 100 ? &(uint64_t){1} : &most, 8) < 0)
			continue;
	hz_probe(h);
	fd_drain(ring(h)->kick_fd);
}

const struct hz_deed hz_deeds[] = {
	{"payload goes away", payload_goes},
	{"headers go away", headers_go},
	{"a table goes away", a_table_goes},
	{"all memory goes away", all_memory_goes},
	{"the rings' memory goes away under load", rings_go_under_load},
	{"the inflight region goes away", inflight_goes},
	{"names change", names_change},
	{"headers change", headers_change},
	{"sizes change", sizes_change},
	{"tables change", tables_change},
	{"one head twice", one_head_twice},
	{"a directory is moved out of the share", a_directory_is_moved_out},
	{"directory and symlink swap", directory_and_symlink_swap},
	{"file and fifo swap", file_and_fifo_swap},
	{"devices", devices, .root = true},
	{"the host truncates", the_host_truncates},
	{"descriptors run out", descriptors_run_out, .fresh = true, .nofile = 400,
	 .args = {"--rlimit-nofile=400"}},
	{"FORGET races READ", forget_races_read},
	{"every queue broken", every_queue_broken},
	{"kicks without end", kicks_without_end},
};

const unsigned int hz_ndeeds = ARRAY_SIZE(hz_deeds);
