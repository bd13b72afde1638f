"""Stages that are built anew from all that is committed: of those only the newest whole build counts.

A build is one or more commits whose shards are named ``<place>-<build>`` or ``<place>-<build>-<part>``, in the order in which
they were begun; its last commit says ``{"last": true}`` where it has several. A build that was killed never counts,
and the next start of the same build goes on with its missing parts.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tracemill.tasks.store.commits import Commit

MINE: Final = "mine"
VIEWS: Final = "views"
BUILT: Final = (MINE, VIEWS)

_PLACE: Final = 6


def counted(commits: Iterable[Commit]) -> list[Commit]:
    """``commits`` without those of older and unfinished builds, in their order."""
    commits = list(commits)
    newest = {stage: _newest(commit for commit in commits if commit.stage == stage) for stage in BUILT}
    return [c for c in commits if c.stage not in BUILT or build_of(c) == newest[c.stage]]


def build_of(commit: Commit) -> tuple[int, str]:
    """(place, build) of a commit of a built stage."""
    place, _, rest = commit.shard.partition("-")
    return int(place), rest.partition("-")[0]


def shard_of(place: int, build: str, part: int | None = None) -> str:
    """The shard's name; ``build`` is an id whose kind is left out."""
    stem = f"{place:0{_PLACE}d}-{build.rpartition('_')[2]}"
    return stem if part is None else f"{stem}-{part:05d}"


def _newest(commits: Iterable[Commit]) -> tuple[int, str] | None:
    whole = {build_of(commit) for commit in commits if commit.info.get("last", True)}
    return max(whole, default=None)
