#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The borders: the public headers compile alone as C89 and C++, and the plugin exports exactly one symbol.
top=${top_srcdir:-$(dirname "$0")/../..}
: "${CC:=cc}"
n=0 failed=0
out=$(mktemp -d) || exit 99
trap 'rm -rf "$out"' EXIT

ok()
{
	n=$((n + 1))
	if [ "$1" = 0 ]; then echo "ok $n - abi: $2"; else
		failed=$((failed + 1))
		echo "not ok $n - abi: $2"
		sed 's/^/#   /' "$out/log"
	fi
}
skip()
{
	n=$((n + 1))
	echo "ok $n - abi: $1 # SKIP $2"
}

printf '#include "image_pull.h"\nint main(void) { return IMAGE_PULL_OK; }\n' >"$out/a.c"
printf '#include "towline.h"\nint main(void) { return IMAGE_PULL_OK; }\n' >"$out/b.c"
strict="-Wall -Wextra -pedantic -Werror -Wno-long-long -fsyntax-only -I$top/plugin -I$top/compat"
for f in a b; do
	name=image_pull.h
	[ $f = b ] && name=towline.h
	$CC -std=c89 $strict "$out/$f.c" >"$out/log" 2>&1
	ok $? "$name compiles alone as C89"
	if command -v "${CXX:-c++}" >/dev/null; then
		${CXX:-c++} -x c++ -std=c++98 $strict "$out/$f.c" >"$out/log" 2>&1
		ok $? "$name compiles alone as C++"
	else
		skip "$name compiles alone as C++" "no C++ compiler"
	fi
done

so=.libs/image_pull.so
if [ -n "$SANITIZERS" ]; then
	skip "image_pull.so exports image_pull_plugin and nothing else" "sanitizers add symbols of their own"
elif [ ! -f "$so" ]; then
	skip "image_pull.so exports image_pull_plugin and nothing else" "the plugin is not built"
else
	nm -D --defined-only "$so" | awk '{ print $NF }' >"$out/log"
	[ "$(cat "$out/log")" = image_pull_plugin ]
	ok $? "image_pull.so exports image_pull_plugin and nothing else"
fi
echo "1..$n"
[ $failed = 0 ]
