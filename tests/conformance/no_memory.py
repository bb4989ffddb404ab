#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Whole pulls in which memory runs out: every call stack of the plugin that allocates fails once. The pull ends well or with an
error, nothing leaks, and the same instance then pulls as if nothing had been.

    no_memory.py [--all | SCENARIO...]"""
import os
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "integration")]
import scenarios  # noqa: E402
import tap  # noqa: E402

BUILD = os.path.abspath(os.environ.get("top_builddir", "."))
FOLDER = os.path.join(scenarios.VECTORS, "scenarios")
# Every kind of manifest, a token, an endpoint that falls back; then errors of each layer of the plugin.
NAMES = "schema1_tag identity_token errors_several".split()
MORE = """list_default success_tag success_tag_and_digest oci_index schema1_digest all_tags bearer_password blob_redirect mirror_404
digest_changed_image foreign_layer layers_exist_partly rootfs_mismatch_count list_no_match schema1_bad_parent blob_wrong_digest
config_garbage""".split()


def case(name, kind):
    def run(tls_dir):
        _, result = scenarios.run_one(os.path.join(FOLDER, name + ".json"), kind, BUILD, tls_dir, None, "--no-memory")
        assert isinstance(result, dict), result
        if "skipped" in result:
            raise tap.Skip(result["skipped"])
        assert result["stacks"] > 50, "only %d call stacks" % result["stacks"]
        print("#   %d call stacks" % result["stacks"])
    run.__doc__ = "%s, %s store" % (name, kind)
    return run


def main():
    names = NAMES + MORE if sys.argv[1:] == ["--all"] else sys.argv[1:] or NAMES
    # Each a store of another kind than its neighbours: both see most of the plugin.
    cases = [case(name, ("staging", "plain")[i % 2]) for i, name in enumerate(names)]
    with tempfile.TemporaryDirectory(prefix="no-memory-tls-") as tls_dir:
        scenarios.make_tls.make(tls_dir)
        failures = tap.run("no memory", cases, tls_dir)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
