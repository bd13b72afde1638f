"""One Arrow schema per table: long format, one row per thing, real types, one key each.

Only types that Arrow, DuckDB and ``datasets`` all read are used. ``spec``, ``evidence`` and other structured values are
canonical JSON strings. A field marked *measured* (latency, CPU time, clock time) depends on the machine; two runs are
equal when their tables are equal without the measured fields. Every schema carries its name and version in its file
metadata, and a reader refuses a version that it does not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from tracemill.schemas.errors import StoreError

TABLE_KEY: Final = b"tracemill.table"
VERSION_KEY: Final = b"tracemill.version"
MEASURED: Final = {b"tracemill.measured": b"true"}

MESSAGE: Final = pa.struct([pa.field("role", pa.string()), pa.field("content", pa.string())])
SPAN: Final = pa.struct([pa.field("start", pa.int64()), pa.field("end", pa.int64())])
CLOCK: Final = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True, slots=True)
class Table:
    """A table's name, the columns that identify a row, its version and its Arrow schema."""

    name: str
    key: tuple[str, ...]
    version: int
    schema: pa.Schema

    @property
    def measured(self) -> tuple[str, ...]:
        """The columns that depend on the machine and the clock."""
        return tuple(f.name for f in self.schema if f.metadata and MEASURED.items() <= f.metadata.items())


def _req(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=False)


def _opt(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=True)


def _measured(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=True, metadata=MEASURED)


def _table(name: str, key: tuple[str, ...], fields: list[pa.Field], version: int = 1) -> Table:
    metadata = {TABLE_KEY: name.encode(), VERSION_KEY: str(version).encode()}
    return Table(name, key, version, pa.schema(fields, metadata=metadata))


_S, _I32, _I64, _F64, _BOOL = pa.string(), pa.int32(), pa.int64(), pa.float64(), pa.bool_()

_ALL = [
    _table(
        "runs",
        ("run_id", "invocation"),
        [
            _req("run_id", _S),
            _req("invocation", _I32),
            _req("recipe", _S),
            _req("recipe_hash", _S),
            _req("status", _S),  # finished | interrupted | failed
            _req("code_version", _S),
            _opt("host", _S),
            _opt("engine", _S),
            _opt("engine_version", _S),
            _req("verifier_versions", _S),  # JSON object: verifier -> version
            _opt("canaries", _S),  # JSON
            _measured("started_at", CLOCK),
            _measured("finished_at", CLOCK),
        ],
    ),
    _table(
        "problems",
        ("problem_id",),
        [
            _req("problem_id", _S),
            _req("source", _S),
            _opt("source_row", _S),  # where in the source: "file:line", "family:index"
            _opt("licence", _S),
            _req("domain", _S),
            _req("prompt", _S),
            _opt("choices", pa.list_(_S)),
            _req("verifier", _S),
            _req("spec", _S),  # JSON object: the verifier's inputs
            _opt("gold", _S),
            _opt("reference_solution", _S),
            _req("split", _S),
            _opt("cluster_id", _S),
        ],
    ),
    _table(
        "policies",
        ("policy_id",),
        [
            _req("policy_id", _S),
            _req("model", _S),  # "unknown" where an imported trace does not say
            _opt("revision", _S),
            _req("engine", _S),
            _opt("engine_version", _S),
            _opt("dtype", _S),
            _opt("chat_template_hash", _S),
            _opt("licence", _S),
        ],
    ),
    _table(
        "templates",
        ("template_id",),
        [_req("template_id", _S), _req("name", _S), _req("template", _S)],  # JSON object
    ),
    _table(
        "samplings",
        ("sampling_id",),
        [_req("sampling_id", _S), _req("sampling", _S)],  # JSON object, without max_tokens
    ),
    _table(
        "traces",
        ("trace_id",),
        [
            _req("trace_id", _S),
            _req("attempt_id", _S),
            _req("problem_id", _S),
            _req("kind", _S),
            _opt("tree_id", _S),
            _opt("start_node_id", _S),
            _req("sample_index", _I32),
            _req("path", _S),  # the attempt's path, as hashed into attempt_id
            _req("text", _S),
            _opt("messages", pa.list_(MESSAGE)),  # an imported conversation, as it came
            _opt("reasoning", _S),
            _opt("answer", _S),  # as extracted, before comparison
            _req("steps", pa.list_(SPAN)),
            _req("segmenter", _S),
            _req("finish_reason", _S),
            _opt("prompt_tokens", _I64),
            _opt("completion_tokens", _I64),
            _opt("reasoning_tokens", _I64),
            _opt("logprob_sum", _F64),
            _opt("logprob_min", _F64),
            _req("policy_id", _S),
            _opt("template_id", _S),
            _opt("sampling_id", _S),
            _req("strategy", _S),  # JSON object: name and parameters, as hashed into attempt_id
            _opt("seed", _I64),
            _req("round", _I32),
            _opt("parent_trace_id", _S),
            _req("repeats", _I32),  # how many recorded attempts said exactly this; 1 unless imported so
            _opt("error", _S),
            _req("text_hash", _S),
        ],
    ),
    _table(
        "requests",
        ("request_key", "attempt_id", "max_tokens", "finish_reason"),
        [
            _req("request_key", _S),
            _req("attempt_id", _S),
            _req("route", _S),  # chat | completion | pooling | scoring
            _req("prompt_hash", _S),
            _opt("template_id", _S),  # of the prompt as sent, hint included
            _opt("variables", _S),  # JSON object: values of the template's marks besides the problem's own
            _opt("sampling_id", _S),
            _req("max_tokens", _I64),
            _opt("seed", _I64),
            _req("draw", _I32),
            _opt("prompt_tokens", _I64),
            _opt("completion_tokens", _I64),
            _opt("cached_tokens", _I64),
            _req("finish_reason", _S),
            _opt("response", _S),  # null where a trace of the attempt carries it word for word
            _opt("cost_usd", _F64),
            _measured("latency_ms", _F64),
            _measured("replica", _S),
            _measured("retries", _I32),
            _opt("error", _S),
        ],
    ),
    _table(
        "verdicts",
        ("subject_id", "verifier", "version", "config_hash", "inputs_hash"),
        [
            _req("subject_id", _S),
            _req("verifier", _S),
            _req("version", _S),
            _req("config_hash", _S),
            _req("inputs_hash", _S),
            _req("outcome", _S),
            _opt("score", _F64),
            _req("level", _S),
            _req("backend", _S),
            _req("isolation", _S),
            _req("reason", _S),
            _req("evidence", _S),  # JSON object, at most 8 KB
            _measured("cpu_ms", _F64),
            _measured("wall_ms", _F64),
            _measured("verified_at", CLOCK),
        ],
    ),
    _table(
        "trees",
        ("tree_id",),
        [
            _req("tree_id", _S),
            _req("problem_id", _S),
            _req("policy_id", _S),
            _req("strategy", _S),
            _req("parameters", _S),
            _opt("seed", _I64),
            _req("status", _S),
            _req("budgets", _S),
            _req("tokens", _I64),
            _opt("best_leaf", _S),
        ],
    ),
    _table(
        "nodes",
        ("tree_id", "node_id"),
        [
            _req("tree_id", _S),
            _req("node_id", _S),
            _req("depth", _I32),
            _req("step", _S),
            _opt("state", _S),
            _opt("state_key", _S),
            _opt("value", _F64),
            _opt("value_source", _S),
            _opt("mc_k", _I32),
            _opt("mc_correct", _I32),
            _req("visits", _I64),
            _req("status", _S),
            _req("terminal", _BOOL),
            _opt("prune_reason", _S),
            _req("created_order", _I64),  # ticks of the search's clock, which counts creations and visits alike
            _req("visited_at", pa.list_(_I64)),  # the ticks at which the search moved to the node
            _req("tokens", _I64),
        ],
        version=2,
    ),
    _table(
        "edges",
        ("tree_id", "parent", "child"),
        [
            _req("tree_id", _S),
            _req("parent", _S),
            _req("child", _S),
            _opt("action", _S),
            _opt("prior", _F64),  # natural logarithm of the action's probability under the policy
            _req("visits", _I64),
            _opt("value", _F64),  # best value backed up through the edge; the node has the mean
        ],
    ),
    _table(
        "step_labels",
        ("trace_id", "segmenter", "step", "source"),
        [
            _req("trace_id", _S),
            _req("segmenter", _S),
            _req("step", _I32),
            _req("label", _S),
            _opt("soft", _F64),
            _req("source", _S),
            _opt("k", _I32),
            _opt("agreed", _BOOL),
        ],
    ),
    _table(
        "critiques",
        ("critique_id",),
        [
            _req("critique_id", _S),
            _req("subject_id", _S),
            _req("text", _S),
            _opt("verdict", _S),
            _opt("label", _S),
            _opt("agrees", _BOOL),
        ],
    ),
    _table(
        "streams",
        ("stream_id",),
        [
            _req("stream_id", _S),
            _opt("tree_id", _S),
            _opt("trace_ids", pa.list_(_S)),
            _req("linearizer", _S),
            _req("text", _S),
            _req(
                "segments",
                pa.list_(
                    pa.struct(
                        [
                            pa.field("start", _I64),
                            pa.field("end", _I64),
                            pa.field("kind", _S),
                            pa.field("node_id", _S),
                        ]
                    )
                ),
            ),
            _req("loss_spans", pa.list_(SPAN)),
            _req("backtracks", _I32),
            _req("dead_ends", _I32),
            _req("verified", _BOOL),
            _opt("parameters", _S),  # JSON object: how it was made
        ],
        version=2,
    ),
    _table(
        "pairs",
        ("pair_id",),
        [
            _req("pair_id", _S),
            _req("wrong_id", _S),
            _req("right_id", _S),
            _req("kind", _S),
            _opt("feedback", _S),
            _opt("similarity", _F64),
            _opt("first_error_step", _I32),
            _opt("first_error_source", _S),
            _req("on_policy", _BOOL),
            _req("weight", _F64),
            _req("split", _S),
        ],
    ),
    _table(
        "preferences",
        ("preference_id",),
        [
            _req("preference_id", _S),
            _req("kind", _S),  # outcome: whole traces | step: what follows a shared prefix | sibling: nodes of a tree
            _req("problem_id", _S),
            _req("chosen_id", _S),
            _req("rejected_id", _S),
            _opt("prefix", _S),
            _req("weight", _F64),
            _req("on_policy", _BOOL),
            _req("split", _S),
        ],
        version=2,
    ),
    _table(
        "turns",
        ("turn_id",),
        [
            _req("turn_id", _S),
            _req(
                "kind", _S
            ),  # repair: an attempt, what was wrong with it, a better one | chain: several attempts | selection: which of several is right
            _req("problem_id", _S),
            _req(
                "subject_ids", pa.list_(_S)
            ),  # in the order in which they are shown; the last is the target of a repair
            _req("messages", pa.list_(MESSAGE)),
            _req("weight", _F64),
            _req("on_policy", _BOOL),
            _req("split", _S),
        ],
        version=2,
    ),
    _table(
        "scores",
        ("subject_id", "kind", "given_id", "policy_id"),
        [
            _req("subject_id", _S),  # a pair or a stream
            _req("kind", _S),  # own: a correction after its attempt | other: after another attempt | seam: a splice
            _req("given_id", _S),  # the trace that stands before it; of a splice its right trace
            _req("policy_id", _S),  # who scored it
            _req("tokens", _I64),
            _opt("nll", _F64),  # nats, of all its tokens; null where the engine refuses the text
            _opt("seam", _F64),  # nats, the largest surprise behind a seam
        ],
    ),
    _table(
        "drops",
        ("subject_id", "stage", "reason"),
        [_req("subject_id", _S), _req("stage", _S), _req("reason", _S), _opt("detail", _S)],
    ),
]

TABLES: Final[Mapping[str, Table]] = {table.name: table for table in _ALL}


def schema_of(name: str) -> pa.Schema:
    """The Arrow schema of the table ``name``, version metadata included."""
    return TABLES[name].schema


def check_version(schema: pa.Schema, *, where: str) -> None:
    """Refuse a file whose table or version this code does not know. ``where`` names the file in the error."""
    metadata = schema.metadata or {}
    name, version = metadata.get(TABLE_KEY, b"").decode(), metadata.get(VERSION_KEY, b"").decode()
    table = TABLES.get(name)
    if table is None:
        raise StoreError(f"not a Tracemill table (says {name!r})", where=where)
    if version != str(table.version):
        raise StoreError(
            f"table {name} has version {version or 'none'}; this Tracemill reads version {table.version}",
            where=where,
            mend="read it with the Tracemill that wrote it, or upgrade Tracemill",
        )
