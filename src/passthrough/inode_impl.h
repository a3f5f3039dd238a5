/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the inode table share among themselves. */
#ifndef CULVERT_INODE_IMPL_H
#define CULVERT_INODE_IMPL_H

#include "inode.h"

/* Identity of an inode as statx(2) tells it. */
struct inode_key {
	uint64_t ino;
	uint32_t dev;
	uint16_t mount;
	uint8_t type;
	uint32_t birth; /* ident_birth() */
	bool held;      /* there is a reference on @mount to give back */
};

static inline uint32_t inode_slot(const struct inode_table *t, const struct inode *ino)
{
	/* Without a division: slots_index() does not know their size. */
	return (uint32_t)(ino - (const struct inode *)(const void *)t->slots.base);
}

static inline struct inode *inode_in(const struct inode_table *t, uint32_t slot)
{
	return slots_at(&t->slots, slot);
}

/**
 * inode_change() - the chains of a stripe, or the name of a record of it, are going to change. Under its lock.
 *
 * Who reads them without the lock reads @seq first, and again afterwards: what was read between two times the
 * same even number was so. All else may be anything: a record's fields of different moments, those of another
 * record, or none.
 */
static inline void inode_change(struct inode_stripe *s)
{
	uint32_t seq = atomic_load_explicit(&s->seq, memory_order_relaxed);

	atomic_store_explicit(&s->seq, seq + 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
}

/** inode_changed() - that is over. */
static inline void inode_changed(struct inode_stripe *s)
{
	uint32_t seq = atomic_load_explicit(&s->seq, memory_order_relaxed);

	atomic_store_explicit(&s->seq, seq + 1, memory_order_release);
}

/** inode_hash() - of an identity; its low bits choose the stripe. */
uint64_t inode_hash(const struct inode_table *t, uint64_t ino, uint32_t dev, uint16_t mount);

/** inode_stripe() - the part of the table that an inode belongs to, as long as it lives. */
struct inode_stripe *inode_stripe(struct inode_table *t, const struct inode *ino);

/** inode_chain() - head of the chain for @hash. Under the stripe's lock, or see inode_change(). */
uint32_t *inode_chain(struct inode_table *t, uint64_t hash);

/** inode_link() - into the hash table. Under the stripe's lock. */
void inode_link(struct inode_table *t, struct inode *ino);

/** inode_same_handle() - whether @ino has these handle bytes. */
bool inode_same_handle(const struct inode_table *t, const struct inode *ino,
		       const struct ident_handle *h);

/** inode_matches() - whether @ino has this identity, its handle aside. */
static inline bool inode_matches(const struct inode *ino, const struct inode_key *key)
{
	return ino->ino == key->ino && ino->dev == key->dev && ino->mount == key->mount &&
	       ino->type == key->type;
}

/** inode_is() - whether attributes are those of @ino, as far as they tell. */
static inline bool inode_is(const struct inode_table *t, const struct inode *ino,
			    const struct statx *stx)
{
	return stx->stx_ino == ino->ino && ident_dev(stx) == ino->dev &&
	       stx->stx_mode >> 12 == ino->type &&
	       ident_mount_key(stx) == t->mounts.mounts[ino->mount].key;
}

/** inode_mount_put() - give a reference on a mount back; the last one lets the host unmount it. */
void inode_mount_put(struct inode_table *t, uint16_t mount);

/** inode_mount_enter() - @ino, the first inode known on its mount, stands at @at: see to handles. */
void inode_mount_enter(struct inode_table *t, const struct inode *ino, const struct inode_at *at);

/** inode_open_handle() - as inode_open(), by the handle alone. */
int inode_open_handle(struct inode_table *t, struct inode *ino, struct fdcache_pin *ret);

/** inode_insert() - the descriptor that a record goes by from now on; taken over and pinned. */
void inode_insert(struct inode_table *t, struct inode *ino, int fd, struct fdcache_pin *ret);

/** inode_has_name() - as inode_named(). Under the stripe's lock. */
bool inode_has_name(const struct inode_table *t, const struct inode *ino, const struct inode *dir,
		    const char *name, size_t len);

/**
 * inode_set_name() - store a name; takes the reference on @dir. Under the stripe's lock.
 *
 * Returns the old parent, on which the caller now holds a reference, or NULL.
 */
struct inode *inode_set_name(struct inode_table *t, struct inode *ino, struct inode *dir,
			     uint32_t cell, size_t len);

#endif
