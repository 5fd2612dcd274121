"""Trained networks in other forms: loaded back by what reads them natively, they compute the same."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trained_networks

from bench import cli
from bench.trained import as_keras, as_npz, as_onnx, as_torch, export, sizes
from bench.trained.compute import Computer
from implementations import catalog
from implementations.architecture import (
    Architecture,
    BatchNorm,
    Conv2D,
    Conv2DTranspose,
    Crop2D,
    Dense,
    Flatten,
    LeakyReLU,
    MaxPool2D,
    Reshape,
    SpecificationError,
    UpSampling2D,
)

NETWORKS = [
    ("dense", 12, 1),
    ("conv", 13, 1),
    ("conv", 12, 3),
    ("bn", 28, 1),
    ("bn-frozen", 20, 3),
    ("strided", 16, 1),
    ("conv-small", 28, 1),
    ("conv-latif", 12, 3),
    ("conv-residual(3,8)", 12, 1),
    ("conv-residual(3,8)", 11, 3),
]
LABELS = [f"{name} {size}x{size}x{channels}" for name, size, channels in NETWORKS]


def images(count: int, size: int, channels: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).random((count, size, size, channels), np.float32)


def expected(name: str, size: int, channels: int, noisy: Any, backend: str = "torch") -> Any:
    """What the adapter computes."""
    one = trained_networks.trained(trained_networks.cell(name, size, channels))
    return Computer(one, backend, 1).denoiser(one.architecture)(noisy)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """(form, network) -> the file; each is written once, and was compared by export() itself."""
    folder = tmp_path_factory.mktemp("exports")

    def make(form: Any, number: int) -> Path:
        name, size, channels = NETWORKS[number]
        path = folder / f"net{number}{export.SUFFIX[form]}"
        if not path.exists():
            one = trained_networks.trained(trained_networks.cell(name, size, channels))
            files, deviation = export.export(one, form, path)
            assert all(file.is_file() for file in files)
            assert deviation is not None
            assert deviation < 1e-5
        return path

    return make


@pytest.mark.parametrize("number", range(len(NETWORKS)), ids=LABELS)
def test_npz(made: Any, number: int) -> None:
    from implementations.reference import Reference
    from implementations.training import Training

    name, size, channels = NETWORKS[number]
    with np.load(made("npz", number), allow_pickle=False) as file:
        layers = json.loads(str(file["architecture"]))
        weights = {key: file[key] for key in file.files if key not in ("architecture", "about")}
        assert json.loads(str(file["about"]))["cell"]["architecture"] == name
    network = as_npz.from_json(layers)
    assert network.digest() == trained_networks.cell(name, size, channels).make_architecture().digest()
    noisy = images(3, size, channels)
    denoised = Reference(network, Training(), weights).reconstruct(noisy)
    assert np.abs(denoised - expected(name, size, channels, noisy)).max() < 1e-5


@pytest.mark.parametrize("number", range(len(NETWORKS)), ids=LABELS)
def test_onnx_by_onnxruntime_with_any_batch(made: Any, number: int) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    name, size, channels = NETWORKS[number]
    session = onnxruntime.InferenceSession(made("onnx", number), providers=["CPUExecutionProvider"])
    for count in (1, 5):
        noisy = images(count, size, channels, count)
        (denoised,) = session.run(None, {as_onnx.INPUT: noisy})
        assert denoised.dtype == np.float32
        assert np.abs(denoised - expected(name, size, channels, noisy)).max() < 1e-5


@pytest.mark.parametrize("number", range(len(NETWORKS)), ids=LABELS)
def test_torch_module(made: Any, number: int) -> None:
    name, size, channels = NETWORKS[number]
    noisy = images(3, size, channels)
    path = made("torch", number)
    assert np.abs(as_torch.run(path, noisy) - expected(name, size, channels, noisy)).max() < 1e-5
    text = path.read_text()
    assert "pickle" not in text
    assert "torch.load" not in text
    assert "import bench" not in text


def test_torch_modules_are_read_without_daebench(made: Any, tmp_path: Path) -> None:
    """A process of its own, in the folder of the exports, from which neither bench nor implementations can be seen."""
    folder = made("torch", 0).parent
    cases = {}
    for number, (name, size, channels) in enumerate(NETWORKS):
        made("torch", number)
        noisy = images(2, size, channels)
        cases[f"noisy{number}"] = noisy.transpose(0, 3, 1, 2)
        cases[f"denoised{number}"] = expected(name, size, channels, noisy).transpose(0, 3, 1, 2)
    np.savez(tmp_path / "cases.npz", **cases)
    script = """
import importlib, sys
sys.modules["bench"] = sys.modules["implementations"] = None
import numpy as np, torch
cases = np.load(sys.argv[1])
for number in range(int(sys.argv[2])):
    network = importlib.import_module(f"net{number}").load()
    with torch.inference_mode():
        denoised = network(torch.from_numpy(cases[f"noisy{number}"])).numpy()
    print(float(np.abs(denoised - cases[f"denoised{number}"]).max()))
"""
    command = [sys.executable, "-c", script, str(tmp_path / "cases.npz"), str(len(NETWORKS))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stderr
    deviations = [float(line) for line in done.stdout.split()]
    assert len(deviations) == len(NETWORKS)
    assert max(deviations) < 1e-5


KERAS = """
import os, sys
sys.modules["bench"] = sys.modules["implementations"] = None
os.environ["KERAS_BACKEND"] = sys.argv[3]
import keras, numpy as np
cases = np.load(sys.argv[1])
for number in range(int(sys.argv[2])):
    model = keras.saving.load_model(f"net{number}.keras")
    assert all(type(layer).__module__.startswith("keras.") for layer in model.layers), model.layers
    denoised = model.predict(cases[f"noisy{number}"], verbose=0)
    print(float(np.abs(denoised - cases[f"denoised{number}"]).max()))
"""


@pytest.mark.parametrize("engine", ["tensorflow", "torch"])
def test_keras_opens_its_files_without_daebench(made: Any, tmp_path: Path, engine: str) -> None:
    """Written on whatever engine this process has, read on each."""
    cases = {}
    for number, (name, size, channels) in enumerate(NETWORKS):
        path = made("keras", number)
        noisy = images(9, size, channels)
        cases[f"noisy{number}"], cases[f"denoised{number}"] = noisy, expected(name, size, channels, noisy)
        with zipfile.ZipFile(path) as archive:
            assert sorted(archive.namelist()) == ["config.json", "daebench.json", "metadata.json", "model.weights.h5"]
    np.savez(tmp_path / "cases.npz", **cases)
    command = [sys.executable, "-c", KERAS, str(tmp_path / "cases.npz"), str(len(NETWORKS)), engine]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=path.parent)
    assert done.returncode == 0, done.stderr
    deviations = [float(line) for line in done.stdout.split()]
    assert len(deviations) == len(NETWORKS)
    assert max(deviations) < 1e-5


@pytest.mark.parametrize(("name", "step"), [("strided", 4), ("conv-latif", 4), ("conv-residual(3,8)", 1)])
def test_fully_convolutional_exports_take_other_sizes(tmp_path: Path, name: str, step: int) -> None:
    pytest.importorskip("onnxruntime")
    one = trained_networks.trained(trained_networks.cell(name, 16))
    noisy = np.random.default_rng(5).random((2, 5 * step, 9 * step, 1), np.float32)
    wanted = Computer(one, "torch", 1).denoiser(one.architecture.resized(5 * step, 9 * step))(noisy)
    export.export(one, "onnx", tmp_path / "net.onnx")
    export.export(one, "torch", tmp_path / "net.py")
    assert np.abs(as_onnx.run(tmp_path / "net.onnx", noisy) - wanted).max() < 1e-5
    assert np.abs(as_torch.run(tmp_path / "net.py", noisy) - wanted).max() < 1e-5
    said = "any size" if step == 1 else f"a multiple of {step}"
    assert said in (tmp_path / "net.py").read_text()


@pytest.mark.parametrize(("name", "step"), [("strided", 4), ("conv-latif", 4), ("conv-residual(3,8)", 1)])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_fully_convolutional_keras_file_takes_other_sizes(
    tmp_path: Path, name: str, step: int, channels: int
) -> None:
    """It was fixed to the size of its training, where the other forms took any."""
    one = trained_networks.trained(trained_networks.cell(name, 16, channels))
    noisy = np.random.default_rng(5).random((2, 5 * step, 9 * step, channels), np.float32)
    wanted = Computer(one, "reference", 1).denoiser(one.architecture.resized(5 * step, 9 * step))(noisy)
    export.export(one, "keras", tmp_path / "net.keras")
    assert np.abs(as_keras.run(tmp_path / "net.keras", noisy) - wanted).max() < 1e-5


def test_a_keras_file_of_one_size_says_so_in_its_input(tmp_path: Path) -> None:
    inputs = {}
    for name in ("conv", "conv-latif"):
        export.export(trained_networks.trained(trained_networks.cell(name, 12)), "keras", tmp_path / f"{name}.keras")
        with zipfile.ZipFile(tmp_path / f"{name}.keras") as archive:
            inputs[name] = json.loads(archive.read("config.json"))["config"]["layers"][0]["config"]["batch_shape"]
    assert inputs == {"conv": [None, 12, 12, 1], "conv-latif": [None, None, None, 1]}


SAID = {
    "conv": ("float32 (n, 12, 12, 3), channels last, red, green, blue", "so is what comes back", "12x12 pixels"),
    "conv-residual(3,8)": ("float32 (n, height, width, 3), channels last", "clip it to [0, 1]", "any size"),
}


@pytest.mark.parametrize("name", SAID)
def test_every_form_says_in_the_file_what_to_give_it(tmp_path: Path, name: str) -> None:
    """Layout, range and sizes, where the format keeps such things."""
    onnx = pytest.importorskip("onnx")
    one = trained_networks.trained(trained_networks.cell(name, 12, 3))
    paths = {form: tmp_path / f"net{export.SUFFIX[form]}" for form in export.FORMS}
    for form, path in paths.items():
        export.export(one, form, path)
    model = onnx.load(paths["onnx"])
    with zipfile.ZipFile(paths["keras"]) as archive, np.load(paths["npz"], allow_pickle=False) as arrays:
        facts = {
            "keras": json.loads(archive.read("daebench.json")),
            "onnx": {entry.key: entry.value for entry in model.metadata_props},
            "npz": json.loads(str(arrays["about"])),
        }
    wanted = SAID[name]
    for form, found in facts.items():
        assert found["layout"] == "NHWC", form
        assert [words for words in wanted if words not in f"{found['input']} {found['range']} {found['sizes']}"] == []
        assert "0 is black, 1 is white" in found["range"]
        assert (found["record"], found["network"]) == (one.identity, one.sentence)
    assert [words for words in wanted if words not in model.doc_string] == []
    text = paths["torch"].read_text()
    last, *others = wanted
    first = last.replace("(n, 12, 12, 3)", "(n, 3, 12, 12)").replace("(n, height, width, 3)", "(n, 3, height, width)")
    assert [words for words in (first.replace("channels last", "channels first"), *others) if words not in text] == []


FITTING = {
    "strided": "a multiple of 4 (4, 8, 12, ...)",
    "conv-latif": "a multiple of 4 (4, 8, 12, ...)",
    "conv-small": "8k + 4 (4, 12, 20, ...)",
    "conv-residual(3,8)": "any size",
}
"""What is said of fully convolutional networks."""


@pytest.mark.parametrize("name", FITTING)
def test_fully_convolutional_exports_say_which_sizes_come_back(tmp_path: Path, name: str) -> None:
    """Of every size whether it comes back as it went in, asked of the files themselves."""
    pytest.importorskip("onnxruntime")
    one = trained_networks.trained(trained_networks.cell(name, 12))
    export.export(one, "onnx", tmp_path / "net.onnx")
    export.export(one, "torch", tmp_path / "net.py")
    assert FITTING[name] in (tmp_path / "net.py").read_text()
    told = sizes.kept(one.architecture)
    for side in range(4, 34):
        noisy = np.random.default_rng(side).random((1, side, 12, 1), np.float32)
        turned = np.ascontiguousarray(noisy.transpose(0, 2, 1, 3))
        fits = side >= told.least and (side - told.least) % told.step == 0
        for found in (as_onnx.run(tmp_path / "net.onnx", noisy), as_torch.run(tmp_path / "net.py", noisy)):
            assert (found.shape == noisy.shape) == fits, side
        assert (as_torch.run(tmp_path / "net.py", turned).shape == turned.shape) == fits, side


@pytest.mark.parametrize("name", catalog.CATALOG)
def test_what_is_said_of_sizes_is_what_the_architecture_does(name: str) -> None:
    network = catalog.make(name, (28, 28, 1))
    if not network.is_fully_convolutional:
        assert sizes.sentence(network) == "The size is fixed: 28x28 pixels."
        with pytest.raises(SpecificationError, match="made for 28x28x1 images"):
            sizes.kept(network)
        return
    told = sizes.kept(network)
    for side in range(1, 200):
        try:
            comes_back = bool(network.resized(side, 28))
        except SpecificationError:
            comes_back = False
        assert comes_back == (side >= told.least and (side - told.least) % told.step == 0), side


def test_the_smallest_size_is_what_the_layers_can_take() -> None:
    inner = (Conv2D(2, kernel=5, padding="valid"), Conv2DTranspose(1, kernel=5, padding="valid", activation="sigmoid"))
    plain = Architecture("plain", (9, 9, 1), (), inner)
    assert sizes.sentence(plain) == "Images may have any size from 5x5 pixels."
    halved = Architecture("halved", (16, 16, 1), (Conv2D(2, stride=2),), (UpSampling2D(), *inner))
    assert str(sizes.kept(halved)) == "a multiple of 2 (6, 8, 10, ...)"


def test_an_onnx_file_promises_no_size_that_does_not_come_back(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")

    def ends(name: str) -> list[list[Any]]:
        one = trained_networks.trained(trained_networks.cell(name, 12))
        export.export(one, "onnx", tmp_path / "net.onnx")
        graph = onnx.load(tmp_path / "net.onnx").graph
        assert sizes.sentence(one.architecture) in graph.doc_string
        both = (*graph.input, *graph.output)
        return [[dim.dim_param or dim.dim_value for dim in end.type.tensor_type.shape.dim] for end in both]

    assert ends("conv") == [["batch", 12, 12, 1]] * 2
    assert ends("conv-residual(3,8)") == [["batch", "height", "width", 1]] * 2
    given, back = ends("conv-small")
    assert given == ["batch", "height", "width", 1]
    assert (back[0], back[3]) == ("batch", 1)
    assert not set(given[1:3]) & set(back[1:3])


ODD = Architecture(
    "odd",
    (13, 11, 2),
    encoder=(
        Conv2D(4, kernel=4, activation="relu"),
        Conv2D(5, kernel=5, stride=3),
        LeakyReLU(),
        BatchNorm(),
        MaxPool2D(3, padding="same"),
        Flatten(),
        Dense(7),
    ),
    decoder=(
        Dense(12, "relu"),
        Reshape((2, 2, 3)),
        Conv2DTranspose(4, kernel=2, stride=3),
        Conv2DTranspose(4, kernel=5, stride=1, activation="relu"),
        Conv2DTranspose(4, kernel=4, stride=1, padding="valid"),
        UpSampling2D(3),
        Conv2D(2, kernel=2, padding="valid"),
        Crop2D(13, 11),
        Conv2D(2, kernel=1, activation="sigmoid"),
    ),
)


@pytest.mark.parametrize("form", ["onnx", "torch", "npz"])
def test_every_layer_and_every_oddity(tmp_path: Path, form: Any) -> None:
    """Even kernels, ragged strides and windows, kernels smaller than their stride."""
    from dataclasses import replace

    from implementations import parameters
    from implementations.reference import Reference
    from implementations.training import Training

    one = trained_networks.trained(trained_networks.cell("dense"))
    one = replace(one, architecture=ODD, weights=parameters.generic(ODD, 2))
    path = tmp_path / f"odd{export.SUFFIX[form]}"
    _, deviation = export.export(one, form, path)
    assert deviation is not None
    noisy = np.random.default_rng(1).random((3, 13, 11, 2), np.float32)
    wanted = Reference(ODD, Training(), one.weights).reconstruct(noisy)
    assert np.abs(export._runs()[form](path, noisy) - wanted).max() < 1e-5


def test_an_export_that_computes_something_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = trained_networks.trained(trained_networks.cell("dense"))
    monkeypatch.setattr(as_torch, "source", lambda *a, _real=as_torch.source: _real(*a).replace("F.relu", "F.gelu"))
    with pytest.raises(export.FormError, match=r"is not written: .*computes something else"):
        export.export(one, "torch", tmp_path / "net.py")


# -- the command ---------------------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, str]:
    monkeypatch.chdir(tmp_path)
    folder = Path("results/mine")
    (record,) = trained_networks.make_run(folder, trained_networks.cell("conv", latent=8))
    return folder, record["id"]


@pytest.mark.parametrize("form", export.FORMS)
def test_export_to_writes_and_says_what(run: Any, capsys: pytest.CaptureFixture[str], form: str) -> None:
    _, identity = run
    assert cli.main(["export", identity[:10], "--to", form]) == 0
    said = capsys.readouterr().out
    assert "conv with a code of 8" in said
    assert "largest deviation" in said
    name = f"conv-8-{identity[:8]}" if form != "torch" else f"conv_8_{identity[:8]}"
    assert Path(name + export.SUFFIX[form]).is_file()
    assert name in said
    loading = [line for line in said.splitlines() if line.startswith(("load it: ", "give it: ", "sizes: "))]
    assert len(loading) == 3
    assert ("channels first" if form == "torch" else "channels last") in loading[1]
    assert "0 is black, 1 is white" in loading[1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["export", "ID"], ["--to", "--format"]),
        (["export", "ID", "--to", "onnx", "--format", "bencher"], ["--to", "--format", "not both"]),
        (["export", "ID", "--to", "onxx"], ["--to 'onxx'", "did you mean 'onnx'?"]),
        (["export", "ffffffff", "--to", "npz"], ["'ffffffff'", "trials with weights there"]),
        (["export", "results/mine", "--to", "npz"], ["run folder", "--format"]),
        (["export", "ID", "--to", "npz", "--run", "elsewhere"], ["--run elsewhere", "no run"]),
        (["export", "results/mine", "--format", "bencher", "--run", "results/mine"], ["--run", "--to"]),
        (["export", "ID", "--to", "npz", "-o", "x.onnx"], ["x.onnx", ".npz"]),
        (["export", "ID", "--to", "npz", "-o", "no/x.npz"], ["no/x.npz", "no folder"]),
        (["export", "ID", "--to", "npz", "-o", "-"], ["--output -", "file"]),
        (["export", "ID", "--to", "torch", "-o", "my-net.py"], ["my-net", "module"]),
    ],
)
def test_mistakes(run: Any, capsys: pytest.CaptureFixture[str], arguments: list[str], words: list[str]) -> None:
    _, identity = run
    assert cli.main([identity if word == "ID" else word for word in arguments]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert [word for word in words if word not in line] == [], line


def test_missing_weights_get_one_message(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    folder, identity = run
    for path in (folder / "weights").iterdir():
        path.unlink()
    assert cli.main(["export", identity, "--to", "npz"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "is missing" in line
