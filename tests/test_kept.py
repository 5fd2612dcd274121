"""What a run keeps beside its journal: scores and trained weights come back as they were, or with one message."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import fake_backend
import numpy as np
import pytest
import trained_networks
from safetensors.numpy import save_file

from bench import kept, runner
from bench.cells import TrialCell
from bench.quality import Scores
from bench.trained.found import RecordNotFound, find
from implementations import parameters
from results.journal import Journal, read_run_file, write_run_file
from results.loading import load_run
from results.scores import read_scores


def test_scores_come_back(tmp_path: Path) -> None:
    values = np.linspace(10, 30, 7)
    path = kept.save_scores(Scores(values, values / 40, values / 41, values * 0), tmp_path)
    found = read_scores([tmp_path], path)
    assert found is not None
    assert np.allclose(found, np.stack([values, values / 40], axis=1))
    assert np.load(tmp_path / path).dtype == np.float32
    np.save(tmp_path / "other.npy", np.zeros((3, 5)))
    assert read_scores([tmp_path], "other.npy") is None


@pytest.mark.parametrize("channels", [1, 3])
def test_weights_come_back_with_what_loading_needs(tmp_path: Path, channels: int) -> None:
    point = trained_networks.cell("conv", channels=channels)
    network = point.make_architecture()
    weights = parameters.generic(network, 1)
    path = kept.save_weights(weights, kept.about_weights(point, network), tmp_path)
    assert path == kept.save_weights(weights, kept.about_weights(point, network), tmp_path), "named by its content"
    found, about = kept.load_weights(tmp_path / path)
    assert found.keys() == weights.keys()
    assert all(np.array_equal(found[name], value) for name, value in weights.items())
    assert about["architecture"] == network.digest()
    assert about["colour"] == {1: "gray", 3: "rgb"}[channels]
    assert "1 is white" in about["values"]
    assert TrialCell.from_axes(json.loads(about["cell"])) == point
    kept.check_weights(tmp_path / path, found, about, network)


def _missing(weights: Any, about: Any) -> None:
    del weights["encoder.0.kernel"]


def _reshaped(weights: Any, about: Any) -> None:
    weights["encoder.0.bias"] = weights["encoder.0.bias"][:-1].copy()


def _more(weights: Any, about: Any) -> None:
    weights["encoder.9.bias"] = np.zeros(1, np.float32)


def _infinite(weights: Any, about: Any) -> None:
    weights["encoder.0.bias"][0] = np.inf


def _other_network(weights: Any, about: Any) -> None:
    about["architecture"] = "0" * 16


def _other_format(weights: Any, about: Any) -> None:
    about["format"] = "daebench weights 2"


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_missing, ["encoder.0.kernel", "missing", "(3, 3, 1, 16)"]),
        (_reshaped, ["encoder.0.bias", "(15,)", "(16,)"]),
        (_more, ["encoder.9.bias", "no such weights"]),
        (_infinite, ["encoder.0.bias", "not finite"]),
        (_other_network, ["another network", "train again"]),
        (_other_format, ["daebench weights 2", "daebench weights 1"]),
    ],
)
def test_weights_of_another_network_are_refused(tmp_path: Path, damage: Any, words: list[str]) -> None:
    (record,) = trained_networks.make_run(tmp_path, trained_networks.cell("conv"))
    path = tmp_path / record["weights"]
    weights, about = kept.load_weights(path)
    damage(weights, about)
    save_file(weights, path, metadata={kept.ABOUT: json.dumps(about)})
    with pytest.raises(kept.WeightsError) as error:
        find(record["id"], [tmp_path])
    assert [word for word in [str(path), *words] if word not in str(error.value)] == []
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"\x80\x04not a safetensors file", os.urandom(2000)])
def test_damaged_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(kept.WeightsError, match="no safetensors file"):
        kept.load_weights(path)
    with pytest.raises(kept.WeightsError, match="missing"):
        kept.load_weights(tmp_path / "nothing.safetensors")


# -- by the id of a record -----------------------------------------------------------------------------------------


def test_a_network_is_found_by_the_beginning_of_its_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    here, published = Path("results/mine"), Path("results/published/theirs")
    (record,) = trained_networks.make_run(here, trained_networks.cell("conv"))
    (other,) = trained_networks.make_run(published, trained_networks.cell("dense"))
    (tmp_path / "results" / "broken").mkdir()
    (tmp_path / "results" / "broken" / "records.jsonl").write_text("no JSON\n{}\n")
    found = find(record["id"][:8])
    assert (found.folder, found.record["id"]) == (here, record["id"])
    assert found.name == f"conv-{record['id'][:8]}"
    assert found.cell == trained_networks.cell("conv")
    assert find(other["id"]).cell.architecture == "dense"
    with pytest.raises(RecordNotFound, match=f"trials with weights there: {record['id'][:16]}"):
        find(other["id"], [here])


def test_ids_that_say_too_little_or_name_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecordNotFound, match=r"no run in .*results; say with --run"):
        find("abcd")
    with pytest.raises(RecordNotFound, match="--run nowhere: there is no run"):
        find("abcd", [Path("nowhere")])
    folder = tmp_path / "run"
    points = [trained_networks.cell("dense", seed=seed) for seed in range(3)]
    records = trained_networks.make_run(folder, *points)
    with pytest.raises(RecordNotFound, match="at least 4 characters"):
        find(records[0]["id"][:3], [folder])
    monkeypatch.setattr("bench.trained.found.LEAST", 0)
    with pytest.raises(RecordNotFound, match="give more of its id"):
        find("", [folder])


NOW, LATER = "2026-03-01T10:00:01Z", "2026-03-02T10:00:01Z"


def same_cell(folder: Path, *made: tuple[str, str], contents: str | None = None) -> list[str]:
    """A run with a trained network of one cell for each (hash of its images, start); their ids.  ``contents``: what
    its folder of images held last."""
    point = trained_networks.cell("conv", dataset="folder:mine")
    rest = [{"fingerprint": f"{'ab' * 8}.{images}", "started": started} for images, started in made]
    first = trained_networks.make_run(folder, point, **rest[0])
    with Journal(folder) as journal:
        for other in rest[1:]:
            journal.append(trained_networks.record(point, weights=first[0]["weights"], **other))
        if contents is not None:
            about = read_run_file(folder)
            write_run_file(folder, {**about, "contents": {"folder:mine": contents}})
        return [record["id"] for record in journal.records]


def test_networks_of_one_cell_and_other_images_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    here, there = Path("results/mine"), Path("results/again")
    (one,), (two,) = same_cell(here, ("a" * 16, NOW)), same_cell(there, ("b" * 16, LATER))
    short = one[:16]
    assert two.startswith(short)
    with pytest.raises(RecordNotFound) as error:
        find(short)
    said = str(error.value)
    assert "\n" not in said
    for word in (f"{one} (in {here})", f"{two} (in {there})", "whole id", "--run DIR"):
        assert word in said
    assert [find(identity).folder for identity in (one, two)] == [here, there]
    assert [find(short, [folder]).record["id"] for folder in (here, there)] == [one, two]
    # A published run comes without its weights: it is no choice.
    for path in (there / "weights").iterdir():
        path.unlink()
    assert find(short).record["id"] == one
    with pytest.raises(kept.WeightsError, match="is missing"):
        find(two)


def test_of_one_cell_that_is_taken_which_its_run_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of images that changed and changed back: the newest record is not the one of what it holds now."""
    monkeypatch.chdir(tmp_path)
    back, on = Path("results/back"), Path("results/on")
    ids = same_cell(back, ("a" * 16, NOW), ("b" * 16, LATER), contents="a" * 16)
    assert find(ids[0][:16]).record["id"] == ids[0]
    assert find(ids[1]).record["id"] == ids[1]
    shutil.rmtree(back)
    ids = same_cell(on, ("a" * 16, NOW), ("b" * 16, LATER), contents="b" * 16)
    assert find(ids[0][:16]).record["id"] == ids[1]
    # What can not be read as a run can say nothing of its records.
    (on / "run.json").unlink()
    with pytest.raises(RecordNotFound, match=f"may be any of {ids[0]}"):
        find(ids[0][:16])


def test_of_one_id_the_newest_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that was begun anew lies beside the one before."""
    monkeypatch.chdir(tmp_path)
    (one,) = same_cell(Path("results/new"), ("a" * 16, LATER))
    assert same_cell(Path("results/new.20260301T100001Z"), ("a" * 16, NOW)) == [one]
    assert find(one[:16]).folder == Path("results/new")


def test_trials_without_weights_say_how_to_get_them(tmp_path: Path) -> None:
    point = trained_networks.cell("conv")
    failed = trained_networks.cell("conv", seed=1)
    bare = trained_networks.record(point)
    diverged = trained_networks.record(failed, status="diverged", reason="the loss is nan")
    with Journal(tmp_path) as journal:
        journal.append(bare)
        journal.append({name: value for name, value in diverged.items() if name != "metrics"})
    with pytest.raises(RecordNotFound, match="--set keep_weights=true"):
        find(bare["id"], [tmp_path])
    with pytest.raises(RecordNotFound, match="ended as diverged: the loss is nan"):
        find(diverged["id"], [tmp_path])
    with pytest.raises(RecordNotFound, match="no trial there has kept its weights"):
        find("ffffffff", [tmp_path])


def test_a_run_keeps_what_it_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through worker, journal and file: the network computes the scores that stand in its record."""
    from bench import quality
    from bench.plan import Plan, certificate_for
    from bench.trained.compute import Computer
    from bench.trial import corrupted, load_clean

    for name, value in fake_backend.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DAEBENCH_CACHE", str(tmp_path / "cache"))
    point = trained_networks.cell(
        "dense", backend="fake", latent=4, train=64, test=12, epochs=2, track="idiomatic", batch_size=32
    )
    plan = Plan("test", "", {}, (certificate_for(point),), (point,), (), ())
    assert runner.run(plan, tmp_path / "run", runner.Options(progress=False, jobs=1)).counts == {"ok": 2}
    (record,) = load_run(tmp_path / "run").of("trial")
    found = find(record["id"], [tmp_path / "run"])
    clean = load_clean(point)
    noisy = corrupted(point, clean)
    denoised = Computer(found, "reference", 1).denoiser(found.architecture)(noisy.test)
    again = quality.score(denoised.astype(np.float32), clean.test)
    assert again.psnr.mean() == pytest.approx(record["metrics"]["psnr"], abs=1e-4)
    kept_scores = read_scores([tmp_path / "run"], record["scores"])
    assert kept_scores is not None
    assert np.allclose(kept_scores[:, 0], again.psnr, atol=1e-3)
