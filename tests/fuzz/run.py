#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""run.py --source DIR --build DIR [--seconds N] [--at-once N] run|plant|keep [TARGET...]

run    each target for N seconds under libFuzzer, from corpus/, the seeds and what earlier runs found (fuzz-corpus/ in
       the build); a finding stays in fuzz-findings/
plant  each target over a build with a bug planted in the code it tests (plants.py), from the seeds alone, until it is found
keep   fuzz-corpus/ merged into corpus/: the smallest inputs that together reach what all reach

Results go into fuzz-results.json and, as docs/fuzzing.md has it, to stdout."""
import argparse
import concurrent.futures
import datetime
import hashlib
import json
import os
import re
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import plants
import seeds

NOBODY = 65534
OPTIONS = ["-timeout=300", "-rss_limit_mb=2048", "-max_len=65536", "-detect_leaks=1", "-print_final_stats=1"]
# these run as an ordinary user, as their oracle wants it
ORDINARY = {"untar"}


def targets(names):
    found = sorted(seeds.seeds(os.path.join(args.source, "tests/vectors")))
    for name in names:
        if name not in found:
            sys.exit("no target %r: %s" % (name, " ".join(found)))
    return names or found


def folder(*parts):
    path = os.path.join(args.build, *parts)
    os.makedirs(path, exist_ok=True)
    return path


def put(path, inputs):
    for data in inputs:
        with open(os.path.join(path, hashlib.sha1(data).hexdigest()), "wb") as out:
            out.write(data)


def start(name, program, options, folders):
    """Runs a target to its end: (exit status, what it said)."""
    with tempfile.TemporaryDirectory(dir=args.build, prefix="fuzz-cwd-") as cwd:
        environment = dict(os.environ, FUZZ=name, UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1",
                           ASAN_OPTIONS="detect_leaks=1:allocator_may_return_null=1:" + os.environ.get("ASAN_OPTIONS", ""))
        words = os.path.join(cwd, "words")
        with open(words, "w", encoding="ascii") as out:
            out.write(seeds.dictionary(name))
        options = options + (["-dict=" + words] if os.path.getsize(words) else [])
        who = {}
        if name in ORDINARY and os.geteuid() == 0:
            who = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
            os.chown(cwd, NOBODY, NOBODY)
            for path in folders[:1] + [o.split("=", 1)[1] for o in options if o.startswith("-artifact_prefix=")]:
                for base, _, files in os.walk(path):
                    for each in [base] + [os.path.join(base, f) for f in files]:
                        os.chown(each, NOBODY, NOBODY)
        done = subprocess.run([program] + OPTIONS + options + folders, cwd=cwd, env=environment, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, **who)
        return done.returncode, done.stdout.decode(errors="replace")


def statistics(said):
    """What libFuzzer said at its end."""
    found = re.findall(r"#\d+\s+[A-Z]+\s+cov: (\d+) ft: (\d+) corp: (\d+)/(\S+)", said)
    executions = re.search(r"stat::number_of_executed_units:\s*(\d+)", said)
    slowest = re.search(r"stat::slowest_unit_time_sec:\s*(\d+)", said)
    memory = re.search(r"stat::peak_rss_mb:\s*(\d+)", said)
    return {"executions": int(executions.group(1)) if executions else 0, "edges": int(found[-1][0]) if found else 0,
            "features": int(found[-1][1]) if found else 0, "inputs": int(found[-1][2]) if found else 0,
            "slowest_s": int(slowest.group(1)) if slowest else 0, "peak_mb": int(memory.group(1)) if memory else 0}


def run(name):
    corpus, findings = folder("fuzz-corpus", name), folder("fuzz-findings", name)
    put(corpus, seeds.seeds(os.path.join(args.source, "tests/vectors"))[name])
    kept = os.path.join(args.source, "tests/fuzz/corpus", name)
    begin = time.monotonic()
    status, said = start(name, os.path.join(args.build, "tests/fuzz/fuzz"),
                         ["-max_total_time=%d" % args.seconds, "-artifact_prefix=%s/" % findings],
                         [corpus] + ([kept] if os.path.isdir(kept) else []))
    with open(os.path.join(folder("fuzz-findings"), name + ".log"), "w", encoding="utf-8") as out:
        out.write(said)
    result = statistics(said)
    result.update(status=status, seconds=int(time.monotonic() - begin), date=datetime.datetime.now().strftime("%Y-%m-%d"),
                  findings=[f for f in os.listdir(findings) if not f.startswith("slow-unit-")], revision=revision())
    return {"run": result}


def revision():
    done = subprocess.run(["git", "-C", args.source, "describe", "--always", "--abbrev=9"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    return done.stdout.decode().strip()


def link_planted(name, path):
    """A copy of the program in which this target's bug is planted."""
    plant = plants.PLANTS[name]
    changed = os.path.join(path, plant.file)
    os.makedirs(os.path.dirname(changed), exist_ok=True)
    with open(changed, "w", encoding="utf-8") as out:
        out.write(plants.planted(args.source, plant))
    # for #include "registry/blob.c" and for itself, the changed file comes first
    flags = ["-I" + os.path.join(path, "plugin"), "-I" + os.path.join(path, "compat")] + shlex.split(os.environ["CFLAGS"])
    compiler = shlex.split(os.environ["CC"])
    objects = []
    wrapper = plants.PEEKS.get(plant.file)
    for source in [os.path.join(args.source, wrapper) if wrapper else changed]:
        objects.append(os.path.join(path, "planted.o"))
        subprocess.run(compiler + flags + ["-I" + os.path.dirname(os.path.join(args.source, plant.file)), "-Wno-error", "-c", source, "-o", objects[-1]],
                       cwd=args.build, check=True)
    program = os.path.join(path, "fuzz")
    # make's own link line, with our object in place of, or in front of, what it has
    dry = subprocess.run(["make", "-n", "-W", "tests/fuzz/main.o", "tests/fuzz/fuzz", "V=1"], cwd=args.build, stdout=subprocess.PIPE, check=True)
    line = [l for l in dry.stdout.decode().splitlines() if " -o tests/fuzz/fuzz " in l][-1]
    line = line[line.index("/bin/bash ./libtool") if "/bin/bash ./libtool" in line else 0:]
    words = shlex.split(line)
    words[words.index("-o") + 1] = program
    replaced = wrapper.replace(".c", ".o") if wrapper else None
    words = [w for w in words if w != replaced]
    at = words.index(program) + 1
    subprocess.run(words[:at] + objects + words[at:], cwd=args.build, check=True, stdout=subprocess.DEVNULL)
    return program


def plant(name):
    path = folder("fuzz-planted", name)
    shutil.rmtree(path)
    program = link_planted(name, folder("fuzz-planted", name))
    corpus, findings = folder("fuzz-planted", name, "corpus"), folder("fuzz-planted", name, "findings")
    put(corpus, seeds.seeds(os.path.join(args.source, "tests/vectors"))[name])
    subprocess.run(["chmod", "-R", "a+rX", path], check=True)
    begin = time.monotonic()
    status, said = start(name, program, ["-max_total_time=%d" % args.seconds, "-artifact_prefix=%s/" % findings], [corpus])
    seconds = time.monotonic() - begin
    with open(os.path.join(path, "log"), "w", encoding="utf-8") as out:
        out.write(said)
    what = re.search(r"broken: .*|ERROR: (?:Address|Leak)Sanitizer: [\w-]+|runtime error: .*|ERROR: libFuzzer: [\w-]+", said)
    return {"plant": {"found": status != 0 and bool(os.listdir(findings)), "seconds": round(seconds, 1), "executions": statistics(said)["executions"],
                      "what": what.group(0) if what else "", "bug": plants.PLANTS[name].bug}}


def keep(name):
    kept = os.path.join(args.source, "tests/fuzz/corpus", name)
    small = folder("fuzz-corpus", name + ".small")
    shutil.rmtree(small)
    small = folder("fuzz-corpus", name + ".small")
    status, said = start(name, os.path.join(args.build, "tests/fuzz/fuzz"), ["-merge=1"], [small, folder("fuzz-corpus", name)] +
                         ([kept] if os.path.isdir(kept) else []))
    if status:
        sys.exit("merging %s: %s" % (name, said[-2000:]))
    # the smallest first, up to a size that a source tree can bear
    os.makedirs(kept, exist_ok=True)
    for each in os.listdir(kept):
        if re.fullmatch("[0-9a-f]{40}", each):
            os.unlink(os.path.join(kept, each))
    total = 0
    for each in sorted(os.listdir(small), key=lambda f: os.path.getsize(os.path.join(small, f))):
        if len(os.listdir(kept)) >= 60:
            break
        total += os.path.getsize(os.path.join(small, each))
        if total > plants.KEPT_BYTES.get(name, 24576):
            break
        shutil.copyfile(os.path.join(small, each), os.path.join(kept, each))
    shutil.rmtree(small)
    return {"kept": {"inputs": len(os.listdir(kept)), "bytes": sum(os.path.getsize(os.path.join(kept, f)) for f in os.listdir(kept))}}


def table(results):
    print("| target | executions | seconds | edges | features | inputs kept | findings | planted bug | found after | date | revision |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- | --- | --- | --- |")
    for name in sorted(results):
        r, p, k = (results[name].get(key, {}) for key in ("run", "plant", "kept"))
        after = "%d executions, %.1f s" % (p["executions"], p["seconds"]) if p.get("found") else "not found" if p else ""
        print("| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |" % (
            name, r.get("executions", ""), r.get("seconds", ""), r.get("edges", ""), r.get("features", ""), k.get("inputs", ""),
            len(r["findings"]) if r else "", p.get("bug", ""), after, r.get("date", ""), r.get("revision", "")))


def main():
    what = {"run": run, "plant": plant, "keep": keep}[args.what]
    store = os.path.join(args.build, "fuzz-results.json")
    names = targets(args.targets)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    bad = []
    with concurrent.futures.ThreadPoolExecutor(args.at_once) as pool:
        begun = {pool.submit(what, name): name for name in names}
        for each in concurrent.futures.as_completed(begun):
            name = begun[each]
            result = each.result()
            print(name, json.dumps(result), flush=True)
            if result.get("run", {}).get("status") or result.get("run", {}).get("findings") or not result.get("plant", {"found": True})["found"]:
                bad.append(name)
            results = {}
            if os.path.exists(store):
                with open(store, encoding="utf-8") as old:
                    results = json.load(old)
            results.setdefault(name, {}).update(result)
            with open(store + ".new", "w", encoding="utf-8") as out:
                json.dump(results, out, indent=1, sort_keys=True)
            os.replace(store + ".new", store)
    with open(store, encoding="utf-8") as old:
        table(json.load(old))
    if bad:
        sys.exit("not as it should be: " + " ".join(sorted(bad)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--source", required=True)
    parser.add_argument("--build", required=True)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--at-once", type=int, default=2)
    parser.add_argument("what", choices=("run", "plant", "keep"))
    parser.add_argument("targets", nargs="*")
    args = parser.parse_args()
    main()
