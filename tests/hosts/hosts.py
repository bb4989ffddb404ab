#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Hosts that know image_pull.h and nothing else pull recorded images through the plugin: a plain and a staging layer
store, an image that has one layer twice, and hosts that are older and newer than the plugin. One case for each."""
import json
import os
import shutil
import subprocess
import sys
import tempfile

top = os.environ.get("top_srcdir") or os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
build = os.environ.get("top_builddir") or os.getcwd()
vectors = os.path.join(top, "tests", "vectors")
plugin = os.path.join(build, ".libs", "image_pull.so")
SCENARIOS = ["success_tag", "duplicate_layers", "list_default", "blob_truncated_resume"]
HOSTS = [["plain_host"], ["staging_host"], ["border_host", "old"], ["border_host", "new"]]


def pull(scenario, host, tls):
    """What the host printed, line by line, and its exit status."""
    registry = subprocess.Popen(
        [sys.executable, os.path.join(vectors, "registry.py"), scenario, "--tls", tls, "--log", os.devnull],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        addr = json.loads(registry.stdout.readline())["r1"]["addr"]
        ref = addr + "/team/app:v1"
        command = [os.path.join(build, "tests", "hosts", host[0])] + host[1:] + [plugin, ref]
        r = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
        return r.stdout.decode("utf-8", "replace").splitlines(), r.returncode
    finally:
        registry.stdin.close()
        registry.wait()
        registry.stdout.close()


def judge(host, expected, lines, status):
    """What is wrong, or None."""
    if status != 0:
        return "exit status %d" % status
    images = [line.split()[1] for line in lines if line.startswith(("image ", "id "))][-1:]
    if images != expected["images"]:
        return "image %s instead of %s" % (images, expected["images"])
    if host[0] != "border_host":
        layers = [line.split()[1] for line in lines if line.startswith("layer ")]
        if sorted(layers) != sorted(expected["layers"]):
            return "layers %s instead of %s" % (layers, expected["layers"])
    return None


def main():
    if not os.path.exists(plugin):
        print("1..0 # SKIP the plugin is not built")
        return 77
    tls = tempfile.mkdtemp()
    failed = n = 0
    print("1..%d" % (len(SCENARIOS) * len(HOSTS)))
    try:
        for name in SCENARIOS:
            path = os.path.join(vectors, "scenarios", name + ".json")
            with open(path, encoding="utf-8") as f:
                expected = json.load(f)["expected"]
            for host in HOSTS:
                n += 1
                lines, status = pull(path, host, tls)
                wrong = judge(host, expected, lines, status)
                failed += wrong is not None
                print("%s %d - hosts: %s pulls %s" % ("not ok" if wrong else "ok", n, " ".join(host), name))
                if wrong:
                    print("#   " + wrong)
                    for line in lines:
                        print("#   | " + line)
    finally:
        shutil.rmtree(tls)
    return 1 if failed else 0


sys.exit(main())
