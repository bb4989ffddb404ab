/* SPDX-License-Identifier: Apache-2.0 */
/* Is a point on its curve? Go counterpart: crypto/elliptic. libgcrypt could tell, but ends the
 * process when memory runs out; TLS never asks this of us, only the ID of a schema 1 key does. */
#include "image/ec_curve.h"

#include <stdint.h>
#include <string.h>

#include "base/buf.h"

#define LIMBS 17 /* 544 bits: twice any residue fits */

/* Little-endian. */
struct number {
	uint32_t limb[LIMBS];
};

/* OBJECT IDENTIFIER ecPublicKey and the curve's */
#define EC_OID "\x06\x07\x2a\x86\x48\xce\x3d\x02\x01"
#define DER(oid) EC_OID oid, sizeof(EC_OID oid) - 1

static const struct ec_curve curves[] = {
	{"P-256", 32, DER("\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"),
		"ffffffff00000001000000000000000000000000ffffffffffffffffffffffff",
		"5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b"},
	{"P-384", 48, DER("\x06\x05\x2b\x81\x04\x00\x22"),
		"ffffffffffffffffffffffffffffffffffffffffffffffff"
		"fffffffffffffffeffffffff0000000000000000ffffffff",
		"b3312fa7e23ee7e4988e056be3f82d19181d9c6efe814112"
		"0314088f5013875ac656398d8a2ed19d2a85c8edd3ec2aef"},
	{"P-521", 66, DER("\x06\x05\x2b\x81\x04\x00\x23"),
		"01ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
		"ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
		"0051953eb9618e1c9a1f929a21a0b68540eea2da725b99b315f3b8b489918ef109"
		"e156193951ec7e937b1652c0bd3bb1bf073573df883d2c34f1ef451fd46b503f00"},
};

const struct ec_curve *ec_curve_find(const char *name, size_t size)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(curves); i++) {
		if (size == strlen(curves[i].name) && memcmp(name, curves[i].name, size) == 0)
			return &curves[i];
	}
	return NULL;
}

/* The next lower byte of a number that is read from its top. */
static void push_byte(struct number *n, unsigned int byte)
{
	int i;

	for (i = LIMBS - 1; i > 0; i--)
		n->limb[i] = n->limb[i] << 8 | n->limb[i - 1] >> 24;
	n->limb[0] = n->limb[0] << 8 | byte;
}

static struct number from_bytes(const unsigned char *bytes, size_t size)
{
	struct number n = {{0}};
	size_t i;

	for (i = 0; i < size; i++)
		push_byte(&n, bytes[i]);
	return n;
}

static unsigned int hex_digit(char c)
{
	return (unsigned int)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static struct number from_hex(const char *hex)
{
	struct number n = {{0}};

	for (; *hex; hex += 2)
		push_byte(&n, hex_digit(hex[0]) << 4 | hex_digit(hex[1]));
	return n;
}

static bool less(const struct number *a, const struct number *b)
{
	int i;

	for (i = LIMBS - 1; i >= 0; i--) {
		if (a->limb[i] != b->limb[i])
			return a->limb[i] < b->limb[i];
	}
	return false;
}

/* a + b mod p; both are less than p. */
static struct number add(const struct number *a, const struct number *b, const struct number *p)
{
	struct number sum;
	uint64_t carry = 0, borrow = 0;
	int i;

	for (i = 0; i < LIMBS; i++) {
		carry += (uint64_t)a->limb[i] + b->limb[i];
		sum.limb[i] = (uint32_t)carry;
		carry >>= 32;
	}
	if (less(&sum, p))
		return sum;
	for (i = 0; i < LIMBS; i++) {
		uint64_t difference = (uint64_t)sum.limb[i] - p->limb[i] - borrow;

		sum.limb[i] = (uint32_t)difference;
		borrow = difference >> 63;
	}
	return sum;
}

/* a * b mod p, bit by bit. */
static struct number multiply(
	const struct number *a, const struct number *b, const struct number *p)
{
	struct number product = {{0}};
	int i;

	for (i = LIMBS * 32 - 1; i >= 0; i--) {
		product = add(&product, &product, p);
		if (b->limb[i / 32] >> i % 32 & 1)
			product = add(&product, a, p);
	}
	return product;
}

bool ec_curve_has_point(const struct ec_curve *curve, const void *x_bytes, const void *y_bytes)
{
	struct number x = from_bytes(x_bytes, curve->size), y = from_bytes(y_bytes, curve->size);
	struct number p = from_hex(curve->p), b = from_hex(curve->b);
	struct number left, right, x2;

	if (!less(&x, &p) || !less(&y, &p))
		return false;
	/* y^2 + 3x = x^3 + b */
	left = multiply(&y, &y, &p);
	left = add(&left, &x, &p);
	left = add(&left, &x, &p);
	left = add(&left, &x, &p);
	x2 = multiply(&x, &x, &p);
	right = multiply(&x2, &x, &p);
	right = add(&right, &b, &p);
	return memcmp(&left, &right, sizeof(left)) == 0;
}
