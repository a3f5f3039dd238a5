// SPDX-License-Identifier: Apache-2.0
// Bursts: operations in an order that means something, which chance would seldom find.
/*
 * Theory of operation
 *
 * Each burst is what some program does, or what a passthrough file system is likely to get wrong, with
 * random names, slots, sizes and modes. It is queued as text, and the maker goes on at random after it,
 * with the burst's files still there and some of its slots still open.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "gen.h"
#include "util.h"

/* Paths and slots for one burst. */
struct hand {
	char p[PROG_STR];
	char q[PROG_STR];
	int f;
	int e;
	unsigned int len;
	unsigned int pat;
};

static void object(struct gen *g, const struct hand *h)
{
	/* As git makes its objects: what is open for writing may be read-only for everybody. */
	gen_queue(g, "open %d %s CREAT|EXCL|RDWR %#o", h->f, h->p,
		  rng_chance(&g->rng, 50) ? 0444u : 0u);
	gen_queue(g, "write %d %u 1 %u", h->f, h->len, h->pat);
	gen_queue(g, "write %d %u 3 %u", h->f, h->len / 3, h->pat + 1);
	gen_queue(g, "fchmod %d 0444", h->f);
	if (rng_chance(&g->rng, 50))
		gen_queue(g, "close %d", h->f);
	if (rng_chance(&g->rng, 50)) {
		gen_queue(g, "link %s %s 0", h->p, h->q);
		gen_queue(g, "unlink %s", h->p);
	} else {
		gen_queue(g, "rename %s %s 0", h->p, h->q);
	}
	gen_queue(g, "cat %s", h->q);
}

static void save(struct gen *g, const struct hand *h)
{
	/* As editors save: a new file over the old one, which somebody still has open. */
	gen_queue(g, "put %s 0 %u %u", h->p, h->len, h->pat);
	gen_queue(g, "open %d %s 0 0", h->f, h->p);
	gen_queue(g, "open %d %s CREAT|WRONLY|TRUNC 0644", h->e, h->q);
	gen_queue(g, "write %d %u 1 %u", h->e, h->len + 17, h->pat + 1);
	gen_queue(g, "rename %s %s 0", h->q, h->p);
	gen_queue(g, "pread %d 0 %u 1", h->f, h->len);
	gen_queue(g, "cat %s", h->p);
	gen_queue(g, "close %d", h->e);
	gen_queue(g, "rename %s %s EXCHANGE", h->p, h->q);
}

static void unlinked(struct gen *g, const struct hand *h)
{
	gen_queue(g, "open %d %s CREAT|RDWR 0640", h->f, h->p);
	gen_queue(g, "write %d %u 1 %u", h->f, h->len, h->pat);
	gen_queue(g, "unlink %s", h->p);
	gen_queue(g, "pwrite %d %u %u 1 %u", h->f, h->len / 2, h->len, h->pat + 1);
	gen_queue(g, "ftruncate %d %u", h->f, h->len);
	gen_queue(g, "fchmod %d 0600", h->f);
	gen_queue(g, "reopen %d %d RDWR|APPEND", h->e, h->f);
	gen_queue(g, "write %d 10 1 7", h->e);
	gen_queue(g, "pread %d 0 %u 1", h->f, h->len + 10);
	gen_queue(g, "futimens %d 5.5 omit", h->f);
	gen_queue(g, "linkfd %d %s", h->f, h->q);
	gen_queue(g, "close %d", h->e);
	if (rng_chance(&g->rng, 50))
		gen_queue(g, "fallocate %d KEEP_SIZE|PUNCH_HOLE 0 4096", h->f);
}

static void unnamed(struct gen *g, const struct hand *h)
{
	gen_queue(g, "mkdir %s 0755", h->p);
	gen_queue(g, "open %d %s TMPFILE|RDWR %#o", h->f, h->p, gen_mode(g) & 0777);
	gen_queue(g, "write %d %u 1 %u", h->f, h->len, h->pat);
	gen_queue(g, "fstat %d", h->f);
	gen_queue(g, "linkfd %d %s/a", h->f, h->p);
	gen_queue(g, "cat %s/a", h->p);
	gen_queue(g, "linkfd %d %s", h->f, h->q);
}

static void sparse(struct gen *g, const struct hand *h)
{
	gen_queue(g, "open %d %s CREAT|RDWR|TRUNC 0644", h->f, h->p);
	for (unsigned int i = 0; i < 4; i++)
		gen_queue(g, "pwrite %d %u %u 1 %u", h->f, rng_below(&g->rng, 60) * 8192,
			  1 + rng_below(&g->rng, 9000), h->pat + i);
	gen_queue(g, "fallocate %d KEEP_SIZE|PUNCH_HOLE %u %u", h->f, rng_below(&g->rng, 200000),
		  1 + rng_below(&g->rng, 50000));
	for (unsigned int i = 0; i < 4; i++)
		gen_queue(g, "lseek %d %u %s", h->f, rng_below(&g->rng, 500000),
			  i & 1 ? "HOLE" : "DATA");
	gen_queue(g, "ftruncate %d %u", h->f, rng_below(&g->rng, 600000));
	gen_queue(g, "cat %s", h->p);
}

static void mapped(struct gen *g, const struct hand *h)
{
	unsigned int size = 4096 + rng_below(&g->rng, 60000);

	gen_queue(g, "open %d %s CREAT|RDWR 0644", h->f, h->p);
	gen_queue(g, "pwrite %d 0 %u 1 %u", h->f, size, h->pat);
	gen_queue(g, "mmap 0 %d 0 %u READ|WRITE SHARED", h->f, size + 8192);
	gen_queue(g, "mwrite 0 %u %u %u", rng_below(&g->rng, size), h->len, h->pat + 1);
	gen_queue(g, "mread 0 0 %u", size);
	if (rng_chance(&g->rng, 70))
		gen_queue(g, "msync 0 SYNC");
	gen_queue(g, "pread %d 0 %u 1", h->f, size);
	gen_queue(g, "pwrite %d %u %u 1 %u", h->f, rng_below(&g->rng, size), h->len, h->pat + 2);
	gen_queue(g, "mread 0 0 %u", size);
	gen_queue(g, "ftruncate %d %u", h->f, rng_below(&g->rng, size));
	gen_queue(g, "mread 0 0 %u", size);
	gen_queue(g, "ftruncate %d %u", h->f, size + 4096);
	gen_queue(g, "mread 0 0 %u", size);
	gen_queue(g, "fsync %d", h->f);
	gen_queue(g, "munmap 0");
}

static void appending(struct gen *g, const struct hand *h)
{
	gen_queue(g, "open %d %s CREAT|WRONLY|APPEND 0644", h->f, h->p);
	gen_queue(g, "open %d %s RDWR|APPEND 0644", h->e, h->p);
	gen_queue(g, "write %d %u 1 %u", h->f, h->len, h->pat);
	gen_queue(g, "write %d %u 2 %u", h->e, h->len, h->pat + 1);
	gen_queue(g, "pwrite %d 0 11 1 3", h->f);
	gen_queue(g, "ftruncate %d %u", h->e, h->len / 2);
	gen_queue(g, "write %d 5 1 9", h->f);
	gen_queue(g, "setfl %d 0", h->f);
	gen_queue(g, "pwrite %d 1 5 1 10", h->f);
	gen_queue(g, "setfl %d APPEND", h->f);
	gen_queue(g, "write %d 5 1 11", h->f);
	gen_queue(g, "cat %s", h->p);
}

static void set_id(struct gen *g, const struct hand *h)
{
	static const char *const clears[] = {
		"write %d 10 1 1",       "ftruncate %d 3",
		"fallocate %d 0 0 9000", "fallocate %d KEEP_SIZE|PUNCH_HOLE 0 9",
		"fchown %d -1 -1",       "pwrite %d 0 0 1 1"};
	unsigned int uid = rng_below(&g->rng, 3) * 1000;
	char line[PROG_STR];

	gen_queue(g, "put %s 0 %u %u", h->p, h->len, h->pat);
	gen_queue(g, "chown %s 1000 1000 0", h->p);
	gen_queue(g, "chmod %s %#o", h->p,
		  0666 | (rng_below(&g->rng, 4) << 10) | (gen_mode(g) & 0111));
	gen_queue(g, "open %d %s RDWR 0", h->f, h->p);
	gen_queue(g, "cred %u %u 0", uid, rng_chance(&g->rng, 50) ? uid : 2000);
	switch (rng_below(&g->rng, 8)) {
	case 0:
		gen_queue(g, "truncate %s 5", h->p);
		break;
	case 1:
		gen_queue(g, "open %d %s WRONLY|TRUNC 0", h->e, h->p);
		break;
	case 2:
		gen_queue(g, "chown %s -1 1000 0", h->p);
		break;
	case 3:
		gen_queue(g, "chmod %s %#o", h->p, gen_mode(g));
		break;
	default:
		snprintf(line, sizeof(line), "%s", clears[rng_below(&g->rng, ARRAY_SIZE(clears))]);
		strcpy(strstr(line, "%d"), "");
		gen_queue(g, "%s%d%s", line, h->f, strchr(line, 0) + 2);
	}
	gen_queue(g, "fstat %d", h->f);
	gen_queue(g, "cred 0 0 0");
}

static void set_gid_dir(struct gen *g, const struct hand *h)
{
	gen_queue(g, "mkdir %s 0777", h->p);
	gen_queue(g, "chown %s -1 3000 0", h->p);
	gen_queue(g, "chmod %s 02777", h->p);
	gen_queue(g, "cred 1000 %u %u", rng_chance(&g->rng, 50) ? 1000u : 3000u,
		  rng_below(&g->rng, 2));
	gen_queue(g, "open %d %s/a CREAT|RDWR %#o", h->f, h->p, gen_mode(g));
	gen_queue(g, "mkdir %s/b %#o", h->p, gen_mode(g));
	gen_queue(g, "mknod %s/c %#o 0", h->p, 010000 | gen_mode(g));
	gen_queue(g, "symlink a %s/d", h->p);
	gen_queue(g, "open %d %s TMPFILE|RDWR 02770", h->e, h->p);
	gen_queue(g, "fchmod %d 02755", h->f);
	gen_queue(g, "cred 0 0 0");
}

static void sticky(struct gen *g, const struct hand *h)
{
	gen_queue(g, "mkdir %s 0777", h->p);
	gen_queue(g, "chmod %s 01777", h->p);
	gen_queue(g, "put %s/a 0 10 1", h->p);
	gen_queue(g, "mkdir %s/b 0777", h->p);
	gen_queue(g, "cred 1000 1000 0");
	gen_queue(g, "put %s/c 0 10 1", h->p);
	gen_queue(g, "cred 2000 2000 0");
	gen_queue(g, "unlink %s/a", h->p);
	gen_queue(g, "rename %s/c %s/d 0", h->p, h->p);
	gen_queue(g, "rmdir %s/b", h->p);
	gen_queue(g, "link %s/c %s/e 0", h->p, h->p);
	gen_queue(g, "open %d %s/c CREAT|RDWR 0644", h->f, h->p);
	gen_queue(g, "cred 0 0 0");
}

static void denied(struct gen *g, const struct hand *h)
{
	unsigned int mode = gen_mode(g);

	gen_queue(g, "mkdir %s %#o", h->p, mode);
	gen_queue(g, "put %s/a 0 10 1", h->p);
	gen_queue(g, "chmod %s/a %#o", h->p, gen_mode(g));
	gen_queue(g, "chmod %s %#o", h->p, mode);
	gen_queue(g, "cred %u %u %u", 1000 * (1 + rng_below(&g->rng, 2)),
		  3000 * rng_below(&g->rng, 2), rng_below(&g->rng, 2));
	gen_queue(g, "open %d %s/a RDWR 0", h->f, h->p);
	gen_queue(g, "access %s/a R|W 0", h->p);
	gen_queue(g, "access %s/a X EACCESS", h->p);
	gen_queue(g, "unlink %s/a", h->p);
	gen_queue(g, "open %d %s DIRECTORY 0", h->e, h->p);
	gen_queue(g, "utimens %s/a now now 0", h->p);
	gen_queue(g, "utimens %s/a 1.1 omit 0", h->p);
	gen_queue(g, "mkdir %s/b 0777", h->p);
	gen_queue(g, "cred 0 0 0");
}

static void scanned(struct gen *g, const struct hand *h)
{
	unsigned int n = 5 + rng_below(&g->rng, 60);
	unsigned int size = 300 + rng_below(&g->rng, 2000);

	gen_queue(g, "mkdir %s 0755", h->p);
	gen_queue(g, "mkmany %s %u", h->p, n);
	for (char c = 'a'; c < 'g'; c++)
		gen_queue(g, "put %s/%c 0 1 1", h->p, c);
	gen_queue(g, "open %d %s DIRECTORY 0", h->f, h->p);
	gen_queue(g, "readdir %d %u %u", h->f, 1 + rng_below(&g->rng, n), size);
	gen_queue(g, "unlink %s/%c", h->p, 'a' + (int)rng_below(&g->rng, 6));
	gen_queue(g, "put %s/n 0 1 1", h->p);
	gen_queue(g, "seekdir %d %u", h->f, rng_below(&g->rng, n));
	if (rng_chance(&g->rng, 30))
		gen_queue(g, "rmmany %s", h->p);
	gen_queue(g, "readdir %d %u %u", h->f, rng_below(&g->rng, n), size);
	gen_queue(g, "rename %s/%c %s/o 0", h->p, 'a' + (int)rng_below(&g->rng, 6), h->p);
	gen_queue(g, "readdir %d 100000 %u", h->f, size);
	gen_queue(g, "rewinddir %d", h->f);
	gen_queue(g, "readdir %d 100000 %u", h->f, size);
	gen_queue(g, "rmmany %s", h->p);
}

static void copied(struct gen *g, const struct hand *h)
{
	gen_queue(g, "put %s %u %u %u", h->p, rng_below(&g->rng, 9000), h->len, h->pat);
	gen_queue(g, "open %d %s RDWR 0", h->f, h->p);
	gen_queue(g, "open %d %s CREAT|RDWR 0644", h->e, h->q);
	gen_queue(g, "copyrange %d 0 %d %u %u", h->f, h->e, rng_below(&g->rng, 9000), h->len);
	gen_queue(g, "copyrange %d -1 %d -1 %u", h->f, h->e, h->len / 2);
	gen_queue(g, "copyrange %d 0 %d %u %u", h->f, h->f, h->len + 4096, h->len / 2);
	gen_queue(g, "sendfile %d %d -1 %u", h->e, h->f, h->len);
	gen_queue(g, "cat %s", h->q);
}

static void trees(struct gen *g, const struct hand *h)
{
	gen_queue(g, "mkdir %s 0755", h->p);
	gen_queue(g, "mkdir %s/a 0755", h->p);
	gen_queue(g, "open %d %s/a/f CREAT|RDWR 0644", h->f, h->p);
	gen_queue(g, "open %d %s/a DIRECTORY 0", h->e, h->p);
	gen_queue(g, "mkdir %s 0755", h->q);
	gen_queue(g, "rename %s/a %s/b 0", h->p, h->q);
	gen_queue(g, "write %d %u 1 %u", h->f, h->len, h->pat);
	gen_queue(g, "put @%d/g 0 5 5", h->e);
	gen_queue(g, "stat %s/b/g 0", h->q);
	gen_queue(g, "rename %s %s/b/c 0", h->q, h->q);
	gen_queue(g, "unlink @%d/g", h->e);
	gen_queue(g, "unlink %s/b/f", h->q);
	gen_queue(g, "rmdir %s/b", h->q);
	gen_queue(g, "put @%d/g 0 5 5", h->e);
	gen_queue(g, "readdir %d 10 1000", h->e);
	gen_queue(g, "rename %s %s EXCHANGE", h->p, h->q);
}

static void linked(struct gen *g, const struct hand *h)
{
	gen_queue(g, "put %s 0 %u %u", h->p, h->len, h->pat);
	gen_queue(g, "link %s %s 0", h->p, h->q);
	gen_queue(g, "open %d %s RDWR 0", h->f, h->q);
	gen_queue(g, "write %d 7 1 1", h->f);
	gen_queue(g, "stat %s 0", h->p);
	gen_queue(g, "rename %s %s 0", h->p, h->q); /* one file: nothing happens */
	gen_queue(g, "chmod %s 0600", h->p);
	gen_queue(g, "unlink %s", h->p);
	gen_queue(g, "fstat %d", h->f);
	gen_queue(g, "cat %s", h->q);
}

static void special(struct gen *g, const struct hand *h)
{
	gen_queue(g, "mknod %s 010644 0", h->p);
	gen_queue(g, "open %d %s RDWR 0", h->f, h->p);
	gen_queue(g, "write %d 10 1 1", h->f);
	gen_queue(g, "open %d %s NONBLOCK 0", h->e, h->p);
	gen_queue(g, "read %d 5 1", h->e);
	gen_queue(g, "fstat %d", h->e);
	gen_queue(g, "mknod %s %s 0x103", h->q, g->conf->root ? "020666" : "0140666");
	gen_queue(g, "open %d %s RDWR 0", h->e, h->q);
	gen_queue(g, "write %d 10 1 1", h->e);
	gen_queue(g, "rename %s %s 0", h->q, h->p);
}

static void emptied(struct gen *g, const struct hand *h)
{
	gen_queue(g, "open %d %s CREAT|RDWR|TRUNC 0644", h->f, h->p);
	gen_queue(g, "write %d %u 1 %u", h->f, h->len, h->pat);
	gen_queue(g, "open %d %s RDWR|TRUNC 0", h->e, h->p);
	gen_queue(g, "pread %d 0 %u 1", h->f, h->len);
	gen_queue(g, "write %d %u 1 %u", h->f, 9u, h->pat); /* leaves a hole before it */
	gen_queue(g, "cat %s", h->p);
	gen_queue(g, "open %d %s CREAT|EXCL|TRUNC 0", h->e, h->p);
	gen_queue(g, "utimens %s 7.7 8.8 0", h->p);
	gen_queue(g, "pread %d 0 %u 1", h->f, 20u);
	gen_queue(g, "pwrite %d 0 %u 1 %u", h->f, 0u, h->pat);
	gen_queue(g, "fstat %d", h->f);
}

static void labelled(struct gen *g, const struct hand *h)
{
	if (!g->conf->xattr)
		return;
	gen_queue(g, "put %s 0 %u %u", h->p, h->len, h->pat);
	gen_queue(g, "setxattr %s user.a %u %u CREATE 0", h->p, rng_below(&g->rng, 300), h->pat);
	gen_queue(g, "setxattr %s user.b %u %u 0 0", h->p, rng_below(&g->rng, 3000), h->pat + 1);
	gen_queue(g, "open %d %s RDWR 0", h->f, h->p);
	gen_queue(g, "fsetxattr %d user.a %u %u REPLACE", h->f, rng_below(&g->rng, 300),
		  h->pat + 2);
	gen_queue(g, "getxattr %s user.a 65536 0", h->p);
	gen_queue(g, "getxattr %s user.b %u 0", h->p, rng_below(&g->rng, 3000));
	gen_queue(g, "fgetxattr %d user.b 0", h->f);
	gen_queue(g, "listxattr %s %u 0", h->p, rng_below(&g->rng, 40));
	gen_queue(g, "link %s %s 0", h->p, h->q);
	gen_queue(g, "rmxattr %s user.a 0", h->q);
	gen_queue(g, "fgetxattr %d user.a 100", h->f);
	gen_queue(g, "unlink %s", h->p);
	gen_queue(g, "frmxattr %d user.b", h->f);
	gen_queue(g, "flistxattr %d 65536", h->f);
}

void gen_burst(struct gen *g)
{
	static void (*const bursts[])(struct gen *, const struct hand *) = {
		object,    save,   unlinked, unnamed,     sparse,  mapped,
		appending, set_id, denied,   set_gid_dir, sticky,  scanned,
		copied,    trees,  linked,   special,     emptied, labelled,
	};
	struct hand h;

	gen_new_path(g, h.p);
	gen_new_path(g, h.q);
	h.f = gen_slot(g, GEN_NONE);
	do {
		h.e = (int)rng_below(&g->rng, PROG_SLOTS);
	} while (h.e == h.f);
	h.len = 1 + rng_below(&g->rng, 20000);
	h.pat = rng_below(&g->rng, 1000);
	bursts[rng_below(&g->rng, ARRAY_SIZE(bursts))](g, &h);
}
