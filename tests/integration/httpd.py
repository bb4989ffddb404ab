"""Registries of the tests' own: images in memory, every request written down, behaviour as the cases want it."""
import gzip
import hashlib
import http.server
import json
import socket
import socketserver
import ssl
import sys
import threading
import urllib.parse

import images

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Image:
    """layers: uncompressed tars, bottom first."""

    def __init__(self, *layers, **config):
        packed = [gzip.compress(tar, 1, mtime=0) for tar in layers]
        self.layers = [digest_of(p) for p in packed]
        self.diff_ids = [digest_of(tar) for tar in layers]
        conf = json.dumps({"architecture": "amd64", "os": "linux", "config": config,
                           "rootfs": {"type": "layers", "diff_ids": self.diff_ids}}).encode()
        self.config = digest_of(conf)
        self.blobs = {self.config: conf, **dict(zip(self.layers, packed))}
        self.manifest = json.dumps({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "size": len(conf), "digest": self.config},
            "layers": [{"mediaType": LAYER, "size": len(p), "digest": d} for p, d in zip(packed, self.layers)]}).encode()
        self.digest = digest_of(self.manifest)


def small_image(text="hello\n", layers=1):
    return Image(*(images.tar_of({"file%d" % i: ("%s %d" % (text, i)).encode()}) for i in range(layers)))


class Request:
    def __init__(self, server, handler):
        split = urllib.parse.urlsplit(handler.path)
        self.server, self.method, self.path = server, handler.command, split.path
        self.query = dict(urllib.parse.parse_qsl(split.query))
        self.pairs = urllib.parse.parse_qsl(split.query)
        self.headers = {k.lower(): v for k, v in handler.headers.items()}
        size = int(self.headers.get("content-length", 0))
        self.body = handler.rfile.read(size) if size else b""
        self.text = "%s %s" % (handler.command, handler.path)
        # all of it, to look for secrets in
        self.raw = "%s\n%s\n%s" % (self.text, handler.headers, self.body.decode("latin-1"))

    def __repr__(self):
        return self.text


class Answer:
    """chunked: without a length. cut: the connection breaks after so many bytes of the body. wait: an event that is waited for
    before the body's second half, or what follows byte number half."""

    def __init__(self, status=200, body=b"", headers=(), chunked=False, cut=None, wait=None, half=None):
        self.status, self.headers, self.chunked, self.cut, self.wait = status, list(headers), chunked, cut, wait
        self.half = half
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()

    @staticmethod
    def error(status, code, message, detail=None, headers=()):
        return Answer(status, {"errors": [{"code": code, "message": message, "detail": detail}]},
                      [("Content-Type", "application/json"), *headers])


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # a body is not to wait for its header's acknowledgement

    def log_message(self, *args):
        pass

    def answer(self):
        server = self.server.owner
        request = Request(server, self)
        with server.lock:
            server.requests.append(request)
        a = server.answer(request) or Answer(404, b"404 page not found\n", [("Content-Type", "text/plain")])
        self.send_response(a.status)
        for name, value in a.headers:
            self.send_header(name, value)
        if a.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif not any(name.lower() == "content-length" for name, _ in a.headers):
            self.send_header("Content-Length", str(len(a.body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        body = a.body if a.cut is None else a.body[:a.cut]
        half = 0
        if a.wait:
            half = len(body) // 2 if a.half is None else a.half
        for piece in (body[:half], body[half:]):
            if a.chunked and piece:
                piece = b"%x\r\n%s\r\n" % (len(piece), piece)
            self.wfile.write(piece)
            self.wfile.flush()
            if a.wait:
                a.wait.wait(30)
        if a.chunked and a.cut is None:
            self.wfile.write(b"0\r\n\r\n")
        if a.cut is not None:
            self.close_connection = True

    do_GET = do_HEAD = do_POST = answer


class QuietServer(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def server_bind(self):
        """HTTPServer's asks for its own name, and waits where nobody answers."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]

    def handle_error(self, request, client_address):
        # a client that goes away, or does not like the certificate, is none of the server's errors
        if not isinstance(sys.exc_info()[1], (ConnectionError, ssl.SSLError)):
            super().handle_error(request, client_address)


class Server:
    """Answers with what self.answer(request) gives; None: 404. tls: (certificate's file, key's file)."""

    def __init__(self, address="127.0.0.1", tls=None, port=0):
        self.requests, self.lock = [], threading.Lock()
        self.httpd = QuietServer((address, port), Handler)
        self.httpd.owner = self
        self.scheme = "http"
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.httpd.socket = context.wrap_socket(self.httpd.socket, server_side=True, do_handshake_on_connect=False)
            self.scheme = "https"
        self.port = self.httpd.server_address[1]
        self.host = "%s:%d" % (address, self.port)
        self.url = "%s://%s" % (self.scheme, self.host)
        threading.Thread(target=self.httpd.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.close()

    def close(self):
        """From now on connections are refused."""
        self.httpd.shutdown()
        self.httpd.server_close()

    def answer(self, request):
        return None

    def asked(self, part=""):
        """The requests so far, as "GET /path?query", that have this in them."""
        with self.lock:
            return [r.text for r in self.requests if part in r.text]

    def forget(self):
        with self.lock:
            self.requests.clear()


class Registry(Server):
    """images: {"team/app": {"1": Image}}. What the methods before answer() give decides."""
    page = 100

    def __init__(self, stored=None, **more):
        self.stored = stored or {}
        super().__init__(**more)

    # What personas differ in.
    def guard(self, request):
        """An answer that keeps the request out, or None."""

    def ping(self, request):
        return Answer(200, b"{}", [("Content-Type", "application/json"),
                                   ("Docker-Distribution-Api-Version", "registry/2.0")])

    def manifest(self, request, repo, reference, image):
        return Answer(200, image.manifest, [("Content-Type", MANIFEST), ("Docker-Content-Digest", image.digest)])

    def blob(self, request, repo, digest, data):
        return part_of(request, data)

    def unknown_repository(self, request, repo):
        return Answer.error(404, "NAME_UNKNOWN", "repository name not known to registry", {"name": repo})

    def unknown_manifest(self, request, repo, reference):
        return Answer.error(404, "MANIFEST_UNKNOWN", "manifest unknown", {"Tag": reference})

    def tags(self, request, repo, names):
        """github.com/opencontainers/distribution-spec, listing tags: pages of self.page names, each with a Link to the next."""
        last = request.query.get("last", "")
        rest = [name for name in sorted(names) if name > last]
        page = rest[:self.page]
        links = [("Link", '</v2/%s/tags/list?last=%s&n=%d>; rel="next"' % (repo, page[-1], self.page))] \
            if len(rest) > self.page else []
        return Answer(200, {"name": repo, "tags": page}, [("Content-Type", "application/json"), *links])

    def answer(self, request):
        kept_out = self.guard(request)
        if kept_out:
            return kept_out
        if request.path in ("/v2/", "/v2"):
            return self.ping(request)
        if request.path.startswith("/v2/") and request.path.endswith("/tags/list"):
            repo = request.path[len("/v2/"):-len("/tags/list")]
            return self.tags(request, repo, self.stored[repo]) if repo in self.stored else self.unknown_repository(request, repo)
        for kind in ("manifests", "blobs"):
            before, found, what = request.path.rpartition("/%s/" % kind)
            if not found or not before.startswith("/v2/"):
                continue
            repo = before[len("/v2/"):]
            if repo not in self.stored:
                return self.unknown_repository(request, repo)
            tags = self.stored[repo]
            if kind == "manifests":
                image = tags.get(what) or next((i for i in tags.values() if i.digest == what), None)
                return self.manifest(request, repo, what, image) if image else self.unknown_manifest(request, repo, what)
            data = next((i.blobs[what] for i in tags.values() if what in i.blobs), None)
            return Answer.error(404, "BLOB_UNKNOWN", "blob unknown to registry") if data is None else \
                self.blob(request, repo, what, data)
        return None


def part_of(request, data, headers=(), **more):
    """All of it, or what the Range asks for."""
    asked = request.headers.get("range")
    head = [("Content-Type", "application/octet-stream"), *headers]
    if not asked:
        return Answer(200, data, head, **more)
    begin = int(asked.split("=")[1].rstrip("-"))
    return Answer(206, data[begin:], [*head, ("Content-Range", "bytes %d-%d/%d" % (begin, len(data) - 1, len(data)))], **more)


class Silent:
    """An address where nobody answers: connecting to it takes until the client gives up."""

    def __init__(self):
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(0)
        self.host = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.fillers = []
        for _ in range(4):  # the queue of connections that nobody accepts is full then, and further ones are not answered
            s = socket.socket()
            s.setblocking(False)
            s.connect_ex(self.listener.getsockname())
            self.fillers.append(s)

    def __enter__(self):
        return self

    def __exit__(self, *args):
        for s in [self.listener, *self.fillers]:
            s.close()
