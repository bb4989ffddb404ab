"""How the cost of a pull grows with the work: scripts/bench --growth.

layers   1 to 64 layers of 4 MB in 200 files           files   one layer of 1,000 to 256,000 small files
bytes    one layer of 16 to 1,024 MiB in files of 1    at once   1 to 16 pulls of different images, 4 MB each, of one
                                                             `towline serve`
Each point is the median of some runs, each from an empty store on a new file system.
"""
import concurrent.futures
import json
import statistics
import time

import images
from measure import FreshDisk
from pullers import Puller

SERIES = {"layers": (1, 2, 4, 8, 16, 32, 64), "files": (1000, 4000, 16000, 64000, 256000),
          "bytes": (16, 64, 256, 1024)}
AT_ONCE = (1, 2, 4, 8, 16)


def one(bench, name):
    with FreshDisk(bench.work) as disk:
        got = bench.timed(Puller("towline", bench).command(disk, bench.registry.host, "bench/" + name), disk)
        if got["rc"]:
            raise SystemExit("%s: see %s/commands.log" % (name, bench.work))
        return got["wall"], got["user"] + got["sys"], got["rss_kib"] * 1024


def at_once(bench, n):
    """Seconds until n pulls, begun together, have ended."""
    puller = Puller("towline", bench)
    with FreshDisk(bench.work) as disk:
        daemon = puller.start(disk, served=True)
        try:
            begin = time.monotonic()
            with concurrent.futures.ThreadPoolExecutor(n) as pool:
                list(pool.map(lambda i: puller.ask(bench.registry.host, "bench/each-%d" % i), range(n)))
            return time.monotonic() - begin
        finally:
            daemon.terminate()
            daemon.wait(60)


def names():
    return ["%s-%d" % (kind, n) for kind, counts in SERIES.items() for n in counts] + \
        ["each-%d" % i for i in range(max(AT_ONCE))]


def measure(bench, cache, runs):
    """{series: [{n, wall, cpu, rss, runs}]}"""
    bench.push(cache, images.build(cache, names()))
    got = {}
    for kind, counts in SERIES.items():
        for n in counts:
            middle = [statistics.median(v) for v in zip(*(one(bench, "%s-%d" % (kind, n)) for _ in range(runs)))]
            got.setdefault(kind, []).append({"n": n, **dict(zip(("wall", "cpu", "rss"), middle)), "runs": runs})
    got["at once"] = [{"n": n, "wall": statistics.median(at_once(bench, n) for _ in range(runs)), "runs": runs}
                      for n in AT_ONCE]
    return got


def write(path, about, got):
    with open(path, "w", encoding="utf-8") as out:
        json.dump({**about, "series": got}, out, indent=1)


def table(got):
    out = []
    for kind, points in got.items():
        keys = [k for k in ("wall", "cpu", "rss") if k in points[0]]
        out += ["### %s" % kind, "", "| %s | %s |" % (kind, " | ".join(keys)), "| --- " * (len(keys) + 1) + "|"]
        out += ["| %d | %s |" % (p["n"], " | ".join("%.1f MiB" % (p[k] / (1 << 20)) if k == "rss" else "%.2f s" % p[k]
                                                    for k in keys)) for p in points] + [""]
    return "\n".join(out)
