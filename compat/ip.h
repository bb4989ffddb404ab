/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses, networks and host:port pairs as Go's net package takes them. */
#ifndef COMPAT_IP_H
#define COMPAT_IP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An IPv4 address is kept in 4 bytes, also where it was written as ::ffff:a.b.c.d (net.IP.To4). */
struct ip {
	uint8_t bytes[16];
	unsigned size; /* 4 or 16 */
};
struct ip_net {
	struct ip ip;
	unsigned bits; /* of ip.size * 8 */
};

bool ip_parse(const char *s, struct ip *ret);          /* net.ParseIP */
bool ip_parse_cidr(const char *s, struct ip_net *ret); /* net.ParseCIDR */
bool ip_net_contains(const struct ip_net *net, const struct ip *ip);
bool ip_net_equal(const struct ip_net *a, const struct ip_net *b);
/* net.SplitHostPort: 1 and new strings; 0 where it gives an error; -1: out of memory. */
int ip_split_host_port(const char *s, char **ret_host, char **ret_port);

#endif
