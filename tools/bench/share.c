// SPDX-License-Identifier: Apache-2.0
/* virtiofs-bench: names and nodes of a daemon's share. */
/*
 * Theory of operation
 *
 * What is needed once (the folder, its files, open handles) is kept in the arm for the whole run. Each
 * lookup is counted, as the daemon counts it; a slice of work that has looked things up gives the surplus
 * back when its time is over, in BATCH_FORGETs, so that the next slice starts from the same state.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "util.h"

#define FORGET_BATCH 200u /* fits the page of a request */

int share_lookup(struct load *l, uint64_t parent, const char *name, struct fuse_entry_out *ret)
{
	struct slot *s = &l->slot[0];
	int r;

	slot_begin(l, s, FUSE_LOOKUP, parent);
	slot_name(s, name);
	slot_reply(s, sizeof(*ret));
	r = slot_call(l, s);
	if (r)
		return load_fail(l, "LOOKUP of %s: %s", name, strerror(abs(r)));
	if (slot_len(s) != sizeof(*ret))
		return load_fail(l, "LOOKUP of %s: an answer of %zu bytes", name, slot_len(s));
	memcpy(ret, slot_payload(s), sizeof(*ret));
	return ret->nodeid ? 0 : load_fail(l, "LOOKUP of %s: it is not there", name);
}

int share_open(struct load *l, uint32_t opcode, uint64_t node, uint32_t flags, uint64_t *ret)
{
	struct slot *s = &l->slot[0];
	struct fuse_open_in *in;
	struct fuse_open_out out;
	int r;

	slot_begin(l, s, opcode, node);
	in = slot_arg(s, sizeof(*in));
	in->flags = flags;
	slot_reply(s, sizeof(out));
	r = slot_call(l, s);
	*ret = 0;
	if (r == -ENOSYS)
		return 0;
	if (r < 0)
		return load_fail(l, "opening: %s", strerror(-r));
	if (slot_len(s) != sizeof(out))
		return load_fail(l, "OPEN: an answer of %zu bytes", slot_len(s));
	memcpy(&out, slot_payload(s), sizeof(out));
	*ret = out.fh;
	return 0;
}

int share_release(struct load *l, uint32_t opcode, uint64_t node, uint64_t fh)
{
	struct slot *s = &l->slot[0];
	struct fuse_release_in *in;
	int r;

	slot_begin(l, s, opcode, node);
	in = slot_arg(s, sizeof(*in));
	in->fh = fh;
	slot_reply(s, 0);
	r = slot_call(l, s);
	return r == 0 || r == -ENOSYS ? 0 : load_fail(l, "RELEASE: %s", strerror(-r));
}

int share_enter(struct load *l)
{
	struct arm *a = l->arm;
	struct fuse_entry_out e = {0};
	int r;

	if (a->root || a->kind == ARM_NULL)
		return 0;
	r = share_lookup(l, FUSE_ROOT_ID, FILES_NAME, &e);
	if (r < 0)
		return r;
	a->root = e.nodeid;
	if (share_lookup(l, a->root, "data", &e) == 0)
		a->data = e.nodeid;
	if (share_lookup(l, a->root, "out", &e) == 0)
		a->out = e.nodeid;
	if (share_lookup(l, a->root, "made", &e) == 0)
		a->made = e.nodeid;
	if (!a->data || !a->out || !a->made)
		return -EPROTO;
	r = share_open(l, FUSE_OPEN, a->data, O_RDONLY, &a->data_fh);
	return r < 0 ? r : share_open(l, FUSE_OPEN, a->out, O_RDWR, &a->out_fh);
}

int share_dir(struct load *l, unsigned int which, bool all)
{
	const struct bench_dir *d = &l->files->dir[which];
	struct ids *ids = &l->arm->ids[which];
	struct fuse_entry_out e = {0};
	int r = share_enter(l);

	if (r < 0 || l->arm->kind == ARM_NULL)
		return r;
	if (!ids->node) {
		r = share_lookup(l, l->arm->root, d->name, &e);
		if (r < 0)
			return r;
		ids->node = e.nodeid;
	}
	for (unsigned int i = 0; all && i < d->n; i++) {
		char name[16];

		if (ids->refs[i])
			continue;
		files_name(name, i);
		r = share_lookup(l, ids->node, name, &e);
		if (r < 0)
			return r;
		ids->id[i] = e.nodeid;
		ids->refs[i] = 1;
	}
	return 0;
}

static int send_batch(struct load *l, struct fuse_forget_one *one, unsigned int n)
{
	struct slot *s = &l->slot[0];
	struct fuse_batch_forget_in *in;

	slot_begin(l, s, FUSE_BATCH_FORGET, 0);
	s->ring = &l->arm->v->ring[0];
	in = slot_arg(s, sizeof(*in));
	in->count = n;
	memcpy(slot_arg(s, n * sizeof(*one)), one, n * sizeof(*one));
	return slot_call(l, s);
}

int share_forget(struct load *l, unsigned int which, unsigned int keep)
{
	struct ids *ids = &l->arm->ids[which];
	struct fuse_forget_one one[FORGET_BATCH];
	unsigned int n = 0;
	int r = 0;

	if (l->arm->kind == ARM_NULL)
		return 0;
	for (unsigned int i = 0; r == 0 && i < l->files->dir[which].n; i++) {
		if (ids->refs[i] <= keep)
			continue;
		one[n++] = (struct fuse_forget_one){.nodeid = ids->id[i],
						    .nlookup = ids->refs[i] - keep};
		ids->refs[i] = keep;
		if (n == FORGET_BATCH) {
			r = send_batch(l, one, n);
			n = 0;
		}
	}
	return r == 0 && n ? send_batch(l, one, n) : r;
}
