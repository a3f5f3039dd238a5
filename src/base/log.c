// SPDX-License-Identifier: Apache-2.0
/* Messages for people: levels, one line an event, to stderr, the journal or syslog. */
/*
 * Theory of operation
 *
 * A message is formatted into one buffer on the stack, made printable into a second, and handed to
 * the kernel in one call, so lines of several threads do not mix. Level, sink and the socket are set
 * by log_init() before there are threads and only read afterwards.
 *
 * Nothing here waits. A socket (stderr under a service manager; the system log) is sent to with
 * MSG_DONTWAIT. A pipe or terminal cannot be asked that way without changing the flags of an open
 * file that others share, so it is polled first, and write_lock keeps our own threads from filling
 * it between the two calls. A line is shorter than PIPE_BUF: there is room for all of it or none.
 *
 * When stderr is the journal's stream, which JOURNAL_STREAM tells, a line begins with its priority, and the
 * journal itself knows the time.
 *
 * What a guest or a front-end can bring about is told as a warning or less. Of those, BURST lines are
 * written at once and then one each REFILL_MS; how many were left out is told with the next. Errors, and
 * what was asked for with debug, are not held back.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "fd.h"
#include "log.h"
#include "util.h"

#define LINE_MAX_BYTES 1024
#define BURST          100
#define REFILL_MS      100

static enum log_level max_level = LOG_LEVEL_INFO;
static enum log_sink sink_used = LOG_SINK_STDERR;
static int syslog_sock = -1;
static int pid_shown; /* the process that was started, not what the sandbox calls us */
static bool to_journal;
static pthread_mutex_t write_lock = PTHREAD_MUTEX_INITIALIZER;

/* Lines that may be written; under rate_lock. */
static struct {
	unsigned int left;
	unsigned int lost;
	int64_t since_ms;
} rate = {.left = BURST};
static pthread_mutex_t rate_lock = PTHREAD_MUTEX_INITIALIZER;

static const struct {
	const char *name;
	int priority;
} levels[] = {
	[LOG_LEVEL_OFF] = {"OFF", LOG_CRIT},      [LOG_LEVEL_ERROR] = {"ERROR", LOG_ERR},
	[LOG_LEVEL_WARN] = {"WARN", LOG_WARNING}, [LOG_LEVEL_INFO] = {"INFO", LOG_INFO},
	[LOG_LEVEL_DEBUG] = {"DEBUG", LOG_DEBUG}, [LOG_LEVEL_TRACE] = {"TRACE", LOG_DEBUG},
};

static int open_syslog(void)
{
	const struct sockaddr_un addr = {.sun_family = AF_UNIX, .sun_path = "/dev/log"};
	scoped_fd int sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (sock < 0 || connect(sock, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
		return -1;
	return fd_steal(&sock);
}

static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	char ours[48];
	struct stat st;

	if (!stream || fstat(STDERR_FILENO, &st) < 0)
		return false;
	snprintf(ours, sizeof(ours), "%llu:%llu", (unsigned long long)st.st_dev,
		 (unsigned long long)st.st_ino);
	return strcmp(stream, ours) == 0;
}

void log_init(enum log_level level, enum log_sink sink)
{
	max_level = level;
	sink_used = sink;
	pid_shown = (int)getpid();
	to_journal = sink == LOG_SINK_STDERR && stderr_is_journal();
	rate.left = BURST;
	rate.lost = 0;
	rate.since_ms = 0;
	fd_close(&syslog_sock);
	/* Now, not with the first line: it reads a file, and that may be out of reach then. */
	tzset();
	if (sink == LOG_SINK_SYSLOG)
		syslog_sock = open_syslog();
}

bool log_on(enum log_level level)
{
	return level != LOG_LEVEL_OFF && level <= max_level;
}

/* Bytes of the printable character at @s, of which @len bytes are there; 0 = not printable. */
static size_t printable(const unsigned char *s, size_t len)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t n = *s < 0x80         ? 1
		   : *s >> 5 == 0x06 ? 2
		   : *s >> 4 == 0x0e ? 3
		   : *s >> 3 == 0x1e ? 4
				     : 0;
	uint32_t c = *s;

	if (n == 1)
		return c >= 0x20 && c < 0x7f;
	if (n == 0 || n > len)
		return 0;
	c &= 0x7fu >> n;
	for (size_t i = 1; i < n; i++) {
		if (s[i] >> 6 != 0x02)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	/* C1 controls, line separators, and what turns the direction of text around. */
	if (c < 0xa0 || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069))
		return 0;
	return n;
}

/* Append @len bytes of text, made printable, as far as they fit below @room; returns the new end. */
static size_t append(char *line, size_t at, size_t room, const char *text, size_t len)
{
	static const char hex[] = "0123456789abcdef";

	while (len) {
		const unsigned char *s = (const unsigned char *)text;
		size_t n = printable(s, len);

		if (at + MAX(n, 4) > room) {
			memcpy(line + at, "...", 3);
			return at + 3;
		}
		if (n) {
			memcpy(line + at, s, n);
			at += n;
		} else {
			line[at++] = '\\';
			line[at++] = 'x';
			line[at++] = hex[*s >> 4];
			line[at++] = hex[*s & 15];
			n = 1;
		}
		text += n;
		len -= n;
	}
	return at;
}

static size_t stamp_stderr(enum log_level level, char *line, size_t size)
{
	struct timespec now;
	struct tm tm;
	size_t at;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	at = strftime(line, size, "%FT%T", &tm);
	return at + (size_t)snprintf(line + at, size - at, ".%03dZ %-5s ",
				     (int)(now.tv_nsec / 1000000), levels[level].name);
}

static size_t stamp_syslog(enum log_level level, char *line, size_t size)
{
	time_t now = time(NULL);
	struct tm tm;
	size_t at = (size_t)snprintf(line, size, "<%d>", LOG_DAEMON | levels[level].priority);

	localtime_r(&now, &tm);
	at += strftime(line + at, size - at, "%b %e %T ", &tm);
	return at + (size_t)snprintf(line + at, size - at,
				     "%.64s[%d]: ", program_invocation_short_name, pid_shown);
}

/* seccomp: poll, write */
static void put_stderr(const char *line, size_t len)
{
	struct pollfd pfd = {.fd = STDERR_FILENO, .events = POLLOUT};
	ssize_t n;

	if (fd_send(STDERR_FILENO, line, len, MSG_DONTWAIT) != -ENOTSOCK)
		return;
	pthread_mutex_lock(&write_lock);
	/* A pipe without a reader is an error here, and writing to it would raise SIGPIPE. */
	if (poll(&pfd, 1, 0) == 1 && pfd.revents == POLLOUT) {
		n = write(STDERR_FILENO, line, len);
		(void)n;
	}
	pthread_mutex_unlock(&write_lock);
}

static size_t stamp_journal(enum log_level level, char *line, size_t size)
{
	return (size_t)snprintf(line, size, "<%d>", levels[level].priority);
}

/* One line of @len bytes of text, with what goes before it. */
static void put(enum log_level level, const char *text, size_t len)
{
	const bool to_syslog = sink_used == LOG_SINK_SYSLOG;
	char line[LINE_MAX_BYTES];
	size_t at = to_syslog    ? stamp_syslog(level, line, sizeof(line))
		    : to_journal ? stamp_journal(level, line, sizeof(line))
				 : stamp_stderr(level, line, sizeof(line));

	/* Room for the dots of a cut line and for the newline stays free. */
	at = append(line, at, sizeof(line) - 4, text, len);
	if (to_syslog) {
		if (syslog_sock >= 0)
			fd_send(syslog_sock, line, at, MSG_DONTWAIT);
	} else {
		line[at++] = '\n';
		put_stderr(line, at);
	}
}

/* Whether there is still room for a line; if so, how many had none before. */
static bool may_say(unsigned int *ret_lost)
{
	struct timespec now;
	int64_t ms;
	bool may;

	clock_gettime(CLOCK_MONOTONIC, &now);
	ms = now.tv_sec * 1000ll + now.tv_nsec / 1000000;
	pthread_mutex_lock(&rate_lock);
	if (ms - rate.since_ms >= REFILL_MS) {
		rate.left = (unsigned int)MIN(rate.left + (ms - rate.since_ms) / REFILL_MS, BURST);
		rate.since_ms = ms;
	}
	may = rate.left > 0;
	if (may) {
		rate.left--;
		*ret_lost = rate.lost;
		rate.lost = 0;
	} else {
		rate.lost++;
	}
	pthread_mutex_unlock(&rate_lock);
	return may;
}

void log_msg(enum log_level level, const char *fmt, ...)
{
	char text[LINE_MAX_BYTES], more[64];
	int saved = errno, n;
	unsigned int lost = 0;
	va_list ap;

	if (!log_on(level) || level >= ARRAY_SIZE(levels))
		return;
	if ((level == LOG_LEVEL_WARN || level == LOG_LEVEL_INFO) && !may_say(&lost)) {
		errno = saved;
		return;
	}
	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (lost)
		put(LOG_LEVEL_WARN, more,
		    (size_t)snprintf(more, sizeof(more), "%u lines were left out here", lost));
	if (n >= 0)
		put(level, text, MIN((size_t)n, sizeof(text) - 1));
	errno = saved;
}
