"""The run store: run folders, commits, ledgers and what was paid for already."""

from tracemill.tasks.store.commits import Commit, CommittedFile, Funnel
from tracemill.tasks.store.compare import compare_runs
from tracemill.tasks.store.ledger import Ledger
from tracemill.tasks.store.paid import Paid
from tracemill.tasks.store.run import RunStore

__all__ = ["Commit", "CommittedFile", "Funnel", "Ledger", "Paid", "RunStore", "compare_runs"]
