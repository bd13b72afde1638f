"""The command line: one file per command. Data goes to stdout, everything else to stderr."""

from tracemill.flows.cli.app import main

__all__ = ["main"]
