#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Root file systems, as towline makes them and as umoci does: the trees must be equal in contents, modes, owners, times,
attributes, links, devices and holes. Then save and load, as skopeo and umoci see them.

Images are layers of this machine's own files and of made-up ones, written by GNU tar, pushed by skopeo to docker-registry.
Needs root, docker-registry, skopeo, umoci, GNU tar; TREES_FILES says how many real files (default 1500)."""
import bz2
import glob
import gzip
import hashlib
import json
import lzma
import os
import shutil
import stat
import struct
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import images  # noqa: E402
import tap  # noqa: E402

BUILD = os.path.abspath(os.environ.get("top_builddir", "."))
PROGRAM = os.path.join(BUILD, "towline")
PLUGIN = os.path.join(BUILD, ".libs", "image_pull.so")
FILES = int(os.environ.get("TREES_FILES", "1500"))


def run(*args, **kw):
    done = subprocess.run(args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **kw)
    if done.returncode:
        raise AssertionError("%s: exit status %d\n%s" % (
            " ".join(map(str, args))[:300], done.returncode, (done.stderr + done.stdout).decode(errors="replace")[-2000:]))
    return done.stdout


# ---------------------------------------------------------------- layers

def tar(folder, *options, names=("."), fmt="pax"):
    """A tar of the folder by GNU tar; names as they come."""
    return run("tar", "-C", folder, "--format=" + fmt, "--numeric-owner", "--sort=name", *options, "-cf", "-", *names)


def put(path, data=b"", mode=0o644, mtime=1500000000, owner=(0, 0)):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as out:
        out.write(data)
    os.chown(path, *owner)
    os.chmod(path, mode)
    os.utime(path, (mtime, mtime))


def real_files(folder, count):
    """A tree of links to this machine's files: programs, set-id ones, documents, links of both kinds."""
    taken = 0
    for top in ("/usr/bin", "/usr/sbin", "/etc", "/usr/share/doc", "/usr/lib/python3", "/usr/include", "/usr/share/man"):
        for at, dirs, files in os.walk(top):
            dirs.sort()
            for name in sorted(files):
                path = os.path.join(at, name)
                st = os.lstat(path)
                if taken >= count or st.st_size > 4 << 20 or not (stat.S_ISREG(st.st_mode) or stat.S_ISLNK(st.st_mode)):
                    continue
                to = folder + path
                os.makedirs(os.path.dirname(to), exist_ok=True)
                shutil.copy2(path, to, follow_symlinks=False)
                os.lchown(to, st.st_uid, st.st_gid)
                if not stat.S_ISLNK(st.st_mode):
                    os.chmod(to, stat.S_IMODE(st.st_mode))
                taken += 1


def special(folder):
    """One of each kind."""
    put(folder + "/su", b"x", 0o4755)
    put(folder + "/sg", b"x", 0o2755, owner=(0, 8))
    os.makedirs(folder + "/tmp/sub/deep")
    os.chmod(folder + "/tmp", 0o1777)
    os.chmod(folder + "/tmp/sub", 0o2770)
    os.chown(folder + "/tmp/sub", 7, 8)
    put(folder + "/ping", b"p", 0o755)
    os.setxattr(folder + "/ping", "security.capability", struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0))
    put(folder + "/attr", b"a")
    os.setxattr(folder + "/attr", "user.one", b"1\0\xff")
    os.setxattr(folder + "/tmp/sub", "user.dir", b"d")
    os.link(folder + "/attr", folder + "/tmp/hard")
    os.symlink("attr", folder + "/soft")
    os.symlink("/nowhere/at/all", folder + "/dangling")
    os.lchown(folder + "/soft", 3, 4)
    os.utime(folder + "/soft", (7, 7), follow_symlinks=False)
    os.mkfifo(folder + "/fifo", 0o640)
    os.mknod(folder + "/null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    os.mknod(folder + "/sda", 0o660 | stat.S_IFBLK, os.makedev(8, 300))
    put(folder + "/owned", b"o", owner=(3000000, 4000000))
    put(folder + "/" + "n" * 200 + "/" + "m" * 200, b"long")
    put(folder + "/h\u00e9\u2603", b"utf8")
    put(os.fsencode(folder) + b"/lat\xe9", b"latin1")
    put(folder + "/new\nline", b"n")
    put(folder + "/old", b"old", mtime=1)
    put(folder + "/future", b"f", mtime=4500000000)
    put(folder + "/nano", b"n")
    os.utime(folder + "/nano", ns=(1500000000123456789, 1500000000123456789))
    put(folder + "/shut", b"s", 0o000)
    with open(folder + "/holes", "wb") as out:
        out.seek(5 << 20)
        out.write(b"middle")
        out.truncate(20 << 20)
    with open(folder + "/allhole", "wb") as out:
        out.truncate(3 << 20)
    os.utime(folder + "/tmp", (1400000000, 1400000000))


# ---------------------------------------------------------------- trees

def digest(path):
    h = hashlib.sha256()
    with open(path, "rb") as data:
        while True:
            part = data.read(1 << 20)
            if not part:
                return h.hexdigest()
            h.update(part)


def describe(top, owners=True, times=True):
    """{path: what it is}; names of one file share the first of them."""
    tree, inodes = {}, {}
    top = os.fsencode(top)
    for at, dirs, files in os.walk(top):
        for name in dirs + files + ([b"."] if at == top else []):
            path = os.path.join(at, name)
            rel = os.path.relpath(path, top)
            st = os.lstat(path)
            kind = stat.S_IFMT(st.st_mode)
            what = {"kind": kind}
            if kind != stat.S_IFLNK:
                what["mode"] = stat.S_IMODE(st.st_mode)
            if owners:
                what["owner"] = (st.st_uid, st.st_gid)
            if times and rel != b".":
                what["mtime"] = st.st_mtime_ns
            if kind == stat.S_IFREG:
                what["size"], what["digest"] = st.st_size, digest(path)
                what["sparse"] = st.st_blocks * 512 < st.st_size - (1 << 20)
            if kind == stat.S_IFLNK:
                what["link"] = os.readlink(path)
            if kind in (stat.S_IFCHR, stat.S_IFBLK):
                what["device"] = st.st_rdev
            if kind != stat.S_IFDIR:
                what["same"] = inodes.setdefault(st.st_ino, set())
                what["same"].add(rel)
            try:
                names = os.listxattr(path, follow_symlinks=False)
            except OSError:
                names = []
            what["xattrs"] = {n: os.getxattr(path, n, follow_symlinks=False) for n in names
                              if n.startswith("user.") or n == "security.capability"}
            tree[rel] = what
    return tree


def expect_equal(ours, theirs):
    """ours, theirs: described trees. umoci's own extractor writes holes out; that we keep them is looked at apart."""
    wrong = []
    for path in sorted(set(ours) | set(theirs)):
        a, b = ours.get(path), theirs.get(path)
        if a is None or b is None:
            wrong.append("%r: only in %s's tree" % (path, "umoci" if a is None else "towline"))
            continue
        for key in a:
            if key != "sparse" and a[key] != b.get(key):
                wrong.append("%r: %s is %r, umoci has %r" % (path, key, a[key], b.get(key)))
    if wrong:
        raise AssertionError("%d differences\n%s" % (len(wrong), "\n".join(wrong[:20])))


# ---------------------------------------------------------------- a place

class Site:
    def __init__(self, work):
        self.work = work
        self.registry = images.Registry(self.work, "registry")
        self.layout = images.Layout(os.path.join(self.work, "layout"))
        self.number = 0

    def folder(self):
        self.number += 1
        path = os.path.join(self.work, "f%d" % self.number)
        os.mkdir(path, 0o755)
        return path

    def towline(self, store, *args):
        config = store + ".json"
        if not os.path.exists(config):
            with open(config, "w", encoding="utf-8") as out:
                json.dump({"plugins": {"image_pull": {"path": PLUGIN}}, "data-root": store}, out)
        return run(PROGRAM, "--config", config, *args)

    def image(self, name, layers, compress=gzip.compress, media="+gzip"):
        """Into the layout under this tag."""
        descriptor = self.layout.image(layers, compress=False)
        if compress:
            blob = json.loads(open(self.path(descriptor["digest"]), "rb").read())
            for layer, data in zip(blob["layers"], layers):
                packed = compress(data)
                layer.update(mediaType="application/vnd.oci.image.layer.v1.tar" + media, size=len(packed),
                             digest=self.layout.blob(packed))
            text = json.dumps(blob).encode()
            descriptor.update(size=len(text), digest=self.layout.blob(text))
        self.layout.name(descriptor, name)

    def path(self, blob):
        return os.path.join(self.layout.path, "blobs", *blob.split(":"))

    def push_by_hand(self, name):
        """What skopeo does not know how to push goes into the registry blob by blob."""
        import http.client
        host = http.client.HTTPConnection("127.0.0.1", self.registry.port)

        def ask(method, path, body=None, **headers):
            host.request(method, path, body, headers)
            answer = host.getresponse()
            answer.read()
            if answer.status >= 300:
                raise AssertionError("%s %s: %d" % (method, path, answer.status))
            return answer
        entry = [e for e in self.layout.index if e["annotations"]["org.opencontainers.image.ref.name"] == name][0]
        manifest = open(self.path(entry["digest"]), "rb").read()
        doc = json.loads(manifest)
        for blob in [doc["config"]] + doc["layers"]:
            at = ask("POST", "/v2/trees/blobs/uploads/").headers["Location"].split("127.0.0.1:%d" % self.registry.port)[-1]
            ask("PUT", at + "&digest=" + blob["digest"], open(self.path(blob["digest"]), "rb").read())
        ask("PUT", "/v2/trees/manifests/" + name, manifest, **{"Content-Type": doc["mediaType"] if "mediaType" in doc
                                                               else "application/vnd.oci.image.manifest.v1+json"})

    def pull(self, name, store=None, push=True):
        """The store and the reference."""
        store = store or self.folder() + "/store"
        ref = "%s/trees:%s" % (self.registry.host, name)
        if push:
            self.registry.push("oci:%s:%s" % (self.layout.path, name), "trees:" + name)
        else:
            self.push_by_hand(name)
        self.towline(store, "pull", "--quiet", ref)
        self.towline(store, "fsck", "--deep")
        return store, ref

    def rootfs(self, store, ref):
        to = self.folder() + "/rootfs"
        self.towline(store, "rootfs", ref, to)
        return to

    def umoci(self, name, layout=None):
        to = self.folder() + "/bundle"
        run("umoci", "unpack", "--image", "%s:%s" % (layout or self.layout.path, name), to)
        return to + "/rootfs"

    def compare(self, name, layers, **kw):
        push = kw.pop("push", True)
        self.image(name, layers, **kw)
        store, ref = self.pull(name, push=push)
        ours = describe(self.rootfs(store, ref))
        expect_equal(ours, describe(self.umoci(name)))
        return store, ref, ours

    def close(self):
        self.registry.close()


# ---------------------------------------------------------------- cases

def one_of_each(site):
    """set-id files, capabilities, attributes, links, devices, long and raw names, times, gzip"""
    folder = site.folder()
    special(folder)
    for name in ("holes", "allhole"):
        os.remove(folder + "/" + name)
    site.compare("special", [tar(folder, "--xattrs", "--xattrs-include=*")])


def formats(site):
    """GNU, ustar and old GNU headers"""
    for fmt in ("gnu", "oldgnu", "ustar"):
        folder = site.folder()
        for i in range(50):
            put(folder + "/d%d/%s" % (i % 7, "f" * (90 if fmt != "ustar" else 40) + str(i)), b"%d" % i, mtime=1400000000 + i)
        os.symlink("d1", folder + "/link")
        site.compare("format-" + fmt, [tar(folder, fmt=fmt)])


def sparse(site):
    """sparse files of three formats, which stay sparse"""
    for version in ("0.0", "0.1", "1.0"):
        folder = site.folder()
        special(folder)
        with open(folder + "/holes", "rb") as data:
            want = hashlib.sha256(data.read()).hexdigest()
        layer = tar(folder, "-S", "--sparse-version=" + version, names=("holes", "allhole", "old"))
        name = "sparse-" + version
        site.image(name, [layer])
        store, ref = site.pull(name)
        ours = describe(site.rootfs(store, ref))
        assert ours[b"holes"]["digest"] == want, "other contents"
        assert ours[b"holes"]["size"] == 20 << 20 and ours[b"holes"]["sparse"], ours[b"holes"]
        assert ours[b"allhole"]["size"] == 3 << 20 and ours[b"allhole"]["sparse"], ours[b"allhole"]


def whiteouts(site):
    """whiteouts of files, folders and links, opaque folders, types that change"""
    one, two, three = site.folder(), site.folder(), site.folder()
    for name in ("a/stay", "a/gone", "a/tree/x/y", "b/lower", "b/both", "c/d/e", "t/old", "u"):
        put(one + "/" + name, name.encode())
    os.symlink("a", one + "/link")
    os.symlink("a", one + "/link2")
    put(two + "/a/.wh.gone")
    put(two + "/a/.wh.tree")
    put(two + "/.wh.link")
    put(two + "/b/.wh..wh..opq")
    put(two + "/b/both", b"new")
    put(two + "/t", b"a file now")
    os.mkdir(two + "/u")
    put(two + "/u/in", b"a folder now")
    put(three + "/a/new", b"n")
    os.mkdir(three + "/link")
    put(three + "/t/again", b"and a folder")
    site.compare("whiteouts", [tar(one), tar(two), tar(three)])


def real(site):
    """this machine's files, in two layers"""
    one, two = site.folder(), site.folder()
    real_files(one, FILES)
    for i, path in enumerate(sorted(glob.glob(one + "/usr/share/doc/*"))[:40]):
        name = os.path.relpath(path, one)
        if i % 2:
            put(two + "/" + os.path.dirname(name) + "/.wh." + os.path.basename(name))
        else:
            put(two + "/" + name + "/extra", b"extra")
    site.compare("real", [tar(one, "--xattrs", "--xattrs-include=*"), tar(two)])


def compressions(site):
    """plain, gzip, zstd, bzip2 and xz layers give one tree, as umoci has it"""
    folder = site.folder()
    special(folder)
    layers = [tar(folder, "--xattrs", "--xattrs-include=*")]

    def zstd(data):
        return subprocess.run(["zstd", "-q", "-19", "-c"], input=data, stdout=subprocess.PIPE, check=True).stdout
    _, _, want = site.compare("c-gzip", layers)
    site.compare("c-plain", layers, compress=None)
    others = {"c-bzip2": (bz2.compress, ""), "c-xz": (lzma.compress, "")}
    if shutil.which("zstd"):
        others["c-zstd"] = (zstd, "+zstd")
    for name, (compress, media) in others.items():
        site.image(name, layers, compress=compress, media=media)
        store, ref = site.pull(name, push=False)
        expect_equal(describe(site.rootfs(store, ref)), want)


def many_layers(site):
    """125 layers, one of them twice, copied and mounted"""
    layers = []
    for i in range(125):
        folder = site.folder()
        put(folder + "/f%d" % (i if i != 90 else 30), b"%d" % (i if i != 90 else 30), mtime=1300000000 + (i if i != 90 else 30))
        put(folder + "/top", b"%d" % (i if i != 90 else 30))
        layers.append(tar(folder, "--mtime=@1300000000"))
    store, ref, ours = site.compare("many", layers)
    bundle = site.folder() + "/bundle"
    site.towline(store, "bundle", ref, bundle)
    try:
        expect_equal(describe(bundle + "/rootfs"), ours)
    finally:
        site.towline(store, "bundle", "--remove", bundle)


def bundle_equals(site):
    """a mounted bundle shows what the copied tree has"""
    one, two = site.folder(), site.folder()
    special(one)
    put(two + "/tmp/sub/new", b"n")
    put(two + "/.wh.soft")
    # Without entries for the folders: their modes and times are the lower layer's.
    layers = [tar(one, "--xattrs", "--xattrs-include=*"), tar(two, names=("tmp/sub/new", ".wh.soft"))]
    store, ref, ours = site.compare("implicit", layers)
    bundle = site.folder() + "/bundle"
    site.towline(store, "bundle", ref, bundle)
    try:
        expect_equal(describe(bundle + "/rootfs"), ours)
    finally:
        site.towline(store, "bundle", "--remove", bundle)


def as_user(site):
    """an ordinary user's tree, as umoci makes it in the same kind of user namespace"""
    uid = 65534
    folder = site.folder()
    special(folder)
    for name in ("holes", "allhole"):
        os.remove(folder + "/" + name)
    site.image("user", [tar(folder, "--xattrs", "--xattrs-include=*")])
    site.registry.push("oci:%s:user" % site.layout.path, "trees:user")
    ref = "%s/trees:user" % site.registry.host
    home = site.folder()
    os.chown(home, uid, uid)
    os.chmod(site.work, 0o711)
    # The build may stand where only root looks.
    for path in (os.path.join(BUILD, ".libs", "towline"), PLUGIN, os.path.join(BUILD, ".libs", "libtowline.so.0")):
        shutil.copy(path, home)
    with open(home + "/engine.json", "w", encoding="utf-8") as out:
        json.dump({"plugins": {"image_pull": {"path": home + "/image_pull.so"}}, "data-root": home + "/store"}, out)
    user = ["setpriv", "--reuid", str(uid), "--regid", str(uid), "--clear-groups", "env", "HOME=" + home,
            "LD_LIBRARY_PATH=" + home]
    ours = user + [home + "/towline", "--config", home + "/engine.json"]
    run(*ours, "pull", "--quiet", ref)
    run(*ours, "fsck", "--deep")
    run(*ours, "rootfs", ref, home + "/rootfs")
    run(*user, "unshare", "-U", "-r", "umoci", "unpack", "--rootless", "--image", site.layout.path + ":user",
        home + "/umoci")
    a, b = describe(home + "/rootfs"), describe(home + "/umoci/rootfs")
    for tree in (a, b):
        for what in tree.values():
            # umoci notes there what it could not do; the kernel writes capabilities of a namespace with its root.
            what["xattrs"] = {k: v for k, v in what["xattrs"].items()
                              if k not in ("user.rootlesscontainers", "security.capability")}
    expect_equal(a, b)
    # And the layer itself is whole: what could not be kept is in its headers.
    run(*ours, "save", ref, home + "/saved.tar")
    other = site.folder() + "/store"
    site.towline(other, "load", home + "/saved.tar")
    expect_equal(describe(site.rootfs(other, ref)), describe(site.umoci("user")))


def save_and_load(site):
    """what save writes is read by skopeo and by another store, with the same IDs"""
    one, two = site.folder(), site.folder()
    special(one)
    put(two + "/over", b"x")
    # The first layer once more: written once.
    layers = [tar(one, "--xattrs", "--xattrs-include=*"), tar(two), tar(one, "--xattrs", "--xattrs-include=*")]
    store, ref, ours = site.compare("saved", layers)
    image = json.loads(site.towline(store, "inspect", ref))
    image = image[0] if isinstance(image, list) else image
    ident = [v for k, v in image.items() if k.lower() == "id"][0]
    out = site.folder()
    site.towline(store, "save", ref, out + "/image.tar")
    site.towline(store, "save", ref, "oci:" + out + "/layout")
    for source in ("docker-archive:%s/image.tar" % out, "oci:%s/layout:saved" % out):
        config = run("skopeo", "inspect", "--config", "--raw", source)
        assert "sha256:" + hashlib.sha256(config).hexdigest() == ident, "%s has another configuration" % source
        run("skopeo", "copy", "-q", "--insecure-policy", source, "oci:%s/copy:1" % site.folder())
    expect_equal(ours, describe(site.umoci("saved", out + "/layout")))
    for source in (out + "/image.tar", "oci:" + out + "/layout"):
        other = site.folder() + "/store"
        assert ref in site.towline(other, "load", source).decode()
        site.towline(other, "fsck", "--deep")
        expect_equal(describe(site.rootfs(other, ref)), ours)
        assert ident in site.towline(other, "inspect", ref).decode()
    # And the other way: an archive of skopeo's.
    run("skopeo", "copy", "-q", "--insecure-policy", "oci:%s:saved" % site.layout.path,
        "docker-archive:%s/theirs.tar:example.com/x:1" % out)
    other = site.folder() + "/store"
    assert "example.com/x:1" in site.towline(other, "load", out + "/theirs.tar").decode()
    expect_equal(describe(site.rootfs(other, "example.com/x:1")), ours)


CASES = [one_of_each, formats, sparse, whiteouts, real, compressions, many_layers, bundle_equals, as_user, save_and_load]

if __name__ == "__main__":
    tap.needs("docker-registry", "skopeo", "umoci", "tar", built=(PLUGIN,), root="needs root, for owners and devices")
    tap.main("trees", CASES, Site)
