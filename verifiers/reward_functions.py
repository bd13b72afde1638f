"""Rule verifiers as the reward functions that trainers call: TRL's GRPO, verl, and prime-rl's ``verifiers``.

What must stay true: an ``error`` is never a reward: it gives None (or what ``on_error`` says), after one more try; only rule
verifiers reward; a verifier that fails its canaries raises before it rewards anything. Everything is safe from any thread
and after a fork: candidates run in worker processes, whose pool lives on an event loop in one thread of its own, and no
signal handler, timer or loop of the caller's is touched.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from tracemill.schemas.enums import Level, Outcome
from tracemill.schemas.errors import TracemillError, UsageError
from tracemill.verifiers.base import Candidate, Verdict, Verifier
from tracemill.verifiers.canaries.base import CanaryError, prove
from tracemill.verifiers.canaries.registry import find_suite
from tracemill.verifiers.pool import VerifierPool
from tracemill.verifiers.registry import ASKING, build_verifier

Reward = float | None
T = TypeVar("T")

#: For ``on_error``: raise ``VerifierFailed`` in place of a reward.
RAISE: Final = "raise"

#: The columns that are looked for where none is named, in this order.
GOLDS: Final = ("gold", "answer", "solution", "ground_truth", "target")


class VerifierFailed(TracemillError):
    """The verifier could not judge a response, twice: no reward can be given for it."""


@dataclass
class Scorer:
    """Verifiers behind a call from any thread. ``verifier`` is a name or ``module:function`` for rows that name none.

    ``correct`` and ``wrong`` are the rewards; ``on_error`` is given for an ``error`` (None, a number, or ``RAISE``). Worker
    processes start with the first call; ``close`` ends them, and so does the end of the process.
    """

    verifier: str | None = "answer"
    options: Mapping[str, Any] = field(default_factory=dict)
    time_limit: float | None = None
    workers: int | None = None
    correct: float = 1.0
    wrong: float = 0.0
    on_error: float | str | None = None
    canaries: bool = True

    def __post_init__(self) -> None:
        self._forget()
        if self.verifier is not None:
            self._build(self.verifier)

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._pid = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._pool: VerifierPool | None = None
        self._trusted: dict[str, asyncio.Task[Verifier]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if not name.startswith("_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    def rewards(self, candidates: Sequence[Candidate], names: Sequence[str | None] | None = None) -> list[Reward]:
        """A reward for each candidate, in order; blocks. ``names``: the verifier of each, where they differ.

        Raises CanaryError, UsageError for a verifier that is not there, and VerifierFailed where ``on_error`` says so.
        """
        future = self._submit(self._verdicts(candidates, names))
        try:
            return self._read(future.result())
        except BaseException:
            future.cancel()
            raise

    async def arewards(
        self, candidates: Sequence[Candidate], names: Sequence[str | None] | None = None
    ) -> list[Reward]:
        """The same without blocking the caller's event loop."""
        return self._read(await asyncio.wrap_future(self._submit(self._verdicts(candidates, names))))

    def close(self) -> None:
        """End the workers and the thread. The next call starts new ones."""
        with self._lock:
            loop, thread, pool, mine = self._loop, self._thread, self._pool, self._pid == os.getpid()
            self._loop = self._thread = self._pool = None
            self._trusted = {}
        if not mine or loop is None or thread is None or pool is None:
            return
        asyncio.run_coroutine_threadsafe(pool.close(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
        atexit.unregister(self.close)

    def _submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        with self._lock:
            if self._loop is None or self._pid != os.getpid():  # a fork has no threads: its parent's loop is dead there
                self._pid, self._loop, self._trusted = os.getpid(), asyncio.new_event_loop(), {}
                self._pool = VerifierPool(self.workers)
                self._thread = threading.Thread(target=self._loop.run_forever, name="tracemill-rewards", daemon=True)
                self._thread.start()
                atexit.register(self.close)
            loop = self._loop
        return asyncio.run_coroutine_threadsafe(work, loop)

    async def _verdicts(self, candidates: Sequence[Candidate], names: Sequence[str | None] | None) -> list[Verdict]:
        wanted = [name or self.verifier for name in (names or [None] * len(candidates))]
        groups: dict[str, list[int]] = {}
        for place, name in enumerate(wanted):
            if name is None:
                raise UsageError("a row names no verifier", mend="name one when you make the reward function")
            groups.setdefault(name, []).append(place)
        found: dict[int, Verdict] = {}
        await asyncio.gather(*(self._group(name, places, candidates, found) for name, places in groups.items()))
        return [found[place] for place in range(len(candidates))]

    async def _group(
        self, name: str, places: list[int], candidates: Sequence[Candidate], found: dict[int, Verdict]
    ) -> None:
        pool = self._pool
        assert pool is not None
        if name not in self._trusted:
            self._trusted[name] = asyncio.ensure_future(self._trust(name, pool))
        verifier = await self._trusted[name]
        owed = places
        for _ in range(2):
            verdicts = await pool.verify(verifier, [candidates[place] for place in owed])
            found.update(zip(owed, verdicts, strict=True))
            owed = [p for p, v in zip(owed, verdicts, strict=True) if v.judgement.outcome is Outcome.ERROR]

    async def _trust(self, name: str, pool: VerifierPool) -> Verifier:
        verifier = self._build(name)
        suite = find_suite(verifier) if self.canaries else None
        if suite is not None:
            report = await prove(pool, verifier, suite)
            if not report.passed:
                raise CanaryError(report)
        return verifier

    def _build(self, name: str) -> Verifier:
        options = self.options if name == self.verifier else {}
        verifier = build_verifier(name, dict(options), self.time_limit)
        if name in ASKING or verifier.level is not Level.RULE:
            raise UsageError(
                f"{name} gives no rule verdict, and only those reward", where="verifier", mend="name a rule verifier"
            )
        return verifier

    def _read(self, verdicts: Sequence[Verdict]) -> list[Reward]:
        return [self._reward(verdict) for verdict in verdicts]

    def _reward(self, verdict: Verdict) -> Reward:
        if verdict.judgement.outcome is Outcome.ERROR:
            if self.on_error == RAISE:
                raise VerifierFailed(verdict.judgement.reason, where=f"verifier {verdict.verifier}")
            return None if self.on_error is None else float(self.on_error)
        return self.correct if verdict.correct else self.wrong


def trl(verifier: str | None = "answer", *, gold: str | None = None, **settings: Any) -> Callable[..., list[Reward]]:
    """A reward function for ``GRPOTrainer(reward_funcs=...)``: ``f(prompts, completions, **columns) -> list``.

    ``completions`` are strings or conversations. Columns that are read: ``gold`` (or the first of ``GOLDS``), ``spec`` (a dict
    or JSON), ``choices``, ``problem``; and ``verifier``, where ``verifier`` is None: the columns of the view ``rl``. A None tells
    TRL to leave the row out. ``settings`` are those of ``Scorer``.
    """
    scorer = Scorer(verifier, **settings)

    def reward(completions: Sequence[Any], prompts: Sequence[Any] | None = None, **columns: Any) -> list[Reward]:
        count = len(completions)
        golds = _column(columns, (gold,) if gold else GOLDS, count)
        specs, choices = _column(columns, ("spec",), count), _column(columns, ("choices",), count)
        problems = _column(columns, ("problem", "question"), count)
        asked = prompts if prompts is not None else [None] * count
        names = _column(columns, ("verifier",), count) if scorer.verifier is None else None
        candidates = [
            candidate_of(said, golds[i], specs[i], problems[i] or asked[i], choices[i], str(i))
            for i, said in enumerate(completions)
        ]
        return scorer.rewards(candidates, names)

    reward.__name__ = f"tracemill_{(verifier or 'verdict').replace(':', '_').replace('.', '_')}"
    reward.scorer = scorer  # type: ignore[attr-defined]
    return reward


def verl(verifier: str = "answer", **settings: Any) -> Callable[..., Reward]:
    """A ``compute_score(data_source, solution_str, ground_truth, extra_info=None)`` for verl's custom reward function.

    ``extra_info`` may hold ``spec``, ``choices`` and ``question``. verl has no reward that is missing: with the default a None
    stops the training with an error of its own, and ``on_error`` chooses otherwise. ``settings`` are those of ``Scorer``.
    """
    scorer = Scorer(verifier, **settings)

    def compute_score(
        data_source: str, solution_str: str, ground_truth: Any, extra_info: Mapping[str, Any] | None = None, **_: Any
    ) -> Reward:
        return scorer.rewards([_of_verl(solution_str, ground_truth, extra_info, "0")])[0]

    compute_score.scorer = scorer  # type: ignore[attr-defined]
    return compute_score


def verl_batch(verifier: str = "answer", **settings: Any) -> Callable[..., list[Reward]]:
    """The same for verl's ``batch`` reward manager: lists in, a list out."""
    scorer = Scorer(verifier, **settings)

    def compute_score(
        data_sources: Sequence[str],
        solution_strs: Sequence[str],
        ground_truths: Sequence[Any],
        extra_infos: Sequence[Mapping[str, Any] | None] | None = None,
        **_: Any,
    ) -> list[Reward]:
        extras = extra_infos if extra_infos is not None else [None] * len(solution_strs)
        rows = zip(solution_strs, ground_truths, extras, strict=True)
        return scorer.rewards([_of_verl(said, truth, extra, str(i)) for i, (said, truth, extra) in enumerate(rows)])

    compute_score.scorer = scorer  # type: ignore[attr-defined]
    return compute_score


def prime(verifier: str = "answer", **settings: Any) -> Callable[..., Awaitable[Reward]]:
    """A reward function for ``verifiers.Rubric(funcs=[...])``, prime-rl's environments: ``await f(completion, answer, ...)``.

    ``info`` may hold ``spec`` and ``choices``. That Rubric makes 0.0 of a None, so ``on_error`` is NaN here unless told
    otherwise. ``settings`` are those of ``Scorer``.
    """
    scorer = Scorer(verifier, **{"on_error": float("nan"), **settings})

    async def reward(
        completion: Any, answer: Any = None, prompt: Any = None, info: Mapping[str, Any] | None = None, **_: Any
    ) -> Reward:
        more = info if isinstance(info, Mapping) else {}
        candidate = candidate_of(completion, answer, more.get("spec"), prompt, more.get("choices"), "0")
        return (await scorer.arewards([candidate]))[0]

    reward.__name__ = f"tracemill_{verifier.replace(':', '_').replace('.', '_')}"
    reward.scorer = scorer  # type: ignore[attr-defined]
    return reward


def candidate_of(said: Any, gold: Any, spec: Any, prompt: Any, choices: Any, name: str) -> Candidate:
    """A candidate from what trainers pass: text or messages, a gold of any plain type, a spec as dict or JSON."""
    read = json.loads(spec) if isinstance(spec, str) and spec.strip() else spec
    return Candidate(
        name,
        _text(said),
        None if gold is None else gold if isinstance(gold, str) else json.dumps(gold),
        dict(read) if isinstance(read, Mapping) else {},
        _text(prompt, role="user"),
        tuple(choices) if choices else None,
    )


def _of_verl(said: str, truth: Any, extra: Mapping[str, Any] | None, name: str) -> Candidate:
    more = extra if isinstance(extra, Mapping) else {}
    return candidate_of(said, truth, more.get("spec"), more.get("question"), more.get("choices"), name)


def _text(said: Any, role: str = "assistant") -> str:
    """The text itself, or that of the last message of ``role``."""
    if said is None or isinstance(said, str):
        return said or ""
    messages = [m if isinstance(m, Mapping) else {"role": m.role, "content": m.content} for m in said]
    for message in reversed(messages):
        if message.get("role", role) == role:
            content = message.get("content") or ""
            if isinstance(content, str):
                return content
            return "".join(part.get("text") or "" for part in content if isinstance(part, Mapping))
    return ""


def _column(columns: Mapping[str, Any], names: Sequence[str], count: int) -> list[Any]:
    for name in names:
        if name in columns:
            return list(columns[name])
    return [None] * count
