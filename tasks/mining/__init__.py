"""Mining the failures: what a run's wrong attempts teach, as rows of ``pairs`` and of the tables beside it."""
