#!/usr/bin/env python3
"""What the original answered, with layers decoded by the confined unpacker: the pulls whose blobs matter. All of them:
tests/conformance/run tests/vectors --kind encoded"""
import os
import sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import suites  # noqa: E402

ONLY = "blob_[2crtuw]* cancel_mid_layer* duplicate_layers* gzip_* layer_* rootfs_mismatch* success_tag tar_* uncompressed_layer".split()
suites.run("tests/conformance/run", "-v", "--kind", "encoded", *[word for glob in ONLY for word in ("--only", glob)],
           os.path.join(suites.TOP, "tests", "vectors"))
