/* SPDX-License-Identifier: Apache-2.0 */
/* Messages for people: levels, one line an event, to stderr, the journal or syslog. */
#ifndef CULVERT_LOG_H
#define CULVERT_LOG_H

#include <stdbool.h>

enum log_level {
	LOG_LEVEL_OFF,
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARN,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
	LOG_LEVEL_TRACE,
};

enum log_sink {
	LOG_SINK_STDERR,
	LOG_SINK_SYSLOG,
};

/**
 * log_init() - choose what is logged and where to.
 * @level: the most detailed level that is written.
 * @sink:  stderr, or the system log. When stderr is the journal (JOURNAL_STREAM), lines have a priority
 *         instead of a time. The socket of the system log is opened here, so that logging
 *         still works after the jail has taken /dev/log away; a missing one is no error.
 *
 * Call once, before any thread is started. Without it: LOG_LEVEL_INFO to stderr.
 */
void log_init(enum log_level level, enum log_sink sink);

/** log_on() - whether a message of @level would be written. Any thread. */
bool log_on(enum log_level level);

/**
 * log_msg() - write one line.
 * @level: its level.
 * @fmt:   printf format, without a newline at the end.
 *
 * Bytes that are not printable are shown as \xNN, so that a guest's file name cannot write to a
 * terminal. Of warnings and lines of less weight only so many are written; after a flood a line tells how
 * many were left out. A stderr that is full or closed loses the line: this never blocks, nor raises SIGPIPE.
 * Any thread. errno is kept.
 */
void log_msg(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_err(...)  log_msg(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...) log_msg(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...) log_msg(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)                                            \
	do {                                                      \
		if (__builtin_expect(log_on(LOG_LEVEL_DEBUG), 0)) \
			log_msg(LOG_LEVEL_DEBUG, __VA_ARGS__);    \
	} while (0)

#endif
