"""The data set card: YAML front matter that the Hub and ``datasets`` read, and a page made from the data.

What must stay true: every number comes from the published tables; what somebody else wrote (names of models, sources,
templates) is escaped, so it cannot become markup; no path, host or key of this machine is in it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

import duckdb
import yaml

from tracemill.tasks.publishing.layout import DATA, Config
from tracemill.tasks.publishing.scrub import Scrubber
from tracemill.tasks.queries import connect
from tracemill.tasks.reporting.grid import Grid, to_markdown
from tracemill.tasks.reporting.summary import Summary, summary_of
from tracemill.tasks.store import RunStore

#: A tag by which a later run recognises a card of ours.
MARK: Final = "tracemill"

_SIZES: Final = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))

#: Licences as the Hub spells them; any other is listed below and tagged ``other``.
_LICENCES: Final = frozenset(
    [
        "apache-2.0",
        "mit",
        "bsd-2-clause",
        "bsd-3-clause",
        "cc0-1.0",
        "cc-by-3.0",
        "cc-by-4.0",
        "cc-by-sa-3.0",
        "cc-by-sa-4.0",
        "cc-by-nc-4.0",
        "cc-by-nc-sa-4.0",
        "odc-by",
        "pddl",
        "odbl",
        "gpl-3.0",
        "lgpl-3.0",
        "mpl-2.0",
        "unlicense",
        "openrail",
        "llama3",
        "gemma",
    ]
)

_ABOUT: Final = {
    "sft": "Verified conversations to fine-tune on: only traces whose final verdict is `correct` by a rule verifier.",
    "rl": "One row a problem: prompt, gold answer, verifier with its inputs, and the pass rate of a reference policy.",
    "corrections": "A conversation that asks to check a solution, and the corrected one; right solutions that stay are among them.",
    "splices": "Right solutions with wrong attempts before them, each doubted and left; `loss_spans` are offsets in the last turn.",
    "preference": "A right (`chosen`) and a wrong (`rejected`) solution of one problem.",
    "step_preference": "Two continuations of one prefix up to the first wrong step: the right one's step and the wrong one.",
    "unpaired": "Solutions with a `label`, as many right as wrong ones of each problem.",
    "stepwise": "Solutions in steps with a label each, up to the first wrong step.",
    "all": "Every trace that was not replaced by a longer one, right or wrong, with its verdict.",
    "unverified_mix": "As `sft` without the filter on correctness; the verdict stands beside.",
}


def card(run: RunStore, repo: str, configs: Sequence[Config], scrubber: Scrubber) -> str:
    """The text of ``README.md``."""
    with connect([run]) as connection:
        summary = summary_of(connection, run)
        licences = connection.execute(
            "SELECT source, licence, count(*) FROM problems GROUP BY ALL ORDER BY ALL"
        ).fetchall()
        grids = _grids(connection, summary, licences, scrubber)
        models = connection.execute("SELECT DISTINCT licence FROM policies").fetchall()
    found = {licence for _, licence, _ in licences} | {licence for (licence,) in models if licence}
    rows = next((config.rows for config in configs if config.name == "traces"), 0)
    sections = [
        _front(repo, configs, found, rows),
        f"# {repo.partition('/')[2]}",
        _INTRODUCTION,
        _configs(configs),
        *(to_markdown(grid) for grid in grids if grid.rows),
        _loading(repo, configs),
        _join(repo),
        _LIMITS,
    ]
    return "\n\n".join(sections) + "\n"


def _front(repo: str, configs: Sequence[Config], licences: set[str | None], rows: int) -> str:
    tags = sorted({_tag(licence) for licence in licences}) or ["other"]
    configs = [config for config in configs if config.loads]
    default = next((config.name for config in configs if config.is_view), "")
    document: dict[str, Any] = {
        "pretty_name": repo.partition("/")[2],
        "license": tags[0] if len(tags) == 1 else tags,
        "task_categories": ["text-generation"],
        "size_categories": [next((name for limit, name in _SIZES if rows < limit), "n>1M")],
        "tags": [MARK, "reasoning", "synthetic", "chain-of-thought"],
        "configs": [
            {
                "config_name": config.name,
                **({"default": True} if config.name == default else {}),
                "data_files": [{"split": split, "path": pattern} for split, pattern in config.data_files.items()],
            }
            for config in configs
        ],
    }
    return f"---\n{yaml.safe_dump(document, sort_keys=False, allow_unicode=True)}---"


def _tag(licence: str | None) -> str:
    name = (licence or "").strip().lower()
    return name if name in _LICENCES else "other"


def _grids(
    connection: duckdb.DuckDBPyConnection, summary: Summary, licences: list[tuple[Any, ...]], scrubber: Scrubber
) -> list[Grid]:
    def rows(query: str) -> tuple[tuple[Any, ...], ...]:
        return tuple(_clean(row, scrubber) for row in connection.execute(query).fetchall())

    shown = [
        Grid(grid.title, grid.headers, tuple(_clean(row, scrubber) for row in grid.rows), grid.note)
        for grid in summary.grids()
        if grid.title != "Cost"
    ]
    return [
        *shown,
        Grid("Licences", ("source", "licence", "problems"), tuple(_clean(row, scrubber) for row in licences)),
        Grid(
            "Policies",
            ("model", "revision", "engine", "engine version", "licence", "policy_id"),
            rows("SELECT model, revision, engine, engine_version, licence, policy_id FROM policies ORDER BY ALL"),
        ),
        Grid(
            "Verifiers",
            ("verifier", "version", "level", "outcome", "verdicts"),
            rows("SELECT verifier, version, level, outcome, count(*) FROM verdicts GROUP BY ALL ORDER BY ALL"),
        ),
        _canaries(connection),
        Grid("Prompt templates", ("name", "system", "user", "template_id"), _templates(connection)),
    ]


def _canaries(connection: duckdb.DuckDBPyConnection) -> Grid:
    """The newest canaries of each verifier that gave a verdict of its own; blank where none were run."""
    newest: dict[str, dict[str, Any] | None] = {
        name: None
        for (name,) in connection.execute("SELECT DISTINCT verifier FROM verdicts WHERE level = 'rule'").fetchall()
    }
    stored = connection.execute("SELECT canaries FROM runs WHERE canaries IS NOT NULL ORDER BY invocation").fetchall()
    for (text,) in stored:
        newest.update({name: found for name, found in json.loads(text).items() if found})
    rows = tuple(
        (name, r["version"], r["bad"], len(r["false_accepts"]), r["good"], len(r["lost"]))
        if r
        else (name, None, None, None, None, None)
        for name, r in sorted(newest.items())
    )
    return Grid(
        "Canaries",
        ("verifier", "version", "known-bad", "accepted", "known-good", "refused"),
        rows,
        "Before its verdicts were trusted, each verifier was shown candidates whose outcome is known; a dash: it has none.",
    )


def _templates(connection: duckdb.DuckDBPyConnection) -> tuple[tuple[Any, ...], ...]:
    found = connection.execute("SELECT name, template, template_id FROM templates ORDER BY ALL").fetchall()
    documents = [(name, json.loads(template), identity) for name, template, identity in found]
    return tuple((name, t.get("system"), t.get("user"), identity) for name, t, identity in documents)


def _clean(row: tuple[Any, ...], scrubber: Scrubber) -> tuple[Any, ...]:
    return tuple(scrubber.leaf(cell) if isinstance(cell, str) else cell for cell in row)


def _configs(configs: Sequence[Config]) -> str:
    views = [
        (
            config.name,
            _ABOUT.get(config.name, "The view of that name as token ids and labels, ready to train on."),
            ", ".join(config.data_files),
            config.rows,
        )
        for config in configs
        if config.is_view and config.loads
    ]
    tables = [f"`{config.name}` ({config.rows:,})" for config in configs if not config.is_view and config.loads]
    empty = [f"`{config.name}`" for config in configs if not config.loads]
    lines = [f"| `{name}` | {about} | {splits} | {rows:,} |" for name, about, splits, rows in views]
    return "\n".join(
        [
            "## Configs",
            "",
            "| view | what it holds | splits | rows |",
            "| --- | --- | --- | ---: |",
            *lines,
            "",
            f"Every view is explained by the tables, each a config with one split `train`: {', '.join(tables)}.",
            *(["", f"Without rows, and so without a config: {', '.join(empty)}."] if empty else []),
        ]
    )


def _loading(repo: str, configs: Sequence[Config]) -> str:
    lines = ["## Loading", "", "```python", "from datasets import load_dataset", ""]
    for config in configs:
        if not config.loads:
            continue
        split = next(iter(config.data_files))
        lines.append(f'{config.name} = load_dataset("{repo}", "{config.name}", split="{split}")')
    return "\n".join([*lines, "```", "", "Add `streaming=True` to read without downloading everything."])


def _join(repo: str) -> str:
    where = f"hf://datasets/{repo}/{DATA}"
    return f"""## Joining back

From any row of a view, its ids lead to the attempt, the problem, every verdict, and each request as it was made: the template
filled with the problem (and the variables) is the prompt, word for word, and `prompt_hash` its hash.

```sql
SELECT t.text, p.source, p.licence, v.verifier, v.version, v.outcome, v.evidence,
       m.model, m.revision, r.route, f.template, r.variables, s.sampling, r.max_tokens, r.seed
FROM '{where}/traces/*.parquet' t
JOIN '{where}/problems/*.parquet' p USING (problem_id)
JOIN '{where}/policies/*.parquet' m USING (policy_id)
LEFT JOIN '{where}/requests/*.parquet' r USING (attempt_id)
LEFT JOIN '{where}/templates/*.parquet' f ON f.template_id = r.template_id
LEFT JOIN '{where}/samplings/*.parquet' s ON s.sampling_id = r.sampling_id
LEFT JOIN '{where}/verdicts/*.parquet' v ON v.subject_id = t.trace_id
WHERE t.trace_id = '...';
```

A trace that is in no view has a row in `drops` with the stage `view:<name>` and the reason."""


_INTRODUCTION: Final = """Reasoning traces with their verdicts, made with Tracemill. Nothing was thrown away: wrong attempts, failed requests and the
reason why a row is not in a view are rows too."""

_LIMITS: Final = """## Known limits

- A verifier checks the outcome and not each step: a correct answer may follow from flawed reasoning.
- Traces are a model's words, unedited. They may be wrong, biased or unsafe; do not execute code in them unread.
- The views keep a limited number of traces per problem; the tables hold all of them.
- Seeds rebuild a request; whether an engine answers it with the same text depends on the engine.
- Machine paths, addresses and host names were removed from what the pipeline wrote, so such columns may be shortened."""
