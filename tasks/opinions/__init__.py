"""Opinions: verdicts that no rule gives. A vote of the attempts, a model's judgement, a reward model's score.

They are given once the rule verifiers have spoken, carry level ``pseudo`` or ``learned``, and never count as ``correct`` in a
default view. Each is one file and one line in ``registry``.
"""
