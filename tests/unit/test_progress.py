"""Every verb takes ``progress``: silent by default, the caller's function, or something on the error stream."""

import logging

import numpy as np
import pytest

import hermiton as hm

SETTING = hm.OnlineSGD(student="he2", teacher="he2", hidden=1, teacher_hidden=1, learning_rate=0.1)
START = hm.Overlaps(Q=[[0.5]], R=[[0.1]], T=[[1.0]], v=[1.0], A=[1.0])


def test_derive_calls_back_once_and_is_silent_otherwise(capfd: pytest.CaptureFixture[str]) -> None:
    calls: list[float] = []
    hm.derive(SETTING, progress=calls.append)
    assert calls == [1.0]
    hm.derive(SETTING)
    assert capfd.readouterr() == ("", "")


def test_derive_shows_nothing_on_the_output_stream(capfd: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("hermiton.theory.derivation")
    before = logger.level, list(logger.handlers)
    hm.derive(SETTING, progress=True)
    assert capfd.readouterr().out == ""
    assert (logger.level, list(logger.handlers)) == before


def test_solve_and_simulate_report_fractions_that_end_at_one() -> None:
    for verb, options in ((hm.solve, {}), (hm.simulate, {"dimension": 20, "replicas": 3, "method": "overlaps"})):
        fractions: list[float] = []
        verb(SETTING, START, np.linspace(0.1, 0.5, 5), progress=fractions.append, **options)
        assert fractions
        assert fractions[-1] == pytest.approx(1.0)
        assert all(0 <= f <= 1 for f in fractions)
