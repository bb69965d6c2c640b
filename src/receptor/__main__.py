"""``python -m receptor`` is the command ``receptor``."""

from receptor.cli.main import run

run()
