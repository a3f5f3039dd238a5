// SPDX-License-Identifier: Apache-2.0
// Running programs in directories of their own, watched from outside.
/*
 * Theory of operation
 *
 * A worker is a child. It works in episodes: fresh directories, some thousand operations, a comparison
 * of the whole tree, removal. The operations of the episode that runs, and the difference when there is
 * one, are in memory shared with the parent, so they survive whatever happens to the child. The parent
 * polls: a child whose count of operations stands still for too long has found a hang.
 *
 * A program that is replayed or shrunk runs the same way, as one episode of a child of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "dirs.h"
#include "run.h"

#define FUSE_MAGIC  0x65735546
#define EXT_MAGIC   0xef53
#define BTRFS_MAGIC 0x9123683e
#define TMPFS_MAGIC 0x01021994

#define SHARED_NAME "fsdiff-%d-shared"

struct report *run_report_new(void)
{
	struct report *r =
		mmap(NULL, sizeof(*r), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (r == MAP_FAILED) {
		perror("fsdiff");
		exit(2);
	}
	return r;
}

void run_report_free(struct report *r)
{
	if (r)
		munmap(r, sizeof(*r));
}

static bool stamp_moves(int fd, struct timespec *last)
{
	struct stat st;
	bool moved;

	if (fstat(fd, &st))
		return false;
	moved = st.st_mtim.tv_nsec != last->tv_nsec || st.st_mtim.tv_sec != last->tv_sec;
	*last = st.st_mtim;
	return moved;
}

/* Does each change of a file and of a directory change its stamp, however soon it comes? */
static bool fine_stamps(int fd, int dir, const char *name)
{
	struct timespec last[2] = {{0, 0}, {0, 0}};
	bool fine = true;

	for (int i = 0; i < 100 && fine; i++) {
		if (pwrite(fd, "x", 1, 0) != 1 || linkat(dir, name, dir, "fsdiff-link", 0))
			return false;
		fine = stamp_moves(fd, &last[0]) && stamp_moves(dir, &last[1]);
		if (unlinkat(dir, "fsdiff-link", 0))
			return false;
		fine &= stamp_moves(dir, &last[1]);
	}
	return fine;
}

static bool has_btime(int fd)
{
	struct statx stx;

	return !statx(fd, "", AT_EMPTY_PATH, STATX_BTIME, &stx) && stx.stx_mask & STATX_BTIME;
}

int run_probe(struct run *run)
{
	bool xattr[2], direct[2];
	struct statfs fs[2];
	bool fine = true;
	char name[64];

	snprintf(name, sizeof(name), "fsdiff-%d-probe", getpid());
	for (int i = 0; i < 2; i++) {
		int fd = openat(run->top[i], name, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
		int second;

		if (fd < 0 || fstatfs(fd, &fs[i])) {
			fprintf(stderr, "fsdiff: %s cannot be written: %s\n", i ? "B" : "A",
				strerror(errno));
			return -errno;
		}
		if (!i)
			run->conf.btime = fs[0].f_type != FUSE_MAGIC || has_btime(fd);
		fine &= fine_stamps(fd, run->top[i], name);
		xattr[i] = !fsetxattr(fd, "user.fsdiff", "x", 1, 0);
		second = openat(run->top[i], name, O_RDWR | O_DIRECT | O_CLOEXEC);
		direct[i] = second >= 0;
		if (second >= 0)
			close(second);
		close(fd);
		unlinkat(run->top[i], name, 0);
	}
	run->conf.fuse = fs[0].f_type == FUSE_MAGIC;
	run->conf.btrfs = fs[1].f_type == BTRFS_MAGIC;
	run->conf.hostfuse = fs[1].f_type == FUSE_MAGIC;
	run->conf.root = run->gen.root = !geteuid();
	/* With delayed writes stamps are the client's, as coarse as its clock, and blocks come late. */
	run->conf.fine = fine && !run->conf.writeback;
	run->conf.xattr = run->gen.xattr = xattr[0] && xattr[1];
	/* A tmpfs gives blocks to pages that a mapping only reads. */
	run->conf.blocks = fs[1].f_type == EXT_MAGIC && !run->conf.writeback;
	run->conf.dirsize = fs[1].f_type == EXT_MAGIC || fs[1].f_type == TMPFS_MAGIC;
	run->conf.maptimes = fs[1].f_type != TMPFS_MAGIC;
	run->gen.direct = direct[0] && direct[1];
	printf("# stamps are %s; user attributes: %s; O_DIRECT: %s%s\n",
	       run->conf.fine ? "fine" : "coarse",
	       run->conf.xattr ? "yes"
	       : xattr[1]      ? "not on A"
	       : xattr[0]      ? "not on B"
			       : "no",
	       run->gen.direct ? "yes" : "no", run->conf.root ? "" : "; not root");
	return 0;
}

static void run_name(char *buf, size_t size, unsigned int number, uint64_t episode)
{
	snprintf(buf, size, "fsdiff-%d-%u-%llu", getppid(), number, (unsigned long long)episode);
}

/* An operation is about to run: let the parent know it. */
static void note_op(struct report *r, const struct op *op)
{
	if (r->cnt < sizeof(r->ops) / sizeof(r->ops[0]))
		r->ops[r->cnt++] = *op;
	atomic_fetch_add_explicit(&r->ran, 1, memory_order_release);
}

static void finish_tree(struct ex *ex, struct report *r)
{
	struct op tree = {.code = OP_TREE};

	note_op(r, &tree);
	exec_op(ex, &tree, &r->diff);
}

/* What a worker leaves in the shared directories goes before its next episode. */
static int empty_shared(const int root[3], const char *prefix)
{
	int r = 0;

	for (int i = 0; i < 2 && !r; i++) {
		r = dirs_empty(root[i], prefix);
		for (char c = '0'; c < '2' && !r; c++) {
			char name[] = {'S', c, 0};
			int fd = openat(root[i], name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

			if (fd < 0)
				return -errno;
			r = dirs_empty(fd, prefix);
			close(fd);
		}
	}
	return r;
}

static int enter(const struct run *run, const char *name, bool shared, int root[3])
{
	char path[128];

	if (!shared)
		return dirs_make(run->top, name, root);
	snprintf(path, sizeof(path), SHARED_NAME, getppid());
	root[2] = -1;
	for (int i = 0; i < 3; i++)
		if (run->top[i] >= 0) {
			root[i] = openat(run->top[i], path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			if (root[i] < 0)
				return -errno;
		}
	return 0;
}

static int episode(const struct run *run, uint64_t seed, const char *name, const char *prefix,
		   uint64_t ops, struct report *r)
{
	struct gen *g = malloc(sizeof(*g));
	struct ex ex;
	int root[3];
	int ret;

	if (!g)
		return -ENOMEM;
	ret = enter(run, name, prefix, root);
	if (ret || exec_init(&ex, &run->conf, root)) {
		free(g);
		return ret ? ret : -ENOMEM;
	}
	ex.prefix = prefix;
	gen_init(g, &run->gen, seed);
	r->cnt = 0;
	while (r->cnt < ops && !r->diff.found) {
		struct op op;

		gen_next(g, &op);
		r->diff.at = r->cnt;
		r->diff.code = op.code;
		note_op(r, &op);
		gen_learn(g, &op, exec_op(&ex, &op, &r->diff));
	}
	if (!r->diff.found) {
		r->diff.at = r->cnt;
		r->diff.code = OP_TREE;
		finish_tree(&ex, r);
	}
	for (size_t i = 0; i < sizeof(r->skipped) / sizeof(r->skipped[0]); i++)
		r->skipped[i] += ex.skipped[i];
	for (int i = 0; i < OP_COUNT; i++)
		for (int k = 0; k < 2; k++)
			r->count[i][k] += ex.count[i][k];
	exec_done(&ex);
	free(g);
	if (!r->diff.found) {
		ret = prefix ? empty_shared(root, prefix) : dirs_remove(run->top, name);
		if (ret)
			diff_set(&r->diff, "removal", "removing it all afterwards: %s",
				 strerrorname_np(-ret));
	}
	dirs_close(root);
	return 0;
}

void run_worker(const struct run *run, unsigned int number, const char *prefix, struct report *ret)
{
	struct run own = *run;
	char name[64];

	own.gen.prefix = prefix;
	while (ret->total < run->ops && !ret->diff.found) {
		uint64_t seed =
			rng_mix(run->seed ^ rng_mix(((uint64_t)number << 40) + ret->episode));
		uint64_t left = run->ops - ret->total;
		int r;

		run_name(name, sizeof(name), number, ret->episode);
		r = episode(&own, seed, name, prefix, left < run->episode ? left : run->episode,
			    ret);
		if (r) {
			fprintf(stderr, "fsdiff: process %u: %s\n", number, strerror(-r));
			_exit(2);
		}
		ret->total += ret->cnt;
		if (!ret->diff.found)
			ret->episode++;
	}
	_exit(ret->diff.found);
}

/* The directories that workers shared, when a worker's program is run alone. */
static int make_shared(const struct prog *p, const int root[3])
{
	bool wanted = false;

	for (size_t i = 0; i < p->cnt; i++)
		for (int k = 0; k < 2; k++)
			wanted |= p->ops[i].s[k][0] == 'S' && p->ops[i].s[k][2] == '/';
	for (int i = 0; i < 2 && wanted; i++)
		for (char c = '0'; c < '2'; c++) {
			char sub[] = {'S', c, 0};

			if (mkdirat(root[i], sub, 0777) || fchmodat(root[i], sub, 0777, 0))
				return -errno;
		}
	return 0;
}

static void play(const struct run *run, const struct prog *p, const unsigned char *keep,
		 struct report *r)
{
	struct ex ex;
	char name[64];
	int root[3];

	run_name(name, sizeof(name), 9999, 0);
	if (dirs_make(run->top, name, root) || make_shared(p, root) ||
	    exec_init(&ex, &run->conf, root))
		_exit(2);
	for (size_t i = 0; i < p->cnt && !r->diff.found; i++) {
		if (keep && !keep[i])
			continue;
		r->diff.at = i;
		r->diff.code = p->ops[i].code;
		atomic_fetch_add_explicit(&r->ran, 1, memory_order_release);
		exec_op(&ex, &p->ops[i], &r->diff);
	}
	if (!r->diff.found) {
		r->diff.at = p->cnt;
		r->diff.code = OP_TREE;
		finish_tree(&ex, r);
	}
	exec_done(&ex);
	if (dirs_remove(run->top, name))
		diff_set(&r->diff, "removal", "it cannot be removed afterwards");
	_exit(r->diff.found);
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* A child in the middle of a request that is never answered cannot be ended at once. */
static void end_child(pid_t pid)
{
	struct timespec tick = {0, 10 * 1000 * 1000};

	if (pid <= 0)
		return;
	kill(pid, SIGKILL);
	for (int i = 0; i < 300; i++) {
		if (waitpid(pid, NULL, WNOHANG) == pid)
			return;
		nanosleep(&tick, NULL);
	}
	fprintf(stderr, "fsdiff: process %d cannot be ended: a request has no answer\n", pid);
}

static int reap(pid_t *pids, struct report **reports, unsigned int cnt, bool *ret_bad)
{
	int status;
	pid_t pid = waitpid(-1, &status, WNOHANG);

	if (pid <= 0)
		return -1;
	for (unsigned int i = 0; i < cnt; i++) {
		if (pids[i] != pid)
			continue;
		pids[i] = 0;
		/* A sanitizer ends a process with 1, too. */
		if (!WIFEXITED(status) || WEXITSTATUS(status) != reports[i]->diff.found)
			*ret_bad = true;
		else if (reports[i]->diff.found)
			return (int)i;
		return -1;
	}
	return -1;
}

int run_watch(const struct run *run, pid_t *pids, struct report **reports, unsigned int cnt)
{
	struct timespec tick = {0, 200 * 1000};
	int64_t since[64];
	uint64_t seen[64];
	bool bad = false;
	int found = -1;

	for (unsigned int i = 0; i < cnt; i++) {
		since[i] = now_ms();
		seen[i] = 0;
	}
	while (found < 0 && !bad) {
		bool any = false;

		found = reap(pids, reports, cnt, &bad);
		for (unsigned int i = 0; i < cnt && found < 0; i++) {
			uint64_t ran = atomic_load_explicit(&reports[i]->ran, memory_order_acquire);

			any |= pids[i] > 0;
			if (pids[i] <= 0 || ran != seen[i]) {
				seen[i] = ran;
				since[i] = now_ms();
			} else if (now_ms() - since[i] > run->hang_s * 1000LL) {
				diff_set(&reports[i]->diff, "hang", "no answer for %u s",
					 run->hang_s);
				found = (int)i;
			}
		}
		if (!any)
			break;
		nanosleep(&tick, NULL);
		if (tick.tv_nsec < 20 * 1000 * 1000)
			tick.tv_nsec *= 2;
	}
	for (unsigned int i = 0; i < cnt; i++)
		end_child(pids[i]);
	return found >= 0 ? found : bad ? -2 : -1;
}

int run_program(const struct run *run, const struct prog *p, const unsigned char *keep,
		struct diff *ret_diff)
{
	struct report *r = run_report_new();
	char name[64];
	pid_t pid;
	int w;

	fflush(NULL);
	pid = fork();
	if (pid < 0) {
		run_report_free(r);
		return -errno;
	}
	if (!pid)
		play(run, p, keep, r);
	w = run_watch(run, &pid, &r, 1);
	if (w != -2)
		*ret_diff = r->diff;
	if (r->diff.found || w == -2) {
		snprintf(name, sizeof(name), "fsdiff-%d-9999-0", getpid());
		dirs_remove(run->top, name);
	}
	run_report_free(r);
	return w == -2 ? -EIO : 0;
}

int run_shared_dirs(const struct run *run)
{
	char name[128];

	for (int i = 0; i < 2; i++) {
		int fd;

		snprintf(name, sizeof(name), SHARED_NAME, getpid());
		if (mkdirat(run->top[i], name, 0777))
			return -errno;
		fd = openat(run->top[i], name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0 || fchmod(fd, 0777))
			return -errno;
		for (char c = '0'; c < '2'; c++) {
			char sub[] = {'S', c, 0};

			if (mkdirat(fd, sub, 0777) || fchmodat(fd, sub, 0777, 0))
				return -errno;
		}
		close(fd);
	}
	return 0;
}

void run_clean(const struct run *run)
{
	char prefix[64];

	snprintf(prefix, sizeof(prefix), "fsdiff-%d-", getpid());
	for (int i = 0; i < 2; i++)
		dirs_empty(run->top[i], prefix);
}
