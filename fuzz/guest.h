/* SPDX-License-Identifier: Apache-2.0 */
/* A guest that asks what an input says, and remembers what it was answered. */
#ifndef CULVERT_FUZZ_GUEST_H
#define CULVERT_FUZZ_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fuse_abi.h"
#include "fuzz.h"

#define GUEST_KNOWN   16u
#define GUEST_ASK_MAX 66000u /* bytes of a request */

/**
 * struct guest - what it knows; the oldest of each is forgotten first.
 * @node:   nodeids from replies.
 * @fh:     handles from replies, of files and directories, and the nodes that they are of.
 * @unique: of the last request.
 */
struct guest {
	uint64_t node[GUEST_KNOWN];
	unsigned int n_node;
	struct {
		uint64_t fh;
		uint64_t node;
	} fh[GUEST_KNOWN];
	unsigned int n_fh;
	uint64_t cookie;
	uint64_t unique;
};

/**
 * struct guest_ask - a request.
 * @len:  bytes of it in the caller's buffer.
 * @room: bytes for its reply.
 */
struct guest_ask {
	uint32_t opcode;
	uint64_t node;
	uint64_t unique;
	size_t len;
	size_t room;
};

/** guest_init() - nothing is known but the root. */
void guest_init(struct guest *g);

/** guest_hello() - an INIT like Linux's; @flags in both words. */
void guest_hello(struct guest *g, uint64_t flags, uint8_t *buf, struct guest_ask *ret);

/** guest_ask() - the next request of the program into @buf, GUEST_ASK_MAX bytes; spoiled now and then. */
void guest_ask(struct guest *g, struct feed *f, uint8_t *buf, struct guest_ask *ret);

/**
 * guest_learn() - a reply of @used bytes to @ask: check its form, remember ids.
 *
 * Returns the error in it; 1: there is none (@used is 0).
 */
int guest_learn(struct guest *g, const struct guest_ask *ask, const uint8_t *reply, size_t used);

#endif
