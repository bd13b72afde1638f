"""Language-model engines: one HTTP client, several servers with a life cycle, and two in-process engines."""
