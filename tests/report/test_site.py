"""README, ledger and pages are made of all evidence, in order, escaped, with links that lead somewhere."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markupsafe import escape

from vitlab.claims.claim import Claim, Verdict
from vitlab.claims.interval import mean_interval
from vitlab.claims.ledger import ledger
from vitlab.report.build import curves_and_gaps, scaling_table
from vitlab.report.entries import Entry, entry, ordered
from vitlab.report.evidence import Evidence, Picture
from vitlab.report.readme import anchor, readme
from vitlab.report.site import markdown, plotly_script, redraw_command, site

EVIL = '<script>alert("x")</script> & <b>'
CLAIM = Claim("data.few", "4.3", "with few images the CNN is ahead", paper="B/16 77.91")
OTHER = Claim("block.pre", "deck", "nobody ran this")


def stored(results: Path, place: str, evidence: Evidence, seeds: int = 3, section: str = "4.3") -> Entry:
    """An entry with its files in `results`."""
    folder = results / place
    folder.mkdir(parents=True)
    about = {"count": 12, "wall_s": 7200.0, "seed": list(range(seeds)), "hardware": ["2 x CPU"], "commit": ["1" * 40]}
    record = {
        **{"question": f"Why {EVIL}?", "section": section, "protocol": f"As said.\n\n    python {EVIL}\n"},
        **{"command": ["python", "-m", "experiments.x", "a b", "--time_budget", "9m"], "settings": {}},
        **{"date": "2026-11-24T00:00:00", "rows": about},
    }
    (folder / "provenance.json").write_text(json.dumps(record))
    for name in ("rows.csv", "evidence.json", "evidence.md"):
        (folder / name).write_text(EVIL)
    for name in (*evidence.figures, "patches_1", "patches_2", "left_over"):
        (folder / f"{name}.png").write_bytes(b"")
    return entry(folder, evidence)


@pytest.fixture
def results(tmp_path: Path, rows) -> tuple[Path, list[Entry]]:
    interval = mean_interval([0.02, 0.025, 0.023])
    verdict = Verdict(CLAIM, "Digits", EVIL, {0: 0.02}, interval, 0.01, outcome="holds", adjusted_p=0.01)
    chart = curves_and_gaps(rows(), x="train_images", title=EVIL, ylabel="accuracy (%)")
    found = Evidence(
        (verdict,),
        (scaling_table("accuracy", rows(), "train_images", caption=EVIL),),
        {"figure": chart},
        pictures={"patches": Picture("Patches", EVIL)},
    )
    (tmp_path / "data_scaling" / "digits").mkdir(parents=True)
    (tmp_path / "data_scaling" / "digits" / "NOTES.md").write_text(
        f"**So** {EVIL} [one](../../tuning/one/evidence.md)."
    )
    (tmp_path / "data_scaling" / "digits").rename(tmp_path / "kept")
    entries = [
        stored(tmp_path, "again/draw_0", Evidence(summary="3 agree."), 0, "-"),
        stored(tmp_path, "data_scaling/digits", found),
        stored(tmp_path, "tuning/one", Evidence(summary="One."), 1, "-"),
        stored(tmp_path, "few_shot/digits", Evidence(summary="Few."), 2, "4.1"),
    ]
    (tmp_path / "kept" / "NOTES.md").rename(tmp_path / "data_scaling" / "digits" / "NOTES.md")
    entries[1] = entry(entries[1].folder, found)
    return tmp_path, entries


def test_sections_come_in_the_order_of_the_paper_and_single_seeds_and_checks_last(results):
    studies, apart = ordered(results[1])
    assert [[one.name for one in group] for group in studies] == [["few_shot/digits"], ["data_scaling/digits"]]
    assert [one.name for one in apart] == ["tuning/one", "again/draw_0"]


def test_the_readme_has_contents_then_the_ledger_then_each_study(results):
    folder, entries = results
    text = readme(entries, ledger([(one.name, one.evidence.verdicts) for one in entries], [OTHER, CLAIM]), "again")
    places = [
        text.index(part) for part in ("- [The ledger", "## The ledger", "### Verdict", "## few_shot", "## Single")
    ]
    assert places == sorted(places)
    assert "nobody ran this" in text and "| – |" in text and "B/16 77.91" in text and "2 h of training" in text
    assert "experiments.x 'a b'" in text and "9m" not in text and EVIL not in text.replace(f"**So** {EVIL}", "")
    headings = {anchor(line.lstrip("# ")) for line in text.splitlines() if line.startswith("#")}
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", text):
        assert (
            target[1:] in headings
            if target.startswith("#")
            else target.endswith((".html", ".md", ".csv", ".json", ".png"))
        )


class Checker(HTMLParser):
    """Collects what a browser would load and follow, and that every tag is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.pictures: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs) -> None:
        found = dict(attrs)
        self.links += [found[name] for name in ("href", "src") if found.get(name)]
        self.ids += [found["id"]] if "id" in found else []
        if tag == "img":
            self.pictures.append(found)
        if tag not in ("img", "meta", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_pages_are_escaped_closed_described_and_linked(results):
    folder, entries = results
    found = ledger([(one.name, one.evidence.verdicts) for one in entries], [OTHER, CLAIM])
    files = site(entries, found, folder)
    pages = {path: text for path, text in files.items() if path.suffix == ".html"}
    assert len(pages) == 5 and files.keys() - pages.keys() == {folder / "style.css", folder / "figures.js"}
    (folder / "README.md").write_text("")
    (folder / "ledger.json").write_text("")
    (folder / "plotly.min.js").write_text("")
    for path, text in files.items():
        path.write_text(text)
    for path, text in pages.items():
        checker = Checker()
        checker.feed(text)
        scripts = {folder / "index.html": 3, folder / "data_scaling" / "digits" / "index.html": 3}.get(path, 2)
        assert text.count("<script") == scripts and "<b>?" not in text
        assert checker.open == [] and len(checker.ids) == len(set(checker.ids))
        assert all(picture["alt"] for picture in checker.pictures)
        for link in checker.links:
            target, _, fragment = link.partition("#")
            if link == "data:,":
                continue
            assert not target.startswith(("http", "//", "javascript")), link
            assert (path.parent / target).exists() and (target or fragment in (*checker.ids, "content")), link
    text = pages[folder / "data_scaling" / "digits" / "index.html"]
    assert 'href="../../tuning/one/index.html"' in text and "<strong>So</strong>" in text
    order = [text.index(part) for part in ("Patches<", "Patches, 2<", ">left over<", "As said.")]
    assert order == sorted(order)
    data = json.loads(re.search(r'<script type="application/json">(.*?)</script>', text)[1])
    for width in ("wide", "narrow"):
        shown = [data["traces"][trace["of"]] for trace in data[width]["data"]]
        assert "seed 0, run" in json.dumps(shown) and len(shown) > 5
    index = pages[folder / "index.html"]
    assert (
        "1 could be tested, 1 is decided on one data set. 1 verdict:" in index
        and "nobody ran this" in index
        and index.index("nobody ran") < index.index("Few.")
    )


def test_every_page_leads_back_to_its_own_entry(results):
    """Studies of one seed and checks stand under a heading of their own, not under that of their study."""
    folder, entries = results
    pages = site(entries, ledger([(one.name, one.evidence.verdicts) for one in entries], [CLAIM]), folder)
    index = Checker()
    index.feed(pages[folder / "index.html"])
    for one in entries:
        page = Checker()
        page.feed(pages[one.folder / "index.html"])
        (place,) = {link.partition("#")[2] for link in page.links if "index.html#" in link}
        assert place == one.name and place in index.ids


def test_the_first_page_says_what_was_found_above_its_figure(results):
    folder, entries = results
    index = site(entries, ledger([(one.name, one.evidence.verdicts) for one in entries], [CLAIM]), folder)
    text = index[folder / "index.html"]
    assert text.index("The whole study") < text.index('<figure class="chart">')


def test_a_page_leads_to_the_rows_that_are_there(tmp_path):
    one = stored(tmp_path, "few_shot/large", Evidence(summary="Few."))
    (one.folder / "rows.csv").rename(one.folder / "rows.csv.gz")
    page = site([one], ledger([], []), tmp_path)[one.folder / "index.html"]
    assert page.count('href="rows.csv.gz"') == 2 and 'href="rows.csv"' not in page


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(60, "60 s"), (3600, "60 min"), (7200, "2 h"), (34_200, "9.5 h"), (442_800, "123 h"), (7_200_000, "2,000 h")],
)
def test_costs_are_said_in_whole_numbers(tmp_path, seconds, said):
    one = stored(tmp_path, "few_shot/long", Evidence())
    one = replace(one, record={**one.record, "rows": {**one.record["rows"], "wall_s": seconds}})
    assert one.facts()["cost"].startswith(f"{said} of training")


def test_pictures_are_counted_and_not_spelled(tmp_path):
    one = stored(tmp_path, "few_shot/many", Evidence(pictures={"patches": Picture("Patches", "")}))
    for number in range(3, 12):
        for name in ("patches", "others"):
            (one.folder / f"{name}_{number}.png").write_bytes(b"")
    page = site([one], ledger([], []), tmp_path)[one.folder / "index.html"]
    shown = re.findall(r'src="(\w+)\.png"', page)
    assert [name for name in shown if name.startswith("patches")] == [f"patches_{number}" for number in range(1, 12)]
    assert [name for name in shown if name.startswith("others")] == [f"others_{number}" for number in range(3, 12)]
    assert re.search(r'Patches, 10</h3>\s*<figure>\s*<img src="patches_10.png"', page)


@pytest.mark.parametrize(
    ("place", "said"),
    [("checkout/results", "results"), ("checkout/my runs/all", "'my runs/all'"), ("elsewhere", "THIS_FOLDER")],
)
def test_pages_say_what_makes_them_anew(tmp_path, monkeypatch, place, said):
    monkeypatch.setattr("vitlab.report.site.COMMITTED", tmp_path / "checkout" / "results")
    command = redraw_command(tmp_path / place)
    assert command == f"python -m experiments.paper --redraw --results {said}"
    assert f"`{command}` makes this page" in readme([], ledger([], []), command)
    page = site([], ledger([], []), tmp_path / place)[tmp_path / place / "index.html"]
    assert f"Made from the rows by <code>{escape(command)}</code>" in page


def test_notes_cannot_bring_markup_or_scripts():
    html = markdown("<img src=x onerror=y> [a](javascript:alert(1)) `b` [n](../../x/y/NOTES.md)", {"x/y"})
    assert "<img" not in html and 'href="javascript' not in html and "<code>b</code>" in html
    assert 'href="../../x/y/index.html"' in html


def test_plotly_comes_with_its_python_package():
    assert plotly_script().stat().st_size < 5_500_000
