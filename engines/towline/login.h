/* SPDX-License-Identifier: Apache-2.0 */
/* Asking a user at a terminal. Go counterpart: docker's cli/command/registry.go. */
#ifndef LOGIN_H
#define LOGIN_H

#include <stdbool.h>

#include "cli.h"
#include "common/host.h"

/* A line from the terminal at stdin, the question on stderr. A new string; NULL: no terminal, or
 * interrupted, or no memory. The terminal is as before when it returns or a signal ends us. */
char *login_prompt(const char *question, bool echo);
/* --creds USER[:PASSWORD] of a command; what is missing is asked for at the terminal. An exit
 * status, after a line about what is wrong. */
int login_creds(
	struct cli *cli, const char *command, const char *creds, struct host_credentials *ret);

#endif
