// SPDX-License-Identifier: Apache-2.0
// Operations on mapped files.
/*
 * Theory of operation
 *
 * Touching a mapping behind the end of its file raises SIGBUS, which is a result like others: the
 * access is left by siglongjmp() and gives -EFAULT. Writes stay within the file (the descriptor of
 * side B that a mapping keeps tells its size): what is written between the end of a file and the end
 * of its last page is undefined once the file grows. One thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "exec.h"

static sigjmp_buf bus_jump;
static volatile sig_atomic_t bus_armed;

static void on_bus(int sig)
{
	if (bus_armed)
		siglongjmp(bus_jump, 1);
	signal(sig, SIG_DFL);
	raise(sig);
}

void exec_map_init(void)
{
	struct sigaction sa = {.sa_handler = on_bus, .sa_flags = SA_NODEFER};

	sigaction(SIGBUS, &sa, NULL);
	sigaction(SIGSEGV, &sa, NULL); /* a write where only reading is allowed */
}

void exec_close_map(struct map *m)
{
	for (int i = 0; i < 2; i++)
		if (m->addr[i])
			munmap(m->addr[i], m->len);
	if (m->fd_b >= 0)
		close(m->fd_b);
	*m = (struct map){.fd_b = -1};
}

static int64_t do_mmap(struct ex *ex, const struct op *op, enum side side, struct outcome *o)
{
	struct map *m = &ex->map[op->n[0]];
	int fd = ex->slot[op->n[1]].fd[side];
	void *addr;

	(void)o;
	if (side == SIDE_A)
		exec_close_map(m);
	if (op->n[3] <= 0 || op->n[3] > EXEC_BUF)
		return -EINVAL;
	addr = mmap(NULL, (size_t)op->n[3], (int)op->n[4], (int)op->n[5], fd, op->n[2]);
	if (addr == MAP_FAILED)
		return -errno;
	m->addr[side] = addr;
	m->len = (size_t)op->n[3];
	m->off = op->n[2];
	m->shared = op->n[5] == MAP_SHARED;
	if (side == SIDE_B)
		m->fd_b = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return 0;
}

/* How far from @off a mapping may be touched; or a negative errno. */
static int64_t reach(const struct map *m, enum side side, int64_t off, int64_t len)
{
	if (!m->addr[side] || off < 0 || len < 0 || (size_t)off >= m->len)
		return -EINVAL;
	return (size_t)len > m->len - (size_t)off ? (int64_t)m->len - off : len;
}

/* memcpy(), or false when a page cannot be had. */
static __attribute__((noinline)) bool guarded_copy(void *dst, const void *src, size_t len)
{
	if (sigsetjmp(bus_jump, 0)) {
		bus_armed = 0;
		return false;
	}
	bus_armed = 1;
	memcpy(dst, src, len);
	bus_armed = 0;
	return true;
}

static int64_t do_mread(struct ex *ex, const struct op *op, enum side side, struct outcome *o)
{
	struct map *m = &ex->map[op->n[0]];
	int64_t len = reach(m, side, op->n[1], op->n[2]);

	if (len < 0)
		return len;
	if (!guarded_copy(ex->buf[side], (char *)m->addr[side] + op->n[1], (size_t)len))
		return -EFAULT;
	o->data = ex->buf[side];
	o->len = (size_t)len;
	return len;
}

static int64_t do_mwrite(struct ex *ex, const struct op *op, enum side side, struct outcome *o)
{
	struct map *m = &ex->map[op->n[0]];
	int64_t len = reach(m, side, op->n[1], op->n[2]);
	struct stat st;

	(void)o;
	if (len < 0)
		return len;
	if (m->shared && !fstat(m->fd_b, &st) && op->n[1] + m->off + len > st.st_size) {
		len = st.st_size - m->off - op->n[1];
		if (len <= 0)
			return 0;
	}
	exec_fill(ex->buf[side], (size_t)len, op->n[3], op->n[1] + m->off);
	if (!guarded_copy((char *)m->addr[side] + op->n[1], ex->buf[side], (size_t)len))
		return -EFAULT;
	return len;
}

static int64_t do_msync(struct ex *ex, const struct op *op, enum side side, struct outcome *o)
{
	struct map *m = &ex->map[op->n[0]];

	(void)o;
	if (!m->addr[side])
		return -EINVAL;
	return exec_result(msync(m->addr[side], m->len, (int)op->n[1]));
}

static int64_t do_munmap(struct ex *ex, const struct op *op, enum side side, struct outcome *o)
{
	struct map *m = &ex->map[op->n[0]];
	int64_t r;

	(void)o;
	if (!m->addr[side])
		return -EINVAL;
	r = exec_result(munmap(m->addr[side], m->len));
	m->addr[side] = NULL;
	if (side == SIDE_B)
		exec_close_map(m);
	return r;
}

exec_fn exec_map_fn(uint8_t code)
{
	static const exec_fn fns[OP_COUNT] = {
		[OP_MMAP] = do_mmap,   [OP_MREAD] = do_mread,   [OP_MWRITE] = do_mwrite,
		[OP_MSYNC] = do_msync, [OP_MUNMAP] = do_munmap,
	};

	return fns[code];
}
