/* SPDX-License-Identifier: Apache-2.0 */
/* What is resident of the process. */
#ifndef CULVERT_RESIDENT_H
#define CULVERT_RESIDENT_H

/**
 * resident_trim() - let go of what only the start has used.
 *
 * The heap's free pages go back, and no page of program and libraries stays mapped that is as it is in its file.
 * What is used again comes back from the page cache, some pages at a time. What a debugger or a probe has written
 * into the code is lost. Any thread; others lose some time by it.
 */
void resident_trim(void);

#endif
