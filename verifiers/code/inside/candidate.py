"""The candidate's side: loads a program and answers calls of its functions with plain data.

It runs in the same process as the program, which can make it say anything. That is why all that it can say is data: a
returned value, an exception, or nothing. Which values are right is known on the other side only.
"""

from __future__ import annotations

import sys
from types import CodeType, ModuleType
from typing import Any, Final

from tracemill.verifiers.code.inside.failure import described
from tracemill.verifiers.code.inside.line import Line
from tracemill.verifiers.code.inside.plain import BAD, Encoder, NotPlain, decode

NAME: Final = "solution"
#: Most values taken from an iterator that a test asks for.
ITERATED: Final = 100_000
#: The class whose methods are meant where there is no such function.
SOLUTION: Final = "Solution"


class Missing(Exception):
    """The program has nothing of that name."""


def serve(line: Line) -> None:
    """Load the program of the first message, then answer until the line closes."""
    message = line.receive()
    if message is None:
        return
    module = ModuleType(NAME)
    sys.modules[NAME] = module
    objects: list[Any] = []
    try:
        exec(compiled(message["programs"]), module.__dict__)  # noqa: S102
        loaded: dict[str, Any] = {"names": [name for name in list(module.__dict__) if type(name) is str][:2000]}
    # Whatever the program raises is its failure.
    except BaseException as error:  # noqa: BLE001
        line.send(described(error))
        return
    for name in message["entries"]:
        if not _has(module, name):
            line.send({"missing": name})
            return
    line.send(loaded)
    while (request := line.receive()) is not None:
        for one in request.get("calls", (request,)):
            line.send(_answer(module, objects, one))


def compiled(texts: list[str]) -> CodeType:
    """The first of ``texts`` that compiles; raises what the first raised where none does."""
    first: Exception | None = None
    for text in texts:
        try:
            return compile(text, f"<{NAME}>", "exec", dont_inherit=True)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            first = first or error
    raise first or ValueError("no program")


def _has(module: ModuleType, name: str) -> bool:
    try:
        resolve(module, name)
    # A program's class may raise anything when it is made; that is seen at the call.
    except Exception as error:  # noqa: BLE001
        return not isinstance(error, Missing)
    return True


def resolve(module: ModuleType, name: str) -> Any:
    """The function ``name``, or the method ``name`` of a new ``Solution``; a dotted name is looked up part by part."""
    head, *rest = name.split(".")
    found: Any
    if head in module.__dict__:
        found = module.__dict__[head]
    elif hasattr(module.__dict__.get(SOLUTION), head):
        found = getattr(module.__dict__[SOLUTION](), head)
    else:
        raise Missing(name)
    for part in rest:
        found = getattr(found() if isinstance(found, type) else found, part)
    return found


def _answer(module: ModuleType, objects: list[Any], request: dict[str, Any]) -> dict[str, Any]:
    def kept(value: Any) -> int:
        objects.append(value)
        return len(objects) - 1

    value: Any = None
    try:
        value = _do(module, objects, request)
        changed = request.get("changed")
        if changed:
            value = (value, changed)
        return {"value": Encoder(kept if request.get("handles") else None).encode(value)}
    except NotPlain as error:
        return {"not_plain": str(error), "truth": _truth(value)}
    # Whatever the program raises is its answer.
    except BaseException as error:  # noqa: BLE001
        return described(error)


def _truth(value: Any) -> bool | None:
    try:
        return bool(value)
    # The truth of a foreign object is foreign code.
    except BaseException:  # noqa: BLE001
        return None


def _do(module: ModuleType, objects: list[Any], request: dict[str, Any]) -> Any:
    def thing(number: Any) -> Any:
        return objects[number]

    operation, target = request.get("op", "call"), request["target"]
    found = objects[target] if isinstance(target, int) else resolve(module, target)
    if operation == "call":
        try:
            positional = [decode(argument, thing) for argument in request["args"]]
            named = {name: decode(argument, thing) for name, argument in request.get("kwargs", {}).items()}
        except BAD as error:
            raise NotPlain(f"the arguments: {error}") from error
        value = found(*positional, **named)
        if request.get("in_place"):
            request["changed"] = [positional, named]
        return value
    if operation == "value":
        return found
    if operation == "set":
        setattr(found, request["name"], decode(request["value"], thing))
        return None
    if operation == "get":
        return getattr(found, request["name"])
    if operation == "iterate":
        taken = []
        for item in found:
            taken.append(item)
            if len(taken) > ITERATED:
                raise NotPlain("too many values")
        return taken
    if operation == "item":
        return found[decode(request["key"], thing)]
    if operation == "bool":
        return bool(found)
    if operation == "len":
        return len(found)
    return str(found)
