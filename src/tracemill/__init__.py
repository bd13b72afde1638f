"""Tracemill: verified reasoning traces, from problems to Parquet.

The package is four folders, imported one way only: ``flows -> tasks -> verifiers -> schemas``.
"""

__version__ = "0.3.0"
