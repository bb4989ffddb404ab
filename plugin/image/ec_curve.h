/* SPDX-License-Identifier: Apache-2.0 */
/* The NIST curves that libtrust knows, as far as the ID of a public key needs them. Go counterpart:
 * crypto/elliptic (IsOnCurve). */
#ifndef IMAGE_EC_CURVE_H
#define IMAGE_EC_CURVE_H

#include <stdbool.h>
#include <stddef.h>

struct ec_curve {
	const char *name; /* "P-256" */
	size_t size;      /* of a coordinate, in bytes */
	const char *der;  /* the content of its keys' AlgorithmIdentifier */
	size_t der_size;
	const char *p, *b; /* hex: the field's prime, and y^2 = x^3 - 3x + b */
};

/* NULL if there is none of this name. */
const struct ec_curve *ec_curve_find(const char *name, size_t size);
/* x and y are big-endian, curve->size bytes each. They are public: this takes no care to hide them.
 * No memory is allocated. */
bool ec_curve_has_point(const struct ec_curve *curve, const void *x, const void *y);

#endif
