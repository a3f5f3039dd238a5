// SPDX-License-Identifier: Apache-2.0
// matrix: every call with every reason to fail, on a share and on a plain directory, by several users.
/*
 * Theory of operation
 *
 * usage: matrix [-c] [-w] [-x] [-v] [-o CALL] MOUNT HOST PLAIN
 *
 * MOUNT shows what HOST holds; HOST and PLAIN lie on one file system. A row (matrix_rows.c) is a case:
 * root prepares a directory for it on both sides, by way of the mount or, with -c, past it, so that the
 * client knows nothing of it; then the caller does the steps on both sides. Compared are what the
 * steps come to, with each other and with what the table says (not with -x: on other file systems than
 * ext4), and everything that is in the directory afterwards, in the mount and on the host: mode, links,
 * owner, size, device, target, and which times have changed.
 *
 * All cases of one caller are prepared first, then a moment passes so that a change of a time shows,
 * then a process that has become the caller does them all. One thread.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "matrix.h"
#include "util.h"

#define CASES_MAX 1024u
#define NEVER     (-ENOTRECOVERABLE) /* the steps were not run */
#define LONG_AGO  100000             /* seconds from now: a time that somebody has set */

enum side { MOUNT, PLAIN, SIDES };

static struct {
	const char *root[SIDES];
	const char *host;
	bool cold, delayed, any_fs, verbose;
	unsigned int failed;
	enum who who;
} conf;

struct one {
	const struct row *row;
	const char *call;
	struct place at[SIDES];
	struct seen *before[SIDES];
	struct seen *before_host;
};

static struct one cases[CASES_MAX];
static size_t n_cases;
/* Shared with the process that does the steps. */
static int (*results)[SIDES];

static const char *const who_name[] = {"root", "owner", "other"};

/* ---- what is there ---- */

struct mark {
	ino_t ino;
	struct timespec mtime, ctime;
};

struct seen {
	size_t n, room;
	struct mark *marks;
};

struct text {
	char *s;
	size_t len, lines;
	char **line;
};

static bool same(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool set_by_hand(struct timespec t)
{
	return labs(t.tv_sec - time(NULL)) > LONG_AGO;
}

static void add_line(struct text *t, char *line)
{
	t->line = realloc(t->line, (t->lines + 1) * sizeof(*t->line));
	t->line[t->lines++] = line;
}

static void describe(int dirfd, const char *name, const char *path, const struct stat *st,
		     const struct seen *before, struct text *t)
{
	char target[300] = "", when[160] = "", *line;
	const struct mark *m = NULL;

	if (S_ISLNK(st->st_mode) && readlinkat(dirfd, name, target, sizeof(target) - 1) < 0)
		snprintf(target, sizeof(target), "?");
	for (size_t i = 0; i < before->n && !m; i++)
		if (before->marks[i].ino == st->st_ino)
			m = &before->marks[i];
	/* Where writes are delayed, times of files are the client's, and get to the host some time. */
	if (m && !(conf.delayed && S_ISREG(st->st_mode)))
		snprintf(when, sizeof(when), "%s%s", same(m->mtime, st->st_mtim) ? "" : " mtime",
			 same(m->ctime, st->st_ctim) ? "" : " ctime");
	else if (!m)
		snprintf(when, sizeof(when), " new");
	if (set_by_hand(st->st_atim))
		snprintf(when + strlen(when), 40, " atime=%ld.%09ld", st->st_atim.tv_sec,
			 st->st_atim.tv_nsec);
	if (set_by_hand(st->st_mtim))
		snprintf(when + strlen(when), 40, " mtime=%ld.%09ld", st->st_mtim.tv_sec,
			 st->st_mtim.tv_nsec);
	if (asprintf(&line, "%.60s %o links %u owner %u:%u size %lld dev %llx%s%s:%s", path,
		     st->st_mode, (unsigned int)st->st_nlink, st->st_uid, st->st_gid,
		     S_ISDIR(st->st_mode) ? 0 : (long long)st->st_size,
		     (unsigned long long)st->st_rdev, *target ? " -> " : "", target, when) < 0)
		abort();
	add_line(t, line);
}

static void walk(int dirfd, const char *at, struct seen *take, const struct seen *before,
		 struct text *t)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *de;

	if (!d)
		return;
	while ((de = readdir(d))) {
		char path[2048];
		struct stat st;
		int sub;

		/* The directory itself once, as "."; a row's thousands of names never. */
		if (strcmp(de->d_name, "..") == 0 || strcmp(de->d_name, "names") == 0 ||
		    (*at && strcmp(de->d_name, ".") == 0))
			continue;
		snprintf(path, sizeof(path), "%s%s", at, de->d_name);
		if (fstatat(fd, de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			memset(&st, 0xff, sizeof(st));
		if (take) {
			take->marks = realloc(take->marks, (take->n + 1) * sizeof(*take->marks));
			take->marks[take->n++] = (struct mark){st.st_ino, st.st_mtim, st.st_ctim};
		}
		if (before)
			describe(fd, de->d_name, path, &st, before, t);
		if (!S_ISDIR(st.st_mode) || strcmp(de->d_name, ".") == 0)
			continue;
		sub = openat(fd, de->d_name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		snprintf(path, sizeof(path), "%s%s/", at, de->d_name);
		if (sub >= 0) {
			walk(sub, path, take, before, t);
			close(sub);
		}
	}
	closedir(d);
}

struct seen *seen_take(int dirfd)
{
	struct seen *s = calloc(1, sizeof(*s));

	if (!s)
		abort();
	walk(dirfd, "", s, NULL, NULL);
	return s;
}

void seen_free(struct seen *s)
{
	if (s)
		free(s->marks);
	free(s);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

char *seen_text(int dirfd, const struct seen *before)
{
	struct text t = {0};
	char *all = strdup("");

	walk(dirfd, "", NULL, before, &t);
	qsort(t.line, t.lines, sizeof(*t.line), by_text);
	for (size_t i = 0; i < t.lines; i++) {
		char *more;

		if (asprintf(&more, "%s    %s\n", all, t.line[i]) < 0)
			abort();
		free(all);
		free(t.line[i]);
		all = more;
	}
	free(t.line);
	return all;
}

/* ---- cases ---- */

static const char *err_name(int r)
{
	return r == NEVER ? "not run" : r == 0 ? "0" : strerrorname_np(-r);
}

static int open_dir(const char *root, const char *name, bool make)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", root, name);
	if (make && (mkdir(path, 0755) < 0 || chown(path, OWNER_ID, OWNER_ID) < 0)) {
		perror(path);
		exit(2);
	}
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		perror(path);
		exit(2);
	}
	return fd;
}

/* A name of its own for each caller: the client may remember those that the host has removed. */
static void name_of(size_t i, char *name, size_t size)
{
	snprintf(name, size, "c%d.%zu", conf.who, i);
}

static void prepare(struct one *one, size_t i)
{
	char name[32];

	name_of(i, name, sizeof(name));
	for (enum side s = 0; s < SIDES; s++) {
		const char *host = s == MOUNT ? conf.host : conf.root[PLAIN];
		struct place p;
		int r;

		p.host = open_dir(host, name, true);
		p.dir = conf.cold ? p.host : open_dir(conf.root[s], name, false);
		r = steps_run(&p, one->row->setup);
		if (r < 0) {
			printf("FAIL: %s on side %d: %s\n", one->row->setup, s, strerror(-r));
			exit(2);
		}
		one->at[s] = (struct place){open_dir(conf.root[s], name, false), p.host};
		if (p.dir != p.host)
			close(p.dir);
	}
}

static void become(enum who who)
{
	const uid_t id = who == WHO_OWNER ? OWNER_ID : OTHER_ID;
	const gid_t group = OWNER_GROUP;

	if (who == WHO_ROOT)
		return;
	if (setgroups(who == WHO_OWNER, &group) < 0 || setgid(id) < 0 || setuid(id) < 0) {
		perror("setuid");
		exit(2);
	}
}

/* The steps of one case on one side; in a process of their own if they leave something behind. */
static void do_one(size_t i, enum side s)
{
	const char *test = cases[i].row->test;
	bool leaves = strstr(test, "run ") || strstr(test, "keep ");
	pid_t pid = leaves ? fork() : 0;

	if (pid == 0) {
		umask(022);
		results[i][s] = steps_run(&cases[i].at[s], test);
		if (leaves)
			_exit(0);
	} else {
		waitpid(pid, NULL, 0);
	}
}

static void do_all(enum who who)
{
	pid_t pid = fork();

	if (pid == 0) {
		become(who);
		for (size_t i = 0; i < n_cases; i++)
			for (enum side s = 0; s < SIDES; s++)
				do_one(i, s);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
}

static void complain(const struct one *one, enum who who, const char *what)
{
	if (what)
		conf.failed++;
	printf("%s: %s: as %s: %s | %s: %s\n", what ? "FAIL" : "ok", one->call, who_name[who],
	       one->row->setup ? one->row->setup : "", one->row->test, what ? what : "");
}

static void compare_results(const struct one *one, const int *got, enum who who)
{
	const struct row *row = one->row;
	int want = -(row->why ? row->share[who] : row->want[who]);
	char what[200];

	if (!conf.any_fs && got[PLAIN] != -row->want[who]) {
		snprintf(what, sizeof(what), "a local file system gives %s, the table has %s",
			 err_name(got[PLAIN]), err_name(-row->want[who]));
		complain(one, who, what);
	}
	/* An allowance that is not used has no reason to be there. */
	if (conf.any_fs && got[MOUNT] == got[PLAIN])
		return;
	if (conf.any_fs && !row->why)
		want = got[PLAIN];
	if (got[MOUNT] != want) {
		snprintf(what, sizeof(what), "the share gives %s and should give %s",
			 err_name(got[MOUNT]), err_name(want));
		complain(one, who, what);
	}
}

static void compare_contents(const struct one *one, enum who who)
{
	char *plain = seen_text(one->at[PLAIN].dir, one->before[PLAIN]);
	char *mount = seen_text(one->at[MOUNT].dir, one->before[MOUNT]);
	char *host = seen_text(one->at[MOUNT].host, one->before_host);

	if (!one->row->stale && strcmp(plain, mount) != 0) {
		complain(one, who, "differs in the mount");
		printf("  plain:\n%s  mount:\n%s", plain, mount);
	}
	if (strcmp(plain, host) != 0) {
		complain(one, who, "differs on the host");
		printf("  plain:\n%s  host:\n%s", plain, host);
	}
	free(plain);
	free(mount);
	free(host);
}

/* ---- clearing away ---- */

static void clear(int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC), flags;
	struct stat st;
	DIR *d;

	if (fd >= 0 && ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0 &&
	    flags & (FS_IMMUTABLE_FL | FS_APPEND_FL)) {
		flags &= ~(FS_IMMUTABLE_FL | FS_APPEND_FL);
		ioctl(fd, FS_IOC_SETFLAGS, &flags);
	}
	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode) && (d = fdopendir(fd))) {
		struct dirent *de;

		while ((de = readdir(d)))
			if (strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0)
				clear(fd, de->d_name);
		closedir(d);
	} else if (fd >= 0) {
		close(fd);
	}
	if (unlinkat(dirfd, name, 0) < 0 && unlinkat(dirfd, name, AT_REMOVEDIR) < 0)
		perror(name);
}

static void clear_case(struct one *one, size_t i)
{
	const char *roots[] = {conf.host, conf.root[PLAIN]};
	char name[32];

	name_of(i, name, sizeof(name));
	seen_free(one->before_host);
	for (enum side s = 0; s < SIDES; s++) {
		int root = open(roots[s], O_PATH | O_CLOEXEC);

		seen_free(one->before[s]);
		one->before[s] = NULL;
		close(one->at[s].dir);
		close(one->at[s].host);
		clear(root, name);
		close(root);
	}
}

/* ---- */

static void moment(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 30000000}, NULL);
}

static void run_as(enum who who)
{
	conf.who = who;
	for (size_t i = 0; i < n_cases; i++)
		prepare(&cases[i], i);
	moment();
	for (size_t i = 0; i < n_cases; i++) {
		for (enum side s = 0; s < SIDES; s++) {
			cases[i].before[s] =
				seen_take(conf.cold ? cases[i].at[s].host : cases[i].at[s].dir);
			results[i][s] = NEVER;
		}
		cases[i].before_host = seen_take(cases[i].at[MOUNT].host);
	}
	moment();
	do_all(who);
	for (size_t i = 0; i < n_cases; i++) {
		unsigned int failed = conf.failed;

		compare_results(&cases[i], results[i], who);
		compare_contents(&cases[i], who);
		if (conf.verbose && conf.failed == failed)
			complain(&cases[i], who, NULL);
	}
	for (size_t i = 0; i < n_cases; i++)
		clear_case(&cases[i], i);
}

static bool there(const char *name)
{
	char path[512];

	if (!name)
		return true;
	snprintf(path, sizeof(path), "%s/%s", conf.root[PLAIN], name);
	return access(path, F_OK) == 0;
}

static void gather(const char *only)
{
	for (size_t i = 0; i < matrix_rows_n; i++) {
		const struct rows *rows = &matrix_rows[i];

		if (only && strcmp(only, rows->call) != 0)
			continue;
		if (!there(rows->needs))
			continue;
		for (size_t j = 0; j < rows->n && n_cases < CASES_MAX; j++)
			if (!conf.delayed || !rows->rows[j].not_delayed)
				cases[n_cases++] =
					(struct one){.row = &rows->rows[j], .call = rows->call};
	}
}

int main(int argc, char **argv)
{
	const char *only = NULL;
	int c;

	if (argc == 2 && strcmp(argv[1], "--pause") == 0)
		steps_pause();
	while ((c = getopt(argc, argv, "cwxvo:")) != -1) {
		conf.cold |= c == 'c';
		conf.delayed |= c == 'w';
		conf.any_fs |= c == 'x';
		conf.verbose |= c == 'v';
		if (c == 'o')
			only = optarg;
		if (c == '?')
			return 2;
	}
	if (argc - optind != 3 || geteuid() != 0) {
		fprintf(stderr,
			"usage: matrix [-c] [-w] [-x] [-v] [-o CALL] MOUNT HOST PLAIN, as root\n");
		return 2;
	}
	/* The steps change the working directory. */
	conf.root[MOUNT] = realpath(argv[optind], NULL);
	conf.host = realpath(argv[optind + 1], NULL);
	conf.root[PLAIN] = realpath(argv[optind + 2], NULL);
	umask(0);
	results = mmap(NULL, CASES_MAX * sizeof(*results), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (results == MAP_FAILED)
		return 2;
	gather(only);
	for (enum who who = 0; who < WHO_COUNT; who++)
		run_as(who);
	printf("%zu cases, %d users, %u differences\n", n_cases, WHO_COUNT, conf.failed);
	return n_cases == 0 || conf.failed != 0;
}
