#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""crun with towline's handler in its folder, and podman and ctr with that crun as runtime, against a real registry. The
handler is installed in a mount namespace of the test's own: nothing of this machine changes."""
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import images  # noqa: E402
import tap  # noqa: E402
from tap import check  # noqa: E402

BUILD = os.path.abspath(os.environ.get("top_builddir", "."))
PLUGIN = os.path.join(BUILD, ".libs", "image_pull.so")
MODULE = os.path.join(BUILD, ".libs", "crun_pull.so")
HANDLER = os.path.join(BUILD, "engines", "crun", "towline_crun.so")
WAIT = 60  # seconds until something that should have ended counts as hung
DEFAULT_ENV = ["PATH=/bin", "TERM=xterm"]


def run(*argv, **more):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=WAIT, **more)
    # A build that counts lines (--enable-coverage) has no place for its counts in a container.
    done.stderr = re.sub(r"^profiling:.*\n", "", done.stderr, flags=re.M)
    done.text = "%s: exit status %d\n--- stdout\n%s\n--- stderr\n%s" % (
        " ".join(argv), done.returncode, done.stdout, done.stderr)
    return done


class Bundle:
    """A bundle without a root file system, annotated. process, annotations: replace those members."""

    def __init__(self, site, tag="1", args=None, user=None, cwd="/", env=None, root="rootfs", **annotations):
        self.site = site
        self.dir = tempfile.mkdtemp(dir=site.work)
        self.rootfs = os.path.join(self.dir, root)
        self.id = os.path.basename(self.dir)
        run("crun", "spec", cwd=self.dir, check=True)
        with open(self.file("config.json"), encoding="utf-8") as f:
            self.config = json.load(f)
        process = self.config["process"]
        process.update({"terminal": False, "cwd": cwd, "env": env or DEFAULT_ENV})
        process.pop("args")
        if args is not None:
            process["args"] = args
        if user:
            process["user"] = user
        self.config["root"] = {"path": root}
        self.config["annotations"] = {
            "run.oci.handler": "towline", "org.towline.image": site.image(tag), "org.towline.config": site.engine,
            **{"org.towline." + k: v for k, v in annotations.items()}}
        self.write()

    def file(self, name):
        return os.path.join(self.dir, name)

    def write(self):
        with open(self.file("config.json"), "w", encoding="utf-8") as f:
            json.dump(self.config, f)

    def crun(self, *argv, **more):
        return run("crun", "--root", self.site.state, *argv, **more)

    def run(self, **more):
        return self.crun("run", "-b", self.dir, self.id, **more)

    def prints(self, want):
        done = self.run()
        check((done.returncode, done.stderr) == (0, ""), done.text)
        check(done.stdout == want, "%r is wanted\n%s" % (want, done.text))

    def fails(self, text):
        """With that error and no other, no root file system, and no container left."""
        done = self.run()
        check(done.returncode == 1 and done.stdout == "", done.text)
        check(text in done.stderr and done.stderr.count("towline: ") == 1, "%r is wanted\n%s" % (text, done.text))
        check(os.listdir(self.dir) == ["config.json"], os.listdir(self.dir))
        check(not os.path.exists(os.path.join(self.site.state, self.id)), "the container was left")


class Site:
    def __init__(self, work):
        self.work = work
        self.state = os.path.join(work, "crun")
        self.registry = images.Registry(work, "plain")
        self.store = os.path.join(work, "store")
        self.engine = os.path.join(work, "engine.json")
        self.write_engine(self.engine)
        layout = images.Layout(os.path.join(work, "layout"))
        tar = images.busybox_tar()
        self.tree = os.path.join(work, "tree")
        with tarfile.open(fileobj=io.BytesIO(tar)) as files:
            files.extractall(self.tree)
        script = "echo \"$(id -u):$(id -g):$(id -G) $(pwd) A=$A TERM=$TERM\""
        layout.name(layout.image([tar], config={"Cmd": ["/bin/echo", "hello"], "Env": ["PATH=/bin"]}), "1")
        layout.name(layout.image([tar], config={
            "Entrypoint": ["/bin/sh", "-c"], "Cmd": [script], "Env": ["PATH=/bin", "A=b c", "TERM=image"],
            "User": "bob", "WorkingDir": "/srv"}), "defaults")
        layout.name(layout.image([tar], config={"Cmd": ["/bin/sh"], "User": "eve"}), "eve")
        for tag in ("1", "defaults", "eve"):
            self.registry.push("oci:%s:%s" % (layout.path, tag), "app:" + tag, fmt="v2s2")

    def close(self):
        self.registry.close()
        # What an engine left mounted, innermost first. The namespace's overlays end with it.
        with open("/proc/self/mounts", encoding="utf-8") as f:
            for at in [line.split(" ")[1] for line in f][::-1]:
                if at.startswith(self.work + "/"):
                    run("umount", "-l", at)

    def write_engine(self, path, **more):
        with open(path, "w", encoding="utf-8") as f:
            json.dump({"plugins": {"image_pull": {"path": PLUGIN}}, "data-root": self.store, **more}, f)
        os.chmod(path, 0o600)

    def image(self, tag):
        return tag if ":" in tag else "%s/app:%s" % (self.registry.host, tag)

    def requests(self):
        with open(self.registry.log, encoding="utf-8", errors="replace") as log:
            return len(re.findall(r'"(?:GET|HEAD) /v2/\S* HTTP', log.read()))


# ---- crun

def version(site):
    """crun --version shows the handler"""
    done = run("crun", "--version")
    check("+towline" in done.stdout, done.text)


def without_rootfs(site):
    """a bundle without a root file system prints what the image's program prints"""
    bundle = Bundle(site)
    bundle.prints("hello\n")
    check(sorted(os.listdir(bundle.dir)) == ["config.json", "rootfs"], os.listdir(bundle.dir))
    asked = site.requests()
    bundle.prints("hello\n")
    check(site.requests() == asked, "the second start asked the registry")


def defaults(site):
    """command, environment, folder, user and groups are the image's where the configuration leaves them open"""
    Bundle(site, "defaults").prints("5:6:6 50 /srv A=b c TERM=xterm\n")


def config_decides(site):
    """what the configuration says stays"""
    args = ["/bin/sh", "-c", "echo \"$(id -u):$(id -g):$(id -G) $(pwd) A=$A\""]
    Bundle(site, "defaults", args=args, user={"uid": 7, "gid": 8, "additionalGids": [9]}, cwd="/tmp",
           env=["PATH=/bin", "A=mine"]).prints("7:8:8 9 /tmp A=mine\n")
    Bundle(site, "defaults", args=args, process="none").prints("0:0:0 / A=\n")
    done = Bundle(site, process="none").run()
    check(done.returncode == 1 and "hello" not in done.stdout, done.text)


def image_user(site):
    """a user that the image does not have is an error"""
    bundle = Bundle(site, "eve")
    done = bundle.run()
    check(done.returncode == 1 and "unable to find user eve: no matching entries in passwd file" in done.stderr, done.text)


def elsewhere(site):
    """root.path may be elsewhere, with links and empty files in it, and the configuration too"""
    bundle = Bundle(site)
    place = tempfile.mkdtemp(dir=site.work)
    os.mkdir(os.path.join(place, "etc"))
    os.symlink("/proc/mounts", os.path.join(place, "etc", "mtab"))
    open(os.path.join(place, "etc", "hosts"), "w").close()
    bundle.config["root"]["path"] = place + "/"
    bundle.write()
    other = os.path.join(site.work, "other.json")
    os.rename(bundle.file("config.json"), other)
    done = bundle.crun("run", "-b", bundle.dir, "-f", other, bundle.id)
    check(done.returncode == 0 and done.stdout == "hello\n", done.text)
    check(os.path.exists(place + "/bin/busybox") and os.listdir(bundle.dir) == [], os.listdir(place))


def filled(site):
    """a root file system with something in it is left as it is"""
    bundle = Bundle(site, args=["/bin/cat", "/mine"])
    shutil.copytree(site.tree, bundle.rootfs, symlinks=True)
    with open(os.path.join(bundle.rootfs, "mine"), "w", encoding="utf-8") as f:
        f.write("mine\n")
    bundle.prints("mine\n")


def unknown_tag(site):
    """an unknown tag fails with the registry's error, and nothing is left"""
    Bundle(site, "none").fails("towline: manifest for %s/app:none not found: manifest unknown: manifest unknown" %
                               site.registry.host)


def bad_annotations(site):
    """annotations that mean nothing are errors"""
    Bundle(site, "UPPER:x").fails("invalid reference format: repository name must be lowercase")
    Bundle(site, deadline="0").fails("org.towline.deadline is a number of seconds, not 0")
    Bundle(site, deadline="-1").fails("org.towline.deadline is a number of seconds, not -1")
    Bundle(site, pull="often").fails("org.towline.pull is missing or always, not often")
    Bundle(site, process="some").fails("org.towline.process is image or none, not some")
    Bundle(site, config="/nowhere.json").fails("/nowhere.json: No such file or directory")
    Bundle(site, authfile="x").fails("x is no absolute path")
    open_to_all = os.path.join(site.work, "open.json")
    site.write_engine(open_to_all)
    os.chmod(open_to_all, 0o666)
    Bundle(site, config=open_to_all).fails("open.json can be changed by others")
    bundle = Bundle(site)
    del bundle.config["annotations"]["org.towline.image"]
    bundle.write()
    bundle.fails("the annotation org.towline.image is missing")


def always(site):
    """org.towline.pull=always asks the registry although the image is here"""
    Bundle(site).prints("hello\n")
    asked = site.requests()
    Bundle(site, pull="missing").prints("hello\n")
    check(site.requests() == asked, "missing asked the registry")
    Bundle(site, pull="always").prints("hello\n")
    check(site.requests() > asked, "always asked nobody")


def deadline(site):
    """org.towline.deadline ends a pull from a registry that says nothing"""
    with images.Silent() as silent:
        Bundle(site, silent.image(), deadline="1").fails("context deadline exceeded")


def interrupted(site):
    """Ctrl-C ends a pull from a registry that says nothing"""
    with images.Silent() as silent:
        bundle = Bundle(site, silent.image())
        proc = subprocess.Popen(["crun", "--root", site.state, "run", "-b", bundle.dir, bundle.id],
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        peer, _ = silent.socket.accept()  # the pull is on its way
        proc.send_signal(signal.SIGINT)
        out, err = proc.communicate(timeout=WAIT)
        peer.close()
        check(proc.returncode == 1 and out == "" and "towline: context canceled" in err, (proc.returncode, out, err))
        check(os.listdir(bundle.dir) == ["config.json"], os.listdir(bundle.dir))


def life(site):
    """create, start, exec, update and delete"""
    bundle = Bundle(site, args=["/bin/sleep", "1000"])
    output = open(bundle.file("log"), "w+", encoding="utf-8")

    def step(*argv):
        # Not over a pipe: the container would keep it open.
        code = subprocess.run(["crun", "--root", site.state, *argv], stdin=subprocess.DEVNULL, stdout=output,
                              stderr=output, timeout=WAIT).returncode
        output.seek(0)
        text = output.read()
        check(code == 0, "%s: %d\n%s" % (argv, code, text))
        return text

    try:
        step("create", "-b", bundle.dir, bundle.id)
        step("start", bundle.id)
        asked = site.requests()
        check(step("exec", bundle.id, "/bin/echo", "inside").endswith("inside\n"))
        if os.path.isdir("/sys/fs/cgroup/memory") or os.path.exists("/sys/fs/cgroup/cgroup.controllers"):
            step("update", "--memory", "200000000", bundle.id)
        check(site.requests() == asked, "exec or update asked the registry")
    finally:
        subprocess.run(["crun", "--root", site.state, "delete", "-f", bundle.id], stdin=subprocess.DEVNULL,
                       stdout=output, stderr=output, timeout=WAIT)
        output.close()


def plain(site):
    """A bundle that crun runs by itself."""
    bundle = Bundle(site, args=["/bin/echo", "plain"])
    shutil.copytree(site.tree, bundle.rootfs, symlinks=True)
    del bundle.config["annotations"]
    bundle.write()
    return bundle


def not_annotated(site):
    """for a container without the annotation nothing but the handler is loaded"""
    bundle = plain(site)
    done = bundle.run(env={**os.environ, "LD_DEBUG": "files", "LD_DEBUG_OUTPUT": bundle.file("files")})
    check(done.returncode == 0 and done.stdout == "plain\n", done.text)
    loaded = ""
    for name in os.listdir(bundle.dir):
        if name.startswith("files."):
            with open(bundle.file(name), encoding="utf-8", errors="replace") as f:
                loaded += f.read()
    check("towline_crun.so" in loaded, "the handler was not loaded: the case shows nothing")
    for library in ("crun_pull", "libtowline", "libcurl", "libgnutls", "image_pull"):
        check(library not in loaded, library + " was loaded")


def missing_program(site):
    """a program that is not there: exit status 127"""
    done = Bundle(site, args=["/bin/nothing"]).run()
    check(done.returncode == 127 and "/bin/nothing: No such file" in done.stderr, done.text)


# ---- engines over it

def podman(site):
    """podman with this crun: an empty --rootfs is filled; an unknown tag is podman's error"""
    if not shutil.which("podman"):
        raise tap.Skip("podman is not installed")
    place = lambda name: os.path.join(site.work, "podman-" + name)

    def run_one(image, rootfs, *argv):
        os.makedirs(rootfs, exist_ok=True)
        return run("podman", "--root", place("root"), "--runroot", place("run"), "--tmpdir", place("tmp"),
                   "--cgroup-manager", "cgroupfs", "--events-backend", "none", "--runtime", shutil.which("crun"),
                   "run", "--rm", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000", "--network", "none",
                   "--annotation", "run.oci.handler=towline", "--annotation", "org.towline.image=" + site.image(image),
                   "--annotation", "org.towline.config=" + site.engine, "--rootfs", rootfs, *argv)

    done = run_one("defaults", place("a"), "/bin/sh", "-c", "echo \"$(id -u) $(pwd) $A\"")
    check(done.returncode == 0 and done.stdout == "5 /srv b c\n", done.text)
    done = run_one("none", place("b"), "/bin/echo", "x")
    # 126 would be right; podman takes any "not found" for a program that is not there.
    check(done.returncode in (126, 127) and "app:none not found: manifest unknown" in done.stderr, done.text)
    done = run_one("1", place("c"), "/bin/sh", "-c", "exit 5")
    check(done.returncode == 5, done.text)


def ctr(site):
    """containerd's ctr with this crun: the image's command runs; an unknown tag is ctr's error"""
    for program in ("containerd", "ctr"):
        if not shutil.which(program):
            raise tap.Skip(program + " is not installed")
    place = tempfile.mkdtemp(dir="/tmp")  # a socket's path is short
    address = os.path.join(place, "s")
    with open(os.path.join(place, "c.toml"), "w", encoding="utf-8") as f:
        f.write("version = 2\nroot = \"%s/root\"\nstate = \"%s/state\"\ndisabled_plugins = "
                "[\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = \"%s\"\n" % (place, place, address))
    with open(os.path.join(place, "log"), "w", encoding="utf-8") as log:
        daemon = subprocess.Popen(["containerd", "-c", os.path.join(place, "c.toml")], stdin=subprocess.DEVNULL,
                                  stdout=log, stderr=log)
    try:
        for _ in range(200):
            if run("ctr", "-a", address, "version").returncode == 0:
                break
            check(daemon.poll() is None, "containerd ended: " + open(os.path.join(place, "log"), encoding="utf-8").read())
            time.sleep(0.05)

        def run_one(name, image, *argv):
            rootfs = os.path.join(place, name)
            os.mkdir(rootfs)
            return run("ctr", "-a", address, "run", "--rm", "--rootfs", "--runc-binary", shutil.which("crun"),
                       "--annotation", "run.oci.handler=towline", "--annotation", "org.towline.image=" + site.image(image),
                       "--annotation", "org.towline.config=" + site.engine, rootfs, name, *argv)

        done = run_one("a", "defaults")
        check(done.returncode == 0 and done.stdout == "5:6:6 50 /srv A=b c TERM=image\n", done.text)
        done = run_one("b", "none")
        check(done.returncode == 1 and "app:none not found: manifest unknown" in done.stderr, done.text)
        done = run_one("c", "1", "/bin/sh", "-c", "exit 5")
        check(done.returncode == 5, done.text)
    finally:
        daemon.terminate()
        daemon.wait(WAIT)
        shutil.rmtree(place, ignore_errors=True)


CASES = [version, without_rootfs, defaults, config_decides, image_user, elsewhere, filled, unknown_tag, bad_annotations,
         always, deadline, interrupted, life, not_annotated, missing_program, podman, ctr]


# ---- the place

def handlers_folder():
    """Where this crun looks for handlers: it is compiled into it."""
    with open(shutil.which("crun"), "rb") as f:
        program = f.read()
    for library in re.findall(rb"libcrun\.so\.[0-9]+", program)[:1]:
        for folder in ("/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib"):
            path = os.path.join(folder, library.decode())
            if os.path.exists(path):
                with open(path, "rb") as f:
                    program += f.read()
    found = re.search(rb"(/[\w./+-]*/crun/handlers)\0", program)
    return found and found.group(1).decode()


def module_folder():
    """Where the handler looks for its other half."""
    with open(HANDLER, "rb") as f:
        return os.path.dirname(re.search(rb"(/[^\0]*)/crun_pull\.so\0", f.read()).group(1).decode() + "/x")


def cover(folder, work):
    """That folder may be changed in this namespace: changes go to work. It is made if it is missing."""
    there = existing(folder)
    upper, lower = (tempfile.mkdtemp(dir=work) for _ in range(2))
    os.chmod(upper, 0o755)
    done = run("mount", "-t", "overlay", "overlay", "-o", "lowerdir=%s,upperdir=%s,workdir=%s" % (there, upper, lower), there)
    if done.returncode != 0:
        tap.skip_all("no overlay mount here: " + done.stderr.strip())
    os.makedirs(folder, exist_ok=True)


def existing(folder):
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    return folder


def install(work, handlers):
    for folder in sorted((handlers, module_folder()), key=lambda f: len(existing(f))):
        cover(folder, work)
    shutil.copy(HANDLER, handlers)
    target = os.path.join(module_folder(), os.path.basename(MODULE))
    if os.path.lexists(target):
        os.unlink(target)
    os.symlink(MODULE, target)
    # crun does not know hybrid cgroups: without the unified half they are plain version 1.
    if os.path.ismount("/sys/fs/cgroup/unified"):
        run("umount", "/sys/fs/cgroup/unified", check=True)


def prepare(work):
    install(work, handlers_folder())
    site = Site(work)
    probe = plain(site).run()
    if probe.returncode != 0:
        site.close()
        tap.skip_all("crun runs no container here: " + probe.stderr.strip().replace("\n", "; "))
    return site


if __name__ == "__main__":
    tap.needs("crun", "docker-registry", "skopeo", "unshare", built=(HANDLER, MODULE, PLUGIN), root="needs root",
              sanitizers="crun is no program with sanitizers, which its handler would need")
    if not images.static_busybox():
        tap.skip_all("there is no static busybox")
    if not handlers_folder():
        tap.skip_all("this crun loads no handlers")
    tap.unshare("-m")
    tap.main("crun", CASES, prepare)
