import os
import stat
import sys
from pathlib import Path

import pytest

from tracemill.schemas.errors import UsageError
from tracemill.verifiers.base import Candidate
from tracemill.verifiers.lean import choose, native, verifier

STANDIN = Path(__file__).parent / "standin.py"
SAYS = "Lean (version 4.30.1, x86_64-unknown-linux-gnu, commit 123, Release)"


def executable(path, text):
    path.write_text(f"#!{sys.executable}\n{text}")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def toolchain(tmp_path, monkeypatch):
    """``lean``, ``lake`` and ``leanchecker`` that are none, but take the arguments and speak the protocol."""
    folder = tmp_path / "bin"
    folder.mkdir()
    executable(
        folder / "lean",
        "import runpy, sys\n"
        f"if '--version' in sys.argv: print({SAYS!r})\n"
        "elif '-o' in sys.argv: open(sys.argv[2], 'w').write(open(sys.argv[3]).read())\n"
        f"elif '--run' in sys.argv: runpy.run_path({str(STANDIN)!r}, run_name='__main__')\n",
    )
    executable(folder / "lake", "import os, sys\nassert sys.argv[1] == 'env'\nos.execv(sys.argv[2], sys.argv[2:])\n")
    executable(
        folder / "leanchecker",
        "import os, sys\n"
        "text = open(os.path.join(os.environ['LEAN_PATH'].split(os.pathsep)[0], sys.argv[1] + '.olean')).read()\n"
        "sys.exit('it does not replay' if 'REFUSED' in text else 0)\n",
    )
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("ELAN_HOME", str(tmp_path / "elan"))
    choose._native.cache_clear()
    verifier._SESSIONS.clear()
    yield folder
    for session in verifier._SESSIONS.values():
        session.reader.close()
        session.judge.close()
    verifier._SESSIONS.clear()
    choose._native.cache_clear()


def judged(response, **options):
    built = verifier.verifier(options)
    return verifier.check(Candidate("s", response, spec={"statement": "theorem t : True"}), built.config)


def test_without_a_toolchain_there_is_no_native_back_end(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("ELAN_HOME", str(tmp_path))
    assert native.find() is None
    with pytest.raises(UsageError, match="no lean"):
        native.native()


def test_the_toolchain_is_found_and_named_in_the_verdict(toolchain):
    judgement = judged("fine")  # backend auto
    assert judgement.outcome == "correct"
    assert judgement.evidence["back_end"] == "lean-native 4.30.1"


def test_elan_s_folder_is_looked_into(toolchain, monkeypatch, tmp_path):
    (tmp_path / "elan").mkdir()
    (tmp_path / "elan" / "bin").symlink_to(toolchain)
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    assert native.find().lean == str(tmp_path / "elan" / "bin" / "lean")


def test_a_project_is_entered_by_lake(toolchain, tmp_path):
    project = tmp_path / "project"
    project.mkdir()
    with pytest.raises(UsageError, match="no lakefile"):
        native.native(str(project))
    (project / "lakefile.toml").write_text("")
    backend = native.native(str(project))
    assert backend.folder == str(project)
    assert backend.command[:3] == (str(toolchain / "lake"), "env", str(toolchain / "lean"))
    assert judged("fine", project=str(project)).outcome == "correct"


def test_leanchecker_is_the_second_checker(toolchain):
    assert judged("fine", level="second_checker").evidence["level"] == "second_checker"
    refused = judged("REFUSED", level="second_checker")
    assert (refused.outcome, refused.evidence["level"]) == ("incorrect", "replay_fresh_process")
    assert "it does not replay" in refused.reason


def test_a_toolchain_without_leanchecker_ends_at_the_fresh_replay(toolchain):
    os.unlink(toolchain / "leanchecker")
    with pytest.raises(UsageError, match="ends at level replay_fresh_process"):
        judged("fine", level="second_checker")


def test_an_executable_that_does_not_say_what_it_is_is_refused(toolchain):
    executable(toolchain / "lean", "import sys; sys.exit('broken toolchain')")
    with pytest.raises(UsageError, match="broken toolchain"):
        native.native()


def test_submissions_with_code_are_refused_where_there_is_no_sandbox(toolchain):
    with pytest.raises(UsageError, match="no sandbox"):
        judged("fine", commands="any", level="replay_fresh_process")
