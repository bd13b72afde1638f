"""Views: what a trainer loads, as Parquet. Every trace is in a view or among its drops with a reason."""

from tracemill.tasks.views.build import build_views, current_drops_files

__all__ = ["build_views", "current_drops_files"]
