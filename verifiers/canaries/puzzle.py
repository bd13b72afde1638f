"""Canaries of the puzzle verifier: a family with one answer, one with many, and one whose scorer evaluates."""

from __future__ import annotations

from typing import Any

from tracemill.verifiers.base import Candidate
from tracemill.verifiers.canaries.base import Suite, suite_of

_SEED, _SIZE = 3, 2


def suite() -> Suite:
    """Built from reasoning-gym's own entries, so that they follow its version."""
    total, sums = _entry("chain_sum")
    solution, countdown = _entry("countdown")
    target = str(countdown["metadata"]["target"])
    used = [str(number) for number in countdown["metadata"]["numbers"]]
    word, words = _entry("word_sorting")
    good = [
        _candidate("the sum", sums, f"\\boxed{{{total}}}"),
        _candidate("the sum after a thought", sums, f"<think>1? \\boxed{{1}}</think><answer>{total}</answer>"),
        _candidate("the solution", countdown, f"<answer>{solution}</answer>"),
        _candidate("the solution in brackets", countdown, f"<answer>({solution})</answer>"),
        _candidate("the words in order", words, f"<answer>{word}</answer>"),
    ]
    bad = [
        _candidate("one more", sums, f"\\boxed{{{int(total) + 1}}}"),
        _candidate("the other sign", sums, f"\\boxed{{{-int(total)}}}"),
        _candidate("a sum among others", sums, f"\\boxed{{{total}}} or \\boxed{{{int(total) + 1}}}"),
        _candidate("a thought alone", sums, f"<think>\\boxed{{{total}}}"),
        _candidate("nonsense", sums, "<answer>zqxj</answer>"),
        _candidate("the target itself", countdown, f"<answer>{target}</answer>"),
        _candidate("numbers that were not given", countdown, f"<answer>{int(target) - 1} + 1</answer>"),
        _candidate("a number twice", countdown, f"<answer>{solution} + {used[0]} - {used[0]}</answer>"),
        _candidate("half of the numbers", countdown, f"<answer>{' + '.join(used[:2])}</answer>"),
        _candidate("code", countdown, f"<answer>__import__('builtins').int('{target}')</answer>"),
        _candidate("an attribute", countdown, f"<answer>({target}).real</answer>"),
        _candidate("words as they came", words, f"<answer>{', '.join(words['metadata']['original_words'])}</answer>"),
        _candidate("nothing", words, ""),
    ]
    return suite_of(good, bad)


def _entry(family: str) -> tuple[str, dict[str, Any]]:
    import reasoning_gym

    entry = reasoning_gym.create_dataset(family, seed=_SEED, size=_SIZE)[0]
    return str(entry["answer"]), {**entry, "family": family}


def _candidate(name: str, entry: dict[str, Any], response: str) -> Candidate:
    spec = {"family": entry["family"], "options": {}, "seed": _SEED, "index": 0, "size": _SIZE}
    return Candidate(f"{entry['family']}: {name}", response, str(entry["answer"]), spec, str(entry["question"]))
