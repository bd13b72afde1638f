"""The closed vocabularies of the tables. Stored as strings."""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """What a verifier found. Only ``ERROR`` is ours; every other outcome was caused by the candidate."""

    CORRECT = "correct"
    INCORRECT = "incorrect"
    UNPARSED = "unparsed"
    TIMEOUT = "timeout"
    MEMORY = "memory"
    OUTPUT_LIMIT = "output_limit"
    ERROR = "error"


class Level(StrEnum):
    """How far a verdict can be trusted: by rule, by vote, or by a learned opinion."""

    RULE = "rule"
    PSEUDO = "pseudo"
    LEARNED = "learned"


class TraceKind(StrEnum):
    """How an attempt came to be."""

    SAMPLE = "sample"
    RATIONALISED = "rationalised"
    REVISION = "revision"
    ROLLOUT = "rollout"
    SPLICED = "spliced"
    IMPORTED = "imported"


class FinishReason(StrEnum):
    """Why generation ended; ``UNKNOWN`` for imported traces that do not say."""

    STOP = "stop"
    LENGTH = "length"
    ABORT = "abort"
    ERROR = "error"
    UNKNOWN = "unknown"


class Split(StrEnum):
    """A problem's part in training; ``TEST`` is a benchmark's held-out split and never enters a training view."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


class TreeStatus(StrEnum):
    """Why a search ended. ``TIME_CUT`` depends on the clock, so such a tree is outside the promise of equal trees."""

    SOLVED = "solved"
    EXHAUSTED = "exhausted"
    FINISHED = "finished"  # all the iterations that were asked for
    NODE_BUDGET = "node_budget"
    TOKEN_BUDGET = "token_budget"
    CALL_BUDGET = "call_budget"  # tactics that were tried
    TIME_CUT = "time_cut"


class NodeStatus(StrEnum):
    """What became of a node. ``REJECTED`` ones were cut as they were generated and never entered the search."""

    OPEN = "open"
    EXPANDED = "expanded"
    GOAL = "goal"
    DEAD = "dead"
    PRUNED = "pruned"
    REJECTED = "rejected"


class SegmentKind(StrEnum):
    """What a part of a stream is."""

    SETUP = "setup"
    EXPLORE_OK = "explore_ok"
    EXPLORE_BAD = "explore_bad"
    MARKER = "marker"
    BACKTRACK = "backtrack"
    VERIFY = "verify"
    FINAL = "final"
