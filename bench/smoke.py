#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How many instructions a pull takes, against the figure in bench/smoke.json: a regression is seen where times are noise.

    bench/smoke.py [--record]

A made-up image of 1,500 small and four large files in four layers is pulled under callgrind, into an empty store and once more. More than 5 % above
the figure fails; more than 5 % below wants a new one (--record). The figure is for x86_64, gcc's -O2 and the libraries of Debian
12: elsewhere, and with sanitizers, nothing is judged."""
import json
import os
import platform
import random
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tests", "integration"))
import httpd  # noqa: E402
import images  # noqa: E402
import tap  # noqa: E402

BUILD = os.path.abspath(os.environ.get("top_builddir", "."))
LIBS = os.path.join(BUILD, ".libs")
FIGURES = os.path.join(HERE, "smoke.json")
TOLERANCE = 0.05


def image():
    dice = random.Random(1)
    words = [bytes(dice.choices(b"abcdefghijklmnopqrstuvwxyz", k=dice.randint(2, 9))) + b" " for _ in range(2000)]

    def text(size):
        return b"".join(dice.choices(words, k=size // 6))[:size]

    return httpd.Image(*(images.tar_of({
        **{"usr/share/%d/%d" % (layer, n): text(dice.randint(100, 8000)) for n in range(375)},
        "usr/lib/%d" % layer: text(1 << 20)}) for layer in range(4)))


def instructions(store, ref):
    config, out = store + ".json", store + ".callgrind"
    with open(config, "w", encoding="utf-8") as text:
        json.dump({"plugins": {"image_pull": {"path": os.path.join(LIBS, "image_pull.so")}}, "data-root": store}, text)
    done = subprocess.run(
        ["valgrind", "--tool=callgrind", "--callgrind-out-file=" + out, os.path.join(LIBS, "towline"), "--config", config,
         "pull", "--quiet", ref], env={**os.environ, "LD_LIBRARY_PATH": LIBS}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    return int(re.search(r"Collected : (\d+)", done.stderr)[1])


def measure():
    work = tempfile.mkdtemp(prefix="towline-smoke-")
    try:
        with httpd.Registry({"bench/smoke": {"1": image()}}) as registry:
            store, ref = os.path.join(work, "store"), registry.host + "/bench/smoke:1"
            return {"cold": instructions(store, ref), "noop": instructions(store, ref)}
    finally:
        shutil.rmtree(work)


def why_not():
    if not shutil.which("valgrind"):
        return "valgrind is not installed"
    if not os.path.exists(os.path.join(LIBS, "image_pull.so")):
        return "not built"
    with open(os.path.join(BUILD, "config.status"), encoding="utf-8") as text:
        config = text.read()
    flags = re.search(r'S\["CFLAGS"\]="(.*)"', config)[1]
    sanitizers = re.search(r'S\["SAN_CFLAGS"\]="(.*)"', config)[1]
    with open("/proc/cpuinfo", encoding="utf-8") as text:
        if " avx2 " not in text.read():
            return "the figure is for processors with AVX2"
    if platform.machine() != "x86_64" or flags != "-g -O2" or sanitizers or re.search(r'S\["CC"\]="(?!gcc)', config):
        return "the figure is for x86_64, gcc and -g -O2 without sanitizers"
    with open("/etc/os-release", encoding="utf-8") as text:
        if 'VERSION_ID="12"' not in text.read():
            return "the figure is for Debian 12"
    return None


def main():
    reason = why_not()
    if reason:
        tap.skip_all(reason)
    with open(FIGURES, encoding="utf-8") as text:
        figures = json.load(text)
    now = measure()
    if sys.argv[1:] == ["--record"]:
        with open(FIGURES, "w", encoding="utf-8") as out:
            json.dump(now, out, indent=1)
            out.write("\n")
        figures = now

    def within(kind):
        def case():
            share = now[kind] / figures[kind] - 1
            assert abs(share) <= TOLERANCE, "%s pull: %d instructions, %+.1f %% of %d; --record where that is meant" % (
                kind, now[kind], 100 * share, figures[kind])
        case.__doc__ = "%s pull: %d instructions, recorded %d" % (kind, now[kind], figures[kind])
        return case

    sys.exit(1 if tap.run("smoke", [within("cold"), within("noop")]) else 0)


if __name__ == "__main__":
    main()
