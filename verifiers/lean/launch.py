"""Sets the limits of a Lean process and becomes it: ``launch.py DIE_WITH_PARENT COMMAND...``. Imports nothing of ours."""

import os
import resource
import signal
import sys

#: Bytes that the process may write to a file: its messages on standard error.
WRITTEN = 16 << 20


def main() -> None:
    die_with_parent, *command = sys.argv[1:]
    soft, hard = resource.getrlimit(resource.RLIMIT_STACK)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_STACK, (hard, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (WRITTEN, WRITTEN))
    if sys.platform == "linux":
        import ctypes

        libc = ctypes.CDLL(None)
        pr_set_pdeathsig, pr_set_no_new_privs = 1, 38
        libc.prctl(pr_set_no_new_privs, 1, 0, 0, 0)
        if die_with_parent == "1":
            libc.prctl(pr_set_pdeathsig, signal.SIGKILL)
    os.execve(command[0], command, os.environ)


if __name__ == "__main__":
    main()
