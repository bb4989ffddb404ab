"""The benchmark's registry (docker-registry over a storage folder in the cache), and pushing to it."""
import http.client
import json
import os
import socket
import subprocess
import time


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Registry:
    """docker-registry on loopback, with a log that tells requests and connections."""

    def __init__(self, work, storage, tls=False):
        self.port = free_port()
        self.host = "127.0.0.1:%d" % self.port
        self.log = os.path.join(work, "registry-%d.log" % self.port)
        conf = os.path.join(work, "registry-%d.yml" % self.port)
        text = ("version: 0.1\nlog: {level: info, formatter: json}\n"
                "storage:\n  filesystem: {rootdirectory: %s, maxthreads: 100}\n  cache: {blobdescriptor: inmemory}\n"
                "http:\n  addr: %s\n  secret: bench\n" % (storage, self.host))
        if tls:
            cert, key = os.path.join(work, "cert.pem"), os.path.join(work, "key.pem")
            subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert,
                            "-days", "2", "-subj", "/CN=bench", "-addext", "subjectAltName=IP:127.0.0.1"],
                           check=True, stderr=subprocess.DEVNULL)
            text += "  tls: {certificate: %s, key: %s}\n" % (cert, key)
        with open(conf, "w", encoding="utf-8") as out:
            out.write(text)
        self.out = open(self.log, "w", encoding="utf-8")
        self.proc = subprocess.Popen(["docker-registry", "serve", conf], stdin=subprocess.DEVNULL, stdout=self.out,
                                     stderr=self.out, env={**os.environ, "OTEL_TRACES_EXPORTER": "none"})
        for _ in range(200):
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise SystemExit("docker-registry did not start: see " + self.log)

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
        self.proc.terminate()
        self.proc.wait(20)
        self.out.close()


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
