/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of the DAX window, each with every front-end that has one. */
#ifndef CULVERT_DX_H
#define CULVERT_DX_H

#include "fx.h"
#include "fz.h"

#define DX_MIB    (1024u * 1024u)
#define DX_RANGE  (2u * DX_MIB)  /* what Linux maps at once */
#define DX_WINDOW (64u * DX_MIB) /* unless dx_opts say otherwise */
#define DX_PAGE   4096u
#define DX_NO_FH  UINT64_MAX
#define DX_READ   FUSE_SETUPMAPPING_FLAG_READ
#define DX_WRITE  (FUSE_SETUPMAPPING_FLAG_READ | FUSE_SETUPMAPPING_FLAG_WRITE)

/**
 * struct dx_opts - how a test wants it.
 * @fx:     as for any test; options for the window and the front-end are put in.
 * @window: bytes of the window; 0 = DX_WINDOW.
 * @with:   a pattern of fnmatch(3) for the front-ends to run with; NULL = all that have a window.
 */
struct dx_opts {
	struct fx_opts fx;
	uint64_t window;
	const char *with;
};

/**
 * struct dx_test - a test.
 * @opts: NULL = the usual.
 */
struct dx_test {
	const char *name;
	void (*fn)(void **state);
	const struct dx_opts *opts;
};

/** DX_TEST() - an entry of the list. */
#define DX_TEST(fn, opts)     \
	{                     \
#fn, fn, opts \
	}

/**
 * dx_main() - as fx_main(); each test runs with each of its front-ends, "NAME FRONT-END".
 *
 * When a test begins, nothing is mapped and nothing is on its way to the front-end.
 */
int dx_main(int argc, char **argv, const char *name, const struct dx_test *tests, size_t n);

/** dx_rules() - the front-end's. */
const struct vuf_rules *dx_rules(const struct fx *f);

/** dx_file() - make a file of so many bytes in the share, each 8 bytes telling file and place. */
void dx_file(const struct fx *f, const char *name, uint64_t seed, uint64_t size);

/** dx_stamp() - what 8 bytes at this place of such a file are. */
uint64_t dx_stamp(uint64_t seed, uint64_t offset);

/** dx_map() - SETUPMAPPING as Linux sends it; fails the test unless it works. */
void dx_map(struct fx *f, uint64_t nodeid, uint64_t foffset, uint64_t len, uint64_t flags,
	    uint64_t moffset);

/** dx_unmap() - REMOVEMAPPING of one piece; fails the test unless it works. */
void dx_unmap(struct fx *f, uint64_t nodeid, uint64_t moffset, uint64_t len);

/** dx_is() - fail the test unless the window shows this place of a file made by dx_file(). */
void dx_is(const struct fx *f, uint64_t moffset, uint64_t seed, uint64_t foffset, uint64_t len);

/** dx_is_hole() - fail the test unless no page of this piece can be touched. Some are late: waits. */
void dx_is_hole(const struct fx *f, uint64_t moffset, uint64_t len);

/** dx_live() - fail the test unless there come to be so many mappings. */
void dx_live(const struct fx *f, unsigned int n);

#endif
