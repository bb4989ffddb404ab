#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A large layer of many small files, for those who have little: a memory cgroup of 64 MiB (the page cache counts in there), 64
descriptors, a stack of 256 KiB for the thread that pulls.

LIMITS_MIB and LIMITS_FILES say how large the layer is (default 64 and 5000; what the project promises is said for 1024 and
100000). TMPDIR is where the store lies: not in a tmpfs, whose files are memory."""
import ctypes
import hashlib
import json
import os
import random
import resource
import subprocess
import sys
import tarfile
import tempfile
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import httpd  # noqa: E402
import tap  # noqa: E402

BUILD = os.path.abspath(os.environ.get("top_builddir", "."))
LIBS = os.path.join(BUILD, ".libs")
PROGRAM, PLUGIN = os.path.join(LIBS, "towline"), os.path.join(LIBS, "image_pull.so")
MIB, FILES = int(os.environ.get("LIMITS_MIB", "64")), int(os.environ.get("LIMITS_FILES", "5000"))
CGROUP_MIB, DESCRIPTORS, STACK_KIB = 64, 64, 256
WAIT = 3600
TMPFS_MAGIC = 0x01021994


class Layer(httpd.Image):
    """FILES files in folders of 200, MIB all told, made piece by piece: nothing of it is there unpacked."""

    def __init__(self):
        chance, tar, packed = random.Random(3), hashlib.sha256(), []
        deflate = zlib.compressobj(1, zlib.DEFLATED, 31)
        size = (MIB << 20) // FILES
        filler = chance.randbytes(600)
        self.sum = hashlib.sha256()

        def add(piece):
            tar.update(piece)
            packed.append(deflate.compress(piece))
        for i in range(FILES):
            info = tarfile.TarInfo("many/%d/%d" % (i // 200, i))
            info.mtime, info.size = 1556668800, size
            data = (b"%d " % i + chance.randbytes(40) + filler * (size // 600 + 1))[:size]
            self.sum.update(data)
            add(info.tobuf(tarfile.USTAR_FORMAT) + data + bytes(-size % 512))
        add(bytes(1024))
        packed.append(deflate.flush())
        super().__init__()
        blob = b"".join(packed)
        self.layers, self.diff_ids = [httpd.digest_of(blob)], ["sha256:" + tar.hexdigest()]
        conf = json.dumps({"architecture": "amd64", "os": "linux", "config": {},
                           "rootfs": {"type": "layers", "diff_ids": self.diff_ids}}).encode()
        self.config = httpd.digest_of(conf)
        self.blobs = {self.config: conf, self.layers[0]: blob}
        self.manifest = json.dumps({
            "schemaVersion": 2, "mediaType": httpd.MANIFEST,
            "config": {"mediaType": httpd.CONFIG, "size": len(conf), "digest": self.config},
            "layers": [{"mediaType": httpd.LAYER, "size": len(blob), "digest": self.layers[0]}]}).encode()
        self.digest = httpd.digest_of(self.manifest)

    def check(self, tree):
        found = hashlib.sha256()
        for i in range(FILES):
            with open(os.path.join(tree, "many", str(i // 200), str(i)), "rb") as data:
                found.update(data.read())
        assert found.digest() == self.sum.digest(), "other contents"


class Cgroup:
    """A memory cgroup of either version. limit: bytes."""

    def __init__(self, limit):
        name = "towline-limits-%d" % os.getpid()
        v1 = "/sys/fs/cgroup/memory"
        self.v1 = os.path.exists(v1 + "/memory.limit_in_bytes")
        if not self.v1 and "memory" not in read("/sys/fs/cgroup/cgroup.controllers").split():
            raise tap.Skip("there is no memory cgroup here")
        self.path = os.path.join(v1 if self.v1 else "/sys/fs/cgroup", name)
        try:
            if not self.v1:
                write("/sys/fs/cgroup/cgroup.subtree_control", "+memory")
            os.mkdir(self.path)
            self.set("memory.limit_in_bytes" if self.v1 else "memory.max", limit)
            if not self.v1:
                write(os.path.join(self.path, "memory.swap.max"), "0")
        except OSError as why:
            if os.path.isdir(self.path):
                os.rmdir(self.path)
            raise tap.Skip("a memory cgroup cannot be made here: %s" % why)

    def set(self, name, value):
        write(os.path.join(self.path, name), str(value))

    def enter(self):
        write(os.path.join(self.path, "cgroup.procs"), "0")

    def peak_kib(self):
        path = os.path.join(self.path, "memory.max_usage_in_bytes" if self.v1 else "memory.peak")
        return int(read(path)) // 1024 if os.path.exists(path) else 0

    def kills(self):
        name = "memory.oom_control" if self.v1 else "memory.events"
        return dict(line.split() for line in read(os.path.join(self.path, name)).splitlines()).get("oom_kill", "0")

    def remove(self):
        os.rmdir(self.path)


def read(path):
    try:
        with open(path, encoding="ascii") as text:
            return text.read()
    except OSError:
        return ""


def write(path, text):
    with open(path, "w", encoding="ascii") as out:
        out.write(text)


def is_tmpfs(path):
    buf = ctypes.create_string_buffer(256)
    ctypes.CDLL(None).statfs(path.encode(), buf)
    return ctypes.c_long.from_buffer(buf).value == TMPFS_MAGIC


class Site:
    def __init__(self, work):
        self.work = work
        # where a sync costs nothing, if that is not to be measured
        self.quick = tempfile.mkdtemp(prefix="towline-limits-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else self.work)
        self.image = Layer()
        self.registry = httpd.Registry({"limits": {"1": self.image}})
        self.ref = self.registry.host + "/limits:1"
        self.n = 0

    def config(self, folder):
        self.n += 1
        root = os.path.join(folder, "root%d" % self.n)
        with open(root + ".json", "w", encoding="utf-8") as out:
            json.dump({"plugins": {"image_pull": {"path": PLUGIN}}, "data-root": root}, out)
        return root

    def run(self, command, limit=None):
        done = subprocess.run(command, env={**os.environ, "LD_LIBRARY_PATH": LIBS, "HOME": self.work}, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=WAIT, preexec_fn=limit)
        assert done.returncode == 0, "exit status %d: %s%s" % (done.returncode, done.stdout, done.stderr)
        return done.stdout

    def pull(self, limit, folder=None):
        """With the limit, and then looked at without it."""
        root = self.config(folder or self.quick)
        command = [PROGRAM, "--config", root + ".json"]
        self.run([*command, "pull", "--quiet", self.ref], limit)
        data = os.path.join(root, "layers", "data", self.image.diff_ids[0].replace(":", "."), "tree")
        self.image.check(data)
        self.run([*command, "fsck"])
        assert not os.listdir(os.path.join(root, "layers", "staging"))
        subprocess.run(["rm", "-rf", root], check=True)

    def close(self):
        self.registry.close()
        subprocess.run(["rm", "-rf", "--one-file-system", self.quick], check=True)


def memory_cgroup(site):
    """a memory cgroup of 64 MiB, in which the page cache counts: pulled, nobody killed"""
    if os.geteuid() != 0:
        raise tap.Skip("needs root, to make a cgroup")
    if is_tmpfs(site.work):
        raise tap.Skip("the store would lie in memory: TMPDIR")
    group = Cgroup(CGROUP_MIB << 20)
    try:
        site.pull(group.enter, site.work)
        assert group.kills() == "0", "killed for want of memory"
        print("#   %d MiB, %d files: %d KiB at most" % (MIB, FILES, group.peak_kib()))
        assert group.peak_kib() <= CGROUP_MIB << 10
    finally:
        group.remove()


def descriptors(site):
    """64 descriptors"""
    site.pull(lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS)))


def small_stack():
    # Of the first thread, and the default of those that a program starts.
    resource.setrlimit(resource.RLIMIT_STACK, (STACK_KIB << 10, STACK_KIB << 10))


def stack(site):
    """a stack of 256 KiB for the program's first thread"""
    site.pull(small_stack)


def stack_of_threads(site):
    """a stack of 256 KiB for a thread that pulls"""
    program = os.path.join(BUILD, "tests", "faults", ".libs", "crowd")
    program = program if os.path.exists(program) else program.replace(".libs/", "")
    if not os.path.exists(program):
        raise tap.Skip("not built: tests/faults/crowd")
    root = site.config(site.quick)
    os.mkdir(root)
    site.run([program, "many", "1", "2", root + ".json", root, site.ref], small_stack)
    subprocess.run(["rm", "-rf", root], check=True)


CASES = [memory_cgroup, descriptors, stack, stack_of_threads]

if __name__ == "__main__":
    tap.needs(built=(PROGRAM, PLUGIN), sanitizers="sanitizers need memory and stacks of their own")
    tap.main("limits", CASES, Site)
