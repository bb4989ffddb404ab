#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""engine.json's "registries": mirrors of any registry, other locations, what is blocked; who is asked what, and with whose
credentials."""
import base64
import json
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(1, os.path.join(HERE, "..", "vectors"))
import cli  # noqa: E402
import httpd  # noqa: E402
import images  # noqa: E402
import make_tls  # noqa: E402
import tap  # noqa: E402
from cli import check  # noqa: E402


class Site:
    def __init__(self, work):
        self.work = work
        self.image = httpd.small_image(layers=2)


def basic(user, password):
    return "Basic " + base64.b64encode(("%s:%s" % (user, password)).encode()).decode()


class Locked(httpd.Registry):
    """Basic authentication for one user."""
    user = ("ann", "secret")

    def guard(self, request):
        if request.headers.get("authorization") == basic(*self.user):
            return None
        return httpd.Answer.error(401, "UNAUTHORIZED", "authentication required", headers=[
            ("WWW-Authenticate", 'Basic realm="x"'), ("Docker-Distribution-Api-Version", "registry/2.0")])


def here(site, kind=httpd.Registry, repo="team/app", **more):
    return kind({repo: {"1": site.image}}, **more)


def entry(prefix, *mirrors, **more):
    return [{"prefix": prefix, "mirrors": list(mirrors), **more}]


def mirror_first(site):
    """a mirror of any registry is asked first, and what it has is asked of nobody else"""
    with here(site) as origin, here(site) as mirror:
        store = cli.Store(site, registries=entry(origin.host, {"location": mirror.host}))
        result = store.ok("pull", origin.host + "/team/app:1")
        check(result.lines[0] == "1: Pulling from team/app", result)
        check(origin.requests == [] and len(mirror.asked("/blobs/")) == 3, (origin.asked(), mirror.asked()))
        check(json.loads(store.ok("images", "--json").out)[0]["RepoTags"] == [origin.host + "/team/app:1"])
        # What the mirror does not have, the registry has.
        mirror.stored = {}
        store.ok("pull", origin.host + "/team/app:1")
        check(len(origin.asked("/manifests/")) == 1, origin.asked())
        # Other registries have nothing to do with it.
        mirror.forget()
        other = cli.Store(site, registries=entry("quay.example", {"location": mirror.host}))
        other.ok("pull", origin.host + "/team/app:1")
        check(mirror.requests == [], mirror.asked())


def order(site):
    """mirrors are asked in their order, and each that fails is named in the error"""
    closed = images.free_port()
    with here(site) as one, here(site) as two, httpd.Registry() as origin:
        one.stored = {}
        mirrors = [{"location": "127.0.0.1:%d" % closed}, {"location": one.host}, {"location": two.host}]
        store = cli.Store(site, registries=entry(origin.host, *mirrors))
        store.ok("pull", origin.host + "/team/app:1")
        check(len(one.asked("/manifests/")) == 1 and len(two.asked("/blobs/")) == 3 and not origin.requests)
        two.stored = {}
        result = store.run("pull", "--progress", "json", origin.host + "/team/app:1")
        tried = [a["endpoint"] for a in json.loads(result.lines[-1])["towline"]["attempts"]]
        hosts = [re.sub(r"https?://", "", url) for url in tried]
        check(result.code == 1 and [h for i, h in enumerate(hosts) if h not in hosts[:i]] ==
              ["127.0.0.1:%d" % closed, one.host, two.host, origin.host], tried)


def paths(site):
    """a location's path takes the prefix' place, in URLs and scopes; ns names the registry"""
    with here(site, repo="cache/of/app") as mirror:
        store = cli.Store(site, registries=entry("quay.example:5000/team", {"location": mirror.host + "/cache/of", "ns": True}))
        result = store.ok("pull", "quay.example:5000/team/app:1")
        check(result.lines[0] == "1: Pulling from team/app", result)
        for path in ("/v2/", "/v2/cache/of/app/manifests/1", "/v2/cache/of/app/blobs/" + site.image.config):
            check(("GET %s?ns=quay.example%%3A5000" % path) in mirror.asked(), mirror.asked())
        check(all(r.query == {"ns": "quay.example:5000"} for r in mirror.requests), mirror.asked())
        check(json.loads(store.ok("images", "--json").out)[0]["RepoTags"] == ["quay.example:5000/team/app:1"])
    with here(site, repo="mirror/library/app") as mirror:
        store = cli.Store(site, registries=entry("docker.io", {"location": mirror.host + "/mirror", "api-root": "/root"}))
        mirror_answer = mirror.answer

        def below_root(request):
            if not request.path.startswith("/root/"):
                return None
            request.path = request.path[len("/root"):]
            return mirror_answer(request)
        mirror.answer = below_root
        store.ok("pull", "app:1")
        check(json.loads(store.ok("images", "--json").out)[0]["RepoTags"] == ["app:1"])


def longest_prefix(site):
    """the longest prefix counts, by whole components; *.DOMAIN is for the hosts below it"""
    with here(site, repo="a/team/app") as a, here(site, repo="b/app") as b, here(site, repo="team/app") as c:
        rules = entry("reg.example", {"location": a.host + "/a"}) + entry("reg.example/team", {"location": b.host + "/b"}) + \
            entry("*.reg.example", {"location": c.host})
        for rule in rules:
            rule["mirror-only"] = True
        store = cli.Store(site, registries=rules)
        store.ok("pull", "reg.example/team/app:1")
        check(len(b.asked("/manifests/")) == 1 and not a.requests and not c.requests)
        store.ok("pull", "eu.reg.example/team/app:1")
        check(len(c.asked("/manifests/")) == 1 and not a.requests)
        store.fails(1, "not found", "pull", "reg.example/teams/app:1")
        check(len(a.asked("/v2/a/teams/app/manifests/1")) == 1)


def by_digest_only(site):
    """pull-from-mirror: digest-only mirrors get no tags, tag-only ones no digests"""
    for which, name, other in (("digest-only", "@" + site.image.digest, ":1"), ("tag-only", ":1", "@" + site.image.digest)):
        with here(site) as origin, here(site) as mirror:
            rules = entry(origin.host, {"location": mirror.host, "pull-from-mirror": which})
            cli.Store(site, registries=rules).ok("pull", origin.host + "/team/app" + other)
            check(not mirror.requests and len(origin.asked("/blobs/")) == 3, mirror.asked())
            origin.forget()
            cli.Store(site, registries=rules).ok("pull", origin.host + "/team/app" + name)
            check(not origin.requests and len(mirror.asked("/blobs/")) == 3, origin.asked())


def mirror_only(site):
    """mirror-only: the registry itself is never asked"""
    with here(site) as origin, httpd.Registry() as mirror:
        rules = entry(origin.host, {"location": mirror.host}, **{"mirror-only": True})
        cli.Store(site, registries=rules).fails(1, "not found", "pull", origin.host + "/team/app:1")
        check(mirror.requests and not origin.requests, origin.asked())


def blocked(site):
    """what is blocked is said before anybody is asked anything"""
    with here(site) as origin, here(site) as mirror:
        rules = entry(origin.host + "/team", {"location": mirror.host}, blocked=True)
        store = cli.Store(site, registries=rules)
        store.fails(1, "registry %s/team is blocked by the configuration" % origin.host, "pull", origin.host + "/team/app:1")
        check(not origin.requests and not mirror.requests)
        store.fails(1, "not found", "pull", origin.host + "/other/app:1")


def location(site):
    """a registry that is elsewhere: the name stays, the credentials of its name do not go there"""
    with here(site, kind=Locked, repo="moved/app") as real, httpd.Server() as named:
        rules = [{"prefix": named.host + "/team", "location": real.host + "/moved"}]
        store = cli.Store(site, registries=rules)
        result = store.run("pull", "--creds", "ann:secret", named.host + "/team/app:1")
        check(result.code == 1 and "no basic auth credentials" in result.err, result)
        check(not any("authorization" in r.headers for r in real.requests) and not named.requests)
        rules[0]["credentials"] = {"username": "ann", "password": "secret"}
        store = cli.Store(site, registries=rules)
        store.ok("pull", named.host + "/team/app:1")
        check(json.loads(store.ok("images", "--json").out)[0]["RepoTags"] == [named.host + "/team/app:1"])


def credentials(site):
    """a mirror gets its own credentials or none, the pull's only where the configuration says so"""
    for given, works in ((None, False), ({"username": "ann", "password": "secret"}, True), ("request", True), ("stored", True),
                         ({"authfile": "FILE"}, True), ({"username": "ann", "password": "other"}, False)):
        with here(site, kind=Locked) as origin, here(site, kind=Locked) as mirror:
            origin.user = ("ann", "secret") if given == "request" else ("bob", "origins")
            mirrors = {"location": mirror.host}
            store = cli.Store(site)
            stored = {"auths": {mirror.host: {"auth": base64.b64encode(b"ann:secret").decode()}}}
            path = os.path.join(store.dir, "auth.json") if given == {"authfile": "FILE"} else \
                os.path.join(store.home, ".docker", "config.json")
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as out:
                json.dump(stored, out)
            if given:
                mirrors["credentials"] = {"authfile": path} if given == {"authfile": "FILE"} else given
            store.write({"plugins": {"image_pull": {"path": cli.PLUGIN}}, "data-root": store.root,
                         "registries": entry(origin.host, mirrors)})
            store.ok("pull", "--creds", ":".join(origin.user), origin.host + "/team/app:1")
            check(bool(mirror.asked("/blobs/")) == works and bool(origin.asked("/blobs/")) != works,
                  (given, mirror.asked(), origin.asked()))
            sent = {r.headers["authorization"] for r in mirror.requests if "authorization" in r.headers}
            check(sent <= {basic("ann", "secret"), basic("ann", "other")}, (given, sent))
            check(given or not sent, sent)


def dead(site):
    """a mirror that does not answer costs one time-out; one that is gone in the middle is left at once"""
    with httpd.Silent() as silent, here(site) as origin:
        rules = entry(origin.host, {"location": silent.host, "connect-timeout-ms": 300})
        result = cli.Store(site, registries=rules).run("--log-level", "debug", "pull", origin.host + "/team/app:1")
        check(result.code == 0 and "i/o timeout" in result.err, result)
        check("Skipping endpoint http://%s: its host did not answer" % silent.host in result.err, result)
        check(result.err.count("Attempting next endpoint") == 2, result)  # the mirror, and https of the registry
    with here(site) as mirror, here(site) as origin:
        rules = entry(origin.host, {"location": "http://" + mirror.host})

        def last_answer(*args):
            """What comes after the manifest finds nobody: no connection is kept, and no more are accepted."""
            mirror.httpd.socket.close()
            answer = httpd.Registry.manifest(mirror, *args)
            answer.headers.append(("Connection", "close"))
            return answer
        mirror.manifest = last_answer
        result = cli.Store(site, registries=rules).run("--log-level", "info", "pull", origin.host + "/team/app:1")
        check(result.code == 0 and "Download failed: Get" in result.err and "Retrying" not in result.out, result)
        check(len(origin.asked("/blobs/")) == 3, origin.asked())


def lying(site):
    """a mirror that lies about content is found out, and the registry asked"""
    def wrong_blob(request, repo, digest, data):
        return httpd.part_of(request, data if digest == site.image.config else data[:-1] + bytes([data[-1] ^ 1]))

    def wrong_manifest(request, repo, reference, image):
        return httpd.Answer(200, image.manifest + b" ", [("Content-Type", httpd.MANIFEST)])
    for name, what, reference in (("blob", wrong_blob, ":1"), ("manifest", wrong_manifest, "@" + site.image.digest)):
        with here(site) as origin, here(site) as mirror:
            setattr(mirror, name, what)
            store = cli.Store(site, registries=entry(origin.host, {"location": mirror.host}))
            result = store.run("--log-level", "info", "pull", origin.host + "/team/app" + reference)
            check(result.code == 0 and "verification failed for digest" in result.err, result)
            check(origin.asked("/manifests/"), origin.asked())
            check(json.loads(store.ok("inspect", origin.host + "/team/app" + reference).out)[0]["Id"] == site.image.config)


def tls(site):
    """a mirror's own CA is trusted for it; insecure takes any; the registry's insecure is its own"""
    folder = os.path.join(site.work, "tls")
    cli.need("openssl")
    make_tls.make(folder)
    pair = (os.path.join(folder, "server.crt"), os.path.join(folder, "server.key"))
    for more, works in (({}, False), ({"ca": os.path.join(folder, "ca.crt")}, True), ({"insecure": True}, True)):
        with here(site, tls=pair) as mirror, here(site) as origin:
            rules = entry(origin.host, {"location": mirror.host, **more}, insecure=True)
            store = cli.Store(site, registries=rules, **{"insecure-loopback": False})
            result = store.run("--log-level", "info", "pull", origin.host + "/team/app:1")
            check(result.code == 0 and ("x509: " in result.err) != works, result)
            check(bool(mirror.asked("/blobs/")) == works, (more, mirror.asked()))


def page(site):
    """the example of docs/registries.md is a configuration"""
    with open(os.path.join(cli.TOP, "docs", "registries.md"), encoding="utf-8") as f:
        example = re.search(r'^    ("registries": \[\n.*?^    \])$', f.read(), re.M | re.S).group(1)
    store = cli.Store(site, **json.loads("{" + example + "}"))
    store.ok("images")
    store.fails(1, "registry evil.example is blocked by the configuration", "pull", "evil.example/x:1")


CASES = [page, mirror_first, order, paths, longest_prefix, by_digest_only, mirror_only, blocked, location, credentials, dead, lying, tls]


def main(prefix="registries", cases=None):
    tap.needs(built=(cli.PROGRAM, cli.PLUGIN), root="needs root")
    tap.main(prefix, cases or CASES, Site)


if __name__ == "__main__":
    main()
