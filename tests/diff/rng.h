/* SPDX-License-Identifier: Apache-2.0 */
/* A small generator of random numbers: the same seed gives the same run everywhere. */
#ifndef CULVERT_DIFF_RNG_H
#define CULVERT_DIFF_RNG_H

#include <stdbool.h>
#include <stdint.h>

struct rng {
	uint64_t state;
};

/** rng_mix() - scatter the bits of @x (the finisher of splitmix64). */
static inline uint64_t rng_mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

/** rng_next() - 64 random bits. */
static inline uint64_t rng_next(struct rng *r)
{
	r->state += 0x9e3779b97f4a7c15ull;
	return rng_mix(r->state);
}

/** rng_below() - a number from 0 to @n - 1; @n is not 0. */
static inline uint32_t rng_below(struct rng *r, uint32_t n)
{
	return (uint32_t)(((rng_next(r) >> 32) * n) >> 32);
}

/** rng_chance() - true @percent times in a hundred. */
static inline bool rng_chance(struct rng *r, uint32_t percent)
{
	return rng_below(r, 100) < percent;
}

#endif
