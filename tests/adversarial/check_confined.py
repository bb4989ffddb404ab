#!/usr/bin/env python3
"""Hostile layers, with the confined unpacker. All cases: tests/adversarial/run --confine tests/adversarial"""
import os
import sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import suites  # noqa: E402

CASES = """checksum-bad duplicates gzip-* hardlink-* layer-bit-flip layer-digest-wrong name-* pax-* plain-named-gzip size-* sparse-bomb
symlink-two-hops tar-* type-unknown whiteout-* xattr-huge xz-layer zstd-*""".split()
suites.run("tests/adversarial/run", "--confine", "--verbose", "--bomb-mb", "64", os.path.join(suites.TOP, "tests", "adversarial"), *CASES)
