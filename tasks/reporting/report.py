"""The report of a run: ``report/report.md``, and one HTML file that needs nothing else.

Text that came from a model or a data set is only ever shown as text: escaped in HTML, fenced in Markdown.
"""

from __future__ import annotations

import html
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import duckdb

from tracemill.schemas.errors import DataError, StoreError
from tracemill.tasks.queries import connect
from tracemill.tasks.reporting import grid
from tracemill.tasks.reporting.examples import Example, clip, examples
from tracemill.tasks.reporting.grid import Grid, visible
from tracemill.tasks.reporting.summary import Summary, summary_of
from tracemill.tasks.store import RunStore

EXAMPLES: Final = 3
#: Most disagreements in the HTML and Markdown; ``report/disagreements.parquet`` has them all.
SHOWN: Final = 200

_BETWEEN: Final = """
SELECT coalesce(p.model, 'unknown') AS model, first, first_outcome, second, second_outcome, count(*) AS traces,
    sum(repeats)::BIGINT AS attempts
FROM _disagreements d LEFT JOIN policies p ON p.run = d.run AND p.policy_id = d.policy_id
WHERE kind = 'verifiers' GROUP BY ALL ORDER BY traces DESC, model, first, second, first_outcome, second_outcome
"""
_EACH: Final = f"""
SELECT kind, subject_id, coalesce(p.model, 'unknown') AS model, first, first_outcome, second, second_outcome, answer, gold
FROM _disagreements d LEFT JOIN policies p ON p.run = d.run AND p.policy_id = d.policy_id
ORDER BY kind DESC, model, subject_id, first, second LIMIT {SHOWN}
"""
_CSS: Final = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; margin: .5rem 0; display: block; overflow-x: auto; }
th, td { padding: .2rem .7rem; border-bottom: 1px solid #ddd; text-align: left; vertical-align: top; }
th.n, td.n { text-align: right; font-variant-numeric: tabular-nums; }
pre { background: #f6f6f4; padding: .8rem; overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere; }
.correct { color: #116329; } .incorrect, .unparsed { color: #a40e26; }
"""


def write_report(run: RunStore) -> str:
    """Write the report of ``run`` from what is committed now; the path of the HTML file.

    Raises ``DataError`` for a run that is not on a local disk, ``StoreError`` where the files cannot be written.
    """
    if "://" in run.path:
        raise DataError(
            "a report is written into the run's folder", where=run.path, mend="copy the run to a local disk"
        )
    folder = os.path.join(run.path, "report")
    connection = connect([run])
    try:
        summary = summary_of(connection, run)
        tables = [*summary.grids(), *_disagreements(connection, summary)]
        picked = examples(connection, EXAMPLES)
        try:
            os.makedirs(folder, exist_ok=True)
            Path(folder, "report.md").write_text(_markdown(summary, tables, picked), "utf-8", "replace")
            path = Path(folder, "report.html")
            path.write_text(_html(summary, tables, picked), "utf-8", "replace")
            _export(connection, os.path.join(folder, "disagreements.parquet"))
        except OSError as error:
            raise StoreError(f"the report cannot be written: {error.strerror}", where=folder) from error
        return str(path)
    finally:
        connection.close()


def _export(connection: duckdb.DuckDBPyConnection, path: str) -> None:
    connection.sql("SELECT * FROM _disagreements ORDER BY ALL").write_parquet(path)


def _disagreements(connection: duckdb.DuckDBPyConnection, summary: Summary) -> Iterator[Grid]:
    if not summary.disagreements:
        return
    between = connection.execute(_BETWEEN).fetchall()
    if between:
        yield Grid(
            "Disagreements between verdicts",
            ("model", "first", "says", "second", "says", "traces", "attempts"),
            tuple(between),
        )
    rows: list[tuple[Any, ...]] = [
        tuple(_short(cell) if isinstance(cell, str) else cell for cell in row)
        for row in connection.execute(_EACH).fetchall()
    ]
    more = sum(summary.disagreements.values()) - len(rows)
    yield Grid(
        "Each disagreement",
        ("kind", "id", "model", "first", "says", "second", "says", "answer", "gold"),
        tuple(rows),
        f"and {more:,} more; all of them are in report/disagreements.parquet" if more > 0 else "",
    )


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "..."


def _markdown(summary: Summary, tables: list[Grid], picked: list[Example]) -> str:
    parts = [f"# {grid.markdown_escape(visible(summary.name))}", f"Status: {summary.status}."]
    parts += [grid.to_markdown(table) for table in tables]
    if picked:
        parts.append("## Example traces")
    for example in picked:
        parts += [f"### {example.trace_id}: {example.outcome}", _fenced(example.prompt), _fenced(clip(example.text))]
        said = f"answer {visible(example.answer or '-')}, gold {visible(example.gold or '-')}"
        parts.append(grid.markdown_escape(said))
    return "\n\n".join(parts) + "\n"


def _fenced(text: str) -> str:
    shown = visible(text, lines=True)
    longest = max((len(run) for run in re.findall("`+", shown)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{shown}\n{fence}"


def _html(summary: Summary, tables: list[Grid], picked: list[Example]) -> str:
    name = html.escape(visible(summary.name))
    parts = [grid.to_html(table) for table in tables]
    if picked:
        parts.append("<h2>Example traces</h2>")
    for example in picked:
        outcome = html.escape(example.outcome)
        parts.append(
            f'<h3>{html.escape(example.trace_id)} <span class="{outcome}">{outcome}</span></h3>\n'
            f"<pre>{_escaped(example.prompt)}</pre>\n<pre>{_escaped(clip(example.text))}</pre>\n"
            f"<p>answer {_escaped(example.answer or '-')}, gold {_escaped(example.gold or '-')}</p>"
        )
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f'<meta name="viewport" content="width=device-width">\n<title>{name}</title>\n<style>{_CSS}</style>\n</head>\n'
        f"<body>\n<h1>{name}</h1>\n<p>Status: {html.escape(summary.status)}.</p>\n{body}\n</body>\n</html>\n"
    )


def _escaped(text: str) -> str:
    return html.escape(visible(text, lines=True))
