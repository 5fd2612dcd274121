"""From a sweep to cells: the products, what is refused, what is timed and certified, in which order it goes."""

from collections import Counter
from pathlib import Path

import fake_backend
import pytest

from bench import machine
from bench.cells import TrialCell
from bench.estimate import estimate
from bench.plan import CERTIFICATE_BATCH, Plan, breadth_first, certificate_for, make_plan
from bench.sweep import Sweep, SweepError, load_sweep
from implementations.adapter import Adapter, adapter_class


@pytest.fixture(autouse=True)
def _fake_backends(monkeypatch: pytest.MonkeyPatch) -> None:
    """ "fake" and "other" work, "absent" is not installed."""
    for name, value in fake_backend.environment().items():
        monkeypatch.setenv(name, value)


def sweep(folder: Path, text: str, *overrides: str) -> Sweep:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return load_sweep(path, overrides)


def plan(folder: Path, text: str, *overrides: str) -> Plan:
    return make_plan(sweep(folder, text, *overrides))


TWO = 'axes.backend = ["fake", "other"]\n'


def test_trials_are_the_union_of_the_products(tmp_path: Path) -> None:
    made = plan(
        tmp_path,
        """
        axes.backend = "fake"
        axes.seed = [0, 1]
        [[grid]]
        latent = [8, 16]
        [[grid]]
        architecture = "dense"
        latent = [16, 32]
        """,
    )
    cells = {(cell.architecture, cell.latent, cell.seed) for cell in made.trials}
    expected = {(name, latent, seed) for name in ("dense", "conv") for latent in (8, 16) for seed in (0, 1)}
    assert cells == expected | {("dense", 32, 0), ("dense", 32, 1)}
    assert len(made.trials) == len(cells), "what two grids have in common is there once"


def test_cells_say_in_full_what_the_sweep_left_open(tmp_path: Path) -> None:
    """So that a default which is written out is not another cell."""
    text = 'axes.backend = "fake"\naxes.architecture = ["dense", "bn"]\naxes.train = "all"'
    dense, bn = sorted(plan(tmp_path, text).trials, key=lambda cell: cell.latent or 0)
    assert (dense.latent, bn.latent) == (64, 2048)
    assert dense.learning_rate == 0.001
    assert (dense.height, dense.width, dense.channels) == (28, 28, 1)
    assert dense.train is None
    written = plan(tmp_path, text, "latent=64", "architecture=dense", "learning_rate=0.001")
    assert written.trials == (dense,)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("architecture=bn,dense", "bn has a code of 2048 values .* not 8"),
        ("size=12", "bn needs images of at least 16x16"),
        ("channels=3", "channels=3 is not possible with glyphs"),
        ("dataset=cats", "dataset 'cats' is unknown"),
        ("dataset=folder:/no/such/folder", "/no/such/folder"),
        ("train=1000000", "train=1000000 is more than there is: glyphs has"),
        ("device=cuda", "no NVIDIA GPU"),
    ],
)
def test_what_can_not_be_is_refused_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, override: str, words: str
) -> None:
    monkeypatch.setattr(machine, "missing_device", lambda device: "no NVIDIA GPU" if device == "cuda" else None)
    overrides = [override, *(["latent=8"] if override == "architecture=bn,dense" else [])]
    with pytest.raises(ValueError, match=words):
        plan(tmp_path, 'axes.backend = "fake"\naxes.architecture = "bn"\n', *overrides)


def test_only_what_is_in_the_sweep_can_be_timed(tmp_path: Path) -> None:
    with pytest.raises(SweepError, match=r"timing.latent: \[5\] is not in the sweep; allowed are \[8, 16\]"):
        plan(tmp_path, TWO + "axes.latent = [8, 16]", "timing.latent=5")


def test_a_backend_that_is_not_installed_is_planned_as_unsupported(tmp_path: Path) -> None:
    made = plan(tmp_path, 'axes.backend = ["fake", "absent"]\naxes.architecture = "dense"')
    assert {cell.backend for cell in made.trials} == {"fake"}
    kinds = Counter(type(cell).__name__ for cell, _ in made.unsupported)
    assert kinds == {"TrialCell": 1, "TimingCell": 2, "CertificateCell": 2}
    assert {cell.backend for cell, _ in made.unsupported} == {"absent"}
    assert all("not installed" in reason for _, reason in made.unsupported)


def test_a_device_that_a_backend_does_not_know_is_unsupported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "missing_device", lambda device: None)
    made = plan(tmp_path, TWO, "device=mps")
    assert not made.trials
    assert {reason for _, reason in made.unsupported} == {
        "fake has no device mps; it has cpu",
        "other has no device mps; it has cpu",
    }


def test_many_bad_files_are_not_all_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = tuple(f"{number:03}.png could not be read: it is no image" for number in range(25))
    monkeypatch.setattr("bench.plan.datasets.check", lambda *_, **__: said)
    name = f"folder:{tmp_path}"
    notes = plan(tmp_path, TWO, f"dataset={name}", "train=10", "test=10").notes
    assert [note.split(" could")[0] for note in notes[:2]] == [f"{name}: 000.png", f"{name}: 001.png"]
    assert notes[20:] == (f"{name}: and 5 more notes like these",)


def test_timing_projects_the_grid(tmp_path: Path) -> None:
    text = (
        TWO + 'axes.latent = [8, 16]\naxes.loss = ["bce", "mse"]\naxes.seed = [0, 1]\naxes.corruption = "masking(0.5)"'
    )
    made = plan(tmp_path, text)
    contestants = {(backend, track) for backend in ("fake", "other") for track in ("idiomatic", "tuned")}
    assert [session.cells[0].architecture for session in made.sessions] == ["dense", "conv"]
    for session in made.sessions:
        assert {(cell.backend, cell.track) for cell in session.cells} == contestants
        assert {(cell.latent, cell.loss) for cell in session.cells} == {(8, "bce")}, "the first of each"
    assert len(plan(tmp_path, text, "timing.latent=all", "timing.loss=mse").sessions) == 4
    assert len(plan(tmp_path, text, "timing.latent=16", "timing.threads=1,2").sessions) == 4
    (shared,) = plan(tmp_path, text, "timing.share_process=true").sessions
    assert len(shared.cells) == 8
    (half,) = plan(tmp_path, text, "timing.share_process=true", "timing.backend=fake").sessions
    assert {cell.backend for cell in half.cells} == {"fake"}
    assert plan(tmp_path, text, "timing.rounds=0").sessions == ()


def test_sessions_are_known_by_all_that_shapes_them(tmp_path: Path) -> None:
    keys = {
        plan(tmp_path, TWO, f"timing.{change}").sessions[0].key()
        for change in ("rounds=3", "rounds=4", "blocks=9", "block_seconds=0.5", "inference=false", "latency=false")
    }
    assert len(keys) == 6
    assert plan(tmp_path, TWO).sessions[0].key() == plan(tmp_path, TWO).sessions[0].key()


def test_everything_that_runs_has_a_certificate(tmp_path: Path) -> None:
    made = plan(tmp_path, TWO + 'axes.latent = [8, 16]\naxes.loss = ["bce", "mse"]\naxes.batch_size = [32, 64]')
    timed = [cell for session in made.sessions for cell in session.cells]
    assert {certificate_for(cell) for cell in [*made.trials, *timed]} == set(made.certificates)
    assert {(cell.batch_size, cell.threads) for cell in made.certificates} == {(CERTIFICATE_BATCH, 1)}
    # tuned: 2 networks x 2 latents x 2 losses x 2 backends; idiomatic: the timed ones alone, 2 networks x 2 backends.
    assert Counter(cell.track for cell in made.certificates) == {"tuned": 16, "idiomatic": 4}


def test_trials_run_on_the_track_of_the_sweep_if_the_backend_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind: type[Adapter] = adapter_class("other")
    monkeypatch.setattr(kind, "tracks", ("idiomatic",))
    made = plan(tmp_path, TWO)
    assert {(cell.backend, cell.track) for cell in made.trials} == {("fake", "tuned"), ("other", "idiomatic")}
    assert {reason for _, reason in made.unsupported} == {"other has no track tuned; it has idiomatic"}
    made = plan(tmp_path, 'trial_track = "idiomatic"\n' + TWO)
    assert {cell.track for cell in made.trials} == {"idiomatic"}


def test_breadth_first_covers_every_axis_with_every_prefix() -> None:
    cells = [
        TrialCell(backend=backend, track="tuned", architecture=network, latent=latent, corruption=noise, seed=seed)
        for backend in ("fake", "other")
        for network in ("dense", "conv")
        for latent in (8, 16, 32, 64)
        for noise in ("gaussian(0.2)", "gaussian(0.4)", "masking(0.5)")
        for seed in (0, 1)
    ]
    order = breadth_first(cells)
    assert sorted(order, key=cells.index) == cells
    assert breadth_first(order[:1]) == order[:1]
    assert breadth_first([]) == ()
    first_four = order[:4]
    for axis, values in [("backend", 2), ("architecture", 2), ("latent", 4), ("corruption", 3), ("seed", 2)]:
        assert len({getattr(cell, axis) for cell in first_four}) == values, f"four trials are enough for {axis}"
        for end in range(4, len(order), 4):
            counts = Counter(getattr(cell, axis) for cell in order[:end])
            # Four values times 3/2: an axis is never behind by more than it could have been served in a turn.
            assert max(counts.values()) - min(counts.values()) <= 6, f"{axis} after {end} trials: {counts}"
    pairs = {(cell.backend, cell.corruption) for cell in order[:12]}
    assert len(pairs) == 6, "pairs of values are covered too, not the same ones again and again"


def test_a_rare_value_comes_early() -> None:
    """As "every other backend in one cell" does in the quick sweep, although it shares its seed with the first."""
    many = [TrialCell(backend="fake", track="tuned", architecture="dense", seed=seed) for seed in range(50)]
    rare = TrialCell(backend="other", track="tuned", architecture="dense", seed=0)
    assert rare in breadth_first([*many, rare])[:3]


def of_shipped(name: str, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """With the real backends, installed or not."""
    monkeypatch.undo()
    for backend in ("keras[tensorflow]", "keras[jax]", "keras[torch]", "torch"):
        monkeypatch.setattr(adapter_class(backend), "missing", classmethod(lambda kind: None))
    return make_plan(load_sweep(name))


def test_the_quick_sweep_has_what_it_promises(monkeypatch: pytest.MonkeyPatch) -> None:
    made = of_shipped("quick", monkeypatch)
    assert len(made.trials) <= 35
    grids = {
        backend: {
            (cell.architecture, cell.latent, cell.loss, cell.corruption)
            for cell in made.trials
            if cell.backend == backend
        }
        for backend in {cell.backend for cell in made.trials}
    }
    rare = set(grids) - {"keras[tensorflow]", "torch"}
    assert {"keras[jax]", "keras[torch]"} <= rare
    networks = Counter((network, code) for network, code, *_ in grids["torch"])
    assert networks == dict.fromkeys([("dense", 64), ("dense", 32), ("conv", 64)], 2 * 2), "corruptions, levels"
    assert grids["torch"] == grids["keras[tensorflow]"]
    for other in rare:
        assert {network for network, *_ in grids[other]} == {"dense"}, "for some, convolutions take minutes"
        assert grids[other] < grids["torch"], "the same cells, so that backends can be compared"
    timed = {(cell.backend, cell.architecture, cell.track) for s in made.sessions for cell in s.cells}
    for backend in ("torch", "keras[tensorflow]"):
        for network in ("dense", "conv"):
            assert {track for b, a, track in timed if (b, a) == (backend, network)} == {"idiomatic", "tuned"}


def test_the_standard_sweep_has_what_it_promises(monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.corruption import KINDS

    made = of_shipped("standard", monkeypatch)
    levels = Counter(noise.partition("(")[0] for noise in {cell.corruption for cell in made.trials})
    assert set(levels) == set(KINDS)
    assert min(levels.values()) >= 3
    free = [cell for cell in made.trials if cell.architecture in ("dense", "conv")]
    assert len({cell.latent for cell in free}) >= 4
    assert len({cell.seed for cell in free}) >= 3
    # Two hours, and some room: the estimate may be half as much again too low.
    assert estimate(made, jobs=2).total < 2 * 3600 / 1.5


def test_an_estimate_grows_with_the_work_and_shrinks_with_the_cores(tmp_path: Path) -> None:
    small, large = (plan(tmp_path, TWO, f"train={count}", "test=100", "epochs=50") for count in (1000, 10000))
    one, more = estimate(small), estimate(large)
    assert one.certificates == more.certificates > 0
    assert one.sessions == more.sessions > 0
    assert more.trials > 3 * one.trials
    assert one.total == one.certificates + one.trials + one.yardsticks + one.sessions + one.report
    assert estimate(large, jobs=2).trials < more.trials
    assert estimate(large, jobs=2).sessions == more.sessions, "timing never runs side by side"
