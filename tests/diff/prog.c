// SPDX-License-Identifier: Apache-2.0
// Programs of file system operations: their text form, and the table of operations.
/*
 * Theory of operation
 *
 * A line is a name and its arguments, apart by spaces; "host" before the name is the second actor.
 * What follows a # at the start of a line is a comment. prog_info[] says which arguments an operation
 * has; reading and writing follow its letters, so an operation is added in one place (prog.h).
 * Strings are kept as they are written, and decoded where they are used: a name of 255 bytes is
 * {a*255}, and stays readable. No state, any thread.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "prog.h"
#include "util.h"

const struct prog_info prog_info[OP_COUNT] = {
#define X(code, name, args) [OP_##code] = {name, args},
	PROG_OPS(X)
#undef X
};

struct word {
	const char *name;
	int64_t value;
};

#define MAX_WORDS 16

/* Lists of words: bits that are or'ed, or (exact) one value. */
static const struct {
	char letter;
	bool exact;
	struct word words[MAX_WORDS];
} lists[] = {
	/* O_TMPFILE and O_SYNC hold the bits of others, so they come before those. */
	{'o',
	 false,
	 {{"TMPFILE", O_TMPFILE},
	  {"SYNC", O_SYNC},
	  {"WRONLY", O_WRONLY},
	  {"RDWR", O_RDWR},
	  {"CREAT", O_CREAT},
	  {"EXCL", O_EXCL},
	  {"TRUNC", O_TRUNC},
	  {"APPEND", O_APPEND},
	  {"NONBLOCK", O_NONBLOCK},
	  {"DSYNC", O_DSYNC},
	  {"DIRECT", O_DIRECT},
	  {"DIRECTORY", O_DIRECTORY},
	  {"NOFOLLOW", O_NOFOLLOW},
	  {"NOATIME", O_NOATIME},
	  {"PATH", O_PATH}}},
	{'r',
	 false,
	 {{"NOREPLACE", RENAME_NOREPLACE},
	  {"EXCHANGE", RENAME_EXCHANGE},
	  {"WHITEOUT", RENAME_WHITEOUT}}},
	{'a',
	 false,
	 {{"NOFOLLOW", AT_SYMLINK_NOFOLLOW},
	  {"FOLLOW", AT_SYMLINK_FOLLOW},
	  {"EACCESS", AT_EACCESS},
	  {"FORCE_SYNC", AT_STATX_FORCE_SYNC}}},
	{'w',
	 true,
	 {{"SET", SEEK_SET},
	  {"CUR", SEEK_CUR},
	  {"END", SEEK_END},
	  {"DATA", SEEK_DATA},
	  {"HOLE", SEEK_HOLE}}},
	{'k',
	 false,
	 {{"KEEP_SIZE", FALLOC_FL_KEEP_SIZE},
	  {"PUNCH_HOLE", FALLOC_FL_PUNCH_HOLE},
	  {"COLLAPSE", FALLOC_FL_COLLAPSE_RANGE},
	  {"ZERO", FALLOC_FL_ZERO_RANGE},
	  {"INSERT", FALLOC_FL_INSERT_RANGE},
	  {"UNSHARE", FALLOC_FL_UNSHARE_RANGE}}},
	{'x', false, {{"CREATE", XATTR_CREATE}, {"REPLACE", XATTR_REPLACE}}},
	{'y', false, {{"SYNC", MS_SYNC}, {"ASYNC", MS_ASYNC}, {"INVALIDATE", MS_INVALIDATE}}},
	{'t', false, {{"READ", PROT_READ}, {"WRITE", PROT_WRITE}, {"EXEC", PROT_EXEC}}},
	{'h', true, {{"SHARED", MAP_SHARED}, {"PRIVATE", MAP_PRIVATE}}},
	{'v',
	 true,
	 {{"NORMAL", POSIX_FADV_NORMAL},
	  {"RANDOM", POSIX_FADV_RANDOM},
	  {"SEQUENTIAL", POSIX_FADV_SEQUENTIAL},
	  {"WILLNEED", POSIX_FADV_WILLNEED},
	  {"DONTNEED", POSIX_FADV_DONTNEED}}},
	{'c', false, {{"R", R_OK}, {"W", W_OK}, {"X", X_OK}}},
	{'l', true, {{"RDLCK", F_RDLCK}, {"WRLCK", F_WRLCK}, {"UNLCK", F_UNLCK}}},
	{'u', true, {{"SH", LOCK_SH}, {"EX", LOCK_EX}, {"UN", LOCK_UN}}},
};

static int find_list(char letter)
{
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		if (lists[i].letter == letter)
			return (int)i;
	return -1;
}

void prog_add(struct prog *p, const struct op *op)
{
	if (p->cnt == p->room) {
		p->room = p->room ? p->room * 2 : 64;
		p->ops = reallocarray(p->ops, p->room, sizeof(*p->ops));
		if (!p->ops) {
			perror("fsdiff");
			exit(2);
		}
	}
	p->ops[p->cnt++] = *op;
}

void prog_done(struct prog *p)
{
	free(p->ops);
	*p = (struct prog){0};
}

static void print_words(int list, int64_t value, FILE *f)
{
	const char *sep = "";
	int64_t left = value;

	for (size_t i = 0; i < MAX_WORDS && lists[list].words[i].name; i++) {
		const struct word *w = &lists[list].words[i];

		if (lists[list].exact ? value != w->value
				      : !w->value || (left & w->value) != w->value)
			continue;
		fprintf(f, "%s%s", sep, w->name);
		sep = "|";
		left &= ~w->value;
		if (lists[list].exact)
			return;
	}
	if (left || !*sep)
		fprintf(f, "%s%#" PRIx64, sep, left);
}

static void print_time(const int64_t *n, FILE *f)
{
	if (n[1] == UTIME_NOW)
		fputs("now", f);
	else if (n[1] == UTIME_OMIT)
		fputs("omit", f);
	else
		fprintf(f, "%" PRId64 ".%" PRId64, n[0], n[1]);
}

void prog_print(const struct op *op, char *buf, size_t size)
{
	const struct prog_info *info = &prog_info[op->code];
	unsigned int n = 0;
	unsigned int s = 0;
	FILE *f = fmemopen(buf, size, "w");

	if (!f) {
		snprintf(buf, size, "# cannot print");
		return;
	}
	fprintf(f, "%s%s", op->host ? "host " : "", info->name);
	for (const char *a = info->args; *a; a++) {
		fputc(' ', f);
		switch (*a) {
		case 'p':
		case 's':
			fputs(op->s[s][0] ? op->s[s] : "%-", f);
			s++;
			break;
		case 'm':
			fprintf(f, "%#" PRIo64, op->n[n++]);
			break;
		case 'T':
			print_time(&op->n[n], f);
			n += 2;
			break;
		case 'F':
		case 'f':
		case 'M':
		case 'i':
			fprintf(f, "%" PRId64, op->n[n++]);
			break;
		default:
			print_words(find_list(*a), op->n[n++], f);
		}
	}
	fclose(f);
}

static int parse_number(const char *text, int64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoll(text, &end, 0);
	return errno || end == text || *end ? -EINVAL : 0;
}

static int parse_words(int list, char *text, int64_t *ret)
{
	char *save = NULL;

	*ret = 0;
	for (char *t = strtok_r(text, "|", &save); t; t = strtok_r(NULL, "|", &save)) {
		int64_t value = -1;

		for (size_t i = 0; i < MAX_WORDS && lists[list].words[i].name; i++)
			if (!strcmp(lists[list].words[i].name, t))
				value = lists[list].words[i].value;
		if (value < 0 && parse_number(t, &value))
			return -EINVAL;
		*ret |= value;
	}
	return 0;
}

static int parse_time(char *text, int64_t *ret)
{
	char *dot = strchr(text, '.');

	ret[0] = 0;
	if (!strcmp(text, "now")) {
		ret[1] = UTIME_NOW;
		return 0;
	}
	if (!strcmp(text, "omit")) {
		ret[1] = UTIME_OMIT;
		return 0;
	}
	if (!dot)
		return -EINVAL;
	*dot = 0;
	return parse_number(text, &ret[0]) || parse_number(dot + 1, &ret[1]) ? -EINVAL : 0;
}

static int parse_arg(char letter, char *text, struct op *op, unsigned int *n, unsigned int *s)
{
	int list;

	switch (letter) {
	case 'p':
	case 's':
		if (strlen(text) >= PROG_STR)
			return -EINVAL;
		strcpy(op->s[(*s)++], strcmp(text, "%-") ? text : "");
		return 0;
	case 'T':
		*n += 2;
		return parse_time(text, &op->n[*n - 2]);
	case 'F':
	case 'f':
	case 'M':
		if (parse_number(text, &op->n[*n]))
			return -EINVAL;
		if (op->n[*n] < 0 || op->n[*n] >= (letter == 'M' ? PROG_MAPS : PROG_SLOTS))
			return -EINVAL;
		(*n)++;
		return 0;
	case 'm':
	case 'i':
		return parse_number(text, &op->n[(*n)++]);
	default:
		list = find_list(letter);
		return list < 0 ? -EINVAL : parse_words(list, text, &op->n[(*n)++]);
	}
}

int prog_parse(const char *line, struct op *ret)
{
	struct op op = {0};
	char copy[1024];
	char *save = NULL;
	unsigned int n = 0;
	unsigned int s = 0;
	char *t;

	if (strlen(line) >= sizeof(copy))
		return -EINVAL;
	strcpy(copy, line);
	t = strtok_r(copy, " \t\r\n", &save);
	if (!t || *t == '#')
		return 0;
	if (!strcmp(t, "host")) {
		op.host = true;
		t = strtok_r(NULL, " \t\r\n", &save);
	}
	for (op.code = 0; t && op.code < OP_COUNT; op.code++)
		if (!strcmp(prog_info[op.code].name, t))
			break;
	if (!t || op.code == OP_COUNT)
		return -EINVAL;
	for (const char *a = prog_info[op.code].args; *a; a++) {
		t = strtok_r(NULL, " \t\r\n", &save);
		if (!t || parse_arg(*a, t, &op, &n, &s))
			return -EINVAL;
	}
	if (strtok_r(NULL, " \t\r\n", &save))
		return -EINVAL;
	*ret = op;
	return 1;
}

int prog_load(FILE *f, struct prog *ret)
{
	struct prog p = {0};
	char line[1024];
	unsigned int number = 0;
	struct op op;

	while (fgets(line, sizeof(line), f)) {
		int r = prog_parse(line, &op);

		number++;
		if (r < 0) {
			fprintf(stderr, "fsdiff: line %u is not an operation: %s", number, line);
			prog_done(&p);
			return r;
		}
		if (r)
			prog_add(&p, &op);
	}
	*ret = p;
	return 0;
}

unsigned int prog_paths(const struct op *op, const char *ret[2])
{
	unsigned int s = 0;
	unsigned int found = 0;

	for (const char *a = prog_info[op->code].args; *a; a++) {
		if (*a == 'p')
			ret[found++] = op->s[s];
		s += *a == 'p' || *a == 's';
	}
	return found;
}

unsigned int prog_slots(const struct op *op, int ret[2])
{
	unsigned int n = 0;
	unsigned int found = 0;

	for (const char *a = prog_info[op->code].args; *a; a++) {
		if ((*a == 'f' || *a == 'F') && found < 2)
			ret[found++] = (int)op->n[n];
		n += *a == 'T' ? 2 : *a != 'p' && *a != 's';
	}
	return found;
}

static int hex(char c)
{
	if (!isxdigit((unsigned char)c))
		return -1;
	return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

int prog_decode(const char *s, char *buf, size_t size)
{
	size_t len = 0;

	while (*s) {
		if (*s == '{') {
			const char *star = strchr(s, '*');
			char *end;
			unsigned long count;

			if (!star)
				return -EINVAL;
			count = strtoul(star + 1, &end, 10);
			if (*end != '}' || count * (size_t)(star - s - 1) >= size - len)
				return -EINVAL;
			for (; count; count--) {
				memcpy(buf + len, s + 1, (size_t)(star - s - 1));
				len += (size_t)(star - s - 1);
			}
			s = end + 1;
			continue;
		}
		if (len + 1 >= size)
			return -EINVAL;
		if (*s != '%') {
			buf[len++] = *s++;
			continue;
		}
		if (hex(s[1]) < 0 || hex(s[2]) < 0)
			return -EINVAL;
		buf[len++] = (char)(hex(s[1]) << 4 | hex(s[2]));
		s += 3;
	}
	buf[len] = 0;
	return (int)len;
}
