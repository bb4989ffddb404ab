#!/usr/bin/env python3
"""What the original answered: every recorded case."""
import os
import sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import suites  # noqa: E402

suites.run("tests/conformance/run", "-v", os.path.join(suites.TOP, "tests", "vectors"))
