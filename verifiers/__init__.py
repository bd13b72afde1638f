"""Is this right? Verifiers and the worker pool that they share."""
