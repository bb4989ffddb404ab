#!/usr/bin/env python3
"""Runs one command for a case and judges what happened: the promises of a right puller."""
import hashlib
import json
import os
import re
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time

import kit


# ---------------------------------------------------------------- running a command

# A small process between this one and the puller, so that the peak memory it
# reports is the puller's (and its children's) and not that of a copy of us.
LAUNCH = """
import json, os, resource, subprocess, sys
try:
    status = subprocess.run(sys.argv[2:]).returncode
except (OSError, ValueError) as e:
    print(e); status = 127
with open(sys.argv[1], "w") as out:
    json.dump([status, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024], out)
"""


def run(args, limit, env=None, cwd=None):
    """(status, output, peak MiB, seconds); the status is None when it ran out of time."""
    start, late = time.time(), []
    with tempfile.TemporaryFile() as out, tempfile.NamedTemporaryFile() as told:
        p = subprocess.Popen([sys.executable, "-SEc", LAUNCH, told.name, *args], stdin=subprocess.DEVNULL, stdout=out,
                             stderr=subprocess.STDOUT, env={**os.environ, **(env or {})}, cwd=cwd, start_new_session=True)
        timer = threading.Timer(limit, lambda: (late.append(1), os.killpg(p.pid, signal.SIGKILL)))
        timer.start()
        p.wait()
        timer.cancel()
        text = told.read()
        status, rss = json.loads(text) if text else (None if late else -9, 0)
        out.seek(0)
        text = out.read(1 << 20).decode("utf-8", "replace")
    return status, text, rss, round(time.time() - start, 2)


class Outcome:
    def __init__(self, status, output, rss, seconds, root=None, store=None):
        self.status, self.output, self.rss, self.seconds = status, output, rss, seconds
        self.root, self.store = root, store


# ---------------------------------------------------------------- judging

def snapshot(folder):
    """Every name below folder with what a breakout could change."""
    seen = {}
    for at, dirs, files in os.walk(folder):
        for name in ["."] + dirs + files:
            path = os.path.join(at, name)
            st = os.lstat(path)
            body = ""
            if stat.S_ISREG(st.st_mode) and st.st_size < 1 << 20:
                with open(path, "rb") as data:
                    body = hashlib.sha256(data.read()).hexdigest()
            seen[os.path.relpath(path, folder)] = (st.st_mode, st.st_uid, st.st_gid, st.st_nlink, st.st_size, body,
                                                   tuple(os.listxattr(path, follow_symlinks=False)))
    return seen


def usage_mb(folder):
    total, seen = 0, set()
    for at, dirs, files in os.walk(folder or "/nonexistent"):
        for name in dirs + files:
            try:
                st = os.lstat(os.path.join(at, name))
            except OSError:
                continue
            if st.st_ino not in seen:
                seen.add(st.st_ino)
                total += st.st_blocks * 512
    return total >> 20


def look(root, want):
    """What is wrong with one path of the root, or None."""
    path = os.path.join(os.fsencode(root), os.fsencode(want["path"]))
    try:
        st = os.lstat(path)
    except OSError as e:
        return "missing (%s)" % e.strerror
    kinds = {"file": stat.S_ISREG, "dir": stat.S_ISDIR, "symlink": stat.S_ISLNK, "fifo": stat.S_ISFIFO}
    if "type" in want and not kinds[want["type"]](st.st_mode):
        return "is not a " + want["type"]
    if "content" in want:
        if not stat.S_ISREG(st.st_mode):
            return "is not a file"
        with open(path, "rb") as data:
            if data.read(1 << 20) != kit.b(want["content"]):
                return "has other content"
    if "mode" in want and stat.S_IMODE(st.st_mode) != int(want["mode"], 8):
        return "has mode %o" % stat.S_IMODE(st.st_mode)
    for key in ("uid", "gid"):
        if key in want and getattr(st, "st_" + key) != want[key]:
            return "has %s %d" % (key, getattr(st, "st_" + key))
    if "xattr" in want and want["xattr"] not in os.listxattr(path, follow_symlinks=False):
        return "lacks " + want["xattr"]
    if "same_inode" in want and os.lstat(os.path.join(os.fsencode(root), os.fsencode(want["same_inode"]))).st_ino != st.st_ino:
        return "is another inode"
    return None


def judge(world, got, before, disk_before):
    """(violations, notes).  A violation is a broken promise of any puller."""
    expect, bad, notes = world.spec["expect"], [], []
    ok = got.status == 0
    if got.status is None:
        bad.append("hang: still running after its time")
    elif got.status < 0:
        bad.append("crash: status %d" % got.status)
    elif expect["outcome"] == "must_fail" and ok:
        bad.append("accepted what must be refused")
    elif expect["outcome"] == "must_succeed" and not ok:
        bad.append("refused what must be accepted: " + got.output.strip()[-200:])
    after = snapshot(world.ctx.canary)
    for name in sorted(set(before) | set(after)):
        if before.get(name) != after.get(name):
            bad.append("breakout: outside %s changed" % name)
    if ok and got.root and os.path.isdir(got.root):
        for want in expect.get("inside", []):
            wrong = look(got.root, want)
            if wrong:
                bad.append("root: %s %s" % (ascii(want["path"])[:40], wrong))
        for name in expect.get("absent", []):
            if os.path.lexists(os.path.join(got.root, name)):
                bad.append("root: %s should not be there" % name)
        for name in expect.get("scoped", []):
            if not os.path.lexists(os.path.join(got.root, world.ctx.canary.lstrip("/"), name)):
                bad.append("root: %s was not kept below the root" % name)
        if "absent_content" in expect:
            for name in ("h", "got"):
                path = os.path.join(got.root, name)
                if os.path.isfile(path) and not os.path.islink(path):
                    with open(path, errors="replace") as data:
                        if expect["absent_content"] in data.read(4096):
                            bad.append("breakout: an outside file became part of the image")
    elif ok and expect.get("inside"):
        notes.append("root not looked at")
    find = expect.get("raw_find")
    if find and got.store:
        for at, dirs, files in os.walk(got.store):
            if find["name"] in dirs + files:
                if find["no_xattr"] in os.listxattr(os.path.join(at, find["name"]), follow_symlinks=False):
                    bad.append("store: %s carries %s" % (find["name"], find["no_xattr"]))
    # the wire
    ctx = world.ctx
    secrets = [ctx.password, ctx.token, ctx.basic]
    for one in world.requests:
        text = one["path"] + "\n" + "\n".join(k + ": " + v for k, v in one["headers"]) + "\n" + one["body"]
        if one["to"] != "A" and any(s in text for s in secrets):
            bad.append("leak: a secret was sent to host " + one["to"])
        for rule in expect.get("never_headers", []):
            if one["to"] == rule["to"] and any(k.lower() == rule["name"] for k, _ in one["headers"]):
                bad.append("leak: header %s sent to host %s" % (rule["name"], one["to"]))
        if "never_path" in expect and re.search(expect["never_path"], one["path"], re.I):
            bad.append("request: asked for " + one["path"][:80])
    for host in expect.get("never_to", []):
        if world.connections.get(host):
            bad.append("request: connected to host " + host)
    if len(world.requests) > expect.get("max_requests", 100000):
        bad.append("requests: %d" % len(world.requests))
    if got.rss > expect.get("max_rss_mb", 256):
        bad.append("memory: %d MiB" % got.rss)
    if got.seconds > expect.get("max_seconds", 60) and got.status is not None:
        bad.append("time: %.0f s" % got.seconds)
    if world.sent >> 20 > expect.get("max_recv_mb", 1 << 20):
        bad.append("traffic: %d MiB taken" % (world.sent >> 20))
    if "max_disk_mb" in expect:
        used = usage_mb(got.store) - disk_before
        if used > expect["max_disk_mb"]:
            bad.append("disk: %d MiB" % used)
    for text in expect.get("output_never", []):
        if text in got.output:
            bad.append("output: control bytes reach the terminal")
    if not ok and got.status is not None and expect.get("error_any") and \
            not any(e.lower() in got.output.lower() for e in expect["error_any"]):
        notes.append("words differ")
    return list(dict.fromkeys(bad)), notes
