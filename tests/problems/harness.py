"""Judge what the engine says about a problem against the reference.

    cd tests && python -m problems.harness [part of a name or tag ...]

prints a line for every problem that is not solved.
"""

import json
import math
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mpmath import mp, mpf

from hermiton.theory.errors import AccuracyError, AssumptionError

from .functions import FUNCTIONS
from .gaussian_integrals import PROBLEMS, Coefficients, Moment, Problem
from .ledger import LEDGER

__all__ = ["Reference", "Verdict", "assert_honest", "compute", "judge", "references", "summary", "usefulness"]

KINDS = ("exact", "rigorous", "estimated")
_DIGITS = 160


@dataclass(frozen=True)
class Reference:
    """True values, what is unknown about them, and the sizes that an error is measured by."""

    values: tuple[mpf, ...]
    uncertainty: tuple[mpf, ...]
    sizes: tuple[mpf, ...]


@dataclass(frozen=True)
class Verdict:
    """What became of a problem.

    ``status`` is 'success', 'vague' (honest, but the error is too large to be of use), 'refused' (AccuracyError),
    'rejected' (AssumptionError), 'crashed' or 'dishonest'. ``error`` is the largest reported one and ``true`` the
    largest real one, both over the size of the quantity.
    """

    name: str
    status: str
    detail: str
    error: float = math.nan
    true: float = math.nan
    seconds: float = 0.0


def references() -> dict[str, Reference]:
    """The references by the names of their problems, with the definitions they were made for."""
    stored = json.loads(Path(__file__).with_name("references.json").read_text())
    found = {}
    with mp.workdps(_DIGITS):
        for name, entry in stored.items():
            values = tuple(map(mpf, entry["values"]))
            factorial = isinstance(PROBLEMS.get(name), Coefficients)
            size = mpf(entry["scale"])
            found[name] = Reference(
                values,
                tuple(map(mpf, entry["uncertainty"])),
                tuple(size * (mp.sqrt(mp.factorial(k)) if factorial else 1) for k in range(len(values))),
            )
    return found


def usefulness(problem: Problem) -> float:
    """The largest error, relative to the size of the quantity, with which a number is still of use."""
    if problem.digits > 15:
        return 1e-48 if isinstance(problem, Coefficients) else 10.0 ** (1 - problem.digits)
    if "benign" not in problem.tags:
        return 1e-6
    return 1e-12 if problem.tags & {"1-D", "1-point"} else 1e-8


def compute(problem: Problem) -> Any:
    """Ask the engine."""
    if isinstance(problem, Coefficients):
        from hermiton.numerics.hermite import hermite_coefficients

        formula = FUNCTIONS[problem.function].formula
        return hermite_coefficients(formula, problem.order, problem.mean, problem.std, digits=problem.digits)
    from hermiton.numerics.field_moment import field_moment

    return field_moment(
        [FUNCTIONS[name].formula for name in problem.functions],
        np.array(problem.covariance),
        np.array(problem.mean),
        list(problem.derivatives),
        digits=problem.digits,
    )


def _exact(number: Any) -> mpf:
    """A double, an mpf or a flint.arb without radius, without rounding."""
    if isinstance(number, mpf):
        return number
    if hasattr(number, "man_exp"):
        mantissa, exponent = number.man_exp()
        return mp.ldexp(mpf(int(mantissa)), int(exponent))
    return mpf(float(number))


def _numbers(problem: Problem, result: Any) -> tuple[list[mpf], list[mpf]]:
    """Values and errors of a result; whatever is wrong with their form is an assertion."""
    assert result.kind in KINDS, f"kind {result.kind!r}"
    assert isinstance(result.method, str) and result.method, f"method {result.method!r}"
    if isinstance(problem, Moment):
        values, errors = [result.value], [result.error]
    else:
        values, errors = list(result.values), list(result.errors)
        assert len(values) == len(errors) == problem.order + 1, f"{len(values)} values, {len(errors)} errors"
        if problem.digits <= 15:
            for array in (result.values, result.errors):
                assert array.dtype == np.float64 and not array.flags.writeable
        else:
            assert result.kind != "estimated", "an estimate in place of an enclosure"
            balls = result.balls
            values, errors = [_exact(ball.mid()) for ball in balls], [_exact(ball.rad()) for ball in balls]
    if problem.digits > 15:
        assert result.kind != "estimated", "an estimate in place of an enclosure"
    values, errors = [_exact(v) for v in values], [_exact(e) for e in errors]
    assert all(map(mp.isfinite, values)), f"values {values}"
    assert all(mp.isfinite(e) and e >= 0 for e in errors), f"errors {errors}"
    return values, errors


def assert_honest(problem: Problem, result: Any, reference: Reference) -> tuple[float, float]:
    """Assert that every error bounds the true one.

    Returns
    -------
    float, float
        The largest reported and the largest true error, relative to the sizes.
    """
    with mp.workdps(_DIGITS):
        values, errors = _numbers(problem, result)
        reported, real = mpf(0), mpf(0)
        rows = zip(values, errors, reference.values, reference.uncertainty, reference.sizes, strict=True)
        for k, (value, error, truth, unknown, size) in enumerate(rows):
            gap = abs(value - truth)
            assert gap <= error + unknown, (
                f"[{k}] = {mp.nstr(value, 20)} +- {mp.nstr(error, 3)} by {result.method!r} ({result.kind}), "
                f"but the truth is {mp.nstr(truth, 20)}: off by {mp.nstr(gap, 3)}"
            )
            # a field without variance at a zero of its function has size 0: of an error only an underflow may be left
            size = max(size, mpf("1e-300"))
            reported, real = max(reported, error / size), max(real, gap / size)
        return float(reported), float(real)


def judge(problem: Problem, reference: Reference, result: Any = None) -> Verdict:
    """Ask the engine (unless `result` is given) and compare with the reference."""
    start = time.process_time()

    def verdict(status: str, detail: str, *errors: float) -> Verdict:
        return Verdict(problem.name, status, detail, *errors, seconds=time.process_time() - start)  # type: ignore[misc]

    try:
        result = compute(problem) if result is None else result
    except AccuracyError as error:
        return verdict("refused", str(error))
    except AssumptionError as error:
        return verdict("rejected", str(error))
    except Exception as error:
        return verdict("crashed", f"{type(error).__name__}: {error}")
    try:
        reported, real = assert_honest(problem, result, reference)
    except AssertionError as error:
        return verdict("dishonest", str(error))
    limit = usefulness(problem)
    if reported > limit:
        detail = f"error {reported:.2g} of the size by {result.method!r} ({result.kind}), more than {limit:g}"
        return verdict("vague", detail, reported, real)
    return verdict("success", f"{result.method} ({result.kind})", reported, real)


def summary(verdicts: Iterable[Verdict]) -> tuple[str, list[Verdict]]:
    """A table of counts by tag, and the verdicts that are neither a success nor, as they are, in the ledger."""
    verdicts = list(verdicts)
    statuses = ("success", "vague", "refused", "rejected", "crashed", "dishonest")
    lines = [f"{'tag':18} {'all':>5} " + " ".join(f"{status:>9}" for status in statuses)]
    for tag in sorted({tag for v in verdicts for tag in PROBLEMS[v.name].tags}):
        counts = Counter(v.status for v in verdicts if tag in PROBLEMS[v.name].tags)
        lines.append(f"{tag:18} {counts.total():5} " + " ".join(f"{counts[status]:9}" for status in statuses))
    wrong = []
    for v in verdicts:
        expected = LEDGER[v.name][0] if v.name in LEDGER else "success"
        if v.status != expected:
            wrong.append(v)
    return "\n".join(lines), wrong


def main(words: list[str]) -> int:
    known = references()
    verdicts = []
    for problem in PROBLEMS.values():
        if problem.name not in known or (words and not any(w in problem.name or w in problem.tags for w in words)):
            continue
        verdict = judge(problem, known[problem.name])
        verdicts.append(verdict)
        if verdict.status != "success" or verdict.seconds > 5:
            print(f"{verdict.status:9} {verdict.seconds:6.1f} s  {verdict.name}: {verdict.detail}", flush=True)
    table, wrong = summary(verdicts)
    print(table)
    print(f"{sum(v.seconds for v in verdicts):.1f} s in all, {len(PROBLEMS) - len(known)} problems without a reference")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
