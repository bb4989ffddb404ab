/* SPDX-License-Identifier: Apache-2.0 */
/* The plugin's descriptor, linked into this program: an engine would load it. */
#include "plugin.c"
