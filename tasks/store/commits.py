"""A commit: the one small file that makes a shard's rows exist.

Readers see only what a commit lists, and a commit is written last, whole, and once; so a shard is there with all its
tables or not at all. A funnel that does not add up is refused before anything is written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tracemill.schemas.errors import StoreError


@dataclass(frozen=True, slots=True)
class Funnel:
    """What went into a stage and what became of it: ``rows_in == rows_out + sum(dropped)``, or ``StoreError``."""

    stage: str
    rows_in: int
    rows_out: int
    dropped: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        lost = self.rows_in - self.rows_out - sum(self.dropped.values())
        if lost:
            raise StoreError(
                f"the funnel does not add up: {self.rows_in} in, {self.rows_out} out, dropped {dict(self.dropped)}",
                where=f"stage {self.stage}",
                mend="this is a fault of the stage, not of the data: please report it",
            )

    def document(self) -> dict[str, Any]:
        return {"stage": self.stage, "in": self.rows_in, "out": self.rows_out, "dropped": dict(self.dropped)}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Funnel:
        return cls(document["stage"], document["in"], document["out"], document["dropped"])


@dataclass(frozen=True, slots=True)
class CommittedFile:
    """One Parquet file of a shard; ``path`` is relative to the run folder, ``bytes`` its size."""

    table: str
    path: str
    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Commit:
    """A shard that is there. ``created_at`` is ISO 8601 in UTC; ``info`` is whatever its stage wants to remember, as JSON."""

    stage: str
    shard: str
    files: tuple[CommittedFile, ...]
    created_at: str
    funnel: Funnel | None = None
    info: Mapping[str, Any] = field(default_factory=dict)

    def rows(self, table: str) -> int:
        """How many rows of ``table`` the shard has."""
        return sum(file.rows for file in self.files if file.table == table)

    def to_json(self) -> bytes:
        document = {
            "stage": self.stage,
            "shard": self.shard,
            "created_at": self.created_at,
            "files": [{"table": f.table, "path": f.path, "rows": f.rows, "bytes": f.bytes} for f in self.files],
            "funnel": None if self.funnel is None else self.funnel.document(),
            "info": dict(self.info),
        }
        return json.dumps(document, ensure_ascii=False, allow_nan=False, indent=1).encode()

    @classmethod
    def from_json(cls, data: bytes, *, where: str) -> Commit:
        """Raises ``StoreError`` naming ``where`` for anything that ``to_json`` did not write."""
        try:
            document = json.loads(data)
            return cls(
                document["stage"],
                document["shard"],
                tuple(CommittedFile(f["table"], f["path"], f["rows"], f["bytes"]) for f in document["files"]),
                document["created_at"],
                None if document["funnel"] is None else Funnel.of(document["funnel"]),
                document["info"],
            )
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(f"damaged commit: {type(error).__name__} {error}", where=where) from error
