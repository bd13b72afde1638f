"""Searches told as text: one file a linearizer, its parser beside it."""
