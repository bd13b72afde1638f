r"""Equivalence classes of answers: one key for all the ways to write one, for voting and for telling boxes apart.

What must stay true: two texts with one key are equal for the ``answer`` verifier under its default options; different values
never share a key. Two equal answers without a common key cost a vote or a comparison, not a wrong verdict.
"""

from __future__ import annotations

from functools import lru_cache

from tracemill.verifiers.expression import Tree, names, read
from tracemill.verifiers.normal import noun, surface_form, tidy
from tracemill.verifiers.structure import parts

#: Deepest nesting of sequences that is read.
DEPTH = 4


@lru_cache(maxsize=16384)
def normal_form(text: str) -> str | None:
    """The key of ``text``'s equivalence class; None for nothing, a NaN or a text that is too long."""
    return _key(text, 0)


def _key(text: str, depth: int) -> str | None:
    surface = surface_form(text)
    if surface is None or not surface.startswith("s:"):
        return surface
    clean = tidy(text)
    found = parts(clean) if depth < DEPTH else None
    if found is not None:
        keys = [_item_key(item, depth + 1) for item in found.items]
        if None in keys:
            return surface
        if found.kind in ("set", "list"):
            return "l:" + ",".join(sorted(map(str, keys)))
        return f"{found.kind}:" + ",".join(map(str, keys))
    _, label, value = clean.rpartition("=")
    if (label and "=" in clean[: -len(value) - 1]) or "<" in clean or ">" in clean:
        return surface
    from tracemill.verifiers import relation  # brings mpmath, which numbers and words do without

    where = relation.region(clean)
    if where is not None and where.certain:
        return _region_key(where) or surface
    sides = relation.sides(clean)
    if sides is not None and not (len(sides) == 2 and relation.label(sides[0])):
        return surface
    tree = read(sides[1] if sides else clean)
    if tree is None:
        return surface
    return _value_key(tree) or surface


def _item_key(item: str, depth: int) -> str | None:
    """The key of an element, with the name or noun that tells it apart from its neighbours."""
    key = _key(item, depth)
    if key is None:
        return None
    clean = tidy(item)
    name, equals, _ = clean.partition("=")
    return f"{name.strip()}={key}" if equals else f"{key} {noun(clean) or ''}".rstrip()


def _value_key(tree: Tree) -> str | None:
    from tracemill.verifiers import value

    variables = names(tree)
    points = value.points(variables)[:4] if variables else [{}]
    values = [value.fingerprint(tree, point) for point in points]
    if any(v is None for v in values):
        return None
    if not variables and not str(values[0]).startswith("~"):
        return f"n:{values[0]}"
    return f"v:{','.join(sorted(variables))}:" + ";".join(map(str, values))


def _region_key(where: object) -> str | None:
    from tracemill.verifiers.relation import INFINITE, Region

    if not isinstance(where, Region):
        return None
    keys = []
    for interval in where.intervals:
        bounds = [
            bound if isinstance(bound, str) and bound.endswith(INFINITE) else _value_key(bound)
            for bound in (interval.low, interval.high)
        ]
        if None in bounds:
            return None
        keys.append(
            f"{bounds[0]}{'[' if interval.low_closed else '('}{bounds[1]}{']' if interval.high_closed else ')'}"
        )
    return f"r:{where.variable or ''}:" + "|".join(keys)
