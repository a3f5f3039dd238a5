// SPDX-License-Identifier: Apache-2.0
/* virtiofs-bench: one arm in one round of a workload. */
/*
 * Theory of operation
 *
 * A slice: make ready, run a fifth of the time to warm up, run the time, tidy up and verify. Only the
 * middle counts. A workload that uses up what it works on (struct work.once) is made ready, run, and
 * tidied up again and again until it has run for the time in all.
 *
 * The native loop's time is taken around each batch of system calls; what taking it costs was found out
 * before and is subtracted.
 */
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "measure.h"
#include "util.h"

#define ONCE_MAX     200u
#define NATIVE_LEAST 32u

/* CPUs that this process may run on; the second is the first where there is one only. */
static void two_cpus(int ret[2])
{
	cpu_set_t set;
	unsigned int n = 0;

	ret[0] = ret[1] = 0;
	CPU_ZERO(&set);
	sched_getaffinity(0, sizeof(set), &set);
	for (int i = 0; i < CPU_SETSIZE && n < 2; i++)
		if (CPU_ISSET(i, &set))
			ret[n++] = i;
	if (n == 1)
		ret[1] = ret[0];
}

int measure_pin(const struct arm *a, enum cpus cpus)
{
	static cpu_set_t all;
	static int cpu[2] = {-1, -1};
	cpu_set_t own;

	if (cpu[0] < 0) {
		two_cpus(cpu);
		sched_getaffinity(0, sizeof(all), &all);
	}
	if (cpus == CPUS_TWO && cpu[0] == cpu[1])
		return -EOPNOTSUPP;
	own = all;
	if (cpus != CPUS_ANY) {
		CPU_ZERO(&own);
		CPU_SET(cpu[cpus == CPUS_TWO], &own);
	}
	sched_setaffinity(0, sizeof(own), &own);
	if (cpus != CPUS_ANY) {
		CPU_ZERO(&own);
		CPU_SET(cpu[0], &own);
	}
	arm_pin(a, &own);
	return 0;
}

static void note_latency(struct result *r, const struct hist *h)
{
	static const double at[] = {0.5, 0.9, 0.99, 0.999};

	if (!h->n)
		return;
	for (unsigned int i = 0; i < ARRAY_SIZE(at); i++)
		r->lat[i] = hist_at(h, at[i]);
	r->lat[4] = h->max;
}

/* Run, and add up what it took. */
static int run_counted(struct load *l, uint64_t time_ns, struct result *r)
{
	struct usage u0 = arm_usage(l->arm), u1;
	uint64_t gen = bench_thread_cpu(), t0 = bench_now();
	int err;

	l->ops = l->requests = l->kicks = l->calls = 0;
	l->deadline = time_ns ? t0 + time_ns : 0;
	err = load_run(l);
	r->wall_ns += bench_now() - t0;
	r->gen_ns += bench_thread_cpu() - gen;
	u1 = arm_usage(l->arm);
	r->use.cpu_ns += u1.cpu_ns - u0.cpu_ns;
	r->use.waits += u1.waits - u0.waits;
	r->use.preempts += u1.preempts - u0.preempts;
	r->ops += l->ops;
	r->requests += l->requests;
	r->kicks += l->kicks;
	r->calls += l->calls;
	return err;
}

static int run_once_more(struct load *l, uint64_t time_ns, struct result *r)
{
	int err = 0;

	for (unsigned int i = 0; err == 0 && i < ONCE_MAX && r->wall_ns < time_ns; i++) {
		err = l->work->begin(l);
		if (err == 0)
			err = run_counted(l, 0, r);
		if (err == 0 && l->work->end)
			err = l->work->end(l);
	}
	return err;
}

static int run_for(struct load *l, uint64_t time_ns, struct result *r)
{
	struct hist *hist = l->hist;
	int err = l->work->begin(l);

	if (err < 0)
		return err;
	l->hist = NULL;
	l->deadline = bench_now() + time_ns / 5;
	err = load_run(l);
	l->hist = hist;
	if (err == 0)
		err = run_counted(l, time_ns, r);
	if (l->work->end && (err == 0 || err == -ENFILE)) {
		int end = l->work->end(l);

		err = err == 0 ? end : err;
	}
	return err;
}

static int measure_daemon(struct arm *a, struct files *f, const struct group *g, uint64_t time_ns,
			  struct result *r, char err[160])
{
	struct hist hist = {0};
	struct load l;
	int e = load_init(&l, g->work, a, f, g->depth, g->queues);

	if (e < 0)
		return e;
	l.spin = g->cpus == CPUS_TWO;
	if (g->depth == 1 || g->work->latency)
		l.hist = &hist;
	e = g->work->once ? run_once_more(&l, time_ns, r) : run_for(&l, time_ns, r);
	note_latency(r, &hist);
	memcpy(err, l.err, sizeof(l.err));
	load_done(&l);
	return e;
}

/* What it costs to take the time of an empty batch. */
static uint64_t clock_cost(void)
{
	uint64_t least = UINT64_MAX;

	for (unsigned int i = 0; i < 1000; i++) {
		uint64_t t = bench_thread_cpu();

		least = MIN(least, bench_thread_cpu() - t);
	}
	return least;
}

static int measure_native(struct files *f, const struct group *g, uint64_t time_ns,
			  struct result *r)
{
	struct native n = {
		.work = g->work,
		.files = f,
		.depth = MIN(g->depth, NATIVE_BATCH),
		.batch = MIN(MAX(g->depth, NATIVE_LEAST), NATIVE_BATCH),
	};
	uint64_t cost = clock_cost(), until = bench_now() + time_ns;
	int err = 0;

	n.buf = aligned_alloc(BENCH_PAGE, MAX(g->work->size * n.depth, (size_t)BENCH_PAGE));
	if (!n.buf)
		return -ENOMEM;
	memset(n.buf, 0, g->work->size * n.depth);
	if (g->work->native_begin)
		err = g->work->native_begin(&n);
	/* The first batch warms up. */
	for (bool warm = false; err == 0 && (bench_now() < until || !r->ops); warm = true) {
		uint64_t wall = bench_now(), cpu = bench_thread_cpu();

		err = g->work->native(&n);
		cpu = bench_thread_cpu() - cpu - cost;
		wall = bench_now() - wall - 2 * cost;
		if (err < 0)
			break;
		if (warm) {
			r->ops += (unsigned int)err;
			r->requests += (unsigned int)err;
			r->use.cpu_ns += cpu;
			r->wall_ns += wall;
		}
		err = g->work->native_check(&n);
	}
	if (g->work->native_end)
		g->work->native_end(&n);
	free(n.buf);
	if (err == 0 && g->depth == 1)
		for (unsigned int i = 0; i < ARRAY_SIZE(r->lat); i++)
			r->lat[i] = r->wall_ns / r->ops;
	return err;
}

int measure(struct arm *a, struct files *f, const struct group *g, uint64_t time_ns,
	    struct result *r, char err[160])
{
	int e;

	err[0] = 0;
	if ((a->kind == ARM_NATIVE && (!g->work->native || g->queues > 1)) ||
	    (a->kind == ARM_NULL && !g->work->echo) || (a->v && g->queues > a->queues))
		return 0;
	e = measure_pin(a, g->cpus);
	if (e == 0)
		e = a->kind == ARM_NATIVE ? measure_native(f, g, time_ns, r)
					  : measure_daemon(a, f, g, time_ns, r, err);
	if (e == -EOPNOTSUPP)
		return 0;
	if (e == 0)
		r->ok = true;
	return e;
}
