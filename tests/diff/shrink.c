// SPDX-License-Identifier: Apache-2.0
// Making a program that shows a difference as short as it gets.
/*
 * Theory of operation
 *
 * Delta debugging: remove ever smaller pieces of the program as long as what is left, run in fresh
 * directories, shows the same difference (the same field after the same kind of operation). In the end
 * no single operation can be left out. Then paths of those that stay are cut, and numbers made smaller,
 * the same way. The number of runs is bounded; what has been reached then is the result. One thread; the
 * programs run in children (run.c).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shrink.h"

#define MOST_TRIES 1500

struct shrink {
	const struct run *run;
	struct prog *p;
	const struct diff *want;
	struct diff last; /* as the shortest program showed it */
	unsigned char *keep;
	unsigned int tries;
};

static bool shows(struct shrink *s)
{
	struct diff diff = {0};

	s->tries++;
	if (run_program(s->run, s->p, s->keep, &diff) || !diff.found ||
	    diff.code != s->want->code || strcmp(diff.field, s->want->field))
		return false;
	s->last = diff;
	return true;
}

/* Drop the operations that @s->keep has no mark for. */
static void compact(struct shrink *s)
{
	size_t cnt = 0;

	for (size_t i = 0; i < s->p->cnt; i++)
		if (s->keep[i])
			s->p->ops[cnt++] = s->p->ops[i];
	s->p->cnt = cnt;
	memset(s->keep, 1, cnt);
}

/* Try without @len operations at @at. */
static bool without(struct shrink *s, size_t at, size_t len)
{
	memset(s->keep, 1, s->p->cnt);
	memset(s->keep + at, 0, len);
	if (shows(s)) {
		compact(s);
		return true;
	}
	memset(s->keep, 1, s->p->cnt);
	return false;
}

static void remove_pieces(struct shrink *s)
{
	size_t piece = s->p->cnt / 2;

	while (piece && s->tries < MOST_TRIES) {
		bool removed = false;

		/* From the end: what comes later depends on what was before. */
		for (size_t end = s->p->cnt; end && s->tries < MOST_TRIES;) {
			size_t len = end < piece ? end : piece;

			removed |= without(s, end - len, len);
			end -= len;
		}
		if (piece > 1)
			piece /= 2;
		else if (!removed)
			break;
	}
}

/* Take "@dir/" away from the start of all paths. False: the difference goes with it. */
static bool without_dir(struct shrink *s, const char *dir)
{
	size_t len = strlen(dir);
	struct op *old = malloc(s->p->cnt * sizeof(*old));
	bool ok;

	if (!old)
		return false;
	memcpy(old, s->p->ops, s->p->cnt * sizeof(*old));
	for (size_t i = 0; i < s->p->cnt; i++) {
		struct op *op = &s->p->ops[i];

		for (int k = 0; k < 2; k++)
			if (!strncmp(op->s[k], dir, len) && op->s[k][len] == '/')
				memmove(op->s[k], op->s[k] + len + 1,
					strlen(op->s[k] + len + 1) + 1);
	}
	ok = shows(s);
	if (!ok)
		memcpy(s->p->ops, old, s->p->cnt * sizeof(*old));
	free(old);
	return ok;
}

/* Move what happens in directories up, as far as it does not matter where it is. */
static void flatten(struct shrink *s)
{
	for (size_t i = 0; i < s->p->cnt; i++)
		for (int k = 0; k < 2; k++) {
			char dir[PROG_STR];
			char *slash;

			strcpy(dir, s->p->ops[i].s[k]);
			slash = strrchr(dir, '/');
			if (!slash || slash == dir || s->tries >= MOST_TRIES)
				continue;
			*slash = 0;
			without_dir(s, dir);
		}
}

static bool try_number(struct shrink *s, int64_t *n, int64_t value)
{
	int64_t old = *n;

	if (old == value || !old)
		return false;
	*n = value;
	if (s->tries < MOST_TRIES && shows(s))
		return true;
	*n = old;
	return false;
}

static void simplify(struct shrink *s)
{
	for (size_t i = 0; i < s->p->cnt; i++) {
		struct op *op = &s->p->ops[i];
		unsigned int n = 0;

		for (const char *a = prog_info[op->code].args; *a; a++) {
			if (*a == 'i' && op->code != OP_MKNOD && op->code != OP_CRED) {
				if (!try_number(s, &op->n[n], 0))
					try_number(s, &op->n[n], 1);
				while (op->n[n] > 16 && try_number(s, &op->n[n], op->n[n] / 2))
					;
			}
			n += *a == 'T' ? 2 : *a != 'p' && *a != 's';
		}
	}
}

unsigned int shrink(const struct run *run, struct prog *p, struct diff *diff)
{
	struct shrink s = {.run = run, .p = p, .want = diff};

	/* Nothing after the difference matters. */
	if (diff->at + 1 < p->cnt)
		p->cnt = diff->at + 1;
	s.keep = malloc(p->cnt + 1);
	if (!s.keep)
		return 0;
	memset(s.keep, 1, p->cnt + 1);
	for (int i = 0; i < 3 && !s.last.found; i++)
		shows(&s);
	if (!s.last.found) {
		free(s.keep);
		return 0;
	}
	remove_pieces(&s);
	flatten(&s);
	remove_pieces(&s);
	simplify(&s);
	remove_pieces(&s);
	shows(&s); /* once more as it is: where it is seen */
	free(s.keep);
	*diff = s.last;
	return s.tries;
}
