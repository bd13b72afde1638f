"""A whole data set repository in a folder: nothing is there, or everything is, checked for secrets first."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from pathlib import Path
from typing import Final

from tracemill.schemas.errors import DataError, UsageError
from tracemill.tasks.publishing.card import MARK, card
from tracemill.tasks.publishing.layout import DATA, VIEWS, write_configs
from tracemill.tasks.publishing.scrub import Scrubber, refuse_secrets_in
from tracemill.tasks.publishing.scrub import secrets as secrets_here
from tracemill.tasks.store import RunStore
from tracemill.tasks.store.location import guarded
from tracemill.tasks.views.write import view_files

CARD: Final = "README.md"
_REPO: Final = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def prepare(run: RunStore, folder: str, repo: str = "org/name") -> list[str]:
    """Write the repository ``repo`` of ``run`` to ``folder``; returns the names of its configs, views first.

    A view or table without rows has its file but no config: ``datasets`` refuses to load a split that holds nothing.

    ``folder`` is new or empty, or holds an earlier repository of ours, which is replaced. Raises ``UsageError`` for any
    other folder, a name that is not ``org/name``, and rows that hold a secret; ``DataError`` for a run without views.
    """
    if not _REPO.fullmatch(repo):
        raise UsageError("not the name of a repository", where=repr(repo), mend="give it as ORG/NAME")
    if not view_files(run.path):
        raise DataError("the run has no views yet", where=run.path, mend="give the run's command again: it resumes")
    target = Path(folder).absolute()
    _refuse_strangers(target)
    held = secrets_here()
    with guarded(str(target)):
        target.parent.mkdir(parents=True, exist_ok=True)
        work = target.parent / f".part-{target.name}-{secrets.token_hex(4)}"
        work.mkdir()
        try:
            configs = write_configs(run, str(work), held)
            text = card(run, repo, configs, Scrubber.here(run.path))
            refuse_secrets_in(text, CARD, held)
            (work / CARD).write_text(text, encoding="utf-8")
            _replace(work, target)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return [config.name for config in configs if config.loads]


def _refuse_strangers(target: Path) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise UsageError("there is a file of that name", where=str(target), mend="give a new folder")
    readme = target / CARD
    ours = readme.is_file() and MARK in readme.read_text(encoding="utf-8", errors="replace")
    if any(target.iterdir()) and not ours:
        raise UsageError(
            "the folder is not empty and not a repository of ours", where=str(target), mend="give a new or empty folder"
        )


def _replace(work: Path, target: Path) -> None:
    target.mkdir(exist_ok=True)
    for name in (VIEWS, DATA, CARD):
        old, new = target / name, work / name
        if old.is_dir():
            shutil.rmtree(old)
        if new.exists():
            os.replace(new, old)
