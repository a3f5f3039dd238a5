// SPDX-License-Identifier: Apache-2.0
/* Fuzzing target: the daemon, from the socket to the files, with its own threads. */
/*
 * Theory of operation
 *
 * lifecycle_serve() runs in a thread of this process for as long as there are inputs, with --relisten: each
 * input is a front-end of its own (tools/vuf) with a guest behind it. In the beginning all is in order: the
 * device comes up, INIT is answered, the share is as it should be, nothing is left of the front-end before.
 * That is the proof that the input before did no harm, too.
 *
 * Then requests (guest.c), changes by the host, and rings that are stopped and started are mixed; as long as
 * the input has done nothing that is forbidden, each request must be answered, and in form. What is forbidden
 * then mixes in: descriptors of any kind, bytes of the rings, messages (front.c), memory that goes away, a
 * back-end channel that is not served as it should be; from then on it counts that the daemon lives.
 *
 * Every wait here has an end, and a wait that should not come to it ends the run. The daemon never ends the
 * process itself: its _exit(2) is ours, and so is its sigwaitinfo(2) (the linker's --wrap).
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "fd.h"
#include "front.h"
#include "fuzz.h"
#include "guard.h"
#include "guest.h"
#include "lifecycle.h"
#include "listener.h"
#include "options.h"
#include "pt.h"
#include "share.h"
#include "util.h"
#include "vuf_fuse.h"

#define RINGS    3u
#define OUT_MAX  24u
#define ANSWER_S 120
#define FDS_MAX  400 /* with a thread for each of 65 rings */

static struct options opts;
static struct listener listener;
static struct pt *pt;
static struct sockaddr_un addr = {.sun_family = AF_UNIX};
static socklen_t addr_len;

static struct vuf *v;
static struct guest guest;
static bool honest;    /* nothing forbidden was done: every request must be answered */
static bool in_step;   /* every message was whole, and its answers were read */
static bool served;    /* the back-end channel is as it should be */
static int connection; /* of the next front-end */
static struct vuf_req *out[OUT_MAX]; /* the device has them */
static unsigned int ring_of[OUT_MAX], n_out;
static int raw_chain; /* the token of chains that are no requests */
static uint8_t buf[GUEST_ASK_MAX];

_Noreturn void __wrap__exit(int status);

_Noreturn void __wrap__exit(int status)
{
	fprintf(stderr, "\nthe daemon ends the process with status %d\n", status);
	abort();
}

/* SIGALRM is libFuzzer's, by which it notices that an input takes too long; here, waits have their own ends. */
int __real_sigwaitinfo(const sigset_t *set, siginfo_t *info);
int __wrap_sigwaitinfo(const sigset_t *set, siginfo_t *info);

int __wrap_sigwaitinfo(const sigset_t *set, siginfo_t *info)
{
	sigset_t less = *set;

	sigdelset(&less, SIGALRM);
	return __real_sigwaitinfo(&less, info);
}

/* ---- the daemon ---- */

static void *daemon_main(void *arg)
{
	(void)arg;
	lifecycle_block_signals();
	lifecycle_serve(&opts, &listener, pt);
	MUST(!"the daemon goes on");
	return NULL;
}

static int listen_somewhere(void)
{
	int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	MUST(sock >= 0);
	/* An abstract name, of the kernel's choice. */
	MUST(bind(sock, (struct sockaddr *)&addr, sizeof(sa_family_t)) == 0 &&
	     listen(sock, 1) == 0);
	addr_len = sizeof(addr);
	MUST(getsockname(sock, (struct sockaddr *)&addr, &addr_len) == 0);
	return sock;
}

/* A connection that the next front-end can have. Once it answers, the daemon is through with the one before. */
static int next_connection(void)
{
	const struct vu_hdr ask = {.request = VU_GET_FEATURES, .flags = VU_VERSION};
	struct {
		struct vu_hdr hdr;
		uint64_t features;
	} __attribute__((packed)) answer;
	int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	MUST(sock >= 0 && connect(sock, (struct sockaddr *)&addr, addr_len) == 0);
	MUST(send(sock, &ask, sizeof(ask), 0) == sizeof(ask));
	/* libFuzzer's timer may come meanwhile. */
	MUST(fd_recvmsg(sock, &answer, sizeof(answer), NULL, 0, NULL) == 1);
	return sock;
}

static char fd_option[24];

static char *const words[] = {
	(char[]){"virtiofsd"},
	(char[]){"--shared-dir=/"},
	(char[]){"--relisten"},
	(char[]){"--xattr"},
	(char[]){"--posix-acl=auto"},
	(char[]){"--dax-window=2M"},
	(char[]){"--thread-pool-size=2"},
	(char[]){"-oflock,posix_lock"},
	(char[]){"--killpriv-v2"},
	(char[]){"--max-inodes=48"},
	(char[]){"--max-open-files=24"},
	(char[]){"--writeback"},
	fd_option,
};

void target_init(void)
{
	char err[256];
	struct pt_conf conf = {
		.xattr = true, .announce_submounts = true, .flock = true, .posix_lock = true};
	pthread_t thread;

	share_make();
	snprintf(fd_option, sizeof(fd_option), "--fd=%d", listen_somewhere());
	MUST(options_parse(&opts, ARRAY_SIZE(words), words, err, sizeof(err)) == 0);
	MUST(listener_adopt(&listener, opts.fd) == 0);
	conf.root_fd = share_root();
	conf.proc_fd_fd = share_proc();
	conf.posix_acl = opts.posix_acl;
	conf.writeback = opts.writeback;
	conf.killpriv = opts.killpriv_v2;
	conf.max_inodes = opts.max_inodes;
	conf.max_handles = opts.max_open_files;
	conf.max_fds = 64;
	conf.dax = opts.dax;
	MUST(pt_new(&conf, &pt) == 0);
	MUST(guard_init() == 0);
	front_make();
	MUST(pthread_create(&thread, NULL, daemon_main, NULL) == 0);
	pthread_detach(thread);
	connection = next_connection();
}

/* ---- coming up ---- */

static void check_fds(void)
{
	int fd = fcntl(0, F_DUPFD_CLOEXEC, 0);

	MUST(fd >= 0 && fd < FDS_MAX);
	close(fd);
}

/* Threads that waited for a lock let go of its file soon after they were called off. */
static void nothing_is_left(void)
{
	struct pt_stats stats;

	for (unsigned int ms = 0;; ms++) {
		pt_stats(pt, &stats);
		if (stats.handles == 0 && stats.inodes <= 1)
			return;
		MUST(ms < ANSWER_S * 1000);
		poll(NULL, 0, 1);
	}
}

/* False: this front-end does not like the device. */
static bool come_up(struct feed *f)
{
	static const struct vuf_region regions[] = {
		{.gpa = 0x1000000, .size = 0x80000, .fd = -1},
		{.gpa = 0x1080000, .size = 0x80000, .fd = -1},
	};
	uint8_t how = feed_u8(f), more = feed_u8(f);
	struct vuf_conf conf = {
		.packed = how & 1,
		.no_indirect = how & 2,
		.no_event_idx = how & 4,
		.log_all = how & 8,
		.no_ack = how & 16,
		.rings = RINGS,
		.ring_size = how & 1 ? 16 + (more & 15) : 16,
		.region = regions,
		.nregions = ARRAY_SIZE(regions),
		.timeout_ms = ANSWER_S * 1000,
	};
	struct fuse_init_out init;
	int r;

	/* The personalities of front-ends with a window. */
	for (unsigned int i = 0; how & 32 && i <= more >> 4 && vuf_rules_at(i); i++)
		conf.rules = vuf_rules_at(i);
	if (conf.rules) {
		conf.dax_size = 2u << 20;
		conf.log_all = conf.no_ack = false;
	}
	MUST(vuf_new(&conf, &v) == 0);
	vuf_attach(v, connection);
	MUST(vuf_get_u64(v, VU_GET_FEATURES, &v->offered) == 0);
	share_check();
	share_reset();
	check_fds();
	r = vuf_bring_up(v);
	/* There are front-ends that want another device than this. */
	MUST(r == 0 || (r == -ENOTSUP && conf.rules));
	if (r < 0)
		return false;
	MUST(vuf_fuse_init(v, 38, how & 64 ? feed_u64(f) | FUSE_MAX_PAGES : UINT64_MAX, &init) ==
	     0);
	honest = in_step = served = true;
	guest_init(&guest);
	guest.unique = 1u << 20;
	return true;
}

/* ---- requests ---- */

/* What is answered by somebody else's leave. */
static bool may_take_long(uint32_t opcode)
{
	return opcode == FUSE_SETLKW || !served;
}

static void forget(struct vuf_req *q)
{
	for (unsigned int i = 0; i < n_out; i++)
		if (out[i] == q) {
			out[i] = out[--n_out];
			ring_of[i] = ring_of[n_out];
			break;
		}
	free(q->user);
	vuf_req_free(q);
}

static void done(struct vuf_req *q, uint32_t used)
{
	q->used = used;
	if (honest)
		guest_learn(&guest, q->user, q->out, used);
	forget(q);
}

static void reap(unsigned int ring)
{
	struct vuf_ring *r = &v->ring[ring];
	uint32_t used;
	void *token;
	int got;

	while ((got = vuf_ring_get(r, &token, &used)) == 1)
		if (token != &raw_chain)
			done(token, used);
	MUST(got == 0 || !honest);
}

static void ask(struct feed *f)
{
	static const uint32_t cuts[] = {1, 16, 40, 56, 4096, VUF_REST};
	static uint32_t in[2], room[2];
	static const struct vuf_framing framing = {in, 2, room, 2};
	unsigned int ring = feed_below(f, 4) % RINGS;
	struct vuf_ring *r = &v->ring[ring];
	struct guest_ask *a = malloc(sizeof(*a));
	bool wait = !feed_one_in(f, 4);
	struct vuf_req *q;

	MUST(a);
	guest_ask(&guest, f, buf, a);
	q = n_out == OUT_MAX ? NULL : vuf_req_new(v, MAX(a->len, 64), MAX(a->room, 64));
	if (!q) {
		free(a);
		return;
	}
	for (unsigned int i = 0; i < 2; i++) {
		uint32_t least = i ? 512 : 1;

		/* A table has 288 descriptors at most. */
		in[i] = cuts[feed_below(f, ARRAY_SIZE(cuts))];
		in[i] = MAX(in[i], least);
		room[i] = cuts[feed_below(f, ARRAY_SIZE(cuts))];
		room[i] = MAX(room[i], least);
	}
	memcpy(q->in, buf, a->len);
	vuf_req_adopt(q, a->len);
	q->out_len = a->room;
	q->user = a;
	q->framing = feed_one_in(f, 2) ? &framing : &vuf_framing_linux;
	if (a->len == 0 || vuf_req_submit(q, r) < 0) {
		free(a);
		vuf_req_free(q);
		return;
	}
	ring_of[n_out] = ring;
	out[n_out++] = q;
	vuf_ring_kick(r);
	if (wait)
		vuf_ring_wait(r, 1, honest && !may_take_long(a->opcode) ? 20 : 1);
	reap(ring);
}

/* As long as all is in order only locks may be waited for. */
static void all_answered(void)
{
	for (unsigned int i = 0; i < RINGS; i++) {
		struct vuf_ring *r = &v->ring[i];

		for (;;) {
			unsigned int locks = 0;

			if (!honest || !served)
				return;
			reap(i);
			for (unsigned int n = 0; n < n_out; n++)
				locks += ring_of[n] == i &&
					 may_take_long(((struct guest_ask *)out[n]->user)->opcode);
			if (r->nout <= locks)
				break;
			MUST(vuf_ring_wait(r, 1, ANSWER_S * 1000) == 0);
		}
	}
}

/* ---- what is forbidden ---- */

static void raw_descriptors(struct feed *f)
{
	struct vuf_ring *r = &v->ring[feed_below(f, RINGS)];
	struct vring_desc d[4];
	unsigned int n = 1 + feed_below(f, 4);

	for (unsigned int i = 0; i < n; i++)
		d[i] = (struct vring_desc){
			.addr = feed_one_in(f, 8) ? feed_odd64(f)
						  : 0x1000000u + feed_u16(f) * 16ull,
			.len = feed_one_in(f, 8) ? (uint32_t)feed_odd64(f) : feed_u8(f),
			.flags = feed_u8(f) & 7,
			.next = feed_below(f, 32),
		};
	honest = false;
	if (feed_one_in(f, 4))
		vuf_ring_raw(r, d, n, feed_below(f, 16), &raw_chain);
	else if (!r->conf.packed)
		vuf_ring_offer(r, feed_u8(f));
	vuf_ring_kick_force(r);
}

static void scribble(struct feed *f)
{
	struct vuf_ring *r = &v->ring[feed_below(f, RINGS)];
	unsigned int area = feed_below(f, 3);
	size_t size = vuf_ring_area_size(&r->conf, area), len = 1u << feed_below(f, 4);
	uint8_t *at = vuf_mem_at(&v->mem, r->area_gpa[area]);

	honest = false;
	if (size > len)
		feed_bytes(f, at + feed_u16(f) % (size - len), len);
	vuf_ring_kick_force(r);
}

static void message(struct feed *f)
{
	uint8_t bytes[4096];
	struct front_msg m;

	front_message(f, &m);
	honest = in_step = false;
	front_send(f, v->sock, &m);
	/* Whatever has come until now. */
	while (fd_recv(v->sock, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
}

static void lose_memory(struct feed *f)
{
	struct vuf_region *rg = &v->mem.region[feed_below(f, 2)];

	honest = false;
	MUST(ftruncate(rg->fd, feed_below(f, 128) * 4096ll) == 0);
}

static void channel(struct feed *f)
{
	enum vuf_dax_mood mood = feed_below(f, VUF_DAX_GARBAGE + 1);

	if (!v->conf.rules || !vuf_dax_size(v))
		return;
	served = served && mood == VUF_DAX_SERVE;
	vuf_dax_set_mood(v, mood, 1);
}

static void restart(struct feed *f)
{
	unsigned int i = feed_below(f, RINGS);

	if (!in_step)
		return;
	MUST(vuf_ring_stop(v, i, NULL) == 0 || !honest);
	if (honest)
		reap(i);
	if (!honest)
		vuf_ring_reset(&v->ring[i], v->ring[i].conf.packed ? VUF_BASE_PACKED : 0);
	MUST(vuf_ring_start(v, i, vuf_ring_base(&v->ring[i])) == 0 || !honest);
}

static void step(struct feed *f)
{
	uint8_t what = feed_u8(f);

	if (what < 192)
		ask(f);
	else if (what < 208)
		share_host(f);
	else if (what < 212)
		restart(f);
	else if (what < 216)
		channel(f);
	else if (what < 224)
		raw_descriptors(f);
	else if (what < 232)
		scribble(f);
	else if (what < 252)
		message(f);
	else
		lose_memory(f);
}

static void go(struct guard_entry **guards)
{
	vuf_hangup(v);
	while (n_out)
		forget(out[0]);
	for (unsigned int i = 0; i < 2; i++)
		guard_del(guards[i]);
	vuf_free(v);
	/* What requests on their way have, the fuzzer would take for lost. */
	connection = next_connection();
	nothing_is_left();
}

void target_run(struct feed *f)
{
	struct guard_entry *guards[2];

	front_reset();
	if (!come_up(f)) {
		vuf_free(v);
		connection = next_connection();
		return;
	}
	for (unsigned int i = 0; i < 2; i++)
		MUST(guard_add(vuf_mem_at(&v->mem, v->mem.region[i].gpa), v->mem.region[i].size,
			       VUF_PAGE, &guards[i]) == 0);
	while (f->left)
		step(f);
	all_answered();
	go(guards);
}
