/* SPDX-License-Identifier: Apache-2.0 */
/* A valid request of every opcode, over a small tree: what the tests of src/fuse then spoil. */
#ifndef CULVERT_FUSE_SAMPLE_H
#define CULVERT_FUSE_SAMPLE_H

#include "fuse_rig.h"

#define SAMPLE_DATA   "hello, world"
#define SAMPLE_TARGET "some/where else"
#define SAMPLE_XATTR  "user.a"
#define SAMPLE_VALUE  "value"

/**
 * struct scene - ids in the tree: file "f" with SAMPLE_DATA and SAMPLE_XATTR, file "g", directories
 * "d" and "e", link "l".
 * @fh, @gh: handles of f and g, for reading and writing. @rh: one of the root directory.
 */
struct scene {
	uint64_t f;
	uint64_t fh;
	uint64_t g;
	uint64_t gh;
	uint64_t d;
	uint64_t e;
	uint64_t l;
	uint64_t rh;
};

enum sample_flag {
	SAMPLE_NO_REPLY = 1 << 0,  /* nothing is ever answered */
	SAMPLE_CHANGES = 1 << 1,   /* refused where nothing may be changed */
	SAMPLE_SHRINKS = 1 << 2,   /* with less room it answers less */
	SAMPLE_XATTRS = 1 << 3,    /* its name is an attribute's */
	SAMPLE_ANY_NAME = 1 << 4,  /* its name is not looked at */
	SAMPLE_TAIL = 1 << 5,      /* something follows the arguments and names */
	SAMPLE_SESSION = 1 << 6,   /* INIT and DESTROY */
	SAMPLE_NOT_FOUND = 1 << 7, /* INTERRUPT: answers EAGAIN */
};

/**
 * struct sample - an opcode and its sample.
 * @args:  bytes of its fixed arguments.
 * @names: names that follow.
 * @reply: bytes of payload of a full answer.
 * @op:    offset of its operation in struct fuse_ops, 0 = none.
 * @error: what a good request gets.
 */
struct sample {
	uint32_t opcode;
	size_t args;
	unsigned int names;
	size_t reply;
	size_t op;
	unsigned int flags;
	int error;
};

extern const struct sample samples[];
extern const unsigned int samples_count;

/** scene_new() - make the tree, in a session that has begun. */
void scene_new(struct rig *r, struct scene *ret);

/** sample_build() - put the sample into @r->msg; @names replace its names, NULL = the good ones. */
void sample_build(struct rig *r, const struct scene *sc, const struct sample *s,
		  const char *const *names);

#endif
