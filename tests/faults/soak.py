#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Many pulls in one process, by tests/faults/crowd: 50 at once, and thousands one after another.

    soak.py [--long] [CASE...]       --long is make soak. SOAK_ROUNDS and SOAK_PULLS change the numbers."""
import collections
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "integration")]
import faults  # noqa: E402
import httpd  # noqa: E402
import tap  # noqa: E402

SANITIZERS = os.environ.get("SANITIZERS", "")
ROUNDS = int(os.environ.get("SOAK_ROUNDS", 20 if faults.LONG else 2))
PULLS = int(os.environ.get("SOAK_PULLS", 10000 if faults.LONG else 400))
AT_ONCE, EVERY = 50, 100
GROWTH_KIB = 1024


class Site:
    def __init__(self, work):
        self.work = work
        self.config = os.path.join(self.work, "engine.json")
        with open(self.config, "w", encoding="utf-8") as out:
            out.write('{"plugins": {"image_pull": {"path": "%s"}}, "data-root": "%s/none"}' % (faults.PLUGIN, self.work))
        layers = faults.twenty_layers()[:12]
        # Images that share most of their layers, on other parents.
        self.images = {str(i): httpd.Image(*(layers[i:] + layers[:i])) for i in range(4)}
        self.images["small"] = httpd.small_image(layers=2)
        self.registry = httpd.Registry({"soak": self.images})
        os.environ["HOME"] = self.work

    def crowd(self, kind, n, m, *tags):
        program = os.path.join(faults.BUILD, "tests", "faults", ".libs", "crowd")
        if not os.path.exists(program):
            program = program.replace(".libs/", "")
        root = os.path.join(self.work, kind)
        os.mkdir(root)
        self.registry.forget()
        supp = os.path.join(HERE, "tsan.supp")
        done = subprocess.run(
            [program, kind, str(n), str(m), self.config, root, *("%s/soak:%s" % (self.registry.host, tag) for tag in tags)],
            env=faults.environment(TSAN_OPTIONS="suppressions=%s exitcode=66 halt_on_error=0" % supp),
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=36000)
        subprocess.run(["rm", "-rf", root], check=True)
        reports = done.stderr.count("WARNING: ThreadSanitizer")
        faults.check(done.returncode == 0 and not reports, "%d reports, exit status %d\n%s" %
                     (reports, done.returncode, done.stderr[:12000]))
        return done.stdout

    def close(self):
        self.registry.close()


def at_once(site):
    """50 pulls at once: each blob is fetched once, nothing of the process has changed"""
    site.crowd("many", ROUNDS, AT_ONCE, *"0123")
    asked = collections.Counter(text.rpartition("/")[2] for text in site.registry.asked("/blobs/"))
    layers = set(site.images["0"].layers)
    # one round more, with one pull, before anything is compared
    wrong = {d: n for d, n in asked.items() if d in layers and n != ROUNDS + 1}
    faults.check(not wrong and layers <= set(asked), "in %d rounds: %r" % (ROUNDS, wrong))
    print("#   %d rounds of %d pulls, %d layers, each fetched once a round%s" %
          (ROUNDS, AT_ONCE, len(layers), ", 0 reports of ThreadSanitizer" if "thread" in SANITIZERS else ""))


def one_after_another(site):
    """thousands of pulls, some of which fail, the instance made anew every 100: no growth, nothing of the process has changed"""
    if SANITIZERS:
        raise tap.Skip("sanitizers need memory of their own")
    out = site.crowd("long", PULLS, EVERY, "small", "none")
    found = [(int(n), int(kib), int(size)) for n, kib, size in
             re.findall(r"after (\d+) pulls: (\d+) KiB resident, (\d+) bytes allocated", out)]
    print("#   " + out.replace("\n", "; "))
    faults.check(len(found) == 2 and found[1][0] == PULLS, out)
    faults.check(found[1][1] - found[0][1] < GROWTH_KIB, out)


CASES = [at_once, one_after_another]

if __name__ == "__main__":
    tap.needs(built=(faults.PROGRAM, faults.PLUGIN))
    if "address" in SANITIZERS:
        tap.skip_all("other sanitizers say nothing here")
    tap.main("soak", CASES, Site, faults.quick_folder())
