// SPDX-License-Identifier: Apache-2.0
/* Notifications of virtqueues, both ways. */
/*
 * Theory of operation
 *
 * Decisions are compared with a walk over all positions between old and new. The thread test has a
 * driver and a device that really sleep: one lost notification and it times out.
 */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/eventfd.h>

#include <cmocka.h>

#include "fd.h"
#include "rnd.h"
#include "util.h"
#include "vq.h"
#include "vqdriver.h"

/* Whether one of the positions that the used index passes is @event. */
static bool passes(const struct drv *d, const struct vq *vq, uint16_t ndesc, uint16_t event)
{
	uint16_t at = vq->used_idx;
	bool wrap = vq->used_wrap;

	if (!d->packed)
		return at == event;
	while (ndesc--) {
		if ((event & 0x7fff) == at && event >> 15 == wrap)
			return true;
		if (++at == d->size) {
			at = 0;
			wrap = !wrap;
		}
	}
	return false;
}

/* An event index near where the used index is, so that it matters. */
static uint16_t random_event(const struct drv *d, const struct vq *vq, uint64_t *seed)
{
	if (!d->packed)
		return (uint16_t)(vq->used_idx - 4 + rnd_below(seed, 12));
	return (uint16_t)(rnd_below(seed, d->size) | rnd_below(seed, 2) << 15);
}

static void set_used_event(struct drv *d, uint16_t event)
{
	if (d->packed) {
		d->driver_ev->off_wrap = event;
		d->driver_ev->flags = VRING_PACKED_EVENT_FLAG_DESC;
	} else {
		d->avail->ring[d->size] = event;
	}
}

static void wanted_notifications(void **state)
{
	uint64_t seed = 3;
	unsigned int yes = 0, no = 0;

	(void)state;
	for (unsigned int i = 0; i < 60; i++) {
		bool packed = i % 2, first = true;
		struct rig r;

		rig_init(&r, packed, packed ? (uint16_t)(3 + rnd_below(&seed, 9)) : 8, true,
			 (uint16_t)(65536 - rnd_below(&seed, 300)));
		for (int round = 0; round < 400; round++) {
			unsigned int batch = 1 + rnd_below(&seed, 4);
			uint16_t event = random_event(&r.d, &r.vq, &seed);
			bool want = first;
			uint32_t len;

			for (unsigned int b = 0; b < batch; b++) {
				unsigned int n = 1 + rnd_below(&seed, 3);
				struct vq_chain c;

				if (drv_add(&r.d, rig_small, n, 0, DRV_DIRECT) < 0)
					break;
				c = rig_pop(&r);
				want |= passes(&r.d, &r.vq, c.ndesc, event);
				vq_push(&r.vq, &c, 0, r.gm);
			}
			set_used_event(&r.d, event);
			assert_int_equal(vq_flush(&r.vq), want);
			assert_false(vq_flush(&r.vq));
			first = false;
			*(want ? &yes : &no) += 1;
			while (drv_get(&r.d, &len) >= 0)
				;
		}
		rig_done(&r);
	}
	assert_true(yes > 1000 && no > 1000);
}

static void push_one(struct rig *r)
{
	struct vq_chain c;

	assert_true(drv_add(&r->d, rig_small, 1, 0, DRV_DIRECT) >= 0);
	c = rig_pop(r);
	vq_push(&r->vq, &c, 0, r->gm);
}

/* Take the chain that comes next, and give it back. */
static void give_back(struct rig *r)
{
	struct vq_chain c = rig_pop(r);
	uint32_t len;

	vq_push(&r->vq, &c, 0, r->gm);
	vq_flush(&r->vq);
	assert_true(drv_get(&r->d, &len) >= 0);
}

/* Flags, without EVENT_IDX; in a packed ring they count with it, too. */
static void notification_flags(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		bool packed = i > 0, event_idx = i == 2;
		struct rig r;

		rig_init(&r, packed, 16, event_idx, 0);
		assert_false(vq_flush(&r.vq));
		push_one(&r);
		assert_true(vq_flush(&r.vq));
		push_one(&r);
		drv_irq_off(&r.d);
		assert_false(vq_flush(&r.vq));
		if (packed) {
			/* A reserved value, and the event index where it was not negotiated. */
			r.d.driver_ev->flags = 3;
			push_one(&r);
			assert_true(vq_flush(&r.vq));
			r.d.driver_ev->flags = VRING_PACKED_EVENT_FLAG_DESC;
			r.d.driver_ev->off_wrap = 9;
			push_one(&r);
			assert_int_equal(vq_flush(&r.vq), !event_idx);
			r.d.driver_ev->flags = VRING_PACKED_EVENT_FLAG_ENABLE;
		} else {
			r.d.avail->flags = 0;
		}
		push_one(&r);
		assert_true(vq_flush(&r.vq));
		rig_done(&r);
	}
}

/* What the device writes for the driver to look at; the driver's side of it is in drv_kick(). */
static void kicks(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		bool packed = i % 2, event_idx = i / 2;
		struct rig r;

		rig_init(&r, packed, 4, event_idx, 65534);
		for (int round = 0; round < 20; round++) {
			assert_false(vq_kicks_on(&r.vq, 0));
			assert_true(drv_add(&r.d, rig_small, 1, 0, DRV_DIRECT) >= 0);
			assert_true(drv_kick(&r.d));
			/* It came before the device slept. */
			assert_true(vq_kicks_on(&r.vq, 0));
			vq_kicks_off(&r.vq);
			assert_true(drv_add(&r.d, rig_small, 1, 0, DRV_DIRECT) >= 0);
			if (!event_idx || packed)
				assert_false(drv_kick(&r.d));
			while (vq_kicks_on(&r.vq, 0))
				give_back(&r);
			if (event_idx && !packed)
				drv_kick(&r.d);
		}
		rig_done(&r);
	}
}

/* The device asks for a kick when so many have been added, wherever in the ring that is. */
static void kicks_for_several(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		bool packed = i % 2, event_idx = i / 2;
		struct rig r;

		rig_init(&r, packed, 16, event_idx, 65530);
		for (uint16_t round = 0; round < 200; round++) {
			uint16_t most = round % 9, left = event_idx ? most : 0;

			assert_false(vq_kicks_on(&r.vq, most));
			for (uint16_t n = 0; n <= left; n++) {
				assert_true(drv_add(&r.d, rig_small, 1, 0, DRV_DIRECT) >= 0);
				assert_int_equal(drv_kick(&r.d), n == left);
			}
			for (uint16_t n = 0; n <= left; n++)
				give_back(&r);
			/* What is there already is told of, whatever is asked for. */
			assert_true(drv_add(&r.d, rig_small, 1, 0, DRV_DIRECT) >= 0);
			drv_kick(&r.d);
			assert_true(vq_kicks_on(&r.vq, most));
			give_back(&r);
		}
		rig_done(&r);
	}
}

/* Two threads that sleep */

#define CHAINS 30000u

struct sleepers {
	struct rig r;
	int kick, call;
	_Atomic bool stop;
	_Atomic uint32_t kicks_lost; /* time-outs; must stay 0 */
};

static bool wait_event(int fd)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};

	if (poll(&pfd, 1, 10000) != 1)
		return false;
	fd_drain(fd);
	return true;
}

static void *device_thread(void *arg)
{
	struct sleepers *s = arg;
	uint64_t seed = 5;

	while (!s->stop) {
		struct iovec iov[8];
		struct vq_chain c = {.iov = iov, .max = 8};
		unsigned int batch = rnd_below(&seed, 8);

		vq_kicks_off(&s->r.vq);
		while (vq_pop(&s->r.vq, &c) == 1) {
			vq_push(&s->r.vq, &c, 0, s->r.gm);
			if (batch-- == 0) {
				batch = rnd_below(&seed, 8);
				if (vq_flush(&s->r.vq))
					fd_signal(s->call);
			}
		}
		if (vq_flush(&s->r.vq))
			fd_signal(s->call);
		if (vq_kicks_on(&s->r.vq, 0))
			continue;
		if (!wait_event(s->kick))
			s->kicks_lost++;
	}
	return NULL;
}

static void driver_loop(struct sleepers *s)
{
	uint64_t seed = 6;
	uint32_t added = 0, got = 0, len;

	while (got < CHAINS) {
		unsigned int burst = rnd_below(&seed, 20);

		while (added < CHAINS && burst-- &&
		       drv_add(&s->r.d, rig_small, 1 + rnd_below(&seed, 2), 1, DRV_DIRECT) >= 0)
			added++;
		if (drv_kick(&s->r.d))
			fd_signal(s->kick);
		if (rnd_below(&seed, 3) && added < CHAINS && s->r.d.free_slots > 4)
			continue;
		drv_irq_off(&s->r.d);
		while (drv_get(&s->r.d, &len) >= 0)
			got++;
		if (got < added && !drv_irq_on(&s->r.d))
			assert_true(wait_event(s->call));
	}
	assert_int_equal(added, CHAINS);
}

static void sleeping_threads(void **state)
{
	static struct sleepers s;

	(void)state;
	for (int i = 0; i < 4; i++) {
		pthread_t thread;

		rig_init(&s.r, i % 2, 16, i / 2, 65000);
		s.kick = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		s.call = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		s.stop = false;
		assert_int_equal(pthread_create(&thread, NULL, device_thread, &s), 0);
		driver_loop(&s);
		s.stop = true;
		fd_signal(s.kick);
		assert_int_equal(pthread_join(thread, NULL), 0);
		assert_int_equal(s.kicks_lost, 0);
		assert_false(s.r.vq.broken);
		fd_close(&s.kick);
		fd_close(&s.call);
		rig_done(&s.r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wanted_notifications),
		cmocka_unit_test(notification_flags),
		cmocka_unit_test(kicks),
		cmocka_unit_test(kicks_for_several),
		cmocka_unit_test(sleeping_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
