# SPDX-License-Identifier: Apache-2.0
"""What "the same" means for outputs of unit tables and for whole pulls."""
import json
import re

LIMIT = 1500


def short(value):
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)
    return text if len(text) <= LIMIT else "%s... (%d characters)" % (text[:LIMIT], len(text))


def differences(expected, got, path=""):
    """Where two JSON values differ, as lines to print."""
    if isinstance(expected, dict) and isinstance(got, dict):
        lines = []
        for key in sorted(set(expected) | set(got)):
            where = "%s.%s" % (path, key) if path else key
            if key not in got:
                lines += ["%s: expected %s, got nothing" % (where, short(expected[key]))]
            elif key not in expected:
                lines += ["%s: expected nothing, got %s" % (where, short(got[key]))]
            else:
                lines += differences(expected[key], got[key], where)
        return lines
    if type(expected) is type(got) and expected == got:
        return []
    return ["%s:" % (path or "output"), "  expected: %s" % short(expected), "  got:      %s" % short(got)]


def without_plain_types(value):
    """Errors of no special type have many Go types, which nothing in a pull looks at."""
    if isinstance(value, dict):
        value = {k: without_plain_types(v) for k, v in value.items()}
        if value.get("kind") == "other" and re.match(r"\*(errors\.(errorString|fundamental)|fmt\.)",
                                                     value.get("go_type", "")):
            del value["go_type"]
        return value
    if isinstance(value, list):
        return [without_plain_types(v) for v in value]
    return value


def unit(expected, got):
    return differences(without_plain_types(expected), without_plain_types(got))


def unit_deviation(deviation, expected, got):
    """Does what the deviation promises hold? Its "expect" replaces members of the recorded output."""
    if "expect" not in deviation:
        return ["the deviation has no \"expect\" to check"]
    return unit(deviation["expect"]["out"], got)


# ---- whole pulls

PULL_LINES = {"Pulling fs layer", "Already exists"}         # of a layer, but written by the pull itself
BYTE_LINES = {"Downloading", "Extracting"}
TRANSFER_LINE = re.compile(r"Waiting|Verifying Checksum|Download complete|Pull complete|Retrying in \d+ seconds?")
CLEANED_UP = re.compile(r"Layer sha256:[0-9a-f]{64} cleaned up")


def request(entry):
    """A line of the registry's log in the recordings' form, without what is free: Referer, what User-Agent says."""
    if "event" in entry:
        return {"event": entry["event"], "registry": entry["registry"]}
    headers = entry["headers"]
    r = {k: entry[k] for k in ("registry", "method", "path", "route", "status")}
    for key in ("query", "body"):
        if entry[key]:
            r[key] = entry[key]
    for key, name in (("accept_encoding", "accept-encoding"), ("authorization", "authorization"), ("range", "range"),
                      ("content_type", "content-type")):
        if name in headers:
            r[key] = headers[name][0] if len(headers[name]) == 1 else headers[name]
    if "accept" in headers:
        r["accept"] = sorted(headers["accept"])
    r.update((name, values) for name, values in headers.items() if name.startswith("x-meta-"))
    r["user_agent_sent"] = "user-agent" in headers
    return r


def request_runs(requests, order):
    """[[request, how often in a row]]: how often one try repeats its GET is free."""
    requests = [{k: v for k, v in r.items() if k != "referer"} for r in requests]
    if order == "sorted":
        requests = sorted(requests, key=lambda r: (r["registry"], r.get("path", "")))
    runs = []
    for r in requests:
        if runs and runs[-1][0] == r:
            runs[-1][1] += 1
        else:
            runs.append([r, 1])
    return runs


def describe(r):
    text = "%s %s" % (r["registry"], r.get("event") or "%s %s" % (r["method"], r["path"]))
    more = {k: v for k, v in r.items() if k not in ("registry", "event", "method", "path", "accept", "user_agent_sent")}
    return text + (" " + json.dumps(more, sort_keys=True) if more else "")


def compare_requests(expected, got):
    order = expected["requests_order"]
    want, have = request_runs(expected["requests"], order), request_runs(got["requests"], order)
    same = len(want) == len(have)
    for (w, n), (h, m) in zip(want, have):
        least = n if "event" in w else (n + 1) // 2
        same = same and w == h and least <= m <= n
    if same:
        return []
    lines = ["requests (%s):" % order]
    for name, runs in (("expected", want), ("got", have)):
        lines += ["  %-9s %d x %s" % (name, n, describe(r)) for r, n in runs]
    for (w, _), (h, _) in zip(want, have):
        if w != h:
            return lines + ["  first difference: %s" % "; ".join(differences(w, h))]
    return lines


def split_progress(lines):
    """progress, layer_progress and layer_byte_progress of the lines a client sees."""
    own, layers, counts, bad = [], {}, {}, []
    for line in lines:
        if not line.endswith("\r\n"):
            bad.append("a progress line without CR LF: %s" % short(line))
        line = line.rstrip("\r\n")
        value = json.loads(line)
        status = value.get("status", "")
        if "progressDetail" not in value or status in PULL_LINES:
            own.append(line)
        elif status in BYTE_LINES:
            counts.setdefault(value["id"], set()).add(status)
        else:
            layers.setdefault(value["id"], []).append(line)
    return own, layers, counts, bad


EPHEMERAL = re.compile(r"(read|write) tcp ([\d.]+|\[[^]]*\]):\d+->")


def without_ports(value):
    """The client's own port is another one each time."""
    return json.loads(EPHEMERAL.sub(r"\1 tcp \2:{{EPHEMERAL}}->", json.dumps(value)))


def is_subsequence(part, whole):
    rest = iter(whole)
    return all(any(x == y for y in rest) for x in part)


def layer_fits(want, have, varied):
    if want == have:
        return True
    unknown = [x for x in have if x not in want and not TRANSFER_LINE.fullmatch(json.loads(x)["status"])]
    if unknown:
        return False
    if varied:
        # Runs differed: what both have is in the same order.
        if is_subsequence(have, want):
            return True
        common = set(want) & set(have)
        return (is_subsequence(want, have) or is_subsequence(have, want)
                or [x for x in want if x in common] == [x for x in have if x in common])
    # The original may have dropped any line but the last.
    return bool(have) and bool(want) and want[-1] == have[-1] and is_subsequence(want, have)


def compare_progress(expected, got):
    own, layers, counts, lines = split_progress(got["progress"])
    if own != expected["progress"]:
        lines += differences(expected["progress"], own, "progress")
    for layer in sorted(set(layers) | set(expected["layer_progress"])):
        want, have = expected["layer_progress"].get(layer, []), layers.get(layer, [])
        if not layer_fits(want, have, layer in expected["layer_progress_varied"]):
            lines += differences(want, have, "layer_progress.%s" % layer)
    for layer, names in counts.items():
        if layer not in {json.loads(line).get("id") for line in own}:
            lines.append("byte counts %s of %s, which was never pulled" % (sorted(names), layer))
    return lines


def compare_logs(expected, got):
    sometimes = [json.dumps(x, sort_keys=True) for x in expected.get("logs_sometimes", [])]

    def kept(logs):
        lines = [x for x in logs if not CLEANED_UP.fullmatch(x["msg"])
                 and json.dumps(x, sort_keys=True) not in sometimes]
        return sorted(lines, key=lambda x: (x["level"], x["msg"])) if expected["logs_order"] == "sorted" else lines
    return differences(kept(expected["logs"]), kept(got["logs"]), "logs")


def compare_images(expected, got):
    lines = differences(sorted(expected["images"]), sorted(got["images"]), "images")
    for image, config in (expected.get("image_configs") or {}).items():
        lines += differences(config, got["image_configs"].get(image), "image_configs.%s" % image)
    return lines


def compare_layers(expected, got):
    if expected.get("layers") is None:
        return []
    return differences(sorted(expected["layers"]), sorted(got["layers"]), "layers")


def compare_metadata(expected, got):
    return differences(expected["metadata"], got["metadata"], "metadata") if "metadata" in expected else []


def compare_member(name):
    return lambda expected, got: differences(expected[name], got[name], name)


COMPARISONS = {
    "error": compare_member("error"), "progress": compare_progress, "logs": compare_logs,
    "requests": compare_requests, "refstore_calls": compare_member("refstore_calls"),
    "repositories_json": compare_member("repositories_json"), "events": compare_member("events"), "images": compare_images,
    "layers": compare_layers, "metadata": compare_metadata, "temp_files_left": compare_member("temp_files_left"),
}


def check_engine(scenario, got, cancel_limit):
    """What holds for every pull, recorded or not."""
    lines = ["violation of the ABI: %s" % v for v in got["violations"]]
    for what in ("holds", "handles"):
        if got[what]:
            lines.append("%d %s of the layer store were not given back" % (got[what], what))
    if got.get("seconds_after_cancel", 0) > cancel_limit:
        lines.append("the pull ended %.2f s after its cancel" % got["seconds_after_cancel"])
    if got["error"] and scenario.get("cancel") and not got["error_info"]["cancelled"]:
        lines.append("the error of a cancelled pull does not say that it was cancelled")
    if got["error"] and not scenario.get("cancel") and got["error_info"]["cancelled"]:
        lines.append("the error says that the pull was cancelled")
    lines += ["events->pulled names %s, which the image store has not" % p["image_id"]
              for p in got["pulled"] if p["image_id"] not in got["images"]]
    return lines


def pull(scenario, expected, got, cancel_limit, ignore=()):
    unknown = set(expected) - set(COMPARISONS) - {"debug_logs", "image_configs", "layer_byte_progress", "layer_progress",
                                                  "layer_progress_varied", "logs_order", "logs_sometimes",
                                                  "requests_order"}
    got = without_ports(got)
    lines = ["expected.%s is of no known form" % k for k in sorted(unknown)]
    for name, comparison in COMPARISONS.items():
        if name not in ignore:
            lines += comparison(expected, got)
    return lines + check_engine(scenario, got, cancel_limit)


def load_expected(name, folders):
    for folder in folders:
        try:
            with open("%s/%s.json" % (folder, name), encoding="utf-8") as f:
                return json.load(f)["expected"]
        except FileNotFoundError:
            pass
    raise FileNotFoundError(name)


def replace_all(value, names):
    text = json.dumps(value)
    for old, new in names.items():
        text = text.replace(json.dumps(old)[1:-1], json.dumps(new)[1:-1])
    return json.loads(text)


def check_loose(alternative, got):
    lines = []
    if "error_message" in alternative:
        error = got["error"] or {"message": "", "class": ""}
        if not re.fullmatch(alternative["error_message"], error["message"]):
            lines.append("error.message %r does not match %r" % (error["message"], alternative["error_message"]))
        if error["class"] != alternative["error_class"]:
            lines.append("error.class is %s" % error["class"])
    if "progress_without" in alternative:
        lines += ["progress: %s" % line for line in got["progress"] if alternative["progress_without"] in line]
    if "requests_without" in alternative:
        lines += ["request: %s" % r["path"] for r in got["requests"]
                  if r.get("path", "").endswith(alternative["requests_without"])]
    return lines


def pull_deviation(deviation, scenario, got, cancel_limit, folders):
    """[] if one of the deviation's alternatives holds. An alternative is what was recorded, for this scenario or the
    one that "like" names, after "replace" of texts and "set" of members; "ignore" names what is not compared, and
    "error_message" is a regular expression that the message must match, "error_class" its class; no progress line holds
    "progress_without", no request's path ends with "requests_without"."""
    if "expect" not in deviation:
        return ["the deviation has no \"expect\" to check"]
    lines = []
    for i, alternative in enumerate(deviation["expect"]["any_of"]):
        expected = scenario["expected"]
        if "like" in alternative:
            expected = load_expected(alternative["like"], folders)
        expected = replace_all(expected, alternative.get("replace", {}))
        expected = dict(expected, **alternative.get("set", {}))
        expected = replace_all(expected, scenario["names"])
        found = pull(scenario, expected, got, cancel_limit, alternative.get("ignore", ()))
        found += check_loose(alternative, got)
        if not found:
            return []
        lines += ["alternative %d:" % (i + 1)] + ["  " + line for line in found]
    return lines
