// SPDX-License-Identifier: Apache-2.0
// Running an operation on both sides, and comparing what came back.
/*
 * Theory of operation
 *
 * An operation runs on side A first. When A refuses it in a way that is known to be unavoidable
 * (known.c), B does not see it at all, so both stay the same. Else B runs it, and result, errno and
 * data must be equal; then check.c compares the state of what the operation named. A program's
 * operations are total: a slot that is not open gives EBADF on both sides, so any part of a program
 * is a program, which is what shrinking needs.
 *
 * The user of an operation is set with real and effective ids and a saved id of root; comparing is
 * done as root. A worker is a process with one thread; nothing here is shared.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "exec.h"
#include "known.h"

void diff_set(struct diff *diff, const char *field, const char *fmt, ...)
{
	va_list ap;

	if (diff->found)
		return;
	diff->found = true;
	snprintf(diff->field, sizeof(diff->field), "%s", field);
	va_start(ap, fmt);
	vsnprintf(diff->text, sizeof(diff->text), fmt, ap);
	va_end(ap);
}

int64_t exec_result(int64_t r)
{
	return r < 0 ? -errno : r;
}

void exec_fill(unsigned char *buf, size_t len, int64_t pat, int64_t off)
{
	uint64_t x = (uint64_t)pat * 0x9e3779b97f4a7c15ull + (uint64_t)off + 1;

	for (size_t i = 0; i < len; i += sizeof(x)) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		memcpy(buf + i, &x, len - i < sizeof(x) ? len - i : sizeof(x));
	}
}

int exec_init(struct ex *ex, const struct conf *conf, const int root[3])
{
	*ex = (struct ex){.conf = conf, .checks = true};
	memcpy(ex->root, root, sizeof(ex->root));
	for (int i = 0; i < PROG_SLOTS; i++)
		ex->slot[i].fd[0] = ex->slot[i].fd[1] = -1;
	for (int i = 0; i < PROG_MAPS; i++)
		ex->map[i].fd_b = -1;
	ex->seen = calloc(EXEC_SEEN, sizeof(*ex->seen));
	for (int i = 0; i < 2; i++)
		ex->buf[i] = mmap(NULL, EXEC_BUF, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!ex->seen || ex->buf[0] == MAP_FAILED || ex->buf[1] == MAP_FAILED)
		return -ENOMEM;
	exec_map_init();
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	umask(022);
	return 0;
}

static void close_all(struct ex *ex)
{
	for (int i = 0; i < PROG_MAPS; i++)
		exec_close_map(&ex->map[i]);
	for (int i = 0; i < PROG_SLOTS; i++)
		exec_close_slot(&ex->slot[i]);
}

void exec_done(struct ex *ex)
{
	close_all(ex);
	exec_root(ex, true);
	if (ex->conf->root) {
		(void)!setgroups(0, NULL);
		(void)!setresgid(0, 0, 0);
	}
	for (int i = 0; i < 2; i++)
		munmap(ex->buf[i], EXEC_BUF);
	free(ex->seen);
	ex->seen = NULL;
	umask(022);
}

void exec_root(struct ex *ex, bool on)
{
	if (!ex->uid)
		return;
	/* With a saved id of root both directions are allowed. */
	if (on ? setresuid(0, 0, 0) : setresuid(ex->uid, ex->uid, 0)) {
		perror("fsdiff: setresuid");
		_exit(2);
	}
	/* Else the links in /proc/self/fd would not be ours to follow. */
	prctl(PR_SET_DUMPABLE, 1);
}

int exec_path(const struct ex *ex, const struct op *op, const char *s, enum side side,
	      char *ret_path)
{
	int dir = ex->root[op->host && side == SIDE_A ? SIDE_HOST : side];

	if (*s == '@') {
		char *end;
		unsigned long n = strtoul(s + 1, &end, 10);

		dir = n < PROG_SLOTS && !op->host && side != SIDE_HOST ? ex->slot[n].fd[side] : -1;
		s = *end == '/' ? end + 1 : end;
	}
	if (prog_decode(s, ret_path, EXEC_PATH) < 0)
		strcpy(ret_path, "/dev/null/bad-path");
	return dir;
}

static bool opens(uint8_t code)
{
	return code == OP_OPEN || code == OP_REOPEN || code == OP_CAT || code == OP_PUT;
}

void exec_touch(struct ex *ex, const struct op *op, const char *s)
{
	char path[EXEC_PATH];
	bool follows = false;
	struct stat st;
	size_t end;
	size_t start;
	int dir = exec_path(ex, op, s, SIDE_B, path);

	/* A file may come into being at the other end of a link: under a name that we do not know. */
	if (opens(op->code))
		follows = !fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW) && S_ISLNK(st.st_mode);
	end = strlen(path);
	while (end && path[end - 1] == '/')
		end--;
	path[end] = 0;
	for (start = end; start && path[start - 1] != '/'; start--)
		;
	for (int i = 0; i < PROG_SLOTS; i++) {
		struct slot *sl = &ex->slot[i];
		size_t need = end - start + 1;
		char *more;

		if (!sl->dir || sl->wild)
			continue;
		if (follows) {
			sl->wild = true;
			continue;
		}
		more = realloc(sl->touched, sl->touched_len + need);
		if (!more) {
			sl->wild = true;
			continue;
		}
		sl->touched = more;
		memcpy(sl->touched + sl->touched_len, path + start, need);
		sl->touched_len += need;
	}
}

void exec_groups(const struct ex *ex, bool on)
{
	static const gid_t groups[] = {3000, 3001, 3002, 3003};

	if (ex->groups && setgroups(on ? ex->groups : 0, groups)) {
		perror("fsdiff: setgroups");
		_exit(2);
	}
}

static int64_t do_cred(struct ex *ex, const struct op *op)
{
	if (!ex->conf->root)
		return 0;
	exec_groups(ex, false);
	if (setresgid((gid_t)op->n[1], (gid_t)op->n[1], (gid_t)op->n[1])) {
		perror("fsdiff: setresgid");
		_exit(2);
	}
	ex->groups = (size_t)(op->n[2] < 0 ? 0 : op->n[2] > 4 ? 4 : op->n[2]);
	exec_groups(ex, true);
	ex->uid = (uid_t)op->n[0];
	ex->gid = (gid_t)op->n[1];
	return 0;
}

static void drop_caches(int what)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
	char c = (char)('0' + (what < 1 || what > 3 ? 3 : what));

	if (fd < 0)
		return;
	(void)!write(fd, &c, 1);
	close(fd);
}

static void settle(int ms)
{
	struct timespec ts = {ms / 1000, ms % 1000 * 1000000L};

	if (ms > 0)
		nanosleep(&ts, NULL);
	else if (ms == 0)
		drop_caches(2);
}

/* Operations that are no system calls on a side. Returns 1 when @op was one. */
static int control(struct ex *ex, const struct op *op, struct diff *diff)
{
	switch (op->code) {
	case OP_CRED:
		do_cred(ex, op);
		return 1;
	case OP_UMASK:
		umask((mode_t)op->n[0] & 0777);
		return 1;
	case OP_CHECK:
		ex->checks = op->n[0];
		return 1;
	case OP_DROP:
		drop_caches((int)op->n[0]);
		return 1;
	case OP_SETTLE:
		settle(ex->conf->settle_ms);
		return 1;
	case OP_CLOSEALL:
		close_all(ex);
		return 1;
	case OP_TREE:
		check_tree(ex, diff);
		return 1;
	default:
		return 0;
	}
}

static exec_fn find_fn(uint8_t code)
{
	exec_fn fn = exec_file_fn(code);

	if (!fn)
		fn = exec_map_fn(code);
	if (!fn)
		fn = exec_name_fn(code);
	return fn ? fn : exec_dir_fn(code);
}

static const char *errno_name(int64_t ret, char *buf, size_t size)
{
	if (ret < 0)
		snprintf(buf, size, "%s", strerrorname_np((int)-ret) ?: "?");
	else
		snprintf(buf, size, "%lld", (long long)ret);
	return buf;
}

static void compare(const struct outcome *a, const struct outcome *b, struct diff *diff)
{
	char ta[32], tb[32];
	size_t i;

	if (a->ret != b->ret) {
		diff_set(diff, a->ret < 0 || b->ret < 0 ? "errno" : "result", "result: A %s, B %s",
			 errno_name(a->ret, ta, sizeof(ta)), errno_name(b->ret, tb, sizeof(tb)));
		return;
	}
	if (a->len != b->len) {
		diff_set(diff, "length", "length of the data: A %zu, B %zu", a->len, b->len);
		return;
	}
	if (!a->len || !memcmp(a->data, b->data, a->len))
		return;
	for (i = 0; a->data[i] == b->data[i]; i++)
		;
	diff_set(diff, "data", "data at byte %zu of %zu: A %#x, B %#x", i, a->len, a->data[i],
		 b->data[i]);
}

/* Before an open: would it wait for the other end of a fifo? */
static bool is_fifo(struct ex *ex, const struct op *op)
{
	char path[EXEC_PATH];
	struct stat st;
	int dir;

	if (op->code == OP_REOPEN)
		return !fstat(ex->slot[op->n[1]].fd[SIDE_B], &st) && S_ISFIFO(st.st_mode);
	dir = exec_path(ex, op, op->s[0], SIDE_B, path);
	return !fstatat(dir, path, &st, 0) && S_ISFIFO(st.st_mode);
}

int64_t exec_op(struct ex *ex, const struct op *op, struct diff *diff)
{
	struct outcome o[2] = {{0}, {0}};
	exec_fn fn = find_fn(op->code);
	const char *paths[2];
	unsigned int npaths;
	unsigned int known;

	check_forget(ex, op);
	if (control(ex, op, diff) || !fn || known_skipped(ex, op))
		return 0;
	clock_gettime(CLOCK_REALTIME_COARSE, &ex->began);
	npaths = prog_paths(op, paths);
	for (unsigned int i = 0; i < npaths; i++)
		exec_touch(ex, op, paths[i]);
	ex->fifo = opens(op->code) && is_fifo(ex, op);

	if (known_groupless(ex, op))
		exec_groups(ex, false);
	exec_root(ex, false);
	o[SIDE_A].ret = fn(ex, op, SIDE_A, &o[SIDE_A]);
	known = known_refused(ex, op, o[SIDE_A].ret);
	if (!known)
		o[SIDE_B].ret = fn(ex, op, SIDE_B, &o[SIDE_B]);
	exec_root(ex, true);
	if (known_groupless(ex, op))
		exec_groups(ex, true);
	if (known) {
		ex->skipped[known]++;
		return o[SIDE_A].ret;
	}
	ex->ret = o[SIDE_B].ret;
	ex->count[op->code][o[SIDE_B].ret < 0]++;
	check_note(ex, op, &o[SIDE_B]);
	if (!known_result(ex, op, &o[SIDE_A], &o[SIDE_B]))
		compare(&o[SIDE_A], &o[SIDE_B], diff);
	if (!diff->found && ex->checks)
		check_op(ex, op, diff);
	if (!diff->found && op->code == OP_READDIR)
		exec_scan_compare(ex, &ex->slot[op->n[0]], diff);
	return o[SIDE_B].ret;
}
