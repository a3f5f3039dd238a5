// SPDX-License-Identifier: Apache-2.0
/* Inflight tracking: what a killed process leaves behind, the next one takes up. */
/*
 * Theory of operation
 *
 * A child process works on the queue, and is single-stepped. After each of its instructions that has
 * changed a byte of the ring or of the region, the two are copied to a second memory, as if the child
 * had been killed there, and a second queue takes up the region. Then every chain that the driver ever
 * made available must have been given back or be given out again, once, in the order in which they
 * were made available. Some of the take-ups are stepped through in the same way, once more.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "rnd.h"
#include "util.h"
#include "vq_inflight.h"
#include "vqdriver.h"

/* A sanitizer makes one instruction many, and each is a stop here: a sample will do then. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SAMPLE_ONLY 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define SAMPLE_ONLY 1
#endif
#ifndef SAMPLE_ONLY
#define SAMPLE_ONLY 0
#endif

#define SIZE 8u

/* The parts of memory that the device writes to. */
static const struct {
	uint64_t gpa;
	size_t len;
} parts[] = {
	{DRV_GPA + 0x10000, SIZE * 16},
	{DRV_GPA + 0x20000, 64},
	{DRV_GPA + 0x30000, 128},
	{RIG_REGION, 512},
};

#define SNAP_BYTES 1024

static size_t snap(const struct drv *d, uint8_t *to)
{
	size_t at = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(parts); i++) {
		memcpy(to + at, drv_at(d, parts[i].gpa), parts[i].len);
		at += parts[i].len;
	}
	return at;
}

static void copy_parts(struct drv *to, const struct drv *from)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(parts); i++)
		memcpy(drv_at(to, parts[i].gpa), drv_at(from, parts[i].gpa), parts[i].len);
	for (uint16_t i = 0; i < SIZE; i++)
		for (uint64_t at = drv_table(i); at < drv_table(i) + 64; at++)
			*(uint8_t *)drv_at(to, at) = *(uint8_t *)drv_at(from, at);
}

/*
 * What a case steps through. @orig: the memory that the child works on. @spare: two more, for what is
 * taken up, and for what is taken up of that. @waiting: as of before the child began.
 */
struct steps {
	struct rig orig;
	struct rig spare[2];
	struct rig_expect waiting;
	const char *script;
	unsigned int crashes[2]; /* by depth */
};

static void start_spare(struct steps *s, unsigned int depth, const struct drv *from)
{
	struct rig *r = &s->spare[depth];

	vq_stop(&r->vq);
	copy_parts(&r->d, from);
	drv_clone(&r->d, &s->orig.d);
	/* What a front-end says that never got an answer to GET_VRING_BASE. */
	r->conf.base = r->d.packed ? VQ_BASE_PACKED : r->d.used->idx;
	assert_int_equal(vq_start(&r->vq, &r->conf, r->gm), 0);
}

/* The process died with memory as in @from: take it up, and see that nothing is lost or doubled. */
static void check_crash(struct steps *s, unsigned int depth, const struct drv *from,
			bool driver_first)
{
	struct rig *r = &s->spare[depth];
	struct rig_expect e = s->waiting;
	uint64_t seed = s->crashes[depth] + 1;

	start_spare(s, depth, from);
	if (driver_first) {
		/* The driver goes on before the device is back: slots change hands. */
		rig_get_all(r, &e);
		while (rnd_below(&seed, 4) && e.n < SIZE)
			rig_expect_add(&e, rig_add(r, &seed));
	}
	rig_attach(r);
	if (!driver_first)
		rig_get_all(r, &e);
	for (int round = 0; round < 2; round++) {
		struct vq_chain held[SIZE];
		static struct iovec iov[SIZE][8];
		unsigned int n = e.n;

		assert_int_equal(vq_kicks_on(&r->vq, 0), n != 0);
		for (unsigned int i = 0; i < n; i++) {
			held[i] = (struct vq_chain){.iov = iov[i], .max = 8};
			assert_int_equal(vq_pop(&r->vq, &held[i]), 1);
			assert_int_equal(held[i].id, e.ids[i]);
			assert_int_equal(held[i].ndesc, r->d.ndesc[held[i].id]);
			assert_false(held[i].faulted);
		}
		assert_int_equal(vq_pop(&r->vq, &held[0]), 0);
		/* Back in any order, in any batches. */
		while (n) {
			unsigned int pick = rnd_below(&seed, n--);

			vq_push(&r->vq, &held[pick], 0, r->gm);
			held[pick] = held[n];
			if (rnd_below(&seed, 4) == 0)
				vq_flush(&r->vq);
		}
		vq_flush(&r->vq);
		rig_get_all(r, &e);
		assert_int_equal(e.n, 0);
		assert_int_equal(r->vq.in_use, 0);
		assert_int_equal(r->d.free_slots, SIZE);
		while (rnd_below(&seed, 8) && e.n < SIZE)
			rig_expect_add(&e, rig_add(r, &seed));
	}
}

static void check_crashes(struct steps *s, unsigned int depth, const struct drv *from)
{
	s->crashes[depth]++;
	check_crash(s, depth, from, false);
	check_crash(s, depth, from, true);
}

/* In the child: p takes a chain, a digit gives back the n-th that was taken, f flushes. */
static void run_script(struct rig *r, const char *script)
{
	static struct vq_chain taken[10];
	static struct iovec iov[10][8];
	unsigned int n = 0;

	for (; *script; script++) {
		if (*script == 'p') {
			taken[n] = (struct vq_chain){.iov = iov[n], .max = 8};
			if (vq_pop(&r->vq, &taken[n]) != 1)
				_exit(1);
			n++;
		} else if (*script == 'f') {
			vq_flush(&r->vq);
		} else {
			vq_push(&r->vq, &taken[*script - '0'], 0, r->gm);
		}
	}
}

static void step_through(struct steps *s, struct rig *r, unsigned int depth);

/* In the child, between the two stops. */
static void child(struct steps *s, struct rig *r, unsigned int depth)
{
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
		_exit(2);
	raise(SIGSTOP);
	if (depth == 0)
		run_script(r, s->script);
	else if (vq_inflight_attach(&r->vq, rig_region(r), 512) < 0)
		_exit(1);
	_exit(0);
}

/* Take up what is there now, step by step. */
static void step_again(struct steps *s, const struct drv *from)
{
	start_spare(s, 0, from);
	step_through(s, &s->spare[0], 1);
}

static void step_through(struct steps *s, struct rig *r, unsigned int depth)
{
	uint8_t last[SNAP_BYTES], now[SNAP_BYTES];
	size_t len = snap(&r->d, last);
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0)
		child(s, r, depth);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 2)
		skip();
	assert_true(WIFSTOPPED(status));
	for (;;) {
		assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (WIFEXITED(status))
			break;
		assert_true(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP);
		snap(&r->d, now);
		if (memcmp(now, last, len) == 0)
			continue;
		memcpy(last, now, len);
		check_crashes(s, depth, &r->d);
		/* The first stores of a take-up are like those of the next, so a sample will do. */
		if (depth == 0 && !SAMPLE_ONLY && s->crashes[0] % 16 == 0)
			step_again(s, &r->d);
	}
	assert_int_equal(WEXITSTATUS(status), 0);
	check_crashes(s, depth, &r->d);
}

/* Let @warm chains go through first, so that the indices stand somewhere else. */
static void steps_case(struct steps *s, bool packed, const char *script, unsigned int warm)
{
	struct rig *r = &s->orig;
	uint64_t seed = warm + 17;
	uint32_t len;

	rig_init(r, packed, SIZE, false, 65535);
	rig_init(&s->spare[0], packed, SIZE, false, 0);
	rig_init(&s->spare[1], packed, SIZE, false, 0);
	rig_attach(r);
	for (; warm; warm--) {
		struct vq_chain c;

		assert_true(rig_add(r, &seed) >= 0);
		c = rig_pop(r);
		vq_push(&r->vq, &c, 0, r->gm);
		vq_flush(&r->vq);
		assert_int_equal(drv_get(&r->d, &len), c.id);
	}
	s->waiting = (struct rig_expect){.n = 0};
	/* One chain for each that the script takes, and one more. */
	for (const char *p = script; *p; p++) {
		unsigned int n = 1 + s->waiting.n % 2;

		if (*p == 'p')
			rig_expect_add(&s->waiting,
				       drv_add(&r->d, rig_small, 1, n - 1, DRV_DIRECT));
	}
	rig_expect_add(&s->waiting, drv_add(&r->d, rig_small, 1, 1, DRV_INDIRECT));
	s->script = script;
	step_through(s, r, 0);
	rig_done(&s->spare[0]);
	rig_done(&s->spare[1]);
	rig_done(r);
}

static void killed_anywhere(void **state)
{
	static const char *const scripts[] = {
		"ppp120f", "p0f", "ppp2f01f", "pp1p0f2f", "pppp3f12pf0", "pp1f0p2fp3f",
	};
	unsigned int n = SAMPLE_ONLY ? 1 : ARRAY_SIZE(scripts);
	static struct steps s;

	(void)state;
	for (int packed = 0; packed < 2; packed++) {
		s.crashes[0] = s.crashes[1] = 0;
		for (unsigned int i = 0; i < n; i++)
			steps_case(&s, packed, scripts[i], i * 3 + 1);
		assert_true(s.crashes[0] > (SAMPLE_ONLY ? 15 : 70));
		assert_true(SAMPLE_ONLY || s.crashes[1] > 8);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(killed_anywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
