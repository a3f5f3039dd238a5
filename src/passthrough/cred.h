/* SPDX-License-Identifier: Apache-2.0 */
/* Acting as the guest's caller for the length of one system call. */
#ifndef CULVERT_CRED_H
#define CULVERT_CRED_H

#include <linux/capability.h>
#include <stdbool.h>
#include <stdint.h>

/** CRED_NO_GROUP - no supplementary group was sent. */
#define CRED_NO_GROUP UINT32_MAX

/**
 * struct cred - what cred_begin() changed and cred_end() has to put back.
 * @uid, @gid, @group: the effective uid, the effective gid, the supplementary groups were changed.
 * @widened: cred_widen() was called.
 * @caps: cred_kill() took a capability away.
 *
 * On the stack of the thread that switches.
 */
struct cred {
	bool uid;
	bool gid;
	bool group;
	bool widened;
	bool caps;
};

/**
 * struct cred_ids - what a thread is between requests.
 * @uid, @gid: effective ones.
 * @caps:      permitted, effective and inheritable capabilities.
 */
struct cred_ids {
	uint32_t uid;
	uint32_t gid;
	struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3];
};

/** cred_ids_get() - what the calling thread is now. 0 or a negative errno. */
int cred_ids_get(struct cred_ids *ret);

/**
 * cred_thread_init() - prepare the calling thread: no supplementary groups, where that is allowed.
 * @ids: what the thread is, as all are that this process starts; NULL: ask the kernel.
 *
 * That is what it stays between requests from here on. Returns 0 or a negative errno. Every thread that
 * runs requests, once.
 */
int cred_thread_init(const struct cred_ids *ids);

/**
 * cred_begin() - become the caller, in this thread alone.
 * @c:     out: what to put back.
 * @uid:   the caller; 0 is whoever the daemon runs as.
 * @gid:   the same for the group.
 * @group: a supplementary group of the caller, or CRED_NO_GROUP.
 *
 * A uid that is not 0 takes the capabilities of a privileged daemon out of the effective set, so that
 * set-group-id bits fall as they would for the caller. Nothing happens for uid 0 with gid 0.
 *
 * Returns 0; -EINVAL for ids that are none; -EPERM where the daemon may not switch, or where its user
 * namespace does not have the id. After an error nothing has changed.
 */
int cred_begin(struct cred *c, uint32_t uid, uint32_t gid, uint32_t group);

/**
 * cred_widen() - after EACCES: pass over permission bits for the next try.
 *
 * The guest's kernel has checked the caller's rights with all of its groups, which are not known
 * here. Returns whether a second try is worth it: only once, and only where cred_begin() had taken
 * CAP_DAC_OVERRIDE away.
 */
bool cred_widen(struct cred *c);

/** cred_end() - be the daemon again. errno is kept. */
void cred_end(struct cred *c);

/**
 * cred_kill() - let the kernel clear set-id bits on what the thread does next, as for the caller.
 * @c:   out: what to put back with cred_end().
 * @gid: the caller's group: whoever is in the file's group may keep a set-group-id bit without x.
 *
 * The thread stays the daemon, but without CAP_FSETID and with that group. Does what it can.
 */
void cred_kill(struct cred *c, uint32_t gid);

#endif
