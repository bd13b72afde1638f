"""A model as a judge: asks what the gate lets through, and keeps its critiques (GenRM, 2408.15240; algorithms §2.7)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tracemill.schemas import ids
from tracemill.schemas.enums import Outcome
from tracemill.schemas.errors import UsageError
from tracemill.schemas.records import Problem
from tracemill.tasks.engines.base import Engine, Request, Sampling
from tracemill.tasks.opinions.asking import DECIDED, Asker, Opined, Subject
from tracemill.tasks.templates import Template, render
from tracemill.verifiers import judge
from tracemill.verifiers.base import Judgement

#: Alternatives that are asked for in the place of the verdict: the most that vLLM and OpenAI give.
ALTERNATIVES: Final = 20


class Judge:
    """``options`` are those of ``verifiers.judge``; the model is part of the verifier's configuration."""

    def __init__(self, engine: Engine, options: Mapping[str, Any]) -> None:
        self.engine = engine
        self.options = judge.read_options(options)
        self.verifier = judge.judge({**options, judge.MODEL: engine.policy.policy_id})
        words = self.options.mode == "probability"
        self.cost = 1 if words else self.options.n
        self.sampling = (
            Sampling(temperature=0.0, max_tokens=1)
            if words
            else Sampling(temperature=self.options.temperature, max_tokens=self.options.max_tokens)
        )
        self.template = Template("judge", user="{{request}}", system=judge.SYSTEM)
        self._asker = Asker(engine)

    def wants(self, subject: Subject) -> bool:
        return self.options.decided or subject.outcome not in DECIDED

    async def opine(self, subject: Subject) -> Opined:
        """The gate's verdict, or the model's; a request that fails is an ``error``."""
        candidate = subject.candidate
        known, shown = judge.gate(candidate, self.options)
        if known is not None:
            return Opined(self.verifier.verdict(candidate.subject_id, candidate.inputs_hash, known))
        said = judge.prompt(candidate, shown, self.options)
        texts, requests, alternatives = [], [], None
        for draw in range(self.cost):
            completion, row = await self._asker.ask(self._request(subject, said, draw), {"request": said})
            requests.append(row)
            if completion.error is not None:
                judgement = Judgement(Outcome.ERROR, f"the judge could not be asked: {completion.error}")
                return Opined(self._verdict(subject, judgement), requests)
            texts.append(completion.text)
            alternatives = completion.top
        if self.options.mode == "probability":
            if alternatives is None:
                raise UsageError(
                    f"the {self.engine.name} engine gives no log-probabilities",
                    where="verifiers.judge.options.mode",
                    mend="set mode: critiques, or ask a server that gives top_logprobs (vLLM, llama.cpp)",
                )
            judgement = judge.by_probability(judge.p_yes(alternatives), self.options, shown)
            return Opined(self._verdict(subject, judgement), requests)
        verdicts = [judge.verdict_in(text) for text in texts]
        judgement = judge.by_critiques(verdicts, self.options, shown)
        critiques = [self._critique(subject, i, t, v) for i, (t, v) in enumerate(zip(texts, verdicts, strict=True))]
        return Opined(self._verdict(subject, judgement), requests, critiques)

    def _verdict(self, subject: Subject, judgement: Judgement) -> Any:
        return self.verifier.verdict(subject.candidate.subject_id, subject.candidate.inputs_hash, judgement)

    def _request(self, subject: Subject, said: str, draw: int) -> Request:
        problem = Problem(subject.candidate.prompt, judge.NAME, judge.NAME)
        asked = render(self.template, problem, {"request": said})
        name = ids.digest("a", judge.NAME, subject.candidate.subject_id)
        seed = ids.derive_seed(0, ids.digest("prompt", said), draw)
        top = ALTERNATIVES if self.options.mode == "probability" else 0
        return Request(
            name,
            asked.route,
            self.sampling,
            seed,
            draw,
            messages=asked.messages,
            top_logprobs=top,
            template_id=self.template.template_id,
        )

    def _critique(self, subject: Subject, draw: int, text: str, verdict: bool | None) -> dict[str, Any]:
        said = None if verdict is None else (Outcome.CORRECT if verdict else Outcome.INCORRECT).value
        label = subject.outcome if subject.outcome in DECIDED else None
        return {
            "critique_id": ids.digest("q", self.verifier.config_hash, subject.candidate.subject_id, draw, text),
            "subject_id": subject.candidate.subject_id,
            "text": text,
            "verdict": said,
            "label": label,
            "agrees": None if label is None or said is None else label == said,
        }
