#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Docker's own client against `towline serve`, and the same commands against dockerd: what both print, how both end.

What differs on purpose stands in docker_api_differences.json beside: the case, the reason, and what both printed; an entry
that is not seen any more, or not so, is a failure too.

    tests/integration/dockerapi.py [CASE...]"""
import base64
import concurrent.futures
import http.client
import http.server
import importlib.machinery
import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import images  # noqa: E402
import tap  # noqa: E402
from tap import check  # noqa: E402

BUILD = os.path.abspath(os.environ.get("top_builddir", "."))
LIBS = os.path.join(BUILD, ".libs")
PROGRAM, PLUGIN = os.path.join(LIBS, "towline"), os.path.join(LIBS, "image_pull.so")
# Debian's, where another one stands before it.
CLIENT = next((p for p in ("/usr/bin/docker",) if os.access(p, os.X_OK)), shutil.which("docker"))
WAIT = 60
LAYER = re.compile(r"^([0-9a-f]{12}): (.*)$")


def compare_module():
    """docker_compare, which knows how dockerd is started."""
    loader = importlib.machinery.SourceFileLoader("docker_compare", os.path.join(HERE, "docker_compare"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("docker_compare", loader))
    loader.exec_module(module)
    return module


class Engine:
    """Something that a docker client can talk to, and a home for that client."""

    def __init__(self, site, sock):
        self.sock = sock
        self.home = tempfile.mkdtemp(dir=site.work)

    def start(self, *args):
        return subprocess.Popen([CLIENT, "--config", self.home, "-H", "unix://" + self.sock, *args],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, *args, text=""):
        proc = self.start(*args)
        try:
            out, err = proc.communicate(text, timeout=WAIT)
        except subprocess.TimeoutExpired:
            proc.kill()
            raise AssertionError("hung: docker " + " ".join(args))
        return proc.returncode, out, err

    def ok(self, *args, **more):
        code, out, err = self.run(*args, **more)
        check(code == 0, "docker %s: %d\n%s%s" % (" ".join(args), code, out, err))
        return out

    def inspect(self, name):
        return json.loads(self.ok("image", "inspect", name))[0]

    def request(self, method, path, headers=None, body=None):
        """Status, headers, body."""
        conn = http.client.HTTPConnection("docker", timeout=WAIT)
        conn.sock = socket.socket(socket.AF_UNIX)
        conn.sock.settimeout(WAIT)
        conn.sock.connect(self.sock)
        conn.request(method, path, body, headers or {})
        answer = conn.getresponse()
        got = answer.status, answer.headers, answer.read()
        conn.close()
        return got


class Towline(Engine):
    """`towline serve` on a socket and a store of its own."""

    def __init__(self, site, *args, passed=None, **config):
        self.dir = tempfile.mkdtemp(dir=site.work)
        super().__init__(site, os.path.join(self.dir, "sock"))
        self.root = os.path.join(self.dir, "store")
        self.config = os.path.join(self.dir, "engine.json")
        with open(self.config, "w", encoding="utf-8") as out:
            json.dump({"plugins": {"image_pull": {"path": PLUGIN}}, "data-root": self.root, "max-download-attempts": 1,
                       **config}, out)
        self.log = open(os.path.join(self.dir, "log"), "wb")
        self.env = {**os.environ, "LD_LIBRARY_PATH": LIBS}
        self.proc = passed(self) if passed else subprocess.Popen(
            [PROGRAM, "--config", self.config, "serve", "--socket", self.sock, *args], env=self.env,
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        self.wait_until_up()

    def wait_until_up(self):
        for _ in range(WAIT * 20):
            try:
                check(self.request("GET", "/_ping")[0] == 200)
                return
            except OSError:
                check(self.proc.poll() is None, "towline serve ended: " + self.said())
                time.sleep(0.05)
        raise AssertionError("towline serve does not answer")

    def said(self):
        with open(self.log.name, encoding="utf-8") as text:
            return text.read()

    def towline(self, *args):
        return subprocess.run([PROGRAM, "--config", self.config, *args], env=self.env, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=WAIT, check=True).stdout

    def staging(self):
        path = os.path.join(self.root, "layers", "staging")
        return os.listdir(path) if os.path.isdir(path) else []

    def close(self, number=signal.SIGTERM):
        self.proc.send_signal(number)
        code = self.proc.wait(WAIT)
        self.log.close()
        return code


class Dockerd(Engine):
    def __init__(self, site):
        work = tempfile.mkdtemp(prefix="d", dir=site.work)
        self.daemon = compare_module().Dockerd(work)
        super().__init__(site, self.daemon.sock)

    def close(self):
        self.daemon.close()


class Site(images.Site):
    """The registries, and more images: of other days, with labels, without a layer."""

    def __init__(self, work):
        super().__init__(work)
        self.app, self.host = self.plain.host + "/team/app", self.plain.host
        self.base = images.tar_of({"bin": None, "bin/hello": b"hello\n"})
        self.digest = self.plain.digest("team/app", "two", self.SCHEMA2)
        self.open = []

    def serve(self, *args, **more):
        """A new server; the one of the case before ends."""
        self.end_servers()
        self.open.append(Towline(self, *args, **more))
        return self.open[-1]

    def end_servers(self):
        for engine in self.open:
            if engine.proc.poll() is None:
                check(engine.close() == 0, engine.said())
        self.open = []

    def push(self, repository, tag, layers, day="2019-05-01", **config):
        """An image of its own day; returns its reference."""
        layout = images.Layout(tempfile.mkdtemp(dir=self.work))
        descriptor = layout.image(layers, config={"Cmd": ["/bin/hello", tag], **config})
        with open(os.path.join(layout.path, "blobs", "sha256", descriptor["digest"][7:]), "rb") as text:
            manifest = json.load(text)
        with open(os.path.join(layout.path, "blobs", "sha256", manifest["config"]["digest"][7:]), "rb") as text:
            conf = text.read().replace(b'"2019-05-01T', b'"' + day.encode() + b"T", 1)
        manifest["config"].update(digest=layout.blob(conf), size=len(conf))
        data = json.dumps(manifest).encode()
        layout.name({"mediaType": manifest["mediaType"], "size": len(data), "digest": layout.blob(data)}, "it")
        self.plain.push("oci:%s:it" % layout.path, "%s:%s" % (repository, tag), fmt="v2s2")
        return "%s/%s:%s" % (self.host, repository, tag)

    def close(self):
        self.end_servers()
        super().close()


# ---- the same commands to both

def commands(site):
    """(words of a command line, what goes to stdin), in this order, on one engine."""
    app, host, locked = site.app, site.host, site.locked.host
    old = site.push("days/old", "1", [site.base], "2017-01-02", Labels={"color": "red", "a": "<&>"})
    new = site.push("days/new", "1", [site.base], "2020-03-04", Labels={"color": "blue"}, Env=["A=1"], User="me",
                    ExposedPorts={"80/tcp": {}}, Volumes={"/data": {}}, Entrypoint=["/e"], WorkingDir="/w", StopSignal="TERM")
    table = "--format={{.Repository}} {{.Tag}} {{.ID}} {{.Digest}} {{.Size}} {{.CreatedAt}}"
    return [
        ("version --format", "{{.Server.APIVersion}} {{.Server.MinAPIVersion}} {{.Server.Os}} {{.Server.Arch}} "
         "{{.Server.KernelVersion}} {{.Server.Experimental}}"),
        ("info --format", "{{.Containers}} {{.Images}} {{.OSType}} {{.Architecture}} {{.NCPU}} {{.MemTotal}} {{.Name}} "
         "{{.KernelVersion}} {{.IndexServerAddress}} {{json .RegistryConfig}} {{.Swarm.LocalNodeState}}"),
        "images",
        "pull " + app + ":one",
        "pull " + app + ":one",
        "pull -q " + app + ":two",
        "pull %s@%s" % (app, site.digest),
        "pull " + host + "/solo",
        "pull -a " + app,
        "pull " + host + "/team/multi:list",
        "pull --platform linux/arm64 " + host + "/team/multi:list",
        "pull --platform linux/ppc64le " + host + "/team/multi:list",
        "pull " + host + "/team/multi:foreign",
        "pull --platform linux//x " + app + ":one",
        "pull --platform vax " + app + ":one",
        "pull " + host + "/oci/app:two",
        "pull " + old,
        "pull " + new,
        "pull " + app + ":none",
        "pull " + host + "/no/such:1",
        "pull -a " + host + "/no/such",
        "pull %s@sha256:%s" % (app, "0" * 64),
        "pull " + locked + "/team/app:two",
        ("login -u ann --password-stdin " + locked, None, "wrong"),
        ("login -u ann --password-stdin " + locked, None, "pass word"),
        "pull " + locked + "/team/app:two",
        "logout " + locked,
        "pull " + locked + "/team/app:two",
        "login -u ann -p x 127.0.0.1:1",
        "login -u ann -p x " + host,
        ("images --no-trunc", table),
        "images -q",
        "images -a " + app,
        "images " + app + ":two",
        "images --digests " + host + "/solo",
        "images " + host + "/days/*",
        "images no/such",
        "images a[",
        "images --filter dangling=true",
        "images --filter label=color",
        "images -q --filter label=color=red",
        "images --filter before=" + new,
        "images --filter since=" + old,
        "images --filter since=absent",
        "images --filter reference=*:*/*/new:1",
        "images --filter colour=red",
        "images --filter dangling=maybe",
        "image inspect " + new,
        "image inspect %s:two %s" % (app, old),
        ("image inspect %s:two --format" % app, "{{.Id}} {{json .Config}} {{.Size}} {{json .RootFS}} {{.RepoTags}}"),
        "image inspect absent",
        "inspect --type image %s:one" % app,
        ("inspect %s:one --format" % app, "{{.Id}}"),
        "inspect absent:1",
        "tag " + app + ":one mine:1",
        "tag " + app + ":one mine:1",
        "tag " + new + " mine:1",
        "tag absent mine:2",
        "tag " + app + ":one mine/Bad",
        "image inspect --format {{.Id}},{{.RepoTags}} mine:1",
        "rmi mine:1",
        "rmi absent:1",
        "rmi " + app + ":one " + app + ":three absent",
        "rmi {id:%s}" % (host + "/solo:latest"),
        "rmi -f {id:%s}" % old,
        "rmi " + new,
        "rmi %s@%s" % (app, site.digest),
        "rmi " + app + ":two",
        "images -q " + app,
        "rmi " + host + "/team/multi:list " + host + "/oci/app:two",
        "image rm -f " + app + ":again " + locked + "/team/app:two " + host + "/solo",
        ("images --no-trunc", table),
    ]


def pulled(text):
    """A pull's lines without those between a layer's first and last: the original drops some, and layers overtake one
    another."""
    order, last = [], {}
    for line in text.splitlines():
        layer = LAYER.match(line)
        if not layer or layer[2] in ("Pulling fs layer", "Already exists"):
            order.append(line)
        if layer:
            last[layer[1]] = layer[2]
    return order + ["%s ends: %s" % x for x in sorted(last.items())]


def normal(words, result, ignored):
    code, out, err = result
    lines = pulled(out) if "pull" in words[:1] else out.splitlines()
    if words[0] == "images":  # of one second: in no order
        lines = sorted(lines)
    if words[:2] == ["image", "inspect"] and out.startswith("[") or words[:3] == ["inspect", "--type", "image"]:
        parsed = json.loads(out)
        for image in parsed:
            for member in ignored:
                image.pop(member)
        lines = json.dumps(parsed, indent=1).splitlines()
    return {"exit": code, "out": lines, "err": err.splitlines()}


def results_of(site, engine, ignored):
    """Each command's normalised result."""
    results = {}
    names = [(site.locked.host, "{{locked}}"), (site.host, "{{host}}"), (engine.home, "{{home}}")]
    for entry in site.commands:
        line, last, text = (entry, None, "") if isinstance(entry, str) else (*entry, "")[:3]
        words = line.split()
        for i, word in enumerate(words):
            if word.startswith("{id:"):
                words[i] = engine.inspect(word[4:-1])["Id"]
        words += [last] if last else []
        result = normal(words, engine.run(*words, text=text or ""), ignored)
        name, told = line, json.dumps(result)
        for found, instead in names:
            name, told = name.replace(found, instead), told.replace(found, instead)
        while name in results:
            name += " (again)"
        results[name] = json.loads(told)
    return results


def same_as_dockerd(site):
    """the stock client's commands: the same output and exit codes as with dockerd"""
    if not shutil.which("dockerd"):
        raise tap.Skip("dockerd is not installed")
    with open(os.path.join(HERE, "docker_api_differences.json"), encoding="utf-8") as text:
        known = json.load(text)
    ignored = [member for entry in known for member in entry.get("ignored", [])]
    known = [entry for entry in known if "commands" in entry]
    site.commands = commands(site)
    dockerd = Dockerd(site)
    try:
        theirs = results_of(site, dockerd, ignored)
    finally:
        dockerd.close()
    ours = results_of(site, site.serve(), ignored)
    wrong, seen = [], set()
    for name, theirs_one in theirs.items():
        if theirs_one == ours[name]:
            continue
        differs = {"dockerd": {k: v for k, v in theirs_one.items() if v != ours[name][k]},
                   "towline": {k: v for k, v in ours[name].items() if v != theirs_one[k]}}
        entry = next((d for d in known if name in d["commands"]), None)
        if entry and (name != entry["commands"][0] or {k: entry[k] for k in differs} == differs):
            seen.add((entry["id"], name))
        else:
            wrong.append("%s\n%s" % (name, json.dumps(differs, indent=1)))
    for entry in known:
        wrong += ["%s: the difference is not seen any more in: %s" % (entry["id"], name)
                  for name in entry["commands"] if (entry["id"], name) not in seen]
    print("# %d commands, %d of them with a known difference" % (len(theirs), len(seen)))
    check(len(theirs) >= 25 and not wrong, "\n".join(wrong))


# ---- Docker's own cases (integration-cli/docker_cli_pull_*), in our words

def gets(site, digest):
    """How often the registry was asked for that blob."""
    with open(site.plain.log, encoding="utf-8", errors="replace") as text:
        return len(re.findall(r'"GET /v2/\S+/blobs/%s HTTP' % digest, text.read()))


def blobs(site, repository, tag):
    """The digests of an image's layers."""
    conn = http.client.HTTPConnection(site.host, timeout=WAIT)
    conn.request("GET", "/v2/%s/manifests/%s" % (repository, tag), headers={"Accept": site.SCHEMA2})
    return [layer["digest"] for layer in json.loads(conn.getresponse().read())["layers"]]


def at_once(calls):
    with concurrent.futures.ThreadPoolExecutor(len(calls)) as pool:
        return [f.result() for f in [pool.submit(c) for c in calls]]


def aliases(site):
    """one tag is pulled: other names of the same image do not come with it"""
    engine = site.serve()
    recent = site.push("alias/app", "recent", [site.base])
    subprocess.run(["skopeo", "copy", "--insecure-policy", "--quiet", "--src-tls-verify=false", "--dest-tls-verify=false",
                    "docker://" + recent, "docker://%s/alias/app:fresh" % site.host], check=True)
    engine.ok("pull", recent)
    check(engine.inspect(recent)["RepoTags"] == [recent])
    check(engine.run("image", "inspect", site.host + "/alias/app:fresh")[0] == 1)
    engine.ok("pull", site.host + "/alias/app:fresh")
    check(len(engine.inspect(recent)["RepoTags"]) == 2)


def whole_repository_at_once(site):
    """three clients pull all tags of a repository at once: all of them get all, each layer is fetched once"""
    engine = site.serve()
    layers = [images.tar_of({"file": os.urandom(300000)}) for _ in range(3)]
    tags = [site.push("whole/app", tag, layers[:n + 1]) for n, tag in enumerate(("recent", "fresh", "todays"))]
    for code, out, err in at_once([lambda: engine.run("pull", "-a", site.host + "/whole/app")] * 3):
        check(code == 0, out + err)
        check(all("%s: Pulling from whole/app" % tag in out for tag in ("recent", "fresh", "todays")), out)
    for tag in tags:
        check(engine.inspect(tag)["Config"]["Cmd"] == ["/bin/hello", tag.rsplit(":", 1)[1]])
    for digest in blobs(site, "whole/app", "todays"):
        check(gets(site, digest) == 1, "%s was fetched %d times" % (digest, gets(site, digest)))
    engine.towline("fsck", "--deep")


def failing_at_once(site):
    """three clients ask for a tag that is not there: each is told so"""
    engine = site.serve()
    for code, _, err in at_once([lambda: engine.run("pull", site.app + ":asdfasdf")] * 3):
        check(code == 1 and "manifest for %s:asdfasdf not found" % site.app in err, err)


def tags_at_once(site):
    """three clients pull three tags at once: the layers they share are fetched once"""
    engine = site.serve()
    shared = images.tar_of({"shared": os.urandom(500000)})
    tags = [site.push("share/app", tag, [shared, images.tar_of({tag: b"x"})]) for tag in ("recent", "fresh", "todays")]
    for code, out, err in at_once([lambda tag=tag: engine.run("pull", tag) for tag in tags]):
        check(code == 0, out + err)
    check(gets(site, blobs(site, "share/app", "fresh")[0]) == 1)
    check(len({engine.inspect(tag)["Id"] for tag in tags}) == 3)


def id_stability(site):
    """an image keeps its ID, whether it is pulled again, under another name, or after it was removed"""
    engine = site.serve()
    first, second = site.app + ":one", site.host + "/solo:latest"
    engine.ok("pull", first)
    identity = engine.inspect(first)["Id"]
    for name in (first, second):
        out = engine.ok("pull", name)
        check("Pull complete" not in out, out)
        check(engine.inspect(name)["Id"] == identity)
    engine.ok("rmi", first, second)
    check(engine.ok("images", "-q") == "")
    check("Pull complete" in engine.ok("pull", first))
    check(engine.inspect(first)["Id"] == identity)


def no_layers(site):
    """an image without a layer"""
    engine = site.serve()
    name = site.push("none/scratch", "latest", [])
    engine.ok("pull", name[:-len(":latest")])
    check("Layers" not in engine.inspect(name)["RootFS"] and engine.inspect(name)["Size"] == 0)
    check(engine.ok("rmi", name).count("Deleted: ") == 1)


def manifest_list(site):
    """through a list of platforms: the list's digest is shown, this machine's image is here"""
    engine = site.serve()
    name = site.host + "/team/multi:list"
    digest = site.plain.digest("team/multi", "list", site.LIST)
    check("Digest: %s\n" % digest in engine.ok("pull", name))
    image = engine.inspect(name)
    check(image["Architecture"] == {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, image["Architecture"]))
    check(image["RepoDigests"] == ["%s/team/multi@%s" % (site.host, digest)], image)
    check(engine.ok("rmi", name).startswith("Untagged: %s\nUntagged: %s/team/multi@%s\n" % (name, site.host, digest)))


def implicit_tag(site):
    """a name without a tag is latest alone, -a brings the others and leaves latest as it is"""
    engine = site.serve()
    for tag in ("latest", "t1", "t2"):
        site.push("implicit/app", tag, [site.base])
    name = site.host + "/implicit/app"
    check("Using default tag: latest" in engine.ok("pull", name))
    before = engine.ok("images", name).splitlines()
    check(len(before) == 2 and " latest " in before[1], before)
    engine.ok("pull", "--all-tags", name)
    after = engine.ok("images", name).splitlines()
    check(len(after) == 4 and before[1].split()[:3] in [line.split()[:3] for line in after], after)


def implicit_parts(site):
    """Docker Hub's names in all their spellings mean one image, which is pulled once"""
    site.plain.push("oci:%s/layout:one" % site.work, "library/hello:latest", fmt="v2s2")
    engine = site.serve(**{"default-registry": "http://" + site.host})
    check("latest: Pulling from library/hello" in engine.ok("pull", "hello"))
    for name in ("hello:latest", "library/hello", "library/hello:latest", "docker.io/library/hello",
                 "index.docker.io/library/hello"):
        check("Image is up to date for hello:latest" in engine.ok("pull", name), name)
    check(len(engine.ok("images").splitlines()) == 2)
    code, _, err = engine.run("pull", "scratch")
    check(code == 1 and "'scratch' is a reserved name" in err, err)


def client_goes_away(site):
    """a client that is killed cancels its pull: the registry sees it, no image and no staging is left"""
    engine = site.serve()
    with images.StallingServer() as name:
        client = engine.start("pull", name)
        check(images.Stalling.stalled.wait(WAIT), "the layer was never asked for")
        check(engine.staging(), "nothing is being staged")
        client.kill()
        client.communicate()
        check(images.Stalling.gone.wait(WAIT), "the registry still has its connection")
    for _ in range(WAIT * 20):
        if not engine.staging():
            break
        time.sleep(0.05)
    check(not engine.staging(), engine.staging())
    check(engine.run("image", "inspect", name)[0] == 1)
    engine.ok("pull", site.app + ":one")


# ---- the server itself

def api_facts(site):
    """headers, versions, unknown pages, requests that are wrong"""
    engine = site.serve()
    for method in ("GET", "HEAD"):
        status, headers, body = engine.request(method, "/_ping")
        check((status, body) == (200, b"OK" if method == "GET" else b""), body)
        check([headers[k] for k in ("Api-Version", "Docker-Experimental", "Ostype", "Pragma")] ==
              ["1.41", "false", "linux", "no-cache"], headers)
    auth = base64.urlsafe_b64encode(b"{").decode()
    for method, path, headers, status, message in (
            ("GET", "/v1.99/images/json", {}, 400,
             "client version 1.99 is too new. Maximum supported API version is 1.41"),
            ("GET", "/v1.41/containers/json", {}, 404, "page not found"),
            ("PUT", "/images/json", {}, 404, "page not found"),
            ("GET", "/v1.41/images/absent/json", {}, 404, "no such image: absent: No such image: absent:latest"),
            ("GET", "/images/A/json", {}, 400,
             "no such image: A: invalid reference format: repository name must be lowercase"),
            ("DELETE", "/v1.41/images/%20", {}, 400, "image name cannot be blank"),
            ("POST", "/images/create?fromImage=A", {}, 400, "invalid reference format: repository name must be lowercase"),
            ("POST", "/images/create?fromImage=a&tag=" + "x" * 129, {}, 400, "invalid tag format"),
            ("POST", "/images/create?fromSrc=-", {}, 501, "images are pulled here, not imported"),
            ("POST", "/images/absent/tag?repo=a", {}, 404, "No such image: absent:latest"),
            ("GET", "/images/json?filters={", {}, 500, "unexpected end of JSON input"),
            ("POST", "/images/create?fromImage=%s&tag=none" % site.app, {"X-Registry-Auth": auth}, 404,
             "manifest for %s:none not found: manifest unknown: manifest unknown" % site.app)):
        got, _, body = engine.request(method, path, headers)
        check((got, json.loads(body)) == (status, {"message": message}), "%s %s: %d %s" % (method, path, got, body))
    status, headers, body = engine.request("GET", "/v1.12/images/absent/json")
    check(headers["Content-Type"].startswith("text/plain") and body.startswith(b"no such image: absent"), body)
    check(engine.request("GET", "/v1.11/images/json")[0] == 400)
    check(engine.request("POST", "/auth", body="{")[0] == 500)
    check(engine.request("POST", "/auth", body="x" * (1 << 20))[0] == 413)
    engine.ok("pull", "-q", site.app + ":one")
    status, _, body = engine.request("POST", "/images/%s:one/tag?repo=B" % site.app)
    check(status == 500 and b"must be lowercase" in body, body)
    status, _, body = engine.request("POST", "/images/create?fromImage=%s&tag=two" % site.app)
    lines = [json.loads(line) for line in body.split(b"\r\n") if line]
    check(status == 200 and any("current" in line.get("progressDetail", {}) for line in lines), lines)


def idle(site):
    """what a pull needs is loaded by the first one: before it, under 8 MB"""
    engine = site.serve()

    def mapped():
        with open("/proc/%d/maps" % engine.proc.pid, encoding="utf-8") as text:
            return {os.path.basename(line.split()[-1]) for line in text if "/" in line}
    engine.ok("images")
    check(not [name for name in mapped() if name.startswith(("image_pull", "libcurl"))], mapped())
    with open("/proc/%d/smaps_rollup" % engine.proc.pid, encoding="utf-8") as text:
        pss = int(re.search(r"^Pss:\s+(\d+) kB", text.read(), re.M)[1])
    print("#   %d kB" % pss)
    check(os.environ.get("SANITIZERS") or pss < 8192, "%d kB" % pss)
    engine.ok("pull", "-q", site.app + ":one")
    check("image_pull.so" in mapped())


def socket_file(site):
    """the socket: mode and group, one server for each, gone afterwards"""
    engine = site.serve("--group", "daemon")
    mode = os.stat(engine.sock)
    check(stat.S_IMODE(mode.st_mode) == 0o660 and mode.st_gid == 1, oct(mode.st_mode))
    second = subprocess.run([PROGRAM, "--config", engine.config, "serve", "--socket", engine.sock], env=engine.env,
                            capture_output=True, text=True, timeout=WAIT, check=False)
    check(second.returncode == 1 and "somebody listens there already" in second.stderr, second.stderr)
    check(engine.close(signal.SIGKILL) == -signal.SIGKILL and os.path.exists(engine.sock))
    again = subprocess.Popen([PROGRAM, "--config", engine.config, "serve", "--socket", engine.sock], env=engine.env,
                             stdin=subprocess.DEVNULL)
    engine.proc = again
    engine.wait_until_up()
    again.terminate()
    check(again.wait(WAIT) == 0 and not os.path.exists(engine.sock))


def terminated(site):
    """SIGTERM in the middle of a pull: the client is told, nothing is left, exit status 0"""
    engine = site.serve()
    with images.StallingServer() as name:
        client = engine.start("pull", name)
        check(images.Stalling.stalled.wait(WAIT), "the layer was never asked for")
        check(engine.close() == 0, engine.said())
        _, err = client.communicate(timeout=WAIT)
    check(client.returncode == 1 and err, err)
    check(not engine.staging() and not os.path.exists(engine.sock))
    engine.towline("fsck", "--deep")


def activated(site):
    """a socket that listens already, as systemd passes it, is used and stays"""
    def passed(engine):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(engine.sock)
        listener.listen(8)
        proc = subprocess.Popen(
            ["sh", "-c", "LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" \"$@\"", PROGRAM, "--config", engine.config, "serve"],
            env=engine.env, stdin=subprocess.DEVNULL, stdout=engine.log, stderr=engine.log, pass_fds=(3,),
            preexec_fn=lambda: os.dup2(listener.fileno(), 3))  # pylint: disable=subprocess-popen-preexec-fn
        listener.close()
        return proc
    reserved = os.open("/dev/null", os.O_RDONLY)  # so that 3 is free for pass_fds
    os.close(reserved)
    engine = site.serve(passed=passed)
    engine.ok("pull", "-q", site.app + ":one")
    check(engine.close() == 0 and os.path.exists(engine.sock))


def meta_headers(site):
    """X-Meta headers go on to the registry"""
    seen = []

    class Registry(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(self.headers.get("X-Meta-Who"))
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args):
            pass
    server = http.server.HTTPServer(("127.0.0.1", 0), Registry)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    engine = site.serve()
    engine.request("POST", "/images/create?fromImage=127.0.0.1:%d/a&tag=1" % server.server_address[1],
                   {"x-meta-who": "me"})
    server.shutdown()
    server.server_close()
    check(seen and set(seen) == {"me"}, seen)


CASES = [same_as_dockerd, aliases, whole_repository_at_once, failing_at_once, tags_at_once, id_stability, no_layers,
         manifest_list, implicit_tag, implicit_parts, client_goes_away, api_facts, idle, socket_file, terminated, activated,
         meta_headers]


if __name__ == "__main__":
    tap.needs("docker-registry", "skopeo", "htpasswd", "docker", built=(PROGRAM, PLUGIN, os.path.join(LIBS, "towline-serve")),
              root="needs root")
    tap.main("dockerapi", CASES, Site)
