"""Cases that print TAP: tap.run(prefix, functions). A function passes by returning; it may raise Skip(why)."""
import signal
import sys
import time
import traceback


class Skip(Exception):
    """The case cannot be run here: the text says why."""


def check(condition, what="failed"):
    if not condition:
        raise AssertionError(str(what))


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
            print("\n".join("# " + line for line in traceback.format_exc().rstrip().split("\n")), flush=True)
        else:
            print("ok %d - %s" % (n, name))
            print("#   %.1f s" % (time.monotonic() - begin), flush=True)
    return failures


def skip_all(why):
    """Automake's way to say that a whole test was skipped."""
    print("1..0 # SKIP " + why)
    sys.exit(77)
