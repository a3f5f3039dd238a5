// SPDX-License-Identifier: Apache-2.0
/* virtiofs-bench: what was measured, as tables and as JSON. */
/*
 * Theory of operation
 *
 * A figure of a table is the median of the rounds. The ratio of two arms is taken in each round, where
 * both met the machine in about the same state, and its median is shown with the least and the most.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "report.h"
#include "util.h"

#define ROUNDS_MAX 1000u

const char *const cpus_name[] = {"same", "two", "any", NULL};

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *v, unsigned int n)
{
	if (!n)
		return 0;
	qsort(v, n, sizeof(*v), by_value);
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

typedef double figure_fn(const struct result *r);

static double per_op(uint64_t n, const struct result *r)
{
	return r->ops ? (double)n / (double)r->ops : 0;
}

static double cpu(const struct result *r)
{
	return per_op(r->use.cpu_ns, r);
}
static double rate(const struct result *r)
{
	return r->wall_ns ? (double)r->ops * 1e9 / (double)r->wall_ns : 0;
}
static double p50(const struct result *r)
{
	return (double)r->lat[0] / 1e3;
}
static double p99(const struct result *r)
{
	return (double)r->lat[2] / 1e3;
}
static double switches(const struct result *r)
{
	return per_op(r->use.waits + r->use.preempts, r);
}
static double kicks(const struct result *r)
{
	return per_op(r->kicks, r);
}
static double calls(const struct result *r)
{
	return per_op(r->calls, r);
}
static double generator(const struct result *r)
{
	return per_op(r->gen_ns, r);
}

static const struct result *find(const struct report *rp, unsigned int group, unsigned int arm,
				 unsigned int round)
{
	for (unsigned int i = 0; i < rp->nresults; i++) {
		const struct result *r = &rp->results[i];

		if (r->group == group && r->arm == arm && r->round == round && r->ok)
			return r;
	}
	return NULL;
}

static double middle(const struct report *rp, unsigned int group, unsigned int arm, figure_fn *fn)
{
	double v[ROUNDS_MAX];
	unsigned int n = 0;

	for (unsigned int i = 0; i < rp->rounds; i++) {
		const struct result *r = find(rp, group, arm, i);

		if (r)
			v[n++] = fn(r);
	}
	return median(v, n);
}

/* The first arm's figure by this one's. */
static bool ratio(const struct report *rp, unsigned int group, unsigned int arm, double ret[3])
{
	double v[ROUNDS_MAX];
	unsigned int n = 0;

	for (unsigned int i = 0; i < rp->rounds; i++) {
		const struct result *a = find(rp, group, 0, i), *b = find(rp, group, arm, i);

		if (a && b && cpu(b) > 0)
			v[n++] = cpu(a) / cpu(b);
	}
	if (!n)
		return false;
	ret[1] = median(v, n);
	ret[0] = v[0];
	ret[2] = v[n - 1];
	return true;
}

void report_table(const struct report *rp, unsigned int group)
{
	const struct group *g = &rp->groups[group];
	const char *unit = g->work->unit;

	printf("\n%s: depth %u, %u queue%s, %s\n", g->work->name, g->depth, g->queues,
	       g->queues > 1 ? "s" : "",
	       g->cpus == CPUS_SAME  ? "one CPU"
	       : g->cpus == CPUS_TWO ? "a CPU for the daemon, one for the generator"
				     : "any CPU");
	printf("  %-14s %11s %11s %9s %9s %8s %7s %7s %8s  %s/arm\n", "arm", "CPU-ns", unit,
	       "p50 us", "p99 us", "switches", "kicks", "calls", "gen-ns", rp->arms[0].name);
	printf("  %-14s %11s %11s %9s %9s %8s %7s %7s %8s  %s\n", "", "per one", "per s", "", "",
	       "per one", "per one", "per one", "per one", "CPU-ns: median (least to most)");
	for (unsigned int a = 0; a < rp->narms; a++) {
		double r[3];

		if (middle(rp, group, a, rate) <= 0) {
			printf("  %-14s %11s\n", rp->arms[a].name, "-");
			continue;
		}
		printf("  %-14s %11.0f %11.0f", rp->arms[a].name, middle(rp, group, a, cpu),
		       middle(rp, group, a, rate));
		if (middle(rp, group, a, p50) > 0)
			printf(" %9.2f %9.2f", middle(rp, group, a, p50),
			       middle(rp, group, a, p99));
		else
			printf(" %9s %9s", "", "");
		if (rp->arms[a].kind == ARM_NATIVE)
			printf(" %8s %7s %7s %8s", "", "", "", "");
		else
			printf(" %8.3f %7.3f %7.3f %8.0f", middle(rp, group, a, switches),
			       middle(rp, group, a, kicks), middle(rp, group, a, calls),
			       middle(rp, group, a, generator));
		if (a && ratio(rp, group, a, r))
			printf("  %.3f (%.3f to %.3f)", r[1], r[0], r[2]);
		putchar('\n');
	}
	fflush(stdout);
}

/* ---- JSON ---- */

static void put_string(FILE *f, const char *s)
{
	fputc('"', f);
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			fputc('\\', f);
		if ((unsigned char)*s >= ' ')
			fputc(*s, f);
	}
	fputc('"', f);
}

static void put_machine(FILE *f)
{
	char line[256] = "";
	struct utsname u;
	FILE *c = fopen("/proc/cpuinfo", "re");
	char *model = NULL;

	while (c && !model && fgets(line, sizeof(line), c)) {
		if (strncmp(line, "model name", 10) != 0)
			continue;
		model = strchr(line, ':');
		line[strcspn(line, "\n")] = 0;
	}
	if (c)
		fclose(c);
	uname(&u);
	fputs("  \"machine\": {\"cpu\": ", f);
	put_string(f, model ? model + 2 : u.machine);
	fprintf(f, ", \"cpus\": %ld, \"memory\": %llu, \"kernel\": ", sysconf(_SC_NPROCESSORS_ONLN),
		(unsigned long long)sysconf(_SC_PHYS_PAGES) *
			(unsigned long long)sysconf(_SC_PAGESIZE));
	put_string(f, u.release);
	fputs("},\n", f);
}

static void put_arms(FILE *f, const struct report *rp)
{
	static const char *const kinds[] = {"daemon", "native", "null"};

	fputs("  \"arms\": [", f);
	for (unsigned int i = 0; i < rp->narms; i++) {
		const struct arm *a = &rp->arms[i];

		fprintf(f, "%s\n    {\"name\": ", i ? "," : "");
		put_string(f, a->name);
		fprintf(f,
			", \"kind\": \"%s\", \"queues\": %u, \"minor\": %u, \"max_write\": %u, "
			"\"requests\": %llu}",
			kinds[a->kind], a->queues, a->init.minor, a->init.max_write,
			(unsigned long long)a->requests);
	}
	fputs("\n  ],\n", f);
}

static void put_result(FILE *f, const struct report *rp, const struct result *r)
{
	const struct group *g = &rp->groups[r->group];

	fputs("    {\"arm\": ", f);
	put_string(f, rp->arms[r->arm].name);
	fprintf(f,
		", \"work\": \"%s\", \"unit\": \"%s\", \"depth\": %u, \"queues\": %u, \"cpus\": "
		"\"%s\", \"round\": %u, \"ops\": %llu, \"requests\": %llu, \"wall_ns\": %llu, "
		"\"cpu_ns\": %llu, \"generator_ns\": %llu, \"waits\": %llu, \"preempts\": %llu, "
		"\"kicks\": %llu, \"calls\": %llu, \"bytes\": %zu, \"latency_ns\": [%llu, %llu, "
		"%llu, %llu, %llu]}",
		g->work->name, g->work->unit, g->depth, g->queues, cpus_name[g->cpus], r->round,
		(unsigned long long)r->ops, (unsigned long long)r->requests,
		(unsigned long long)r->wall_ns, (unsigned long long)r->use.cpu_ns,
		(unsigned long long)r->gen_ns, (unsigned long long)r->use.waits,
		(unsigned long long)r->use.preempts, (unsigned long long)r->kicks,
		(unsigned long long)r->calls, g->work->size, (unsigned long long)r->lat[0],
		(unsigned long long)r->lat[1], (unsigned long long)r->lat[2],
		(unsigned long long)r->lat[3], (unsigned long long)r->lat[4]);
}

int report_json(const struct report *rp, const char *path)
{
	FILE *f = fopen(path, "we");
	bool first = true;
	int bad;

	if (!f)
		return -errno;
	fputs("{\n  \"tool\": \"virtiofs-bench " CULVERT_VERSION "\",\n", f);
	put_machine(f);
	fprintf(f, "  \"rounds\": %u, \"time_ms\": %u,\n", rp->rounds, rp->time_ms);
	put_arms(f, rp);
	fputs("  \"results\": [", f);
	for (unsigned int i = 0; i < rp->nresults; i++) {
		if (!rp->results[i].ok)
			continue;
		fputs(first ? "\n" : ",\n", f);
		put_result(f, rp, &rp->results[i]);
		first = false;
	}
	fputs("\n  ]\n}\n", f);
	bad = ferror(f);
	return fclose(f) || bad ? -EIO : 0;
}
