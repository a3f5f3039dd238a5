/* SPDX-License-Identifier: Apache-2.0 */
/* A file system in memory behind the same fuse_ops: the tests' fast double of the passthrough. */
#ifndef CULVERT_MEMFS_H
#define CULVERT_MEMFS_H

#include <stddef.h>
#include <stdint.h>

#include "ops.h"

struct memfs;

/** memfs_new() - an empty tree; @max_bytes of file data at most. 0 or -errno. */
int memfs_new(size_t max_bytes, struct memfs **ret);

/** memfs_free() - free everything. No request may be running. Accepts NULL. */
void memfs_free(struct memfs *fs);

/**
 * memfs_fail() - let one call of an operation fail, for tests of what then happens above.
 * @nth:   which one: 1 is the next. 0 takes the order back.
 * @error: the negative errno that it returns, having done nothing.
 *
 * init, destroy and forget are not counted. Any thread.
 */
void memfs_fail(struct memfs *fs, uint32_t nth, int error);

/**
 * struct memfs_stats - what the tree holds, for tests.
 * @nodes:   nodes, the root included.
 * @handles: open files and directories.
 * @lookups: sum of the lookup counts, which the guest has to give back.
 * @pages:   pages of file data, 4096 bytes each.
 */
struct memfs_stats {
	uint64_t nodes;
	uint64_t handles;
	uint64_t lookups;
	uint64_t pages;
};

/** memfs_stats() - count. Any thread. */
void memfs_stats(struct memfs *fs, struct memfs_stats *ret);

/** memfs_ops - the operations; their backend pointer is a struct memfs. */
extern const struct fuse_ops memfs_ops;

#endif
