"""Sending a repository to the Hugging Face Hub, as one commit.

What must stay true: readers of the Hub see the old data set or the new one; files of ours that the new one no longer has
leave in the same commit, and files that are not ours stay; the token is read by ``huggingface_hub`` and never shown.
"""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from tracemill.schemas.errors import TracemillError, UsageError
from tracemill.tasks.publishing.layout import DATA, VIEWS
from tracemill.tasks.publishing.repository import prepare
from tracemill.tasks.store import RunStore

ATTEMPTS: Final = 5
_LONGEST_WAIT: Final = 60.0

T = TypeVar("T")


class PublishError(TracemillError):
    """The Hub refused, or could not be reached."""


def push(run: RunStore, repo: str, private: bool = False, *, wait: Callable[[float], None] = time.sleep) -> str:
    """Publish ``run`` as the data set ``repo`` and return its address. ``private`` counts where the repository is new.

    Answers 429 and 5xx and lost connections are tried again, ``ATTEMPTS`` times in all. Raises ``UsageError`` without a
    token or the right to write, ``PublishError`` for anything else that the Hub says.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token

    if not get_token():
        raise UsageError("no Hugging Face token", where=repo, mend="set HF_TOKEN, or log in once with: hf auth login")
    api = HfApi()
    with tempfile.TemporaryDirectory(prefix="tracemill-publish-") as scratch:
        folder = os.path.join(scratch, "repository")
        prepare(run, folder, repo)
        files = sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file())
        _retried(lambda: api.create_repo(repo, repo_type="dataset", private=private, exist_ok=True), repo, wait)
        there = _retried(lambda: api.list_repo_files(repo, repo_type="dataset"), repo, wait)
        ours = (f"{VIEWS}/", f"{DATA}/")
        stale = [name for name in there if name.startswith(ours) and name not in set(files)]

        def commit() -> Any:
            # Made anew for each attempt: an operation remembers how far its upload came.
            added = [CommitOperationAdd(name, os.path.join(folder, name)) for name in files]
            removed = [CommitOperationDelete(name) for name in stale]
            return api.create_commit(
                repo, [*added, *removed], commit_message=f"Publish the run {run.name}", repo_type="dataset"
            )

        _retried(commit, repo, wait)
    return f"{api.endpoint}/datasets/{repo}"


def _retried(call: Callable[[], T], repo: str, wait: Callable[[float], None]) -> T:
    from huggingface_hub.errors import HfHubHTTPError

    attempt = 0
    while True:
        attempt += 1
        try:
            return call()
        except HfHubHTTPError as error:
            status = error.response.status_code if error.response is not None else 0
            if status in (401, 403):
                raise UsageError(
                    f"the Hub refuses the token (HTTP {status})",
                    where=repo,
                    mend="use a token with the right to write there: hf auth login",
                ) from error
            if attempt >= ATTEMPTS or (status != 429 and status < 500):
                raise PublishError(
                    f"the Hub answers HTTP {status}", where=repo, mend="publish again; nothing changed on the Hub"
                ) from error
        except _lost() as error:
            if attempt >= ATTEMPTS:
                raise PublishError(
                    f"the Hub cannot be reached ({type(error).__name__})", where=repo, mend="publish again later"
                ) from error
        wait(min(_LONGEST_WAIT, 2.0**attempt) * random.uniform(0.5, 1.0))


def _lost() -> tuple[type[Exception], ...]:
    """What the Hub's client raises when there is no answer."""
    import httpx

    return (httpx.TransportError, ConnectionError, TimeoutError)
