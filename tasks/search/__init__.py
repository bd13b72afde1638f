"""Search trees as data, and every search on one interface."""
