"""The pages: `results/index.html` with the ledger, and one for each piece of evidence, from templates of jinja2.

    site(entries, ledger, results)      the text of every page by its path, and what all pages share: style and script
    plotly_script()                     plotly.js, which they share too

Everything that comes from rows, notes or docstrings is escaped. A page works from disk and asks for nothing from
elsewhere; where plotly.js is missing, or on paper, its figures are the drawn ones.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitlab.claims.ledger import Ledger
from vitlab.report import tables, verdicts
from vitlab.report.captions import alt
from vitlab.report.entries import Entry, ordered
from vitlab.report.evidence import Chart, Picture
from vitlab.report.interactive import both
from vitlab.report.plain import short

if TYPE_CHECKING:
    from jinja2 import Environment

SCRIPT = "plotly.min.js"
SHARED = ("style.css", "figures.js")
COMMITTED = Path(__file__).parents[2] / "results"  # the suite's own evidence, where this is a checkout
HEADLINE = "data_scaling"  # the study whose figure stands on top
DECIDED = ("holds", "does not hold")
NAMED = re.compile(r"(.+?)(?:_(\d+))?")  # attention_2.png is one of the pictures "attention"


def site(entries: Sequence[Entry], ledger: Ledger, results: Path, beside: Sequence[Entry] = ()) -> dict[Path, str]:
    """The pages of a results folder by their path; `beside`: the suite's own evidence, on the page of a person's."""
    studies, apart = ordered(entries)
    shared: dict[str, Any] = {"names": {one.name for one in entries}, "script": SCRIPT}
    lines = [line for line in ledger.lines if line.verdict]
    of, headline = _headline([one for group in studies for one in group])
    index = _template("index.html").render(
        **{"ledger": ledger, "studies": studies, "apart": apart, "beside": beside, "root": ""},
        verdicts=lines,
        tested=len({line.claim.id for line in lines if line.outcome != "cannot be tested here"}),
        decided=len({line.claim.id for line in lines if line.outcome in DECIDED}),
        headline=headline,
        headline_of=of,
        redraw=redraw_command(results),
        committed=f"{Path(os.path.relpath(COMMITTED, results)).as_posix()}/" if beside else "",
        **shared,
    )
    pages = {results / "index.html": index}
    for one in entries:
        figures, pictures = _shown(one)
        pages[one.folder / "index.html"] = _template("evidence.html").render(
            one=one, figures=figures, pictures=pictures, root="../../", **shared
        )
    return pages | {results / name: _source(name) for name in SHARED}


def redraw_command(results: Path) -> str:
    """What to type in the checkout to make the pages of `results` anew; a place outside is one machine's alone."""
    own = results.resolve()
    inside = COMMITTED.parent in own.parents
    place = shlex.quote(own.relative_to(COMMITTED.parent).as_posix()) if inside else "THIS_FOLDER"
    return f"python -m experiments.paper --redraw --results {place}"


def _headline(entries: Sequence[Entry]) -> tuple[Entry | None, Shown | None]:
    """The main figure of the study on top, of the evidence that decides most, or took longest; none without one."""
    able = [one for one in entries if one.study == HEADLINE and one.evidence.figures]
    if not able:
        return None, None
    most = max(able, key=lambda one: (_decided(one), one.record["rows"].get("wall_s") or 0))
    name, chart = next(iter(most.evidence.figures.items()))
    return most, _figure(name, chart)


def _decided(one: Entry) -> int:
    return sum(verdict.outcome in DECIDED for verdict in one.evidence.verdicts)


def plotly_script() -> Path:
    """plotly.js: the small bundle that is committed (`npm pack plotly.js-basic-dist-min`), or all of the package's.

    Raises ValueError where there is neither.
    """
    if (COMMITTED / SCRIPT).is_file():
        return COMMITTED / SCRIPT
    found = find_spec("plotly")
    path = Path(next(iter(found.submodule_search_locations or [""])), "package_data", SCRIPT) if found else Path()
    if not path.is_file():
        raise ValueError("The pages' figures need plotly, which is not installed: pip install plotly.")
    return path


@dataclass(frozen=True)
class Shown:
    """A figure or an image file on a page; `drawn`: plotly's JSON for both widths, as `both` gives it."""

    name: str
    title: str
    caption: str
    alt: str
    drawn: Mapping[str, Any] | None = None


def _shown(one: Entry) -> tuple[list[Shown], list[Shown]]:
    """Figures without a caption of their own, and then everything that has one; image files that are neither last."""
    files = {path.stem for path in one.folder.glob("*.png")}
    words = one.evidence.pictures
    first = [_figure(name, chart) for name, chart in one.evidence.figures.items() if name not in words]
    rest: list[Shown] = []
    for name, picture in words.items():
        if name in one.evidence.figures:
            rest.append(_figure(name, one.evidence.figures[name], picture))
            continue
        for number, file in enumerate(_counted(file for file in files if name in (file, _stem(file))), 1):
            again = Picture(f"{picture.title}, {number}", "")
            rest.append(_picture(file, picture if number == 1 else again))
    known = {shown.name for shown in (*first, *rest)}
    rest += [_picture(file, Picture(_stem(file).replace("_", " "), "")) for file in _counted(files - known)]
    return first, rest


def _counted(files: Iterable[str]) -> list[str]:
    """Names in order, those that differ in their last number by that: attention_2 before attention_10."""
    return sorted(files, key=lambda file: (*_parts(file), file))


def _stem(file: str) -> str:
    return _parts(file)[0]


def _parts(file: str) -> tuple[str, int]:
    found = NAMED.fullmatch(file)
    return (found[1], int(found[2] or 0)) if found else (file, 0)


def _figure(name: str, chart: Chart, picture: Picture | None = None) -> Shown:
    """A chart for both widths, with its words."""
    words = picture or Picture(chart.title, chart.subtitle)
    return Shown(name, words.title, words.caption, alt(chart), both(chart))


def _picture(name: str, picture: Picture) -> Shown:
    return Shown(name, picture.title, picture.caption, f"{picture.title} ({name})")


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    made = Environment(
        loader=PackageLoader("vitlab.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "ensure_ascii": False}
    made.filters |= {
        "table": lambda table: Markup(tables.to_html(table)),
        "verdicts": lambda found: Markup(verdicts.to_html(found)),
        "badge": lambda outcome, count=1: Markup(verdicts.badge(outcome, count)),
        "markdown": lambda text, names: Markup(markdown(text, names)),
        "by_outcome": lambda found: verdicts.by_outcome(found).items(),
        "effect": lambda line: verdicts.effect(line.verdict),
        "why": lambda line: verdicts.why(line.verdict),
        "p": verdicts.format_p,
        "short": short,
    }
    return made


def _source(name: str) -> str:
    return (Path(__file__).parent / "templates" / name).read_text()


def _template(name: str) -> Any:
    return _environment().get_template(name)


def markdown(text: str, names: Collection[str] = ()) -> str:
    """Notes and docstrings as HTML, in which HTML is text; links to other evidence in `names` lead to its page."""
    from markdown_it import MarkdownIt

    def page(found: re.Match[str]) -> str:
        return f'"{found[1]}index.html"' if found[2] in names else found[0]

    html = str(MarkdownIt("commonmark", {"html": False}).enable("table").render(text))
    return re.sub(r'"(\.\./\.\./([\w.-]+/[\w.-]+)/)(?:evidence|NOTES)\.md"', page, html)
