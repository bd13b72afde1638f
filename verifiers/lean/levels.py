"""How far a proof was checked: the ladder of levels that every Lean verdict records."""

from __future__ import annotations

from enum import StrEnum


class ProofLevel(StrEnum):
    """From weakest to strongest; each includes those before it."""

    NONE = "none"
    #: elaborates without an error
    COMPILES = "compiles"
    #: and uses no axiom outside the allow-list, ``sorry`` included
    AXIOMS = "axioms"
    #: and its elaborated type, universe parameters and kind are the given statement's
    PINNED = "pinned"
    #: and the kernel accepts every declaration again, on top of a clean header, in the process that elaborated it
    REPLAY_SAME_PROCESS = "replay_same_process"
    #: and in another process, which reads declarations and never the submission
    REPLAY_FRESH_PROCESS = "replay_fresh_process"
    #: and another checker accepts them too
    SECOND_CHECKER = "second_checker"

    @property
    def rank(self) -> int:
        return list(ProofLevel).index(self)

    def reaches(self, wanted: ProofLevel) -> bool:
        """Whether this level is ``wanted`` or above."""
        return self.rank >= wanted.rank
