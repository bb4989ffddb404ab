/* SPDX-License-Identifier: Apache-2.0 */
/* Asking a user at a terminal. Go counterpart: docker's cli/command/registry.go. */
#ifndef LOGIN_H
#define LOGIN_H

#include <stdbool.h>

/* A line from the terminal at stdin, the question on stderr. A new string; NULL: no terminal, or
 * interrupted, or no memory. The terminal is as before when it returns or a signal ends us. */
char *login_prompt(const char *question, bool echo);

#endif
