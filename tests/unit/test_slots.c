// SPDX-License-Identifier: Apache-2.0
/* Records named by slot number and generation. */
/*
 * Theory of operation
 *
 * The stress test has threads that make and destroy records in a small table, so that slots are used
 * again all the time, while others look up ids old and new. A record carries its own id: whoever got
 * hold of one by an id must find that id in it for as long as he keeps the reference, and exactly one
 * thread takes each record apart. It runs for a number of rounds, and on until enough was found that
 * the lookups have met the makers.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rnd.h"
#include "slots.h"
#include "util.h"

struct record {
	struct slot slot;
	_Atomic uint64_t id;
	_Atomic uint32_t alive;
	uint32_t pad;
};

struct table {
	struct arena a;
	struct slots s;
};

static void table_init(struct table *t, uint32_t count)
{
	assert_int_equal(arena_init(&t->a, "test", 1 << 20), 0);
	assert_int_equal(
		slots_init(&t->s, &t->a, sizeof(struct record), sizeof(struct record), count), 0);
}

static void table_done(struct table *t)
{
	slots_done(&t->s);
	arena_done(&t->a);
}

static struct record *make(struct table *t)
{
	struct record *r = slots_alloc(&t->s);

	if (r)
		slots_publish(r);
	return r;
}

static void ids(void **state)
{
	struct table t;
	struct record *r, *again;

	(void)state;
	table_init(&t, 4);
	r = make(&t);
	assert_non_null(r);
	assert_int_equal(slots_id(&t.s, r), 1);
	assert_int_equal(slots_index(&t.s, r), 1);
	assert_ptr_equal(slots_at(&t.s, 1), r);
	assert_ptr_equal(slots_get(&t.s, 1), r);
	assert_int_equal(slots_unref(r), 0);
	assert_int_equal(slots_unref(r), 1);
	/* Gone for everybody from here on, freed or not. */
	assert_null(slots_get(&t.s, 1));
	assert_int_equal(slots_try_ref(r), 0);
	r->id = 99;
	slots_free(&t.s, r);
	assert_null(slots_get(&t.s, 1));
	assert_null(slots_get(&t.s, UINT64_C(1) << 32 | 1));
	again = make(&t);
	assert_ptr_equal(again, r);
	assert_int_equal(again->id, 0);
	assert_int_equal(slots_id(&t.s, again), UINT64_C(1) << 32 | 1);
	assert_null(slots_get(&t.s, 1));
	assert_ptr_equal(slots_get(&t.s, UINT64_C(1) << 32 | 1), again);
	table_done(&t);
}

static void any_number_may_be_asked_for(void **state)
{
	static const uint64_t odd[] = {0,
				       4,
				       5,
				       UINT32_MAX,
				       UINT64_MAX,
				       UINT64_C(1) << 32,
				       UINT64_C(1) << 63 | 1,
				       UINT64_C(0x100000001),
				       UINT64_C(0x100000004)};
	struct table t;

	(void)state;
	table_init(&t, 4);
	make(&t);
	for (unsigned int i = 0; i < ARRAY_SIZE(odd); i++)
		assert_null(slots_get(&t.s, odd[i]));
	/* Slots that were never used. */
	assert_null(slots_get(&t.s, 2));
	assert_null(slots_get(&t.s, 3));
	table_done(&t);
}

static void hidden_until_published(void **state)
{
	struct table t;
	struct record *r;

	(void)state;
	table_init(&t, 4);
	r = slots_alloc(&t.s);
	assert_null(slots_get(&t.s, 1));
	assert_int_equal(slots_try_ref(r), 1);
	slots_ref(r);
	slots_publish(r);
	assert_ptr_equal(slots_get(&t.s, 1), r);
	assert_int_equal(slots_unref(r), 0);
	assert_int_equal(slots_unref(r), 0);
	assert_int_equal(slots_unref(r), 0);
	assert_int_equal(slots_unref(r), 1);
	slots_free(&t.s, r);
	/* One that was given up before it was published. */
	r = slots_alloc(&t.s);
	assert_int_equal(slots_unref(r), 1);
	slots_free(&t.s, r);
	assert_null(slots_get(&t.s, UINT64_C(1) << 32 | 1));
	assert_null(slots_get(&t.s, UINT64_C(2) << 32 | 1));
	table_done(&t);
}

static void full(void **state)
{
	struct record *r[3];
	struct table t;

	(void)state;
	table_init(&t, 4);
	for (int i = 0; i < 3; i++)
		assert_non_null(r[i] = make(&t));
	assert_null(slots_alloc(&t.s));
	assert_int_equal(t.s.live, 3);
	slots_unref(r[1]);
	slots_free(&t.s, r[1]);
	assert_int_equal(t.s.live, 2);
	assert_ptr_equal(make(&t), r[1]);
	assert_null(slots_alloc(&t.s));
	table_done(&t);
}

static void sizes(void **state)
{
	struct arena a;
	struct slots s;

	(void)state;
	assert_int_equal(arena_init(&a, "test", 4096), 0);
	assert_int_equal(slots_init(&s, &a, 8, 8, 4), -EINVAL);
	assert_int_equal(slots_init(&s, &a, 20, 20, 4), -EINVAL);
	assert_int_equal(slots_init(&s, &a, 16, 16, 1), -EINVAL);
	assert_int_equal(slots_init(&s, &a, 24, 8, 4), -EINVAL);
	assert_int_equal(slots_init(&s, &a, 24, 32, 4), -EINVAL);
	assert_int_equal(slots_init(&s, &a, 16, 16, 257), -ENOMEM);
	assert_int_equal(slots_init(&s, &a, 16, 16, 256), 0);
	slots_done(&s);
	arena_done(&a);
}

/* The end of a record can be left to its owner, from one life to the next. */
static void what_stays(void **state)
{
	struct table t;
	struct record *r;

	(void)state;
	assert_int_equal(arena_init(&t.a, "test", 4096), 0);
	assert_int_equal(slots_init(&t.s, &t.a, sizeof(*r), offsetof(struct record, alive), 3), 0);
	r = make(&t);
	assert_int_equal(r->alive, 0);
	r->id = 5;
	r->alive = 7;
	assert_int_equal(slots_unref(r), 1);
	slots_free(&t.s, r);
	assert_ptr_equal(make(&t), r);
	assert_int_equal(r->id, 0);
	assert_int_equal(r->alive, 7);
	table_done(&t);
}

/* After 2^32 lives a slot is retired: an id of its first life must not come back. */
static void generations_do_not_wrap(void **state)
{
	struct table t;
	struct record *r;

	(void)state;
	table_init(&t, 3);
	r = make(&t);
	r->slot.state = (uint64_t)UINT32_MAX << 32 | 1;
	assert_int_equal(slots_id(&t.s, r), (uint64_t)UINT32_MAX << 32 | 1);
	assert_int_equal(slots_unref(r), 1);
	slots_free(&t.s, r);
	assert_int_equal(t.s.live, 0);
	assert_int_equal(slots_index(&t.s, make(&t)), 2);
	assert_null(slots_alloc(&t.s));
	assert_null(slots_get(&t.s, 1));
	table_done(&t);
}

/* The stress test. */

#define SLOTS      8
#define MAKERS     2
#define SEEKERS    2
#define KEPT       3 /* records that a maker keeps at a time */
#define ROUNDS     20000
#define ROUNDS_MAX 5000000
#define FOUND      2000

struct stress {
	struct table t;
	pthread_barrier_t start;
	_Atomic uint64_t recent[16];
	_Atomic uint32_t made;
	_Atomic uint32_t unmade;
	_Atomic uint32_t found;
	_Atomic uint32_t wrong;
	_Atomic uint32_t makers_left;
};

static void drop(struct stress *st, struct record *r)
{
	if (!slots_unref(r))
		return;
	/* Two threads that both think they have the last reference both count it. */
	if (!atomic_exchange(&r->alive, 0))
		atomic_fetch_add(&st->wrong, 1);
	atomic_fetch_add(&st->unmade, 1);
	slots_free(&st->t.s, r);
}

static void *maker(void *arg)
{
	struct stress *st = arg;
	struct record *kept[KEPT] = {NULL};
	uint64_t seed = (uintptr_t)&seed | 1;

	pthread_barrier_wait(&st->start);
	for (int i = 0; i < ROUNDS || (i < ROUNDS_MAX && st->found < FOUND); i++) {
		struct record **place = &kept[i % KEPT], *r;

		if (*place)
			drop(st, *place);
		*place = r = slots_alloc(&st->t.s);
		if (!r)
			continue;
		if (r->id || r->alive)
			atomic_fetch_add(&st->wrong, 1);
		atomic_fetch_add(&st->made, 1);
		r->id = slots_id(&st->t.s, r);
		r->alive = 1;
		slots_publish(r);
		st->recent[rnd_below(&seed, 16)] = r->id;
	}
	for (int i = 0; i < KEPT; i++)
		if (kept[i])
			drop(st, kept[i]);
	atomic_fetch_sub(&st->makers_left, 1);
	return NULL;
}

static void *seeker(void *arg)
{
	struct stress *st = arg;
	uint64_t seed = (uintptr_t)&seed | 1;

	pthread_barrier_wait(&st->start);
	while (st->makers_left) {
		uint64_t id = st->recent[rnd_below(&seed, 16)];
		struct record *r;

		/* Half of the time the next generation, which nobody was told of yet. */
		if (rnd_below(&seed, 2))
			id += UINT64_C(1) << 32;
		r = slots_get(&st->t.s, id);
		if (!r)
			continue;
		atomic_fetch_add(&st->found, 1);
		for (int i = 0; i < 20; i++)
			if (r->id != id || !r->alive)
				atomic_fetch_add(&st->wrong, 1);
		if (slots_try_ref(r))
			drop(st, r);
		else
			atomic_fetch_add(&st->wrong, 1);
		drop(st, r);
	}
	return NULL;
}

static void threads(void **state)
{
	static struct stress st;
	pthread_t thread[MAKERS + SEEKERS];

	(void)state;
	table_init(&st.t, SLOTS);
	st.makers_left = MAKERS;
	assert_int_equal(pthread_barrier_init(&st.start, NULL, MAKERS + SEEKERS), 0);
	for (int i = 0; i < MAKERS + SEEKERS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, i < MAKERS ? maker : seeker, &st),
				 0);
	for (int i = 0; i < MAKERS + SEEKERS; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	assert_int_equal(st.wrong, 0);
	assert_int_equal(st.made, st.unmade);
	assert_int_equal(st.t.s.live, 0);
	assert_true(st.made >= ROUNDS);
	assert_true(st.found >= FOUND);
	pthread_barrier_destroy(&st.start);
	table_done(&st.t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids),
		cmocka_unit_test(any_number_may_be_asked_for),
		cmocka_unit_test(hidden_until_published),
		cmocka_unit_test(full),
		cmocka_unit_test(sizes),
		cmocka_unit_test(what_stays),
		cmocka_unit_test(generations_do_not_wrap),
		cmocka_unit_test(threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
