"""Where a run lies: the few file operations that the store needs, on a local disk or on an object store.

What must stay true of both: ``create`` leaves either a whole, durable file or one that nothing refers to; ``publish``
is all or nothing and never replaces what is there. Locally that is a flushed temporary file and a hard link; on an
object store it is a conditional put. Nothing is ever made visible by renaming it over something else, except
``recipe.json``, which ``replace`` swaps as a whole.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final

import fsspec
import pyarrow as pa

from tracemill.schemas.errors import StoreError

_TEMPORARY: Final = ".part-"
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_FORBIDDEN: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_NO_LINKS: Final = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK})


@contextlib.contextmanager
def guarded(where: str) -> Iterator[None]:
    """Turn a failing file operation into a ``StoreError`` that names ``where`` and what to do about it."""
    try:
        yield
    except OSError as error:
        raise store_error(error, where) from error
    except pa.ArrowException as error:
        raise StoreError(f"damaged or not Parquet: {error}", where=where) from error


def store_error(error: OSError, where: str) -> StoreError:
    """``error`` as the user should read it."""
    if error.errno in _FULL:
        return StoreError(
            "no space left to write",
            where=where,
            mend="free some space and give the same command again: it resumes, and nothing committed was lost",
        )
    if error.errno in _FORBIDDEN:
        return StoreError(
            f"no permission ({error.strerror})",
            where=where,
            mend="make the place writable, or choose another with --out; the same command then resumes",
        )
    return StoreError(error.strerror or f"{type(error).__name__}: {error}", where=where)


class LocalLocation:
    """A folder on a local disk."""

    local = True

    def __init__(self, root: str) -> None:
        self.root = os.path.abspath(os.path.expanduser(root))

    def address(self, name: str) -> str:
        """The absolute path of ``name``."""
        return os.path.join(self.root, name)

    def names(self, folder: str = "") -> list[str]:
        """Sorted names in ``folder``, unfinished ones included; none where it does not exist."""
        with guarded(self.address(folder)):
            try:
                return sorted(os.listdir(self.address(folder)))
            except FileNotFoundError:
                return []

    def exists(self, name: str) -> bool:
        return os.path.exists(self.address(name))

    def size(self, name: str) -> int:
        with guarded(self.address(name)):
            return os.path.getsize(self.address(name))

    def make_folder(self, name: str = "") -> None:
        with guarded(self.address(name)):
            os.makedirs(self.address(name), exist_ok=True)

    def read(self, name: str) -> bytes | None:
        """The whole content, None where there is no such file."""
        with guarded(self.address(name)):
            try:
                return Path(self.address(name)).read_bytes()
            except FileNotFoundError:
                return None

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[str]:
        """``name`` as something that pyarrow reads."""
        with guarded(self.address(name)):
            yield self.address(name)

    @contextlib.contextmanager
    def create(self, name: str) -> Iterator[IO[bytes]]:
        """A new file to write; durable, with its folder entry, when the block ends. Removed where it fails."""
        path = self.address(name)
        with guarded(path):
            try:
                with open(path, "xb") as file:
                    yield file
                    file.flush()
                    os.fsync(file.fileno())
                _sync_folder(os.path.dirname(path))
            except OSError:
                with contextlib.suppress(OSError):
                    os.unlink(path)
                raise

    def publish(self, name: str, data: bytes) -> bool:
        """Create ``name`` with ``data``, durably; False, and nothing changed, where it exists already."""
        path = self.address(name)
        with self._temporary(path, data) as temporary:
            try:
                os.link(temporary, path)
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                if os.path.exists(path):  # the run's lock keeps other writers away
                    return False
                os.rename(temporary, path)
        return True

    def replace(self, name: str, data: bytes, *, durable: bool = True) -> None:
        """Put ``data`` in the place of ``name`` as a whole; not ``durable`` is for what a start remakes anyway."""
        path = self.address(name)
        with self._temporary(path, data, durable) as temporary:
            os.rename(temporary, path)

    @contextlib.contextmanager
    def _temporary(self, path: str, data: bytes, durable: bool = True) -> Iterator[str]:
        folder = os.path.dirname(path)
        temporary = os.path.join(folder, _TEMPORARY + secrets.token_hex(6))
        with guarded(path):
            try:
                with open(temporary, "xb") as file:
                    file.write(data)
                    file.flush()
                    if durable:
                        os.fsync(file.fileno())
                yield temporary
                if durable:
                    _sync_folder(folder)
            finally:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)

    def remove(self, name: str) -> None:
        with guarded(self.address(name)), contextlib.suppress(FileNotFoundError):
            os.unlink(self.address(name))


class RemoteLocation:
    """A folder on an object store or any other fsspec file system, given as a URL."""

    local = False

    def __init__(self, url: str) -> None:
        self.root = url.rstrip("/")
        with guarded(url):
            self._fs, self._path = fsspec.core.url_to_fs(self.root)

    def address(self, name: str) -> str:
        """The URL of ``name``."""
        return f"{self.root}/{name}" if name else self.root

    def _at(self, name: str) -> str:
        return f"{self._path}/{name}" if name else str(self._path)

    def names(self, folder: str = "") -> list[str]:
        """Sorted names in ``folder``; none where it does not exist."""
        with guarded(self.address(folder)):
            self._fs.invalidate_cache()
            try:
                found = self._fs.ls(self._at(folder), detail=False)
            except FileNotFoundError:
                return []
            return sorted(str(path).rstrip("/").rsplit("/", 1)[-1] for path in found)

    def exists(self, name: str) -> bool:
        with guarded(self.address(name)):
            self._fs.invalidate_cache()
            return bool(self._fs.exists(self._at(name)))

    def size(self, name: str) -> int:
        with guarded(self.address(name)):
            return int(self._fs.size(self._at(name)))

    def make_folder(self, name: str = "") -> None:
        """Nothing: an object store has no folders."""

    def read(self, name: str) -> bytes | None:
        """The whole content, None where there is no such object."""
        with guarded(self.address(name)):
            try:
                return bytes(self._fs.cat_file(self._at(name)))
            except FileNotFoundError:
                return None

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[Any]:
        """``name`` as something that pyarrow reads."""
        with guarded(self.address(name)), self._fs.open(self._at(name), "rb") as file:
            yield file

    @contextlib.contextmanager
    def create(self, name: str) -> Iterator[IO[bytes]]:
        """A new object to write; it is there when the block ends."""
        with guarded(self.address(name)), self._fs.open(self._at(name), "wb") as file:
            yield file

    def publish(self, name: str, data: bytes) -> bool:
        """Put ``data`` under ``name`` on the condition that nothing is there; False where something is."""
        with guarded(self.address(name)):
            try:
                self._fs.pipe_file(self._at(name), data, mode="create")
            except FileExistsError:
                return False
            return True

    def replace(self, name: str, data: bytes, *, durable: bool = True) -> None:
        with guarded(self.address(name)):
            self._fs.pipe_file(self._at(name), data)

    def remove(self, name: str) -> None:
        with guarded(self.address(name)), contextlib.suppress(FileNotFoundError):
            self._fs.rm_file(self._at(name))


Location = LocalLocation | RemoteLocation


def location_of(path: str) -> Location:
    """The location that ``path`` names: an fsspec URL (``s3://``, ``memory://``), else a local folder."""
    if path.startswith("file://"):
        return LocalLocation(path.removeprefix("file://"))
    return RemoteLocation(path) if "://" in path else LocalLocation(path)


def unfinished(name: str) -> bool:
    """Whether ``name`` is a temporary file that a killed process may have left."""
    return name.startswith(_TEMPORARY)


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
