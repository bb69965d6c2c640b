"""The control service: how clients speak to a node."""
