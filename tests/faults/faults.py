#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Whole pulls of an image of 20 layers, into which faults strike: processes that are killed, calls that fail, memory that runs
out, machines that stop, a network that does harm. After each the store is what fsck --deep wants, nothing is left over, and the
next pull takes only what is missing. How often each fault struck is counted: one that never did is a failure.

    faults.py [--long] [CASE...]     --long is make faults. FAULTS_SEED, FAULTS_KILLS, FAULTS_CALLS (at most so many of one kind of
                                     call; 0: every one), FAULTS_STACKS, FAULTS_POWER, FAULTS_SEEDS change the numbers."""
import collections
import concurrent.futures
import ctypes
import fcntl
import io
import json
import mmap
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tarfile
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "integration")]
import httpd  # noqa: E402
import proxy  # noqa: E402
import tap  # noqa: E402

BUILD = os.path.abspath(os.environ.get("top_builddir", "."))
LIBS = os.path.join(BUILD, ".libs")
PROGRAM, PLUGIN = os.path.join(LIBS, "towline"), os.path.join(LIBS, "image_pull.so")
STRIKE = os.path.join(BUILD, "tests", "faults", ".libs", "strike.so")
LONG = "--long" in sys.argv
WAIT = 120


def number(name, short, long):
    return int(os.environ.get("FAULTS_" + name, long if LONG else short))


KILLS = number("KILLS", 6, 1000)
CALLS_OF_A_KIND = number("CALLS", 2, 0)
STACKS = number("STACKS", 15, 100000)
POWER = number("POWER", 2, 100)
SEEDS = number("SEEDS", 12, 2000)
EXT4_IOC_SHUTDOWN, NO_LOG_FLUSH = 0x8004587d, 2
CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 1 << 14, 1 << 18
# In the order of strike.h's enum.
CALLS = "write rename link symlink sync mkdir open read truncate remove meta lock socket".split()
KILLED_AT = "write rename link sync mkdir".split()
ERRORS = {"ENOSPC": (28, "no space left on device"), "EIO": (5, "input/output error"),
          "EINTR": (4, "interrupted system call"), "EMFILE": (24, "too many open files"),
          "ENOLCK": (37, "no locks available")}
# What the kernel can answer.
FAILS_WITH = {"write": "ENOSPC EIO EINTR", "rename": "ENOSPC EIO", "link": "ENOSPC EIO", "symlink": "ENOSPC EIO",
              "sync": "ENOSPC EIO EINTR", "mkdir": "ENOSPC EIO", "open": "ENOSPC EIO EINTR EMFILE", "read": "EIO EINTR",
              "truncate": "ENOSPC EIO EINTR", "remove": "EIO", "meta": "ENOSPC EIO", "lock": "EINTR ENOLCK", "socket": "EMFILE"}
ARMED, KILL, ERRNO, SHORT, HOLD = 1, 1, 2, 3, 4
STATE = struct.Struct("<8IQ13I" + "96s" * 6 + "4x")


class Strike:
    """The file shared with strike.so: what is to fail, and what was called."""

    def __init__(self, path):
        self.path = path
        with open(path, "wb") as out:
            out.write(bytes(STATE.size))
        with open(path, "r+b") as both:
            self.map = mmap.mmap(both.fileno(), STATE.size)

    def arm(self, call=0, at=0, action=0, errnum=0):
        self.map[:] = STATE.pack(ARMED, CALLS.index(call) if call else 0, at, action, errnum, *([0] * 17), *([b""] * 6))

    def disarm(self):
        """(how often it struck, the call stack's hash, how often what was called, the stack in words)"""
        self.map[:4] = bytes(4)
        values = STATE.unpack(self.map[:])
        return values[6], values[8], dict(zip(CALLS, values[9:22])), [f.split(b"\0")[0].decode() for f in values[22:]]


class Host:
    """tests/faults/pull_host, which goes on living."""

    def __init__(self, strike):
        # program, not libtool's wrapper
        program = os.path.join(BUILD, "tests", "faults", ".libs", "pull_host")
        self.program = program if os.path.exists(program) else os.path.join(BUILD, "tests", "faults", "pull_host")
        self.log = tempfile.TemporaryFile()
        self.proc = subprocess.Popen([self.program], env=environment(LD_PRELOAD=STRIKE, STRIKE_STATE=strike.path),
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True)

    def ask(self, *fields):
        self.proc.stdin.write("\t".join(fields) + "\n")
        self.proc.stdin.flush()
        line = self.proc.stdout.readline()
        if not line:
            raise AssertionError("the host died: %s\n%s" % (self.proc.wait(), self.said()))
        return json.loads(line)

    def said(self):
        self.log.seek(0)
        return self.log.read().decode()[-9000:]

    def close(self):
        self.proc.stdin.close()
        self.proc.wait(WAIT)
        self.proc.stdout.close()
        self.log.close()


def environment(**more):
    return {**os.environ, "LD_LIBRARY_PATH": LIBS, **more}


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def tar_of(entries):
    """[(name, bytes | None for a folder | ("hard" or "soft", target))]"""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, what in entries:
            info = tarfile.TarInfo(name)
            info.mtime = 1556668800
            if what is None:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
            elif isinstance(what, tuple):
                info.type, info.linkname = tarfile.LNKTYPE if what[0] == "hard" else tarfile.SYMTYPE, what[1]
            else:
                info.size, info.mode = len(what), 0o644
            tar.addfile(info, io.BytesIO(what) if isinstance(what, bytes) else None)
    return out.getvalue()


def twenty_layers():
    """The fixed image: folders, files small and not so small, hard and soft links, whiteouts, an opaque folder, two layers that are
    there twice, and one that is empty."""
    chance = random.Random(20)
    layers = []
    for i in range(17):
        entries = [("d%d" % i, None), ("common", None), ("d%d/small" % i, b"layer %d\n" % i),
                   ("d%d/data" % i, chance.randbytes(3000 + 1000 * i)), ("d%d/hard" % i, ("hard", "d%d/data" % i)),
                   ("d%d/soft" % i, ("soft", "small")), ("common/now", b"%d" % i)]
        if i % 4 == 1:
            entries += [("d%d/big" % i, chance.randbytes(150000)), ("d%d/sub" % i, None), ("d%d/sub/x" % i, b"x")]
        if i and i % 3 == 0:
            entries += [("d%d" % (i - 1), None), ("d%d/.wh.small" % (i - 1), b"")]
        if i == 10:
            entries += [("d9", None), ("d9/.wh..wh..opq", b""), ("d9/new", b"new")]
        layers.append(tar_of(entries))
    return layers[:8] + [layers[2]] + layers[8:15] + [tar_of([]), layers[5]] + layers[15:]


class Registry(httpd.Registry):
    NEXT = "next"

    def layers_asked(self):
        """By the pull that begin_next has begun."""
        known = set(self.stored["faults"]["1"].layers)
        with self.lock:
            asked = [r.text.rpartition("/")[2] for r in self.requests if r.headers.get("user-agent") == self.NEXT]
        return [what for what in asked if what in known]


def quick_folder():
    """Where a sync costs nothing; None: there is no such place."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


class Site:
    def __init__(self, work):
        self.work = work
        self.seed = int(os.environ.get("FAULTS_SEED") or random.randrange(1 << 30))
        print("# seed %d (FAULTS_SEED)" % self.seed, flush=True)
        os.environ["HOME"] = self.work  # nobody's credentials and configuration
        for name in ("DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            os.environ.pop(name, None)
        self.image = httpd.Image(*twenty_layers())
        self.registry = Registry({"faults": {"1": self.image}})
        self.ref = self.registry.host + "/faults:1"
        self.strike = Strike(os.path.join(self.work, "strike"))
        self.host = Host(self.strike)
        self.stores = 0
        self.want = None
        # so that what a library sets up once is there before anything is counted
        store = self.store()
        for _ in range(3):
            self.pull(store)
        self.remove(store)

    def store(self, **config):
        self.stores += 1
        path = os.path.join(self.work, "store%d" % self.stores)
        self.configure(path, {"plugins": {"image_pull": {"path": PLUGIN}}, "data-root": path, "resume": self.stores % 2 == 0, **config})
        return path

    def configure(self, store, config):
        with open(store + ".json", "w", encoding="utf-8") as out:
            json.dump(config, out)

    def begin_next(self, store):
        """The next pull is told from the last one, whose requests may still arrive, and is no more impatient than others are."""
        with open(store + ".json", encoding="utf-8") as text:
            config = json.load(text)
        config.pop("limits", None)
        self.configure(store, {**config, "user-agent": Registry.NEXT})
        self.registry.forget()

    def remove(self, store):
        shutil.rmtree(store, ignore_errors=True)
        os.unlink(store + ".json")

    def start(self, store, *args, **env):
        return subprocess.Popen([PROGRAM, "--config", store + ".json", *args], env=environment(**env), stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def run(self, store, *args, **env):
        proc = self.start(store, *args, **env)
        out, err = proc.communicate(timeout=WAIT)
        return proc.returncode, out.decode(), err.decode()

    def pull(self, store, ref=None):
        answer = self.host.ask("pull", store + ".json", ref or self.ref)
        check(answer["fds"] == 0 and answer["threads"] == 0, "left behind: %r" % answer)
        return answer["error"]

    def contents(self, store, ref=None):
        to = os.path.join(self.work, "rootfs")
        code, _, err = self.run(store, "rootfs", ref or self.ref, to)
        check(code == 0, err)
        found = {}
        for at, folders, files in os.walk(to):
            for name in folders + files:
                path = os.path.join(at, name)
                st = os.lstat(path)
                with open(path if os.path.isfile(path) and not os.path.islink(path) else os.devnull, "rb") as data:
                    found[os.path.relpath(path, to)] = (st.st_mode, st.st_nlink if os.path.isfile(path) else 0, int(st.st_mtime),
                                                        os.readlink(path) if os.path.islink(path) else data.read())
        shutil.rmtree(to)
        return found

    def left(self, store, pulled=False):
        folders = ["layers/staging", "layers/locks"] + ["partial"] * pulled
        return [os.path.join(folder, name) for folder in folders if os.path.exists(os.path.join(store, folder))
                for name in os.listdir(os.path.join(store, folder))]

    def names(self, store, folder):
        """The digests that are files' names in there."""
        path = os.path.join(store, "layers", folder)
        return {name.replace(".", ":") for name in os.listdir(path)} if os.path.exists(path) else set()

    def sound(self, store, where, repull=True, compare=False):
        """What must hold after any fault."""
        answer = self.host.ask("fsck", store + ".json")
        check(answer["error"] is None and answer["findings"] == 0, "%s: fsck: %r" % (where, answer))
        check(not self.left(store), "%s: %r is left" % (where, self.left(store)))
        if not repull:
            return
        data = self.names(store, "data")
        self.begin_next(store)
        error = self.pull(store)
        check(error is None, "%s: the next pull: %s" % (where, error))
        asked = self.registry.layers_asked()
        check(len(asked) == len(set(asked)), "%s: asked for %r" % (where, asked))
        again = {blob for blob, diff_id in zip(self.image.layers, self.image.diff_ids) if blob in asked and diff_id in data}
        check(not again, "%s: fetched again: %r" % (where, again))
        answer = self.host.ask("fsck", store + ".json")
        check(answer["error"] is None and answer["findings"] == 0, "%s: fsck after the next pull: %r" % (where, answer))
        left = self.left(store, True)
        check(not left, "%s: %r is left after the next pull" % (where, left))
        if compare:
            if self.want is None:
                alone = self.store()
                check(self.pull(alone) is None, "a pull without faults")
                self.want = self.contents(alone)
                self.remove(alone)
            check(self.contents(store) == self.want, where + ": other contents")

    def close(self):
        self.host.close()
        self.registry.close()


def chosen(n, chance):
    """Which of n calls: all, or that many, the first and the last among them."""
    if not CALLS_OF_A_KIND or n <= CALLS_OF_A_KIND:
        return range(1, n + 1)
    return sorted({1, n, *chance.sample(range(1, n + 1), CALLS_OF_A_KIND - 2)})


def planned(calls, chance):
    """Which call fails how: in the short form each in one way."""
    every = {call: FAILS_WITH[call].split() + ["short"] * (call in ("write", "read")) for call in calls}
    return [(call, name) for call, names in every.items() for name in (names if LONG else [chance.choice(names)])]


class Tally:
    """How often what struck, and in how many places."""

    def __init__(self):
        self.times, self.sites = collections.Counter(), {}

    def add(self, what, site=None):
        self.times[what] += 1
        self.sites.setdefault(what, set()).add(site)

    def tell(self, *must):
        for what in sorted(self.times):
            places = len(self.sites[what] - {None})
            print("#   %-14s struck %d times%s" % (what, self.times[what], ", in %d call stacks" % places if places else ""))
        for what in must:
            check(self.times[what], "%s never struck" % what)


def random_kills(site):
    """kill -9 at random moments"""
    chance, tally = random.Random(site.seed), Tally()
    store = site.store()
    begin = time.monotonic()
    check(site.run(store, "pull", "--quiet", site.ref)[0] == 0, "pull")
    takes = time.monotonic() - begin
    site.remove(store)
    for i in range(KILLS):
        store, moment = site.store(), chance.uniform(0, 1.1 * takes)
        proc = site.start(store, "pull", "--quiet", site.ref)
        time.sleep(moment)
        proc.kill()
        proc.communicate()
        tally.add("kill" if proc.returncode == -signal.SIGKILL else "too late")
        site.sound(store, "seed %d, try %d, after %.3f s" % (site.seed, i, moment), compare=i % 20 == 0)
        site.remove(store)
    tally.tell("kill")


def counted(site):
    """How often a pull by the program calls what."""
    store = site.store()
    site.strike.arm()
    check(site.run(store, "pull", "--quiet", site.ref, LD_PRELOAD=STRIKE, STRIKE_STATE=site.strike.path)[0] == 0, "pull")
    counts = site.strike.disarm()[2]
    site.remove(store)
    return counts


def kills_at_calls(site):
    """kill -9 at every k-th write, rename, link, sync and mkdir"""
    chance, tally = random.Random(site.seed), Tally()
    counts = counted(site)
    for call in KILLED_AT:
        for k in chosen(counts[call], chance):
            store = site.store()
            site.strike.arm(call, k, KILL)
            code, _, err = site.run(store, "pull", "--quiet", site.ref, LD_PRELOAD=STRIKE, STRIKE_STATE=site.strike.path)
            struck, where, _, frames = site.strike.disarm()
            check(bool(struck) == (code == -signal.SIGKILL) and code in (0, -signal.SIGKILL), "%s %d: %d %s" % (call, k, code, err))
            if struck:
                tally.add(call, where)
            site.sound(store, "%s %d of %d: %s" % (call, k, counts[call], " ".join(frames)), compare=k % 20 == 0)
            site.remove(store)
    tally.tell(*KILLED_AT)


def failing_calls(site):
    """ENOSPC, EIO, EINTR, EMFILE and short writes at every k-th call"""
    chance, tally = random.Random(site.seed), Tally()
    store = site.store()
    site.strike.arm()
    check(site.pull(store) is None, "pull")
    counts = site.strike.disarm()[2]
    site.remove(store)
    outcomes = collections.Counter()
    plan = planned(CALLS, chance)
    for call, name in plan:
        errnum, words = ERRORS.get(name, (0, ""))
        for k in chosen(counts[call], chance):
            store = site.store()
            site.strike.arm(call, k, ERRNO if errnum else SHORT, errnum)
            where = "%s %d of %d, %s" % (call, k, counts[call], name)
            try:
                error = site.pull(store)
            except AssertionError as wrong:
                raise AssertionError("%s: %s: %s" % (where, " ".join(site.strike.disarm()[3]), wrong))
            struck, stack, _, frames = site.strike.disarm()
            where += ": " + " ".join(frames)
            if struck:
                tally.add("%s %s" % (call, name), stack)
                outcomes["an error" if error else "none the worse"] += 1
            check(error is None or struck and words and words in error, "%s: %s" % (where, error))
            check(not error or call not in ("write", "read") or name not in ("EINTR", "short"), "%s: %s" % (where, error))
            site.sound(store, where, compare=k % 50 == 0)
            site.remove(store)
    print("#   ended with %s" % ", ".join("%s %d times" % (o, n) for o, n in outcomes.items()))
    tally.tell(*("%s %s" % what for what in plan if counts[what[0]]))


def calls_of_plain_hosts(site):
    """the same for a host without staging, whose layers go through a temporary file"""
    chance, tally = random.Random(site.seed), Tally()

    def pull(*fault):
        # A retry waits for seconds, and so several of them wait at once.
        with tempfile.TemporaryDirectory(dir=site.work) as work:
            strike = Strike(os.path.join(work, "strike"))
            strike.arm(*fault)
            proc = subprocess.run([os.path.join(BUILD, "tests", "hosts", "plain_host"), PLUGIN, site.ref], text=True, timeout=WAIT,
                                  env=environment(LD_PRELOAD=STRIKE, STRIKE_STATE=strike.path, TMPDIR=work),
                                  stdin=subprocess.DEVNULL, capture_output=True)
            struck, stack, counts, frames = strike.disarm()
            strike.map.close()
            check(os.listdir(work) == ["strike"], "%r: left %r" % (fault, os.listdir(work)))
            return proc.stdout, proc.returncode, struck, stack, counts, " ".join(frames)
    want, code, _, _, counts, _ = pull()
    check(code == 0 and want.count("layer ") == len(site.image.layers), want)
    plan = planned([call for call in ("write", "read", "open", "truncate", "socket") if counts[call]], chance)
    tries = [(call, name, k) for call, name in plan for k in chosen(counts[call], chance)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        results = pool.map(lambda t: pull(t[0], t[2], ERRNO if t[1] in ERRORS else SHORT, ERRORS.get(t[1], (0, ""))[0]), tries)
        for (call, name, k), (out, code, struck, stack, _, frames) in zip(tries, results):
            words = ERRORS.get(name, (0, ""))[1]
            where = "%s %d of %d, %s: %s: %d %s" % (call, k, counts[call], name, frames, code, out[-500:])
            if struck:
                tally.add("%s %s" % (call, name), stack)
            check(out == want if code == 0 else code == 1 and struck and words and words in out, where)
            check(code == 0 or call not in ("write", "read") or name not in ("EINTR", "short"), where)
    tally.tell(*("%s %s" % what for what in plan))


def memory(site):
    """every call stack of libtowline that allocates fails once"""
    ended, rounds = collections.Counter(), 0
    for fail in ["0"] + ["1"] * STACKS:
        store = site.store(resume=False)
        answer = site.host.ask("memory", store + ".json", site.ref, fail)
        where = "call stack %d: %r" % (answer["stacks"], answer)
        if fail == "1" and not answer["struck"]:
            site.remove(store)
            break
        rounds += fail == "1"
        ended["an error" if answer["error"] else "none the worse"] += fail == "1"
        # The first pull of a process sets up what stays.
        check(answer["fds"] == 0 and answer["threads"] == 0 and (answer["leaks"] == 0 or fail == "0"),
              "%s\n%s" % (where, site.host.said()))
        check(answer["error"] is None or answer["struck"] and answer["error"], where)
        site.sound(store, where)
        site.remove(store)
    print("#   %d call stacks, ended with %s" % (rounds, ", ".join("%s %d times" % (o, n) for o, n in ended.items())))
    check(rounds >= min(STACKS, 100), "only %d" % rounds)


def private_mounts():
    """What is mounted from here on no other process's namespace takes a copy of, which would keep it from ending."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) or libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None):
        raise tap.Skip("no mount namespace can be had: " + os.strerror(ctypes.get_errno()))


class Disk:
    """An ext4 of its own that can stop as a machine does."""

    def __init__(self, site):
        self.image, self.at = os.path.join(site.work, "disk"), os.path.join(site.work, "mnt")
        os.makedirs(self.at, exist_ok=True)
        with open(self.image, "wb") as out:
            out.truncate(96 << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", self.image], check=True)

    def mount(self):
        subprocess.run(["mount", "-o", "loop", self.image, self.at], check=True)

    def unmount(self):
        subprocess.run(["umount", self.at], check=True)

    def power_off(self):
        fd = os.open(self.at, os.O_RDONLY)
        fcntl.ioctl(fd, EXT4_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        os.close(fd)


def power_loss(site):
    """the machine stops at random moments: ext4 on a loop device, its shutdown ioctl, another boot ID"""
    if os.geteuid() != 0:
        raise tap.Skip("needs root, to mount")
    for tool in ("mkfs.ext4", "unshare", "mount"):
        if not shutil.which(tool):
            raise tap.Skip(tool + " is not installed")
    private_mounts()
    chance, tally, takes = random.Random(site.seed), Tally(), 0.5
    boot = os.path.join(site.work, "boot")
    again = ["unshare", "-m", "sh", "-c", 'mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"', boot]
    for i in range(POWER + 1):
        disk = Disk(site)
        try:
            disk.mount()
        except subprocess.CalledProcessError:
            raise tap.Skip("no loop device can be mounted here")
        store = site.store(**{"data-root": os.path.join(disk.at, "root")})
        root = os.path.join(disk.at, "root")
        try:
            begin = time.monotonic()
            proc = site.start(store, "pull", "--quiet", site.ref)
            if i == 0:  # none, to see how long it takes
                proc.communicate(timeout=WAIT)
                takes = time.monotonic() - begin
                continue
            moment = chance.uniform(0, (1.2, 0.7)[i % 2] * takes)  # every other one well before the end
            where = "seed %d, try %d, after %.3f s" % (site.seed, i, moment)
            time.sleep(moment)
            whole = proc.poll() == 0
            disk.power_off()
            proc.kill()
            proc.communicate()
            tally.add("power off, afterwards" if whole else "power off")
            disk.unmount()
            disk.mount()
            with open(boot, "w", encoding="utf-8") as out:
                out.write("00000000-0000-4000-8000-%012d\n" % i)

            def run(*args):
                done = subprocess.run([*again, PROGRAM, "--config", store + ".json", *args], env=environment(), text=True,
                                      stdin=subprocess.DEVNULL, capture_output=True, timeout=WAIT)
                check(done.returncode == 0, "%s: towline %s: %s%s" % (where, args[0], done.stdout, done.stderr))
                return done.stdout
            run("fsck", "--deep")
            check(not site.left(root), "%s: %r is left" % (where, site.left(root)))
            check(not whole or len(json.loads(run("images", "--json"))) == 1, where + ": what was pulled is gone")
            # what the one sync before publishing did not reach is not trusted any more
            have = {d for d in site.names(root, "data")
                    if os.path.exists(os.path.join(root, "layers", "data", d.replace(":", "."), "durable"))}
            site.begin_next(store)
            run("pull", "--quiet", site.ref)
            asked = set(site.registry.layers_asked())
            again_asked = {d for b, d in zip(site.image.layers, site.image.diff_ids) if b in asked and d in have}
            check(not again_asked and not (whole and asked),
                  "%s: %s, fetched %r, of which were there %r" % (where, "after its end" if whole else "before", asked, again_asked))
            run("fsck", "--deep")
            check(not site.left(root, True), where)
        finally:
            disk.unmount()
            site.remove(store)
    tally.tell("power off")


def harmful_network(site):
    """a network that drops, resets, stalls, cuts, flips bits and sends single bytes: no wrong image"""
    ended = collections.Counter()
    net = proxy.Proxy(("127.0.0.1", site.registry.port))
    ref = net.host + "/faults"
    for i in range(SEEDS):
        seed = site.seed + i
        store = site.store(limits={"stall-timeout-ms": 1000, "connect-timeout-ms": 2000})
        net.begin(seed)
        name = ref + (":1" if i % 2 else "@" + site.image.digest)
        error = site.pull(store, name)
        ended["an error" if error else "the image"] += 1
        where = "FAULTS_SEED=%d FAULTS_SEEDS=1: %s" % (seed, error)
        check(error is None or len(error) > 10 and "\n" not in error.strip(), where)
        listed = json.loads(site.run(store, "images", "--json")[1])
        check([image["Id"] for image in listed] == ([site.image.config] if error is None else []), "%s: %r" % (where, listed))
        site.sound(store, where, compare=i % 20 == 0)
        site.remove(store)
    net.close()
    print("#   %d seeds from %d: ended with %s" % (SEEDS, site.seed, ", ".join("%s %d times" % e for e in ended.items())))
    print("#   " + ", ".join("%s %d" % struck for struck in net.struck.items()))
    check(SEEDS < 20 or all(net.struck.values()), net.struck)


CASES = [random_kills, kills_at_calls, failing_calls, calls_of_plain_hosts, memory, power_loss, harmful_network]

if __name__ == "__main__":
    tap.needs(built=(PROGRAM, PLUGIN, STRIKE), sanitizers="sanitizers have a malloc of their own and will not have another library before them")
    tap.main("faults", CASES, Site, os.environ.get("FAULTS_DIR") or quick_folder())
