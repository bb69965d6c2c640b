"""Receptor in Python: an overlay mesh (netceptor) that runs units of work (workceptor)."""

__version__ = "0.1.0"
