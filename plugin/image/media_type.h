/* SPDX-License-Identifier: Apache-2.0 */
/* The media type in a Content-Type header. Go counterpart: mime.ParseMediaType. */
#ifndef IMAGE_MEDIA_TYPE_H
#define IMAGE_MEDIA_TYPE_H

struct error;

/* The type alone, in lower case, as a new string; parameters are checked, not kept. Errors in Go's
 * words: "mime: no media type", "mime: invalid media parameter" ... */
int media_type_parse(const char *header, char **ret, struct error **reterr);

#endif
