"""Checks as somebody outside the repository writes them: good, broken and hostile. Imported in worker processes."""

import ctypes
import os
import signal
import time

from tracemill.schemas.enums import Outcome
from tracemill.verifiers.base import Judgement, Verifier

VERSION = "7"
NOT_CALLABLE = 3


def check(candidate, config):
    """Does what the response says; otherwise the response is right if it is the gold."""
    match candidate.response:
        case "loop":
            while True:
                pass
        case "sleep":
            time.sleep(3600)
        case "slow":
            time.sleep(0.01)
            return Judgement(Outcome.CORRECT, "at last", evidence={"pid": os.getpid()})
        case "deaf":  # no signal reaches Python code any more: only the parent can end this
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGPROF, signal.SIGALRM})
            while True:
                ctypes.CDLL(None).sleep(3600)
        case "swallow":
            while True:
                try:
                    while True:
                        pass
                except Exception:  # noqa: BLE001
                    pass
        case "exit":
            os._exit(3)
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "memory":
            return bool(bytearray(1 << 40))
        case "raise":
            raise ValueError("a message\ud800")
        case "systemexit":
            raise SystemExit(0)
        case "interrupt":
            raise KeyboardInterrupt
        case "print":
            print("noise on the worker's standard output")
        case "none":
            return None
        case "bool":
            return True
        case "evidence":
            return Judgement(Outcome.CORRECT, "big", evidence={"text": "x" * 100_000})
        case "no-json":
            return Judgement(Outcome.CORRECT, "odd", evidence={"object": object()})
        case "orphan":
            pid = os.fork()
            if pid == 0:
                time.sleep(3600)
            return Judgement(Outcome.CORRECT, "forked", evidence={"pid": pid})
    same = candidate.response == candidate.gold
    evidence = {"pid": os.getpid(), **({"limit": config["limit"]} if "limit" in config else {})}
    return Judgement(
        Outcome.CORRECT if same else Outcome.INCORRECT, "compared", answer=candidate.response, evidence=evidence
    )


def factory(options):
    return Verifier("made", "1", check, dict(options), time_limit=3.0)


def bad_factory(options):
    return "not a verifier"


def three(a, b, c):
    return True


READY = Verifier("ready", "2", check, {"limit": 1})
