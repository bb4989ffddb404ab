/* SPDX-License-Identifier: Apache-2.0 */
/* See peek_plugin.c. */
#include "plugin_error.c"
