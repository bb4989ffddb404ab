#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The command line, against real registries on the loopback: what towline prints, how it ends, what it leaves."""
import hashlib
import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import images  # noqa: E402
import tap  # noqa: E402
from tap import check  # noqa: E402

TOP = os.path.abspath(os.environ.get("top_srcdir", os.path.join(HERE, "..", "..")))
BUILD = os.path.abspath(os.environ.get("top_builddir", "."))
LIBS = os.path.join(BUILD, ".libs")
# The program itself rather than libtool's wrapper script, which takes longer than most cases.
PROGRAM = next((p for p in (os.path.join(LIBS, "towline"),) if os.path.exists(p)), os.path.join(BUILD, "towline"))
PLUGIN = os.path.join(BUILD, ".libs", "image_pull.so")
WAIT = 60  # seconds until something that should have ended counts as hung


class Result:
    def __init__(self, proc, out, err):
        self.code, self.out, self.err = proc.returncode, out, err
        self.lines = out.splitlines()

    def __str__(self):
        return "exit status %s\n--- stdout\n%s\n--- stderr\n%s" % (self.code, self.out, self.err)


class Store:
    """A place of its own for one case: an engine.json, a data root that is not there yet, an empty home."""

    def __init__(self, site, **config):
        self.dir = tempfile.mkdtemp(dir=site.work)
        self.root = os.path.join(self.dir, "root")
        self.command, self.libs = [PROGRAM], LIBS
        self.config = os.path.join(self.dir, "engine.json")
        self.home = os.path.join(self.dir, "home")
        os.mkdir(self.home)
        self.write({"plugins": {"image_pull": {"path": PLUGIN}}, "data-root": self.root, **config})

    def write(self, config):
        with open(self.config, "w", encoding="utf-8") as out:
            out.write(config if isinstance(config, str) else json.dumps(config, indent=2))

    def everyones(self, uid):
        """The place given to that user, with a copy of the programs: the build may stand where only root looks."""
        programs = os.path.join(self.dir, "programs")
        os.mkdir(programs)
        for name in os.listdir(LIBS):
            if name == "towline" or re.fullmatch(r"(image_pull|libtowline)\.so.*", name):
                shutil.copy(os.path.join(LIBS, name), programs)
        os.chmod(self.dir, 0o755)
        for path in (self.dir, self.home):
            os.chown(path, uid, uid)
        self.write({"plugins": {"image_pull": {"path": os.path.join(programs, "image_pull.so")}}})
        os.chmod(self.config, 0o644)
        # A build that counts lines (--enable-coverage) has a place for its counts there.
        self.command = ["env", "GCOV_PREFIX=" + self.dir, "setpriv", "--reuid", str(uid), "--regid", str(uid), "--clear-groups",
                        os.path.join(programs, "towline")]
        self.libs = programs

    def env(self):
        keep = ("PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS", "TMPDIR")
        return {**{k: os.environ[k] for k in keep if k in os.environ}, "HOME": self.home, "TERM": "xterm",
                "LD_LIBRARY_PATH": self.libs}

    def start(self, *args, **more):
        return subprocess.Popen([*self.command, "--config", self.config, *args], env=self.env(),
                                **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more})

    def run(self, *args, **more):
        proc = self.start(*args, **more)
        try:
            out, err = proc.communicate(timeout=WAIT)
        except subprocess.TimeoutExpired:
            proc.kill()
            out, err = proc.communicate()
            raise AssertionError("hung: towline %s\n%s%s" % (" ".join(args), out, err))
        return Result(proc, (out or b"").decode(), (err or b"").decode())

    def ok(self, *args):
        result = self.run(*args)
        check(result.code == 0 and result.err == "", result)
        return result

    def fails(self, code, text, *args):
        """One clear line on stderr, nothing on stdout but what came before the failure."""
        result = self.run(*args)
        check(result.code == code, result)
        check(re.fullmatch(r"towline: [^\n]+\n", result.err), result)
        check(text in result.err, "%r is not in\n%s" % (text, result))
        return result

    def is_empty(self):
        """No image, and no layer's data."""
        check(json.loads(self.ok("images", "--json").out) == [], "there are images")
        for folder, _, files in os.walk(self.root):
            for name in files:
                size = os.path.getsize(os.path.join(folder, name))
                check(size < 256, "%s/%s was left, %d bytes" % (folder, name, size))


def need(*programs):
    for program in programs:
        if not shutil.which(program):
            raise tap.Skip(program + " is not installed")


class Site:
    """The registry and images that most cases pull from."""

    def __init__(self, work):
        self.work = work
        self.registry = images.Registry(work, "plain")
        self.host = self.registry.host
        self.layout = layout = images.Layout(os.path.join(work, "layout"))
        base = images.tar_of({"bin": None, "bin/hello": b"hello\n", "etc": None, "etc/gone": b"x"})
        top = images.tar_of({"etc": None, "etc/.wh.gone": b"", "etc/new": b"new\n"})
        config = {"Cmd": ["/bin/hello"], "Env": ["PATH=/bin", "A=\"b\""], "Labels": {"who": "<me> & \u00e9"}}
        layout.name(layout.image([base, top], config=config), "two")
        layout.name(layout.image([base]), "latest")
        arches = [layout.image([base, images.tar_of({"arch": a.encode()})], a, variant=v)
                  for a, v in (("amd64", None), ("arm64", "v8"), ("arm", "v7"))]
        layout.name(layout.list_of(arches), "list")
        for tag in ("two", "latest", "list"):
            self.push(self.registry, tag)

    def push(self, registry, tag, creds=None):
        registry.push("oci:%s:%s" % (self.layout.path, tag), "team/app:" + tag, creds, "v2s2")

    def app(self, tag):
        return "%s/team/app:%s" % (self.host, tag)

    def close(self):
        self.registry.close()

    def requests(self):
        """What the registry was asked so far: (method, path)."""
        with open(self.registry.log, encoding="utf-8", errors="replace") as log:
            return re.findall(r'"(GET|HEAD|POST) (\S+) HTTP/1\.[01]" \d+', log.read())


# ---- pulls

def fresh_pull(site):
    """a first pull prints what docker pull prints into a pipe"""
    store = Store(site)
    result = store.ok("pull", site.app("two"))
    lines = result.lines
    ids = [json.loads(site_manifest(site, "two"))["layers"][i]["digest"][7:19] for i in (0, 1)]
    check(lines[0] == "two: Pulling from team/app", result)
    for layer in ids:
        check(["Pulling fs layer", "Verifying Checksum", "Download complete", "Pull complete"] ==
              [l.split(": ", 1)[1] for l in lines if l.startswith(layer + ":") and "Waiting" not in l], result)
    digest = site.registry.digest("team/app", "two", images.Site.SCHEMA2)
    check(lines[-3:] == ["Digest: " + digest, "Status: Downloaded newer image for " + site.app("two"),
                         site.app("two")], result)
    # Set-id files of images are out of other users' reach.
    check(os.stat(os.path.join(store.root, "layers")).st_mode & 0o777 == 0o700, "the layers are open to all")


def site_manifest(site, tag):
    need("skopeo")
    return subprocess.run(["skopeo", "inspect", "--raw", "--tls-verify=false", "docker://" + site.app(tag)],
                          capture_output=True, check=True, stdin=subprocess.DEVNULL).stdout


def second_pull(site):
    """a second pull is up to date: no blob is asked for, no layer touched"""
    store = Store(site)
    store.ok("pull", site.app("two"))
    before, asked = tree(store.root), len(site.requests())
    result = store.ok("pull", site.app("two"))
    check(result.lines[-2:] == ["Status: Image is up to date for " + site.app("two"), site.app("two")], result)
    asked = site.requests()[asked:]
    check(asked and not [r for r in asked if "/blobs/" in r[1]], asked)
    after = tree(store.root)
    check(before == after, "the store changed: %s" % (set(before.items()) ^ set(after.items())))


def tree(root):
    """Names and contents of the files, the store's lock files and times left out."""
    found = {}
    for folder, _, files in os.walk(root):
        for name in files:
            path = os.path.join(folder, name)
            if os.path.isfile(path) and not os.path.islink(path):
                with open(path, "rb") as f:
                    found[os.path.relpath(path, root)] = hashlib.sha256(f.read()).hexdigest()
    return found


def image_id(site):
    """inspect's Id is the configuration's digest, as docker, podman and skopeo have it"""
    store = Store(site)
    store.ok("pull", site.app("two"))
    inspected = json.loads(store.ok("inspect", site.app("two")).out)
    manifest = site_manifest(site, "two")
    check(len(inspected) == 1)
    image = inspected[0]
    check(image["Id"] == json.loads(manifest)["config"]["digest"], image)
    check(image["RepoTags"] == [site.app("two")], image)
    check(image["RepoDigests"] == ["%s/team/app@sha256:%s" % (site.host, hashlib.sha256(manifest).hexdigest())], image)
    # every member of Docker's struct, the empty ones too
    check({k: v for k, v in image["Config"].items() if v} == {
        "Cmd": ["/bin/hello"], "Env": ["PATH=/bin", "A=\"b\""], "Labels": {"who": "<me> & \u00e9"}}, image)
    check(image["Config"]["Hostname"] == "" and image["Config"]["Volumes"] is None, image)
    check((image["Os"], image["Architecture"], image["Created"]) == ("linux", "amd64", "2019-05-01T00:00:00Z"), image)
    check(image["RootFS"]["Type"] == "layers" and len(image["RootFS"]["Layers"]) == 2, image)
    for name in (image["Id"], image["Id"][7:19], image["RepoDigests"][0]):
        check(json.loads(store.ok("inspect", name).out)[0]["Id"] == image["Id"], name)


def podmans_id(site):
    """podman prints the same ID for the same image"""
    if not shutil.which("podman"):
        raise tap.Skip("podman is not installed")
    store = Store(site)
    store.ok("pull", site.app("two"))
    where = [os.path.join(store.dir, name) for name in ("podman", "podman-run")]
    podman = subprocess.run(["podman", "--root", where[0], "--runroot", where[1], "--storage-driver", "vfs", "pull", "--quiet",
                             "--tls-verify=false", site.app("two")], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                            timeout=WAIT, check=False)
    check(podman.returncode == 0, podman.stderr)
    check("sha256:" + podman.stdout.strip() == json.loads(store.ok("inspect", site.app("two")).out)[0]["Id"], podman.stdout)


def default_tag(site):
    """without a tag it is latest, said as docker says it"""
    store = Store(site)
    result = store.ok("pull", site.host + "/team/app")
    check(result.lines[0] == "Using default tag: latest", result)
    check(result.lines[-1] == site.app("latest"), result)


def quiet(site):
    """--quiet prints the reference and nothing else"""
    result = Store(site).ok("pull", "-q", site.host + "/team/app")
    check(result.out == site.app("latest") + "\n", result)


def by_digest(site):
    """a pull by digest"""
    store = Store(site)
    digest = site.registry.digest("team/app", "two", images.Site.SCHEMA2)
    name = "%s/team/app@%s" % (site.host, digest)
    result = store.ok("pull", name)
    check(result.lines[-1] == name, result)
    row = store.ok("images").lines[1].split()
    check(row[:2] == [site.host + "/team/app", "<none>"], row)


def all_tags(site):
    """--all-tags pulls all of them"""
    store = Store(site)
    result = store.ok("pull", "--all-tags", site.host + "/team/app")
    check(result.lines[-1] == site.host + "/team/app", result)
    tags = sorted(t for i in json.loads(store.ok("images", "--json").out) for t in i["RepoTags"])
    check(tags == sorted(site.app(t) for t in ("two", "latest", "list")), tags)
    store.fails(2, "tag can't be used with --all-tags/-a", "pull", "-a", site.app("two"))


def platforms(site):
    """--platform chooses from a list"""
    for platform, architecture in (("linux/arm64", "arm64"), ("linux/arm/v7", "arm"), ("Linux/x86_64", "amd64")):
        store = Store(site)
        store.ok("pull", "--platform", platform, site.app("list"))
        check(json.loads(store.ok("inspect", site.app("list")).out)[0]["Architecture"] == architecture)


def other_platform(site):
    """another platform of a list that is here: the tag moves, and that the digest does not is said"""
    store = Store(site)
    store.ok("pull", "--platform=linux/arm64", site.app("list"))
    result = store.run("pull", "--platform=linux/arm/v7", site.app("list"))
    check(result.code == 0 and re.fullmatch(r"towline: warning: Image ID for digest \S+ changed from \S+ to \S+, "
                                            r"cannot update\n", result.err), result)
    check(json.loads(store.ok("inspect", site.app("list")).out)[0]["Architecture"] == "arm")


def json_stream(site):
    """--progress json is the Engine's stream, line for line"""
    result = Store(site).ok("pull", "--progress", "json", site.app("two"))
    check(result.out.endswith("\r\n") and "\r\n" in result.out, repr(result.out))
    messages = [json.loads(line) for line in result.out.split("\r\n") if line]
    check(messages[0] == {"status": "Pulling from team/app", "id": "two"}, messages[0])
    check(messages[-1] == {"status": "Status: Downloaded newer image for " + site.app("two")}, messages[-1])
    check(any(m.get("progressDetail", {}).get("total") for m in messages), "no byte counts")


def json_error(site):
    """--progress json has the error as its last line"""
    for args in ((site.app("none"),), ("--config-is-bad",), ("UPPER/case",)):
        store = Store(site)
        if args[0].startswith("--"):
            store.write("{")
            args = (site.app("two"),)
        result = store.run("pull", "--progress", "json", *args)
        check(result.code == 1 and result.err == "", result)
        last = json.loads(result.lines[-1])
        check(last["error"] and last["errorDetail"] == {"message": last["error"]}, result)
        if args[0] == site.app("none"):
            more = last["towline"]
            check((more["phase"], more["code"]) == ("manifest", "MANIFEST_UNKNOWN") and
                  more["endpoint"].startswith("http"), more)


def json_failures(site):
    """images --json has the error in place of the images"""
    for make in (lambda store: store.write("{"), lambda store: os.symlink("/dev/null", store.root)):
        store = Store(site)
        make(store)
        result = store.run("images", "--json")
        check(result.code == 1 and result.err == "", result)
        said = json.loads(result.out)
        check(said == {"error": said["error"], "errorDetail": {"message": said["error"]}} and said["error"], result)
        store.fails(1, said["error"].split("\n")[0], "images")
    store.fails(2, "unknown option", "images", "--json", "--jsn")


def several(site):
    """several references: one that fails does not keep the others away"""
    store = Store(site)
    result = store.run("pull", "--quiet", site.app("two"), site.app("none"), site.app("list"))
    check(result.code == 1 and result.out == site.app("two") + "\n" + site.app("list") + "\n", result)
    check(re.fullmatch(r"towline: manifest for [^\n]+\n", result.err), result)
    result = store.run("--log-level", "error", "pull", "--quiet", site.app("none"))
    check(re.fullmatch(r"towline: manifest for [^\n]+\n  phase: manifest, endpoint: http[^\n]+\n"
                       r"  HTTP status: [^\n]*code: MANIFEST_UNKNOWN\n(  tried [^\n]+\n)*", result.err), result)
    check(store.run("pull", site.app("two"), "UPPER/x").code == 1)


def policies(site):
    """--pull missing asks nobody for what is here; newer puts up with a registry that is away"""
    store = Store(site)
    store.ok("pull", "--pull", "missing", site.app("two"))
    asked = len(site.requests())
    check(store.ok("pull", "--pull=missing", site.app("two")).lines[-1] == site.app("two"))
    check(len(site.requests()) == asked, site.requests()[asked:])
    store.ok("pull", "--pull=missing", "--platform=linux/arm64", site.app("list"))
    check(len(site.requests()) > asked)
    asked = len(site.requests())
    store.ok("pull", "--pull=missing", "--platform=linux/arm64", site.app("list"))
    check(len(site.requests()) == asked)
    store.ok("pull", "--pull", "newer", site.app("two"))
    check(len(site.requests()) > asked)
    away = "127.0.0.1:%d/x:1" % images.free_port()
    store.fails(1, "connection refused", "pull", "--pull", "newer", away)
    store.ok("tag", site.app("two"), away)
    result = store.run("pull", "--quiet", "--pull", "newer", away)
    check(result.code == 0 and result.out == away + "\n" and "warning: the image that is here" in result.err, result)
    store.fails(2, "--pull is always, missing or newer", "pull", "--pull", "never", site.app("two"))


# ---- what fails

def unknown_tag(site):
    """an unknown tag, an unknown image"""
    store = Store(site)
    store.fails(1, "manifest for %s not found: manifest unknown: manifest unknown" % site.app("none"),
                "pull", site.app("none"))
    store.fails(1, "manifest for %s/no/such:x not found" % site.host, "pull", site.host + "/no/such:x")
    store.is_empty()


def refused(site):
    """nobody listens at that host"""
    store = Store(site)
    store.fails(1, "connection refused", "pull", "127.0.0.1:%d/x:1" % images.free_port())
    store.is_empty()


def no_such_platform(site):
    """a platform that the list does not have; one that is no platform"""
    store = Store(site)
    store.fails(1, "no matching manifest for linux/s390x in the manifest list entries",
                "pull", "--platform", "linux/s390x", site.app("list"))
    store.is_empty()
    store.fails(2, "--platform", "pull", "--platform", "linux/", site.app("list"))


def bad_references(site):
    """a wrong reference is refused before anything is made"""
    for reference, text in (("UPPER/case", "invalid reference format: repository name must be lowercase"),
                            ("", "invalid reference format"), ("a:b:c", "invalid reference format"),
                            ("x@sha256:12", "invalid"), ("a\x1b[2Jb", "invalid reference format"),
                            ("f" * 64, "cannot specify 64-byte hexadecimal strings")):
        store = Store(site)
        store.fails(1, text, "pull", reference)
        check(not os.path.exists(store.root), "a store was made for " + reference)


def bad_configs(site):
    """an engine.json that cannot be used is one clear line, and nothing is made"""
    for text, words in (("{", "engine.json"), ('{"data-rot": "/x"}', "data-rot"), ('{"data-root": 7}', "data-root"),
                        ('{"max-concurrent-downloads": "three"}', "max-concurrent-downloads"), ("[]", "engine.json"),
                        ('{"registry-mirrors": ["ftp://x"]}', "ftp")):
        store = Store(site)
        store.write(text)
        store.fails(1, words, "--root", store.root, "pull", site.app("two"))
        check(not os.path.exists(store.root), "a store was made for " + text)
    store = Store(site)
    os.remove(store.config)
    store.fails(1, store.config, "pull", site.app("two"))
    os.mkdir(store.config)
    store.fails(1, store.config, "pull", site.app("two"))
    check(not os.path.exists(store.root), "a store was made")


def bad_plugins(site):
    """a plugin that is missing, no plugin, or of another ABI"""
    store = Store(site)

    def refuses(path, text):
        store.fails(1, text, "--plugin", path, "pull", site.app("two"))
        check(not os.path.exists(store.root), "a store was made")

    refuses(os.path.join(store.dir, "nowhere.so"), "nowhere.so")
    not_elf = os.path.join(store.dir, "text.so")
    with open(not_elf, "w", encoding="utf-8") as out:
        out.write("not a shared object\n")
    refuses(not_elf, "text.so")
    compiler = os.environ.get("CC", "cc").split()
    need(compiler[0])
    for name, source, text in (
            ("other", "int other;", "image_pull_plugin"),
            ("major", "const struct image_pull_plugin image_pull_plugin = {IMAGE_PULL_MAGIC, 99, 0, "
                      "sizeof(struct image_pull_plugin)};", "99"),
            ("magic", "const struct image_pull_plugin image_pull_plugin = {1, IMAGE_PULL_ABI_MAJOR, 0, "
                      "sizeof(struct image_pull_plugin)};", "magic.so"),
            ("short", "const struct image_pull_plugin image_pull_plugin = {IMAGE_PULL_MAGIC, IMAGE_PULL_ABI_MAJOR, 0, "
                      "16};", "short.so")):
        path = os.path.join(store.dir, name)
        with open(path + ".c", "w", encoding="utf-8") as out:
            out.write('#include "image_pull.h"\n' + source + "\n")
        subprocess.run([*compiler, "-w", "-shared", "-fPIC", "-I" + os.path.join(TOP, "plugin"), "-o", path + ".so",
                        path + ".c"], check=True)
        refuses(path + ".so", text)


def usage(site):
    """wrong usage: one line, exit status 2"""
    store = Store(site)
    for args in ((), ("fly",), ("pull",), ("tag", "a", "b", "c"), ("pull", "--pull", "x", "a"), ("pull", "--what", "a"), ("pull", "--progress", "x", "a"),
                 ("pull", "--platform"), ("images", "x"), ("tag", "a"), ("rm",), ("bundle", "a"), ("rootfs", "a"),
                 ("--log-level", "loud", "images"), ("inspect",), ("load",), ("save", "a"), ("fsck", "--shallow"),
                 ("bundle", "--remove", "a", "b"), ("--nothing",)):
        result = store.run(*args)
        check(result.code == 2, result)
        check(re.fullmatch(r"towline: [^\n]+\n", result.err) and result.out == "", result)
    check(not os.path.exists(store.root), "a store was made")


def help_text(site):
    """--help fits a screen, --version says one"""
    store = Store(site)
    result = store.ok("--help")
    check(len(result.lines) <= 24 and max(map(len, result.lines)) <= 80, result)
    for word in "pull plan login logout doctor images inspect tag rm prune fsck rootfs bundle load save serve".split():
        check(re.search(r"^  (\w+ [A-Z]+, )?%s\b" % word, result.out, re.M), word)
    check(re.fullmatch(r"towline \d+\.\d+\.\d+\n", store.ok("--version").out))


def log_levels(site):
    """--log-level writes to stderr, and only what was asked for"""
    store = Store(site)
    result = store.run("--log-level", "debug", "pull", site.app("latest"))
    check(result.code == 0, result)
    check(all(re.fullmatch(r'level=(error|warning|info|debug) msg=".*"', l) for l in result.err.splitlines()), result)
    check('level=debug msg="Trying to pull %s/team/app from ' % site.host in result.err, result)
    check(store.run("--log-level", "error", "pull", site.app("latest")).err == "")


# ---- the store's commands

def images_and_names(site):
    """images, tag, rm: names come and go, with the last one the image"""
    store = Store(site)
    check(store.ok("images").out.split() == "REPOSITORY TAG IMAGE ID CREATED SIZE".split())
    store.ok("prune")
    store.ok("fsck", "--repair")
    for args in (("tag", "x", "y"), ("rm", "x"), ("rootfs", "x", store.dir + "/fs"), ("save", "x", store.dir + "/tar"),
                 ("bundle", "x", store.dir + "/b")):
        store.fails(1, "No such image: x", *args)
    check(not os.path.exists(store.root), "looking made a store")
    store.ok("pull", "-q", site.app("two"))
    names = os.path.join(store.root, "image/overlay2/repositories.json")
    with open(names, "w", encoding="utf-8") as out:
        out.write('{"Repositories":{"')
    store.fails(1, names + ": unexpected EOF", "images")
    check("unexpected EOF" in store.run("fsck").out)
    store.ok("fsck", "--repair")
    store.ok("fsck")
    store.ok("pull", "-q", site.app("two"))
    store.ok("tag", site.app("two"), "mine")
    rows = store.ok("images").lines
    check(len(rows) == 3 and sorted(r.split()[0] for r in rows[1:]) == sorted([site.host + "/team/app", "mine"]), rows)
    row = next(r for r in rows if r.startswith("mine")).split()
    check(row[1] == "latest" and re.fullmatch("[0-9a-f]{12}", row[2]) and row[-1].endswith("B"), row)
    entry = json.loads(store.ok("images", "--json").out)[0]
    check(entry["Id"][7:19] == row[2] and entry["Labels"] == {"who": "<me> & \u00e9"}, entry)
    check(store.ok("rm", site.app("two")).lines[0] == "Untagged: " + site.app("two"))
    store.ok("inspect", "mine")
    result = store.ok("rm", "mine:latest")
    check(result.lines[0] == "Untagged: mine:latest" and any(l.startswith("Deleted: ") for l in result.lines), result)
    store.is_empty()
    store.fails(1, "No such image: mine", "rm", "mine")
    result = store.run("inspect", "mine")
    check(result.code == 1 and json.loads(result.out) == [] and "No such image: mine" in result.err, result)
    store.fails(1, "No such image", "tag", "mine", "yours")


def root_option(site):
    """--root outranks engine.json's data-root"""
    store = Store(site)
    other = os.path.join(store.dir, "other")
    store.ok("--root", other, "pull", "-q", site.app("latest"))
    check(os.path.isdir(other) and not os.path.exists(store.root))
    check(len(store.ok("--root=" + other, "images").lines) == 2)


def root_filesystem(site):
    """rootfs: the layers merged, the whiteout applied"""
    if os.geteuid() != 0:
        raise tap.Skip("needs root")
    store = Store(site)
    store.ok("pull", "-q", site.app("two"))
    target = os.path.join(store.dir, "fs")
    store.ok("rootfs", site.app("two"), target)
    names = sorted(os.path.relpath(os.path.join(d, f), target) for d, _, fs in os.walk(target) for f in fs)
    check(names == ["bin/hello", "etc/new"], names)
    store.fails(1, target, "rootfs", site.app("two"), target)


def unprivileged(site):
    """a user who is not root pulls into a store of his own, and gets the files"""
    need("setpriv", "unshare")
    nobody = 65534
    if subprocess.run(["setpriv", "--reuid", str(nobody), "--regid", str(nobody), "--clear-groups", "unshare", "-U",
                       "true"], capture_output=True, check=False).returncode != 0:
        raise tap.Skip("user namespaces are not allowed here")
    store = Store(site)
    store.everyones(nobody)
    store.ok("pull", "-q", site.app("two"))
    root = os.path.join(store.home, ".local", "share", "towline")
    check(os.path.isdir(root), "no store in the user's folder")
    target = os.path.join(store.home, "fs")
    store.ok("rootfs", site.app("two"), target)
    check(sorted(os.listdir(os.path.join(target, "etc"))) == ["new"])
    check(os.stat(os.path.join(target, "bin", "hello")).st_uid == nobody)
    store.ok("fsck", "--deep")
    store.ok("rm", site.app("two"))
    check(json.loads(store.ok("images", "--json").out) == [])


def check_and_prune(site):
    """fsck finds a sound store, prune leaves what is used"""
    store = Store(site)
    store.ok("pull", "-q", site.app("two"))
    store.ok("fsck")
    store.ok("fsck", "--deep")
    store.ok("prune", "--dry-run")
    store.ok("prune")
    check(len(json.loads(store.ok("images", "--json").out)) == 1)
    store.ok("fsck", "--deep")


def load_and_save(site):
    """save and load: the same image comes back"""
    store, other = Store(site), Store(site)
    store.ok("pull", "-q", site.app("two"))
    identity = json.loads(store.ok("inspect", site.app("two")).out)[0]["Id"]
    archive = os.path.join(store.dir, "image.tar")
    for target in (archive, "oci:" + os.path.join(store.dir, "oci")):
        store.ok("save", site.app("two"), target)
        other.ok("load", target)
        check(json.loads(other.ok("inspect", identity).out)[0]["Id"] == identity)
        other.ok("rm", "--force", identity)


# ---- registries of other kinds

def tls(site):
    """a registry over TLS: with its CA in certs.d, without, and where the loopback counts as insecure"""
    need("openssl")
    work = tempfile.mkdtemp(dir=site.work)
    key, cert = os.path.join(work, "key.pem"), os.path.join(work, "cert.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days",
                    "2", "-subj", "/CN=test registry", "-addext", "subjectAltName=IP:127.0.0.1"],
                   check=True, capture_output=True)
    registry = images.Registry(work, "tls", extra="  tls: {certificate: %s, key: %s}\n" % (cert, key))
    try:
        site.push(registry, "two")
        name = registry.host + "/team/app:two"
        Store(site).ok("pull", name)
        certs = os.path.join(work, "certs.d")
        strict = Store(site, **{"insecure-loopback": False, "certs-dirs": [certs]})
        strict.fails(1, "x509: certificate signed by unknown authority", "pull", name)
        strict.ok("pull", "--ca", cert, name)
        strict.fails(1, "holds no PEM certificate", "pull", "--ca", strict.config, name)
        strict.ok("rm", name)
        os.makedirs(os.path.join(certs, registry.host))
        shutil.copy(cert, os.path.join(certs, registry.host, "ca.crt"))
        strict.ok("pull", name)
    finally:
        registry.close()


# ---- interruptions

def interrupted(site):
    """Ctrl-C stops at once and leaves nothing visible"""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        store = Store(site)
        with images.StallingServer() as name:
            proc = store.start("pull", name)
            check(images.Stalling.stalled.wait(WAIT), "the layer was never asked for")
            proc.send_signal(number)
            try:
                out, err = proc.communicate(timeout=10)
            except subprocess.TimeoutExpired:
                proc.kill()
                raise AssertionError("it did not stop")
        result = Result(proc, out.decode(), err.decode())
        check(result.code == 1 and result.err == "towline: context canceled\n", result)
        store.is_empty()
        store.ok("fsck", "--deep")
        store.ok("pull", "-q", site.app("two"))


def killed(site):
    """after a kill nothing is visible, and the next pull cleans up"""
    store = Store(site)
    with images.StallingServer() as name:
        proc = store.start("pull", name)
        check(images.Stalling.stalled.wait(WAIT), "the layer was never asked for")
        proc.kill()
        proc.communicate()
    store.ok("pull", "-q", site.app("two"))
    check(len(json.loads(store.ok("images", "--json").out)) == 1)
    store.ok("rm", site.app("two"))
    store.is_empty()


def broken_pipe(site):
    """a reader that goes away ends the pull, in order"""
    store = Store(site)
    proc = store.start("pull", "--progress", "plain", site.app("two"), bufsize=0)
    proc.stdout.close()
    check(proc.wait(WAIT) in (0, 1), proc.returncode)
    err = proc.stderr.read().decode()
    proc.stderr.close()
    check(proc.returncode == 1 and "write error: Broken pipe" in err, err)
    store.ok("fsck", "--deep")


def on_terminal(store, *args, **variables):
    """What a pull writes to a terminal, with these variables; None: not set."""
    env = {**Store.env(store), **variables}
    store.env = lambda: {name: value for name, value in env.items() if value is not None}
    master, slave = pty.openpty()
    proc = store.start(*args, stdout=slave)
    os.close(slave)
    data = b""
    deadline = time.monotonic() + WAIT
    while time.monotonic() < deadline:
        if not select.select([master], [], [], 1)[0]:
            continue
        try:
            piece = os.read(master, 65536)
        except OSError:  # the other end is closed
            break
        data += piece
    os.close(master)
    err = proc.stderr.read().decode()
    proc.stderr.close()
    check(proc.wait(WAIT) == 0 and err == "", err)
    return data.decode().replace("\r\n", "\n")


def terminal(site):
    """a terminal gets live lines and ends as docker's does; colours where they are wanted, and none in a pipe"""
    for variables, args, live, colours in (
            ({}, [], True, True), ({"NO_COLOR": ""}, [], True, True), ({"NO_COLOR": "1"}, [], True, False),
            ({"NO_COLOR": "1"}, ["--color", "always"], True, True), ({}, ["--color=never"], True, False),
            ({"TERM": "dumb"}, [], False, False), ({"TERM": None}, [], False, False)):
        text = on_terminal(Store(site), "pull", *args, site.app("two"), **variables)
        check(("\033[" in text) == live, repr((variables, text)))
        check(("\033[32mPull complete\033[0m" in text) == colours, repr((variables, args, text)))
        check(not colours or text.rstrip("m").rfind("\033[0") > text.rfind("\033[3"), repr(text))
        text = re.sub(r"\033\[\d*m", "", text)
        check(text.startswith("two: Pulling from team/app\n"), repr(text))
        check(len(re.findall(r"[0-9a-f]{12}: Pull complete", text)) >= 2, repr(text))
        check(text.endswith("Status: Downloaded newer image for %s\n%s\n" % (site.app("two"), site.app("two"))), repr(text))
    store = Store(site)
    store.fails(2, "--color is auto, always or never", "pull", "--color", "yes", site.app("two"))
    check("\033" not in store.ok("pull", site.app("two")).out)


CASES = [help_text, usage, bad_references, bad_configs, bad_plugins, fresh_pull, second_pull, image_id, podmans_id, default_tag,
         quiet, by_digest, all_tags, platforms, other_platform, json_stream, json_error, json_failures, several, policies, unknown_tag, refused, no_such_platform,
         log_levels, images_and_names, root_option, root_filesystem, unprivileged, check_and_prune, load_and_save, tls,
         interrupted, killed, broken_pipe, terminal]


def main(name="cli", cases=None):
    tap.needs("docker-registry", "skopeo", built=(PROGRAM, PLUGIN), root="needs root")
    tap.main(name, cases or CASES, Site)


if __name__ == "__main__":
    main()
