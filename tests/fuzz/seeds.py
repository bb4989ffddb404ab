#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What fuzzing begins with: inputs for each target, from the recorded pulls, small tars and texts written by hand."""
import base64
import bz2
import gzip
import io
import json
import lzma
import os
import tarfile

ZSTD = ("28b52ffd2000010000", "28b52ffd200529000068656c6c6f", "502a4d180300000061626328b52ffd2000010000")
CHALLENGES = ('Bearer realm="https://auth.example/token",service="registry",scope="repository:a/b:pull"', 'Basic realm="x"',
              'Bearer realm="https://a/t",error="invalid_token",error_description="a \\"b\\" \\\\c"\nBasic realm=x, charset=UTF-8',
              "Negotiate\nBearer realm=\"a\",realm=\"b\" , x=y,\tz=\"\"", "Digest a=b;c")
REFERENCES = ("busybox", "busybox:latest", "docker.io/library/busybox@sha256:" + "a" * 64, "[::1]:5000/a/b__c:T-1.x", "a" * 64,
              "localhost/x", "Host.example:5000/a-b.c/d:v@sha256:" + "0" * 64, "index.docker.io/x", "a@sha512:" + "b" * 128)
JSONS = ('{"a":[1,-0.5e+10,"\\u00e9\\ud83d\\ude00\\n",true,null,{}],"A":[]}', "[[[[]]]]", '"\\ud800x"', "1E400", "{\"\xff\":0}", " \n\t0\r ")
TOKENS = ('{"token":"a\\u00e9b"}', '{"token":"abc","expires_in":60,"issued_at":"2020-01-01T00:00:00.123Z"}', '{"access_token":"x","token":"y","refresh_token":"r","scope":"s"}',
          '{"access_token":"a","expires_in":9223372036854775807,"issued_at":"9999-12-31T23:59:59+23:59"}', '{"token":""}', "{}", '{"token":1}')
REALMS = ("", "https://auth.example/token?x=y", "http://a:1/%20?service=a%2Fb;c&d+e=%zz")
LINKS = ("http://r.example:5000/v2/a/tags/list\n</v2/a/tags/list?last=b&n=1>; rel=\"next\"\n<?last=c>\n<//r.example:5000/x>\n<http://r.example:5000/y>\n</v2/a/tags/list>",
         "https://r.example/v2/a/tags/list\nhttps://r.example:443/x\nhttps://R.EXAMPLE/y\nhttp://r.example/z\nhttps://u:p@evil.example/\n<https://r.example:0443/z>")
LOCATIONS = ("https://r.example/v2/a/blobs/x\nhttps://cdn.r.example/blob?sig=a%20b\n//evil.example\n/other\n../up\n?q\nhttp://r.example/\n"
             "https://user:word@r.example/x#f\nhttps://r.example:443/",
             "http://[::1]:5000/a\nhttp://[::1]:5000/b\nhttp://[fe80::1%25eth0]/\nhttp://127.1/\nhttp:opaque\n%zz\nftp://x/")
RANGES = ("bytes 100-199/200", "bytes 1-1/2", "x bytes 4096-5000/5001", "bytes 100-199/*", "bytes 1-2/", "bytes 9223372036854775807-9223372036854775808/9223372036854775809",
          "bytes 1000000007-18446744073709551614/18446744073709551615")
RETRIES = ("0", "120", "99999999999", "Wed, 21 Oct 2099 07:28:00 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "-1", " 5",
           "Fri, 31 Dec 9999 23:59:59 GMT")
# pull.c tells what these mean
OPS = ("status", "headers", "body", "cut", "flip", "type", "break", "chunked", "raw", "length", "edit", "edit_outer", "packing",
       "redirect", "until_close", "gzip")
WHATS = ("ping", "token", "tags", "top", "manifest", "config", "layer0", "layer1", "layer2", "other")
SHAPES = [i << 8 for i in range(8)] + [1 << i for i in range(8)] + [6, 7, 7 | 16, 0x208, 0x1808, 0x4800, 0x120, 0x1a8]
CHANGES = (
    [("status", "ping", 0, bytes([n])) for n in range(0, 16, 3)] + [("status", "top", 0, bytes([n])) for n in (0, 9, 11, 13, 14, 15)]
    + [("status", "layer1", 1, bytes([n])) for n in (3, 11, 13, 15)] + [("status", "token", 0, b"\x09")],
    [("headers", "ping", 1, b'WWW-Authenticate: Bearer realm="http://registry.test:5000/token",error="invalid_token"')],
    [("headers", "top", 0, b"Retry-After: 0\nRateLimit-Limit: 100;w=21600\nWarning: 299 - \"x\""), ("status", "top", 1, b"\x0d")],
    [("headers", "tags", 1, b"Link: </v2/team/app/tags/list?last=two>; rel=\"next\"")],
    [("body", "token", 0, b'{"access_token":"x","expires_in":1}')], [("body", "tags", 0, b'{"tags":["three",null,"a b"]}')],
    [("body", "config", 0, b"{}")], [("body", "layer0", 1, b"x" * 600)], [("body", "top", 0, b"<html>")],
    [("cut", "layer0", 1, b"\x30\x00")], [("cut", "layer2", 1, b"\x00\x02")], [("cut", "config", 1, b"\x10\x00")], [("cut", "top", 0, b"\x40\x00")],
    [("flip", "layer1", 0, b"\x20\x00\x01")], [("flip", "config", 0, b"\x08\x00\x20")], [("flip", "manifest", 0, b"\x08\x00\x20")],
    [("type", "top", 0, b"application/vnd.oci.image.index.v1+json")], [("type", "top", 0, b"application/vnd.docker.distribution.manifest.v1+prettyjws")],
    [("break", "layer0", 1, b"\xc0\x00")], [("break", "top", 1, b"\x05\x00")], [("chunked", "layer0", 0, b"\x07\x00"), ("chunked", "top", 0, b"\xff\x00")],
    [("raw", "top", 1, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")], [("raw", "layer2", 1, b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200\r\n\r\n")],
    [("length", "layer2", 1, b"99999")], [("length", "config", 0, b"1")], [("length", "top", 0, b"99999999999999999999")],
    [("edit", "layer0", 0, b"\x00\x00\x01../")], [("edit", "layer2", 0, b"\x00\x02\xff")], [("edit", "config", 0, b"\x01\x00\x00\"os\":\"plan9\",")],
    [("edit", "manifest", 0, b"\x01\x00\x00\"layers\":null,")], [("edit_outer", "ping", 0, b"\x40\x00\x20arm64")],
    [("packing", "layer0", 0, b"\x03"), ("packing", "layer1", 0, b"\x02"), ("packing", "layer2", 0, b"\x01")],
    [("redirect", "layer0", 1, b"http://registry.test:5000/cdn/x?sig=1")], [("redirect", "layer1", 2, b"//evil.example/")],
    [("redirect", "top", 1, b"/v2/"), ("redirect", "config", 0, b"https://registry.test:5000/x")],
    [("until_close", "layer0", 0, b""), ("until_close", "config", 0, b""), ("gzip", "manifest", 0, b""), ("gzip", "top", 0, b"")])


def pulls():
    def script(shape, changes):
        return shape.to_bytes(2, "little") + b"".join(
            bytes([OPS.index(op) << 4 | WHATS.index(what), nth]) + len(data).to_bytes(2, "little") + data for op, what, nth, data in changes)
    singles = [[c] for c in CHANGES[0]] + list(CHANGES[1:])
    return [script(s, []) for s in SHAPES] + [script(SHAPES[i % len(SHAPES)], c) for i, c in enumerate(singles)] + [script(0, c) for c in singles]


# words that the mutations are made of as well
JSON_WORDS = ["\\u0000", "\\u212a", "\\ud83d\\ude00", "\\/", "null", "true", "-1", "1e9", "9223372036854775808", "[]", "{}", ":", ",", '"a":', "schemaVersion", "mediaType",
              "config", "layers", "manifests", "fsLayers", "digest", "size", "urls", "platform", "os", "architecture", "variant", "arm", "arm64", "v7",
              "linux", "rootfs", "diff_ids", "history", "created", "errors", "code", "message", "detail", "details", "token", "access_token",
              "refresh_token", "expires_in", "issued_at", "2020-01-01T00:00:00Z", "sha256:" + "0" * 64, "signatures", "protected", "payload"]
HTTP_WORDS = ["bytes ", "-", "/", "*", "http://", "https://", "//", "..", "?", "#", "@", ":80", ":443", ":5000", "[::1]", "%2f", "%00", "%25", ";", "<", ">", "rel=", "GMT",
              "Bearer ", "Basic ", "realm=", "error=", "scope=", "\\\"", ",", "=", "r.example", "registry.example", "evil", "1", "18446744073709551616", "Mon, ", " Feb ", " 00:00:00 "]
WORDS = {"challenge": HTTP_WORDS, "config": JSON_WORDS, "content_range": HTTP_WORDS, "decompress": [], "errcode": JSON_WORDS + HTTP_WORDS, "index": JSON_WORDS,
         "json": JSON_WORDS, "link": HTTP_WORDS, "location": HTTP_WORDS, "manifest": JSON_WORDS, "pull": JSON_WORDS + HTTP_WORDS,
         "reference": ["docker.io/", "library/", "index.docker.io/", "localhost", "@sha256:", "sha512:", "__", "..", "[::1]", ":5000", "0" * 32, "a" * 128],
         "retry_after": HTTP_WORDS, "token": JSON_WORDS, "untar": ["../", "..", "ustar", "/", ".wh.", ".wh..wh..opq", "canary", "layer", "SCHILY.xattr.user.a=", "path=", "linkpath="]}


def dictionary(target):
    """As libFuzzer reads it."""
    return "".join('"%s"\n' % "".join("\\x%02x" % byte for byte in word.encode()) for word in WORDS[target])


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
    # a folder of the layer is a link out of it
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, kind, link in (("l", tarfile.SYMTYPE, "../.."), ("l/up", tarfile.REGTYPE, ""), ("l/canary", tarfile.REGTYPE, "")):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, link
            tar.addfile(info)
    yield out.getvalue()


def recorded(vectors, table):
    """What went into the calls that were recorded of the original."""
    with open(os.path.join(vectors, table + ".json"), "rb") as data:
        return [case["in"] for case in json.load(data)]


def thin(inputs, most, longest=4096):
    """Some of them, from everywhere."""
    inputs = sorted({i for i in inputs if len(i) <= longest})
    return inputs[::max(1, len(inputs) // most)]


def documents(vectors):
    """JSON documents and packed layers of the recorded pulls, and their references."""
    texts, packed, references = set(), set(), set()
    for name in sorted(os.listdir(os.path.join(vectors, "scenarios"))):
        with open(os.path.join(vectors, "scenarios", name), "rb") as data:
            scenario = json.load(data)
        references.add(scenario["ref"])
        for blob in (scenario.get("blobs") or {}).values():
            data = base64.b64decode(blob)
            (texts if data[:1] == b"{" else packed).add(data)
    return sorted(texts), sorted(packed), sorted(references)


def seeds(vectors):
    """{target: [inputs]}"""
    texts, packed, references = documents(vectors)
    tars = list(small_tars())
    packed += [pack(tar) for tar in tars for pack in (gzip.compress, bz2.compress, lzma.compress)] + tars[:1]
    packed += [gzip.compress(b"a") + gzip.compress(b"b") + bytes(100)] + [bytes.fromhex(z) for z in ZSTD]
    bodies = thin([m["body"].encode() for m in recorded(vectors, "manifest_unmarshal") if isinstance(m.get("body"), str)], 160)
    manifests = [b for b in bodies if b'"manifests"' not in b]
    manifests.append(b'{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json","config":{"size":-2},"layers":[{"size":-3}]}')
    configs = thin([c["config"].encode() for c in recorded(vectors, "image_config") if isinstance(c.get("config"), str)], 120)
    challenges = thin(["\n".join(c.get("www_authenticate", [])).encode() for c in recorded(vectors, "auth_challenge")], 80)
    errors = thin([e["body"].encode() for e in recorded(vectors, "handle_error_response") if isinstance(e.get("body"), str)], 100)
    references = thin([r["ref"].encode() for r in recorded(vectors, "reference_parse") if "ref" in r] + [r.encode() for r in references], 120, 300)
    return {
        "challenge": [c.encode() for c in CHALLENGES] + challenges,
        "config": texts[:20] + configs,
        "content_range": [bytes([i % 5]) + r.encode() for i, r in enumerate(RANGES)],
        "decompress": packed,
        "errcode": [b"\n" + e for e in errors] + [b'\n{"errors":[{"code":"DENIED","message":"m","detail":{"a":[1]}}]}', b'{"details":"x"}']
        + [c.split("\n")[0].encode() + b'\n{"errors":[{"code":"TOOMANYREQUESTS"},{}]}' for c in CHALLENGES],
        "index": [bytes([i]) + b for b in bodies if b not in manifests for i in range(2)],
        "json": texts[:20] + bodies[::4] + [j.encode("latin-1") for j in JSONS],
        "link": [s.encode() for s in LINKS],
        "location": [s.encode() for s in LOCATIONS],
        "manifest": [bytes([i]) + m for m in manifests for i in (0, 1, 2, 4)],
        "pull": pulls(),
        "reference": [r.encode() for r in REFERENCES] + references,
        "retry_after": [r.encode() for r in RETRIES],
        "token": [bytes([i]) + (realm + "\n" + t).encode() for i in range(4) for t in TOKENS for realm in REALMS],
        "untar": [bytes([flags]) + tar for tar in tars for flags in (0, 1, 3, 13)],
    }
