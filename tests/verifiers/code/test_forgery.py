"""No program passes by anything but right values; no unusual right program fails."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

from tracemill.schemas.enums import Outcome
from tracemill.verifiers.code.server import close_servers

attacks = runpy.run_path(str(Path(__file__).with_name("attacks.py")))
#: The same task asked in ways that only the referee can run.
REFEREED = """
import random

def reference(a, b):
    return sum(a for _ in range(b))

def check(candidate):
    for a, b in ((3, 4), (10, 7), (9, 9)):
        assert candidate(a, b) == reference(a, b)
        assert candidate(a, b) in {a * b}
    assert candidate(-7, 5) == -35
"""


@pytest.mark.parametrize("name", attacks["FORGERIES"])
def test_a_forgery_is_not_accepted(judged, name):
    found = judged(attacks["FORGERIES"][name])
    assert found.outcome not in (Outcome.CORRECT, Outcome.ERROR), found


@pytest.mark.parametrize("name", attacks["FORGERIES"])
def test_a_forgery_is_not_accepted_by_a_referee(judged, name):
    found = judged(attacks["FORGERIES"][name], {"tests": REFEREED, "entry_point": "mul"})
    assert found.outcome not in (Outcome.CORRECT, Outcome.ERROR), found


@pytest.mark.parametrize("name", attacks["CONTROLS"])
def test_a_right_program_is_accepted(judged, name):
    assert judged(attacks["CONTROLS"][name]).outcome is Outcome.CORRECT
    refereed = judged(attacks["CONTROLS"][name], {"tests": REFEREED, "entry_point": "mul"})
    assert refereed.outcome is Outcome.CORRECT, refereed


def test_what_one_program_does_to_its_interpreter_the_next_does_not_see(judged):
    poison = "import math, builtins, sys\nmath.sqrt = builtins.sum = lambda *a: 0\nsys.modules['json'] = None\ndef mul(a, b): return 0"
    assert judged(poison).outcome is Outcome.INCORRECT
    fine = "import json, math\ndef mul(a, b): return json.loads(str(a * b)) + sum([1, -1]) + int(math.sqrt(0))"
    assert judged(fine).outcome is Outcome.CORRECT


def test_the_tests_names_are_the_tests_own(judged):
    tests = "import math\nassert math.isclose(mul(2, 3), 6.0)\nassert abs(mul(1, 1) - 1) < 1e-9\nassert len([mul(2, 2)] * mul(1, 2)) == 2"
    hijack = (
        "import math, builtins\nmath.isclose = lambda *a, **k: True\nabs = len = builtins.abs = builtins.len = lambda *a: 2\n"
        "def mul(a, b): return 7"
    )
    assert judged(hijack, {"tests": tests}).outcome is Outcome.INCORRECT
    assert judged("def mul(a, b): return a * b", {"tests": tests}).outcome is Outcome.CORRECT


def test_helpers_of_the_prompt_are_the_prompt_s_own(judged):
    prompt = 'def enc(s):\n    return s[::-1] + "!"\n\ndef dec(s):\n    """ Undo enc. """\n'
    spec = {
        "tests": "def check(candidate):\n    for w in ('abc', 'xy'):\n        assert candidate(enc(w)) == w\n",
        "entry_point": "dec",
    }
    assert judged("    return s[:-1][::-1]\n", spec, prompt=prompt).outcome is Outcome.CORRECT
    assert judged("def enc(s): return s\ndef dec(s): return s\n", spec, prompt=prompt).outcome is Outcome.INCORRECT


def test_objects_of_the_program_are_used_but_never_compared(judged):
    stack = "class Stack:\n    def __init__(self): self.x = []\n    def push(self, v): self.x.append(v)\n    def pop(self): return self.x.pop()\n    def __len__(self): return len(self.x)\n"
    tests = "s = Stack()\ns.push(1)\ns.push(2)\nassert s.pop() == 2\nassert len(s) == 1\nassert s.x == [1]"
    assert judged(stack, {"tests": tests}).outcome is Outcome.CORRECT
    wrong = stack.replace("self.x.pop()", "E()") + "class E:\n    def __eq__(s, o): return True\n"
    assert judged(wrong, {"tests": tests}).outcome is Outcome.INCORRECT
    always = "class P:\n    def __init__(s, *a): pass\n    def __eq__(s, o): return True\ndef f(): return P()\n"
    assert judged(always, {"tests": "assert f() == P(1)"}).outcome is Outcome.INCORRECT


def test_tests_that_expect_an_exception(judged):
    tests = "try:\n    f(-1)\n    ok = False\nexcept ValueError as e:\n    ok = str(e) == 'neg'\nassert ok\nassert f(1) == 1"
    good = "def f(x):\n    if x < 0: raise ValueError('neg')\n    return x"
    assert judged(good, {"tests": tests}).outcome is Outcome.CORRECT
    assert judged("def f(x): return x", {"tests": tests}).outcome is Outcome.INCORRECT
    dies = "import os\ndef f(x):\n    if x < 0: os._exit(0)\n    return x"
    assert judged(dies, {"tests": tests}).outcome is Outcome.INCORRECT


def test_a_program_cannot_end_the_tests_early(judged):
    tests = "try:\n    f(1)\nexcept BaseException:\n    pass\nassert f(2) == 4"
    for body in (
        "raise SystemExit(0)",
        "raise KeyboardInterrupt",
        "raise GeneratorExit",
        "import os; os._exit(0)",
        "raise StopIteration",
    ):
        assert judged(f"def f(x):\n    {body}", {"tests": tests}).outcome is Outcome.INCORRECT


def test_a_program_cannot_end_a_loop_of_the_tests(judged):
    tests = "for got, want in zip(map(f, [1, 2]), [2, 3]):\n    assert got == want"
    for kind in ("StopIteration", "StopAsyncIteration", "GeneratorExit"):
        assert judged(f"def f(x): raise {kind}", {"tests": tests}).outcome is Outcome.INCORRECT
    own = "class StopIteration(StopIteration): pass\ndef f(x): raise StopIteration"
    assert judged(own, {"tests": tests}).outcome is Outcome.INCORRECT
    derived = "class E(StopIteration): pass\ndef f(x): raise E"
    assert judged(derived, {"tests": tests}).outcome is Outcome.INCORRECT
    assert judged("def f(x): return x + 1", {"tests": tests}).outcome is Outcome.CORRECT


def test_tests_in_functions_are_called(judged):
    tests = "def test_one():\n    assert f(1) == 1\n\ndef test_two():\n    assert f(2) == 4\n"
    assert judged("def f(x): return x * x", {"tests": tests, "entry_point": "f"}).outcome is Outcome.CORRECT
    assert judged("def f(x): return 1", {"tests": tests, "entry_point": "f"}).outcome is Outcome.INCORRECT


def test_tests_that_call_nothing_are_our_error(judged):
    assert judged("def f(x): return x", {"tests": "x = 1\nassert x == 1"}).outcome is Outcome.ERROR


def test_arguments_are_copies(judged):
    tests = ["x = [1, 2, 3]\nassert f(x) == sum(x)"]
    cheat = "def f(x):\n    x.clear()\n    return 0"
    assert judged(cheat, {"tests": tests}).outcome is Outcome.INCORRECT


@pytest.mark.parametrize(
    ("name", "text"),
    {
        "right_on_stderr": "import sys\nfor l in list(sys.stdin)[1:]: print(sum(map(int, l.split())), file=sys.stderr)",
        "crash_after": "import sys\nfor l in list(sys.stdin)[1:]: print(sum(map(int, l.split())))\nraise ValueError",
        "status_after": "import sys\nfor l in list(sys.stdin)[1:]: print(sum(map(int, l.split())))\nsys.exit(3)",
        "killed_after": "import sys, ctypes\nfor l in list(sys.stdin)[1:]: print(sum(map(int, l.split())), flush=True)\nctypes.string_at(0)",
        "bad_utf8": "import sys\nsys.stdout.buffer.write(b'\\xff\\xfe11\\n2\\n')",
        "flood": "print(' ' * 200_000 + '11')\nprint(2)",
        "all_answers": "print(11); print(2); print(5)",
        "nothing": "",
        "first_case": "print(11); print(2)",
        "looks_for_outputs": "import glob\nfor p in glob.glob('/**/*out*', recursive=True): print(open(p).read())",
        "reads_files": "import os\nfor fd in range(3, 30):\n    try: print(os.pread(fd, 100, 0))\n    except OSError: pass",
        "writes_its_input": "import os\nos.lseek(0, 0, 0)\ntry: os.write(0, b'11\\n2\\n')\nexcept OSError: pass\nprint(open(0).read())",
        "no_end": "import sys\nwhile True: sys.stdin.read()",
    }.items(),
)  # fmt: skip
def test_a_program_over_standard_input_is_not_accepted(lines, name, text):
    assert lines(text).outcome not in (Outcome.CORRECT, Outcome.ERROR)


@pytest.mark.parametrize(
    "text",
    [
        "import sys\nfor l in list(sys.stdin)[1:]: print(sum(map(int, l.split())))",
        "for _ in range(int(input())):\n    a, b = map(int, input().split())\n    print(a + b)",
        "import os\nd = os.read(0, 10**6).split()[1:]\nos.write(1, ''.join(f'{int(x) + int(y)}\\n' for x, y in zip(d[::2], d[1::2])).encode())",
        "def main():\n    for l in open(0).read().split('\\n')[1:]:\n        if l: print(sum(map(int, l.split())), end=' \\n')\nif __name__ == '__main__':\n    main()\n    exit()",
        "import sys, atexit, io\nout = io.StringIO()\natexit.register(lambda: sys.__stdout__.write(out.getvalue()))\nfor l in list(sys.stdin)[1:]: print(sum(map(int, l.split())), file=out)",
        "import sys, threading\nsys.setrecursionlimit(10**6)\nthreading.stack_size(1 << 27)\ndef main():\n    for l in list(sys.stdin)[1:]: print(float(sum(map(int, l.split()))))\nthreading.Thread(target=main).start()",
    ],
)
def test_a_right_program_over_standard_input_is_accepted(lines, text):
    found = lines(text)
    assert found.outcome is Outcome.CORRECT, found


def test_every_labelled_case(judged, descendants, cases):
    tasks = json.loads((cases / "code_exploits_tasks.json").read_text())
    rows = [json.loads(line) for line in (cases / "code_exploits.jsonl").read_text().splitlines()]
    close_servers()
    before = descendants()
    wrong = []
    for row in rows:
        if row["kind"] == "assert":
            spec = {"tests": tasks["assert_task"]["tests"], "entry_point": tasks["assert_task"]["entry_point"]}
        else:
            spec = {"cases": tasks["stdio_task"]["cases"]}
        outcome = judged(row["snippet"], spec, time_limit=0.5).outcome
        accepted = outcome is Outcome.CORRECT
        if row["must_be"] != "accept_or_reject_but_no_process_left" and accepted != (row["must_be"] == "accept"):
            wrong.append((row["name"], row["must_be"], outcome.value))
        if outcome is Outcome.ERROR:
            wrong.append((row["name"], row["must_be"], outcome.value))
    assert wrong == []
    close_servers()
    assert descendants() == before
