/* SPDX-License-Identifier: Apache-2.0 */
/* The user's folders. Go counterpart: pkg/homedir. */
#include "config.h"

#include "dirs.h"

#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"

/* Relative values are to be ignored, says the specification. */
static const char *absolute_env(const char *name)
{
	const char *value = secure_getenv(name);

	return value && *value == '/' ? value : NULL;
}

char *dirs_home(void)
{
	const char *home = absolute_env("HOME");
	struct passwd entry, *found = NULL;
	char text[4096];

	if (home)
		return strdup(home);
	if (getpwuid_r(geteuid(), &entry, text, sizeof(text), &found) != 0 || !found ||
		*found->pw_dir != '/')
		return NULL;
	return strdup(found->pw_dir);
}

static char *xdg(const char *name, const char *below_home)
{
	const char *value = absolute_env(name);
	cleanup_free char *home = value ? NULL : dirs_home();

	return home ? str_printf("%s/%s", home, below_home) : value ? strdup(value) : NULL;
}

char *dirs_config_home(void)
{
	return xdg("XDG_CONFIG_HOME", ".config");
}

char *dirs_data_home(void)
{
	return xdg("XDG_DATA_HOME", ".local/share");
}
