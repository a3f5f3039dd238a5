// SPDX-License-Identifier: Apache-2.0
/* The usage text, made from the table of options. */
/*
 * Theory of operation
 *
 * A row of the table is a paragraph, in the order of the table, broken for a terminal of 80 columns. What a
 * row calls itself when it has no long name is its letter, and when it has none either its word of -o.
 */
#include <string.h>

#include "options_table.h"
#include "util.h"

#define LEFT  29 /* columns of the names */
#define WIDTH 79

/* Where the help of @row begins: behind its names, or below them when they are long. */
static void put_names(FILE *f, const struct option_row *row)
{
	char names[80] = "";
	int at = 0;

	if (row->letter)
		at = snprintf(names, sizeof(names), "-%c%s", row->letter, row->name ? ", " : "");
	if (row->name)
		at += snprintf(names + at, sizeof(names) - (size_t)at, "--%s", row->name);
	if (!row->letter && !row->name)
		at = snprintf(names, sizeof(names), "-o %s", row->legacy);
	if (row->arg && row->missing)
		snprintf(names + at, sizeof(names) - (size_t)at, "[=%s]", row->arg);
	else if (row->arg)
		snprintf(names + at, sizeof(names) - (size_t)at, "%s%s", row->name ? "=" : " ",
			 row->arg);
	if (strlen(names) > LEFT - 4)
		fprintf(f, "  %s\n%*s", names, LEFT, "");
	else
		fprintf(f, "  %-*s", LEFT - 2, names);
}

/* Text in the columns from LEFT on. */
static void put_text(FILE *f, const char *text)
{
	while (strlen(text) > WIDTH - LEFT) {
		int len = WIDTH - LEFT;

		while (len > 0 && text[len] != ' ')
			len--;
		if (!len)
			break;
		fprintf(f, "%.*s\n%*s", len, text, LEFT, "");
		text += len + 1;
	}
	fprintf(f, "%s\n", text);
}

void options_help(FILE *f)
{
	fputs("Usage: virtiofsd --shared-dir=DIR {--socket-path=PATH | --fd=N} [OPTION]...\n"
	      "Share a host directory with a virtual machine through virtio-fs.\n\n",
	      f);
	for (size_t i = 0; i < option_rows_n; i++) {
		if (!option_rows[i].help)
			continue;
		put_names(f, &option_rows[i]);
		put_text(f, option_rows[i].help);
	}
	fputs("\n--name=VALUE and --name VALUE mean the same; the last one wins.\n"
	      "virtiofsd(1) tells more.\n",
	      f);
}
