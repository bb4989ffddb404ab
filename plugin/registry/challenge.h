/* SPDX-License-Identifier: Apache-2.0 */
/* WWW-Authenticate. Go counterpart: registry/client/auth/challenge. */
#ifndef REGISTRY_CHALLENGE_H
#define REGISTRY_CHALLENGE_H

#include <stddef.h>

struct header_list;
struct error;

struct challenge_param {
	char *name; /* lower case */
	char *value;
};

struct challenge {
	char *scheme; /* lower case */
	struct challenge_param *params;
	size_t nparams;
};

struct challenge_list {
	struct challenge *items;
	size_t count;
};

/* challenge.ResponseChallenges: those of a 401; none for another status. */
int challenge_parse(int status, const struct header_list *headers, struct challenge_list *ret,
	struct error **reterr);
const char *challenge_param(const struct challenge *c, const char *name); /* "" if absent */
void challenge_list_free(struct challenge_list *list);

#endif
