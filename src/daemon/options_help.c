// SPDX-License-Identifier: Apache-2.0
/* The usage text, made from the table of options. */
/*
 * Theory of operation
 *
 * A line a row, in the order of the table. What a row calls itself when it has no long name is its letter,
 * and when it has none either its word of -o.
 */
#include "options_table.h"

void options_help(FILE *f)
{
	fputs("Usage: virtiofsd --shared-dir=DIR {--socket-path=PATH | --fd=N} [OPTION]...\n"
	      "Share a host directory with a virtual machine through virtio-fs.\n\n",
	      f);
	for (size_t i = 0; i < option_rows_n; i++) {
		const struct option_row *row = &option_rows[i];
		char left[64] = "";
		int at = 0;

		if (!row->help)
			continue;
		if (row->letter)
			at = snprintf(left, sizeof(left), "-%c%s", row->letter,
				      row->name ? ", " : "");
		if (row->name)
			at += snprintf(left + at, sizeof(left) - (size_t)at, "--%s", row->name);
		if (!row->letter && !row->name)
			snprintf(left, sizeof(left), "-o %s", row->legacy);
		if (row->arg)
			snprintf(left + at, sizeof(left) - (size_t)at, "%s%s",
				 row->name ? "=" : " ", row->arg);
		fprintf(f, "  %-28s %s\n", left, row->help);
	}
	fputs("\n--name=VALUE and --name VALUE mean the same; the last one wins. See "
	      "virtiofsd(1).\n",
	      f);
}
