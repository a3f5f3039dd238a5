// SPDX-License-Identifier: Apache-2.0
// races: what must hold on a file system while others change the same files and directories.
/*
 * Theory of operation
 *
 * usage: races DIR HOST
 *
 * DIR shows what HOST holds; the second may be the same. Each test has a rule that a local file system
 * keeps at any time, and processes that work on the same objects at once: whoever sees the rule broken
 * says so, and the exit status is 1. Children are ended by a pipe that closes.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util.h"

#define MANY    100000u
#define EVERY   10u /* of MANY, one stays */
#define RECORDS 1500u
#define WRITERS 4u
#define SIZE    (1u << 20)
#define ROUNDS  150u

static const char *dir, *host;
static int failures;

__attribute__((format(printf, 1, 2))) static void fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	printf("FAIL: ");
	vprintf(fmt, ap);
	printf("\n");
	fflush(stdout);
	va_end(ap);
	failures++;
}

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	printf("FAIL: %s: %s\n", what, strerror(errno));
	fflush(stdout);
	exit(2);
}

static const char *path(const char *root, const char *name)
{
	static char buf[4][512];
	static unsigned int turn;
	char *p = buf[turn++ % 4];

	snprintf(p, sizeof(buf[0]), "%s/%s", root, name);
	return p;
}

static pid_t spawn(void (*fn)(unsigned int), unsigned int arg)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	must(pid >= 0, "fork");
	if (pid == 0) {
		failures = 0;
		fn(arg);
		fflush(stdout);
		_exit(failures != 0);
	}
	return pid;
}

static void reap(pid_t pid, bool kill_it)
{
	int status;

	if (kill_it)
		kill(pid, SIGKILL);
	must(waitpid(pid, &status, 0) == pid, "waitpid");
	if (!(kill_it && WIFSIGNALED(status)) && status != 0)
		failures++;
}

/* ---- a directory with 100,000 files, of which some come and go while it is read ---- */

static bool stays(unsigned int i)
{
	return i % EVERY == 0;
}

/* Removes and makes the files that do not stay, again and again, by way of the mount. */
static void churn(unsigned int arg)
{
	int d = open(path(dir, "many"), O_PATH | O_DIRECTORY | O_CLOEXEC);
	char name[32];

	must(d >= 0, "many");
	for (unsigned int i = arg;; i = (i * 7 + 13) % MANY) {
		int fd;

		if (stays(i))
			continue;
		snprintf(name, sizeof(name), "f%u", i);
		unlinkat(d, name, 0);
		snprintf(name, sizeof(name), "new%u", i);
		fd = openat(d, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
		close(fd);
	}
}

/* Each name that stays must come once, none twice. */
static void read_all(DIR *d, const char *what)
{
	uint8_t *seen = calloc(1, MANY);
	unsigned int n = 0;
	struct dirent *de;

	must(seen != NULL, "calloc");
	errno = 0;
	while ((de = readdir(d))) {
		unsigned int i;

		if (sscanf(de->d_name, "f%u", &i) != 1 || i >= MANY)
			continue;
		if (seen[i]++)
			fail("%s: %s comes twice", what, de->d_name);
		n += stays(i);
	}
	if (errno)
		fail("%s: readdir: %s", what, strerror(errno));
	if (n != MANY / EVERY)
		fail("%s: %u names that stay, not %u", what, n, MANY / EVERY);
	free(seen);
}

/* Positions that were told lead back to the entries that came then. */
static void seek_back(DIR *d)
{
	struct {
		long pos;
		char name[256];
	} mark[64];
	unsigned int n = 0, i = 0;
	struct dirent *de;
	long pos = telldir(d);

	while (n < ARRAY_SIZE(mark) && (de = readdir(d))) {
		unsigned int number;

		if (i++ % 1000 == 0 && sscanf(de->d_name, "f%u", &number) == 1 && stays(number)) {
			mark[n].pos = pos;
			snprintf(mark[n++].name, sizeof(mark[0].name), "%s", de->d_name);
		}
		pos = telldir(d);
	}
	while (n-- > 0) {
		seekdir(d, mark[n].pos);
		/* What came just before it may have gone, or something may have come there. */
		for (i = 0; i < 1000 && (de = readdir(d)) && strcmp(de->d_name, mark[n].name) != 0;
		     i++)
			;
		if (i == 1000 || !de)
			fail("seekdir: %s is not where it was", mark[n].name);
	}
}

static void remove_all(const char *name)
{
	DIR *d = opendir(path(dir, name));
	unsigned int n = 0;
	struct dirent *de;

	must(d != NULL, "opendir");
	while ((de = readdir(d))) {
		if (de->d_name[0] == '.')
			continue;
		if (unlinkat(dirfd(d), de->d_name, 0) < 0)
			fail("unlink while reading: %s: %s", de->d_name, strerror(errno));
		else
			n++;
	}
	closedir(d);
	if (n < MANY / EVERY || rmdir(path(dir, name)) < 0)
		fail("rm -r while reading: %u removed, and: %s", n, strerror(errno));
}

static void big_directory(void)
{
	char name[32];
	pid_t pid;
	DIR *d;
	int h;

	must(mkdir(path(host, "many"), 0755) == 0, "mkdir");
	h = open(path(host, "many"), O_PATH | O_DIRECTORY | O_CLOEXEC);
	for (unsigned int i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		must(mknodat(h, name, S_IFREG | 0644, 0) == 0, "mknod");
	}
	close(h);
	d = opendir(path(dir, "many"));
	must(d != NULL, "opendir");
	read_all(d, "as it is");
	pid = spawn(churn, 1);
	for (int i = 0; i < 3; i++) {
		rewinddir(d);
		read_all(d, "while others change it");
	}
	rewinddir(d);
	seek_back(d);
	reap(pid, true);
	/* What was made shows after rewinddir(3), whatever was read before. */
	must(mkdir(path(dir, "many/last"), 0755) == 0, "mkdir");
	rewinddir(d);
	h = 0;
	for (struct dirent *de; (de = readdir(d));)
		h += strcmp(de->d_name, "last") == 0;
	if (h != 1)
		fail("rewinddir: a new entry comes %d times", h);
	closedir(d);
	must(rmdir(path(dir, "many/last")) == 0, "rmdir");
	remove_all("many");
}

/* ---- several that append to one file ---- */

static size_t record(char *buf, unsigned int who, unsigned int i)
{
	size_t len = 20 + (who * 131 + i * 37) % 3000;

	memset(buf, 'a' + (int)who, len);
	snprintf(buf, 20, "<%u %u %zu>", who, i, len);
	buf[len - 1] = '\n';
	return len;
}

/*
 * One of them is on the host, but not where the client caches: Linux sends a write that crosses into a page
 * which the cache does not have yet in two requests, and keeps only its own writers from coming between.
 */
static bool host_appends;

static void append(unsigned int who)
{
	int fd = open(path(who || !host_appends ? dir : host, "log"),
		      O_WRONLY | O_APPEND | O_CLOEXEC);
	char buf[4096];

	must(fd >= 0, "log");
	for (unsigned int i = 0; i < RECORDS; i++) {
		size_t len = record(buf, who, i);

		if (write(fd, buf, len) != (ssize_t)len)
			fail("append: %s", strerror(errno));
	}
	close(fd);
}

static void appenders(void)
{
	unsigned int next[WRITERS] = {0}, who, i;
	pid_t pids[WRITERS];
	char *all, *at, buf[4096];
	struct stat st;
	int fd;

	close(open(path(host, "log"), O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
	for (who = 0; who < WRITERS; who++)
		pids[who] = spawn(append, who);
	for (who = 0; who < WRITERS; who++)
		reap(pids[who], false);
	fd = open(path(host, "log"), O_RDONLY | O_CLOEXEC);
	must(fd >= 0 && fstat(fd, &st) == 0, "log");
	all = malloc((size_t)st.st_size + 1);
	must(all && read(fd, all, (size_t)st.st_size) == st.st_size, "log");
	all[st.st_size] = '\0';
	for (at = all; at < all + st.st_size;) {
		size_t len;

		if (sscanf(at, "<%u %u ", &who, &i) != 2 || who >= WRITERS || i != next[who]) {
			fail("append: no whole record at %zd of %zd", at - all,
			     (ssize_t)st.st_size);
			break;
		}
		next[who]++;
		len = record(buf, who, i);
		if (at + len > all + st.st_size || memcmp(at, buf, len) != 0) {
			fail("append: record %u of %u is damaged", i, who);
			break;
		}
		at += len;
	}
	for (who = 0; who < WRITERS; who++)
		if (next[who] != RECORDS)
			fail("append: %u records of %u, not %u", next[who], who, RECORDS);
	free(all);
	close(fd);
	unlink(path(dir, "log"));
}

/* ---- truncation under readers ---- */

static sigjmp_buf out;

static void bus(int sig)
{
	(void)sig;
	siglongjmp(out, 1);
}

/* Reads and maps the file: what is there is zero or the pattern, or there is nothing (SIGBUS). */
static void look(unsigned int how)
{
	static char buf[SIZE];
	int fd = open(path(dir, "shrink"), O_RDONLY | O_CLOEXEC);
	const char *map = mmap(NULL, SIZE, PROT_READ, how ? MAP_SHARED : MAP_PRIVATE, fd, 0);

	must(fd >= 0, "shrink");
	signal(SIGBUS, bus);
	for (unsigned int n = 0;; n++) {
		ssize_t len = SIZE;
		const char *at = map;

		/* By read(2) now and then, and where nothing can be mapped shared. */
		if (map == MAP_FAILED || n % 4 == 0) {
			len = pread(fd, buf, SIZE, 0);
			at = buf;
		}
		if (len < 0) {
			fail("reading while it is truncated: %s", strerror(errno));
			return;
		}
		if (sigsetjmp(out, 1))
			continue;
		for (ssize_t i = 0; i < len; i += 97) {
			if (at[i] && at[i] != 'p') {
				fail("reading while it is truncated: %#x at %zd", at[i], i);
				return;
			}
		}
	}
}

/* What truncation cut off must not come back. */
static void truncation(void)
{
	static char buf[SIZE];
	int fd = open(path(dir, "shrink"), O_CREAT | O_RDWR | O_CLOEXEC, 0644);
	pid_t pids[2];

	must(fd >= 0, "shrink");
	for (unsigned int i = 0; i < ARRAY_SIZE(pids); i++)
		pids[i] = spawn(look, i);
	for (unsigned int n = 0; n < ROUNDS && !failures; n++) {
		off_t cut = (off_t)(n * 7919u % SIZE);

		memset(buf, 'p', SIZE);
		must(pwrite(fd, buf, SIZE, 0) == SIZE, "write");
		must(ftruncate(fd, cut) == 0 && ftruncate(fd, SIZE) == 0, "ftruncate");
		if (pread(fd, buf, SIZE, 0) != SIZE)
			fail("truncate: the file is too short");
		for (off_t i = 0; i < SIZE; i++) {
			if (buf[i] != (i < cut ? 'p' : 0)) {
				fail("truncate to %ld and %u: %#x at %ld", (long)cut, SIZE, buf[i],
				     (long)i);
				break;
			}
		}
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(pids); i++)
		reap(pids[i], true);
	close(fd);
	unlink(path(dir, "shrink"));
}

/* ---- a name that is replaced all the time is there all the time ---- */

static void replace(unsigned int how)
{
	const char *root = how ? dir : host;

	for (unsigned int n = 0;; n++) {
		int fd = open(path(root, "tmp"), O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0644);

		if (fd < 0 || write(fd, "whole", 5) != 5 || close(fd) < 0 ||
		    rename(path(root, "tmp"), path(root, "name")) < 0) {
			fail("replace: %s", strerror(errno));
			return;
		}
	}
}

static void replaced(unsigned int how)
{
	pid_t pid;

	close(open(path(host, "name"), O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
	must(truncate(path(host, "name"), 5) == 0, "truncate");
	pid = spawn(replace, how);
	for (unsigned int n = 0; n < 3000 && !failures; n++) {
		int fd = open(path(dir, "name"), O_RDONLY | O_CLOEXEC);
		struct stat st;
		char buf[16];

		if (fd < 0)
			fail("a name that lives: open: %s", strerror(errno));
		else if (read(fd, buf, sizeof(buf)) != 5)
			fail("a name that lives: it is not whole");
		else if (stat(path(dir, "name"), &st) < 0)
			fail("a name that lives: stat: %s", strerror(errno));
		else if (st.st_size != 5)
			fail("a name that lives: size %ld", (long)st.st_size);
		close(fd);
	}
	reap(pid, true);
	unlink(path(host, "tmp"));
	unlink(path(dir, "name"));
}

int main(int argc, char **argv)
{
	const char *only = argc > 3 ? argv[3] : "drtna";

	if (argc < 3) {
		fprintf(stderr, "usage: races DIR HOST [TESTS]\n");
		return 2;
	}
	dir = argv[1];
	host = argv[2];
	umask(0);
	for (; *only; only++) {
		if (*only == 'd')
			big_directory();
		host_appends = *only == 'a';
		if (*only == 'a' || *only == 'm')
			appenders();
		if (*only == 't')
			truncation();
		if (*only == 'n')
			replaced(0);
		if (*only == 'r')
			replaced(1);
	}
	printf("%d failures\n", failures);
	return failures != 0;
}
