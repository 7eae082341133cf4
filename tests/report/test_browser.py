"""The pages in a real browser: every figure draws and answers to the pointer, and nothing is asked for elsewhere."""

import importlib.util
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from vitlab.claims.claim import Claim
from vitlab.claims.rule import judge
from vitlab.report.build import bars, curves_and_gaps, dots, scaling_table
from vitlab.report.evidence import Evidence, Picture
from vitlab.study.publish import conclude, recorded, together
from vitlab.study.settings import Settings
from vitlab.study.study import Study

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.skipif(BROWSER is None, reason="there is no Chromium here: apt-get install chromium"),
    pytest.mark.skipif(
        not importlib.util.find_spec("playwright"), reason="playwright is not installed: pip install -e .[dev]"
    ),
]
ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
DARK, WIDE, NARROW = {"color_scheme": "dark"}, {"width": 1280, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, rows, two_sizes) -> Path:
    """A results folder as a study writes it, with every kind of figure."""
    folder = tmp_path_factory.mktemp("site") / "results"
    table = rows(models=two_sizes).assign(status="finished")

    def draw(found, settings) -> Evidence:
        labels = {"title": "T <b>", "ylabel": "accuracy (%)", "xlabel": "images of a data set with a long name"}
        values = {0: 0.1, 1: 0.12, 2: 0.11}
        claim = Claim("data.few", "4.3", "with few images the CNN is ahead")
        one = found[found["train_images"] == 500]
        return Evidence(
            (judge(claim, values, data="Digits", subject="ViT", failed=["it was cut short"]),),
            (scaling_table("accuracy", found, "train_images", caption="words " * 60),),
            {
                "figure": curves_and_gaps(found, x="train_images", **labels),
                "bars": bars(found, category="model", **labels),
                "dots": dots(one, x="score", y="score", **labels),
            },
            pictures={"dots": Picture("Dots", "What to see.")},
        )

    study = Study("data_scaling", "4.3", "ViT or CNN?", {"quick": Settings()}, draw, protocol="As said.")
    merged = together(None, table.to_dict("records"), study.name)
    record = recorded(study, Settings(), [], ["--seeds", "3"], merged)
    conclude(study, Settings(), folder / "data_scaling" / "digits", merged, record)
    return folder


@dataclass
class Visit:
    """A page that is open, with what it asked for and complained of."""

    page: object
    asked: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=BROWSER, args=ARGUMENTS)
        yield opened
        opened.close()


def visit(browser, path: Path, viewport: dict[str, int], **about: object) -> Visit:
    found = Visit(browser.new_context(viewport=viewport, reduced_motion="reduce", **about).new_page())
    found.page.on("request", lambda request: found.asked.append(request.url))
    found.page.on("console", lambda message: found.said.append(message.text) if message.type == "error" else None)
    found.page.on("pageerror", lambda error: found.said.append(str(error)))
    found.page.goto(path.as_uri())
    return found


def drawn(found: Visit) -> int:
    """Scroll to every figure, wait for plotly and return how many there are."""
    figures = found.page.locator("figure.chart")
    for at in range(figures.count()):
        figures.nth(at).scroll_into_view_if_needed()
        figures.nth(at).locator(".plot .main-svg").first.wait_for()
    return figures.count()


OVERLAPS = """plot => {
  const boxes = name => [...plot.querySelectorAll(name)].map(node => node.getBoundingClientRect());
  const meet = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom - 1 && b.top < a.bottom - 1;
  const names = [...boxes(".infolayer [class$=title]"), ...boxes(".legend .legendtext")];
  return names.flatMap(a => boxes(".xtick text").filter(b => meet(a, b))).length;
}"""


@pytest.mark.parametrize("viewport", [WIDE, NARROW])
def test_names_of_axes_and_the_legend_do_not_lie_on_the_numbers(browser, results, viewport):
    found = visit(browser, results / "data_scaling" / "digits" / "index.html", viewport)
    assert drawn(found) == 3
    assert [plot.evaluate(OVERLAPS) for plot in found.page.locator(".plot").all()] == [0, 0, 0]


@pytest.mark.parametrize(("viewport", "about"), [(WIDE, {}), (WIDE, DARK), (NARROW, {}), (NARROW, DARK)])
def test_every_figure_draws_and_nothing_leaves_the_page(browser, results, viewport, about):
    for path in ("index.html", "data_scaling/digits/index.html"):
        found = visit(browser, results / path, viewport, **about)
        assert drawn(found) == (3 if "/" in path else 1)
        assert found.page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
        assert found.said == [] and all(url.startswith(("file:", "data:", "blob:")) for url in found.asked)


def test_the_pointer_finds_seed_run_value_and_interval(browser, results):
    found = visit(browser, results / "data_scaling" / "digits" / "index.html", WIDE)
    drawn(found)
    page, told = found.page, set()
    points = page.locator("figure.chart").first.locator(".scatterlayer .trace .points path")
    for at in range(0, points.count(), 7):
        page.mouse.move(0, 0)
        page.locator(".hoverlayer .hovertext").first.wait_for(state="detached")  # what is told next is of this point
        points.nth(at).scroll_into_view_if_needed()
        box = points.nth(at).bounding_box()
        page.mouse.move(box["x"] + box["width"] / 2 - 2, box["y"] + box["height"] / 2 - 2)
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.locator(".hoverlayer .hovertext").first.wait_for()
        told.add(page.locator(".hoverlayer .hovertext").first.text_content())
    means = [text for text in told if "95% interval" in text]
    assert means and all(re.search(r": \S+ \[\S+, \S+\]n = 3", text) for text in means), told
    seeds = [text for text in told if "seed" in text]
    assert seeds and all(re.search(r"[-−]?\d+\.\d at [\d,]+, seed \d, run \w+$", text) for text in seeds), told


def test_ink_is_light_in_the_dark_and_changes_with_the_system(browser, results):
    found = visit(browser, results / "data_scaling" / "digits" / "index.html", WIDE, **DARK)
    drawn(found)
    label = found.page.locator(".xtick text").first
    assert "rgb(230, 232, 235)" in label.evaluate("node => getComputedStyle(node).fill")
    found.page.emulate_media(color_scheme="light")
    found.page.wait_for_function("getComputedStyle(document.querySelector('.xtick text')).fill == 'rgb(26, 26, 26)'")


def test_on_paper_and_without_plotly_the_drawn_figures_are_shown(browser, results, tmp_path):
    found = visit(browser, results / "data_scaling" / "digits" / "index.html", WIDE)
    drawn(found)
    picture = found.page.locator("figure.chart img").first
    assert not picture.is_visible()
    found.page.emulate_media(media="print")
    assert picture.is_visible() and picture.evaluate("node => node.naturalWidth") > 0
    bare = shutil.copytree(results, tmp_path / "bare")
    (bare / "plotly.min.js").unlink()
    without = visit(browser, bare / "data_scaling" / "digits" / "index.html", WIDE)
    assert without.page.locator("figure.chart img").first.is_visible()


def test_a_figure_has_its_words_once_and_they_follow_what_is_shown(browser, results):
    found = visit(browser, results / "data_scaling" / "digits" / "index.html", WIDE)
    drawn(found)
    words = found.page.locator("figure.chart img").first.get_attribute("alt")
    assert found.page.locator(".plot").first.get_attribute("aria-label") == words
    page = results / "data_scaling" / "digits" / "index.html"
    for shown in (found, visit(browser, page, WIDE, java_script_enabled=False)):
        assert shown.page.get_by_role("img", name=words, exact=True).count() == 1


def test_names_of_rows_stay_while_a_table_is_scrolled(browser, results):
    found = visit(browser, results / "data_scaling" / "digits" / "index.html", NARROW)
    table = found.page.locator(".scroll:has(.data)").first
    name = table.locator("tbody th").first
    before = name.bounding_box()
    table.evaluate("node => { node.scrollLeft = node.scrollWidth }")
    assert table.evaluate("node => node.scrollLeft") > 100
    after = name.bounding_box()
    assert after["x"] == before["x"] and after["width"] < NARROW["width"] / 2


def test_a_page_is_small(results):
    pages = list(results.rglob("*.html"))
    assert max(page.stat().st_size for page in pages) < 3e6
    assert sum(path.stat().st_size for path in [*pages, results / "plotly.min.js"]) < 8e6
