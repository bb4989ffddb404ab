#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The peak of resident memory while one large layer is pulled: it does not grow with the layer.

MEMORY_MIB says how large the layer is when unpacked (default 160; what the project promises is said for 1024). The bounds
are those of an ordinary build; with sanitizers there is nothing to measure."""
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import images  # noqa: E402
import tap  # noqa: E402

TOP = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.abspath(os.environ.get("top_builddir", "."))
PROGRAM = os.path.join(BUILD, ".libs", "towline")
PLUGIN = os.path.join(BUILD, ".libs", "image_pull.so")
MIB = int(os.environ.get("MEMORY_MIB", "160"))
PLAIN_KIB, TLS_KIB = 24 * 1024, 32 * 1024
# A zstd window of 128 MiB, the largest that is accepted, on top.
ZSTD_KIB = PLAIN_KIB + 128 * 1024


def tar_pieces():
    """A tar of files of 8 MiB, a quarter of which cannot be compressed, piece by piece."""
    chance = random.Random(7)
    for i in range(MIB // 8):
        info = images.tarfile.TarInfo("files/%d" % i)
        info.size = 8 << 20
        yield info.tobuf()
        for _ in range(8):
            yield chance.randbytes(256 << 10) + chance.randbytes(1 << 10) * 768
    yield bytes(1024)


def gzipped(path):
    """Writes the layer. Returns the digests of blob and tar, and the blob's size."""
    blob, tar, size = hashlib.sha256(), hashlib.sha256(), 0
    deflate = zlib.compressobj(1, zlib.DEFLATED, 31)
    with open(path, "wb") as out:
        for piece in tar_pieces():
            tar.update(piece)
            packed = deflate.compress(piece)
            blob.update(packed)
            size += out.write(packed)
        packed = deflate.flush()
        blob.update(packed)
        size += out.write(packed)
    return "sha256:" + blob.hexdigest(), "sha256:" + tar.hexdigest(), size


def zstandard(path):
    """As above, by zstd --ultra -22 --long=27, whose decoder needs all of its window. The contents are easy, to be quick."""
    tar = hashlib.sha256()
    zstd = subprocess.Popen(["zstd", "-q", "--ultra", "-22", "--long=27", "-T0", "-o", path], stdin=subprocess.PIPE)
    info = images.tarfile.TarInfo("zeros")
    info.size = 160 << 20
    for piece in [info.tobuf()] + [bytes(1 << 20)] * 160 + [bytes(1024)]:
        tar.update(piece)
        zstd.stdin.write(piece)
    zstd.stdin.close()
    assert zstd.wait() == 0
    with open(path, "rb") as data:
        blob = data.read()
    return "sha256:" + hashlib.sha256(blob).hexdigest(), "sha256:" + tar.hexdigest(), len(blob)


class Site:
    def __init__(self, work):
        self.work = work
        self.layout = images.Layout(os.path.join(self.work, "layout"))
        # A child's peak is never below what its parent had when it forked: this one is small.
        self.runstat = os.path.join(self.work, "runstat")
        subprocess.run(["cc", "-O1", "-o", self.runstat, os.path.join(TOP, "bench", "runstat.c")], check=True)
        self.add("large", gzipped, "gzip")
        if shutil.which("zstd"):
            self.add("zstd", zstandard, "zstd")

    def add(self, name, make, suffix):
        blob = os.path.join(self.work, "blob")
        digest, diff_id, size = make(blob)
        os.rename(blob, os.path.join(self.layout.path, "blobs", *digest.split(":")))
        conf = json.dumps({"architecture": "amd64", "os": "linux", "config": {},
                           "rootfs": {"type": "layers", "diff_ids": [diff_id]}}).encode()
        manifest = json.dumps({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "size": len(conf),
                       "digest": self.layout.blob(conf)},
            "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+" + suffix, "size": size,
                        "digest": digest}]}).encode()
        self.layout.name({"mediaType": "application/vnd.oci.image.manifest.v1+json", "size": len(manifest),
                          "digest": self.layout.blob(manifest)}, name)

    def peak(self, registry, name, **config):
        """KiB, of a pull into an empty store. No file of the blob may have been left or made beside the layer's."""
        store = tempfile.mkdtemp(dir=self.work)
        registry.push("oci:%s:%s" % (self.layout.path, name), "memory:" + name)
        with open(store + "/engine.json", "w", encoding="utf-8") as out:
            json.dump({"plugins": {"image_pull": {"path": PLUGIN}}, "data-root": store + "/root", **config}, out)
        subprocess.run([self.runstat, store + "/usage", "--", PROGRAM, "--config", store + "/engine.json", "pull", "--quiet",
                        "%s/memory:%s" % (registry.host, name)], stdin=subprocess.DEVNULL, check=True,
                       env={**os.environ, "LD_LIBRARY_PATH": os.path.join(BUILD, ".libs")})
        with open(store + "/usage", encoding="utf-8") as text:
            usage = json.load(text)
        assert usage["rc"] == 0, usage
        subprocess.run(["rm", "-rf", store], check=True)
        print("#   %s: %d KiB" % (name, usage["rss_kib"]), flush=True)
        return usage["rss_kib"]


def plain(site):
    """a large layer over plain http: at most 24 MiB"""
    registry = images.Registry(site.work, "plain")
    try:
        assert site.peak(registry, "large") <= PLAIN_KIB
    finally:
        registry.close()


def tls(site):
    """over TLS, verified, with the system's CAs loaded beside the registry's: at most 32 MiB"""
    if not shutil.which("openssl"):
        raise tap.Skip("openssl is not installed")
    key, cert = site.work + "/key.pem", site.work + "/cert.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", "2",
                    "-subj", "/CN=memory", "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    registry = images.Registry(site.work, "tls", extra="  tls: {certificate: %s, key: %s}\n" % (cert, key))
    try:
        certs = os.path.join(site.work, "certs.d")
        os.makedirs(os.path.join(certs, registry.host))
        shutil.copy(cert, os.path.join(certs, registry.host, "ca.crt"))
        assert site.peak(registry, "large", **{"insecure-loopback": False, "certs-dirs": [certs]}) <= TLS_KIB
    finally:
        registry.close()


def zstd(site):
    """a layer of zstd -22: its window of 128 MiB on top, no more"""
    if not shutil.which("zstd"):
        raise tap.Skip("zstd is not installed")
    registry = images.Registry(site.work, "zstd")
    try:
        assert site.peak(registry, "zstd") <= ZSTD_KIB
    finally:
        registry.close()


CASES = [plain, tls, zstd]

if __name__ == "__main__":
    tap.needs("docker-registry", "skopeo", built=(PROGRAM, PLUGIN), sanitizers="sanitizers need memory of their own")
    tap.main("memory", CASES, Site)
