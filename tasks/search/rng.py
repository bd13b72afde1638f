"""Small seeded randomness that compiled code and Python draw alike: SplitMix64 (Steele, Lea and Flood, OOPSLA 2014)."""

from __future__ import annotations

from typing import Final, TypeVar

T = TypeVar("T")
MASK: Final = (1 << 64) - 1
GOLDEN: Final = 0x9E3779B97F4A7C15


def mix(*parts: int) -> int:
    """63 bits that depend on every one of ``parts``."""
    state = 0
    for part in parts:
        state = _scramble((state + (part & MASK) + GOLDEN) & MASK)
    return state >> 1


class SplitMix:
    """A stream of 64-bit numbers; equal seeds give equal streams."""

    __slots__ = ("state",)

    def __init__(self, seed: int) -> None:
        self.state = seed & MASK

    def next(self) -> int:
        self.state = (self.state + GOLDEN) & MASK
        return _scramble(self.state)

    def below(self, n: int) -> int:
        """A number in [0, n): the high bits of a 32-bit draw times ``n``."""
        return ((self.next() >> 32) * n) >> 32

    def uniform(self) -> float:
        """A number in [0, 1)."""
        return (self.next() >> 11) / float(1 << 53)

    def shuffle(self, items: list[T]) -> None:
        """Fisher and Yates, from the end."""
        for i in range(len(items) - 1, 0, -1):
            j = self.below(i + 1)
            items[i], items[j] = items[j], items[i]

    def sample(self, items: list[T], k: int) -> list[T]:
        """``k`` different places of ``items``, in the order drawn."""
        left = list(items)
        for i in range(min(k, len(left))):
            j = i + self.below(len(left) - i)
            left[i], left[j] = left[j], left[i]
        return left[:k]


def _scramble(z: int) -> int:
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)
