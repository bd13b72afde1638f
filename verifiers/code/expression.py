"""Constants and small test expressions, worked out from their syntax tree without ``eval``.

What must stay true: only what is listed here is worked out, on data of built-in types; anything else is ``Unsupported``
and goes to the referee. ``HOLE`` stands for the value that the program returned.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

#: Largest exponent, and most bits or items in a constant that a power or a product makes.
EXPONENT: Final = 4096
SIZE: Final = 1 << 20
HOLE: Final = "__value__"


class Unsupported(Exception):
    """The expression holds what is not worked out here."""


_UNARY: Final[Mapping[type, Callable[[Any], Any]]] = {
    ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Not: operator.not_, ast.Invert: operator.invert,
}  # fmt: skip
_BINARY: Final[Mapping[type, Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.Pow: operator.pow,
}  # fmt: skip
_COMPARE: Final[Mapping[type, Callable[[Any, Any], Any]]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt,
    ast.GtE: operator.ge, ast.Is: operator.is_, ast.IsNot: operator.is_not,
    ast.In: lambda item, box: item in box, ast.NotIn: lambda item, box: item not in box,
}  # fmt: skip
#: Functions of Python's that a test may put around a value.
FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    f.__name__: f
    for f in (
        abs,
        all,
        any,
        bool,
        dict,
        float,
        frozenset,
        int,
        len,
        list,
        max,
        min,
        round,
        set,
        sorted,
        str,
        sum,
        tuple,
    )
}


_NODES: Final = (
    ast.Constant, ast.Name, ast.List, ast.Tuple, ast.Set, ast.Dict, ast.UnaryOp, ast.BinOp, ast.Compare, ast.BoolOp,
    ast.Call, ast.expr_context, ast.unaryop, ast.boolop, ast.cmpop, *_BINARY,
)  # fmt: skip


def supported(node: ast.expr) -> bool:
    """Whether ``evaluate`` knows every part of ``node``."""
    for part in ast.walk(node):
        if not isinstance(part, _NODES):
            return False
        if isinstance(part, ast.Name) and part.id != HOLE and part.id not in FUNCTIONS:
            return False
        if isinstance(part, ast.Call) and (
            part.keywords or not isinstance(part.func, ast.Name) or part.func.id == HOLE
        ):
            return False
        if isinstance(part, ast.Compare) and any(
            isinstance(op, ast.Is | ast.IsNot) and not (isinstance(n, ast.Constant) and n.value in (None, True, False))
            for op, n in zip(part.ops, part.comparators, strict=True)
        ):
            return False
        if isinstance(part, ast.BinOp) and not _asks(part):
            try:
                constant(part)
            except Unsupported:  # too large for this place, or wrong
                return False
    return True


def _asks(node: ast.expr) -> bool:
    return any(isinstance(part, ast.Name) and part.id == HOLE for part in ast.walk(node))


def constant(node: ast.expr) -> Any:
    """The value of an expression without the program's value; Unsupported where it has none or does not work out."""
    try:
        return evaluate(node, Unsupported)
    except (TypeError, ValueError, ArithmeticError, LookupError, RecursionError, MemoryError) as error:
        raise Unsupported(str(error)) from error


def evaluate(node: ast.expr, value: Any) -> Any:
    """The value of ``node`` where ``HOLE`` is ``value`` (the class Unsupported: there is none). Raises what Python would."""
    match node:
        case ast.Constant(value=found):
            return found
        case ast.Name(id=name) if name == HOLE and value is not Unsupported:
            return value
        case ast.Name(id=name) if name in FUNCTIONS and isinstance(FUNCTIONS[name], type):
            return FUNCTIONS[name]
        case ast.List(elts=items):
            return [evaluate(item, value) for item in items]
        case ast.Tuple(elts=items):
            return tuple(evaluate(item, value) for item in items)
        case ast.Set(elts=items):
            return {evaluate(item, value) for item in items}
        case ast.Dict(keys=keys, values=values) if None not in keys:
            return {evaluate(k, value): evaluate(v, value) for k, v in zip(keys, values, strict=True) if k is not None}
        case ast.UnaryOp(op=op, operand=operand):
            return _UNARY[type(op)](evaluate(operand, value))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return _binary(op, evaluate(left, value), evaluate(right, value))
        case ast.Compare(left=left, ops=ops, comparators=others):
            return _compare(evaluate(left, value), ops, others, value)
        case ast.BoolOp(op=ast.And(), values=parts):
            return all(evaluate(part, value) for part in parts)
        case ast.BoolOp(op=ast.Or(), values=parts):
            return any(evaluate(part, value) for part in parts)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in FUNCTIONS:
            return FUNCTIONS[name](*(evaluate(argument, value) for argument in args))
    raise Unsupported(type(node).__name__)


def _binary(op: ast.operator, left: Any, right: Any) -> Any:
    if isinstance(op, ast.Pow) and not (
        isinstance(right, int | float) and abs(right) <= EXPONENT and _size(left) <= 64
    ):
        raise Unsupported("a large power")
    if isinstance(op, ast.Mult) and max(_size(left), 1) * max(_repeat(right), 1) > SIZE:
        raise Unsupported("a large product")
    if isinstance(op, ast.Mult) and max(_size(right), 1) * max(_repeat(left), 1) > SIZE:
        raise Unsupported("a large product")
    return _BINARY[type(op)](left, right)


def _size(value: Any) -> int:
    if isinstance(value, int):
        return value.bit_length() // 8
    return len(value) if isinstance(value, str | bytes | list | tuple) else 8


def _repeat(value: Any) -> int:
    return value if isinstance(value, int) else 1


def _compare(left: Any, ops: list[ast.cmpop], others: list[ast.expr], value: Any) -> bool:
    for op, node in zip(ops, others, strict=True):
        right = evaluate(node, value)
        if not _COMPARE[type(op)](left, right):
            return False
        left = right
    return True
