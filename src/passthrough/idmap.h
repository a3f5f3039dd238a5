/* SPDX-License-Identifier: Apache-2.0 */
/* Ids of users and groups: the guest's and the host's. */
#ifndef CULVERT_IDMAP_H
#define CULVERT_IDMAP_H

#include <stddef.h>
#include <stdint.h>

struct idmap_range;

/**
 * struct idmap_dir - one direction.
 * @ranges: @n of them, sorted, none of which overlap; heap.
 */
struct idmap_dir {
	struct idmap_range *ranges;
	size_t n;
};

/**
 * struct idmap - rules for uids, or for gids. All zeroes is one without rules.
 *
 * Changed by idmap_add() and idmap_done() alone; any number of threads may look up meanwhile.
 */
struct idmap {
	struct idmap_dir to_host;
	struct idmap_dir to_guest;
};

/**
 * idmap_add() - add the rule that @spec says.
 * @err:  on an error: what is wrong with it, without a newline; it does not name @spec.
 * @size: bytes of @err.
 *
 * Of N ids from G on in the guest, H on the host; N may be 0, which makes a rule without effect:
 *
 *   guest:G:H:N         the guest's ids G… are H… on the host
 *   host:H:G:N          the host's ids H… are G… in the guest
 *   map:G:H:N           both
 *   squash-guest:G:H:N  the guest's ids G… are all H on the host
 *   squash-host:H:G:N   the host's ids H… are all G in the guest
 *   forbid-guest:G:N    the guest's ids G… cannot be used
 *
 * The word may be in capitals. Any byte that is no letter, digit, dash or underscore can stand for
 * the colon, the same everywhere.
 *
 * Returns 0; -EINVAL for what is none of these, goes beyond the last id (4294967294) or overlaps an
 * earlier rule of the same direction; -ENOMEM. After an error nothing has changed.
 */
int idmap_add(struct idmap *m, const char *spec, char *err, size_t size);

/** idmap_done() - free the rules; there are none afterwards. */
void idmap_done(struct idmap *m);

/** idmap_to_host() - the host's id; one without a rule is the same there. 0 or -EPERM (forbidden). */
int idmap_to_host(const struct idmap *m, uint32_t id, uint32_t *ret);

/** idmap_to_guest() - the guest's id; one without a rule is the same there. */
uint32_t idmap_to_guest(const struct idmap *m, uint32_t id);

#endif
