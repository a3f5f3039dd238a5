// SPDX-License-Identifier: Apache-2.0
/* How often the passthrough backend allocates and locks for what guests do all the time, exactly. */
/*
 * Theory of operation
 *
 * This program's malloc(3) and pthread_mutex_lock(3) stand in front of the C library's and count. A
 * sanitizer has its own: skipped there, and said so.
 */
#include <dlfcn.h>
#include <sys/uio.h>

#include "pt_fixture.h"
#include "util.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED true
#endif
#endif
#ifndef SANITIZED
#define SANITIZED false
#endif

struct counts {
	unsigned int allocs;
	unsigned int locks;
};

static struct counts now;

#if !SANITIZED
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *old, size_t size);

void *malloc(size_t size)
{
	now.allocs++;
	return __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	now.allocs++;
	return __libc_calloc(n, size);
}

void *realloc(void *old, size_t size)
{
	now.allocs++;
	return __libc_realloc(old, size);
}

int pthread_mutex_lock(pthread_mutex_t *lock)
{
	static int (*next)(pthread_mutex_t *);

	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "pthread_mutex_lock");
	now.locks++;
	return next(lock);
}
#endif

/* Once to get there, then counted. */
#define COUNT(allocs_, locks_, call)                     \
	do {                                             \
		(void)(call);                            \
		now = (struct counts){0};                \
		(void)(call);                            \
		assert_int_equal(now.allocs, (allocs_)); \
		assert_int_equal(now.locks, (locks_));   \
	} while (0)

static int getattr(struct ptf *f, uint64_t node)
{
	struct fuse_attr_out out = {0};

	return pt_ops.getattr(&f->req, node, NULL, &out);
}

/* From the beginning, as much as there is. */
static int read_dir(struct ptf *f, uint64_t fh, bool plus)
{
	struct fuse_read_in in = {.fh = fh};
	static uint8_t buf[1 << 16];
	struct direntbuf db = {.left = sizeof(buf), .plus = plus};
	struct iovec vec = {.iov_base = buf, .iov_len = sizeof(buf)};

	iov_init(&db.dst, &vec, 1);
	return pt_ops.readdir(&f->req, FUSE_ROOT_ID, &in, &db);
}

static void locks_and_allocations(void **state)
{
	enum { N = 100 };
	const uint64_t root = FUSE_ROOT_ID;
	struct fuse_open_in in = {.flags = O_RDONLY};
	struct fuse_open_out dir = {0};
	static char buf[65536];
	char name[16];
	uint64_t a, fh;
	struct ptf f;

	(void)state;
	if (SANITIZED)
		skip();
	ptf_start(&f, (struct pt_conf){0});
	for (int i = 0; i < N; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		ptf_host_file(&f, name, "text");
	}
	a = ptf_node(&f, root, "n0");
	assert_int_equal(ptf_open(&f, a, O_RDWR, &fh), 0);
	assert_int_equal(pt_ops.opendir(&f.req, root, &in, &dir), 0);
	for (int no_wait = 0; no_wait < 2; no_wait++) {
		f.req.no_wait = no_wait;
		COUNT(0, 0, ptf_read(&f, a, fh, 0, buf, 4096));
		COUNT(0, 0, ptf_read(&f, a, fh, 0, buf, sizeof(buf)));
		COUNT(0, 0, ptf_write(&f, a, fh, 0, buf, 4096, O_RDWR, 0));
	}
	COUNT(0, 0, getattr(&f, a));
	COUNT(0, 0, ptf_lookup(&f, root, "none"));
	COUNT(0, 0, ptf_lookup(&f, root, "n0"));
	/* Of one out of INODE_STRIPES parts of the table. */
	COUNT(0, 1, (pt_ops.forget(f.pt, a, 1), 0));
	/* The handle's, and what no LOOKUP can do without. */
	COUNT(0, 1, read_dir(&f, dir.fh, false));
	usleep(200000);
	read_dir(&f, dir.fh, true);
	if (f.pt->inodes.mounts.mounts[f.pt->inodes.root->mount].births)
		COUNT(0, 1, read_dir(&f, dir.fh, true));
	else
		COUNT(0, 1 + 2 * N, read_dir(&f, dir.fh, true));
	ptf_stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(locks_and_allocations)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
