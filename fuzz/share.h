/* SPDX-License-Identifier: Apache-2.0 */
/* A directory to share, and a file beside it that nobody may get at. */
#ifndef CULVERT_FUZZ_SHARE_H
#define CULVERT_FUZZ_SHARE_H

#include <stdbool.h>
#include <stddef.h>

#include "fuzz.h"

#define SHARE_NAMES 16u

/* Names of what is in it, and some of what is not. */
extern const char *const share_names[SHARE_NAMES];

/**
 * share_make() - once, before any thread: a tmpfs in a mount namespace of this process, where that is
 * allowed, else a directory under TMPDIR that is removed at the end.
 */
void share_make(void);

/** share_root() - an O_PATH descriptor of what is shared; stays the share's. */
int share_root(void);

/** share_proc() - one of this process's /proc/self/fd. */
int share_proc(void);

/** share_reset() - the tree as it was in the beginning. */
void share_reset(void);

/** share_host() - the host changes something: moves, replaces, removes, as @f says. */
void share_host(struct feed *f);

/** share_check() - the canary is as it was, and nobody has read it. */
void share_check(void);

/** share_is_canary() - whether this descriptor, or this inode's number, is the canary's or its directory's. */
bool share_is_canary(int fd);
bool share_is_canary_ino(uint64_t ino);

/** share_has_secret() - whether the canary's bytes are among these. */
bool share_has_secret(const void *bytes, size_t len);

#endif
