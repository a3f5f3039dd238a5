/* SPDX-License-Identifier: Apache-2.0 */
/* virtiofs-bench: memory and descriptors for many files. */
#ifndef CULVERT_BENCH_FOOTPRINT_H
#define CULVERT_BENCH_FOOTPRINT_H

#include "bench.h"

/**
 * footprint() - have each daemon know @n files; print what it holds before and after.
 * @json: also to this file, or NULL.
 *
 * Returns 0 or -errno.
 */
int footprint(struct arm *arms, unsigned int narms, struct files *f, unsigned int n,
	      const char *json);

#endif
