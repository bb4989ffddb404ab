/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses, networks and host:port pairs. Go counterpart: net. */
#include "config.h"

#include "ip.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

/* net.IP.To4 of 16 bytes. */
static void shorten(struct ip *ip)
{
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

	if (ip->size != 16 || memcmp(ip->bytes, mapped, sizeof(mapped)) != 0)
		return;
	memmove(ip->bytes, ip->bytes + 12, 4);
	ip->size = 4;
}

bool ip_parse(const char *s, struct ip *ret)
{
	struct ip ip = {{0}, 0};

	if (inet_pton(AF_INET, s, ip.bytes) == 1)
		ip.size = 4;
	else if (inet_pton(AF_INET6, s, ip.bytes) == 1)
		ip.size = 16;
	else
		return false;
	shorten(&ip);
	*ret = ip;
	return true;
}

static void mask(struct ip *ip, unsigned bits)
{
	for (unsigned i = 0; i < ip->size; i++) {
		unsigned left = bits > i * 8 ? bits - i * 8 : 0;

		ip->bytes[i] &= left >= 8 ? 0xff : (uint8_t)(0xff00u >> left);
	}
}

bool ip_parse_cidr(const char *s, struct ip_net *ret)
{
	const char *slash = strchr(s, '/');
	char address[64];
	struct ip_net net = {.bits = 0};
	unsigned bits = 0;

	if (!slash || !slash[1] || (size_t)(slash - s) >= sizeof(address))
		return false;
	memcpy(address, s, (size_t)(slash - s));
	address[slash - s] = '\0';
	for (const char *p = slash + 1; *p; p++) {
		if (*p < '0' || *p > '9' || bits > 1000)
			return false;
		bits = bits * 10 + (unsigned)(*p - '0');
	}
	if (inet_pton(AF_INET, address, net.ip.bytes) == 1)
		net.ip.size = 4;
	else if (inet_pton(AF_INET6, address, net.ip.bytes) == 1)
		net.ip.size = 16;
	else
		return false;
	if (bits > net.ip.size * 8)
		return false;
	mask(&net.ip, bits);
	net.bits = bits;
	/* ::ffff:10.0.0.0/104 is the network 10.0.0.0/8; of fewer than 96 bits nothing is short. */
	bool long_form = net.ip.size == 16;

	shorten(&net.ip);
	if (long_form && net.ip.size == 4)
		net.bits -= 96;
	*ret = net;
	return true;
}

bool ip_net_contains(const struct ip_net *net, const struct ip *ip)
{
	struct ip masked = *ip;

	if (ip->size != net->ip.size)
		return false;
	mask(&masked, net->bits);
	return !memcmp(masked.bytes, net->ip.bytes, ip->size);
}

bool ip_net_equal(const struct ip_net *a, const struct ip_net *b)
{
	return a->bits == b->bits && a->ip.size == b->ip.size &&
	       !memcmp(a->ip.bytes, b->ip.bytes, a->ip.size);
}

static int give(
	const char *host, size_t host_size, const char *port, char **ret_host, char **ret_port)
{
	char *h = strndup(host, host_size);
	char *p = strdup(port);

	if (!h || !p) {
		free(h);
		free(p);
		return -1;
	}
	*ret_host = h;
	*ret_port = p;
	return 1;
}

int ip_split_host_port(const char *s, char **ret_host, char **ret_port)
{
	const char *colon = strrchr(s, ':');
	const char *host = s;
	size_t host_size;
	size_t from = 0, to = 0; /* brackets may not stand before from / to */

	if (!colon)
		return 0;
	if (*s == '[') {
		const char *end = strchr(s, ']');

		/* Behind the bracket comes the last colon, and nothing else. */
		if (!end || end + 1 != colon)
			return 0;
		host = s + 1;
		host_size = (size_t)(end - host);
		from = 1;
		to = (size_t)(end - s) + 1;
	} else {
		host_size = (size_t)(colon - s);
		if (memchr(s, ':', host_size))
			return 0; /* too many colons in address */
	}
	if (strchr(s + from, '[') || strchr(s + to, ']'))
		return 0;
	return give(host, host_size, colon + 1, ret_host, ret_port);
}
