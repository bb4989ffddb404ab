#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Nine registries as they behave, in small: what they ask for, where they send one, what they say. Each is pulled from, each
refuses wrong credentials, and nothing that is secret reaches a server that it was not meant for.

Each persona is a registry at 127.0.0.1, its token server (where it has one apart) at 127.0.0.2 and its object storage at 127.0.0.3:
other hosts to the client. What each shape was taken from is said beside it; "observed" is what such a registry answered to curl, as
shown in the thread named."""
import base64
import json
import os
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cli  # noqa: E402
import httpd  # noqa: E402
import registries  # noqa: E402
import tap  # noqa: E402
from cli import check  # noqa: E402
from registries import basic  # noqa: E402

USER, PASSWORD = "ann", "s3cret-pass word"
GOOD = basic(USER, PASSWORD)


class Storage(httpd.Server):
    """Object storage behind signed URLs. As S3 and Azure do, it refuses a request that has an Authorization header besides: `Only
    one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter or the Authorization header
    should be specified` (github.com/open-policy-agent/opa pull 6728, github.com/renovatebot/renovate issue 3877); Azure's
    `Authentication information is not given in the correct format` (github.com/Azure/acr issue 217)."""

    def __init__(self, blobs, **more):
        self.blobs, self.chunked = blobs, False
        super().__init__(**more)

    def answer(self, request):
        if "authorization" in request.headers:
            return httpd.Answer(400, b"<Error><Code>InvalidArgument</Code></Error>", [("Content-Type", "application/xml")])
        if request.query.get("sig") != "signed":
            return httpd.Answer(403, b"<Error><Code>AccessDenied</Code></Error>", [("Content-Type", "application/xml")])
        data = self.blobs.get(request.path.rsplit("/", 1)[1])
        return data and httpd.part_of(request, data, chunked=self.chunked)


class Tokens(httpd.Server):
    """A token server: github.com/distribution/distribution docs/spec/auth/token.md. self.fields: what its answer has besides."""
    fields = {"expires_in": 300}
    name = "token"

    def __init__(self, **more):
        self.granted, self.anonymous, self.lifetime = {}, False, 300
        super().__init__(**more)

    def refuse(self, request):
        return httpd.Answer(401, {"details": "incorrect username or password"})

    def answer(self, request):
        sent = request.headers.get("authorization")
        if sent != GOOD and not (self.anonymous and sent is None):
            return self.refuse(request)
        token = "tok-%d-%s" % (len(self.granted), os.urandom(6).hex())
        self.granted[token] = (request.query.get("scope"), time.monotonic() + self.lifetime)
        return httpd.Answer(200, {self.name: token, **self.fields}, [("Content-Type", "application/json")])

    def good(self, header, scope):
        """Is this Authorization a token of ours for this scope that has not expired?"""
        wanted, until = self.granted.get((header or "")[len("Bearer "):], (None, 0))
        return wanted == scope and time.monotonic() < until


class Persona(httpd.Registry):
    """A registry with a token server and storage. repo, service, realm: as the real one has them."""
    repo, service, realm_path = "team/app", "registry", "/token"
    own_tokens = False       # the token server is the registry's own host
    redirect = 307           # of blobs to storage; None: it has them itself
    challenge_scope = None   # what /v2/ says about scopes
    digest_header, chunked = True, False
    headers, manifest_headers = [], []
    tokens_class = Tokens
    wrong_credentials = None  # what towline says then, {manifest} and {ping} being URLs

    def __init__(self, image):
        self.tokens = None if self.tokens_class is None or self.own_tokens else self.tokens_class(address="127.0.0.2")
        self.storage = Storage(image.blobs, address="127.0.0.3")
        super().__init__({self.repo: {"1": image}})
        if self.own_tokens:
            self.tokens = self.tokens_class.__new__(self.tokens_class)
            self.tokens.granted, self.tokens.anonymous, self.tokens.lifetime = {}, False, 300

    def servers(self):
        return [s for s in (self, self.tokens, self.storage) if isinstance(s, httpd.Server) and hasattr(s, "httpd")]

    def close(self):
        for server in self.servers():
            httpd.Server.close(server)

    def realm(self):
        return (self.url if self.own_tokens else self.tokens.url) + self.realm_path

    def challenge(self, scope=None):
        text = 'Bearer realm="%s"' % self.realm()
        if self.service or scope:
            text += ',service="%s"' % (self.service or "us-docker.pkg.dev")
        if scope or self.challenge_scope:
            text += ',scope="%s"' % (scope or self.challenge_scope)
        return text

    def unauthorized(self, request, scope):
        return httpd.Answer.error(401, "UNAUTHORIZED", "authentication required", None, [
            ("WWW-Authenticate", self.challenge(scope)), ("Docker-Distribution-Api-Version", "registry/2.0")])

    def may(self, request, scope):
        return self.tokens.good(request.headers.get("authorization"), scope)

    def guard(self, request):
        if self.own_tokens and request.path == self.realm_path:
            return self.tokens.answer(request)
        if not request.path.startswith("/v2"):
            return None
        parts = request.path[len("/v2/"):].rsplit("/", 2)
        scope = "repository:%s:pull" % parts[0] if len(parts) == 3 else None
        return None if scope and self.may(request, scope) else self.unauthorized(request, scope)

    def manifest(self, request, repo, reference, image):
        headers = [("Content-Type", httpd.MANIFEST), *self.headers, *self.manifest_headers]
        if self.digest_header:
            headers.append(("Docker-Content-Digest", image.digest))
        return httpd.Answer(200, image.manifest, headers, chunked=self.chunked)

    def blob(self, request, repo, digest, data):
        if self.redirect is None:
            return httpd.part_of(request, data, self.headers, chunked=self.chunked)
        return httpd.Answer(self.redirect, b"", [*self.headers, ("Location", self.location(digest))])

    def location(self, digest):
        return "%s/data/%s?sig=signed" % (self.storage.url, digest)


class DockerHub(Persona):
    """Challenge and token: distribution's docs/spec/auth/token.md, which shows auth.docker.io. RateLimit headers of manifests:
    docs.docker.com/docker-hub/download-rate-limit, and `ratelimit-limit: 100;w=21600` as observed in
    gist.github.com/jeversol/369009aaad4cd2cd8e2610fa68d4c4be. Blobs: a redirect to production.cloudflare.docker.com."""
    service = "registry.docker.io"
    manifest_headers = [("ratelimit-limit", "100;w=21600"), ("ratelimit-remaining", "76;w=21600"),
                        ("docker-ratelimit-source", "192.0.2.1")]
    wrong_credentials = 'Get "{manifest}": unauthorized: incorrect username or password'


class GitHubTokens(Tokens):
    fields = {}

    def refuse(self, request):
        return httpd.Answer.error(403, "DENIED", "denied")


class GitHub(Persona):
    """github.com/cloudflare/serverless-registry issue 148: /v2/ has a placeholder scope, `repository:user/image:pull`, that no
    client may use. The token answer is a token alone, so it is taken for 60 seconds. `denied` for what one may not see:
    github.com/argoproj-labs/argocd-image-updater issue 303."""
    service, challenge_scope = "ghcr.io", "repository:user/image:pull"
    tokens_class = GitHubTokens
    wrong_credentials = 'Get "{manifest}": denied: denied'


class Amazon(Persona):
    """Basic, no token server: docs.aws.amazon.com/AmazonECR/latest/userguide/registry_auth.html; blobs at S3 by a 307:
    github.com/open-policy-agent/opa issue 6580. A wrong or old password is a 403 with DENIED:
    github.com/aws/aws-cli issue 6580."""
    tokens_class = None

    def guard(self, request):
        sent = request.headers.get("authorization")
        if sent is None:
            return httpd.Answer(401, b"Not Authorized\n", [
                ("WWW-Authenticate", 'Basic realm="%s/",service="ecr.amazonaws.com"' % self.url),
                ("Docker-Distribution-Api-Version", "registry/2.0"), ("Content-Type", "text/plain; charset=utf-8")])
        if sent != GOOD:
            return httpd.Answer.error(403, "DENIED", "Your authorization token has expired. Reauthenticate and try again.")
        return None
    wrong_credentials = ("pull access denied for {name}, repository does not exist or may require 'docker login': "
                         "denied: Your authorization token has expired. Reauthenticate and try again.")


class GoogleTokens(Tokens):
    fields = {"expires_in": 43199, "issued_at": None}

    def refuse(self, request):
        return httpd.Answer.error(401, "UNAUTHORIZED", "authentication failed")


class Google(Persona):
    """The token server is the registry's own host, at /v2/token: below the path that credentials and tokens belong to. Blobs lead to
    a path of the same host that is not below /v2/ (Artifact Registry's /artifacts-downloads/; gcr.io's went to
    storage.googleapis.com by a 302). /v2/ names no service, a repository does: `Bearer realm="https://us-docker.pkg.dev/v2/token"`
    (observed in github.com/apple/container issue 2274). cloud.google.com/artifact-registry/docs/docker/authentication."""
    service, realm_path, own_tokens, redirect = None, "/v2/token", True, 302
    tokens_class = GoogleTokens

    def location(self, digest):
        return "/artifacts-downloads/namespaces/p/downloads/" + digest

    def answer(self, request):
        if not request.path.startswith("/artifacts-downloads/"):
            return super().answer(request)
        if "authorization" in request.headers:
            return httpd.Answer(400, b"no")
        return httpd.part_of(request, self.storage.blobs[request.path.rsplit("/", 1)[1]])
    wrong_credentials = 'Get "{manifest}": unauthorized: authentication failed'


class QuayTokens(Tokens):
    def refuse(self, request):
        return httpd.Answer(401, {"errors": [{"code": "UNAUTHORIZED", "detail": {}, "message": "Invalid Username or Password"}]})


class Quay(Persona):
    """github.com/quay/quay endpoints/v2: realm /v2/auth of its own host, errors with a detail of {} and `access to the requested
    resource is not authorized` (also github.com/hpe-storage/csi-driver issue 288); blobs by a 302 to a CDN."""
    service, realm_path, own_tokens, redirect = "quay.io", "/v2/auth", True, 302
    tokens_class = QuayTokens

    def unauthorized(self, request, scope):
        return httpd.Answer.error(401, "UNAUTHORIZED", "access to the requested resource is not authorized", {}, [
            ("WWW-Authenticate", self.challenge(scope)), ("Docker-Distribution-API-Version", "registry/2.0")])
    wrong_credentials = 'Get "{manifest}": unauthorized: Invalid Username or Password'


class HarborTokens(Tokens):
    fields = {"access_token": "", "expires_in": 1800, "issued_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}

    def refuse(self, request):
        """Who is unknown to Harbor is anonymous to its token service, which gives a token without rights."""
        token = "tok-none-" + os.urandom(6).hex()
        return httpd.Answer(200, {"token": token, **self.fields})


class Harbor(Persona):
    """/service/token of the host, service harbor-registry, a cookie `sid` with each answer (github.com/docker/build-push-action
    issue 923); `unauthorized to access repository: R, action: pull: unauthorized to access repository: R, action: pull`
    (github.com/goharbor/harbor issue 17845). Blobs come from itself. access_token is there and empty
    (github.com/goharbor/harbor src/core/service/token)."""
    service, realm_path, own_tokens, redirect = "harbor-registry", "/service/token", True, None
    headers = [("Set-Cookie", "sid=0123456789abcdef; Path=/; HttpOnly")]
    tokens_class = HarborTokens

    def unauthorized(self, request, scope):
        text = "unauthorized to access repository: %s, action: pull" % self.repo
        return httpd.Answer.error(401, "UNAUTHORIZED", "%s: %s" % (text, text), None, [
            ("WWW-Authenticate", self.challenge(scope)), *self.headers])
    wrong_credentials = "unauthorized: unauthorized to access repository: team/app, action: pull: " \
        "unauthorized to access repository: team/app, action: pull"


class GitLabTokens(Tokens):
    fields = {}

    def refuse(self, request):
        return httpd.Answer.error(403, "DENIED", "access forbidden")


class GitLab(Persona):
    """/jwt/auth at GitLab's own host, which is not the registry's; service container_registry; `denied: access forbidden` from there
    (github.com/getwud/wud issue 600, github.com/canonical/microk8s issue 4754). The registry is distribution's, with storage
    redirects; RateLimit headers as in docs.gitlab.com/administration/settings/user_and_ip_rate_limits."""
    repo, service, realm_path = "group/sub/project/image", "container_registry", "/jwt/auth"
    tokens_class = GitLabTokens
    headers = [("RateLimit-Limit", "600"), ("RateLimit-Remaining", "599"), ("RateLimit-Reset", "1560000000")]
    wrong_credentials = 'Get "{manifest}": denied: access forbidden'


class AzureTokens(Tokens):
    name, fields = "access_token", {}

    def refuse(self, request):
        return httpd.Answer.error(401, "UNAUTHORIZED", "authentication required, visit https://aka.ms/acr/authorization for more "
                                  "information.", headers=[("X-Ms-Correlation-Request-Id", "0")])


class Azure(Persona):
    """`Bearer realm="https://R.azurecr.io/oauth2/token",service="R.azurecr.io"` (observed in github.com/Azure/acr issue 207); the
    answer has access_token alone (github.com/Azure/acr docs/AAD-OAuth.md); blobs by a 307 to blob storage, which refuses the
    header (issue 217). Both challenges, Bearer and Basic, where admin accounts are on: issue 466."""
    realm_path, own_tokens = "/oauth2/token", True
    service = "r.azurecr.io"
    tokens_class = AzureTokens
    wrong_credentials = 'Get "{manifest}": unauthorized: authentication required, visit https://aka.ms/acr/authorization for more ' \
        'information.'


class ArtifactoryTokens(Tokens):
    fields = {"expires_in": 3600}

    def refuse(self, request):
        return httpd.Answer.error(401, "UNAUTHORIZED", "authentication required")


class Artifactory(Persona):
    """`Bearer realm="https://A/artifactory/api/docker/docker-local/v2/token",service="A",scope="..."`, answers by
    `Server: Artifactory/7`, X-Artifactory-Id, json of ISO-8859-1 (github.com/earthly/earthly issue 1017); no scope where a HEAD is
    answered (github.com/containerd/containerd issue 3556). Bodies come chunked, without a length, and here without a
    Docker-Content-Digest, as from a proxy that drops it."""
    service, realm_path, own_tokens, redirect = "artifactory", "/artifactory/api/docker/docker-local/v2/token", True, None
    headers = [("X-Artifactory-Id", "6d70dcfd451c8e98:237a9c5d"), ("X-Artifactory-Node-Id", "one")]
    tokens_class, digest_header, chunked = ArtifactoryTokens, False, True
    # a code with its own words and no detail comes out as the code alone
    wrong_credentials = 'Get "{manifest}": unauthorized'


PERSONAS = [DockerHub, GitHub, Amazon, Google, Quay, Harbor, GitLab, Azure, Artifactory]


def no_leak(persona):
    """No password but where it is exchanged, no token but at the registry, nothing at all elsewhere."""
    password = {base64.b64encode(("%s:%s" % (USER, PASSWORD)).encode()).decode(), PASSWORD, PASSWORD.replace(" ", "%20"),
                PASSWORD.replace(" ", "+")}
    granted = list(persona.tokens.granted) if persona.tokens else []
    for server in persona.servers():
        for r in server.requests:
            to_tokens = persona.tokens and (server is persona.tokens or (persona.own_tokens and r.path == persona.realm_path))
            to_basic = persona.tokens is None and server is persona and r.path.startswith("/v2/")
            if not (to_tokens or to_basic):
                check(not any(p in r.raw for p in password), "the password went to\n%s" % r.raw)
            if server is not persona or to_tokens or not r.path.startswith("/v2/"):
                check(not any(t in r.raw for t in granted), "a token went to\n%s" % r.raw)
            check("cookie" not in r.headers, r.raw)
            if server is persona.storage:
                check("authorization" not in r.headers and "www-authenticate" not in r.raw.lower(), r.raw)


def pulls(kind):
    def case(site):
        image = httpd.small_image(kind.__name__, layers=3)
        with kind(image) as persona:
            name = "%s/%s:1" % (persona.host, persona.repo)
            store = cli.Store(site)
            store.ok("pull", "--creds", "%s:%s" % (USER, PASSWORD), name)
            check(json.loads(store.ok("inspect", name).out)[0]["Id"] == image.config)
            no_leak(persona)
            if persona.tokens:
                scopes = {scope for scope, _ in persona.tokens.granted.values()}
                check(scopes == {"repository:%s:pull" % persona.repo} and len(persona.tokens.granted) == 1, persona.tokens.granted)
                asked = [r for s in persona.servers() for r in s.requests if r.path == persona.realm_path]
                check([p for p in asked[0].pairs if p[0] == "service"] == 
                      ([("service", persona.service)] if persona.service else []), asked)
                check(asked[0].query["account"] == USER, asked)
            # By digest, and what is there already.
            store.ok("pull", "--creds", "%s:%s" % (USER, PASSWORD), "%s/%s@%s" % (persona.host, persona.repo, image.digest))
            no_leak(persona)
        with kind(image) as persona:
            name = "%s/%s" % (persona.host, persona.repo)
            store = cli.Store(site)
            result = store.run("pull", "--creds", USER + ":wrong", name + ":1")
            text = persona.wrong_credentials.format(manifest="%s/v2/%s/manifests/1" % (persona.url, persona.repo),
                                                    name=name)
            check(result.code == 1 and result.err == "towline: %s\n" % text, "expected %s\n%s" % (text, result))
            check(not any("/blobs/" in r.path for r in persona.requests), persona.asked())
            no_leak(persona)
    case.__doc__ = "%s: pulls, refuses wrong credentials, keeps secrets at home" % kind.__name__
    case.__name__ = kind.__name__
    return case


def trace(site):
    """--log-level debug shows each request and its answer, and nothing that is secret"""
    for kind in (DockerHub, Amazon, Harbor):
        with kind(httpd.small_image(kind.__name__)) as persona:
            result = cli.Store(site).run("--log-level", "debug", "pull", "--creds", "%s:%s" % (USER, PASSWORD),
                                         "%s/%s:1" % (persona.host, persona.repo))
            check(result.code == 0, result)
            lines = [line for line in result.err.splitlines() if "HTTP: " in line]
            requests = [r for s in persona.servers() for r in s.requests]
            check(len(lines) >= len(requests), lines)
            check(any("(Authorization: B" in line and "***)" in line for line in lines) and
                  any("Location: " + persona.storage.url + "/data" in line for line in lines) == (kind is not Harbor), lines)
            for secret in [PASSWORD, GOOD.split()[1], "sig=", *(persona.tokens.granted if persona.tokens else [])]:
                check(secret not in result.err, "%s is in\n%s" % (secret, result.err))


def anonymous(site):
    """where anonymous tokens are given, no credentials are needed, and none are sent"""
    for kind in (DockerHub, GitHub, Quay, Artifactory):
        with kind(httpd.small_image(kind.__name__)) as persona:
            persona.tokens.anonymous = True
            cli.Store(site).ok("pull", "%s/%s:1" % (persona.host, persona.repo))
            asked = [r for s in persona.servers() for r in s.requests if r.path == persona.realm_path]
            check(len(asked) == 1 and "authorization" not in asked[0].headers and "account" not in asked[0].query, asked)


def unknown(site):
    """what is not there, in each registry's words"""
    for kind, answer, text in (
            (DockerHub, None, "manifest for {name}:none not found: manifest unknown: manifest unknown"),
            (Amazon, httpd.Answer.error(404, "NAME_UNKNOWN", "The repository with name 'x' does not exist in the registry with id '1'"),
             "repository {name} not found: name unknown: The repository with name 'x' does not exist in the registry with id '1'"),
            (Harbor, httpd.Answer.error(404, "NOT_FOUND", "artifact team/app:none not found"),
             "unknown: artifact team/app:none not found")):
        with kind(httpd.small_image()) as persona:
            if answer:
                persona.unknown_manifest = lambda *args, answer=answer: answer
            name = "%s/%s" % (persona.host, persona.repo)
            result = cli.Store(site).run("pull", "--creds", "%s:%s" % (USER, PASSWORD), name + ":none")
            check(result.code == 1 and result.err == "towline: %s\n" % text.format(name=name), result)


def pages(site):
    """tags that come in pages, with one token for all of it"""
    with Artifactory(httpd.small_image()) as persona:
        persona.page = 2
        image = persona.stored["team/app"]["1"]
        persona.stored["team/app"] = {tag: image for tag in ("1", "2", "a", "b", "c")}
        store = cli.Store(site)
        store.ok("pull", "--all-tags", "--creds", "%s:%s" % (USER, PASSWORD), "%s/team/app" % persona.host)
        tags = json.loads(store.ok("images", "--json").out)[0]["RepoTags"]
        check(sorted(t.rsplit(":", 1)[1] for t in tags) == ["1", "2", "a", "b", "c"], tags)
        check(len(persona.asked("/tags/list")) == 3 and len(persona.tokens.granted) == 1, persona.asked())
        no_leak(persona)


def traps(site):
    """a redirect that asks for credentials, one back to the registry, a foreign layer's URL: nothing secret goes there"""
    for status in (401, 403, 407):
        with DockerHub(httpd.small_image()) as persona, httpd.Server(address="127.0.0.4") as thief:
            thief.answer = lambda r, status=status: httpd.Answer(status, b"{}", [
                ("WWW-Authenticate", 'Basic realm="give"'), ("WWW-Authenticate", persona.challenge()),
                ("Proxy-Authenticate", 'Basic realm="give"')])
            persona.location = lambda digest: thief.url + "/v2/team/app/blobs/" + digest
            result = cli.Store(site, **{"max-download-attempts": 1}).run(
                "pull", "--creds", "%s:%s" % (USER, PASSWORD), "%s/team/app:1" % persona.host)
            check(result.code == 1 and thief.requests, result)
            check(not any("authorization" in r.headers for r in thief.requests), thief.requests[0].raw)
            no_leak(persona)
    # A foreign layer: its URL is not asked at all.
    image = httpd.small_image()
    parsed = json.loads(image.manifest)
    with DockerHub(image) as persona, httpd.Server(address="127.0.0.4") as thief:
        parsed["layers"][0].update({"urls": [thief.url + "/layer"],
                                    "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"})
        image.manifest = json.dumps(parsed).encode()
        image.digest = httpd.digest_of(image.manifest)
        cli.Store(site).run("pull", "--creds", "%s:%s" % (USER, PASSWORD), "%s/team/app:1" % persona.host)
        check(not thief.requests, thief.asked())
        no_leak(persona)


def mirrors(site):
    """a mirror that asks for credentials gets neither the registry's password nor its token"""
    image = httpd.small_image()
    with DockerHub(image) as persona, DockerHub(image) as mirror:
        rules = registries.entry(persona.host, {"location": mirror.host})
        cli.Store(site, registries=rules).ok(
            "pull", "--creds", "%s:%s" % (USER, PASSWORD), "%s/team/app:1" % persona.host)
        check(mirror.requests and persona.asked("/blobs/"))
        for server in mirror.servers():
            check(not any("authorization" in r.headers or "account" in r.query for r in server.requests), server.asked())
        no_leak(persona)


def one_token_at_a_time(site):
    """200 layers of two images that need tokens at the same moment: one request at a time, and not one for each"""
    one, two = httpd.small_image("many", layers=100), httpd.small_image("more", layers=100)
    with DockerHub(one) as persona:
        persona.stored["team/app"]["2"] = two
        persona.storage.blobs = {**one.blobs, **two.blobs}
        # The manifest's has expired when it comes.
        persona.tokens.fields = {"expires_in": 60, "issued_at": "2019-06-01T00:00:00Z"}
        gate, plain, running, most = threading.Lock(), persona.tokens.answer, [0], [0]

        def answer(request):
            with gate:
                running[0] += 1
                most[0] = max(most[0], running[0])
            time.sleep(0.2)
            result = plain(request)
            persona.tokens.fields = {"expires_in": 300}
            with gate:
                running[0] -= 1
            return result
        persona.tokens.answer = answer
        cli.Store(site, **{"max-concurrent-downloads": 0}).ok(
            "pull", "--creds", "%s:%s" % (USER, PASSWORD), "%s/team/app:1" % persona.host, "%s/team/app:2" % persona.host)
        check(len(persona.asked("/blobs/")) == 202, len(persona.asked("/blobs/")))
        check(len(persona.tokens.requests) <= 3 and most[0] == 1, persona.tokens.asked())


def short_tokens(kind):
    """A registry whose tokens hold for lifetime seconds, as their issued_at (a minute ago, but for that) says."""
    class Short(kind):
        lifetime = 2

        def __init__(self, image):
            super().__init__(image)
            tokens, plain = self.tokens, self.tokens.answer
            tokens.lifetime = self.lifetime + 1.5  # clients stop using it before it is refused

            def answer(request):
                issued = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 60 + self.lifetime + 1))
                tokens.fields = {"expires_in": 60, "issued_at": issued}
                return plain(request)
            tokens.answer = answer
    return Short


def refreshed(site):
    """tokens of seconds are refreshed in the middle of a long pull, and of a layer"""
    image = httpd.small_image("long", layers=9)
    big = images_big()
    with short_tokens(DockerHub)(image) as persona:
        plain = persona.blob

        def slow(*args):
            time.sleep(0.5)
            return plain(*args)
        persona.blob = slow
        cli.Store(site, **{"max-concurrent-downloads": 1}).ok(
            "pull", "--creds", "%s:%s" % (USER, PASSWORD), "%s/team/app:1" % persona.host)
        check(2 <= len(persona.tokens.requests) <= 8, persona.tokens.asked())
        # none of them was refused: each request came with one that held
        check(persona.asked("/blobs/") and len(persona.asked("/blobs/")) == 10, len(persona.asked("/blobs/")))
        no_leak(persona)
    with short_tokens(Harbor)(big) as persona:
        # The connection breaks in the layer; when it is asked for again, the token is an old one.
        plain = persona.blob

        def breaks(request, repo, digest, data):
            answer = plain(request, repo, digest, data)
            if digest in big.layers and "range" not in request.headers:
                answer.cut = len(data) // 2  # the countdown outlives the token
            return answer
        persona.blob = breaks
        result = cli.Store(site).run("pull", "--creds", "%s:%s" % (USER, PASSWORD), "%s/team/app:1" % persona.host)
        check(result.code == 0 and "unexpected EOF" in result.err and "nauthorized" not in result.err, result)
        check(len(persona.tokens.granted) >= 2, persona.tokens.granted)
        check([r for r in persona.requests if "range" in r.headers], persona.asked())
        no_leak(persona)


def long_pull(site):
    """PULL_MINUTES=N: a pull of N minutes with tokens of 60 seconds finishes, and asks for one a minute"""
    minutes = int(os.environ.get("PULL_MINUTES", "0"))
    if not minutes:
        raise tap.Skip("PULL_MINUTES says how long it is to take")
    image = httpd.small_image("minutes", layers=6 * minutes)
    with DockerHub(image) as persona:
        persona.tokens.lifetime, persona.tokens.fields = 60, {"expires_in": 60}
        plain = persona.blob

        def slow(*args):
            time.sleep(10)
            return plain(*args)
        persona.blob = slow
        begin = time.monotonic()
        pull = cli.Store(site, **{"max-concurrent-downloads": 1}).start(
            "pull", "--quiet", "--creds", "%s:%s" % (USER, PASSWORD), "%s/team/app:1" % persona.host)
        _, err = pull.communicate(timeout=60 * minutes + 120)
        check(pull.returncode == 0, err)
        check(time.monotonic() - begin >= 60 * minutes)
        check(minutes <= len(persona.tokens.requests) <= minutes + 4, persona.tokens.asked())
        check(len(persona.asked("/blobs/")) == 6 * minutes + 1, persona.asked("/blobs/"))
        no_leak(persona)


def images_big():
    return httpd.Image(httpd.images.tar_of({"big": os.urandom(300000)}))


CASES = [pulls(kind) for kind in PERSONAS] + [trace, anonymous, unknown, pages, traps, mirrors, one_token_at_a_time, refreshed, long_pull]

if __name__ == "__main__":
    registries.main("personas", CASES)
