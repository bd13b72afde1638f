"""Traces that exist already: a format's name, or ``module:function``, to its reader; files to tables."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa

from tracemill.schemas.errors import DataError, UsageError
from tracemill.schemas.plugins import resolve
from tracemill.schemas.recipe import ImportRecipe
from tracemill.schemas.records import Drop, Policy, Problem
from tracemill.tasks.imports.collect import Collector, Label
from tracemill.tasks.imports.columns import columns
from tracemill.tasks.imports.nemo import nemo
from tracemill.tasks.imports.openai import openai
from tracemill.tasks.imports.openr1 import openr1
from tracemill.tasks.imports.reasoning import reasoning
from tracemill.tasks.imports.recorded import FLAG, STAGE, Format
from tracemill.tasks.imports.rollouts import rollouts
from tracemill.tasks.imports.sharegpt import sharegpt
from tracemill.tasks.imports.steps import math_shepherd, prm800k, process_bench
from tracemill.tasks.sources import load_problems
from tracemill.tasks.sources.hub import data_files
from tracemill.tasks.sources.read import read_rows

FORMATS: Final[Mapping[str, Format]] = {
    "columns": columns,
    "math_shepherd": math_shepherd,
    "nemo": nemo,
    "openai": openai,
    "openr1": openr1,
    "prm800k": prm800k,
    "process_bench": process_bench,
    "reasoning": reasoning,
    "rollouts": rollouts,
    "sharegpt": sharegpt,
}


@dataclass(frozen=True, slots=True)
class Imported:
    """Traces with their problems and policies.

    ``rows_in`` counts recorded attempts, each of which is a trace or a drop of stage ``import``. Drops of stage ``load`` are
    about problems; those of stage ``verify`` name traces that are kept but cannot be verified (``needs_execution``,
    ``no_gold``). ``labels`` is what the data says itself; ``kinds`` counts the traces by their recorded kind.
    """

    problems: list[Problem]
    policies: list[Policy]
    traces: pa.Table
    drops: list[Drop]
    rows_in: int
    labels: list[Label]
    kinds: Mapping[str, int]
    step_labels: list[dict[str, Any]] = field(default_factory=list)  # rows of the table


def read_traces(recipe: ImportRecipe) -> Imported:
    """The traces of ``recipe.files``.

    Raises ``UsageError`` for an unknown format or a file named twice, ``DataError`` for a file that cannot be read, a
    column that is not there, or files that give no trace at all.
    """
    read: Format = resolve(recipe.format, FORMATS, noun="trace format", group="tracemill.imports")
    files = _files(recipe.files)
    collector = Collector(recipe, load_problems(recipe.problems) if recipe.problems else None)
    rows_in = 0
    for path, name in zip(files, _short(files), strict=True):
        for item in read(read_rows(path), recipe):
            rows_in += 1
            if isinstance(item, Drop):
                collector.drops.append(item)
            else:
                collector.add(item, recipe.format, name)
    traces = collector.traces()
    if not traces.num_rows:
        raise _nothing(recipe, collector.drops, rows_in)
    return Imported(
        problems=collector.finished_problems(),
        policies=list(collector.policies.values()),
        traces=traces,
        drops=collector.drops,
        rows_in=rows_in,
        labels=collector.labels,
        kinds=dict(collector.kinds),
        step_labels=collector.step_labels,
    )


def _files(named: Sequence[str]) -> list[str]:
    """The files that ``named`` stands for: folders and patterns expanded, each file once."""
    files: list[str] = []
    for pattern in named:
        path = os.path.expanduser(pattern)
        if os.path.isdir(path):
            files += data_files(path)
        else:
            files += [path] if os.path.exists(path) else sorted(glob.glob(path, recursive=True)) or [path]
    twice = [path for path, count in Counter(os.path.realpath(path) for path in files).items() if count > 1]
    if twice:
        raise UsageError("the file is named twice", where=twice[0], mend="name each file once")
    return files


def _short(files: Sequence[str]) -> list[str]:
    """The shortest endings of the paths that tell the files apart: part of the attempts' identity, machine left out."""
    parts = [os.path.abspath(path).split(os.sep) for path in files]
    for length in range(1, max(len(p) for p in parts) + 1):
        names = ["/".join(p[-length:]) for p in parts]
        if len(set(names)) == len(names):
            return names
    return list(files)


def _nothing(recipe: ImportRecipe, drops: Sequence[Drop], rows_in: int) -> DataError:
    dropped = [drop for drop in drops if drop.stage == STAGE]
    reasons = ", ".join(f"{count} {reason}" for reason, count in Counter(d.reason for d in dropped).items())
    mend = f"first: {dropped[0].detail}" if dropped else "check the files"
    if dropped and dropped[0].reason in ("empty_prompt", "unknown_problem"):
        mend += f"; set {FLAG} prompt=COLUMN, or name the problems' source and {FLAG} problem_id=COLUMN"
    return DataError(
        f"none of {rows_in} rows is a trace ({reasons or 'no rows'})",
        where=dropped[0].subject_id if dropped else recipe.files[0],
        mend=mend,
    )
