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
