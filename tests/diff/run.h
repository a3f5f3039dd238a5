/* SPDX-License-Identifier: Apache-2.0 */
/* Running programs in directories of their own, watched from outside. */
#ifndef CULVERT_DIFF_RUN_H
#define CULVERT_DIFF_RUN_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "exec.h"
#include "gen.h"

#define RUN_EPISODE 10000u /* longest episode */

/**
 * struct run - what to run on; constant while workers run.
 * @top:     the directories given: A, B, and the host's side of A or -1.
 * @conf, @gen: how.
 * @seed:    of the whole run.
 * @ops:     operations per worker.
 * @episode: operations between fresh starts.
 * @hang_s:  seconds without an answer that count as none.
 */
struct run {
	int top[3];
	struct conf conf;
	struct gen_conf gen;
	uint64_t seed;
	uint64_t ops;
	unsigned int episode;
	unsigned int hang_s;
};

/** struct report - what a worker tells; in memory shared with its parent. */
struct report {
	_Atomic uint64_t ran; /* goes up with each operation */
	uint64_t total;       /* of episodes that ended */
	uint64_t skipped[24];
	uint64_t count[OP_COUNT][2];
	uint64_t episode; /* number of the one that runs */
	struct diff diff;
	size_t cnt; /* operations of this episode so far */
	struct op ops[RUN_EPISODE + GEN_QUEUE];
};

/** run_report_new() - one that can be shared with a child. Ends the process when there is no memory. */
struct report *run_report_new(void);

/** run_report_free() - accepts NULL. */
void run_report_free(struct report *r);

/** run_probe() - find out what the two sides can do, and fill in @run->conf and @run->gen. 0 or -errno. */
int run_probe(struct run *run);

/**
 * run_worker() - in a child: run episodes until the operations are done or a difference was found.
 * @prefix: NULL for directories of its own; else names are to begin with this in the shared ones.
 */
void run_worker(const struct run *run, unsigned int number, const char *prefix, struct report *ret);

/**
 * run_program() - run a program in fresh directories, in a child that is watched.
 * @keep: which operations to run (bytes that are not 0), or NULL for all.
 *
 * Returns 0, with @ret_diff filled in, or a negative errno when the run itself failed.
 */
int run_program(const struct run *run, const struct prog *p, const unsigned char *keep,
		struct diff *ret_diff);

/**
 * run_watch() - wait for children to end.
 * @pids:    their ids; set to 0 as they end.
 * @reports: one for each.
 *
 * Returns the index of the first that found a difference or does not answer (@reports has what), -1 when
 * all ended well, or -2 when one ended by itself in another way. The others are ended then.
 */
int run_watch(const struct run *run, pid_t *pids, struct report **reports, unsigned int cnt);

/** run_shared_dirs() - make the directories that workers share. 0 or -errno. */
int run_shared_dirs(const struct run *run);

/** run_clean() - remove what runs of this process left. */
void run_clean(const struct run *run);

#endif
