"""Publishing: a run as a data set repository, with one config per view and table and a card made from the data."""

from tracemill.tasks.publishing.hub import push
from tracemill.tasks.publishing.repository import prepare

__all__ = ["prepare", "push"]
