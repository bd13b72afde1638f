"""The collapse report: figures by their definitions, and what is kept out of publishing (algorithms §2.24)."""

from __future__ import annotations

import random

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracemill.schemas.recipe import MiningSpec
from tracemill.tasks.mining.checks import checks_of, edit_histogram, kept_out
from tracemill.tasks.mining.collapse import (
    BIMODAL,
    FAILED,
    PASSED,
    REPORTED,
    UNMEASURED,
    auc,
    bimodality,
    blocked,
    histogram,
    ignore_index,
    pair_checks,
    splice_checks,
    telltale_checks,
)
from tracemill.tasks.publishing.layout import write_configs
from tracemill.tasks.queries import connect

VALUES = st.lists(st.integers(0, 5), min_size=1, max_size=12)


@given(VALUES, VALUES)
def test_auc_is_the_chance_to_be_larger(one, other):
    wins = sum((a > b) + (a == b) / 2 for a in one for b in other)
    assert auc(one, other) == pytest.approx(wins / (len(one) * len(other)))
    assert auc(one, []) is None


def test_two_humps_are_told_from_one():
    rng = random.Random(0)
    one = [rng.gauss(0.5, 0.1) for _ in range(2000)]
    two = [rng.gauss(0.2, 0.05) for _ in range(1000)] + [rng.gauss(0.8, 0.05) for _ in range(1000)]
    flat = [rng.random() for _ in range(20_000)]
    assert bimodality(one) < BIMODAL < bimodality(two)
    assert bimodality(flat) == pytest.approx(BIMODAL, abs=0.01)
    assert bimodality([0.5] * 9) is None
    assert sum(histogram(two)) == 2000


def test_the_ignore_index_is_near_0_where_the_attempt_is_ignored():
    """§2.24 (b): NLL with another attempt minus NLL with its own."""
    rng = random.Random(1)
    own = [rng.gauss(50, 5) for _ in range(400)]
    mean, low, high = ignore_index([x + rng.gauss(0, 1) for x in own], own)
    assert low < 0 < high
    mean, low, _ = ignore_index([x + rng.gauss(3, 1) for x in own], own)
    assert mean == pytest.approx(3, abs=0.2)
    assert low > 0
    with pytest.raises(ValueError, match="two pairs"):
        ignore_index([1.0], [1.0])


def checks(**changes):
    given_ = {
        "edits": [0.3, 0.4, 0.5, 0.6],
        "on_policy": 1.0,
        "controls": 0.2,
        "broken": 0.0,
        "age": 0.0,
        "ignored": (1.0, 0.5, 1.5),
    }
    return {c.name: c for c in pair_checks(**(given_ | changes), least_on_policy=0.9, least_controls=0.2)}


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"edits": [0.01] * 9 + [0.5]}, "identity_rate"),
        ({"on_policy": 0.5}, "on_policy_share"),
        ({"broken": 0.1}, "correct_to_incorrect"),
        ({"controls": 0.1}, "controls_share"),
        ({"ignored": (0.1, -0.1, 0.3)}, "ignore_index"),
    ],
)
def test_each_check_can_fail_and_then_blocks(change, name):
    found = checks(**change)
    assert found[name].status == FAILED
    assert [c.name for c in found.values() if c.status == FAILED] == [name]
    assert blocked(list(found.values()), [])["pairs"][0].startswith(name)


def test_a_set_that_passes_is_not_blocked():
    assert blocked(list(checks().values()), []) == {}


def test_what_was_not_measured_blocks_unless_it_is_waived_by_name():
    found = list(checks(ignored=None).values())
    assert {c.name for c in found if c.status == UNMEASURED} == {"ignore_index"}
    assert blocked(found, []) == {"pairs": ["ignore_index is unmeasured"]}
    assert blocked(found, ["ignore_index"]) == {}
    assert blocked(found, ["seam_surprisal"]) != {}


def test_a_length_alone_must_not_tell_chosen_from_rejected():
    rng = random.Random(2)
    alike = ([rng.gauss(100, 10) for _ in range(300)], [rng.gauss(100, 10) for _ in range(300)])
    longer = ([rng.gauss(130, 10) for _ in range(300)], alike[1])
    shorter = (alike[0], [rng.gauss(130, 10) for _ in range(300)])
    statuses = [telltale_checks({"length": pair})[0].status for pair in (alike, longer, shorter, ([], []))]
    assert statuses == [PASSED, FAILED, FAILED, UNMEASURED]


def test_splices_are_checked_for_markers_cuts_controls_and_seams():
    even = {f"m{n}": 10 for n in range(20)}
    found = {c.name: c.status for c in splice_checks(even, 200, 200, 200, [1.0, 3.0])}
    assert set(found.values()) == {PASSED}
    for change, name in (
        ((even | {"m0": 90}, 280, 280, 280, [1.0]), "marker_share"),
        ((even, 150, 200, 200, [1.0]), "verified_cuts"),
        ((even, 200, 200, 150, [1.0]), "controls_share"),
        ((even, 200, 200, 200, [40.0]), "seam_surprisal"),
    ):
        failed = [c.name for c in splice_checks(*change) if c.status == FAILED]
        assert failed == [name]
    few = {c.name: c.status for c in splice_checks({"m": 3}, 3, 3, 3, None)}
    assert few["marker_share"] == REPORTED
    assert few["seam_surprisal"] == UNMEASURED


def reported(run, spec):
    """The checks of what was mined, and what they keep out."""
    with connect([run]) as connection:
        checks = checks_of(connection, spec)
        bins = edit_histogram(connection)
    return {f"{c.subject}.{c.name}": c for c in checks}, kept_out(checks, spec), bins


def test_the_report_of_a_run_is_taken_from_its_tables(mined, spec):
    run = mined(spec())
    checks, barred, bins = reported(run, spec())
    assert checks["pairs.on_policy_share"].value == 1
    assert checks["pairs.correct_to_incorrect"].value == 0
    assert checks["pairs.controls_share"].value >= 0.2
    assert checks["splices.controls_share"].value == 1
    assert checks["splices.verified_cuts"].value == 1
    assert checks["preferences.telltale_steps"].value == 0  # every wrong attempt has one step more
    assert checks["preferences.telltale_steps"].status == FAILED
    assert set(barred) == {"pairs", "preferences", "splices"}
    assert barred["pairs"] == ["ignore_index is unmeasured"]
    with connect([run]) as connection:
        pairs = connection.execute("SELECT count(*) FROM pairs WHERE kind = 'ic'").fetchone()[0]
    assert sum(bins) == pairs > 0


def test_only_sets_that_pass_or_are_waived_are_published(mined, spec, tmp_path, monkeypatch):
    strict = spec()
    run = mined(strict)
    waived = spec(waive=["ignore_index", "seam_surprisal"])

    def published(held: MiningSpec, folder: str) -> tuple[set[str], set[str]]:
        recipe = run.recipe().model_copy(update={"mining": held})
        monkeypatch.setattr(type(run), "recipe", lambda self: recipe)
        configs = {config.name for config in write_configs(run, str(tmp_path / folder), {})}
        files = list((tmp_path / folder / "tables" / "streams").glob("*.parquet"))
        told = {row for file in files for row in pq.read_table(file)["linearizer"].to_pylist()}
        return configs & {"pairs", "turns", "preferences", "streams"}, told

    assert published(strict, "strict") == ({"streams"}, set())
    assert published(waived, "waived") == ({"pairs", "turns", "streams"}, {"splice"})
