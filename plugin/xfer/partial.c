/* SPDX-License-Identifier: Apache-2.0 */
/* Blobs that a later process goes on with. No Go counterpart. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "xfer/partial.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/log.h"
#include "base/partial_files.h"
#include "image/digest.h"

#define SMALL (1 << 20)       /* not worth it */
#define STATE_EVERY (1 << 20) /* bytes; so much may have to be fetched again */
#define STATE_LIMIT 8192      /* bytes of a state file */
#define STATE_FIRST "towline-partial 1"

struct partial {
	int dir, fd;
	char name[DIGEST_MAX], state[DIGEST_MAX + 8];
	int64_t offset; /* proven by the state file when it was opened */
	char digest[DIGEST_MAX];
	int64_t at;       /* where the next byte is read or written */
	int64_t recorded; /* what the state file says */
	int64_t size;     /* of the blob; -1: not known */
	char *url, *etag;
	struct log *log;
};

/* ---- the folder */

struct folder {
	uint64_t bytes;            /* of all files but one's own */
	char oldest[NAME_MAX + 1]; /* "": there is none */
	time_t oldest_time;
};

/* What is there beside mine; what is older than before goes (unless somebody writes it). */
static void look(int dir, const char *mine, time_t before, struct folder *ret)
{
	cleanup_close int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;

	*ret = (struct folder){0};
	if (!d)
		return;
	fd = -1;
	while ((e = readdir(d))) {
		struct stat st;

		if (!strcmp(e->d_name, mine) || !partial_files_is_blob(e->d_name) ||
			fstatat(dir, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
			!S_ISREG(st.st_mode))
			continue;
		if (st.st_mtime < before) {
			cleanup_close int lock = partial_files_lock(dir, e->d_name, O_RDONLY, &st);

			if (lock >= 0) {
				(void)partial_files_remove(dir, e->d_name);
				continue;
			}
		}
		ret->bytes += (uint64_t)st.st_size;
		if (!*ret->oldest || st.st_mtime < ret->oldest_time) {
			snprintf(ret->oldest, sizeof(ret->oldest), "%s", e->d_name);
			ret->oldest_time = st.st_mtime;
		}
	}
	closedir(d);
}

/* False: size bytes more are too many. */
static bool make_room(int dir, const struct partial_config *c, const char *mine, int64_t size)
{
	time_t before = c->max_age ? time(NULL) - (time_t)c->max_age : 0;
	uint64_t need = size > 0 ? (uint64_t)size : 0;
	struct folder f;
	struct stat st;

	if (c->quota && need > c->quota)
		return false;
	for (;;) {
		look(dir, mine, before, &f);
		if (!c->quota || f.bytes <= c->quota - need)
			return true;
		if (!*f.oldest)
			return false;

		cleanup_close int lock = partial_files_lock(dir, f.oldest, O_RDONLY, &st);

		if (lock < 0)
			return false; /* the oldest one is being written */
		(void)partial_files_remove(dir, f.oldest);
	}
}

/* ---- the state file: a first line, lines "key value", a last line "end" */

static bool read_text(int dir, const char *name, char *ret, size_t size)
{
	cleanup_close int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, ret, size - 1) : -1;

	if (n < 0 || memchr(ret, '\0', (size_t)n))
		return false;
	ret[n] = '\0';
	return str_has_prefix(ret, STATE_FIRST "\n") && str_has_suffix(ret, "\nend\n");
}

/* -1: it is none. */
static int64_t to_number(const char *text)
{
	long long n;
	char *end;

	errno = 0;
	n = strtoll(text, &end, 10);
	return *text < '0' || *text > '9' || errno || *end ? -1 : n;
}

/* A state that does not fit the files is no state. */
static void read_state(struct partial *p)
{
	char text[STATE_LIMIT], *line, *value, *rest = text;
	int64_t offset = -1, size = -1;
	const char *digest = "";
	struct stat st;

	if (!read_text(p->dir, p->state, text, sizeof(text)) || fstat(p->fd, &st) < 0)
		return;
	while ((line = strsep(&rest, "\n"))) {
		value = strchr(line, ' ');
		if (!value)
			continue;
		*value++ = '\0';
		if (!strcmp(line, "offset"))
			offset = to_number(value);
		else if (!strcmp(line, "size"))
			size = to_number(value);
		else if (!strcmp(line, "digest"))
			digest = value;
	}
	if (offset < 0 || offset > st.st_size ||
		digest_validate(digest, strlen(digest), NULL) < 0 ||
		(p->size >= 0 && (size != p->size || offset > size)))
		return;
	snprintf(p->digest, sizeof(p->digest), "%s", digest);
	p->offset = offset;
}

static bool write_text(int fd, const char *text)
{
	size_t size = strlen(text);

	return write(fd, text, size) == (ssize_t)size;
}

static void write_state(struct partial *p, struct hasher *hash)
{
	char temp[DIGEST_MAX + 16], digest[DIGEST_MAX];
	bool ok = false;

	hasher_digest(hash, digest);
	if (!*digest)
		return;
	cleanup_free char *text = str_printf(STATE_FIRST "\nurl %s\netag %s\nsize %" PRId64
							 "\noffset %" PRId64 "\ndigest %s\nend\n",
		p->url ? p->url : "", p->etag ? p->etag : "", p->size, p->at, digest);

	if (!text || strlen(text) >= STATE_LIMIT)
		return;
	/* Only who has the lock writes it. */
	snprintf(temp, sizeof(temp), "%s" PARTIAL_TEMP, p->name);

	cleanup_close int fd =
		openat(p->dir, temp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd >= 0)
		ok = write_text(fd, text) && !renameat(p->dir, temp, p->dir, p->state);
	if (ok)
		p->recorded = p->at;
	else
		unlinkat(p->dir, temp, 0);
}

/* ---- one blob */

static void partial_free(struct partial *p)
{
	if (!p)
		return;
	closep(&p->fd);
	closep(&p->dir);
	free(p->url);
	free(p->etag);
	free(p);
}

struct partial *partial_open(
	const struct partial_config *c, const char *digest, int64_t size, struct log *log)
{
	struct partial *p;
	struct stat st;

	if (!c->dir || (size >= 0 && size < SMALL))
		return NULL;
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->fd = -1;
	p->size = size;
	p->log = log;
	snprintf(p->name, sizeof(p->name), "%s", digest);
	*strchr(p->name, ':') = '.';
	snprintf(p->state, sizeof(p->state), "%s" PARTIAL_STATE, p->name);
	p->dir = open(c->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (p->dir >= 0 && make_room(p->dir, c, p->name, size))
		p->fd = partial_files_lock(p->dir, p->name, O_RDWR | O_CREAT, &st);
	if (p->fd < 0) {
		log_debug(log, "%s is not kept for a later pull", digest);
		partial_free(p);
		return NULL;
	}
	read_state(p);
	return p;
}

int64_t partial_offset(const struct partial *p, const char **ret_digest)
{
	*ret_digest = p->digest;
	return p->offset;
}

int64_t partial_read(struct partial *p, void *buf, size_t size)
{
	ssize_t n;

	if ((int64_t)size > p->offset - p->at)
		size = (size_t)(p->offset - p->at);
	do
		n = pread(p->fd, buf, size, (off_t)p->at);
	while (n < 0 && errno == EINTR);
	if (n < 0 || (n == 0 && size))
		return -1;
	p->at += n;
	p->recorded = p->at;
	return n;
}

static void set_text(char **to, const char *text)
{
	free(*to);
	*to = text ? strdup(text) : NULL; /* without memory it is not told */
}

/* From here on nothing more is kept. */
static void give_up(struct partial *p, int errnum)
{
	log_warning(p->log, "%s is not kept for a later pull: %s", p->name, errno_text(errnum));
	(void)partial_files_remove(p->dir, p->name);
	close(p->fd);
	p->fd = -1;
}

void partial_from(struct partial *p, const char *url, const char *etag)
{
	if (!p)
		return;
	set_text(&p->url, url);
	set_text(&p->etag, etag);
}

void partial_write(struct partial *p, const void *data, size_t size, struct hasher *hash)
{
	const char *from = data;

	if (!p || p->fd < 0)
		return;
	while (size) {
		ssize_t n = pwrite(p->fd, from, size, (off_t)p->at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			give_up(p, errno);
			return;
		}
		from += n;
		size -= (size_t)n;
		p->at += n;
	}
	if (p->at - p->recorded >= STATE_EVERY)
		write_state(p, hash);
}

void partial_reset(struct partial *p)
{
	if (!p || p->fd < 0)
		return;
	unlinkat(p->dir, p->state, 0);
	if (ftruncate(p->fd, 0) < 0)
		give_up(p, errno);
	p->at = p->offset = p->recorded = 0;
}

void partial_close(struct partial *p, struct hasher *hash, bool whole)
{
	if (p && p->fd >= 0) {
		if (whole || !p->at)
			(void)partial_files_remove(p->dir, p->name);
		else if (p->at != p->recorded)
			write_state(p, hash);
	}
	partial_free(p);
}
