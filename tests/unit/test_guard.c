// SPDX-License-Identifier: Apache-2.0
/* Memory that goes away while it is mapped. */
/*
 * Theory of operation
 *
 * A memfd is mapped, guarded, and shrunk. Every page of it holds its number in all bytes, so a page that
 * is still there is told from one of zeroes. What is not guarded must go on to kill: that is tried in
 * children.
 */
#include <errno.h>
#include <linux/memfd.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fd.h"
#include "guard.h"
#include "iov.h"
#include "util.h"

#define PAGE 4096u

/* cmocka takes the signal for itself before each test. */
static void begin(void **state)
{
	(void)state;
	/* The framework has taken both for itself. */
	signal(SIGBUS, SIG_DFL);
	signal(SIGSEGV, SIG_DFL);
	assert_int_equal(guard_init(), 0);
}

/* @n pages of memory, guarded unless @guard is NULL. */
static volatile uint8_t *map(unsigned int n, int *ret_fd, struct guard_entry **guard)
{
	int fd = memfd_create("guard", MFD_CLOEXEC);
	uint8_t *at;

	assert_int_equal(ftruncate(fd, n * PAGE), 0);
	at = mmap(NULL, n * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(at, MAP_FAILED);
	for (unsigned int i = 0; i < n; i++)
		memset(at + i * PAGE, (int)(i + 1), PAGE);
	if (guard)
		assert_int_equal(guard_add(at, n * PAGE, PAGE, guard), 0);
	*ret_fd = fd;
	return at;
}

static void unmap(volatile uint8_t *at, unsigned int n, int *fd, struct guard_entry *guard)
{
	guard_del(guard);
	munmap((void *)(uintptr_t)at, n * PAGE);
	fd_close(fd);
}

static unsigned int mappings(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	unsigned int n = 0;
	int c;

	while ((c = fgetc(f)) != EOF)
		n += c == '\n';
	fclose(f);
	return n;
}

static void what_is_gone_reads_zeroes(void **state)
{
	struct guard_entry *guard;
	uint32_t hits = guard_hits(), age;
	volatile uint8_t *at;
	int fd;

	begin(state);
	at = map(4, &fd, &guard);
	assert_int_equal(at[2 * PAGE], 3);
	assert_int_equal(ftruncate(fd, 2 * PAGE), 0);
	assert_int_equal(at[PAGE], 2);
	assert_int_equal(guard_hits(), hits);
	assert_false(guard_gone((void *)(uintptr_t)at, 4 * PAGE));
	age = guard_age();
	assert_int_equal(at[2 * PAGE + 5], 0);
	assert_int_equal(guard_hits(), hits + 1);
	assert_int_not_equal(guard_age(), age);
	assert_true(guard_gone((void *)(uintptr_t)at, 4 * PAGE));
	assert_true(guard_gone((void *)(uintptr_t)(at + 3 * PAGE - 1), 1));
	assert_false(guard_gone((void *)(uintptr_t)at, 2 * PAGE));
	assert_false(guard_gone((void *)(uintptr_t)(at + 3 * PAGE), PAGE));
	/* Ours by now; what was not touched yet is found gone for itself. */
	at[2 * PAGE + 6] = 7;
	assert_int_equal(at[2 * PAGE + 6], 7);
	assert_int_equal(guard_hits(), hits + 1);
	at[4 * PAGE - 1] = 1;
	assert_int_equal(guard_hits(), hits + 2);
	assert_int_equal(at[0], 1);
	unmap(at, 4, &fd, guard);
}

/* Copies end where the memory does. */
static void cursors_stop(void **state)
{
	struct guard_entry *guard;
	uint8_t buf[3 * 64];
	volatile uint8_t *at;
	struct iov_cursor c;
	struct iovec iov[3];
	int fd;

	begin(state);
	for (int write = 0; write < 2; write++) {
		at = map(3, &fd, &guard);
		for (unsigned int i = 0; i < 3; i++)
			iov[i] = (struct iovec){(void *)(uintptr_t)(at + i * PAGE), 64};
		assert_int_equal(ftruncate(fd, PAGE), 0);
		iov_init(&c, iov, 3);
		memset(buf, 0xee, sizeof(buf));
		if (write)
			assert_int_equal(iov_write(&c, buf, sizeof(buf)), 64);
		else
			assert_int_equal(iov_read(&c, buf, sizeof(buf)), 64);
		assert_int_equal(c.left, 0);
		assert_int_equal(iov_read(&c, buf, 1), 0);
		assert_int_equal(at[0], write ? 0xee : 1);
		unmap(at, 3, &fd, guard);
	}
}

/* So many pages that replacing each would cost mappings without end. */
static void many_pages(void **state)
{
	const unsigned int n = 2000;
	unsigned int before = mappings();
	struct guard_entry *guard;
	volatile uint8_t *at;
	int fd;

	begin(state);
	at = map(n, &fd, &guard);
	assert_int_equal(ftruncate(fd, 0), 0);
	for (unsigned int i = 0; i < n; i += 2)
		assert_int_equal(at[i * PAGE], 0);
	assert_true(guard_gone((void *)(uintptr_t)(at + PAGE), 1));
	assert_in_range(mappings(), before, before + 10);
	unmap(at, n, &fd, guard);
}

/* The list grows, and what is taken out of it is used again. */
static void many_entries(void **state)
{
	struct guard_entry *guard[200], *again;
	volatile uint8_t *at[200];
	uint32_t hits = guard_hits();
	int fd[200];

	begin(state);
	for (int round = 0; round < 3; round++) {
		for (unsigned int i = 0; i < ARRAY_SIZE(fd); i++)
			at[i] = map(1, &fd[i], &guard[i]);
		for (unsigned int i = 0; i < ARRAY_SIZE(fd); i++) {
			assert_int_equal(ftruncate(fd[i], 0), 0);
			assert_int_equal(*at[i], 0);
			assert_int_equal(guard_hits(), ++hits);
		}
		guard_del(guard[70]);
		assert_int_equal(guard_add((void *)(uintptr_t)at[70], PAGE, PAGE, &again), 0);
		assert_ptr_equal(again, guard[70]);
		for (unsigned int i = 0; i < ARRAY_SIZE(fd); i++)
			unmap(at[i], 1, &fd[i], guard[i]);
	}
	guard_del(NULL);
}

#define PAGES  64u
#define ROUNDS 200u

struct shared {
	volatile uint8_t *at;
	pthread_barrier_t barrier;
};

static void *toucher(void *arg)
{
	struct shared *s = arg;

	for (unsigned int round = 0; round < ROUNDS; round++) {
		pthread_barrier_wait(&s->barrier);
		for (unsigned int i = 0; i < PAGES; i++)
			s->at[i * PAGE + 1] = s->at[i * PAGE];
		pthread_barrier_wait(&s->barrier);
	}
	return NULL;
}

/* Threads on the same pages at once, while others come into and leave the list. */
static void threads_side_by_side(void **state)
{
	struct shared s;
	pthread_t t[3];

	begin(state);
	pthread_barrier_init(&s.barrier, NULL, ARRAY_SIZE(t) + 1);
	for (unsigned int i = 0; i < ARRAY_SIZE(t); i++)
		assert_int_equal(pthread_create(&t[i], NULL, toucher, &s), 0);
	for (unsigned int round = 0; round < ROUNDS; round++) {
		struct guard_entry *guard, *other;
		int fd, other_fd;
		volatile uint8_t *more;

		s.at = map(PAGES, &fd, &guard);
		assert_int_equal(ftruncate(fd, PAGE * (round % 3)), 0);
		pthread_barrier_wait(&s.barrier);
		for (unsigned int i = 0; i < 20; i++) {
			more = map(2, &other_fd, &other);
			unmap(more, 2, &other_fd, other);
		}
		pthread_barrier_wait(&s.barrier);
		unmap(s.at, PAGES, &fd, guard);
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(t); i++)
		pthread_join(t[i], NULL);
	pthread_barrier_destroy(&s.barrier);
}

static int status_of(void (*crime)(void))
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		crime();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void touch_unguarded(void)
{
	int fd;
	volatile uint8_t *at = map(1, &fd, NULL);

	if (ftruncate(fd, 0) == 0)
		*at = 1;
}

static void touch_no_longer_guarded(void)
{
	struct guard_entry *guard;
	int fd;
	volatile uint8_t *at = map(1, &fd, &guard);

	guard_del(guard);
	if (ftruncate(fd, 0) == 0)
		*at = 1;
}

static void be_sent_one(void)
{
	raise(SIGBUS);
}

static void be_sent_the_other(void)
{
	raise(SIGSEGV);
}

static void touch_nothing(void)
{
	volatile uint8_t *at = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	*at = 1;
}

/* A filter of system calls ends the thread with another signal if it makes one but read and write. */
static void touch_nothing_filtered(void)
{
	volatile uint8_t *at = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
	*at = 1;
}

static void anything_else_ends_the_process(void **state)
{
	begin(state);
	assert_int_equal(status_of(touch_unguarded), SIGBUS);
	assert_int_equal(status_of(touch_no_longer_guarded), SIGBUS);
	assert_int_equal(status_of(touch_nothing), SIGSEGV);
	assert_int_equal(status_of(touch_nothing_filtered), SIGSEGV);
	assert_int_equal(status_of(be_sent_the_other), SIGSEGV);
	/* That has no access to end by. */
	assert_int_equal(status_of(be_sent_one), SIGSEGV);
}

/* Memory that may only be read, because the file may: a write is lost, and known of. */
static void read_only(void **state)
{
	uint32_t hits = guard_hits();
	struct guard_entry *guard;
	volatile uint8_t *at;
	int fd;

	begin(state);
	at = map(2, &fd, &guard);
	assert_int_equal(mprotect((void *)(uintptr_t)at, 2 * PAGE, PROT_READ), 0);
	assert_int_equal(at[PAGE], 2);
	assert_int_equal(guard_hits(), hits);
	at[1] = 7;
	assert_int_equal(guard_hits(), hits + 1);
	assert_true(guard_gone((const void *)(uintptr_t)at, 1));
	assert_int_equal(at[PAGE], 2);
	unmap(at, 2, &fd, guard);
}

/* A huge page can only be replaced as a whole. */
static void huge_pages(void **state)
{
	const size_t huge = 2u << 20;
	scoped_fd int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_2MB);
	uint32_t hits = guard_hits();
	struct guard_entry *guard;
	volatile uint8_t *at;

	begin(state);
	if (fd < 0 || ftruncate(fd, (off_t)(2 * huge)) < 0)
		skip();
	/* Not reserved: there need be none. */
	at = mmap(NULL, 2 * huge, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	assert_ptr_not_equal(at, MAP_FAILED);
	assert_int_equal(guard_add((void *)(uintptr_t)at, 2 * huge, huge, &guard), 0);
	assert_int_equal(ftruncate(fd, 0), 0);
	at[huge + 12345] = 1;
	assert_int_equal(guard_hits(), hits + 1);
	assert_int_equal(at[2 * huge - 1], 0);
	assert_int_equal(guard_hits(), hits + 1);
	at[0] = 1;
	assert_int_equal(guard_hits(), hits + 2);
	guard_del(guard);
	munmap((void *)(uintptr_t)at, 2 * huge);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_gone_reads_zeroes),
		cmocka_unit_test(cursors_stop),
		cmocka_unit_test(many_pages),
		cmocka_unit_test(many_entries),
		cmocka_unit_test(threads_side_by_side),
		cmocka_unit_test(anything_else_ends_the_process),
		cmocka_unit_test(read_only),
		cmocka_unit_test(huge_pages),
	};

	return cmocka_run_group_tests_name("guard", tests, NULL, NULL);
}
