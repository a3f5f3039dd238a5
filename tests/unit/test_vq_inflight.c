// SPDX-License-Identifier: Apache-2.0
/* Inflight tracking: the region, attaching and detaching; test_vq_crash.c kills processes. */
/*
 * Theory of operation
 *
 * What the region holds is compared with the layout of the vhost-user specification, by offsets that
 * are written down here a second time. Then it is filled with noise, before it is attached and while it
 * is in use.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "rnd.h"
#include "util.h"
#include "vq_inflight.h"
#include "vqdriver.h"

#define SIZE 8u

/* Layout of the region */

static uint64_t field(const struct rig *r, size_t offset, size_t len)
{
	uint64_t v = 0;

	memcpy(&v, (const uint8_t *)rig_region(r) + offset, len);
	return v;
}

static void sizes(void **state)
{
	(void)state;
	assert_int_equal(vq_inflight_size(1, false), 64);
	assert_int_equal(vq_inflight_size(3, false), 64);
	assert_int_equal(vq_inflight_size(4, false), 128);
	assert_int_equal(vq_inflight_size(1024, false), 16 + 1024 * 16 + 48);
	assert_int_equal(vq_inflight_size(1, true), 64);
	assert_int_equal(vq_inflight_size(1024, true), 32 + 1024 * 32 + 32);
}

static void split_layout(void **state)
{
	struct vq_chain c[3];
	struct rig r;

	(void)state;
	rig_init(&r, false, SIZE, false, 0xfff0);
	rig_attach(&r);
	assert_int_equal(field(&r, 0, 8), 0);
	assert_int_equal(field(&r, 8, 2), 1);
	assert_int_equal(field(&r, 10, 2), SIZE);
	assert_int_equal(field(&r, 14, 2), 0xfff0);
	for (int i = 0; i < 3; i++) {
		assert_true(drv_add(&r.d, rig_small, 1, 0, DRV_DIRECT) >= 0);
		c[i] = rig_pop(&r);
		assert_int_equal(field(&r, 16 + c[i].id * 16u, 1), 1);
		assert_int_equal(field(&r, 16 + c[i].id * 16u + 8, 8), i);
	}
	vq_push(&r.vq, &c[2], 0, r.gm);
	vq_push(&r.vq, &c[0], 0, r.gm);
	assert_int_equal(field(&r, 16 + c[2].id * 16u, 1), 1);
	vq_flush(&r.vq);
	assert_int_equal(field(&r, 16 + c[2].id * 16u, 1), 0);
	assert_int_equal(field(&r, 16 + c[0].id * 16u, 1), 0);
	assert_int_equal(field(&r, 16 + c[1].id * 16u, 1), 1);
	/* The last batch: newest first. */
	assert_int_equal(field(&r, 12, 2), c[0].id);
	assert_int_equal(field(&r, 16 + c[0].id * 16u + 6, 2), c[2].id);
	assert_int_equal(field(&r, 14, 2), 0xfff2);
	rig_done(&r);
}

static void packed_layout(void **state)
{
	struct rig r;
	struct vq_chain one, two;

	(void)state;
	rig_init(&r, true, SIZE, false, 0);
	rig_attach(&r);
	assert_int_equal(field(&r, 0, 8), 0);
	assert_int_equal(field(&r, 8, 2), 1);
	assert_int_equal(field(&r, 10, 2), SIZE);
	assert_int_equal(field(&r, 12, 2), 0);
	assert_int_equal(field(&r, 14, 2), 0);
	assert_int_equal(field(&r, 20, 1), 1);
	assert_int_equal(field(&r, 21, 1), 1);
	for (unsigned int i = 0; i < SIZE; i++)
		assert_int_equal(field(&r, 32 + i * 32 + 2, 2), i + 1);
	assert_true(drv_add(&r.d, rig_small, 2, 1, DRV_DIRECT) >= 0);
	one = rig_pop(&r);
	assert_int_equal(one.entry, 0);
	assert_int_equal(field(&r, 32, 1), 1);
	assert_int_equal(field(&r, 32 + 4, 2), 2);
	assert_int_equal(field(&r, 32 + 6, 2), 3);
	assert_int_equal(field(&r, 32 + 8, 8), 0);
	assert_int_equal(field(&r, 96 + 16, 2), one.id);
	assert_int_equal(field(&r, 96 + 18, 2) & ~(1u << 15 | 1u << 7), VRING_DESC_F_WRITE);
	assert_int_equal(field(&r, 96 + 20, 4), 16);
	assert_int_equal(field(&r, 96 + 24, 8), DRV_DATA + 32);
	assert_int_equal(field(&r, 12, 2), 3);
	assert_int_equal(field(&r, 14, 2), 3);
	assert_true(drv_add(&r.d, rig_small, 1, 0, DRV_DIRECT) >= 0);
	two = rig_pop(&r);
	assert_int_equal(two.entry, 3);
	assert_int_equal(field(&r, 128 + 8, 8), 1);
	vq_push(&r.vq, &one, 0, r.gm);
	assert_int_equal(field(&r, 12, 2), 4);
	vq_flush(&r.vq);
	assert_int_equal(field(&r, 32, 1), 0);
	assert_int_equal(field(&r, 128, 1), 1);
	assert_int_equal(field(&r, 12, 2), 0);
	assert_int_equal(field(&r, 14, 2), 0);
	assert_int_equal(field(&r, 96 + 2, 2), 4);
	assert_int_equal(field(&r, 16, 2), 3);
	assert_int_equal(field(&r, 18, 2), 3);
	rig_done(&r);
}

/*
 * A back-end that goes by the letter of the specification marks a chain in flight before it knows its
 * descriptors. Killed there, it has not taken it.
 */
static void half_taken(void **state)
{
	struct vq_chain c;
	struct rig r;
	uint8_t *region;
	int id;

	(void)state;
	rig_init(&r, true, SIZE, false, 0);
	region = rig_region(&r);
	rig_attach(&r);
	id = drv_add(&r.d, rig_small, 1, 0, DRV_DIRECT);
	free(r.vq.infl);
	r.vq.infl = NULL;
	region[32] = 1;
	rig_attach(&r);
	assert_int_equal(region[32], 0);
	assert_int_equal(rig_pop(&r).id, id);
	assert_int_equal(region[32], 1);
	assert_int_equal(vq_pop(&r.vq, &c), 0);
	rig_done(&r);
}

/* Attaching and detaching */

static void refused(void **state)
{
	(void)state;
	for (int packed = 0; packed < 2; packed++) {
		size_t size = vq_inflight_size(SIZE, packed);
		uint8_t *region;
		struct rig r;
		struct vq idle = {.running = false};

		rig_init(&r, packed, SIZE, false, 0);
		region = rig_region(&r);
		assert_int_equal(vq_inflight_attach(&idle, region, size), -EINVAL);
		assert_int_equal(vq_inflight_attach(&r.vq, region, size - 1), -EINVAL);
		assert_int_equal(vq_inflight_attach(&r.vq, region + 4, size), -EINVAL);
		assert_null(r.vq.infl);
		rig_attach(&r);
		assert_int_equal(vq_inflight_attach(&r.vq, region, size), -EINVAL);
		vq_inflight_detach(&r.vq);
		rig_attach(&r);
		/* Features, a version, and a number of descriptors that are not ours. */
		for (unsigned int at = 7; at < 11; at++) {
			vq_inflight_detach(&r.vq);
			rig_attach(&r);
			free(r.vq.infl);
			r.vq.infl = NULL;
			region[at] ^= 2;
			assert_int_equal(vq_inflight_attach(&r.vq, region, size), -EINVAL);
			assert_null(r.vq.infl);
			region[at] ^= 2;
			rig_attach(&r);
		}
		vq_inflight_detach(&r.vq);
		vq_inflight_detach(&r.vq);
		/* Not in the middle of things. */
		assert_true(drv_add(&r.d, rig_small, 1, 0, DRV_DIRECT) >= 0);
		rig_pop(&r);
		assert_int_equal(vq_inflight_attach(&r.vq, region, size), -EINVAL);
		rig_done(&r);
	}
}

/* A drained queue leaves a fresh region: after a reset of the device the ring begins anew. */
static void reset_of_the_device(void **state)
{
	(void)state;
	for (int packed = 0; packed < 2; packed++) {
		struct vq_chain c;
		struct rig r;
		uint32_t len;
		struct drv d;

		rig_init(&r, packed, SIZE, false, 0);
		rig_attach(&r);
		for (int i = 0; i < 5; i++) {
			assert_true(drv_add(&r.d, rig_small, 1, 0, DRV_DIRECT) >= 0);
			c = rig_pop(&r);
			vq_push(&r.vq, &c, 0, r.gm);
			vq_flush(&r.vq);
			assert_true(drv_get(&r.d, &len) >= 0);
		}
		vq_stop(&r.vq);
		assert_null(r.vq.infl);
		assert_int_equal(field(&r, 8, 2), 0);
		drv_init(&d, packed, SIZE, false, 0);
		drv_clone(&r.d, &d);
		memset(r.d.desc, 0, SIZE * 16);
		memset(r.d.used, 0, 128);
		r.d.avail->idx = 0;
		drv_done(&d);
		r.conf = drv_conf(&r.d, true);
		assert_int_equal(vq_start(&r.vq, &r.conf, r.gm), 0);
		rig_attach(&r);
		assert_int_equal(vq_pop(&r.vq, &c), 0);
		assert_true(drv_add(&r.d, rig_small, 1, 0, DRV_DIRECT) >= 0);
		c = rig_pop(&r);
		vq_push(&r.vq, &c, 0, r.gm);
		vq_flush(&r.vq);
		assert_int_equal(drv_get(&r.d, &len), c.id);
		rig_done(&r);
	}
}

/* Stopped with chains in flight, which another queue, or the same, takes up. */
static void stopped_without_draining(void **state)
{
	(void)state;
	for (int packed = 0; packed < 2; packed++) {
		int ids[3];
		struct rig r;

		rig_init(&r, packed, SIZE, false, 0);
		rig_attach(&r);
		for (int i = 0; i < 3; i++)
			ids[i] = drv_add(&r.d, rig_small, 1, 1, DRV_DIRECT);
		rig_pop(&r);
		rig_pop(&r);
		for (int round = 0; round < 3; round++) {
			r.conf.base = vq_stop(&r.vq);
			assert_int_equal(vq_start(&r.vq, &r.conf, r.gm), 0);
			rig_attach(&r);
			assert_true(vq_kicks_on(&r.vq, 0));
			/* One is given out again, one waits; stopping now must not forget either. */
			assert_int_equal(rig_pop(&r).id, ids[0]);
		}
		assert_int_equal(rig_pop(&r).id, ids[1]);
		assert_int_equal(rig_pop(&r).id, ids[2]);
		rig_done(&r);
	}
}

/* Regions full of noise */

static void noise(void **state)
{
	unsigned int good = 0, bad = 0;
	uint64_t seed = 8;

	(void)state;
	for (int packed = 0; packed < 2; packed++) {
		struct rig r;

		rig_init(&r, packed, SIZE, false, 0);
		for (int round = 0; round < 20000; round++) {
			uint8_t *region = rig_region(&r);
			size_t size = vq_inflight_size(SIZE, packed);
			struct iovec iov[16];
			struct vq_chain c = {.iov = iov, .max = 16};
			unsigned int n = 1 + rnd_below(&seed, 30);
			int got;

			vq_stop(&r.vq);
			memset(region, 0, size);
			r.d.used->idx = 0;
			assert_int_equal(vq_start(&r.vq, &r.conf, r.gm), 0);
			rig_attach(&r);
			free(r.vq.infl);
			r.vq.infl = NULL;
			while (n--)
				region[12 + rnd_below(&seed, (uint32_t)size - 12)] =
					(uint8_t)rnd_below(&seed, rnd_below(&seed, 4) ? 10 : 256);
			got = vq_inflight_attach(&r.vq, region, size);
			*(got ? &bad : &good) += 1;
			if (got) {
				assert_int_equal(got, -EINVAL);
				assert_null(r.vq.infl);
				continue;
			}
			for (n = 0; (got = vq_pop(&r.vq, &c)) == 1; n++)
				if (rnd_below(&seed, 2)) {
					vq_push(&r.vq, &c, 0, r.gm);
					if (rnd_below(&seed, 2))
						vq_flush(&r.vq);
				}
			assert_true(n <= SIZE);
			assert_true(r.vq.in_use <= SIZE);
		}
		rig_done(&r);
	}
	assert_true(good > 1000 && bad > 1000);
}

/* The front-end writes to the region while it is in use: nobody cares. */

struct scribble {
	struct rig r;
	_Atomic bool stop;
};

static void *scribbler(void *arg)
{
	struct scribble *s = arg;
	uint64_t seed = 4;

	while (!s->stop) {
		uint64_t *word = (uint64_t *)rig_region(&s->r) + rnd_below(&seed, 36);

		__atomic_store_n(word, rnd(&seed), __ATOMIC_RELAXED);
	}
	return NULL;
}

static void scribbled(void **state)
{
	static struct scribble s;
	uint64_t seed = 9;

	(void)state;
	for (int packed = 0; packed < 2; packed++) {
		struct rig_expect e = {.n = 0};
		pthread_t thread;

		rig_init(&s.r, packed, SIZE, false, 0);
		rig_attach(&s.r);
		s.stop = false;
		assert_int_equal(pthread_create(&thread, NULL, scribbler, &s), 0);
		for (int round = 0; round < 3000; round++) {
			struct vq_chain c[SIZE];
			unsigned int n;

			while (rnd_below(&seed, 5) && e.n < SIZE)
				rig_expect_add(&e, rig_add(&s.r, &seed));
			for (n = 0; n < e.n; n++) {
				c[n] = rig_pop(&s.r);
				assert_int_equal(c[n].id, e.ids[n]);
			}
			while (n--)
				vq_push(&s.r.vq, &c[n], 0, s.r.gm);
			vq_flush(&s.r.vq);
			rig_get_all(&s.r, &e);
			assert_int_equal(e.n, 0);
		}
		s.stop = true;
		assert_int_equal(pthread_join(thread, NULL), 0);
		rig_done(&s.r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes),
		cmocka_unit_test(split_layout),
		cmocka_unit_test(packed_layout),
		cmocka_unit_test(half_taken),
		cmocka_unit_test(refused),
		cmocka_unit_test(reset_of_the_device),
		cmocka_unit_test(stopped_without_draining),
		cmocka_unit_test(noise),
		cmocka_unit_test(scribbled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
