r"""Dynamical truncation: gradient flow of a hidden ReLU layer with adapted weights, in the space of its inputs.

In cumulative parameters a layer x -> relu(W x + b) truncates the data, tau(x) = W^-1 (relu(W x + b) - b). With adapted
weights W = D R (D positive diagonal, R orthogonal) the truncation is a clamp of the coordinates u = R x from below, at
the thresholds theta = -R beta, beta = W^-1 b; D drops out. The gradient flow of the cost

    C_in = 1/2 sum_i w_i |tau(x_i) - ytilde_c(i)|^2

in beta at fixed R and ytilde lets every threshold go its own way,

    theta_j' = -sum_{i: u_ij < theta_j} w_i (theta_j - t_ij),    t_i = R ytilde_c(i):

the rate at which a threshold relaxes is the mass it has truncated. `derive` proves this, and numerics follows the paths
exactly from event to event. The notions are those of T. Chen (arXiv:2501.07400); the formulas and proofs are ours.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import sympy as sp

from ..derivation import Derivation
from ..derive import derive
from ..errors import argument_error
from ..systems import Array, Definition, IndexSum, PiecewiseFlow
from .entries import (
    BETA,
    CLASS,
    COORDINATE,
    INPUT,
    LABEL,
    SAMPLE,
    THETA,
    WEIGHT,
    R,
    T,
    U,
    X,
    Y,
    d,
)
from .statements import BETA_OF_THETA, LOSS, THETA_OF_BETA, TRUNCATED_MASS, i, j, k, statements

__all__ = ["Truncation", "derive_truncation", "truncation_flow"]

_ORTHOGONAL_WITHIN = sp.Rational(1, 10**8)


# -- the setting ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, repr=False)
class Truncation:
    r"""One hidden ReLU layer with adapted weights that truncates labelled data, under the cost in the input layer.

    Parameters
    ----------
    points : array_like, shape (N, d)
        The samples x_i: nested sequences or anything array-like, kept as given.
    labels : array_like of int, shape (N,)
        Class c(i) of each, 0..C-1; a class may be empty.
    targets : array_like, shape (C, d)
        The label vector of each class in the space of the inputs, ytilde_c = (W^(2))^-1 (y_c - b^(2)).
    weights : array_like, shape (N,), or number, optional
        Positive weights w_i of the samples in the cost, not normalised, or one for all; by default 1/N each. They set
        the clock: a threshold relaxes with the mass that it has truncated.
    rotation : array_like, shape (d, d), optional
        Orthogonal part R of the weights W = D R; by default the identity. The positive diagonal D drops out.

    Raises
    ------
    AssumptionError
        If shapes disagree, a label names no class, a weight is not positive, or the rotation is not orthogonal.

    Notes
    -----
    *Validity.* Gradient flow of C_in in the input-space bias, at fixed R and fixed output layer. That weights stay
    adapted is a constraint, which the unconstrained flow of W would break. Whether numbers in `points` are finite is
    looked at when they are put into arrays.
    """

    points: Any
    labels: Any
    targets: Any
    weights: Any = None
    rotation: Any = None

    def __post_init__(self) -> None:
        """Refuse what does not fit together."""
        count = _length("points", self.points, "a sample")
        size = _length("points", self.points[0], "a coordinate")
        classes = _length("targets", self.targets, "a class")
        for name, array in (("targets", self.targets), ("points", (self.points[0], self.points[-1]))):
            for row in array:
                if _length(name, row, "a coordinate") != size:
                    problem = f"has a row of {len(row)} numbers, but the first point has {size}"
                    raise argument_error(name, _shown(array), problem, f"give {size} coordinates in every row")
        if _length("labels", self.labels, "a label") != count:
            problem = f"has {len(self.labels)} labels for {count} points"
            raise argument_error("labels", _shown(self.labels), problem, "give each point its class")
        for label in set(_plain(self.labels)):
            if isinstance(label, bool) or not isinstance(label, Integral) or not 0 <= int(label) < classes:
                raise argument_error(
                    "labels", label, f"names no class: there are {classes} targets", f"use integers 0..{classes - 1}"
                )
        object.__setattr__(self, "weights", self._checked_weights(count))
        object.__setattr__(self, "rotation", self._checked_rotation(size))

    def _checked_weights(self, count: int) -> Any:
        if self.weights is None:
            return sp.Rational(1, count)
        single = not hasattr(self.weights, "__len__")
        if not single and _length("weights", self.weights, "a weight") != count:
            problem = f"has {len(self.weights)} weights for {count} points"
            raise argument_error("weights", _shown(self.weights), problem, "give one a point, or one number for all")
        for weight in [self.weights] if single else _plain(self.weights):
            if not _is_number(weight) or not 0 < weight < math.inf:
                raise argument_error("weights", weight, "is not a positive number", "leave samples without weight out")
        return self.weights

    def _checked_rotation(self, size: int) -> Any:
        if self.rotation is None:
            return tuple(tuple(int(row == column) for column in range(size)) for row in range(size))
        rows = _plain(self.rotation)
        if len(rows) != size or any(_length("rotation", row, "a number") != size for row in rows):
            raise argument_error(
                "rotation", _shown(self.rotation), "has another shape", f"give an orthogonal ({size}, {size}) matrix"
            )
        for entry in (entry for row in rows for entry in row):
            if not _is_number(entry) or not math.isfinite(entry):
                raise argument_error("rotation", entry, "is not a finite number", "give an orthogonal matrix")
        for first in range(size):
            for second in range(first + 1):
                product = sum(a * b for a, b in zip(rows[first], rows[second], strict=True))
                if abs(product - int(first == second)) > _ORTHOGONAL_WITHIN:
                    problem = f"is not orthogonal: rows {second} and {first} have the inner product {product}"
                    cure = "use W (W^T W)^(-1/2) of your weights, or scipy.linalg.polar"
                    raise argument_error("rotation", _shown(self.rotation), problem, cure)
        return self.rotation

    @property
    def sizes(self) -> dict[str, int]:
        """Sizes by the names that systems use."""
        return {"N": len(self.points), "d": len(self.points[0]), "C": len(self.targets)}

    def __repr__(self) -> str:
        sizes = self.sizes
        return f"Truncation(samples={sizes['N']}, dimension={sizes['d']}, classes={sizes['C']})"


def _length(name: str, value: Any, one: str) -> int:
    """The length of an argument, which must have one and hold something."""
    try:
        length = len(value)
    except TypeError:
        raise argument_error(name, value, "is not an array", f"give nested lists or an array, {one} a row") from None
    if not length or isinstance(value, str):
        raise argument_error(name, _shown(value), "is empty" if not length else "is text", f"give at least {one}")
    return length


def _plain(array: Any) -> Sequence[Any]:
    """Entries as Python numbers, at the speed of the array's own conversion where it has one."""
    return array.tolist() if hasattr(array, "tolist") else array  # type: ignore[no-any-return]


def _shown(array: Any) -> object:
    """An array as its head, for a message."""
    return _plain(array[:3])


def _is_number(value: object) -> bool:
    return isinstance(value, Real | sp.Rational) and not isinstance(value, bool)


# -- the system -------------------------------------------------------------------------------------------------------

_LOSS = Array("loss", latex=r"C_\mathrm{in}", meaning="cost in the input layer, 1/2 sum_i w_i |tau(x_i) - ytilde|^2")
_MASS = Array("truncated_mass", (COORDINATE,), latex="F", meaning="weight of the samples that a unit truncates")
_BIAS = Array("bias", (INPUT,), latex=r"\beta", meaning="bias in the space of the inputs, -R^T theta")


def truncation_flow(rate: sp.Expr, loss: sp.Expr = LOSS, mass: sp.Expr = TRUNCATED_MASS) -> PiecewiseFlow:
    """The system with theta_j' = `rate`.

    Parameters
    ----------
    rate, loss, mass : sympy.Expr
        Right-hand side, cost and truncated mass, as statements of the derivation end in them.

    Returns
    -------
    PiecewiseFlow

    Raises
    ------
    DerivationError
        If the right-hand side is not affine between breakpoints.
    """
    return PiecewiseFlow(
        name="truncation",
        sets=(SAMPLE, COORDINATE, INPUT, CLASS),
        states=(THETA,),
        parameters=(X, LABEL, Y, WEIGHT, R),
        definitions=(
            Definition(U, (i, j), IndexSum(R[j, k] * X[i, k], k, d)),
            Definition(T, (i, j), IndexSum(R[j, k] * Y[LABEL[i], k], k, d)),
        ),
        moments=(),
        equations=(Definition(THETA, (j,), rate),),
        observables=(
            Definition(_LOSS, (), loss),
            Definition(_MASS, (j,), mass),
            Definition(_BIAS, (k,), BETA_OF_THETA),
        ),
        time="time of the gradient flow",
        assumptions=("W = D R with D positive diagonal and R orthogonal", "R and targets fixed"),
        starts=((BETA, Definition(THETA, (j,), THETA_OF_BETA)),),
    )


# -- the theorem ------------------------------------------------------------------------------------------------------

SOURCES = (
    "T. Chen, Derivation of effective gradient flow equations and dynamical truncation of training data in Deep "
    "Learning, arXiv:2501.07400 (abstract and introduction; its displayed formulas were not at hand)",
    "T. Chen and P. Munoz Ewald, arXiv:2309.10639, 2405.07098, 2311.15487, 2408.01517 (companion papers; abstracts)",
)


@functools.cache
def _flow() -> PiecewiseFlow:
    found = {statement.key: statement.rhs for statement in statements()}
    return truncation_flow(found["rate_threshold"], found["cost"], found["relaxation"])


@derive.register
def derive_truncation(setting: Truncation) -> Derivation:
    """Derive the flow of thresholds and what follows from it.

    Parameters
    ----------
    setting : Truncation
        The setting; the statements hold for all.

    Returns
    -------
    Derivation
        Ends in one `PiecewiseFlow`, generic in N, d and C.

    Raises
    ------
    DerivationError
        If a check fails.
    """
    title = "Gradient flow of one truncation with adapted weights"
    return Derivation(title, setting, statements(), (_flow(),), SOURCES)
