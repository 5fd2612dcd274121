"""Networks that were trained on patches, on images of any size: tiles, data, scores, and every backend."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fake_backend import Fake
from PIL import Image

from bench import corruption, datasets, quality, trial, whole
from bench.cells import TrialCell
from bench.datasets import DataError
from bench.estimate import trial_seconds
from bench.plan import make_plan
from bench.sweep import SweepError, load_sweep
from bench.yardsticks import YardstickBench, YardstickCell
from implementations import catalog, counter
from implementations.adapter import Setting, adapter_class, backends
from implementations.architecture import Architecture, SpecificationError
from implementations.parameters import generic
from implementations.reference import Reference
from implementations.training import Training
from results.scores import read_scores

ANY_SIZE = {"conv-latif": 28, "conv-small": 28, "strided": 28, "conv-residual(3,4)": 28}
INSTALLED = [name for name in backends() if not adapter_class(name).missing()]


def images(shape: tuple[int, ...], name: str) -> np.ndarray:
    return counter.uniform(shape, "test", name)


def reference(network: Architecture) -> Reference:
    return Reference(network, Training(), generic(network, 3))


def test_the_networks_that_take_any_size() -> None:
    fitting = {name for name in catalog.CATALOG if catalog.make(name, (28, 28, 1)).is_fully_convolutional}
    assert fitting == {"conv-latif", "conv-small", "strided", "conv-residual"}
    with pytest.raises(SpecificationError, match="its weights fit no others"):
        catalog.make("conv", (28, 28, 1)).resized(40, 40)


@pytest.mark.parametrize("name", ANY_SIZE)
def test_nothing_matters_beyond_the_reach(name: str) -> None:
    side = 156  # 8 * 20 - 4: fits all of them
    network = catalog.make(name, (side, side, 1))
    net = reference(network)
    image = images((1, side, side, 1), "image")
    before = net.reconstruct(image)
    image[0, 78, 78, 0] += 5.0
    rows, columns = np.nonzero(net.reconstruct(image)[0, :, :, 0] != before[0, :, :, 0])
    far = max(abs(rows - 78).max(), abs(columns - 78).max())
    assert 0 < far <= network.reach() < 78


@pytest.mark.parametrize("name", ANY_SIZE)
@pytest.mark.parametrize("shape", [(70, 51, 1), (11, 33, 1)])
def test_tiles_are_no_different_from_the_whole(
    name: str, shape: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One tile that holds the image against many that do not; the seams would show as differences."""
    network = catalog.make(name, (28, 28, 1))
    image = images(shape, "image")

    def denoised(core: int) -> np.ndarray:
        monkeypatch.setattr(whole, "CORE", core)
        asked = []
        tiled = whole.Tiled(network, lambda wanted: asked.append(wanted) or reference(wanted).reconstruct)
        done = tiled(image)
        assert len(asked) == 1  # one compilation, whatever the image
        return done

    at_once, in_parts = denoised(72), denoised(16)
    assert at_once.shape == image.shape
    assert in_parts == pytest.approx(at_once, abs=1e-13)


def test_borders_are_reflected_and_not_black() -> None:
    """A mean over 3x3 pixels, subtracted: a constant image comes back as 0, at its border too."""
    network = catalog.make("conv-residual(2,1)", (28, 28, 1))
    weights = generic(network, 0)
    for name in weights:
        weights[name][...] = 0
    weights["decoder.0.kernel"][...] = 1 / 9
    weights["decoder.1.kernel"][1, 1] = 1
    tiled = whole.Tiled(network, lambda wanted: Reference(wanted, Training(), weights).reconstruct)
    assert tiled(np.full((30, 17, 1), 0.7)) == pytest.approx(0, abs=1e-7)


# -- data ----------------------------------------------------------------------------------------------------------


def fill(folder: Path, count: int, size: tuple[int, int] = (60, 45), first: int = 0) -> None:
    """Colour noise of ``size`` (width, height), smooth enough to be a picture."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(first, first + count):
        pixels = (images((size[1], size[0], 3), f"file {index}") * 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{index:03}.png")


@pytest.fixture
def pictures(tmp_path: Path) -> str:
    """Three files to train on, two (of different sizes) to be scored whole."""
    fill(tmp_path / "data" / "train", 3)
    fill(tmp_path / "data" / "test", 1, (50, 70), first=10)
    fill(tmp_path / "data" / "test", 1, (33, 40), first=11)
    return f"folder:{tmp_path / 'data'}"


def test_photographs_as_they_are() -> None:
    gray, colour = (datasets.load_whole("photos", channels=channels) for channels in (1, 3))
    assert gray.names == ("chelsea.png", "rocket.jpg", "camera.png", "grass.png")
    assert colour.names == ("chelsea.png", "rocket.jpg")
    assert gray.read(0).shape == (300, 451, 1)
    assert colour.read(1).shape == (427, 640, 3)


def test_patches_of_photos_are_those_that_they_were() -> None:
    here = datasets.load_patches("photos", train=20, test=10, size=40)
    assert here.digest == datasets.load("photos", train=20, test=10, size=40).digest


@pytest.mark.parametrize("channels", [1, 3])
def test_patches_of_a_folder_are_parts_of_its_files(pictures: str, channels: int) -> None:
    data = datasets.load_patches(pictures, train=7, test=4, size=20, channels=channels)
    assert data.train.shape == (7, 20, 20, channels)
    root = Path(pictures.removeprefix("folder:"))
    mode = "RGB" if channels == 3 else "L"
    files = [np.asarray(Image.open(root / "train" / f"{number:03}.png").convert(mode)) for number in range(3)]
    for index, patch in enumerate(data.train):
        plane = files[index % 3].reshape(45, 60, channels)
        windows = np.lib.stride_tricks.sliding_window_view(plane, patch.shape)
        assert (windows.reshape(-1, patch.size) == patch.ravel()).all(1).any()
    again = datasets.load_patches(pictures, train=3, test=4, size=20, channels=channels)
    assert np.array_equal(again.train, data.train[:3])


def test_whole_images_of_a_folder_have_their_own_sizes(pictures: str) -> None:
    found = datasets.load_whole(pictures, channels=3)
    assert found.names == ("test/010.png", "test/011.png")
    assert [found.read(index).shape for index in range(2)] == [(70, 50, 3), (40, 33, 3)]


def test_folders_that_do_not_do(pictures: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no train image has 50x50 pixels"):
        datasets.load_patches(pictures, train=2, test=2, size=50)
    noted = datasets.load_patches(pictures, train=2, test=2, size=36).notes
    assert noted == ("test/011.png is smaller than 36x36 pixels: no patches are cut from it",)
    with pytest.raises(DataError, match=r"train=200000 is more than there is"):
        datasets.check_whole(pictures, train=200_000)
    (tmp_path / "data" / "test" / "011.png").unlink()
    for ask in (datasets.load_whole, datasets.check_whole):
        with pytest.raises(DataError, match=r"at least 2 test images in .*test, there is 1: add images"):
            ask(pictures)
    fill(tmp_path / "data" / "test", 1, (9, 40), first=12)
    with pytest.raises(DataError, match=r"there is 1: .*; test/012.png is left out: it has 9x40 pixels"):
        datasets.check_whole(pictures)
    fill(tmp_path / "data" / "test", 1, first=13)
    with pytest.raises(DataError, match="no train image has 64x64 pixels; choose a smaller size"):
        datasets.check_whole(pictures, size=64)


def test_files_that_can_not_be_scored_are_left_out_and_named(pictures: str, tmp_path: Path) -> None:
    """A header alone is no image: such a file was met after training."""
    content = (tmp_path / "data" / "test" / "010.png").read_bytes()
    for split in ("train", "test"):
        (tmp_path / "data" / split / "torn.png").write_bytes(content[: len(content) // 2])
    fill(tmp_path / "data" / "test", 1, (9, 40), first=12)
    found = datasets.load_whole(pictures)
    assert found.names == ("test/010.png", "test/011.png")
    notes = datasets.check_whole(pictures, size=20)
    assert [note.split(" ")[0] for note in notes] == ["test/torn.png", "train/torn.png", "test/012.png"]
    assert "could not be read" in notes[0]
    assert "9x40 pixels, scoring needs 11x11" in notes[2]
    data = datasets.load_patches(pictures, train=8, test=4, size=20)
    assert data.notes == notes
    plan = make_plan(load_sweep("whole", [f"dataset={pictures}", "size=20", "train=8", "test=4"]))
    assert plan.notes == tuple(f"{pictures}: {note}" for note in notes)


# -- sweeps --------------------------------------------------------------------------------------------------------


def test_what_can_not_be_whole_is_refused_before_anything_runs() -> None:
    with pytest.raises(
        SweepError, match=r"dense\(latent=64\).*allowed are conv-latif, conv-small, strided, conv-resid"
    ):
        make_plan(load_sweep("whole", ["architecture=dense"]))
    with pytest.raises(DataError, match="mnist, whose images have one size; allowed are photos and folder:PATH"):
        make_plan(load_sweep("whole", ["dataset=mnist", "size=28"]))
    with pytest.raises(SweepError, match="leave one of the two out"):
        make_plan(load_sweep("whole", ["cross_noise=true"]))


def test_the_shipped_sweep() -> None:
    plan = make_plan(load_sweep("whole"))
    assert {(c.backend, c.evaluate, c.latent) for c in plan.trials} == {
        ("keras[tensorflow]", "whole", None),
        ("torch", "whole", None),
    }
    assert {c.evaluate for c in plan.yardsticks} == {"whole"}
    assert {"identity", "nlm", "wavelet"} <= {c.method for c in plan.yardsticks}
    assert "linear" not in {c.method for c in plan.yardsticks}
    # One training is minutes on one core, and scoring four photographs no more than a small part of it.
    seconds = [trial_seconds(c) for c in plan.trials]
    assert all(120 < value < 1200 for value in seconds)
    patches = make_plan(load_sweep("whole", ["evaluate=patches", "test=2"]))
    assert all(0 < a - b < 60 for a, b in zip(seconds, [trial_seconds(c) for c in patches.trials], strict=True))


# -- trials --------------------------------------------------------------------------------------------------------


def cell_of(name: str, **axes: object) -> TrialCell:
    common = {"backend": "fake", "track": "tuned", "architecture": "conv-residual(2,2)", "height": 20, "width": 20}
    data = {"dataset": name, "train": 16, "test": 3, "corruption": "gaussian(0.2)", "clip": False, "epochs": 1}
    return TrialCell(**{**common, **data, "batch_size": 8, "evaluate": "whole", **axes})  # type: ignore[arg-type]


def test_a_trial_is_scored_on_whole_images(pictures: str, tmp_path: Path) -> None:
    adapter = Fake()
    adapter.configure(Setting())
    cell = cell_of(pictures, channels=3)
    record = trial.TrialBench(adapter).run(cell, tmp_path / "run")
    assert record["status"] == "ok", record["reason"]
    # By hand: the images, their noise, the trained network on the reflected image, at once.
    found = datasets.load_whole(pictures, channels=3)
    margin = cell.make_architecture().reach()
    psnr, noisy_psnr = [], []
    for index in range(2):
        clean = datasets.as_float(found.read(index))[None]
        noisy = corruption.corrupt(clean, "gaussian(0.2)", seed=0, split="test", clip=False, first=index)
        padded = np.pad(noisy[0], ((margin, margin), (margin, margin), (0, 0)), mode="reflect")
        network = cell.make_architecture().resized(*padded.shape[:2])
        done = Reference(network, Training(), adapter.weights()).reconstruct(padded[None])
        done = done[:, margin:-margin, margin:-margin].astype(np.float32)
        psnr.append(quality.score(done, clean).psnr[0])
        noisy_psnr.append(quality.score(noisy, clean).psnr[0])
    assert record["metrics"]["psnr"] == pytest.approx(np.mean(psnr), abs=1e-4)
    assert record["metrics"]["psnr_noisy"] == pytest.approx(np.mean(noisy_psnr), abs=1e-9)
    scores = read_scores([tmp_path / "run"], record["scores"])
    assert scores is not None
    assert scores[:, 0] == pytest.approx(psnr, abs=1e-4)
    assert "latent_size" not in record["metrics"]
    assert len(record["curve"]) == 1
    for path in record["pictures"].values():
        assert Image.open(tmp_path / "run" / path).size == (2 * 33, 33)

    # A yardstick is calibrated on the same patches and scored on the same noisy bytes.
    shared = {name: value for name, value in cell.axes().items() if name in YardstickCell.__dataclass_fields__}
    yardstick = YardstickBench().run(YardstickCell(**shared, method="identity"), tmp_path / "run")
    on_patches = trial.TrialBench(Fake())
    on_patches.adapter.configure(Setting())
    other = on_patches.run(cell_of("photos", evaluate="patches"), tmp_path / "run")
    assert other["hashes"].keys() == record["hashes"].keys()
    for name in ("data", "noisy", "noisy_test"):
        assert yardstick["hashes"][name] == record["hashes"][name]
    patches = trial.load_clean(cell)
    assert record["hashes"]["data"] != patches.digest  # not to be mistaken for scores of patches
    assert record["hashes"]["noisy"] != trial.corrupted(cell, patches).digest
    assert yardstick["metrics"]["psnr"] == pytest.approx(record["metrics"]["psnr_noisy"], abs=1e-12)
    scores = read_scores([tmp_path / "run"], yardstick["scores"])
    assert scores is not None
    assert len(scores) == 2


def test_training_goes_on_where_it_was_after_scoring_whole_images(pictures: str, tmp_path: Path) -> None:
    """The network for tiles is another one: the second trial needs no new build and is the same as alone."""
    adapter, alone = Fake(), Fake()
    for one in (adapter, alone):
        one.configure(Setting())
    bench = trial.TrialBench(adapter)
    bench.run(cell_of(pictures), tmp_path)
    second = bench.run(cell_of(pictures, seed=1), tmp_path)
    other = trial.TrialBench(alone).run(cell_of(pictures, seed=1), tmp_path)
    assert second["metrics"]["psnr"] == other["metrics"]["psnr"]
    assert adapter.architecture.input_shape == (20, 20, 1)


CHECK = """
import json, os, sys
backend = sys.argv[1]
from implementations.adapter import Setting, adapter_class
kind = adapter_class(backend)
os.environ.update(kind.environment(Setting()))
import numpy as np
from bench import whole
from bench.cells import TrialCell
from implementations import counter
from implementations.parameters import generic
from implementations.reference import Reference
adapter = kind()
adapter.configure(Setting())
found = {}
for architecture in ("conv-residual(3,4)", "strided"):
    cell = TrialCell(backend=backend, track="tuned", architecture=architecture, height=16, width=16, channels=3,
                     batch_size=4)
    network = cell.make_architecture()
    adapter.build(network, cell.make_training(), cell.track)
    weights = generic(network, 1)
    adapter.load_weights(weights)
    whole.CORE = 24
    image = counter.uniform((1, 45, 30, 3), "image").astype(np.float32)
    patch = image[:, :16, :16]
    before = adapter.reconstruct(patch)
    got = whole.trained(adapter, cell)(image)
    want = whole.Tiled(network, lambda n: Reference(n, cell.make_training(), weights).reconstruct)(image[0])
    found[architecture] = float(abs(got[0] - want).max())
    found["patch"] = float(abs(adapter.reconstruct(patch) - before).max())
print(json.dumps(found))
"""


@pytest.mark.parametrize("backend", INSTALLED)
def test_every_backend_computes_whole_images(backend: str) -> None:
    root = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", CHECK, backend], capture_output=True, text=True, cwd=root, env={**os.environ}
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.strip().splitlines()[-1])
    assert max(found["conv-residual(3,4)"], found["strided"]) < 5e-6
    assert found["patch"] == 0  # the network of the trial is still there


def test_the_report_says_that_images_were_whole() -> None:
    from report.naming import configuration_label, describe
    from report.quality import label_axes

    cell = cell_of("photos").axes()
    trials = [{"cell": cell}, {"cell": {**cell, "corruption": "blur(1)"}}]
    assert label_axes(trials, ["corruption", "evaluate", "test"]) == ("evaluate",)
    assert describe(cell, ["evaluate"]) == "whole images"
    assert label_axes([{"cell": {**cell, "evaluate": "patches"}}], ["corruption", "evaluate"]) == ()
    assert configuration_label(cell) == "conv-residual(2,2) (no code, MSE)"


def test_patches_of_the_validation_loss_are_not_taken_for_scored_images() -> None:
    from report.quality import _image_counts

    cell = cell_of("photos").axes()
    assert _image_counts([cell]) == ()
    assert _image_counts([cell, {**cell, "evaluate": "patches", "test": 7}]) == (7,)
