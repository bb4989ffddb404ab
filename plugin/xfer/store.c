/* SPDX-License-Identifier: Apache-2.0 */
/* Go counterpart: the interface layer.Store */
#include "xfer/store.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"

/* No more of a failure's text is kept. */
#define MESSAGE_MAX (64 * 1024)

struct answer {
	struct image_pull_sink sink;
	char diff_id[DIGEST_MAX];
	bool bad; /* it gave what cannot be a diff ID */
	char *message;
};

static int answer_value(void *receiver, const void *data, size_t size)
{
	struct answer *a = receiver;

	if (size >= sizeof(a->diff_id) || digest_validate(data, size, NULL) < 0) {
		a->bad = true;
		return IMAGE_PULL_OK;
	}
	memcpy(a->diff_id, data, size);
	a->diff_id[size] = 0;
	return IMAGE_PULL_OK;
}

static void answer_message(void *receiver, const char *text)
{
	struct answer *a = receiver;

	free(a->message);
	/* where there is no memory, the code alone has to do */
	a->message = text ? str_printf("%.*s", MESSAGE_MAX, text) : NULL;
}

static void answer_init(struct answer *a)
{
	*a = (struct answer){.sink = {.struct_size = sizeof(a->sink),
				     .receiver = a,
				     .value = answer_value,
				     .message = answer_message}};
}

static struct error *code_error(int code)
{
	switch (code) {
	case IMAGE_PULL_NOT_FOUND:
		return error_plainf("layer does not exist");
	case IMAGE_PULL_CANCELLED:
		return &err_context_canceled;
	case IMAGE_PULL_NO_SPACE:
		return &err_enospc;
	case IMAGE_PULL_NO_MEMORY:
		return &error_no_memory;
	default:
		return error_plainf("the layer store failed");
	}
}

static void answer_end(struct answer *a, int code, struct store_answer *ret)
{
	if (code == IMAGE_PULL_OK && a->bad) {
		code = IMAGE_PULL_INVALID;
		answer_message(a, "the layer store gave a diff ID that is no digest");
	}
	*ret = (struct store_answer){.code = code};
	memcpy(ret->diff_id, a->diff_id, sizeof(ret->diff_id));
	if (code != IMAGE_PULL_OK)
		ret->err = a->message && *a->message ? error_plainf("%s", a->message)
						     : code_error(code);
	free(a->message);
}

void store_answer_free(struct store_answer *a)
{
	error_unref(a->err);
	a->err = NULL;
}

bool store_get(const struct image_pull_layer_store *store, const char *chain_id)
{
	struct answer a;
	struct store_answer answer;

	if (!store->get)
		return false;
	answer_init(&a);
	answer_end(&a, store->get(store->context, chain_id, &a.sink), &answer);
	store_answer_free(&answer);
	return answer.code == IMAGE_PULL_OK;
}

void store_release(const struct image_pull_layer_store *store, const char *chain_id)
{
	if (store->release)
		store->release(store->context, chain_id);
}

void store_register(const struct image_pull_layer_store *store,
	const struct image_pull_reader *reader, const char *parent,
	const struct image_pull_descriptor *descriptor, struct store_answer *ret)
{
	struct answer a;

	answer_init(&a);
	answer_end(&a, store->register_layer(store->context, reader, parent, descriptor, &a.sink),
		ret);
}

void store_stage(const struct image_pull_layer_store *store, const struct image_pull_reader *reader,
	const struct image_pull_descriptor *descriptor, void **ret_handle, struct store_answer *ret)
{
	struct answer a;
	int code;

	answer_init(&a);
	*ret_handle = NULL;
	code = store->stage(store->context, reader, descriptor, ret_handle, &a.sink);
	answer_end(&a, code, ret);
	if (code == IMAGE_PULL_OK && ret->code != IMAGE_PULL_OK)
		store->discard(store->context, *ret_handle);
}

void store_commit(const struct image_pull_layer_store *store, void *handle, const char *parent,
	const char *diff_id, const struct image_pull_descriptor *descriptor,
	struct store_answer *ret)
{
	struct answer a;

	answer_init(&a);
	answer_end(&a, store->commit(store->context, handle, parent, diff_id, descriptor, &a.sink),
		ret);
}
