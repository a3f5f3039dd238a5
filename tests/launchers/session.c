// SPDX-License-Identifier: Apache-2.0
/* A front-end with a guest that works a little in a share, told what to do line by line. */
/*
 * Theory of operation
 *
 * usage: session SOCKET [DIR [UID GID]]. DIR, below the share, is where the guest works, as that user.
 *
 * Each line on stdin is a thing to do; it is answered with one line on stdout, "ok ..." or "error ...",
 * when it is done:
 *
 *   up         connect, bring the device up, INIT; answers with the tag, if the device has one
 *   work NAME  make a file, write, read it back, rename it to NAME, find it in its directory; leaves it
 *              there and answers with its owner as the guest sees him
 *   refused    making a file is EROFS; what is there can be read
 *   load       keep on reading and looking up until the next line comes; answers before it begins, and
 *              that line is answered after a failure with "error"
 *   ended      wait until the daemon hangs up
 *
 * The end of stdin hangs up. There is always a file "seed" with the text "seed\n" in DIR.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util.h"
#include "vuf_fuse.h"

#define BUF        131072u
#define FILE_BYTES 100000u
#define WAIT_MS    20000
#define GUEST_FLAGS \
	0x1d7bfffffbull /* what a Linux guest of today offers, but for what a window needs */

struct guest {
	struct vuf *v;
	struct vuf_req *q;
	uint64_t dir;
	uint32_t uid;
	uint32_t gid;
	char why[128]; /* of the last failure */
};

struct part {
	const void *bytes;
	size_t len;
};

#define PART(x)     ((struct part){&(x), sizeof(x)})
#define PART_STR(s) ((struct part){s, strlen(s) + 1})

/* One request; bytes of the payload, or a negative errno. */
static int call(struct guest *g, uint32_t opcode, uint64_t node, size_t room,
		const struct part *parts, unsigned int n)
{
	struct fuse_in_header *h = vuf_req_begin(g->q, opcode, node);
	int r = 0;

	h->uid = g->uid;
	h->gid = g->gid;
	for (unsigned int i = 0; i < n && r == 0; i++)
		r = vuf_req_add(g->q, parts[i].bytes, parts[i].len);
	g->q->out_len = sizeof(struct fuse_out_header) + room;
	if (r == 0)
		r = vuf_req_call(g->q, &g->v->ring[1]);
	if (r == 0)
		r = vuf_req_error(g->q);
	if (r < 0)
		snprintf(g->why, sizeof(g->why), "opcode %u: %s", opcode, strerror(-r));
	return r < 0 ? r : (int)vuf_req_payload_len(g->q);
}

#define CALL(g, op, node, room, ...)                                 \
	({                                                           \
		struct part parts_[] = {__VA_ARGS__};                \
		call(g, op, node, room, parts_, ARRAY_SIZE(parts_)); \
	})

static int fail(struct guest *g, const char *what)
{
	snprintf(g->why, sizeof(g->why), "%s", what);
	return -EIO;
}

static int lookup(struct guest *g, uint64_t parent, const char *name, struct fuse_entry_out *ret)
{
	int r = CALL(g, FUSE_LOOKUP, parent, sizeof(*ret), PART_STR(name));

	if (r >= 0)
		memcpy(ret, vuf_req_payload(g->q), sizeof(*ret));
	return r < 0 ? r : 0;
}

static int open_file(struct guest *g, uint32_t opcode, uint64_t node, uint64_t *ret_fh)
{
	const struct fuse_open_in in = {.flags = O_RDONLY};
	int r = CALL(g, opcode, node, sizeof(struct fuse_open_out), PART(in));

	if (r >= 0)
		*ret_fh = ((const struct fuse_open_out *)vuf_req_payload(g->q))->fh;
	return r < 0 ? r : 0;
}

static int release(struct guest *g, uint32_t opcode, uint64_t node, uint64_t fh)
{
	const struct fuse_release_in in = {.fh = fh};

	return CALL(g, opcode, node, 0, PART(in));
}

/* Whether the file holds these bytes. */
static int compare(struct guest *g, uint64_t node, uint64_t fh, const void *bytes, uint32_t len)
{
	const struct fuse_read_in in = {.fh = fh, .size = BUF - 4096};
	int r = CALL(g, FUSE_READ, node, in.size, PART(in));

	if (r < 0)
		return r;
	if (r != (int)len || memcmp(vuf_req_payload(g->q), bytes, len) != 0)
		return fail(g, "the file has other bytes");
	return 0;
}

static int read_seed(struct guest *g)
{
	struct fuse_entry_out e;
	uint64_t fh = 0;
	int r = lookup(g, g->dir, "seed", &e);

	if (r == 0)
		r = open_file(g, FUSE_OPEN, e.nodeid, &fh);
	if (r == 0)
		r = compare(g, e.nodeid, fh, "seed\n", 5);
	return r < 0 ? r : release(g, FUSE_RELEASE, e.nodeid, fh);
}

static int create(struct guest *g, const char *name, uint64_t *ret_node, uint64_t *ret_fh)
{
	const struct fuse_create_in in = {
		.flags = O_RDWR | O_CREAT | O_EXCL, .mode = 0100644, .umask = 022};
	const struct {
		struct fuse_entry_out e;
		struct fuse_open_out o;
	} * out;
	int r = CALL(g, FUSE_CREATE, g->dir, sizeof(*out), PART(in), PART_STR(name));

	if (r < 0)
		return r;
	out = vuf_req_payload(g->q);
	*ret_node = out->e.nodeid;
	*ret_fh = out->o.fh;
	return 0;
}

/* Whether a directory's list has the name. */
static int find_in_list(struct guest *g, const char *name)
{
	struct fuse_read_in in = {.size = 65536};
	uint64_t fh = 0;
	int r = open_file(g, FUSE_OPENDIR, g->dir, &fh);
	bool found = false;

	in.fh = fh;
	while (r >= 0 && !found) {
		const uint8_t *at, *end;

		r = CALL(g, FUSE_READDIR, g->dir, in.size, PART(in));
		if (r <= 0)
			break;
		at = vuf_req_payload(g->q);
		end = at + r;
		while (at < end) {
			const struct fuse_dirent *d = (const void *)at;

			found |= d->namelen == strlen(name) &&
				 memcmp(d->name, name, d->namelen) == 0;
			in.offset = d->off;
			at += FUSE_DIRENT_SIZE(d);
		}
	}
	if (r >= 0 && !found)
		r = fail(g, "the new file is not in its directory's list");
	return r < 0 ? r : release(g, FUSE_RELEASEDIR, g->dir, fh);
}

static int work(struct guest *g, const char *name, struct fuse_attr *ret)
{
	static uint8_t bytes[FILE_BYTES];
	const struct fuse_getattr_in get = {0};
	struct fuse_rename_in ren = {.newdir = g->dir};
	struct fuse_write_in put = {.size = FILE_BYTES};
	struct fuse_flush_in flush = {0};
	uint64_t node = 0, fh = 0;
	int r;

	for (unsigned int i = 0; i < FILE_BYTES; i++)
		bytes[i] = (uint8_t)(i * 31 >> 3);
	r = create(g, "work.tmp", &node, &fh);
	put.fh = flush.fh = fh;
	if (r >= 0)
		r = CALL(g, FUSE_WRITE, node, sizeof(struct fuse_write_out), PART(put),
			 ((struct part){bytes, FILE_BYTES}));
	if (r >= 0)
		r = compare(g, node, fh, bytes, FILE_BYTES);
	if (r >= 0)
		r = CALL(g, FUSE_FLUSH, node, 0, PART(flush));
	if (r >= 0)
		r = release(g, FUSE_RELEASE, node, fh);
	if (r >= 0)
		r = CALL(g, FUSE_RENAME, g->dir, 0, PART(ren), PART_STR("work.tmp"),
			 PART_STR(name));
	if (r >= 0)
		r = find_in_list(g, name);
	if (r >= 0)
		r = CALL(g, FUSE_GETATTR, node, sizeof(struct fuse_attr_out), PART(get));
	if (r < 0)
		return r;
	*ret = ((const struct fuse_attr_out *)vuf_req_payload(g->q))->attr;
	if (ret->size != FILE_BYTES)
		return fail(g, "the file has another size");
	return read_seed(g);
}

static int refused(struct guest *g)
{
	uint64_t node = 0, fh = 0;
	int r = create(g, "work.tmp", &node, &fh);

	if (r != -EROFS)
		return r < 0 ? r : fail(g, "a file can be made");
	return read_seed(g);
}

static int up(struct guest *g, const char *path, const char *dir, char *tag)
{
	struct vuf_conf conf = {.timeout_ms = WAIT_MS};
	struct fuse_init_out init;
	int sock = vuf_connect(path), r;
	char names[512], *save = NULL;

	if (sock < 0) {
		fail(g, "connecting");
		return sock;
	}
	r = vuf_new(&conf, &g->v);
	if (r < 0)
		return r;
	g->q = vuf_req_new(g->v, BUF, BUF);
	vuf_attach(g->v, sock);
	fail(g, "bringing the device up");
	r = vuf_bring_up(g->v);
	if (r == 0)
		r = vuf_fuse_init(g->v, 39, GUEST_FLAGS, &init);
	/* There is a configuration space where there is a tag. */
	if (r == 0 && g->v->proto & 1ull << VU_PROTOCOL_F_CONFIG)
		r = vuf_get_config(g->v, 0, VUF_TAG_MAX, tag);
	g->dir = FUSE_ROOT_ID;
	snprintf(names, sizeof(names), "%s", dir);
	for (char *n = strtok_r(names, "/", &save); n && r == 0; n = strtok_r(NULL, "/", &save)) {
		struct fuse_entry_out e;

		r = lookup(g, g->dir, n, &e);
		if (r == 0)
			g->dir = e.nodeid;
	}
	return r;
}

/* Until there is another line to read. */
static int load(struct guest *g)
{
	struct pollfd pfd = {.fd = STDIN_FILENO, .events = POLLIN};
	int r = 0;

	puts("ok");
	fflush(stdout);
	while (r >= 0 && poll(&pfd, 1, 0) == 0)
		r = read_seed(g);
	return r < 0 ? r : 0;
}

static int ended(struct guest *g)
{
	struct pollfd pfd = {.fd = g->v->sock, .events = POLLIN};
	char byte;

	if (poll(&pfd, 1, WAIT_MS) == 1 && read(g->v->sock, &byte, 1) <= 0)
		return 0;
	return fail(g, "the daemon does not hang up");
}

int main(int argc, char *argv[])
{
	struct guest g = {0};
	char line[256];

	if (argc != 2 && argc != 3 && argc != 5) {
		fputs("usage: session SOCKET [DIR [UID GID]]\n", stderr);
		return 2;
	}
	if (argc == 5) {
		g.uid = (uint32_t)strtoul(argv[3], NULL, 10);
		g.gid = (uint32_t)strtoul(argv[4], NULL, 10);
	}
	/* What is read is seen by poll. */
	setvbuf(stdin, NULL, _IONBF, 0);
	while (fgets(line, sizeof(line), stdin)) {
		char text[80] = "", tag[VUF_TAG_MAX + 1] = "";
		struct fuse_attr attr;
		int r = -EINVAL;

		line[strcspn(line, "\n")] = '\0';
		if (strcmp(line, "up") == 0) {
			r = up(&g, argv[1], argc > 2 ? argv[2] : "", tag);
			snprintf(text, sizeof(text), "%s", tag);
		} else if (!g.v) {
			fail(&g, "there is no connection");
		} else if (strncmp(line, "work ", 5) == 0) {
			r = work(&g, line + 5, &attr);
			if (r == 0)
				snprintf(text, sizeof(text), "%u %u", attr.uid, attr.gid);
		} else if (strcmp(line, "refused") == 0) {
			r = refused(&g);
		} else if (strcmp(line, "load") == 0) {
			r = load(&g);
			if (r == 0)
				continue;
		} else if (strcmp(line, "ended") == 0) {
			r = ended(&g);
		} else {
			fail(&g, "what is that?");
		}
		if (r < 0)
			printf("error %s: %s\n", g.why, strerror(-r));
		else
			printf("ok %s\n", text);
		fflush(stdout);
	}
	if (g.v)
		vuf_req_free(g.q);
	vuf_free(g.v);
	return 0;
}
