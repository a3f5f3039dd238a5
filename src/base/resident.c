// SPDX-License-Identifier: Apache-2.0
/* What is resident of the process. */
#include <link.h>
#include <malloc.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "resident.h"

static int trim_object(struct dl_phdr_info *info, size_t size, void *arg)
{
	const uintptr_t mask = *(const uintptr_t *)arg;

	(void)size;
	for (unsigned int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		uintptr_t start = (info->dlpi_addr + ph->p_vaddr) & ~mask;
		uintptr_t end = (info->dlpi_addr + ph->p_vaddr + ph->p_memsz + mask) & ~mask;

		/* What was relocated is not as it is in the file; it lies in what was mapped writable. */
		if (ph->p_type == PT_LOAD && !(ph->p_flags & PF_W))
			madvise((void *)start, end - start, MADV_DONTNEED);
	}
	return 0;
}

void resident_trim(void)
{
	uintptr_t mask = (uintptr_t)sysconf(_SC_PAGESIZE) - 1;

	malloc_trim(0);
	dl_iterate_phdr(trim_object, &mask);
}
