// SPDX-License-Identifier: Apache-2.0
/* Capabilities: what the service keeps of root's powers. */
/*
 * Theory of operation
 *
 * The list below is the whole of it; whoever adds a line says what breaks without it. Capabilities
 * belong to a thread and are inherited by those that it starts, so they are dropped while there is
 * one. libcap-ng holds the sets between the calls; it is used by that one thread only.
 */
#include <cap-ng.h>
#include <errno.h>
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
	CAP_MKNOD,        /* device nodes can be created (they are never opened) */
	CAP_SETFCAP,      /* security.capability */
};

bool caps_has(unsigned int cap)
{
	return capng_get_caps_process() == 0 && capng_have_capability(CAPNG_EFFECTIVE, cap);
}

int caps_drop(bool handles)
{
	bool have[ARRAY_SIZE(kept)];

	if (capng_get_caps_process() < 0)
		return -EIO;
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
		have[i] = capng_have_capability(CAPNG_PERMITTED, kept[i]);
	handles = handles && capng_have_capability(CAPNG_PERMITTED, CAP_DAC_READ_SEARCH);
	capng_clear(CAPNG_SELECT_ALL);
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
		if (have[i])
			capng_update(CAPNG_ADD, CAPNG_PERMITTED | CAPNG_EFFECTIVE, kept[i]);
	if (handles)
		capng_update(CAPNG_ADD, CAPNG_PERMITTED | CAPNG_EFFECTIVE, CAP_DAC_READ_SEARCH);
	errno = 0;
	if (capng_apply(CAPNG_SELECT_ALL) < 0)
		return errno ? -errno : -EPERM;
	return 0;
}

int caps_no_new_privs(void)
{
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}
