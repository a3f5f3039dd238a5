// SPDX-License-Identifier: Apache-2.0
/* How many system calls the passthrough backend makes for each operation, exactly. */
/*
 * Theory of operation
 *
 * A child runs the operations under ptrace(2); the test's own process counts. A system call that does
 * not exist is the mark: it sets the count, which both processes share, back to 0. The child is
 * stopped whenever the count changes, so it can read it right after an operation.
 *
 * The numbers are those that the sources state. Sanitizers make calls of their own: skipped there,
 * and where ptrace is not allowed.
 */
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>

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

#define MARK 100000

struct shared {
	volatile unsigned int count;
	volatile unsigned int wrong;
};

static struct shared *shared;

static void expect(const char *what, unsigned int calls, unsigned int got)
{
	if (got == calls)
		return;
	print_message("%s: %u system calls, not %u\n", what, got, calls);
	shared->wrong++;
}

/* Run @call, and count. */
#define COUNT(calls, call)                  \
	do {                                \
		unsigned int got_;          \
		syscall(MARK);              \
		(void)(call);               \
		got_ = shared->count;       \
		expect(#call, calls, got_); \
	} while (0)

/* Whether a known inode is known again by its birth; then it is settled when this returns. */
static bool settle(const struct ptf *f)
{
	const struct inode_table *t = &f->pt->inodes;

	usleep(200000);
	return t->mounts.mounts[t->root->mount].births;
}

static void evict(struct ptf *f)
{
	while (fdcache_shrink(&f->pt->inodes.fds))
		;
}

static void names(struct ptf *f)
{
	const uint64_t root = FUSE_ROOT_ID;
	struct fuse_entry_out e = {0};
	uint64_t a, fh = 0;
	unsigned int once;

	ptf_host_file(f, "a", "text");
	ptf_host_file(f, "v", "text");
	ptf_host_file(f, "seen", "text");
	ptf_host_file(f, "unseen", "text");
	once = settle(f) ? 1 : 2;
	COUNT(1, ptf_lookup(f, root, "none"));
	COUNT(2, ptf_lookup(f, root, "a"));
	a = ptf_node(f, root, "a");
	COUNT(once, ptf_lookup(f, root, "a"));
	/* Opened once by what needs it: openat2, statx, name_to_handle_at. */
	COUNT(4, ptf_getattr(f, a, NULL));
	COUNT(1, ptf_lookup(f, root, "a"));
	COUNT(1, ptf_getattr(f, a, NULL));
	COUNT(2, pt_ops.link(&f->req, a, root, "b", &e));
	ptf_getattr(f, ptf_node(f, root, "v"), NULL);
	COUNT(5, pt_ops.rename(&f->req, root, "b", root, "v", 0));
	COUNT(4, pt_ops.unlink(&f->req, root, "v"));
	/* One that was looked up and no more keeps the descriptor. */
	ptf_lookup(f, root, "seen");
	COUNT(once + 2, pt_ops.unlink(&f->req, root, "seen"));
	COUNT(4, pt_ops.unlink(&f->req, root, "unseen"));
	COUNT(3, ptf_mkdir(f, root, "d"));
	f->req.hdr.uid = f->req.hdr.gid = 1234;
	COUNT(geteuid() == 0 ? 7 : 1, ptf_create(f, root, "c1", 0600, O_RDWR, &fh));
	f->req.hdr.uid = f->req.hdr.gid = 0;
	COUNT(3, ptf_create(f, root, "c2", 0600, O_RDWR, &fh));
	COUNT(0, pt_ops.forget(f->pt, a, 1));
}

/* Reads on a thread that must not wait. @fh: of a file with less than a page. */
static void no_waiting(struct ptf *f, uint64_t node, uint64_t fh)
{
	static char buf[8192];

	f->req.no_wait = true;
	/* Where the file system cannot say, one call finds out. */
	ptf_read(f, node, fh, 0, buf, sizeof(buf));
	COUNT(1, ptf_read(f, node, fh, 0, buf, 4));
	COUNT(1, ptf_read(f, node, fh, 0, buf, sizeof(buf)));
	COUNT(1, ptf_write(f, node, fh, 0, buf, 4, O_RDWR, 0));
	COUNT(0, ptf_write(f, node, fh, 0, buf, 4, O_RDWR | O_DSYNC, 0));
	f->req.no_wait = false;
}

static void files(struct ptf *f)
{
	struct fuse_setattr_in mode = {.valid = FATTR_MODE, .mode = 0600};
	struct fuse_setattr_in size = {.valid = FATTR_SIZE, .size = 2};
	struct fuse_attr_out attr = {0};
	struct fuse_flush_in flush = {0};
	struct fuse_kstatfs fs = {0};
	uint64_t a, fh = 0;
	char buf[8];

	ptf_host_file(f, "a", "text");
	a = ptf_node(f, FUSE_ROOT_ID, "a");
	ptf_getattr(f, a, NULL);
	COUNT(1, ptf_open(f, a, O_RDWR, &fh));
	COUNT(1, ptf_read(f, a, fh, 0, buf, 4));
	COUNT(1, ptf_read(f, a, fh, 0, buf, sizeof(buf)));
	COUNT(1, ptf_write(f, a, fh, 0, buf, 4, O_RDWR, 0));
	no_waiting(f, a, fh);
	COUNT(geteuid() == 0 ? 3 : 1,
	      ptf_write(f, a, fh, 0, buf, 4, O_RDWR, FUSE_WRITE_KILL_SUIDGID));
	COUNT(1, pt_ops.fsync(&f->req, a, fh, true));
	flush.fh = fh;
	COUNT(2, pt_ops.flush(&f->req, a, &flush));
	COUNT(2, pt_ops.setattr(&f->req, a, &mode, &attr));
	COUNT(2, pt_ops.setattr(&f->req, a, &size, &attr));
	COUNT(1, pt_ops.statfs(&f->req, a, &fs));
	COUNT(1, pt_ops.setxattr(&f->req, a, "user.k", "v", 1, 0, 0));
	COUNT(1, pt_ops.getxattr(&f->req, a, "user.k", buf, sizeof(buf)));
	COUNT(1, ptf_release(f, a, fh));
	COUNT(1, pt_ops.forget(f->pt, a, 1));
}

/* One request; *@off is where the next one goes on. */
static int read_dir_at(struct ptf *f, uint64_t fh, bool plus, size_t size, uint64_t *off)
{
	struct fuse_read_in in = {.fh = fh, .offset = *off};
	static uint8_t buf[1 << 16];
	struct direntbuf db = {.left = size, .plus = plus};
	struct iovec vec = {.iov_base = buf, .iov_len = size};
	size_t fixed = plus ? FUSE_NAME_OFFSET_DIRENTPLUS : FUSE_NAME_OFFSET;
	struct fuse_dirent d;
	int r;

	iov_init(&db.dst, &vec, 1);
	r = pt_ops.readdir(&f->req, FUSE_ROOT_ID, &in, &db);
	for (size_t at = 0; at < db.used; at += FUSE_DIRENT_ALIGN(fixed + d.namelen)) {
		memcpy(&d, buf + at + fixed - FUSE_NAME_OFFSET, FUSE_NAME_OFFSET);
		*off = d.off;
	}
	return r < 0 ? r : (int)db.used;
}

/* From the beginning, as much as there is. */
static int read_dir(struct ptf *f, uint64_t fh, bool plus)
{
	uint64_t off = 0;

	return read_dir_at(f, fh, plus, 1 << 16, &off);
}

/* From the beginning to the end, two entries at a time. */
static void read_slowly(struct ptf *f, uint64_t fh)
{
	uint64_t off = 0;

	while (read_dir_at(f, fh, false, 64, &off) > 0)
		;
}

static void directories(struct ptf *f)
{
	enum { N = 100 };
	struct fuse_open_in in = {.flags = O_RDONLY};
	struct fuse_open_out out = {0};
	unsigned int once;
	char name[16];

	for (int i = 0; i < N; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		ptf_host_file(f, name, "");
	}
	COUNT(1, pt_ops.opendir(&f->req, FUSE_ROOT_ID, &in, &out));
	/* A seek for what is new since the opening, all entries, and the call that says it was all. */
	COUNT(3, read_dir(f, out.fh, false));
	/* And the next request, which finds no more. */
	COUNT(4, read_slowly(f, out.fh));
	/* From the beginning again. All are new and settled, then all are known, then all are open. */
	once = settle(f) ? 1 : 2;
	COUNT(3 + 2 * N, read_dir(f, out.fh, true));
	COUNT(3 + once * N, read_dir(f, out.fh, true));
	for (int i = 0; i < N; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		ptf_getattr(f, ptf_node(f, FUSE_ROOT_ID, name), NULL);
	}
	COUNT(3 + N, read_dir(f, out.fh, true));
}

static void child(void)
{
	static void (*const parts[])(struct ptf *) = {names, files, directories};

	for (unsigned int i = 0; i < ARRAY_SIZE(parts); i++) {
		struct ptf f;

		ptf_start(&f, (struct pt_conf){.xattr = true, .max_fds = 512});
		if (chmod(f.path, 0777) < 0)
			shared->wrong++;
		evict(&f);
		parts[i](&f);
		ptf_stop(&f);
	}
}

/* Count the child's calls until it ends. Returns its exit status, or -1. */
static int trace(pid_t pid)
{
	struct __ptrace_syscall_info info;
	int status;

	if (waitpid(pid, &status, 0) != pid)
		return -1;
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	if (ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL) < 0)
		return -1;
	for (;;) {
		if (ptrace(PTRACE_SYSCALL, pid, 0, 0) < 0 || waitpid(pid, &status, 0) != pid)
			return -1;
		if (WIFEXITED(status))
			return WEXITSTATUS(status);
		if (!WIFSTOPPED(status))
			return -1;
		if (WSTOPSIG(status) != (SIGTRAP | 0x80))
			return -1;
		if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) <= 0)
			return -1;
		if (info.op != PTRACE_SYSCALL_INFO_ENTRY)
			continue;
		if (info.entry.nr == MARK)
			shared->count = 0;
		else
			shared->count++;
	}
}

static void system_calls(void **state)
{
	pid_t pid;
	int r;

	(void)state;
	if (SANITIZED)
		skip();
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	assert_true(shared != MAP_FAILED);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, 0, 0) < 0)
			_exit(77);
		raise(SIGSTOP);
		child();
		_exit(0);
	}
	r = trace(pid);
	if (r == 77)
		skip();
	assert_int_equal(r, 0);
	assert_int_equal(shared->wrong, 0);
	munmap(shared, sizeof(*shared));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(system_calls)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
