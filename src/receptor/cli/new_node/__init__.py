"""A new node, for ``receptor init``: what is wanted, the files that follow from it, and how they get to disk.

options or answers (init, questions) ──> what is wanted (wanted) ──> the configuration's text (text) ──┐
                                    └──────────────────> keys and certificates (making) ───┴─> checked ─> placing
"""
