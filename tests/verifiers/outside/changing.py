"""A verifier of somebody else's that changes its mind, and one that fails and then does not."""

from tracemill.schemas.enums import Outcome
from tracemill.verifiers.base import Judgement, Verifier


def check(candidate, config):
    """Says ``flip`` is right every other time, ``mends`` fails the first time: the file ``state`` remembers."""
    with open(config["state"], "a+") as file:
        file.write(candidate.response[:1])
        file.seek(0)
        times = file.read().count(candidate.response[:1])
    if candidate.response == "mends" and times == 1:
        return Judgement(Outcome.ERROR, "the sandbox was busy")
    if candidate.response.lower() == "flip":
        return Judgement(Outcome.CORRECT if times % 2 else Outcome.INCORRECT, f"time {times}")
    return Judgement(Outcome.CORRECT, "steady")


def verifier(options):
    return Verifier("changing", "1", check, dict(options))
