// SPDX-License-Identifier: Apache-2.0
// The steps of the errno matrix: one system call each.
/*
 * Theory of operation
 *
 * Steps are apart by semicolons, their words by blanks. Those of one letter make something: mode, path,
 * and perhaps owner and group; the others are system calls by their names. In a path "@N" stands for a
 * name of N bytes, "^N" for "./././f" of N bytes in all, and a leading "/" for the directory above,
 * where the small and the read-only file systems are. What a step leaves open or running goes with the
 * process. Steps that begin with "host" happen on the host's file system, past the share.
 *
 * No threads; steps that leave something behind are run in a process of their own.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "matrix.h"
#include "util.h"

#define WORDS    8u
#define PATH_BUF 5000u

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

struct step {
	const struct place *place;
	char *word[WORDS];
	size_t n;
	char buf[2][PATH_BUF];
};

/* One "@N" or "^N" at @at; returns what is behind it. */
static const char *expand_one(const char *at, char **to, const char *end)
{
	char *rest, kind = *at;
	size_t n = strtoul(at + 1, &rest, 10);

	for (size_t i = 1; i <= n && *to < end; i++) {
		if (kind == '@')
			*(*to)++ = 'n';
		else if (i == n)
			*(*to)++ = 'f';
		else
			*(*to)++ = i % 2 && i + 1 < n ? '.' : '/';
	}
	return rest;
}

/* The path that word @i means; @buf says which of the two buffers it is put into. */
static const char *path_of(struct step *s, size_t i, unsigned int buf)
{
	const char *at = i < s->n ? s->word[i] : "";
	char *to = s->buf[buf], *end = to + PATH_BUF - 4;

	if (strcmp(at, "''") == 0)
		return "";
	if (*at == '/') {
		to = stpcpy(to, "../");
		at++;
	}
	while (*at && to < end) {
		if (*at == '@' || *at == '^')
			at = expand_one(at, &to, end);
		else
			*to++ = *at++;
	}
	*to = '\0';
	return s->buf[buf];
}

static long number(const struct step *s, size_t i, int base)
{
	return i < s->n ? strtol(s->word[i], NULL, base) : -1;
}

static mode_t mode_of(const struct step *s, size_t i)
{
	return (mode_t)number(s, i, 8);
}

static int result(long r)
{
	return r < 0 ? -errno : 0;
}

/* open(2) flags, a letter each. */
static int flags_of(const char *word)
{
	static const struct {
		char letter;
		int flag;
	} letters[] = {
		{'r', O_RDONLY},   {'w', O_WRONLY},   {'b', O_RDWR},   {'c', O_CREAT},
		{'x', O_EXCL},     {'t', O_TRUNC},    {'a', O_APPEND}, {'d', O_DIRECTORY},
		{'n', O_NOFOLLOW}, {'T', O_TMPFILE},  {'S', O_SYNC},   {'N', O_NOATIME},
		{'P', O_PATH},     {'k', O_NONBLOCK},
	};
	int flags = O_CLOEXEC;

	for (; *word; word++)
		for (size_t i = 0; i < ARRAY_SIZE(letters); i++)
			if (letters[i].letter == *word)
				flags |= letters[i].flag;
	return flags;
}

static int open_word(struct step *s)
{
	return open(path_of(s, 1, 0), flags_of(s->n > 2 ? s->word[2] : "r"),
		    s->n > 3 ? mode_of(s, 3) : 0644);
}

/* open PATH FLAGS [MODE]; write and ftruncate do one thing more, keep leaves it open. */
static int do_open(struct step *s)
{
	static const char text[4096];
	int fd = open_word(s), r = 0;

	if (fd < 0)
		return -errno;
	if (s->word[0][0] == 'w')
		r = result(write(fd, text, (size_t)number(s, 3, 10)) < 0 ? -1 : fsync(fd));
	else if (s->word[0][0] == 'f')
		r = result(ftruncate(fd, number(s, 3, 10)));
	if (s->word[0][0] != 'k')
		close(fd);
	return r;
}

static struct timespec time_of(const char *word)
{
	if (strcmp(word, "now") == 0)
		return (struct timespec){.tv_nsec = UTIME_NOW};
	if (strcmp(word, "omit") == 0)
		return (struct timespec){.tv_nsec = UTIME_OMIT};
	return (struct timespec){.tv_sec = atol(word), .tv_nsec = 120000000};
}

static int do_utimens(struct step *s)
{
	struct timespec times[2];

	if (s->n < 4)
		return -EDOM;
	times[0] = time_of(s->word[2]);
	times[1] = time_of(s->word[3]);
	return result(utimensat(AT_FDCWD, path_of(s, 1, 0), times,
				s->word[0][0] == 'l' ? AT_SYMLINK_NOFOLLOW : 0));
}

static int do_chmod(struct step *s)
{
	return result(chmod(path_of(s, 1, 0), mode_of(s, 2)));
}

static int do_lchmod(struct step *s)
{
	return result(syscall(SYS_fchmodat2, AT_FDCWD, path_of(s, 1, 0), mode_of(s, 2),
			      AT_SYMLINK_NOFOLLOW));
}

static int do_chown(struct step *s)
{
	const char *path = path_of(s, 1, 0);
	uid_t uid = (uid_t)number(s, 2, 10);
	gid_t gid = (gid_t)number(s, 3, 10);

	return result(s->word[0][0] == 'l' ? lchown(path, uid, gid) : chown(path, uid, gid));
}

static int do_link(struct step *s)
{
	return result(linkat(AT_FDCWD, path_of(s, 1, 0), AT_FDCWD, path_of(s, 2, 1),
			     s->word[0][4] == 'f' ? AT_SYMLINK_FOLLOW : 0));
}

static int do_mkdir(struct step *s)
{
	return result(mkdir(path_of(s, 1, 0), mode_of(s, 2)));
}

static mode_t type_of(char letter)
{
	return letter == 'p'   ? S_IFIFO
	       : letter == 's' ? S_IFSOCK
	       : letter == 'b' ? S_IFBLK
	       : letter == 'c' ? S_IFCHR
	       : letter == 'd' ? S_IFDIR
			       : S_IFREG;
}

/* mknod PATH TYPE MODE; devices are 7, 8, and 0, 0 for a whiteout. */
static int do_mknod(struct step *s)
{
	char type = s->n > 2 ? *s->word[2] : 'f';
	dev_t dev = type == 'b' || type == 'c' ? 0x708 : 0;

	if (type == 'o')
		type = 'c';
	return result(mknod(path_of(s, 1, 0), type_of(type) | mode_of(s, 3), dev));
}

static int do_mkfifo(struct step *s)
{
	return result(mkfifo(path_of(s, 1, 0), mode_of(s, 2)));
}

static int do_bind(struct step *s)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), r;

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path_of(s, 1, 0));
	r = result(bind(fd, (struct sockaddr *)&sa, sizeof(sa)));
	close(fd);
	return r;
}

static int do_rename(struct step *s)
{
	unsigned int flags = 0;

	for (const char *c = s->n > 3 ? s->word[3] : ""; *c; c++)
		flags |= *c == 'n'   ? RENAME_NOREPLACE
			 : *c == 'x' ? RENAME_EXCHANGE
				     : RENAME_WHITEOUT;
	return result(renameat2(AT_FDCWD, path_of(s, 1, 0), AT_FDCWD, path_of(s, 2, 1), flags));
}

static int do_unlink(struct step *s)
{
	return result(unlink(path_of(s, 1, 0)));
}

static int do_rmdir(struct step *s)
{
	return result(rmdir(path_of(s, 1, 0)));
}

static int do_symlink(struct step *s)
{
	return result(symlink(path_of(s, 1, 0), path_of(s, 2, 1)));
}

static int do_readlink(struct step *s)
{
	char buf[PATH_BUF];

	return result(readlink(path_of(s, 1, 0), buf, sizeof(buf)));
}

static int do_truncate(struct step *s)
{
	return result(truncate(path_of(s, 1, 0), number(s, 2, 10)));
}

static int do_access(struct step *s)
{
	return result(faccessat(AT_FDCWD, path_of(s, 1, 0), (int)number(s, 2, 10), AT_EACCESS));
}

static int do_umask(struct step *s)
{
	umask(mode_of(s, 1));
	return 0;
}

/* Start the program at @fd; it stays until this process ends. 0 or why it cannot be run. */
static int start(int fd)
{
	static const char arg[] = "--pause";
	char *argv[] = {strdup("matrix"), strdup(arg), NULL}, *env[] = {NULL};
	int ends[2], err = 0;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	if (fork() == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execveat(fd, "", argv, env, AT_EMPTY_PATH);
		err = errno;
		if (write(ends[1], &err, sizeof(err)) < 0)
			_exit(2);
		_exit(1);
	}
	close(ends[1]);
	/* Nothing comes when it runs. */
	if (read(ends[0], &err, sizeof(err)) < 0)
		err = errno;
	close(ends[0]);
	return -err;
}

static int do_run(struct step *s)
{
	int fd = open(path_of(s, 1, 0), O_PATH | O_CLOEXEC), r;

	if (fd < 0)
		return -errno;
	r = start(fd);
	close(fd);
	return r;
}

/* ---- steps that make something, and those on the host ---- */

static int copy_self(const char *path, mode_t mode)
{
	int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	int to = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	char buf[65536];
	ssize_t n;

	if (from < 0 || to < 0)
		return -errno;
	while ((n = read(from, buf, sizeof(buf))) > 0)
		if (write(to, buf, (size_t)n) != n)
			return -EIO;
	close(from);
	close(to);
	return 0;
}

/* LETTER MODE PATH [UID GID] */
static int do_make(struct step *s)
{
	const char *path = path_of(s, 2, 0);
	mode_t mode = mode_of(s, 1);
	char kind = *s->word[0];
	int fd, r = 0;

	if (kind == 'd') {
		r = result(mkdir(path, 0700));
	} else if (kind == 'x') {
		r = copy_self(path, 0700);
	} else if (kind == 'f') {
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		r = fd < 0 ? -errno : result(write(fd, "content", 7));
		if (fd >= 0)
			close(fd);
	} else {
		r = result(mknod(path, type_of(kind) | 0600, kind == 'c' ? 0x103 : 0x708));
	}
	if (r == 0)
		r = result(chown(path, s->n > 3 ? (uid_t)number(s, 3, 10) : OWNER_ID,
				 s->n > 4 ? (gid_t)number(s, 4, 10) : OWNER_ID));
	if (r == 0)
		r = result(chmod(path, mode));
	return r;
}

static int do_l(struct step *s)
{
	const char *path = path_of(s, 2, 1);
	int r = result(symlink(path_of(s, 1, 0), path));

	return r < 0 ? r : result(lchown(path, OWNER_ID, OWNER_ID));
}

/* hostflags ai PATH: append-only, immutable. */
static int do_hostflags(struct step *s)
{
	int fd = openat(s->place->host, path_of(s, 2, 0), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	int flags = 0, r;

	if (fd < 0)
		return -errno;
	r = result(ioctl(fd, FS_IOC_GETFLAGS, &flags));
	flags |= strchr(s->word[1], 'i') ? FS_IMMUTABLE_FL : 0;
	flags |= strchr(s->word[1], 'a') ? FS_APPEND_FL : 0;
	if (r == 0)
		r = result(ioctl(fd, FS_IOC_SETFLAGS, &flags));
	close(fd);
	return r;
}

/* hostlinks N PATH: that many more names. */
static int do_hostlinks(struct step *s)
{
	const char *path = path_of(s, 2, 0);
	long n = number(s, 1, 10);
	char name[32];
	int dir, r = result(mkdirat(s->place->host, "names", 0700));

	dir = openat(s->place->host, "names", O_PATH | O_CLOEXEC);
	for (long i = 0; r == 0 && i < n; i++) {
		snprintf(name, sizeof(name), "%ld", i);
		r = result(linkat(s->place->host, path, dir, name, 0));
	}
	close(dir);
	return r;
}

static int do_hostrun(struct step *s)
{
	int fd = openat(s->place->host, path_of(s, 1, 0), O_PATH | O_CLOEXEC), r;

	if (fd < 0)
		return -errno;
	r = start(fd);
	close(fd);
	return r;
}

static int do_hostkeep(struct step *s)
{
	int fd = openat(s->place->host, path_of(s, 1, 0), flags_of(s->word[2]));

	return fd < 0 ? -errno : 0;
}

/* nodump PATH, as chattr(1) would. */
static int do_nodump(struct step *s)
{
	int fd = open(path_of(s, 1, 0), O_RDONLY | O_CLOEXEC), flags, r;

	if (fd < 0)
		return -errno;
	r = result(ioctl(fd, FS_IOC_GETFLAGS, &flags));
	flags |= FS_NODUMP_FL;
	if (r == 0)
		r = result(ioctl(fd, FS_IOC_SETFLAGS, &flags));
	close(fd);
	return r;
}

static const struct {
	const char *name;
	int (*run)(struct step *s);
} verbs[] = {
	{"chmod", do_chmod},
	{"lchmod", do_lchmod},
	{"chown", do_chown},
	{"lchown", do_chown},
	{"link", do_link},
	{"linkf", do_link},
	{"mkdir", do_mkdir},
	{"mkfifo", do_mkfifo},
	{"mknod", do_mknod},
	{"bind", do_bind},
	{"open", do_open},
	{"write", do_open},
	{"ftruncate", do_open},
	{"keep", do_open},
	{"rename", do_rename},
	{"rmdir", do_rmdir},
	{"symlink", do_symlink},
	{"truncate", do_truncate},
	{"unlink", do_unlink},
	{"utimens", do_utimens},
	{"lutimens", do_utimens},
	{"access", do_access},
	{"readlink", do_readlink},
	{"umask", do_umask},
	{"run", do_run},
	{"hostrun", do_hostrun},
	{"hostkeep", do_hostkeep},
	{"hostflags", do_hostflags},
	{"hostlinks", do_hostlinks},
	{"nodump", do_nodump},
	{"d", do_make},
	{"f", do_make},
	{"p", do_make},
	{"s", do_make},
	{"b", do_make},
	{"c", do_make},
	{"x", do_make},
	{"l", do_l},
};

static int step_run(const struct place *p, char *text)
{
	struct step s = {.place = p};
	char *save = NULL;

	for (char *w = strtok_r(text, " ", &save); w && s.n < WORDS; w = strtok_r(NULL, " ", &save))
		s.word[s.n++] = w;
	for (size_t i = 0; s.n && i < ARRAY_SIZE(verbs); i++)
		if (strcmp(verbs[i].name, s.word[0]) == 0)
			return verbs[i].run(&s);
	return -EDOM;
}

int steps_run(const struct place *p, const char *text)
{
	char *copy = strdup(text ? text : ""), *save = NULL;
	int r = result(fchdir(p->dir));

	for (char *one = strtok_r(copy, ";", &save); one && r == 0;
	     one = strtok_r(NULL, ";", &save))
		r = step_run(p, one);
	free(copy);
	return r;
}

void steps_pause(void)
{
	for (;;)
		pause();
}
