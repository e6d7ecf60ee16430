"""21 rigorous Hermite coefficients to 50 digits: one proved rule for all orders against an adaptive integral for each.

The peer is python-flint's ``acb.integral`` (Arb's adaptive Gauss-Legendre rule), order by order, over [-L, L] with L so
large that the tail is negligible; it does not bound that tail, ours does. tanh at a general mean, where no coefficient
vanishes, and at mean 0, where parity spares us half the work and where the peer gets only the 10 orders that are not
zero; some more activations, for information. Run: python benchmarks/certified_coefficients.py
CPU time, one thread, all in this run. The candidates take turns, so that a busy machine slows all of them alike; each
figure is the best of its rounds. Nothing is kept between calls but compiled expressions and tables that depend on the
order alone; "first call" is a fresh expression, with its compilation. Exits with 1 if a target is missed or values
differ.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import itertools
import math
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import sympy as sp
from flint import acb, acb_poly, arb

import hermiton as hm
from hermiton.numerics.certify import certified_coefficients
from hermiton.theory.balls import precision

ORDER, DIGITS, ROUNDS, TARGET = 20, 50, 7, 20.0
BITS = 190  # of the peer: 50 digits, and what its rounding takes
MEAN = sp.Rational(3, 10)
FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "tanh": lambda u: u.tanh(),
    "erf": lambda u: (u / arb(2).sqrt()).erf(),
    "gelu": lambda u: u * (1 + (u / arb(2).sqrt()).erf()) / 2,
    "sigmoid": lambda u: 1 / (1 + (-u).exp()),
    "silu": lambda u: u / (1 + (-u).exp()),
}


def hermite_polynomials() -> list[acb_poly]:
    """He_0, ..., He_ORDER, exact."""
    found = [acb_poly([1]), acb_poly([0, 1])]
    for k in range(1, ORDER):
        found.append(found[1] * found[k] - k * found[k - 1])
    return found


HERMITE = hermite_polynomials()


def adaptive(name: str, mean: sp.Rational, orders: Sequence[int]) -> list[Any]:
    """What one writes with python-flint."""
    function = FUNCTIONS[name]
    with precision(BITS):
        m = arb(int(mean.p)) / int(mean.q)
        end = math.ceil(math.sqrt(2.0 * DIGITS * math.log(10.0)) + 1.0)
        normalisation = (2 * arb.pi()).sqrt()
        found = []
        for k in orders:
            tolerance = arb(10) ** (-DIGITS) * arb(k).fac().sqrt()

            def integrand(x: Any, _: bool, polynomial: Any = HERMITE[k]) -> Any:
                return function(m + x) * polynomial(x) * (-x * x / 2).exp()

            value = acb.integral(integrand, acb(-end), acb(end), rel_tol=tolerance, abs_tol=tolerance)
            found.append(value.real / normalisation)
    return found


def best(tasks: dict[str, tuple[Callable[[], object], int]]) -> dict[str, float]:
    """CPU seconds of one call, tasks in turns."""
    found = dict.fromkeys(tasks, math.inf)
    for task, _ in tasks.values():
        task()  # imports and tables
    for _ in range(ROUNDS):
        for name, (task, calls) in tasks.items():
            begin = time.process_time()
            for _ in range(calls):
                task()
            found[name] = min(found[name], (time.process_time() - begin) / calls)
    return found


def first_call() -> float:
    """CPU seconds of the first call on an expression that was never seen, the best of some: tanh(c z) with new c."""
    found = math.inf
    for n in range(1, 12):
        activation = hm.Activation(sp.tanh((1 + sp.Rational(n, 10**6)) * hm.z))
        begin = time.process_time()
        certified_coefficients(activation, ORDER, MEAN, 1, DIGITS)
        found = min(found, time.process_time() - begin)
    return found


def differ(name: str, mean: sp.Rational) -> bool:
    """Whether balls do not overlap, or ours are not as small as they should be."""
    ours = certified_coefficients(hm.Activation(name), ORDER, mean, 1, DIGITS).coefficients
    with precision(BITS):
        for k, (ball, value) in enumerate(zip(ours, adaptive(name, mean, range(ORDER + 1)), strict=True)):
            scale = arb(k).fac().sqrt()
            if not ball.rad() < arb(10) ** (-DIGITS) * scale.max(abs(ball)):
                return True
            # the peer's cut tail is not in its radius
            if not ball.overlaps(value + arb(0, arb(10) ** (2 - DIGITS) * scale)):
                return True
    return False


def main() -> int:
    """Print CPU times and ratios; 0 if all targets are met."""
    activations = {name: hm.Activation(name) for name in FUNCTIONS}
    tasks: dict[str, tuple[Callable[[], object], int]] = {}
    for name, mean in [("tanh", sp.S.Zero), *((name, MEAN) for name in FUNCTIONS)]:
        orders = range(1, ORDER + 1, 2) if mean == 0 else range(ORDER + 1)

        def ours(name: str = name, mean: sp.Rational = mean) -> object:
            return certified_coefficients(activations[name], ORDER, mean, 1, DIGITS)

        def peer(name: str = name, mean: sp.Rational = mean, orders: Sequence[int] = orders) -> object:
            return adaptive(name, mean, orders)

        tasks[f"{name}, mean {mean}"] = (ours, 20)
        tasks[f"{name}, mean {mean}: acb.integral"] = (peer, 1)
    seconds = best(tasks)
    print(f"{ORDER + 1} coefficients, {DIGITS} digits, std 1; CPU ms, best of {ROUNDS}")
    missed = 0
    for label in itertools.islice(seconds, 0, None, 2):
        mine, other = seconds[label], seconds[f"{label}: acb.integral"]
        ratio = other / mine
        line = f"{label:20s} ours {1e3 * mine:8.2f}   acb.integral per k {1e3 * other:8.1f}   ratio {ratio:6.1f}"
        if label.startswith("tanh"):
            missed += ratio < TARGET
            line += f"   target >= {TARGET:g}   {'met' if ratio >= TARGET else 'MISSED'}"
        print(line)
    print(f"tanh, first call on a new expression: {1e3 * first_call():.2f}")
    wrong = [name for name in FUNCTIONS if differ(name, MEAN)]
    print(f"balls that miss the peer's values: {', '.join(wrong) or 'none'}")
    missed += len(wrong)
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
