// SPDX-License-Identifier: Apache-2.0
/* Numbers and words in options. */
/*
 * Theory of operation
 *
 * Pure functions over strings; any thread. strtoull(3) is not used because it takes spaces, signs
 * and other bases, and lets a negative number through as a huge one.
 */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "parse.h"

/* The first @len bytes as a number. */
static int number(const char *s, size_t len, uint64_t max, uint64_t *ret)
{
	bool over = false;
	uint64_t v = 0;

	if (!len)
		return -EINVAL;
	for (; len; s++, len--) {
		unsigned int digit = (unsigned int)(*s - '0');

		if (digit > 9)
			return -EINVAL;
		if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, digit, &v))
			over = true;
	}
	if (over || v > max)
		return -ERANGE;
	*ret = v;
	return 0;
}

int parse_u64(const char *s, uint64_t max, uint64_t *ret)
{
	return number(s, strlen(s), max, ret);
}

int parse_size(const char *s, uint64_t max, uint64_t *ret)
{
	static const char units[] = "KMG";
	size_t len = strlen(s);
	const char *unit = len ? memchr(units, s[len - 1], strlen(units)) : NULL;
	unsigned int shift = unit ? 10 * (unsigned int)(unit - units + 1) : 0;
	int r = number(s, unit ? len - 1 : len, max >> shift, ret);

	if (r == 0)
		*ret <<= shift;
	return r;
}

int parse_word(const char *s, const char *const *words)
{
	for (int i = 0; words[i]; i++)
		if (strcmp(s, words[i]) == 0)
			return i;
	return -EINVAL;
}

void parse_one_line(char *line)
{
	for (; *line; line++)
		if ((unsigned char)*line < ' ' || *line == '\x7f')
			*line = '?';
}
