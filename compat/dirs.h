/* SPDX-License-Identifier: Apache-2.0 */
/* The user's folders: home, and those of the XDG base directory specification. New strings; NULL
 * where there is none or memory ran out. A privileged program's environment is not trusted. */
#ifndef COMPAT_DIRS_H
#define COMPAT_DIRS_H

char *dirs_home(void);        /* $HOME, else the password database's */
char *dirs_config_home(void); /* $XDG_CONFIG_HOME, else ~/.config */
char *dirs_data_home(void);   /* $XDG_DATA_HOME, else ~/.local/share */

#endif
