"""The policies of comparing two answers: what may differ between them."""

from __future__ import annotations

from dataclasses import dataclass

from tracemill.schemas.errors import UsageError


@dataclass(frozen=True, slots=True)
class Options:
    """The policies of a comparison.

    ``tolerance``: largest difference of two numbers relative to the gold one, in [0, 1); 0 is exact.
    ``percent``: ``lenient`` (10% is 0.1, and 10 for a bare number above 1) or ``value`` (10% is 0.1 only).
    ``units``: ``lenient`` (a missing unit is no error) or ``strict`` (it is). Different units never match, equal amounts do.
    ``ordered``: whether a bare list such as ``1, 2`` is in order. Tuples and intervals always are, sets never.
    ``decimal_comma``: whether ``1000,99`` is 1000.99 where it can hardly be a list.
    ``relations``: ``either`` (an inequality and an interval match both ways) or ``gold`` (an interval in the gold answer
    wants an interval).
    ``variables``: ``named`` (x is not y) or ``any`` (variables are matched by their order).
    ``chains``: ``equal`` (all sides of ``x = 4 + 1 = 5`` have to agree) or ``last`` (the last side counts).
    ``symbolic``: whether Math-Verify is asked where nothing else decides.
    ``several``: of different boxes, or a box and a different final answer, none counts (``agree``) or the last one (``last``).
    ``last_number``: whether the last number of a response counts where it says no answer.
    """

    tolerance: float = 0.0
    percent: str = "lenient"
    units: str = "lenient"
    ordered: bool = False
    decimal_comma: bool = True
    relations: str = "either"
    variables: str = "named"
    chains: str = "equal"
    symbolic: bool = True
    several: str = "agree"
    last_number: bool = False

    def __post_init__(self) -> None:
        allowed = {
            "percent": ("lenient", "value"),
            "units": ("lenient", "strict"),
            "relations": ("either", "gold"),
            "variables": ("named", "any"),
            "chains": ("equal", "last"),
            "several": ("agree", "last"),
        }
        for name, values in allowed.items():
            if getattr(self, name) not in values:
                raise UsageError(f"option {name} must be one of {', '.join(values)}, not {getattr(self, name)!r}")
        for name in ("ordered", "decimal_comma", "symbolic", "last_number"):
            if not isinstance(getattr(self, name), bool):
                raise UsageError(f"option {name} must be true or false, not {getattr(self, name)!r}")
        if (
            isinstance(self.tolerance, bool)
            or not isinstance(self.tolerance, int | float)
            or not 0 <= self.tolerance < 1
        ):
            raise UsageError(f"option tolerance must be a number in [0, 1), not {self.tolerance!r}")
