"""Sampling strategies: independent samples, self-consistency, rationalisation."""
