"""Files of exports: what a record says does not run, and what stood in their places stays until they are good."""

from __future__ import annotations

import ast
import errno
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trained_networks
from safetensors import safe_open

from bench import cli
from bench.trained import as_keras, as_npz, as_onnx, as_torch, export

# -- the texts of a record -----------------------------------------------------------------------------------------

HOSTILE = [
    'x"""\nimport os\nos.environ["DAEBENCH_TEST_OPENED"] = "1"\n"""',
    '"""',
    'ends in a quote"',
    "ends in a backslash\\",
    "\\",
    "C:\\xyz\\Users\\N{DIGIT ONE}\\101",
    "two\nlines\r\x0c\u2028and \x1b[31m\u202ered\x00",
    "not UTF-8: \udcff",
    "{sentence} {0} %s",
    "Köpfe, 顔",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("form", ["torch", "onnx", "npz"])
def test_no_text_of_a_record_becomes_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: Any, text: str
) -> None:
    """A record may be somebody else's, and the module is run: whatever it says stays in the docstring."""
    monkeypatch.delenv("DAEBENCH_TEST_OPENED", raising=False)
    plain = trained_networks.trained(trained_networks.cell("conv", latent=4))
    one = replace(plain, record={**plain.record, "id": text})
    one = replace(one, cell=replace(one.cell, dataset=text, corruption=text, backend=text))
    (path, *beside), deviation = export.export(one, form, tmp_path / f"net{export.SUFFIX[form]}")
    assert deviation is not None
    assert "DAEBENCH_TEST_OPENED" not in os.environ
    if form == "torch":
        first, *code = ast.parse(path.read_text(encoding="utf-8")).body
        _, *wanted = ast.parse(as_torch.source(plain, "net")).body
        assert [ast.dump(part) for part in code] == [ast.dump(part) for part in wanted]
        assert isinstance(first, ast.Expr)
        assert isinstance(first.value, ast.Constant)
        lines = str(first.value.value).splitlines()
        assert (lines[0], lines[-1]) == (f"{one.sentence}.", f"Written by daebench; record {one.identity}.")
        with safe_open(beside[0], framework="numpy") as file:
            assert file.metadata() == {"record": one.identity, "network": one.sentence}
    kept_text = text.isprintable()
    assert (text in one.sentence) == kept_text, "what can be read is left as it is"
    assert one.sentence.isprintable()
    one.sentence.encode("utf-8")


@pytest.mark.parametrize("identity", ["../../../x-0", "/tmp/abcdef", "a\nb\x00c\udcffd"])
def test_no_record_chooses_the_folder_that_is_written_to(identity: str) -> None:
    one = trained_networks.trained(trained_networks.cell("conv", latent=4))
    one = replace(one, record={**one.record, "id": identity})
    for form in export.FORMS:
        path = export.default_path(one, form)
        assert path.name == str(path)
        assert str(path).isprintable()


def test_a_record_of_somebody_else_is_exported_and_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DAEBENCH_TEST_OPENED", raising=False)
    folder = Path("results/theirs")
    (record,) = trained_networks.make_run(folder, trained_networks.cell("dense"))
    record["cell"]["dataset"] = f"folder:{HOSTILE[0]}"
    (folder / "records.jsonl").write_text(json.dumps(record) + "\n")
    assert cli.main(["export", record["id"], "--to", "torch", "-o", "net.py"]) == 0
    assert "DAEBENCH_TEST_OPENED" not in os.environ
    said = capsys.readouterr().out
    assert '"""\\nimport os\\n' in said, "on one line, with what can not be printed as escapes"


# -- what is written -----------------------------------------------------------------------------------------------


@pytest.fixture
def earlier(tmp_path: Path) -> Any:
    """(form) -> where to export to, when good files stand there; (None) -> what stands in the folder now."""
    names = [f"net{suffix}" for suffix in (*export.SUFFIX.values(), ".safetensors")]
    for name in names:
        (tmp_path / name).write_text(f"earlier {name}")

    def at(form: Any) -> Any:
        if form is not None:
            return tmp_path / f"net{export.SUFFIX[form]}"
        return {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    return at


@pytest.mark.parametrize("form", export.FORMS)
def test_an_export_that_computes_something_else_is_not_put_in_place(
    earlier: Any, monkeypatch: pytest.MonkeyPatch, form: Any
) -> None:
    before = earlier(None)
    one = trained_networks.trained(trained_networks.cell("dense"))
    monkeypatch.setattr(export, "_expected", lambda *a, _real=export._expected: _real(*a) + 0.5)
    with pytest.raises(export.FormError, match=r"is not written: what came of it computes something else, up to 0\.5"):
        export.export(one, form, earlier(form))
    assert earlier(None) == before, "and nothing is left beside it"


@pytest.mark.parametrize("form", export.FORMS)
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()], ids=["full disk", "interrupt"])
def test_an_export_that_breaks_off_leaves_what_was_there(
    earlier: Any, monkeypatch: pytest.MonkeyPatch, form: Any, error: BaseException
) -> None:
    before = earlier(None)

    def half(trained: Any, path: Path, *_: Any) -> None:
        path.write_bytes(b"half")
        path.with_suffix(".safetensors").write_bytes(b"half")
        raise error

    monkeypatch.setattr({"keras": as_keras, "torch": as_torch, "onnx": as_onnx, "npz": as_npz}[form], "write", half)
    with pytest.raises(type(error)):
        export.export(trained_networks.trained(trained_networks.cell("dense")), form, earlier(form))
    assert earlier(None) == before


@pytest.mark.parametrize("form", export.FORMS)
def test_an_export_takes_the_place_of_an_earlier_one(earlier: Any, form: Any) -> None:
    before = earlier(None)
    files, _ = export.export(trained_networks.trained(trained_networks.cell("dense")), form, earlier(form))
    after = earlier(None)
    assert after.keys() == before.keys(), "no draft is left"
    assert {name for name in after if after[name] != before[name]} == {file.name for file in files}


def test_a_module_is_not_put_in_place_without_its_weights(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("earlier")
    (tmp_path / "net.safetensors").mkdir()
    with pytest.raises(IsADirectoryError):
        export.export(trained_networks.trained(trained_networks.cell("dense")), "torch", tmp_path / "net.py")
    assert (tmp_path / "net.py").read_text() == "earlier"


def test_an_export_to_a_link_leaves_the_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "net.npz").symlink_to(tmp_path / "elsewhere" / "mine.npz")
    export.export(trained_networks.trained(trained_networks.cell("dense")), "npz", tmp_path / "net.npz")
    assert (tmp_path / "net.npz").is_symlink()
    with np.load(tmp_path / "elsewhere" / "mine.npz", allow_pickle=False) as file:
        assert "architecture" in file.files
