"""Arguments, kinds and corner cases of moments of Gaussian fields."""

import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest
import sympy as sp

import hermiton as hm
from hermiton.numerics.field_law import read_law
from hermiton.numerics.field_moment import FieldMoment
from hermiton.numerics.field_numbers import ball_mpf, rounded, rounded_ball
from hermiton.numerics.moments.erf_means import erf_forms
from hermiton.theory.notation import z

HALF = [[1.0, 0.5], [0.5, 1.0]]


def close(found: FieldMoment, truth: float) -> bool:
    """Whether the error bounds the distance from a number that is known to double precision."""
    return abs(found.value - truth) <= found.error + 4e-16 * abs(truth)


@pytest.mark.parametrize(
    ("covariance", "words"),
    [
        ([[1.0, 2.0], [2.0, 1.0]], ("covariance", "not positive semidefinite", "-1.0e+00")),
        ([[1.0, 0.5], [0.4, 1.0]], ("covariance", "not symmetric")),
        ([[-1.0, 0.0], [0.0, 1.0]], ("covariance", "negative variance")),
        ([[0.0, 0.1], [0.1, 1.0]], ("covariance", "without variance")),
        ([[math.nan, 0.0], [0.0, 1.0]], ("covariance=nan", "finite")),
        ([[math.inf, 0.0], [0.0, 1.0]], ("covariance=inf", "finite")),
        ([[1.0, 0.5]], ("covariance", "square")),
        ([[1.0, 0.5], [0.5]], ("covariance", "square")),
        ([], ("covariance", "empty")),
        (1.0, ("covariance=1.0", "not a matrix")),
        ("relu", ("covariance='relu'", "not a matrix")),
        ([1.0, 2.0], ("covariance", "not a matrix")),
        (np.eye(5), ("covariance", "too many fields", "1 to 4")),
        ([["a", 0.0], [0.0, 1.0]], ("covariance='a'",)),
        ([[1.0, 0.5j], [0.5j, 1.0]], ("covariance",)),
        ([[10**400, 0], [0, 1]], ("covariance", "too large")),
        ([[sp.Symbol("c"), 0], [0, 1]], ("covariance=c", "symbols")),
    ],
)
def test_bad_covariances_are_refused(covariance: object, words: tuple[str, ...]) -> None:
    with pytest.raises(hm.AssumptionError) as caught:
        hm.field_moment("tanh", covariance)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"mean": [0.0]}, ("mean", "length 2")),
        ({"mean": 0.0}, ("mean=0.0", "length 2")),
        ({"mean": [0.0, math.nan]}, ("mean=nan", "finite")),
        ({"derivatives": [1]}, ("derivatives", "2 integers")),
        ({"derivatives": [0, 3]}, ("derivatives", "0, 1 or 2")),
        ({"derivatives": [0, -1]}, ("derivatives", "0, 1 or 2")),
        ({"derivatives": [0, 0.5]}, ("derivatives", "0, 1 or 2")),
        ({"derivatives": [True, 0]}, ("derivatives", "0, 1 or 2")),
        ({"derivatives": 1}, ("derivatives=1", "one a field")),
        ({"digits": 0}, ("digits=0", "positive integer")),
        ({"digits": 15.0}, ("digits=15.0", "positive integer")),
        ({"digits": True}, ("digits=True", "positive integer")),
        ({"activations": ["tanh"]}, ("activations", "2 fields")),
        ({"activations": ["tanh"] * 5}, ("activations", "too many")),
        ({"activations": ["tanh", math.tanh]}, ("activations", "builtin_function_or_method")),
        ({"activations": ["tanh", "thanh"]}, ("thanh", "did you mean")),
        ({"activations": ["relu", "tanh"], "derivatives": [2, 0]}, ("derivatives=2", "relu", "kink at z = 0")),
        ({"activations": ["sign", "tanh"], "derivatives": [1, 0]}, ("derivatives=1", "sign", "delta function")),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, object], words: tuple[str, ...]) -> None:
    given = {"activations": "tanh", "covariance": HALF, **arguments}
    with pytest.raises(hm.AssumptionError) as caught:
        hm.field_moment(**given)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_moment_that_is_infinite_is_refused_and_its_neighbour_is_not() -> None:
    act = "exp(z**2/10)"
    assert close(hm.field_moment(act, [[4.0]]), 1 / math.sqrt(1 - 4.0 / 5))
    with pytest.raises(hm.AssumptionError, match=r"covariance=\[\[5.1\]\] makes the moment infinite"):
        hm.field_moment(act, [[5.1]])
    # two fields: each alone is integrable, their product is not
    with pytest.raises(hm.AssumptionError, match="infinite"):
        hm.field_moment(act, [[3.0, 2.9], [2.9, 3.0]])
    assert math.isfinite(hm.field_moment(act, [[3.0, 0.0], [0.0, 3.0]]).value)


def test_three_correlated_fields_have_no_digits_beyond_doubles_and_two_blocks_have() -> None:
    covariance = [
        [1, Fraction(1, 2), 0, 0],
        [Fraction(1, 2), 1, 0, 0],
        [0, 0, 1, Fraction(1, 3)],
        [0, 0, Fraction(1, 3), 1],
    ]
    found = hm.field_moment("tanh", covariance, digits=25)
    parts = [hm.field_moment("tanh", [[1, r], [r, 1]], digits=25) for r in (Fraction(1, 2), Fraction(1, 3))]
    with mpmath.workdps(40):
        assert abs(found.value - parts[0].value * parts[1].value) < mpmath.mpf(10) ** -25
    assert found.kind == "rigorous"
    assert found.ball is not None
    with pytest.raises(hm.AccuracyError, match="digits=25, 15 can be had"):
        hm.field_moment("tanh", np.eye(3) + 0.1, digits=25)


def test_polynomials_are_exact_at_any_number_of_digits() -> None:
    found = hm.field_moment(["he3", "he3"], [[1, 0.5], [0.5, 1]])
    assert (found.value, found.error, found.kind) == (0.75, 0.0, "exact")
    third = hm.field_moment("square", [[Fraction(1, 3)]])
    assert Fraction(third.value) != Fraction(1, 3)
    assert abs(Fraction(third.value) - Fraction(1, 3)) <= Fraction(third.error) < Fraction(1, 10**16)
    four = hm.field_moment(["z**2", "z", "z", "z**2"], sp.ones(4, 4), digits=40)
    assert (four.value, four.kind) == (15, "exact")
    root = hm.field_moment("sqrt(2)*z**2", [[1]], digits=40)
    with mpmath.workdps(100):
        assert abs(root.value - mpmath.sqrt(2)) <= root.error < mpmath.mpf(10) ** -40
    derived = hm.field_moment("z**3", HALF, derivatives=[1, 0])
    assert (derived.value, derived.kind) == (0.0, "exact")
    assert hm.field_moment("z**3", HALF, mean=[0, 1], derivatives=[1, 2]).value == 3 * 6


def test_fields_without_variance_are_constants() -> None:
    for mean, value in ((-1, 0.0), (2, 2.0)):
        assert hm.field_moment("relu", [[0.0]], [mean]).value == value
    assert hm.field_moment("relu", [[0.0]], derivatives=[1]).value == 0.5
    assert hm.field_moment("sign", [[0.0]]).value == 0.0
    assert close(
        hm.field_moment("tanh", [[0, 0], [0, 1]], [1, 0.5]), math.tanh(1) * hm.field_moment("tanh", [[1]], [0.5]).value
    )
    with pytest.raises(hm.AssumptionError, match="impulse of sign'"):
        hm.field_moment("sign", [[0.0]], derivatives=[1])
    precise = hm.field_moment("tanh", [[0]], [1], digits=30)
    with mpmath.workdps(100):
        assert abs(precise.value - mpmath.tanh(1)) <= precise.error < mpmath.mpf(10) ** -30


def test_impulses_of_piecewise_linear_functions() -> None:
    # E[sign'(x) sign'(y)] = 4 times the density at the origin
    found = hm.field_moment("sign", HALF, derivatives=[1, 1])
    assert close(found, 4 / (2 * math.pi * math.sqrt(0.75)))


def test_exact_numbers_and_floats_of_one_law_agree() -> None:
    exact = sp.Matrix([[2, sp.sqrt(2)], [sp.sqrt(2), 1]])
    floats = [[2.0, math.sqrt(2.0)], [math.sqrt(2.0), 1.0]]
    ours, theirs = (hm.field_moment("tanh", c, [0.5, 0]) for c in (exact, floats))
    assert abs(ours.value - theirs.value) <= ours.error + theirs.error
    with pytest.raises(hm.AssumptionError, match="give exact numbers for digits=20"):
        hm.field_moment("tanh", floats if math.sqrt(2.0) ** 2 > 2 else [[2.0, 1.5], [1.5, 1.125 - 2.0**-52]], digits=20)


def test_rounding_that_leaves_a_covariance_indefinite_is_part_of_the_error() -> None:
    below = 1.0 - 2.0**-53
    found = hm.field_moment(["sign", "sign"], [[below, 1.0], [1.0, 1.0]])
    assert abs(found.value - 1.0) <= found.error
    assert 1e-9 < found.error < 1e-6  # a jump feels the square root of rounding
    smooth = hm.field_moment(["tanh", "tanh"], [[below, 1.0], [1.0, 1.0]])
    assert smooth.error < 1e-14
    assert "rounding" in smooth.method


def test_what_is_beyond_doubles_is_refused_or_had_from_balls() -> None:
    with pytest.raises(hm.AccuracyError, match="38 standard deviations"):
        hm.field_moment("exp(z**2/10)", [[4.9]])
    # exp(800) is beyond doubles, but not where the integral needs it
    assert close(hm.field_moment("exp(z)", [[400]]), math.exp(200))


def test_moments_below_the_range_of_doubles_are_zero_with_an_error() -> None:
    found = hm.field_moment("Max(0, z - 1)*tanh(z)", [[1e-6]], [0.5])
    assert found.value == 0.0
    assert 0.0 < found.error < 1e-280


def test_forms_of_the_erf_family() -> None:
    for text, known in (("erf(z)", 1), ("2 + 3*erf(2*z - 1) - erf(z)", 3), ("exp(-z**2 + z)", 1), ("z + erf(z)", 2)):
        forms = erf_forms(hm.Activation(text).expression)
        assert forms is not None
        assert len(forms) == known
    for text in ("tanh(z)", "z*erf(z)", "erf(z**3)", "exp(z)", "z**2 + erf(z)", "exp(-z**4)", "exp(z**2/9)"):
        assert erf_forms(hm.Activation(text).expression) is None
    assert erf_forms(sp.sympify(3) + 0 * z) is not None


def test_numbers_are_rounded_once() -> None:
    assert rounded(Fraction(1, 2)) == (0.5, 0.0)
    value, error = rounded(Fraction(1, 3), Fraction(1, 10**20))
    assert Fraction(error) >= abs(Fraction(value) - Fraction(1, 3)) + Fraction(1, 10**20)
    assert rounded(Fraction(10) ** 400).value == math.inf
    from flint import arb

    ball = arb(3) / 8
    assert rounded_ball(ball) == (0.375, 0.0)
    assert rounded_ball(arb(2) ** 5000).value == math.inf
    assert rounded_ball(arb(2) ** -5000) == (0.0, 5e-324)
    assert ball_mpf(ball.mid()) == 0.375


def test_a_law_knows_its_independent_parts() -> None:
    law = read_law([[1, 0, 0.5], [0, 1, 0], [0.5, 0, 1]], None)
    assert list(law.independent_parts()) == [[0, 2], [1]]
    assert law.part([2, 1]).covariance == ((1, 0), (0, 1))
    assert law.missing_share() == 0
