import math
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from vitlab.claims.claim import Claim, Verdict
from vitlab.claims.interval import MISSING
from vitlab.report.evidence import Table
from vitlab.report.page import Code, Link, Page, Picture, Section, Text, Verdicts, to_html, write_page

EVIL = '<script>alert("x")</script> & "quotes"'


class Checker(HTMLParser):
    """Collects what a browser would see, and that every tag is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.images: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs) -> None:
        self.tags.append(tag)
        if tag == "img":
            self.images.append(dict(attrs))
        if tag not in ("img", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def page(picture: Path) -> Page:
    blocks = (
        Text(EVIL),
        Code(EVIL),
        Link("../a.html?x=1&y=2", EVIL),
        Picture(picture, EVIL),
        Table("t", pd.DataFrame({"a": [EVIL], EVIL: [1]}), caption=EVIL),
        Verdicts((Verdict(Claim("a", EVIL, EVIL), "digits", EVIL, {}, MISSING, math.nan, outcome="holds"),)),
    )
    return Page(EVIL, EVIL, (Section(EVIL, blocks), Section("second", ())), footer=EVIL)


def test_everything_is_escaped_and_closed(tmp_path: Path) -> None:
    html = to_html(page(tmp_path / "a.png"), base=tmp_path)
    assert "<script" not in html and "alert(&quot;x&quot;)" in html
    checker = Checker()
    checker.feed(html)
    assert checker.open == [] and checker.tags.count("table") == 2 and checker.tags.count("h2") == 2
    assert 'class="badge holds"' in html


def test_images_by_path_or_inside(tmp_path: Path) -> None:
    (tmp_path / "figures").mkdir()
    picture = tmp_path / "figures" / "a b.svg"
    picture.write_text("<svg/>")
    write_page(tmp_path / "pages" / "index.html", page(picture))
    html = (tmp_path / "pages" / "index.html").read_text()
    assert 'src="../figures/a%20b.svg"' in html
    inside = to_html(page(picture), base=tmp_path, inline=True)
    assert 'src="data:image/svg+xml;base64,PHN2Zy8+"' in inside
    assert "http://" not in html and "https://" not in html
    with pytest.raises(OSError):
        to_html(page(tmp_path / "missing.png"), base=tmp_path, inline=True)
