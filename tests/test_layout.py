"""The shape of the project: imports point one way, no file names a package index, and we take one top-level name only."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LAYERS = ("schemas", "verifiers", "tasks", "flows")  # each imports itself and those before it
NEEDLES = tuple(".".join(p) for p in (("pypi", "org"), ("files", "pythonhosted"), ("registry", "npmjs")))


def imported(tree: ast.AST) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add("relative")
    return names


@pytest.mark.parametrize("layer", LAYERS)
def test_imports_point_one_way(layer):
    allowed = LAYERS[: LAYERS.index(layer) + 1]
    files = sorted((ROOT / layer).rglob("*.py"))
    assert files
    wrong = []
    for file in files:
        for name in imported(ast.parse(file.read_text(encoding="utf-8"))):
            parts = name.split(".")
            if name == "relative" or parts[0] in LAYERS:
                wrong.append(f"{file.relative_to(ROOT)}: {name} (say tracemill.<layer>...)")
            if parts[0] == "tracemill" and len(parts) > 1 and parts[1] in LAYERS and parts[1] not in allowed:
                wrong.append(f"{file.relative_to(ROOT)}: {name}")
    assert wrong == []


def test_no_file_names_a_package_index():
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    named = []
    for name in filter(None, listed.stdout.decode().split("\0")):
        path = ROOT / name
        if path.is_file() and not path.is_symlink():
            data = path.read_bytes()
            named += [f"{name}: {needle}" for needle in NEEDLES if needle.encode() in data]
    assert named == []


@pytest.mark.slow
def test_a_wheel_takes_only_our_own_top_level_name(tmp_path):
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("hatchling, which builds the wheel, is not installed")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"tracemill"}
    for layer in LAYERS:
        assert f"tracemill/{layer}/__init__.py" in names


def test_the_well_known_verifiers_package_imports_beside_ours(tmp_path):
    theirs = tmp_path / "verifiers"
    theirs.mkdir()
    (theirs / "__init__.py").write_text("WHOSE = 'theirs'\n")
    code = (
        "import verifiers, tracemill.verifiers, tracemill.verifiers.base\n"
        "print(verifiers.WHOSE, tracemill.verifiers.base.Verifier.__module__)"
    )
    said = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.split() == ["theirs", "tracemill.verifiers.base"]
