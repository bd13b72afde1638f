r"""How often the answer verifier is right, and how fast, beside Math-Verify on the same rows in the same run.

``python benchmarks/answers.py [--all] [--wrong] [--peer {cases,all,none}]`` reads ``../shared``: the labelled pairs of
``cases/answers.jsonl`` by source, and recorded model outputs whose answers are labelled. It prints precision and recall for
each set and pooled, the rows judged against their label, what was accepted among the hostile rows, and pairs per CPU-second
on the recorded outputs with the ratio (bound: 10).

Math-Verify gets the best of its documented wrappings for each set, chosen by accuracy on that set: the text as it came,
in ``$...$``, in ``\boxed{}``, or gold in ``$...$`` and the response as it came. What is not ``correct`` (``unparsed``,
``timeout``, ``error``, an exception) counts as not accepted, on both sides. A row whose label rests on an option of
Math-Verify's gets that option on both sides (``params``). Ours is timed with the pool's workers, its start included;
Math-Verify in this process, with its parsing warmed up. Recorded sets are a seeded sample unless ``--all``.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import io
import json
import logging
import random
import resource
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tracemill.schemas.enums import Outcome
from tracemill.verifiers.answer import check
from tracemill.verifiers.base import Candidate, Verdict
from tracemill.verifiers.pool import verify_all
from tracemill.verifiers.registry import build_verifier

SHARED = Path(__file__).resolve().parents[2] / "shared"
RECORDED = ("gsm8k_model_outputs", "svamp_model_outputs", "qwen_math_8samples")
SAMPLE = 1500
#: What a source of the labelled cases is called here, by how its name begins.
SOURCES = {
    "huggingface/Math-Verify": "Math-Verify's tests",
    "hendrycks": "hendrycks/math tests",
    "NVIDIA": "NeMo-Skills tests",
    "IAAR": "xVerify responses",
    "adversarial": "adversarial",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled pair; ``params`` are Math-Verify's options that the label rests on."""

    group: str
    gold: str
    said: str
    equal: bool
    why: str = ""
    params: dict[str, Any] = field(default_factory=dict)

    @property
    def options(self) -> dict[str, Any]:
        """The same in our terms."""
        options: dict[str, Any] = {}
        if "precision" in self.params:
            options["tolerance"] = 10.0 ** -self.params["precision"]
        if "strict" in self.params:
            options["variables"] = "named" if self.params["strict"] else "any"
        if "allow_set_relation_comp" in self.params:
            options["relations"] = "either" if self.params["allow_set_relation_comp"] else "gold"
        return options


def labelled() -> Iterator[Row]:
    """The pairs of ``cases/answers.jsonl``."""
    for line in (SHARED / "cases" / "answers.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        group = next(name for start, name in SOURCES.items() if row["source"].startswith(start))
        yield Row(group, row["gold"], row["prediction"], row["equal"], row.get("why", ""), row.get("params", {}))


def recorded(sample: int | None) -> Iterator[Row]:
    """Recorded outputs: a program by what it printed, a text as a whole."""
    for name in RECORDED:
        with gzip.open(SHARED / "datasets" / name / "outputs.jsonl.gz", "rt", encoding="utf-8") as file:
            rows = [json.loads(line) for line in file]
        if sample is not None:
            rows = random.Random(name).sample(rows, min(sample, len(rows)))
        for row in rows:
            program = "python" in (row.get("kind") or "") or "PoT" in (row.get("model") or "")
            yield Row(
                f"{name} {'results' if program else 'texts'}",
                str(row["gold"]),
                str(row["pred"]) if program else row["output"],
                bool(row["correct"]),
            )


def ours(rows: Sequence[Row], workers: int) -> tuple[list[Verdict], float]:
    """The verdicts, and CPU-seconds of this process and the workers together."""
    verifier = build_verifier("answer", time_limit=5)
    candidates = [
        Candidate(str(i), row.said, row.gold, {"options": row.options} if row.options else {})
        for i, row in enumerate(rows)
    ]
    before = cpu()
    verdicts = verify_all(verifier, candidates, workers)
    return verdicts, cpu() - before


def cpu() -> float:
    """CPU-seconds of this process and of those that it has waited for."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def in_dollars(text: str) -> str:
    return text if "$" in text or "\\boxed" in text else f"${text}$"


def in_box(text: str) -> str:
    return text if "\\boxed" in text else rf"\boxed{{{text.strip().strip('$')}}}"


def plain(text: str) -> str:
    return text


WRAPPINGS: dict[str, tuple[Callable[[str], str], Callable[[str], str]]] = {
    "as it came": (plain, plain),
    "$...$": (in_dollars, in_dollars),
    "\\boxed{}": (in_box, in_box),
    "gold in $...$": (in_dollars, plain),
}


class Peer:
    """Math-Verify, each distinct question asked once; ``seconds`` is the CPU that the questions took."""

    def __init__(self) -> None:
        import math_verify

        self._library = math_verify
        logging.disable(logging.ERROR)
        self._known: dict[str, bool] = {}
        self.seconds = 0.0
        self.asked = 0
        self.accepts(Row("", "1/2", "0.5", True), "$...$")
        self.seconds, self.asked = 0.0, 0

    def accepts(self, row: Row, wrapping: str) -> bool:
        key = json.dumps([row.gold, row.said, row.params, wrapping])
        if key not in self._known:
            wrap_gold, wrap_said = WRAPPINGS[wrapping]
            options = {k: v for k, v in row.params.items() if k in ("strict", "allow_set_relation_comp")}
            if "precision" in row.params:
                options["float_rounding"] = row.params["precision"]
            begun = time.process_time()
            # It prints, raises a BaseException for a timeout, and fails in many ways; each means "not accepted".
            try:
                with contextlib.redirect_stderr(io.StringIO()):
                    gold, said = self._library.parse(wrap_gold(row.gold)), self._library.parse(wrap_said(row.said))
                    self._known[key] = bool(self._library.verify(gold, said, **options))
            except KeyboardInterrupt:
                raise
            except BaseException:  # noqa: BLE001
                self._known[key] = False
            self.seconds += time.process_time() - begun
            self.asked += 1
        return self._known[key]


@dataclass(slots=True)
class Matrix:
    """A confusion matrix."""

    tp: int = 0
    fn: int = 0
    tn: int = 0
    fp: int = 0

    def add(self, equal: bool, accepted: bool) -> None:
        name = ("t" if equal == accepted else "f") + ("p" if accepted else "n")
        setattr(self, name, getattr(self, name) + 1)

    def __str__(self) -> str:
        said, true = self.tp + self.fp, self.tp + self.fn
        precision = f"{self.tp / said:.4f}" if said else "-"
        recall = f"{self.tp / true:.4f}" if true else "-"
        return f"{precision:>8}{recall:>8}{self.tp:>7}{self.fn:>6}{self.tn:>7}{self.fp:>5}"


def matrix(rows: Sequence[Row], accepted: Sequence[bool]) -> Matrix:
    made = Matrix()
    for row, yes in zip(rows, accepted, strict=True):
        made.add(row.equal, yes)
    return made


def short(text: str, length: int = 70) -> str:
    text = text if len(text) <= length else text[: length // 2 - 3] + " ... " + text[-length // 2 :]
    return repr(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="every recorded output, not a sample")
    parser.add_argument("--sample", type=int, default=SAMPLE, help="recorded outputs of each set")
    parser.add_argument("--wrong", action="store_true", help="list the pairs that are judged against their label")
    parser.add_argument("--peer", choices=("cases", "all", "none"), default="all", help="what Math-Verify is asked")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    if not (SHARED / "cases" / "answers.jsonl").exists():
        print(f"skipped: no labelled cases at {SHARED / 'cases'}")
        return
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in labelled():
        groups[row.group].append(row)
    cases = list(groups)
    for row in recorded(None if options.all else options.sample):
        groups[row.group].append(row)

    verdicts: dict[str, list[Verdict]] = {}
    outcomes: Counter[str] = Counter()
    for name, rows in groups.items():
        verdicts[name] = ours(rows, options.workers)[0]
        outcomes.update(v.judgement.outcome.value for v in verdicts[name])
    accepted = {name: [v.judgement.outcome is Outcome.CORRECT for v in found] for name, found in verdicts.items()}

    speed(options.peer != "none")
    settle(groups, accepted)
    if options.wrong:
        for name, rows in groups.items():
            for index, (row, verdict, yes) in enumerate(zip(rows, verdicts[name], accepted[name], strict=True)):
                if yes != row.equal:
                    print(
                        f"{'FP' if yes else 'FN'} {name} {index}: {short(row.gold)} | {short(row.said, 100)}", end=" | "
                    )
                    print(f"{short(verdict.judgement.answer or '', 60)} | {verdict.judgement.reason} | {row.why}")

    head = f"{'prec.':>8}{'recall':>8}{'TP':>7}{'FN':>6}{'TN':>7}{'FP':>5}"
    print(f"{'set':<36}{'rows':>6}  {'ours':<41}  Math-Verify\n{'':<42}  {head}  {head}  wrapping")
    peer = None if options.peer == "none" else Peer()
    pooled, pooled_peer = Matrix(), Matrix()
    for name, rows in groups.items():
        mine = matrix(rows, accepted[name])
        line = f"{name:<36}{len(rows):>6}  {mine}"
        if peer is not None and (options.peer == "all" or name in cases):
            asked = WRAPPINGS if name in cases else ("as it came", "$...$", "gold in $...$")
            found = {w: [peer.accepts(row, w) for row in rows] for w in asked}
            best = max(found, key=lambda w: sum(a == r.equal for a, r in zip(found[w], rows, strict=True)))
            line += f"  {matrix(rows, found[best])}  {best}"
            for row, yes, theirs in zip(rows, accepted[name], found[best], strict=True):
                pooled.add(row.equal, yes)
                pooled_peer.add(row.equal, theirs)
        print(line, flush=True)
    if peer is not None:
        print(f"{'pooled':<42}  {pooled}  {pooled_peer}")
    hostile = [(r, a) for r, a in zip(groups["adversarial"], accepted["adversarial"], strict=True)]
    valid = sum(r.equal for r, _ in hostile)
    print(
        f"hostile rows: {sum(a and not r.equal for r, a in hostile)} of {len(hostile) - valid} accepted;"
        f" valid rows beside them: {sum(a and r.equal for r, a in hostile)} of {valid} accepted"
    )
    print("our outcomes:", ", ".join(f"{name} {n}" for name, n in sorted(outcomes.items())))


#: Options that a contradicted label may rest on, one at a time.
SETTLING: tuple[dict[str, Any], ...] = (
    {"ordered": True},
    {"units": "strict"},
    {"several": "last"},
    {"chains": "last"},
    {"last_number": True},
    {"percent": "value"},
    {"relations": "gold"},
    {"variables": "any"},
    {"decimal_comma": False},
)


def settle(groups: dict[str, list[Row]], accepted: dict[str, list[bool]]) -> None:
    """Print how many labels the verdicts contradict in each set, and the option under which they would not."""
    print("labels contradicted, and the option that settles them:")
    for name, rows in groups.items():
        counts: Counter[str] = Counter()
        for row, yes in zip(rows, accepted[name], strict=True):
            if yes != row.equal:
                counts[f"{'accepted' if yes else 'rejected'}: {settling(row)}"] += 1
        if counts:
            print(f"  {name}: " + ", ".join(f"{n} {what}" for what, n in counts.most_common()))


def settling(row: Row) -> str:
    """The first option under which ``row`` is judged as its label says."""
    for option in SETTLING:
        found = check(Candidate("0", row.said, row.gold, {"options": {"symbolic": False, **row.options, **option}}), {})
        if (found.outcome is Outcome.CORRECT) == row.equal:
            return ", ".join(f"{name}={value}" for name, value in option.items())
    return "no option"


def speed(with_peer: bool) -> None:
    """Pairs per CPU-second on all recorded outputs (a sample of them for Math-Verify), each pair asked once of each side."""
    rng = random.Random(7)
    distinct = list({(row.gold, row.said): row for row in recorded(None)}.values())
    _, seconds = ours(distinct, 1)
    mine = len(distinct) / seconds
    print(
        f"recorded outputs: {mine:.0f} distinct pairs per CPU-second ({len(distinct)} pairs, pool and its start included)",
        end="",
    )
    if with_peer:
        peer = Peer()
        for row in rng.sample(distinct, min(400, len(distinct))):
            peer.accepts(row, "gold in $...$")
        theirs = peer.asked / peer.seconds
        print(
            f"; Math-Verify {theirs:.0f} ({peer.asked} of them, gold in $...$); ratio {mine / theirs:.1f} (bound 10)",
            end="",
        )
    print()


if __name__ == "__main__":
    sys.exit(main())
