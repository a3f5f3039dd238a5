// SPDX-License-Identifier: Apache-2.0
/* A test's surroundings: a temporary share, the real daemon on it, and a front-end connected to it. */
/*
 * Theory of operation
 *
 * Each test gets a daemon, a socket and a directory of its own, so tests run beside each other and one
 * that fails harms no other. The daemon dies with us (PDEATHSIG), and the directory goes at the end.
 *
 * Nothing is waited for by sleeping: the daemon's readiness is a line on its stderr, its end is a
 * pidfd that becomes readable, replies are eventfds.
 *
 * A clean end is part of every test: DESTROY, then as many descriptors as before the first request,
 * then the connection is closed and the daemon exits 0. A test that spoils this on purpose says so
 * (fx.dirty, or by hanging up itself). Where there is a DAX window, a clean end leaves nothing in it; and
 * in any case nothing that the front-end forbids was sent.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fd.h"
#include "fx.h"
#include "fz.h"
#include "util.h"

static struct {
	const char *daemon;
	bool packed;
	bool plain;
} env;

/* What is to be cleaned up; still set when a set-up or a tear-down was left by a failed assertion. */
static struct fx *current;

static void clean_up(void);

const char *fx_daemon(void)
{
	return env.daemon;
}

bool fx_packed(void)
{
	return env.packed;
}

bool fx_sanitized(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	return true;
#else
#ifdef __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
	return true;
#endif
#endif
	return false;
#endif
}

bool fx_tsan(void)
{
#ifdef __SANITIZE_THREAD__
	return true;
#else
#ifdef __has_feature
#if __has_feature(thread_sanitizer)
	return true;
#endif
#endif
	return false;
#endif
}

bool fx_fds_flat(unsigned int before, unsigned int now)
{
	return now == before || (fx_tsan() && now > before && now <= before + 4);
}

int fx_main(int argc, char **argv, const char *name, const struct CMUnitTest *tests, size_t n)
{
	char group[64];
	int failed;

	if (argc < 3) {
		fprintf(stderr, "usage: %s DAEMON split|packed|plain [PATTERN]\n", argv[0]);
		return 2;
	}
	env.daemon = argv[1];
	env.packed = strcmp(argv[2], "packed") == 0;
	env.plain = strcmp(argv[2], "plain") == 0;
	if (argc > 3)
		cmocka_set_test_filter(argv[3]);
	umask(022);
	snprintf(group, sizeof(group), "%s %s", name, argv[2]);
	failed = _cmocka_run_group_tests(group, tests, n, NULL, NULL);
	clean_up();
	return failed;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000ll + ts.tv_nsec / 1000000;
}

/* Take what the daemon wrote, waiting for it at most this long. False: its stderr is closed. */
static bool read_log(struct fx *f, int timeout_ms)
{
	struct pollfd pfd = {.fd = f->err_fd, .events = POLLIN};
	char *at = f->log + f->log_len;
	ssize_t n;

	if (poll(&pfd, 1, timeout_ms) <= 0)
		return true;
	if (f->log_len == sizeof(f->log) - 1) {
		/* Keep the end: that is where the reasons are. */
		f->log_len /= 2;
		memmove(f->log, f->log + f->log_len, f->log_len);
		at = f->log + f->log_len;
	}
	n = read(f->err_fd, at, sizeof(f->log) - 1 - f->log_len);
	if (n <= 0)
		return false;
	f->log_len += (size_t)n;
	f->log[f->log_len] = '\0';
	return true;
}

bool fx_wait_log(struct fx *f, const char *text)
{
	int64_t deadline = now_ms() + FX_WAIT_MS;

	while (!strstr(f->log, text)) {
		int64_t left = deadline - now_ms();

		if (left <= 0 || !read_log(f, (int)left))
			return strstr(f->log, text);
	}
	return true;
}

unsigned int fx_log_count(struct fx *f, const char *text)
{
	size_t before;
	unsigned int n = 0;

	do
		before = f->log_len;
	while (read_log(f, 0) && f->log_len != before);
	for (const char *line = f->log; *line;) {
		const char *end = strchrnul(line, '\n');

		if (memmem(line, (size_t)(end - line), text, strlen(text)))
			n++;
		line = *end ? end + 1 : end;
	}
	return n;
}

/* In the child: become the daemon. */
static void run_daemon(const struct fx *f, int err_fd, const char *const *argv)
{
	const char *words[FX_ARGS_MAX + 8] = {env.daemon};
	unsigned int n = 1;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (*argv && n < ARRAY_SIZE(words) - 1)
		words[n++] = *argv++;
	if (f->opts->nofile) {
		struct rlimit lim = {f->opts->nofile, f->opts->nofile};

		setrlimit(RLIMIT_NOFILE, &lim);
	}
	if (f->opts->uid) {
		if (setgroups(0, NULL) < 0 || setgid(f->opts->uid) < 0 || setuid(f->opts->uid) < 0)
			_exit(126);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	}
	dup2(err_fd, STDERR_FILENO);
	/* A sanitized daemon ends at the first mistake, which its exit status then tells. */
	setenv("UBSAN_OPTIONS", "halt_on_error=1:print_stacktrace=1", 0);
	execv(words[0], (char **)(uintptr_t)words);
	_exit(127);
}

void fx_spawn(struct fx *f, const char *const *argv)
{
	int err[2];

	assert_int_equal(pipe2(err, O_CLOEXEC), 0);
	f->pid = fork();
	if (f->pid == 0)
		run_daemon(f, err[1], argv);
	assert_true(f->pid > 0);
	fd_close(&err[1]);
	fd_close(&f->err_fd);
	f->err_fd = err[0];
	f->log_len = 0;
	f->log[0] = '\0';
}

void fx_start(struct fx *f)
{
	const char *words[FX_ARGS_MAX + 8] = {"--shared-dir", f->share, "--socket-path", f->sock};
	unsigned int n = 4;
	char seccomp[32];

	/* Namespaces need root. Where there is no other process, leaks are looked for at the end. */
	if (geteuid() != 0 || env.plain)
		words[n++] = "--sandbox=none";
	/* `meson test --setup trap` */
	snprintf(seccomp, sizeof(seccomp), "--seccomp=%s", getenv("CULVERT_SECCOMP") ?: "");
	if (getenv("CULVERT_SECCOMP"))
		words[n++] = seccomp;
	for (unsigned int i = 0; f->opts->args[i]; i++)
		words[n++] = f->opts->args[i];
	fx_spawn(f, words);
	if (!fx_wait_log(f, "Waiting for vhost-user socket connection"))
		fail_msg("the daemon does not listen: %s", f->log);
}

void fx_connect(struct fx *f)
{
	struct vuf_conf conf = f->opts->vuf;
	int sock;

	conf.packed = env.packed;
	conf.no_indirect |= env.plain;
	conf.no_event_idx |= env.plain;
	conf.timeout_ms = FX_WAIT_MS;
	if (!f->v) {
		assert_int_equal(vuf_new(&conf, &f->v), 0);
		f->q = vuf_req_new(f->v, (1 << 20) + 4096, (1 << 20) + 4096);
		assert_non_null(f->q);
	}
	sock = vuf_connect(f->sock);
	if (sock < 0)
		fail_msg("cannot connect: %s", strerror(-sock));
	vuf_attach(f->v, sock);
}

void fx_drop(struct fx *f)
{
	if (f->v)
		vuf_req_free(f->q);
	vuf_free(f->v);
	f->v = NULL;
	f->q = NULL;
}

void fx_settle(struct fx *f)
{
	struct fuse_forget_in in = {0};

	for (unsigned int i = 0; i < f->v->nrings; i++) {
		vuf_req_begin(f->q, FUSE_FORGET, FUSE_ROOT_ID);
		vuf_req_add(f->q, &in, sizeof(in));
		f->q->out_len = 0;
		assert_int_equal(vuf_req_call(f->q, &f->v->ring[i]), 0);
	}
}

/* With a DAX window the daemon goes on to try what the front-end maps: until the number stands still. */
static unsigned int fds_at_rest(const struct fx *f)
{
	unsigned int n = fx_count_fds(f);

	for (unsigned int i = 0; vuf_dax_size(f->v) && i < 5; i++) {
		unsigned int now;

		usleep(2000);
		now = fx_count_fds(f);
		if (now != n)
			i = 0;
		n = now;
	}
	return n;
}

void fx_up(struct fx *f, bool init)
{
	int r = vuf_bring_up(f->v);

	if (r < 0)
		fail_msg("the device does not come up: %s", strerror(-r));
	if (!init)
		return;
	r = vuf_fuse_init(f->v, f->opts->minor ? f->opts->minor : FX_MINOR,
			  f->opts->flags ? f->opts->flags : FX_LINUX_FLAGS, &f->init);
	if (r < 0)
		fail_msg("INIT fails: %s", strerror(-r));
	fx_settle(f);
	f->fds = fx_seen(f) ? fds_at_rest(f) : 0;
}

int fx_wait_exit(struct fx *f, int timeout_ms)
{
	scoped_fd int pidfd = (int)syscall(SYS_pidfd_open, f->pid, 0);
	struct pollfd pfd = {.fd = pidfd, .events = POLLIN};
	int64_t deadline = now_ms() + timeout_ms;
	int status;

	/* Read on, so that a full pipe is not what keeps it. */
	while (poll(&pfd, 1, 50) == 0) {
		if (now_ms() > deadline)
			return -1;
		fx_log_count(f, "");
	}
	waitpid(f->pid, &status, 0);
	f->pid = 0;
	fx_log_count(f, "");
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

pid_t fx_serving_pid(const struct fx *f)
{
	static const char ours[] = "virtiofsd";
	char path[64], buf[64] = "", comm[sizeof(ours) - 1];
	scoped_fd int fd = -1, comm_fd = -1;
	pid_t child;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", f->pid, f->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, buf, sizeof(buf) - 1) <= 0)
		return f->pid;
	child = (pid_t)strtol(buf, NULL, 10);
	/* A sanitizer may have a helper. */
	snprintf(path, sizeof(path), "/proc/%d/comm", child);
	comm_fd = open(path, O_RDONLY | O_CLOEXEC);
	return comm_fd >= 0 && read(comm_fd, comm, sizeof(comm)) == sizeof(comm) &&
			       memcmp(comm, ours, sizeof(comm)) == 0
		       ? child
		       : f->pid;
}

bool fx_seen(const struct fx *f)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/fd", fx_serving_pid(f));
	return access(path, R_OK) == 0;
}

unsigned int fx_count_fds(const struct fx *f)
{
	char path[64];
	unsigned int n = 0;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/fd", fx_serving_pid(f));
	d = opendir(path);
	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

unsigned int fx_count_threads(const struct fx *f, const char *name)
{
	char path[320], comm[32];
	const struct dirent *e;
	unsigned int n = 0;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/task", fx_serving_pid(f));
	d = opendir(path);
	assert_non_null(d);
	while ((e = readdir(d))) {
		FILE *s;

		snprintf(path, sizeof(path), "/proc/%d/task/%s/comm", fx_serving_pid(f), e->d_name);
		s = fopen(path, "re");
		if (s && fgets(comm, sizeof(comm), s)) {
			comm[strcspn(comm, "\n")] = '\0';
			n += strcmp(comm, name) == 0;
		}
		if (s)
			fclose(s);
	}
	closedir(d);
	return n;
}

unsigned int fx_count_maps(const struct fx *f, const char *text)
{
	char line[512];
	unsigned int n = 0;
	FILE *s;

	snprintf(line, sizeof(line), "/proc/%d/maps", fx_serving_pid(f));
	s = fopen(line, "re");
	assert_non_null(s);
	while (fgets(line, sizeof(line), s))
		n += strstr(line, text) != NULL;
	fclose(s);
	return n;
}

uint64_t fx_rss(const struct fx *f)
{
	char path[64];
	unsigned long size, resident;
	FILE *s;

	snprintf(path, sizeof(path), "/proc/%d/statm", fx_serving_pid(f));
	s = fopen(path, "re");
	assert_non_null(s);
	assert_int_equal(fscanf(s, "%lu %lu", &size, &resident), 2);
	fclose(s);
	return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t fx_proc(const struct fx *f, const char *file, const char *key)
{
	char path[64], line[256];
	uint64_t n = 0;
	FILE *s;

	snprintf(path, sizeof(path), "/proc/%d/%.16s", fx_serving_pid(f), file);
	s = fopen(path, "re");
	assert_non_null(s);
	while (fgets(line, sizeof(line), s)) {
		if (!strncmp(line, key, strlen(key))) {
			n = strtoull(line + strlen(key), NULL, 10);
			break;
		}
	}
	fclose(s);
	return n;
}

const char *fx_path(const struct fx *f, const char *name)
{
	static char buf[8][512];
	static unsigned int next;
	char *at = buf[next++ % ARRAY_SIZE(buf)];

	snprintf(at, sizeof(buf[0]), "%s/%s", f->share, name);
	return at;
}

void fx_put(const struct fx *f, const char *name, const void *bytes, size_t len, mode_t mode)
{
	scoped_fd int fd = open(fx_path(f, name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), len);
	assert_int_equal(fchmod(fd, mode), 0);
}

struct stat fx_stat(const struct fx *f, const char *name)
{
	struct stat st;

	if (lstat(fx_path(f, name), &st) < 0)
		fail_msg("%s is not there: %s", name, strerror(errno));
	return st;
}

int fx_stall(const struct fx *f, const char *name)
{
	scoped_fd int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	char opts[64];

	if (fd < 0) {
		print_message("needs /dev/fuse: %s\n", strerror(errno));
		skip();
	}
	assert_true(f->opts->tmpfs);
	assert_int_equal(mkdir(fx_path(f, name), 0755), 0);
	snprintf(opts, sizeof(opts), "fd=%d,rootmode=40000,user_id=0,group_id=0", fd);
	assert_int_equal(mount("stall", fx_path(f, name), "fuse", 0, opts), 0);
	return fd_steal(&fd);
}

void fx_need_root(void)
{
	if (geteuid() != 0) {
		print_message("needs root\n");
		skip();
	}
}

static void make_share(struct fx *f)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(f->dir, sizeof(f->dir), "%.30s/culvert-test-XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(f->dir));
	assert_int_equal(chmod(f->dir, 0755), 0);
	snprintf(f->share, sizeof(f->share), "%s/share", f->dir);
	snprintf(f->sock, sizeof(f->sock), "%s/sock", f->dir);
	assert_int_equal(mkdir(f->share, 0755), 0);
	if (f->opts->uid && geteuid() == 0) {
		assert_int_equal(chown(f->dir, f->opts->uid, f->opts->uid), 0);
		assert_int_equal(chown(f->share, f->opts->uid, f->opts->uid), 0);
	}
	if (f->opts->tmpfs && geteuid() == 0) {
		/* Mounted where nobody else sees it, and gone with us in any case. */
		assert_int_equal(unshare(CLONE_NEWNS), 0);
		assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
		assert_int_equal(mount("tmpfs", f->share, "tmpfs", 0, "mode=755,nr_inodes=0"), 0);
		/* What is mounted in it later reaches the daemon's namespace. */
		assert_int_equal(mount(NULL, f->share, NULL, MS_SHARED, NULL), 0);
	}
}

int fx_setup(void **state)
{
	static const struct fx_opts usual;
	struct fx *f;

	clean_up();
	f = calloc(1, sizeof(*f));
	assert_non_null(f);
	current = f;
	f->opts = *state ? *state : &usual;
	f->err_fd = -1;
	f->ring = 1;
	*state = f;
	make_share(f);
	if (f->opts->no_start)
		return 0;
	fx_start(f);
	if (f->opts->no_connect)
		return 0;
	fx_connect(f);
	if (!f->opts->no_up)
		fx_up(f, !f->opts->no_init);
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

/* Less than at the beginning is no leak: then, too, one may not have been closed yet. */
static bool leaks(const struct fx *f)
{
	unsigned int now = fx_count_fds(f);

	return now > f->fds && !fx_fds_flat(f->fds, now);
}

/* Which descriptors there are where another number was expected. */
static void list_fds(const struct fx *f)
{
	char path[320], to[256];
	const struct dirent *e;
	DIR *d;

	print_message("%u descriptors, %u expected:\n", fx_count_fds(f), f->fds);
	snprintf(path, sizeof(path), "/proc/%d/fd", fx_serving_pid(f));
	d = opendir(path);
	assert_non_null(d);
	while ((e = readdir(d))) {
		ssize_t n;

		snprintf(path, sizeof(path), "/proc/%d/fd/%s", fx_serving_pid(f), e->d_name);
		n = readlink(path, to, sizeof(to) - 1);
		if (n > 0)
			print_message("  %s %.*s\n", e->d_name, (int)n, to);
	}
	closedir(d);
}

/* What a clean end is. Returns NULL, or what is wrong. */
static const char *end_well(struct fx *f)
{
	int status;

	if (f->fds && f->v->sock >= 0) {
		if (fz_call(f, FUSE_DESTROY, 0, NULL, 0, NULL, 0, NULL) != 0)
			return "DESTROY failed";
		fx_settle(f);
		if (vuf_dax_size(f->v))
			vuf_dax_quiet(f->v, FX_WAIT_MS);
		/* What came with the last message is closed after its answer. */
		for (unsigned int i = 0; i < 500 && leaks(f); i++)
			usleep(20000);
		if (leaks(f)) {
			list_fds(f);
			return "descriptors leak";
		}
		if (vuf_dax_stats(f->v).live)
			return "mappings outlive the session";
	}
	vuf_hangup(f->v);
	status = fx_wait_exit(f, FX_WAIT_MS);
	if (status < 0)
		return "the daemon does not exit after a hang-up";
	return status ? "the daemon's exit status is not 0" : NULL;
}

static void clean_up(void)
{
	struct fx *f = current;

	current = NULL;
	if (!f)
		return;
	if (f->pid) {
		kill(f->pid, SIGKILL);
		waitpid(f->pid, NULL, 0);
	}
	fx_drop(f);
	if (f->opts->tmpfs && geteuid() == 0)
		umount2(f->share, MNT_DETACH);
	nftw(f->dir, remove_one, 32, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
	fd_close(&f->err_fd);
	free(f);
}

int fx_teardown(void **state)
{
	struct fx *f = *state;
	const char *wrong = NULL;

	if (f->pid && f->v && !f->dirty)
		wrong = end_well(f);
	if (f->v && vuf_dax_wrong(f->v)) {
		print_error("forbidden by %s:\n%s", f->v->conf.rules->name, vuf_dax_wrong(f->v));
		wrong = "the daemon sent what is forbidden";
	}
	if (wrong)
		print_error("%s; it said:\n%s\n", wrong, f->log);
	clean_up();
	return wrong ? -1 : 0;
}
