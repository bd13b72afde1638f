"""Canaries: known-good and known-bad candidates of each verifier, run before its verdicts are trusted.

``base`` says what a canary, a suite and a report are; ``registry`` finds the suite of a verifier; every other module holds
one verifier's canaries.
"""
