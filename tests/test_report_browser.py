"""The report in a real browser: it draws, complains of nothing, asks for nothing, and fits a phone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import report
from tests import fake_run

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (pip install playwright)")
CHROMIUM = os.environ.get("CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"))), None
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (or set CHROMIUM to its path)")

CHARTS = 19
DESKTOP, PHONE = {"width": 1400, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report.write_report([fake_run.make_run(tmp_path_factory.mktemp("runs") / "fake")])


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


class Visit:
    """A page that was opened, and what it asked and complained of."""

    def __init__(self, browser: Any, file: Path, viewport: dict[str, int], javascript: bool = True) -> None:
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page = browser.new_page(viewport=viewport, java_script_enabled=javascript)
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        # Playwright's 30 s are what drawing takes where six other programs share two cores.
        self.page.goto(file.as_uri(), timeout=120_000)
        if javascript:
            self.page.wait_for_selector("html[data-charts=ready]", state="attached", timeout=120_000)


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_it_draws_and_asks_and_complains_of_nothing(browser: Any, page_file: Path, viewport: dict[str, int]) -> None:
    visit = Visit(browser, page_file, viewport)
    assert visit.complaints == []
    assert [url for url in visit.requests if not url.startswith("data:")] == [page_file.as_uri()]
    assert visit.page.locator(".plot.live svg").count() == CHARTS
    assert visit.page.locator(".plot:not(.live)").count() == 0
    marks = visit.page.eval_on_selector_all(
        ".plot.live svg",
        "plots => plots.map(plot => plot.querySelectorAll('.mark-rect path, .mark-symbol path').length)",
    )
    assert min(marks) >= 4
    width = visit.page.evaluate("document.documentElement.scrollWidth")
    assert width <= viewport["width"]
    # Nothing sticks out of the page but what scrolls inside its own box.
    outside = visit.page.evaluate(
        """() => [...document.querySelectorAll('body *')]
             .filter(e => !e.closest('.scroll, nav, svg, details:not([open])'))
             .filter(e => e.getBoundingClientRect().right > innerWidth + 1).map(e => e.tagName + '.' + e.className)"""
    )
    assert outside == []


def test_pictures_are_loaded_and_sharp(browser: Any, page_file: Path) -> None:
    visit = Visit(browser, page_file, DESKTOP)
    images = visit.page.eval_on_selector_all(
        ".gallery img", "all => all.map(i => [i.naturalWidth, i.clientWidth, getComputedStyle(i).imageRendering])"
    )
    assert len(images) > 20
    assert all(natural == 224 and shown > 300 and how == "pixelated" for natural, shown, how in images)


def test_it_can_be_read_without_javascript(browser: Any, page_file: Path) -> None:
    page = Visit(browser, page_file, DESKTOP, javascript=False).page
    boxes = [plot.bounding_box() for plot in page.locator(".plot svg").all() if plot.is_visible()]
    assert len(boxes) == CHARTS
    assert all(box["width"] > 300 and box["height"] > 80 for box in boxes)
    assert page.locator("#findings li").count() == 9
    assert page.locator("#speed table tbody tr").first.is_visible()


def test_cells_can_be_filtered(browser: Any, page_file: Path) -> None:
    page = Visit(browser, page_file, DESKTOP).page
    page.locator("details.filtered summary").click()
    every = page.locator("details.filtered tbody tr:visible").count()
    assert every > 100
    page.locator("input.filter").fill("trial diverged")
    assert page.locator("details.filtered tbody tr:visible").count() == 1
    page.locator("input.filter").fill("")
    assert page.locator("details.filtered tbody tr:visible").count() == every


def test_all_text_can_be_told_from_what_is_behind_it(browser: Any, page_file: Path) -> None:
    page = Visit(browser, page_file, DESKTOP).page
    page.eval_on_selector_all("details", "all => all.forEach(d => d.open = true)")
    pale = page.evaluate(
        """() => {
             const numbers = colour => (colour.match(/[\\d.]+/g) || []).map(Number);
             const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
               .map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
               .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
             const behind = e => {
               for (; e; e = e.parentElement) {
                 const found = numbers(getComputedStyle(e).backgroundColor);
                 if (found.length === 3 || found[3] > .9) return found;
               }
               return [255, 255, 255];
             };
             return [...document.querySelectorAll('body *')]
               .filter(e => !e.closest('svg, script, style') && e.getClientRects().length)
               .filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()))
               .filter(e => {
                 const [a, b] = [numbers(getComputedStyle(e).color), behind(e)].map(light).sort((x, y) => y - x);
                 return (a + .05) / (b + .05) < 3;
               })
               .map(e => e.tagName + '.' + e.className + ': ' + e.textContent.trim().slice(0, 40));
           }"""
    )
    assert pale == [], "a contrast of 3 to 1 is the least that WCAG 2 asks of large text"
