/* SPDX-License-Identifier: Apache-2.0 */
/* The errno matrix: its table, and the small language of its steps. */
#ifndef CULVERT_MATRIX_H
#define CULVERT_MATRIX_H

#include <stddef.h>
#include <sys/stat.h>

/* Who calls. Root prepares everything; unless a step says otherwise, it belongs to the owner. */
enum who { WHO_ROOT, WHO_OWNER, WHO_OTHER, WHO_COUNT };

#define OWNER_ID    1000u  /* user and group of the owner */
#define OWNER_GROUP 3000u  /* the owner's other group */
#define OTHER_ID    70000u /* user and group of somebody else, beyond what 16 bits hold */

/**
 * struct row - one case, done by each of WHO_*.
 * @setup: steps that root does first; NULL = none.
 * @test:  steps that the caller does, up to the first that fails; its errno is the result.
 * @want:  the errno that a local file system gives each of WHO_*.
 * @share: where @why is set, the errno that the share gives instead.
 * @why:   the reason why the share cannot give the same; NULL = it must.
 * @not_delayed: not done where the client delays writes; the reason.
 * @stale: what is there afterwards is compared on the host alone, not in the mount; the reason.
 */
struct row {
	const char *setup;
	const char *test;
	int want[WHO_COUNT];
	int share[WHO_COUNT];
	const char *why;
	const char *not_delayed;
	const char *stale;
};

/**
 * struct rows - the rows for one system call. @needs: the name in the roots that must be there, NULL =
 * none; without it the rows are not run.
 */
struct rows {
	const char *call;
	const struct row *rows;
	size_t n;
	const char *needs;
};

extern const struct rows matrix_rows[];
extern const size_t matrix_rows_n;

/**
 * struct place - where steps are done.
 * @dir:  the case's directory as the caller sees it, O_PATH; steps run with it as working directory.
 * @host: the same directory on the host's file system.
 */
struct place {
	int dir;
	int host;
};

/** steps_run() - do @text at @p; 0 or -errno of the step that failed; -EDOM: no such step. */
int steps_run(const struct place *p, const char *text);

/** steps_pause() - what a copy of this program does when a step runs it. */
void steps_pause(void);

/** seen_text() - what is below @dirfd, a line each, sorted; times relative to @before. */
struct seen;
char *seen_text(int dirfd, const struct seen *before);

/** seen_take() - remember times; free with seen_free(). */
struct seen *seen_take(int dirfd);
void seen_free(struct seen *s);

#endif
