"""A stream within a length and its twin, the winning path alone: what is told of a tree, and what is dropped and why.

What must stay true: a stream that is too long loses whole dead subtrees, the largest first, and nothing else; one that is
too long without any is a drop, never a text that was cut; a stream is told only if parsing it gives its path back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from tracemill.schemas.errors import DataError
from tracemill.schemas.records import Drop
from tracemill.tasks.domains.base import Domain
from tracemill.tasks.linearize import direct, journey, prose
from tracemill.tasks.linearize.base import Linearizer, Stream, Untellable, visited_path, winning_ids
from tracemill.tasks.search.tree import Node, Tree

STAGE: Final = "linearize"
TOO_LONG: Final = "too_long"
UNFAITHFUL: Final = "unfaithful"
#: Characters to a token where no tokenizer is named.
CHARACTERS_PER_TOKEN: Final = 4


@dataclass(frozen=True, slots=True)
class Told:
    """What was told of one tree."""

    streams: tuple[Stream, ...]
    drops: tuple[Drop, ...]


def twin_of(linearizer: Linearizer) -> Linearizer:
    """The winning path alone in the grammar of ``linearizer``: ``shortcut`` for paragraphs, else ``direct``."""
    return journey.TWIN if linearizer.parse is prose.parse else direct.LINEARIZER


def tell(
    tree: Tree[Any],
    domain: Domain[Any],
    linearizers: Sequence[Linearizer],
    *,
    most: int | None = None,
    count: Callable[[str], int] = len,
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Told:
    """The streams of ``tree`` of at most ``most`` tokens by ``count``, and a drop for each that cannot be had.

    The twin of each is told beside it, asked for or not. ``options`` are by linearizer.
    """
    told: dict[str, Stream] = {}
    drops: list[Drop] = []
    asked = {one.name: one for linearizer in linearizers for one in (twin_of(linearizer), linearizer)}
    for name, linearizer in asked.items():
        try:
            stream = fit(linearizer, tree, domain, most, count, (options or {}).get(name, {}))
            if not faithful(linearizer, tree, stream):
                raise Untellable(UNFAITHFUL)
            told[name] = stream
        except Untellable as reason:
            drops.append(Drop(tree.tree_id, STAGE, str(reason), name))
    return Told(tuple(told.values()), tuple(drops))


def faithful(linearizer: Linearizer, tree: Tree[Any], stream: Stream) -> bool:
    """Whether parsing ``stream`` gives back the path that it tells."""
    try:
        return linearizer.parse(stream.text) == visited_path(tree, stream)
    except DataError:
        return False


def fit(
    linearizer: Linearizer,
    tree: Tree[Any],
    domain: Domain[Any],
    most: int | None,
    count: Callable[[str], int] = len,
    options: Mapping[str, Any] | None = None,
) -> Stream:
    """The stream of ``tree``, without its largest dead subtrees where it is longer than ``most``.

    Raises ``Untellable`` (``too_long``) where it is too long without any.
    """

    def write(skip: frozenset[str]) -> Stream:
        return linearizer.write(tree, domain, skip=skip, options=options or {})

    whole = write(frozenset())
    if most is None or within(whole.text, most, count):
        return whole
    if not tree.goals():
        raise Untellable(TOO_LONG)  # a search that found nothing may not leave out where it looked
    found = shortened(whole, tree, write, lambda text: within(text, most, count))
    if not within(found.text, most, count):
        raise Untellable(TOO_LONG)
    return found


def within(text: str, most: int, count: Callable[[str], int]) -> bool:
    """Whether ``text`` has at most ``most`` tokens by ``count``; one of fewer ASCII characters has, and is not counted."""
    return (text.isascii() and len(text) < most) or count(text) <= most


def shortened(
    whole: Stream,
    tree: Tree[Any],
    write: Callable[[frozenset[str]], Stream],
    fits: Callable[[str], bool],
) -> Stream:
    """``whole``, or what ``write`` tells without as few of the dead subtrees as it takes, the largest first, until it
    ``fits``; without any of them where none does.
    """
    if fits(whole.text):
        return whole
    dead = dead_subtrees(whole, tree)
    few, many = 0, len(dead)  # too long without ``few``; the answer lies in (few, many]
    best = write(frozenset(dead))
    while many - few > 1:
        middle = (few + many) // 2
        tried = write(frozenset(dead[:middle]))
        if fits(tried.text):
            many, best = middle, tried
        else:
            few = middle
    return best


def dead_subtrees(stream: Stream, tree: Tree[Any]) -> list[str]:
    """The roots of the subtrees that ``stream`` tells and that no way to a goal touches, those with the most text first."""
    kept = winning_ids(tree) | {tree.root.node_id}
    size: Counter[str] = Counter()
    for segment in stream.segments:
        node: Node[Any] | None = tree.nodes[segment.node_id]
        top: str | None = None
        while node is not None and node.node_id not in kept:
            top, node = node.node_id, node.parent
        if top is not None:
            size[top] += segment.end - segment.start
    return [node_id for node_id, _ in size.most_common()]


@lru_cache(maxsize=4)
def token_counter(tokenizer: str | None) -> Callable[[str], int]:
    """How many tokens a text has by the tokenizer of that name; without one, a quarter of its characters."""
    if tokenizer is None:
        return lambda text: -(-len(text) // CHARACTERS_PER_TOKEN)
    from tracemill.tasks.tokenizer import load_tokenizer

    encoder = load_tokenizer(tokenizer)
    return lambda text: len(encoder.encode(text))
