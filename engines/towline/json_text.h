/* SPDX-License-Identifier: Apache-2.0 */
/* Printing JSON, and handing on parts of an image's configuration as they are. Go counterpart:
 * none. */
#ifndef JSON_TEXT_H
#define JSON_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* A string with its quotes. What is not UTF-8 becomes U+FFFD. */
void json_string(FILE *out, const char *text, size_t size);
/* ["a", "b"], one element a line, indented by so many spaces; [] if there is none. */
void json_strings(FILE *out, const char *const *texts, unsigned indent);
/* The value of an object's member: the last of that name in any case, as Go decodes it. False:
 * there is none, or this is no object. The text must be valid JSON, as a store's are; it is read
 * within its bounds whatever it is. */
bool json_member(
	const char *text, size_t size, const char *name, const char **ret, size_t *ret_size);
/* A value in docker's layout: four spaces for each level, below indent spaces. */
void json_indented(FILE *out, const char *text, size_t size, unsigned indent);

#endif
