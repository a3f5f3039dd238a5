// SPDX-License-Identifier: Apache-2.0
/* Guests and front-ends that lie: the daemon, its share, and how a row is played. */
/*
 * Theory of operation
 *
 * Whatever a row sends, what must come back is part of it; afterwards the daemon serves: on the same
 * queue unless that is broken, on another one, and on the one for FORGET. A broken queue is made to work
 * by resetting the device, a lost connection by connecting again, as guests and front-ends do.
 *
 * Beside the share lies a file that nobody may find, change, or get company.
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fd.h"
#include "fz.h"
#include "hz.h"

#define CANARY "nobody may read this"

static void outside(const struct hz *h, char *path, size_t size, const char *name)
{
	snprintf(path, size, "%s/%s", h->f->dir, name);
}

static void make_share(struct hz *h)
{
	struct fx *f = h->f;
	char canary[128], data[4096];
	FILE *s;

	memset(data, 'd', sizeof(data));
	outside(h, canary, sizeof(canary), "canary");
	s = fopen(canary, "we");
	assert_non_null(s);
	fputs(CANARY, s);
	fclose(s);
	fx_put(f, "file", data, sizeof(data), 0644);
	fx_put(f, "gone", "x", 1, 0644);
	assert_int_equal(mkdir(fx_path(f, "dir"), 0755), 0);
	fx_put(f, "dir/inner", "x", 1, 0644);
	assert_int_equal(symlink("file", fx_path(f, "link")), 0);
	assert_int_equal(symlink(canary, fx_path(f, "out")), 0);
	assert_int_equal(symlink("..", fx_path(f, "up")), 0);
	assert_int_equal(mkfifo(fx_path(f, "fifo"), 0644), 0);
}

void hz_start(struct hz *h, const char *sandbox, const char *const *args, unsigned int nofile)
{
	static struct fx_opts opts;
	struct fx *f = h->f;
	unsigned int n = 0;

	opts = (struct fx_opts){.no_start = true, .nofile = nofile, .vuf = {.rings = 3}};
	opts.args[n++] = "--relisten";
	opts.args[n++] = "--xattr";
	opts.args[n++] = sandbox;
	while (args && *args)
		opts.args[n++] = *args++;
	f->opts = &opts;
	make_share(h);
	fx_start(f);
	hz_connect(h, true);
}

static uint64_t look_up(struct hz *h, const char *name)
{
	return fz_walk(h->f, name);
}

void hz_know(struct hz *h)
{
	struct fx *f = h->f;
	struct fuse_open_out o;
	uint64_t *w = h->word;

	w[HZ_FILE] = look_up(h, "file");
	w[HZ_DIR] = look_up(h, "dir");
	w[HZ_LINK] = look_up(h, "link");
	w[HZ_OUT] = look_up(h, "out");
	w[HZ_FIFO] = look_up(h, "fifo");
	fx_put(f, "gone", "x", 1, 0644);
	w[HZ_GONE] = look_up(h, "gone");
	assert_int_equal(unlink(fx_path(f, "gone")), 0);
	w[HZ_STALE] = look_up(h, "dir/inner");
	fz_forget(f, w[HZ_STALE], 1);
	assert_int_equal(fz_open(f, w[HZ_FILE], O_RDONLY, &o), 0);
	w[HZ_OLDFH] = o.fh;
	assert_int_equal(fz_release(f, w[HZ_FILE], o.fh), 0);
	assert_int_equal(fz_open(f, w[HZ_FILE], O_RDWR, &o), 0);
	w[HZ_FH] = o.fh;
	assert_int_equal(fz_open(f, w[HZ_FILE], O_RDONLY, &o), 0);
	w[HZ_FH_RO] = o.fh;
	assert_int_equal(fz_opendir(f, w[HZ_DIR], &o), 0);
	w[HZ_DIRFH] = o.fh;
	w[HZ_IN] = h->io_gpa;
	w[HZ_REPLY] = h->io_gpa + 1024;
	w[HZ_TABLE] = h->io_gpa + 2048;
	/* The second region ends at 32 MiB, and then there is nothing. */
	w[HZ_EDGE] = (32u << 20) - 8;
}

static void begin_guest(struct hz *h)
{
	struct fx *f = h->f;
	int r = vuf_fuse_init(f->v, FX_MINOR, FX_LINUX_FLAGS, &f->init);

	if (r < 0)
		fail_msg("INIT fails: %s; the daemon said:\n%s", strerror(-r), f->log);
	hz_know(h);
}

void hz_connect(struct hz *h, bool up)
{
	struct fx *f = h->f;

	fx_drop(f);
	fx_connect(f);
	f->ring = 1;
	h->io = vuf_mem_alloc(&f->v->mem, 4096, 4096, &h->io_gpa);
	assert_non_null(h->io);
	if (!up)
		return;
	fx_up(f, false);
	begin_guest(h);
}

void hz_reset(struct hz *h)
{
	struct vuf *v = h->f->v;

	assert_int_equal(vuf_set_none(v, VU_RESET_DEVICE), 0);
	for (unsigned int i = 0; i < v->nrings; i++)
		vuf_ring_reset(&v->ring[i], fx_packed() ? VUF_BASE_PACKED : 0);
	fx_up(h->f, false);
	begin_guest(h);
}

static void probe_ring(struct hz *h, unsigned int ring)
{
	struct fx *f = h->f;
	struct fuse_attr_out a;
	unsigned int was = f->ring;

	f->ring = ring;
	assert_int_equal(fz_getattr(f, FUSE_ROOT_ID, &a), 0);
	assert_true(S_ISDIR(a.attr.mode));
	f->ring = was;
}

void hz_probe(struct hz *h)
{
	struct fuse_entry_out e;

	probe_ring(h, 1);
	probe_ring(h, 2);
	fx_settle(h->f);
	assert_int_equal(fz_lookup(h->f, FUSE_ROOT_ID, "file", &e), 0);
	fz_forget(h->f, e.nodeid, 1);
}

void hz_unharmed(struct hz *h)
{
	char path[128], got[64] = "";
	unsigned int n = 0;
	struct dirent *e;
	scoped_fd int fd = -1;
	DIR *d = opendir(h->f->dir);

	assert_non_null(d);
	while ((e = readdir(d)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") && strcmp(e->d_name, "moved"))
			n++;
	closedir(d);
	/* Share, canary, socket, pid file. */
	if (n != 4)
		fail_msg("beside the share are %u things", n);
	outside(h, path, sizeof(path), "canary");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_true(read(fd, got, sizeof(got) - 1) > 0);
	assert_string_equal(got, CANARY);
	if (fx_log_count(h->f, "ERROR") || fx_log_count(h->f, "runtime error"))
		fail_msg("it complains:\n%s", h->f->log);
}

void hz_stop(struct hz *h)
{
	int status;

	kill(h->f->pid, SIGTERM);
	status = fx_wait_exit(h->f, FX_WAIT_MS);
	if (status)
		fail_msg("exit status %d:\n%s", status, h->f->log);
}

/* ---- words ---- */

uint64_t hz_subst(const struct hz *h, uint64_t w)
{
	if (w == HZ_NODE0)
		return 0;
	return w - HZ_WORD(0) < HZ_WORDS ? h->word[w - HZ_WORD(0)] : w;
}

static void subst_all(const struct hz *h, uint8_t *at, size_t len)
{
	for (size_t i = 0; i + 8 <= len; i += 8) {
		uint64_t w;

		memcpy(&w, at + i, 8);
		w = hz_subst(h, w);
		memcpy(at + i, &w, 8);
	}
}

/* ---- rows ---- */

static void check_reply(const struct vuf_req *q, int want)
{
	bool quiet = q->used == 0;

	if (want == HZ_SILENT) {
		if (!quiet)
			fail_msg("%u bytes instead of none", q->used);
		return;
	}
	if (quiet && want == HZ_ANY)
		return;
	if (vuf_req_check(q) < 0)
		fail_msg("the reply is malformed: %u bytes", q->used);
	if (quiet || want == HZ_ANY)
		return;
	if (want == HZ_FAILS ? vuf_req_error(q) == 0 : vuf_req_error(q) != want)
		fail_msg("%d comes back instead of %d", vuf_req_error(q), want);
}

void hz_ask_run(struct hz *h, const struct hz_ask *a)
{
	struct fx *f = h->f;
	struct vuf_req *q = f->q;
	struct fuse_in_header *hdr;
	uint8_t *at;

	if (a->early) {
		assert_int_equal(fz_call(f, FUSE_DESTROY, 0, NULL, 0, NULL, 0, NULL), 0);
	}
	hdr = vuf_req_begin(q, a->op, a->node ? hz_subst(h, a->node) : FUSE_ROOT_ID);
	if (a->nargs) {
		at = vuf_req_room(q, a->nargs);
		assert_non_null(at);
		memcpy(at, a->args, a->nargs);
		subst_all(h, at, a->nargs);
	}
	assert_int_equal(vuf_req_add(q, a->text, a->ntext), 0);
	if (a->fill) {
		at = vuf_req_room(q, a->fill);
		assert_non_null(at);
		memset(at, 'A', a->fill);
	}
	hdr->uid = a->uid;
	if (a->unique0)
		hdr->unique = 0;
	hdr->len += (uint32_t)a->len;
	if (a->cut)
		q->in_len = a->cut;
	q->out_len = a->room == HZ_NO_ROOM ? 0 : a->room ? a->room : 4096;
	assert_int_equal(vuf_req_submit(q, &f->v->ring[1]), 0);
	assert_int_equal(vuf_req_wait(q, &f->v->ring[1]), 0);
	/* Without its unique, no reply can carry it. */
	if (a->cut && a->cut < 16)
		assert_true(q->used >= sizeof(struct fuse_out_header));
	else
		check_reply(q, a->want);
	if (a->early || a->spoils)
		begin_guest(h);
}

static void write_getattr(struct hz *h)
{
	struct fuse_getattr_in in = {0};
	struct fuse_in_header hdr = {
		.len = sizeof(hdr) + sizeof(in),
		.opcode = FUSE_GETATTR,
		.unique = 77,
		.nodeid = FUSE_ROOT_ID,
	};

	memset(h->io, 0, 4096);
	memcpy(h->io, &hdr, sizeof(hdr));
	memcpy(h->io + sizeof(hdr), &in, sizeof(in));
}

static void put_desc(const struct hz *h, const struct vring_desc *from, unsigned int n,
		     struct vring_desc *to, bool links)
{
	for (unsigned int i = 0; i < n; i++) {
		to[i] = from[i];
		to[i].addr = hz_subst(h, to[i].addr);
		if (links && fx_packed())
			to[i].next = 5;
		else if (links && to[i].flags & VRING_DESC_F_NEXT && !to[i].next)
			to[i].next = (uint16_t)(i + 1);
	}
}

/* Entries of a packed table stand in the words differently. */
static void put_table(struct hz *h, const struct hz_chain *c)
{
	struct vring_desc t[ARRAY_SIZE(c->table)];

	put_desc(h, c->table, c->ntable, t, false);
	for (unsigned int i = 0; fx_packed() && i < c->ntable; i++) {
		uint16_t flags = t[i].flags;

		t[i].flags = t[i].next;
		t[i].next = flags;
	}
	memcpy(h->io + 2048, t, c->ntable * sizeof(t[0]));
}

static void expect_broken(struct hz *h, struct vuf_ring *r)
{
	if (vuf_ring_wait(r, 1, FX_WAIT_MS) != -EPROTO)
		fail_msg("it is taken for a good one");
	probe_ring(h, 2);
	fz_forget(h->f, FUSE_ROOT_ID, 1);
	hz_reset(h);
}

static void expect_reply(struct hz *h, struct vuf_ring *r, int want)
{
	struct fuse_out_header out;
	uint32_t used;
	void *token;

	if (vuf_ring_wait(r, 1, FX_WAIT_MS))
		fail_msg("no answer");
	assert_int_equal(vuf_ring_get(r, &token, &used), 1);
	memcpy(&out, h->io + 1024, sizeof(out));
	if (want == HZ_SILENT) {
		assert_int_equal(used, 0);
		return;
	}
	assert_true(used >= sizeof(out) || want == HZ_ANY);
	if (want == HZ_ANY)
		return;
	assert_int_equal(out.len, used);
	if (want == HZ_FAILS ? !out.error : out.error != want)
		fail_msg("%d comes back instead of %d", out.error, want);
}

void hz_chain_run(struct hz *h, const struct hz_chain *c)
{
	struct vuf_ring *r = &h->f->v->ring[1];
	struct vring_desc d[ARRAY_SIZE(c->d)];

	write_getattr(h);
	put_table(h, c);
	put_desc(h, c->d, c->n, d, true);
	if (c->n) {
		/* Tables of the honest ones come and go: a reset makes their places free. */
		if (vuf_ring_raw(r, d, c->n, fx_packed() ? 5 : 0, h) == -EBUSY) {
			hz_reset(h);
			r = &h->f->v->ring[1];
			write_getattr(h);
			put_table(h, c);
			put_desc(h, c->d, c->n, d, true);
			assert_int_equal(vuf_ring_raw(r, d, c->n, fx_packed() ? 5 : 0, h), 0);
		}
	}
	if (c->twist)
		c->twist(h);
	vuf_ring_kick_force(r);
	if (c->want == HZ_BROKEN) {
		expect_broken(h, r);
	} else if (c->want == HZ_NOTHING) {
		probe_ring(h, 2);
		assert_false(vuf_ring_broken(r));
	} else {
		expect_reply(h, r, c->want);
	}
}

/* ---- front-ends ---- */

static int open_kind(const struct hz *h, char kind)
{
	int pair[2], fd = -1;

	switch (kind) {
	case 'e':
		return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	case 'm':
	case 'x':
		fd = memfd_create("hostile", MFD_CLOEXEC);
		assert_int_equal(ftruncate(fd, kind == 'm' ? 65536 : 1), 0);
		return fd;
	case 'f':
		return open(fx_path(h->f, "file"), O_RDWR | O_CLOEXEC);
	case 'd':
		return open(h->f->share, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	case 'p':
		return open(h->f->share, O_PATH | O_CLOEXEC);
	case 'z':
		return open("/dev/zero", O_RDWR | O_CLOEXEC);
	case 's':
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
		close(pair[1]);
		return pair[0];
	default:
		fail_msg("no such kind of descriptor");
		return -1;
	}
}

void hz_msg_run(struct hz *h, const struct hz_msg *m)
{
	struct vuf *v;
	struct {
		struct vu_hdr hdr;
		uint8_t body[1024];
	} __attribute__((packed)) wire = {.hdr = {.request = m->request, .size = m->size}};
	unsigned int nfds = m->fds ? (unsigned int)strlen(m->fds) : 0;
	int fds[8];
	struct vu_msg reply;
	int r;

	hz_connect(h, m->up);
	v = h->f->v;
	if (!m->up)
		assert_int_equal(vuf_negotiate(v), 0);
	wire.hdr.flags =
		m->hdr_flags ? m->hdr_flags : VU_VERSION | (m->silent ? 0 : VU_FLAG_NEED_REPLY);
	if (m->body)
		memcpy(wire.body, m->body, MIN(m->size, sizeof(wire.body)));
	for (unsigned int i = 0; i < nfds; i++) {
		fds[i] = open_kind(h, m->fds[i]);
		assert_true(fds[i] >= 0);
	}
	assert_int_equal(vuf_send_bytes(v, &wire, sizeof(wire.hdr) + MIN(m->size, 512u), fds, nfds),
			 0);
	for (unsigned int i = 0; i < nfds; i++)
		fd_close(&fds[i]);
	if (m->want != HZ_UNHEARD) {
		r = vuf_recv(v, m->request, &reply);
		if (m->want == HZ_DROPPED ? r != -ECONNRESET : r != 0)
			fail_msg("the answer: %s", r ? strerror(-r) : "there is one");
		if (r == 0) {
			if (m->want == HZ_REFUSED && (reply.hdr.size != 8 || !reply.body.u64))
				fail_msg("not refused");
			if (m->want == HZ_ACCEPTED && reply.hdr.size == 8 && reply.body.u64)
				fail_msg("refused");
			vu_msg_close_fds(&reply);
		}
	}
	/* Whoever was not dropped can go on. */
	if (m->want != HZ_DROPPED && m->up)
		hz_reset(h);
	else
		hz_connect(h, true);
}
