// SPDX-License-Identifier: Apache-2.0
/* virtiofs-bench: the list of workloads. */
/*
 * Theory of operation
 *
 * A table for each kind of work, in the order in which --list has them.
 */
#include "bench.h"
#include "util.h"

const struct work *work_at(unsigned int i)
{
	static const struct work *const tables[] = {work_io, work_meta, work_dir, work_stall};

	for (unsigned int t = 0; t < ARRAY_SIZE(tables); t++)
		for (unsigned int n = 0; tables[t][n].name; n++)
			if (i-- == 0)
				return &tables[t][n];
	return NULL;
}
