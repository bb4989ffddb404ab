#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The bugs that run.py plants, one for each target, in a copy of the source: what a slip there would look like. Run as a
test it says whether each still has its place."""
import collections
import os
import sys

Plant = collections.namedtuple("Plant", "file old new bug")

PLANTS = {
    "challenge": Plant("plugin/registry/challenge.c", "if (*p == '\\\\' && !*++p)\n\t\t\tbreak;", "if (*p == '\\\\')\n\t\t\tp++;",
                       "a backslash at the end is read past"),
    "config": Plant("plugin/image/rootfs.c", "if (has_nul(ids[i]))", "if (0 && has_nul(ids[i]))", "a diff ID is cut at a NUL"),
    "content_range": Plant("plugin/registry/blob.c", "if (last + 1 != total)", "if (last != total && last + 1 != total)",
                           "a range may end one byte behind the end"),
    "decompress": Plant("plugin/base/gunzip.c", "if (le32(g->field) != g->crc || le32(g->field + 4) != g->size)",
                        "if (le32(g->field) != g->crc && le32(g->field + 4) != g->size)", "a wrong checksum is taken where the length is right"),
    "errcode": Plant("plugin/registry/errcode.c", "struct error **list = calloc(n + 1, sizeof(struct error *));",
                     "struct error **list = calloc(n + (n < 2), sizeof(struct error *));", "one entry too few of a merged list"),
    "index": Plant("plugin/image/platform.c", "if (!count && same(p.architecture, \"arm\"))", "if (same(p.architecture, \"arm\"))",
                   "the second choice is made beside the first"),
    "json": Plant("plugin/base/json_scan.c", "strchr(\"bfnrt\\\\/\\\"\", c)", "strchr(\"bfnrt\\\\\\\"\", c)", "an escaped slash is refused"),
    "link": Plant("plugin/registry/repository.c", "if (strcmp(origin, next_origin) != 0)", "if (strncmp(origin, next_origin, strlen(origin)) != 0)",
                  "another origin that begins as ours"),
    "location": Plant("plugin/registry/transport.c", "return to[strlen(to) - strlen(from + n) - 1] == '.';", "return true;",
                      "secrets for a host whose name ends as ours"),
    "manifest": Plant("plugin/image/manifest.c", "to->has_size = from->size.set;", "to->has_size = from->size.set && from->size.value >= 0;", "a negative size is taken for none"),
    "pull": Plant("plugin/pull_v2_image.c", "if (!digest_verify(f->digest, f->json.data, f->json.size)) {", "if (0) {",
                  "configurations are not verified"),
    "reference": Plant("plugin/image/reference.c", "if (!tag.size || tag.size > TAG_LENGTH_MAX || !is_word(tag.s[0]))",
                       "if (!tag.size || tag.size > TAG_LENGTH_MAX)", "a tag may begin with anything"),
    "retry_after": Plant("plugin/registry/notes.c", "return digits > 9 ? INT32_MAX", "return digits > 10 ? INT32_MAX", "ten digits are taken as they are"),
    "token": Plant("plugin/registry/auth_token.c", "if (t.data && strlen(t.data) != t.size)", "if (0)", "a token is cut at a NUL"),
    "untar": Plant("compat/tree.c", "#define FOLDER (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)",
                   "#define FOLDER (O_RDONLY | O_DIRECTORY | O_CLOEXEC)", "folders are opened through links"),
}

# these files are part of the program by another's #include
PEEKS = {"plugin/registry/%s.c" % room: "tests/fuzz/peek_%s.c" % peek for room, peek in (
    ("auth_token", "token"), ("blob", "blob"), ("repository", "repository"), ("transport", "transport"))}

# how much of a corpus is kept, where it is not 24 KiB
KEPT_BYTES = {"untar": 98304, "pull": 65536, "decompress": 49152, "retry_after": 4096, "content_range": 4096}


def planted(source, plant):
    with open(os.path.join(source, plant.file), encoding="utf-8") as text:
        text = text.read()
    if text.count(plant.old) != 1:
        raise ValueError("%s has %d places for: %s" % (plant.file, text.count(plant.old), plant.bug))
    return text.replace(plant.old, plant.new)


def main():
    failed = 0
    print("1..%d" % len(PLANTS))
    for n, name in enumerate(sorted(PLANTS), 1):
        try:
            planted(os.environ["top_srcdir"], PLANTS[name])
            print("ok %d - the bug planted for fuzz %s has its place" % (n, name))
        except ValueError as why:
            failed += 1
            print("not ok %d - the bug planted for fuzz %s has its place\n# %s" % (n, name, why))
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
