/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of manifest.h share. */
#ifndef IMAGE_MANIFEST_INTERNAL_H
#define IMAGE_MANIFEST_INTERNAL_H

#include "base/json_decode.h"
#include "image/manifest.h"

struct arena;

/* A decoded string as a C string of the arena; "" for none. A NUL inside becomes U+FFFD, so that
 * nothing is taken for what it begins with. NULL: no memory. */
const char *manifest_text(struct arena *arena, struct json_text text);

/* SignedManifest.UnmarshalJSON into m, whose arena is there. */
int manifest_unmarshal_schema1(
	struct manifest *m, const char *body, size_t size, struct error **reterr);

/* libtrust.ParsePrettySignature and Payload: the text that was signed. Signatures are parsed, not
 * verified, as in the original. */
int jws_payload(const char *body, size_t size, struct buf *ret, struct error **reterr);
/* libtrust.UnmarshalPublicKeyJWK: is this a key, and is its ID its own? */
int jwk_check(const char *jwk, size_t size, struct error **reterr);
/* joseBase64UrlDecode, appended. */
int jose_base64_decode(struct buf *ret, const char *s, size_t size, struct error **reterr);

#endif
