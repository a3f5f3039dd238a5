// SPDX-License-Identifier: Apache-2.0
/* Reads a file through a shared mapping, 4 KiB at a time, and does nothing else: what bench/dax's jobs "bare" run. */
/*
 * Theory of operation
 *
 * usage: mmap4k FILE read|randread SECONDS
 *
 * Copies each block once, in order or in an order without one, until all are read or the time is over. Prints
 * KiB, milliseconds, and page faults. The file's size is a power of two, of 4 KiB at least.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#define BLOCK  4096u
#define STRIDE 64u /* blocks between two looks at the clock */

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static long faults(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return u.ru_minflt + u.ru_majflt;
}

/* Each number below @n, a power of two, for exactly one @i below it: odd factors and shifts to the right lose nothing. */
static uint64_t shuffled(uint64_t i, uint64_t n, unsigned half)
{
	uint64_t mask = n - 1;

	i = (i * 0x9e3779b1u + 0x7f4a7c15u) & mask;
	i ^= i >> half;
	i = (i * 0x85ebca6bu) & mask;
	i ^= i >> half;
	return (i * 0xc2b2ae35u) & mask;
}

int main(int argc, char **argv)
{
	static unsigned char to[BLOCK] __attribute__((aligned(BLOCK)));
	volatile unsigned char last;
	struct stat st;
	unsigned half = 1;

	if (argc != 4) {
		fprintf(stderr, "usage: mmap4k FILE read|randread SECONDS\n");
		return 2;
	}
	int random = strcmp(argv[2], "randread") == 0;
	uint64_t limit = strtoull(argv[3], NULL, 10) * 1000000000u;
	int fd = open(argv[1], O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) != 0) {
		perror(argv[1]);
		return 1;
	}
	uint64_t n = (uint64_t)st.st_size / BLOCK;
	if (n == 0 || (n & (n - 1)) != 0) {
		fprintf(stderr, "%s: its size is no power of two\n", argv[1]);
		return 1;
	}
	while ((1ull << (2 * half)) < n)
		half++;
	const unsigned char *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED) {
		perror("mmap");
		return 1;
	}
	madvise((void *)(uintptr_t)p, (size_t)st.st_size, random ? MADV_RANDOM : MADV_SEQUENTIAL);

	long before = faults();
	uint64_t begin = now_ns();
	uint64_t spent = 0;
	uint64_t done = 0;
	while (done < n && spent < limit) {
		for (uint64_t end = done + STRIDE; done < end && done < n; done++) {
			memcpy(to, p + (random ? shuffled(done, n, half) : done) * BLOCK, BLOCK);
			last = to[done % BLOCK];
		}
		spent = now_ns() - begin;
	}
	(void)last;
	printf("%llu %llu %ld\n", (unsigned long long)done * (BLOCK / 1024),
	       (unsigned long long)(spent / 1000000), faults() - before);
	return 0;
}
