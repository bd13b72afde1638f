"""Recipes as documents: YAML files and the shipped ones, read strictly.

What must stay true: a key is never silently ignored, a duplicate key never silently wins, and an error names every key
that is wrong with what is allowed there; the value of an unknown key is never repeated, for it may be a secret.
"""

from tracemill.flows.recipes.load import load_recipe, overridden, shipped, validated

__all__ = ["load_recipe", "overridden", "shipped", "validated"]
