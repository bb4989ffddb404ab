"""Cases that print TAP. A case is a function that passes by returning; it may raise Skip(why). A test program ends with

    tap.needs("skopeo", built=(PROGRAM,), root="needs root")    # or all of it is skipped
    tap.main("name", CASES, Site)                               # the fixture: Site(a new folder), maybe with close()
"""
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback


class Skip(Exception):
    """The case cannot be run here: the text says why."""


def check(condition, what="failed"):
    if not condition:
        raise AssertionError(str(what))


def tell():
    """The exception at hand, as a comment."""
    print("\n".join("# " + line for line in traceback.format_exc().rstrip().split("\n")), flush=True)


def run(prefix, cases, *fixture):
    """Runs each case with the fixture. Returns the number of failures."""
    # Whoever started the tests may ignore these, as nohup and a script's & do, and programs inherit that.
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    failures = 0
    print("1..%d" % len(cases), flush=True)
    for n, case in enumerate(cases, 1):
        name = "%s: %s" % (prefix, (case.__doc__ or case.__name__).split("\n")[0])
        begin = time.monotonic()
        try:
            case(*fixture)
        except Skip as why:
            print("ok %d - %s # SKIP %s" % (n, name, why), flush=True)
        except Exception:  # whatever it is, it is this case's failure, and the others go on
            failures += 1
            print("not ok %d - %s" % (n, name))
            tell()
        else:
            print("ok %d - %s" % (n, name))
            print("#   %.1f s" % (time.monotonic() - begin), flush=True)
    return failures


def skip_all(why):
    """Automake's way to say that a whole test was skipped."""
    print("1..0 # SKIP " + why)
    sys.exit(77)


def needs(*programs, built=(), root=None, sanitizers=None):
    """Skips all where a program is not installed or a file not built; as another user and with sanitizers if those say why."""
    missing = [p for p in programs if not shutil.which(p)]
    if missing:
        skip_all("not installed: " + ", ".join(missing))
    missing = [os.path.basename(p) for p in built if not os.path.exists(p)]
    if missing:
        skip_all("not built: " + ", ".join(missing))
    if sanitizers and os.environ.get("SANITIZERS"):
        skip_all(sanitizers)
    if root and os.geteuid() != 0:
        skip_all(root)


def unshare(*spaces):
    """Goes on in namespaces of its own, as unshare(1) names them: the program begins anew there, once."""
    if sys.argv[1:2] == ["--inside"]:
        del sys.argv[1]
    else:
        os.execvp("unshare", ["unshare", *spaces, sys.executable, os.path.abspath(sys.argv[0]), "--inside", *sys.argv[1:]])


def main(prefix, cases, make, within=None):
    """Runs the cases, or those that the command line names, with make(a new folder within that one); exits."""
    names = [name for name in sys.argv[1:] if not name.startswith("-")]
    work = tempfile.mkdtemp(prefix="towline-%s-" % prefix, dir=within)
    os.chmod(work, 0o711)
    site, failures = None, 1
    try:
        try:
            site = make(work)
        except Exception:  # as a case's, and there is nothing to go on with
            print("1..1\nnot ok 1 - %s: what it needs comes up" % prefix)
            tell()
        else:
            failures = run(prefix, [case for case in cases if not names or case.__name__ in names], site)
    finally:
        if hasattr(site, "close"):
            site.close()
        subprocess.run(["rm", "-rf", "--one-file-system", work], check=False)
    sys.exit(1 if failures else 0)
