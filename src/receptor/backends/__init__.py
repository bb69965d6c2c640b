"""Backends: the ways in which packets travel between two neighbours."""
