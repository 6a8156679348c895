"""Faults a user can mend, told in one sentence."""

import sys


class UserError(Exception):
    """A fault in what the user gave us; its text is the one sentence the user sees."""


def run(main):
    """Call `main()` as a program: a `UserError` becomes one line on stderr and exit status 1."""
    from agorabench.cluster import locks

    locks.hold_job_lock()
    try:
        sys.exit(main())
    except UserError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("error: interrupted; the same command goes on from where it was")
