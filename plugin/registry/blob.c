/* SPDX-License-Identifier: Apache-2.0 */
/* Blobs. Go counterparts: registry/client/repository.go (blobs), client/transport/http_reader.go.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "registry/repository_internal.h"

#define SMALL_BLOB_LIMIT (4 << 20)

struct blob_reader {
	struct repository *repository;
	char *url;
	size_t ring_size;
	struct http_response *response; /* NULL: none is open */
	int64_t held_back_ms;
};

int repository_blob_open(struct repository *r, const char *digest, size_t ring_size,
	struct blob_reader **ret, struct error **reterr)
{
	cleanup_reference struct reference *ref = NULL;
	cleanup_free char *url = NULL;
	struct blob_reader *b;

	if (reference_with_digest(repository_named(r), digest, &ref, reterr) < 0 ||
		digest_validate(digest, strlen(digest), reterr) < 0 ||
		repository_url(r, "blobs", digest, &url, reterr) < 0)
		return -1;
	b = calloc(1, sizeof(*b));
	if (!b)
		return error_set(reterr, &error_no_memory);
	b->repository = repository_ref(r);
	b->url = steal_ptr(&url);
	b->ring_size = ring_size;
	*ret = b;
	return 0;
}

void blob_reader_free(struct blob_reader *b)
{
	if (!b)
		return;
	http_response_free(b->response);
	repository_unref(b->repository);
	free(b->url);
	free(b);
}

/* ---- Content-Range */

struct content_range {
	const char *first, *last, *total; /* where these begin */
	size_t first_size, last_size, total_size;
};

static size_t digits(const char *s)
{
	return strspn(s, "0123456789");
}

/* contentRangeRegexp, `bytes ([0-9]+)-([0-9]+)/([0-9]+|\\*)`, which is not anchored, and whose end
 * means backslashes: "/" followed by "*" matches with nothing behind the slash. */
static bool match_content_range(const char *s, struct content_range *ret)
{
	for (; (s = strstr(s, "bytes ")); s++) {
		ret->first = s + 6;
		ret->first_size = digits(ret->first);
		ret->last = ret->first + ret->first_size + 1;
		if (!ret->first_size || ret->last[-1] != '-')
			continue;
		ret->last_size = digits(ret->last);
		ret->total = ret->last + ret->last_size + 1;
		if (!ret->last_size || ret->total[-1] != '/')
			continue;
		ret->total_size = digits(ret->total);
		return true;
	}
	return false;
}

/* strconv.ParseUint of digits. */
static bool parse_uint(const char *s, size_t size, uint64_t *ret)
{
	uint64_t n = 0;
	size_t i;

	for (i = 0; i < size; i++) {
		if (__builtin_mul_overflow(n, 10, &n) ||
			__builtin_add_overflow(n, (uint64_t)(s[i] - '0'), &n))
			return false;
	}
	*ret = n;
	return size > 0;
}

static int check_content_range(
	const char *header, int64_t offset, int64_t *ret_size, struct error **reterr)
{
	struct content_range r;
	uint64_t first, last, total;

	if (!header || !*header)
		return error_setf(reterr, "no Content-Range header found in HTTP 206 response");
	if (!match_content_range(header, &r))
		return error_setf(reterr, "could not parse Content-Range header: %s", header);
	if (!parse_uint(r.first, r.first_size, &first))
		return error_setf(reterr,
			"could not parse start of range in Content-Range header: %s", header);
	if (first != (uint64_t)offset)
		return error_setf(reterr,
			"received Content-Range starting at offset %llu instead of requested %lld",
			(unsigned long long)first, (long long)offset);
	if (!parse_uint(r.last, r.last_size, &last))
		return error_setf(
			reterr, "could not parse end of range in Content-Range header: %s", header);
	if (!parse_uint(r.total, r.total_size, &total))
		return error_setf(
			reterr, "could not parse total size in Content-Range header: %s", header);
	if (last + 1 != total)
		return error_setf(reterr,
			"range in Content-Range stops before the end of the content: %s", header);
	*ret_size = total > INT64_MAX ? -1 : (int64_t)total;
	return 0;
}

/* ---- reading */

/* The blob's size as the answer to a request from offset on has it, or an error. */
static int judge_answer(const struct blob_reader *b, const struct context *ctx, int64_t offset,
	int64_t *ret_size, struct error **reterr)
{
	struct http_response *r = b->response;

	if (r->status == 404)
		return error_set(reterr, &err_blob_unknown);
	if (r->status < 200 || r->status > 399)
		return error_set(reterr, transport_error_response(r, ctx));
	if (offset > 0) {
		if (r->status != 206)
			return error_set(reterr, &err_wrong_code_for_byte_range);
		return check_content_range(
			header_get(&r->headers, "Content-Range"), offset, ret_size, reterr);
	}
	*ret_size = r->status == 200 ? r->content_length : -1;
	return 0;
}

static void close_response(struct blob_reader *b)
{
	if (b->response)
		b->held_back_ms = http_response_held_back_ms(b->response);
	http_response_free(b->response);
	b->response = NULL;
}

/* httpReadSeeker.reader */
int blob_reader_seek(struct blob_reader *b, const struct context *ctx, int64_t offset,
	int64_t *ret_size, struct error **reterr)
{
	struct header_list headers = {0};
	struct http_request request = {.method = "GET",
		.url = b->url,
		.headers = &headers,
		.ring_size = b->ring_size,
		.blob = true};
	char range[48];
	int rc = 0;

	close_response(b);
	if (offset > 0) {
		snprintf(range, sizeof(range), "bytes=%lld-", (long long)offset);
		rc = header_add(&headers, "Range", range, reterr);
	}
	if (rc == 0)
		rc = header_add(&headers, "Accept-Encoding", "identity", reterr);
	if (rc == 0)
		rc = repository_do(b->repository, ctx, &request, &b->response, reterr);
	header_list_free(&headers);
	if (rc == 0 && judge_answer(b, ctx, offset, ret_size, reterr) < 0) {
		transport_finish(steal_ptr(&b->response), ctx);
		rc = -1;
	}
	return rc;
}

ssize_t blob_reader_read(struct blob_reader *b, const struct context *ctx, void *buf, size_t size,
	struct error **reterr)
{
	int64_t whole;

	if (!b->response && blob_reader_seek(b, ctx, 0, &whole, reterr) < 0)
		return -1;
	return http_response_read(b->response, ctx, buf, size, reterr);
}

const char *blob_reader_url(const struct blob_reader *b)
{
	return b->url;
}

const char *blob_reader_etag(const struct blob_reader *b)
{
	return b->response ? header_get(&b->response->headers, "ETag") : NULL;
}

int64_t blob_reader_held_back_ms(const struct blob_reader *b)
{
	return b->response ? http_response_held_back_ms(b->response) : b->held_back_ms;
}

int repository_blob_get(struct repository *r, const struct context *ctx, const char *digest,
	struct buf *ret, struct error **reterr)
{
	struct blob_reader *b = NULL;
	int64_t size;
	int rc;

	if (repository_blob_open(r, digest, 0, &b, reterr) < 0)
		return -1;
	rc = blob_reader_seek(b, ctx, 0, &size, reterr);
	if (rc == 0)
		rc = http_response_read_all(b->response, ctx, SMALL_BLOB_LIMIT, ret, reterr);
	blob_reader_free(b);
	return rc;
}
