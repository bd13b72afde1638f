"""miniF2F in Lean 4: a theorem without its proof, and the header (imports, options, open namespaces) that it needs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from tracemill.schemas.recipe import SourceSpec
from tracemill.schemas.records import Drop, Problem
from tracemill.tasks.sources.columns import CellError, cell_text, split_of
from tracemill.tasks.sources.hub import split_in_name
from tracemill.tasks.sources.mapped import need_text, own_id, shape
from tracemill.tasks.sources.read import Row

_THEOREM: Final = re.compile(r"^(?:theorem|lemma)\s", re.MULTILINE)
_BODY: Final = re.compile(r"\s*:=(?:\s*by)?(?:\s*sorry)?\s*\Z")


def minif2f(spec: SourceSpec) -> Iterator[Problem | Drop]:
    """Problems of miniF2F, whole files (``lean``) or with ``header`` and ``formal_statement`` apart."""
    return shape(spec, _problem, "cat-searcher/minif2f-lean4")


def statement_of(lean: str) -> tuple[str, str]:
    """``(header, statement)`` of a file that ends with one theorem; the statement goes without ``:= by sorry``."""
    found = list(_THEOREM.finditer(lean))
    if not found:
        raise CellError("no line begins with 'theorem' or 'lemma'")
    start = found[-1].start()
    return lean[:start].strip(), _BODY.sub("", lean[start:])


def _problem(row: Row, spec: SourceSpec) -> Problem:
    lean = need_text(row, "lean", "formal_statement")
    header, statement = statement_of(lean)
    header = (cell_text(row.values.get("header"), "header") or "").strip() or header
    informal = cell_text(row.values.get("informal_stmt", row.values.get("informal_prefix")), "informal_stmt")
    code = f"```lean\n{header}\n\n{statement} := by\n  sorry\n```"
    return Problem(
        prompt="\n\n".join(part for part in ((informal or "").strip(), code) if part),
        verifier=spec.verifier or "lean",
        source="minif2f",
        spec={"statement": statement, "header": header},
        domain=spec.domain or "lean",
        source_row=own_id(row, "name", "id"),
        licence=spec.licence or "Apache-2.0",
        split=split_of(row.split or cell_text(row.values.get("split"), "split") or split_in_name(row.path)),
    )
