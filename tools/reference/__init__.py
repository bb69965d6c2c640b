"""The pages of the reference, made from the definitions that the program itself uses.

``configuration`` every action and key; ``commands`` the help of each command; ``control`` the records of the control
protocol; ``python`` which modules mkdocstrings describes. Each has a function ``page`` that returns Markdown.
"""

from __future__ import annotations

from tools.reference import commands, configuration, control, python


def pages_of_the_reference() -> dict[str, str]:
    """Each page's text in Markdown, by its place on the site."""
    return {
        "reference/receptorctl.md": commands.receptorctl_page(),
        "reference/receptor.md": commands.receptor_page(),
        "reference/configuration.md": configuration.page(),
        "reference/control-protocol.md": control.page(),
        "reference/python.md": python.page(),
    }
