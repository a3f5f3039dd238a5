/* SPDX-License-Identifier: Apache-2.0 */
/* Pseudo-random numbers that are the same in every run. */
#ifndef CULVERT_TEST_RND_H
#define CULVERT_TEST_RND_H

#include <stdint.h>

/* xorshift64*: @state must not be zero. */
static inline uint64_t rnd(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * UINT64_C(0x2545f4914f6cdd1d);
}

/* A number from 0 to @n - 1. */
static inline uint32_t rnd_below(uint64_t *state, uint32_t n)
{
	return (uint32_t)((rnd(state) >> 32) % n);
}

#endif
