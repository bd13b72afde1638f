"""What a model makes of mined texts: how likely a correction is after its own attempt and after another (algorithms §2.24),
and how much the ways on behind the seams of a splice surprise it (§2.22).

What must stay true: a text is scored behind the very tokens that a model would have been given before it, by the chat template
of its own tokenizer; what is scored is drawn by ids, so a resumed run scores the same texts; a shard is committed whole, and a
text that was scored is not scored again; a request that failed is asked again the next time.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from tracemill.schemas import ids
from tracemill.schemas.errors import UsageError
from tracemill.schemas.recipe import MiningSpec, ScorerSpec
from tracemill.schemas.tables import schema_of
from tracemill.tasks.engines.base import Engine, Request, Sampling, cannot_score
from tracemill.tasks.engines.registry import build_engine
from tracemill.tasks.mining.splice import seam_surprisal
from tracemill.tasks.opinions.asking import Asker
from tracemill.tasks.provenance import commit_policy, commit_sampling
from tracemill.tasks.queries import connect
from tracemill.tasks.reporting.listener import Listener
from tracemill.tasks.search.drive import gather_all
from tracemill.tasks.store import Funnel, RunStore
from tracemill.tasks.tokenizer import Tokenizer, load_tokenizer
from tracemill.tasks.views.learning import asked, to_correct
from tracemill.tasks.views.rows import Prompts

STAGE: Final = "score"
OWN: Final = "own"
OTHER: Final = "other"
SEAM: Final = "seam"

#: Texts of a shard, and shards that are asked for at once.
SHARD: Final = 64
IN_FLIGHT: Final = 4
SAMPLING: Final = Sampling(temperature=0.0, max_tokens=1)

Row = dict[str, Any]

_PAIRS: Final = """
SELECT p.pair_id, p.wrong_id, w.problem_id, w.template_id, w.text AS wrong, r.text AS right_ FROM pairs p
JOIN traces w ON w.trace_id = p.wrong_id JOIN traces r ON r.trace_id = p.right_id
WHERE p.kind = 'ic' ORDER BY md5(p.pair_id || '{seed}'), p.pair_id LIMIT {sample}
"""
_SPLICES: Final = """
SELECT s.stream_id, s.text, s.segments, t.trace_id, t.problem_id, t.template_id FROM streams s
JOIN traces t ON t.trace_id = s.trace_ids[len(s.trace_ids)]
WHERE s.linearizer = 'splice' AND s.verified AND s.backtracks > 0
ORDER BY md5(s.stream_id || '{seed}'), s.stream_id LIMIT {sample}
"""


@dataclass(frozen=True, slots=True)
class Scorer:
    """An engine that scores, and the tokenizer of its model."""

    engine: Engine
    tokenizer: Tokenizer


@dataclass(frozen=True, slots=True)
class Text:
    """One text to be scored after ``before``. ``seams`` are offsets in it behind which surprise counts."""

    subject_id: str
    kind: str
    given_id: str
    before: Sequence[dict[str, str]]
    text: str
    seams: tuple[int, ...] = ()

    @property
    def key(self) -> tuple[str, str, str]:
        return self.subject_id, self.kind, self.given_id


def build_scorer(spec: ScorerSpec, home: str) -> Scorer:
    """The scorer of ``spec``, its engine not started. ``home`` is for what a server of ours keeps.

    Raises UsageError for an engine that gives no log-probabilities of a text, and for a tokenizer that is not named or has no
    chat template. Whether an endpoint gives them is known when it is asked what it is.
    """
    engine = build_engine(spec.engine, home)
    if not engine.capabilities.prompt_logprobs and spec.engine.kind != "openai":
        raise cannot_score(engine.name, "mining.scorer.engine")
    name = spec.tokenizer or (spec.engine.model if spec.engine.kind == "vllm" else None)
    if name is None:
        raise UsageError(
            "whose tokens are scored?",
            where="mining.scorer.tokenizer",
            mend="name the tokenizer of the engine's model: a folder or Hub id",
        )
    tokenizer = load_tokenizer(name)
    if tokenizer.template_hash is None:
        raise UsageError(
            "the tokenizer has no chat template, so no conversation can be scored",
            where="mining.scorer.tokenizer",
            mend="name the tokenizer of an instruct model",
        )
    return Scorer(engine, tokenizer)


async def score(run: RunStore, spec: MiningSpec, scorer: Scorer, listener: Listener) -> int:
    """Commit the scores of mined texts that are owed; how many. Starts the engine only where something is."""
    assert spec.scorer is not None
    policy = scorer.engine.policy.policy_id
    have = {
        (row["subject_id"], row["kind"], row["given_id"])
        for row in run.read("scores", ["subject_id", "kind", "given_id", "policy_id"]).to_pylist()
        if row["policy_id"] == policy
    }
    owed = [text for text in wanted(run, spec.seed, spec.scorer.sample) if text.key not in have]
    if not owed:
        return 0
    listener.stage(STAGE, len(owed))
    listener.attach(scorer.engine.stats)
    commit_policy(run, scorer.engine.policy)
    commit_sampling(run, SAMPLING)
    asker, turn = Asker(scorer.engine), asyncio.Semaphore(IN_FLIGHT)

    async def work(shard: Sequence[Text]) -> None:
        async with turn:
            found = await gather_all([_scored(text, scorer, asker) for text in shard])
            listener.advance(STAGE, len(found))
            _commit(run, policy, shard, found)

    async with scorer.engine:
        if not scorer.engine.capabilities.prompt_logprobs:
            raise cannot_score(scorer.engine.name, "mining.scorer.engine")
        await gather_all([work(owed[start : start + SHARD]) for start in range(0, len(owed), SHARD)])
    return len(owed)


def wanted(run: RunStore, seed: int, sample: int) -> Iterator[Text]:
    """At most ``sample`` corrections, each after its own attempt and after the next one's, and ``sample`` splices."""
    prompts = Prompts(run)
    with connect([run]) as connection:
        pairs, splices = (
            connection.sql(query.format(seed=seed, sample=sample)).to_arrow_table().to_pylist()
            for query in (_PAIRS, _SPLICES)
        )
    for place, row in enumerate(pairs):
        before, prefill = asked(row, prompts)
        other = _other(pairs, place)
        for kind, given in ((OWN, row), (OTHER, other)):
            if given is not None and other is not None:
                shown = to_correct(before, prefill + given["wrong"])
                yield Text(row["pair_id"], kind, given["wrong_id"], shown, prefill + row["right_"])
    for row in splices:
        before, prefill = asked(row, prompts)
        seams = tuple(len(prefill) + segment["start"] for segment in row["segments"][1:])
        yield Text(row["stream_id"], SEAM, row["trace_id"], before, prefill + row["text"], seams)


def _other(pairs: Sequence[Row], place: int) -> Row | None:
    """The next pair of another problem, around the end; None where there is none."""
    around = (*pairs[place + 1 :], *pairs[:place])
    return next((row for row in around if row["problem_id"] != pairs[place]["problem_id"]), None)


def surprisals(values: Sequence[float], spans: Sequence[tuple[int, int]]) -> list[float]:
    """Those of the tokens at ``spans``, the last ones of a text: nats, from the log-probabilities of all its tokens but the first."""
    return [-value for value in values[len(values) - len(spans) :]]


async def _scored(text: Text, scorer: Scorer, asker: Asker) -> tuple[Row | None, Row | None]:
    """(row of ``scores`` but for its policy, row of ``requests``); no score where the request failed."""
    row: Row = {"subject_id": text.subject_id, "kind": text.kind, "given_id": text.given_id, "tokens": 0}
    try:
        before = scorer.tokenizer.render(text.before, add_generation_prompt=True)
    except UsageError:  # the template takes no such conversation
        return row, None
    tokens, spans = scorer.tokenizer.continued(before, text.text)
    name = ids.digest("a", STAGE, *text.key)
    request = Request(name, "scoring", SAMPLING, seed=0, tokens=tuple(tokens))
    completion, said = await asker.ask(request, None)
    row["tokens"] = len(spans)
    if completion.error is not None:
        return (row if completion.refused else None), said
    found = surprisals(json.loads(completion.text), spans)
    row["nll"] = math.fsum(found)
    if text.kind == SEAM:
        row["seam"] = seam_surprisal(found, spans, text.seams)
    return row, said


def _commit(run: RunStore, policy: str, shard: Sequence[Text], found: Sequence[tuple[Row | None, Row | None]]) -> None:
    shard_id = ids.digest("shard", STAGE, policy, run.invocation, [text.key for text in shard])
    scores = [{**row, "policy_id": policy} for row, _ in found if row is not None]
    requests = {(said["request_key"], said["attempt_id"]): said for _, said in found if said is not None}
    good = sum(row.get("nll") is not None for row in scores)
    lost = {"refused": len(scores) - good, "failed": len(found) - len(scores)}
    run.commit(
        STAGE,
        shard_id,
        {
            "scores": pa.Table.from_pylist(scores, schema=schema_of("scores")),
            "requests": pa.Table.from_pylist(list(requests.values()), schema=schema_of("requests")),
        },
        Funnel(STAGE, len(found), good, {reason: n for reason, n in lost.items() if n}),
    )
