"""The command ``receptor``: a node."""
