"""The tests' side: runs trusted test text in a process of its own, with stand-ins for the program's functions.

What must stay true: no line of the program runs here. A stand-in sends its arguments to the program's process and gives
back plain data of exact built-in types, so every ``==`` and every ``assert`` is the interpreter's own. Names are looked up
in this order: the tests' own, the problem's (the helpers in its prompt), Python's and its library's, and only then the
program's: a program cannot redefine what the tests are made of. An object of the program that is no data is a ``Remote``:
its methods can be called and its truth asked, which is no more than a returned ``True`` or ``False``; it is never compared.
"""

from __future__ import annotations

import builtins
import importlib
import sys
from collections.abc import Iterator
from traceback import extract_tb
from types import FunctionType, ModuleType
from typing import Any, Final, NoReturn

from tracemill.verifiers.code.inside.failure import described
from tracemill.verifiers.code.inside.line import Line, TooMuch
from tracemill.verifiers.code.inside.plain import BAD, Encoder, NotPlain, decode

FILE: Final = "<tests>"
NAME: Final = "tests"
_SHOWN: Final = 300
#: Exceptions that end a loop of the tests without a word: raised by a program they are a failure.
_ENDING: Final = frozenset({"StopIteration", "StopAsyncIteration"})


class ProgramGone(BaseException):
    """The program's process ended, or said what is no data: no test can go on."""


class Flood(ProgramGone):
    """The program said more than it may."""


class ProgramExit(Exception):
    """The program raised SystemExit or the like in a call."""


class NoData(Exception):
    """The program returned what is no plain data where data is needed."""


class Referee:
    """Calls into the program; ``calls`` counts them, ``last`` is the latest, readable."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self.calls = 0
        self.last = ""
        self.raised: BaseException | None = None

    def loaded(self) -> Any:
        """The program's first word: its names, or why there are none."""
        return self._receive()

    def ask(self, operation: str, target: str | int, **more: Any) -> Any:
        """One request and its answer as data."""
        self.calls += 1
        try:
            self._line.send({"op": operation, "target": target, "handles": True, **more})
        except OSError as error:
            raise ProgramGone("the program ended") from error
        said = self._receive()
        if "raised" in said:
            self.last += f" raised {said['raised'][0]}: {said['message']}"[:_SHOWN]
            self.raised = _exception(said)
            raise self.raised
        if "not_plain" in said:
            raise NoData(f"the program returned {said['not_plain']}")
        try:
            return decode(said["value"], lambda number: Remote(self, int(number)))
        except BAD as error:
            raise ProgramGone("the program's answer is no data") from error

    def call(self, target: str | int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call the program's function (or object) ``target``."""
        encoder = Encoder(_number)
        sent = [encoder.encode(argument) for argument in args]
        named = {name: encoder.encode(argument) for name, argument in kwargs.items()}
        self.last = f"{target}({', '.join(_shown(argument, 100) for argument in args)})"[:_SHOWN]
        value = self.ask("call", target, args=sent, kwargs=named)
        self.last += f" gave {_shown(value, _SHOWN)}"
        return value

    def _receive(self) -> Any:
        try:
            said = self._line.receive()
        except TooMuch as error:
            raise Flood(str(error)) from error
        except (OSError, ValueError, RecursionError) as error:
            raise ProgramGone("the program's answer is no message") from error
        if not isinstance(said, dict):
            raise ProgramGone("the program ended")
        return said


def _shown(value: Any, most: int) -> str:
    try:
        return repr(value)[:most]
    except ValueError:  # an integer of too many digits
        return f"<{type(value).__name__}>"


def _number(value: Any) -> int:
    if type(value) is Remote:
        return int(value._number)
    raise NotPlain(f"the tests pass a value of type {type(value).__name__}, which cannot be sent")


class Remote:
    """An object that stays in the program's process."""

    __slots__ = ("_number", "_referee")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, referee: Referee, number: int) -> None:
        object.__setattr__(self, "_referee", referee)
        object.__setattr__(self, "_number", number)

    def __setattr__(self, name: str, value: Any) -> None:
        self._referee.ask("set", self._number, name=name, value=Encoder(_number).encode(value))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._referee.ask("get", self._number, name=name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._referee.call(self._number, args, kwargs)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._referee.ask("iterate", self._number))

    def __getitem__(self, key: Any) -> Any:
        return self._referee.ask("item", self._number, key=Encoder(_number).encode(key))

    def __len__(self) -> int:
        return int(self._referee.ask("len", self._number))

    def __str__(self) -> str:
        return str(self._referee.ask("str", self._number))

    def __repr__(self) -> str:
        return "<an object of the program>"

    def __bool__(self) -> bool:
        return self._referee.ask("bool", self._number) is True

    def _refuse(self, *_: Any) -> NoReturn:
        raise NoData("an object of the program is compared, and only data can be")

    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __contains__ = _refuse


def _exception(said: Any) -> Exception:
    """An exception like the program's: of the nearest built-in class, under its own name where that is another."""
    names, message = [str(name) for name in said["raised"]], str(said["message"])
    if _ENDING & set(names):
        return ProgramExit(f"the program raised {names[0]}")
    for name in names:
        known = getattr(builtins, name, None)
        if isinstance(known, type) and issubclass(known, BaseException):
            if not issubclass(known, Exception):
                return ProgramExit(f"the program raised {name}")
            kind = known if name == names[0] else type(names[0], (known,), {})
            try:
                made: Exception = kind(message)
            except TypeError:
                continue
            return made
    return ProgramExit("the program raised what is no exception")


def serve(line: Line, program: Line) -> None:
    """Run the tests of the first message and say how they ended."""
    message = line.receive()
    if message is not None:
        line.send(_outcome(message, Referee(program)))


def _outcome(message: dict[str, Any], referee: Referee) -> dict[str, Any]:
    try:
        said = referee.loaded()
        if "names" not in said:
            return {"unloaded": said}
        place = _run(message, referee, {str(name) for name in said["names"]})
    except Flood as error:
        return {"too_much": str(error)}
    except ProgramGone as error:
        return {"gone": str(error), "last": referee.last, "calls": referee.calls}
    return {**place, "calls": referee.calls, "last": referee.last}


def _functions(space: dict[str, Any]) -> None:
    """Call the tests' functions ``test...()``, as pytest would, where nothing else did."""
    for name, found in list(space.items()):
        own = isinstance(found, FunctionType) and found.__module__ == NAME
        if own and name.startswith("test") and found.__code__.co_argcount == 0:
            found()


def _run(message: dict[str, Any], referee: Referee, names: set[str]) -> dict[str, Any]:
    tests = ModuleType(NAME)
    sys.modules[NAME] = tests
    space = tests.__dict__
    entry, wanted = message["entry"], set(message["wanted"])

    def stand_in(name: str) -> Any:
        def function(*args: Any, **kwargs: Any) -> Any:
            return referee.call(name, args, kwargs)

        function.__name__ = name.rpartition(".")[2]
        return function

    place = -1
    try:
        exec(compile(message["helpers"], "<problem>", "exec", dont_inherit=True), space)  # noqa: S102
        for name in message["modules"]:
            if name in sys.stdlib_module_names and name not in space:
                space[name] = importlib.import_module(name)
        for name in wanted & names:
            if not hasattr(builtins, name):
                space.setdefault(name, stand_in(name))
        if entry is not None:
            space[entry.rpartition(".")[2]] = stand_in(entry)
        exec(compile(message["setup"], "<problem>", "exec", dont_inherit=True), space)  # noqa: S102
        for place, text in enumerate(message["tests"]):  # noqa: B007
            exec(compile(text, FILE, "exec", dont_inherit=True), space)  # noqa: S102
        if message["check"]:
            space["check"](space[entry.rpartition(".")[2]])
        if not referee.calls:
            _functions(space)
    except ProgramGone:
        raise
    # Whatever a test raises is its verdict.
    except BaseException as error:  # noqa: BLE001
        lines = [frame.lineno for frame in extract_tb(error.__traceback__) if frame.filename == FILE]
        ours = isinstance(error, NotPlain) or (
            isinstance(error, ImportError | SyntaxError) and error is not referee.raised
        )
        kind = "broken" if ours or place < 0 else "failed"
        return {kind: described(error), "test": place, "line": lines[-1] if lines else None}
    return {"passed": len(message["tests"])}
