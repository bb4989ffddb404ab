#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What engine.json's "limits" bound: entries of a layer, memory of buffers, connections. Each with the limit on and just below."""
import json
import os
import random
import socket
import subprocess
import sys
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import httpd  # noqa: E402
import images  # noqa: E402
import tap  # noqa: E402
from tap import check  # noqa: E402

BUILD = os.path.abspath(os.environ.get("top_builddir", "."))
PROGRAM = os.path.join(BUILD, ".libs", "towline")
PLUGIN = os.path.join(BUILD, ".libs", "image_pull.so")
UNPACKER = os.path.join(BUILD, "towline-unpack")
LAYERS = 16


def ended(sock):
    """Has the client closed it? Its thread may not have noticed."""
    try:
        return sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


class CountingServer(httpd.QuietServer):
    """How many connections the client had at most."""

    def process_request(self, request, client_address):
        owner = self.owner
        with owner.lock:
            owner.sockets = [s for s in owner.sockets if s.fileno() >= 0 and not ended(s)] + [request]
            owner.most = max(owner.most, len(owner.sockets))
        super().process_request(request, client_address)


class Registry(httpd.Registry):
    """together: so many blobs are asked for before any is answered. elsewhere: where blobs are. realm: a token is asked for."""
    most = together = inside = 0
    elsewhere = realm = None

    def __init__(self, stored, **more):
        self.sockets = []
        super().__init__(stored, **more)
        self.httpd.__class__ = CountingServer
        self.cond = threading.Condition()

    def forget(self):
        super().forget()
        self.most, self.inside = 0, 0

    def guard(self, request):
        if self.realm and request.headers.get("authorization") != "Bearer t":
            return httpd.Answer.error(401, "UNAUTHORIZED", "authentication required", headers=[
                ("Www-Authenticate", 'Bearer realm="%s/token",service="s"' % self.realm)])
        return None

    def blob(self, request, repo, digest, data):
        if self.elsewhere:
            return httpd.Answer(307, b"", [("Location", self.elsewhere + "/v2/app/blobs/" + digest)])
        with self.cond:
            self.inside += 1
            self.cond.notify_all()
            self.cond.wait_for(lambda: self.inside >= self.together, 60)
        return super().blob(request, repo, digest, data)


class Tokens(httpd.Server):
    def answer(self, request):
        return httpd.Answer(200, {"token": "t"}, [("Content-Type", "application/json")])


class Site:
    def __init__(self, work):
        self.work = work
        self.number = 0
        self.env = {**os.environ, "LD_LIBRARY_PATH": os.path.join(BUILD, ".libs"), "HOME": self.work}
        chance = random.Random(7)
        # a, b, b/c, and d/e, whose folder has no entry: five
        entries = images.tar_of({"a": b"1", "b": None, "b/c": b"2", "d/e": b"3"})
        noise = [images.tar_of({"noise%d" % i: chance.randbytes(1500000)}) for i in range(LAYERS)]
        self.images = {"entries": httpd.Image(entries), "noise": httpd.Image(*noise)}
        self.registry = Registry({"app": self.images})

    def ref(self, tag, registry=None):
        return "%s/app:%s" % ((registry or self.registry).host, tag)

    def store(self, confine=False, **limits):
        self.number += 1
        path = os.path.join(self.work, "store%d" % self.number)
        conf = {"plugins": {"image_pull": {"path": PLUGIN}}, "data-root": path, "max-concurrent-downloads": 0, "durability": "fast",
                "limits": limits}
        if confine:
            conf.update({"confine": True, "unpacker": UNPACKER})
        with open(path + ".json", "w", encoding="utf-8") as out:
            json.dump(conf, out)
        return path

    def run(self, store, *args, status=0):
        proc = subprocess.run([PROGRAM, "--config", store + ".json", *args], env=self.env, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300, check=False)
        check(proc.returncode == status, "towline %s: %d\n%s" % (" ".join(args), proc.returncode, proc.stdout))
        return proc.stdout

    def whole(self, store):
        self.run(store, "fsck", "--deep")

    def close(self):
        self.registry.close()


def entries(site):
    """max-layer-entries, and folders that no entry names: five are allowed, or four"""
    for confine in (False, True):
        store = site.store(confine, **{"max-layer-entries": 4})
        out = site.run(store, "pull", "--quiet", site.ref("entries"), status=1)
        check("failed to register layer: it has more than the 4 entries that a layer may have" in out, out)
        site.whole(store)
        for folder in ("staging", "data", "chains"):
            left = os.listdir(os.path.join(store, "layers", folder))
            check(not left, "%s: %s" % (folder, left))
        site.run(site.store(confine, **{"max-layer-entries": 5}), "pull", "--quiet", site.ref("entries"))


def memory(site):
    """max-buffer-memory: sixteen layers at once, at the smallest value that is taken, and below it"""
    for confine in (False, True):
        store = site.store(confine, **{"max-buffer-memory": 262144})
        site.run(store, "pull", "--quiet", site.ref("noise"))
        site.whole(store)
    out = site.run(site.store(**{"max-buffer-memory": 262143}), "pull", "--quiet", site.ref("noise"), status=1)
    check('"limits.max-buffer-memory": 262143 is not a whole number from 262144' in out, out)


def connections(site):
    """max-connections: so many are open at once, and no more"""
    for n in (1, 2, 5):
        store, site.registry.together = site.store(**{"max-connections": n}), n
        site.registry.forget()
        site.run(store, "pull", "--quiet", site.ref("noise"))
        check(site.registry.most == n, "%d connections, %d are allowed" % (site.registry.most, n))
        site.whole(store)
    site.registry.together = 0


def connections_to_a_host(site):
    """max-connections-per-host: registry, token server and storage have so many each"""
    storage, tokens, front = Registry({"app": site.images}), Tokens(), Registry({"app": site.images})
    front.elsewhere, front.realm = storage.url, tokens.url
    try:
        store, storage.together = site.store(**{"max-connections-per-host": 2}), 2
        site.run(store, "pull", "--quiet", site.ref("noise", front))
        check(storage.most == 2, "%d to the storage" % storage.most)
        check(1 <= front.most <= 2, "%d to the registry" % front.most)
        site.whole(store)
    finally:
        for server in (storage, tokens, front):
            server.close()


def one_connection(site):
    """max-connections 1: a token server, redirects and a storage elsewhere: one after another, and all is there in the end"""
    storage, tokens, front = Registry({"app": site.images}), Tokens(), Registry({"app": site.images})
    front.elsewhere, front.realm = storage.url, tokens.url
    try:
        store = site.store(**{"max-connections": 1, "max-buffer-memory": 262144})
        site.run(store, "pull", "--quiet", site.ref("noise", front))
        check(storage.most == 1 and front.most == 1, "%d and %d" % (storage.most, front.most))
        site.whole(store)
    finally:
        for server in (storage, tokens, front):
            server.close()


CASES = [entries, memory, connections, connections_to_a_host, one_connection]

if __name__ == "__main__":
    tap.needs(built=(PROGRAM, PLUGIN, UNPACKER))
    tap.main("bounds", CASES, Site)
