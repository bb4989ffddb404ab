/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies that are compressed on the way. Go counterpart: compress/gzip Reader. */
#include <string.h>
#include <zlib.h>

#include "registry/http_internal.h"

#define GUNZIP_WINDOW (15 + 16) /* zlib: gzip only, largest window */

struct http_gunzip {
	z_stream z;
	bool started, in_member, at_end;
	unsigned char in[4096];
};

struct http_gunzip *http_gunzip_new(void)
{
	struct http_gunzip *g = calloc(1, sizeof(*g));

	if (g && inflateInit2(&g->z, GUNZIP_WINDOW) != Z_OK) {
		free(g);
		return NULL;
	}
	return g;
}

void http_gunzip_free(struct http_gunzip *g)
{
	if (!g)
		return;
	inflateEnd(&g->z);
	free(g);
}

static struct error *gunzip_error(const struct http_gunzip *g, int rc)
{
	if (rc == Z_MEM_ERROR)
		return &error_no_memory;
	/* zlib's "incorrect header check" is the first one */
	if (g->z.msg && (strstr(g->z.msg, "header") || strstr(g->z.msg, "method")))
		return error_plainf("gzip: invalid header");
	if (g->z.msg && strstr(g->z.msg, "check"))
		return error_plainf("gzip: invalid checksum");
	return error_plainf("flate: corrupt input before offset %lu", g->z.total_in);
}

ssize_t http_gunzip_read(struct http_gunzip *g, http_gunzip_source read, void *arg, void *buf,
	size_t size, struct error **reterr)
{
	if (size > 1 << 30)
		size = 1 << 30;
	g->z.next_out = buf;
	g->z.avail_out = (uInt)size;
	while (!g->at_end && g->z.avail_out == size) {
		int rc;

		if (g->z.avail_in == 0) {
			ssize_t n = read(arg, g->in, sizeof(g->in), reterr);

			if (n < 0)
				return -1;
			if (n == 0) {
				if (g->in_member || !g->started)
					return error_set(reterr,
						g->started ? &err_unexpected_eof : &err_eof);
				g->at_end = true;
				break;
			}
			g->z.next_in = g->in;
			g->z.avail_in = (uInt)n;
		}
		g->started = true;
		if (!g->in_member && inflateReset(&g->z) != Z_OK)
			return error_set(reterr, &error_no_memory);
		g->in_member = true;
		rc = inflate(&g->z, Z_NO_FLUSH);
		if (rc == Z_STREAM_END)
			g->in_member = false; /* another member may follow */
		else if (rc != Z_OK && rc != Z_BUF_ERROR)
			return error_set(reterr, gunzip_error(g, rc));
	}
	return (ssize_t)(size - g->z.avail_out);
}
