"""One thing of a run, readable: a problem, a trace, a tree, a stream or a pair.

Text that came from a model or a data set is shown with its control characters written out; nothing of it can drive a
terminal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import duckdb

from tracemill.schemas.errors import DataError, TracemillError, UsageError
from tracemill.schemas.records import Problem
from tracemill.schemas.tables import schema_of
from tracemill.tasks.drawing import drawing
from tracemill.tasks.reporting.grid import visible
from tracemill.tasks.search.rows import edge_rows, node_rows

#: Fewest characters of an id that are looked up.
SHORTEST: Final = 4
MOST: Final = 12

_PLACES: Final = (
    ("problem", "problems", "problem_id"),
    ("trace", "traces", "trace_id"),
    ("trace", "traces", "attempt_id"),
    ("tree", "trees", "tree_id"),
    ("stream", "streams", "stream_id"),
    ("pair", "pairs", "pair_id"),
)

Row = dict[str, Any]


def show_id(connection: duckdb.DuckDBPyConnection, prefix: str) -> str:
    """What ``prefix`` names, over a connection of ``queries.connect``.

    Raises ``DataError`` where nothing is named so, ``UsageError`` for too short a prefix and for one that names several.
    """
    if len(prefix) < SHORTEST:
        raise UsageError(f"at least {SHORTEST} characters of an id, please", where=repr(prefix))
    found = _find(connection, prefix)
    if not found:
        raise DataError(
            "nothing has this id", where=repr(prefix), mend="look for ids with: tracemill sql 'FROM traces'"
        )
    if len({(kind, key) for kind, key, _ in found}) > 1:
        named = "".join(f"\n  {key}  ({kind})" for kind, key, _ in found[:MOST])
        raise UsageError(f"names more than one thing:{named}", where=repr(prefix), mend="give more characters")
    kind, key, runs = found[0]
    return "\n".join(_SHOW[kind](connection, runs[0], key))


def _find(connection: duckdb.DuckDBPyConnection, prefix: str) -> list[tuple[str, str, list[str]]]:
    found: list[tuple[str, str, list[str]]] = []
    for kind, table, column in _PLACES:
        key = f"{kind}_id"
        rows = connection.execute(
            f"SELECT {key}, list(run ORDER BY run) FROM {table} WHERE starts_with({column}, ?) GROUP BY {key} "
            f"ORDER BY {key} LIMIT {MOST + 1}",
            [prefix],
        ).fetchall()
        found += [(kind, key, runs) for key, runs in rows if (kind, key) not in {(k, i) for k, i, _ in found}]
    return found


def _rows(connection: duckdb.DuckDBPyConnection, query: str, *values: Any) -> list[Row]:
    cursor = connection.execute(query, list(values))
    names = [column[0] for column in cursor.description or []]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _one(connection: duckdb.DuckDBPyConnection, table: str, run: str, key: str, value: str) -> Row | None:
    rows = _rows(connection, f"SELECT * FROM {table} WHERE run = ? AND {key} = ? LIMIT 1", run, value)
    return rows[0] if rows else None


def _field(name: str, value: Any) -> Iterator[str]:
    if value is not None and value != "":
        yield f"{name:<19}{visible(str(value))}"


def _fields(row: Row, *names: str) -> Iterator[str]:
    for name in names:
        yield from _field(name, row[name])


def _block(title: str, text: str | None) -> Iterator[str]:
    if text:
        yield f"\n{title}"
        yield from (f"  | {line}" for line in visible(text, lines=True).split("\n"))


def _problem(connection: duckdb.DuckDBPyConnection, run: str, key: str) -> Iterator[str]:
    problem = _one(connection, "problems", run, "problem_id", key)
    if problem is None:
        return
    yield f"problem {key} in run {visible(run)}"
    yield from _fields(problem, "source", "source_row", "licence", "domain", "split", "verifier", "spec", "gold")
    yield from _block("prompt", problem["prompt"])
    yield from _block("choices", "\n".join(problem["choices"] or []))
    yield from _block("reference solution", problem["reference_solution"])
    yield "\nattempts"
    for row in _rows(
        connection,
        "SELECT t.trace_id, t.kind, t.answer, t.error, v.outcome, v.pseudo_outcome FROM traces t "
        "LEFT JOIN final_verdict v ON v.run = t.run AND v.subject_id = t.trace_id "
        "WHERE t.run = ? AND t.problem_id = ? ORDER BY t.policy_id, t.sample_index, t.path LIMIT 200",
        run,
        key,
    ):
        said = row["outcome"] or (
            f"({row['pseudo_outcome']})" if row["pseudo_outcome"] else row["error"] or "unverified"
        )
        yield f"  {row['trace_id']}  {row['kind']:<12}{visible(said):<12} {visible(row['answer'] or '-')[:60]}"


def _trace(connection: duckdb.DuckDBPyConnection, run: str, key: str) -> Iterator[str]:
    trace = _one(connection, "traces", run, "trace_id", key)
    if trace is None:
        return
    problem = _one(connection, "problems", run, "problem_id", trace["problem_id"]) or {}
    policy = _one(connection, "policies", run, "policy_id", trace["policy_id"]) or {}
    yield f"trace {key} in run {visible(run)}"
    yield from _field("model", policy.get("model"))
    yield from _fields(
        trace, "kind", "strategy", "path", "round", "seed", "repeats", "finish_reason", "completion_tokens"
    )
    yield from _fields(trace, "attempt_id", "template_id", "sampling_id", "parent_trace_id", "tree_id", "error")
    yield from _fields(trace, "problem_id")
    yield from _field("gold", problem.get("gold"))
    yield from _fields(trace, "answer")
    yield from _block("problem", problem.get("prompt"))
    text = trace["text"]
    steps = trace["steps"]
    yield f"\ntext, in {len(steps)} steps by {visible(trace['segmenter'])}"
    for number, span in enumerate(steps):
        lines = visible(text[span["start"] : span["end"]].rstrip("\n"), lines=True).split("\n")
        yield f"{number:>4} | {lines[0]}"
        yield from (f"     | {line}" for line in lines[1:])
    yield from _verdicts(connection, run, key)


def _verdicts(connection: duckdb.DuckDBPyConnection, run: str, key: str) -> Iterator[str]:
    rows = _rows(
        connection,
        "SELECT * FROM verdicts WHERE run = ? AND subject_id = ? ORDER BY level, verifier, version",
        run,
        key,
    )
    if rows:
        yield "\nverdicts"
    for row in rows:
        score = "" if row["score"] is None or "score" in row["reason"] else f", score {row['score']:g}"
        name = f"{row['verifier']} {row['version']}"
        yield f"  {visible(name)} ({row['level']}): {row['outcome']}{score}; {visible(row['reason'])}"
        if row["evidence"] not in ("", "{}"):
            yield f"    {visible(row['evidence'])[:2000]}"
    for row in _rows(connection, "SELECT * FROM drops WHERE run = ? AND subject_id = ?", run, key):
        yield f"  dropped at {visible(row['stage'])}: {visible(row['reason'])} {visible(row['detail'] or '')}".rstrip()


def _tree(connection: duckdb.DuckDBPyConnection, run: str, key: str) -> Iterator[str]:
    tree = _one(connection, "trees", run, "tree_id", key)
    if tree is None:
        return
    yield f"tree {key} in run {visible(run)}"
    yield from _fields(tree, "problem_id", "strategy", "parameters", "seed", "budgets", "status", "tokens", "best_leaf")
    nodes = _rows(connection, "SELECT * FROM nodes WHERE run = ? AND tree_id = ? ORDER BY created_order", run, key)
    edges = _rows(connection, "SELECT parent, child FROM edges WHERE run = ? AND tree_id = ?", run, key)
    if not nodes:
        nodes, edges = _grown_again(connection, run, tree)
    yield f"\n{len(nodes)} nodes; * is on a way to a goal"
    yield from drawing(nodes, edges)
    streams = _rows(
        connection,
        "SELECT stream_id, linearizer, verified, length(text) AS size FROM streams WHERE run = ? AND tree_id = ? "
        "ORDER BY linearizer",
        run,
        key,
    )
    if streams:
        yield "\nstreams"
    for row in streams:
        verified = "verified" if row["verified"] else "not verified"
        yield f"  {row['stream_id']}  {visible(row['linearizer'])}, {row['size']} characters, {verified}"


def _grown_again(connection: duckdb.DuckDBPyConnection, run: str, tree: Row) -> tuple[list[Row], list[Row]]:
    """The rows of a tree whose nodes were left out; none where it cannot be grown again."""
    from tracemill.tasks.strategies.symbolic_search import regrown

    row = _one(connection, "problems", run, "problem_id", tree["problem_id"])
    if row is None:
        return [], []
    try:
        domain, grown = regrown(tree, Problem.of({name: row[name] for name in schema_of("problems").names}))
    except TracemillError:
        return [], []
    return node_rows(grown, domain.show), edge_rows(grown)


def _stream(connection: duckdb.DuckDBPyConnection, run: str, key: str) -> Iterator[str]:
    stream = _one(connection, "streams", run, "stream_id", key)
    if stream is None:
        return
    yield f"stream {key} in run {visible(run)}"
    yield from _fields(stream, "tree_id", "trace_ids", "linearizer", "backtracks", "dead_ends", "verified")
    yield from _block("text", stream["text"])


def _pair(connection: duckdb.DuckDBPyConnection, run: str, key: str) -> Iterator[str]:
    pair = _one(connection, "pairs", run, "pair_id", key)
    if pair is None:
        return
    yield f"pair {key} in run {visible(run)}"
    yield from _fields(
        pair, "kind", "similarity", "first_error_step", "first_error_source", "on_policy", "weight", "split"
    )
    yield from _block("feedback", pair["feedback"])
    for side in ("wrong", "right"):
        yield f"\n{side}"
        yield from _trace(connection, run, pair[f"{side}_id"])


_SHOW: Final[dict[str, Callable[[duckdb.DuckDBPyConnection, str, str], Iterator[str]]]] = {
    "problem": _problem,
    "trace": _trace,
    "tree": _tree,
    "stream": _stream,
    "pair": _pair,
}
