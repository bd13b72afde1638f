"""Schedules: recipes that run again by a cron. One file each under our home, so that they outlive any server.

``schedule`` writes the file and ``tracemill serve`` makes the Prefect deployment of it, at its start or while it runs: the
order of the two commands does not matter; ``unschedule`` takes it back. A scheduled run is the same command resumed into the same folder.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from tracemill.flows import quiet
from tracemill.schemas.errors import UsageError
from tracemill.schemas.ids import digest
from tracemill.schemas.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A recipe (as JSON) to run into ``out`` at the times of ``cron``; ``folder`` is where relative paths in it start from."""

    name: str
    recipe: dict[str, Any]
    out: str
    folder: str
    cron: str
    timezone: str | None = None
    paused: bool = False

    @property
    def parameters(self) -> dict[str, Any]:
        """The flow's parameters."""
        return {"recipe": self.recipe, "out": self.out, "folder": self.folder}


def schedule(recipe: Recipe, cron: str, out: str, timezone: str | None = None) -> str:
    """Run ``recipe`` into ``out`` whenever ``cron`` says; returns the schedule's name.

    ``timezone`` is an IANA name (UTC where None). Scheduling the same recipe into the same folder again replaces its
    schedule. Raises ``UsageError`` for a cron or timezone that is none.
    """
    _check(cron, timezone)
    target = out if "://" in out else os.path.abspath(out)
    scheduled = Scheduled(
        name=f"{recipe.name}-{digest('schedule', recipe.name, target)[9:15]}",
        recipe=recipe.model_dump(mode="json"),
        out=target,
        folder=os.getcwd(),
        cron=cron,
        timezone=timezone,
    )
    path = _folder() / f"{scheduled.name}.json"
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(asdict(scheduled), indent=1))
    draft.replace(path)
    return scheduled.name


def schedules() -> list[Scheduled]:
    """Every schedule there is. Raises ``UsageError`` for a damaged file."""
    found = []
    for path in sorted(_folder().glob("*.json")):
        try:
            found.append(Scheduled(**json.loads(path.read_text())))
        except (ValueError, TypeError) as error:
            raise UsageError(
                f"not a schedule: {error}", where=str(path), mend="remove it and schedule again"
            ) from error
    return found


def unschedule(named: str) -> str:
    """Take back the schedule called ``named``, or the one schedule of the recipe so called; returns its name.

    Raises ``UsageError`` where there is none, or several.
    """
    there = schedules()
    meant = [kept.name for kept in there if kept.name == named] or [
        kept.name for kept in there if kept.recipe["name"] == named
    ]
    if len(meant) != 1:
        what = f"{len(meant)} schedules of {named!r}" if meant else f"no schedule {named!r}"
        raise UsageError(what, mend=f"one of: {', '.join(meant or [kept.name for kept in there]) or '(none there)'}")
    (_folder() / f"{meant[0]}.json").unlink(missing_ok=True)
    return meant[0]


def shipped(path: str = "prefect.yaml") -> list[Scheduled]:
    """The deployments that ``path`` describes for ``prefect deploy``; none where there is no such file."""
    if not os.path.exists(path):
        return []
    folder = os.path.dirname(os.path.abspath(path))
    found = []
    for entry in yaml.safe_load(Path(path).read_text()).get("deployments", []):
        timing = entry["schedules"][0]
        parameters = entry["parameters"]
        found.append(
            Scheduled(
                name=entry["name"],
                recipe=parameters["recipe"],
                out=os.path.join(folder, parameters["out"]),
                folder=folder,
                cron=timing["cron"],
                timezone=timing.get("timezone"),
                paused=not timing.get("active", True),
            )
        )
    return found


def _folder() -> Path:
    folder = quiet.home() / "schedules"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _check(cron: str, timezone: str | None) -> None:
    quiet.hush()
    from prefect.client.schemas.schedules import CronSchedule
    from pydantic import ValidationError

    try:
        CronSchedule(cron=cron, timezone=timezone)
    except ValidationError as error:
        wrong = error.errors()[0]
        key = wrong["loc"][0] if wrong["loc"] else "cron"
        raise UsageError(
            f"not a {key}: {timezone if key == 'timezone' else cron!r}",
            where=f"--{key}",
            mend="five fields, e.g. --cron '0 2 * * *' (02:00 every day); a timezone as in 'Europe/Berlin'",
        ) from error
