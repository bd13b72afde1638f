"""Building the views of a run from its committed tables.

What must stay true: the files in ``views/`` and the newest commit of stage ``views`` are of one build, whose commit holds
the drops and funnels of every view, so readers count the drops of that commit alone; building again without a change
does nothing; a build that is killed leaves the old files or the new, and the next build mends the rest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from tracemill.schemas import ids
from tracemill.schemas.enums import Split
from tracemill.schemas.recipe import ViewsSpec
from tracemill.tasks.provenance import STAGE as INVOCATION
from tracemill.tasks.queries import connect
from tracemill.tasks.reporting.listener import Listener
from tracemill.tasks.store import Commit, Funnel, RunStore
from tracemill.tasks.store.builds import MINE, VIEWS, counted, shard_of
from tracemill.tasks.tokenizer import Tokenizer
from tracemill.tasks.views import learning, rl, rows, streams, tokenized
from tracemill.tasks.views.select import TRACE_VIEWS, DropRows, Selection, select, trace_batches
from tracemill.tasks.views.write import Generation, built

STAGE: Final = VIEWS

SPLICES: Final = "splices"

#: Of the rules in this package; a build by other rules is another build.
VERSION: Final = 2


def build_views(run: RunStore, spec: ViewsSpec, listener: Listener | None = None) -> list[Funnel]:
    """Write the views that ``spec`` names and commit why each other row is in none; returns a funnel per view.

    Rows of ``sft``, ``all`` and ``unverified_mix`` are traces, those of ``rl`` problems, those of ``streams`` streams. Raises ``UsageError`` for a
    tokenizer that cannot be used, before anything is written.
    """
    tokenizer = tokenized.tokenizer_of(spec.tokenizer) if spec.tokenizer is not None else None
    build = _build_id(run, spec, tokenizer)
    mined = _mined(run, spec)
    views = _schemas(spec, tokenizer, mined)
    builds = _builds(run)
    committed = builds[-1] if builds and builds[-1].info.get("build") == build else None
    if committed is not None and built(run.path, build, views):
        return [Funnel.of(document) for document in committed.info["funnels"]]
    with Generation(run.path, build, {view: (schema, _splits(spec)) for view, schema in views.items()}) as generation:
        drops, funnels = _write(run, spec, tokenizer, generation, listener, mined)
        generation.close()
        if committed is None:
            documents = [funnel.document() for funnel in funnels]
            run.commit(
                STAGE, shard_of(len(builds), build), {"drops": drops}, info={"build": build, "funnels": documents}
            )
        generation.swap()
    return funnels


def current_drops_files(run: RunStore) -> list[str]:
    """Paths, relative to the run, of the committed files of ``drops``, of the views' builds only the newest."""
    return [file.path for commit in counted(run.commits()) for file in commit.files if file.table == "drops"]


def _builds(run: RunStore) -> list[Commit]:
    """The builds of the views, oldest first; a shard's name begins with its place."""
    return sorted(run.commits(STAGE), key=lambda commit: commit.shard)


def _build_id(run: RunStore, spec: ViewsSpec, tokenizer: Tokenizer | None) -> str:
    read = [
        [commit.stage, commit.shard] for commit in counted(run.commits()) if commit.stage not in (STAGE, INVOCATION)
    ]
    template = None if tokenizer is None else tokenizer.template_hash
    return ids.digest("views", VERSION, spec.model_dump(mode="json"), template, sorted(read))


def _mined(run: RunStore, spec: ViewsSpec) -> list[str]:
    """The views of what was mined, where anything was."""
    return list(spec.mined) if any(commit.stage == MINE for commit in counted(run.commits())) else []


def _schemas(spec: ViewsSpec, tokenizer: Tokenizer | None, mined: list[str]) -> dict[str, pa.Schema]:
    own = {rl.VIEW: rl.SCHEMA, streams.VIEW: streams.SCHEMA}
    schemas: dict[str, pa.Schema] = {view: own.get(view, rows.SCHEMA) for view in spec.names}
    schemas |= {view: learning.SCHEMAS[view] for view in mined}
    if tokenizer is not None:
        metadata = {
            b"tracemill.tokenizer": tokenizer.name.encode(),
            b"tracemill.template_hash": (tokenizer.template_hash or "").encode(),
        }
        for view in TRACE_VIEWS:
            if view in schemas:
                schemas[view + tokenized.SUFFIX] = tokenized.SCHEMA.with_metadata(metadata)
        if streams.VIEW in schemas:
            schemas[streams.VIEW + tokenized.SUFFIX] = streams.TOKENIZED.with_metadata(metadata)
        if SPLICES in schemas:
            schemas[SPLICES + tokenized.SUFFIX] = tokenized.SPLICED.with_metadata(metadata)
    return schemas


def _splits(spec: ViewsSpec) -> list[str]:
    """The splits that every view has, rows or none."""
    names = [Split.TRAIN.value]
    if spec.validation > 0:
        names.append(Split.VALIDATION.value)
    return [*names, Split.TEST.value] if spec.include_test else names


def _write(
    run: RunStore,
    spec: ViewsSpec,
    tokenizer: Tokenizer | None,
    generation: Generation,
    listener: Listener | None,
    mined: list[str],
) -> tuple[pa.Table, list[Funnel]]:
    wanted = [view for view in TRACE_VIEWS if view in spec.names]
    with connect([run]) as connection:
        prompts = rows.Prompts(run)
        selection = select(run, connection, spec, wanted, prompts.incomplete)
        made = rows.Rows(prompts, selection.facts)
        drops, funnels = [selection.drops], list(selection.funnels)
        if rl.VIEW in spec.names:
            table, dropped, funnel = rl.rl_rows(connection, spec, prompts)
            drops.append(dropped)
            funnels.append(funnel)
            no_reason = pa.nulls(table.num_rows, pa.string())
            for split, part in rows.in_view(table, no_reason).items():
                generation.add(rl.VIEW, split, part)
        if streams.VIEW in spec.names:
            told = streams.Streams(connection, spec, prompts, tokenizer)
            for batch in told.batches():
                for split, part in rows.in_view(batch.rows, pa.nulls(batch.rows.num_rows, pa.string())).items():
                    generation.add(streams.VIEW, split, part)
                for split, part in batch.tokens:
                    generation.add(streams.VIEW + tokenized.SUFFIX, split, part)
            drops.append(told.drops.table())
            funnels += told.funnels()
        for view in mined:
            funnels += _write_mined(connection, view, spec, prompts, tokenizer, generation)
    if wanted:
        refused = _write_traces(run, made, selection, tokenizer, generation, listener)
        drops.append(refused.table())
        if tokenizer is not None:
            lost = Counter(refused.stage)
            for funnel in selection.funnels:
                stage = funnel.stage + tokenized.SUFFIX
                dropped_rows = {tokenized.REFUSED: lost[stage]} if lost[stage] else {}
                funnels.append(Funnel(stage, funnel.rows_out, funnel.rows_out - lost[stage], dropped_rows))
    return pa.concat_tables(drops), funnels


def _write_mined(
    connection: duckdb.DuckDBPyConnection,
    view: str,
    spec: ViewsSpec,
    prompts: rows.Prompts,
    tokenizer: Tokenizer | None,
    generation: Generation,
) -> list[Funnel]:
    """One view of what was mined, and its tokenized form where it has one."""
    parts, refused, tokens = [Funnel(f"view:{view}", 0, 0)], Counter[str](), 0
    for table, funnel in learning.rows_of(connection, view, spec, prompts):
        parts.append(funnel)
        for split, part in rows.in_view(table, pa.nulls(table.num_rows, pa.string())).items():
            generation.add(view, split, part)
            if tokenizer is not None and view == SPLICES:
                made, lost = tokenized.tokenize_splices(tokenizer, part, spec.max_tokens)
                generation.add(view + tokenized.SUFFIX, split, made)
                refused, tokens = refused + lost, tokens + made.num_rows
    dropped = sum((Counter(part.dropped) for part in parts), Counter[str]())
    kept = sum(part.rows_out for part in parts)
    funnels = [Funnel(parts[0].stage, sum(part.rows_in for part in parts), kept, dict(sorted(dropped.items())))]
    if tokenizer is not None and view == SPLICES:
        funnels.append(Funnel(parts[0].stage + tokenized.SUFFIX, kept, tokens, dict(sorted(refused.items()))))
    return funnels


def _write_traces(
    run: RunStore,
    made: rows.Rows,
    selection: Selection,
    tokenizer: Tokenizer | None,
    generation: Generation,
    listener: Listener | None,
) -> DropRows:
    """One pass over the traces for all views; returns the drops of the tokenized forms."""
    refused = DropRows()
    reasons: Mapping[str, pa.Array] = selection.reasons
    for batch in trace_batches(run, rows.TRACE_COLUMNS):
        place = pa.array([made.place[trace] for trace in batch["trace_id"].to_pylist()], pa.int64())
        here = {view: column.take(place) for view, column in reasons.items()}
        taken = pa.array([any(row) for row in zip(*(c.is_null().to_pylist() for c in here.values()), strict=True)])
        table, lost = made.of(batch.filter(taken)), dict[str, str]()
        if tokenizer is not None:
            table, lost = tokenized.tokenize(tokenizer, table)
        for view, column in here.items():
            for split, part in rows.in_view(table, column.filter(taken)).items():
                generation.add(view, split, part.select(rows.SCHEMA.names))
                if tokenizer is not None:
                    whole = part.filter(pc.is_valid(part["input_ids"])) if lost else part
                    generation.add(view + tokenized.SUFFIX, split, whole.select(tokenized.SCHEMA.names))
                    for trace in part["trace_id"].to_pylist() if lost else []:
                        if trace in lost:
                            refused.add(f"view:{view}{tokenized.SUFFIX}", trace, tokenized.REFUSED, lost[trace])
        if listener is not None:
            listener.advance(STAGE, batch.num_rows)
    return refused
