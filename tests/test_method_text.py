"""Classical denoisers as text: from a record to the command line and back, and mistakes in one message."""

from __future__ import annotations

import numpy as np
import pytest

from bench.yardsticks import METHODS, YardstickError, calibrate, method_text, parse_method
from bench.yardsticks.text import _example

IMAGES = np.random.default_rng(1).random((3, 20, 20, 1), dtype=np.float32)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_a_text_that_names_it(name: str) -> None:
    text = _example(name)
    chosen = parse_method(text)
    assert chosen.method.name == name
    assert str(chosen) == text
    assert chosen.denoise(IMAGES).shape == IMAGES.shape


@pytest.mark.parametrize("name", ["gaussian-tone", "median", "median-3x3", "identity"])
def test_what_calibration_chose_comes_back_from_its_text(name: str) -> None:
    clean = np.clip(IMAGES / 2 + 0.25, 0, 1)
    found = calibrate(METHODS[name], IMAGES, clean)
    chosen = parse_method(method_text(found.method, found.parameters))
    assert chosen.parameters == found.parameters
    np.testing.assert_array_equal(chosen.denoise(IMAGES), METHODS[name].denoise(IMAGES, found.parameters))


def test_settings_with_a_usual_value_may_be_left_out() -> None:
    assert str(parse_method("nlm(h=0.8,sigma_over_h=1.0)")) == (
        "nlm(h=0.8, sigma_over_h=1, patch_size=5, patch_distance=5)"
    )
    assert parse_method(" nlm( patch_size = 7 , sigma_over_h=0, h = .1 ) ").parameters == {
        "h": 0.1,
        "sigma_over_h": 0.0,
        "patch_size": 7,
        "patch_distance": 5,
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["cannot be read", "NAME(SETTING=VALUE"]),
        ("nlm(", ["'nlm('", "cannot be read"]),
        ("nml(h=1)", ["'nml' is unknown", "did you mean 'nlm'", "wavelet"]),
        ("nlm", ["it needs h and sigma_over_h too", "for example nlm(h="]),
        ("nlm(h=0,sigma_over_h=1)", ["h = 0 is not allowed", "above 0 to 100"]),
        ("nlm(h=nan,sigma_over_h=1)", ["h = nan is not allowed", "above 0 to 100"]),
        ("nlm(h=1,sigma=1)", ["'sigma=1' is not one of its settings", "patch_distance"]),
        ("nlm(h=1,h=2)", ["h is given twice"]),
        ("nlm(h=1,sigma_over_h=1,patch_size=2.5)", ["patch_size = 2.5", "whole numbers from 3 to 28"]),
        ("nlm(h=1,sigma_over_h=1,patch_distance=1000)", ["patch_distance = 1000", "whole numbers from 3 to 28"]),
        ("median(window=round,radius=1)", ["window = round", "disk, square"]),
        ("identity(a=1)", ["'a=1' is not one of its settings", "it takes none"]),
        ("gaussian-tone(sigma=1)", ["needs gain and offset too"]),
        ("gaussian-tone(sigma=1,gain=inf,offset=0)", ["gain = inf", "-100 to 100"]),
        ("wavelet(wavelet=db1,levels=1,threshold=BayesShrink,sigma=0.1,ycbcr=no)", ["ycbcr = no", "false, true"]),
    ],
)
def test_mistakes_in_one_message(text: str, words: list[str]) -> None:
    with pytest.raises(YardstickError) as caught:
        parse_method(text)
    said = str(caught.value)
    assert "\n" not in said
    assert [word for word in words if word not in said] == [], said


def test_settings_of_a_record_are_checked_too() -> None:
    with pytest.raises(YardstickError, match="'sigma' is not one of its settings"):
        method_text("nlm", {"sigma": 1.0})
    with pytest.raises(YardstickError, match="it needs radius too"):
        method_text("median", {"window": "disk"})


def test_a_picture_that_is_too_small_is_refused_by_name() -> None:
    text = "wavelet(wavelet=db1, levels=3, threshold=BayesShrink, sigma=0.1, ycbcr=false, shifts=0)"
    with pytest.raises(YardstickError, match=r"wavelet.* is not made for images of 4x4 pixels"):
        parse_method(text).denoise(IMAGES[:, :4, :4])
    colour = text.replace("ycbcr=false", "ycbcr=true")
    with pytest.raises(YardstickError, match="gray"):
        parse_method(colour).denoise(IMAGES)
