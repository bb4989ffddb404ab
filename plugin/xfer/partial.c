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
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/log.h"
#include "image/digest.h"

#define SMALL (1 << 20)       /* not worth it */
#define STATE_EVERY (1 << 20) /* bytes; so much may have to be fetched again */
#define STATE_LIMIT 8192      /* bytes of a state file */
#define STATE_SUFFIX ".state"
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

static void remove_blob(int dir, const char *name)
{
	char state[NAME_MAX + 1];

	snprintf(state, sizeof(state), "%.200s" STATE_SUFFIX, name);
	unlinkat(dir, state, 0);
	unlinkat(dir, name, 0);
}

/* Open and lock name; -1 if somebody else has it or it went away. */
static int lock_blob(int dir, const char *name, int flags)
{
	cleanup_close int fd = openat(dir, name, flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
	struct stat a, b;

	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 || fstat(fd, &a) < 0 ||
		!S_ISREG(a.st_mode) || fstatat(dir, name, &b, AT_SYMLINK_NOFOLLOW) < 0 ||
		a.st_ino != b.st_ino)
		return -1;
	int ret = fd;

	fd = -1;
	return ret;
}

struct folder {
	uint64_t bytes;            /* of all files but one's own */
	char oldest[NAME_MAX + 1]; /* "": there is none */
	time_t oldest_time;
};

static bool is_blob(const char *name)
{
	return !strncmp(name, "sha", 3) && !str_has_suffix(name, STATE_SUFFIX);
}

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

		if (!strcmp(e->d_name, mine) || !is_blob(e->d_name) ||
			fstatat(dir, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
			!S_ISREG(st.st_mode))
			continue;
		if (st.st_mtime < before) {
			cleanup_close int lock = lock_blob(dir, e->d_name, O_RDONLY);

			if (lock >= 0) {
				remove_blob(dir, e->d_name);
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

	if (c->quota && need > c->quota)
		return false;
	for (;;) {
		look(dir, mine, before, &f);
		if (!c->quota || f.bytes <= c->quota - need)
			return true;
		if (!*f.oldest)
			return false;

		cleanup_close int lock = lock_blob(dir, f.oldest, O_RDONLY);

		if (lock < 0)
			return false; /* the oldest one is being written */
		remove_blob(dir, f.oldest);
	}
}

/* ---- the state file: a first line, lines "key value", a last line "end" */

static const char *value_of(char *text, const char *key)
{
	size_t size = strlen(key);
	char *line, *rest = text;

	while ((line = strsep(&rest, "\n"))) {
		bool found = !strncmp(line, key, size) && line[size] == ' ';

		if (rest)
			rest[-1] = found ? '\0' : '\n';
		if (found)
			return line + size + 1;
	}
	return NULL;
}

static bool read_text(int dir, const char *name, char *ret, size_t size)
{
	cleanup_close int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, ret, size - 1) : -1;

	if (n < 0 || memchr(ret, '\0', (size_t)n))
		return false;
	ret[n] = '\0';
	return str_has_prefix(ret, STATE_FIRST "\n") && str_has_suffix(ret, "\nend\n");
}

static bool parse_offset(const char *text, int64_t *ret)
{
	char *end;

	if (!text || *text < '0' || *text > '9')
		return false;
	errno = 0;
	*ret = strtoll(text, &end, 10);
	return !errno && !*end;
}

/* A state that does not fit the files is no state. */
static void read_state(struct partial *p)
{
	char text[STATE_LIMIT];
	char copy[STATE_LIMIT];
	const char *digest;
	int64_t offset, size;
	struct stat st;

	if (!read_text(p->dir, p->state, text, sizeof(text)) || fstat(p->fd, &st) < 0)
		return;
	memcpy(copy, text, sizeof(copy));
	if (!parse_offset(value_of(copy, "offset"), &offset) || offset > st.st_size)
		return;
	memcpy(copy, text, sizeof(copy));
	if (p->size >= 0 &&
		(!parse_offset(value_of(copy, "size"), &size) || size != p->size || offset > size))
		return;
	digest = value_of(text, "digest");
	if (!digest || digest_validate(digest, strlen(digest), NULL) < 0)
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
	snprintf(temp, sizeof(temp), ".tmp-%s", p->state);

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
	snprintf(p->state, sizeof(p->state), "%s" STATE_SUFFIX, p->name);
	p->dir = open(c->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (p->dir >= 0 && make_room(p->dir, c, p->name, size))
		p->fd = lock_blob(p->dir, p->name, O_RDWR | O_CREAT);
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
	if (!text || (*to && !strcmp(*to, text)))
		return;
	free(*to);
	*to = strdup(text);
}

/* From here on nothing more is kept. */
static void give_up(struct partial *p, int errnum)
{
	log_warning(p->log, "%s is not kept for a later pull: %s", p->name, errno_text(errnum));
	remove_blob(p->dir, p->name);
	close(p->fd);
	p->fd = -1;
}

void partial_write(struct partial *p, const void *data, size_t size, struct hasher *hash,
	const struct partial_source *source)
{
	const char *from = data;

	if (!p || p->fd < 0)
		return;
	set_text(&p->url, source->url);
	set_text(&p->etag, source->etag);
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
			remove_blob(p->dir, p->name);
		else if (p->at != p->recorded)
			write_state(p, hash);
	}
	partial_free(p);
}
