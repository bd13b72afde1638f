"""reasoning-gym families: a problem is (family, options, seed, size, index), which rebuilds its entry anywhere.

The verifier scores with the family's own code, so ``spec`` holds exactly these five and nothing that the family could rebuild.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from difflib import get_close_matches

from tracemill.schemas.errors import UsageError
from tracemill.schemas.ids import canonical_json
from tracemill.schemas.recipe import SourceSpec
from tracemill.schemas.records import Problem

DEFAULT_SIZE = 100


def reasoning_gym(spec: SourceSpec) -> Iterator[Problem]:
    """``spec.size`` puzzles of ``spec.family``. An unknown family or option is a ``UsageError`` that lists the known ones."""
    from reasoning_gym.factory import DATASETS, create_dataset

    family, size = spec.family or "", spec.size or DEFAULT_SIZE
    if family not in DATASETS:
        near = get_close_matches(family, DATASETS, n=3)
        raise UsageError(
            f"no reasoning-gym family {family!r}" if family else "a reasoning_gym source needs a family",
            where="problems",
            mend=f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(sorted(DATASETS))}",
        )
    known = [field.name for field in dataclasses.fields(DATASETS[family][1]) if field.name not in ("seed", "size")]
    unknown = sorted(set(spec.options) - set(known))
    if unknown:
        raise UsageError(
            f"family {family!r} has no option {unknown[0]!r}",
            where="problems.options",
            mend=f"known: {', '.join(known)}",
        )
    try:
        dataset = create_dataset(family, size=size, seed=spec.seed, **spec.options)
    except (AssertionError, TypeError, ValueError) as error:
        raise UsageError(
            f"family {family!r} refuses its options: {error}", where="problems.options", mend="change the values"
        ) from error
    for index in range(size):
        entry = dataset[index]
        answer = entry["answer"]
        yield Problem(
            prompt=str(entry["question"]),
            verifier=spec.verifier or "puzzle",
            source=f"reasoning_gym/{family}",
            spec={"family": family, "options": dict(spec.options), "seed": spec.seed, "index": index, "size": size},
            gold=answer if isinstance(answer, str | None) else canonical_json(answer),
            domain=spec.domain or f"puzzle/{family}",
            source_row=f"{family}:{index}",
            licence=spec.licence or "Apache-2.0",
        )
