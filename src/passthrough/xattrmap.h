/* SPDX-License-Identifier: Apache-2.0 */
/* Rules that give the guest's extended attributes other names on the host. */
#ifndef CULVERT_XATTRMAP_H
#define CULVERT_XATTRMAP_H

#include <linux/limits.h>
#include <stddef.h>

/* A name and its NUL. */
#define XATTRMAP_NAME_SIZE (XATTR_NAME_MAX + 1u)

/** struct xattrmap - compiled rules; constant, so any thread may use them. */
struct xattrmap;

/**
 * xattrmap_new() - compile rules. Their language: see xattrmap.c and virtiofsd(1).
 * @rules: the text; need not outlive the call.
 * @err:   on an error one line that says what is wrong in which rule and at which byte, counted from 1.
 * @size:  bytes of @err.
 *
 * Returns 0; -EINVAL for a wrong rule or rules that leave a name undecided; -ENOMEM.
 */
int xattrmap_new(const char *rules, struct xattrmap **ret, char *err, size_t size);

/** xattrmap_free() - accepts NULL. */
void xattrmap_free(struct xattrmap *m);

/**
 * xattrmap_client() - the host's name for what the guest calls @name.
 * @ret: the name, terminated.
 *
 * Returns 0; -EPERM where a rule says "bad"; -EOPNOTSUPP for "unsupported"; -ERANGE when the host's
 * name is longer than a name may be.
 */
int xattrmap_client(const struct xattrmap *m, const char *name, char ret[XATTRMAP_NAME_SIZE]);

/**
 * xattrmap_list() - turn a list of the host's names into what the guest sees of it.
 * @list: terminated names, one behind the other; changed in place.
 * @len:  its bytes.
 *
 * Returns the bytes that are left; never more than @len.
 */
size_t xattrmap_list(const struct xattrmap *m, char *list, size_t len);

#endif
