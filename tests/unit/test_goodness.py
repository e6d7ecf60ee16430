"""Good activations: the classification, exact dependencies of those that are none, and Taylor certificates."""

import pickle

import mpmath as mp
import pytest
import sympy as sp

from hermiton.theory.activation import Activation
from hermiton.theory.errors import AssumptionError
from hermiton.theory.goodness import BAD, GOOD, UNDECIDED, UP_TO_SIGN, goodness, relation, taylor_minor, taylor_rank
from hermiton.theory.notation import z

R = sp.Rational
HALVES = [R(1, 2), R(1), R(3, 2)]
OPPOSITE = [R(1, 2), R(-1, 2), R(1), R(-1)]

# status, kind, polynomial part, whether a neuron of weight 0 is silent
CLASSES = {
    "tanh": (UP_TO_SIGN, "odd", 0, True),
    "erf": (UP_TO_SIGN, "odd", 0, True),
    "sin": (UP_TO_SIGN, "odd", 0, True),
    "atan(z)": (UP_TO_SIGN, "odd", 0, True),
    "exp(-z**2)": (UP_TO_SIGN, "even", 0, False),
    "cos": (UP_TO_SIGN, "even", 0, False),
    "1/(1 + z**2)": (UP_TO_SIGN, "even", 0, False),
    "z*tanh(z)": (UP_TO_SIGN, "even", 0, True),
    "sigmoid": (UP_TO_SIGN, "constant + odd", R(1, 2), False),
    "softplus": (UP_TO_SIGN, "polynomial + even", z / 2, False),
    "silu": (UP_TO_SIGN, "polynomial + even", z / 2, True),
    "gelu": (UP_TO_SIGN, "polynomial + even", z / 2, True),
    "z**2 + tanh(z)": (UP_TO_SIGN, "polynomial + odd", z**2, True),
    "exp": (GOOD, "generic", None, False),
    "sin(z) + cos(z)": (GOOD, "generic", None, False),
    "tanh(z + 1/3)": (GOOD, "generic", None, False),
    "log(1 + exp(z + 1))": (GOOD, "generic", None, False),
    "identity": (BAD, "polynomial", z, True),
    "he3": (BAD, "polynomial", z**3 - 3 * z, True),
    "relu": (BAD, "homogeneous", None, True),
    "leaky_relu": (BAD, "homogeneous", None, True),
    "abs": (BAD, "homogeneous", None, True),
    "sign": (BAD, "homogeneous", None, False),
    "Max(-1, Min(1, z))": (UNDECIDED, "kinked", None, True),
    "Max(0, z - 1)": (UNDECIDED, "kinked", None, True),
}


@pytest.mark.parametrize("name", CLASSES)
def test_classification(name: str) -> None:
    found = goodness(Activation(name))
    status, kind, polynomial, null = CLASSES[name]
    assert (found.status, found.kind, found.null_block) == (status, kind, null)
    assert found.polynomial == polynomial or sp.expand(found.polynomial - polynomial) == 0
    assert found.reason and str(found) == f"{status} ({kind})"
    assert pickle.loads(pickle.dumps(found)) == found


@pytest.mark.parametrize("name", [name for name, (status, *_) in CLASSES.items() if status == UP_TO_SIGN])
def test_the_polynomial_part_and_the_parity_of_the_rest(name: str) -> None:
    """sigma minus its polynomial part has the stated parity, at points in high precision."""
    found = goodness(Activation(name))
    rest = sp.lambdify(z, Activation(name).expression - found.polynomial, "mpmath")
    sign = -1 if found.kind.endswith("odd") else 1
    with mp.workdps(50):
        for point in (mp.mpf(1) / 3, mp.mpf(7) / 5, mp.mpf(3)):
            assert abs(rest(point) - sign * rest(-point)) < mp.mpf(10) ** -40
            assert abs(rest(point) + sign * rest(-point)) > mp.mpf(10) ** -10


# ---- dependencies ----


@pytest.mark.parametrize(
    "name",
    "tanh erf cos exp(-z**2) sigmoid softplus silu gelu z**2+tanh(z) relu leaky_relu abs z**2*Heaviside(z)".split(),
)
def test_a_dependency_holds(name: str) -> None:
    terms = relation(Activation(name), R(2, 3), R(5, 4))
    weights = [w for _, w in terms]
    assert len(set(weights)) == len(terms) >= 2 and all(c != 0 for c, _ in terms)
    sigma = sp.lambdify(z, Activation(name).expression, "mpmath")
    with mp.workdps(50):
        for point in (mp.mpf(1) / 3, -mp.mpf(7) / 5, mp.mpf(4)):
            values = [_mpf(c) * sigma(_mpf(w) * point) for c, w in terms]
            assert abs(mp.fsum(values)) < mp.mpf(10) ** -40
            assert max(map(abs, values)) > mp.mpf(10) ** -10 or name in ("relu", "z**2*Heaviside(z)")


def _mpf(value: sp.Rational) -> mp.mpf:
    return mp.mpf(int(value.p)) / int(value.q)


@pytest.mark.parametrize("name", ["exp", "he3", "Max(-1, Min(1, z))", "z + z**2 + cosh(z) - cosh(z)"])
def test_no_dependency_is_made_up(name: str) -> None:
    with pytest.raises(AssumptionError, match="no dependency"):
        relation(Activation(name), R(1), R(2))


@pytest.mark.parametrize(("first", "second"), [(1, 1), (0, 1), (-1, 2), (sp.sqrt(2), 1)])
def test_a_dependency_needs_two_positive_weights(first: object, second: object) -> None:
    with pytest.raises(AssumptionError, match="positive, rational and different"):
        relation(Activation("tanh"), first, second)  # type: ignore[arg-type]


# ---- Taylor certificates ----


@pytest.mark.parametrize(
    ("name", "weights", "derivatives", "expected"),
    [
        ("tanh", HALVES, 2, "9/9"),
        ("sigmoid", HALVES, 2, "9/9"),
        ("exp", HALVES, 2, "9/9"),
        ("exp(-z**2)", HALVES, 2, "9/9"),
        ("silu", HALVES, 2, "9/9"),
        ("z**3", HALVES, 2, "1/9"),
        ("tanh", OPPOSITE, 0, "2/4"),
        ("exp(-z**2)", OPPOSITE, 0, "2/4"),
        ("sigmoid", OPPOSITE, 0, "3/4"),
        ("silu", OPPOSITE, 0, "3/4"),
        ("exp", OPPOSITE, 0, "4/4"),
        ("sin(z) + cos(z)", OPPOSITE, 0, "4/4"),
        ("tanh", OPPOSITE, 1, "4/8"),
        ("sigmoid", OPPOSITE, 1, "5/8"),
        ("silu", OPPOSITE, 1, "5/8"),
        ("exp", OPPOSITE, 1, "8/8"),
    ],
)
def test_taylor_ranks(name: str, weights: list[sp.Rational], derivatives: int, expected: str) -> None:
    found = taylor_rank(Activation(name), weights, 24, derivatives)
    assert str(found) == expected
    assert found.independent == (found.rank == found.rows)


def test_a_good_activation_is_certified_and_a_bad_one_never() -> None:
    """The classification agrees with ranks: distinct up to sign suffices for good ones, not for polynomials."""
    assert taylor_rank(Activation("erf"), [R(1, 3), R(-1, 2), R(2), R(5, 3)], 20, 1).independent
    assert not taylor_rank(Activation("he3"), [1, 2, 3, 4, 5], 20).independent
    assert taylor_rank(Activation("he3"), [1, 2, 3, 4, 5], 20).support == (1, 3)
    assert taylor_rank(Activation("z**3"), [1, 2], 3).rank == 0
    assert not taylor_rank(Activation("tanh"), [1, 1], 20).independent


def test_a_minor_is_exact() -> None:
    assert taylor_minor(Activation("tanh"), HALVES, [1, 3, 5]) == R(-1, 16)
    # of exp: (w_2 - w_1)/(1! 0!)
    assert taylor_minor(Activation("exp"), [R(1, 3), R(3, 4)], [0, 1]) == R(5, 12)
    assert taylor_minor(Activation("tanh"), [1, -1], [1, 3]) == 0
    assert taylor_minor(Activation("tanh"), HALVES, [1, 2, 3]) == 0


def test_bad_arguments() -> None:
    tanh = Activation("tanh")
    for weights in ([], [0, 1], [sp.sqrt(2)], [0.5]):
        with pytest.raises(AssumptionError, match="non-zero rationals"):
            taylor_rank(tanh, weights, 8)  # type: ignore[arg-type]
    for order, derivatives in ((0, 0), (True, 0), (8, -1), (2.0, 0)):
        with pytest.raises(AssumptionError, match="not a count"):
            taylor_rank(tanh, [1], order, derivatives)  # type: ignore[arg-type]
    with pytest.raises(AssumptionError, match="kink at 0"):
        taylor_rank(Activation("relu"), [1], 8)
    for exponents in ([1], [1, 2, -3], [1, 2, True]):
        with pytest.raises(AssumptionError, match="as many integers"):
            taylor_minor(tanh, HALVES, exponents)
    assert taylor_rank(Activation("Max(-1, Min(1, z))"), [1, 2], 8).rank == 1
