"""Normal forms."""

from __future__ import annotations


def normal_form(text: str) -> str | None:
    raise NotImplementedError
