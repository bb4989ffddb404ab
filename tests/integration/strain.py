#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""engine.json's "network": limits of registries, slow ones, silent ones; and that without it all is as in the original."""
import json
import os
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cli  # noqa: E402
import httpd  # noqa: E402
import images  # noqa: E402
import registries  # noqa: E402
from cli import check  # noqa: E402
from registries import here  # noqa: E402

LIMITS = [("RateLimit-Limit", "100;w=21600"), ("RateLimit-Remaining", "0;w=21600")]


def too_many(after=None):
    """What Docker Hub answers."""
    headers = LIMITS + ([("Retry-After", str(after))] if after is not None else [])
    return httpd.Answer(429, {"errors": [{"code": "TOOMANYREQUESTS", "message":
                                          "You have reached your pull rate limit."}]}, headers)


def first(n, busy, then):
    """The first n requests get that answer."""
    def answer(request, *args):
        answer.left -= 1
        return busy() if answer.left >= 0 else then(request, *args)
    answer.left = n
    return answer


def network(site, **keys):
    return cli.Store(site, network={k.replace("_", "-"): v for k, v in keys.items()})


def without(site):
    """by default 429 and 503 are the end, as in the original"""
    with here(site) as server:
        server.manifest = first(1, too_many, server.manifest)
        cli.Store(site).fails(1, "toomanyrequests: You have reached your pull rate limit.", "pull", server.host + "/team/app:1")
        check(len(server.asked("/manifests/")) == 1, server.asked())


def comes_back(site):
    """retry-after: 429 and 503 of manifests, blobs and tokens are waited for"""
    for what in ("manifest", "blob", "ping"):
        for busy in (lambda: too_many(1), lambda: httpd.Answer(503, b"later")):
            with here(site) as server:
                setattr(server, what, first(2, busy, getattr(server, what)))
                result = network(site, retry_after=True, retry_backoff_ms=20).run(
                    "--log-level", "info", "pull", server.host + "/team/app:1")
                check(result.code == 0 and result.err.count("retrying in") == 2 and "Retrying" not in result.out, result)


def gives_up(site):
    """retry-after: as often as max-retries says, and not where it would take too long"""
    with here(site) as server:
        server.manifest = first(9, lambda: httpd.Answer(503, b"later"), server.manifest)
        result = network(site, retry_after=True, retry_backoff_ms=10, max_retries=3).run(
            "pull", server.host + "/team/app:1")
        check(result.code == 1 and "503 Service Unavailable" in result.err, result)
        check(len(server.asked("/manifests/")) == 4, server.asked())
        for after in (10 ** 9, "Fri, 31 Dec 2100 23:59:59 GMT", "7200"):
            server.manifest = first(9, lambda after=after: too_many(after), server.manifest)
            server.forget()
            result = network(site, retry_after=True).run("pull", "--progress", "json", server.host + "/team/app:1")
            check(result.code == 1 and len(server.asked("/manifests/")) == 1, result)
            more = json.loads(result.lines[-1])["towline"]
            check(more["retryAfter"] >= 7200 and more["httpStatus"] == 429, more)
        check((more["rateLimit"], more["rateLimitRemaining"]) == ("100;w=21600", "0;w=21600"), more)
        check(more["hint"] == "%s limits how much may be pulled without credentials to 100 in 6 h: try again in 2 h, or log in"
              % server.host, more)


def waits_can_be_cancelled(site):
    """a wait for a registry ends with the pull"""
    with here(site) as server:
        server.manifest = first(9, lambda: too_many(30), server.manifest)
        store = network(site, retry_after=True)
        proc = store.start("pull", server.host + "/team/app:1")
        for _ in range(600):
            if server.asked("/manifests/"):
                break
            time.sleep(0.05)
        proc.terminate()
        out, err = proc.communicate(timeout=cli.WAIT)
        check(proc.returncode == 1 and b"context canceled" in err, (out, err))


def what_is_said(site):
    """limits that are left and warnings are logged, each once"""
    with here(site) as server:
        plain = server.manifest

        def manifest(*args):
            answer = plain(*args)
            answer.headers += [("ratelimit-limit", "100;w=21600"), ("ratelimit-remaining", "76;w=21600"),
                               ("Warning", '299 - "this \\"tag\\" goes away"'), ("Warning", '199 - "other"')]
            return answer
        server.manifest = manifest
        server.blob = lambda request, repo, digest, data: httpd.part_of(
            request, data, [("Warning", '299 - "this \\"tag\\" goes away"')])
        result = cli.Store(site).run("--log-level", "info", "pull", server.host + "/team/app:1")
        check(result.code == 0 and result.err.count("100;w=21600, remaining: 76;w=21600") == 1, result)
        check(result.err.count("goes away") == 1 and "other" not in result.err, result)
        check(cli.Store(site).ok("pull", server.host + "/team/app:1").err == "")


def too_slow(site):
    """min-speed: a layer that stops coming is asked for anew from where it was, at no cost of a try"""
    big = httpd.Image(images.tar_of({"big": os.urandom(400000)}))
    release = threading.Event()
    with httpd.Registry({"team/app": {"1": big}}) as server:
        server.blob = lambda request, repo, digest, data: httpd.part_of(
            request, data, wait=release if digest == big.layers[0] and "range" not in request.headers else None)
        result = network(site, min_speed=1000, min_speed_time_ms=300).run("pull", server.host + "/team/app:1")
        release.set()
        check(result.code == 0 and "Retrying" not in result.out, result)
        ranges = [r.headers.get("range") for r in server.requests if big.layers[0] in r.path]
        check(len(ranges) == 2 and ranges[0] is None and ranges[1].startswith("bytes="), ranges)


def capped(site):
    """max-speed: blobs come no faster"""
    big = httpd.Image(images.tar_of({"big": os.urandom(300000)}))
    with httpd.Registry({"team/app": {"1": big}}) as server:
        begin = time.monotonic()
        network(site, max_speed=250000).ok("pull", server.host + "/team/app:1")
        # it cannot be less, whatever the machine does
        check(time.monotonic() - begin >= 1, time.monotonic() - begin)


def silent(site):
    """header-timeout-ms and tls-timeout-ms: for each phase its own limit"""
    release = threading.Event()
    with here(site) as server:
        plain = server.manifest
        server.manifest = lambda *args: release.wait(30) and plain(*args)
        network(site, header_timeout_ms=300).fails(
            1, "net/http: timeout awaiting response headers", "pull", server.host + "/team/app:1")
        release.set()
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen(8)
        result = cli.Store(site, network={"tls-timeout-ms": 300, "header-timeout-ms": 300}).run(
            "--log-level", "info", "pull", "127.0.0.1:%d/team/app:1" % s.getsockname()[1])
        check(result.code == 1 and "net/http: TLS handshake timeout" in result.err, result)


def head_first(site):
    """head-first: an image that is up to date costs a HEAD, and looks the same"""
    other = httpd.small_image("other\n")
    with here(site) as server:
        name = server.host + "/team/app:1"
        store = network(site, head_first=True)
        store.ok("pull", name)
        server.forget()
        result = store.ok("pull", name)
        check(result.lines == ["1: Pulling from team/app", "Digest: " + site.image.digest,
                               "Status: Image is up to date for " + name, name], result)
        check(server.asked("/team/") == ["HEAD /v2/team/app/manifests/1"], server.asked())
        # Another platform was asked for, or the tag names something else: then all is as ever.
        server.forget()
        store.run("pull", "--platform", "linux/arm64", name)
        check("GET /v2/team/app/manifests/1" in server.asked(), server.asked())
        server.stored["team/app"]["1"] = other
        check("Status: Downloaded newer image for " + name in store.ok("pull", name).lines)
        # A registry that does not do HEAD.
        plain = server.answer
        server.answer = lambda r: httpd.Answer(405) if r.method == "HEAD" else plain(r)
        check("Status: Image is up to date for " + name in store.ok("pull", name).lines)
        server.answer = plain
        server.forget()
        check("Status: Image is up to date for " + name in cli.Store.ok(store, "pull", name).lines)
        other_store = cli.Store(site)
        other_store.ok("pull", name)
        server.forget()
        other_store.ok("pull", name)
        check(not server.asked("HEAD"), server.asked())


CASES = [without, comes_back, gives_up, waits_can_be_cancelled, what_is_said, too_slow, capped, silent, head_first]

if __name__ == "__main__":
    registries.main("strain", CASES)
