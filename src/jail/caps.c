// SPDX-License-Identifier: Apache-2.0
/* Capabilities: what the service keeps of root's powers. */
/*
 * Theory of operation
 *
 * The list below is the whole of it; whoever adds a line says what breaks without it. Capabilities
 * belong to a thread and are inherited by those that it starts, so they are dropped while there is
 * one. libcap-ng holds the sets between the calls; it is used by that one thread only.
 *
 * Not in the list, though a peer may have them: CAP_MKNOD (a device node that a guest makes is a way
 * into the host for whoever finds it there) and CAP_DAC_READ_SEARCH (open_by_handle_at(2) opens any
 * file of a file system). Both can be asked for.
 */
#include <cap-ng.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/prctl.h>

#include "caps.h"
#include "util.h"

static const unsigned int kept[] = {
	CAP_CHOWN,        /* chown, and owner and group of what a guest's user creates */
	CAP_DAC_OVERRIDE, /* the guest's root reaches every file */
	CAP_FOWNER,       /* chmod, utimens, xattrs and sticky directories of others' files */
	CAP_FSETID,       /* keep set-id bits where a local file system keeps them */
	CAP_SETGID,       /* act as the group of the guest's user */
	CAP_SETUID,       /* act as the guest's user */
	CAP_SETFCAP,      /* security.capability */
};

static uint64_t bit(unsigned int cap)
{
	return UINT64_C(1) << cap;
}

__attribute__((format(printf, 3, 4))) static int fail(char *err, size_t size, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err, size, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

int caps_parse(const char *spec, struct caps_mods *ret, char *err, size_t size)
{
	struct caps_mods mods = {0};

	for (const char *s = spec;; s++) {
		size_t len = strcspn(s, ":");
		char name[40];
		int cap;

		if (*s != '+' && *s != '-')
			return fail(err, size, "'%.*s' does not begin with + or -",
				    (int)MIN(len, 40), s);
		if (len > sizeof(name))
			return fail(err, size, "'%.40s…' is no capability", s + 1);
		memcpy(name, s + 1, len - 1);
		name[len - 1] = '\0';
		cap = capng_name_to_capability(name);
		if (cap < 0 || cap > 63)
			return fail(err, size, "'%s' is no capability", name);
		mods.add &= ~bit((unsigned int)cap);
		mods.drop &= ~bit((unsigned int)cap);
		*(*s == '+' ? &mods.add : &mods.drop) |= bit((unsigned int)cap);
		s += len;
		if (!*s)
			break;
	}
	*ret = mods;
	return 0;
}

bool caps_has(unsigned int cap)
{
	return capng_get_caps_process() == 0 && capng_have_capability(CAPNG_EFFECTIVE, cap);
}

uint64_t caps_wanted(const struct caps_mods *mods, bool all)
{
	uint64_t set = all ? UINT64_MAX : 0;

	for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
		set |= bit(kept[i]);
	return (set | mods->add) & ~mods->drop;
}

int caps_keep(uint64_t set)
{
	uint64_t have = 0;
	bool pcap;

	if (capng_get_caps_process() < 0)
		return -EIO;
	pcap = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP);
	for (unsigned int cap = 0; cap <= CAP_LAST_CAP; cap++)
		if (capng_have_capability(CAPNG_PERMITTED, cap))
			have |= bit(cap);
	set &= have;
	capng_clear(CAPNG_SELECT_ALL);
	for (unsigned int cap = 0; cap <= CAP_LAST_CAP; cap++)
		if (set & bit(cap))
			capng_update(CAPNG_ADD, CAPNG_PERMITTED | CAPNG_EFFECTIVE, cap);
	errno = 0;
	/* Without CAP_SETPCAP the bounding set stays; with no_new_privs nothing comes of it. */
	if (capng_apply(pcap ? CAPNG_SELECT_ALL : CAPNG_SELECT_CAPS | CAPNG_SELECT_AMBIENT) < 0)
		return errno ? -errno : -EPERM;
	return 0;
}

void caps_print(FILE *f, uint64_t set)
{
	for (unsigned int cap = 0; cap <= CAP_LAST_CAP; cap++)
		if (set & bit(cap))
			fprintf(f, " %s", capng_capability_to_name(cap));
}

int caps_no_new_privs(void)
{
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}
