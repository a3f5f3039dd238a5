/* SPDX-License-Identifier: Apache-2.0 */
/* Capabilities: what the service keeps of root's powers. */
#ifndef CULVERT_CAPS_H
#define CULVERT_CAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/** struct caps_mods - what is kept or dropped on top of the list in caps.c; one bit a capability. */
struct caps_mods {
	uint64_t add;
	uint64_t drop;
};

/**
 * caps_parse() - "+NAME:-NAME:…", names as in capabilities(7) without "cap_", in any case.
 * @err:  on an error one line that says why, without a newline.
 * @size: bytes of @err.
 *
 * The last word about a capability counts. 0 or -EINVAL.
 */
int caps_parse(const char *spec, struct caps_mods *ret, char *err, size_t size);

/** caps_has() - whether the effective set has this capability (CAP_x of linux/capability.h). */
bool caps_has(unsigned int cap);

/**
 * caps_wanted() - the capabilities that the service keeps, if it has them.
 * @all: begin with all of them, not with the list in caps.c.
 */
uint64_t caps_wanted(const struct caps_mods *mods, bool all);

/**
 * caps_keep() - keep those of @set that there are, and nothing else.
 *
 * Permitted and effective are cut down; inheritable, ambient and bounding sets are emptied.
 * Single-threaded process only. 0 or -errno.
 */
int caps_keep(uint64_t set);

/** caps_print() - the names of a set, one space before each. */
void caps_print(FILE *f, uint64_t set);

/** caps_no_new_privs() - no program that this process might run gains a privilege. 0 or -errno. */
int caps_no_new_privs(void);

#endif
