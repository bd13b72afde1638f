"""The tokenized form of a stream trains on its loss spans and on nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracemill.schemas.errors import TracemillError
from tracemill.tasks.tokenizer import IGNORED, load_tokenizer


@pytest.fixture(scope="module")
def tokenizer():
    try:
        return load_tokenizer("local")
    except TracemillError as error:
        pytest.skip(f"no local tokenizer: {error}")


TEXT = "Current State: 62:[40, 83], Operations: []\nExploring Operation: 83-40=43, Resulting Numbers: [43]\nend"


@given(cuts=st.lists(st.integers(0, len(TEXT)), min_size=2, max_size=6, unique=True).map(sorted))
@settings(max_examples=60, deadline=None)
def test_exactly_the_tokens_that_begin_in_a_part_are_trained_on(tokenizer, cuts):
    messages = [{"role": "user", "content": "go"}, {"role": "assistant", "content": TEXT}]
    parts = list(zip(cuts[::2], cuts[1::2], strict=False))
    ids, labels = tokenizer.tokenize_parts(messages, parts)
    whole, all_labels = tokenizer.tokenize_chat(messages)
    assert ids == whole
    trained = [i for i, label in enumerate(labels) if label != IGNORED]
    assert all(labels[i] == ids[i] == all_labels[i] for i in trained)
    rendered = tokenizer.render(messages)
    start = rendered.index(TEXT)
    encoding = tokenizer._encoder.encode(rendered, add_special_tokens=False)
    end = start + len(TEXT)
    expected = [i for i, (a, _) in enumerate(encoding.offsets) if any(start + x <= a < start + y for x, y in parts)]
    closing = [i for i in trained if encoding.offsets[i][0] >= end]
    assert [i for i in trained if i not in closing] == expected
    assert bool(closing) == (bool(parts) and parts[-1][1] == len(TEXT))
