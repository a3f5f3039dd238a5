/* SPDX-License-Identifier: Apache-2.0 */
/* virtiofs-bench: what was measured, as tables and as JSON. */
#ifndef CULVERT_BENCH_REPORT_H
#define CULVERT_BENCH_REPORT_H

#include <stdio.h>

#include "bench.h"

enum cpus { CPUS_SAME, CPUS_TWO, CPUS_ANY };

/** cpus_name - "same", "two", "any"; NULL behind the last one. */
extern const char *const cpus_name[];

/**
 * struct group - what stands in one table: a workload in one setting.
 * @work, @depth, @queues, @cpus: the setting.
 */
struct group {
	const struct work *work;
	unsigned int depth;
	unsigned int queues;
	enum cpus cpus;
};

/**
 * struct result - one arm in one round of a group.
 * @arm, @group: indices.
 * @ok:     it was measured; otherwise the arm cannot do it.
 * @ops:    done, in the workload's units, with @requests requests.
 * @wall_ns: how long it took.
 * @use:    what the arm has used: for the native loop its CPU time.
 * @gen_ns: CPU time of the generator.
 * @lat:    latencies of operations in ns: 50, 90, 99, 99.9 percent and the longest; all 0 = not taken.
 */
struct result {
	unsigned int arm;
	unsigned int group;
	unsigned int round;
	bool ok;
	uint64_t ops;
	uint64_t requests;
	uint64_t wall_ns;
	struct usage use;
	uint64_t gen_ns;
	uint64_t kicks;
	uint64_t calls;
	uint64_t lat[5];
};

/**
 * struct report - all of it.
 * @arms, @groups, @results: arrays of @narms, @ngroups and @nresults.
 */
struct report {
	const struct arm *arms;
	unsigned int narms;
	const struct group *groups;
	unsigned int ngroups;
	struct result *results;
	unsigned int nresults;
	unsigned int rounds;
	unsigned int time_ms;
};

/** report_table() - one group, on stdout. */
void report_table(const struct report *rp, unsigned int group);

/** report_json() - everything. 0 or -errno. */
int report_json(const struct report *rp, const char *path);

#endif
