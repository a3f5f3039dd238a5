/* SPDX-License-Identifier: Apache-2.0 */
/* Capabilities: what the service keeps of root's powers. */
#ifndef CULVERT_CAPS_H
#define CULVERT_CAPS_H

#include <stdbool.h>

/** caps_has() - whether the effective set has this capability (CAP_x of linux/capability.h). */
bool caps_has(unsigned int cap);

/**
 * caps_drop() - keep what serving files for many users takes, and nothing else.
 * @handles: CAP_DAC_READ_SEARCH, too: whoever has it can open any file of a file system.
 *
 * Permitted and effective are cut down to the list in caps.c; inheritable, ambient and bounding
 * sets are emptied. Single-threaded process only. 0 or -errno.
 */
int caps_drop(bool handles);

/** caps_no_new_privs() - no program that this process might run gains a privilege. 0 or -errno. */
int caps_no_new_privs(void);

#endif
