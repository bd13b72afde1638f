"""Compiled Stream of Search: an instance, its search and its text in one pass, for hundreds of thousands of streams.

What must stay true: stream ``i`` of a seed is, byte for byte, what ``domains.countdown_instances``, the searches
``depth_first`` and ``breadth_first`` and the linearizer ``stream_of_search`` give for it (a test compares them); nothing
depends on how the streams are cut into chunks. Everything here is ASCII, so bytes are code points.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numba import njit

#: Longest text and most segments of one stream of four numbers, with room to spare.
LONGEST: Final = 1 << 19
MOST_SEGMENTS: Final = 1 << 13

#: Kinds of segments, as places in the order in which ``bulk`` names them.
SETUP, OK, BAD, BACKTRACK, VERIFY, FINAL = range(6)


def _compiled(function: Callable[..., Any]) -> Any:
    return njit(cache=True, nogil=True)(function)


def _text(text: str) -> Any:
    return np.frombuffer(text.encode(), dtype=np.uint8)


_CURRENT: Final = _text("Current State: ")
_OPERATIONS: Final = _text(", Operations: [")
_EXPLORING: Final = _text("Exploring Operation: ")
_RESULTING: Final = _text(", Resulting Numbers: ")
_GENERATED: Final = _text("Generated Node #")
_OPERATION: Final = _text(" Operation: ")
_MOVING: Final = _text("Moving to Node #")
_UNEQUAL: Final = _text(" unequal: No Solution\n")
_EQUAL: Final = _text(" equal: Goal Reached\n")
_NOTHING: Final = _text("No solution found.\n")
_SIGNS: Final = _text("+*-/")
_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_M1: Final = np.uint64(0xBF58476D1CE4E5B9)
_M2: Final = np.uint64(0x94D049BB133111EB)


@_compiled
def _scramble(z):
    z = (z ^ (z >> np.uint64(30))) * _M1
    z = (z ^ (z >> np.uint64(27))) * _M2
    return z ^ (z >> np.uint64(31))


@_compiled
def mix2(a, b):
    """``rng.mix(a, b)``."""
    return _scramble(_scramble(np.uint64(a) + _GOLDEN) + np.uint64(b) + _GOLDEN) >> np.uint64(1)


@_compiled
def _below(state, n):
    state[0] += _GOLDEN
    return np.int64(((_scramble(state[0]) >> np.uint64(32)) * np.uint64(n)) >> np.uint64(32))


@_compiled
def _two(a, b, t):
    if a + b == t or a * b == t or a - b == t or b - a == t:
        return True
    if a >= b:
        return b != 0 and a == b * t
    return a != 0 and b == a * t


@_compiled
def _three(a, b, c, t):
    for pair in range(3):
        x, y, z = (a, b, c) if pair == 0 else ((a, c, b) if pair == 1 else (b, c, a))
        if x < y:
            x, y = y, x
        if _two(x + y, z, t) or _two(x * y, z, t) or _two(x - y, z, t):
            return True
        if y != 0 and x % y == 0 and _two(x // y, z, t):
            return True
    return False


@_compiled
def solvable4(numbers, t):
    """Whether ``t`` can be reached from four numbers."""
    for i in range(4):
        for j in range(i + 1, 4):
            k = 0
            while k in (i, j):
                k += 1
            m = 6 - i - j - k
            x, y, u, v = numbers[i], numbers[j], numbers[k], numbers[m]
            if x < y:
                x, y = y, x
            if _three(u, v, x + y, t) or _three(u, v, x * y, t) or _three(u, v, x - y, t):
                return True
            if y != 0 and x % y == 0 and _three(u, v, x // y, t):
                return True
    return False


@_compiled
def _put(out, at, text):
    for i in range(text.size):
        out[at + i] = text[i]
    return at + text.size


@_compiled
def _put_number(out, at, n):
    digits = 1
    m = n
    while m >= 10:
        m //= 10
        digits += 1
    for i in range(digits - 1, -1, -1):
        out[at + i] = 48 + n % 10
        n //= 10
    return at + digits


@_compiled
def _put_list(out, at, numbers, n):
    out[at] = 91
    at += 1
    for i in range(n):
        if i:
            out[at], out[at + 1] = 44, 32
            at += 2
        at = _put_number(out, at, numbers[i])
    out[at] = 93
    return at + 1


@_compiled
def _put_step(out, at, step):
    at = _put_number(out, at, step[0])
    out[at] = _SIGNS[step[1]]
    at = _put_number(out, at + 1, step[2])
    out[at] = 61
    return _put_number(out, at + 1, step[3])


@_compiled
def _put_id(out, at, code):
    out[at] = 48
    at += 1
    for shift in (10, 5, 0):
        digit = (code >> shift) & 31
        if digit:
            out[at] = 44
            at = _put_number(out, at + 1, digit - 1)
    return at


@_compiled
def _put_current(out, at, target, numbers, n, steps, depth):
    at = _put_number(out, _put(out, at, _CURRENT), target)
    out[at] = 58
    at = _put(out, _put_list(out, at + 1, numbers, n), _OPERATIONS)
    for i in range(depth):
        if i:
            out[at], out[at + 1] = 44, 32
            at += 2
        out[at] = 39
        at = _put_step(out, at + 1, steps[i])
        out[at] = 39
        at += 1
    out[at], out[at + 1] = 93, 10
    return at + 2


@_compiled
def _put_move(out, at, code):
    at = _put_id(out, _put(out, at, _MOVING), code)
    out[at] = 10
    return at + 1


@_compiled
def _put_child(out, at, target, numbers, n, step, code):
    """The lines about a child, without the line of an end."""
    at = _put_step(out, _put(out, at, _EXPLORING), step)
    at = _put_list(out, _put(out, at, _RESULTING), numbers, n)
    out[at] = 10
    at += 1
    if n > 1:
        at = _put_id(out, _put(out, at, _GENERATED), code)
        out[at], out[at + 1] = 58, 32
        at = _put_number(out, at + 2, target)
        out[at] = 58
        at = _put(out, _put_list(out, at + 1, numbers, n), _OPERATION)
        at = _put_step(out, at, step)
        out[at] = 10
        at += 1
    return at


@_compiled
def _put_end(out, at, number, target):
    at = _put_number(out, at, number)
    out[at] = 44
    at = _put_number(out, at + 1, target)
    return _put(out, at, _EQUAL if number == target else _UNEQUAL)


@_compiled
def _distance(numbers, n, target, factors, count, mult):
    """The heuristic h, as ``domains.countdown.heuristic`` has it."""
    total = 0.0
    for i in range(n):
        if mult:
            best = abs(numbers[i] - factors[0])
            for f in range(1, count):
                best = min(best, abs(numbers[i] - factors[f]))
            total += best
        else:
            total += abs(numbers[i] - target)
    return total if mult else total / n


@_compiled
def _children(numbers, n, target, factors, count, mult, steps, kept, h, order):
    """Every step from ``numbers`` with its h; ``order`` sorts them by h, equal ones as they came. Returns how many."""
    made = 0
    for i in range(n):
        for j in range(i + 1, n):
            a, b = numbers[i], numbers[j]
            large, small = (b, a) if a <= b else (a, b)
            for sign in range(4):
                if sign == 3 and (small == 0 or large % small != 0):
                    continue
                x, y = (a, b) if sign < 2 else (large, small)
                z = x + y if sign == 0 else (x * y if sign == 1 else (x - y if sign == 2 else x // y))
                steps[made, 0], steps[made, 1], steps[made, 2], steps[made, 3] = x, sign, y, z
                at = 0
                for k in range(n):
                    if k != i and k != j:
                        kept[made, at] = numbers[k]
                        at += 1
                kept[made, at] = z
                h[made] = _distance(kept[made], n - 1, target, factors, count, mult)
                made += 1
    for i in range(made):
        k = i
        while k > 0 and h[order[k - 1]] > h[i]:
            order[k] = order[k - 1]
            k -= 1
        order[k] = i
    return made


@_compiled
def _segment(segments, used, start, end, kind, code):
    if used > 0 and segments[used - 1, 2] == kind and segments[used - 1, 3] == code:
        segments[used - 1, 1] = end
        return used
    segments[used, 0], segments[used, 1], segments[used, 2], segments[used, 3] = start, end, kind, code
    return used + 1


@_compiled
def _depth_first(target, start, factors, count, mult, out, at, segments, tally, way):
    """Tell a depth-first search from ``at`` on. Returns (end of the text, segments, code of the goal or -1).

    ``tally`` takes the children looked at, backtracks, dead ends and the code of the best end; ``way`` the steps to the goal, each
    with the numbers that it leaves.
    """
    begin = at
    nearest = np.inf
    numbers = np.zeros((4, 4), np.int64)
    path = np.zeros((4, 4), np.int64)
    codes = np.zeros(4, np.int64)
    steps = np.zeros((3, 24, 4), np.int64)
    kept = np.zeros((3, 24, 4), np.int64)
    h = np.zeros((3, 24))
    order = np.zeros((3, 24), np.int64)
    worth = np.zeros(3, np.int64)
    turn = np.zeros(3, np.int64)
    numbers[0] = start
    used = 0
    level = 0
    at = _put_current(out, at, target, numbers[0], 4, path, 0)
    used = _segment(segments, used, 0, at - begin, SETUP, 0)
    fresh = True
    while level >= 0:
        n = 4 - level
        if fresh:
            made = _children(
                numbers[level], n, target, factors, count, mult, steps[level], kept[level], h[level], order[level]
            )
            worth[level] = 0
            while worth[level] < made and h[level, order[level, worth[level]]] <= target:
                worth[level] += 1
            turn[level] = 0
            fresh = False
        if turn[level] == worth[level]:
            level -= 1
            continue
        if turn[level] > 0:
            was = at
            at = _put_move(out, at, codes[level])
            at = _put_current(out, at, target, numbers[level], n, path, level)
            used = _segment(segments, used, was - begin, at - begin, BACKTRACK, codes[level])
            tally[1] += 1
        child = order[level, turn[level]]
        code = (codes[level] << 5) | (turn[level] + 1)
        turn[level] += 1
        was = at
        at = _put_child(out, at, target, kept[level, child], n - 1, steps[level, child], code)
        used = _segment(segments, used, was - begin, at - begin, BAD, code)
        tally[0] += 1
        was = at
        if n == 2:
            number = kept[level, child, 0]
            at = _put_end(out, at, number, target)
            goal = number == target
            used = _segment(segments, used, was - begin, at - begin, FINAL if goal else VERIFY, code)
            if goal or h[level, child] < nearest:
                nearest = h[level, child]
                tally[3] = code
            if goal:
                way[:2, :4] = path[:2]
                way[:2, 4:] = numbers[1:3]
                way[2, :4], way[2, 4:] = steps[level, child], kept[level, child]
                return at, used, code
            tally[2] += 1
            continue
        path[level] = steps[level, child]
        numbers[level + 1] = kept[level, child]
        level += 1
        codes[level] = code
        at = _put_move(out, at, code)
        at = _put_current(out, at, target, numbers[level], n - 1, path, level)
        used = _segment(segments, used, was - begin, at - begin, BAD, code)
        fresh = True
    return at, used, -1


@_compiled
def _breadth_first(target, start, factors, count, mult, width, seed, out, at, segments, tally, way):
    """As ``_depth_first``, of the best ``width`` children of the best ``width`` nodes; ``width`` is 5 at most."""
    begin = at
    nearest = np.inf
    numbers = np.zeros((64, 4), np.int64)
    paths = np.zeros((64, 3, 4), np.int64)
    depths = np.zeros(64, np.int64)
    codes = np.zeros(64, np.int64)
    waiting = np.zeros(64, np.bool_)
    worth = np.zeros(64)
    steps = np.zeros((24, 4), np.int64)
    kept = np.zeros((24, 4), np.int64)
    h = np.zeros(24)
    order = np.zeros(24, np.int64)
    round_ = np.zeros(8, np.int64)
    state = np.zeros(1, np.uint64)
    state[0] = mix2(seed, 0)
    numbers[0] = start
    waiting[0] = True
    made_nodes = 1
    used = 0
    here = -1
    while True:
        taken = 0
        while taken < width:
            best = -1
            for i in range(made_nodes):
                if waiting[i] and (best < 0 or worth[i] < worth[best]):
                    best = i
            if best < 0:
                break
            waiting[best] = False
            round_[taken] = best
            taken += 1
        if taken == 0:
            break
        for r in range(taken):
            node = round_[r]
            depth = depths[node]
            n = 4 - depth
            was = at
            if here < 0:
                at = _put_current(out, at, target, numbers[node], n, paths[node], depth)
                used = _segment(segments, used, 0, at - begin, SETUP, 0)
            else:
                forward = codes[node] >> 5 == codes[here] and depth == depths[here] + 1
                at = _put_move(out, at, codes[node])
                at = _put_current(out, at, target, numbers[node], n, paths[node], depth)
                used = _segment(segments, used, was - begin, at - begin, BAD if forward else BACKTRACK, codes[node])
                tally[1] += not forward
            here = node
            made = _children(numbers[node], n, target, factors, count, mult, steps, kept, h, order)
            shown = min(width, made)
            for i in range(shown - 1, 0, -1):
                j = _below(state, i + 1)
                order[i], order[j] = order[j], order[i]
            for i in range(shown):
                child = order[i]
                code = (codes[node] << 5) | (i + 1)
                was = at
                at = _put_child(out, at, target, kept[child], n - 1, steps[child], code)
                used = _segment(segments, used, was - begin, at - begin, BAD, code)
                tally[0] += 1
                if n == 2:
                    was = at
                    number = kept[child, 0]
                    at = _put_end(out, at, number, target)
                    goal = number == target
                    used = _segment(segments, used, was - begin, at - begin, FINAL if goal else VERIFY, code)
                    if goal or h[child] < nearest:
                        nearest = h[child]
                        tally[3] = code
                    if goal:
                        above = 0
                        while codes[above] != codes[node] >> 5:
                            above += 1
                        way[:2, :4] = paths[node, :2]
                        way[0, 4:], way[1, 4:] = numbers[above], numbers[node]
                        way[2, :4], way[2, 4:] = steps[child], kept[child]
                        return at, used, code
                    tally[2] += 1
                    continue
                numbers[made_nodes] = kept[child]
                paths[made_nodes] = paths[node]
                paths[made_nodes, depth] = steps[child]
                depths[made_nodes] = depth + 1
                codes[made_nodes] = code
                worth[made_nodes] = h[child]
                waiting[made_nodes] = True
                made_nodes += 1
    was = at
    at = _put(out, at, _NOTHING)
    used = _segment(segments, used, was - begin, at - begin, FINAL, 0)
    return at, used, -1


@_compiled
def search(target, start, mult, width, seed, factors, out, at, segments, tally, way):
    """Search one instance of four numbers with (h is mult, not sum) and (width: 0 for depth-first), and tell it from ``at`` on.

    Returns (end of the text, segments, code of the goal or -1); ``factors`` is room for 64 numbers, which is enough for
    targets of 2 to 10,000. See ``_depth_first`` for ``tally`` and ``way``.
    """
    count = 0
    for f in range(2, target + 1):
        if target % f == 0:
            factors[count] = f
            count += 1
    tally[:] = 0
    if width:
        at, used, goal = _breadth_first(target, start, factors, count, mult, width, seed, out, at, segments, tally, way)
    else:
        at, used, goal = _depth_first(target, start, factors, count, mult, out, at, segments, tally, way)
    if goal >= 0:
        for i in range(used):
            code = segments[i, 3]
            if segments[i, 2] == BAD and (code == goal or code == goal >> 5 or code == goal >> 10):
                segments[i, 2] = OK
    return at, used, goal


@_compiled
def instance(seed, index, targets, state, numbers):
    """``domains.countdown_instances.drawn`` of four numbers, which go to ``numbers``: (target, mult, width, the tree's seed).

    ``state`` is room for the generator's state.
    """
    own = mix2(seed, index)
    state[0] = mix2(own, 1)
    target = targets[_below(state, targets.size)]
    while True:
        for i in range(4):
            numbers[i] = 1 + _below(state, 99)
        if solvable4(numbers, target):
            break
    mult = _below(state, 2) == 1
    width = 1 + _below(state, 5) if _below(state, 2) == 1 else 0
    return target, mult, width, own


@_compiled
def instances(seed, first, targets, found):
    """Instances ``first``, ``first + 1``, ... of ``seed`` as rows (target, four numbers) of ``found``."""
    state = np.zeros(1, np.uint64)
    for i in range(found.shape[0]):
        found[i, 0], _, _, _ = instance(seed, first + i, targets, state, found[i, 1:])


@_compiled
def tell(seed, first, most, targets, out, ends, segments, segment_ends, problems, facts):
    """Streams ``first``, ``first + 1``, ... of ``seed`` until ``most`` are told or the buffers are full; returns how many.

    ``out`` takes the text, ``ends`` where each stream ends in it; ``segments`` rows (start, end, kind, node) with places in
    the stream, ``segment_ends`` where each stream's end; ``problems`` (target, four numbers); ``facts`` (heuristic: 1 for
    mult, width: 0 for depth-first, solved, explored, backtracks, dead ends, the stream's seed, the best end).
    """
    at = 0
    used = 0
    state = np.zeros(1, np.uint64)
    tally = np.zeros(4, np.int64)
    way = np.zeros((3, 8), np.int64)
    factors = np.zeros(64, np.int64)
    start = np.zeros(4, np.int64)
    for told in range(most):
        if out.size - at < LONGEST or segments.shape[0] - used < MOST_SEGMENTS:
            return told
        target, mult, width, own = instance(seed, first + told, targets, state, start)
        at, new, goal = search(target, start, mult, width, own, factors, out, at, segments[used:], tally, way)
        used += new
        ends[told] = at
        segment_ends[told] = used
        problems[told, 0] = target
        problems[told, 1:] = start
        facts[told, 0], facts[told, 1], facts[told, 2] = mult, width, goal >= 0
        facts[told, 3], facts[told, 4], facts[told, 5] = tally[0], tally[1], tally[2]
        facts[told, 6] = np.int64(own)
        facts[told, 7] = tally[3]
    return most
