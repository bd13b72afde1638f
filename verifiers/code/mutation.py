"""Small faults put into a right program: what a problem's tests should notice.

A mutant differs from the program in one place of its syntax tree: a comparison, an operator, a constant, a condition, a
returned value or a dropped statement (the classes of DeMillo, Lipton and Sayward, 1978, that apply to Python). Which
mutants are made depends on the text alone.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from typing import Final

_COMPARE: Final = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
_BINARY: Final = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult,
    ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.BitXor: ast.BitOr,
}  # fmt: skip


def mutants(text: str, most: int) -> list[str]:
    """At most ``most`` mutants of the program ``text``, spread evenly over the places; none where it is no Python."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    nodes = list(ast.walk(tree))
    places = [(place, way) for place, node in enumerate(nodes) for way in range(len(list(_faults(node))))]
    if len(places) > most:
        places = [places[index * len(places) // most] for index in range(most)]
    found = []
    for place, way in places:
        changed = copy.deepcopy(tree)
        node = list(ast.walk(changed))[place]
        list(_faults(node))[way]()
        found.append(ast.unparse(ast.fix_missing_locations(changed)))
    return [mutant for mutant in dict.fromkeys(found) if mutant != ast.unparse(tree)]


class _Fault:
    """A change of one field of a node, not made yet."""

    def __init__(self, node: ast.AST, field: str, value: object) -> None:
        self._node, self._field, self._value = node, field, value

    def __call__(self) -> None:
        setattr(self._node, self._field, self._value)


def _faults(node: ast.AST) -> Iterator[_Fault]:
    match node:
        case ast.Compare(ops=[op, *rest]):
            yield _Fault(node, "ops", [_COMPARE[type(op)](), *rest])
        case ast.BinOp(op=op) | ast.AugAssign(op=op) if type(op) in _BINARY:
            yield _Fault(node, "op", _BINARY[type(op)]())
        case ast.BoolOp(op=op):
            yield _Fault(node, "op", ast.And() if isinstance(op, ast.Or) else ast.Or())
        case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test):
            yield _Fault(node, "test", ast.UnaryOp(ast.Not(), test))
        case ast.Constant(value=bool(value)):
            yield _Fault(node, "value", not value)
        case ast.Constant(value=int(value)):
            yield _Fault(node, "value", value + 1)
        case ast.Return(value=value) if value is not None and not isinstance(value, ast.Constant):
            yield _Fault(node, "value", ast.Constant(None))
        case ast.Expr(value=ast.Call()):
            yield _Fault(node, "value", ast.Constant(None))
