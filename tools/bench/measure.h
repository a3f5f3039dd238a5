/* SPDX-License-Identifier: Apache-2.0 */
/* virtiofs-bench: one arm in one round of a workload. */
#ifndef CULVERT_BENCH_MEASURE_H
#define CULVERT_BENCH_MEASURE_H

#include "report.h"

/**
 * measure_pin() - this thread and the arm's to the CPUs that they are to run on.
 *
 * The same: both on the first CPU that this process may use. Two: the arm there, this on the second.
 * Returns 0, or -EOPNOTSUPP: there is one only.
 */
int measure_pin(const struct arm *a, enum cpus cpus);

/**
 * measure() - one slice.
 * @r:   the figures; not @ok where the arm cannot do this.
 * @err: what went wrong, or empty.
 *
 * Returns 0, -ENFILE (the daemon ran out of descriptors, and goes on) or another negative errno.
 */
int measure(struct arm *a, struct files *f, const struct group *g, uint64_t time_ns,
	    struct result *r, char err[160]);

#endif
