// SPDX-License-Identifier: Apache-2.0
/* virtiofs-bench: what is measured: a daemon, the ring echo, the native loop. */
/*
 * Theory of operation
 *
 * A daemon's process is known from its end of the socket (SO_PEERCRED: who called listen(2)); a sandbox
 * has made children of it, so all descendants count. What they have used is read from /proc for each
 * thread: run time to the nanosecond, which the kernel brings up to date when a thread stops running. So
 * before it is read the threads get some time to fall asleep.
 *
 * The connection stays for the whole run: most daemons end with their front-end.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "fd.h"
#include "parse.h"
#include "util.h"

#define PIDS_MAX  64u
#define SETTLE_NS 500000 /* between looks whether the daemon sleeps */
#define SETTLES   40u

/* Linux 6.1's, less what takes more than messages (submounts, DAX, security contexts). */
#define INIT_MINOR 37u
#define INIT_FLAGS                                                                             \
	(FUSE_ASYNC_READ | FUSE_POSIX_LOCKS | FUSE_ATOMIC_O_TRUNC | FUSE_EXPORT_SUPPORT |      \
	 FUSE_BIG_WRITES | FUSE_DONT_MASK | FUSE_SPLICE_WRITE | FUSE_SPLICE_MOVE |             \
	 FUSE_SPLICE_READ | FUSE_FLOCK_LOCKS | FUSE_HAS_IOCTL_DIR | FUSE_AUTO_INVAL_DATA |     \
	 FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO | FUSE_ASYNC_DIO | FUSE_WRITEBACK_CACHE | \
	 FUSE_NO_OPEN_SUPPORT | FUSE_PARALLEL_DIROPS | FUSE_HANDLE_KILLPRIV | FUSE_POSIX_ACL | \
	 FUSE_ABORT_ERROR | FUSE_MAX_PAGES | FUSE_CACHE_SYMLINKS | FUSE_NO_OPENDIR_SUPPORT |   \
	 FUSE_EXPLICIT_INVAL_DATA | FUSE_HANDLE_KILLPRIV_V2 | FUSE_SETXATTR_EXT)

#define MEM_SIZE (512ull << 20)

int arm_parse(struct arm *a, const char *text)
{
	char *copy = strdup(text), *eq, *comma, *base;
	uint64_t pid = 0;
	int r = 0;

	memset(a, 0, sizeof(*a));
	if (!copy)
		return -ENOMEM;
	if (!strcmp(text, "native") || !strcmp(text, "null") || !strcmp(text, "null-poll")) {
		a->kind = text[1] == 'a' ? ARM_NATIVE : ARM_NULL;
		a->poll = !strcmp(text, "null-poll");
		a->name = copy;
		return 0;
	}
	comma = strstr(copy, ",pid=");
	if (comma) {
		*comma = 0;
		r = parse_u64(comma + 5, INT32_MAX, &pid);
	}
	eq = strchr(copy, '=');
	base = eq ? eq + 1 : copy;
	a->socket = strdup(base);
	if (eq)
		*eq = 0;
	else if (strrchr(copy, '/'))
		base = strrchr(copy, '/') + 1;
	a->name = strdup(eq ? copy : base);
	a->pid = (pid_t)pid;
	if (!a->socket || !a->name || !*a->name || !*a->socket)
		r = -EINVAL;
	free(copy);
	return r;
}

/* How many request queues the daemon has, without owning it yet. */
static int ask_queues(int sock, unsigned int want, unsigned int *ret)
{
	struct vuf_conf conf = {.rings = 2};
	uint64_t features, proto, n = 2, mq = 1ull << VU_PROTOCOL_F_MQ;
	struct vuf *v;
	int r = vuf_new(&conf, &v);

	if (r < 0)
		return r;
	v->sock = sock;
	r = vuf_get_u64(v, VU_GET_FEATURES, &features);
	if (r == 0)
		r = vuf_get_u64(v, VU_GET_PROTOCOL_FEATURES, &proto);
	if (r == 0 && proto & mq) {
		r = vuf_set_u64(v, VU_SET_PROTOCOL_FEATURES, mq);
		if (r == 0)
			r = vuf_get_u64(v, VU_GET_QUEUE_NUM, &n);
	}
	v->sock = -1;
	vuf_free(v);
	if (r == 0)
		*ret = n > 2 ? MIN(want, (unsigned int)n - 1) : 1;
	return r;
}

static int connect_daemon(struct arm *a)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	int sock = vuf_connect(a->socket);

	if (sock < 0)
		return sock;
	if (!a->pid && getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0)
		a->pid = cred.pid;
	return sock;
}

static int bring_up(struct arm *a, int sock)
{
	struct vuf_region mem = {.gpa = 0, .size = MEM_SIZE, .fd = -1};
	struct vuf_conf conf = {
		.rings = 1 + a->queues,
		.ring_size = BENCH_RING,
		.region = &mem,
		.nregions = 1,
		.proto = VUF_PROTO_ALL &
			 ~(1ull << VU_PROTOCOL_F_LOG_SHMFD | 1ull << VU_PROTOCOL_F_INFLIGHT_SHMFD),
		.timeout_ms = BENCH_WAIT_MS,
	};
	int r = vuf_new(&conf, &a->v);

	if (r < 0)
		return r;
	if (a->kind == ARM_NULL)
		return echo_start(a->v, a->poll, &a->echo);
	vuf_attach(a->v, sock);
	r = vuf_bring_up(a->v);
	if (r == 0)
		r = vuf_fuse_init(a->v, INIT_MINOR, INIT_FLAGS, &a->init);
	return r;
}

int arm_open(struct arm *a, unsigned int queues, const struct files *f)
{
	const char *what = "connecting";
	int r = 0, sock = -1;

	for (unsigned int i = 0; i < DIRS; i++) {
		a->ids[i].id = calloc(f->dir[i].n, sizeof(*a->ids[i].id));
		a->ids[i].refs = calloc(f->dir[i].n, sizeof(*a->ids[i].refs));
		if (!a->ids[i].id || !a->ids[i].refs)
			return -ENOMEM;
	}
	a->queues = queues;
	if (a->kind == ARM_NATIVE)
		return 0;
	if (a->kind == ARM_DAEMON) {
		r = sock = connect_daemon(a);
		if (r >= 0) {
			what = "asking for its queues";
			r = ask_queues(sock, queues, &a->queues);
		}
	}
	if (r >= 0) {
		what = "starting rings and session";
		r = bring_up(a, fd_steal(&sock));
	}
	fd_close(&sock);
	if (r < 0)
		fprintf(stderr, "virtiofs-bench: %s: %s: %s\n", a->socket ? a->socket : a->name,
			what, strerror(-r));
	return MIN(r, 0);
}

void arm_close(struct arm *a)
{
	echo_stop(a->echo);
	for (unsigned int i = 0; i < DIRS; i++) {
		free(a->ids[i].id);
		free(a->ids[i].refs);
	}
	for (unsigned int i = 0; a->v && a->v->sock >= 0 && i < a->v->nrings; i++)
		vuf_ring_stop(a->v, i, NULL);
	vuf_free(a->v);
	free(a->socket);
	free(a->name);
}

/* ---- processes ---- */

static ssize_t read_file(const char *path, char *buf, size_t size)
{
	scoped_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, size - 1);

	buf[MAX(n, 0)] = 0;
	return n;
}

static pid_t parent_of(pid_t pid)
{
	char path[64], buf[512], *end;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	read_file(path, buf, sizeof(buf));
	/* The name in brackets may hold anything. */
	end = strrchr(buf, ')');
	return end && strlen(end) > 4 ? (pid_t)strtol(end + 4, NULL, 10) : -1;
}

/* @pid and all its descendants. */
static unsigned int family(pid_t pid, pid_t *ret)
{
	unsigned int n = 1, before = 0;
	DIR *proc = opendir("/proc");

	ret[0] = pid;
	while (proc && n != before && n < PIDS_MAX) {
		struct dirent *e;

		before = n;
		rewinddir(proc);
		while ((e = readdir(proc)) && n < PIDS_MAX) {
			pid_t p = (pid_t)strtol(e->d_name, NULL, 10), up;
			bool known = p <= 0;

			for (unsigned int i = 0; i < n; i++)
				known |= ret[i] == p;
			up = known ? -1 : parent_of(p);
			for (unsigned int i = 0; up > 0 && i < n; i++)
				if (ret[i] == up) {
					ret[n++] = p;
					break;
				}
		}
	}
	if (proc)
		closedir(proc);
	return n;
}

/* Call @fn for each thread of the arm. */
static void each_task(const struct arm *a, void (*fn)(const char *task, void *arg), void *arg)
{
	pid_t pids[PIDS_MAX];
	char path[320];
	unsigned int n;

	if (a->kind == ARM_NULL) {
		snprintf(path, sizeof(path), "/proc/self/task/%d", echo_tid(a->echo));
		fn(path, arg);
		return;
	}
	n = a->kind == ARM_DAEMON && a->pid > 0 ? family(a->pid, pids) : 0;
	for (unsigned int i = 0; i < n; i++) {
		struct dirent *e;
		DIR *d;

		snprintf(path, sizeof(path), "/proc/%d/task", pids[i]);
		d = opendir(path);
		while (d && (e = readdir(d))) {
			if (!isdigit((unsigned char)e->d_name[0]))
				continue;
			snprintf(path, sizeof(path), "/proc/%d/task/%s", pids[i], e->d_name);
			fn(path, arg);
		}
		if (d)
			closedir(d);
	}
}

static void pin_task(const char *task, void *arg)
{
	sched_setaffinity((pid_t)strtol(strrchr(task, '/') + 1, NULL, 10), sizeof(cpu_set_t), arg);
}

void arm_pin(const struct arm *a, const cpu_set_t *cpus)
{
	cpu_set_t set = *cpus;

	each_task(a, pin_task, &set);
}

static void task_usage(const char *task, void *arg)
{
	struct usage *u = arg;
	char path[384], buf[4096];
	const char *at;

	snprintf(path, sizeof(path), "%s/schedstat", task);
	if (read_file(path, buf, sizeof(buf)) > 0)
		u->cpu_ns += strtoull(buf, NULL, 10);
	snprintf(path, sizeof(path), "%s/status", task);
	read_file(path, buf, sizeof(buf));
	at = strstr(buf, "\nvoluntary_ctxt_switches:");
	if (at)
		u->waits += strtoull(at + 25, NULL, 10);
	at = strstr(buf, "\nnonvoluntary_ctxt_switches:");
	if (at)
		u->preempts += strtoull(at + 28, NULL, 10);
}

static void task_running(const char *task, void *arg)
{
	char path[384], buf[512];
	const char *end;

	snprintf(path, sizeof(path), "%s/stat", task);
	read_file(path, buf, sizeof(buf));
	end = strrchr(buf, ')');
	if (end && end[1] && end[2] == 'R')
		*(bool *)arg = true;
}

struct usage arm_usage(const struct arm *a)
{
	struct timespec ts = {.tv_nsec = SETTLE_NS};
	struct usage u = {0};

	for (unsigned int i = 0; i < SETTLES; i++) {
		bool running = false;

		nanosleep(&ts, NULL);
		each_task(a, task_running, &running);
		if (!running)
			break;
	}
	each_task(a, task_usage, &u);
	return u;
}

static uint64_t count_fds(pid_t pid)
{
	char path[64];
	uint64_t n = 0;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	d = opendir(path);
	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n > 2 ? n - 2 : 0;
}

/* All that is resident but the mappings of the guest's memory, which vuf_mem has named. */
static uint64_t resident(pid_t pid)
{
	char path[64], line[512];
	bool counts = true;
	uint64_t kib = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/smaps", pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (isdigit((unsigned char)line[0]) || (line[0] >= 'a' && line[0] <= 'f'))
			counts = !strstr(line, "/memfd:guest memory");
		else if (counts && !strncmp(line, "Rss:", 4))
			kib += strtoull(line + 4, NULL, 10);
	}
	if (f)
		fclose(f);
	return kib * 1024;
}

struct footprint arm_footprint(const struct arm *a)
{
	struct footprint fp = {0};
	pid_t pids[PIDS_MAX];
	unsigned int n = a->kind == ARM_DAEMON && a->pid > 0 ? family(a->pid, pids) : 0;

	for (unsigned int i = 0; i < n; i++) {
		fp.rss += resident(pids[i]);
		fp.fds += count_fds(pids[i]);
	}
	return fp;
}
