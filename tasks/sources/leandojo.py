"""LeanDojo's benchmark: theorems of a repository with the tactics that people wrote and the states between them.

A row has ``url``, ``commit``, ``file_path``, ``full_name``, ``start`` and ``end`` (line and column, from 1) and ``traced_tactics``
(``tactic``, ``state_before``, ``state_after``). It has no statement: that is read from the repository's file, so ``options: {repo: FOLDER}``
names a checkout at that commit. The header is what stands before the theorem in its file. Where a tracer put ``theorem_statement`` into the row, that is taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from tracemill.schemas.errors import DataError
from tracemill.schemas.recipe import SourceSpec
from tracemill.schemas.records import Drop, Problem
from tracemill.tasks.sources.columns import CellError, cell_text, split_of
from tracemill.tasks.sources.hub import split_in_name
from tracemill.tasks.sources.mapped import need, need_text, shape
from tracemill.tasks.sources.read import Row
from tracemill.verifiers.lean.snippet import snippet_of


def leandojo(spec: SourceSpec) -> Iterator[Problem | Drop]:
    """Problems of a LeanDojo benchmark file; a theorem that was not proved by tactics has none."""
    return shape(spec, _problem, "lean-dojo/benchmark")


def human_tactics(row: Mapping[str, Any]) -> list[dict[str, str]]:
    """The tactics of a row in order, each with the goals before and after it (``no goals`` at the end)."""
    traced = row.get("traced_tactics") or []
    if not isinstance(traced, list) or not all(isinstance(step, dict) for step in traced):
        raise CellError("traced_tactics is not a list of objects")
    names = ("tactic", "state_before", "state_after")
    return [{name: str(step.get(name, "")) for name in names} for step in traced]


def _problem(row: Row, spec: SourceSpec) -> Problem | Drop:
    path, name = need_text(row, "file_path"), need_text(row, "full_name")
    tactics = human_tactics(row.values)
    statement, header, proof = _stated(row, spec, path)
    if statement is None:
        return Drop(
            row.name, "load", "no_statement", f"{name}: the row has no statement; name a checkout in options.repo"
        )
    goal = tactics[0]["state_before"] if tactics else ""
    code = f"```lean\n{statement} := by\n  sorry\n```"
    source = f"{need_text(row, 'url')}@{need_text(row, 'commit')}:{path}:{name}"
    return Problem(
        prompt="\n\n".join(filter(None, (code, goal and f"Goal:\n{goal}"))),
        verifier=spec.verifier or "lean",
        source="leandojo",
        spec={"statement": statement, "header": header, "full_name": name, "human_tactics": tactics},
        domain=spec.domain or "lean",
        source_row=source,
        licence=spec.licence,
        reference_solution=proof or ("by\n  " + "\n  ".join(step["tactic"] for step in tactics) if tactics else None),
        split=split_of(row.split or cell_text(row.values.get("split"), "split") or split_in_name(row.path)),
    )


def _stated(row: Row, spec: SourceSpec, path: str) -> tuple[str | None, str, str | None]:
    """(statement, header, proof as written) of the row's theorem."""
    repo = spec.options.get("repo")
    given = cell_text(row.values.get("theorem_statement"), "theorem_statement")
    if repo is None:
        return given, cell_text(row.values.get("header"), "header") or "", None
    lines = _lines(str(Path(str(repo)) / path))
    first, last = (int(need(row, end)[0]) for end in ("start", "end"))
    if not 1 <= first <= last <= len(lines):
        raise CellError(f"{path} has {len(lines)} lines, and the theorem is in {first} to {last}: another commit?")
    snippet = snippet_of("\n".join(lines[first - 1 : last]))
    if snippet is None:
        raise CellError(f"lines {first} to {last} of {path} are not one theorem: another commit?")
    before = "\n".join((*lines[: first - 1], snippet.header)).strip()
    return snippet.statement, before, snippet.proof


@lru_cache(maxsize=16)
def _lines(path: str) -> tuple[str, ...]:
    try:
        return tuple(Path(path).read_text(encoding="utf-8").split("\n"))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"cannot be read: {error}", where=path, mend="check out the commit that the rows name"
        ) from error
