"""Formal proofs, judged by Lean. The ``lean`` verifier, its back ends, and the tactic environment for search.

What must stay true: ``correct`` means that a real Lean elaborated the submission without an error, that the kernel checked
every declaration of it again on top of a clean header, that the theorem is the given one (elaborated type, universe
parameters and kind), and that no axiom outside the allow-list and no ``sorry`` was used. Messages are evidence and never the verdict.
"""
