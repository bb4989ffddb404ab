/* SPDX-License-Identifier: Apache-2.0 */
/* Public keys in the signatures of schema 1: is it a key, and is its ID its own? Go counterparts:
 * libtrust/key.go, ec_key.go, rsa_key.go, util.go. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/encoding.h"
#include "base/error.h"
#include "image/digest.h"
#include "image/ec_curve.h"
#include "image/manifest_internal.h"

/* stringFromMap; reterr says it in the words of the caller: `WHAT: "x" value not specified`. */
static const struct json_value *get_string(
	const struct json_value *jwk, const char *key, const char *what, struct error **reterr)
{
	const struct json_value *v = json_get_exact(jwk, key);

	if (!v)
		error_setf(reterr, "%s: \"%s\" value not specified", what, key);
	else if (v->type != JSON_STRING)
		error_setf(reterr, "%s: \"%s\" value must be a string", what, key);
	else
		return v;
	return NULL;
}

static int decode_param(
	const struct json_value *v, const char *what, struct buf *ret, struct error **reterr)
{
	struct error *err = NULL;

	if (jose_base64_decode(ret, v->text, v->size, &err) == 0)
		return 0;
	error_setf(reterr, "%s: invalid base64 URL encoding: %s", what, err->message);
	error_unref(err);
	return -1;
}

/* ---- DER */

static void der_tlv(struct buf *b, unsigned char tag, const void *data, size_t size)
{
	buf_append_char(b, (char)tag);
	if (size >= 0x1000000) {
		b->oom = true; /* no key is that large: the caller says so */
		return;
	}
	if (size < 0x80) {
		buf_append_char(b, (char)size);
	} else {
		int n = size > 0xffff ? 3 : size > 0xff ? 2 : 1, i;

		buf_append_char(b, (char)(0x80 | n));
		for (i = n - 1; i >= 0; i--)
			buf_append_char(b, (char)(size >> (8 * i)));
	}
	buf_append(b, data, size);
}

/* A non-negative INTEGER of big-endian bytes. */
static void der_integer(struct buf *b, const char *data, size_t size)
{
	cleanup_buf struct buf n = {0};

	while (size && !*data) {
		data++;
		size--;
	}
	if (!size || (unsigned char)*data >= 0x80)
		buf_append_char(&n, 0);
	buf_append(&n, data, size);
	der_tlv(b, 0x02, n.data, n.size);
	b->oom |= n.oom;
}

/* SubjectPublicKeyInfo. algorithm is the content of its AlgorithmIdentifier. */
static void der_public_key(
	struct buf *b, const void *algorithm, size_t algorithm_size, const struct buf *key)
{
	cleanup_buf struct buf bits = {0}, body = {0};

	buf_append_char(&bits, 0); /* unused bits */
	buf_append(&bits, key->data, key->size);
	der_tlv(&body, 0x30, algorithm, algorithm_size);
	der_tlv(&body, 0x03, bits.data, bits.size);
	der_tlv(b, 0x30, body.data, body.size);
	b->oom |= bits.oom || body.oom || key->oom;
}

/* keyIDFromCryptoKey: the first 240 bits of the hash in groups of four letters. */
static int key_id(const struct buf *der, struct buf *ret, struct error **reterr)
{
	cleanup_buf struct buf letters = {0};
	char digest[DIGEST_MAX];
	const char *hex;
	unsigned char hash[30];
	size_t i;

	if (der->oom || digest_from_bytes(der->data, der->size, digest) < 0)
		return error_set(reterr, &error_no_memory);
	hex = digest_encoded(digest);
	for (i = 0; i < sizeof(hash); i++) {
		const char pair[3] = {hex[2 * i], hex[2 * i + 1], '\0'};

		hash[i] = (unsigned char)strtoul(pair, NULL, 16);
	}
	encoding_base32(&letters, hash, sizeof(hash));
	for (i = 0; i < letters.size; i += 4) {
		if (i)
			buf_append_char(ret, ':');
		buf_append(ret, letters.data + i, 4);
	}
	return letters.oom || ret->oom ? error_set(reterr, &error_no_memory) : 0;
}

/* The key ID is optional; if it is there, it must be that of the key. der NULL: the key has none.
 */
static int check_key_id(const struct json_value *jwk, const char *type, const struct buf *der,
	struct error **reterr)
{
	cleanup_buf struct buf id = {0};
	const struct json_value *kid;
	char what[40];

	if (!json_get_exact(jwk, "kid"))
		return 0;
	snprintf(what, sizeof(what), "JWK %s Public Key ID", type);
	kid = get_string(jwk, "kid", what, reterr);
	if (!kid)
		return -1;
	if (der && key_id(der, &id, reterr) < 0)
		return -1;
	if (kid->size != id.size || (id.size && memcmp(kid->text, id.data, id.size) != 0))
		return error_setf(reterr, "%s does not match: %s", what, kid->text);
	return 0;
}

/* ---- elliptic curves */

static int decode_coordinate(const struct json_value *jwk, const char *key,
	const struct ec_curve *curve, struct buf *ret, struct error **reterr)
{
	const struct json_value *v;
	char what[40];

	snprintf(what, sizeof(what), "JWK EC Public Key %s-coordinate", key);
	v = get_string(jwk, key, what, reterr);
	if (!v || decode_param(v, what, ret, reterr) < 0)
		return -1;
	if (ret->size != curve->size)
		return error_setf(reterr, "%s: invalid number of octets: got %zu, should be %zu",
			what, ret->size, curve->size);
	return 0;
}

static int check_ec(const struct json_value *jwk, struct error **reterr)
{
	cleanup_buf struct buf x = {0}, y = {0}, key = {0}, der = {0}, quoted = {0};
	const struct json_value *name =
		get_string(jwk, "crv", "JWK EC Public Key curve identifier", reterr);
	const struct ec_curve *curve;

	if (!name)
		return -1;
	curve = ec_curve_find(name->text, name->size);
	if (!curve) {
		buf_append_quoted(&quoted, name->text, name->size);
		return error_setf(reterr, "JWK EC Public Key curve identifier not supported: %s\n",
			quoted.data ? quoted.data : "");
	}
	if (decode_coordinate(jwk, "x", curve, &x, reterr) < 0 ||
		decode_coordinate(jwk, "y", curve, &y, reterr) < 0)
		return -1;
	buf_append_char(&key, 4); /* uncompressed */
	buf_append(&key, x.data, x.size);
	buf_append(&key, y.data, y.size);
	der_public_key(&der, curve->der, curve->der_size, &key);
	/* what is not on the curve is no key that could have an ID */
	return check_key_id(
		jwk, "EC", ec_curve_has_point(curve, x.data, y.data) ? &der : NULL, reterr);
}

/* ---- RSA */

static int check_rsa(const struct json_value *jwk, struct error **reterr)
{
	/* OBJECT IDENTIFIER rsaEncryption, NULL */
	static const char algorithm[] = "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05";
	static const char modulus[] = "JWK RSA Public Key modulus";
	static const char exponent[] = "JWK RSA Public Key exponent";
	cleanup_buf struct buf n = {0}, e = {0}, numbers = {0}, key = {0}, der = {0};
	const struct json_value *v = get_string(jwk, "n", modulus, reterr);

	if (!v || decode_param(v, modulus, &n, reterr) < 0)
		return -1;
	v = get_string(jwk, "e", exponent, reterr);
	if (!v || decode_param(v, exponent, &e, reterr) < 0)
		return -1;
	if (e.size > 4) /* the original does not survive this */
		return error_setf(
			reterr, "%s: invalid number of octets: got %zu", exponent, e.size);
	der_integer(&numbers, n.data, n.size);
	der_integer(&numbers, e.data, e.size);
	der_tlv(&key, 0x30, numbers.data, numbers.size);
	key.oom |= numbers.oom;
	der_public_key(&der, algorithm, sizeof(algorithm), &key);
	if (check_key_id(jwk, "RSA", &der, reterr) < 0)
		return -1;
	if (json_get_exact(jwk, "d"))
		return error_setf(reterr, "JWK RSA Public Key cannot contain private exponent");
	return 0;
}

int jwk_check(const char *jwk, size_t size, struct error **reterr)
{
	static const struct json_schema any_map =
		JSON_MAP_OF("map[string]interface {}", &json_schema_any);
	cleanup_arena struct arena *arena = arena_new();
	cleanup_json struct json *json = NULL;
	cleanup_buf struct buf quoted = {0};
	struct json_slice members = {0};
	const struct json_value *kty;
	struct error *err = NULL;

	if (!arena)
		return error_set(reterr, &error_no_memory);
	if (json_parse(jwk, size, &json, &err) < 0 ||
		json_decode_value(json_root(json), jwk, &any_map, &members, arena, &err) < 0) {
		error_setf(reterr, "decoding JWK Public Key JSON data: %s\n", err->message);
		error_unref(err);
		return -1;
	}
	kty = get_string(json_root(json), "kty", "JWK Public Key type", reterr);
	if (!kty)
		return -1;
	if (kty->size == 2 && memcmp(kty->text, "EC", 2) == 0)
		return check_ec(json_root(json), reterr);
	if (kty->size == 3 && memcmp(kty->text, "RSA", 3) == 0)
		return check_rsa(json_root(json), reterr);
	buf_append_quoted(&quoted, kty->text, kty->size);
	return error_setf(
		reterr, "JWK Public Key type not supported: %s\n", quoted.data ? quoted.data : "");
}
