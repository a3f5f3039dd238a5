/* SPDX-License-Identifier: Apache-2.0 */
/* What differs between a FUSE mount and a local file system and cannot be helped. */
#ifndef CULVERT_DIFF_KNOWN_H
#define CULVERT_DIFF_KNOWN_H

#include <stdio.h>

#include "exec.h"

/**
 * known_refused() - does side A refuse what no FUSE mount can do?
 *
 * Returns which known difference it is (an index of struct ex.skipped), or 0. Side B is then not asked.
 */
unsigned int known_refused(const struct ex *ex, const struct op *op, int64_t ret_a);

/**
 * known_result() - may the two results differ? Makes the state of both sides the same again.
 */
bool known_result(struct ex *ex, const struct op *op, const struct outcome *a,
		  const struct outcome *b);

/** known_skipped() - is this operation not done at all? */
bool known_skipped(const struct ex *ex, const struct op *op);

/** known_listing() - may this listing, which is not as it should be, be one that the client has mixed up? */
bool known_listing(struct ex *ex, struct slot *s);

/** known_groupless() - is this operation done without supplementary groups? */
bool known_groupless(const struct ex *ex, const struct op *op);

/** known_print() - the table, with reasons. */
void known_print(FILE *f);

/** known_name() - of a refusal. */
const char *known_name(unsigned int index);

#endif
