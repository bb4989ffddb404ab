#!/usr/bin/env python3
"""The same pulls by dockerd and by towline, where dockerd is installed and may run."""
import os
import sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import suites  # noqa: E402

suites.run("tests/integration/docker_compare", "--verbose")
