/* SPDX-License-Identifier: Apache-2.0 */
/* Latencies, counted in steps of 1/32. */
#ifndef CULVERT_HIST_H
#define CULVERT_HIST_H

#include <stdint.h>

#define HIST_SUB 32u

/** struct hist - all zero is empty. @max: nanoseconds. */
struct hist {
	uint64_t n;
	uint64_t max;
	uint32_t bucket[64 * HIST_SUB];
};

static inline unsigned int hist_bucket(uint64_t ns)
{
	unsigned int shift;

	if (ns < HIST_SUB)
		return (unsigned int)ns;
	shift = 63u - (unsigned int)__builtin_clzll(ns) - 5;
	return (shift + 1) * HIST_SUB + (unsigned int)(ns >> shift) - HIST_SUB;
}

static inline void hist_add(struct hist *h, uint64_t ns)
{
	h->n++;
	h->bucket[hist_bucket(ns)]++;
	if (ns > h->max)
		h->max = ns;
}

/** hist_at() - the latency that this share of all (0 to 1) does not exceed, in ns; 0 when empty. */
static inline uint64_t hist_at(const struct hist *h, double share)
{
	uint64_t want = (uint64_t)((double)h->n * share), sum = 0;

	for (unsigned int i = 0; i < 64 * HIST_SUB; i++) {
		sum += h->bucket[i];
		if (sum > want) {
			unsigned int shift = i / HIST_SUB;
			uint64_t ns = i;

			if (shift)
				ns = ((uint64_t)(i % HIST_SUB + HIST_SUB + 1) << (shift - 1)) - 1;
			return ns < h->max ? ns : h->max;
		}
	}
	return h->max;
}

#endif
