/* SPDX-License-Identifier: Apache-2.0 */
/* Making up programs: random operations, and bursts that belong together. */
#ifndef CULVERT_DIFF_GEN_H
#define CULVERT_DIFF_GEN_H

#include <stdbool.h>
#include <stdint.h>

#include "prog.h"
#include "rng.h"

#define GEN_KNOWN 96
#define GEN_QUEUE 64

#define GEN_ANY (~0u) /* any kind */

enum gen_kind { GEN_NONE, GEN_FILE, GEN_DIR, GEN_LINK, GEN_OTHER };

/**
 * struct gen_conf - what may be used; constant.
 * @root:   other users, devices, set-id bits given away.
 * @xattr:  user.* attributes.
 * @direct: O_DIRECT.
 * @host:   the second actor: 0 = none, 1 = at any time, 2 = in bursts that end with "settle".
 * @host_deep: the second actor leaves the topmost directory alone, which cannot be dropped from a cache.
 * @cold:   drop the kernel's caches about every so many operations; 0 = never.
 * @sync:   how many operations in ten thousand are fsync and the like.
 * @prefix: names are to begin with this in the shared directories ("", S0, S1), or NULL.
 */
struct gen_conf {
	bool root;
	bool xattr;
	bool direct;
	int host;
	bool host_deep;
	unsigned int cold;
	unsigned int sync;
	const char *prefix;
};

/** struct gen - what the maker of programs knows of the state, as far as it cares. One thread. */
struct gen {
	const struct gen_conf *conf;
	struct rng rng;
	struct {
		char path[PROG_STR];
		enum gen_kind kind;
	} known[GEN_KNOWN];
	unsigned int nknown;
	enum gen_kind slot[PROG_SLOTS];
	bool map[PROG_MAPS];
	bool other_user;
	struct op queue[GEN_QUEUE];
	unsigned int queued;
	unsigned int taken;
};

/** gen_init() - start with nothing known. The same @seed and the same answers give the same program. */
void gen_init(struct gen *g, const struct gen_conf *conf, uint64_t seed);

/** gen_next() - the next operation. */
void gen_next(struct gen *g, struct op *ret);

/** gen_learn() - tell what the operation gave on side B. */
void gen_learn(struct gen *g, const struct op *op, int64_t ret);

/* Between gen.c and gen_burst.c. */

/** gen_burst() - queue some operations that belong together. */
void gen_burst(struct gen *g);

/** gen_queue() - queue one operation given as text, for gen_next() to take. */
void gen_queue(struct gen *g, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** gen_new_path() - a path in an existing directory that may or may not exist. */
void gen_new_path(struct gen *g, char *ret);

/** gen_path() - a path of one of @kinds (bits 1 << kind), if there is one; else any. */
void gen_path(struct gen *g, unsigned int kinds, char *ret);

/** gen_offset(), gen_length() - a file offset, a length of a transfer. */
int64_t gen_offset(struct gen *g);
int64_t gen_length(struct gen *g);

/** gen_mode() - permission bits. */
unsigned int gen_mode(struct gen *g);

/* An argument of the operation @code: by the letter of its words, a string, a time (two numbers), mode
 * bits with a type where it wants one, the number at @index of the operation's numbers. */
int64_t gen_words(struct gen *g, char letter, uint8_t code);
void gen_string(struct gen *g, uint8_t code, char *ret);
void gen_time(struct gen *g, int64_t *ret);
int64_t gen_bits(struct gen *g, uint8_t code);
int64_t gen_number(struct gen *g, uint8_t code, unsigned int index);

/** gen_slot() - a slot that holds @kind if there is one; @kind GEN_NONE: one that is free. */
int gen_slot(struct gen *g, enum gen_kind kind);

#endif
