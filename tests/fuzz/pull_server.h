/* SPDX-License-Identifier: Apache-2.0 */
/* A registry in this process, for the fuzzer: whoever connects to 127.0.0.1:PULL_SERVER_PORT gets
 * one end of a socket pair, and everybody else's connect() is refused, so that no input reaches
 * out. One thread serves them all. */
#ifndef FUZZ_PULL_SERVER_H
#define FUZZ_PULL_SERVER_H

#include <stdbool.h>

#include "base/buf.h"

#define PULL_SERVER_PORT 5000

/* request: head and body of one request. What is appended to wire is sent as it is; true: the
 * connection goes on. Runs on the server's thread. */
typedef bool (*pull_answer)(void *arg, const char *request, struct buf *wire);

void pull_server_begin(pull_answer answer, void *arg);
/* Closes all connections; answer is not called any more. */
void pull_server_end(void);

#endif
