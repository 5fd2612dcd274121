"""Reproductions in the report: every figure with its verdict, safely, and from whatever a folder holds."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import report
from bench.kept import save_strip
from report import reproduction
from results.loading import load_run
from results.reproduction import (
    REPRODUCTION,
    About,
    Comparison,
    Reproduction,
    ReproductionError,
    Row,
    Stress,
    StressStep,
    dumps,
    parse,
    read,
)
from tests import fake_run
from tests.valid_charts import specs_of

SMALL = fake_run.Size(backends=("torch",), architectures=("dense",), corruptions=("gaussian(0.4)",), latents=(64,),
                      losses=("mse",), epochs=2)  # fmt: skip
KNOWN = "its curve is an example"


def strips(folder: Path) -> dict[str, str]:
    rng = np.random.default_rng(0)
    images = {name: rng.random((3, 12, 12, 1)) for name in ("clean", "noisy", "denoised")}
    return {name: save_strip(stack, folder) for name, stack in images.items()}


def stress(folder: Path, **changes: Any) -> Stress:
    steps = tuple(
        StressStep(
            corruption=f"blur({blur}) + uniform({noise})",
            levels={"blur": blur, "noise": noise},
            psnr=(20.0 - blur, 19.5 - blur, 20.5 - blur),
            psnr_noisy=100.0 if not blur else 9.0,
            psnr_gain=(None, None, None) if not blur else (11.0 - blur, 10.5 - blur, 11.5 - blur),
            ssim=(0.8, 0.79, 0.81),
            ssim_noisy=1.0 if not blur else 0.2,
            ssim_gain=(-0.2, -0.21, -0.19) if not blur else (0.6, 0.59, 0.61),
        )
        for blur, noise in ((0, 0), (0.5, 0.4), (1, 0.8))
    )
    whole = Stress(images=256, networks=1, over="images", steps=steps, image=17, pictures=strips(folder))
    return replace(whole, **changes)


def comparison(folder: Path, **changes: Any) -> Comparison:
    """`dense` as it may come out: the end differs, the middle agrees."""
    epochs = [1, 2, 3]
    curves = {
        "train_loss": [[epoch, 0.2 / epoch, 0.19 / epoch, 0.21 / epoch] for epoch in epochs],
        "validation_loss": [[epoch, 0.22 / epoch, None, None] for epoch in epochs],
        "psnr": [[epoch, 15.0 + epoch, 14.9 + epoch, 15.1 + epoch] for epoch in epochs],
    }
    rows = (
        Row("train_loss", 1, "0.20", 0.2, 0.19, 0.21, "reproduced", "+0.0%"),
        Row("train_loss", 3, "0.05", 0.0667, 0.063, 0.07, "differs", "+33.3%", KNOWN),
        Row("validation_loss", 50, "0.088", None, None, None, "not reached", "3 epochs were run"),
        Row("psnr", None, None, 18.0, 17.9, 18.1, "not published"),
        Row("psnr_gain", None, None, 7.0, 6.9, 7.1, "not published"),
        Row("parameters", None, "186511", 186511.0, None, None, "reproduced"),
    )
    whole = Comparison(
        recipe="dense",
        variant="published",
        about="as published",
        backend="torch",
        device="cpu",
        seeds=3,
        epochs=3,
        published_epochs=50,
        samples=60_000,
        fraction=1.0,
        rows=rows,
        curves=curves,
        pictures=strips(folder),
        epoch_seconds=12.0,
        timed=False,
        published_seconds=600.0,
    )
    return replace(whole, **changes)


ABOUT = About("Dense layers", "a tutorial", "MNIST", ("the codes are of use",), ("seed: 0, 1, 2",))


def document(*comparisons: Comparison) -> Reproduction:
    return Reproduction(0.03, {one.recipe: ABOUT for one in comparisons}, comparisons)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a reproduction of two recipes, one of them with a stress sweep and two variants."""
    path = fake_run.make_run(tmp_path_factory.mktemp("runs") / "fake", SMALL)
    stressed = {"recipe": "blur-noise", "stress": stress(path)}
    comparisons = [
        comparison(path),
        comparison(path, **stressed, variant="one"),
        comparison(path, recipe="blur-noise", variant="two", curves={}, epoch_seconds=None, published_seconds=None),
    ]
    write(path, document(*comparisons))
    return path


@pytest.fixture(scope="module")
def html(folder: Path) -> str:
    return report.write_report([folder]).read_text(encoding="utf-8")


def write(folder: Path, what: Reproduction) -> None:
    (folder / REPRODUCTION).write_text(dumps(what), encoding="utf-8")


class _Text(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.parts: list[str] = []
        self._raw = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._raw = tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._raw = False

    def handle_data(self, data: str) -> None:
        if not self._raw:
            self.parts.append(data)


def section(html: str) -> str:
    """The words of the section, spaces folded."""
    found = re.search(r'<section id="reproductions">.*?</section>', html, re.DOTALL)
    assert found, "the report has no section on reproductions"
    return " ".join(" ".join(_Text(found.group()).parts).split())


# -- the document --------------------------------------------------------------------------------------------------


def test_what_is_written_is_read_back(folder: Path) -> None:
    found = read(folder)
    assert found is not None
    assert json.loads(dumps(found)) == json.loads((folder / REPRODUCTION).read_text(encoding="utf-8"))
    assert found.comparisons[1].stress is not None
    assert found.comparisons[1].stress.steps[0].psnr_gain == (None, None, None)


def test_a_document_from_before_there_was_a_stress_sweep_is_read(tmp_path: Path) -> None:
    old = json.loads(dumps(document(comparison(tmp_path))))
    del old["comparisons"][0]["stress"]
    for row in old["comparisons"][0]["rows"]:
        del row["known"]
    found = parse(json.dumps(old))
    assert found.comparisons[0].stress is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text[: len(text) // 2], "is not JSON"),
        (lambda text: "[]", "schema = None"),
        (lambda text: text.replace('"schema": 1', '"schema": 7'), "schema = 7"),
        (lambda text: text.replace('"seeds": 3', '"seeds": "three"'), "comparisons.0.seeds"),
        (lambda text: text.replace('"differs"', '"failed"'), "comparisons.0.rows.1.verdict"),
        (lambda text: text.replace('"epoch_seconds": 12.0', '"epoch_seconds": NaN'), "NaN"),
        (lambda text: text.replace('"published": "0.20"', '"published": "a fifth"'), "'a fifth' is not a number"),
        (lambda text: text.replace('"recipe": "dense"', '"recipe": "sparse"'), "'sparse'"),
    ],
)
def test_a_broken_document_is_a_note_and_no_crash(folder: Path, tmp_path: Path, change: Any, words: str) -> None:
    text = dumps(document(comparison(folder)))
    broken = change(text)
    assert broken != text
    with pytest.raises(ReproductionError, match=re.escape(words)):
        parse(broken)
    run = fake_run.make_run(tmp_path / "run", SMALL, kinds=("certificate",))
    (run / REPRODUCTION).write_text(broken, encoding="utf-8")
    said = section(report.write_report([run]).read_text(encoding="utf-8"))
    assert "Published against measured is left out" in said
    assert words in said


# -- the page ------------------------------------------------------------------------------------------------------


def test_a_run_without_reproductions_has_no_such_section(tmp_path: Path) -> None:
    run = fake_run.make_run(tmp_path / "run", SMALL, kinds=("certificate",))
    assert 'id="reproductions"' not in report.write_report([run]).read_text(encoding="utf-8")


def test_every_figure_stands_with_its_interval_and_verdict(html: str) -> None:
    said = section(html)
    for words in (
        "a tutorial. Data: MNIST.",
        "train loss, epoch 3 0.05 0.06670 [0.06300, 0.07000] differs by +33.3 %",
        "train loss, epoch 1 0.20 0.2000 [0.1900, 0.2100] reproduced",
        "validation loss, epoch 50 not reached: 3 epochs were run",
        "parameters 186511 186,511 as published (a setting)",
        f"Why figures may differ: {KNOWN}.",
        "seed: 0, 1, 2",
        "An epoch of 60,000 images takes 12.0 s",
        "at that rate the 50 published epochs take 10.0 min.",
    ):
        assert words in said, words


def test_the_curves_have_the_published_points_on_them(html: str) -> None:
    specs = specs_of(html)
    text = json.dumps(specs["repro-loss-0"])
    assert '"loss": 0.05' in text, "the published point of epoch 3"
    assert "0.088" not in text, "epoch 50 was not reached"
    assert "repro-loss-2" not in specs, "nothing to draw"
    psnr = json.dumps(specs["repro-psnr-1"])
    assert '"psnr": 11.0' in psnr, "the noisy input: 18 dB less the gain of 7"
    steps = json.dumps(specs["repro-stress-psnr-1"])
    assert '"blur 0.5, noise 0.4"' in steps
    assert "100" not in re.findall(r'"value": (\d+)', steps), "exact images have no PSNR to draw"


def test_the_stress_sweep_is_told_and_shown(html: str) -> None:
    said = section(html)
    assert "256 test images at every step of the published sweep, intervals over images" in said
    assert "blur(0) + uniform(0) exact 20.00 [19.50, 20.50] – 1.000" in said
    assert "blur(1) + uniform(0.8) 9.00 19.00 [18.50, 19.50] +10.00 [+9.50, +10.50]" in said
    title = "blur-noise one: test image 17, from blur 0, noise 0 to blur 1, noise 0.8"
    assert html.count(f'alt="denoised images, {title}"') == 1


def test_networks_without_weights_are_said(tmp_path: Path) -> None:
    run = fake_run.make_run(tmp_path / "run", SMALL, kinds=("certificate",))
    none = Stress(images=0, networks=0, over=None, steps=(), missing=("seed 0: its trained weights were not kept",))
    write(run, document(comparison(run, stress=none)))
    said = section(report.write_report([run]).read_text(encoding="utf-8"))
    assert "The stress sweep is without seed 0: its trained weights were not kept." in said


def test_the_finding_counts_and_names_what_differs(folder: Path) -> None:
    first = report.findings(load_run(folder))[0]
    assert first.startswith(
        "3 of 6 published results that can be judged are reproduced: dense differs by +33.4 % (train loss, epoch 3)"
    )
    assert "settings of the network, which are no results: 3 of 3 as published" in first
    assert first.count(KNOWN) == 1, "said of the first, not of all"
    assert "of the others, 3 not reached" in first
    whole = comparison(folder, rows=comparison(folder).rows[:1])
    found = reproduction.finding(reproduction.Found(((folder, document(whole)),), ()))
    assert found == ("1 of 1 published result is reproduced", "in full: dense")
    nothing = comparison(folder, rows=comparison(folder).rows[3:4])
    found = reproduction.finding(reproduction.Found(((folder, document(nothing)),), ()))
    assert found is not None
    assert found[0] == "No result was published to judge"


def test_a_setting_that_agrees_is_no_result(folder: Path) -> None:
    """On a twentieth of the data the headline was "1 of 1 published figure reproduced": the size of the code."""
    rows = (
        Row("train_loss", 1, "0.25", 0.3, None, None, "not comparable", "5% of the data"),
        Row("latent_size", None, "64", 64.0, None, None, "reproduced"),
    )

    def said(*kept: Row) -> tuple[str, str]:
        found = reproduction.finding(reproduction.Found(((folder, document(comparison(folder, rows=kept))),), ()))
        assert found is not None
        return found

    headline, detail = said(*rows)
    assert headline == "No published result can be judged by what was run"
    assert detail == "1 not comparable; settings of the network, which are no results: 1 of 1 as published"
    assert said(rows[1])[0] == "No result was published to judge"
    other = replace(rows[1], measured=32.0, verdict="differs")
    headline, detail = said(other)
    assert "differs by" in detail
    assert "0 of 1 as published" in detail


def test_settings_are_called_so_in_the_table_and_the_source_has_its_address(folder: Path, html: str) -> None:
    assert "as published (a setting)" in section(html)
    there = replace(ABOUT, address="https://example.org/dae")
    assert there.reference == "a tutorial, https://example.org/dae"
    assert ABOUT.reference == "a tutorial"
    assert parse(dumps(Reproduction(0.03, {"dense": there}, ()))).recipes["dense"].address == there.address
    old = json.loads(dumps(Reproduction(0.03, {"dense": ABOUT}, ())))
    del old["recipes"]["dense"]["address"]
    assert parse(json.dumps(old)).recipes["dense"] == ABOUT


def test_several_folders_show_all_and_the_ratio_of_devices(folder: Path, tmp_path: Path) -> None:
    ratio = Row("cpu_over_gpu", None, "40", None, None, None, "not measured")
    processor, graphics = tmp_path / "processor", tmp_path / "graphics"
    for path, changes in (
        (processor, {"epoch_seconds": 300.0, "rows": ()}),
        # A tenth of the data: seconds are compared for the same number of images.
        (graphics, {"device": "cuda", "epoch_seconds": 1.0, "samples": 6000, "fraction": 0.1, "rows": (ratio,)}),
    ):
        fake_run.make_run(path, SMALL, kinds=("certificate",))
        write(path, document(comparison(path, recipe="blur-noise", stress=None, **changes)))
    page = report.write_report([folder, processor, graphics], tmp_path / "all.html").read_text(encoding="utf-8")
    said = section(page)
    assert "an epoch takes the CPU 30.0 times as long as the GPU; published was a factor of 40." in said
    assert "CPU time / GPU time 40 30 not comparable: another machine" in said
    assert said.count("An epoch of") == 4
    assert "on all of the data" in said


def test_text_of_a_document_is_only_ever_text(tmp_path: Path) -> None:
    run = fake_run.make_run(tmp_path / "run", SMALL, kinds=("certificate",))
    evil = "<script>alert(1)</script>\x1b[31m & </script>"
    hostile = comparison(
        run,
        recipe=evil,
        variant=evil,
        about=evil,
        troubles=(evil,),
        pictures={"clean": "../../etc/passwd", "noisy": evil, "denoised": "records.jsonl"},
        rows=(Row(evil, 3, "0.5", 1.0, None, None, "differs", evil, evil),),
        stress=replace(stress(run), missing=(evil,)),
    )
    about = replace(ABOUT, title=evil, source=evil, data=evil, says=(evil,), choices=(evil,))
    write(run, Reproduction(0.03, {evil: about}, (hostile,)))
    html = report.write_report([run]).read_text(encoding="utf-8")
    assert "<script>alert" not in html
    assert "\x1b" not in html
    assert "alert(1)" in section(html)


def test_the_same_records_give_the_same_bytes(folder: Path, html: str) -> None:
    assert report.write_report([folder]).read_text(encoding="utf-8") == html
