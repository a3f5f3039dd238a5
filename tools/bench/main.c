// SPDX-License-Identifier: Apache-2.0
/* virtiofs-bench: the same work for several vhost-user-fs daemons in turn, and what it costs them. */
/*
 * Theory of operation
 *
 * Files are made, then each arm is brought up once: a daemon's connection and session last for the whole
 * run. For each setting (a group) all arms are measured one after the other in each round, every second
 * round backwards, so that what the machine does meanwhile meets all of them; then its table is printed.
 */
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "footprint.h"
#include "measure.h"
#include "parse.h"
#include "util.h"

#define LIST_MAX   64u
#define GROUPS_MAX 4096u

/**
 * struct options - what was asked for.
 * @work, @depth, @queues, @cpus: lists.
 * @inodes: instead of work: files that the daemons are to know.
 */
struct options {
	const struct work *work[LIST_MAX];
	unsigned int nwork;
	unsigned int depth[LIST_MAX];
	unsigned int ndepth;
	unsigned int queues[LIST_MAX];
	unsigned int nqueues;
	unsigned int cpus[LIST_MAX];
	unsigned int ncpus;
	unsigned int rounds;
	unsigned int time_ms;
	unsigned int inodes;
	const char *json;
	const char *dir;
	bool keep;
};

static void usage(void)
{
	fputs("usage: virtiofs-bench [OPTION]... DIR ARM...\n"
	      "Have vhost-user-fs daemons that share DIR do the same work in turn; print what it "
	      "costs them.\n\n"
	      "ARM is [NAME=]SOCKET[,pid=PID], a daemon that listens at SOCKET; or \"native\", the "
	      "same in a\n"
	      "loop of system calls; or \"null\", a ring that answers without work, and "
	      "\"null-poll\", one\n"
	      "that does not sleep.\n\n"
	      "  -w, --work LIST     workloads, apart by commas, \"*\" at the end matches "
	      "(read-4k,getattr,\n"
	      "                      lookup,readdirplus-1k)\n"
	      "  -d, --depth LIST    requests in the air, for each queue (32)\n"
	      "  -q, --queues LIST   request queues (1)\n"
	      "  -c, --cpus LIST     same: generator and daemon on one CPU; two: a CPU each, and "
	      "the\n"
	      "                      generator spins; any: wherever (same)\n"
	      "  -r, --rounds N      of all arms, every second one backwards (3)\n"
	      "  -t, --time MS       of each arm in each round (100)\n"
	      "  -i, --inodes N      no work: have the daemons know N files, and print what memory "
	      "and\n"
	      "                      descriptors that takes\n"
	      "  -j, --json FILE     all figures of all rounds\n"
	      "  -k, --keep          leave the files in DIR, which makes the next run start "
	      "sooner\n"
	      "  -l, --list          print the workloads\n"
	      "  -h, --help          this text\n"
	      "  -V, --version       the version\n",
	      stdout);
}

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *fmt, ...)
{
	va_list ap;

	fputs("virtiofs-bench: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(EXIT_FAILURE);
}

static void list_works(void)
{
	const struct work *w;

	for (unsigned int i = 0; (w = work_at(i)); i++)
		printf("%-20s %s\n", w->name, w->about);
}

static void add_works(struct options *o, const char *word)
{
	size_t len = strlen(word);
	bool found = false, prefix = len && word[len - 1] == '*';
	const struct work *w;

	for (unsigned int i = 0; (w = work_at(i)); i++) {
		if (prefix ? strncmp(w->name, word, len - 1) != 0 : strcmp(w->name, word) != 0)
			continue;
		found = true;
		if (o->nwork == LIST_MAX)
			die("--work: more than %u", LIST_MAX);
		o->work[o->nwork++] = w;
	}
	if (!found)
		die("--work %s: there is no such workload; --list has them", word);
}

static void parse_works(struct options *o, const char *text)
{
	char *copy = strdup(text), *save = NULL;

	o->nwork = 0;
	for (char *w = strtok_r(copy, ",", &save); w; w = strtok_r(NULL, ",", &save))
		add_works(o, w);
	free(copy);
}

static unsigned int parse_number(const char *name, const char *text, unsigned int max)
{
	uint64_t v;

	if (parse_u64(text, max, &v) < 0 || !v)
		die("--%s %s: not 1 to %u", name, text, max);
	return (unsigned int)v;
}

static unsigned int parse_list(const char *name, const char *text, unsigned int max,
			       unsigned int *ret)
{
	char *copy = strdup(text), *save = NULL;
	unsigned int n = 0;

	for (char *w = strtok_r(copy, ",", &save); w && n < LIST_MAX;
	     w = strtok_r(NULL, ",", &save)) {
		int word = max ? 0 : parse_word(w, cpus_name);

		if (word < 0)
			die("--%s %s: not same, two or any", name, w);
		ret[n++] = max ? parse_number(name, w, max) : (unsigned int)word;
	}
	free(copy);
	if (!n)
		die("--%s: the list is empty", name);
	return n;
}

static void parse_options(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{"work", required_argument, NULL, 'w'},
		{"depth", required_argument, NULL, 'd'},
		{"queues", required_argument, NULL, 'q'},
		{"cpus", required_argument, NULL, 'c'},
		{"rounds", required_argument, NULL, 'r'},
		{"time", required_argument, NULL, 't'},
		{"inodes", required_argument, NULL, 'i'},
		{"json", required_argument, NULL, 'j'},
		{"keep", no_argument, NULL, 'k'},
		{"list", no_argument, NULL, 'l'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "w:d:q:c:r:t:i:j:klhV", longs, NULL)) != -1) {
		switch (c) {
		case 'w':
			parse_works(o, optarg);
			break;
		case 'd':
			o->ndepth = parse_list("depth", optarg, BENCH_DEPTH_MAX, o->depth);
			break;
		case 'q':
			o->nqueues = parse_list("queues", optarg, BENCH_QUEUES_MAX, o->queues);
			break;
		case 'c':
			o->ncpus = parse_list("cpus", optarg, 0, o->cpus);
			break;
		case 'r':
			o->rounds = parse_number("rounds", optarg, 1000);
			break;
		case 't':
			o->time_ms = parse_number("time", optarg, 60000);
			break;
		case 'i':
			o->inodes = parse_number("inodes", optarg, FILES_MANY);
			break;
		case 'j':
			o->json = optarg;
			break;
		case 'k':
			o->keep = true;
			break;
		case 'l':
			list_works();
			exit(EXIT_SUCCESS);
		case 'h':
			usage();
			exit(EXIT_SUCCESS);
		case 'V':
			puts("virtiofs-bench " CULVERT_VERSION);
			exit(EXIT_SUCCESS);
		default: /* getopt_long() has said why */
			exit(EXIT_FAILURE);
		}
	}
	if (argc - optind < 2) {
		fputs("virtiofs-bench: it takes a directory and one arm or more; --help tells "
		      "more\n",
		      stderr);
		exit(EXIT_FAILURE);
	}
	o->dir = argv[optind];
	if (!o->nwork)
		parse_works(o, "read-4k,getattr,lookup,readdirplus-1k");
}

static unsigned int depth_for(const struct work *w, unsigned int depth)
{
	return MAX(w->max_depth ? MIN(depth, w->max_depth) : depth, w->least_depth);
}

static unsigned int make_groups(const struct options *o, struct group *ret)
{
	unsigned int n = 0;

	for (unsigned int w = 0; w < o->nwork; w++)
		for (unsigned int c = 0; c < o->ncpus; c++)
			for (unsigned int q = 0; q < o->nqueues; q++) {
				unsigned int last = 0;

				for (unsigned int d = 0; d < o->ndepth && n < GROUPS_MAX; d++) {
					unsigned int depth = depth_for(o->work[w], o->depth[d]);

					/* Twice the same would tell nothing. */
					if (depth == last)
						continue;
					last = depth;
					ret[n++] = (struct group){
						.work = o->work[w],
						.cpus = (enum cpus)o->cpus[c],
						.queues = o->queues[q],
						.depth = depth,
					};
				}
			}
	return n;
}

/* Once a group, or in place where there is a terminal. */
static void progress(const struct report *rp, unsigned int group, unsigned int round,
		     const char *arm)
{
	const struct group *g = &rp->groups[group];

	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[K%u/%u %s depth %u queues %u %s: round %u, %s", group + 1,
			rp->ngroups, g->work->name, g->depth, g->queues, cpus_name[g->cpus],
			round + 1, arm);
	else if (round == 0 && arm == rp->arms[0].name)
		fprintf(stderr, "%u/%u %s depth %u queues %u %s\n", group + 1, rp->ngroups,
			g->work->name, g->depth, g->queues, cpus_name[g->cpus]);
}

static void progress_done(void)
{
	if (isatty(STDERR_FILENO))
		fputs("\r\033[K", stderr);
}

static void run_group(struct report *rp, struct arm *arms, struct files *f, unsigned int group)
{
	const struct group *g = &rp->groups[group];
	int e = g->work->dir < 0 ? 0 : files_dir(f, (unsigned int)g->work->dir);
	char err[160];

	if (e < 0)
		die("%s: %s", f->path, strerror(-e));
	for (unsigned int round = 0; round < rp->rounds; round++) {
		for (unsigned int i = 0; i < rp->narms; i++) {
			unsigned int a = round % 2 ? rp->narms - 1 - i : i;
			struct result *r = &rp->results[rp->nresults++];

			progress(rp, group, round, arms[a].name);
			*r = (struct result){.arm = a, .group = group, .round = round};
			e = measure(&arms[a], f, g, rp->time_ms * 1000000ull, r, err);
			if (e < 0) {
				progress_done();
				if (e == -ENFILE) {
					fprintf(stderr,
						"virtiofs-bench: %s: %s: it has no more "
						"descriptors\n",
						arms[a].name, g->work->name);
					continue;
				}
				die("%s: %s: %s", arms[a].name, g->work->name,
				    *err ? err : strerror(-e));
			}
		}
	}
	progress_done();
	report_table(rp, group);
}

/* In all threads to come: work_stall.c waits for it. */
static void block_sigio(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGIO);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static void raise_limits(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
		rl.rlim_cur = rl.rlim_max;
		setrlimit(RLIMIT_NOFILE, &rl);
	}
}

/* Bring all arms up, do the work, take them down. */
static void run(const struct options *o, struct report *rp, struct arm *arms, struct files *f)
{
	unsigned int queues = 1;
	int r;

	for (unsigned int i = 0; i < o->nqueues; i++)
		queues = MAX(queues, o->queues[i]);
	for (unsigned int i = 0; i < rp->narms; i++)
		if (arm_open(&arms[i], queues, f) < 0)
			exit(EXIT_FAILURE);
	if (o->inodes) {
		r = footprint(arms, rp->narms, f, o->inodes, o->json);
	} else {
		for (unsigned int g = 0; g < rp->ngroups; g++)
			run_group(rp, arms, f, g);
		r = o->json ? report_json(rp, o->json) : 0;
	}
	if (r < 0)
		die("%s: %s", o->json ? o->json : o->dir, strerror(-r));
	for (unsigned int i = 0; i < rp->narms; i++)
		arm_close(&arms[i]);
}

static void *array(size_t n, size_t size)
{
	void *p = calloc(MAX(n, 1u), size);

	if (!p)
		die("%s", strerror(ENOMEM));
	return p;
}

int main(int argc, char **argv)
{
	struct options o = {
		.depth = {32},
		.ndepth = 1,
		.queues = {1},
		.nqueues = 1,
		.cpus = {CPUS_SAME},
		.ncpus = 1,
		.rounds = 3,
		.time_ms = 100,
	};
	struct report rp = {0};
	struct group *groups;
	struct arm *arms;
	struct files f;
	int r;

	parse_options(argc, argv, &o);
	signal(SIGPIPE, SIG_IGN);
	block_sigio();
	raise_limits();
	rp.narms = (unsigned int)(argc - optind - 1);
	rp.rounds = o.rounds;
	rp.time_ms = o.time_ms;
	arms = array(rp.narms, sizeof(*arms));
	groups = array(GROUPS_MAX, sizeof(*groups));
	rp.arms = arms;
	rp.groups = groups;
	rp.ngroups = make_groups(&o, groups);
	rp.results = array((size_t)rp.ngroups * rp.rounds * rp.narms, sizeof(*rp.results));
	for (unsigned int i = 0; i < rp.narms; i++)
		if (arm_parse(&arms[i], argv[optind + 1 + (int)i]) < 0)
			die("%s: not an arm", argv[optind + 1 + (int)i]);
	r = files_open(&f, o.dir);
	if (r < 0)
		die("%s: %s", o.dir, strerror(-r));
	files_many(&f, MAX(o.inodes, 1u));
	run(&o, &rp, arms, &f);
	files_close(&f, !o.keep);
	free(rp.results);
	free(groups);
	free(arms);
	return EXIT_SUCCESS;
}
