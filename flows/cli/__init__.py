"""The command line: one file per command. Data goes to stdout, everything else to stderr."""

import sys


def main() -> None:
    """Run the command and exit with its code; Ctrl-C while its modules are still being read is no traceback either."""
    try:
        from tracemill.flows.cli import app
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    app.main()
