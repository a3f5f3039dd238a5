/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers and words in options. */
#ifndef CULVERT_PARSE_H
#define CULVERT_PARSE_H

#include <stdint.h>

/**
 * parse_u64() - a whole string as a decimal number.
 *
 * No sign, no space, nothing behind it. Returns 0, -EINVAL (not a number) or -ERANGE (above @max).
 */
int parse_u64(const char *s, uint64_t max, uint64_t *ret);

/**
 * parse_size() - the same for a number of bytes, with K, M or G behind it for 2^10, 2^20 or 2^30 of them.
 */
int parse_size(const char *s, uint64_t max, uint64_t *ret);

/**
 * parse_word() - the index of @s in a NULL-terminated list of words.
 *
 * Returns the index, or -EINVAL.
 */
int parse_word(const char *s, const char *const *words);

/** parse_one_line() - put '?' in place of control characters in a message that quotes what was given. */
void parse_one_line(char *line);

#endif
