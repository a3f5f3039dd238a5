// SPDX-License-Identifier: Apache-2.0
/* The DAX window under random requests, one after the other and all at once. */
/*
 * Theory of operation
 *
 * One after the other, a model says which page of which file each page of the window must show, and all of
 * it is looked at from time to time. At once, on several queues, nobody can say which comes last: there
 * every reply has to be one, the front-end must see nothing that it forbids (fx.c), and at the end the
 * window is emptied and used.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dx.h"
#include "util.h"

#define FILES      3u
#define FILE_PAGES 1024u
#define PAGES      2048u /* of the window */
#define HOLE       UINT32_MAX

static const struct dx_opts in_order = {.window = (uint64_t)PAGES * DX_PAGE,
					.with = "!(nochannel|qemu11-slots)"};
static const struct dx_opts at_once = {.window = (uint64_t)PAGES * DX_PAGE,
				       .fx.vuf.rings = 5,
				       .fx.args = {"--thread-pool-size=4"}};

/*
 * @shown: for each page of the window, file * FILE_PAGES + page, or HOLE.
 * @grain: pages; all is a multiple of it, so that a front-end with few mappings can follow.
 */
struct model {
	uint64_t node[FILES];
	uint32_t shown[PAGES];
	unsigned int grain;
	unsigned int seed;
};

static unsigned int rnd(struct model *m, unsigned int n)
{
	return (unsigned int)rand_r(&m->seed) / 7 % n;
}

static void make_files(struct fx *f, struct model *m)
{
	memset(m->shown, 0xff, sizeof(m->shown));
	for (unsigned int i = 0; i < FILES; i++) {
		char name[8];

		snprintf(name, sizeof(name), "%u", i);
		dx_file(f, name, i + 1, FILE_PAGES * DX_PAGE);
		m->node[i] = fz_walk(f, name);
	}
}

static void compare(const struct fx *f, const struct model *m)
{
	for (unsigned int i = 0; i < PAGES; i++) {
		uint64_t word, want = dx_stamp(m->shown[i] / FILE_PAGES + 1,
					       m->shown[i] % FILE_PAGES * (uint64_t)DX_PAGE);
		bool hole = vuf_dax_read(f->v, i * (uint64_t)DX_PAGE, &word, 8) < 0;

		/* Some take it away after they said so. */
		if (!hole && m->shown[i] == HOLE)
			dx_is_hole(f, i * (uint64_t)DX_PAGE, DX_PAGE);
		else if (hole != (m->shown[i] == HOLE))
			fail_msg("page %u of the window cannot be touched", i);
		else if (!hole && word != want)
			fail_msg("page %u of the window: %#llx instead of %#llx", i,
				 (unsigned long long)word, (unsigned long long)want);
	}
}

static void step_map(struct fx *f, struct model *m)
{
	unsigned int file = rnd(m, FILES), g = m->grain;
	unsigned int len = (1 + rnd(m, rnd(m, 4) ? 32 / g + 1 : 512 / g)) * g;
	unsigned int from = rnd(m, (FILE_PAGES - len) / g + 1) * g;
	unsigned int at = rnd(m, (PAGES - len) / g + 1) * g;

	dx_map(f, m->node[file], from * (uint64_t)DX_PAGE, len * (uint64_t)DX_PAGE,
	       rnd(m, 2) ? DX_WRITE : DX_READ, at * (uint64_t)DX_PAGE);
	for (unsigned int i = 0; i < len; i++)
		m->shown[at + i] = file * FILE_PAGES + from + i;
}

static void step_unmap(struct fx *f, struct model *m)
{
	struct fuse_removemapping_one one[8];
	unsigned int n = 1 + rnd(m, ARRAY_SIZE(one)), g = m->grain;

	for (unsigned int i = 0; i < n; i++) {
		unsigned int len = (1 + rnd(m, 64 / g + 1)) * g;
		unsigned int at = rnd(m, (PAGES - len) / g + 1) * g;

		one[i].moffset = at * (uint64_t)DX_PAGE;
		one[i].len = len * (uint64_t)DX_PAGE;
		memset(&m->shown[at], 0xff, len * sizeof(m->shown[0]));
	}
	assert_int_equal(fz_removemapping(f, m->node[0], one, n), 0);
}

static void one_after_the_other(void **state)
{
	static struct model m;
	struct fx *f = *state;
	unsigned int steps = dx_rules(f)->late ? 150 : 3000;

	m.seed = 4;
	m.grain = dx_rules(f)->regions ? 32 : 1;
	make_files(f, &m);
	for (unsigned int i = 0; i < steps; i++) {
		if (rnd(&m, 3))
			step_map(f, &m);
		else
			step_unmap(f, &m);
		if (i % 40 == 0)
			compare(f, &m);
		if (i % 500 == 499) {
			/* All that is mapped of one file goes. */
			unsigned int file = rnd(&m, FILES);
			char name[8];

			snprintf(name, sizeof(name), "%u", file);
			fz_forget(f, m.node[file], 1);
			for (unsigned int k = 0; k < PAGES; k++)
				if (m.shown[k] != HOLE && m.shown[k] / FILE_PAGES == file)
					m.shown[k] = HOLE;
			m.node[file] = fz_walk(f, name);
		}
	}
	compare(f, &m);
	dx_unmap(f, m.node[0], 0, PAGES * (uint64_t)DX_PAGE);
	dx_live(f, 0);
}

/* Any request, also of what is not there. */
static void fill(struct model *m, struct vuf_req *q)
{
	static const uint64_t odd[] = {0, 1, DX_PAGE - 1, 1ull << 63, UINT64_MAX - DX_PAGE + 1};
	struct fuse_setupmapping_in in = {
		.fh = DX_NO_FH,
		.foffset = rnd(m, FILE_PAGES / 32) * 32ull * DX_PAGE,
		.len = (1 + rnd(m, 16)) * 32ull * DX_PAGE,
		.flags = rnd(m, 2) ? DX_WRITE : DX_READ,
		.moffset = rnd(m, PAGES / 32 + 4) * 32ull * DX_PAGE,
	};
	struct fuse_removemapping_in head = {.count = 1 + rnd(m, 5)};

	if (rnd(m, 20) == 0)
		(rnd(m, 2) ? &in.len : &in.moffset)[0] = odd[rnd(m, ARRAY_SIZE(odd))];
	if (rnd(m, 3)) {
		vuf_req_begin(q, FUSE_SETUPMAPPING,
			      rnd(m, 30) ? m->node[rnd(m, FILES)] : FUSE_ROOT_ID);
		vuf_req_add(q, &in, sizeof(in));
	} else {
		vuf_req_begin(q, FUSE_REMOVEMAPPING, m->node[rnd(m, FILES)]);
		vuf_req_add(q, &head, sizeof(head));
		for (unsigned int i = 0; i < head.count; i++) {
			struct fuse_removemapping_one one = {
				.moffset = rnd(m, PAGES / 32) * 32ull * DX_PAGE,
				.len = (1 + rnd(m, 16)) * 32ull * DX_PAGE,
			};

			vuf_req_add(q, &one, sizeof(one));
		}
	}
	q->out_len = sizeof(struct fuse_out_header);
}

#define FLYING 24u

static void all_at_once(void **state)
{
	static struct model m;
	struct fx *f = *state;
	unsigned int rounds = dx_rules(f)->late ? 10 : 150;
	struct vuf_req *q[FLYING];

	m.seed = 5;
	make_files(f, &m);
	for (unsigned int i = 0; i < FLYING; i++) {
		q[i] = vuf_req_new(f->v, 256, 64);
		assert_non_null(q[i]);
	}
	for (unsigned int k = 0; k < rounds; k++) {
		for (unsigned int i = 0; i < FLYING; i++) {
			fill(&m, q[i]);
			assert_int_equal(vuf_req_submit(q[i], &f->v->ring[1 + i % 4]), 0);
		}
		for (unsigned int i = 1; i < 5; i++)
			vuf_ring_kick(&f->v->ring[i]);
		/* Meanwhile a file grows and shrinks. */
		if (k % 8 == 0) {
			struct fuse_setattr_in in = {.valid = FATTR_SIZE,
						     .size = (k % 16 ? 1 : FILE_PAGES) *
							     (uint64_t)DX_PAGE};
			struct fuse_attr_out attr;

			assert_int_equal(fz_setattr(f, m.node[0], &in, &attr), 0);
		}
		for (unsigned int i = 0; i < FLYING; i++) {
			assert_int_equal(vuf_req_wait(q[i], &f->v->ring[1 + i % 4]), 0);
			assert_int_equal(vuf_req_check(q[i]), 0);
		}
		if (k % 16 == 15)
			assert_int_equal(vuf_fuse_init(f->v, FX_MINOR, f->opts->flags, &f->init) ||
						 !(m.node[0] = fz_walk(f, "0")) ||
						 !(m.node[1] = fz_walk(f, "1")) ||
						 !(m.node[2] = fz_walk(f, "2")),
					 0);
	}
	for (unsigned int i = 0; i < FLYING; i++)
		vuf_req_free(q[i]);
	dx_unmap(f, m.node[1], 0, PAGES * (uint64_t)DX_PAGE);
	dx_live(f, 0);
	dx_is_hole(f, 0, PAGES * (uint64_t)DX_PAGE);
	dx_map(f, m.node[1], 0, FILE_PAGES * DX_PAGE, DX_WRITE, 0);
	dx_is(f, 0, 2, 0, FILE_PAGES * DX_PAGE);
}

int main(int argc, char **argv)
{
	const struct dx_test tests[] = {
		DX_TEST(one_after_the_other, &in_order),
		DX_TEST(all_at_once, &at_once),
	};

	return dx_main(argc, argv, "dax_storm", tests, ARRAY_SIZE(tests));
}
