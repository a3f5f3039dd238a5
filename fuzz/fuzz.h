/* SPDX-License-Identifier: Apache-2.0 */
/* What every fuzzing target stands on: an input that is read like a program, and what must hold. */
#ifndef CULVERT_FUZZ_H
#define CULVERT_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * struct feed - the bytes of an input that are not read yet. Behind its end there are zeroes.
 */
struct feed {
	const uint8_t *at;
	size_t left;
};

uint8_t feed_u8(struct feed *f);
uint16_t feed_u16(struct feed *f);
uint32_t feed_u32(struct feed *f);
uint64_t feed_u64(struct feed *f);

/** feed_below() - a number from 0 to @n - 1; @n is at most 256. */
unsigned int feed_below(struct feed *f, unsigned int n);

/** feed_one_in() - true for one of @n values of the next byte; never at the end. */
bool feed_one_in(struct feed *f, unsigned int n);

/** feed_odd64() - a number of those that arithmetic trips over, or any. */
uint64_t feed_odd64(struct feed *f);

/** feed_bytes() - up to @len bytes into @buf, zeroes for what is not there. */
void feed_bytes(struct feed *f, void *buf, size_t len);

/**
 * feed_text() - bytes up to the next @end or at most @max, with a NUL instead of it; on the heap and of
 * exactly that size, so that a sanitizer sees a byte too many.
 */
char *feed_text(struct feed *f, char end, size_t max);

/** MUST() - what holds whatever the input is: the run ends here otherwise, and the input is kept. */
#define MUST(cond)                                            \
	do {                                                  \
		if (!(cond))                                  \
			fuzz_fail(#cond, __FILE__, __LINE__); \
	} while (0)

_Noreturn void fuzz_fail(const char *cond, const char *file, int line);

/** fuzz_note_fds(), fuzz_check_fds() - the second: the same descriptors are open as at the first. */
void fuzz_note_fds(void);
void fuzz_check_fds(void);

/* Each target has these two: what is made once, and one input. */
void target_init(void);
void target_run(struct feed *f);

/* What libFuzzer calls. */
int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
