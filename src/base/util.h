/* SPDX-License-Identifier: Apache-2.0 */
/* The few macros that every layer uses. */
#ifndef CULVERT_UTIL_H
#define CULVERT_UTIL_H

#include <stddef.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* Behind "static": a part of its callers, whatever the compiler thinks of its size. */
#define always_inline inline __attribute__((always_inline))

/* What is rarely called, and would make its callers set up for it if it were a part of them. */
#define out_of_line __attribute__((noinline))

/*
 * Around reads of what may change meanwhile, where that is found out afterwards: ThreadSanitizer takes no notice
 * of them.
 */
#if defined(__SANITIZE_THREAD__)
#define UNORDERED_READS 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNORDERED_READS 1
#endif
#endif
#ifdef UNORDERED_READS
void AnnotateIgnoreReadsBegin(const char *file, int line);
void AnnotateIgnoreReadsEnd(const char *file, int line);
#define unordered_reads_begin() AnnotateIgnoreReadsBegin(__FILE__, __LINE__)
#define unordered_reads_end()   AnnotateIgnoreReadsEnd(__FILE__, __LINE__)
#else
#define unordered_reads_begin() ((void)0)
#define unordered_reads_end()   ((void)0)
#endif

/* A member of struct sigevent, by its name in the manual, which not all C libraries have. */
#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

/* Once round a loop that looks at memory until another thread has changed it. */
static inline void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

#endif
