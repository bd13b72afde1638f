"""Rendering is pure and literal: a problem's text is data, never a template."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracemill.schemas.errors import UsageError
from tracemill.schemas.recipe import TemplateSpec
from tracemill.schemas.records import Problem
from tracemill.tasks.template_library import TEMPLATES, build_template
from tracemill.tasks.templates import Template, render


def problem(prompt: str = "What is 1 + 1?", choices: tuple[str, ...] | None = None) -> Problem:
    return Problem(prompt, "answer", "test", gold="2", choices=choices)


@given(st.text(max_size=200))
def test_the_problem_is_rendered_letter_for_letter(text: str) -> None:
    assert render(Template("t", user="<{{problem}}>"), problem(text)).messages[-1]["content"] == f"<{text}>"


def test_marks_inside_a_problem_are_left_alone() -> None:
    assert (
        render(Template("t"), problem("{{hint}} {x} {{problem}}")).messages[0]["content"] == "{{hint}} {x} {{problem}}"
    )


def test_an_unknown_mark_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match="answr") as caught:
        render(Template("t", user="{{answr}}"), problem())
    assert "problem" in (caught.value.mend or "")


def test_shots_are_earlier_turns_on_the_chat_route() -> None:
    template = Template("t", user="Q: {{problem}}", system="Be brief.", shots=(("1?", "one"), ("2?", "two")))
    roles = [(m["role"], m["content"]) for m in render(template, problem("3?")).messages]
    assert roles == [
        ("system", "Be brief."),
        ("user", "Q: 1?"),
        ("assistant", "one"),
        ("user", "Q: 2?"),
        ("assistant", "two"),
        ("user", "Q: 3?"),
    ]


def test_shots_are_earlier_text_on_the_completion_route() -> None:
    template = Template("t", user="Q: {{problem}}\nA:", route="completion", shots=(("1?", " one"),), prefill=" <think>")
    assert render(template, problem("2?")).text == "Q: 1?\nA: one\n\nQ: 2?\nA: <think>"


def test_choices_follow_the_question_as_letters() -> None:
    content = render(Template("t"), problem("Pick.", ("red", "blue"))).messages[0]["content"]
    assert content == "Pick.\n\nA. red\nB. blue"


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_every_shipped_template_renders_and_shows_the_question(name: str) -> None:
    prompt = render(build_template(TemplateSpec(name=name)), problem("What is 6 * 7?"))
    shown = prompt.text + "".join(message["content"] for message in prompt.messages)
    assert "What is 6 * 7?" in shown
    assert "{{" not in shown


def test_an_unknown_template_suggests_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        build_template(TemplateSpec(name="thnk"))
    assert "'think'" in (caught.value.mend or "")


def test_a_template_id_changes_with_anything_that_shapes_the_prompt() -> None:
    base = Template("t")
    variants = [
        Template("t", user="{{problem}} "),
        Template("t", system=""),
        Template("t", route="completion"),
        Template("t", shots=(("a", "b"),)),
        Template("t", prefill=" "),
    ]
    assert len({template.template_id for template in [base, *variants]}) == len(variants) + 1
