#!/usr/bin/env python3
"""Hostile images and registries: every case that does not take minutes."""
import os
import sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import suites  # noqa: E402

suites.run("tests/adversarial/run", "--verbose", "--bomb-mb", "64", os.path.join(suites.TOP, "tests", "adversarial"))
