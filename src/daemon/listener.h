/* SPDX-License-Identifier: Apache-2.0 */
/* The listening socket, and the files that announce it. */
#ifndef CULVERT_LISTENER_H
#define CULVERT_LISTENER_H

#include <sys/types.h>

#define LISTENER_NAME_MAX 108
#define LISTENER_NO_GROUP ((gid_t)-1)

/**
 * struct listener - owned by main().
 * @fd:       the listening socket, non-blocking; -1 once nobody more is accepted.
 * @dir_fd:   O_PATH descriptor of the directory of the socket's file; -1: there is none, or it is
 *            another process that removes it.
 * @pid_fd:   the locked pid file, or -1. Locked until the process ends.
 * @name:     of the socket in @dir_fd.
 * @pid_name: of the pid file in @dir_fd.
 */
struct listener {
	int fd;
	int dir_fd;
	int pid_fd;
	char name[LISTENER_NAME_MAX];
	char pid_name[LISTENER_NAME_MAX + 4];
};

/** listener_group() - the group that has this name in /etc/group, or this number. 0 or -ENOENT. */
int listener_group(const char *name, gid_t *ret);

/**
 * listener_create() - listen on a new socket at @path.
 * @group: who may connect besides the owner, or LISTENER_NO_GROUP.
 *
 * Takes the lock on @path.pid, writes our pid there, replaces a stale socket, and gives the new one
 * mode 0700, or 0770 with a group. Before there are threads. Returns 0, or -errno after having logged what
 * is wrong.
 */
int listener_create(struct listener *l, const char *path, gid_t group);

/** listener_adopt() - listen on @fd, which was passed. 0, or -errno when it is no listening socket. */
int listener_adopt(struct listener *l, int fd);

/** listener_release() - leave the files to the keeper. */
void listener_release(struct listener *l);

/**
 * listener_cleanup() - remove the files; the lock stays, so nobody else's are removed. Any thread.
 * @arg: a struct listener.
 */
void listener_cleanup(void *arg);

#endif
