"""The benchmark's images, built from Debian packages: real files, real names, real sizes.

The same package versions give the same digests: times are the packages' own, owners are root, gzip is zlib level 6 without
a time stamp. Blobs and images.json land in a cache folder.
"""
import concurrent.futures
import hashlib
import io
import json
import os
import random
import re
import subprocess
import tarfile
import zlib

EPOCH = 1700000000
DOCKER = "application/vnd.docker."
OCI = "application/vnd.oci.image."
TYPES = {"gzip": (DOCKER + "distribution.manifest.v2+json", DOCKER + "container.image.v1+json",
                  DOCKER + "image.rootfs.diff.tar.gzip"),
         "zstd": (OCI + "manifest.v1+json", OCI + "config.v1+json", OCI + "layer.v1.tar+zstd")}

# A layer's packages.
PACKAGES = {
    "busybox": "base-files netbase busybox-static libssl3 tzdata",
    "base": "base-files base-passwd bash bsdutils coreutils dash debconf debianutils diffutils dpkg e2fsprogs findutils "
            "gpgv grep gzip apt libapt-pkg6.0 libc-bin libc6 libdb5.3 libgcrypt20 libgnutls30 libpam-modules libssl3 "
            "libstdc++6 libsystemd0 login mawk mount ncurses-bin passwd perl-base sed sysvinit-utils tar tzdata util-linux",
    "tools": "ca-certificates curl wget git git-man gnupg gpg libcurl4 perl perl-modules-5.36 libperl5.36 "
             "openssh-client openssl procps sqlite3 subversion libsvn1 mercurial mercurial-common",
    "compiler": "gcc-12 g++-12 cpp-12 libgcc-12-dev libstdc++-12-dev libc6-dev linux-libc-dev binutils "
                "binutils-x86-64-linux-gnu libbinutils libasan8 libtsan2 make libssl-dev",
    "python": "python3.11 python3.11-minimal libpython3.11-minimal libpython3.11-stdlib libpython3.11 libpython3.11-dev",
    "app": "python3-pip python3-setuptools python3-django python3-sqlalchemy",
    "llvm": "libllvm14", "llvm-dev": "llvm-14-dev", "torch": "libtorch1.13 python3-torch",
    "science": "libopenblas0-pthread python3-numpy python3-scipy python3-pandas-lib python3-sympy",
    "rust": "libstd-rust-dev", "browser": "chromium",
    "many": "rust-src golang-1.19-src node-core-js node-lodash node-caniuse-lite python3-django python3-sympy",
    "slices": "python3-botocore",
}
MEDIUM = ["base", "tools", "compiler", "python", "app"]
IMAGES = {  # name: layers, compression
    "small": (["busybox"], "gzip"),
    "medium": (MEDIUM, "gzip"),
    "medium-zstd": (MEDIUM, "zstd"),
    "large": (MEDIUM[:4] + ["llvm", "llvm-dev", "torch", "science", "rust", "browser", "weights", "service"], "gzip"),
    "manyfiles": (["busybox", "many"], "gzip"),
    "mixed": (["tiny%d" % i for i in range(64)] + ["heavy%d" % i for i in range(4)], "gzip"),
    "manylayers": (["busybox"] + ["slice%d" % i for i in range(1, 60)], "gzip"),
}


def parts(name):
    """An image's layers and compression. Besides IMAGES: those of bench/growth.py, which are named for their size."""
    if name in IMAGES:
        return IMAGES[name]
    kind, n = name.split("-")
    return (["slab-%d" % i for i in range(int(n))] if kind == "layers" else [name]), "gzip"


def download(cache, names):
    """The packages' files by name; apt fetches what is missing."""
    folder = os.path.join(cache, "packages")
    os.makedirs(folder, exist_ok=True)
    have = lambda: {f.split("_")[0]: os.path.join(folder, f) for f in os.listdir(folder)}
    missing = sorted(set(names) - set(have()))
    if missing:
        subprocess.run(["apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", *missing], cwd=folder, check=True,
                       stdout=subprocess.DEVNULL)
    return have()


def members(package):
    """Each member of a package's tree with its data."""
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as unpack:
        with tarfile.open(fileobj=unpack.stdout, mode="r|") as tar:
            for member in tar:
                member.name = re.sub(r"^\./", "", member.name)
                if member.name in ("", "."):
                    continue
                member.uname = member.gname = ""
                member.pax_headers = {}
                yield member, tar.extractfile(member) if member.isreg() else None


class LayerTar:
    """An uncompressed tar in which the first entry of a name wins."""

    def __init__(self, path):
        self.file = open(path, "wb")
        self.tar = tarfile.open(fileobj=self.file, mode="w|", format=tarfile.GNU_FORMAT, bufsize=1 << 20)
        self.names = set()

    def add(self, member, data=None):
        if member.name not in self.names:
            self.names.add(member.name)
            self.tar.addfile(member, data)

    def make(self, name, data=b"", mode=0o644, link=None):
        for i in [m.start() for m in re.finditer("/", name)]:
            folder = tarfile.TarInfo(name[:i])
            folder.type, folder.mode, folder.mtime = tarfile.DIRTYPE, 0o755, EPOCH
            self.add(folder)
        member = tarfile.TarInfo(name)
        member.mode, member.mtime, member.size = mode, EPOCH, len(data)
        if link:
            member.type, member.linkname = tarfile.SYMTYPE, link
        self.add(member, io.BytesIO(data))

    def close(self):
        self.tar.close()
        self.file.close()


def weights(count, seed):
    """count bytes like a model's float32 weights: random mantissas, few exponents."""
    rng = random.Random(seed)
    table = bytes((0x3C if b < 150 else 0x3B if b < 200 else 0x3D if b < 230 else 0x3A) | (b & 1) << 7
                  for b in range(256))
    data = bytearray(rng.randbytes(count))
    data[3::4] = bytes(data[3::4]).translate(table)
    return bytes(data)


def write_layer(key, packages, slices, path):
    layer = LayerTar(path)
    for name in PACKAGES.get(key, "").split():
        for member, data in members(packages[name]):
            layer.add(member, data)
    if key == "busybox":
        for applet in "ash cat cp cut date echo env find grep head id ls mkdir mv ps rm sed sh sleep sort tail tar".split():
            layer.make("bin/" + applet, link="busybox", mode=0o777)
    elif key == "app":
        for gone in ("usr/share/doc/.wh.git", "usr/share/doc/.wh.curl", "usr/share/zoneinfo/.wh..wh..opq"):
            layer.make(gone)
        layer.make("srv/app/main.py", b"print('hello')\n", 0o755)
    elif key == "weights":
        layer.make("opt/model/weights.bin", weights(192 << 20, 7))
    elif key.startswith("tiny"):
        layer.make("opt/tiny/" + key, random.Random(key).randbytes(1024))
    elif key.startswith("heavy"):
        for part in range(4):
            layer.make("opt/%s/part%d" % (key, part), weights(64 << 20, "%s-%d" % (key, part)))
    elif key.startswith("files-"):
        for n in range(int(key[6:])):
            layer.make("srv/%02x/%02x/f%d" % (n >> 6 & 255, n & 63, n), b"%d\n" % n)
    elif key.startswith("bytes-"):
        for n in range(int(key[6:])):
            layer.make("srv/part%d" % n, weights(1 << 20, "%s-%d" % (key, n)))
    elif key.startswith(("slab-", "each-")):
        for n in range(200):
            layer.make("srv/%s/f%d" % (key, n), random.Random("%s-%d" % (key, n)).randbytes(20000))
    elif key == "service":
        layer.make("opt/app/serve.py", b"import torch\n", 0o755)
        layer.make("usr/lib/python3/dist-packages/.wh.sympy")
    elif key.startswith("slice"):
        n = int(key[5:])
        for member, data in slices[n]:
            layer.add(member, io.BytesIO(data))
        layer.make("etc/layer.d/%02d" % n, b"%d\n" % n)
        if n % 5 == 4:
            layer.make("etc/layer.d/.wh.%02d" % (n - 1))
        if n % 20 == 19:
            layer.make("var/cache/bench/.wh..wh..opq")
        layer.make("var/cache/bench/%d" % n, b"y" * 100)
    layer.close()
    return len(layer.names)


def pack(path, compression):
    """Compress the tar at path. (blob path, its digest, diff digest, plain size)"""
    diff, size = hashlib.sha256(), 0
    with open(path, "rb") as tar:
        for block in iter(lambda: tar.read(1 << 20), b""):
            diff.update(block)
            size += len(block)
    out = path + "." + compression
    if compression == "zstd":
        subprocess.run(["zstd", "-q", "-3", "-f", path, "-o", out], check=True)
    else:
        squeeze = zlib.compressobj(6, zlib.DEFLATED, 31)
        with open(path, "rb") as tar, open(out, "wb") as blob:
            for block in iter(lambda: tar.read(1 << 20), b""):
                blob.write(squeeze.compress(block))
            blob.write(squeeze.flush())
    digest = hashlib.sha256()
    with open(out, "rb") as blob:
        for block in iter(lambda: blob.read(1 << 20), b""):
            digest.update(block)
    return out, digest.hexdigest(), diff.hexdigest(), size


def build_layer(job):
    key, compressions, packages, slices, cache = job
    path = os.path.join(cache, "layer-" + key)
    entries, made = write_layer(key, packages, slices, path), {}
    for compression in compressions:
        blob, digest, diff, size = pack(path, compression)
        made[compression] = {"digest": digest, "size": os.path.getsize(blob), "diff": diff, "plain": size,
                             "entries": entries}
        os.rename(blob, os.path.join(cache, "blobs", digest))
    os.remove(path)
    return key, made


def put(cache, document):
    data = json.dumps(document, indent=1).encode()
    digest = hashlib.sha256(data).hexdigest()
    with open(os.path.join(cache, "blobs", digest), "wb") as out:
        out.write(data)
    return digest, len(data)


def image(cache, layers, compression):
    manifest_type, config_type, layer_type = TYPES[compression]
    config, size = put(cache, {
        "architecture": "amd64", "os": "linux", "created": "2023-11-14T22:13:20Z",
        "config": {"Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"], "Cmd": ["/bin/sh"]},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + l["diff"] for l in layers]}})
    manifest, _ = put(cache, {
        "schemaVersion": 2, "mediaType": manifest_type,
        "config": {"mediaType": config_type, "size": size, "digest": "sha256:" + config},
        "layers": [{"mediaType": layer_type, "size": l["size"], "digest": "sha256:" + l["digest"]} for l in layers]})
    return {"manifest": manifest, "type": manifest_type, "config": config, "layers": layers}


def build(cache, wanted):
    """{image name: its manifest, config and layers}, built or found in the cache."""
    os.makedirs(os.path.join(cache, "blobs"), exist_ok=True)
    state = os.path.join(cache, "layers.json")
    layers = {}
    if os.path.exists(state):
        with open(state, encoding="utf-8") as text:
            layers = json.load(text)
    need = {}
    for name in wanted:
        keys, compression = parts(name)
        for key in keys:
            if compression not in layers.get(key, {}):
                need.setdefault(key, set(layers.get(key, ()))).add(compression)
    if need:
        names = {p for key in need for p in PACKAGES.get(key, "").split()}
        sliced = any(key.startswith("slice") for key in need)
        packages = download(cache, names | ({PACKAGES["slices"]} if sliced else set()))
        slices = [[] for _ in range(60)]
        if sliced:
            small = (m for m in members(packages[PACKAGES["slices"]]) if m[0].isreg() and m[0].size < 40000)
            for n, (member, data) in zip(range(600), small):
                slices[n // 10].append((member, data.read()))
        jobs = [(key, sorted(how), packages, slices if key.startswith("slice") else None, cache)
                for key, how in need.items()]
        with concurrent.futures.ProcessPoolExecutor(os.cpu_count()) as pool:
            for key, made in pool.map(build_layer, jobs):
                layers[key] = made
        with open(state, "w", encoding="utf-8") as out:
            json.dump(layers, out)
    return {name: image(cache, [layers[key][parts(name)[1]] for key in parts(name)[0]], parts(name)[1])
            for name in wanted}
