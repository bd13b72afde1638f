"""Code is run as it grows, in the sandbox, and only what runs goes on (§2.14)."""

from __future__ import annotations

import pytest
from tests.tasks.domains.test_text import scripted

from tracemill.schemas.errors import TracemillError
from tracemill.tasks.domains.base import Draw
from tracemill.tasks.domains.running import runs
from tracemill.tasks.domains.text import CODE_FAILED, Thoughts
from tracemill.verifiers.code.verifier import walls

try:
    walls()
    WHY = ""
except TracemillError as error:
    WHY = str(error)
pytestmark = pytest.mark.skipif(WHY != "", reason=WHY)


@pytest.mark.parametrize(
    ("code", "well"),
    [("a = 1\nprint(a + 1)", True), ("1 / 0", False), ("x =", False), ("import sys\nsys.exit(0)", False), ("", True)],
)
async def test_code_that_ends_well_runs(code, well):
    assert await runs(code) is well


async def test_of_the_steps_only_those_whose_code_runs_go_on(asker, text_of):
    step = "```python\n{}\n```"
    asked = scripted(asker, step.format("a = 6"), step.format("print(b)"), step.format("print(a * 7)"), "No code here.")
    domain = text_of(asked, runs=runs)
    (first,) = await domain.expand(Thoughts(), 1, Draw(1))
    steps = await domain.expand(first.state, 3, Draw(1))
    assert [step.state.finish for step in steps] == [CODE_FAILED, None, None]
