"""Rigorous Hermite coefficients: what they refuse, and that each bound and sign in them is needed.

Mutants are edits of the real source, executed as modules of their own; a mutant whose text is no longer found fails.
"""

import importlib.util
import itertools
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import mpmath
import pytest
import sympy as sp
from flint import acb, arb

import hermiton.numerics.certify.envelope
import hermiton.numerics.certify.half_lines
import hermiton.numerics.certify.panels
import hermiton.numerics.certify.pieces
import hermiton.numerics.certify.strip
import hermiton.numerics.certify.taylor
import hermiton.numerics.certify.trapezoid
from hermiton.numerics.certify import (
    MAX_DIGITS,
    MAX_ORDER,
    certified_coefficients,
    certified_second_moment,
)
from hermiton.numerics.certify.envelope import envelope, tail_bound
from hermiton.numerics.certify.law import NotEnclosed, law
from hermiton.numerics.certify.strip import analytic_height, box, line_norm
from hermiton.theory.activation import Activation
from hermiton.theory.balls import ball_program, precision
from hermiton.theory.errors import AccuracyError, AssumptionError
from hermiton.theory.notation import z

R = sp.Rational
Property = Callable[[ModuleType], None]
BITS = 256


# -- Arguments --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("tanh", -1), "order=-1"),
        (("tanh", True), "order=True"),
        (("tanh", 2.0), "order=2.0"),
        (("tanh", MAX_ORDER + 1), f"order={MAX_ORDER + 1}"),
        (("tanh", 2, 0, -1), "std=-1 is negative"),
        (("tanh", 2, 0, sp.sqrt(2) - sp.sqrt(3)), "is negative"),
        (("tanh", 2, 0, sp.Symbol("s")), "is not a finite real number"),
        (("tanh", 2, 0.3), "mean=0.3 is not exact"),
        (("tanh", 2, sp.oo), "is not a finite real number"),
        (("tanh", 2, sp.I), "is not a finite real number"),
        (("tanh", 2, "one"), "is not a number"),
        (("tanh", 2, 0, 1, 0), "digits=0"),
        (("tanh", 2, 0, 1, 50.0), "digits=50.0"),
        (("tanh", 2, 0, 1, 50, 3), "derivative=3"),
        (("sign", 2, 0, 1, 50, 1), "jump adds a delta function"),
        (("relu", 2, 0, 1, 50, 2), "jump adds a delta function"),
        (("exp(z**2)", 2), "infinite Gaussian second moment"),
        (("exp(z**2/5)", 2, 0, 2), "infinite: sigma grows like"),
        (("thingummy", 2), "activation='thingummy' is not a known name"),
    ],
)
def test_bad_arguments_are_refused(arguments: tuple[Any, ...], words: str) -> None:
    with pytest.raises(AssumptionError) as caught:
        certified_coefficients(*arguments)
    assert words in str(caught.value)


def test_the_second_moment_refuses_the_same() -> None:
    for arguments in (("tanh", 0, -1), ("tanh", 0.5), ("tanh", 0, 1, 0), ("exp(z**2/5)", 0, 2), ("sign", 0, 1, 50, 1)):
        with pytest.raises(AssumptionError):
            certified_second_moment(*arguments)


@pytest.mark.parametrize("name", ["tanh", "relu", "gelu"])
def test_absurd_digits_are_refused_at_once_with_their_cost(name: str) -> None:
    start = time.process_time()
    for call in (
        lambda: certified_coefficients(name, 20, 0, 1, 10**6),
        lambda: certified_second_moment(name, 0, 1, MAX_DIGITS + 1),
    ):
        with pytest.raises(AccuracyError, match=r"about .* evaluations of .* and .* s would be needed"):
            call()
    assert time.process_time() - start < 5.0


def test_what_can_not_be_enclosed_is_refused_with_the_reason() -> None:
    with pytest.raises(AccuracyError, match=r"asked for 15 digits, got none, since .*more than \d+ panels are needed"):
        certified_coefficients(sp.sin(10**6 * z), 2, 0, 1, 15)


# -- A deviation of zero ----------------------------------------------------------------------------------------------


def test_a_deviation_of_zero_gives_the_value_and_exact_zeros() -> None:
    found = certified_coefficients("tanh", 5, R(1, 3), 0, 60)
    with mpmath.workdps(90):
        value = arb(mpmath.nstr(mpmath.tanh(mpmath.mpf(1) / 3), 85), arb(10) ** -80)
    with precision(400):
        assert found.coefficients[0].overlaps(value)
        assert found.coefficients[0].rad() < arb(10) ** -60
        assert certified_second_moment("tanh", R(1, 3), 0, 60).overlaps(value * value)
        slope = certified_coefficients("tanh", 2, R(1, 3), 0, 60, derivative=1).coefficients
        assert slope[0].overlaps(1 - value * value)
    assert all(c == 0 and c.is_exact() for c in (*found.coefficients[1:], *slope[1:]))


def test_a_deviation_of_zero_at_a_kink() -> None:
    assert certified_coefficients("relu", 1, 0, 0).coefficients[0] == 0
    assert certified_coefficients("sign", 1, -3, 0).coefficients[0] == -1
    assert certified_coefficients("relu", 1, 2, 0, derivative=1).coefficients[0] == 1
    for arguments in (("sign", 1, 0, 0, 50, 0), ("sign", 1, 0, 0, 50, 1), ("relu", 1, 0, 0, 50, 1)):
        with pytest.raises(AssumptionError, match="jumps, at z = 0"):
            certified_coefficients(*arguments)
    with pytest.raises(AssumptionError, match="jumps, at z = 0"):
        certified_second_moment("sign", 0, 0)


# -- Facts of the result ----------------------------------------------------------------------------------------------


def test_zeros_by_parity_are_exact() -> None:
    for name, first in (("tanh", 0), ("z*tanh(z)", 1), ("tanh(50*z)", 0), ("abs", 1), ("sign", 0)):
        balls = certified_coefficients(name, 7).coefficients
        assert all(b == 0 for b in balls[first::2])
        assert not any(b.contains(0) for b in balls[1 - first :: 2])


@pytest.mark.parametrize("digits", [1, 5, 15, 30, 90])
@pytest.mark.parametrize("name", ["softplus", "relu", "max(z, 0)*tanh(z)"])
def test_the_digits_asked_for_are_had(name: str, digits: int) -> None:
    found = certified_coefficients(name, 8, R(1, 3), R(3, 2), digits)
    fine = certified_coefficients(name, 8, R(1, 3), R(3, 2), 120)
    with precision(600):
        for k, (ball, small) in enumerate(zip(found.coefficients, fine.coefficients, strict=True)):
            assert ball.rad() < arb(10) ** -digits * arb(k).fac().sqrt().max(abs(ball))
            assert ball.contains(small)


def test_activations_are_taken_as_text_and_as_expressions() -> None:
    balls = [certified_coefficients(a, 3).coefficients for a in ("tanh", sp.tanh(z), Activation("tanh"))]
    for other in balls[1:]:
        assert all(x.mid() == y.mid() and x.rad() == y.rad() for x, y in zip(balls[0], other, strict=True))


def test_polynomials_come_in_closed_form() -> None:
    found = certified_coefficients("he3", 5)
    assert found.method == "closed form"
    assert [int(c.unique_fmpz()) for c in found.coefficients] == [0, 0, 0, 6, 0, 0]


# -- Envelopes and strips ---------------------------------------------------------------------------------------------

TAILS = [
    "tanh(z)*z**2",
    "sqrt(1 + z**2)*sin(3*z)",
    "exp(z/2)*cos(z) - z**5",
    "exp(z**2/8 - z)",
    "log(1 + exp(2*z - 1))*z",
    "log(1 + z**2 + exp(z))",
    "cosh(2*z - 1)/(1 + z**2)",
    "sinh(z)*erf(z)",
    "asinh(z)**3 + atan(z)",
    "erfi(z/3)",
    "exp(sqrt(1 + z**2))",
    "(1 + z**2)**(3/2)/(1 + exp(-z))",
    "exp(-z**4)*z",
    "sech(z)*z + 1/cosh(z/5)",
    "erfc(z)*exp(z/7)",
]


def _text(text: str) -> sp.Expr:
    return sp.sympify(text, locals={"z": z}, rational=True)


@pytest.mark.parametrize("text", TAILS)
def test_envelopes_bound_the_function(text: str) -> None:
    program = ball_program(_text(text))
    with precision(64):
        for lo, hi in ((arb(2), arb.pos_inf()), (arb.neg_inf(), arb(-3)), (arb.neg_inf(), arb.pos_inf())):
            c, p, b, g = envelope(program, lo, hi)
            assert c.is_finite() and p >= 0 and b >= 0 and g >= 0
            f = program.real()
            for i in range(-60, 61):
                x = arb(i) / 3
                if x < lo or x > hi:
                    continue
                size = c * (abs(x).max(arb(1)).log() * p + b * abs(x) + g * x * x).exp()
                assert not abs(f(x)) > size


def test_a_growth_without_envelope_is_refused() -> None:
    with precision(64), pytest.raises(NotEnclosed, match="no bound"):
        envelope(ball_program(sp.exp(z**3)), arb(1), arb.pos_inf())


@pytest.mark.parametrize("order", [0, 1, 6, 20])
@pytest.mark.parametrize("text", ["z", "exp(z/2)", "exp(z**2/8)", "z**3*tanh(z)"])
def test_the_tail_bound_is_above_the_tail_and_near_it(text: str, order: int) -> None:
    expression, m, s, end = _text(text), 0.25, 1.25, 11.0
    f = sp.lambdify(z, expression, "mpmath")

    def integrand(x: Any) -> Any:
        hermite = 2 ** (-mpmath.mpf(order) / 2) * mpmath.hermite(order, x / mpmath.sqrt(2))
        return abs(f(m + s * x) * hermite) * mpmath.npdf(x) / mpmath.sqrt(mpmath.factorial(order))

    with mpmath.workdps(30):
        tail = mpmath.quad(integrand, [end, end + 2, end + 6, end + 20])
    with precision(64):
        bound = tail_bound(envelope(ball_program(expression), arb(m), arb.pos_inf()), arb(m), arb(s), arb(end), order)
        assert tail < float(bound) < 30 * tail


def test_a_tail_that_begins_too_early_is_refused() -> None:
    with precision(64):
        bound = envelope(ball_program(_text("exp(z**2/8)")), arb(0), arb.pos_inf())
        for end, std, order in ((3.0, 1, 20), (100.0, 3, 0)):
            with pytest.raises(NotEnclosed, match="not under control"):
                tail_bound(bound, arb(0), arb(std), arb(end), order)


@pytest.mark.parametrize(
    ("text", "height"),
    [
        ("tanh(z)", math.pi / 2),
        ("1/(1 + exp(-z))", math.pi),
        ("log(1 + exp(z))", math.pi),
        ("sqrt(1 + z**2)", 1.0),
        ("atan(z)", 1.0),
        ("asinh(2*z)", 0.5),
        ("1/(1 + z**4)", math.sqrt(0.5)),
        ("log(2 + z**2)*tanh(3*z)", math.pi / 6),
        ("1/cosh(z)", math.pi / 2),
        ("1/(2 + cos(z))", math.acosh(2.0)),
    ],
)
def test_strips_end_below_the_singularity(text: str, height: float) -> None:
    function = ball_program(_text(text)).complex()
    with precision(64):
        found = analytic_height(function, arb(0), arb(1), -9.0, 9.0, 8.0)
        assert 0.75 * height < found <= height
        assert analytic_height(function, arb(0), arb(2), -9.0, 9.0, 8.0) <= height / 2


@pytest.mark.parametrize("text", ["sqrt(z)", "1/z", "log(z**2)", "atan(10**9*z)"])
def test_no_strip_is_found_around_a_singularity_at_the_real_line(text: str) -> None:
    with precision(64), pytest.raises(NotEnclosed):
        analytic_height(ball_program(_text(text)).complex(), arb(0), arb(1), -3.0, 3.0, 8.0)


@pytest.mark.parametrize("text", ["tanh(z)", "erf(z)", "exp(z) - z", "log(1 + exp(z))"])
def test_the_line_norm_is_above_the_integral(text: str) -> None:
    expression, a = _text(text), 1.25
    f = sp.lambdify(z, expression, "mpmath")
    with mpmath.workdps(20):
        exact = mpmath.quad(lambda x: abs(f(mpmath.mpc(x, a))) ** 2 * mpmath.npdf(x), [-9, -3, 0, 3, 9])
    with precision(64):
        bound = line_norm(ball_program(expression).complex(), arb(0), arb(1), -9.0, 9.0, a)
        assert exact < float(bound) < 100 * exact


WIDE = [
    "tanh(z)",
    "1/(1 + exp(-z))",
    "log(1 + exp(z))",
    "asinh(z)",
    "erf(z)",
    "asin(z/9)",
    "acos(z/9)",
    "sqrt(9 + z**2)",
]


@pytest.mark.parametrize("text", WIDE)
def test_wide_complex_balls_hold_the_values_inside(text: str) -> None:
    expression = _text(text)
    f, seen = sp.lambdify(z, expression, "mpmath"), 0
    with precision(64):
        function = ball_program(expression).complex()
        for left, width, low, high in itertools.product((-8, -3, -1, 0, 2), (1, 4, 8), (0, 1), (0.5, 0.9, 1.4, 2.9)):
            if high <= low:
                continue
            ball = function(box(left, left + width, low, high))
            if not ball.is_finite():
                continue
            seen += 1
            for i, j in itertools.product(range(5), range(5)):
                value = f(mpmath.mpc(left + width * i / 4, low + (high - low) * j / 4))
                inside = acb(arb(float(value.real), 1e-12), arb(float(value.imag), 1e-12))
                assert ball.overlaps(inside), (left, width, low, high, value)
    assert seen > 20


@pytest.mark.parametrize(
    ("text", "point"),
    [
        ("tanh(z)", 0.5j * math.pi),
        ("1/(1 + exp(-z))", 1j * math.pi),
        ("log(1 + exp(z))", 1j * math.pi),
        ("log(1 + exp(z))", 4j),
        ("sqrt(1 + z**2)", 1j),
        ("sqrt(1 + z**2)", 2j),
        ("asinh(z)", 2j),
        ("atan(z)", 1.5j),
        ("asin(z)", 2.0),
        ("acos(z)", -1.5),
        ("atanh(z)", 1.0),
        ("(2 + z)**(1/3)", -3.0),
        ("log(1 + z)", -4.0),
        ("1/(1 + z**4)", math.sqrt(0.5) * (1 + 1j)),
        ("tan(z)", 0.5 * math.pi),
        ("exp(1/(1 + z**2))", 1j),
        ("sin(1/z)", 0.0),
        ("tanh(tan(z))", 0.5 * math.pi),
    ],
)
def test_boxes_that_touch_a_singularity_are_not_finite(text: str, point: complex) -> None:
    with precision(64):
        function = ball_program(_text(text)).complex()
        x, y = complex(point).real, complex(point).imag
        for size in (1e-6, 0.03, 0.4, 3.0):
            for dx, dy in ((0.0, 0.0), (0.9, 0.4), (-0.5, -0.9)):
                area = box(x + (dx - 1) * size, x + (dx + 1) * size, y + (dy - 1) * size, y + (dy + 1) * size)
                assert not function(area).is_finite()


@pytest.mark.parametrize(
    ("text", "parity", "entire"),
    [
        ("tanh(z)", "odd", False),
        ("z*tanh(z)", "even", False),
        ("exp(-z**2)*sin(z)", "odd", True),
        ("exp(z)", None, True),
        ("z + z**2", None, True),
        ("cos(z) + z**4 + 1", "even", True),
        ("cos(z**3)*2/3", "even", True),
        ("z*(1 + erf(z))/2", None, True),
        ("erf(z)**3", "odd", True),
        ("1/(1 + z**2)", "even", False),
        ("sqrt(1 + z**2)", "even", False),
        ("(1 + exp(1))*z", "odd", True),
    ],
)
def test_the_structure_shows_parity_and_entire_functions(text: str, parity: str | None, entire: bool) -> None:
    program = ball_program(_text(text))
    assert program.parity == parity
    assert program.is_entire == entire


# -- Properties that mutants break ------------------------------------------------------------------------------------
#
# Floats choose the step, the end and the number of nodes; the proofs have to see when they chose badly. References are
# computed with far more digits by mpmath, and once.


def _reference(text: str, order: int, mean: float, std: float) -> list[Any]:
    """E[sigma(m + s x) He_k(x)], by tanh-sinh quadrature; floats are exact in binary."""
    f = sp.lambdify(z, _text(text), "mpmath")

    def coefficient(k: int) -> Any:
        def integrand(x: Any) -> Any:
            before, now = mpmath.mpf(0), mpmath.mpf(1)
            for j in range(k):
                before, now = now, x * now - j * before
            return f(mean + std * x) * now * mpmath.npdf(x)

        return mpmath.quad(integrand, [-18, -6, -2, 0, 2, 6, 18])

    with mpmath.workdps(40):
        return [coefficient(k) for k in range(order + 1)]


ORDER = 4
TRAPEZOID_CASES = [("tanh(z)", 0.0, 1.0), ("1/cosh(z)", 0.0, 1.5), ("z/(1 + exp(-z))", 0.5, 1.25)]
GOALS = (-6.0, -12.0, -25.0)


@pytest.fixture(scope="module")
def truth() -> dict[str, list[Any]]:
    return {case[0]: _reference(case[0], ORDER, *case[1:]) for case in TRAPEZOID_CASES}


def _differences(values: list[Any], truth: list[Any]) -> Iterator[Any]:
    """|value - truth|/sqrt(k!), where the values are divided by k!; lower bounds, 25 digits below the errors sought."""
    for k, (value, reference) in enumerate(zip(values, truth, strict=True)):
        exact = arb(mpmath.nstr(reference, 36), arb(10) ** -33)
        yield (abs(value * arb(k).fac() - exact) / arb(k).fac().sqrt()).lower()


def _holds(module: Any, truth: dict[str, list[Any]]) -> int:
    """Each grid that the module makes has an honest error; the number of those it refused."""
    refused = 0
    for text, mean, std in TRAPEZOID_CASES:
        program, where = ball_program(_text(text)), law(sp.Rational(mean), sp.Rational(std))
        for goal in GOALS:
            with precision(BITS):
                try:
                    grid = module.plan(program, where, ORDER, goal)
                except NotEnclosed:
                    refused += 1
                    continue
                values = module.sum_on(grid, program, where, ORDER)
                for difference in _differences(values, truth[text]):
                    assert difference <= grid.error, (text, goal)
    return refused


def grids_keep_their_word(module: Any, truth: dict[str, list[Any]]) -> None:
    assert _holds(module, truth) == 0


def coarse_steps_are_seen(module: Any, truth: dict[str, list[Any]]) -> None:
    choose = module.choose_step
    refused = 0
    for factor in (1.25, 1.5, 2.0):
        module.choose_step = lambda *given, f=factor: math.ldexp(round(math.ldexp(f * choose(*given), 12)), -12)
        refused += _holds(module, truth)
    module.choose_step = choose
    assert refused > 0


def early_ends_are_seen(module: Any, truth: dict[str, list[Any]]) -> None:
    choose, least, reach = module.choose_step, module.least_reach, module.reach
    refused = 0
    # a step so fine that the tails are all that is left
    module.choose_step = lambda *given: choose(*given) / 16
    for factor in (1.0, 0.95, 0.9, 0.85, 0.8, 0.7):
        module.least_reach = lambda *given, f=factor: f * least(*given)
        module.reach = lambda *given, f=factor: f * reach(*given)
        refused += _holds(module, truth)
    module.choose_step, module.least_reach, module.reach = choose, least, reach
    assert refused > 0


TRAPEZOID = hermiton.numerics.certify.trapezoid
PANELS = hermiton.numerics.certify.panels
PIECES = hermiton.numerics.certify.pieces
TAYLOR = hermiton.numerics.certify.taylor
HALF_LINES = hermiton.numerics.certify.half_lines


def loaded(real: ModuleType, *edits: tuple[str, str]) -> Any:
    """A module of its own from the edited source of another."""
    path = Path(str(real.__file__))
    text = path.read_text()
    for old, new in edits:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    spec = importlib.util.spec_from_loader(real.__name__, loader=None, origin=str(path))
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    module.__package__ = real.__package__
    module.__dict__["__file__"] = str(path)
    # dataclasses look their module up by name: the real one serves
    exec(compile(text, str(path), "exec"), module.__dict__)
    return module


TRAPEZOID_PROPERTIES = [grids_keep_their_word, coarse_steps_are_seen, early_ends_are_seen]


@pytest.mark.parametrize("holds", TRAPEZOID_PROPERTIES)
def test_the_trapezoidal_rule_has(holds: Any, truth: dict[str, list[Any]]) -> None:
    holds(loaded(TRAPEZOID), truth)


def _without(function: str) -> tuple[str, str]:
    return f"def {function}(", f"def {function}(*_: Any) -> Any:\n    return arb(0)\n\n\ndef _real_{function}("


@pytest.mark.parametrize(
    ("edit", "breaks"),
    [
        (_without("horizontal_error"), coarse_steps_are_seen),
        (("2 * arb.pi() * height / step).expm1()", "4 * arb.pi() * height / step).expm1()"), coarse_steps_are_seen),
        (("square = strip.line_norm", "square = arb(10) ** -9 * strip.line_norm"), coarse_steps_are_seen),
        (
            ("        error += beyond + (beyond if parity else tail_bound(left, m, s, last, order))\n", ""),
            early_ends_are_seen,
        ),
        (("even.append(above + below)", "even.append(above - below)"), grids_keep_their_word),
        (("odd.append(above - below)", "odd.append(above + below)"), grids_keep_their_word),
        (("shrink = h / (2 * arb.pi()).sqrt()", "shrink = 2 * h / (2 * arb.pi()).sqrt()"), grids_keep_their_word),
        (("values = [weight * f(m)] if", "values = [2 * weight * f(m)] if"), grids_keep_their_word),
        (("from_moments(start * h, moments", "from_moments(-start * h, moments"), early_ends_are_seen),
    ],
)
def test_mutants_of_the_trapezoidal_rule_are_caught(
    edit: tuple[str, str], breaks: Any, truth: dict[str, list[Any]]
) -> None:
    with pytest.raises(AssertionError):
        breaks(loaded(TRAPEZOID, edit), truth)


@pytest.mark.parametrize(
    ("edit", "breaks"),
    [
        (("-values[k - 1] / (k + 1)", "values[k - 1] / (k + 1)"), grids_keep_their_word),
        (("(centre * values[k] - values[k - 1])", "(centre * values[k] + values[k - 1])"), early_ends_are_seen),
        (("mu * f for mu, f in", "mu for mu, f in"), grids_keep_their_word),
    ],
)
def test_mutants_of_the_hermite_recursion_are_caught(
    edit: tuple[str, str], breaks: Any, truth: dict[str, list[Any]]
) -> None:
    module = loaded(TRAPEZOID)
    module.from_moments = loaded(TAYLOR, edit).from_moments
    with pytest.raises(AssertionError):
        breaks(module, truth)


def test_the_sides_of_the_rectangle_are_needed_and_enough() -> None:
    """The rule on [-L, L] against the integral over [-L, L]: with a short rectangle its sides are the error."""
    height, step, count = 1.25, 0.25, 6
    end = (count + 0.5) * step
    with mpmath.workdps(30):
        exact = 2 * mpmath.quad(lambda x: mpmath.sech(x / 2) * mpmath.npdf(x), [0, end])
        rule = mpmath.fsum(step * mpmath.sech(j * step / 2) * mpmath.npdf(j * step) for j in range(-count, count + 1))
        error = abs(exact - rule)
    program = ball_program(_text("1/cosh(z/2)"))
    with precision(64):
        a, h, l = arb(height), arb(step), arb(end)
        square = line_norm(program.complex(), arb(0), arb(1), -end, end, height)
        across = TRAPEZOID.horizontal_error(TRAPEZOID.line_size(square.sqrt(), a, 0), a, h)
        peaks = hermiton.numerics.certify.strip.peaks(program.complex(), arb(0), arb(1), end, end, height, 8)
        down = TRAPEZOID.vertical_error([2 * p for p in peaks], l, a, h, 0)
        assert float(across) < error < float(across + down) < 100 * error
        with pytest.raises(NotEnclosed, match="too narrow"):
            TRAPEZOID.vertical_error(peaks, l, a, h, 1)


PIECE = "z*tanh(z)"


@pytest.fixture(scope="module")
def half_truth() -> tuple[list[Any], list[Any]]:
    """Integrals of PIECE He_k phi over (0, 3) and over (0, oo); m = 1/2, s = 3/2, in z > 0 or x > -1/3."""
    f = sp.lambdify(z, _text(PIECE), "mpmath")

    def coefficient(k: int, ends: list[Any]) -> Any:
        def integrand(x: Any) -> Any:
            before, now = mpmath.mpf(0), mpmath.mpf(1)
            for j in range(k):
                before, now = now, x * now - j * before
            return f((1 + 3 * x) / 2) * now * mpmath.npdf(x)

        return mpmath.quad(integrand, ends)

    with mpmath.workdps(40):
        low = -mpmath.mpf(1) / 3
        short = [coefficient(k, [low, 1, 3]) for k in range(ORDER + 1)]
        return short, [v + coefficient(k, [3, 6, 18]) for k, v in enumerate(short)]


FIELD = (R(1, 2), R(3, 2))


def few_nodes_are_counted(module: Any, truth: tuple[list[Any], list[Any]]) -> None:
    program, where, rung = ball_program(_text(PIECE)), law(*FIELD), module._rung
    for share, goal in itertools.product((1, 2, 3), (-8.0, -20.0)):
        module._rung = lambda count, d=share: max(2, rung(count) // d)
        with precision(BITS):
            total, error = [arb(0)] * (ORDER + 1), arb(0)
            for panel in module.panels(program, where, -arb(1) / 3, arb(3), ORDER, goal, BITS):
                error += panel.error
                if panel.nodes:
                    total = [t + v for t, v in zip(total, module.panel_sum(panel, program, where, ORDER), strict=True)]
            assert all(d <= error for d in _differences(total, truth[0])), (share, goal)
            assert share > 1 or error.log() < goal
    module._rung = rung


def tails_of_panels_are_counted(module: Any, truth: tuple[list[Any], list[Any]]) -> None:
    cut = module.panels
    module.panels = lambda *given: cut(*given[:-2], given[-2] - 40.0, given[-1])  # the tail is all that is left
    piece = PIECES.SmoothPiece(sp.S.Zero, sp.oo, _text(PIECE))
    for goal in (-3.0, -8.0, -16.0):
        with precision(BITS):
            part = module._panel_part(piece, law(*FIELD), ORDER, goal, BITS)
            assert all(d <= part.error for d in _differences(part.values, truth[1])), goal
    module.panels = cut


def test_panels_count_their_errors(half_truth: tuple[list[Any], list[Any]]) -> None:
    few_nodes_are_counted(loaded(PANELS), half_truth)
    tails_of_panels_are_counted(loaded(PIECES), half_truth)


@pytest.mark.parametrize(
    ("module", "edit", "breaks"),
    [
        (PANELS, _without("gauss_error"), few_nodes_are_counted),
        (PANELS, ("** (2 * count)", "** (4 * count)"), few_nodes_are_counted),
        (PANELS, ("(-x * x / 2).exp())", "(x * x / 2).exp())"), few_nodes_are_counted),
        (PIECES, ("            error += beyond\n", ""), tails_of_panels_are_counted),
    ],
)
def test_mutants_of_panels_are_caught(
    module: ModuleType, edit: tuple[str, str], breaks: Any, half_truth: tuple[list[Any], list[Any]]
) -> None:
    with pytest.raises(AssertionError):
        breaks(loaded(module, edit), half_truth)


def closed_forms_hold(module: Any) -> None:
    """z^2 exp(z/2 - z^2/8) on three intervals."""
    expression = z**2 * sp.exp(z / 2 - z**2 / 8)
    terms = module.exponential_terms(expression)
    for low, high in ((-1, 2), (sp.Rational(1, 4), sp.oo), (-sp.oo, -2)):
        with precision(BITS):
            found = module.interval_integrals(terms, law(*FIELD), sp.sympify(low), sp.sympify(high), ORDER)
        ends = [mpmath.mpf(-16) if low == -sp.oo else (float(low) - 0.5) / mpmath.mpf(1.5)]
        ends += [mpmath.mpf(16) if high == sp.oo else (float(high) - 0.5) / mpmath.mpf(1.5)]
        for k in range(ORDER + 1):
            with mpmath.workdps(30):

                def integrand(x: Any, k: int = k) -> Any:
                    y = (1 + 3 * x) / 2
                    hermite = 2 ** (-mpmath.mpf(k) / 2) * mpmath.hermite(k, x / mpmath.sqrt(2))
                    return y**2 * mpmath.exp(y / 2 - y * y / 8) * hermite * mpmath.npdf(x)

                edges = [-2 + mpmath.mpf(j) for j in range(5) if ends[0] < j - 2 < ends[1]]
                value = mpmath.quad(integrand, [ends[0], *edges, ends[1]]) / mpmath.factorial(k)
                assert found[k].overlaps(arb(mpmath.nstr(value, 25), 1e-12)), (low, high, k)


def test_closed_forms_hold() -> None:
    closed_forms_hold(loaded(HALF_LINES))


@pytest.mark.parametrize(
    "edit",
    [
        ("value += i * moments[i - 1]", "value -= i * moments[i - 1]"),
        ("((left, 1), (right, -1))", "((left, -1), (right, 1))"),
        ("value = beta * moments[i]", "value = -beta * moments[i]"),
        ("alpha = 1 - 2 * c * s * s", "alpha = 1 + 2 * c * s * s"),
        ("return u.erfc()\n", "return (-u).erfc()\n"),
    ],
)
def test_mutants_of_closed_forms_are_caught(edit: tuple[str, str]) -> None:
    with pytest.raises(AssertionError):
        closed_forms_hold(loaded(HALF_LINES, edit))
