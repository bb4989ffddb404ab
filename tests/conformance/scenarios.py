# SPDX-License-Identifier: Apache-2.0
"""Whole pulls: sets up what a scenario asks for, plays its registries, runs pull_driver, compares."""
import base64
import concurrent.futures
import fnmatch
import glob
import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
VECTORS = os.path.join(HERE, "..", "vectors")
sys.path.insert(0, VECTORS)
import make_tls  # noqa: E402
import registry as fake  # noqa: E402

import compare  # noqa: E402

TIMEOUT = 90          # seconds, of one pull
TICK_MS = 4           # of a retry's countdown
SETTLE = 2.0          # seconds that a registry may need to write its last line
CANCEL_LIMIT = 1.0    # seconds from the cancel to the pull's end
SYSTEM_CAS = "/etc/ssl/certs/ca-certificates.crt"
SCHEMA2_TYPES = {"plugin": ["application/vnd.docker.plugin.v1+json"]}
DNS = {"localhost": ["127.0.0.1", "::1"]}

KNOWN = {"name", "category", "description", "blobs", "registries", "expected", "ref", "platform", "auth",
         "service_options", "meta_headers", "require_schema2", "schema2_types", "reference_store", "concurrency",
         "default_registry", "certs_d", "trust_ca", "initial", "cancel", "dns"}
KNOWN_SERVICE = {"mirrors", "insecure_registries", "allow_nondistributable_artifacts"}
KNOWN_INITIAL = {"layers", "images", "references"}


class RequestLog:
    """Takes the registries' log lines; calls back as each comes."""
    def __init__(self):
        self.lock = threading.Lock()
        self.entries = []
        self.watch = None

    def write(self, entry):
        with self.lock:
            self.entries.append(json.loads(json.dumps(entry)))
            watch = self.watch
        if watch:
            watch(entry)


class Registry(fake.Registry):
    """Knows how many connections it serves."""
    def __init__(self, *args):
        super().__init__(*args)
        self.busy = 0
        self.idle = threading.Condition()

    def serve(self, conn):
        with self.idle:
            self.busy += 1
        try:
            super().serve(conn)
        finally:
            with self.idle:
                self.busy -= 1
                self.idle.notify_all()

    def settle(self, end):
        """Waits for the last lines of the log: the client has gone, but what it did may not be written yet."""
        with self.idle:
            while self.busy and time.monotonic() < end:
                self.idle.wait(end - time.monotonic())


class Registries:
    def __init__(self, scenario, tls_dir):
        self.log = RequestLog()
        self.registries = {name: Registry(name, spec, scenario.get("blobs", {}), self.log, tls_dir)
                           for name, spec in scenario["registries"].items()}
        self.names = {}
        for name, r in self.registries.items():
            self.names["{{%s}}" % name] = "127.0.0.1:%d" % r.port
            self.names["{{%s.port}}" % name] = str(r.port)
        for r in self.registries.values():
            r.start(fake.substitute(r.spec.get("routes", []), self.names))

    def settle(self):
        time.sleep(SETTLE / 100)            # a connection may be on its way to a thread
        end = time.monotonic() + SETTLE
        for r in self.registries.values():
            r.settle(end)

    def close(self):
        for r in self.registries.values():
            try:
                r.socket.shutdown(2)
            except OSError:
                pass
            r.socket.close()


def unknown_form(scenario):
    bad = sorted(set(scenario) - KNOWN)
    bad += ["service_options.%s" % k for k in scenario.get("service_options") or {} if k not in KNOWN_SERVICE]
    bad += ["initial.%s" % k for k in scenario.get("initial") or {} if k not in KNOWN_INITIAL]
    bad += ["no %s" % k for k in ("ref", "registries", "expected") if k not in scenario]
    return bad


def repository_of(ref):
    """The key of repositories.json under which a reference stands."""
    name = ref.split("@")[0]
    slash = name.rfind("/")
    colon = name.rfind(":")
    return name[:colon] if colon > slash else name


def initial_metadata(layers):
    """What the metadata store says of layers that were pulled before."""
    metadata = {}
    for layer in layers:
        path = layer["digest"].replace(":", "/")
        metadata["diffid-by-digest/" + path] = layer["diff_id"]
        entry = [{"Digest": layer["digest"], "SourceRepository": layer["source_repository"], "HMAC": ""}]
        metadata["v2metadata-by-diffid/" + layer["diff_id"].replace(":", "/")] = json.dumps(
            entry, separators=(",", ":"))
    return metadata


def write_certs(folder, certs_d, tls_dir):
    with open(os.path.join(tls_dir, "ca.crt"), encoding="ascii") as f:
        ca = f.read()
    for host, files in certs_d.items():
        os.makedirs(os.path.join(folder, host))
        for name, content in files.items():
            with open(os.path.join(folder, host, name), "w", encoding="utf-8") as f:
                f.write(content.replace("{{CA}}", ca))


def ca_bundle(work, tls_dir):
    """The system's roots and the vectors' CA."""
    path = os.path.join(work, "roots.pem")
    with open(path, "wb") as out:
        for source in (SYSTEM_CAS, os.path.join(tls_dir, "ca.crt")):
            if os.path.exists(source):
                with open(source, "rb") as f:
                    out.write(f.read())
    return path


def make_setup(scenario, work, tls_dir, kind, build):
    """pull_driver's first line. Placeholders are replaced already."""
    initial = scenario.get("initial") or {}
    setup = dict(scenario.get("service_options") or {})
    for key in ("ref", "platform", "auth", "require_schema2", "default_registry", "cancel"):
        if scenario.get(key) is not None:
            setup[key] = scenario[key]
    for folder in ("certs.d", "tmp"):
        os.makedirs(os.path.join(work, folder))
    write_certs(os.path.join(work, "certs.d"), scenario.get("certs_d") or {}, tls_dir)
    types = scenario.get("schema2_types")
    if types is not None:
        setup["schema2_types"] = SCHEMA2_TYPES[types] if isinstance(types, str) else types
    setup["meta_headers"] = [[name, value] for name, values in (scenario.get("meta_headers") or {}).items()
                             for value in values]
    dns = scenario.get("dns")
    setup["dns"] = dict(DNS, **(dns if isinstance(dns, dict) else {name: ["127.0.0.1"] for name in dns or []}))
    setup["certs_dirs"] = [os.path.join(work, "certs.d")]
    setup["temp_dir"] = os.path.join(work, "tmp")
    setup["tick_ms"] = TICK_MS
    setup["concurrency"] = scenario.get("concurrency", 3)
    setup["staging"] = setup["cancel_by_call"] = kind != "plain"
    if kind == "encoded":
        setup["unpacker"] = os.path.join(build, "towline-unpack")
    if scenario.get("trust_ca"):
        setup["ca_bundle"] = ca_bundle(work, tls_dir)
    chains = initial.get("layers") or []
    setup["layers"] = [[layer["diff_id"] for layer in chain] for chain in chains]
    setup["metadata"] = initial_metadata([layer for chain in chains for layer in chain])
    setup["images"] = [base64.b64decode(scenario["blobs"][name]).decode() for name in initial.get("images") or []]
    repositories = {}
    for r in initial.get("references") or []:
        repositories.setdefault(repository_of(r["ref"]), {})[r["ref"]] = r["image"]
    setup["repositories"] = os.path.join(work, "repositories.json")
    setup["without_reference_store"] = scenario.get("reference_store", {}) is None
    if repositories:
        with open(setup["repositories"], "w", encoding="utf-8") as f:
            json.dump({"Repositories": repositories}, f, separators=(",", ":"), sort_keys=True)
    return setup


class Canceller:
    """Sends "cancel" once the log has the request that the scenario names."""
    def __init__(self, cancel, process, log):
        self.cancel, self.process, self.at = cancel, process, None
        self.go = threading.Event()
        if cancel and "path" in cancel:
            log.watch = self.look
            threading.Thread(target=self.run, daemon=True).start()

    def look(self, entry):
        if entry.get("path") == self.cancel["path"] and entry.get("registry") == self.cancel.get(
                "registry", entry.get("registry")):
            self.go.set()

    def run(self):
        self.go.wait(TIMEOUT)
        time.sleep(self.cancel.get("delay_ms", 0) / 1000)
        self.at = time.monotonic()
        try:
            self.process.stdin.write(b"cancel\n")
            self.process.stdin.flush()
        except (OSError, ValueError):
            pass                            # the pull has ended


def run_driver(build, setup, scenario, log, *options):
    """What pull_driver printed, or a text why there is nothing."""
    command = [os.path.join(build, "tests", "conformance", "pull_driver"), *options, find_plugin(build)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    canceller = Canceller(scenario.get("cancel"), process, log)
    process.stdin.write(json.dumps(setup).encode() + b"\n")
    process.stdin.flush()
    errors = []
    reader = threading.Thread(target=lambda: errors.append(process.stderr.read()), daemon=True)
    reader.start()
    # With options it is hundreds of pulls.
    timeout = 10 * TIMEOUT if options else TIMEOUT
    killer = threading.Timer(timeout, process.kill)
    killer.start()
    stdout = process.stdout.read()
    end = time.monotonic()
    code = process.wait()
    timed_out = not killer.is_alive()
    killer.cancel()
    reader.join()
    try:
        process.stdin.close()
    except OSError:
        pass
    stderr = errors[0].decode("utf-8", "replace")[-3000:]
    if timed_out:
        return "no end within %d s" % timeout
    if code or stderr:
        return "pull_driver ended with %d: %s" % (code, stderr)
    try:
        result = json.loads(stdout)
    except ValueError:
        return "pull_driver wrote no JSON: %s" % compare.short(stdout.decode("utf-8", "replace"))
    if canceller.at is not None:
        result["seconds_after_cancel"] = end - canceller.at
    return result


def find_plugin(build):
    for pattern in ("image_pull.so", ".libs/image_pull.so", "*/.libs/image_pull.so", "*/image_pull.so"):
        for path in sorted(glob.glob(os.path.join(build, pattern))):
            return path
    raise FileNotFoundError("image_pull.so is not built in %s" % build)


def run_one(path, kind, build, tls_dir, keep, *options):
    """(scenario with its placeholders replaced, result or failure text). options: pull_driver's."""
    with open(path, encoding="utf-8") as f:
        scenario = json.load(f)
    bad = unknown_form(scenario)
    if bad:
        return scenario, "of unknown form: %s" % ", ".join(bad)
    work = tempfile.mkdtemp(prefix="towline-conformance-")
    registries = Registries(scenario, tls_dir)
    try:
        blobs = scenario.pop("blobs", {})
        scenario.pop("registries")
        scenario = fake.substitute(scenario, registries.names)
        scenario["blobs"] = blobs
        scenario["names"] = registries.names
        setup = make_setup(scenario, work, tls_dir, kind, build)
        result = run_driver(build, setup, scenario, registries.log, *options)
        if isinstance(result, dict) and not options:
            complete(result, setup, registries)
        if keep:
            with open(os.path.join(keep, "%s.%s.json" % (scenario["name"], kind)), "w",
                      encoding="utf-8") as f:
                json.dump({"setup": setup, "result": result, "expected": scenario["expected"]}, f, indent=1)
        return scenario, result
    finally:
        registries.close()
        shutil.rmtree(work, ignore_errors=True)


def complete(result, setup, registries):
    """Adds what is seen from outside."""
    with open(setup["repositories"], encoding="utf-8") as f:
        result["repositories_json"] = f.read()
    result["temp_files_left"] = sum(len(files) for _, _, files in os.walk(setup["temp_dir"]))
    registries.settle()
    with registries.log.lock:
        result["requests"] = [compare.request(e) for e in registries.log.entries]


def run_all(folder, build, args, deviations, results):
    kinds = [args.kind] if args.kind else ["plain", "staging"]
    tls_dir = tempfile.mkdtemp(prefix="towline-conformance-tls-")
    make_tls.make(tls_dir)
    if args.keep:
        os.makedirs(args.keep, exist_ok=True)
    jobs = []
    for file in sorted(os.listdir(folder)):
        name = file[:-len(".json")]
        if file.endswith(".json") and (not args.only or any(fnmatch.fnmatch(name, glob) for glob in args.only)):
            jobs += [(file, kind) for kind in kinds]
    done = queue.Queue()

    def run(job):
        try:
            return run_one(os.path.join(folder, job[0]), job[1], build, tls_dir, args.keep)
        except Exception as e:               # a case that cannot be run is a failed one
            return {}, "cannot be run: %s: %s" % (type(e).__name__, e)

    again = []
    try:
        with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
            for job in jobs:
                pool.submit(lambda job=job: done.put((job, run(job))))
            for _ in jobs:
                job, outcome = done.get()
                if not judge(job, outcome, deviations, results, folder, last=args.once) and not args.once:
                    again.append(job)
        # The recordings were made on a machine that did nothing else, and some of them are of races.
        for job in again:
            if judge(job, run(job), deviations, results, folder, last=True):
                results.second("%s/%s" % (job[0][:-len(".json")], job[1]))
    finally:
        shutil.rmtree(tls_dir, ignore_errors=True)


def judge(job, outcome, deviations, results, folder, last):
    """False, and nothing said, where the case has failed and may be tried again."""
    (file, kind), (scenario, result) = job, outcome
    name = "%s/%s" % (file[:-len(".json")], kind)
    shown = {k: scenario[k] for k in ("description", "ref") if k in scenario}
    if isinstance(result, str):
        differences = [result]
    else:
        differences = compare.pull(scenario, scenario["expected"], result, CANCEL_LIMIT)
        deviation = deviations.get(("scenarios/" + file, file[:-len(".json")]))
        if differences and deviation:
            others = compare.pull_deviation(deviation, scenario, result, CANCEL_LIMIT, (folder, os.path.join(
                VECTORS, "scenarios")))
            if not others:
                results.deviate(name)
                return True
            differences += ["and not as deviations.json says:"] + others
    if not differences:
        results.pass_(name)
        return True
    if last:
        results.fail(name, differences, shown)
    return False
