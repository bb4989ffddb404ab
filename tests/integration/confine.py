#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
""""confine": true: what the confined unpacker gives is what the engine would have made itself; and whatever happens to it, or is
done by it, the engine goes on, its store stays clean and the next pull works."""
import bz2
import gzip
import http.client
import io
import json
import lzma
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import httpd  # noqa: E402
import images  # noqa: E402
import tap  # noqa: E402

BUILD = os.path.abspath(os.environ.get("top_builddir", "."))
PROGRAM = os.path.join(BUILD, ".libs", "towline")
SERVE = os.path.join(BUILD, ".libs", "towline-serve")
PLUGIN = os.path.join(BUILD, ".libs", "image_pull.so")
UNPACKER = os.path.join(BUILD, "towline-unpack")
BREAKER = os.path.join(BUILD, "tests", "fakes", "jail_breaker")
SANITIZED = bool(os.environ.get("SANITIZERS"))

# Records as record.h has them, for unpackers of ours. They read nothing of this but their own source.
RECORDS = r'''
import os, signal, struct, sys, time
LITERAL, ENTRY, DATA, END, ERROR = 1, 2, 3, 4, 5
def put(kind, payload=b"", size=None):
    os.write(1, struct.pack("=II", kind, len(payload) if size is None else size) + payload)
def entry(name, link=b"", kind=b"0", size=0, mode=0o644, sparse=0, nxattrs=0, rest=b"", name_size=None, ns=0, mtime=0, atime=0):
    put(ENTRY, struct.pack("=5q10I", 0, 0, size, mtime, atime, ns, ns, mode, 0, 0, kind[0], sparse,
        len(name) if name_size is None else name_size, len(link), nxattrs) + name + b"\0" + link + b"\0" + rest)
def data(offset, payload):
    put(DATA, struct.pack("=Q", offset) + payload)
def error(kind, text):
    put(ERROR, struct.pack("=I", kind) + text)
def all_in():
    while os.read(0, 1 << 16):
        pass
def begin():
    os.read(0, 1 << 16)
    put(LITERAL, bytes(512))
    entry(b"a", size=4)
    data(0, b"1234")
'''
# What each does, and what the pull says of it.
PLANTED = {
    "raises SIGSEGV": ("os.read(0, 10); os.kill(os.getpid(), signal.SIGSEGV)", r"the unpacker was killed by signal 11"),
    "dies in the middle": ("begin(); os._exit(3)", r"the unpacker ended too early, with status 3"),
    "crashes in the middle of a record": ("begin(); put(LITERAL, b'x' * 10, 1000); os.abort()", r"the unpacker was killed by signal 6"),
    "crashes when all was said": ("begin(); all_in(); put(LITERAL, bytes(1024)); os.abort()", r"the unpacker was killed by signal 6"),
    "writes garbage": ("while True: os.write(1, os.urandom(65536))", r"sent what it must not: an unknown record"),
    "ends at once": ("put(END); time.sleep(60)", r"sent what it must not: an end before the blob's"),
    "claims a record of 4 GiB": ("put(LITERAL, b'', 0xfffffff0); time.sleep(60)", r"sent what it must not: an unknown record"),
    "claims an entry with a name beyond its record": ("entry(b'a', name_size=500)", r"sent what it must not: an entry with impossible texts"),
    "hides a NUL in a name": ("entry(b'a\\0b')", r"sent what it must not: an entry with impossible texts"),
    "counts attributes that are not there": ("entry(b'a', nxattrs=0xffffffff)", r"impossible texts"),
    "has an attribute larger than its record": (
        "entry(b'a', nxattrs=1, rest=struct.pack('=II', 6, 0xffffffff) + b'user.a\\0v')", r"impossible texts"),
    "gives a mode with more bits than there are": ("entry(b'a', mode=0o170644)", r"impossible numbers"),
    "gives a time with too many nanoseconds": ("entry(b'a', ns=1000000000)", r"impossible numbers"),
    "gives a folder contents": ("entry(b'a', kind=b'5', size=10)", r"impossible numbers"),
    "gives a negative size": ("entry(b'a', size=-1)", r"impossible numbers"),
    "writes beside a file": ("entry(b'a', size=4); data(1 << 40, b'1234')", r"contents beside their file"),
    "writes more than a file has": ("entry(b'a', size=4); data(0, b'12345')", r"contents beside their file"),
    "writes backwards": ("entry(b'a', size=8, sparse=1); data(4, b'1'); data(0, b'1')", r"contents beside their file"),
    "leaves a file short": ("entry(b'a', size=4); data(0, b'12'); all_in(); put(END)", r"a part of a file"),
    "writes into a link": ("entry(b'a', b'/etc/passwd', kind=b'2'); data(0, b'12')", r"contents of no file"),
    "writes without an entry": ("data(0, b'12')", r"contents of no file"),
    "links out of the root": ("entry(b'l', b'/../../../etc/passwd', kind=b'1')", r"no such file or directory"),
    "says an error with escape sequences": ("error(2, b'\\x1b[31mred')", r"an error that says nothing"),
    "says an error of no kind": ("error(77, b'text')", r"an error that says nothing"),
    "says an error with a text": ("all_in(); error(2, b'flate: corrupt input before offset 5')",
                                  r"failed to register layer: flate: corrupt input before offset 5"),
    "finds fault with the beginning": ("all_in(); error(1, b'gzip: invalid header')",
                                       r"(?<!register layer: )could not get decompression stream: gzip: invalid header"),
    "floods": ("while True: put(LITERAL, bytes(65536))", r"it is larger than the 8388608 bytes that a layer may have"),
    "takes nothing and says nothing": ("os.close(0); os.close(1); time.sleep(60)", r"the unpacker (ended too early|was killed by signal 9)"),
}


def rich_tars():
    """Everything a tar may have, in layers."""
    first, out = io.BytesIO(), []
    with tarfile.open(fileobj=first, mode="w", format=tarfile.PAX_FORMAT) as tar:
        def add(name, kind=tarfile.REGTYPE, data=b"", **more):
            info = tarfile.TarInfo(name)
            info.type, info.size, info.mtime = kind, len(data), 1556668800.25
            for key, value in more.items():
                setattr(info, key, value)
            tar.addfile(info, io.BytesIO(data))
        add("etc", tarfile.DIRTYPE, mode=0o755)
        add("etc/passwd", data=b"root:x:0:0::/:/bin/sh\n", mode=0o4644)
        add("etc/link", tarfile.SYMTYPE, linkname="passwd")
        add("etc/hard", tarfile.LNKTYPE, linkname="etc/passwd")
        add("n/" * 60 + "long-name-" * 12, data=b"x" * 513, uid=1234567, gid=7654321)
        add("fifo", tarfile.FIFOTYPE)
        add("attributes", data=b"a", pax_headers={"SCHILY.xattr.user.note": "value \u00e9", "SCHILY.xattr.security.none": "no"})
        add("etc/twice", data=b"once\n" * 1000)
        add("etc/twice", data=b"again\n" * 1000)
        add("big", data=bytes(range(256)) * 4096)
        add("empty")
        add("old.\u00e4\u00f6", data=b"utf-8")
    out.append(first.getvalue() + b"\0" * 4096 + b"behind the end")
    out.append(images.tar_of({"etc/.wh.link": b"", "n/.wh..wh..opq": b"", "etc/new": b"new", "many": None,
                              **{"many/%d" % i: b"%d" % i for i in range(3000)}}))
    sparse = tarfile.TarInfo("GNUSparseFile.0/hole")
    sparse.size, body = 512 + 3, b"1\n1048576\n3\n".ljust(512, b"\0") + b"end"
    sparse.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "hole",
                          "GNU.sparse.realsize": str((1 << 20) + 3)}
    last = io.BytesIO()
    with tarfile.open(fileobj=last, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(sparse, io.BytesIO(body))
    out.append(last.getvalue())
    return out


def zstd(data):
    return subprocess.run(["zstd", "-q", "-c"], input=data, stdout=subprocess.PIPE, check=True).stdout


class Image(httpd.Image):
    """An image of these blobs."""

    def __init__(self, tars, blobs):
        super().__init__(*tars)
        manifest = json.loads(self.manifest)
        for layer, blob in zip(manifest["layers"], blobs):
            layer["size"], layer["digest"] = len(blob), httpd.digest_of(blob)
            self.blobs[layer["digest"]] = blob
        self.layers = [layer["digest"] for layer in manifest["layers"]]
        self.manifest = json.dumps(manifest).encode()
        self.digest = httpd.digest_of(self.manifest)


class Registry(httpd.Registry):
    """cut: once, the connection breaks behind so many bytes. wrong: the blob's bytes are others. hold: it waits for that event half
    way."""
    cut = wrong = hold = None

    def blob(self, request, repo, digest, data):
        cut, self.cut = (self.cut, None) if len(data) > 10000 else (None, self.cut)
        if self.wrong and len(data) > 10000:
            data = data[:5000] + bytes(100) + data[5100:]
        if cut:
            return httpd.part_of(request, data, cut=cut)
        return httpd.part_of(request, data, wait=self.hold if len(data) > 10000 else None)


class Site:
    def __init__(self, work):
        self.work = work
        self.number = 0
        self.env = {**os.environ, "LD_LIBRARY_PATH": os.path.join(BUILD, ".libs")}
        tars = rich_tars()
        kinds = {"gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress, "none": bytes}
        if shutil.which("zstd"):
            kinds["zstd"] = zstd
        self.images = {name: Image(tars, [pack(tar) for tar in tars]) for name, pack in kinds.items()}
        noise = images.tar_of({"noise": os.urandom(3 << 20)})
        self.images["noise"] = httpd.Image(noise)
        self.images["empty"] = Image([b""], [b""])
        self.registry = Registry({"app": self.images})

    def ref(self, tag):
        return "%s/app:%s" % (self.registry.host, tag)

    def store(self, unpacker=UNPACKER, **more):
        self.number += 1
        path = os.path.join(self.work, "store%d" % self.number)
        conf = {"plugins": {"image_pull": {"path": PLUGIN}}, "data-root": path, "max-download-attempts": 2, **more}
        if unpacker:
            conf.update({"confine": True, "unpacker": unpacker})
        with open(path + ".json", "w", encoding="utf-8") as out:
            json.dump(conf, out)
        return path

    def start(self, store, *args, **more):
        return subprocess.Popen([PROGRAM, "--config", store + ".json", *args], env=self.env, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more)

    def run(self, store, *args, status=0, **more):
        proc = self.start(store, *args, **more)
        out, _ = proc.communicate(timeout=240)
        assert proc.returncode == status, "towline %s: %d\n%s" % (" ".join(args), proc.returncode, out)
        return out

    def clean(self, store):
        """Nothing is left of a pull that failed."""
        self.run(store, "fsck", "--deep")
        for folder in ("staging", "data", "chains"):
            left = os.listdir(os.path.join(store, "layers", folder))
            assert not left, "%s: %s" % (folder, left)

    def planted(self, body):
        self.number += 1
        path = os.path.join(self.work, "unpacker%d" % self.number)
        with open(path, "w", encoding="utf-8") as out:
            out.write("#!%s -IS\n%s\n%s\n" % (os.path.realpath(sys.executable), RECORDS, body))
        os.chmod(path, 0o755)
        return path

    def close(self):
        self.registry.close()


def wait_for(condition, what):
    end = time.monotonic() + 90
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < end, what
        time.sleep(0.02)


def children(pid):
    found = []
    for name in os.listdir("/proc"):
        try:
            with open("/proc/%s/stat" % name, encoding="latin-1") as f:
                fields = f.read().rpartition(")")[2].split()
        except (OSError, ValueError):
            continue
        if name.isdigit() and int(fields[1]) == pid:
            found.append(int(name))
    return found


def gone(pid):
    return not os.path.exists("/proc/%d" % pid)


def contents(store):
    """Every file of each layer, with all that is known of it. Folders that no entry names have the time of their making."""
    data = os.path.join(store, "layers", "data")
    found = {}
    for folder, _, files in os.walk(data):
        for name in [""] + files:
            path = os.path.join(folder, name).rstrip("/")
            inside, st, more, attributes = os.path.relpath(path, data), os.lstat(path), "", {}
            if "/tree/" not in inside + "/":
                found[inside.partition("/")[0]] = True
                continue
            if os.path.islink(path):
                more = os.readlink(path)
            else:
                attributes = {n: os.getxattr(path, n) for n in os.listxattr(path)}
            if os.path.isfile(path) and not more:
                with open(path, "rb") as f:
                    more = httpd.digest_of(f.read())
            found[inside] = (st.st_mode, st.st_uid, st.st_gid, st.st_rdev, st.st_nlink, min(st.st_mtime_ns, 1 << 60), more,
                             attributes)
    return found


# ---- cases

def same(site):
    """every encoding: the store holds the layers and files that it holds without"""
    for tag in site.images:
        plain, confined = site.store(None), site.store()
        site.run(plain, "pull", "--quiet", site.ref(tag))
        site.run(confined, "pull", "--quiet", site.ref(tag))
        if tag == "gzip":
            site.run(confined, "fsck", "--deep")
        a, b = contents(plain), contents(confined)
        assert a.keys() == b.keys(), (tag, sorted(a.keys() ^ b.keys())[:10])
        differ = [(k, a[k], b[k]) for k in a if a[k] != b[k]]
        assert not differ, (tag, differ[:3])
        assert len(a) > 3 or tag == "empty"


def planted_commands(site):
    """planted unpackers, and a command: a clean error, a clean store, and the next pull works"""
    for name in ("raises SIGSEGV", "dies in the middle", "writes garbage", "leaves a file short", "finds fault with the beginning",
                 "floods"):
        body, text = PLANTED[name]
        real = site.planted(body)
        store = site.store(real, limits={"max-layer-size": 8 << 20})
        out = site.run(store, "pull", "--quiet", site.ref("noise"), status=1)
        assert re.search(text, out, re.M), "%s: %s" % (name, out)
        site.clean(store)
        os.remove(real)
        os.symlink(UNPACKER, real)
        site.run(store, "pull", "--quiet", site.ref("noise"))
        site.run(store, "fsck", "--deep")


def escape(site):
    """names that lead out of the root stay inside it"""
    canary = os.path.join(site.work, "canary")
    store = site.store(site.planted("all_in(); put(LITERAL, bytes(512)); entry(b'../../../../../..%s', size=4); data(0, b'1234');"
                                    "entry(b's', b'%s', kind=b'2'); entry(b's/x', size=1); data(0, b'1'); put(END)"
                                    % (canary, site.work)))
    site.run(store, "pull", "--quiet", site.ref("noise"), status=1)
    assert not os.path.exists(canary) and not os.path.exists(os.path.join(site.work, "x"))


def lying(site):
    """the diff ID is this process's own: an unpacker that makes another layer has made no known one"""
    store = site.store(site.planted("begin(); all_in(); put(LITERAL, bytes(1024)); put(END)"))
    out = site.run(store, "pull", "--quiet", site.ref("noise"), status=1)
    assert "don't match image configuration" in out, out
    assert "app" not in site.run(store, "images")


def other_files(site):
    """what this process cannot see, fsck does: an unpacker that gives a tar's bytes, but the files of another"""
    tar = images.tar_of({"good": b"1"})
    site.images["tiny"] = httpd.Image(tar)
    store = site.store(site.planted("all_in()\nfor b in bytes.fromhex('%s'), bytes(%d): put(LITERAL, b)\nentry(b'evil'); put(END)"
                                    % (tar.rstrip(b"\0").hex(), len(tar) - len(tar.rstrip(b"\0")))))
    site.run(store, "pull", "--quiet", site.ref("tiny"))
    out = site.run(store, "fsck", status=1)
    assert '"good" is missing' in out and '"evil"' in out, out


def serve(site):
    """planted unpackers, and a server: it goes on through all of them, with no descriptor and no child more"""
    if not os.path.exists(SERVE):
        raise tap.Skip("towline-serve is not built")
    current = os.path.join(site.work, "current")
    store = site.store(current, limits={"max-layer-size": 8 << 20})
    address = os.path.join(site.work, "socket")
    os.symlink(UNPACKER, current)
    with open(os.path.join(site.work, "serve.log"), "w", encoding="utf-8") as log:
        server = subprocess.Popen([SERVE, "--config", store + ".json", "--socket", address], env=site.env,
                                  stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
    try:
        wait_for(lambda: os.path.exists(address), "no socket")
        assert "error" not in pull_over(address, site.ref("empty"))
        before = len(os.listdir("/proc/%d/fd" % server.pid))
        for name, (body, text) in PLANTED.items():
            os.remove(current)
            os.symlink(site.planted(body), current)
            said = pull_over(address, site.ref("noise"))
            assert re.search(text, said), "%s: %s" % (name, said)
            assert server.poll() is None, "%s: the server has ended: %s" % (name, server.returncode)
            assert not children(server.pid), name
        # connections to the registry may stay open for a while
        after = len(os.listdir("/proc/%d/fd" % server.pid))
        assert after <= before + 4, (before, after)
        os.remove(current)
        os.symlink(UNPACKER, current)
        assert "error" not in pull_over(address, site.ref("noise"))
        assert not children(server.pid)
    finally:
        server.terminate()
        server.wait(60)
    site.run(store, "fsck", "--deep")


def pull_over(address, ref):
    """What POST /images/create answers."""
    connection = http.client.HTTPConnection("localhost", timeout=120)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(120)
    connection.sock.connect(address)
    name, _, tag = ref.rpartition(":")
    connection.request("POST", "/v1.40/images/create?fromImage=%s&tag=%s" % (name.replace("/", "%2F"), tag))
    answer = connection.getresponse().read().decode()
    connection.close()
    return answer.replace("\\u0026", "&")


def cancelled(site):
    """an unpacker that hangs is killed with its pull, at once"""
    store = site.store(site.planted("time.sleep(600)"))
    for number in (signal.SIGINT, signal.SIGTERM):
        proc = site.start(store, "pull", "--quiet", site.ref("noise"))
        pid = wait_for(lambda: children(proc.pid), "no unpacker")[0]
        wait_for(lambda: b"time.sleep" in open("/proc/%d/cmdline" % pid, "rb").read() or
                 b"unpacker" in open("/proc/%d/cmdline" % pid, "rb").read(), "not started")
        proc.send_signal(number)
        proc.communicate(timeout=30)
        assert proc.returncode not in (0, -signal.SIGKILL), proc.returncode
        assert gone(pid)
        site.clean(store)


def deadline(site):
    """a deadline ends it too"""
    store = site.store(site.planted("begin(); time.sleep(600)"), limits={"pull-timeout-ms": 1500})
    out = site.run(store, "pull", "--quiet", site.ref("noise"), status=1)
    assert "deadline exceeded" in out or "timed out" in out or "canceled" in out, out
    site.clean(store)


def orphaned(site):
    """it dies with its engine"""
    site.registry.hold = threading.Event()
    try:
        proc = site.start(site.store(), "pull", "--quiet", site.ref("noise"))
        pid = wait_for(lambda: children(proc.pid), "no unpacker")[0]
        proc.kill()
        proc.communicate()
        wait_for(lambda: gone(pid), "it lives on")
    finally:
        site.registry.hold.set()
        site.registry.hold = None


def ignored(site):
    """a host that ignores SIGCHLD"""
    quiet = {"preexec_fn": lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN)}
    store = site.store()
    site.run(store, "pull", "--quiet", site.ref("gzip"), **quiet)
    site.run(store, "fsck", "--deep")
    store = site.store(site.planted(PLANTED["raises SIGSEGV"][0]))
    out = site.run(store, "pull", "--quiet", site.ref("noise"), status=1, **quiet)
    assert re.search("the unpacker (ended too early|was killed)", out), out
    site.clean(store)


def closed(site):
    """a host whose descriptors 0 to 2 are closed"""
    store = site.store()
    done = subprocess.run(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", PROGRAM, "--config", store + ".json", "pull", "--quiet",
                           site.ref("gzip")], env=site.env, timeout=240, check=False)
    assert done.returncode in (0, 1), done.returncode  # what it prints has nowhere to go
    site.run(store, "fsck", "--deep")
    assert "app" in site.run(store, "images")


def missing(site):
    """a program that is not there is said before anything is fetched"""
    store = site.store("/nonexistent/towline-unpack")
    site.registry.forget()
    out = site.run(store, "pull", "--quiet", site.ref("noise"), status=1)
    assert "exec /nonexistent/towline-unpack: no such file or directory" in out, out
    assert not site.registry.asked(site.images["noise"].layers[0])
    site.clean(store)


def limit(site):
    """max-layer-size holds"""
    store = site.store(limits={"max-layer-size": 1 << 20})
    out = site.run(store, "pull", "--quiet", site.ref("noise"), status=1)
    assert "failed to register layer: it is larger than the 1048576 bytes that a layer may have" in out, out
    site.clean(store)


def verified(site):
    """a digest that is wrong counts for more than what the decoder said"""
    site.registry.wrong = True
    try:
        for unpacker in (UNPACKER, None):
            store = site.store(unpacker)
            out = site.run(store, "pull", "--quiet", site.ref("noise"), status=1)
            assert "filesystem layer verification failed for digest" in out, out
            site.clean(store)
    finally:
        site.registry.wrong = None


def resumed(site):
    """a connection that breaks: the unpacker goes on where it was"""
    store = site.store()
    site.registry.cut = 1 << 20
    site.registry.forget()
    site.run(store, "pull", "--quiet", site.ref("noise"))
    assert len(site.registry.asked(site.images["noise"].layers[0])) == 2
    site.run(store, "fsck", "--deep")


def loaded(site):
    """load goes the same way, compressed or not"""
    store, archive = site.store(), os.path.join(site.work, "saved.tar")
    site.run(store, "pull", "--quiet", site.ref("gzip"))
    site.run(store, "save", site.ref("gzip"), archive)
    with open(archive, "rb") as f, gzip.open(archive + ".gz", "wb", 1) as out:
        shutil.copyfileobj(f, out)
    for path in (archive, archive + ".gz"):
        other = site.store()
        site.run(other, "load", path)
        site.run(other, "fsck", "--deep")
        a, b = contents(store), contents(other)
        assert a == b, [(k, a.get(k), b.get(k)) for k in a if a.get(k) != b.get(k)][:3]
    broken = site.store(site.planted(PLANTED["raises SIGSEGV"][0]))
    out = site.run(broken, "load", archive, status=1)
    assert "killed by signal 11" in out, out
    site.clean(broken)


def jail(site):
    """the kernel kills what asks for more than reading, writing and ending; memory has its end"""
    if SANITIZED:
        raise tap.Skip("a build with sanitizers has no seccomp filter")
    for what in "open socket fork exec kill ptrace read-another write-another protect-code map-code memory".split():
        path = os.path.join(site.work, what)
        os.symlink(BREAKER, path)
        done = subprocess.run([path], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=60, check=False)
        wanted = 4 if what in ("map-code", "memory") else -signal.SIGSYS
        assert done.returncode == wanted, "%s: %s %s" % (what, done.returncode, done.stdout)
    store = site.store(os.path.join(site.work, "open"))
    out = site.run(store, "pull", "--quiet", site.ref("noise"), status=1)
    assert "the unpacker was killed, for a system call that it may not do" in out, out
    site.clean(store)


def rights(site):
    """what it has while it works: nothing but its two channels"""
    if os.geteuid():
        raise tap.Skip("root alone may look at a process that is not dumpable")
    site.registry.hold = threading.Event()
    leaked = os.open("/etc/passwd", os.O_RDONLY)
    os.set_inheritable(leaked, True)
    try:
        proc = site.start(site.store(), "pull", "--quiet", site.ref("noise"), pass_fds=[leaked])
        pid = wait_for(lambda: children(proc.pid), "no unpacker")[0]
        if not SANITIZED:
            wait_for(lambda: field(pid, "Seccomp") == "2", "no filter")
        wait_for(lambda: field(pid, "NoNewPrivs") == "1", "new privileges")
        with open("/proc/%d/environ" % pid, "rb") as f:
            assert f.read() == b""
        wait_for(lambda: sorted(os.listdir("/proc/%d/fd" % pid)) == ["0", "1", "2"], "descriptors")
        assert os.readlink("/proc/%d/fd/2" % pid) == "/dev/null"
        with open("/proc/%d/limits" % pid, encoding="ascii") as f:
            assert re.search(r"Max open files\s+3\s+3", f.read())
        site.registry.hold.set()
        out, _ = proc.communicate(timeout=120)
        assert proc.returncode == 0, out
        assert gone(pid)
    finally:
        os.close(leaked)
        site.registry.hold.set()
        site.registry.hold = None


def field(pid, name):
    with open("/proc/%d/status" % pid, encoding="ascii") as f:
        return re.search(r"^%s:\s*(\S+)" % name, f.read(), re.M)[1]


CASES = [same, planted_commands, escape, lying, other_files, serve, cancelled, deadline, orphaned, ignored, closed, missing, limit, verified,
         resumed, loaded, jail, rights]

if __name__ == "__main__":
    tap.needs(built=(PROGRAM, PLUGIN, UNPACKER))
    tap.main("confine", CASES, Site)
