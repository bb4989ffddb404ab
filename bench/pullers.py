"""How each tool is started and asked."""
import http.client
import json
import os
import shlex
import socket
import subprocess
import time
import urllib.parse

import registry

PULLERS = ["towline", "docker", "ctr", "podman", "skopeo+umoci", "floor"]


class Puller:
    """How one tool is started and asked."""

    def __init__(self, name, bench):
        self.name, self.bench = name, bench

    def start(self, disk, served=False):
        """The daemon's process, or None."""
        sock = os.path.join(self.bench.work, self.name + ".sock")
        if self.name == "towline" and served:
            self.configure(disk)
            args = [self.bench.libs + "/towline-serve", "--config", disk + "/engine.json", "--socket", sock]
            ready = ["test", "-S", sock]
        elif self.name == "docker":
            args = ["dockerd", "--data-root", disk + "/docker", "--exec-root", disk + "/exec", "-H", "unix://" + sock,
                    "--iptables=false", "--bridge=none", "--storage-driver=overlay2", "--pidfile", disk + "/pid"]
            args += [] if self.bench.registry.certificate else ["--insecure-registry", self.bench.registry.host]
            ready = ["docker", "-H", "unix://" + sock, "version"]
        elif self.name == "ctr":
            with open(disk + "/containerd.toml", "w", encoding="utf-8") as out:
                out.write('version = 2\nroot = "%s/root"\nstate = "%s/state"\n'
                          'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\naddress = "%s"\n' %
                          (disk, disk, sock))
            args, ready = ["containerd", "--config", disk + "/containerd.toml"], ["ctr", "-a", sock, "version"]
        else:
            return None
        with open(os.path.join(self.bench.work, self.name + ".log"), "ab") as log:
            daemon = subprocess.Popen(registry.in_netns(self.bench.netns) + args, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                      env=self.bench.environment(disk))
        for _ in range(400):
            if daemon.poll() is None and subprocess.run(ready, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0:
                return daemon
            time.sleep(0.1)
        raise SystemExit(self.name + " did not start")

    def configure(self, disk):
        with open(disk + "/engine.json", "w", encoding="utf-8") as out:
            json.dump({"plugins": {"image_pull": {"path": self.bench.plugin}}, "data-root": disk + "/towline",
                       "insecure-registries": [] if self.bench.registry.certificate else [self.bench.registry.host]}, out)

    def trust(self, nothing):
        """Options that speak plain HTTP; a certificate is found in Docker's certs.d."""
        return [] if self.bench.registry.certificate else [nothing]

    def ctr_trust(self):
        certificate = self.bench.registry.certificate
        return ["--tlscacert", certificate] if certificate else ["--plain-http"]

    def ask(self, host, repo):
        """Pull through the socket of a daemon that speaks Docker's API: seconds."""
        query = urllib.parse.urlencode({"fromImage": "%s/%s" % (host, repo), "tag": "latest"})
        conn = http.client.HTTPConnection("localhost")
        conn.sock = socket.socket(socket.AF_UNIX)
        conn.sock.connect(os.path.join(self.bench.work, self.name + ".sock"))
        begin = time.monotonic()
        conn.request("POST", "/v1.41/images/create?" + query)
        said = conn.getresponse().read()
        took = time.monotonic() - begin
        conn.close()
        if b"errorDetail" in said or b"Status:" not in said:
            raise SystemExit("%s failed: %r" % (self.name, said[-300:]))
        return took

    def command(self, disk, host, repo):
        ref, sock = "%s/%s:latest" % (host, repo), os.path.join(self.bench.work, self.name + ".sock")
        if self.name == "towline":
            self.configure(disk)
            return [self.bench.towline, "--config", disk + "/engine.json", "pull", "--quiet", ref]
        if self.name == "docker":
            return ["docker", "-H", "unix://" + sock, "pull", "-q", ref]
        if self.name == "ctr":
            return ["ctr", "-a", sock, "images", "pull", *self.ctr_trust(), ref]
        if self.name == "podman":
            return ["podman", "--root", disk + "/podman", "--runroot", disk + "/run", "--storage-driver", "overlay",
                    "pull", "-q", *self.trust("--tls-verify=false"), ref]
        if self.name == "skopeo+umoci":
            copy = ["skopeo", "copy", "-q", *self.trust("--src-tls-verify=false"), "docker://" + ref, "oci:%s/oci:latest" % disk]
            return ["sh", "-c", shlex.join(copy) + " && umoci unpack --image %s/oci:latest %s/bundle" % (disk, disk)]
        host, port = host.split(":")
        return [self.bench.floor, host, port, repo, "latest", disk + "/floor"]
