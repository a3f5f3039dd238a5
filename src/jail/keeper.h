/* SPDX-License-Identifier: Apache-2.0 */
/* The process that stays outside. */
#ifndef CULVERT_KEEPER_H
#define CULVERT_KEEPER_H

#include <stdbool.h>

#include "jail.h"

/**
 * keeper_fork() - go on in a child.
 * @mapped:  with the user and group ids of @conf, in a user and a pid namespace that the child is born in.
 * @ret_fd:  in the child: for keeper_tie(); the caller closes it.
 *
 * Single-threaded process. Returns 0 in the child, never in the parent, -errno when there is no child.
 */
int keeper_fork(const struct jail_conf *conf, bool mapped, int *ret_fd);

/** keeper_tie() - in the child: be killed when the keeper goes. A change of credentials undoes it. */
int keeper_tie(int fd);

#endif
