#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""LXC with towline's template: containers made of images of a real registry, and run. In a mount namespace of the test's own,
where root has subordinate IDs."""
import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import images  # noqa: E402
import tap  # noqa: E402
from tap import check  # noqa: E402

BUILD = os.path.abspath(os.environ.get("top_builddir", "."))
LIBS = os.path.join(BUILD, ".libs")
PLUGIN = os.path.join(LIBS, "image_pull.so")
TEMPLATE = os.path.join(LIBS, "lxc-towline")
WAIT = 60  # seconds until something that should have ended counts as hung
BASE = 100000  # of the IDs that containers with lxc.idmap have here
WHO = "echo \"$(id -u):$(id -g) $(pwd) A=$A $(cat /etc/hostname)\""


class Site:
    def __init__(self, work):
        self.work = work
        self.home = os.path.join(work, "home")
        self.containers = os.path.join(work, "lxc")
        self.engine = os.path.join(work, "engine.json")
        self.store = os.path.join(work, "store")
        for folder in (self.home, self.containers):
            os.mkdir(folder)
        os.chmod(self.containers, 0o755)
        with open(self.engine, "w", encoding="utf-8") as f:
            f.write('{"plugins": {"image_pull": {"path": "%s"}}, "data-root": "%s"}' % (PLUGIN, self.store))
        self.plain = self.write("plain.conf", "lxc.net.0.type = empty\nlxc.apparmor.profile = unconfined\n")
        self.mapped = self.write("mapped.conf", "lxc.net.0.type = empty\nlxc.apparmor.profile = unconfined\n"
                                 "lxc.idmap = u 0 %d 65536\nlxc.idmap = g 0 %d 65536\n" % (BASE, BASE))
        self.registry = images.Registry(work, "plain")
        self.layout = images.Layout(os.path.join(work, "layout"))
        self.tar = images.busybox_tar()
        self.push("1", config={"Cmd": ["/bin/echo", "hello"], "Env": ["PATH=/bin"]})
        self.push("defaults", config={"Entrypoint": ["/bin/sh", "-c"], "Cmd": [WHO], "Env": ["PATH=/bin", "A= b \"c\" "],
                                      "User": "bob", "WorkingDir": "/not/there"})
        self.n = 0

    def close(self):
        self.registry.close()

    def write(self, name, text):
        path = os.path.join(self.work, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def push(self, tag, tars=None, config=None, registry=None, creds=None):
        self.layout.name(self.layout.image(tars or [self.tar], config=config), tag)
        (registry or self.registry).push("oci:%s:%s" % (self.layout.path, tag), "app:" + tag, creds, "v2s2")

    def url(self, tag):
        return "docker://%s/app:%s" % (self.registry.host, tag)

    def run(self, *argv, **more):
        env = {"PATH": os.environ["PATH"], "HOME": self.home, "LD_LIBRARY_PATH": LIBS}
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=WAIT, env=env, **more)
        done.text = "%s: exit status %d\n--- stdout\n%s\n--- stderr\n%s" % (
            " ".join(argv), done.returncode, done.stdout, done.stderr)
        return done


class Container:
    def __init__(self, site, config=None):
        site.n += 1
        self.site, self.name, self.config = site, "c%d" % site.n, config or site.plain
        self.dir = os.path.join(site.containers, self.name)
        self.rootfs = os.path.join(self.dir, "rootfs")

    def create(self, *options):
        return self.site.run("lxc-create", "-P", self.site.containers, "-f", self.config, "-n", self.name, "-t", TEMPLATE,
                             "--", "--config", self.site.engine, *options)

    def made(self, tag, *options):
        done = self.create("--url", self.site.url(tag), *options)
        check(done.returncode == 0, done.text)
        return done

    def fails(self, text, *options):
        """With that error, and no container is left."""
        done = self.create(*options)
        check(done.returncode != 0 and text in done.stderr, "%r is wanted\n%s" % (text, done.text))
        check(not os.path.exists(self.dir), "the container was left")

    def execute(self, *argv):
        if self.site.runs:
            raise tap.Skip(self.site.runs)
        return self.site.run("lxc-execute", "-P", self.site.containers, "-n", self.name, *(["--", *argv] if argv else []))

    def lines(self):
        with open(os.path.join(self.dir, "config"), encoding="utf-8") as f:
            return [line for line in f.read().splitlines() if line and line[0] != "#"]


def created(site):
    """lxc-create writes the root file system and what LXC is to know"""
    c = Container(site)
    done = c.made("defaults")
    check(done.stderr == "lxc-towline: lxc.init.cmd cannot say the image's command: give lxc-start one\n", done.text)
    lines = c.lines()
    for line in ("lxc.execute.cmd = \"\"/bin/sh\" \"-c\" '%s'\"" % WHO, "lxc.environment = \"PATH=/bin\"",
                 "lxc.environment = \"A= b \"c\" \"", "lxc.uts.name = " + c.name, "lxc.init.uid = 5", "lxc.init.gid = 6",
                 "lxc.init.groups = 50", "lxc.init.cwd = \"/not/there\"",
                 "lxc.mount.auto = proc:mixed sys:mixed cgroup:mixed"):
        check(line in lines, "%s is not in\n%s" % (line, "\n".join(lines)))
    check(os.path.isdir(c.rootfs + "/not/there"), "the working folder was not made")
    c = Container(site)
    check(c.made("1").stderr == "")
    check("lxc.init.cmd = \"/bin/echo hello\"" in c.lines(), c.lines())


def executed(site):
    """lxc-execute runs the image's command, or another one, and hands on its exit status"""
    c = Container(site)
    c.made("defaults")
    done = c.execute("/bin/sh", "-c", "exit 5")
    check(done.returncode == 5, done.text)
    done = c.execute()
    check((done.returncode, done.stdout) == (0, "5:6 /not/there A= b \"c\"  %s\n" % c.name), done.text)


def mapped(site):
    """with lxc.idmap: the container's users own its files, and its store is another one"""
    if not shutil.which("newuidmap"):
        raise tap.Skip("newuidmap is not installed")
    c = Container(site, site.mapped)
    c.made("1")
    for path in ("", "/bin/busybox", "/etc/hosts"):
        check(os.lstat(c.rootfs + path).st_uid == BASE, path)
    store = os.path.join(site.home, ".cache", "lxc", "towline-%d-%d" % (BASE, BASE))
    check(os.stat(store).st_uid == BASE, "the store is another one's")
    done = c.execute("/bin/sh", "-c", "exit 5")
    check(done.returncode == 5, done.text)
    done = c.execute()
    check((done.returncode, done.stdout) == (0, "hello\n"), done.text)


def unknown_tag(site):
    """an unknown tag fails with the registry's error, and leaves no container"""
    error = "lxc-towline: manifest for %s/app:none not found: manifest unknown: manifest unknown" % site.registry.host
    Container(site).fails(error, "--url", site.url("none"))
    if shutil.which("newuidmap"):
        Container(site, site.mapped).fails(error, "--url", site.url("none"))


def usage(site):
    """wrong options are errors, and leave no container"""
    Container(site).fails("no URL given")
    Container(site).fails("only docker:// URLs are known", "--url", "oci:/tmp/layout:1")
    Container(site).fails("unrecognized option", "--url", site.url("1"), "--what")
    Container(site).fails("password given but no username specified", "--url", site.url("1"), "--password", "x")
    Container(site).fails("--deadline is a number of seconds", "--url", site.url("1"), "--deadline", "soon")
    Container(site).fails("invalid reference format", "--url", "docker://UPPER:1")
    done = site.run(TEMPLATE, "--url", site.url("1"))
    check(done.returncode == 1 and "not running through LXC" in done.stderr, done.text)
    done = site.run(TEMPLATE, "--help")
    check(done.returncode == 1 and "--no-cache" in done.stdout, done.text)


def credentials(site):
    """--username and --password; without, and with a wrong one, there is no container"""
    if not shutil.which("htpasswd"):
        raise tap.Skip("htpasswd is not installed")
    locked = images.Registry(site.work, "locked", auth=("ann", "pass word"))
    try:
        site.push("locked", registry=locked, creds=("ann", "pass word"))
        url = "docker://%s/app:locked" % locked.host
        done = Container(site).create("-u", url, "--username", "ann", "--password", "pass word")
        check(done.returncode == 0, done.text)
        Container(site).fails("unauthorized: authentication required", "-u", url, "--username", "ann", "--password", "no")
        Container(site).fails("no basic auth credentials", "-u", url)
    finally:
        locked.close()


def no_cache(site):
    """--no-cache keeps the image in no store"""
    c = Container(site)
    site.push("cached", config={"Cmd": ["/bin/echo", "once"]})
    c.made("cached", "--no-cache", "--dhcp")
    check(sorted(os.listdir(c.dir)) == ["config", "rootfs"], os.listdir(c.dir))
    check(any(line.startswith("lxc.hook.start-host = ") for line in c.lines()), c.lines())
    Container(site).made("1")
    names = "".join(open(os.path.join(folder, name), encoding="utf-8").read()
                    for folder, _, files in os.walk(site.store) for name in files if name == "repositories.json")
    check("app:1" in names and "app:cached" not in names, names)


def hostile(site):
    """an image can neither add lines to the configuration nor have files written outside of its root"""
    outside = os.path.join(site.work, "outside")
    os.mkdir(outside)
    for name in ("hosts", "hostname"):
        site.write("outside/" + name, "mine\n")
    up = "../" * 20 + outside.lstrip("/")
    tars = [site.tar, images.tar_of({"etc": None, "etc/hosts": ("link", outside + "/hosts"),
                                     "etc/hostname": ("link", "../" + up + "/hostname"), "w": ("link", up)})]
    site.push("hostile", tars, {"Cmd": ["/bin/echo", "a\nlxc.hook.pre-start = /bin/false"], "WorkingDir": "/w/made",
                                "Env": ["PATH=/bin", "A=x\nlxc.hook.pre-start = /bin/false", "B=\rlxc.x", "NAME", "=x"]})
    c = Container(site)
    done = c.made("hostile")
    for what in ("lxc.execute.cmd", "lxc.init.cmd", "variable A", "variable B", "variable NAME"):
        check(what in done.stderr, what + " is not said\n" + done.text)
    lines = c.lines()
    check(not [line for line in lines if "hook" in line or line.startswith("lxc.execute") or "NAME" in line], lines)
    check(sorted(os.listdir(outside)) == ["hostname", "hosts"], os.listdir(outside))
    for name in ("hosts", "hostname"):
        with open(os.path.join(outside, name), encoding="utf-8") as f:
            check(f.read() == "mine\n", "%s was written outside" % name)
    check(os.path.isfile(c.rootfs + "/etc/hosts") and not os.path.islink(c.rootfs + "/etc/hosts"), "etc/hosts")


def quotes(site):
    """arguments with quotes and blanks arrive as they are"""
    script = "for a; do echo \"<$a>\"; done"
    site.push("quotes", config={"Entrypoint": ["/bin/sh", "-c", script, "x"], "Env": ["PATH=/bin"],
                                "Cmd": ["", "a b", "it's", "\"", "\"it's\"x"[1:], " ", "'"]})
    c = Container(site)
    c.made("quotes")
    done = c.execute()
    check(done.stdout == "<>\n<a b>\n<it's>\n<\">\n<it's\"x>\n< >\n<'>\n", done.text)


def template_of(container):
    """The process ID of the template that makes it."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/cmdline" % pid, encoding="utf-8", errors="replace") as f:
                words = f.read().split("\0")
        except OSError:  # it has ended
            continue
        if os.path.basename(words[0]) == os.path.basename(TEMPLATE) and "--path=" + container.dir in words:
            return int(pid)
    raise AssertionError("the template does not run")


def interrupted(site):
    """a signal ends a pull from a registry that says nothing, and LXC cleans up"""
    with images.Silent() as silent:
        c = Container(site)
        proc = subprocess.Popen(["lxc-create", "-P", site.containers, "-f", site.plain, "-n", c.name, "-t", TEMPLATE, "--",
                                 "--config", site.engine, "--url", silent.image()], stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                env={"PATH": os.environ["PATH"], "HOME": site.home, "LD_LIBRARY_PATH": LIBS})
        peer, _ = silent.socket.accept()  # the pull is on its way
        pid = template_of(c)
        os.kill(pid, signal.SIGTERM)
        _, err = proc.communicate(timeout=WAIT)
        peer.close()
        check(proc.returncode != 0 and "lxc-towline: context canceled" in err, (proc.returncode, err))
        check(not os.path.exists(c.dir), "the container was left")


CASES = [created, executed, mapped, unknown_tag, usage, credentials, no_cache, hostile, quotes, interrupted]


def why_not(site):
    """Does LXC run anything here, left to itself? Why not, or ""."""
    probe = Container(site)
    os.mkdir(probe.dir)
    with tarfile.open(fileobj=io.BytesIO(site.tar)) as files:
        files.extractall(probe.rootfs)
    with open(site.plain, encoding="utf-8") as f:
        site.write("lxc/%s/config" % probe.name, f.read() + "lxc.rootfs.path = dir:%s\n" % probe.rootfs +
                   "lxc.include = /usr/share/lxc/config/common.conf\n")
    site.runs = ""
    done = probe.execute("/bin/sh", "-c", "exit 5")
    return "" if done.returncode == 5 else "LXC runs no container here: " + done.stderr.strip().replace("\n", "; ")


def prepare(work):
    os.chmod(work, 0o755)
    ids = os.path.join(work, "subids")
    with open(ids, "w", encoding="utf-8") as f:
        f.write("root:%d:65536\n" % BASE)
    for name in ("/etc/subuid", "/etc/subgid"):
        if os.path.exists(name):
            subprocess.run(["mount", "--bind", ids, name], check=True)
    site = Site(work)
    site.runs = why_not(site)
    return site


if __name__ == "__main__":
    tap.needs("lxc-create", "lxc-execute", "docker-registry", "skopeo", "unshare", built=(TEMPLATE, PLUGIN), root="needs root")
    if not images.static_busybox():
        tap.skip_all("there is no static busybox")
    tap.unshare("-m")
    tap.main("lxc", CASES, prepare)
