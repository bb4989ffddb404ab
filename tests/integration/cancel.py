#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A pull that is cancelled ends soon, wherever it is: SIGTERM in each phase, in which it would stay for minutes. It has SOON seconds,
far more than it needs, for the sake of busy machines; then nothing is left in the store but what is whole.

    cancel.py [CASE...]"""
import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "faults")]
import faults  # noqa: E402
import httpd  # noqa: E402
import images  # noqa: E402
import tap  # noqa: E402
from tap import check  # noqa: E402

BUILD = os.path.abspath(os.environ.get("top_builddir", "."))
PROGRAM = os.path.join(BUILD, ".libs", "towline")
PLUGIN = os.path.join(BUILD, ".libs", "image_pull.so")
UNPACKER = os.path.join(BUILD, "towline-unpack")
SOON = 10
LONG = 120


class Registry(httpd.Registry):
    """hold: the phase whose request is not answered. broken: blobs break off. slow: they stop half way."""
    hold = realm = None
    broken = slow = False

    def __init__(self, stored):
        self.reached, self.over = threading.Event(), threading.Event()
        super().__init__(stored)

    def held(self, phase):
        if self.hold == phase:
            self.reached.set()
            self.over.wait(LONG)

    def guard(self, request):
        if self.realm and request.headers.get("authorization") != "Bearer t":
            return httpd.Answer.error(401, "UNAUTHORIZED", "authentication required", headers=[
                ("Www-Authenticate", 'Bearer realm="%s",service="s"' % self.realm)])
        return None

    def ping(self, request):
        self.held("ping")
        return super().ping(request)

    def manifest(self, request, repo, reference, image):
        self.held("manifest")
        return super().manifest(request, repo, reference, image)

    def blob(self, request, repo, digest, data):
        configuration = any(image.config == digest for image in self.stored[repo].values())
        self.held("configuration" if configuration else "blob")
        if configuration:
            return super().blob(request, repo, digest, data)
        if self.slow:
            self.reached.set()
            return httpd.part_of(request, data, wait=self.over)
        return httpd.part_of(request, data, cut=len(data) // 2 if self.broken else None)

    def answer(self, request):
        if request.path == "/token":
            self.held("token")
            return httpd.Answer(200, {"token": "t"}, [("Content-Type", "application/json")])
        return super().answer(request)

    def close(self):
        self.over.set()
        super().close()


class Deaf:
    """Takes connections and says nothing on them."""

    def __init__(self):
        self.reached, self.taken = threading.Event(), []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.host = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                taken = self.listener.accept()[0]
            except OSError:
                return
            self.taken.append(taken)
            if taken.recv(1) == b"\x16":  # a handshake
                self.reached.set()

    def close(self):
        for s in [self.listener, *self.taken]:
            s.close()


def endless_layer():
    """A small blob of millions of entries that replace each other."""
    info = tarfile.TarInfo("a")
    return gzip.compress(info.tobuf() * (1 << 17), 1, mtime=0) * 200


class Site:
    def __init__(self, work):
        self.work = work
        self.env = {**os.environ, "LD_LIBRARY_PATH": os.path.join(BUILD, ".libs"), "HOME": self.work}
        self.number = 0
        noise = [images.tar_of({"noise%d" % i: os.urandom(300000)}) for i in range(2)]
        self.image = httpd.Image(*noise)
        big = httpd.Image(images.tar_of({"small": b"1"}))
        self.big = json.loads(big.manifest)
        blob = endless_layer()
        self.big["layers"][0].update({"size": len(blob), "digest": httpd.digest_of(blob)})
        big.blobs[httpd.digest_of(blob)] = blob
        big.manifest = json.dumps(self.big).encode()
        self.stored = {"app": {"1": self.image, "big": big}}

    def registry(self, **how):
        registry = Registry(self.stored)
        for name, value in how.items():
            setattr(registry, name, value)
        return registry

    def store(self, **more):
        self.number += 1
        path = os.path.join(self.work, "store%d" % self.number)
        conf = {"plugins": {"image_pull": {"path": PLUGIN}}, "data-root": path, "limits": {"connect-timeout-ms": LONG * 1000},
                "network": {"tls-timeout-ms": LONG * 1000}, **more}
        with open(path + ".json", "w", encoding="utf-8") as out:
            json.dump(conf, out)
        return path

    def start(self, store, ref, **env):
        return Pull([PROGRAM, "--config", store + ".json", "pull", "--progress", "plain", ref], {**self.env, **env})

    def sound(self, store):
        done = subprocess.run([PROGRAM, "--config", store + ".json", "fsck", "--deep"], env=self.env, text=True, timeout=300,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        check(done.returncode == 0, done.stdout)
        left = os.listdir(os.path.join(store, "layers", "staging"))
        check(not left, left)


class Pull:
    def __init__(self, args, env):
        self.proc = subprocess.Popen(args, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.lines = []
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.proc.stdout:
            self.lines.append(line)

    def said(self, text):
        return any(text in line for line in list(self.lines))

    def await_(self, condition, what):
        end = time.monotonic() + 60
        while not condition():
            check(self.proc.poll() is None, "it has ended before: %s\n%s" % (what, "".join(self.lines)))
            check(time.monotonic() < end, "not reached: %s\n%s" % (what, "".join(self.lines)))
            time.sleep(0.01)

    def cancel(self, number=signal.SIGTERM, before=None, codes=()):
        """It ends in time, counted from what before does behind the signal."""
        self.proc.send_signal(number)
        if before:
            before()
        begin = time.monotonic()
        try:
            code = self.proc.wait(LONG)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        took = time.monotonic() - begin
        self.reader.join(10)
        check(code in (1, 128 + number, *codes), "%d: %s" % (code, "".join(self.lines)))
        check(took < SOON, "it took %.1f s: %s" % (took, "".join(self.lines[-5:])))
        print("#   ended after %.2f s" % took)

    def kill(self):
        self.proc.kill()
        self.proc.wait()


def cancel_when(site, store, ref, condition, what, registry=None):
    pull = site.start(store, ref)
    try:
        pull.await_(lambda: condition(pull), what)
        pull.cancel()
    finally:
        pull.kill()
        if registry:
            registry.close()
    site.sound(store)


def syn_sent(pid, port):
    """Has the process a connection to there that is not answered?"""
    with open("/proc/net/tcp", encoding="ascii") as f:
        lines = [line.split() for line in f.readlines()[1:]]
    asked = {"socket:[%s]" % line[9] for line in lines if line[2].endswith(":%04X" % port) and line[3] == "02"}
    folder = "/proc/%d/fd" % pid
    try:
        return any(os.readlink(os.path.join(folder, fd)) in asked for fd in os.listdir(folder))
    except FileNotFoundError:  # one that was closed meanwhile
        return False


# ---- cases

IN_NAMESPACE = r'''
import json, os, socket, subprocess, sys
hole = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
hole.bind(("127.0.0.1", 53))
hole.settimeout(60)
proc = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
hole.recv(1)  # it has asked
print(proc.pid, flush=True)
out, _ = proc.communicate()
print(json.dumps([proc.returncode, out]), flush=True)
'''


def name_lookup(site):
    """a name is being looked up, and no server answers"""
    resolv, store = os.path.join(site.work, "resolv.conf"), site.store()
    with open(resolv, "w", encoding="ascii") as out:
        out.write("nameserver 127.0.0.1\noptions timeout:30 attempts:5\n")
    how = ["unshare", "-mn"] + ([] if os.geteuid() == 0 else ["-r"])
    if subprocess.run([*how, "ip", "link", "set", "lo", "up"], stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode:
        raise tap.Skip("no network namespace can be had")
    script = 'ip link set lo up && mount --bind "$0" /etc/resolv.conf && exec "$@"'
    outer = subprocess.Popen([*how, "sh", "-c", script, resolv, sys.executable, "-c", IN_NAMESPACE, PROGRAM, "--config",
                              store + ".json", "pull", "registry.invalid/app:1"],
                             env=site.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    pid = int(outer.stdout.readline())
    begin = time.monotonic()
    os.kill(pid, signal.SIGTERM)
    code, said = json.loads(outer.stdout.readline())
    took = time.monotonic() - begin
    outer.wait(60)
    check(code == 1, "%d: %s" % (code, said))
    check(took < SOON, "it took %.1f s: %s" % (took, said))
    print("#   ended after %.2f s" % took)


def connecting(site):
    """nobody takes the connection"""
    with httpd.Silent() as silent:
        port = int(silent.host.rpartition(":")[2])
        cancel_when(site, site.store(), silent.host + "/app:1", lambda pull: syn_sent(pull.proc.pid, port), "connecting")


def handshake(site):
    """nobody answers the TLS handshake"""
    deaf = Deaf()
    cancel_when(site, site.store(), deaf.host + "/app:1", lambda pull: deaf.reached.is_set(), "a handshake", deaf)


def requests(site):
    """ping, token, manifest, configuration, blob: the request is not answered"""
    for phase in "ping token manifest configuration blob".split():
        registry = site.registry(hold=phase)
        if phase == "token":
            registry.realm = registry.url + "/token"
        print("# " + phase)
        cancel_when(site, site.store(), registry.host + "/app:1", lambda pull, r=registry: r.reached.is_set(), phase, registry)


def body(site):
    """a blob stops half way, kept for the next pull or not"""
    for resume in (False, True):
        registry = site.registry(slow=True)
        cancel_when(site, site.store(resume=resume), registry.host + "/app:1", lambda pull, r=registry: r.reached.is_set(), "a body",
                    registry)


def countdown(site):
    """blobs break off: a retry is counted down to"""
    registry = site.registry(broken=True)
    cancel_when(site, site.store(), registry.host + "/app:1", lambda pull: pull.said("Retrying in"), "a countdown", registry)


def dead_registry(site):
    """the registry has died meanwhile: a retry is counted down to"""
    registry = site.registry(hold="blob")
    store = site.store()
    pull = site.start(store, registry.host + "/app:1")
    try:
        pull.await_(registry.reached.is_set, "a blob")
        registry.broken = True
        registry.close()
        pull.await_(lambda: pull.said("Retrying in 5 seconds"), "a countdown")
        pull.await_(lambda: pull.said("Retrying in 9 seconds"), "a second countdown")
        pull.cancel()
    finally:
        pull.kill()
    site.sound(store)


def slot(site):
    """a layer waits for its turn"""
    registry = site.registry(hold="blob")
    cancel_when(site, site.store(**{"max-concurrent-downloads": 1}), registry.host + "/app:1",
                lambda pull: registry.reached.is_set() and pull.said("Waiting"), "a wait", registry)


def bounded(site):
    """layers wait for buffers and connections"""
    registry = site.registry(hold="blob")
    store = site.store(limits={"max-buffer-memory": 262144, "max-connections": 1})
    cancel_when(site, store, registry.host + "/app:1", lambda pull: registry.reached.is_set(), "a wait", registry)


def another_pull(site):
    """another process brings the same layers: this one waits for it"""
    registry, store = site.registry(hold="blob"), site.store()
    first = site.start(store, registry.host + "/app:1")
    try:
        first.await_(registry.reached.is_set, "a blob")
        second = site.start(store, registry.host + "/app:1")
        try:
            second.await_(lambda: second.said("Pulling fs layer"), "layers")
            time.sleep(0.5)  # it may not be there yet, but then this is another phase's case once more
            second.cancel()
        finally:
            second.kill()
        first.cancel(signal.SIGINT)
    finally:
        first.kill()
        registry.close()
    site.sound(store)


def unpacking(site):
    """a layer of millions of entries is unpacked, here or by the confined unpacker"""
    for more in ({}, {"confine": True, "unpacker": UNPACKER}):
        registry, store = site.registry(), site.store(**more)
        staging = os.path.join(store, "layers", "staging")

        def begun(pull, staging=staging):
            return os.path.isdir(staging) and any(
                os.path.isdir(os.path.join(staging, name, "tree")) and os.listdir(os.path.join(staging, name, "tree"))
                for name in os.listdir(staging))
        cancel_when(site, store, registry.host + "/app:big", begun, "unpacking", registry)


def syncing(site):
    """each sync of a pull: it can't be interrupted, but what follows does not begin, or is quickly done"""
    if os.environ.get("SANITIZERS"):
        raise tap.Skip("sanitizers will not have another library before them")
    registry = site.registry()
    strike = faults.Strike(os.path.join(site.work, "strike"))

    def struck():
        return strike.map[24:28] != bytes(4)
    try:
        for number in range(1, 100):
            store = site.store()
            strike.arm("sync", number, faults.HOLD)
            pull = site.start(store, registry.host + "/app:1", LD_PRELOAD=faults.STRIKE, STRIKE_STATE=strike.path)
            try:
                while not struck() and pull.proc.poll() is None:
                    time.sleep(0.005)
                if not struck():
                    check(number > 5 and pull.proc.wait() == 0, "number %d: %s" % (number, "".join(pull.lines)))
                    return
                pull.cancel(before=strike.disarm, codes=(0,))
            finally:
                strike.disarm()
                pull.kill()
            site.sound(store)
    finally:
        registry.close()


CASES = [name_lookup, connecting, handshake, requests, body, countdown, dead_registry, slot, bounded, another_pull, unpacking,
         syncing]

if __name__ == "__main__":
    tap.needs(built=(PROGRAM, PLUGIN, UNPACKER))
    tap.main("cancel", CASES, Site)
