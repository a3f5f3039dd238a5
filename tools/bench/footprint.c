// SPDX-License-Identifier: Apache-2.0
/* virtiofs-bench: memory and descriptors for many files. */
/*
 * Theory of operation
 *
 * A folder of so many files; each is looked up once and not forgotten. Looked at is what the daemon has
 * in memory before and after, by /proc/PID/smaps. A daemon that has no more descriptors is stopped there.
 */
#include <stdio.h>
#include <string.h>

#include "footprint.h"
#include "util.h"

#define DEPTH 64u

static int know_begin(struct load *l)
{
	return share_dir(l, DIR_MANY, false);
}

static void know_issue(struct load *l, struct slot *s)
{
	char name[16];

	s->file = (unsigned int)l->next++;
	files_name(name, s->file);
	slot_begin(l, s, FUSE_LOOKUP, l->arm->ids[DIR_MANY].node);
	slot_name(s, name);
	slot_reply(s, sizeof(struct fuse_entry_out));
}

static int know_check(struct load *l, struct slot *s, bool *ret_rest)
{
	const struct bench_dir *d = &l->files->dir[DIR_MANY];
	const struct fuse_entry_out *out = slot_payload(s);
	struct ids *ids = &l->arm->ids[DIR_MANY];

	/* Each slot rests when there is none left for it. */
	*ret_rest = l->next >= d->n;
	if (slot_error(s) == -ENFILE || slot_error(s) == -EMFILE)
		return -ENFILE;
	if (slot_error(s) || slot_len(s) != sizeof(*out) || out->attr.ino != d->ino[s->file])
		return load_fail(l, "LOOKUP of file %u: error %d", s->file, slot_error(s));
	ids->id[s->file] = out->nodeid;
	ids->refs[s->file] = 1;
	return 1;
}

static const struct work know = {
	.name = "inodes",
	.dir = DIR_MANY,
	.unit = "op",
	.begin = know_begin,
	.issue = know_issue,
	.check = know_check,
};

struct taken {
	struct footprint before;
	struct footprint after;
	uint64_t known;
};

static int know_all(struct arm *a, struct files *f, struct taken *ret)
{
	struct load l;
	int r = load_init(&l, &know, a, f, MIN(DEPTH, f->dir[DIR_MANY].n), 1);

	if (r == 0)
		r = l.work->begin(&l);
	if (r == 0) {
		ret->before = arm_footprint(a);
		r = load_run(&l);
		ret->after = arm_footprint(a);
		ret->known = l.ops;
		if (r == -ENFILE)
			r = 0;
	}
	if (r < 0)
		fprintf(stderr, "virtiofs-bench: %s: %s\n", a->name, l.err);
	load_done(&l);
	return r;
}

static void print_row(const struct arm *a, const struct taken *t)
{
	printf("%-16s %10llu %12.1f %12.1f %12.1f %10llu %10llu\n", a->name,
	       (unsigned long long)t->known, (double)t->before.rss / (1 << 20),
	       (double)t->after.rss / (1 << 20),
	       t->known ? ((double)t->after.rss - (double)t->before.rss) / (double)t->known : 0,
	       (unsigned long long)t->before.fds, (unsigned long long)t->after.fds);
	fflush(stdout);
}

static void json_row(FILE *j, const struct arm *a, const struct taken *t, bool first)
{
	fprintf(j,
		"%s\n    {\"arm\": \"%s\", \"known\": %llu, \"rss_before\": %llu, \"rss_after\": "
		"%llu, \"fds_before\": %llu, \"fds_after\": %llu}",
		first ? "" : ",", a->name, (unsigned long long)t->known,
		(unsigned long long)t->before.rss, (unsigned long long)t->after.rss,
		(unsigned long long)t->before.fds, (unsigned long long)t->after.fds);
}

int footprint(struct arm *arms, unsigned int narms, struct files *f, unsigned int n,
	      const char *json)
{
	FILE *j = json ? fopen(json, "we") : NULL;
	bool first = true;
	int r;

	if (json && !j)
		return -errno;
	fprintf(stderr, "making %u files\n", n);
	r = files_dir(f, DIR_MANY);
	if (j)
		fprintf(j, "{\n  \"inodes\": %u,\n  \"results\": [", n);
	printf("%-16s %10s %12s %12s %12s %10s %10s\n", "arm", "files", "MiB before", "MiB after",
	       "bytes/file", "fds before", "fds after");
	for (unsigned int i = 0; r == 0 && i < narms; i++) {
		struct taken t = {0};

		if (arms[i].kind != ARM_DAEMON)
			continue;
		fprintf(stderr, "%s: looking up %u files\n", arms[i].name, n);
		r = know_all(&arms[i], f, &t);
		if (r < 0)
			break;
		print_row(&arms[i], &t);
		if (j)
			json_row(j, &arms[i], &t, first);
		first = false;
	}
	if (j) {
		fputs("\n  ]\n}\n", j);
		if (fclose(j) && r == 0)
			r = -EIO;
	}
	return r;
}
