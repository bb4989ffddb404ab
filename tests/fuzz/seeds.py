#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""seeds.py VECTORS CORPUS: a folder of inputs for each fuzz target, from the recorded pulls and from small tars."""
import base64
import bz2
import gzip
import hashlib
import io
import json
import lzma
import os
import sys
import tarfile


def put(folder, data):
    with open(os.path.join(folder, hashlib.sha1(data).hexdigest()), "wb") as out:
        out.write(data)


def small_tars():
    for fmt in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=fmt) as tar:
            for name, kind, link in (("d", tarfile.DIRTYPE, ""), ("d/f", tarfile.REGTYPE, ""), ("l", tarfile.SYMTYPE, "../canary"),
                                     ("h", tarfile.LNKTYPE, "d/f"), ("d/.wh.x", tarfile.REGTYPE, ""),
                                     ("d/.wh..wh..opq", tarfile.REGTYPE, ""), ("p", tarfile.FIFOTYPE, ""),
                                     ("l/up", tarfile.REGTYPE, ""), ("../canary", tarfile.REGTYPE, "")):
                info = tarfile.TarInfo(name)
                info.type, info.linkname, info.mode = kind, link, 0o755
                info.size = 3 if kind == tarfile.REGTYPE and ".wh." not in name else 0
                if fmt == tarfile.PAX_FORMAT:
                    info.pax_headers = {"SCHILY.xattr.user.a": "b", "mtime": "1.5"}
                tar.addfile(info, io.BytesIO(b"abc"))
        yield out.getvalue()


def main():
    vectors, corpus = sys.argv[1:]
    text, packed, tars = (os.path.join(corpus, "fuzz_" + n) for n in ("text", "decompress", "untar"))
    for folder in (text, packed, tars):
        os.makedirs(folder, exist_ok=True)
    for tar in small_tars():
        put(tars, tar)
        for pack in (gzip.compress, bz2.compress, lzma.compress):
            put(packed, pack(tar))
        put(packed, tar)
        put(packed, gzip.compress(b"a") + gzip.compress(b"b") + bytes(100))
    # an empty zstd frame, one of five bytes, one that is skipped
    put(packed, bytes.fromhex("28b52ffd2000010000"))
    put(packed, bytes.fromhex("28b52ffd200529000068656c6c6f"))
    put(packed, bytes.fromhex("502a4d180300000061626328b52ffd2000010000"))
    for name in sorted(os.listdir(os.path.join(vectors, "scenarios"))):
        with open(os.path.join(vectors, "scenarios", name), "rb") as data:
            scenario = json.load(data)
        put(text, b"\0" + scenario["ref"].encode())
        for blob in (scenario.get("blobs") or {}).values():
            data = base64.b64decode(blob)
            if data[:1] == b"{":
                for first in range(2, 10):
                    put(text, bytes([first]) + data)
            elif data[:1]:
                put(packed, data)
    for challenge in ('Bearer realm="https://auth.example/token",service="registry",scope="repository:a/b:pull"', 'Basic realm="x"'):
        put(text, b"\1" + challenge.encode())
    put(text, b'\2{"errors":[{"code":"DENIED","message":"m","detail":{"a":[1]}}]}')


if __name__ == "__main__":
    main()
