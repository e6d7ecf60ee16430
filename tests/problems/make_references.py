"""Compute references.json from the definitions of the problems, by mpmath alone.

    cd tests && python -m problems.make_references [part of a name ...] [--check]

Every value is computed by two routes of different panels, rules and precision, or with the roles of the fields swapped;
where the literature has a formula, that is a third. Values are stored with the largest gap of any two. What is there
already is kept unless its problem has changed; ``--check`` computes it again and compares. Hours of CPU time in all.
"""

import argparse
import fcntl
import json
import math
import os
import sys
import time
from pathlib import Path
from typing import Any

from mpmath import mp, mpf

from .closed_forms import closed_coefficients, closed_moment
from .functions import FUNCTIONS, Function
from .gaussian_integrals import PROBLEMS, Coefficients, Moment, Problem
from .integrate import Part, Route, coefficients, common_factors, norm, on_a_half_line_each, product

REFERENCES = Path(__file__).with_name("references.json")
DIGITS = 50  # digits stored
_RIGOROUS_DIGITS = 80
# aim of each attempt and the rule that can reach it
_ATTEMPTS = ((60, 6), (110, 7), (220, 8), (360, 9))
_MOMENT_ROUTES = (Route(46, 5, 1.0, 2.0, 6, 0.125), Route(54, 6, 1.4, 3.1, 10, 0.09375))
_NORM = Route(30, 5, 1.0, 2.0, 6)


def _text(value: mpf, digits: int) -> str:
    return str(mp.nstr(value, digits, strip_zeros=True, min_fixed=-5, max_fixed=5))


def definition(problem: Problem) -> str:
    """What the values belong to: everything but name and tags."""
    parts = [f"{key}={value!r}" for key, value in vars(problem).items() if key not in ("name", "tags", "digits")]
    return "; ".join(parts)


# -------------------------------------------------------------------------------------------------------- coefficients
def _coefficient_entry(problem: Coefficients) -> dict[str, Any]:
    function = FUNCTIONS[problem.function]
    digits = _RIGOROUS_DIGITS if problem.digits > 15 else DIGITS
    zeros = [False] * (problem.order + 1)
    if function.parity and not problem.mean:
        zeros = [(k % 2 == 1) != (function.parity == "odd") for k in range(problem.order + 1)]
    for aim, degree in _ATTEMPTS:
        if aim < digits + 8:
            continue
        routes = (Route(aim, degree, 1.0, 2.0, 6), Route(aim + 15, degree + 1, 1.4, 3.1, 10))
        (first, _), (second, size) = (
            coefficients(function, problem.mean, problem.std, problem.order, route) for route in routes
        )
        with mp.workdps(aim + 15):
            gaps = [abs(a - b) for a, b in zip(first, second, strict=True)]
            if all(
                _good(gap, v, digits - 4, size) for gap, v, zero in zip(gaps, second, zeros, strict=True) if not zero
            ):
                break
    else:
        raise ArithmeticError(f"{problem.name}: the routes differ by {[mp.nstr(gap, 3) for gap in gaps]}")
    # 15 digits above the aim of the routes: a formula has no tail to cut
    with mp.workdps(aim + 30):
        values, uncertainty, used = second, [10 * gap for gap in gaps], f"two Gauss-Legendre routes at {aim} digits"
        closed = closed_coefficients(problem)
        if closed is not None:
            apart = [abs(a - b) for a, b in zip(closed, second, strict=True)]
            assert all(
                gap <= mpf(10) ** (-aim + 15) * size * mp.sqrt(mp.factorial(k)) for k, gap in enumerate(apart)
            ), f"{problem.name}: the formula differs by {[mp.nstr(gap, 3) for gap in apart]}"
            values, used = closed, used + ", a formula"
            uncertainty = [mpf(10) ** (-digits) * max(abs(v), mpf(10) ** (-aim) * size) for v in values]
        for k, (v, zero) in enumerate(zip(second, zeros, strict=True)):
            close = abs(v) < mpf(10) ** -30 * size * mp.sqrt(mp.factorial(k))
            assert close or not zero, f"{problem.name}: h_{k} should vanish"
        values = [mpf(0) if zero else v for v, zero in zip(values, zeros, strict=True)]
        uncertainty = [mpf(0) if zero else u for u, zero in zip(uncertainty, zeros, strict=True)]
        return {
            "values": [_text(v, digits) for v in values],
            "uncertainty": [
                _text(u + mpf(10) ** (1 - digits) * abs(v), 3) for u, v in zip(uncertainty, values, strict=True)
            ],
            "scale": _text(size, 20),
            "routes": used,
        }


def _good(gap: mpf, value: mpf, digits: int, size: mpf) -> bool:
    """Known relative to itself, or so small that no double could tell it from 0."""
    return bool(gap <= mpf(10) ** -digits * abs(value) or max(gap, abs(value)) <= mpf(10) ** -100 * size)


# ------------------------------------------------------------------------------------------------------------- moments
def _moment_entry(problem: Moment) -> dict[str, Any]:
    functions = [FUNCTIONS[f] for f in problem.functions]
    if problem.layout is None:
        used = "conditioning on the one and on the other field" if len(functions) == 2 else "two routes"
        values = [_pair(problem, route, swap) for swap, route in enumerate(_MOMENT_ROUTES)]
    elif _is_cone(problem, functions):
        used = "polar coordinates, two rules"
        values = [_cone(problem, functions, route) for route in _MOMENT_ROUTES]
    else:
        used = "conditioning on common factors, two routes"
        values = [_from_layout(problem, route) for route in _MOMENT_ROUTES]
    with mp.workdps(60):
        size = mpf(1)
        for i, (name, n, m) in enumerate(zip(problem.functions, problem.derivatives, problem.mean, strict=True)):
            size *= norm(product([name], [n], [m]), math.sqrt(problem.covariance[i][i]), _NORM)
        gap, value = abs(values[0] - values[1]), values[1]
        assert gap <= mpf(10) ** -36 * size, f"{problem.name}: the routes differ by {mp.nstr(gap / size, 3)}"
        # known relative to itself, unless it is 0 by symmetry
        known = gap <= mpf(10) ** -25 * abs(value) or max(gap, abs(value)) <= mpf(10) ** -38 * size
        assert known, f"{problem.name}: {mp.nstr(value, 3)}, but the routes differ by {mp.nstr(gap, 3)}"
        closed = closed_moment(problem)
        if closed is not None:
            apart = abs(closed - value)
            assert apart <= mpf(10) ** -36 * size, f"{problem.name}: the formula differs by {mp.nstr(apart / size, 3)}"
            used += ", a formula"
            value, gap = closed, mpf(10) ** -50 * abs(closed)
        rough = _rough(problem, functions) if len(functions) > 2 and closed is None else None
        if rough is not None:
            apart = abs(rough - value) / size
            assert apart < (0.05 if any(f.cuts for f in functions) else 1e-3), f"{problem.name}: {mp.nstr(apart, 3)}"
            used += ", a rough grid from the covariance alone"
        return {
            "values": [_text(value, DIGITS)],
            "uncertainty": [_text(10 * gap + mpf(10) ** -46 * max(abs(value), mpf(10) ** -10 * size), 3)],
            "scale": _text(size, 20),
            "routes": used,
        }


def _pair(problem: Moment, route: Route, swap: int) -> mpf:
    """One or two fields: the first (the last, if swapped) is the factor, the other a part of it and noise."""
    with mp.workdps(route.digits + 15):
        parts = [
            product([f], [n], [m]) for f, n, m in zip(problem.functions, problem.derivatives, problem.mean, strict=True)
        ]
        law = [[mpf(entry) for entry in row] for row in problem.covariance]
        if swap and len(parts) == 2 and law[1][1]:
            parts, law = parts[::-1], [row[::-1] for row in law[::-1]]
        loadings, noise = [mp.sqrt(law[0][0])], [mpf(0)]
        if len(parts) == 2:
            load = law[0][1] / loadings[0] if loadings[0] else mpf(0)
            loadings.append(load)
            noise.append(mp.sqrt(law[1][1] - load**2) if law[0][0] * law[1][1] > law[0][1] ** 2 or not load else mpf(0))
        return common_factors(parts, [[load] for load in loadings], noise, route)


def _parts(problem: Moment) -> list[Part]:
    layout = problem.layout
    assert layout is not None
    parts = []
    for v in range(len(layout.noise)):
        fields = [i for i, variable in enumerate(layout.variables) if variable == v]
        parts.append(
            product(
                [problem.functions[i] for i in fields],
                [problem.derivatives[i] for i in fields],
                [problem.mean[i] for i in fields],
            )
        )
    return parts


def _from_layout(problem: Moment, route: Route) -> mpf:
    layout = problem.layout
    assert layout is not None
    with mp.workdps(route.digits + 15):
        loadings = [[mpf(a.numerator) / a.denominator for a in row] for row in layout.loadings]
        noise = [mp.sqrt(mpf(b.numerator) / b.denominator) for b in layout.noise]
        return common_factors(_parts(problem), loadings, noise, route)


def _is_cone(problem: Moment, functions: list[Function]) -> bool:
    layout = problem.layout
    assert layout is not None
    return len(layout.loadings[0]) == 2 and not any(layout.noise) and any(f.cuts for f in functions)


def _cone(problem: Moment, functions: list[Function], route: Route) -> mpf:
    layout = problem.layout
    assert layout is not None
    assert not any(problem.mean)
    degree = 0.0
    for f, n in zip(functions, problem.derivatives, strict=True):
        own = f.degree if f.degree is not None else len(f.polynomial or ()) - 1
        degree += own - n
    with mp.workdps(route.digits + 15):
        rows = [[mpf(a.numerator) / a.denominator for a in layout.loadings[v]] for v in layout.variables]
        parts = [f.part(n) for f, n in zip(functions, problem.derivatives, strict=True)]
        return on_a_half_line_each(parts, rows, mpf(degree), route)


def _rough(problem: Moment, functions: list[Function]) -> mpf:
    """A coarse tensor grid over a pivoted Cholesky factor of the covariance: it knows nothing of factors and noise."""
    size = len(functions)
    law = [list(row) for row in problem.covariance]
    columns: list[list[float]] = []
    for _ in range(size):
        pivot = max(range(size), key=lambda i: law[i][i])
        if law[pivot][pivot] < 1e-5:
            break
        columns.append([law[i][pivot] / math.sqrt(law[pivot][pivot]) for i in range(size)])
        law = [[law[i][j] - columns[-1][i] * columns[-1][j] for j in range(size)] for i in range(size)]
    step, half = (0.5, 9) if len(columns) > 3 else (0.3125, 15)
    points = [(n * step + 0.1, step * math.exp(-((n * step + 0.1) ** 2) / 2)) for n in range(-half, half + 1)]
    maps = [f.part(n) for f, n in zip(functions, problem.derivatives, strict=True)]
    with mp.workdps(15):

        def total(fields: list[float], weight: float, left: list[list[float]]) -> float:
            if not left:
                for g, value in zip(maps, fields, strict=True):
                    weight = weight and weight * float(g(mpf(value)))
                return weight
            return sum(
                total([f + c * x for f, c in zip(fields, left[0], strict=True)], weight * w, left[1:])
                for x, w in points
            )

        return mpf(total(list(problem.mean), (2 * math.pi) ** (-len(columns) / 2), columns))


# ------------------------------------------------------------------------------------------------------------- storage
def _entry(problem: Problem) -> dict[str, Any]:
    computed = _coefficient_entry(problem) if isinstance(problem, Coefficients) else _moment_entry(problem)
    return {"definition": definition(problem), **computed}


def _store(name: str, entry: dict[str, Any]) -> None:
    """Add one entry, one line of the file; several processes may do so side by side."""
    folder = os.open(REFERENCES.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        stored = json.loads(REFERENCES.read_text()) if REFERENCES.exists() else {}
        stored[name] = entry
        lines = [f"{json.dumps(key)}: {json.dumps(stored[key])}" for key in PROBLEMS if key in stored]
        part = REFERENCES.with_suffix(".part")
        part.write_text("{\n" + ",\n".join(lines) + "\n}\n")
        os.replace(part, REFERENCES)
    finally:
        os.close(folder)


def _is_current(stored: dict[str, Any], problem: Problem) -> bool:
    entry = stored.get(problem.name)
    return entry is not None and entry["definition"] == definition(problem)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="only problems whose name or tags contain one of these")
    parser.add_argument("--check", action="store_true", help="compute again what is stored, and compare")
    parser.add_argument("--share", default="1/1", help="i/n: the i-th of n equal shares")
    options = parser.parse_args()
    share, shares = map(int, options.share.split("/"))
    failed = 0
    for number, problem in enumerate(PROBLEMS.values()):
        if options.words and not any(word in problem.name or word in problem.tags for word in options.words):
            continue
        stored = json.loads(REFERENCES.read_text()) if REFERENCES.exists() else {}
        current = _is_current(stored, problem)
        if number % shares != share - 1 or current != options.check:
            continue
        start = time.process_time()
        try:
            entry = _entry(problem)
        except (ArithmeticError, AssertionError) as error:
            failed += 1
            print(f"FAILED {problem.name}: {error}", flush=True)
            continue
        if not options.check:
            _store(problem.name, entry)
        elif entry != stored[problem.name]:
            failed += 1
            print(f"DIFFERS {problem.name}: {entry['values']} and {stored[problem.name]['values']}", flush=True)
        print(f"{time.process_time() - start:7.1f} s  {problem.name}: {entry['routes']}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
