import pytest

from tracemill.schemas.enums import Outcome
from tracemill.schemas.errors import UsageError
from tracemill.verifiers.base import Candidate
from tracemill.verifiers.pool import verify_all
from tracemill.verifiers.registry import build_verifier, known


def test_a_check_of_two_parameters_is_used_as_it_is(hostile):
    built = build_verifier("hostile_checks:check", {"limit": 5}, time_limit=2)
    assert (built.name, built.version, built.time_limit) == ("hostile_checks:check", "7", 2.0)
    (verdict,) = verify_all(built, [Candidate("a", "x", "x")], workers=1)
    assert verdict.judgement.outcome is Outcome.CORRECT
    assert verdict.judgement.evidence["limit"] == 5


def test_a_factory_of_one_parameter_makes_the_verifier(hostile):
    built = build_verifier("hostile_checks:factory", {"limit": 5})
    assert (built.name, built.time_limit, dict(built.config)) == ("made", 3.0, {"limit": 5})


def test_a_verifier_is_taken_as_it_is(hostile):
    assert dict(build_verifier("hostile_checks:READY", {"more": 2}).config) == {"limit": 1, "more": 2}


def test_an_installed_package_brings_its_verifier_by_name(hostile, tmp_path, monkeypatch):
    info = tmp_path / "theirs-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[tracemill.verifiers]\ntheirs = hostile_checks:check\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "theirs" in known()
    built = build_verifier("theirs")
    (verdict,) = verify_all(built, [Candidate("a", "x", "x")], workers=1)
    assert (built.version, verdict.judgement.outcome) == ("7", Outcome.CORRECT)


def test_the_version_of_a_check_without_one_follows_its_source(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    versions = set()
    for name, body in (("own_one", "True"), ("own_two", "False"), ("own_three", "True")):
        (tmp_path / f"{name}.py").write_text(f"def check(candidate, config):\n    return {body}\n")
        versions.add(build_verifier(f"{name}:check").version)
    assert len(versions) == 2
    assert all(version.startswith("source-") for version in versions)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("answr", "answer"),
        ("no_such_module_here:check", "cannot import"),
        ("hostile_checks:absent", "has no 'absent'"),
        ("hostile_checks:NOT_CALLABLE", "not a function"),
        ("hostile_checks:three", "takes 3 parameters"),
        ("hostile_checks:bad_factory", "not a Verifier"),
    ],
)
def test_a_wrong_name_says_what_is_wrong(hostile, path, said):
    with pytest.raises(UsageError, match=said):
        build_verifier(path)


@pytest.mark.parametrize("options", [{"tolerence": 0.1}, {"percent": "maybe"}, {"tolerance": 2}, {"ordered": "yes"}])
def test_a_wrong_option_is_refused(options):
    with pytest.raises(UsageError, match="option"):
        build_verifier("answer", options)


@pytest.mark.parametrize("limit", [0, -1, float("nan")])
def test_an_impossible_limit_is_refused(limit):
    with pytest.raises(UsageError, match="time limit"):
        build_verifier("answer", time_limit=limit)


def test_options_and_limits_are_part_of_the_identity():
    plain = build_verifier("answer")
    assert plain.config_hash == build_verifier("answer").config_hash
    assert plain.config_hash != build_verifier("answer", {"tolerance": 0.01}).config_hash
    assert plain.config_hash != build_verifier("answer", time_limit=1).config_hash
