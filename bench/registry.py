"""The benchmark's registry (docker-registry over a storage folder in the cache), and pushing to it."""
import http.client
import json
import os
import socket
import subprocess
import sys
import time

KINDS = ("plain", "tls", "token")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def in_netns(netns):
    """What a command begins with, to run there."""
    return ["nsenter", "--net=/run/netns/" + netns] if netns else []


class Registry:
    """docker-registry at an address, in a network namespace or on loopback, with a log that tells requests and
    connections. kind: plain (HTTP), tls, token (TLS and a token server, bench/tokens.py, at the next port)."""

    def __init__(self, work, storage, kind="plain", address="127.0.0.1", netns=None):
        port = free_port()
        self.host = "%s:%d" % (address, port)
        self.work, self.netns, self.procs = work, netns, []
        self.log = os.path.join(work, "registry-%d.log" % port)
        self.certificate = None
        text = ("version: 0.1\nlog: {level: info, formatter: json}\n"
                "storage:\n  filesystem: {rootdirectory: %s, maxthreads: 100}\n  cache: {blobdescriptor: inmemory}\n"
                "http:\n  addr: %s\n  secret: bench\n" % (storage, self.host))
        if kind != "plain":
            key = self.make_certificate(address)
            text += "  tls: {certificate: %s, key: %s}\n" % (self.certificate, key)
        if kind == "token":
            tokens = "%s:%d" % (address, free_port())
            self.start([sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), "tokens.py"), tokens,
                        self.certificate, key], tokens, self.log + ".tokens")
            text += ("auth: {token: {realm: 'https://%s/token', service: bench, issuer: bench, rootcertbundle: %s}}\n" %
                     (tokens, self.certificate))
        conf = os.path.join(work, "registry-%d.yml" % port)
        with open(conf, "w", encoding="utf-8") as out:
            out.write(text)
        self.start(["docker-registry", "serve", conf], self.host, self.log)

    def make_certificate(self, address):
        self.certificate, key = os.path.join(self.work, "cert.pem"), os.path.join(self.work, "key.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out",
                        self.certificate, "-days", "2", "-subj", "/CN=bench", "-addext",
                        "subjectAltName=IP:" + address], check=True, stderr=subprocess.DEVNULL)
        return key

    def start(self, command, host, log):
        with open(log, "w", encoding="utf-8") as out:
            self.procs.append(subprocess.Popen(in_netns(self.netns) + command, stdin=subprocess.DEVNULL, stdout=out,
                                               stderr=out, env={**os.environ, "OTEL_TRACES_EXPORTER": "none"}))
        address, port = host.split(":")
        probe = "import socket; socket.create_connection((%r, %s), 2)" % (address, port)
        for _ in range(200):
            if subprocess.run(in_netns(self.netns) + [sys.executable, "-c", probe], stderr=subprocess.DEVNULL,
                              check=False).returncode == 0:
                return
            time.sleep(0.05)
        raise SystemExit("%s did not start: see %s" % (command[0], log))

    def pids(self):
        return [proc.pid for proc in self.procs]

    def mark(self):
        return os.path.getsize(self.log)

    def since(self, mark):
        """(requests, connections) since mark."""

        time.sleep(0.1)
        requests, peers = 0, set()
        with open(self.log, encoding="utf-8") as text:
            text.seek(mark)
            for line in text:
                if not line.startswith("{"):
                    requests += '"' in line
                    continue
                try:
                    peers.add(json.loads(line).get("http.request.remoteaddr"))
                except ValueError:
                    continue
        return requests, len(peers - {None})

    def close(self):
        for proc in self.procs:
            proc.terminate()
            proc.wait(20)


class Pusher:
    """Just enough of the distribution API to push what images.build made."""

    def __init__(self, host, cache):
        self.cache, self.conn = cache, http.client.HTTPConnection(host, timeout=300)

    def ask(self, method, path, expect, body=None, headers=None):
        self.conn.request(method, path, body=body, headers=headers or {})
        answer = self.conn.getresponse()
        data = answer.read()
        if answer.status not in expect:
            raise SystemExit("%s %s: %d %r" % (method, path, answer.status, data[:200]))
        return answer

    def blob(self, repo, digest):
        at = "/v2/%s/blobs/" % repo
        if self.ask("HEAD", at + "sha256:" + digest, (200, 404)).status == 200:
            return
        where = self.ask("POST", at + "uploads/", (202,), headers={"Content-Length": "0"}).headers["Location"]
        where = "/" + where.split("/", 3)[3] if "://" in where else where
        path = os.path.join(self.cache, "blobs", digest)
        with open(path, "rb") as data:
            self.ask("PUT", where + ("&" if "?" in where else "?") + "digest=sha256:" + digest, (201,), data,
                     {"Content-Length": str(os.path.getsize(path))})

    def image(self, repo, image):
        for digest in [image["config"]] + [l["digest"] for l in image["layers"]]:
            self.blob(repo, digest)
        with open(os.path.join(self.cache, "blobs", image["manifest"]), "rb") as data:
            self.ask("PUT", "/v2/%s/manifests/latest" % repo, (201,), data.read(), {"Content-Type": image["type"]})
