/* SPDX-License-Identifier: Apache-2.0 */
/* A folder for one test, and files in it. */
#ifndef TESTS_FOLDER_H
#define TESTS_FOLDER_H

/* Include it behind cmocka.h: what fails here fails the test. A folder under $TMPDIR or /tmp. */
char *folder_make(void);
/* With all that is in it; frees the name. */
void folder_remove(char *folder);
/* folder/name, a new string. */
char *folder_path(const char *folder, const char *name);
/* Write, folders above it included. */
void folder_write(const char *folder, const char *name, const char *text);
void folder_write_bytes(const char *folder, const char *name, const void *data, unsigned long size);
/* A new string; NULL if there is no such file. */
char *folder_read(const char *folder, const char *name);

#endif
