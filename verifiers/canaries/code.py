"""Canaries of the code verifier: right programs in each shape, and one forgery or escape of each class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tracemill.verifiers.base import Candidate
from tracemill.verifiers.canaries.base import Suite, suite_of

_ASSERTS: Final = {"tests": ["assert cube(2) == 8", "assert cube(-3) == -27"], "entry_point": "cube"}
_REFEREE: Final = {
    "tests": "def check(f):\n    for n in range(4):\n        assert f(n) == n ** 3\n",
    "entry_point": "cube",
}
_CALLS: Final = {"calls": [{"args": [2], "output": 8}, {"args": [-3], "output": -27}], "entry_point": "cube"}
_LINES: Final = {"cases": [["2\n", "8\n"], ["-3\n", "-27\n"]]}
_RIGHT: Final = "def cube(n):\n    return n * n * n"

_GOOD: Final[tuple[tuple[str, Mapping[str, Any], str], ...]] = (
    ("asserts", _ASSERTS, _RIGHT),
    ("a fenced block", _ASSERTS, f"So:\n```python\n{_RIGHT}\n```\nDone."),
    ("a check function", _REFEREE, _RIGHT),
    ("a method", _CALLS, "class Solution:\n    def cube(self, n):\n        return n ** 3"),
    ("standard input", _LINES, "print(int(input()) ** 3)"),
)
_BAD: Final[tuple[tuple[str, Mapping[str, Any], str], ...]] = (
    ("equal to all", _ASSERTS, "class E:\n    def __eq__(s, o): return True\ndef cube(n): return E()"),
    ("equal to all, refereed", _REFEREE, "class E:\n    def __eq__(s, o): return True\ndef cube(n): return E()"),
    ("an int that is equal to all", _CALLS, "class E(int):\n    def __eq__(s, o): return True\ndef cube(n): return E()"),
    ("an exit", _ASSERTS, "raise SystemExit(0)"),
    ("an exit in a call", _REFEREE, "import os\ndef cube(n): os._exit(0)"),
    ("a marker", _ASSERTS, "print('passed', flush=True)\ndef cube(n): return None"),
    ("patched built-ins", _REFEREE, "import builtins\nbuiltins.range = lambda *a: []\nbuiltins.all = lambda *a: True\ndef cube(n): return 0"),
    ("expected values in frames", _ASSERTS, "import sys\ndef cube(n):\n    f = sys._getframe()\n    while f:\n        for v in f.f_locals.values():\n            if v in (8, -27): return v\n        f = f.f_back"),
    ("forged answers", _ASSERTS, "import os, struct\nfor b in (b'{\"names\":[\"cube\"]}', b'{\"passed\":2,\"calls\":2}'):\n    os.write(3, struct.pack('!I', len(b)) + b)\nos._exit(0)"),
    ("the first case alone", _ASSERTS, "def cube(n): return 8"),
    ("a host's file", _ASSERTS, "import os\ndef cube(n): return n ** 3 if os.path.exists('/etc/passwd') and open('/etc/passwd').read() else 0"),
    ("a socket", _ASSERTS, "import socket\ndef cube(n):\n    socket.socket()\n    return n ** 3"),
    ("a process that lives on", _ASSERTS, "import os, time\ndef cube(n):\n    if os.fork() == 0: time.sleep(60)\n    return 0"),
    ("memory", _ASSERTS, "def cube(n):\n    bytearray(1 << 40)\n    return n ** 3"),
    ("output without end", _LINES, "while True: print(int(8))"),
    ("a failure after the answer", _LINES, "print(int(input()) ** 3)\nraise ValueError"),
    ("the answer on standard error", _LINES, "import sys\nprint(int(input()) ** 3, file=sys.stderr)"),
    ("nothing", _ASSERTS, ""),
)  # fmt: skip


def suite() -> Suite:
    """Five programs to be accepted; eighteen that are wrong, forged or reach for the host."""
    return suite_of(
        [Candidate(name, response, spec=spec) for name, spec, response in _GOOD],
        [Candidate(name, response, spec=spec) for name, spec, response in _BAD],
    )
