// SPDX-License-Identifier: Apache-2.0
/* A million operations that fail: descriptors, mappings and memory stay as they are. */
/*
 * Theory of operation
 *
 * Requests that fail at every stage there is (header, arguments, names, node, handle, system call, room for
 * the reply) go round and round, many in flight. What the daemon holds is looked at after a first part,
 * when everything that is made once has been made, and at the end.
 *
 * Arguments: the daemon; split or packed; perhaps a sandbox, or else the default one. With a sandbox it is a
 * tenth of a million, but for CULVERT_CROSS in the environment; a number behind it says how many.
 */
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fx.h"
#include "fz.h"
#include "util.h"

#define DEPTH 32u
#define TOTAL 1000000u
#define FIRST 50000u
#define SLACK (1u << 20) /* bytes of RSS; a leak of a byte each would show */

static char sandbox[32] = "--sandbox=namespace";
static const struct fx_opts opts = {.args = {"--xattr", "--thread-pool-size=2"}};
static const struct fx_opts opts_alone = {.args = {"--xattr"}};
static const struct fx_opts opts_sandbox = {.args = {"--xattr", sandbox}};
static unsigned int total = TOTAL;

struct kind {
	uint32_t op;
	const void *args;
	uint32_t nargs;
	const char *text;
	uint32_t ntext;
	uint32_t room;
	bool file; /* of a file, not the root */
};

#define ARGS(type, ...) &(const struct fuse_##type){__VA_ARGS__}, sizeof(struct fuse_##type)
#define TEXT(s)         (s), sizeof(s) - 1

static const struct kind kinds[] = {
	{FUSE_LOOKUP, NULL, 0, TEXT("none\0"), 256},
	{FUSE_LOOKUP, NULL, 0, TEXT("..\0"), 256},
	{FUSE_LOOKUP, NULL, 0, TEXT("file\0"), 40},
	{FUSE_LOOKUP, NULL, 0, TEXT("x\0"), 256, true},
	{FUSE_GETATTR, ARGS(getattr_in), NULL, 0, 20},
	{FUSE_GETATTR, NULL, 0, NULL, 0, 256},
	{FUSE_CREATE, ARGS(create_in, O_RDWR | O_EXCL, 0644), TEXT("file\0"), 512},
	{FUSE_CREATE, ARGS(create_in, O_RDWR, 0644), TEXT("dir\0"), 512},
	{FUSE_CREATE, ARGS(create_in, O_RDWR, 0644), TEXT("link\0"), 512},
	{FUSE_CREATE, ARGS(create_in, O_RDWR, 0644), TEXT("none/x\0"), 512},
	{FUSE_MKDIR, ARGS(mkdir_in, 0755), TEXT("dir\0"), 256},
	{FUSE_MKNOD, ARGS(mknod_in, S_IFREG | 0644), TEXT("file\0"), 256},
	{FUSE_SYMLINK, NULL, 0, TEXT("link\0file\0"), 256},
	{FUSE_LINK, ARGS(link_in, 1), TEXT("x\0"), 256},
	{FUSE_UNLINK, NULL, 0, TEXT("none\0"), 256},
	{FUSE_RMDIR, NULL, 0, TEXT("dir\0"), 256},
	{FUSE_RENAME, ARGS(rename_in, 1), TEXT("none\0x\0"), 256},
	{FUSE_RENAME2, ARGS(rename2_in, 1, 1), TEXT("file\0dir\0"), 256},
	{FUSE_OPEN, ARGS(open_in, O_RDWR), NULL, 0, 256},
	{FUSE_OPEN, ARGS(open_in, O_RDWR), NULL, 0, 20, true},
	{FUSE_OPENDIR, ARGS(open_in, O_RDONLY), NULL, 0, 256, true},
	{FUSE_READ, ARGS(read_in, 4711, .size = 100), NULL, 0, 256, true},
	{FUSE_WRITE, ARGS(write_in, 4711, .size = 0), NULL, 0, 256, true},
	{FUSE_RELEASE, ARGS(release_in, 4711), NULL, 0, 256, true},
	{FUSE_SETATTR, ARGS(setattr_in, FATTR_SIZE, .size = UINT64_MAX), NULL, 0, 256, true},
	{FUSE_SETATTR, ARGS(setattr_in, FATTR_SIZE), NULL, 0, 256},
	{FUSE_SETXATTR, ARGS(setxattr_in, 4), TEXT("none.x\0abcd"), 256, true},
	{FUSE_GETXATTR, ARGS(getxattr_in, 65536), TEXT("user.none\0"), 256, true},
	{FUSE_REMOVEXATTR, NULL, 0, TEXT("user.none\0"), 256, true},
	{FUSE_READLINK, NULL, 0, NULL, 0, 256, true},
	{FUSE_FALLOCATE, ARGS(fallocate_in, 4711, 0, 1), NULL, 0, 256, true},
	{FUSE_SETLKW, ARGS(lk_in, 4711, 1, {0, 1, 1, 1}), NULL, 0, 256, true},
	{FUSE_TMPFILE, ARGS(create_in, O_TMPFILE | O_RDWR, 0644), TEXT("\0"), 20},
	{4711, NULL, 0, NULL, 0, 256},
};

static void submit(struct fx *f, struct vuf_req *q, unsigned int i, uint64_t node)
{
	const struct kind *k = &kinds[i % ARRAY_SIZE(kinds)];

	vuf_req_begin(q, k->op, k->file ? node : FUSE_ROOT_ID);
	vuf_req_add(q, k->args, k->nargs);
	vuf_req_add(q, k->text, k->ntext);
	q->out_len = k->room;
	assert_int_equal(vuf_req_submit(q, &f->v->ring[1]), 0);
}

static void run(struct fx *f, struct vuf_req **q, unsigned int n, uint64_t node)
{
	struct vuf_ring *r = &f->v->ring[1];
	unsigned int sent = 0, done = 0;

	while (done < n) {
		struct vuf_req *d;
		int got;

		while (sent < n && sent - done < DEPTH) {
			unsigned int i;

			for (i = 0; i < DEPTH && q[i]->user; i++)
				;
			q[i]->user = f;
			submit(f, q[i], sent, node);
			sent++;
		}
		vuf_ring_kick(r);
		while ((got = vuf_req_reap(r, &d)) == 1) {
			if (vuf_req_check(d) < 0 || !vuf_req_error(d))
				fail_msg("opcode %u: does not fail well: %u bytes", d->opcode,
					 d->used);
			d->user = NULL;
			done++;
		}
		assert_int_equal(got, 0);
		if (done < sent)
			assert_int_equal(vuf_ring_wait(r, MIN(DEPTH / 2, sent - done), FX_WAIT_MS),
					 0);
	}
}

static void a_million_failures(void **state)
{
	struct fx *f = *state;
	unsigned int fds, maps;
	struct vuf_req *q[DEPTH];
	uint64_t rss, node;

	fx_put(f, "file", "x", 1, 0644);
	assert_int_equal(mkdir(fx_path(f, "dir"), 0755), 0);
	fx_put(f, "dir/x", "x", 1, 0644);
	assert_int_equal(symlink("file", fx_path(f, "link")), 0);
	node = fz_walk(f, "file");
	for (unsigned int i = 0; i < DEPTH; i++) {
		q[i] = vuf_req_new(f->v, 512, 512);
		assert_non_null(q[i]);
		q[i]->user = NULL;
	}
	run(f, q, FIRST, node);
	fds = fx_count_fds(f);
	maps = fx_count_maps(f, "");
	rss = fx_rss(f);
	run(f, q, total, node);
	print_message("%u failures: %u descriptors, then %u; %u mappings, then %u; RSS %+lld KiB\n",
		      total, fds, fx_count_fds(f), maps, fx_count_maps(f, ""),
		      ((long long)fx_rss(f) - (long long)rss) / 1024);
	assert_int_equal(fx_count_fds(f), fds);
	/* A thread has two, and threads come and go. */
	assert_in_range(fx_count_maps(f, ""), 1, maps + (fx_sanitized() ? 1000 : 16));
	if (!fx_sanitized())
		assert_true(fx_rss(f) < rss + SLACK);
	for (unsigned int i = 0; i < DEPTH; i++)
		vuf_req_free(q[i]);
	fz_forget(f, node, 1);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		{"with a pool", a_million_failures, fx_setup, fx_teardown,
		 (void *)(uintptr_t)&opts},
		{"on the queue's thread", a_million_failures, fx_setup, fx_teardown,
		 (void *)(uintptr_t)&opts_alone},
	};

	const struct CMUnitTest boxed[] = {
		{"in a sandbox", a_million_failures, fx_setup, fx_teardown,
		 (void *)(uintptr_t)&opts_sandbox},
	};

	if (argc > 4)
		total = (unsigned int)strtoul(argv[4], NULL, 10);
	else if (fx_sanitized() || (argc > 3 && !getenv("CULVERT_CROSS")))
		total = TOTAL / 10;
	if (argc > 3) {
		if (strcmp(argv[3], "landlock") == 0 &&
		    syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) <
			    2) {
			printf("landlock: not on this host\n");
			return 77;
		}
		snprintf(sandbox, sizeof(sandbox), "--sandbox=%s", argv[3]);
		return fx_main(3, argv, "leaks", boxed, 1);
	}
	/* With the first kind of ring both; the other kinds take the latter. */
	const bool all = argc > 2 && strcmp(argv[2], "split") == 0;

	return fx_main(argc, argv, "leaks", all ? tests : tests + 1, all ? 2 : 1);
}
