"""A program over standard input and output: run as the main module, ended as the interpreter would end it."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import traceback
from types import ModuleType

from tracemill.verifiers.code.inside.candidate import compiled
from tracemill.verifiers.code.inside.line import Line


def run(line: Line) -> None:
    """Run the program of the first message; never returns. The exit status is the program's."""
    message = line.receive()
    os.close(line.fd)
    main = ModuleType("__main__")
    sys.modules["__main__"] = main
    sys.argv = ["solution.py"]
    status = 0
    try:
        exec(compiled(message["programs"]), main.__dict__)  # noqa: S102
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    # The program's own failure: said on its standard error, as the interpreter does.
    except BaseException:  # noqa: BLE001
        status = 1
        traceback.print_exc(limit=5)
    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:  # noqa: BLE001
        status = status or 1
    os._exit(status & 0xFF)
