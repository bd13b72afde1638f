"""Steps: where a wrong trace first goes wrong, and what each step of a trace is worth."""
