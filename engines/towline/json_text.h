/* SPDX-License-Identifier: Apache-2.0 */
/* Laying out JSON for people. Go counterpart: json.Indent. */
#ifndef JSON_TEXT_H
#define JSON_TEXT_H

#include <stddef.h>
#include <stdio.h>

/* A value in docker's layout: four spaces for each level, below indent spaces. What could steer a
 * terminal, and what is not UTF-8, becomes an escape. The text must be valid JSON; it is read
 * within its bounds whatever it is. */
void json_indented(FILE *out, const char *text, size_t size, unsigned indent);

#endif
