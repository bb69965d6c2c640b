"""What ``mkdocs.yml`` adds to the pages of ``docs/``: the reference, the examples, the changes, and README.md as home.

A page keeps its place beside the others, so that links between pages are right both here and where the files are read
as they are; only links to and from README.md, which is one folder up, are changed.
"""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from tools.reference import pages_of_the_reference

PROJECT = Path(__file__).parents[1]
EXAMPLES = PROJECT / "examples"
FETCHED = re.compile(r'<(?:script|img|iframe|source)[^>]*\bsrc="(?:https?:)?//[^>]*>|<link[^>]*"(?:https?:)?//[^>]*>')
LANGUAGES = {".yml": "yaml", ".py": "python", ".txt": "text"}


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages that are not in ``docs/``."""
    texts = {"index.md": as_in_docs("README.md"), "CHANGELOG.md": as_in_docs("CHANGELOG.md")}
    texts |= pages_of_the_reference()
    for page in sorted(EXAMPLES.glob("**/README.md")):
        texts[str(page.relative_to(PROJECT))] = page.read_text() + files_of_example(page.parent)
    for path, text in texts.items():
        files.append(File.generated(config, path, content=text))
    for source in EXAMPLES.glob("*/*.yml"):
        files.append(File.generated(config, str(source.relative_to(PROJECT)), abs_src_path=str(source)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links of the pages of ``docs/`` to the rest of the project lead to where the rest is on the site."""
    if "/" in page.file.src_uri:
        return markdown
    return re.sub(r"\]\(\.\./(examples/|CHANGELOG\.md)", r"](\1", markdown.replace("](../README.md", "](index.md"))


def on_post_page(output: str, *, page: Page, config: MkDocsConfig) -> str:
    """Raises PluginError if a page would fetch something from elsewhere."""
    if fetched := FETCHED.search(output):
        raise PluginError(f"{page.file.src_uri} fetches something from elsewhere: {fetched[0]}")
    return output


def as_in_docs(name: str) -> str:
    """A page of the folder above ``docs/``, with the links of one in it."""
    return re.sub(r"\]\(docs/", "](", (PROJECT / name).read_text())


def files_of_example(folder: Path) -> str:
    """What an example consists of, for who does not have its folder at hand."""
    files = [file for file in sorted(folder.iterdir()) if file.suffix in LANGUAGES and folder != EXAMPLES]
    shown = [f"### {file.name}\n\n```{LANGUAGES[file.suffix]}\n{file.read_text()}```\n" for file in files]
    return "\n## The files\n\n" + "\n".join(shown) if shown else ""
