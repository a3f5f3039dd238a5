/* SPDX-License-Identifier: Apache-2.0 */
/* Comparing the state of the two sides. */
#ifndef CULVERT_DIFF_CHECK_H
#define CULVERT_DIFF_CHECK_H

#include "exec.h"

/** check_op() - compare what an operation named: its files, its paths and their directories. */
void check_op(struct ex *ex, const struct op *op, struct diff *diff);

/** check_forget() - before an operation: forget inodes that it may remove, as another may follow them. */
void check_forget(struct ex *ex, const struct op *op);

/** check_note() - remember of an operation what later comparisons have to know. */
void check_note(struct ex *ex, const struct op *op, const struct outcome *b);

/** check_tree() - compare all that is under the two roots, contents and attributes included. */
void check_tree(struct ex *ex, struct diff *diff);

/**
 * check_stat() - compare what statx said of one file on the two sides.
 * @where: the file, for people.
 * @times: compare whether times changed since they were last seen. The set times are always compared.
 * @atime: compare the access time where it was set to a value of its own.
 */
void check_stat(struct ex *ex, const struct statx *a, const struct statx *b, const char *where,
		bool times, bool atime, struct diff *diff);

/**
 * check_statx() - statx(2) as all comparisons want it; 0 or a positive errno.
 *
 * A directory of several processes is asked for past the client's cache: what one of them reads of it
 * (READDIRPLUS) while another changes it can come into that cache late (Linux, fuse_dir_changed()).
 */
int check_statx(const struct ex *ex, int side, int dir, const char *path, int flags,
		struct statx *ret_stx);

/** check_seen() - what is remembered of an inode of side B; a fresh entry when nothing is. */
struct seen *check_seen(struct ex *ex, const struct statx *b);

/** check_seen_slot() - the same for the file that a slot has open; NULL when it has none. */
const struct seen *check_seen_slot(struct ex *ex, int slot);

#endif
