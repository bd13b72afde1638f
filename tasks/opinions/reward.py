"""A reward model over a run's traces, by vLLM's pooling route or by what a causal model says after each step."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from tracemill.schemas import ids
from tracemill.schemas.enums import Outcome
from tracemill.schemas.errors import UsageError
from tracemill.tasks.engines.base import Completion, Engine, Request, Sampling
from tracemill.tasks.opinions.asking import Asker, Opined, Subject
from tracemill.tasks.segment import segment
from tracemill.tasks.templates import Template
from tracemill.verifiers import reward
from tracemill.verifiers.base import Judgement, Verdict

#: Alternatives that are asked for in the place of + or -.
ALTERNATIVES: Final = 20
#: Requests that a response is taken to need where each step is one.
STEPS: Final = 16


class Reward:
    """``options`` are those of ``verifiers.reward``; the model is part of the verifier's configuration.

    Steps are the trace's own (``traces.steps``), those without a letter, digit or sign left out.
    """

    def __init__(self, engine: Engine, options: Mapping[str, Any]) -> None:
        self.engine = engine
        self.options = reward.read_options(options)
        self.verifier = reward.reward({**options, reward.MODEL: engine.policy.policy_id})
        self.cost = STEPS if self.options.format == "rlhflow" else 1
        self.sampling = Sampling(temperature=0.0, max_tokens=1)
        self.template: Template | None = None
        self._asker = Asker(engine)

    def wants(self, subject: Subject) -> bool:
        return True

    async def opine(self, subject: Subject) -> Opined:
        """The aggregated score; ``unparsed`` where the server refuses the text (it is too long, say), never a score of a part."""
        steps = self._steps(subject)
        if not steps:
            return Opined(self._verdict(subject, Judgement(Outcome.UNPARSED, "no steps to score")))
        asked = reward.shown(subject.candidate.prompt, steps, self.options)
        requests, scores = [], list[float]()
        for draw, one in enumerate(asked):
            completion, row = await self._asker.ask(self._request(subject, one, draw), None)
            requests.append(row)
            if completion.error is not None:
                return Opined(self._verdict(subject, _refused(completion)), requests)
            try:
                scores += self._scores(completion, len(steps))
            except reward.Unreadable as error:
                return Opined(self._verdict(subject, Judgement(Outcome.ERROR, f"no score: {error}")), requests)
        return Opined(self._verdict(subject, reward.judged(scores, self.options, asked[0].escaped)), requests)

    def _steps(self, subject: Subject) -> list[str]:
        text = subject.candidate.response
        spans = list(subject.steps)
        if self.options.part == "final" or not spans:
            text = text.rpartition("</think>")[2] if self.options.part == "final" else text
            spans = segment(text)[0]
        steps = [text[start:end] for start, end in spans]
        return [step for step in steps if any(not c.isspace() for c in step)]

    def _scores(self, completion: Completion, steps: int) -> list[float]:
        if self.options.format != "rlhflow":
            return reward.scores_in(json.loads(completion.text), steps, self.options)
        if completion.top is None:
            raise UsageError(
                f"the {self.engine.name} engine gives no log-probabilities",
                where="verifiers.reward.options.format",
                mend="ask a server that gives top_logprobs (vLLM, llama.cpp)",
            )
        score = reward.p_plus(completion.top)
        if score is None:
            raise reward.Unreadable("the model says neither + nor - after a step")
        return [score]

    def _request(self, subject: Subject, one: reward.Shown, draw: int) -> Request:
        causal = self.options.format == "rlhflow"
        return Request(
            ids.digest("a", reward.NAME, subject.candidate.subject_id),
            "chat" if causal else "pooling",
            self.sampling,
            0,
            draw,
            messages=one.messages,
            prompt=one.prompt,
            top_logprobs=ALTERNATIVES if causal else 0,
            task=one.task,
        )

    def _verdict(self, subject: Subject, judgement: Judgement) -> Verdict:
        return self.verifier.verdict(subject.candidate.subject_id, subject.candidate.inputs_hash, judgement)


def _refused(completion: Completion) -> Judgement:
    if completion.refused:
        return Judgement(Outcome.UNPARSED, f"the reward model's server refuses the text: {completion.error}")
    return Judgement(Outcome.ERROR, f"the reward model could not be asked: {completion.error}")
