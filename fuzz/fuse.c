// SPDX-License-Identifier: Apache-2.0
/* Fuzzing target: requests, one after the other, against the passthrough backend. */
/*
 * Theory of operation
 *
 * The input says how the directory is shared, and then what happens: a guest asks (guest.c), the host changes
 * the share, the front-end behind the DAX window is in another mood. Everything runs on one thread, but for
 * locks that are waited for. Each piece of a request, and of the room for its reply, is a block of its own
 * on the heap, so that a sanitizer sees a byte too many.
 *
 * What must hold: each request is answered once and in due form (guest_learn()); the canary is neither read nor
 * changed nor shown (share.c); what the window maps is the share's, where nothing is mapped; in the end every
 * descriptor is closed.
 */
#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "dispatch.h"
#include "fuzz.h"
#include "guest.h"
#include "pt.h"
#include "session.h"
#include "share.h"
#include "util.h"
#include "xattrmap.h"

#define PIECES_MAX 8u
#define WAITING    16u
#define WAIT_S     30
#define WINDOW     (2u << 20)
#define PAGES      (WINDOW / 4096)

/* A request on its way. */
struct asked {
	struct request req;
	struct guest_ask ask;
	sem_t done;
	size_t used;
	bool known;
	struct iovec in[PIECES_MAX], out[PIECES_MAX];
	unsigned int n_in, n_out;
};

/* What the front-end answers. */
enum mood {
	MOOD_GOOD,
	MOOD_STRICT, /* only what is behind the end of the file is refused */
	MOOD_REFUSES,
	MOOD_LATE, /* it does it, but says so later */
	MOOD_NEVER,
	MOODS,
};

static struct session se;
static struct pt *pt;
static struct xattrmap *map;
static struct idmap uids, gids;
static struct daxrules dax;
static struct guest guest;
static struct asked *waiting[WAITING];
static unsigned int n_waiting;
static uint8_t buf[GUEST_ASK_MAX];
static int cwd = -1;

static struct window *window;
static enum mood mood;
static int outcome;
static bool shown[PAGES]; /* the first page of a mapping, or within one */
static bool untidy;

/* ---- the window ---- */

static bool win_ready(void *owner)
{
	(void)owner;
	return true;
}

/* Whether it is done, and what is said of it. */
static bool does_it(bool beyond, int *ret)
{
	outcome = 0;
	*ret = 0;
	switch (mood) {
	case MOOD_STRICT:
		if (!beyond)
			return true;
		break;
	case MOOD_REFUSES:
		break;
	case MOOD_LATE:
		*ret = -EINPROGRESS;
		return true;
	case MOOD_NEVER:
		*ret = -EINPROGRESS;
		outcome = -EREMOTEIO;
		return false;
	case MOOD_GOOD:
	case MOODS:
		return true;
	}
	outcome = *ret = -EREMOTEIO;
	return false;
}

static int win_map(void *owner, int fd, uint64_t fd_offset, uint64_t offset, uint64_t len,
		   bool write)
{
	off_t size = lseek(fd, 0, SEEK_END);
	int flags = fcntl(fd, F_GETFL), r;

	(void)owner;
	MUST(len && len % 4096 == 0 && offset % 4096 == 0 && fd_offset % 4096 == 0);
	MUST(offset < WINDOW && len <= WINDOW - offset && fd_offset <= INT64_MAX - len);
	MUST(size >= 0 && flags >= 0 && !(flags & O_PATH) && !share_is_canary(fd));
	MUST((flags & O_ACCMODE) == O_RDWR || (!write && (flags & O_ACCMODE) == O_RDONLY));
	for (uint64_t i = offset / 4096; i < (offset + len) / 4096; i++)
		MUST(!shown[i]);
	if (does_it(fd_offset + len > (((uint64_t)size + 4095) & ~4095ull), &r))
		memset(shown + offset / 4096, true, len / 4096);
	return r;
}

static int win_unmap(void *owner, uint64_t offset, uint64_t len)
{
	int r;

	(void)owner;
	MUST(len && offset < WINDOW && len <= WINDOW - offset);
	/* A refusal says that nothing is there. */
	does_it(false, &r);
	memset(shown + offset / 4096, false, len / 4096);
	return r;
}

static int win_outcome(void *owner)
{
	(void)owner;
	return outcome;
}

static void win_tidy(void *owner)
{
	(void)owner;
	untidy = true;
}

static const struct window_ops window_ops = {
	.ready = win_ready,
	.map = win_map,
	.unmap = win_unmap,
	.outcome = win_outcome,
	.tidy = win_tidy,
};

/* ---- requests ---- */

static void on_done(struct request *req, size_t used)
{
	struct asked *a = container_of(req, struct asked, req);

	a->used = used;
	if (a->known)
		session_pending_del(&se, req);
	sem_post(&a->done);
}

static unsigned int cut(struct feed *f, const uint8_t *bytes, size_t len, size_t first,
			struct iovec *iov)
{
	uint8_t how = feed_u8(f);
	unsigned int n = 0;

	for (size_t at = 0; at < len;) {
		size_t size = len - at;
		uint8_t *piece;

		if (n < PIECES_MAX - 1 && how < 224)
			size = MIN(size, at ? 1u + (size_t)how * 16 : how & 1 ? first : 1u + how);
		piece = malloc(size);
		MUST(piece);
		if (bytes)
			memcpy(piece, bytes + at, size);
		else
			memset(piece, 0xa5, size);
		iov[n++] = (struct iovec){piece, size};
		at += size;
	}
	return n;
}

static void finish(struct asked *a)
{
	static uint8_t reply[GUEST_ASK_MAX];
	size_t at = 0;

	for (unsigned int i = 0; i < a->n_out; i++) {
		memcpy(reply + at, a->out[i].iov_base, a->out[i].iov_len);
		at += a->out[i].iov_len;
		free(a->out[i].iov_base);
	}
	for (unsigned int i = 0; i < a->n_in; i++)
		free(a->in[i].iov_base);
	MUST(a->used <= at);
	for (size_t i = a->used; i < at && i < a->used + 64; i++)
		MUST(reply[i] == 0xa5 || a->used);
	guest_learn(&guest, &a->ask, reply, a->used);
	sem_destroy(&a->done);
	free(a);
}

static void run(struct feed *f, const struct guest_ask *ask)
{
	struct asked *a = calloc(1, sizeof(*a));
	enum fuse_class class;

	MUST(a);
	a->ask = *ask;
	a->n_in = cut(f, buf, ask->len, sizeof(struct fuse_in_header), a->in);
	a->n_out = cut(f, NULL, ask->room, sizeof(struct fuse_out_header), a->out);
	sem_init(&a->done, 0, 0);
	req_begin(&a->req);
	a->req.se = &se;
	a->req.done = on_done;
	iov_init(&a->req.in, a->in, a->n_in);
	iov_init(&a->req.out, a->out, a->n_out);
	a->req.crowded = n_waiting == WAITING;
	class = fuse_receive(&a->req);
	if (class == FUSE_MAY_WAIT) {
		a->known = true;
		session_pending_add(&se, &a->req);
	}
	/* As a queue's thread that has others to serve, and then another one in its place. */
	a->req.no_wait = true;
	if (class != FUSE_ANSWERED && !a->req.keeps)
		pt_ops.rest(pt);
	if (class != FUSE_ANSWERED && !fuse_dispatch(&a->req)) {
		a->req.no_wait = false;
		a->req.keeps = false;
		fuse_dispatch(&a->req);
	}
	if (sem_trywait(&a->done) == 0) {
		finish(a);
		return;
	}
	/* Only a lock that another has is waited for. */
	MUST(class == FUSE_MAY_WAIT && n_waiting < WAITING);
	waiting[n_waiting++] = a;
}

static void look_at_waiting(bool all)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += WAIT_S;
	for (unsigned int i = 0; i < n_waiting;) {
		int r;

		do {
			r = all ? sem_timedwait(&waiting[i]->done, &until)
				: sem_trywait(&waiting[i]->done);
		} while (r < 0 && errno == EINTR);
		MUST(r == 0 || !all);
		if (r < 0) {
			i++;
			continue;
		}
		finish(waiting[i]);
		waiting[i] = waiting[--n_waiting];
	}
}

/* ---- one input ---- */

void target_init(void)
{
	char err[100];

	share_make();
	cwd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	MUST(cwd >= 0);
	MUST(xattrmap_new(":map::user.virtiofs.:", &map, err, sizeof(err)) == 0);
	MUST(idmap_add(&uids, "map:1000:2000:10", err, sizeof(err)) == 0);
	MUST(idmap_add(&gids, "squash-guest:5:3000:100", err, sizeof(err)) == 0);
	MUST(daxrules_parse(&dax, "always", err, sizeof(err)) == 0);
}

static void begin(struct feed *f, uint64_t *ret_flags)
{
	uint16_t bits = feed_u16(f);
	uint8_t more = feed_u8(f);
	struct pt_conf conf = {
		.root_fd = share_root(),
		.proc_fd_fd = share_proc(),
		.cache = bits & 3,
		.xattr = !(bits & 4),
		.xattrmap = bits & 8 ? map : NULL,
		.posix_acl = bits & 16 ? PT_AUTO : PT_NEVER,
		.security_label = bits & 32 ? PT_AUTO : PT_NEVER,
		.readonly = (bits & 0x3c0) == 0x3c0,
		.announce_submounts = true,
		.flock = bits & 64,
		.posix_lock = bits & 64,
		.direct_io = bits & 128,
		.mmap = bits & 256,
		.no_readdirplus = bits & 512,
		.writeback = bits & 1024,
		.noatime = bits & 2048,
		.killpriv = bits & 4096,
		.handles = bits & 8192 ? PT_HANDLES_NEVER : PT_HANDLES_PREFER,
		.max_inodes = 16 + (more & 31),
		.max_fds = 16 + (more >> 5) * 4,
	};

	if (bits & 0x4000) {
		conf.uids = uids;
		conf.gids = gids;
	}
	if (bits & 0x8000) {
		conf.dax = dax;
		MUST(window_new(WINDOW, &window_ops, NULL, &window) == 0);
	}
	MUST(pt_new(&conf, &pt) == 0);
	MUST(session_init(&se, &pt_ops, pt) == 0);
	se.window = window;
	MUST(pt_ops.thread_init(pt) == 0);
	*ret_flags = feed_one_in(f, 8) ? feed_u64(f) : UINT64_MAX;
}

static void end(void)
{
	pt_ops.rest(pt);
	session_hurry(&se);
	look_at_waiting(true);
	session_done(&se);
	pt_free(pt);
	window_free(window);
	window = NULL;
}

static void step(struct feed *f)
{
	struct guest_ask ask;
	uint8_t what = feed_u8(f);

	if (what < 224) {
		guest_ask(&guest, f, buf, &ask);
		run(f, &ask);
	} else if (what < 240) {
		share_host(f);
	} else {
		mood = feed_below(f, MOODS);
		pt_ops.rest(pt);
	}
	if (untidy && window) {
		untidy = false;
		window_tidy(window);
	}
	if (n_waiting)
		look_at_waiting(false);
}

void target_run(struct feed *f)
{
	struct guest_ask hello;
	uint64_t flags;

	fuzz_note_fds();
	share_reset();
	memset(shown, 0, sizeof(shown));
	mood = MOOD_GOOD;
	untidy = false;
	guest_init(&guest);
	begin(f, &flags);
	guest_hello(&guest, flags, buf, &hello);
	run(f, &hello);
	while (f->left)
		step(f);
	end();
	MUST(fchdir(cwd) == 0);
	share_check();
	fuzz_check_fds();
}
