// SPDX-License-Identifier: Apache-2.0
/* Acting as the guest's caller for the length of one system call. */
/*
 * Theory of operation
 *
 * What is created on the host must belong to the caller. Ids are changed with the bare system calls,
 * because the C library's functions change all threads of the process. setresuid(2) rather than
 * setfsuid(2): it says whether it failed. Only effective ids change; real and saved ones stay the
 * daemon's, which is what makes the way back certain.
 *
 * With an effective uid other than 0 the kernel empties the effective set of capabilities and keeps
 * the permitted one. That is wanted: without CAP_FSETID a set-group-id bit that the caller may not
 * set is cleared. When it comes to EACCES nonetheless, because a group of the caller that the host
 * does not know gave it the right, CAP_DAC_OVERRIDE alone is raised for a second try (the guest has
 * checked permissions already). Going back to uid 0 restores the effective set from the permitted.
 *
 * An unprivileged daemon can only become itself: guest ids 0 and its own succeed, others get EPERM.
 * In a user namespace the kernel refuses ids that are not mapped with EINVAL, which the guest would take
 * for a fault of its own: it gets EPERM as well.
 *
 * State is one struct per thread (thread-local, touched by its thread only): the ids and capability
 * sets to go back to. Order: group, gid, uid; back in reverse. Should the way back ever fail, the
 * thread remembers, tries again before the next switch, and refuses to switch until it worked.
 */
#include <errno.h>
#include <linux/capability.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cred.h"
#include "util.h"

#ifdef SYS_setresuid32
#define NR_SETRESUID SYS_setresuid32
#define NR_SETRESGID SYS_setresgid32
#define NR_SETGROUPS SYS_setgroups32
#else
#define NR_SETRESUID SYS_setresuid
#define NR_SETRESGID SYS_setresgid
#define NR_SETGROUPS SYS_setgroups
#endif

#define CAP_WORDS _LINUX_CAPABILITY_U32S_3

/* What the thread is between requests. */
struct cred_home {
	bool known;
	bool lost; /* a way back has failed */
	struct cred_ids ids;
};

static _Thread_local struct cred_home home;

/* seccomp: capset */
static int caps_set(const struct __user_cap_data_struct *caps)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};

	return syscall(SYS_capset, &head, caps) < 0 ? -errno : 0;
}

static bool has(const struct __user_cap_data_struct *caps, int cap, bool permitted)
{
	const struct __user_cap_data_struct *word = &caps[CAP_TO_INDEX(cap)];

	return (permitted ? word->permitted : word->effective) & CAP_TO_MASK(cap);
}

int cred_ids_get(struct cred_ids *ret)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct cred_ids ids = {.uid = geteuid(), .gid = getegid()};

	if (syscall(SYS_capget, &head, ids.caps) < 0)
		return -errno;
	*ret = ids;
	return 0;
}

static int home_note(void)
{
	int r;

	if (likely(home.known))
		return 0;
	r = cred_ids_get(&home.ids);
	home.known = r == 0;
	return r;
}

int cred_thread_init(const struct cred_ids *ids)
{
	if (syscall(NR_SETGROUPS, 0, NULL) < 0 && errno != EPERM)
		return -errno;
	home = (struct cred_home){.known = ids != NULL};
	if (ids)
		home.ids = *ids;
	return home_note();
}

/* Put back what @c says. */
/* seccomp: setresuid, setresgid, setgroups */
static int go_home(const struct cred *c)
{
	if (c->uid && syscall(NR_SETRESUID, -1, home.ids.uid, -1) < 0)
		return -errno;
	if ((c->caps || (c->widened && home.ids.uid != 0)) && caps_set(home.ids.caps) < 0)
		return -errno;
	if (c->gid && syscall(NR_SETRESGID, -1, home.ids.gid, -1) < 0)
		return -errno;
	if (c->group && syscall(NR_SETGROUPS, 0, NULL) < 0)
		return -errno;
	return 0;
}

static int find_home(void)
{
	const struct cred all = {.uid = true, .gid = true};
	int r = home_note();

	if (r < 0 || likely(!home.lost))
		return r;
	r = go_home(&all);
	if (r < 0)
		return r;
	syscall(NR_SETGROUPS, 0, NULL);
	home.lost = false;
	return 0;
}

/* Why an id cannot be taken: not allowed to, or (EINVAL) not there in this user namespace. */
static int refused(void)
{
	return errno == EINVAL ? -EPERM : -errno;
}

int cred_begin(struct cred *c, uint32_t uid, uint32_t gid, uint32_t group)
{
	int r;

	*c = (struct cred){0};
	if (uid == 0 && gid == 0 && !home.lost)
		return 0;
	if (uid == UINT32_MAX || gid == UINT32_MAX)
		return -EINVAL;
	r = find_home();
	if (r < 0)
		return r;
	if (group != CRED_NO_GROUP && group != gid && uid != 0) {
		/* Where groups may not be set the caller merely loses a set-group-id bit. */
		if (syscall(NR_SETGROUPS, 1, &group) == 0)
			c->group = true;
		else if (refused() != -EPERM)
			return -errno;
	}
	if (gid != 0 && gid != home.ids.gid) {
		if (syscall(NR_SETRESGID, -1, gid, -1) < 0) {
			r = refused();
			cred_end(c);
			return r;
		}
		c->gid = true;
	}
	if (uid != 0 && uid != home.ids.uid) {
		if (syscall(NR_SETRESUID, -1, uid, -1) < 0) {
			r = refused();
			cred_end(c);
			return r;
		}
		c->uid = true;
	}
	return 0;
}

bool cred_widen(struct cred *c)
{
	struct __user_cap_data_struct caps[CAP_WORDS];

	if (!c->uid || c->widened || !has(home.ids.caps, CAP_DAC_OVERRIDE, true))
		return false;
	/* Leaving uid 0 has emptied the effective set. */
	for (unsigned int i = 0; i < CAP_WORDS; i++) {
		caps[i] = home.ids.caps[i];
		if (home.ids.uid == 0)
			caps[i].effective = 0;
	}
	caps[CAP_TO_INDEX(CAP_DAC_OVERRIDE)].effective |= CAP_TO_MASK(CAP_DAC_OVERRIDE);
	if (caps_set(caps) < 0)
		return false;
	c->widened = true;
	return true;
}

void cred_end(struct cred *c)
{
	int saved = errno;

	if (go_home(c) < 0)
		home.lost = true;
	*c = (struct cred){0};
	errno = saved;
}

void cred_kill(struct cred *c, uint32_t gid)
{
	struct __user_cap_data_struct caps[CAP_WORDS];

	*c = (struct cred){0};
	if (find_home() < 0 || !has(home.ids.caps, CAP_FSETID, false))
		return;
	for (unsigned int i = 0; i < CAP_WORDS; i++)
		caps[i] = home.ids.caps[i];
	caps[CAP_TO_INDEX(CAP_FSETID)].effective &= ~CAP_TO_MASK(CAP_FSETID);
	/* The group first: it takes CAP_SETGID, and keeps the capabilities. */
	c->gid = gid != home.ids.gid && syscall(NR_SETRESGID, -1, gid, -1) == 0;
	c->caps = caps_set(caps) == 0;
}
