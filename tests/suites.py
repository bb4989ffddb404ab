"""The runners as tests of `make check`: their lines become TAP, one for each case. suites.run(runner, argument...)"""
import os
import re
import subprocess
import sys

TOP = os.environ.get("top_srcdir") or os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LINE = re.compile(r"^(ok|PASS|FAIL|SKIP)\s+(\S+?):?(\s.*|)$")


def run(runner, *args):
    env = dict(os.environ, TOWLINE_BUILD=os.environ.get("top_builddir") or os.getcwd(), PYTHONDONTWRITEBYTECODE="1")
    command = [sys.executable, os.path.join(TOP, runner), *args]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                          env=env) as child:
        count = 0
        for line in child.stdout:
            found = LINE.match(line)
            if not found:
                print("# " + line.rstrip())
                continue
            count += 1
            word, name, rest = found.groups()
            print("%s %d - %s%s" % ("not ok" if word == "FAIL" else "ok", count, name,
                                    " # SKIP" + rest if word == "SKIP" else ""), flush=True)
    print("1..%d" % count)
    sys.exit(77 if child.returncode == 77 else 1 if child.returncode or not count else 0)
