"""reasoning-gym puzzles, scored by the family's own scorer. The ``puzzle`` verifier.

``spec`` is ``{"family", "options", "seed", "index", "size"}``: it rebuilds the entry exactly, and the gold answer must be
the entry's, or the verdict is ``error``. ``correct`` is a score of exactly 1; the column ``score`` keeps the value.

What must stay true: model text is never evaluated. Several scorers hand the answer to ``eval`` or to sympy's
``parse_expr``, which evaluates too; before those an answer must be a plain value, or plain arithmetic, or it is
``unparsed``. A scorer that fails on an answer but not on the gold has an unreadable answer; one that fails on both is
broken, and that is ``error``. One that gives full marks for nonsense is not asked: there the text must be the gold's.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from tracemill.schemas.enums import Outcome
from tracemill.schemas.errors import refuse_unknown
from tracemill.schemas.ids import canonical_json
from tracemill.verifiers.base import Candidate, Judgement, Verifier
from tracemill.verifiers.equivalence import normal_form
from tracemill.verifiers.extract import extract
from tracemill.verifiers.normal import number, tidy

VERSION: Final = "1"
#: Longest answer that a scorer is given, in characters.
LONGEST: Final = 20_000
NONSENSE: Final = "zqxj"
#: Largest exponent, and longest number in digits, in an answer that is evaluated.
EXPONENT: Final = 64
DIGITS: Final = 30
FUNCTIONS: Final = frozenset({"sin", "cos", "tan", "exp", "log", "sqrt", "Abs", "asin", "acos", "atan"})

_VALUE_NODES: Final = (
    ast.Expression, ast.Constant, ast.Name, ast.Load, ast.List, ast.Tuple, ast.UnaryOp, ast.USub, ast.UAdd,
)  # fmt: skip
_SUM_NODES: Final = (*_VALUE_NODES, ast.BinOp, ast.Add, ast.Sub)
_ARITHMETIC_NODES: Final = (
    ast.Expression, ast.Constant, ast.Name, ast.Load, ast.UnaryOp, ast.USub, ast.UAdd, ast.BinOp, ast.Add, ast.Sub,
    ast.Mult, ast.Div, ast.Pow, ast.Call,
)  # fmt: skip


def check(candidate: Candidate, config: Mapping[str, Any]) -> Judgement:
    """Extract the answer and have the family's scorer judge it."""
    spec = candidate.spec
    missing = [key for key in ("family", "options", "seed", "index", "size") if key not in spec]
    if missing:
        return Judgement(Outcome.ERROR, f"the problem's spec has no {missing[0]!r}")
    dataset = _dataset(spec["family"], canonical_json(spec["options"]), int(spec["seed"]), int(spec["size"]))
    entry = _entry(
        spec["family"], canonical_json(spec["options"]), int(spec["seed"]), int(spec["size"]), int(spec["index"])
    )
    if candidate.gold is not None and candidate.gold != _text(entry["answer"]):
        return Judgement(
            Outcome.ERROR,
            "the gold answer is not the family's: another version of reasoning-gym?",
            evidence={"entry_answer": _text(entry["answer"])[:500]},
        )
    answer, reason = _answer(candidate, _text(entry["answer"]), bool(config.get("last_number", False)))
    if answer is None:
        return Judgement(Outcome.UNPARSED, reason)
    return _score(dataset, entry, answer, str(spec["family"]))


def _text(answer: Any) -> str:
    return answer if isinstance(answer, str) else canonical_json(answer)


@lru_cache(maxsize=256)
def _dataset(family: str, options: str, seed: int, size: int) -> Any:
    import json

    from reasoning_gym.factory import create_dataset

    return create_dataset(family, seed=seed, size=size, **json.loads(options))


@lru_cache(maxsize=4096)
def _entry(family: str, options: str, seed: int, size: int, index: int) -> Mapping[str, Any]:
    entry: Mapping[str, Any] = _dataset(family, options, seed, size)[index]
    return entry


def _answer(candidate: Candidate, gold: str, last_number: bool) -> tuple[str | None, str]:
    found = extract(candidate.response, candidate.finish_reason, last_number)
    if found.answer is not None or found.how != "none" or "\n" not in gold or candidate.finish_reason == "length":
        return found.answer, found.reason
    # A grid has no line of its own: the last fenced block, or a response that is nothing but the grid.
    text = candidate.response.rpartition("</think>")[2].strip()
    if "<think>" in text:
        return None, found.reason
    fenced = text.split("```")
    if len(fenced) >= 3 and len(fenced) % 2:
        return fenced[-2].partition("\n")[2].rstrip("\n"), "fenced block"
    if text.count("\n") == gold.count("\n"):
        return text, "whole response"
    return None, found.reason


def _score(dataset: Any, entry: Mapping[str, Any], answer: str, family: str) -> Judgement:
    if len(answer) > LONGEST:
        return Judgement(Outcome.UNPARSED, f"the answer is longer than {LONGEST} characters", answer=answer)
    gate = _gate(type(dataset).__module__)
    if _gullible(dataset, entry):
        same = normal_form(answer) is not None and normal_form(answer) == normal_form(_text(entry["answer"]))
        outcome = Outcome.CORRECT if same else Outcome.INCORRECT
        return Judgement(outcome, "equal text" if same else "different text", score=float(same), answer=answer)
    best: float | None = None
    failed = ""
    for form in _forms(answer):
        if not harmless(form, gate):
            failed = failed or "the answer is not a plain value"
            continue
        try:
            score = float(dataset.score_answer(form, dict(entry)))
        # A scorer is third-party code on hostile text; whether it is broken is seen on the gold answer.
        except Exception as error:  # noqa: BLE001
            failed = f"the scorer raised {type(error).__name__}"
            if not _scores_gold(dataset, entry):
                return Judgement(Outcome.ERROR, f"the scorer of {family} fails on its own answer", answer=answer)
            continue
        best = score if best is None else max(best, score)
        if best >= 1.0:
            break
    if best is None:
        return Judgement(Outcome.UNPARSED, failed, answer=answer)
    if best == 1.0:
        return Judgement(Outcome.CORRECT, "score 1", score=best, answer=answer)
    if not 0.0 <= best < 1.0:
        return Judgement(Outcome.ERROR, "the score is not in [0, 1]", answer=answer, evidence={"score": repr(best)})
    return Judgement(Outcome.INCORRECT, "score below 1", score=best, answer=answer)


def _scores_gold(dataset: Any, entry: Mapping[str, Any]) -> bool:
    try:
        return float(dataset.score_answer(entry["answer"], dict(entry))) == 1.0
    except Exception:  # noqa: BLE001
        return False


def _gullible(dataset: Any, entry: Mapping[str, Any]) -> bool:
    """Whether the scorer gives full marks for nonsense (some take whatever is not "true" for a "false")."""
    try:
        return float(dataset.score_answer(NONSENSE, dict(entry))) >= 1.0
    # A scorer that refuses nonsense by raising is not gullible.
    except Exception:  # noqa: BLE001
        return False


def _forms(answer: str) -> list[str]:
    """The answer as written, without its delimiters, and as a plain integer where it is one."""
    clean = tidy(answer)
    forms = [answer, clean]
    value = number(clean)
    if value is not None and value.value.denominator == 1 and not value.percent:
        forms.append(str(value.value))
    return list(dict.fromkeys(form for form in forms if form))


@lru_cache(maxsize=256)
def _gate(module: str) -> str:
    """Which texts the scorers of a module may be given: ``any``, ``value`` (it evaluates) or ``arithmetic`` (by sympy)."""
    source = inspect.getsource(sys.modules[module])
    if "sympy" in source and ("parse_expr" in source or "sympify" in source):
        return "arithmetic"
    return "value" if "eval(" in source or "exec(" in source else "any"


def harmless(text: str, gate: str) -> bool:
    """Whether evaluating ``text`` as Python could do nothing but give a small value.

    Gate ``value``: text that is no Python expression, or names, literals, lists and sums of them. Gate ``arithmetic``:
    numbers, single letters and ``FUNCTIONS`` under ``+ - * / **`` with small exponents.
    """
    if gate == "any":
        return True
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError):
        return gate == "value"  # eval refuses what the parser refuses
    except (RecursionError, MemoryError):
        return False
    if gate == "value":
        return all(isinstance(node, _SUM_NODES) for node in ast.walk(tree))
    return all(isinstance(node, _ARITHMETIC_NODES) and _small(node) for node in ast.walk(tree))


def _small(node: ast.AST) -> bool:
    match node:
        case ast.Constant(value=value):
            return type(value) in (int, float) and len(repr(value)) <= DIGITS
        case ast.Name(id=name):
            return len(name) == 1 or name in FUNCTIONS or name == "pi"
        case ast.Call(func=ast.Name(id=name), args=[_], keywords=[]):
            return name in FUNCTIONS
        case ast.Call():
            return False
        case ast.BinOp(op=ast.Pow(), right=right):
            return _small_exponent(right)
    return True


def _small_exponent(node: ast.AST) -> bool:
    match node:
        case ast.UnaryOp(operand=inner):
            return _small_exponent(inner)
        case ast.BinOp(op=ast.Div(), left=left, right=right):
            return _small_exponent(left) and _small_exponent(right)
        case ast.Constant(value=int(value)):
            return value <= EXPONENT
    return False


def verifier(options: Mapping[str, Any] | None = None) -> Verifier:
    """The ``puzzle`` verifier; its one option is ``last_number`` (extraction). Raises UsageError for another."""
    given = dict(options or {})
    refuse_unknown(given, ("last_number",), "the puzzle verifier")
    return Verifier("puzzle", VERSION, check, given)
