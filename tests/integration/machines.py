#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Three machines, as network namespaces: a client, a mirror, the registry itself. What is down, slow or lying: who is asked how often,
where the image comes from, and what is said."""
import ctypes
import json
import os
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cli  # noqa: E402
import httpd  # noqa: E402
import images  # noqa: E402
import tap  # noqa: E402
from cli import check  # noqa: E402
from registries import basic  # noqa: E402

CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)
MIRROR, ORIGIN, METADATA = "10.199.1.2", "10.199.2.2", "169.254.169.254"
PORT = 5000


def ip(*args):
    subprocess.run(["ip", *args], check=True, stdin=subprocess.DEVNULL, capture_output=True)


class Machines:
    """client -- mirror and client -- origin, a wire each."""

    def __init__(self, work):
        self.work = work
        self.names = {who: "towline-%d-%s" % (os.getpid(), who) for who in ("client", "mirror", "origin")}
        self.image = httpd.Image(*(images.tar_of({"file%d" % i: os.urandom(200000)}) for i in range(3)))

    def build(self):
        for name in self.names.values():
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        for net, who, address in ((1, "mirror", MIRROR), (2, "origin", ORIGIN)):
            ip("link", "add", "eth%d" % net, "netns", self.names["client"], "type", "veth", "peer", "name", "eth0", "netns",
               self.names[who])
            ip("-n", self.names["client"], "addr", "add", "10.199.%d.1/24" % net, "dev", "eth%d" % net)
            ip("-n", self.names["client"], "link", "set", "eth%d" % net, "up")
            ip("-n", self.names[who], "addr", "add", address + "/24", "dev", "eth0")
            ip("-n", self.names[who], "link", "set", "eth0", "up")
            # the mirror gets to the registry through the client
            ip("-n", self.names[who], "route", "add", "default", "via", "10.199.%d.1" % net)
        ip("netns", "exec", self.names["client"], "sysctl", "-qw", "net.ipv4.ip_forward=1")
        ip("-n", self.names["origin"], "addr", "add", METADATA + "/32", "dev", "lo")
        ip("-n", self.names["client"], "route", "add", METADATA + "/32", "via", ORIGIN)

    def close(self):
        for name in self.names.values():
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)

    def on(self, who, make):
        """Call make() in a thread on that machine: sockets stay where they were made."""
        result = []

        def run():
            with open("/run/netns/" + self.names[who], encoding="ascii") as there:
                if LIBC.setns(there.fileno(), CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), "setns")
            result.append(make())
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        return result[0]

    def registry(self, who, address=None, kind=httpd.Registry, **more):
        address = address or {"mirror": MIRROR, "origin": ORIGIN}[who]
        return self.on(who, lambda: kind({"team/app": {"1": self.image}}, address=address, port=PORT, **more))

    def drop(self, who):
        """That machine is there and answers nothing: packets to the port are lost, so a connection takes until it times out."""
        address = {"mirror": MIRROR, "origin": ORIGIN}[who]
        return self.on(who, lambda: Deaf(address))


class Deaf:
    """A port whose queue of connections is full: the kernel drops what comes."""

    def __init__(self, address):
        self.sockets = [httpd.socket.socket()]
        self.sockets[0].setsockopt(httpd.socket.SOL_SOCKET, httpd.socket.SO_REUSEADDR, 1)
        self.sockets[0].bind((address, PORT))
        self.sockets[0].listen(0)
        for _ in range(4):
            s = httpd.socket.socket()
            s.setblocking(False)
            s.connect_ex((address, PORT))
            self.sockets.append(s)

    def __enter__(self):
        return self

    def __exit__(self, *args):
        for s in self.sockets:
            s.close()


class Store(cli.Store):
    """towline on the client."""

    def __init__(self, machines, **config):
        mirrors = config.pop("mirror", {})
        rules = [{"prefix": "%s:%d" % (ORIGIN, PORT), "insecure": True, "mirrors": [
            {"location": "http://%s:%d" % (MIRROR, PORT), "connect-timeout-ms": 500, **mirrors}]}]
        super().__init__(machines, **{"registries": rules, **config})
        self.command = ["ip", "netns", "exec", machines.names["client"], *self.command]

    def pull(self, *options):
        return self.run("--log-level", "info", "pull", *options, NAME)

    def has(self, machines):
        return json.loads(self.ok("inspect", NAME).out)[0]["Id"] == machines.image.config


NAME = "%s:%d/team/app:1" % (ORIGIN, PORT)


def counts(server):
    """How many manifests and blobs were asked for."""
    return len(server.asked("/manifests/")), len(server.asked("/blobs/"))


def warm(m):
    """all is well: the mirror gives everything, the registry hears nothing"""
    with m.registry("mirror") as mirror, m.registry("origin") as origin:
        store = Store(m)
        check(store.pull().code == 0 and store.has(m))
        check(counts(mirror) == (1, 4) and not origin.requests, (mirror.asked(), origin.asked()))
        # Its second pull asks for the manifest alone.
        mirror.forget()
        check(store.pull().code == 0)
        check(counts(mirror) == (1, 0) and not origin.requests, mirror.asked())


def mirror_refuses(m):
    """mirror down, its machine says so: the registry gives everything, the mirror cost nothing"""
    with m.registry("origin") as origin:
        store = Store(m)
        result = store.pull()
        check(result.code == 0 and store.has(m) and result.err.count("connection refused") == 2, result)
        check(counts(origin) == (1, 4), origin.asked())


def mirror_silent(m):
    """mirror down, nobody says so: one time-out, then the registry"""
    with m.drop("mirror"), m.registry("origin") as origin:
        for mirrors in ({}, {"location": "%s:%d" % (MIRROR, PORT), "insecure": True}):
            store = Store(m, mirror=mirrors)
            result = store.pull()
            check(result.code == 0 and store.has(m), result)
            # each failure is logged twice: as the warning, and as the reason to go on
            check(result.err.count("dial tcp %s:%d: i/o timeout" % (MIRROR, PORT)) == 2, result)
        check(counts(origin) == (2, 8), origin.asked())


def mirror_without(m):
    """the mirror does not have the image: the registry does"""
    with m.registry("mirror") as mirror, m.registry("origin") as origin:
        mirror.stored = {}
        store = Store(m)
        check(store.pull().code == 0 and store.has(m))
        check(counts(mirror) == (1, 0) and counts(origin) == (1, 4), (mirror.asked(), origin.asked()))


def mirror_dies(m):
    """the mirror goes away in the middle of a layer: what is whole stays, the rest comes from the registry"""
    with m.registry("mirror") as mirror, m.registry("origin") as origin:
        plain, last = mirror.blob, m.image.layers[2]

        def dies(request, repo, digest, data):
            answer = plain(request, repo, digest, data)
            if digest == last:
                mirror.httpd.socket.close()
                answer.cut = len(data) // 2
            answer.headers.append(("Connection", "close"))
            return answer
        mirror.blob = dies
        # one after the other: the layers before it are whole when it dies
        store = Store(m, **{"max-concurrent-downloads": 1})
        result = store.pull()
        check(result.code == 0 and store.has(m), result)
        check(origin.asked("/blobs/" + last) and counts(origin)[0] == 1, origin.asked())
        check(not origin.asked(m.image.layers[0]), origin.asked())


def mirror_lies(m):
    """the mirror gives other content: found out by the digest, the registry's is taken"""
    with m.registry("mirror") as mirror, m.registry("origin") as origin:
        mirror.blob = lambda request, repo, digest, data: httpd.part_of(request, data if digest == m.image.config else
                                                                       data[:-9] + bytes(9))
        store = Store(m)
        result = store.pull()
        check(result.code == 0 and store.has(m) and "verification failed for digest" in result.err, result)
        check(counts(origin)[0] == 1 and len([a for a in origin.asked("/blobs/") if m.image.config not in a]) == 3,
              origin.asked())
    # Another image under the tag: that is the mirror's to say; a digest is not.
    other = httpd.small_image("other")
    with m.registry("mirror") as mirror, m.registry("origin") as origin:
        mirror.manifest = lambda *args: httpd.Answer(200, other.manifest, [("Content-Type", httpd.MANIFEST)])
        mirror.blob = lambda request, repo, digest, data: httpd.part_of(request, data)
        mirror.stored["team/app"]["2"] = other
        by_digest = NAME.rsplit(":", 1)[0] + "@" + m.image.digest
        store = Store(m)
        result = store.run("--log-level", "info", "pull", by_digest)
        check(result.code == 0 and "manifest verification failed for digest" in result.err, result)
        check(counts(origin) == (1, 4) and counts(mirror)[1] == 0, (mirror.asked(), origin.asked()))


def mirror_slow(m):
    """the mirror trickles: with min-speed it is left for the registry after its tries, without it all comes from the mirror"""
    release = threading.Event()
    with m.registry("mirror") as mirror, m.registry("origin") as origin:
        mirror.blob = lambda request, repo, digest, data: httpd.part_of(
            request, data, wait=None if digest == m.image.config else release)
        store = Store(m, **{"network": {"min-speed": 1000, "min-speed-time-ms": 200}, "max-download-attempts": 1})
        result = store.pull()
        check(result.code == 0 and store.has(m) and "the data comes too slowly" in result.err, result)
        check(counts(origin)[0] == 1 and len(origin.asked("/blobs/")) >= 3, origin.asked())
        release.set()
        origin.forget()
        store = Store(m)
        check(store.pull().code == 0 and store.has(m) and not origin.requests, origin.asked())


def origin_down(m):
    """the registry is down, the mirror warm: nobody notices; with neither, the registry's error is the error"""
    with m.registry("mirror") as mirror:
        store = Store(m)
        check(store.pull().code == 0 and store.has(m) and counts(mirror) == (1, 4), mirror.asked())
        mirror.stored = {}
        result = Store(m).run("pull", "--progress", "json", NAME)
        last = json.loads(result.lines[-1])
        check(result.code == 1 and "dial tcp %s:%d: connect: connection refused" % (ORIGIN, PORT) in last["error"], result)
        tried = [a["endpoint"] for a in last["towline"]["attempts"]]
        check(tried == ["http://%s:%d" % (MIRROR, PORT), "https://%s:%d" % (ORIGIN, PORT), "http://%s:%d" % (ORIGIN, PORT)], tried)
    message = next(line for line in Store(m).pull().err.splitlines() if line.startswith("towline: "))
    check("dial tcp %s:%d: connect: connection refused" % (ORIGIN, PORT) in message, message)


def pull_through(m):
    """a real docker-registry as a pull-through cache: cold it asks the registry once, warm it does without"""
    cli.need("docker-registry")
    conf = os.path.join(m.work, "cache.yml")
    with open(conf, "w", encoding="utf-8") as out:
        out.write("version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: %s}}\n"
                  "http: {addr: \"%s:%d\"}\nproxy: {remoteurl: \"http://%s:%d\"}\n" %
                  (os.path.join(m.work, "cache"), MIRROR, PORT, ORIGIN, PORT))
    with m.registry("origin") as origin:
        cache = subprocess.Popen(["ip", "netns", "exec", m.names["mirror"], "docker-registry", "serve", conf],
                                 stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait = "exec 3<>/dev/tcp/%s/%d" % (MIRROR, PORT)
            for _ in range(200):
                if subprocess.run(["ip", "netns", "exec", m.names["client"], "bash", "-c", wait], check=False,
                                  capture_output=True).returncode == 0:
                    break
                time.sleep(0.05)
            store = Store(m)
            check(store.pull().code == 0 and store.has(m))
            agents = {r.headers.get("user-agent", "").split("/")[0] for r in origin.requests}
            check(origin.asked("/blobs/") and "towline" not in agents, (agents, origin.asked()))
            # it stores behind the answer
            for _ in range(200):
                if sum(d in str(list(os.walk(os.path.join(m.work, "cache")))) for d in
                       (b.split(":")[1] for b in m.image.blobs)) == 4:
                    break
                time.sleep(0.05)
            origin.close()
            store = Store(m)
            check(store.pull().code == 0 and store.has(m), "the warm cache did not do")
        finally:
            cache.terminate()
            cache.wait(20)


def hub_mirror_down(m):
    """as in Docker: registry-mirrors of Docker Hub, the first one down"""
    with m.registry("origin") as origin:
        origin.stored = {"library/app": {"latest": m.image}}
        store = Store(m, **{"registry-mirrors": ["http://%s:%d" % (MIRROR, PORT), "http://%s:%d" % (ORIGIN, PORT)]})
        result = store.run("--log-level", "info", "pull", "app")
        check(result.code == 0 and "connection refused" in result.err and counts(origin) == (1, 4), result)


def metadata_realm(m):
    """a token server at the metadata address is asked only where the configuration allows it"""
    tokens = m.on("origin", lambda: httpd.Server(address=METADATA))
    tokens.answer = lambda r: httpd.Answer(200, {"token": "t0k"})
    with tokens, m.registry("origin") as origin:
        challenge = ("WWW-Authenticate", 'Bearer realm="%s/token",service="x"' % tokens.url)
        origin.guard = lambda r: None if r.headers.get("authorization") == "Bearer t0k" else httpd.Answer.error(
            401, "UNAUTHORIZED", "authentication required", headers=[challenge])
        result = Store(m).pull("--creds", "ann:secret")
        check(result.code == 1 and not tokens.requests, result)
        store = Store(m, network={"link-local-realms": True})
        check(store.pull("--creds", "ann:secret").code == 0 and store.has(m))
        check(len(tokens.requests) == 1 and tokens.requests[0].headers["authorization"] == basic("ann", "secret"), tokens.requests)


CASES = [warm, mirror_refuses, mirror_silent, mirror_without, mirror_dies, mirror_lies, mirror_slow, origin_down, pull_through, hub_mirror_down,
         metadata_realm]


def build(work):
    machines = Machines(work)
    try:
        machines.build()
    except subprocess.CalledProcessError as e:
        machines.close()
        tap.skip_all("no network namespaces here: " + e.stderr.decode(errors="replace").strip())
    return machines


if __name__ == "__main__":
    tap.needs("ip", built=(cli.PROGRAM, cli.PLUGIN), root="needs root, for network namespaces")
    tap.main("machines", CASES, build)
