"""A chain of thought by steps, over any engine.

What must stay true: a request is named by the text that it goes on from and by its draw, so equal texts get equal answers
and a search that is run again is served from the ledger; steps joined are the text, separators included; no step ends
inside a code fence or display maths; no request may say more than its draw allows, so budgets of tokens hold exactly;
an end counts as a goal only by the problem's own verifier, and one that it could not check is ``unchecked``, not wrong.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from tracemill.schemas.enums import FinishReason, Outcome
from tracemill.schemas.errors import UsageError
from tracemill.schemas.ids import text_hash
from tracemill.schemas.records import Problem
from tracemill.tasks.domains.base import Draw, Rollout, Step
from tracemill.tasks.domains.text_prompts import (
    AGGREGATE,
    CHOOSE,
    IMPROVE,
    NEXT,
    PROPOSE,
    VOTE,
    VOTES,
    asking,
    choice_of,
    continued,
    proposals,
    vote_of,
)
from tracemill.tasks.engines.base import Completion, Sampling
from tracemill.tasks.search.drive import gather_all
from tracemill.tasks.segment import segment
from tracemill.tasks.strategies.base import Generate, Verify
from tracemill.tasks.templates import Template

#: ``paragraph`` and ``line`` end a step at a blank line and at a line break; ``heading`` before the next ``## Step``;
#: ``length`` after ``step_tokens`` tokens, wherever that is (TreePO, arXiv 2508.17445).
Segmentation = Literal["paragraph", "line", "heading", "length"]
#: How a state's next steps are had: each drawn by itself, or all proposed in one answer, a line each (Tree of Thoughts).
Expansion = Literal["sample", "propose"]

#: From a segmentation to the stop that ends a step, and to what is put back where it ended so.
STOPS: Final[Mapping[str, tuple[str, str]]] = {
    "paragraph": ("\n\n", "\n\n"),
    "line": ("\n", "\n"),
    "heading": ("\n## Step", "\n"),
    "length": ("", ""),
}
#: A step that commits to an answer ends the text.
ENDS: Final = r"\\boxed\s*\{|####|</answer>|(?i:final answer is)"
#: The finish of a text whose code did not run.
CODE_FAILED: Final = "code_failed"
UNCHECKED: Final = "unchecked"

_CODE: Final = re.compile(r"^```(?:python|py)[^\n]*\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Thoughts:
    """The steps said so far. ``finish`` is why the text ended, None while it goes on."""

    steps: tuple[str, ...] = ()
    finish: str | None = None

    @property
    def text(self) -> str:
        return "".join(self.steps)


@dataclass(frozen=True, slots=True)
class Text:
    """The domain of one attempt at one problem; ``path`` is the attempt's and ``template`` asks for a whole solution.

    A step has at most ``step_tokens`` tokens, a rollout ``rollout_tokens``; step number ``max_steps`` runs to the end of
    the text. ``continues`` tells whether the engine can go on from a text that is begun: else the steps so far are shown
    in the question. ``runs`` says of a program whether it runs: then a step whose code, after all code before it, does not
    run ends its text (rStar-Math, arXiv 2501.04519). ``same`` gives a state's key where equal text is too strict;
    ``reward`` is the domain's own value.
    """

    generate: Generate
    verify: Verify
    template: Template
    sampling: Sampling
    path: str = "0"
    continues: bool = True
    segmentation: Segmentation = "paragraph"
    expansion: Expansion = "sample"
    step_tokens: int = 256
    rollout_tokens: int = 2048
    max_steps: int = 40
    ends: str = ENDS
    runs: Callable[[str], Awaitable[bool]] | None = None
    same: Callable[[str], str | None] | None = None
    reward: Callable[[str], float | Awaitable[float]] | None = None
    vote_tokens: int = 64
    name: str = "text"
    unchecked: set[Thoughts] = field(default_factory=set, compare=False, repr=False)

    def initial(self, problem: Problem) -> Thoughts:
        return Thoughts()

    async def expand(self, state: Thoughts, k: int | None, draw: Draw) -> Sequence[Step[Thoughts]]:
        """At most ``k`` next steps, all asked at once; a request that failed gives none."""
        if k is None:
            raise UsageError("a text has no list of all its next steps", where="k", mend="say how many are wanted")
        if state.finish is not None:
            return []
        each = min(self.step_tokens, draw.max_tokens or self.step_tokens)
        if self.expansion == "propose":
            said = await self._asked(asking(self.template, PROPOSE), state, draw.first, k * each, kind="propose")
            steps = [self._step(state, line, None, 0) for line in proposals(said.text)[:k]]
            steps = [replace(steps[0], tokens=_tokens(said, k * each)), *steps[1:]] if steps else []
        else:
            count = 1 if draw.greedy else k
            drawn = await gather_all([self._next(state, draw, draw.first + i, each) for i in range(count)])
            steps = [step for step in drawn if step is not None]
            if not steps:  # no way on because no request was answered: nothing is known of this state
                self.unchecked.add(state)
        return steps if self.runs is None else await gather_all([self._running(step) for step in steps])

    async def terminal(self, state: Thoughts) -> float | None:
        if state.finish is None:
            return None
        if state.finish == CODE_FAILED:
            return 0.0
        return await self._reward(state)

    async def value(self, state: Thoughts, draw: Draw) -> float:
        if self.reward is None:
            raise UsageError(
                "a text has no value of its own", where="value", mend="use rollouts, votes or a reward verifier"
            )
        found = self.reward(state.text)
        return found if isinstance(found, int | float) else await found

    async def rollout(self, state: Thoughts, draw: Draw) -> Rollout:
        """The rest of the text in one request, and what the problem's verifier says of the whole."""
        if state.finish is not None:
            return Rollout(await self._reward(state))
        most = min(self.rollout_tokens, draw.max_tokens or self.rollout_tokens)
        sampling = replace(self.sampling, max_tokens=most)
        said = await self._asked(self._onward(), state, draw.first, most, kind="rollout", sampling=sampling)
        if said.error is not None:
            return Rollout(math.nan, _tokens(said, 0))
        whole = Thoughts((*state.steps, said.text), said.finish_reason)
        reward = await self._reward(whole)
        return Rollout(math.nan if whole in self.unchecked else reward, _tokens(said, most), said.text)

    async def vote(self, state: Thoughts, draw: Draw) -> Rollout:
        """One vote of the model on its own steps, "sure", "likely" or "impossible", as a value in [0, 1]."""
        most = min(self.vote_tokens, draw.max_tokens or self.vote_tokens)
        said = await self._asked(asking(self.template, VOTE), state, draw.first, most, kind="vote")
        if said.error is not None:
            return Rollout(math.nan, _tokens(said, 0))
        return Rollout(VOTES.get(vote_of(said.text) or "", 0.0), _tokens(said, most), said.text)

    async def choose(self, states: Sequence[Thoughts], draw: Draw) -> tuple[int | None, int]:
        """One vote of the model for the best of ``states``: its place, None where it names none, and the price in tokens."""
        most = min(self.vote_tokens, draw.max_tokens or self.vote_tokens)
        shown = Thoughts((_numbered(states),))
        said = await self._asked(asking(self.template, CHOOSE), shown, draw.first, most, kind="choose")
        return choice_of(said.text, len(states)), _tokens(said, most)

    async def improve(self, states: Sequence[Thoughts], draw: Draw) -> Step[Thoughts]:
        """The one state of ``states`` written again, better."""
        return await self._rewritten(IMPROVE, states[0].text, draw, kind="improve")

    async def aggregate(self, states: Sequence[Thoughts], draw: Draw) -> Step[Thoughts]:
        """One text that takes the best of all ``states``."""
        return await self._rewritten(AGGREGATE, _numbered(states), draw, kind="aggregate")

    def key(self, state: Thoughts) -> str | None:
        if self.same is not None and state.finish is None:
            return self.same(state.text)
        normal = " ".join(state.text.split())
        return text_hash(f"{normal}\0{state.finish is not None}")

    def show(self, state: Thoughts) -> str:
        return show_thoughts(state)

    def read(self, text: str) -> Thoughts:
        return read_thoughts(text)

    def _onward(self) -> Template:
        return continued(self.template) if self.continues else asking(self.template, NEXT)

    async def _next(self, state: Thoughts, draw: Draw, number: int, each: int) -> Step[Thoughts] | None:
        """One next step; asked on where a stop falls into a code fence or display maths."""
        last = len(state.steps) + 1 >= self.max_steps
        stop, close = STOPS[self.segmentation]
        stops = self.sampling.stop if last or not stop or not self.continues else (*self.sampling.stop, stop)
        sampling = replace(self.sampling, stop=stops, temperature=0.0 if draw.greedy else self.sampling.temperature)
        text, tokens, more = "", 0, True
        said: Completion | None = None
        while more and tokens < each:
            here = replace(state, steps=(*state.steps, text)) if text else state
            said = await self._asked(
                self._onward(), here, number, each - tokens, kind="greedy" if draw.greedy else "step", sampling=sampling
            )
            if said.error is not None:
                return None
            tokens += _tokens(said, each - tokens)
            text += said.text
            more = bool(said.text) and not last and self._inside(state.text + text, said, close)
            text += close if more else ""
        assert said is not None
        if not self.continues and not last:
            text = _first_step(text, self.segmentation)
        if last:
            return self._step(state, text, said.finish_reason, tokens, said.logprob_sum)
        cut = said.finish_reason == FinishReason.LENGTH.value
        if not text.strip() or (self.segmentation == "length" and not cut):
            return self._step(state, text, FinishReason.STOP.value, tokens, said.logprob_sum)
        return self._step(state, text, None, tokens, said.logprob_sum, whole=not (cut and self.continues))

    def _inside(self, text: str, said: Completion, close: str) -> bool:
        """Whether a step that the stop ended here would end inside a fence or display maths."""
        if not self.continues or not close or said.finish_reason != FinishReason.STOP.value:
            return False
        mode = "line" if self.segmentation == "line" else "paragraph"
        spans, _ = segment(f"{text}\n\nx", mode)
        return spans[-1][0] != len(text) + 2

    def _step(
        self,
        state: Thoughts,
        text: str,
        finish: str | None,
        tokens: int,
        logprob: float | None = None,
        whole: bool = True,
    ) -> Step[Thoughts]:
        """``text`` as a step from ``state``; a ``whole`` one that commits to an answer ends the text."""
        said = text
        if finish is None and whole:
            if re.search(self.ends, text):
                finish = FinishReason.STOP.value
            else:
                text += STOPS[self.segmentation][1]
        return Step(said.strip("\n"), Thoughts((*state.steps, text), finish), logprob, tokens)

    async def _running(self, step: Step[Thoughts]) -> Step[Thoughts]:
        code = code_of(step.state.text)
        if self.runs is None or code_of(step.state.steps[-1]) == "" or await self.runs(code):
            return step
        return replace(step, state=replace(step.state, finish=CODE_FAILED))

    async def _rewritten(self, question: str, shown: str, draw: Draw, kind: str) -> Step[Thoughts]:
        most = min(self.rollout_tokens, draw.max_tokens or self.rollout_tokens)
        state = Thoughts((shown,))
        said = await self._asked(asking(self.template, question), state, draw.first, most, kind=kind)
        found = Thoughts((said.text,), said.finish_reason)
        if said.error is not None:
            self.unchecked.add(found)
        return Step(said.text.strip("\n"), found, None, _tokens(said, most if said.error is None else 0))

    async def _reward(self, state: Thoughts) -> float:
        judged = await self.verify(state.text, state.finish or FinishReason.STOP.value)
        if judged.outcome is Outcome.ERROR:
            self.unchecked.add(state)
            return 0.0
        if judged.outcome is Outcome.CORRECT:
            return 1.0
        return min(max(judged.score or 0.0, 0.0), 0.99)

    async def _asked(
        self,
        template: Template,
        state: Thoughts,
        number: int,
        most: int,
        *,
        kind: str,
        sampling: Sampling | None = None,
    ) -> Completion:
        text = state.text
        variables = {"prefix": text or "(nothing yet)" if template.then else text}
        completion, _ = await self.generate(
            template,
            f"{self.path}/{kind}/{text_hash(text)[:20]}",
            variables=variables,
            draw=number,
            sampling=replace(sampling or self.sampling, max_tokens=most),
        )
        return completion


def show_thoughts(state: Thoughts) -> str:
    """``state`` as the table ``nodes`` holds it."""
    return json.dumps({"steps": list(state.steps), "finish": state.finish}, ensure_ascii=False)


def read_thoughts(text: str) -> Thoughts:
    """The state that ``show_thoughts`` wrote."""
    found: dict[str, Any] = json.loads(text)
    return Thoughts(tuple(found["steps"]), found["finish"])


def code_of(text: str) -> str:
    """The Python code in the fences of ``text``, in order, as one program."""
    return "\n".join(_CODE.findall(text))


def _numbered(states: Sequence[Thoughts]) -> str:
    return "\n\n".join(f"Solution {i}:\n{state.text.strip()}" for i, state in enumerate(states, 1))


def _first_step(text: str, segmentation: Segmentation) -> str:
    """The first step of an answer that may hold several."""
    text = text.lstrip("\n")
    if segmentation == "heading":
        return text.split("\n## Step", 1)[0]
    if segmentation == "length" or not text:
        return text
    spans, _ = segment(text, segmentation)
    return text[: spans[0][1]].rstrip("\n")


def _tokens(said: Completion, most: int) -> int:
    """What ``said`` cost; where the server does not say, the most that it may have cost."""
    return most if said.completion_tokens is None else said.completion_tokens
