"""The search mixture of Stream of Search, one instance at a time: what ``compiled`` does, with the tree."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tracemill.schemas.records import Problem
from tracemill.tasks.domains.countdown import Countdown, State
from tracemill.tasks.domains.countdown_instances import Mixed
from tracemill.tasks.search.breadth_first import BreadthFirst
from tracemill.tasks.search.budget import Budgets
from tracemill.tasks.search.depth_first import DepthFirst
from tracemill.tasks.search.drive import run_now
from tracemill.tasks.search.growth import Growth, Search, grown, plant
from tracemill.tasks.search.tree import Plot, Tree
from tracemill.tasks.search.values import Own

#: The policy of trees that no model had a part in.
SYMBOLIC = "symbolic"


def mixed_of(tree: Mapping[str, Any], problem: Problem) -> Mixed:
    """The instance and its search, from a row of ``trees`` and its problem: ``searched`` grows the tree again."""
    parameters = json.loads(tree["parameters"])
    state = Countdown().initial(problem)
    return Mixed(tree["seed"], state, parameters["heuristic"], parameters.get("width", 0))


def searched(mixed: Mixed, problem_id: str = "", budgets: Budgets | None = None) -> tuple[Countdown, Tree[State]]:
    """The tree of an instance of the mixture, and the domain that it was grown on."""
    domain = Countdown(value_name=mixed.heuristic)
    search: Search = BreadthFirst(mixed.width) if mixed.width else DepthFirst()
    parameters: dict[str, Any] = {"heuristic": mixed.heuristic}
    if mixed.width:
        parameters["width"] = mixed.width
    plot = Plot(problem_id, SYMBOLIC, search.name, parameters, mixed.seed)
    limits = budgets or Budgets()
    growth = Growth(
        domain, plant(domain, plot, mixed.state, limits), budgets=limits, value=Own(mixed.heuristic, ends=True)
    )
    return domain, run_now(grown(search, growth))
