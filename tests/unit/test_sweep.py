"""Sweeps: equal to solving one by one, resumable, mixed, in other processes, with members that fail."""

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hermiton as hm
from hermiton.numerics import solve_many as lanes
from hermiton.numerics.solution import Solution
from hermiton.numerics.solve import UnfinishedError
from hermiton.theory.derive import derive
from hermiton.verification import sweep as sweeping
from hermiton.verification.online_sgd import default_start
from hermiton.verification.sweep import Failure

TIMES = np.array([0.0, 0.7, 3.0, 20.0])


def random_start(rng: np.random.Generator, width: int, teacher_width: int) -> hm.Overlaps:
    """Overlaps of random weights, with random second layers."""
    student, teacher = rng.normal(size=(width, 20)) / 2, rng.normal(size=(teacher_width, 20))
    return hm.Overlaps.from_weights(student, teacher, rng.normal(size=width), rng.normal(size=teacher_width))


def random_members(width: int, teacher_width: int, second: bool) -> tuple[list[hm.OnlineSGD], list[hm.Overlaps]]:
    rng = np.random.default_rng(20 * width + teacher_width)
    settings = [
        hm.OnlineSGD(
            hidden=width,
            teacher_hidden=teacher_width,
            learning_rate=float(rng.uniform(0.05, 0.6)),
            second_layer_rate=float(rng.uniform(0.05, 0.3)) if second else 0.0,
            noise=0.1,
        )
        for _ in range(40)
    ]
    return settings, [random_start(rng, width, teacher_width) for _ in settings]


@pytest.fixture
def solved(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many trajectories each call of a solver took."""
    calls: list[int] = []

    def count(module: Any, name: str, members: Callable[..., int]) -> None:
        real = getattr(module, name)

        def counted(*arguments: Any, **options: Any) -> Any:
            calls.append(members(*arguments))
            return real(*arguments, **options)

        monkeypatch.setattr(module, name, counted)

    count(sweeping, "solve_many", lambda settings, *_: len(settings))
    count(sweeping, "solve", lambda *_: 1)
    return calls


def assert_same(one: Any, other: Any, relative: float = 0.0) -> None:
    assert isinstance(one, Solution)
    assert isinstance(other, Solution)
    assert one.setting == other.setting
    assert set(one.data.data_vars) == set(other.data.data_vars)
    for name in other.data.data_vars:
        assert one.data[name].dims == other.data[name].dims == one.errors[name].dims
        assert one.data[name].attrs == other.data[name].attrs
        scale = float(abs(other.data[name]).max())
        for mine, theirs in ((one.data, other.data), (one.errors, other.errors)):
            np.testing.assert_allclose(mine[name].values, theirs[name].values, rtol=0.0, atol=relative * scale)


@pytest.mark.parametrize(("width", "teacher_width", "second"), [(2, 2, False), (3, 2, True)])
def test_lanes_equal_one_by_one(width: int, teacher_width: int, second: bool, solved: list[int]) -> None:
    settings, starts = random_members(width, teacher_width, second)
    swept = hm.sweep(settings, starts, TIMES, rtol=1e-9)
    assert solved == [40]
    assert not swept.failures
    derivation = hm.derive(settings[0])
    for setting, start, lane in zip(settings, starts, swept, strict=True):
        alone = hm.solve(setting, start, TIMES, rtol=1e-9, derivation=derivation)
        assert isinstance(lane, Solution)
        assert lane.setting is setting
        assert lane.data.sizes == alone.data.sizes
        assert set(lane.data.data_vars) == set(alone.data.data_vars) == set(lane.errors.data_vars)
        assert lane.data.coords["time"].attrs == alone.data.coords["time"].attrs
        for name in alone.data.data_vars:
            assert lane.data[name].dims == alone.data[name].dims
            scale = 1 + abs(alone.data[name]).max()
            assert float(abs(lane.data[name] - alone.data[name]).max() / scale) < 1e-9, name
            # the same two tolerances: errors agree up to the steps that rounding moves, and cover the difference
            assert float(lane.errors[name].max()) < 10 * float(alone.errors[name].max()) + 1e-14, name
            assert bool((abs(lane.data[name] - alone.data[name]) <= lane.errors[name] + alone.errors[name]).all()), name


def test_a_divergent_member_leaves_the_others_alone(tmp_path: Path) -> None:
    rates = np.linspace(0.01, 0.05, 11)
    # a quadratic student under a high rate blows up
    settings = [hm.OnlineSGD("square", "square", 1, 1, learning_rate=float(rate)) for rate in rates]
    bad = hm.OnlineSGD("square", "square", 1, 1, learning_rate=3.0)
    swept = hm.sweep([*settings[:5], bad, *settings[5:]], times=TIMES, store=tmp_path)
    assert list(swept.failures) == [5]
    failure = swept.failures[5]
    assert (failure.setting, failure.status) == (bad, "diverged")
    with pytest.raises(UnfinishedError) as error:
        hm.solve(bad, default_start(bad), TIMES)
    assert failure.time is not None
    assert failure.time == pytest.approx(error.value.time, rel=1e-6)
    assert f"t={failure.time:.6g}" in failure.message
    for one, other in zip([*swept[:5], *swept[6:]], hm.sweep(settings, times=TIMES), strict=True):
        assert_same(one, other)
    assert np.isfinite(swept.data["Q"].drop_isel(setting=5)).all()
    data = swept.data
    assert list(data["status"].values) == ["finished"] * 5 + ["diverged"] + ["finished"] * 6
    assert bool(data["Q"].isel(setting=5).isnull().all())
    assert int(data["Q"].isnull().any(["time", "i", "k"]).sum()) == 1
    np.testing.assert_array_equal(data["learning_rate"], [*rates[:5], 3.0, *rates[5:]])
    again = hm.sweep([bad], times=TIMES, store=tmp_path)[0]
    assert again == failure


def test_a_finished_sweep_is_not_run_again(tmp_path: Path, solved: list[int]) -> None:
    settings, starts = random_members(2, 2, False)
    settings, starts = settings[:20], starts[:20]
    first = hm.sweep(settings[:12], starts[:12], TIMES, store=tmp_path)
    assert solved == [12]
    assert len(list(tmp_path.glob("*.nc"))) == 12
    second = hm.sweep(settings, starts, TIMES, store=tmp_path)
    assert solved == [12, 8]  # only the new ones
    for one, other in zip(second, first, strict=False):
        assert_same(one, other)
        assert one.provenance["kernel"] == other.provenance["kernel"]  # type: ignore[union-attr]
    hm.sweep(list(reversed(settings)), list(reversed(starts)), TIMES, store=tmp_path)
    assert solved == [12, 8]
    hm.sweep(settings, starts, TIMES, store=tmp_path, rtol=1e-7)
    assert solved == [12, 8, 20]  # something else was asked


def test_a_killed_sweep_keeps_what_was_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, starts = (members[:24] for members in random_members(2, 2, False))
    monkeypatch.setattr(sweeping, "_BATCH", 8)
    real = lanes.solve_many
    done: list[int] = []

    def killed(members: Sequence[Any], *arguments: Any, **options: Any) -> Any:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(len(members))
        return real(members, *arguments, **options)

    monkeypatch.setattr(sweeping, "solve_many", killed)
    with pytest.raises(KeyboardInterrupt):
        hm.sweep(settings, starts, TIMES, store=tmp_path)
    assert done == [8, 8]
    assert len(list(tmp_path.glob("*.nc"))) == 16
    done.clear()
    swept = hm.sweep(settings, starts, TIMES, store=tmp_path)
    assert done == [8]
    assert len(swept) == 24
    assert not swept.failures


def test_mixed_structures_come_back_in_order(solved: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    derived: list[Any] = []
    real = derive

    def counted(setting: Any) -> Any:
        derived.append(setting)
        return real(setting)

    counted.dispatch = real.dispatch  # type: ignore[attr-defined]
    monkeypatch.setattr(sweeping, "derive", counted)
    rates = np.linspace(0.1, 0.5, 9)
    erf = [hm.OnlineSGD(learning_rate=float(rate)) for rate in rates]
    wide = [hm.OnlineSGD(hidden=3, learning_rate=float(rate)) for rate in rates]
    he2 = [hm.OnlineSGD("he2", "he2", 1, 1, learning_rate=float(rate) / 10) for rate in rates[:2]]
    quadrature = [hm.OnlineSGD("tanh", "tanh", 1, 1, learning_rate=0.3)]
    mixed = [*erf[:4], *quadrature, *wide, *he2, *erf[4:]]
    swept = hm.sweep(mixed, times=[0.0, 0.5], rtol=1e-5)
    assert [r.setting for r in swept] == mixed
    assert sorted(solved) == [1, 1, 1, 9, 9]  # two batches of lanes; few, and quadrature, one by one
    assert len(derived) == 4
    with pytest.raises(hm.AssumptionError, match="different sizes"):
        _ = swept.data


def test_progress_is_told_and_ends_at_one(monkeypatch: pytest.MonkeyPatch) -> None:
    settings, starts = random_members(2, 2, False)
    monkeypatch.setattr(sweeping, "_BATCH", 16)
    seen: list[float] = []
    hm.sweep(settings, starts, TIMES, progress=seen.append)
    assert seen == [16 / 40, 32 / 40, 1.0]


def test_processes_give_the_same_and_store(tmp_path: Path) -> None:
    settings, starts = random_members(2, 2, False)
    quadrature = hm.OnlineSGD("tanh", "tanh", 1, 1, learning_rate=0.3)
    mixed = [*settings[:10], quadrature]
    first = [*starts[:10], default_start(quadrature)]
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        swept = hm.sweep(mixed, first, TIMES[:2], executor=pool, store=tmp_path, rtol=1e-6)
        networks = hm.sweep(
            settings[:2], starts[:2], TIMES[:2], verb="simulate", executor=pool, dimension=20, replicas=2
        )
    for one, other in zip(swept, hm.sweep(mixed, first, TIMES[:2], rtol=1e-6), strict=True):
        assert_same(one, other)
    assert len(list(tmp_path.glob("*.nc"))) == 11
    here = hm.sweep(settings[:2], starts[:2], TIMES[:2], verb="simulate", dimension=20, replicas=2)
    for sample, same in zip(networks, here, strict=True):
        np.testing.assert_array_equal(sample.data["Q"], same.data["Q"])  # type: ignore[union-attr]


def test_simulations_depend_on_their_content_only(tmp_path: Path) -> None:
    settings, starts = random_members(2, 2, False)
    options: dict[str, Any] = {"verb": "simulate", "dimension": 20, "replicas": 2, "rng": 3, "store": tmp_path}
    three = hm.sweep(settings[:3], starts[:3], TIMES[:2], **options)
    assert three.data["Q"].dims == ("setting", "replica", "time", "i", "k")
    assert len(list(tmp_path.glob("*.nc"))) == 6
    turned = hm.sweep(settings[2:0:-1], starts[2:0:-1], TIMES[:2], **options)
    np.testing.assert_array_equal(turned[0].data["R"], three[2].data["R"])  # type: ignore[union-attr]
    np.testing.assert_array_equal(turned[1].data["R"], three[1].data["R"])  # type: ignore[union-attr]
    assert len(list(tmp_path.glob("*.nc"))) == 6
    # all but equal rates: with common streams the networks would be all but equal too
    close = [hm.OnlineSGD(learning_rate=rate) for rate in (0.3, 0.3 + 1e-12)]
    one, other = (s.data["R"].values for s in hm.sweep(close, starts[0], TIMES[:2], **options))  # type: ignore[union-attr]
    assert abs(one - other)[:, 1].min() > 1e-9


def test_a_diverging_network_is_a_failure() -> None:
    settings = [hm.OnlineSGD("square", "square", 1, 1, learning_rate=rate) for rate in (0.01, 50.0)]
    swept = hm.sweep(settings, times=TIMES, verb="simulate", dimension=10, replicas=2)
    assert list(swept.failures) == [1]
    failure = swept[1]
    assert isinstance(failure, Failure)
    assert "diverges at t=" in failure.message
    assert swept.data["Q"].isel(setting=0).notnull().all()


GOOD = hm.OnlineSGD()


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([],), {}, "settings=.*empty"),
        ((GOOD,), {}, "settings=.*not a sequence"),
        (([GOOD, "erf"],), {}, r"settings\[1\]='erf' is not a setting"),
        (([GOOD, hm.OnlineSGD],), {}, r"settings\[1\].*is not a setting"),
        (([GOOD], []), {}, "starts=.*has 0 members"),
        (([GOOD], 3), {}, "starts=3 is neither"),
        (([GOOD], ["here"]), {}, r"starts\[0\]='here' is not an Overlaps"),
        (([hm.OnlineSGD(hidden=3)], default_start(GOOD)), {}, r"starts\[0\].*has widths \(2, 2\)"),
        (([GOOD], None, [2.0, 1.0]), {}, "times=.*does not increase"),
        (([GOOD],), {"verb": "derive"}, "verb='derive' is unknown"),
        (([GOOD],), {"rtol": 0.5}, "rtol=0.5 is out of range"),
        (([GOOD],), {"executor": 4}, "executor=4 is no executor"),
        (([GOOD],), {"store": 4}, "store=4 is no store"),
        (([GOOD],), {"dimension": 4}, "dimension=4 is no option of solve"),
        (([GOOD],), {"verb": "simulate", "atol": 1e-9}, "atol=1e-09 is no option of simulate"),
        (([GOOD],), {"verb": "simulate", "rng": "x", "dimension": 10}, "rng='x' is no seed"),
    ],
)
def test_nonsense_is_refused(arguments: tuple[Any, ...], options: dict[str, Any], message: str) -> None:
    with pytest.raises(hm.AssumptionError, match=message):
        hm.sweep(*arguments, **options)


def test_lanes_refuse_what_they_cannot_do() -> None:
    start = default_start(GOOD)
    with pytest.raises(hm.AssumptionError, match="is empty"):
        lanes.solve_many([], [], TIMES)
    with pytest.raises(hm.AssumptionError, match="has 1 members, but settings has 2"):
        lanes.solve_many([GOOD, GOOD], [start], TIMES)
    with pytest.raises(hm.AssumptionError, match="other sizes"):
        lanes.solve_many([GOOD, hm.OnlineSGD(hidden=3)], [start, start], TIMES)
    tanh = hm.OnlineSGD("tanh", "tanh", 1, 1)
    with pytest.raises(hm.AssumptionError, match="quadrature"):
        lanes.solve_many([tanh], [default_start(tanh)], TIMES)
