"""Sweep files: what may stand in them, what the message says of what may not, what --set replaces."""

from pathlib import Path

import pytest

from bench.sweep import DEFAULTS, Axes, SweepError, load_sweep, shipped


def sweep_file(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_an_empty_file_is_one_grid_of_defaults(tmp_path: Path) -> None:
    sweep = load_sweep(sweep_file(tmp_path, ""))
    assert sweep.name == "mine"
    assert sweep.grids == [DEFAULTS]
    assert set(DEFAULTS) == set(Axes.model_fields), "every axis has a default, and nothing else has"


def test_grids_override_axes_and_single_values_need_no_list(tmp_path: Path) -> None:
    sweep = load_sweep(
        sweep_file(
            tmp_path,
            """
            name = "codes"
            [axes]
            latent = [8, 16]
            seed = 3
            [[grid]]
            [[grid]]
            architecture = "bn"
            latent = "default"
            [timing]
            rounds = 2
            """,
        )
    )
    assert sweep.name == "codes"
    assert [grid["latent"] for grid in sweep.grids] == [[8, 16], ["default"]]
    assert [grid["architecture"] for grid in sweep.grids] == [["dense", "conv"], ["bn"]]
    assert [grid["seed"] for grid in sweep.grids] == [[3], [3]]
    assert sweep.timing.rounds == 2
    assert sweep.resolved()["timing"]["rounds"] == 2


def test_corruptions_are_stored_in_their_canonical_spelling(tmp_path: Path) -> None:
    sweep = load_sweep(sweep_file(tmp_path, 'axes.corruption = "gaussian( 0.40 )"'))
    assert sweep.grids[0]["corruption"] == ["gaussian(0.4)"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("axes.epochs = 0", ["axes.epochs", "0", "a whole number from 1"]),
        ("axes.epochs = 2.5", ["axes.epochs", "2.5", "a whole number from 1"]),
        ("axes.epochs = true", ["axes.epochs", "True", "a whole number"]),
        ("axes.test = 1", ["axes.test", "a whole number from 2", "'all'"]),
        ("axes.learning_rate = nan", ["axes.learning_rate", "nan", "a number above 0"]),
        ("axes.seed = []", ["axes.seed", "empty list"]),
        ("axes.seed = [1, 1]", ["axes.seed", "twice"]),
        ("axes.clip = 1", ["axes.clip", "true or false"]),
        ("axes.channels = 2", ["axes.channels", "1 (gray) or 3 (colour)"]),
        ('axes.loss = "l1"', ["axes.loss", "'l1'", "mse, bce"]),
        ('axes.backend = "tensorflow"', ["axes.backend", "'tensorflow'", "keras[tensorflow]"]),
        ('axes.architecture = "dens"', ["axes.architecture", "did you mean 'dense'?", "conv-latif"]),
        ('axes.device = "tpu"', ["axes.device", "'tpu'", "cpu, cuda, mps"]),
        ('axes.corruption = "gaussian(40)"', ["axes.corruption", "40", "0 to 10"]),
        ('axes.latent = "big"', ["axes.latent", "'big'", "'default'"]),
        ("axes.epoch = 5", ["axes.epoch", "unknown axis", "did you mean 'epochs'?"]),
        ("epochs = 5", ["epochs", "write it under [axes]"]),
        ("timings.rounds = 3", ["timings", "unknown field", "did you mean 'timing'?"]),
        ("timing.round = 3", ["timing.round", "unknown field", "did you mean 'rounds'?"]),
        ("timing.rounds = -1", ["timing.rounds", "-1", "greater than or equal to 0"]),
        ("[[grid]]\n[[grid]]\nepochs = -1", ["grid 2.epochs", "-1", "from 1"]),
        ('name = "../../etc"', ["name", "../../etc"]),
        ('trial_track = "fast"', ["trial_track", "fast", "idiomatic", "tuned"]),
        ("axes = 3", ["axes", "3"]),
        ("a = 1 2", ["not valid TOML", "line 1"]),
    ],
)
def test_a_mistake_is_named_with_its_value_and_what_is_allowed(tmp_path: Path, text: str, words: list[str]) -> None:
    with pytest.raises(SweepError) as caught:
        load_sweep(sweep_file(tmp_path, text))
    message = str(caught.value)
    assert [word for word in ["mine.toml", *words] if word not in message] == [], message


def test_all_mistakes_come_in_one_message(tmp_path: Path) -> None:
    with pytest.raises(SweepError) as caught:
        load_sweep(sweep_file(tmp_path, "[axes]\nepochs = 0\nseed = -1"))
    assert "axes.epochs" in str(caught.value)
    assert "axes.seed" in str(caught.value)


def test_files_that_are_no_sweeps(tmp_path: Path) -> None:
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\x80\x00\xff")
    for name, words in [(binary, "is not text"), (tmp_path, "is a folder"), ("nothing", "quick, standard, full")]:
        with pytest.raises(SweepError, match=words):
            load_sweep(name)


def test_set_replaces_an_axis_in_every_grid(tmp_path: Path) -> None:
    path = sweep_file(tmp_path, '[[grid]]\n[[grid]]\nbackend = "torch"\nlatent = "default"\n')
    sweep = load_sweep(path, ["latent=8,16", "corruption=blur(0..2) + uniform(0.1),masking(0.5)", "clip=false"])
    assert [grid["latent"] for grid in sweep.grids] == [[8, 16], ["default"]], (
        "networks with a code of their own keep it"
    )
    for grid in sweep.grids:
        assert grid["corruption"] == ["blur(0..2) + uniform(0.1)", "masking(0.5)"]
        assert grid["clip"] == [False]
    both = load_sweep(path, ["backend=keras[torch]", "batch-size=32", "timing.rounds=9"], device="mps")
    assert [grid["backend"] for grid in both.grids] == [["keras[torch]"]] * 2
    assert [grid["device"] for grid in both.grids] == [["mps"]] * 2
    assert both.timing.rounds == 9


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("epoch=5", "--set epoch: unknown axis .did you mean 'epochs'"),
        ("epochs", "must be axis=value"),
        ("epochs=", "must be axis=value"),
        ("epochs=many", "--set epochs: 'many' is not allowed"),
        ("timing.rounds=many", "--set timing.rounds = 'many'"),
        ("timing.speed=1", "--set timing.speed: unknown field"),
    ],
)
def test_set_is_validated_as_a_file_is(override: str, words: str) -> None:
    with pytest.raises(SweepError, match=words):
        load_sweep("quick", [override])


def test_shipped_sweeps_begin_with_the_quickest() -> None:
    assert shipped()[:3] == ["quick", "standard", "full"]
    for name in shipped():
        sweep = load_sweep(name)
        assert sweep.name == name
        assert sweep.description
