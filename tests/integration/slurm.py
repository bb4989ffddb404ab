#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A Slurm cluster in small with spank_towline.so: three slurmd, each in network and mount namespaces of its own with a disk of its own, a
controller, munge, a registry, and a cache before it. Nothing of this machine changes: all of it is in namespaces of the test's own."""
import collections
import ctypes
import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import images  # noqa: E402
import tap  # noqa: E402
from tap import check  # noqa: E402

BUILD = os.path.abspath(os.environ.get("top_builddir", "."))
BUILT = {name: os.path.join(BUILD, path) for name, path in (
    ("spank_towline.so", "engines/slurm/spank_towline.so"), ("importer", ".libs/towline-importer"),
    ("libtowline.so.0", ".libs/libtowline.so.0"), ("image_pull.so", ".libs/image_pull.so"))}
PROGRAMS = ("slurmctld", "slurmd", "srun", "sbatch", "scontrol", "munged", "docker-registry", "skopeo", "nginx", "ip", "unshare", "nsenter")
WAIT = int(os.environ.get("SLURM_WAIT", "90"))  # seconds until something that should have ended counts as hung
HUB = "10.79.0.254"  # the controller, the registry, its cache, and where srun runs
NODES = ("n1", "n2", "n3")
USER, UID = "ann", 4242


def run(*argv, **more):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=WAIT, **more)
    done.text = "%s: exit status %d\n--- stdout\n%s\n--- stderr\n%s" % (
        " ".join(argv), done.returncode, done.stdout, done.stderr)
    return done


def must(*argv):
    done = run(*argv)
    check(done.returncode == 0, done.text)


def write(path, text, mode=0o644):
    with open(path, "w", encoding="utf-8") as out:
        out.write(text)
    os.chmod(path, mode)


def kill_children():
    """What daemons of ours left behind came to us, as their next parent."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        with open("/proc/self/task/%d/children" % os.getpid(), encoding="ascii") as f:
            pids = [int(p) for p in f.read().split()]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


class Cluster:
    def __init__(self, work):
        self.work = work
        self.started = []
        self.logs = self.path("logs", 0o755)
        self.dir = self.path("dir", 0o755)  # spank_towline.so's: another disk on each node
        self.home = self.path("home", 0o700, UID)
        self.conf, self.plugstack, self.engine = (os.path.join(work, n) for n in ("slurm.conf", "plugstack.conf", "engine.json"))
        self.sequence = 0

    def path(self, name, mode=0o755, owner=0):
        path = os.path.join(self.work, name)
        os.makedirs(path, exist_ok=True)
        os.chmod(path, mode)
        os.chown(path, owner, owner)
        return path

    def start(self, name, *argv, **more):
        with open(os.path.join(self.logs, name), "ab") as log:
            proc = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **more)
        self.started.append(proc)
        return proc

    # ---- the machines

    def users(self):
        """ann, in this mount namespace."""
        for name, line in (("passwd", "%s:x:%d:%d::%s:/bin/sh\n" % (USER, UID, UID, self.home)), ("group", "%s:x:%d:\n" % (USER, UID))):
            with open("/etc/" + name, encoding="utf-8") as f:
                write(os.path.join(self.work, name), f.read().rstrip("\n") + "\n" + line)
            must("mount", "--bind", os.path.join(self.work, name), "/etc/" + name)

    def wires(self):
        for words in ("link set lo up", "link add br0 type bridge", "addr add %s/24 dev br0" % HUB, "link set br0 up"):
            must("ip", *words.split())
        self.nets = {}
        for i, node in enumerate(NODES, 1):
            holder = self.start("net", "unshare", "-n", "sleep", "1000")
            self.nets[node] = "/proc/%d/ns/net" % holder.pid
            inside = ["nsenter", "--net=" + self.nets[node], "ip"]
            own = os.readlink("/proc/self/ns/net")
            wait(lambda: os.readlink(self.nets[node]) != own, "a network namespace")
            must(*"ip link add".split(), "v" + node, *"type veth peer name eth0 netns".split(), str(holder.pid))
            must("ip", "link", "set", "v" + node, "master", "br0", "up")
            for words in ("link set lo up", "addr add 10.79.0.%d/24 dev eth0" % i, "link set eth0 up"):
                must(*inside, *words.split())

    def munge(self):
        user = pwd.getpwnam("munge")
        place = self.path("munge", 0o755, user.pw_uid)
        self.socket = os.path.join(place, "socket")
        key = os.path.join(place, "key")
        with open(key, "wb") as out:
            out.write(os.urandom(1024))
        os.chmod(key, 0o400)
        os.chown(key, user.pw_uid, user.pw_gid)
        self.start("munged", "munged", "--foreground", "--key-file", key, "--socket", self.socket, "--log-file", place + "/log",
                   "--pid-file", place + "/pid", "--seed-file", place + "/seed", user="munge", group="munge", extra_groups=[])
        wait(lambda: os.path.exists(self.socket), "munged")

    def slurm(self):
        ports = images.free_port(), images.free_port()
        write(self.conf, "\n".join((
            "ClusterName=towline", "SlurmctldHost=%s(%s)" % (socket.gethostname().split(".")[0], HUB), "SlurmUser=root", "SlurmdUser=root",
            "AuthType=auth/munge", "AuthInfo=socket=" + self.socket, "SlurmctldPort=%d" % ports[0], "SlurmdPort=%d" % ports[1],
            "StateSaveLocation=" + self.path("state", 0o700), "SlurmdSpoolDir=%s/%%n" % self.path("spool"),
            "SlurmdLogFile=%s/%%n.log" % self.logs, "SlurmdDebug=verbose", "SlurmctldPidFile=%s/ctld.pid" % self.work, "SlurmdPidFile=%s/%%n.pid" % self.work,
            "ProctrackType=proctrack/linuxproc", "TaskPlugin=task/none", "JobAcctGatherType=jobacct_gather/none", "SwitchType=switch/none",
            "SelectType=select/linear", "MailProg=/bin/true", "ReturnToService=2", "SlurmdTimeout=300", "KillWait=1", "MpiDefault=none",
            "PlugStackConfig=" + self.plugstack,
            *("NodeName=%s NodeAddr=10.79.0.%d CPUs=2 State=UNKNOWN" % (node, i) for i, node in enumerate(NODES, 1)),
            "PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP", "")))
        self.start("slurmctld", "slurmctld", "-D", "-i", "-f", self.conf)
        for node in NODES:
            disk = self.path("disk-" + node)
            self.start(node, "nsenter", "--net=" + self.nets[node], "unshare", "-m", "sh", "-c",
                       "mount --bind %s %s && exec slurmd -D -N %s -f %s" % (disk, self.dir, node, self.conf))
        wait(lambda: run("sinfo", "-h", "-o", "%T %D", env=self.env()).stdout.strip() == "idle 3", "three idle nodes")

    # ---- the registry and its cache

    def registries(self):
        self.origin = images.Registry(self.work, "origin", address=HUB)
        layout = images.Layout(os.path.join(self.work, "layout"))
        base = images.busybox_tar()
        layers = [base, images.tar_of({"gone": b"gone", "srv": None, "srv/a": os.urandom(300000)}),
                  images.tar_of({".wh.gone": b"", "srv": None, "srv/.wh..wh..opq": b"", "srv/b": b"b"})]
        self.blobs = len(layers) + 1
        config = {"Entrypoint": ["/bin/sh"], "Env": ["PATH=/bin", "A=image", "B=b c"], "WorkingDir": "/srv"}
        for tag in ("1", "2", "3", "4", "5"):  # others, for cases that need one that nobody has
            layout.name(layout.image([*layers[:1], images.tar_of({"tag": tag.encode()}), *layers[1:]], config=config), tag)
            self.origin.push("oci:%s:%s" % (layout.path, tag), "app:" + tag, fmt="v2s2")
        self.blobs += 1
        self.ready = images.free_port()
        self.cache = "%s:%d" % (HUB, self.ready)
        write(os.path.join(self.work, "nginx.conf"), NGINX % {"work": self.work, "cache": self.cache, "origin": self.origin.host})
        self.path("cache")
        self.start("nginx", "nginx", "-c", os.path.join(self.work, "nginx.conf"), "-e", "stderr")
        wait(lambda: listens(HUB, self.ready), "nginx")

    def image(self, tag):
        return "%s/app:%s" % (self.origin.host, tag)

    def asked(self, what):
        """How often the origin was asked for blobs or manifests, but by skopeo."""
        with open(self.origin.log, encoding="utf-8", errors="replace") as log:
            return len([line for line in log if '"GET /v2/' in line and "/%s/" % what in line and "skopeo" not in line])

    def fetched(self):
        """How often each blob was asked of the origin, but by skopeo."""
        with open(self.origin.log, encoding="utf-8", errors="replace") as log:
            return collections.Counter(re.findall(r"/blobs/(sha256:[0-9a-f]{64})", "".join(
                line for line in log if '"GET /v2/' in line and "skopeo" not in line)))

    def parts(self, tag):
        """The digests of an image's configuration and of its layers."""
        ask = urllib.request.Request("http://%s/v2/app/manifests/%s" % (self.origin.host, tag), headers={
            "Accept": "application/vnd.docker.distribution.manifest.v2+json"})
        with urllib.request.urlopen(ask, timeout=WAIT) as answer:
            manifest = json.load(answer)
        return manifest["config"]["digest"], {layer["digest"] for layer in manifest["layers"]}

    def stores(self):
        """Before the nodes are there, whose mount namespaces are copies: an administrator's store, read only, and a network's."""
        self.plug({"insecure-registries": [HUB + "/32"], "registries": []})  # not through the cache
        self.shared, self.network = self.path("shared"), self.path("network")
        done = run(os.path.join(self.work, "bin", "towline-importer"), "--config", self.engine, "--root", self.shared, "rootfs",
                   self.image("3"), self.path("first"))
        check(done.returncode == 0, done.text)
        must("mount", "--bind", self.shared, self.shared)
        must("mount", "-o", "remount,bind,ro", self.shared)
        must("mount", "-t", "ramfs", "-o", "mode=755", "ramfs", self.network)

    # ---- what is tried

    def plug(self, engine=None, **more):
        """plugstack.conf and engine.json, which slurmstepd reads for each step."""
        write(self.engine, json.dumps({
            "plugins": {"image_pull": {"path": os.path.join(self.work, "bin", "image_pull.so")}},
            "registries": [{"prefix": self.origin.host, "insecure": True, "mirrors": [{"location": "http://" + self.cache}]}],
            **(engine or {})}))
        words = {"config": self.engine, "dir": self.dir, "importer": os.path.join(self.work, "bin", "towline-importer"), **more}
        write(self.plugstack, "required %s/bin/spank_towline.so %s\n" % (
            self.work, " ".join("%s=%s" % w for w in words.items() if w[1])))

    def env(self, **more):
        return {"PATH": os.environ["PATH"], "HOME": self.home, "SLURM_CONF": self.conf, "LANG": "C", "A": "mine", "C": "job", **more}

    def command(self, *argv, **more):
        """As ann, where she is at home."""
        return run(*argv, user=UID, group=UID, extra_groups=[], cwd="/", env=self.env(**more))

    def srun(self, *argv):
        return self.command("srun", "-Q", *argv)

    def prints(self, want, *argv):
        done = self.srun(*argv)
        check(done.returncode == 0 and sorted(done.stdout.splitlines()) == sorted(want), done.text + self.tail())
        self.clean()

    def fails(self, text, *argv):
        done = self.srun(*argv)
        check(done.returncode != 0 and "ran" not in done.stdout, done.text + self.tail())
        check(text in done.stderr, "%r is wanted\n%s" % (text, done.text + self.tail()))
        self.clean()
        return done

    def clean(self):
        """No step has left a folder."""
        left = lambda: [f for node in NODES for f in os.listdir(os.path.join(self.work, "disk-" + node)) if "." in f]
        wait(lambda: not left(), lambda: "folders were left: %s%s" % (left(), self.tail()))

    def pulls(self):
        """How many importers asked a registry, on all nodes: manifests that the cache was asked for."""
        with open(os.path.join(self.work, "cache.log"), encoding="utf-8") as log:
            return len([line for line in log if "/manifests/" in line and "GET" in line])

    def tail(self):
        out = ""
        for name in sorted(os.listdir(self.logs)):
            with open(os.path.join(self.logs, name), encoding="utf-8", errors="replace") as f:
                out += "\n--- %s\n%s" % (name, "".join(f.readlines()[-12:]))
        return out

    def come_up(self):
        place = self.path("bin")
        for name, path in BUILT.items():
            shutil.copy(path, os.path.join(place, name))
        write(os.path.join(place, "towline-importer"),
              "#!/bin/sh\nLD_LIBRARY_PATH=%s exec %s/importer \"$@\"\n" % (place, place), 0o755)
        self.users()
        self.wires()
        self.registries()
        self.stores()
        self.plug()
        self.munge()
        self.slurm()

    def close(self):
        if os.path.exists(self.conf):
            run("scancel", "--state=RUNNING", env=self.env())
        for proc in self.started[::-1]:
            proc.terminate()
        for proc in self.started:
            try:
                proc.wait(10)
            except subprocess.TimeoutExpired:
                proc.kill()
                proc.wait()
        if hasattr(self, "origin"):
            self.origin.close()
        kill_children()
        for name in ("shared", "network"):
            subprocess.run(["umount", "-l", os.path.join(self.work, name)], stderr=subprocess.DEVNULL, check=False)


# One request goes to the registry, however many nodes ask at once (proxy_cache_lock). docs/slurm.md has it with TLS.
NGINX = """daemon off;
pid %(work)s/nginx.pid;
worker_processes 1;
user root;
events { worker_connections 256; }
http {
    client_body_temp_path %(work)s/cache/body; proxy_temp_path %(work)s/cache/temp; fastcgi_temp_path %(work)s/cache/f;
    uwsgi_temp_path %(work)s/cache/u; scgi_temp_path %(work)s/cache/s;
    log_format cache '$request_method $uri ns=$arg_ns $upstream_cache_status';
    access_log %(work)s/cache.log cache;
    proxy_cache_path %(work)s/cache/data keys_zone=images:1m inactive=30d max_size=100g;
    proxy_cache images;
    proxy_cache_lock on;
    proxy_cache_lock_timeout 1h;
    proxy_cache_lock_age 1h;
    proxy_http_version 1.1;
    map $arg_ns $registry { default %(origin)s; registry.example %(origin)s; }
    server {
        listen %(cache)s;
        location ~ ^/v2/.*/blobs/ {
            proxy_cache_key $registry$uri;
            proxy_cache_valid 200 30d;
            proxy_pass http://$registry$uri;
        }
        location ~ ^/v2/.*/manifests/ {
            proxy_cache_key $registry$uri;
            proxy_cache_valid 200 1m;
            proxy_pass http://$registry$uri;
        }
        location = /v2/ { proxy_pass http://$registry/v2/; }
    }
}
"""


def wait(ready, what):
    end = time.monotonic() + WAIT
    while not ready():
        if time.monotonic() > end:
            raise AssertionError("waited in vain: %s" % (what() if callable(what) else what))
        time.sleep(0.05)


def listens(host, port):
    with socket.socket() as s:
        return s.connect_ex((host, port)) == 0


# ---- cases

def six_lines(c):
    """srun -N3 -n6 as an ordinary user: six lines of the image, one pull a node, one download from the registry"""
    before = c.pulls(), c.asked("blobs"), c.asked("manifests")
    c.prints(["%d image /srv" % UID] * 6, "-N3", "-n6", "--container-image=" + c.image("1"), "sh", "-c", "echo $(id -u) $A $(pwd)")
    check(c.pulls() - before[0] == 3, c.pulls() - before[0])
    check((c.asked("blobs") - before[1], c.asked("manifests") - before[2]) == (c.blobs, 1),
          (c.asked("blobs") - before[1], c.asked("manifests") - before[2]))


def again(c):
    """a second step asks nobody; its files are the step's own and can be changed, but not with --container-readonly"""
    image = "--container-image=docker://" + c.image("1").replace("/", "#", 1)
    before = c.pulls()
    c.prints(["mine"], "-wn1", image, "sh", "-c", "echo mine >/srv/mine && cat /srv/mine")
    c.prints(["b"], "-wn1", image, "ls", "/srv")  # the opaque folder's, and not what the step before wrote
    c.prints(["no"], "-wn1", image, "--container-readonly", "sh", "-c", "{ echo >/srv/mine; } 2>/dev/null || echo no")
    check(c.pulls() == before, "a registry was asked")


def environment(c):
    """the image's variables take the place of the job's, others stay; --container-workdir; the command's exit status"""
    image = "--container-image=" + c.image("1")
    c.prints(["image b c job /tmp"], "-wn1", image, "--container-workdir=/tmp", "sh", "-c", "echo $A $B $C $(pwd)")
    done = c.srun("-wn1", image, "sh", "-c", "exit 5")
    check(done.returncode == 5, done.text)


def mounts(c):
    """--container-mounts: folders and files of the node, read only too, with the user's rights"""
    image, home = "--container-image=" + c.image("1"), c.home
    write(os.path.join(home, "f"), "file\n")
    os.chown(os.path.join(home, "f"), UID, UID)
    c.prints(["file", "file", "no"], "-wn1", image, "--container-mounts=%s:/new/place,%s/f:/srv/g:ro" % (home, home), "sh", "-c",
             "cat /new/place/f /srv/g; { echo >/srv/g; } 2>/dev/null || echo no; echo >/new/place/made")
    check(os.stat(os.path.join(home, "made")).st_uid == UID)
    hidden = c.path("hidden", 0o700)
    os.makedirs(os.path.join(hidden, "below"), exist_ok=True)
    for words, text in (("%s/below:/x" % hidden, "Permission denied"), ("/nowhere:/x", "No such file"), ("/tmp:x", "no absolute path"),
                        (":/x", "SRC:DST"), ("/tmp:/x:suid", "SRC:DST")):
        c.fails(text, "-wn1", image, "--container-mounts=" + words, "echo", "ran")


def bad_images(c):
    """a bad image is an exit status that is not 0 and the registry's text, on one node and on three, with srun and sbatch"""
    unknown = "app:none not found: manifest unknown: manifest unknown"
    c.fails(unknown, "-wn1", "--container-image=" + c.image("none"), "echo", "ran")
    c.fails(unknown, "-N3", "-n6", "--container-image=" + c.image("none"), "echo", "ran")
    c.fails("repository name must be lowercase", "-wn1", "--container-image=UPPER:x", "echo", "ran")
    c.fails("connection refused", "-wn1", "--container-image=%s:1/app:1" % HUB, "echo", "ran")
    c.fails("only images of registries", "-wn1", "--container-image=/a/path.sqsh", "echo", "ran")
    script = os.path.join(c.home, "script.sh")
    write(script, "#!/bin/sh\necho ran $A\n", 0o755)
    for tag, code, text in (("none", False, ""), ("1", True, "ran image\n")):
        out = os.path.join(c.home, "out-" + tag)
        done = c.command("sbatch", "--wait", "-wn1", "-D", "/tmp", "-o", out, "--container-image=" + c.image(tag), script)
        printed = open(out, encoding="utf-8").read() if os.path.exists(out) else ""
        check((done.returncode == 0) == code and ("ran" in printed) == code and printed.endswith(text), done.text + printed + c.tail())
    c.clean()


def bad_words(c):
    """options that mean nothing, a working folder and a program that are not there, a step of salloc: exit statuses that are not 0"""
    image = "--container-image=" + c.image("1")
    c.fails("has no value", "-wn1", "--container-image=", "echo", "ran")
    c.fails("has no value, or a wrong one", "-wn1", image, "--container-deadline=soon", "echo", "ran")
    c.fails("--container-image is missing", "-wn1", "--container-workdir=/tmp", "echo", "ran")
    c.fails("/nowhere: No such file", "-wn1", image, "--container-workdir=/nowhere", "echo", "ran")
    c.fails("No such file", "-wn1", image, "/bin/nothing")
    done = c.command("salloc", "-Q", "-wn1", image, "/bin/echo", "ran")
    check(done.returncode != 0 and "salloc starts no container" in done.stderr and "ran" not in done.stdout, done.text)


def bad_nodes(c):
    """a node where something is missing: an error with the reason, and steps without an image run"""
    image = "--container-image=" + c.image("1")
    file = os.path.join(c.work, "file")
    write(file, "")
    try:
        for words, text in (({"importer": "/nowhere"}, "/nowhere can't be run"), ({"config": "/nowhere"}, "/nowhere: no such file"),
                            ({"dir": file}, "Not a directory"), ({"store": file}, "Not a directory"), ({"deadline": "0"}, "is not understood"),
                            ({"colour": "red"}, "\"colour=red\" is not understood")):
            c.plug(**words)
            c.fails(text, "-wn1", image, "echo", "ran")
            c.prints(["plain"], "-wn1", "/bin/echo", "plain")
        c.plug({"plugins": {"image_pull": {"path": "/nowhere.so"}}})
        c.fails("/nowhere.so", "-wn1", "--container-image=" + c.image("2"), "echo", "ran")
    finally:
        c.plug()


def deadlines(c):
    """a registry that says nothing, and an importer that hangs: both end at the deadline"""
    begin = time.monotonic()
    with images.Silent(HUB) as silent:
        c.fails("context deadline exceeded", "-wn1", "--container-image=" + silent.image(), "--container-deadline=1", "echo", "ran")
    hangs = os.path.join(c.work, "bin", "hangs")
    write(hangs, "#!/bin/sh\n[ $5 = rootfs -o \"$7\" = rootfs ] && sleep 1000\nexec %s/bin/towline-importer \"$@\"\n" % c.work, 0o755)
    try:
        c.plug(importer=hangs, deadline="1")
        c.fails("no image after", "-wn1", "--container-image=" + c.image("1"), "echo", "ran")
    finally:
        c.plug()
    check(time.monotonic() - begin < WAIT, "both took too long")


def shared(c):
    """a read-only store that root filled serves all users and asks nobody; what it does not have is pulled"""
    before = c.pulls()
    try:
        c.plug(shared=c.shared)
        c.prints(["%d image" % UID] * 3, "-N3", "-n3", "--container-image=" + c.image("3"), "sh", "-c", "echo $(id -u) $A; ls /gone 2>/dev/null; true")
        check(c.pulls() == before, "a registry was asked")
        c.prints(["image"], "-wn1", "--container-image=" + c.image("2"), "sh", "-c", "echo $A")
        check(c.pulls() == before + 1, "another image was not pulled")
    finally:
        c.plug()


def no_attributes(c):
    """a store that the nodes share, without attributes, devices and overlay (as NFS may be): one download for all, with no cache"""
    place = os.path.join(c.work, "bin")
    code = os.path.join(c.work, "nomknod.c")
    write(code, "#define _GNU_SOURCE\n#include <errno.h>\n#include <sys/stat.h>\nint mknodat(int d, const char *p, mode_t m, dev_t v)\n"
          "{ (void)d, (void)p, (void)m, (void)v; errno = EPERM; return -1; }\n")
    must(*os.environ.get("CC", "cc").split(), "-shared", "-fPIC", "-o", place + "/nomknod.so", code)
    write(place + "/nomknod", "#!/bin/sh\nexport LD_PRELOAD=%s/nomknod.so\nexec %s/towline-importer \"$@\"\n" % (place, place), 0o755)
    config, layers = c.parts("4")
    before = c.pulls(), c.fetched()
    try:
        c.plug({"insecure-registries": [HUB + "/32"], "registries": []}, store=c.network, importer=place + "/nomknod")
        # /gone and /srv/a are hidden by the upper layer
        c.prints(["b"] * 3, "-N3", "-n3", "--container-image=" + c.image("4"), "sh", "-c", "ls /srv; ls /gone 2>/dev/null; true")
        # each layer once, and a look at the configuration by each node that came before the image was there
        fetched = c.fetched() - before[1]
        check(c.pulls() == before[0] and 1 <= fetched.pop(config, 0) <= len(NODES), (c.pulls(), before))
        check(fetched == collections.Counter(layers), fetched)
    finally:
        c.plug()


def ns_mirror(c):
    """one address for all registries, told by ns= whose image it is: three nodes, one download"""
    before = c.asked("blobs"), c.asked("manifests")
    try:
        c.plug({"registries": [{"prefix": "registry.example", "mirrors": [{"location": "http://" + c.cache, "ns": True}]}]})
        c.prints(["image"] * 3, "-N3", "-n3", "--container-image=registry.example/app:5", "sh", "-c", "echo $A")
    finally:
        c.plug()
    # its configuration, and the layer that the cache has not from other cases
    check((c.asked("blobs") - before[0], c.asked("manifests") - before[1]) == (2, 1), (c.asked("blobs"), before))
    with open(os.path.join(c.work, "cache.log"), encoding="utf-8") as log:
        check(any("app/manifests/5" in line and "ns=registry.example" in line for line in log), "nobody said ns=")


def pyxis(c):
    """pyxis' importer: get prints a squashfs file's path, with what enroot reads in it; release removes it, twice too; a bad image fails"""
    for program in ("mksquashfs", "unsquashfs"):
        if not shutil.which(program):
            raise tap.Skip(program + " is not installed")
    runtime = c.path("pyxis")
    c.path("pyxis/%d" % UID, 0o700, UID)
    program = os.path.join(c.work, "bin", "towline-importer")
    env = c.env(PYXIS_RUNTIME_PATH=runtime, PYXIS_VERSION="0.24.0", SLURM_JOB_UID=str(UID), SLURM_JOB_ID="7", SLURM_STEP_ID="0",
                XDG_CONFIG_HOME=c.home)
    os.makedirs(os.path.join(c.home, "towline"), exist_ok=True)
    shutil.copy(c.engine, os.path.join(c.home, "towline", "engine.json"))
    call = lambda *argv: run(program, *argv, user=UID, group=UID, extra_groups=[], cwd="/", env=env)
    file = "%s/%d/7.0.squashfs" % (runtime, UID)
    done = call("get", "docker://" + c.image("1").replace("/", "#", 1))
    check((done.returncode, done.stdout) == (0, file + "\n"), done.text)
    listed = run("unsquashfs", "-ll", file).stdout
    check("squashfs-root/bin/busybox" in listed and "squashfs-root/srv/b\n" in listed and "/gone" not in listed, listed)
    read = lambda name: run("unsquashfs", "-cat", file, name).stdout
    check("A=image\nB=b c\n" in read("etc/environment") and "cd '/srv'" in read("etc/rc") and "exec '/bin/sh'" in read("etc/rc"), read("etc/rc"))
    for _ in range(2):
        check(call("release").returncode == 0 and os.listdir(os.path.dirname(file)) == [], os.listdir(os.path.dirname(file)))
    done = call("get", "docker://" + c.image("none"))
    check(done.returncode != 0 and done.stdout == "" and "manifest unknown" in done.stderr, done.text)
    check(os.listdir(os.path.dirname(file)) == [], os.listdir(os.path.dirname(file)))


CASES = [six_lines, again, environment, mounts, bad_images, bad_words, bad_nodes, deadlines, shared, no_attributes, ns_mirror, pyxis]


def prepare(work):
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    os.chmod(work, 0o755)
    cluster = Cluster(work)
    try:
        cluster.come_up()
    except AssertionError as why:
        said = "%s%s" % (why, cluster.tail())
        cluster.close()
        raise AssertionError(said) from why
    return cluster


if __name__ == "__main__":
    tap.needs(*PROGRAMS, built=BUILT.values(), root="needs root",
              sanitizers="Slurm is no program with sanitizers, which its plugin would need")
    if not images.static_busybox():
        tap.skip_all("there is no static busybox")
    tap.unshare("-m", "-n")
    tap.main("slurm", CASES, prepare)
