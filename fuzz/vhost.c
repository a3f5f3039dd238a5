// SPDX-License-Identifier: Apache-2.0
/* Fuzzing target: vhost-user messages, and rings that run between them. */
/*
 * Theory of operation
 *
 * One thread is front-end, device and driver. The input is a program: messages (front.c), the sequence that
 * starts a ring, chains that the driver adds, the device's turns at the rings that are started, guest memory
 * that gets shorter, another connection. A connection that the device gives up is taken apart as the daemon
 * does it, and another one follows.
 *
 * What must hold: at most one answer to a message, in form and to that message; the device's calls to its owner
 * are balanced; while the queues are not quiesced nothing that they look at changes; in the end every
 * descriptor is closed.
 */
#include <errno.h>
#include <linux/virtio_ring.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fd.h"
#include "front.h"
#include "fuzz.h"
#include "guard.h"
#include "util.h"
#include "vu_dev.h"

#define QUEUES   3u
#define HELD_MAX 16u
#define WINDOW   (2u << 20)

static struct vu_dev *dev;
static int fe = -1, dev_sock;
static bool in_step;           /* each message was sent whole: the next answer is to the last one */
static unsigned int held_back; /* quiesced */
static bool started[QUEUES];
static struct {
	struct vq_chain chain;
	struct gmem *gm;
	unsigned int queue;
} held[HELD_MAX];
static unsigned int n_held;
static uint16_t next_desc[QUEUES]; /* where the driver puts the next one */

static void give_back(unsigned int i, struct vu_vring *vr)
{
	if (vr)
		vq_push(&vr->vq, &held[i].chain, 0, held[i].gm);
	free(held[i].chain.iov);
	gmem_put(held[i].gm);
	held[i] = held[--n_held];
}

static int vring_start(void *owner, struct vu_vring *vr)
{
	(void)owner;
	MUST(vr->index < QUEUES && !started[vr->index] && vr->vq.running && !held_back);
	started[vr->index] = true;
	return 0;
}

static void vring_failed(void *owner, struct vu_vring *vr, int error)
{
	(void)owner;
	MUST(error < 0 && !started[vr->index] && !vr->vq.running);
}

static void vring_stop(void *owner, struct vu_vring *vr)
{
	(void)owner;
	MUST(started[vr->index] && vr->vq.running && !held_back);
	started[vr->index] = false;
	for (unsigned int i = 0; i < n_held;) {
		if (held[i].queue == vr->index)
			give_back(i, vr);
		else
			i++;
	}
	vq_flush(&vr->vq);
}

static void quiesce(void *owner)
{
	(void)owner;
	MUST(!held_back);
	held_back = 1;
}

static void resume(void *owner)
{
	(void)owner;
	MUST(held_back);
	held_back = 0;
}

static void reset(void *owner)
{
	(void)owner;
	for (unsigned int i = 0; i < QUEUES; i++)
		MUST(!started[i]);
}

static const struct vu_dev_ops ops = {vring_start, vring_failed, vring_stop,
				      quiesce,     resume,       reset};

static const struct vu_dev_conf conf = {
	.ops = &ops,
	.max_queues = QUEUES,
	.num_request_queues = QUEUES - 1,
	.tag = "share",
	.shmem_size = WINDOW,
};

static void connect_anew(void)
{
	int pair[2];

	fd_close(&fe);
	vu_dev_disconnect(dev);
	MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	fe = pair[0];
	dev_sock = pair[1];
	vu_dev_connect(dev, pair[1]);
	in_step = true;
}

/* Until all of it is read, as the daemon would. */
static void serve(uint32_t request, bool whole)
{
	unsigned int answers = 0, n = 0;
	uint8_t byte;
	int r;

	in_step &= whole;
	do {
		r = vu_dev_handle(dev);
		answers += front_replies(fe, in_step ? request : 0);
		MUST(!held_back && ++n < 10000);
	} while (r == 1 && fd_recv(dev_sock, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0);
	MUST(r <= 1 && (!in_step || answers <= 1));
	if (r <= 0)
		connect_anew();
}

static void message(struct feed *f)
{
	struct front_msg m;

	front_message(f, &m);
	serve(m.hdr.request, front_send(f, fe, &m));
}

static void start_ring(struct feed *f)
{
	uint8_t how = feed_u8(f);
	uint64_t features = how & 1 ? UINT64_MAX : ~(UINT64_C(1) << 34);
	unsigned int i = how >> 1 & 1;
	struct front_msg m;

	if (how & 4)
		features &= ~(UINT64_C(1) << 30);
	/* Negotiated and mapped already, perhaps. */
	for (unsigned int n = how & 8 ? 3 : 0;
	     front_step(n, i, features, UINT64_MAX, 1u << (how >> 5), &m); n++)
		serve(m.hdr.request, front_send(NULL, fe, &m));
	next_desc[i] = 0;
}

/* ---- the rings ---- */

static void add_chain(struct feed *f)
{
	unsigned int i = feed_below(f, QUEUES), n = 1 + feed_below(f, 3);
	const struct vq_conf *c = &vu_dev_vring(dev, i)->conf;
	struct vring_desc *desc = (void *)(front_ram() + FRONT_DESC(i));
	struct vring_avail *av = (void *)(front_ram() + FRONT_AVAIL(i));
	uint16_t size = MAX(MIN(c->size, 256), 1), head = next_desc[i] % size;

	for (unsigned int k = 0; k < n; k++) {
		uint16_t at = next_desc[i]++ % size;
		struct vring_desc d = {
			.addr = FRONT_GPA + FRONT_DATA + feed_u16(f),
			.len = feed_u8(f),
			.flags = k + 1 < n ? VRING_DESC_F_NEXT : 0,
			.next = c->packed ? head : next_desc[i] % size,
		};

		if (feed_u8(f) & 1)
			d.flags |= VRING_DESC_F_WRITE;
		if (feed_one_in(f, 16))
			d.flags ^= feed_u8(f);
		/* Laps of a packed ring begin with the counter at 1. */
		if (c->packed)
			d.flags |= 1u
				   << ((next_desc[i] - 1) / size % 2 ? VRING_PACKED_DESC_F_USED
								     : VRING_PACKED_DESC_F_AVAIL);
		desc[at] = d;
	}
	if (c->packed)
		return;
	av->ring[av->idx % size] = head;
	av->idx++;
}

static void scribble(struct feed *f)
{
	uint32_t at = feed_u16(f) % (FRONT_DESC(QUEUES) - 8);

	feed_bytes(f, front_ram() + at, 1u << feed_below(f, 4));
}

/* What the thread of a queue does. */
static void turn(struct feed *f)
{
	struct vu_vring *vr = vu_dev_vring(dev, feed_below(f, QUEUES));
	unsigned int n = feed_below(f, 4), max;

	if (!started[vr->index] || !vr->enabled)
		return;
	vq_kicks_off(&vr->vq);
	max = VQ_CHAIN_IOV(vr->vq.conf.size);
	while (n-- && n_held < HELD_MAX) {
		struct vq_chain c = {.iov = malloc(max * sizeof(struct iovec)), .max = max};

		MUST(c.iov);
		if (vq_pop(&vr->vq, &c) != 1) {
			free(c.iov);
			break;
		}
		held[n_held].chain = c;
		held[n_held].gm = gmem_get(vr->vq.gm);
		held[n_held++].queue = vr->index;
	}
	for (unsigned int i = 0; i < n_held;) {
		if (held[i].queue == vr->index && feed_one_in(f, 2))
			give_back(i, vr);
		else
			i++;
	}
	if (vq_flush(&vr->vq))
		vu_vring_call(vr);
	if (vr->vq.broken)
		vu_vring_error(vr);
	else
		vq_kicks_on(&vr->vq, 0);
}

static void step(struct feed *f)
{
	switch (feed_below(f, 16)) {
	case 0:
		start_ring(f);
		break;
	case 1:
	case 2:
		add_chain(f);
		break;
	case 3:
	case 4:
		turn(f);
		break;
	case 5:
		scribble(f);
		break;
	case 6:
		if (feed_one_in(f, 4))
			front_cut(f);
		break;
	case 7:
		if (feed_one_in(f, 8))
			connect_anew();
		break;
	default:
		message(f);
		break;
	}
}

void target_init(void)
{
	signal(SIGPIPE, SIG_IGN);
	MUST(guard_init() == 0);
	front_make();
}

void target_run(struct feed *f)
{
	front_reset();
	memset(next_desc, 0, sizeof(next_desc));
	fuzz_note_fds();
	MUST(vu_dev_new(&conf, &dev) == 0);
	connect_anew();
	while (f->left)
		step(f);
	fd_close(&fe);
	vu_dev_free(dev);
	MUST(!n_held);
	fuzz_check_fds();
}
