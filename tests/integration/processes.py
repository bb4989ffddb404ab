#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Many processes on one store, some of which die: what the registry is asked for, and what is left behind.

INTERRUPTS says how many random moments are tried (default 20)."""
import json
import os
import random
import re
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import images  # noqa: E402
import tap  # noqa: E402

BUILD = os.path.abspath(os.environ.get("top_builddir", "."))
PROGRAM = os.path.join(BUILD, ".libs", "towline")
PLUGIN = os.path.join(BUILD, ".libs", "image_pull.so")
INTERRUPTS = int(os.environ.get("INTERRUPTS", "20"))
GET = re.compile(r'"GET /v2/\S+/blobs/(sha256:\w+) HTTP/1.1" (\d+) (\d+)')


class Site:
    def __init__(self, work):
        self.work = work
        self.registry = images.Registry(self.work, "registry")
        self.layout = images.Layout(os.path.join(self.work, "layout"))
        self.seed = random.randrange(1 << 30)
        self.random = random.Random(self.seed)
        self.number = 0
        self.env = {**os.environ, "LD_LIBRARY_PATH": os.path.join(BUILD, ".libs")}

    def layer(self, name, files, size):
        return images.tar_of({"%s/%d" % (name, i): self.random.randbytes(size) for i in range(files)})

    def image(self, name, layers):
        descriptor = self.layout.image(layers)
        self.layout.name(descriptor, name)
        self.registry.push("oci:%s:%s" % (self.layout.path, name), "many:" + name)
        manifest = json.loads(open(os.path.join(self.layout.path, "blobs", *descriptor["digest"].split(":")), "rb").read())
        return "%s/many:%s" % (self.registry.host, name), [layer["digest"] for layer in manifest["layers"]]

    def store(self):
        self.number += 1
        path = os.path.join(self.work, "store%d" % self.number)
        with open(path + ".json", "w", encoding="utf-8") as out:
            json.dump({"plugins": {"image_pull": {"path": PLUGIN}}, "data-root": path}, out)
        return path

    def start(self, store, *args):
        return subprocess.Popen([PROGRAM, "--config", store + ".json", *args], env=self.env, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def run(self, store, *args):
        proc = self.start(store, *args)
        out, err = proc.communicate(timeout=120)
        assert proc.returncode == 0, "towline %s: %d\n%s" % (" ".join(args), proc.returncode, (err + out).decode())
        return out.decode()

    def mark(self):
        """The log's end. What was asked for is in it once its answer has ended."""
        time.sleep(0.3)
        return os.path.getsize(self.registry.log)

    def asked(self, since):
        """[(digest, bytes)] of the blobs that were asked for."""
        time.sleep(0.3)
        with open(self.registry.log, errors="replace") as log:
            log.seek(since)
            return [(m[1], int(m[3])) for m in GET.finditer(log.read())]

    def contents(self, store, ref):
        self.number += 1
        to = os.path.join(self.work, "rootfs%d" % self.number)
        self.run(store, "rootfs", ref, to)
        found = {}
        for at, _, files in os.walk(to):
            for name in files:
                with open(os.path.join(at, name), "rb") as data:
                    found[os.path.relpath(os.path.join(at, name), to)] = hash(data.read())
        subprocess.run(["rm", "-rf", to], check=True)
        return found

    def expect_as_alone(self, store, *refs):
        """The images are as in a store that one process filled, one after another."""
        alone = self.store()
        for ref in refs:
            self.run(alone, "pull", "--quiet", ref)
            assert self.contents(store, ref) == self.contents(alone, ref), ref

    def left(self, store):
        """What lies in staging and locks."""
        return [name for folder in ("staging", "locks")
                for name in os.listdir(os.path.join(store, "layers", folder))]

    def close(self):
        self.registry.close()


def overlapping(site, tag):
    """Two images with the same layers on other parents, and one of its own each."""
    shared = [site.layer("s%d" % i, 20, 200000) for i in range(4)]
    one = site.image(tag + "1", [site.layer("one", 5, 100000)] + shared)
    two = site.image(tag + "2", [site.layer("two", 5, 100000)] + shared[::-1])
    return one, two


def at_once(site):
    """two processes pull overlapping images: every blob is fetched once"""
    (one, layers1), (two, layers2) = overlapping(site, "a")
    store = site.store()
    since = site.mark()
    procs = [site.start(store, "pull", "--quiet", ref) for ref in (one, two)]
    for proc in procs:
        _, err = proc.communicate(timeout=120)
        assert proc.returncode == 0, err.decode()
    asked = [digest for digest, _ in site.asked(since) if digest in layers1 + layers2]
    assert sorted(asked) == sorted(set(layers1 + layers2)), "asked for %r" % asked
    site.run(store, "fsck", "--deep")
    assert not site.left(store), site.left(store)
    site.expect_as_alone(store, one, two)


def first_killed(site):
    """the first is killed in the middle: the other one takes over, only what was in flight is fetched again"""
    (one, layers1), (two, layers2) = overlapping(site, "b")
    for delay in (0.05, 0.15, 0.3):
        store = site.store()
        since = site.mark()
        first, second = (site.start(store, "pull", "--quiet", ref) for ref in (one, two))
        time.sleep(delay)
        first.kill()
        first.communicate()
        _, err = second.communicate(timeout=120)
        assert second.returncode == 0, err.decode()
        asked = [digest for digest, _ in site.asked(since) if digest in layers1 + layers2]
        again = [digest for digest in set(asked) if asked.count(digest) > 1]
        assert len(again) <= 3, "more than was in flight was fetched twice: %r" % again
        site.run(store, "fsck", "--deep")
        # What the dead one brought home whole is not fetched again.
        since = site.mark()
        site.run(store, "pull", "--quiet", one)
        assert not {digest for digest, _ in site.asked(since)} & set(layers2), "fetched what was there"
        assert not site.left(store), site.left(store)
        site.expect_as_alone(store, one, two)


def interrupted(site):
    """Ctrl-C and kill -9 at random moments: fsck is clean, nothing is left over, only what is missing is fetched"""
    ref, layers = site.image("c", [site.layer("l%d" % i, 30, 50000) for i in range(6)])
    whole = site.store()
    begin = time.monotonic()
    site.run(whole, "pull", "--quiet", ref)
    takes = time.monotonic() - begin
    want = site.contents(whole, ref)
    for i in range(INTERRUPTS):
        store = site.store()
        proc = site.start(store, "pull", "--quiet", ref)
        moment = site.random.uniform(0, 1.2 * takes)
        time.sleep(moment)
        proc.send_signal(signal.SIGKILL if i % 2 else signal.SIGINT)
        proc.communicate(timeout=60)
        where = "seed %d, try %d, after %.3f s" % (site.seed, i, moment)
        site.run(store, "images")
        layers_dir = os.path.join(store, "layers")
        site.run(store, "fsck", "--deep")
        have = set()
        blobs = os.path.join(layers_dir, "blobs")
        for name in os.listdir(blobs) if os.path.exists(blobs) else ():
            have.add(name.replace(".", ":"))
        since = site.mark()
        site.run(store, "pull", "--quiet", ref)
        asked = {digest for digest, _ in site.asked(since)} & set(layers)
        assert asked == set(layers) - have, "%s: had %d layers, asked for %d" % (where, len(have), len(asked))
        assert not site.left(store), "%s: %r left" % (where, site.left(store))
        site.run(store, "fsck", "--deep")
        assert site.contents(store, ref) == want, where
        subprocess.run(["rm", "-rf", store], check=True)


CASES = [at_once, first_killed, interrupted]

if __name__ == "__main__":
    tap.needs("docker-registry", "skopeo", built=(PROGRAM, PLUGIN))
    tap.main("processes", CASES, Site)
