#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The Debian packages: they build, lintian has no error, and in a Debian of their own they install, pull, upgrade and go
without a trace. Not within make check (make check-packages): it needs root, what scripts/deps --packages installs, apt's mirror and minutes."""
import glob
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(HERE)
sys.path.insert(0, os.path.join(HERE, "integration"))
import httpd  # noqa: E402
import tap  # noqa: E402

TOOLS = ("debootstrap", "dpkg-buildpackage", "dh", "lintian", "git")
# What apt and dpkg write for themselves.
THEIRS = ("/var/cache", "/var/lib/apt", "/var/lib/dpkg", "/var/log", "/proc", "/sys", "/dev", "/tmp", "/root", "/run")


def run(*args, **more):
    done = subprocess.run(args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False, **more)
    assert done.returncode == 0, "%s: exit status %d\n%s" % (" ".join(args)[:200], done.returncode, done.stdout[-3000:])
    return done.stdout


def mirror():
    """Where this machine's apt has Debian 12 from."""
    out = run("apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME) $(COMPONENT) $(CREATED_BY)")
    for line in out.splitlines():
        uri, suite, component, kind = line.split(" ", 3)
        if (suite, component, kind) == ("bookworm", "main", "Packages"):
            return uri
    raise tap.Skip("apt knows no mirror of Debian 12")


class Site:
    def __init__(self, work):
        self.work = work
        self.source, self.root = os.path.join(self.work, "towline"), os.path.join(self.work, "root")
        self.debs = []
        self.registry = httpd.Registry({"team/app": {"1": httpd.small_image()}})
        self.ref = self.registry.host + "/team/app:1"
        self.before = None

    def inside(self, *args):
        return run("chroot", self.root, *args, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive",
                                                     "HOME": "/root", "LC_ALL": "C"})

    def install(self, debs):
        to = os.path.join(self.root, "tmp", "debs")
        shutil.rmtree(to, ignore_errors=True)
        os.makedirs(to)
        for deb in debs:
            shutil.copy(deb, to)
        names = ["/tmp/debs/" + name for name in sorted(os.listdir(to))]
        self.inside("apt-get", "-qq", "-y", "--no-install-recommends", "-o", "APT::Sandbox::User=root", "install", *names)
        shutil.rmtree(to)

    def files(self):
        found = set()
        for at, folders, names in os.walk(self.root):
            inside = at[len(self.root):] or "/"
            folders[:] = [f for f in folders if os.path.join(inside, f) not in THEIRS]
            found.update(os.path.join(inside, name) for name in folders + names)
        return found

    def close(self):
        self.registry.close()
        for name in ("proc", "dev/pts", "dev"):
            subprocess.run(["umount", "-l", os.path.join(self.root, name)], stderr=subprocess.DEVNULL, check=False)


def builds(site):
    """dpkg-buildpackage builds them from what git has"""
    os.makedirs(site.source)
    archive = subprocess.run(["git", "-C", TOP, "archive", "HEAD"], stdout=subprocess.PIPE, check=True).stdout
    subprocess.run(["tar", "-C", site.source, "-x"], input=archive, check=True)
    run("dpkg-buildpackage", "-us", "-uc", "-b", cwd=site.source, env={**os.environ, "DEB_BUILD_OPTIONS": "nocheck parallel=2"})
    site.debs = [d for d in glob.glob(os.path.join(site.work, "*.deb")) if "-dbgsym" not in d]
    print("# " + " ".join(sorted(os.path.basename(d) for d in site.debs)))
    assert site.debs


def lints(site):
    """lintian finds no error in them"""
    changes = glob.glob(os.path.join(site.work, "*.changes"))
    assert changes, "there are none"
    out = run("lintian", "--fail-on", "error", "--allow-root", *changes)
    for line in out.splitlines():
        print("# " + line)


def installs(site):
    """they install into a minimal Debian"""
    assert site.debs, "there are none"
    run("debootstrap", "--variant=minbase", "bookworm", site.root, mirror())
    shutil.copy("/etc/resolv.conf", os.path.join(site.root, "etc", "resolv.conf"))
    run("mount", "-t", "proc", "proc", os.path.join(site.root, "proc"))
    site.inside("apt-get", "-qq", "-o", "APT::Sandbox::User=root", "update")
    site.before = site.files()
    site.install(site.debs)
    assert "towline " in site.inside("towline", "--version")
    for path in ("/usr/share/man/man1/towline.1.gz", "/usr/share/man/man5/engine.json.5.gz", "/usr/share/man/man7/image_pull.7.gz",
                 "/usr/share/bash-completion/completions/towline"):
        assert os.path.exists(site.root + path), path


def pulls(site):
    """towline pulls from a registry on the loopback"""
    site.inside("towline", "pull", "--quiet", site.ref)
    assert "team/app" in site.inside("towline", "images")
    site.inside("towline", "fsck", "--deep")


def upgrades(site):
    """a newer version takes over the store"""
    newer = []
    for deb in site.debs:
        folder = deb[:-4]
        run("dpkg-deb", "-R", deb, folder)
        control = os.path.join(folder, "DEBIAN", "control")
        with open(control, encoding="utf-8") as text:
            old = text.read()
        version = next(line.split()[1] for line in old.splitlines() if line.startswith("Version:"))
        with open(control, "w", encoding="utf-8") as out:
            out.write(old.replace(version, version + "+1"))
        newer.append(os.path.join(site.work, "newer-" + os.path.basename(deb)))
        run("dpkg-deb", "-b", folder, newer[-1])
    site.install(newer)
    assert "Image is up to date" in site.inside("towline", "pull", site.ref)


def goes(site):
    """purge leaves nothing"""
    names = sorted({os.path.basename(d).split("_")[0] for d in site.debs})
    site.inside("apt-get", "-qq", "-y", "purge", "--auto-remove", *names)
    left = {path for path in site.files() - site.before if not path.startswith("/etc/ld.so.cache")}
    assert not left, sorted(left)[:20]


CASES = [builds, lints, installs, pulls, upgrades, goes]

if __name__ == "__main__":
    tap.needs(*TOOLS, root="needs root")
    tap.main("packages", CASES, Site)
