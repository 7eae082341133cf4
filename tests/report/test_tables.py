"""Every rendering of a table shows its cells, and nothing from rows becomes markup."""

import csv
import io
from html.parser import HTMLParser

import pandas as pd
import pytest
from rich.console import Console

from vitlab.claims.interval import MISSING, Interval
from vitlab.report.evidence import Table
from vitlab.report.tables import latex_text, markdown_text, to_csv, to_html, to_latex, to_markdown, to_rich

CELL = Interval(0.5234, 0.5012, 0.5444, 3)


def table(label: str = "ViT", caption: str = "A caption.") -> Table:
    index = pd.Index([label, "ViT − ResNet"], name="model")
    frame = pd.DataFrame(
        {"a|b": [1.5, ""], 500: [CELL, Interval(-0.1, -0.2, 0.0, 2)], 1000: [CELL, MISSING]}, index=index
    )
    return Table("accuracy of models", frame, caption, signed=("ViT − ResNet",))


def test_markdown() -> None:
    assert to_markdown(table()) == (
        "| model | a\\|b | 500 | 1,000 |\n"
        "| --- | ---: | ---: | ---: |\n"
        "| ViT | 1.5 | 52.3 [50.1, 54.4] | 52.3 [50.1, 54.4] |\n"
        "| ViT − ResNet |  | -10.0 [-20.0, +0.0] | – |\n"
        "\nA caption.\n"
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a|b\nc", "a\\|b c"),
        ("<img src=x>", "\\<img src=x>"),
        ("[click](http://x)", "[click]\\(http://x)"),
        ("*a* `b` \\", "\\*a\\* \\`b\\` \\\\"),
        ("tiny_imagenet_32 _x_", "tiny_imagenet_32 \\_x\\_"),
        ("&lt;b&gt; R&D", "\\&lt;b\\&gt; R&D"),
        ("# no title", "\\# no title"),
        ("52.3 [50.1, 54.4]", "52.3 [50.1, 54.4]"),
    ],
)
def test_nothing_in_markdown_is_markup(text: str, shown: str) -> None:
    assert markdown_text(text) == shown


def test_the_terminal() -> None:
    out = io.StringIO()
    Console(file=out, width=100).print(to_rich(table("[red]x[/red]")))
    assert "[red]x[/red]" in out.getvalue() and "A caption." in out.getvalue() and "-10.0 [-20.0" in out.getvalue()


def test_latex_is_escaped_and_sets_gaps_apart() -> None:
    text = to_latex(table("50% & _x_ #1", "A {b} ~ c^2."))
    lines = text.splitlines()
    assert r"50\% \& \_x\_ \#1 & 1.5 & 52.3 [50.1, 54.4] & 52.3 [50.1, 54.4] \\" in lines
    gap = next(i for i, line in enumerate(lines) if line.startswith("ViT $-$ ResNet"))
    assert lines[gap - 1] == r"\midrule" and "$-$10.0 [$-$20.0, +0.0]" in lines[gap]
    assert r"\caption{A \{b\} \textasciitilde{} c\textasciicircum{}2.}" in lines
    assert r"\begin{tabular}{@{}lrrr@{}}" in lines and r"\label{tab:accuracy-of-models}" in lines
    assert latex_text("[mask] ViT-B \\") == r"{[}mask] ViT-B \textbackslash{}"
    assert latex_text("*star* ") == "{*}star* " and latex_text(" [a] *") == " {[}a] *"
    assert r"{*} cat & 1.5" in to_latex(table("* cat"))
    assert latex_text("< 0.001") == "$<$ 0.001"


def test_latex_breaks_sentences_and_nothing_else() -> None:
    frame = pd.DataFrame({"why": ["one, two, three, four, five, six"], "how": ["so"], "n": [3]}, index=["a"])
    assert r"\begin{tabularx}{\linewidth}{@{}lXlr@{}}" in to_latex(Table("t", frame)).splitlines()
    two = frame.assign(how="also a sentence of thirty letters and more")
    assert r"\begin{tabularx}{\linewidth}{@{}lXXr@{}}" in to_latex(Table("t", two)).splitlines()


def test_csv_holds_the_values_unrounded() -> None:
    rows = list(csv.reader(io.StringIO(to_csv(table("a,b")))))
    assert rows[0][:6] == ["model", "a|b", "500", "500 low", "500 high", "500 n"]
    assert rows[1][:6] == ["a,b", "1.5", "0.5234", "0.5012", "0.5444", "3"]
    assert rows[2][1] == "" and rows[2][-4:] == ["", "", "", "0"]
    assert {len(row) for row in rows} == {10}


class Checker(HTMLParser):
    """Collects headers and cells, and that every tag is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs) -> None:
        self.open.append(tag)
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_html_is_escaped_closed_and_names_its_headers() -> None:
    text = to_html(table("<script>alert(1)</script>", "a < b & c"))
    checker = Checker()
    checker.feed(text)
    assert checker.open == [] and "<script" not in text
    assert "<caption><span>a &lt; b &amp; c</span></caption>" in text
    scopes = [about.get("scope") for tag, about in checker.seen if tag == "th"]
    assert scopes == ["col"] * 4 + ["row"] * 2
    assert sum(about.get("class") == "n" for tag, about in checker.seen if tag == "td") == 6
