"""Independent samples: one draw, one attempt (ancestral sampling, algorithms §2.1).

Self-consistency samples in the same way; what differs is the vote that labelling takes afterwards (§2.2).
"""

from __future__ import annotations

from tracemill.schemas.enums import TraceKind
from tracemill.tasks.strategies.base import Context, Draft


async def samples(context: Context) -> list[Draft]:
    """One completion of the plain prompt."""
    path = str(context.index)
    completion, seed = await context.generate(context.template, path)
    return [Draft(path, TraceKind.SAMPLE, context.template, completion, seed)]
