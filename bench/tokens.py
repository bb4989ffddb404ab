"""tokens.py ADDRESS:PORT CERTIFICATE KEY: a token server for docker-registry's token authentication, over TLS.

Everybody may pull what he asks for. Tokens are signed once a scope (RS256, by openssl), so that what a benchmark sees
is the round trip.
"""
import base64
import http.server
import json
import ssl
import subprocess
import sys
import time
import urllib.parse

LIFETIME = 3600


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    certificate = key = None
    tokens = {}

    def log_message(self, *args):
        pass

    def sign(self, service, scopes):
        now = int(time.time())
        head = {"typ": "JWT", "alg": "RS256", "x5c": [base64.b64encode(self.certificate).decode()]}
        access = [{"type": kind, "name": name, "actions": ["pull"]}
                  for kind, name, _ in (scope.rsplit(":", 2) for scope in scopes)]
        body = {"iss": "bench", "sub": "", "aud": service, "exp": now + LIFETIME, "nbf": now - 10, "iat": now,
                "jti": str(now), "access": access}
        message = encode(json.dumps(head).encode()) + "." + encode(json.dumps(body).encode())
        signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", self.key], input=message.encode(),
                                   capture_output=True, check=True).stdout
        return message + "." + encode(signature)

    def do_GET(self):
        query = urllib.parse.parse_qs(urllib.parse.urlparse(self.path).query)
        scopes = tuple(query.get("scope", ()))
        if scopes not in self.tokens:
            self.tokens[scopes] = self.sign(query.get("service", [""])[0], scopes)
        answer = json.dumps({"token": self.tokens[scopes], "expires_in": LIFETIME}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


def main():
    host, certificate, Handler.key = sys.argv[1:]
    address, port = host.split(":")
    with open(certificate, encoding="ascii") as text:
        Handler.certificate = ssl.PEM_cert_to_DER_cert(text.read())
    server = http.server.ThreadingHTTPServer((address, int(port)), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, Handler.key)
    # a handshake must not hold up the next client
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.serve_forever()


if __name__ == "__main__":
    main()
