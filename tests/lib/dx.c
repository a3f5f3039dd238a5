// SPDX-License-Identifier: Apache-2.0
/* Tests of the DAX window, each with every front-end that has one. */
/*
 * Theory of operation
 *
 * The list of tests is multiplied by the table of personalities (vuf_rules.c). What a front-end needs of the
 * daemon's command line is put in here, so a test only says what it is about.
 *
 * Files are full of stamps, 8 bytes that tell file and place: a page that shows through the window tells by
 * itself where it comes from.
 */
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dx.h"
#include "fd.h"
#include "util.h"

/* A test with a front-end. @fx: what fx_setup() gets. */
struct dx_case {
	const struct dx_opts *opts;
	const struct vuf_rules *rules;
	struct fx_opts fx;
	char name[96];
	char window[48];
};

/* The daemon tries what the front-end can map, some time after INIT: let that be over. */
static int quiet(struct fx *f)
{
	if (!(f->init.flags & FUSE_MAP_ALIGNMENT))
		return 0;
	dx_unmap(f, FUSE_ROOT_ID, 0, DX_PAGE);
	if (!vuf_dax_quiet(f->v, FX_WAIT_MS))
		return -1;
	f->fds = fx_count_fds(f);
	return 0;
}

static int setup(void **state)
{
	struct dx_case *c = *state;
	unsigned int n = 0;

	c->fx = c->opts->fx;
	while (c->fx.args[n])
		n++;
	if (c->opts->window != UINT64_MAX) {
		uint64_t size = c->opts->window ? c->opts->window : DX_WINDOW;

		snprintf(c->window, sizeof(c->window), "--dax-window=%llu",
			 (unsigned long long)size);
		c->fx.args[n++] = c->window;
		c->fx.vuf.dax_size = size;
	}
	if (c->rules->proto & 1ull << VU_PROTOCOL_F_CONFIG)
		c->fx.args[n++] = "--tag=dax";
	if (strcmp(c->rules->name, "alioth") == 0)
		c->fx.args[n++] = "--compat=alioth";
	c->fx.vuf.rules = c->rules;
	if (!c->fx.flags)
		c->fx.flags = FX_LINUX_FLAGS | FX_DAX_FLAGS;
	*state = &c->fx;
	return fx_setup(state) || (c->fx.no_start ? 0 : quiet(*state));
}

int dx_main(int argc, char **argv, const char *name, const struct dx_test *tests, size_t n)
{
	static const struct dx_opts usual;
	struct CMUnitTest *list;
	struct dx_case *c;
	size_t made = 0, kinds = 0;
	int failed;

	while (vuf_rules_at((unsigned int)kinds))
		kinds++;
	c = calloc(n * kinds, sizeof(*c));
	list = calloc(n * kinds, sizeof(*list));
	if (!c || !list)
		return 2;
	for (size_t i = 0; i < n * kinds; i++) {
		const struct dx_test *t = &tests[i / kinds];
		const struct vuf_rules *rules = vuf_rules_at((unsigned int)(i % kinds));

		c[made].opts = t->opts ? t->opts : &usual;
		c[made].rules = rules;
		if (c[made].opts->with ? fnmatch(c[made].opts->with, rules->name, FNM_EXTMATCH)
				       : !rules->shmem)
			continue;
		snprintf(c[made].name, sizeof(c[made].name), "%s %s", t->name, rules->name);
		list[made] = (struct CMUnitTest){c[made].name, t->fn, setup, fx_teardown, &c[made]};
		made++;
	}
	failed = fx_main(argc, argv, name, list, made);
	free(list);
	free(c);
	return failed;
}

const struct vuf_rules *dx_rules(const struct fx *f)
{
	return f->v->conf.rules;
}

uint64_t dx_stamp(uint64_t seed, uint64_t offset)
{
	return seed << 40 | offset / 8;
}

void dx_file(const struct fx *f, const char *name, uint64_t seed, uint64_t size)
{
	scoped_fd int fd = open(fx_path(f, name), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	static uint64_t buf[8192];

	assert_true(fd >= 0);
	for (uint64_t at = 0; at < size; at += sizeof(buf)) {
		size_t len = MIN(size - at, (uint64_t)sizeof(buf));

		for (size_t i = 0; i < ARRAY_SIZE(buf); i++)
			buf[i] = dx_stamp(seed, at + 8 * i);
		assert_int_equal(pwrite(fd, buf, len, (off_t)at), len);
	}
}

void dx_map(struct fx *f, uint64_t nodeid, uint64_t foffset, uint64_t len, uint64_t flags,
	    uint64_t moffset)
{
	int r = fz_setupmapping(f, nodeid, DX_NO_FH, foffset, len, flags, moffset);

	if (r < 0)
		fail_msg("SETUPMAPPING %#llx+%#llx of %#llx: %s", (unsigned long long)moffset,
			 (unsigned long long)len, (unsigned long long)foffset, strerror(-r));
}

void dx_unmap(struct fx *f, uint64_t nodeid, uint64_t moffset, uint64_t len)
{
	struct fuse_removemapping_one one = {moffset, len};
	int r = fz_removemapping(f, nodeid, &one, 1);

	if (r < 0)
		fail_msg("REMOVEMAPPING %#llx+%#llx: %s", (unsigned long long)moffset,
			 (unsigned long long)len, strerror(-r));
}

void dx_is(const struct fx *f, uint64_t moffset, uint64_t seed, uint64_t foffset, uint64_t len)
{
	static uint64_t buf[8192];

	for (uint64_t at = 0; at < len; at += sizeof(buf)) {
		size_t n = MIN(len - at, (uint64_t)sizeof(buf));

		if (vuf_dax_read(f->v, moffset + at, buf, n) < 0)
			fail_msg("%#llx+%#zx of the window cannot be touched",
				 (unsigned long long)(moffset + at), n);
		for (size_t i = 0; i < n / 8; i++)
			if (buf[i] != dx_stamp(seed, foffset + at + 8 * i))
				fail_msg("%#llx of the window: %#llx instead of %#llx",
					 (unsigned long long)(moffset + at + 8 * i),
					 (unsigned long long)buf[i],
					 (unsigned long long)dx_stamp(seed, foffset + at + 8 * i));
	}
}

static bool is_hole(const struct fx *f, uint64_t moffset, uint64_t len)
{
	char c;

	for (uint64_t at = 0; at < len; at += DX_PAGE)
		if (vuf_dax_read(f->v, moffset + at, &c, 1) == 0)
			return false;
	return true;
}

void dx_is_hole(const struct fx *f, uint64_t moffset, uint64_t len)
{
	for (unsigned int i = 0; i < 1000 && !is_hole(f, moffset, len); i++)
		usleep(2000);
	if (!is_hole(f, moffset, len))
		fail_msg("%#llx+%#llx of the window can be touched", (unsigned long long)moffset,
			 (unsigned long long)len);
}

void dx_live(const struct fx *f, unsigned int n)
{
	if (!vuf_dax_wait_live(f->v, n, FX_WAIT_MS))
		fail_msg("%u mappings instead of %u", vuf_dax_stats(f->v).live, n);
}
