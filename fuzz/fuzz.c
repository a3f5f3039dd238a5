// SPDX-License-Identifier: Apache-2.0
/* What every fuzzing target stands on. */
/*
 * Theory of operation
 *
 * libFuzzer makes inputs and measures what they reach; a target reads each as a program and plays it. All
 * that a target does depends on the input alone, as far as threads allow, so an input that is kept shows
 * its bug again.
 *
 * With FUZZ_CPU_SECONDS in the environment a run ends after so much of processor time, the threads' of the
 * target included: libFuzzer's own limit is by the clock on the wall, which on a busy machine says
 * nothing of what was done. With FUZZ_LOG set the code under test says what it does, as it does to users.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fuzz.h"
#include "log.h"
#include "parse.h"
#include "util.h"

#define FDS_LOOKED_AT 128

uint8_t feed_u8(struct feed *f)
{
	if (!f->left)
		return 0;
	f->left--;
	return *f->at++;
}

uint16_t feed_u16(struct feed *f)
{
	uint16_t low = feed_u8(f);

	return (uint16_t)(low | feed_u8(f) << 8);
}

uint32_t feed_u32(struct feed *f)
{
	uint32_t low = feed_u16(f);

	return low | (uint32_t)feed_u16(f) << 16;
}

uint64_t feed_u64(struct feed *f)
{
	uint64_t low = feed_u32(f);

	return low | (uint64_t)feed_u32(f) << 32;
}

unsigned int feed_below(struct feed *f, unsigned int n)
{
	return feed_u8(f) % n;
}

bool feed_one_in(struct feed *f, unsigned int n)
{
	return f->left && feed_u8(f) % n == n - 1;
}

uint64_t feed_odd64(struct feed *f)
{
	static const uint64_t odd[] = {
		0,          1,
		2,          4095,
		4096,       4097,
		0x10000,    0x100000,
		0x200000,   INT32_MAX,
		UINT32_MAX, 1ull << 31,
		1ull << 32, 1ull << 62,
		INT64_MAX,  1ull << 63,
		UINT64_MAX, UINT64_MAX - 4095,
		8,          INT64_MAX - 4095,
	};
	uint8_t way = feed_u8(f);

	if (way < 2 * ARRAY_SIZE(odd))
		return odd[way / 2] + (way % 2 ? feed_u8(f) : 0);
	if (way < 192)
		return way;
	if (way < 224)
		return feed_u16(f);
	return way < 240 ? (uint64_t)feed_u8(f) << 12 : feed_u64(f);
}

void feed_bytes(struct feed *f, void *buf, size_t len)
{
	size_t have = MIN(len, f->left);

	memset(buf, 0, len);
	if (have)
		memcpy(buf, f->at, have);
	f->at += have;
	f->left -= have;
}

char *feed_text(struct feed *f, char end, size_t max)
{
	const uint8_t *stop = f->left ? memchr(f->at, end, f->left) : NULL;
	size_t len = MIN(stop ? (size_t)(stop - f->at) : f->left, max);
	char *text = malloc(len + 1);

	MUST(text);
	feed_bytes(f, text, len);
	text[len] = '\0';
	/* A NUL within ends it early; what is behind it is lost. */
	if (f->left && *f->at == (uint8_t)end)
		feed_u8(f);
	return text;
}

void fuzz_fail(const char *cond, const char *file, int line)
{
	fprintf(stderr, "\n%s:%d: does not hold: %s\n", file, line, cond);
	abort();
}

static bool was_open[FDS_LOOKED_AT];

void fuzz_note_fds(void)
{
	for (int i = 0; i < FDS_LOOKED_AT; i++)
		was_open[i] = fcntl(i, F_GETFD) >= 0;
}

void fuzz_check_fds(void)
{
	char path[32], to[128];

	for (int i = 0; i < FDS_LOOKED_AT; i++) {
		ssize_t len;

		if ((fcntl(i, F_GETFD) >= 0) == was_open[i])
			continue;
		snprintf(path, sizeof(path), "/proc/self/fd/%d", i);
		len = readlink(path, to, sizeof(to));
		fprintf(stderr, "\ndescriptor %d: %.*s\n", i, (int)MAX(len, 0), to);
		MUST(!"descriptors are left, or missing");
	}
}

static void limit_cpu(const char *text)
{
	struct itimerspec in = {0};
	struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
	uint64_t seconds;
	timer_t timer;

	MUST(parse_u64(text, INT32_MAX, &seconds) == 0);
	in.it_value.tv_sec = (time_t)seconds;
	/* libFuzzer ends in peace at this signal, with its figures. */
	MUST(timer_create(CLOCK_PROCESS_CPUTIME_ID, &ev, &timer) == 0);
	MUST(timer_settime(timer, 0, &in, NULL) == 0);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const char *cpu = getenv("FUZZ_CPU_SECONDS");

	(void)argc;
	(void)argv;
	log_init(getenv("FUZZ_LOG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_OFF, LOG_SINK_STDERR);
	if (cpu)
		limit_cpu(cpu);
	target_init();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct feed f = {data, size};

	target_run(&f);
	return 0;
}
