// SPDX-License-Identifier: Apache-2.0
// fsdiff: do the same on a mount and on a plain directory, and find what differs.
/*
 * Theory of operation
 *
 * The parent reads options, probes both sides, starts workers and watches them (run.c). When one finds a
 * difference the others are stopped, its program is shrunk (shrink.c) and printed, with what differs in
 * comments, so that the output is a program for --replay. One thread per process.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "known.h"
#include "parse.h"
#include "run.h"
#include "shrink.h"
#include "util.h"

#define MOST_PROCS 32

struct options {
	struct run run;
	unsigned int procs;
	bool shared;
	bool no_shrink;
	bool stats;
	const char *replay;
	const char *host;
};

static const char *const fault_names[] = {
#define X(code, name) name,
	FAULTS(X)
#undef X
		NULL,
};

static void usage(FILE *f)
{
	fputs("usage: fsdiff [OPTION]... A B\n"
	      "Do the same on A, a mount under test, and on B, a directory of the file system that "
	      "A "
	      "shares,\nand compare results, attributes and contents.\n\n"
	      "  -n, --ops N        operations in all (100000)\n"
	      "  -s, --seed N       start of the random numbers (from the clock; printed)\n"
	      "  -p, --procs N      processes (1)\n"
	      "      --shared       processes work in the same directories, on names of their own\n"
	      "      --episode N    operations between fresh starts (2000)\n"
	      "      --host-side DIR  the directory that A shares: a second actor works there\n"
	      "      --settle WHAT  after which A shows what the second actor did: none, drop (the "
	      "kernel's\n"
	      "                     caches), or milliseconds (none)\n"
	      "      --listings     A's client keeps listings of directories (cache always, "
	      "metadata)\n"
	      "      --apart        A shares another file system like B's\n"
	      "      --writeback    A's client delays writes\n"
	      "      --cold N       drop the kernel's caches about every N operations\n"
	      "      --sync N       fsync and the like, in 10000 operations (20)\n"
	      "      --hang N       seconds without an answer that are too long (60)\n"
	      "      --replay FILE  run the program in FILE (- is stdin) instead\n"
	      "      --no-shrink    print a program that shows a difference as it is\n"
	      "      --break WHAT   do something wrong on A, to see that it is found\n"
	      "      --stats        say how often each operation worked and failed\n"
	      "      --known        list the differences that are allowed for, and end\n"
	      "  -h, --help         this text\n\n"
	      "Exit status: 0 no difference, 1 a difference, 2 it could not be run.\n",
	      f);
}

static uint64_t number(const char *option, const char *text, uint64_t max)
{
	uint64_t value;

	if (parse_u64(text, max, &value)) {
		fprintf(stderr, "fsdiff: --%s %s: not a number up to %llu\n", option, text,
			(unsigned long long)max);
		exit(2);
	}
	return value;
}

enum {
	OPT_SHARED = 256,
	OPT_EPISODE,
	OPT_HOST,
	OPT_SETTLE,
	OPT_COLD,
	OPT_SYNC,
	OPT_HANG,
	OPT_REPLAY,
	OPT_NO_SHRINK,
	OPT_BREAK,
	OPT_KNOWN,
	OPT_STATS,
	OPT_LISTINGS,
	OPT_APART,
	OPT_WRITEBACK,
};

static void parse_settle(struct run *run, const char *text)
{
	if (!strcmp(text, "none"))
		run->conf.settle_ms = -1;
	else if (!strcmp(text, "drop"))
		run->conf.settle_ms = 0;
	else
		run->conf.settle_ms = (int)number("settle", text, 3600000);
	run->gen.host_deep = !run->conf.settle_ms;
}

static void parse_options(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{"ops", required_argument, NULL, 'n'},
		{"seed", required_argument, NULL, 's'},
		{"procs", required_argument, NULL, 'p'},
		{"shared", no_argument, NULL, OPT_SHARED},
		{"episode", required_argument, NULL, OPT_EPISODE},
		{"host-side", required_argument, NULL, OPT_HOST},
		{"settle", required_argument, NULL, OPT_SETTLE},
		{"cold", required_argument, NULL, OPT_COLD},
		{"sync", required_argument, NULL, OPT_SYNC},
		{"hang", required_argument, NULL, OPT_HANG},
		{"replay", required_argument, NULL, OPT_REPLAY},
		{"no-shrink", no_argument, NULL, OPT_NO_SHRINK},
		{"break", required_argument, NULL, OPT_BREAK},
		{"stats", no_argument, NULL, OPT_STATS},
		{"apart", no_argument, NULL, OPT_APART},
		{"listings", no_argument, NULL, OPT_LISTINGS},
		{"writeback", no_argument, NULL, OPT_WRITEBACK},
		{"known", no_argument, NULL, OPT_KNOWN},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	struct run *run = &o->run;
	int c;

	while ((c = getopt_long(argc, argv, "n:s:p:h", longs, NULL)) != -1) {
		switch (c) {
		case 'n':
			run->ops = number("ops", optarg, UINT32_MAX);
			break;
		case 's':
			run->seed = number("seed", optarg, UINT64_MAX);
			break;
		case 'p':
			o->procs = (unsigned int)number("procs", optarg, MOST_PROCS);
			break;
		case OPT_SHARED:
			o->shared = true;
			break;
		case OPT_EPISODE:
			run->episode = (unsigned int)number("episode", optarg, RUN_EPISODE);
			break;
		case OPT_HOST:
			o->host = optarg;
			break;
		case OPT_SETTLE:
			parse_settle(run, optarg);
			break;
		case OPT_COLD:
			run->gen.cold = (unsigned int)number("cold", optarg, UINT32_MAX);
			break;
		case OPT_SYNC:
			run->gen.sync = (unsigned int)number("sync", optarg, 10000);
			break;
		case OPT_HANG:
			run->hang_s = (unsigned int)number("hang", optarg, 86400);
			break;
		case OPT_REPLAY:
			o->replay = optarg;
			break;
		case OPT_NO_SHRINK:
			o->no_shrink = true;
			break;
		case OPT_BREAK:
			run->conf.faulty = parse_word(optarg, fault_names);
			if (run->conf.faulty < 0) {
				fprintf(stderr, "fsdiff: --break %s: not one of", optarg);
				for (const char *const *f = fault_names; *f; f++)
					fprintf(stderr, " %s", *f);
				fputc('\n', stderr);
				exit(2);
			}
			break;
		case OPT_WRITEBACK:
			run->conf.writeback = true;
			break;
		case OPT_APART:
			run->conf.apart = true;
			break;
		case OPT_LISTINGS:
			run->conf.listings = true;
			break;
		case OPT_STATS:
			o->stats = true;
			break;
		case OPT_KNOWN:
			known_print(stdout);
			exit(0);
		case 'h':
			usage(stdout);
			exit(0);
		default:
			usage(stderr);
			exit(2);
		}
	}
	if (argc - optind != 2 || !o->procs || !run->episode) {
		usage(stderr);
		exit(2);
	}
	if (o->shared && o->host) {
		fputs("fsdiff: --shared and --host-side do not go together\n", stderr);
		exit(2);
	}
}

static int open_dir(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0) {
		fprintf(stderr, "fsdiff: %s: %s\n", path, strerror(errno));
		exit(2);
	}
	return fd;
}

/* Shrink and print. */
static void tell(const struct options *o, struct prog *p, struct diff *diff)
{
	char line[1024];
	unsigned int tries = 0;
	size_t before = p->cnt;

	fflush(stdout);
	if (!o->no_shrink && strcmp(diff->field, "removal"))
		tries = shrink(&o->run, p, diff);
	if (tries)
		printf("# shrunk from %zu operations to %zu, in %u runs\n", before, p->cnt, tries);
	else if (!o->no_shrink)
		printf("# it does not come again by itself: the program is all that this process "
		       "did\n");
	for (size_t i = 0; i < p->cnt; i++) {
		if (i == diff->at)
			printf("# after the next line: %s\n", diff->text);
		prog_print(&p->ops[i], line, sizeof(line));
		puts(line);
	}
	if (diff->at >= p->cnt)
		printf("# at the end: %s\n", diff->text);
}

static int replay(const struct options *o)
{
	FILE *f = strcmp(o->replay, "-") ? fopen(o->replay, "re") : stdin;
	struct diff diff = {0};
	struct prog p = {0};
	int r;

	if (!f) {
		fprintf(stderr, "fsdiff: %s: %s\n", o->replay, strerror(errno));
		return 2;
	}
	r = prog_load(f, &p);
	if (!r)
		r = run_program(&o->run, &p, NULL, &diff);
	if (!r && diff.found) {
		printf("# difference: %s\n", diff.text);
		tell(o, &p, &diff);
	} else if (!r) {
		printf("# %zu operations, no difference\n", p.cnt);
	}
	if (f != stdin)
		fclose(f);
	prog_done(&p);
	return r ? 2 : diff.found;
}

static void tell_worker(const struct options *o, unsigned int number, struct report *r)
{
	struct prog p = {0};

	printf("# difference: seed %llu, process %u, episode %llu, operation %zu\n# %s\n",
	       (unsigned long long)o->run.seed, number, (unsigned long long)r->episode, r->diff.at,
	       r->diff.text);
	for (size_t i = 0; i < r->cnt; i++)
		prog_add(&p, &r->ops[i]);
	tell(o, &p, &r->diff);
	prog_done(&p);
}

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void print_stats(const struct options *o, struct report **reports)
{
	for (int code = 0; code < OP_COUNT; code++) {
		uint64_t n[2] = {0, 0};

		for (unsigned int i = 0; i < o->procs; i++)
			for (int k = 0; k < 2; k++)
				n[k] += reports[i]->count[code][k];
		if (n[0] + n[1])
			printf("# %-10s %8llu worked %8llu failed\n", prog_info[code].name,
			       (unsigned long long)n[0], (unsigned long long)n[1]);
	}
}

static void sum_up(const struct options *o, struct report **reports, double took)
{
	uint64_t skipped[ARRAY_SIZE(reports[0]->skipped)] = {0};
	uint64_t total = 0;

	for (unsigned int i = 0; i < o->procs; i++) {
		total += reports[i]->total;
		for (unsigned int k = 0; k < ARRAY_SIZE(skipped); k++)
			skipped[k] += reports[i]->skipped[k];
	}
	printf("# %llu operations, no difference; %.0f a second", (unsigned long long)total,
	       (double)total / took);
	for (unsigned int k = 1; k < ARRAY_SIZE(skipped); k++)
		if (skipped[k])
			printf("; %s %llu times", known_name(k), (unsigned long long)skipped[k]);
	putchar('\n');
	if (o->stats)
		print_stats(o, reports);
}

static int explore(struct options *o)
{
	struct report *reports[MOST_PROCS];
	char prefix[MOST_PROCS][16];
	pid_t pids[MOST_PROCS];
	double start = seconds();
	int w;

	if (o->shared && (w = run_shared_dirs(&o->run))) {
		fprintf(stderr, "fsdiff: shared directories: %s\n", strerror(-w));
		return 2;
	}
	o->run.ops = (o->run.ops + o->procs - 1) / o->procs;
	fflush(stdout);
	for (unsigned int i = 0; i < o->procs; i++) {
		reports[i] = run_report_new();
		snprintf(prefix[i], sizeof(prefix[i]), "w%u-", i);
		pids[i] = fork();
		if (!pids[i])
			run_worker(&o->run, i, o->shared ? prefix[i] : NULL, reports[i]);
	}
	w = run_watch(&o->run, pids, reports, o->procs);
	if (w >= 0)
		tell_worker(o, (unsigned int)w, reports[w]);
	else if (w == -1)
		sum_up(o, reports, seconds() - start);
	run_clean(&o->run);
	return w >= 0 ? 1 : w == -1 ? 0 : 2;
}

int main(int argc, char **argv)
{
	struct options o = {
		.run = {.ops = 100000,
			.episode = 2000,
			.hang_s = 60,
			.conf = {.settle_ms = -1},
			.gen = {.sync = 20}},
		.procs = 1,
	};
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	o.run.seed = rng_mix((uint64_t)now.tv_nsec ^ ((uint64_t)now.tv_sec << 30)) >> 40;
	parse_options(argc, argv, &o);
	o.run.top[SIDE_A] = open_dir(argv[optind]);
	o.run.top[SIDE_B] = open_dir(argv[optind + 1]);
	o.run.top[SIDE_HOST] = o.host ? open_dir(o.host) : -1;
	if (o.host)
		o.run.gen.host = o.run.conf.settle_ms < 0 ? 1 : 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("# seed %llu\n", (unsigned long long)o.run.seed);
	if (run_probe(&o.run))
		return 2;
	return o.replay ? replay(&o) : explore(&o);
}
