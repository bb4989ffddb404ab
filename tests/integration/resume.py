#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
""""resume": true: what a later process makes of the blobs that an earlier one did not bring home."""
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import httpd  # noqa: E402
import images  # noqa: E402
import tap  # noqa: E402

BUILD = os.path.abspath(os.environ.get("top_builddir", "."))
PROGRAM = os.path.join(BUILD, ".libs", "towline")
PLUGIN = os.path.join(BUILD, ".libs", "image_pull.so")
MIB = 1 << 20


class Registry(httpd.Registry):
    """Blobs can be held up at a byte until release is set; then their connection breaks."""

    def __init__(self):
        self.release, self.stop_at = threading.Event(), {}
        super().__init__({"big": {}})

    def blob(self, request, repo, digest, data):
        begin = start_of(request)
        stop = self.stop_at.get(digest)
        if stop is None:
            return httpd.part_of(request, data)
        return httpd.part_of(request, data, cut=stop - begin, wait=self.release, half=stop - begin)


def start_of(request):
    asked = re.fullmatch(r"bytes=(\d+)-", request.headers.get("range", ""))
    return int(asked[1]) if asked else 0


class Site:
    def __init__(self, work):
        self.work = work
        self.random = random.Random(7)
        self.number = 0
        self.registry = Registry()
        self.env = {**os.environ, "LD_LIBRARY_PATH": os.path.join(BUILD, ".libs")}

    def layers(self, tag, sizes):
        return [images.tar_of({"%s/%d/%d" % (tag, i, n): self.random.randbytes(MIB) for n in range(size)})
                for i, size in enumerate(sizes)]

    def image(self, tag, sizes):
        """Layers of about so many MiB. Returns (reference, digests, sizes of the blobs)."""
        return self.image_of(tag, self.layers(tag, sizes))

    def image_of(self, tag, tars):
        image = httpd.Image(*tars)
        self.registry.stored["big"][tag] = image
        return (self.registry.host + "/big:" + tag, image.layers, [len(image.blobs[d]) for d in image.layers])

    def store(self, **more):
        self.number += 1
        path = os.path.join(self.work, "store%d" % self.number)
        with open(path + ".json", "w", encoding="utf-8") as out:
            json.dump({"plugins": {"image_pull": {"path": PLUGIN}}, "data-root": path, "resume": True, **more}, out)
        return path

    def start(self, store, *args):
        return subprocess.Popen([PROGRAM, "--config", store + ".json", *args], env=self.env, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def run(self, store, *args):
        proc = self.start(store, *args)
        out, _ = proc.communicate(timeout=120)
        assert proc.returncode == 0, "towline %s: %d\n%s" % (" ".join(args), proc.returncode, out)
        return out

    def interrupted(self, store, image, share, number=signal.SIGKILL):
        """A pull that ends when so much of the first layer is here. What the store has of it."""
        ref, digests, sizes = image
        self.hold(digests[0], int(sizes[0] * share))
        proc = self.start(store, "pull", "--quiet", ref)
        wait_for(lambda: size_of(store, digests[0]) >= int(sizes[0] * share))
        time.sleep(0.1)
        proc.send_signal(number)
        proc.communicate(timeout=30)
        self.let_go()
        self.registry.forget()
        return offset_of(store, digests[0])

    def hold(self, digest, at):
        self.registry.release.clear()
        self.registry.stop_at = {digest: at}

    def let_go(self):
        self.registry.stop_at = {}
        self.registry.release.set()

    def requests(self, digest):
        """From which byte on it was asked for, each time."""
        with self.registry.lock:
            return [start_of(r) for r in self.registry.requests if r.path.endswith(digest)]

    def check(self, store, image):
        """The image is whole and right, nothing is kept any more."""
        self.run(store, "fsck", "--deep")
        assert not os.listdir(os.path.join(store, "partial")), os.listdir(os.path.join(store, "partial"))
        assert not os.listdir(os.path.join(store, "layers", "staging"))
        assert image[0].rsplit("/")[-1].split(":")[1] in self.run(store, "images")

    def close(self):
        self.let_go()
        self.registry.close()


def wait_for(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.01)


def partial(store, digest, suffix=""):
    return os.path.join(store, "partial", digest.replace(":", ".") + suffix)


def size_of(store, digest):
    try:
        return os.path.getsize(partial(store, digest))
    except FileNotFoundError:
        return 0


def offset_of(store, digest):
    with open(partial(store, digest, ".state"), encoding="utf-8") as text:
        state = dict(line.split(" ", 1) for line in text.read().splitlines() if " " in line)
    return int(state["offset"])


def killed(site):
    """killed at 90 % of a layer: the next pull fetches the rest only"""
    image = site.image("killed", [20, 1])
    store = site.store()
    have = site.interrupted(store, image, 0.9)
    size = image[2][0]
    assert 0.9 * size - 2 * MIB <= have <= 0.9 * size, (have, size)
    site.run(store, "pull", "--quiet", image[0])
    assert site.requests(image[1][0]) == [have], site.requests(image[1][0])
    site.check(store, image)


def twice(site):
    """interrupted twice, by a signal that it handles: no byte is fetched again"""
    image = site.image("twice", [8])
    store = site.store()
    first = site.interrupted(store, image, 0.4, signal.SIGINT)
    assert first == int(image[2][0] * 0.4), first
    second = site.interrupted(store, image, 0.7, signal.SIGTERM)
    assert second == int(image[2][0] * 0.7), second
    site.run(store, "pull", "--quiet", image[0])
    assert site.requests(image[1][0]) == [second]
    site.check(store, image)


def taken_over(site):
    """two processes, the first one killed: the other goes on where it was, on another parent; each blob comes once"""
    shared, bottom = site.layers("shared", [6, 2]), site.layers("bottom", [1])
    one, two = site.image_of("one", shared), site.image_of("two", bottom + shared[::-1])
    store = site.store()
    digest, size = one[1][0], one[2][0]
    site.hold(digest, int(size * 0.6))
    first = site.start(store, "pull", "--quiet", one[0])
    wait_for(lambda: size_of(store, digest) >= int(size * 0.6))
    second = site.start(store, "pull", "--quiet", two[0])
    wait_for(lambda: site.requests(two[1][0]))
    first.kill()
    first.communicate()
    site.let_go()
    out, _ = second.communicate(timeout=60)
    assert second.returncode == 0, out
    starts = site.requests(digest)
    assert len(starts) == 2 and starts[0] == 0 and 0.6 * size - 2 * MIB <= starts[1] <= 0.6 * size, starts
    assert [site.requests(d) for d in two[1][:2]] == [[0], [0]]
    site.run(store, "pull", "--quiet", one[0])
    assert len(site.requests(digest)) == 2
    site.check(store, one)
    site.check(store, two)


def all_of_it(site):
    """every byte was there, but the process died: nothing is asked for again"""
    image = site.image("whole", [3])
    store = site.store()
    site.interrupted(store, image, 0.9, signal.SIGINT)
    digest, size = image[1][0], image[2][0]
    content = site.registry.stored["big"]["whole"].blobs[digest]
    with open(partial(store, digest), "wb") as out:
        out.write(content)
    with open(partial(store, digest, ".state"), "w", encoding="utf-8") as out:
        out.write("towline-partial 1\nurl \netag \nsize %d\noffset %d\ndigest %s\nend\n" % (size, size, digest))
    site.run(store, "pull", "--quiet", image[0])
    assert not site.requests(digest), site.requests(digest)
    site.check(store, image)


def damaged(site):
    """a byte that changed, a file cut short, a state that makes no sense: all of it is fetched again"""
    image = site.image("damaged", [4])
    digest = image[1][0]

    def flip(store):
        with open(partial(store, digest), "r+b") as data:
            data.seek(12345)
            byte = data.read(1)
            data.seek(12345)
            data.write(bytes([byte[0] ^ 1]))

    def cut(store):
        os.truncate(partial(store, digest), 1000)

    def state(text):
        def write(store):
            with open(partial(store, digest, ".state"), "wb") as out:
                out.write(text)
        return write

    for damage in (flip, cut, state(b""), state(b"\0" * 300), state(b"x" * 20000),
                   state(b"towline-partial 1\noffset 5\ndigest sha256:zz\nend\n"),
                   state(b"towline-partial 1\nsize 7\noffset 5\ndigest " + digest.encode() + b"\nend\n"),
                   state(b"towline-partial 1\nsize %d\noffset -1\ndigest " % image[2][0] + digest.encode() + b"\nend\n")):
        store = site.store()
        site.interrupted(store, image, 0.6, signal.SIGINT)
        damage(store)
        site.run(store, "pull", "--quiet", image[0])
        assert site.requests(digest) == [0], site.requests(digest)
        site.check(store, image)
        subprocess.run(["rm", "-rf", store], check=True)


def link(site):
    """a symlink in place of a kept blob is not followed"""
    image = site.image("link", [2])
    store = site.store()
    victim = os.path.join(site.work, "victim")
    with open(victim, "w", encoding="utf-8") as out:
        out.write("mine")
    site.run(store, "pull", "--quiet", site.image("other", [1])[0])
    os.symlink(victim, partial(store, image[1][0]))
    site.run(store, "pull", "--quiet", image[0])
    with open(victim, encoding="utf-8") as text:
        assert text.read() == "mine"
    site.run(store, "fsck", "--deep")


def limits(site):
    """the quota makes the oldest go, age the old ones; without "resume" nothing is kept"""
    one, two, three = (site.image("limit%d" % i, [6]) for i in range(3))
    store = site.store(**{"resume-quota": 10 * MIB, "resume-max-age": 1000})
    site.interrupted(store, one, 0.7, signal.SIGINT)
    site.interrupted(store, two, 0.7, signal.SIGINT)
    assert not os.path.exists(partial(store, one[1][0])), "over the quota"
    assert os.path.exists(partial(store, two[1][0]))
    long_ago = time.time() - 2000
    os.utime(partial(store, two[1][0]), (long_ago, long_ago))
    site.interrupted(store, three, 0.2, signal.SIGINT)
    assert not os.path.exists(partial(store, two[1][0])), "too old"
    small = site.store(**{"resume-quota": 3 * MIB})
    site.run(small, "pull", "--quiet", one[0])
    site.check(small, one)
    off = site.store(resume=False)
    site.run(off, "pull", "--quiet", one[0])
    assert not os.path.exists(os.path.join(off, "partial"))


def pruned(site):
    """prune names what is kept and removes it; not what is being written"""
    image = site.image("pruned", [3])
    digest = image[1][0]
    store = site.store()
    site.interrupted(store, image, 0.5, signal.SIGINT)
    with open(partial(store, digest, ".state.new"), "w", encoding="utf-8") as out:
        out.write("half a state")  # its writer was killed
    assert "Deleted partial blob: " + digest in site.run(store, "prune", "--dry-run")
    assert os.path.exists(partial(store, digest))
    assert "Deleted partial blob: " + digest in site.run(store, "prune")
    assert not os.listdir(os.path.join(store, "partial"))
    site.hold(digest, image[2][0] // 2)
    proc = site.start(store, "pull", "--quiet", image[0])
    wait_for(lambda: size_of(store, digest) >= image[2][0] // 2)
    out = site.run(store, "prune")
    assert "partial" not in out and os.path.exists(partial(store, digest)), out
    proc.send_signal(signal.SIGINT)
    proc.communicate(timeout=30)
    site.let_go()


CASES = [killed, twice, taken_over, all_of_it, damaged, link, limits, pruned]

if __name__ == "__main__":
    tap.needs(built=(PROGRAM, PLUGIN))
    tap.main("resume", CASES, Site)
