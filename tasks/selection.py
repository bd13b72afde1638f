"""Choosing one answer among N attempts: best-of-N, majority, and votes weighted by a score; how often each is right.

What must stay true: an estimate is over the stored attempts, without replacement; answers are grouped by the equivalence
class of the verifier, and an attempt without one has no vote; ties are shared evenly (algorithms §1.3, §2.2, §2.5).
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import duckdb

#: Random subsets that an estimate without a closed form is the mean of (PRM800K's evaluator takes as many).
DRAWS = 400


@dataclass(frozen=True, slots=True)
class Attempt:
    """One scored attempt at a problem: its answer's class (None without an answer), whether that is right, and a score."""

    answer: Hashable | None
    correct: bool
    score: float = 0.0


def best_of_n(attempts: Sequence[Attempt], n: int) -> float:
    """How often the best-scored of ``n`` random attempts is right, exactly; of equal scores each is as good as the other.

    With the scores in falling order the r-th of m attempts is the best of a random subset with the chance
    C(m - r, n - 1) / C(m, n) (§1.3). Raises ValueError where there are not ``n`` attempts.
    """
    total = len(attempts)
    if not 1 <= n <= total:
        raise ValueError(f"best of {n} among {total} attempts")
    ordered = sorted(attempts, key=lambda attempt: -attempt.score)
    chance, rank, found = n / total, 1, 0.0  # chance: that the attempt of this rank is the best
    for _, group in groupby(ordered, key=lambda attempt: attempt.score):
        tied, share = list(group), 0.0
        for _ in tied:
            share += chance
            chance *= (total - rank - n + 1) / (total - rank) if rank < total else 0.0
            rank += 1
        found += share * sum(attempt.correct for attempt in tied) / len(tied)
    return found


def majority_of_n(attempts: Sequence[Attempt], n: int, draws: int = DRAWS, seed: int = 0) -> float:
    """maj@n: how often the most frequent answer of ``n`` random attempts is right, over ``draws`` subsets (§2.2)."""
    return _voted(attempts, n, draws, seed, lambda attempt: 1.0, None)


def weighted_of_n(
    attempts: Sequence[Attempt], n: int, draws: int = DRAWS, seed: int = 0, top: int | None = None
) -> float:
    """The same with each vote weighted by its score, which must not be negative; with ``top``, of the best-scored so many
    alone and unweighted (Cobbe et al. 2110.14168: voting among the top; §2.5)."""
    if top is None and any(attempt.score < 0 for attempt in attempts):
        raise ValueError("a weight below 0: give probabilities, or vote among the top")
    return _voted(attempts, n, draws, seed, (lambda a: 1.0) if top is not None else (lambda a: a.score), top)


def _voted(
    attempts: Sequence[Attempt], n: int, draws: int, seed: int, weight: Callable[[Attempt], float], top: int | None
) -> float:
    if not 1 <= n <= len(attempts):
        raise ValueError(f"a vote of {n} among {len(attempts)} attempts")
    rng = random.Random(seed)
    right = {attempt.answer: attempt.correct for attempt in attempts}
    won = 0.0
    for _ in range(1 if n == len(attempts) else draws):
        chosen: Sequence[Attempt] = rng.sample(attempts, n)
        if top is not None:
            chosen = sorted(chosen, key=lambda attempt: -attempt.score)[:top]
        votes: dict[Hashable, float] = defaultdict(float)
        for attempt in chosen:
            if attempt.answer is not None:
                votes[attempt.answer] += weight(attempt)
        if votes:
            most = max(votes.values())
            leaders = [answer for answer, count in votes.items() if count == most]
            won += sum(right[answer] for answer in leaders) / len(leaders)
    return won / (1 if n == len(attempts) else draws)


def peak(curve: Mapping[int, float]) -> int:
    """The N at which to stop: of the best values the smallest N. Beyond it a score that is not the truth is over-optimised."""
    return min(curve, key=lambda n: (-curve[n], n))


_SCORED = """
SELECT a.problem_id, answer_class(w.answer) AS answer, a.outcome = 'correct' AS correct, v.score
FROM attempts a
JOIN answers w ON w.run = a.run AND w.trace_id = a.trace_id
JOIN current_verdicts v ON v.run = a.run AND v.subject_id = a.trace_id AND v.verifier = $verifier
WHERE a.error IS NULL AND a.apart IS NULL AND a.outcome NOT IN ('error', 'disputed') AND v.score IS NOT NULL
ORDER BY a.problem_id, a.trace_id
"""


def curves(connection: duckdb.DuckDBPyConnection, verifier: str) -> dict[str, dict[int, float]]:
    """best-of-N, majority and weighted vote by N (1, 2, 4 ...), over the attempts that a rule decided and ``verifier`` scored.

    Each is the mean over the problems that have as many attempts as the smallest; ``{}`` where nothing was scored so.
    """
    problems: dict[str, list[Attempt]] = defaultdict(list)
    for problem, answer, correct, score in connection.execute(_SCORED, {"verifier": verifier}).fetchall():
        problems[problem].append(Attempt(answer, correct, score))
    if not problems:
        return {}
    least = min(map(len, problems.values()))
    ns = [2**i for i in range(least.bit_length()) if 2**i <= least]
    ways = {"best_of_n": best_of_n, "majority": majority_of_n}
    if all(attempt.score >= 0 for attempts in problems.values() for attempt in attempts):
        ways["weighted"] = weighted_of_n
    return {
        name: {n: sum(way(attempts, n) for attempts in problems.values()) / len(problems) for n in ns}
        for name, way in ways.items()
    }
