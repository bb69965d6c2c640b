"""The answers to the scripts of ``receptorctl completion``.

The scripts, one for each shell, are in the folder ``shells``. On TAB they start ``receptorctl`` with
``_RECEPTORCTL_COMPLETE=bash_complete`` (or zsh, fish) and the line up to the cursor in ``COMP_LINE``. The answer has
a line for each candidate: ``plain`` or ``file``, the candidate and what it is, with tabs between them.
"""

from __future__ import annotations

import os

from click.shell_completion import CompletionItem, ShellComplete, add_completion_class, split_arg_string

from receptor.ctl.completion_verb import script
from receptor.ctl.plain_text import printable

_LISTING = ("33", "63")
"""What bash calls the TAB that shows all candidates below the line."""


class _Completion(ShellComplete):
    def source(self) -> str:
        return script(self.name)

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the one to complete, without the program, and that one."""
        # One letter more makes a word of the last one also if nothing of it is typed yet, or a quote is still open.
        words = split_arg_string(os.environ.get("COMP_LINE", "") + "x")
        return words[1:-1], words[-1][:-1]

    def complete(self) -> str:
        words, incomplete = self.get_completion_args()
        items = self.get_completions(words, incomplete)
        return "\n".join("\t".join((item.type, *self.candidate(item, items, incomplete))) for item in items)

    def candidate(
        self, item: CompletionItem[str], items: list[CompletionItem[str]], incomplete: str
    ) -> tuple[str, str]:
        """A candidate and what it is, as the shell wants them."""
        return item.value, printable(item.help or "")


class _BashCompletion(_Completion):
    name = "bash"

    def candidate(
        self, item: CompletionItem[str], items: list[CompletionItem[str]], incomplete: str
    ) -> tuple[str, str]:
        """Without what bash has cut off the word already, and with its meaning where bash only shows it."""
        value, meaning = super().candidate(item, items, incomplete)
        option, equals, rest = incomplete.partition("=")
        typed = rest if equals and option.startswith("--") else incomplete
        shown = value[max(typed.rfind(mark) + 1 for mark in os.environ.get("COMP_WORDBREAKS") or " ") :]
        if meaning and len(items) > 1 and os.environ.get("COMP_TYPE") in _LISTING:
            width = max(len(one.value) for one in items)
            return f"{shown:<{width}}  ({meaning})", meaning
        return shown, meaning


class _ZshCompletion(_Completion):
    name = "zsh"


class _FishCompletion(_Completion):
    name = "fish"

    def candidate(
        self, item: CompletionItem[str], items: list[CompletionItem[str]], incomplete: str
    ) -> tuple[str, str]:
        """With the option before the value that is typed as ``--option=value``."""
        value, meaning = super().candidate(item, items, incomplete)
        option, equals, _ = incomplete.partition("=")
        return (f"{option}=" if equals and option.startswith("--") else "") + value, meaning


def add_shells() -> None:
    """Have click answer in these ways instead of its own."""
    for shell in (_BashCompletion, _ZshCompletion, _FishCompletion):
        add_completion_class(shell)
