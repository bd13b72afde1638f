"""The order of the work: Prefect flows, the command line, the shipped recipes."""
