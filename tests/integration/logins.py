#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Credentials, on the command line: login and logout, what a registry that wants some says, what the doctor says of it."""
import base64
import json
import os
import pty
import re
import select
import subprocess
import sys
import termios
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import cli  # noqa: E402
import httpd  # noqa: E402
import images  # noqa: E402
from cli import PLUGIN, WAIT, Result, Store, check, need  # noqa: E402


def stdin_of(store, text, *args):
    """Run with text on standard input."""
    proc = store.start(*args, stdin=subprocess.PIPE)
    out, err = proc.communicate(text.encode(), timeout=WAIT)
    return Result(proc, out.decode(), err.decode())


class Locked(httpd.Registry):
    """Takes these pairs of a user and a password. With token_server: that asks for them, and gives an identity token."""

    def __init__(self, *pairs, token_server=False):
        self.taken = {"Basic " + base64.b64encode(pair.encode()).decode() for pair in pairs}
        self.token_server = token_server
        super().__init__()

    def guard(self, request):
        given = request.headers.get("authorization")
        if self.token_server and request.path == "/token":
            if given not in self.taken:
                return httpd.Answer.error(401, "UNAUTHORIZED", "incorrect username or password")
            return httpd.Answer(200, {"token": "short", "refresh_token": "long"}, [("Content-Type", "application/json")])
        if given in ({"Bearer short"} if self.token_server else self.taken):
            return None
        challenge = 'Bearer realm="%s/token",service="s"' % self.url if self.token_server else 'Basic realm="r"'
        return httpd.Answer.error(401, "UNAUTHORIZED", "authentication required", headers=[("WWW-Authenticate", challenge)])


def login_asks(site):
    """login asks the registry, in its own words when it refuses, and stores what it took: an identity token if it gave one"""
    store = Store(site)
    path = os.path.join(store.home, ".docker", "config.json")

    def fails(text, *args):
        result = stdin_of(store, "wrong", "login", "-u", "me", "--password-stdin", *args)
        check(result.code == 1 and result.out == "" and re.fullmatch(r"towline: [^\n]+\n", result.err), result)
        check(text in result.err and not os.path.exists(path), result)

    with Locked("me:right") as basic, Locked("me:right", token_server=True) as token, httpd.Registry() as anyone:
        fails("login attempt to http://%s/v2/ failed with status: 401 Unauthorized" % basic.host, basic.host)
        fails("unauthorized: incorrect username or password", token.host)
        fails("connection refused", "127.0.0.1:%d" % images.free_port())
        fails("no such file", "--ca", os.path.join(store.dir, "none.pem"), basic.host)
        for host in (basic.host, token.host, anyone.host):
            result = stdin_of(store, "right", "login", "-u", "me", "--password-stdin", host)
            check((result.code, result.out, result.err) == (0, "Login Succeeded\nStored in %s\n" % path, ""), result)
        with open(path, encoding="utf-8") as f:
            stored = json.load(f)["auths"]
        check(stored[basic.host] == stored[anyone.host] == {"auth": "bWU6cmlnaHQ="}, stored)
        check(stored[token.host].get("identitytoken") == "long" and "right" not in str(
            base64.b64decode(stored[token.host].get("auth", ""))), stored)


def login_file(site):
    """login stores into the file, mode 0600, and leaves the rest of it; logout takes it out again"""
    store = Store(site)
    path = os.path.join(store.home, ".docker", "config.json")
    registry = Locked("me:pa:ss", "me:new", "me:hub")
    store.write({"plugins": {"image_pull": {"path": PLUGIN}}, "default-registry": registry.url})
    host = registry.host
    check(stdin_of(store, "pa:ss\n", "login", "-u", "me", "--password-stdin", host).code == 0)
    check(os.stat(path).st_mode & 0o777 == 0o600, oct(os.stat(path).st_mode))
    with open(path, encoding="utf-8") as f:
        check(json.load(f) == {"auths": {host: {"auth": "bWU6cGE6c3M="}}})
    with open(path, "w", encoding="utf-8") as f:
        json.dump({"psFormat": "x \u00e9 \\n", "auths": {"https://%s/v2/" % host: {"auth": "eDp5"},
                                                       "other": {"auth": "eDp5", "email": "e"}}, "n": [1.50]}, f)
    check(stdin_of(store, "new", "login", "-u", "me", "--password-stdin", "https://%s/v2/" % host).code == 0)
    check(stdin_of(store, "hub", "login", "-u", "me", "--password-stdin").code == 0)
    with open(path, encoding="utf-8") as f:
        check(json.load(f) == {"psFormat": "x \u00e9 \\n", "n": [1.5], "auths": {
            "other": {"auth": "eDp5", "email": "e"}, host: {"auth": "bWU6bmV3"},
            "https://index.docker.io/v1/": {"auth": "bWU6aHVi"}}})
    store.ok("logout", host)
    store.ok("logout")
    check("Not logged in to " + host in store.ok("logout", host).out)
    with open(path, encoding="utf-8") as f:
        check(list(json.load(f)["auths"]) == ["other"])
    store.fails(2, "--password-stdin needs --username", "login", "--password-stdin", "x")
    store.fails(2, "without a terminal", "login", "-u", "me", "x")
    registry.close()


def login_helper(site):
    """login goes through the helper that the file names; no secret is in the file then"""
    store = Store(site)
    registry = Locked("me:s\"3")
    helper = os.path.join(store.dir, "docker-credential-note")
    with open(helper, "w", encoding="utf-8") as f:
        f.write('#!/bin/sh\necho "$1" >>%s/verbs\ncat >%s/"$1"\n' % (store.dir, store.dir))
    os.chmod(helper, 0o755)
    env = store.env
    store.env = lambda: {**env(), "PATH": store.dir + ":" + os.environ["PATH"]}
    authfile = os.path.join(store.dir, "auth.json")
    with open(authfile, "w", encoding="utf-8") as f:
        json.dump({"credHelpers": {registry.host: "note"}}, f)
    result = stdin_of(store, "s\"3\n", "login", "--authfile", authfile, "-u", "me", "--password-stdin", registry.host)
    check(result.code == 0 and "helper note" in result.out, result)
    with open(os.path.join(store.dir, "store"), encoding="utf-8") as f:
        check(json.load(f) == {"ServerURL": registry.host, "Username": "me", "Secret": "s\"3"})
    with open(authfile, encoding="utf-8") as f:
        check(json.load(f) == {"credHelpers": {registry.host: "note"}, "auths": {registry.host: {}}})
    store.ok("logout", "--authfile", authfile, registry.host)
    with open(os.path.join(store.dir, "erase"), encoding="utf-8") as f:
        check(f.read() == registry.host)
    registry.close()


def login_prompt(site):
    """the password is asked for at the terminal, and not shown"""
    store = Store(site)
    registry = Locked("me:hidden")
    master, slave = pty.openpty()
    proc = store.start("login", "-u", "me", registry.host, stdin=slave)
    seen = b""
    while b"Password: " not in seen:
        check(select.select([proc.stderr], [], [], WAIT)[0], "no question")
        more = os.read(proc.stderr.fileno(), 100)
        check(more, "no question: %r" % seen)
        seen += more
    while termios.tcgetattr(slave)[3] & termios.ECHO:
        check(proc.poll() is None, "the terminal echoes")
        time.sleep(0.01)
    os.write(master, b"hidden\n")
    out, err = proc.communicate(timeout=WAIT)
    shown = os.read(master, 100) if select.select([master], [], [], 0)[0] else b""
    check(proc.returncode == 0 and b"hidden" not in shown + out + err, (shown, out, err))
    check(termios.tcgetattr(slave)[3] & termios.ECHO, "the terminal was left without echo")
    os.close(master)
    os.close(slave)
    registry.close()


def htpasswd(site):
    """a registry with passwords: from the credentials file, without, with a wrong one"""
    need("htpasswd")
    registry = images.Registry(site.work, "locked", auth=("ann", "pass word"))
    try:
        site.push(registry, "two", ("ann", "pass word"))
        name = registry.host + "/team/app:two"
        store = Store(site)
        store.fails(1, "no basic auth credentials", "pull", name)

        def credentials(text):
            os.makedirs(os.path.join(store.home, ".docker"), exist_ok=True)
            with open(os.path.join(store.home, ".docker", "config.json"), "w", encoding="utf-8") as out:
                json.dump({"auths": {registry.host: {"auth": text}}}, out)

        store.fails(1, "unauthorized: authentication required", "pull", "--creds", "ann:wrong", name)
        given = Store(site)
        given.ok("pull", "--creds", "ann:pass word", name)
        credentials("YW5uOndyb25n")  # ann:wrong
        store.fails(1, "unauthorized: authentication required", "pull", name)
        store.is_empty()
        credentials("YW5uOnBhc3Mgd29yZA==")
        store.ok("pull", name)
    finally:
        registry.close()


def doctor(site):
    """doctor: what is well, what is not, and what to do about it"""
    need("htpasswd")
    registry = images.Registry(site.work, "examined", auth=("ann", "pass word"))
    store = Store(site)

    def states(*args, where=store):
        """{check: (state, text, advice)}; the exit status says whether one failed"""
        result = where.run("doctor", "--json", *args)
        found = {x["check"]: (x["state"], x["text"], x.get("advice", "")) for x in json.loads(result.out)}
        check(result.err == "" and result.code == int("failed" in [x[0] for x in found.values()]), result)
        return found

    try:
        fresh = states()
        check([x for x in fresh if fresh[x][0] != "ok"] == [], fresh)
        check(list(fresh) == ["config", "user", "plugin", "store", "space", "proxy", "CAs", "registries"], fresh)
        check(fresh["config"][1] == store.config and "not there yet" in fresh["store"][1], fresh)
        check(re.fullmatch(r"towline [\d.]+, ABI 1\.\d+ \(this program: 1\.\d+\)", fresh["plugin"][1]), fresh)
        check(not os.path.exists(store.root), "the doctor made a store")
        open_one, locked, nobody = site.host, registry.host, "127.0.0.1:1"
        found = states(open_one, locked, nobody, "a/b")
        check(found[open_one][:2] == ("ok", "it answers without credentials"), found)
        check(found[locked][0] == "warning" and "towline login" in found[locked][2], found)
        check(found[nobody][0] == "failed" and "nothing listens there" in found[nobody][2], found)
        check(found["a/b"][0] == "failed", found)
        check(stdin_of(store, "pass word", "login", "-u", "ann", "--password-stdin", locked).code == 0)
        check(states(locked)[locked][0] == "ok")
        with open(os.path.join(store.home, ".docker", "config.json"), "w", encoding="utf-8") as f:
            json.dump({"auths": {locked: {"auth": base64.b64encode(b"ann:wrong").decode()}}}, f)
        check(states(locked)[locked][0] == "failed")
        store.ok("pull", "-q", site.app("two"))
        check("nothing is damaged" in states()["store"][1])
        lines = store.run("doctor").lines
        check(len(lines) == 8 and all(line.startswith("ok ") for line in lines), lines)

        sick = Store(site)
        sick.write({"plugins": {"image_pull": {"path": "/nowhere.so"}}, "data-root": store.root,
                    "proxies": {"https-proxy": "ftp://u:secret@h:1"}, "ca-bundle": "/nowhere.pem"})
        found = states(where=sick)
        check([x for x in found if found[x][0] == "failed"] == ["plugin", "https-proxy", "CAs"], found)
        check(all(found[x][2] for x in ("plugin", "https-proxy", "CAs")) and "secret" not in str(found), found)
        chain = os.path.join(store.root, "layers", "chains")
        os.remove(os.path.join(chain, os.listdir(chain)[0]))
        found = states()
        check(found["store"][0] == "failed" and "fsck --repair" in found["store"][2], found)
        sick.write("{")
        found = states(where=sick)
        check(list(found) == ["config"] and found["config"][0] == "failed" and sick.config in found["config"][1], found)
    finally:
        registry.close()


if __name__ == "__main__":
    cli.main("logins", [login_asks, login_file, login_helper, login_prompt, htpasswd, doctor])
