/* SPDX-License-Identifier: Apache-2.0 */
/* A user namespace in which other ids than the caller's own exist. */
#ifndef CULVERT_USERNS_H
#define CULVERT_USERNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/**
 * struct userns_map - ids of a user namespace.
 * @inside:  the first one, in the namespace.
 * @outside: which it is outside.
 * @count:   how many, one after the other; not 0.
 */
struct userns_map {
	uint32_t inside;
	uint32_t outside;
	uint32_t count;
};

/** userns_parse() - ":INSIDE:OUTSIDE:COUNT:"; its first byte separates. 0 or -EINVAL. */
int userns_parse(const char *spec, struct userns_map *ret);

/**
 * userns_fork() - fork(2) into a new user namespace and a new pid namespace.
 *
 * Single-threaded process only. Returns 0 in the child, which has no ids until userns_write(); the child's pid;
 * or -errno.
 */
pid_t userns_fork(void);

/**
 * userns_write() - give the namespace of @pid its users (@gids false) or groups.
 * @err:  on an error one line that says why, without a newline.
 * @size: bytes of @err.
 *
 * By the parent, which stays outside. With CAP_SETUID and CAP_SETGID directly, else by newuidmap(1) or
 * newgidmap(1), which ask /etc/subuid and /etc/subgid. With @n 0 the caller's own id becomes 0.
 * 0 or -errno.
 */
int userns_write(pid_t pid, bool gids, const struct userns_map *maps, size_t n, char *err,
		 size_t size);

/** userns_become_root() - be user and group 0 of the namespace, as far as they exist. 0 or -errno. */
int userns_become_root(void);

#endif
