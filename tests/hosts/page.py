#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The host of docs/host-in-100-lines.md: at most 100 lines, C89 and C++, and it pulls."""
import hashlib
import os
import re
import shutil
import subprocess
import sys

TOP = os.environ.get("top_srcdir") or os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
BUILD = os.path.abspath(os.environ.get("top_builddir") or os.getcwd())
sys.path.insert(0, os.path.join(TOP, "tests", "integration"))
import images  # noqa: E402
import tap  # noqa: E402

PLUGIN = os.path.join(BUILD, ".libs", "image_pull.so")
COMPILERS = {"C89": ["gcc", "-std=c89", "-pedantic", "-Wno-long-long", "-Wno-missing-field-initializers"], "C++": ["g++", "-x", "c++", "-Wno-missing-field-initializers"]}


def page(work):
    with open(os.path.join(TOP, "docs", "host-in-100-lines.md"), encoding="utf-8") as text:
        code = re.search(r"```c\n(.*?)```", text.read(), re.S)[1]
    lines = [line for line in code.splitlines() if line.strip()]
    assert len(lines) <= 100, "%d lines" % len(lines)
    path = os.path.join(work, "host.c")
    with open(path, "w", encoding="utf-8") as out:
        out.write(code)
    return path


def pulls(language):
    def run(work):
        compiler = COMPILERS[language]
        if not shutil.which(compiler[0]):
            raise tap.Skip(compiler[0] + " is not installed")
        # The installed header alone: a folder with nothing else of the project.
        include = os.path.join(work, "include")
        os.makedirs(include, exist_ok=True)
        shutil.copy(os.path.join(TOP, "plugin", "image_pull.h"), include)
        host, to = os.path.join(work, "host"), os.path.join(work, language)
        subprocess.run([*compiler, "-Wall", "-Wextra", "-Werror", "-I", include, page(work), "-o", host, "-lgcrypt", "-ldl"],
                       check=True)
        layout, registry = images.Layout(os.path.join(work, "layout")), images.Registry(work, "registry")
        tars = [images.tar_of({"one": b"1"}), images.tar_of({"two": b"2"})]
        layout.name(layout.image(tars), "v1")
        os.mkdir(to)
        try:
            registry.push("oci:%s:v1" % layout.path, "a/b:v1")
            got = subprocess.run([host, PLUGIN, registry.host + "/a/b:v1", to], capture_output=True, text=True, timeout=60)
            assert got.returncode == 0 and got.stderr == "", got
            with open(to + "/config.json", "rb") as config:
                assert got.stdout == "sha256:%s\n" % hashlib.sha256(config.read()).hexdigest(), got.stdout
            assert [open("%s/%d.tar" % (to, i), "rb").read() for i in (1, 2)] == tars
            got = subprocess.run([host, PLUGIN, registry.host + "/a/b:none", to], capture_output=True, text=True, timeout=60)
            assert got.returncode == 1 and got.stderr.startswith("manifest for "), got
        finally:
            registry.close()
    run.__doc__ = "the page's host, as " + language
    return run


if __name__ == "__main__":
    tap.needs("docker-registry", "skopeo", built=(PLUGIN,), sanitizers="a plugin with sanitizers needs a host with them")
    tap.main("page", [pulls(language) for language in COMPILERS], str)  # a folder is all they need
