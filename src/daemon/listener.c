// SPDX-License-Identifier: Apache-2.0
/* The listening socket, and the files that announce it. */
/*
 * Theory of operation
 *
 * Who holds the lock on the pid file owns the socket's name: a socket that exists while the lock
 * can be had is stale. The pid file is removed by its owner while it is locked, so a lock counts
 * only when the file that it is on still has the name. Directory and names are kept instead of the
 * path, for the process changes its working directory.
 *
 * A socket that was passed by descriptor has a name that is none of our business.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "fd.h"
#include "listener.h"
#include "log.h"
#include "parse.h"

static void init(struct listener *l)
{
	*l = (struct listener){.fd = -1, .dir_fd = -1, .pid_fd = -1};
}

/* Open the directory of @path and set the names. */
static int split(struct listener *l, const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	char dir[sizeof(((struct sockaddr_un *)NULL)->sun_path)] = ".";

	if (strlen(path) >= sizeof(dir))
		return -ENAMETOOLONG;
	if (!*name)
		return -EISDIR;
	if (slash)
		snprintf(dir, sizeof(dir), "%.*s", slash == path ? 1 : (int)(slash - path), path);
	l->dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (l->dir_fd < 0)
		return -errno;
	snprintf(l->name, sizeof(l->name), "%s", name);
	snprintf(l->pid_name, sizeof(l->pid_name), "%s.pid", name);
	return 0;
}

/* Whether the file behind @fd is the one with the name. */
static bool same_file(const struct listener *l, int fd)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 &&
	       fstatat(l->dir_fd, l->pid_name, &b, AT_SYMLINK_NOFOLLOW) == 0 &&
	       a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static int lock_pid_file(struct listener *l)
{
	for (;;) {
		scoped_fd int fd =
			openat(l->dir_fd, l->pid_name,
			       O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);

		if (fd < 0)
			return -errno;
		if (flock(fd, LOCK_EX | LOCK_NB) < 0)
			return -errno;
		if (!same_file(l, fd))
			continue;
		if (ftruncate(fd, 0) < 0 || dprintf(fd, "%d\n", (int)getpid()) < 0)
			return -errno;
		l->pid_fd = fd_steal(&fd);
		return 0;
	}
}

static int remove_stale(const struct listener *l)
{
	struct stat st;

	if (fstatat(l->dir_fd, l->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	return unlinkat(l->dir_fd, l->name, 0) < 0 ? -errno : 0;
}

static int bind_and_listen(struct listener *l, const char *path, gid_t group)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	mode_t mask;
	int r;

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (l->fd < 0)
		return -errno;
	/* Nobody can connect before it listens. */
	mask = umask(group == LISTENER_NO_GROUP ? 0077 : 0007);
	r = bind(l->fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ? -errno : 0;
	umask(mask);
	if (r == 0 && group != LISTENER_NO_GROUP &&
	    fchownat(l->dir_fd, l->name, (uid_t)-1, group, AT_SYMLINK_NOFOLLOW) < 0) {
		r = -errno;
		unlinkat(l->dir_fd, l->name, 0);
	}
	if (r == 0 && listen(l->fd, 1) < 0)
		r = -errno;
	return r;
}

int listener_group(const char *name, gid_t *ret)
{
	FILE *f = fopen("/etc/group", "re");
	const struct group *gr;
	uint64_t number;
	int r = -ENOENT;

	/* Not getgrnam(3): what that may load, a static program cannot have. */
	while (f && r && (gr = fgetgrent(f))) {
		if (strcmp(gr->gr_name, name) == 0) {
			*ret = gr->gr_gid;
			r = 0;
		}
	}
	if (f)
		fclose(f);
	if (r && parse_u64(name, LISTENER_NO_GROUP - 1, &number) == 0) {
		*ret = (gid_t)number;
		r = 0;
	}
	return r;
}

int listener_create(struct listener *l, const char *path, gid_t group)
{
	int r;

	init(l);
	r = split(l, path);
	if (r == 0) {
		r = lock_pid_file(l);
		if (r == -EWOULDBLOCK) {
			log_err("--socket-path '%s': in use, another process has locked '%s.pid'",
				path, path);
			listener_release(l);
			return r;
		}
	}
	if (r == 0)
		r = remove_stale(l);
	if (r == 0)
		r = bind_and_listen(l, path, group);
	if (r < 0) {
		log_err("--socket-path '%s': %s", path, strerror(-r));
		if (l->pid_fd >= 0)
			unlinkat(l->dir_fd, l->pid_name, 0);
		fd_close(&l->fd);
		listener_release(l);
	}
	return r;
}

int listener_adopt(struct listener *l, int fd)
{
	int listening = 0, domain = 0, type = 0;
	socklen_t len = sizeof(int);

	init(l);
	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
		return -errno;
	if (!listening || domain != AF_UNIX || type != SOCK_STREAM)
		return -EINVAL;
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ||
	    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0)
		return -errno;
	l->fd = fd;
	return 0;
}

void listener_release(struct listener *l)
{
	fd_close(&l->dir_fd);
	fd_close(&l->pid_fd);
}

/* seccomp: unlinkat */
/* seccomp[keeper]: unlinkat */
void listener_cleanup(void *arg)
{
	const struct listener *l = arg;

	if (l->dir_fd < 0 || l->pid_fd < 0)
		return;
	unlinkat(l->dir_fd, l->name, 0);
	unlinkat(l->dir_fd, l->pid_name, 0);
}
