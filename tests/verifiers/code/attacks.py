"""Programs that try to pass without being right, or to leave something behind; and right ones that look unusual.

Each is (class, name, text). The task is ``mul(a, b)``.
"""

FORGERIES = {
    "equal_to_all": "class E:\n    def __eq__(s, o): return True\n    def __ne__(s, o): return False\ndef mul(a, b): return E()",
    "equal_to_all_int": "class E(int):\n    def __eq__(s, o): return True\n    __hash__ = int.__hash__\ndef mul(a, b): return E(1)",
    "equal_by_metaclass": (
        "class M(type):\n    def __eq__(s, o): return True\n    __hash__ = type.__hash__\n"
        "class E(metaclass=M): pass\ndef mul(a, b): return E"
    ),
    "reflected": "class E:\n    def __radd__(s, o): return o\n    __rsub__ = __req__ = __eq__ = lambda s, o: True\ndef mul(a, b): return E()",
    "any_of_mock": "from unittest.mock import ANY\ndef mul(a, b): return ANY",
    "subclass_says_other_data": (
        "class I(int):\n    def __index__(s): return 12\n    def __int__(s): return 12\n    def __repr__(s): return '12'\n"
        "def mul(a, b): return I(0)"
    ),
    "lying_class": "class E:\n    @property\n    def __class__(s): return int\n    def __eq__(s, o): return True\ndef mul(a, b): return E()",
    "exit_at_import": "raise SystemExit(0)",
    "exit_in_call": "import sys\ndef mul(a, b): sys.exit(0)",
    "os_exit": "import os\ndef mul(a, b): os._exit(0)",
    "exit_in_thread": "import os, threading\nthreading.Thread(target=lambda: os._exit(0)).start()\ndef mul(a, b):\n    while True: pass",
    "atexit": "import atexit, os\natexit.register(lambda: os._exit(0))\ndef mul(a, b): return 0",
    "excepthook": "import sys, os\nsys.excepthook = sys.unraisablehook = lambda *a: os._exit(0)\ndef mul(a, b): raise AssertionError",
    "execv": "import os\nos.execv('/bin/true', ['true'])",
    "signal": "import os, signal\nsignal.signal(15, lambda *a: os._exit(0))\ndef mul(a, b): os.kill(os.getpid(), 15)",
    "marker": "print('all tests passed')\nprint('{\"names\": [\"mul\"]}')\ndef mul(a, b): return None",
    "frame_walk": (
        "import sys\ndef mul(a, b):\n    f = sys._getframe()\n    while f:\n        for v in list(f.f_locals.values()) + list(f.f_globals.values()):\n"
        "            if isinstance(v, int) and not isinstance(v, bool) and v in (12, -35, 10**8): return v\n        f = f.f_back\n    return 0"
    ),
    "heap_search": (
        "import gc\ndef mul(a, b):\n    for o in gc.get_objects():\n        if type(o) in (list, tuple) and any(type(x) is int and x in (-35, 10**8) for x in o if type(x) is int):\n"
        "            return next(x for x in o if type(x) is int and x in (-35, 10**8))\n    return 0"
    ),
    "source_search": (
        "import os\ndef mul(a, b):\n    for d, _, fs in os.walk('/tmp'):\n        for f in fs:\n            return eval(open(os.path.join(d, f)).read().split('==')[1])\n    return 0"
    ),
    "patched_builtins": "import builtins\nbuiltins.all = builtins.any = lambda *a: True\nbuiltins.repr = lambda x: '12'\ndef mul(a, b): return 0",
    "patched_json": (
        "import json, json.encoder\njson.dumps = json.encoder.JSONEncoder.encode = lambda *a, **k: '{\"value\": 12}'\ndef mul(a, b): return 0"
    ),
    "patched_codec": (
        "import sys\nm = sys.modules['tracemill.verifiers.code.inside.plain']\nm.Encoder.encode = lambda s, v, d=0: True\n"
        "def mul(a, b): return 0"
    ),
    "patched_operators": "import operator\noperator.eq = lambda a, b: True\ndef mul(a, b): return 0",
    "writes_to_the_line": (
        "import os, struct, json\nfor v in (12, -35, 0, True):\n    b = json.dumps({'value': v}).encode(); os.write(3, struct.pack('!I', len(b)) + b)\n"
        "def mul(a, b): return 0"
    ),
    "says_passed": (
        "import os, struct, json\nfor m in ({'names': ['mul']}, {'passed': 3, 'calls': 3}, {'value': {'h': 0}}):\n"
        "    b = json.dumps(m).encode(); os.write(3, struct.pack('!I', len(b)) + b)\nos._exit(0)"
    ),
    "answers_and_lives_on": (
        "import os, struct, json, time\ndef mul(a, b):\n    b = json.dumps({'value': True}).encode()\n"
        "    for _ in range(9): os.write(3, struct.pack('!I', len(b)) + b)\n    time.sleep(60)"
    ),
    "garbage_on_the_line": "import os\nos.write(3, b'\\xff' * 64)\ndef mul(a, b): return 12",
    "giant_header": "import os\nos.write(3, b'\\xff\\xff\\xff\\xff' + b'x' * 1000)\ndef mul(a, b): return 12",
    "deep_json": (
        "import os, struct\nb = b'{\"value\":' + b'[' * 200000 + b']' * 200000 + b'}'\nos.write(3, struct.pack('!I', len(b)) + b)\ndef mul(a, b): return 12"
    ),
    "not_a_number": "def mul(a, b): return float('nan')",
    "infinite": "def mul(a, b): return float('inf')",
    "true_for_one": "def mul(a, b): return True",
    "text_for_number": "def mul(a, b): return str(a * b)",
    "a_list_of_all": "def mul(a, b): return [12, -35, 10**8]",
    "only_the_first": "def mul(a, b): return 12",
    "by_call_count": "n = 0\ndef mul(a, b):\n    global n\n    n += 1\n    return (12, -35)[n - 1] if n < 3 else None",
    "generator": "def mul(a, b): yield a * b",
    "coroutine": "async def mul(a, b): return a * b",
    "in_a_tuple": "def mul(a, b): return (a * b,)",
    "a_function": "def mul(a, b): return lambda: a * b",
    "empty": "",
    "nothing": "pass",
    "no_such_function": "def multiply(a, b): return a * b",
    "syntax_error": "def mul(a, b) return a * b",
    "null_byte": "def mul(a, b): return a * b\0",
    "raises": "def mul(a, b): raise ValueError(12)",
    "raises_unprintable": "class E(Exception):\n    def __str__(s): raise SystemExit(0)\ndef mul(a, b): raise E",
    "module_getattr": "def __getattr__(name): return 12",
    "recursion_limit_zero": "import sys\nsys.setrecursionlimit(60)\ndef mul(a, b): return 0",
    "closes_the_line": "import os\nos.close(3)\ndef mul(a, b): return a * b",
    "closes_all": "import os\nos.closerange(0, 100)\ndef mul(a, b): return a * b",
    "ctypes_memory": "import ctypes\nctypes.memset(0, 0, 1)\ndef mul(a, b): return 12",
    "ctypes_result": (
        "import ctypes\ndef mul(a, b):\n    ctypes.c_int.from_address(id(0) + 24).value = 12\n    return 0"
    ),
}

CONTROLS = {
    "plain": "def mul(a, b):\n    return a * b",
    "lambda": "mul = lambda a, b: a * b",
    "partial": "import functools, operator\nmul = functools.partial(lambda f, a, b: f(a, b), operator.mul)",
    "callable_object": "class M:\n    def __call__(self, a, b): return a * b\nmul = M()",
    "method": "class Solution:\n    def mul(self, a: int, b: int) -> int:\n        return a * b",
    "int_subclass": "import enum\nclass N(int): pass\ndef mul(a, b): return N(a * b)",
    "prints": "print('hello', flush=True)\ndef mul(a, b):\n    print(a, b)\n    return a * b",
    "main_guard": "def mul(a, b): return a * b\nif __name__ == '__main__':\n    raise SystemExit(1)",
    "dataclass": "from dataclasses import dataclass\n@dataclass\nclass P:\n    a: int\n    b: int\ndef mul(a, b):\n    p = P(a, b)\n    return p.a * p.b",
    "thread": "import threading\ndef mul(a, b):\n    r = []\n    t = threading.Thread(target=lambda: r.append(a * b)); t.start(); t.join()\n    return r[0]",
    "tempfile": "import tempfile\ndef mul(a, b):\n    with tempfile.TemporaryFile('w+') as f:\n        f.write(str(a * b)); f.seek(0)\n        return int(f.read())",
    "own_file": "def mul(a, b):\n    open('x', 'w').write(str(a * b))\n    return int(open('x').read())",
    "library": "import hashlib, json, re, zlib, sqlite3, asyncio, decimal, random\ndef mul(a, b): return int(decimal.Decimal(a) * b)",
    "asyncio": "import asyncio\nasync def f(a, b): return a * b\ndef mul(a, b): return asyncio.run(f(a, b))",
    "recursion": "import sys\nsys.setrecursionlimit(50000)\ndef d(n): return 0 if n == 0 else 1 + d(n - 1)\ndef mul(a, b): return a * b + d(9000) - 9000",
    "catches": "def mul(a, b):\n    try:\n        raise KeyError\n    except KeyError:\n        return a * b",
    "daemon_left": "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\ndef mul(a, b): return a * b",
    "patches_itself": "import json, builtins\njson.dumps = None\nbuiltins.print = None\ndef mul(a, b): return a * b",
    "typing": "from typing import *\ndef mul(a: int, b: Optional[int]) -> Union[int, float]: return a * b",
}

RESOURCES = {
    "loop": ("timeout", "def mul(a, b):\n    while True: pass"),
    "loop_at_import": ("timeout", "while True: pass"),
    "sleeps": ("timeout", "import time\ndef mul(a, b): time.sleep(10**6)"),
    "swallows": (
        "timeout",
        "def mul(a, b):\n    while True:\n        try:\n            while True: pass\n        except BaseException: pass",
    ),
    "ignores_signals": (
        "timeout",
        "import signal\nfor s in range(1, 32):\n    try: signal.signal(s, signal.SIG_IGN)\n    except OSError: pass\ndef mul(a, b):\n    while True: pass",
    ),
    "c_loop": ("timeout", "def mul(a, b): return sum(range(10**12))"),
    "regex": ("timeout", "import re\ndef mul(a, b): return re.match('(a+)+$', 'a' * 40 + 'b')"),
    "big_power": ("timeout", "def mul(a, b): return 7 ** 7 ** 9"),
    "bytes": ("memory", "def mul(a, b): return len(bytearray(4 << 30))"),
    "list": ("memory", "def mul(a, b):\n    x = []\n    while True: x.append(bytearray(1 << 26))"),
    "mmap": ("memory", "import mmap\ndef mul(a, b): return mmap.mmap(-1, 4 << 30)"),
    "stdout": ("output_limit", "while True: print('x' * 65536)"),
    "stderr": ("output_limit", "import sys\nwhile True: sys.stderr.write('x' * 65536)"),
    "raw_output": ("output_limit", "import os\nwhile True:\n    if os.write(2, b'x' * 65536) <= 0: break"),
    "huge_result": ("output_limit", "def mul(a, b): return 'x' * (64 << 20)"),
    "fork_bomb": (
        "timeout",
        "import os\ndef mul(a, b):\n    while True:\n        try: os.fork()\n        except OSError: pass",
    ),
    "pipes": ("incorrect", "import os\ndef mul(a, b):\n    while True: os.pipe()"),
}
