#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The ABI of the last release is kept: abi/ARCH.txt has every struct, constant and function of the public headers, as abidw reads them
out of debug information. Structs grow at their tail only; nothing else that is there changes or goes.

    tests/house/abi_kept.py [--record]      --record: at a release

Needs abidw (abigail-tools)."""
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.abspath(os.environ.get("top_builddir", "."))
sys.path.insert(0, os.path.join(TOP, "tests", "integration"))
import tap  # noqa: E402

HEADERS = [os.path.join(TOP, "plugin", "image_pull.h"), os.path.join(TOP, "compat", "towline.h")]
LIBRARY = os.path.join(BUILD, ".libs", "libtowline.so")
KEPT = os.path.join(TOP, "abi", {"x86_64": "amd64"}.get(platform.machine(), platform.machine()) + ".txt")


def abidw(*args):
    done = subprocess.run(["abidw", "--no-show-locs", *args], stdout=subprocess.PIPE, check=True)
    return ET.fromstring(done.stdout)


def text_of(types, ident):
    """The type as C would have it, more or less."""
    node = types.get(ident)
    if node is None:
        return "void"
    below = node.get("type-id")
    if node.tag == "pointer-type-def":
        return text_of(types, below) + " *"
    if node.tag == "qualified-type-def":
        return text_of(types, below) + " const"
    if node.tag == "array-type-def":
        return text_of(types, below) + "".join("[%s]" % s.get("length") for s in node.iter("subrange"))
    if node.tag == "function-type":
        return signature(types, node)
    kind = {"class-decl": "struct ", "enum-decl": "enum ", "union-decl": "union "}.get(node.tag, "")
    return kind + node.get("name")


def signature(types, node):
    result = node.find("return")
    parameters = ["..." if p.get("is-variadic") else text_of(types, p.get("type-id")) for p in node.iter("parameter")]
    return "%s (%s)" % (text_of(types, result.get("type-id")) if result is not None else "void", ", ".join(parameters))


def all_types(tree):
    return {node.get("id"): node for node in tree.iter() if node.get("id")}


def layouts(work):
    """Structs and constants: {"struct x": [members]}, {"enum x": [constants]}."""
    text = "".join(open(h, encoding="utf-8").read() for h in HEADERS)
    structs = re.findall(r"^struct (\w+) \{", text, re.M)
    enums = re.findall(r"^enum (\w+) \{", text, re.M)
    source, so = os.path.join(work, "all.c"), os.path.join(work, "all.so")
    with open(source, "w", encoding="utf-8") as out:
        out.write('#include "image_pull.h"\n#include "towline.h"\n')
        out.writelines("struct %s *s_%s;\n" % (n, n) for n in structs)
        out.writelines("enum %s e_%s;\n" % (n, n) for n in enums)
    subprocess.run([*os.environ.get("CC", "cc").split(), "-g", "-O0", "-shared", "-fPIC", *("-I" + os.path.dirname(h) for h in HEADERS),
                    source, "-o", so], check=True)
    tree = abidw(so)
    types, found = all_types(tree), {}
    for node in tree.iter():
        if node.tag == "class-decl" and node.get("name") in structs and node.get("is-declaration-only") != "yes":
            found["struct " + node.get("name")] = [
                "%s at %s: %s" % (m.find("var-decl").get("name"), m.get("layout-offset-in-bits"),
                                  text_of(types, m.find("var-decl").get("type-id"))) for m in node.iter("data-member")]
        elif node.tag == "enum-decl" and node.get("name") in enums:
            found["enum " + node.get("name")] = ["%s = %s" % (e.get("name"), e.get("value")) for e in node.iter("enumerator")]
    missing = set(structs) - {n.split()[1] for n in found}
    assert not missing, "abidw does not see %s" % sorted(missing)
    return found


def functions():
    tree = abidw("--exported-interfaces-only", LIBRARY)
    types = all_types(tree)
    return {"function " + f.get("name"): [signature(types, f)] for f in tree.iter("function-decl") if f.get("elf-symbol-id")}


def now():
    work = tempfile.mkdtemp(prefix="towline-abi-")
    try:
        return {**layouts(work), **functions()}
    finally:
        shutil.rmtree(work)


def read():
    found, name = {}, None
    with open(KEPT, encoding="utf-8") as text:
        for line in text.read().splitlines():
            if line.startswith("\t"):
                found[name].append(line[1:])
            elif line:
                name = line
                found[name] = []
    return found


def kept(name, old, new):
    def case():
        assert new is not None, "it is gone"
        if name.startswith("enum"):
            assert set(old) <= set(new), "gone or changed: %s" % sorted(set(old) - set(new))
        else:
            assert new[:len(old)] == old, "\nwas %s\nis  %s" % (old, new[:len(old)])
            assert len(new) == len(old) or name.startswith("struct"), "it has grown"
    case.__doc__ = name
    return case


def main():
    if not shutil.which("abidw"):
        tap.skip_all("abidw is not installed (abigail-tools)")
    if not os.path.exists(LIBRARY):
        tap.skip_all("not built")
    current = now()
    if sys.argv[1:] == ["--record"]:
        os.makedirs(os.path.dirname(KEPT), exist_ok=True)
        with open(KEPT, "w", encoding="utf-8") as out:
            for name in sorted(current):
                out.write(name + "\n" + "".join("\t%s\n" % line for line in current[name]))
    if not os.path.exists(KEPT):
        tap.skip_all("there is no %s" % os.path.relpath(KEPT, TOP))
    old = read()
    sys.exit(1 if tap.run("abi", [kept(n, old[n], current.get(n)) for n in sorted(old)]) else 0)


if __name__ == "__main__":
    main()
