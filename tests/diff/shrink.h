/* SPDX-License-Identifier: Apache-2.0 */
/* Making a program that shows a difference as short as it gets. */
#ifndef CULVERT_DIFF_SHRINK_H
#define CULVERT_DIFF_SHRINK_H

#include "run.h"

/**
 * shrink() - remove operations, and simplify those that stay, as long as the difference stays.
 * @p:    the program; changed in place.
 * @diff: the difference; in: what to look for, out: as the shortest program shows it.
 *
 * Returns the number of runs that it took, or 0 when the difference does not come again.
 */
unsigned int shrink(const struct run *run, struct prog *p, struct diff *diff);

#endif
