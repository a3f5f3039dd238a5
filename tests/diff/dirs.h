/* SPDX-License-Identifier: Apache-2.0 */
/* The directories that programs run in. */
#ifndef CULVERT_DIFF_DIRS_H
#define CULVERT_DIFF_DIRS_H

/**
 * dirs_make() - make a directory for a program on both sides, some levels below @top.
 * @top:      A, B, and the host's side of A or -1.
 * @name:     of the topmost level.
 * @ret_root: descriptors of the innermost ones, owned by the caller; the last is -1 when @top's is.
 *
 * Returns 0 or a negative errno after saying what went wrong.
 */
int dirs_make(const int top[3], const char *name, int ret_root[3]);

/** dirs_close() - close what dirs_make() gave. */
void dirs_close(int root[3]);

/** dirs_remove() - remove @name and all below it from A and B. Returns 0 or a negative errno. */
int dirs_remove(const int top[3], const char *name);

/** dirs_empty() - remove what is in @dir and begins with @prefix. Returns 0 or a negative errno. */
int dirs_empty(int dir, const char *prefix);

#endif
