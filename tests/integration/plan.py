#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""towline plan: what a pull would fetch, and that nothing is fetched or stored."""
import json
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cli  # noqa: E402
import httpd  # noqa: E402
import images  # noqa: E402
import registries  # noqa: E402
from cli import check  # noqa: E402

LIST = "application/vnd.docker.distribution.manifest.list.v2+json"


class Listed:
    """A list of one image for each architecture, as httpd.Image."""

    def __init__(self, **by_architecture):
        self.blobs = {k: v for image in by_architecture.values() for k, v in image.blobs.items()}
        self.manifest = json.dumps({"schemaVersion": 2, "mediaType": LIST, "manifests": [
            {"mediaType": httpd.MANIFEST, "size": len(i.manifest), "digest": i.digest,
             "platform": {"os": "linux", "architecture": a}} for a, i in by_architecture.items()]}).encode()
        self.digest = httpd.digest_of(self.manifest)


def tars():
    return [images.tar_of({"file%d" % i: b"x" * (1000 * i + 1) + os.urandom(100)}) for i in range(3)]


def plan_of(store, *args):
    return json.loads(store.ok("plan", "--json", *args).out)


def nothing_here(site):
    """where there is no store yet all is to be fetched, and none is made"""
    image = httpd.Image(*tars())
    with httpd.Registry({"team/app": {"1": image}}) as server:
        store = cli.Store(site)
        name = server.host + "/team/app:1"
        (plan,) = plan_of(store, name)
        sizes = [len(image.blobs[d]) for d in image.layers]
        check([(p["digest"], p["size"], p["present"], p["mediaType"]) for p in plan["layers"]] ==
              [(d, s, False, httpd.LAYER) for d, s in zip(image.layers, sizes)], plan)
        check(plan["config"] == {"digest": image.config, "mediaType": httpd.CONFIG, "size": len(image.blobs[image.config]),
                                 "present": False}, plan)
        check(plan["manifest"]["digest"] == image.digest and plan["reference"] == name, plan)
        total = sum(sizes) + plan["config"]["size"] + len(image.manifest)
        check((plan["totalBytes"], plan["fetchBytes"], plan["fetchLayers"], plan["unknownSizes"]) == (total, total, 3, 0), plan)
        check(plan["freeBytes"] > 0 and not os.path.exists(store.root), plan)
        check(not server.asked("/blobs/"), server.asked())
        lines = store.ok("plan", name).lines
        check(lines[0] == name and [line.split()[0] for line in lines[1:6]] == ["manifest", "config"] + ["layer"] * 3, lines)
        check(all(line.endswith("to be fetched") for line in lines[1:6]) and "3 of 3 layers" in lines[6], lines)


def some_here(site):
    """what is here already is seen: layers of other images, in any place, the image itself, a layer twice"""
    one, two, three = tars()
    stored = {"1": httpd.Image(one, two), "2": httpd.Image(one, three, two), "3": httpd.Image(three, three)}
    with httpd.Registry({"team/app": stored}) as server:
        store = cli.Store(site)
        name = server.host + "/team/app:"
        store.ok("pull", name + "1")
        before = cli.tree(store.root)
        server.forget()
        (again, other, twice) = plan_of(store, name + "1", name + "2", name + "3")
        check([p["present"] for p in again["layers"]] == [True, True] and again["config"]["present"], again)
        check([p["present"] for p in other["layers"]] == [True, False, True] and not other["config"]["present"], other)
        check(other["fetchBytes"] == len(stored["2"].blobs[stored["2"].layers[1]]) + other["config"]["size"] +
              other["manifest"]["size"], other)
        check([p["present"] for p in twice["layers"]] == [False, True], twice)
        check(not server.asked("/blobs/") and cli.tree(store.root) == before)
        check("already here" in store.ok("plan", name + "2").out)
        # It is what a pull then does.
        server.forget()
        store.ok("pull", name + "2")
        check(sorted(server.asked("/blobs/")) == sorted("GET /v2/team/app/blobs/" + d for d in (
            stored["2"].layers[1], stored["2"].config)), server.asked())


def lists(site):
    """of a list, the image of the platform"""
    amd, arm = httpd.Image(*tars()), httpd.Image(*tars()[:1])
    listed = Listed(amd64=amd, arm64=arm)
    with httpd.Registry({"team/app": {"1": listed}}) as server:
        def manifest(request, repo, reference, image):
            which = next((i for i in (amd, arm) if i.digest == reference), listed)
            kind = LIST if which is listed else httpd.MANIFEST
            return httpd.Answer(200, which.manifest, [("Content-Type", kind)])
        server.manifest = manifest
        server.stored["team/app"].update({amd.digest: amd, arm.digest: arm})
        store = cli.Store(site)
        for args, image in (((), amd), (("--platform", "linux/arm64"), arm)):
            (plan,) = plan_of(store, *args, server.host + "/team/app:1")
            check(plan["manifest"]["digest"] == image.digest and len(plan["layers"]) == len(image.layers), plan)
        store.fails(1, "no matching manifest for linux/s390x", "plan", "--platform=linux/s390x", server.host + "/team/app:1")


def failures(site):
    """what goes wrong is said as pull says it; the others are planned"""
    with httpd.Registry({"team/app": {"1": site.image}}) as server:
        store = cli.Store(site)
        name = server.host + "/team/app:"
        result = store.run("plan", "--json", name + "none", name + "1")
        check(result.code == 1 and result.err == "", result)
        (failed, planned) = json.loads(result.out)
        check(planned["reference"] == name + "1" and planned["layers"] and "error" not in planned, result)
        more = failed.pop("towline")
        message = failed["error"]
        check(failed == {"reference": name + "none", "error": message, "errorDetail": {"message": message}}, result)
        check(message.startswith("manifest for %snone not found" % name), result)
        check((more["phase"], more["code"], more["httpStatus"]) == ("manifest", "MANIFEST_UNKNOWN", 404) and
              more["endpoint"].startswith("http"), more)
        result = store.run("plan", name + "none", name + "1")
        check(result.code == 1 and re.fullmatch("towline: manifest for %snone not found[^\n]*\n" % name, result.err), result)
        check(result.lines[0] == name + "1", result)
        same = plan_of(store, name + "1", name + "1")
        check(len(same) == 2 and same[0] == same[1], same)
        for config, args, named in (("{", (name + "1",), {}), (None, ("UPPER/x",), {"reference": "UPPER/x"})):
            one = cli.Store(site)
            if config:
                one.write(config)
            result = one.run("plan", "--json", *args)
            check(result.code == 1 and result.err == "", result)
            (failed,) = json.loads(result.out)
            check(failed == {**named, "error": failed["error"], "errorDetail": {"message": failed["error"]}}, result)
        store.fails(1, "invalid reference format", "plan", "UPPER/x")
        store.fails(2, "--creds is", "plan", "--creds", ":", name + "1")
    for user, works in (("ann:secret", True), ("ann:other", False)):
        with registries.here(site, kind=registries.Locked) as server:
            result = cli.Store(site).run("plan", "--creds", user, server.host + "/team/app:1")
            check((result.code == 0) == works, result)


CASES = [nothing_here, some_here, lists, failures]

if __name__ == "__main__":
    registries.main("plan", CASES)
