#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The rooms' floors: a file includes only its own floor or lower; compat/ and engines/ see the plugin
through image_pull.h alone (compat may build on base/ and image/, which are pure values). One case for each file."""
import os
import re
import sys

top = os.path.abspath(os.environ.get("top_srcdir") or os.path.join(os.path.dirname(__file__), "..", ".."))
FLOORS = ["base", "image", "registry", "xfer", "pull", "plugin"]
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)


def floor_of(name):
    """The floor of a path below plugin/."""
    first = name.split("/")[0]
    if "/" in name and first in FLOORS:
        return FLOORS.index(first)
    return FLOORS.index("plugin" if first.startswith("plugin") else "pull")


def allowed(room, name, included):
    if included == "config.h" or included == "image_pull.h":
        return True
    below_plugin = os.path.exists(os.path.join(top, "plugin", included))
    if room == "plugin":
        return below_plugin and floor_of(included) <= floor_of(name)
    if room == "compat":
        local = os.path.exists(os.path.join(top, "compat", included))
        return local or (below_plugin and included.split("/")[0] in ("base", "image"))
    # A host: its own folder, what hosts share, and the two public headers.
    host = name.split("/")[0]
    here = os.path.join(top, "engines", os.path.dirname(name))
    if included.startswith("common/"):
        return os.path.exists(os.path.join(top, "engines", included))
    return included == "towline.h" or any(
        os.path.exists(os.path.join(d, included)) for d in (here, os.path.join(top, "engines", host)))


def main():
    cases = []
    for room in ("plugin", "compat", "engines"):
        for folder, _, files in sorted(os.walk(os.path.join(top, room))):
            for f in sorted(files):
                if not f.endswith((".c", ".h")):
                    continue
                path = os.path.join(folder, f)
                name = os.path.relpath(path, os.path.join(top, room))
                with open(path, encoding="utf-8") as src:
                    bad = [i for i in INCLUDE.findall(src.read()) if not allowed(room, name, i)]
                cases.append((room + "/" + name, bad))
    print("1..%d" % len(cases))
    for n, (name, bad) in enumerate(cases, 1):
        print("%s %d - floors: %s" % ("not ok" if bad else "ok", n, name))
        for i in bad:
            print("#   includes %s, which is above it or another room's" % i)
    sys.exit(1 if any(bad for _, bad in cases) or not cases else 0)


main()
