"""Small real images and a real registry for the integration tests: an OCI layout is written here, skopeo pushes it to
docker-registry on a free loopback port."""
import gzip
import hashlib
import http.server
import io
import json
import os
import socket
import subprocess
import sys
import tarfile
import threading
import time
import urllib.request


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def is_static(path):
    """No PT_INTERP among the program headers."""
    with open(path, "rb") as f:
        data = f.read(4096)
    if data[:4] != b"\x7fELF":
        return False
    wide = data[4] == 2
    order = "little" if data[5] == 1 else "big"
    number = lambda at, size: int.from_bytes(data[at:at + size], order)
    start, entry, count = (number(32, 8), number(54, 2), number(56, 2)) if wide else \
        (number(28, 4), number(42, 2), number(44, 2))
    return all(number(start + i * entry, 4) != 3 for i in range(count))


def static_busybox():
    """Its path, or None. scripts/deps unpacks one where the package can't be installed."""
    top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    candidates = (os.path.join(top, "build/packages/busybox-static/bin/busybox"), "/bin/busybox", "/usr/bin/busybox")
    return next((p for p in candidates if os.path.exists(p) and is_static(p)), None)


def tar_of(files):
    """{name: bytes | ("link", target) | None for a folder} as an uncompressed tar."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, what in files.items():
            info = tarfile.TarInfo(name)
            info.mtime = 1556668800
            if what is None:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(info)
            elif isinstance(what, tuple):
                info.type, info.linkname = tarfile.SYMTYPE, what[1]
                tar.addfile(info)
            else:
                info.size, info.mode = len(what), 0o755
                tar.addfile(info, io.BytesIO(what))
    return out.getvalue()


def busybox_tar(**more):
    """A root file system that runs: busybox with some applets, root and bob (5:6, group staff), and more files."""
    with open(static_busybox(), "rb") as f:
        program = f.read()
    applets = {"bin/" + name: ("link", "busybox")
               for name in ("cat", "echo", "env", "id", "ls", "pwd", "sh", "sleep", "true")}
    return tar_of({"bin": None, "bin/busybox": program, **applets, "dev": None, "etc": None,
                   "etc/group": b"root:x:0:\nstaff:x:50:bob\n",
                   "etc/passwd": b"root:x:0:0::/root:/bin/sh\nbob:x:5:6::/home/bob:/bin/sh\n", "proc": None,
                   "srv": None, "sys": None, "tmp": None, **more})


class Silent:
    """A registry that takes connections and says nothing."""

    def __init__(self, address="127.0.0.1"):
        self.address = address

    def __enter__(self):
        self.socket = socket.socket()
        self.socket.bind((self.address, 0))
        self.socket.listen()
        self.socket.settimeout(60)
        return self

    def __exit__(self, *_):
        self.socket.close()

    def image(self):
        return "%s:%d/app:1" % self.socket.getsockname()[:2]


class Layout:
    """An OCI image layout being written."""

    def __init__(self, path):
        self.path = path
        os.makedirs(os.path.join(path, "blobs", "sha256"), exist_ok=True)
        with open(os.path.join(path, "oci-layout"), "w", encoding="utf-8") as out:
            out.write('{"imageLayoutVersion":"1.0.0"}')
        self.index = []

    def blob(self, data):
        digest = hashlib.sha256(data).hexdigest()
        with open(os.path.join(self.path, "blobs", "sha256", digest), "wb") as out:
            out.write(data)
        return "sha256:" + digest

    def image(self, layers, architecture="amd64", config=None, compress=True, variant=None):
        """layers: tars, bottom first. Returns the manifest's descriptor."""
        descriptors, diff_ids = [], []
        for tar in layers:
            packed = gzip.compress(tar, 6, mtime=0) if compress else tar
            media = "application/vnd.oci.image.layer.v1.tar" + ("+gzip" if compress else "")
            descriptors.append({"mediaType": media, "size": len(packed), "digest": self.blob(packed)})
            diff_ids.append("sha256:" + hashlib.sha256(tar).hexdigest())
        conf = {"architecture": architecture, "os": "linux", "created": "2019-05-01T00:00:00Z",
                "config": config or {"Cmd": ["/bin/sh"], "Env": ["PATH=/bin"]},
                "rootfs": {"type": "layers", "diff_ids": diff_ids},
                "history": [{"created": "2019-05-01T00:00:00Z", "created_by": "layer %d" % i}
                            for i in range(len(layers))]}
        if variant:
            conf["variant"] = variant
        conf = json.dumps(conf).encode()
        manifest = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                               "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "size": len(conf),
                                          "digest": self.blob(conf)}, "layers": descriptors}).encode()
        platform = {"architecture": architecture, "os": "linux"}
        if variant:
            platform["variant"] = variant
        return {"mediaType": "application/vnd.oci.image.manifest.v1+json", "size": len(manifest),
                "digest": self.blob(manifest), "platform": platform}

    def list_of(self, descriptors):
        """An index over manifests. Returns its descriptor."""
        index = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
                            "manifests": descriptors}).encode()
        return {"mediaType": "application/vnd.oci.image.index.v1+json", "size": len(index), "digest": self.blob(index)}

    def name(self, descriptor, tag):
        entry = {k: v for k, v in descriptor.items() if k != "platform"}
        entry["annotations"] = {"org.opencontainers.image.ref.name": tag}
        self.index.append(entry)
        with open(os.path.join(self.path, "index.json"), "w", encoding="utf-8") as out:
            json.dump({"schemaVersion": 2, "manifests": self.index}, out)


class Registry:
    """docker-registry on a free port of that address; log: its access log's path."""

    def __init__(self, work, name, extra="", auth=None, address="127.0.0.1"):
        self.port = free_port()
        self.host = "%s:%d" % (address, self.port)
        self.log = os.path.join(work, name + ".log")
        conf = os.path.join(work, name + ".yml")
        text = "version: 0.1\nlog: {level: info}\nstorage: {filesystem: {rootdirectory: %s}}\n" % \
            os.path.join(work, name)
        text += "http:\n  addr: \"%s\"\n" % self.host
        if auth:
            path = os.path.join(work, name + ".htpasswd")
            with open(path, "w", encoding="utf-8") as out:
                out.write(subprocess.run(["htpasswd", "-Bbn", *auth], capture_output=True, text=True, check=True).stdout)
            text += "auth: {htpasswd: {realm: test, path: %s}}\n" % path
        with open(conf, "w", encoding="utf-8") as out:
            out.write(text + extra)
        self.out = open(self.log, "ab")
        self.proc = subprocess.Popen(["docker-registry", "serve", conf], stdout=self.out, stderr=self.out,
                                     stdin=subprocess.DEVNULL)
        for _ in range(200):
            with socket.socket() as s:
                if s.connect_ex((address, self.port)) == 0:
                    return
            if self.proc.poll() is not None:
                break
            time.sleep(0.05)
        sys.exit("docker-registry did not start: see " + self.log)

    def push(self, source, target, creds=None, fmt=None):
        args = ["skopeo", "copy", "--insecure-policy", "--quiet", "--dest-tls-verify=false", "--all"]
        if fmt:
            args += ["--format", fmt]
        if creds:
            args += ["--dest-creds", ":".join(creds)]
        subprocess.run(args + [source, "docker://%s/%s" % (self.host, target)], check=True, stdin=subprocess.DEVNULL)

    def digest(self, repo, tag, accept):
        request = urllib.request.Request("http://%s/v2/%s/manifests/%s" % (self.host, repo, tag), method="HEAD",
                                         headers={"Accept": accept})
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.headers["Docker-Content-Digest"]

    def close(self):
        self.proc.terminate()
        self.proc.wait(20)
        self.out.close()


class Site:
    """The registries and images that docker_compare pulls from."""

    LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
    SCHEMA2 = "application/vnd.docker.distribution.manifest.v2+json"

    def __init__(self, work):
        self.work = work
        self.plain = Registry(work, "plain")
        self.locked = Registry(work, "locked", auth=("ann", "pass word"))
        layout = Layout(os.path.join(work, "layout"))
        base = tar_of({"bin": None, "bin/hello": b"hello\n", "etc": None, "etc/gone": b"x"})
        top = tar_of({"etc": None, "etc/.wh.gone": b"", "etc/new": b"new\n"})
        layout.name(layout.image([base]), "one")
        layout.name(layout.image([base, top]), "two")
        layout.name(layout.image([base, top, base, tar_of({"a": b"a"})]), "again")
        layout.name(layout.image([base, tar_of({"raw": b"raw"})], compress=False), "raw")
        layout.name(layout.image([base], config={"Cmd": ["/bin/other"]}), "three")
        arches = [layout.image([base, tar_of({"arch": a.encode()})], a, variant=v)
                  for a, v in (("amd64", None), ("arm64", "v8"), ("arm", "v7"), ("s390x", None))]
        layout.name(layout.list_of(arches), "list")
        layout.name(layout.list_of(arches[1:]), "foreign")
        oci = "oci:%s:" % layout.path
        for tag in ("one", "two", "again", "three"):
            self.plain.push(oci + tag, "team/app:" + tag, fmt="v2s2")
            self.plain.push(oci + tag, "oci/app:" + tag)
        # On its own: dockerd remembers where it saw an uncompressed layer after the image is gone.
        self.plain.push(oci + "raw", "team/raw:raw", fmt="v2s2")
        for tag in ("list", "foreign"):
            self.plain.push(oci + tag, "team/multi:" + tag, fmt="v2s2")
            self.plain.push(oci + tag, "oci/multi:" + tag)
        self.plain.push(oci + "one", "solo:latest", fmt="v2s2")
        self.locked.push(oci + "two", "team/app:two", ("ann", "pass word"), "v2s2")

    def compare_cases(self):
        host, locked = self.plain.host, self.locked.host
        case = lambda name, *refs, **more: {"kind": "real", "name": name, "refs": list(refs), "host":
                                            more.pop("host", host), "inspect": more.pop("inspect", refs[-1]), **more}
        digest = self.plain.digest("team/app", "two", self.SCHEMA2)
        listed = self.plain.digest("team/multi", "list", self.LIST)
        app, multi, oci = host + "/team/app", host + "/team/multi", host + "/oci"
        cases = [case("real_" + tag, app + ":" + tag) for tag in ("one", "two", "again")]
        cases.append(case("real_raw", host + "/team/raw:raw"))
        cases += [
            case("real_latest", host + "/solo"),
            case("real_up_to_date", app + ":two", app + ":two"),
            case("real_shared_layers", app + ":one", app + ":two"),
            case("real_other_name_same_image", app + ":one", host + "/solo"),
            case("real_digest", "%s@%s" % (app, digest)),
            case("real_tag_then_digest", app + ":two", "%s@%s" % (app, digest)),
            case("real_digest_twice", "%s@%s" % (app, digest), "%s@%s" % (app, digest)),
            case("real_all_tags", app, all_tags=True, inspect=app + ":three"),
            case("real_list", multi + ":list"),
            case("real_list_digest", "%s@%s" % (multi, listed)),
            case("real_list_arm64", multi + ":list", platform="linux/arm64"),
            case("real_list_arm", multi + ":list", platform="linux/arm/v7"),
            case("real_list_no_match", multi + ":foreign"),
            case("real_list_no_match_asked", multi + ":list", platform="linux/ppc64le"),
            case("real_oci", oci + "/app:two"),
            case("real_oci_list", oci + "/multi:list"),
            case("real_unknown_tag", app + ":none"),
            case("real_unknown_repository", host + "/no/such:none"),
            case("real_unknown_digest", app + "@sha256:" + "0" * 64),
            case("real_htpasswd", locked + "/team/app:two", host=locked, auth=("ann", "pass word")),
            case("real_htpasswd_none", locked + "/team/app:two", host=locked),
            case("real_htpasswd_wrong", locked + "/team/app:two", host=locked, auth=("ann", "wrong")),
            case("real_all_tags_unknown", host + "/no/such", all_tags=True),
        ]
        return cases

    def close(self):
        self.plain.close()
        self.locked.close()


class Stalling(http.server.BaseHTTPRequestHandler):
    """A registry with one image, whose layer never ends."""
    protocol_version = "HTTP/1.1"
    layer = gzip.compress(tar_of({"big": os.urandom(1 << 20)}))  # a tar, or unpacking would end at its first block
    config = b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' % (b"0" * 64)
    stalled = threading.Event()
    gone = threading.Event()  # whoever waited for the layer has closed the connection

    def log_message(self, *args):
        pass

    def do_GET(self):
        manifest = json.dumps({
            "schemaVersion": 2, "mediaType": Site.SCHEMA2,
            "config": {"mediaType": "application/vnd.docker.container.image.v1+json", "size": len(self.config),
                       "digest": "sha256:" + hashlib.sha256(self.config).hexdigest()},
            "layers": [{"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "size": len(self.layer),
                        "digest": "sha256:" + hashlib.sha256(self.layer).hexdigest()}]}).encode()
        body, kind, stall = b"{}", "application/json", False
        if "/manifests/" in self.path:
            body, kind = manifest, Site.SCHEMA2
        elif hashlib.sha256(self.config).hexdigest() in self.path:
            body = self.config
        elif "/blobs/" in self.path:
            body, stall = self.layer, True
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if not stall:
            self.wfile.write(body)
            return
        self.wfile.write(body[:len(body) // 2])
        self.wfile.flush()
        self.stalled.set()
        self.rfile.read(1)  # until the other side goes away
        self.gone.set()


class QuietServer(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], ConnectionError):  # the client is meant to go away
            super().handle_error(request, client_address)


class StallingServer:
    def __enter__(self):
        Stalling.stalled.clear()
        Stalling.gone.clear()
        self.server = QuietServer(("127.0.0.1", 0), Stalling)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return "127.0.0.1:%d/stalls:1" % self.server.server_address[1]

    def __exit__(self, *args):
        self.server.shutdown()
        self.server.server_close()
