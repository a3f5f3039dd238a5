// SPDX-License-Identifier: Apache-2.0
/* window: any requests of a guest against a front-end that takes exact ones only, and a model of both. */
/*
 * Theory of operation
 *
 * The front-end is an array of pages and a list of mappings. It fails the test for what no front-end has
 * to take: a MAP over a mapping, an UNMAP that is not one whole mapping, anything out of bounds. What it
 * refuses or leaves unanswered is the test's choice.
 *
 * The model is what the guest may expect of each page: a page of a file, nothing, or (where a request
 * failed) that nobody knows. After each request the front-end's pages are compared with it.
 *
 * A file is a memfd, so that its size counts; its nodeid is its number, from 1 on.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "rnd.h"
#include "util.h"
#include "window.h"

#define PAGE  window_page
#define PAGES 512u /* of the window: 2 MiB where pages have 4 KiB */
#define FILES 5u
#define MAPS  2048u

static uint64_t window_page;

/* What a page of the window shows. */
struct page {
	unsigned int node; /* 0 = nothing */
	uint64_t at;       /* page of the file */
	bool write;
};

struct fe_map {
	uint64_t offset;
	uint64_t len;
};

/**
 * struct fe - the front-end, and the backend's files.
 * @strict: refuses what is behind the end of a file.
 * @ready:  there is one.
 * @fail, @doubt: one request in so many is refused, or not answered in time; 0 = none.
 * @lost:   of those a MAP is refused in the end; else they are done all the same.
 * @mute:   the outcome of those is not to be had.
 * @off:    because they are called off, and not because it does not answer.
 * @held, @held_r: an answer that is owed.
 * @size:   bytes of the window, of which the first PAGES pages are looked at.
 * @sent:   requests.
 * @tidy:   window_tidy() was asked for.
 * @forgot: a mapping was dropped without having been asked to: an UNMAP of it is refused.
 */
struct fe {
	struct window *w;
	struct page page[PAGES];
	struct fe_map map[MAPS];
	unsigned int n;
	bool strict;
	bool ready;
	unsigned int fail;
	unsigned int doubt;
	bool lost;
	bool mute;
	bool off;
	bool held;
	int held_r;
	unsigned int sent;
	unsigned int tidy;
	bool forgot;
	uint64_t rnd;
	uint64_t size;
	int fd[FILES + 1];
	bool dead[FILES + 1];
	unsigned int open;
};

/* The guest's expectation. */
struct model {
	struct page page[PAGES];
	bool unknown[PAGES];
};

static bool one_in(struct fe *fe, unsigned int n)
{
	return n && rnd_below(&fe->rnd, n) == 0;
}

static unsigned int node_of(const struct fe *fe, int fd, struct stat *st)
{
	struct stat other;

	assert_int_equal(fstat(fd, st), 0);
	for (unsigned int i = 1; i <= FILES; i++)
		if (fstat(fe->fd[i], &other) == 0 && other.st_ino == st->st_ino)
			return i;
	return 0; /* the window's own */
}

static void fe_show(struct fe *fe, uint64_t offset, uint64_t len, struct page what)
{
	for (uint64_t i = 0; i < len / PAGE && offset / PAGE + i < PAGES; i++) {
		fe->page[offset / PAGE + i] = what;
		if (what.node)
			what.at++;
	}
}

/* Answer as the test has it: what was asked for is done, refused, or in doubt. */
static int answer(struct fe *fe, bool map, int r, bool *ret_do)
{
	*ret_do = r == 0;
	fe->sent++;
	assert_false(fe->held);
	if (one_in(fe, fe->doubt)) {
		if (fe->lost && map)
			r = -EREMOTEIO;
		*ret_do = r == 0;
		fe->held = true;
		fe->held_r = r;
		return fe->off || rnd_below(&fe->rnd, 2) ? -EINTR : -EINPROGRESS;
	}
	return r;
}

static int fe_do_map(void *owner, int fd, uint64_t fd_offset, uint64_t offset, uint64_t len,
		     bool write)
{
	struct fe *fe = owner;
	struct stat st;
	struct page what = {.node = node_of(fe, fd, &st), .at = fd_offset / PAGE, .write = write};
	bool done;
	int r = 0;

	assert_true(len && (len | offset | fd_offset) % PAGE == 0);
	assert_true(len <= fe->size && offset <= fe->size - len);
	assert_true(fd_offset <= INT64_MAX - len);
	if (write)
		assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR);
	for (unsigned int i = 0; i < fe->n; i++)
		assert_false(fe->map[i].offset < offset + len &&
			     offset < fe->map[i].offset + fe->map[i].len);
	if (one_in(fe, fe->fail) || (fe->strict && fd_offset + len > (uint64_t)st.st_size))
		r = -EREMOTEIO;
	if (fe->strict)
		assert_int_not_equal(st.st_size, 0);
	r = answer(fe, true, r, &done);
	if (done) {
		assert_true(fe->n < MAPS);
		fe->map[fe->n++] = (struct fe_map){offset, len};
		/* Of our own file nobody sees anything. */
		if (!what.node)
			what.node = FILES + 1;
		fe_show(fe, offset, len, what);
	}
	return r;
}

static int fe_do_unmap(void *owner, uint64_t offset, uint64_t len)
{
	struct fe *fe = owner;
	unsigned int i = 0;
	bool done;
	int r;

	while (i < fe->n && (fe->map[i].offset != offset || fe->map[i].len != len))
		i++;
	if (fe->forgot && i == fe->n)
		return -EREMOTEIO;
	assert_true(i < fe->n);
	r = answer(fe, false, 0, &done);
	if (done) {
		fe->map[i] = fe->map[--fe->n];
		fe_show(fe, offset, len, (struct page){0});
	}
	return r;
}

static int fe_outcome(void *owner)
{
	struct fe *fe = owner;

	assert_true(fe->held);
	if (fe->mute)
		return fe->off || rnd_below(&fe->rnd, 2) ? -ECANCELED : -EINPROGRESS;
	fe->held = false;
	return fe->held_r;
}

static bool fe_ready(void *owner)
{
	struct fe *fe = owner;

	return fe->ready;
}

static void fe_tidy(void *owner)
{
	struct fe *fe = owner;

	fe->tidy++;
}

static const struct window_ops ops = {
	.ready = fe_ready,
	.map = fe_do_map,
	.unmap = fe_do_unmap,
	.outcome = fe_outcome,
	.tidy = fe_tidy,
};

static bool files_alive(void *be, uint64_t nodeid)
{
	struct fe *fe = be;

	assert_in_range(nodeid, 1, FILES);
	return !fe->dead[nodeid];
}

static int files_open(void *be, uint64_t nodeid, bool write)
{
	struct fe *fe = be;
	char name[32];
	int fd;

	assert_in_range(nodeid, 1, FILES);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fe->fd[nodeid]);
	fd = open(name, (write ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	assert_true(fd >= 0);
	fe->open++;
	return fd;
}

static void files_close(void *be, int fd)
{
	struct fe *fe = be;

	close(fd);
	fe->open--;
}

static const struct window_files files = {
	.alive = files_alive,
	.open = files_open,
	.close = files_close,
};

static void set_size(struct fe *fe, unsigned int node, uint64_t size)
{
	assert_int_equal(ftruncate(fe->fd[node], (off_t)size), 0);
}

static uint64_t size_of(const struct fe *fe, unsigned int node)
{
	struct stat st;

	assert_int_equal(fstat(fe->fd[node], &st), 0);
	return (uint64_t)st.st_size;
}

static void fe_init_size(struct fe *fe, bool strict, uint64_t size)
{
	memset(fe, 0, sizeof(*fe));
	fe->size = size;
	fe->rnd = 1;
	fe->strict = strict;
	fe->ready = true;
	for (unsigned int i = 1; i <= FILES; i++) {
		fe->fd[i] = memfd_create("window", MFD_CLOEXEC);
		assert_true(fe->fd[i] >= 0);
		set_size(fe, i, 2 * PAGES * PAGE);
	}
	assert_int_equal(window_new(size, &ops, fe, &fe->w), 0);
	assert_true(window_ready(fe->w));
	window_begin(fe->w, &files, fe);
	assert_int_equal(fe->tidy, 1);
	window_tidy(fe->w);
	assert_int_equal(window_kind(fe->w), strict ? WINDOW_STRICT : WINDOW_WHOLE);
	assert_int_equal(fe->n, 0);
	fe->tidy = fe->sent = 0;
}

static void fe_init(struct fe *fe, bool strict)
{
	window_page = window_align();
	fe_init_size(fe, strict, PAGES * PAGE);
}

static void fe_done(struct fe *fe)
{
	assert_int_equal(fe->open, 0);
	window_free(fe->w);
	for (unsigned int i = 1; i <= FILES; i++)
		close(fe->fd[i]);
}

/* SETUPMAPPING, in pages. */
static int setup(struct fe *fe, unsigned int node, uint64_t at, unsigned int page, unsigned int n,
		 bool write)
{
	const struct window_part part = {.nodeid = node,
					 .foffset = at * PAGE,
					 .moffset = page * PAGE,
					 .len = n * PAGE,
					 .write = write};
	int fd = files_open(fe, node, write);
	int r = window_setup(fe->w, &part, fd, size_of(fe, node), window_session(fe->w));

	files_close(fe, fd);
	return r;
}

static int removal(struct fe *fe, unsigned int page, unsigned int n)
{
	return window_remove(fe->w, page * PAGE, n * PAGE);
}

/* The front-end shows what the guest expects. */
static void compare(const struct fe *fe, const struct model *m)
{
	for (unsigned int i = 0; i < PAGES; i++) {
		const struct page *is = &fe->page[i], *want = &m->page[i];

		if (m->unknown[i])
			continue;
		if (is->node != want->node || (is->node && is->at != want->at) ||
		    (want->write && !is->write))
			fail_msg("page %u shows page %llu of %u, and should %llu of %u", i,
				 (unsigned long long)is->at, is->node, (unsigned long long)want->at,
				 want->node);
	}
}

static void expect(struct model *m, unsigned int page, unsigned int n, struct page what)
{
	for (unsigned int i = 0; i < n; i++) {
		m->page[page + i] = what;
		m->unknown[page + i] = false;
		if (what.node)
			what.at++;
	}
}

static void expect_unknown(struct model *m, unsigned int page, unsigned int n)
{
	memset(m->unknown + page, true, n * sizeof(m->unknown[0]));
}

/*
 * Where something fails, what was cut by the request may be lost on both sides of it: the run of pages
 * that stood there in one piece.
 */
static void lose(struct model *m, unsigned int page, unsigned int n)
{
	unsigned int from = page, to = page + n;

	while (from && (m->page[from - 1].node || m->unknown[from - 1]))
		from--;
	while (to < PAGES && (m->page[to].node || m->unknown[to]))
		to++;
	expect_unknown(m, from, to - from);
}

static void settle(struct fe *fe, struct model *m)
{
	fe->fail = fe->doubt = 0;
	fe->mute = false;
	assert_int_equal(removal(fe, 0, PAGES), 0);
	expect(m, 0, PAGES, (struct page){0});
	compare(fe, m);
	assert_int_equal(fe->n, 0);
	assert_int_equal(window_count(fe->w), 0);
}

static void random_requests(bool strict, unsigned int fail, unsigned int doubt, uint64_t seed)
{
	static struct fe fe;
	static struct model m;

	fe_init(&fe, strict);
	memset(&m, 0, sizeof(m));
	fe.rnd = seed;
	fe.fail = fail;
	fe.doubt = doubt;
	for (unsigned int step = 0; step < 4000; step++) {
		unsigned int page = rnd_below(&fe.rnd, PAGES);
		unsigned int n = 1 + rnd_below(&fe.rnd, MIN(PAGES - page, 40u));
		bool write = rnd_below(&fe.rnd, 2);
		/* Often what fits to what is there. */
		unsigned int node = 1 + rnd_below(&fe.rnd, FILES);
		uint64_t at = rnd_below(&fe.rnd, 2) ? page : rnd_below(&fe.rnd, PAGES);
		int r;

		fe.lost = rnd_below(&fe.rnd, 2);
		fe.mute = doubt && rnd_below(&fe.rnd, 8) == 0;
		if (rnd_below(&fe.rnd, 3)) {
			r = setup(&fe, node, at, page, n, write);
			expect(&m, page, n, (struct page){node, at, write});
		} else {
			r = removal(&fe, page, n);
			expect(&m, page, n, (struct page){0});
		}
		if (r == 0 && !fail && !doubt) {
			compare(&fe, &m);
			continue;
		}
		assert_true(r == 0 || r == -EIO || r == -EAGAIN);
		assert_true(fail || doubt);
		if (r)
			expect_unknown(&m, page, n);
		lose(&m, page, n);
		if (r == 0)
			for (unsigned int i = page; i < page + n; i++)
				m.unknown[i] = false;
		compare(&fe, &m);
		if (step % 500 == 499) {
			settle(&fe, &m);
			fe.fail = fail;
			fe.doubt = doubt;
		}
	}
	settle(&fe, &m);
	fe_done(&fe);
}

static void whole(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 4; seed++)
		random_requests(false, 0, 0, seed);
}

static void strict(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 4; seed++)
		random_requests(true, 0, 0, seed);
}

static void refusals(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 4; seed++)
		random_requests(seed % 2, 7, 0, seed);
}

static void doubts(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 4; seed++)
		random_requests(seed % 2, seed > 2 ? 9 : 0, 5, seed);
}

/* What is there already takes no message, and what is missing takes one each. */
static void no_more_than_needed(void **state)
{
	static struct fe fe;

	(void)state;
	fe_init(&fe, false);
	assert_int_equal(setup(&fe, 1, 0, 0, 8, true), 0);
	assert_int_equal(fe.sent, 1);
	assert_int_equal(setup(&fe, 1, 0, 0, 8, true), 0);
	assert_int_equal(setup(&fe, 1, 0, 0, 8, false), 0);
	assert_int_equal(setup(&fe, 1, 2, 2, 3, false), 0);
	assert_int_equal(fe.sent, 1);
	assert_int_equal(setup(&fe, 1, 0, 0, 16, false), 0);
	assert_int_equal(fe.sent, 2);
	assert_int_equal(setup(&fe, 1, 0, 0, 16, false), 0);
	assert_int_equal(fe.sent, 2);
	/* To write where there is something that can only be read: anew. */
	assert_int_equal(setup(&fe, 1, 8, 8, 8, true), 0);
	assert_int_equal(fe.sent, 4);
	/* Nothing there, nothing to do. */
	assert_int_equal(removal(&fe, 16, 100), 0);
	assert_int_equal(fe.sent, 4);
	/* A whole one, and one in parts. */
	assert_int_equal(removal(&fe, 8, 8), 0);
	assert_int_equal(fe.sent, 5);
	assert_int_equal(removal(&fe, 3, 2), 0);
	assert_int_equal(fe.sent, 8);
	assert_int_equal(fe.n, 2);
	fe_done(&fe);
}

/* Where nothing behind the end can be mapped, a mapping goes on as its file grows. */
static void growth(void **state)
{
	static struct fe fe;

	(void)state;
	fe_init(&fe, true);
	assert_false(window_grows(fe.w, 1));
	set_size(&fe, 1, 4 * PAGE);
	assert_int_equal(setup(&fe, 1, 0, 0, 64, true), 0);
	assert_int_equal(fe.page[3].node, 1);
	assert_int_equal(fe.page[4].node, 0);
	assert_true(window_grows(fe.w, 1));
	assert_true(window_can_show(fe.w, 1, 4 * PAGE));
	assert_false(window_can_show(fe.w, 1, 4 * PAGE + 1));
	assert_true(window_can_show(fe.w, 1, 5 * PAGE));
	assert_true(window_can_show(fe.w, 1, 64 * PAGE + 1));
	assert_true(window_can_show(fe.w, 2, 4 * PAGE + 1));
	set_size(&fe, 1, 10 * PAGE);
	assert_true(window_show(fe.w, 1, 10 * PAGE) == 10 * PAGE);
	assert_int_equal(fe.page[9].node, 1);
	assert_int_equal(fe.page[9].at, 9);
	assert_true(fe.page[9].write);
	assert_int_equal(fe.page[10].node, 0);
	/* A part of a page cannot be shown, and is not told. */
	set_size(&fe, 1, 12 * PAGE + 5);
	assert_true(window_show(fe.w, 1, 12 * PAGE + 5) == 12 * PAGE);
	assert_int_equal(fe.page[11].node, 1);
	assert_int_equal(fe.page[12].node, 0);
	/* Another file takes a part of the room. */
	assert_int_equal(setup(&fe, 2, 0, 20, 4, true), 0);
	set_size(&fe, 1, 64 * PAGE);
	assert_true(window_show(fe.w, 1, 64 * PAGE) == 64 * PAGE);
	assert_int_equal(fe.page[19].at, 19);
	assert_int_equal(fe.page[20].node, 2);
	assert_int_equal(fe.page[24].node, 0);
	/* It fails: the guest is not told of more than there is. */
	assert_int_equal(removal(&fe, 0, 64), 0);
	set_size(&fe, 1, 4 * PAGE);
	assert_int_equal(setup(&fe, 1, 0, 0, 64, true), 0);
	set_size(&fe, 1, 6 * PAGE);
	fe.fail = 1;
	assert_true(window_show(fe.w, 1, 6 * PAGE) == 4 * PAGE);
	fe.fail = 0;
	assert_true(window_show(fe.w, 1, 6 * PAGE) == 6 * PAGE);
	/* A page that was there whole stays when the file gets shorter. */
	set_size(&fe, 1, 5 * PAGE + 7);
	assert_true(window_show(fe.w, 1, 5 * PAGE + 7) == 5 * PAGE + 7);
	assert_true(window_can_show(fe.w, 1, 5 * PAGE + 9));
	fe_done(&fe);
}

/* A range that could not be shown in whole is refused, and no message is sent. */
static void strict_ends(void **state)
{
	static struct fe fe;

	(void)state;
	fe_init(&fe, true);
	set_size(&fe, 1, 4 * PAGE + 1);
	assert_int_equal(setup(&fe, 1, 0, 0, 64, false), -EIO);
	assert_int_equal(setup(&fe, 1, 0, 0, 5, false), -EIO);
	assert_int_equal(setup(&fe, 1, 5, 0, 5, false), -EIO);
	set_size(&fe, 2, 0);
	assert_int_equal(setup(&fe, 2, 0, 0, 1, false), -EIO);
	set_size(&fe, 2, 1);
	assert_int_equal(setup(&fe, 2, 0, 0, 1, false), -EIO);
	assert_int_equal(fe.sent, 0);
	assert_int_equal(setup(&fe, 1, 0, 0, 4, false), 0);
	assert_int_equal(fe.sent, 1);
	fe_done(&fe);
}

static void forget(void **state)
{
	static struct fe fe;

	(void)state;
	fe_init(&fe, false);
	assert_int_equal(setup(&fe, 1, 0, 0, 8, true), 0);
	assert_int_equal(setup(&fe, 2, 0, 8, 8, true), 0);
	/* One lookup less, and others that have no mapping. */
	window_forget(fe.w, 1);
	window_forget(fe.w, 3);
	assert_int_equal(fe.tidy, 0);
	fe.dead[1] = true;
	window_forget(fe.w, 1);
	assert_int_equal(fe.tidy, 1);
	window_tidy(fe.w);
	assert_int_equal(fe.page[0].node, 0);
	assert_int_equal(fe.page[8].node, 2);
	/* A stale mapping is nothing that a request could go without. */
	fe.dead[1] = false;
	assert_int_equal(setup(&fe, 1, 0, 0, 8, true), 0);
	fe.dead[1] = true;
	fe.sent = 0;
	assert_int_equal(setup(&fe, 1, 0, 0, 8, true), 0);
	assert_int_equal(fe.sent, 2);
	/* It was forgotten while it was being mapped. */
	assert_int_equal(fe.tidy, 2);
	window_tidy(fe.w);
	assert_int_equal(fe.n, 1);
	fe_done(&fe);
}

static void sessions(void **state)
{
	static struct fe fe;
	const struct window_part part = {.nodeid = 1, .len = 8 * PAGE};
	uint32_t old;

	(void)state;
	fe_init(&fe, false);
	old = window_session(fe.w);
	assert_int_equal(setup(&fe, 1, 0, 0, 8, true), 0);
	assert_int_equal(setup(&fe, 1, 0, 8, 8, true), 0);
	window_end(fe.w);
	assert_int_equal(fe.tidy, 1);
	assert_int_equal(setup(&fe, 1, 0, 16, 8, true), -ESTALE);
	window_begin(fe.w, &files, &fe);
	assert_int_equal(window_setup(fe.w, &part, fe.fd[1], 8 * PAGE, old), -ESTALE);
	/* What the session before has left is in nobody's way. */
	fe.sent = 0;
	assert_int_equal(setup(&fe, 1, 0, 0, 8, true), 0);
	assert_int_equal(fe.sent, 2);
	window_tidy(fe.w);
	assert_int_equal(fe.n, 1);
	assert_int_equal(fe.sent, 3);
	/* A reset: the front-end has unmapped everything, and says so. */
	window_end(fe.w);
	fe.n = 0;
	fe.forgot = true;
	fe_show(&fe, 0, PAGES * PAGE, (struct page){0});
	window_tidy(fe.w);
	assert_int_equal(window_count(fe.w), 0);
	/* Another front-end: of what the old one had nothing is said to it. */
	window_begin(fe.w, &files, &fe);
	fe.forgot = false;
	assert_int_equal(setup(&fe, 1, 0, 0, 8, true), 0);
	window_end(fe.w);
	window_reset(fe.w);
	assert_int_equal(window_kind(fe.w), WINDOW_UNKNOWN);
	fe.n = 0;
	fe.strict = true;
	window_begin(fe.w, &files, &fe);
	window_tidy(fe.w);
	assert_int_equal(window_kind(fe.w), WINDOW_STRICT);
	assert_int_equal(fe.n, 0);
	assert_int_equal(setup(&fe, 1, 0, 0, 8, true), 0);
	assert_int_equal(fe.n, 1);
	fe_done(&fe);
}

/* One that maps nothing, and one that says so late. */
static void broken(void **state)
{
	static struct fe fe;

	(void)state;
	fe_init(&fe, false);
	window_reset(fe.w);
	fe.fail = 1;
	assert_int_equal(setup(&fe, 1, 0, 0, 8, true), -EIO);
	assert_int_equal(window_kind(fe.w), WINDOW_BROKEN);
	fe.sent = 0;
	assert_int_equal(setup(&fe, 1, 0, 0, 8, true), -EIO);
	assert_int_equal(fe.sent, 0);
	window_reset(fe.w);
	fe.fail = 0;
	fe.doubt = 1;
	fe.mute = fe.off = true;
	assert_int_equal(setup(&fe, 1, 0, 0, 8, true), -EAGAIN);
	assert_int_equal(fe.sent, 1);
	assert_int_equal(setup(&fe, 1, 0, 0, 8, true), -EAGAIN);
	assert_int_equal(fe.sent, 1);
	assert_int_equal(window_probe(fe.w), WINDOW_UNKNOWN);
	fe.mute = false;
	fe.doubt = 0;
	assert_int_equal(window_probe(fe.w), WINDOW_WHOLE);
	assert_int_equal(setup(&fe, 1, 0, 0, 8, true), 0);
	assert_int_equal(fe.n, 1);
	/* One that does not answer is not asked again. */
	window_reset(fe.w);
	fe.n = fe.sent = 0;
	fe.doubt = 1;
	fe.mute = true;
	fe.off = false;
	while (window_probe(fe.w) == WINDOW_UNKNOWN)
		;
	assert_int_equal(fe.sent, 1);
	assert_int_equal(window_kind(fe.w), WINDOW_BROKEN);
	assert_int_equal(window_probe(fe.w), WINDOW_BROKEN);
	assert_int_equal(setup(&fe, 1, 0, 0, 8, true) < 0, true);
	assert_int_equal(fe.sent, 1);
	fe_done(&fe);
}

/* More mappings than there can be: the next is refused, and all that there are stay. */
static void too_many(void **state)
{
	static struct fe fe;
	unsigned int n = 0;
	int r = 0;

	(void)state;
	window_page = window_align();
	fe_init_size(&fe, false, UINT64_C(1) << 30);
	while (r == 0) {
		/* Neighbours that do not make one mapping. */
		r = setup(&fe, 1, 7 * n % PAGES, n, 1, true);
		n += r == 0;
	}
	assert_int_equal(r, -ENOMEM);
	assert_int_equal(fe.n, n);
	assert_int_equal(window_count(fe.w), n);
	assert_true(n >= 1024);
	assert_int_equal(setup(&fe, 1, 3, 0, 1, true), 0);
	assert_int_equal(removal(&fe, 1, 1), 0);
	assert_int_equal(setup(&fe, 1, 0, n, 1, true), 0);
	fe_done(&fe);
}

static void bounds(void **state)
{
	static struct fe fe;
	uint64_t end;

	(void)state;
	fe_init(&fe, false);
	end = PAGES * PAGE;
	assert_true(window_holds(fe.w, 0, end));
	assert_true(window_holds(fe.w, end - PAGE, PAGE));
	assert_false(window_holds(fe.w, 0, 0));
	assert_false(window_holds(fe.w, end, PAGE));
	assert_false(window_holds(fe.w, 0, end + PAGE));
	assert_false(window_holds(fe.w, PAGE, end));
	assert_false(window_holds(fe.w, 1, PAGE));
	assert_false(window_holds(fe.w, 0, PAGE + 1));
	assert_false(window_holds(fe.w, UINT64_MAX - PAGE + 1, PAGE));
	assert_false(window_holds(fe.w, PAGE, UINT64_MAX - PAGE + 1));
	fe_done(&fe);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole),
		cmocka_unit_test(strict),
		cmocka_unit_test(refusals),
		cmocka_unit_test(doubts),
		cmocka_unit_test(no_more_than_needed),
		cmocka_unit_test(growth),
		cmocka_unit_test(strict_ends),
		cmocka_unit_test(forget),
		cmocka_unit_test(sessions),
		cmocka_unit_test(broken),
		cmocka_unit_test(too_many),
		cmocka_unit_test(bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
