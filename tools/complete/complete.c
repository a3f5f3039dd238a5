// SPDX-License-Identifier: Apache-2.0
/* Writes what is made from the table of options at build time: completions for shells, and a list. */
/*
 * Theory of operation
 *
 * usage: complete bash|zsh|list. It is not installed; what it writes is. A row without a text for the help
 * is not offered. What values an option takes is known for words, directories and files.
 */
#include <stdio.h>
#include <string.h>

#include "options_table.h"
#include "util.h"

static bool offered(const struct option_row *row)
{
	return row->help != NULL;
}

static bool is_dir(const struct option_row *row)
{
	return row->kind == STRING && strcmp(row->arg, "DIR") == 0;
}

static bool is_file(const struct option_row *row)
{
	return row->kind == STRING && strcmp(row->arg, "PATH") == 0;
}

static bool is_group(const struct option_row *row)
{
	return row->kind == STRING && strcmp(row->arg, "GROUP") == 0;
}

static bool is_repeated(const struct option_row *row)
{
	return row->kind == MAPS || row->kind == IDS || row->kind == LEGACY;
}

static void put_words(const struct option_row *row)
{
	const char *sep = "";

	for (const struct option_word *w = row->words; w && w->name; w++) {
		if (w->alias)
			continue;
		printf("%s%s", sep, w->name);
		sep = " ";
	}
}

/* All words of -o that mean something; with = where a value follows. */
static void put_legacy(const char *sep)
{
	const char *before = "";

	for (size_t i = 0; i < option_rows_n; i++) {
		const struct option_row *row = &option_rows[i];

		if (!row->legacy || row->kind == REFUSED)
			continue;
		printf("%s%s%s", before, row->legacy, option_takes_value(row) ? "=" : "");
		before = sep;
	}
}

/* ---- bash ---- */

static void bash_value(const struct option_row *row)
{
	if (row->name)
		printf("\t--%s)\n\t\t", row->name);
	else
		printf("\t-%c)\n\t\t", row->letter);
	if (is_dir(row))
		puts("compopt -o filenames\n\t\tmapfile -t COMPREPLY < <(compgen -d -- \"$cur\")");
	else if (is_file(row))
		puts("compopt -o filenames\n\t\tmapfile -t COMPREPLY < <(compgen -f -- \"$cur\")");
	else if (is_group(row))
		puts("mapfile -t COMPREPLY < <(compgen -g -- \"$cur\")");
	else if (row->words) {
		fputs("mapfile -t COMPREPLY < <(compgen -W '", stdout);
		put_words(row);
		puts("' -- \"$cur\")");
	} else if (row->kind == LEGACY) {
		fputs("[[ $cur != *,* ]] || head=${cur%,*},\n"
		      "\t\tmapfile -t COMPREPLY < <(compgen -P \"$head\" -W '",
		      stdout);
		put_legacy(" ");
		puts("' -- \"${cur##*,}\")");
	} else {
		puts("return");
	}
	puts("\t\t;;");
}

static void bash(void)
{
	puts("# bash completion for virtiofsd(1); made from its table of options.\n"
	     "# shellcheck shell=bash\n"
	     "_virtiofsd()\n"
	     "{\n"
	     "\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} head=\n\n"
	     "\t# --name=value is three words here.\n"
	     "\tif [[ $cur == = ]]; then\n"
	     "\t\tcur=\n"
	     "\telif [[ $prev == = ]]; then\n"
	     "\t\tprev=${COMP_WORDS[COMP_CWORD - 2]}\n"
	     "\tfi\n"
	     "\tCOMPREPLY=()\n"
	     "\tcase $prev in");
	for (size_t i = 0; i < option_rows_n; i++)
		if (offered(&option_rows[i]) && option_takes_value(&option_rows[i]) &&
		    (option_rows[i].name || option_rows[i].letter))
			bash_value(&option_rows[i]);
	fputs("\t*)\n\t\tmapfile -t COMPREPLY < <(compgen -W '", stdout);
	for (size_t i = 0; i < option_rows_n; i++) {
		const struct option_row *row = &option_rows[i];

		if (offered(row) && row->name)
			printf("--%s%s ", row->name,
			       option_takes_value(row) && !row->missing ? "=" : "");
		if (offered(row) && row->letter)
			printf("-%c ", row->letter);
	}
	puts("' -- \"$cur\")\n"
	     "\t\t;;\n"
	     "\tesac\n"
	     "\t[[ ${COMPREPLY-} != *= ]] || compopt -o nospace\n"
	     "}\n"
	     "complete -F _virtiofsd virtiofsd");
}

/* ---- zsh ---- */

/* Within single quotes of the shell, with the characters of @special escaped for _arguments. */
static void zsh_text(const char *text, const char *special)
{
	for (; *text; text++) {
		if (*text == '\'')
			fputs("'\\''", stdout);
		else
			printf("%s%c", strchr(special, *text) ? "\\" : "", *text);
	}
}

static void zsh_value(const struct option_row *row)
{
	fputs(row->missing ? "::" : ":", stdout);
	zsh_text(row->arg, ":\\");
	putchar(':');
	if (is_dir(row)) {
		fputs("_files -/", stdout);
	} else if (is_file(row)) {
		fputs("_files", stdout);
	} else if (is_group(row)) {
		fputs("_groups", stdout);
	} else if (row->words) {
		putchar('(');
		put_words(row);
		putchar(')');
	} else if (row->kind == LEGACY) {
		fputs("_values -s , word ", stdout);
		for (size_t i = 0; i < option_rows_n; i++)
			if (option_rows[i].legacy && option_rows[i].kind != REFUSED)
				printf("%s%s ", option_rows[i].legacy,
				       option_takes_value(&option_rows[i]) ? "\\:value" : "");
	} else {
		putchar(' ');
	}
}

static void zsh_option(const struct option_row *row, bool letter)
{
	printf("\t'%s", is_repeated(row) ? "*" : "");
	if (letter)
		printf("-%c", row->letter);
	else
		printf("--%s%s", row->name,
		       !option_takes_value(row) ? ""
		       : row->missing           ? "=-"
						: "=");
	putchar('[');
	zsh_text(row->help, "[]\\");
	putchar(']');
	if (option_takes_value(row))
		zsh_value(row);
	puts("' \\");
}

static void zsh(void)
{
	puts("#compdef virtiofsd\n"
	     "# zsh completion for virtiofsd(1); made from its table of options.\n"
	     "_arguments \\");
	for (size_t i = 0; i < option_rows_n; i++) {
		if (!offered(&option_rows[i]))
			continue;
		if (option_rows[i].name)
			zsh_option(&option_rows[i], false);
		if (option_rows[i].letter)
			zsh_option(&option_rows[i], true);
	}
	puts("\t&& return 0");
}

/* ---- for tests, and for the manual ---- */

/* Apart by tabs: name, letter, word of -o, what the value is called, how it is treated, values, text of the help. */
static void list(void)
{
	for (size_t i = 0; i < option_rows_n; i++) {
		const struct option_row *row = &option_rows[i];

		printf("%s\t%.1s\t%s\t%s\t%s\t", row->name ? row->name : "", &row->letter,
		       row->legacy ? row->legacy : "", row->arg ? row->arg : "",
		       row->kind == REFUSED ? "refused"
		       : !offered(row)      ? "hidden"
		       : row->missing       ? "optional"
					    : "offered");
		put_words(row);
		printf("\t%s\n", row->help ? row->help : "");
	}
}

int main(int argc, char *argv[])
{
	static const struct {
		const char *name;
		void (*write)(void);
	} forms[] = {{"bash", bash}, {"zsh", zsh}, {"list", list}};

	for (size_t i = 0; argc == 2 && i < ARRAY_SIZE(forms); i++) {
		if (strcmp(argv[1], forms[i].name) == 0) {
			forms[i].write();
			return fflush(stdout) ? 1 : 0;
		}
	}
	fputs("usage: complete bash|zsh|list\n", stderr);
	return 2;
}
