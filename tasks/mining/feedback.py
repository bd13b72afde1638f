"""What a verifier found, in words that a corrector can be given: never the gold answer, never hidden tests.

Only named fields of the evidence are told, because others (a puzzle's own entry, the comparison) may hold the solution.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

#: Longest feedback, in characters; the beginning says most.
LONGEST: Final = 2000

#: Longest answer that is repeated; what is longer is a program or a proof.
ANSWER: Final = 200

#: Fields of the evidence that hold what the candidate's own code or proof brought about, in the order they are told.
TOLD: Final = ("error", "message", "errors", "messages", "diagnostics", "traceback", "stderr", "failure", "failed_test")


def feedback(reason: str, evidence: str, gold: str | None = None) -> str:
    """The feedback of one verdict; ``evidence`` is its JSON. With ``gold``, a part that would give it away is left out."""
    found: Mapping[str, Any] = json.loads(evidence or "{}")
    answer = found.get("answer")
    told = [_text(found[name]) for name in TOLD if found.get(name)]
    if "raised" in reason and isinstance(found.get("got"), str):
        told.append(found["got"])  # what the exception said; a wrong value would need the hidden test beside it
    if isinstance(answer, str) and len(answer) <= ANSWER and "\n" not in answer:
        parts = [f"The answer {answer} is not correct.", *told]
    else:
        parts = [f"This attempt is not correct: {reason}.", *told]
    kept = [part for part in parts if not _reveals(part, gold, answer)]
    return "\n".join(kept or ["This attempt is not correct."])[:LONGEST]


def _reveals(part: str, gold: str | None, answer: Any) -> bool:
    gold = (gold or "").strip()
    if not gold or gold not in part:
        return False
    return answer is None or gold not in str(answer)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list):
        return "\n".join(_text(item) for item in value)
    if isinstance(value, dict):
        head = ":".join(str(value[key]) for key in ("line", "column") if key in value)
        said = value.get("text") or value.get("message") or value.get("data") or json.dumps(value, ensure_ascii=False)
        return f"{head}: {said}" if head else str(said)
    return str(value)
