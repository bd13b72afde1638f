"""A verifier of somebody else's that accepts one of its own known-bad candidates, or refuses a known-good one, as told."""

from tracemill.schemas.enums import Outcome
from tracemill.verifiers.base import Candidate, Judgement, Verifier
from tracemill.verifiers.canaries.base import suite_of

VERSION = "3"


def check(candidate, config):
    if candidate.response == "hard" and config.get("refuses"):
        return Judgement(Outcome.ERROR, "no toolchain")
    if candidate.response == "trick" and config.get("accepts"):
        return Judgement(Outcome.CORRECT, "fooled")
    return Judgement(Outcome.CORRECT if candidate.response in ("good", "hard") else Outcome.INCORRECT, "read")


def canaries():
    good = [Candidate("plain", "good"), Candidate("demanding", "hard")]
    return suite_of(good, [Candidate("a trick", "trick"), Candidate("plainly bad", "bad")])


def verifier(options):
    return Verifier("gullible", VERSION, check, dict(options))
