"""What search walks on: one file a domain."""
