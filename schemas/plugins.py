"""Names to objects: a registry's own names, entry points, and ``module:function`` from anywhere on the Python path."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

from tracemill.schemas.errors import UsageError, did_you_mean


def resolve(name: str, known: Mapping[str, Any], *, noun: str, group: str) -> Any:
    """The object called ``name``: in ``known``, or ``module:attribute``, or an entry point of ``group``.

    Modules in the current folder are found too. Anything else is a ``UsageError`` that lists the known names.
    """
    if name in known:
        return known[name]
    if ":" in name:
        return _imported(name, noun)
    for point in entry_points(group=group):
        if point.name == name:
            return point.load()
    raise UsageError(
        f"no {noun} {name!r}",
        mend=f"{did_you_mean(name, known)}known: {', '.join(sorted(known))}; your own: 'module:function'",
    )


def _imported(name: str, noun: str) -> Any:
    module_name, _, attribute = name.partition(":")
    here = os.getcwd()
    if here not in sys.path:
        sys.path.append(here)  # last, so that nothing there hides an installed module; worker processes inherit it
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise UsageError(
            f"cannot import {module_name!r}: {error}",
            where=f"{noun} {name!r}",
            mend="run from the folder that holds the module, or install it",
        ) from error
    found = getattr(module, attribute, None)
    if found is None:
        raise UsageError(
            f"module {module_name!r} has no {attribute!r}", where=f"{noun} {name!r}", mend="check its spelling"
        )
    return found
