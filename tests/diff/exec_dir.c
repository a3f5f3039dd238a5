// SPDX-License-Identifier: Apache-2.0
// Reading directories while they change.
/*
 * Theory of operation
 *
 * How many entries one getdents64(2) gives, their order and their offsets are the file system's own
 * affair, and what it has read ahead may be gone by the time it is handed out. What holds everywhere:
 * a name that was there all the time between the start of a scan and its end comes exactly once, also
 * when the scan went back to an earlier offset. So each side keeps the names of its scan; seekdir cuts
 * that list to what came before the offset; and when both sides have ended, the lists without the
 * names that any operation named meanwhile ("touched") must be the same set.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "exec.h"
#include "known.h"

#define SCAN_BUF 32768

static void scan_cut(struct scan *sc, size_t cnt)
{
	while (sc->cnt > cnt)
		free(sc->ents[--sc->cnt].name);
	sc->pos = sc->len = 0;
	sc->end = false;
}

void exec_scan_start(struct slot *s)
{
	for (int i = 0; i < 2; i++)
		scan_cut(&s->scan[i], 0);
	s->touched_len = 0;
	s->touched_many = false;
}

void exec_close_slot(struct slot *s)
{
	for (int i = 0; i < 2; i++) {
		if (s->fd[i] >= 0)
			close(s->fd[i]);
		scan_cut(&s->scan[i], 0);
		free(s->scan[i].ents);
		free(s->scan[i].buf);
	}
	free(s->touched);
	*s = (struct slot){.fd = {-1, -1}};
}

static int scan_add(struct scan *sc, const struct dirent64 *d)
{
	if (sc->cnt == sc->room) {
		size_t room = sc->room ? sc->room * 2 : 32;
		struct scan_ent *ents = reallocarray(sc->ents, room, sizeof(*ents));

		if (!ents)
			return -ENOMEM;
		sc->ents = ents;
		sc->room = room;
	}
	sc->ents[sc->cnt] = (struct scan_ent){strdup(d->d_name), d->d_type, d->d_off};
	return sc->ents[sc->cnt++].name ? 0 : -ENOMEM;
}

static int64_t do_readdir(struct ex *ex, const struct op *op, enum side side, struct outcome *o)
{
	struct slot *s = &ex->slot[op->n[0]];
	struct scan *sc = &s->scan[side];
	int64_t size = op->n[2] < 0 ? 0 : op->n[2] > SCAN_BUF ? SCAN_BUF : op->n[2];

	(void)o;
	if (!sc->buf)
		sc->buf = malloc(SCAN_BUF);
	if (!sc->buf)
		return -ENOMEM;
	for (int64_t i = 0; i < op->n[1] && !sc->end; i++) {
		struct dirent64 *d;

		if (sc->pos >= sc->len) {
			int64_t r = syscall(SYS_getdents64, s->fd[side], sc->buf, size);

			if (r < 0)
				return -errno;
			sc->pos = 0;
			sc->len = (size_t)r;
			sc->end = !r;
			if (!r)
				break;
		}
		d = (void *)(sc->buf + sc->pos);
		sc->pos += d->d_reclen;
		if (side == SIDE_A && ex->conf->faulty == FAULT_READDIR && !strcmp(d->d_name, "c"))
			continue;
		if (scan_add(sc, d))
			return -ENOMEM;
	}
	return 0;
}

static int64_t do_seekdir(struct ex *ex, const struct op *op, enum side side, struct outcome *o)
{
	struct slot *s = &ex->slot[op->n[0]];
	struct scan *sc = &s->scan[side];
	size_t most = s->scan[SIDE_A].cnt < s->scan[SIDE_B].cnt ? s->scan[SIDE_A].cnt
								: s->scan[SIDE_B].cnt;
	size_t k;

	(void)o;
	if (!s->dir || op->code == OP_REWINDDIR) {
		/* Reading begins anew; what was there before does not matter. */
		if (s->dir && side == SIDE_B)
			exec_scan_start(s);
		return s->dir ? exec_result(lseek(s->fd[side], 0, SEEK_SET)) : -EBADF;
	}
	/* A did cut its list; B does not have less than that. */
	k = op->n[1] < 0 ? 0 : (size_t)op->n[1] > most ? most : (size_t)op->n[1];
	scan_cut(sc, k);
	return lseek(s->fd[side], k ? sc->ents[k - 1].cookie : 0, SEEK_SET) < 0 ? -errno : 0;
}

static bool is_touched(const struct slot *s, const char *name)
{
	if (s->touched_many && name[0] == 'm' && strlen(name) == 6)
		return true;
	for (size_t i = 0; i < s->touched_len; i += strlen(s->touched + i) + 1)
		if (!strcmp(s->touched + i, name))
			return true;
	return false;
}

static int compare_ents(const void *a, const void *b)
{
	return strcmp(((const struct scan_ent *)a)->name, ((const struct scan_ent *)b)->name);
}

/* What of a scan must be the same on both sides, sorted. */
static struct scan_ent *settled(const struct slot *s, const struct scan *sc, size_t *ret_cnt)
{
	struct scan_ent *ents = calloc(sc->cnt + 1, sizeof(*ents));
	size_t cnt = 0;

	for (size_t i = 0; ents && i < sc->cnt; i++)
		if (!is_touched(s, sc->ents[i].name))
			ents[cnt++] = sc->ents[i];
	if (ents)
		qsort(ents, cnt, sizeof(*ents), compare_ents);
	*ret_cnt = cnt;
	return ents;
}

static void compare_scans(const struct scan_ent *a, size_t na, const struct scan_ent *b, size_t nb,
			  struct diff *diff)
{
	for (size_t i = 0; i < na || i < nb; i++) {
		int c = i >= na ? 1 : i >= nb ? -1 : strcmp(a[i].name, b[i].name);

		if (c < 0)
			diff_set(diff, "scan", "reading the directory gave \"%s\" %s on A",
				 a[i].name,
				 i && !strcmp(a[i].name, a[i - 1].name) ? "twice" : "only");
		else if (c > 0)
			diff_set(diff, "scan", "reading the directory gave \"%s\" %s on B",
				 b[i].name,
				 i && !strcmp(b[i].name, b[i - 1].name) ? "twice" : "only");
		else if (a[i].type != b[i].type)
			diff_set(diff, "d_type", "type of \"%s\" in the directory: A %u, B %u",
				 a[i].name, a[i].type, b[i].type);
		if (diff->found)
			return;
	}
}

static int scan_all(int dir, struct scan *sc)
{
	char *buf = malloc(SCAN_BUF);
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ssize_t n = -1;
	int r = 0;

	while (buf && fd >= 0 && !r && (n = syscall(SYS_getdents64, fd, buf, SCAN_BUF)) > 0)
		for (ssize_t at = 0; at < n && !r;
		     at += ((struct dirent64 *)(void *)(buf + at))->d_reclen)
			r = scan_add(sc, (struct dirent64 *)(void *)(buf + at));
	if (fd >= 0)
		close(fd);
	free(buf);
	return n < 0 ? -EIO : r;
}

bool exec_scan_fresh(const struct slot *s)
{
	struct slot fresh = {.fd = {-1, -1}};
	struct scan_ent *ents[2] = {NULL, NULL};
	size_t cnt[2];
	struct diff diff = {0};
	bool read = true;

	for (int i = 0; i < 2; i++) {
		read = read && !scan_all(s->fd[i], &fresh.scan[i]);
		ents[i] = settled(&fresh, &fresh.scan[i], &cnt[i]);
	}
	read = read && ents[0] && ents[1];
	if (read)
		compare_scans(ents[0], cnt[0], ents[1], cnt[1], &diff);
	free(ents[0]);
	free(ents[1]);
	exec_close_slot(&fresh);
	return read && !diff.found;
}

void exec_scan_compare(struct ex *ex, struct slot *s, struct diff *diff)
{
	struct scan_ent *ents[2];
	size_t cnt[2];

	if (!s->dir || s->wild || !s->scan[SIDE_A].end || !s->scan[SIDE_B].end)
		return;
	for (int i = 0; i < 2; i++)
		ents[i] = settled(s, &s->scan[i], &cnt[i]);
	if (ents[0] && ents[1])
		compare_scans(ents[0], cnt[0], ents[1], cnt[1], diff);
	free(ents[0]);
	free(ents[1]);
	if (diff->found && known_listing(ex, s))
		*diff = (struct diff){.at = diff->at, .code = diff->code};
}

exec_fn exec_dir_fn(uint8_t code)
{
	static const exec_fn fns[OP_COUNT] = {
		[OP_READDIR] = do_readdir,
		[OP_SEEKDIR] = do_seekdir,
		[OP_REWINDDIR] = do_seekdir,
	};

	return fns[code];
}
