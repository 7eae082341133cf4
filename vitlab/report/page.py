"""A self-contained HTML page of figures, tables and verdicts; nothing is loaded from elsewhere."""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from vitlab.report import tables, verdicts
from vitlab.report.evidence import Table
from vitlab.report.files import write_text

if TYPE_CHECKING:
    from vitlab.claims.claim import Verdict

CSS = """
:root{--ink:#1a1a1a;--soft:#5c6470;--line:#e3e6ea;--paper:#fff;--back:#f6f7f9}
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--ink);font:16px/1.55 system-ui,"Segoe UI",Helvetica,Arial,sans-serif}
main{max-width:1180px;margin:0 auto;padding:40px 32px 64px;background:var(--paper);min-height:100vh}
h1{font-size:1.9rem;line-height:1.2;margin:0 0 .4em}
h2{font-size:1.25rem;margin:2.4em 0 .5em;padding-bottom:.25em;border-bottom:1px solid var(--line)}
p{margin:.6em 0;max-width:78ch}.lead{font-size:1.08rem;color:var(--soft)}
nav{margin:1.2em 0;color:var(--soft);font-size:.9rem}nav a{display:inline-block;margin-right:1.1em;white-space:nowrap}
a{color:#0072b2;text-decoration:none}a:hover{text-decoration:underline}
figure{margin:1.4em 0}figure img{max-width:min(100%,860px);height:auto;display:block}
figcaption,caption{color:var(--soft);font-size:.88rem;max-width:90ch;text-align:left}
figcaption{margin-top:.5em}caption{caption-side:bottom;padding-top:.6em;white-space:normal}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:.88rem;margin:1em 0;font-variant-numeric:tabular-nums}
th,td{padding:.38em .8em;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}
tbody th{font-weight:400}
td.n,th.n{text-align:right;white-space:nowrap}.data td,.data th{white-space:nowrap;padding:.38em .6em}
thead th{border-bottom:2px solid var(--soft)}
.badge{display:inline-block;padding:.05em .65em;border-radius:1em;font-size:.8rem;font-weight:600;white-space:nowrap}
.holds{background:#d9f2e6;color:#00593f}.does-not-hold{background:#fbe1d2;color:#8a3a00}
.undecided{background:#eceef1;color:#4a515b}.cannot-be-tested-here{background:#fff3cf;color:#6b5200}
pre{background:var(--back);padding:.8em 1em;overflow-x:auto;font-size:.85rem;border-radius:6px}
footer{margin-top:3em;color:var(--soft);font-size:.82rem}
@media print{body{background:#fff}main{padding:0}}
""".strip()


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Code:
    """A command or an output, as it is."""

    text: str


@dataclass(frozen=True)
class Link:
    """A line with a link to another page or file."""

    target: str
    text: str


@dataclass(frozen=True)
class Picture:
    """An image file with the caption that says what to see, and the words for those who cannot see it."""

    path: Path
    caption: str
    alt: str = ""


@dataclass(frozen=True)
class Verdicts:
    """Verdicts with their badges."""

    verdicts: tuple[Verdict, ...]


Block = Text | Code | Link | Picture | Table | Verdicts


@dataclass(frozen=True)
class Section:
    """A titled part of the page."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Page:
    """Title, one paragraph that says what this is, the sections, and a last line (command, commit, date)."""

    title: str
    lead: str
    sections: tuple[Section, ...]
    footer: str = ""


def _source(path: Path, base: Path, inline: bool) -> str:
    """The image's address: its content, or its path as seen from the page."""
    if not inline:
        return quote(Path(os.path.relpath(path.resolve(), base.resolve())).as_posix())
    kind = {".svg": "svg+xml", ".jpg": "jpeg"}.get(path.suffix, path.suffix[1:])
    return f"data:image/{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _block(block: Block, base: Path, inline: bool) -> str:
    match block:
        case Text(text):
            return f"<p>{escape(text)}</p>"
        case Code(text):
            return f"<pre>{escape(text)}</pre>"
        case Link(target, text):
            return f'<p><a href="{escape(target)}">{escape(text)}</a></p>'
        case Picture(path, caption, alt):
            source, words = escape(_source(path, base, inline)), escape(alt or caption)
            return f'<figure><img src="{source}" alt="{words}"><figcaption>{escape(caption)}</figcaption></figure>'
        case Table():
            return tables.to_html(block)
        case Verdicts(found):
            return verdicts.to_html(found)


def to_html(page: Page, *, base: Path, inline: bool = False) -> str:
    """The page as HTML; `base` is the folder it will lie in, `inline` puts the images into it.

    All text is escaped. Raises OSError if an image to be put in cannot be read.
    """
    anchors = [f'<a href="#s{i}">{escape(section.title)}</a>' for i, section in enumerate(page.sections)]
    parts = []
    for i, section in enumerate(page.sections):
        blocks = "\n".join(_block(block, base, inline) for block in section.blocks)
        parts.append(f'<section id="s{i}">\n<h2>{escape(section.title)}</h2>\n{blocks}\n</section>')
    nav = f"<nav>{''.join(anchors)}</nav>" if len(anchors) > 1 else ""
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(page.title)}</title>\n<style>\n{CSS}\n</style>\n</head>\n<body>\n<main>",
            f'<h1>{escape(page.title)}</h1>\n<p class="lead">{escape(page.lead)}</p>\n{nav}',
            *parts,
            f"<footer>{escape(page.footer)}</footer>\n</main>\n</body>\n</html>\n",
        ]
    )


def write_page(path: Path, page: Page, *, inline: bool = False) -> None:
    """Write the page to `path`, whole or not at all; images must be written before if `inline`."""
    write_text(path, to_html(page, base=path.parent, inline=inline))
