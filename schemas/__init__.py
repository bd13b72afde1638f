"""What the data looks like: tables, identities, the recipe, enumerations and errors.

Imports nothing else of Tracemill.
"""
