"""Each format's shape, on rows of our own: what becomes the prompt, the trace, the labels and the policy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tracemill.schemas.errors import DataError
from tracemill.tasks.imports import Imported

Import = Callable[..., Imported]
QUESTION = "A box holds three red and four blue pens. How many pens?"
PROSE = "Three and four make seven.\n\nThe final answer is 7."


def rows_of(found: Imported) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = found.traces.to_pylist()
    return rows


def labels_of(found: Imported) -> list[tuple[str, str]]:
    return [(label.source, label.outcome) for label in found.labels]


def test_openai_messages_keep_the_conversation_and_the_reasoning(imported: Import) -> None:
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": QUESTION}]},
        {"role": "assistant", "content": "7", "reasoning_content": "3 + 4"},
    ]
    found = imported([{"messages": turns, "answer": "7", "model": "teacher"}], "openai")
    [problem], [row] = found.problems, rows_of(found)
    assert (problem.prompt, problem.gold) == (QUESTION, "7")
    assert row["text"] == "<think>\n3 + 4\n</think>\n\n7"
    assert row["reasoning"] == "3 + 4"
    assert row["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "content": "7"},
    ]
    assert [policy.model for policy in found.policies] == ["teacher"]


@pytest.mark.parametrize(("finish", "text"), [("length", "<think>\nhm"), ("stop", "<think>\nhm\n</think>\n\n")])
def test_a_thought_without_an_answer_is_a_trace_too(imported: Import, finish: str, text: str) -> None:
    row = {"question": QUESTION, "answer": "7", "reasoning_content": "hm", "content": None, "finish_reason": finish}
    found = imported([row], "reasoning")
    [trace] = rows_of(found)
    assert (trace["text"], trace["finish_reason"], trace["answer"], found.drops) == (text, finish, None, [])


def test_of_many_turns_the_last_of_the_assistant_is_the_trace(imported: Import) -> None:
    turns = [
        {"role": "user", "content": "Add 3 and 4."},
        {"role": "assistant", "content": "8"},
        {"role": "user", "content": "Check that."},
        {"role": "assistant", "content": None, "tool_calls": [{"name": "add"}]},
        {"role": "tool", "content": "7"},
        {"role": "assistant", "content": "It is 7."},
        {"role": "user", "content": "Thanks."},
    ]
    found = imported([{"messages": turns, "gold": "7"}], "openai")
    [row] = rows_of(found)
    assert row["text"] == "It is 7."
    assert len(row["messages"]) == 7
    assert found.problems[0].prompt == (
        "User: Add 3 and 4.\n\nAssistant: 8\n\nUser: Check that.\n\nAssistant: \n\nTool: 7"
    )
    assert row["messages"][3]["content"] == '[{"name": "add"}]'


def test_a_conversation_without_an_assistant_is_a_drop(imported: Import) -> None:
    good = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": PROSE}]
    found = imported([{"messages": good[:1], "gold": "7"}, {"messages": good, "gold": "7"}], "openai")
    [drop] = found.drops
    assert (drop.subject_id, drop.stage, drop.reason) == ("rows.jsonl:1", "import", "bad_row")
    assert (found.rows_in, found.traces.num_rows) == (2, 1)


def test_sharegpt_speakers_become_roles(imported: Import) -> None:
    said = [{"from": "human", "value": QUESTION}, {"from": "gpt", "value": PROSE}]
    found = imported([{"conversations": said, "system": "Be brief.", "gold": "7"}], "sharegpt")
    [row] = rows_of(found)
    assert [turn["role"] for turn in row["messages"]] == ["system", "user", "assistant"]
    assert (row["text"], found.problems[0].prompt) == (PROSE, QUESTION)


def test_a_reasoning_dump_is_put_back_as_one_raw_turn(imported: Import) -> None:
    row = {"question": QUESTION, "reasoning_content": "3 + 4", "content": "7", "answer": "7", "finish_reason": "stop"}
    [trace] = rows_of(imported([row], "reasoning"))
    assert (trace["text"], trace["finish_reason"]) == ("<think>\n3 + 4\n</think>\n\n7", "stop")


def test_an_openr1_row_is_one_attempt_for_each_generation(imported: Import) -> None:
    row = {
        "problem": QUESTION,
        "answer": "7",
        "solution": "3 + 4 = 7",
        "generations": ["<think>ok</think>7", "<think>cut", "<think>ok</think>8"],
        "is_reasoning_complete": [True, False, True],
        "finish_reasons": None,
        "correctness_math_verify": [True, False, False],
        "correctness_llama": None,
    }
    found = imported([row], "openr1")
    traces = rows_of(found)
    assert [(t["path"], t["sample_index"], t["finish_reason"]) for t in traces] == [
        ("1/0", 0, "unknown"),
        ("1/1", 1, "length"),
        ("1/2", 2, "unknown"),
    ]
    assert labels_of(found) == [("correctness_math_verify", o) for o in ("correct", "incorrect", "incorrect")]
    [problem] = found.problems
    assert (problem.gold, problem.reference_solution) == ("7", "3 + 4 = 7")
    assert found.rows_in == 3


def test_nemo_rows_that_failed_are_attempts_with_their_error(imported: Import) -> None:
    rows = [
        {
            "problem": QUESTION,
            "expected_answer": "7",
            "generation": PROSE,
            "predicted_answer": "7",
            "symbolic_correct": True,
            "judgement": "Judgement: Yes",
            "num_generated_tokens": 12,
        },
        {"problem": QUESTION, "expected_answer": "7", "generation": "", "error": "context window exceeded"},
    ]
    found = imported(rows, "nemo")
    good, failed = rows_of(found)
    assert good["completion_tokens"] == 12
    assert (failed["text"], failed["finish_reason"], failed["error"]) == ("", "error", "context window exceeded")
    assert labels_of(found) == [("symbolic_correct", "correct"), ("judgement", "correct")]
    assert found.labels[0].detail == "symbolic_correct is True, prediction '7'"


def test_verl_rollouts_give_the_question_out_of_the_decoded_chat(imported: Import) -> None:
    chat = f"system\nYou are helpful.\nuser\n{QUESTION}\nassistant\n<think>\n"
    rows = [
        {"input": chat, "output": "3 + 4</think>7", "gts": "7", "score": 1.0, "step": 5},
        {"input": chat, "output": "unfinished", "gts": "7", "score": -1.0, "step": 6},
        {
            "input": f"<|im_start|>user\n{QUESTION}<|im_end|>\n<|im_start|>assistant\n",
            "output": "7",
            "gts": "7",
            "score": 0.1,
            "step": 6,
        },
    ]
    found = imported(rows, "rollouts")
    assert [problem.prompt for problem in found.problems] == [QUESTION]
    assert [row["text"] for row in rows_of(found)] == ["<think>\n3 + 4</think>7", "<think>\nunfinished", "7"]
    assert [(policy.model, policy.revision) for policy in found.policies] == [
        ("unknown", "step-5"),
        ("unknown", "step-6"),
    ]
    assert labels_of(found) == [("score", "correct"), ("score", "incorrect"), ("score", "incorrect")]


def test_prime_rl_rollouts_are_conversations_with_a_reward(imported: Import) -> None:
    asked = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": QUESTION}]
    rows = [
        {"prompt": asked, "completion": [{"role": "assistant", "content": "7"}], "answer": "7", "reward": 1.0},
        {
            "prompt": asked,
            "completion": [{"role": "assistant", "content": "se"}],
            "answer": "7",
            "reward": 0.0,
            "is_truncated": True,
        },
        {"prompt": QUESTION, "completion": "7", "answer": "7", "reward": 1},
    ]
    found = imported(rows, "rollouts")
    assert [problem.prompt for problem in found.problems] == [QUESTION]
    assert [(row["text"], row["finish_reason"]) for row in rows_of(found)] == [
        ("7", "unknown"),
        ("se", "length"),
        ("7", "unknown"),
    ]
    assert labels_of(found) == [("reward", "correct"), ("reward", "incorrect"), ("reward", "correct")]


def test_a_rollouts_puzzle_inputs_in_place_of_a_gold_become_the_spec(imported: Import) -> None:
    row = {
        "prompt": "Make 10 of 3 and 7.",
        "completion": "3 + 7",
        "reward_model": {"ground_truth": {"numbers": [3, 7], "target": 10}},
    }
    [problem] = imported([row], "rollouts", verifier="countdown").problems
    assert problem.spec == {"numbers": [3, 7], "target": 10}
    assert (problem.gold, problem.verifier) == (None, "countdown")


def test_columns_are_found_by_their_usual_names_or_by_the_map(imported: Import) -> None:
    row = {"q": {"text": QUESTION}, "said": PROSE, "right": "7", "who": "m-1", "times": ["a", "b"], "ok": "yes"}
    columns = {
        "prompt": "q.text",
        "response": "said",
        "gold": "right",
        "model": "who",
        "repeats": "times",
        "labels": "ok",
    }
    found = imported([row], "columns", map=columns)
    [trace] = rows_of(found)
    assert (trace["text"], trace["repeats"]) == (PROSE, 2)
    assert labels_of(found) == [("ok", "correct")]
    assert [policy.model for policy in found.policies] == ["m-1"]


def test_a_list_of_responses_is_one_attempt_for_each(imported: Import) -> None:
    row = {"prompt": QUESTION, "responses": [PROSE, "8"], "gold": "7", "score": [1.0, 0.0], "correct": True}
    found = imported([row], "columns")
    assert [(trace["text"], trace["path"], trace["sample_index"]) for trace in rows_of(found)] == [
        (PROSE, "1/0", 0),
        ("8", "1/1", 1),
    ]
    assert labels_of(found) == [(name, "correct") for name in ("correct", "score")] + [
        ("correct", "correct"),
        ("score", "incorrect"),
    ]


@pytest.mark.parametrize(
    ("format", "row", "columns", "said"),
    [
        ("columns", {"prompt": "x", "text": "y"}, {}, "no column for 'response'"),
        ("columns", {"prompt": "x", "output": "y"}, {"gold": "gold_answer"}, "column 'gold_answer'"),
        ("columns", {"prompt": "x", "output": "y"}, {"labels": "right"}, "column 'right'"),
        ("columns", {"prompt": "x", "output": "y"}, {"skip_kinds": "code"}, "column 'kind'"),
        ("openai", {"msgs": []}, {}, "no column for 'messages'"),
        ("sharegpt", {"messages": []}, {}, "no column for 'conversations'"),
        ("reasoning", {"prompt": "x", "content": "y"}, {}, "no column for 'reasoning'"),
        ("openr1", {"problem": "x"}, {}, "no column for 'generations'"),
        ("nemo", {"generation": "x"}, {}, "no column for 'prompt'"),
        ("rollouts", {"output": "x"}, {}, "no column for 'prompt'"),
    ],
)
def test_a_column_that_is_not_there_names_file_row_column_and_the_map(
    imported: Import, format: str, row: dict[str, Any], columns: dict[str, str], said: str
) -> None:
    with pytest.raises(DataError) as caught:
        imported([row], format, map=columns)
    assert said in str(caught.value)
    assert "rows.jsonl, row 1, column" in str(caught.value)
    assert "set --columns (in a recipe: map) " in str(caught.value)


@pytest.mark.parametrize(
    ("value", "outcome"),
    [
        (True, "correct"),
        (False, "incorrect"),
        (1, "correct"),
        (0.49, "incorrect"),
        ("Correct", "correct"),
        ("wrong", "incorrect"),
        ("half right", "unparsed"),
        ([True], "unparsed"),
    ],
)
def test_what_a_label_says_is_kept_and_read(imported: Import, value: Any, outcome: str) -> None:
    row = {"prompt": QUESTION, "output": PROSE, "gold": "7", "verdict": value}
    [label] = imported([row], "columns", map={"labels": "verdict"}).labels
    assert (label.outcome, label.detail) == (outcome, f"verdict is {value!r}")
