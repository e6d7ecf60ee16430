"""The setting of the truncation chapter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Literal

import sympy as sp

from ..errors import argument_error

__all__ = ["Truncation"]

_ORTHOGONAL_WITHIN = sp.Rational(1, 10**8)
_MOVING = ("rotation", "output")


@dataclass(frozen=True, eq=False, repr=False)
class Truncation:
    r"""Hidden ReLU layers with adapted weights that truncate labelled data.

    Parameters
    ----------
    points : array_like, shape (N, d)
        The samples x_i: nested sequences or anything array-like, kept as given.
    labels : array_like of int, shape (N,)
        Class c(i) of each, 0..C-1; a class may be empty.
    targets : array_like, shape (C, m)
        The label vector y_c of each class, in the space of the outputs. With the default output layer that is the
        space of the inputs, and targets are the pulled-back labels ytilde_c = (W^(L+1))^-1 (y_c - b^(L+1)) themselves.
    weights : array_like, shape (N,), or number, optional
        Positive weights w_i of the samples in the cost, not normalised, or one for all; by default 1/N each. They set
        the clock: a threshold relaxes with the mass that it has truncated.
    rotation : array_like, shape (d, d) or (L, d, d), optional
        Orthogonal part R_l of the cumulative weights W^(l) = D_l R_l of each layer, or one for all; by default the
        identity. The positive diagonal D_l drops out.
    cost : {"input", "standard"}
        C_in = 1/2 sum_i w_i |z_i - ytilde_c(i)|^2 in the space of the inputs, z_i the truncated sample; or
        C_std = 1/2 sum_i w_i |W^(L+1) z_i + b^(L+1) - y_c(i)|^2 of the outputs.
    layers : int
        Number L of hidden layers, each of width d.
    output_weights : array_like, shape (m, d), optional
        W^(L+1), of full rank where the labels are pulled back; by default the identity, m = d.
    output_bias : array_like, shape (m,), optional
        b^(L+1); by default 0.
    truncates : sequence of int, optional
        Asserts that truncations are cluster-separated: layer l truncates samples of the class ``truncates[l]`` alone,
        at all times. Each threshold then goes its own way and is followed exactly, and `solve` finds out until when
        the assertion holds.
    moving : sequence of {"rotation", "output"}
        What follows the gradient flow beside the biases: the orthogonal parts R_l, and for the standard cost the
        output layer.

    Raises
    ------
    AssumptionError
        If shapes disagree, a label names no class, a weight is not positive, a rotation is not orthogonal, the
        thresholds do not decouple where they are asserted to, or the output layer shall move under C_in.

    Notes
    -----
    *Validity.* Gradient flow in the input-space biases at fixed D_l. That weights stay adapted is a constraint, which
    the unconstrained flow of W would break. Whether numbers in arrays are finite, and the output layer of full rank, is
    looked at when they are put into arrays.
    """

    points: Any
    labels: Any
    targets: Any
    weights: Any = None
    rotation: Any = None
    cost: Literal["input", "standard"] = "input"
    layers: int = 1
    output_weights: Any = None
    output_bias: Any = None
    truncates: Sequence[int] | None = None
    moving: Sequence[Literal["rotation", "output"]] = ()

    def __post_init__(self) -> None:
        """Refuse what does not fit together."""
        count, size = _shape("points", self.points, "a sample")
        classes, outputs = _shape("targets", self.targets, "a class")
        if _length("labels", self.labels, "a label") != count:
            problem = f"has {len(self.labels)} labels for {count} points"
            raise argument_error("labels", _shown(self.labels), problem, "give each point its class")
        for label in set(_plain(self.labels)):
            self._check_class("labels", label, classes)
        if self.cost not in ("input", "standard"):
            raise argument_error("cost", self.cost, "is unknown", "choose 'input' or 'standard'")
        if isinstance(self.layers, bool) or not isinstance(self.layers, Integral) or self.layers < 1:
            raise argument_error("layers", self.layers, "is not a positive integer", "give the number of hidden layers")
        self._set("moving", self._checked_moving())
        self._set("truncates", self._checked_truncates(classes))
        self._set("weights", self._checked_weights(count))
        self._set("rotation", self._checked_rotation(size))
        self._set("output_weights", self._checked_output(outputs, size))
        self._set("output_bias", self._checked_bias(outputs))

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    @staticmethod
    def _check_class(name: str, label: Any, classes: int) -> None:
        if isinstance(label, bool) or not isinstance(label, Integral) or not 0 <= int(label) < classes:
            problem = f"names no class: there are {classes} targets"
            raise argument_error(name, label, problem, f"use integers 0..{classes - 1}")

    def _checked_moving(self) -> tuple[str, ...]:
        moving = (self.moving,) if isinstance(self.moving, str) else tuple(self.moving)
        for name in moving:
            if name not in _MOVING:
                raise argument_error("moving", name, "is unknown", f"choose among {_MOVING}; biases always move")
        if "output" in moving and self.cost == "input":
            problem = "lets the output layer carry the pulled-back labels to the data"
            raise argument_error("moving", "output", problem, "use cost='standard', or keep the output layer fixed")
        return tuple(name for name in _MOVING if name in moving)

    def _checked_truncates(self, classes: int) -> tuple[int, ...] | None:
        if self.truncates is None:
            return None
        if _length("truncates", self.truncates, "a class a layer") != self.layers:
            problem = f"has {len(self.truncates)} classes for {self.layers} layers"
            raise argument_error("truncates", list(self.truncates), problem, "name the class that each layer truncates")
        for label in self.truncates:
            self._check_class("truncates", label, classes)
        if len(set(self.truncates)) != len(self.truncates):
            problem = "names a class twice: two layers that truncate the same class are not separated"
            raise argument_error("truncates", list(self.truncates), problem, "leave truncates out")
        if self.cost != "input" or self.moving:
            problem = "asserts separate thresholds, which the standard cost and moving layers couple"
            raise argument_error(
                "truncates", list(self.truncates), problem, "leave truncates out, or use the input cost"
            )
        return tuple(int(label) for label in self.truncates)

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
            return _identity(size) if self.layers == 1 else (_identity(size),) * self.layers
        rows = _plain(self.rotation)
        deep = bool(rows) and hasattr(rows[0], "__len__") and bool(rows[0]) and hasattr(rows[0][0], "__len__")
        if deep and len(rows) != self.layers:
            problem = f"has {len(rows)} matrices for {self.layers} layers"
            raise argument_error("rotation", _shown(self.rotation), problem, "give one a layer, or one for all")
        for matrix in rows if deep else [rows]:
            _check_orthogonal(matrix, size)
        if deep == (self.layers > 1):
            return self.rotation
        return self.rotation[0] if deep else (self.rotation,) * self.layers

    def _checked_output(self, outputs: int, size: int) -> Any:
        if self.output_weights is None:
            if outputs != size:
                problem = f"has a row of {outputs} numbers, but points have {size}"
                cure = f"give {size} coordinates in every row, or the output_weights of shape ({outputs}, {size})"
                raise argument_error("targets", _shown(self.targets), problem, cure)
            return _identity(size)
        if _shape("output_weights", self.output_weights, "an output") != (outputs, size):
            problem = f"does not take {size} coordinates to the {outputs} of a target"
            raise argument_error(
                "output_weights", _shown(self.output_weights), problem, f"give shape ({outputs}, {size})"
            )
        return self.output_weights

    def _checked_bias(self, outputs: int) -> Any:
        if self.output_bias is None:
            return (0,) * outputs
        if _length("output_bias", self.output_bias, "an output") != outputs:
            problem = f"has {len(self.output_bias)} numbers for {outputs} outputs"
            raise argument_error("output_bias", _shown(self.output_bias), problem, "give each output its bias")
        return self.output_bias

    @property
    def sizes(self) -> dict[str, int]:
        """Sizes by the names that systems use."""
        return {
            "N": len(self.points),
            "d": len(self.points[0]),
            "C": len(self.targets),
            "M": len(self.targets[0]),
            "L": int(self.layers),
        }

    def __repr__(self) -> str:
        sizes = self.sizes
        given = f"samples={sizes['N']}, dimension={sizes['d']}, classes={sizes['C']}"
        if self.layers != 1:
            given += f", layers={self.layers}"
        if self.cost != "input":
            given += f", cost={self.cost!r}"
        if self.truncates is not None:
            given += f", truncates={self.truncates}"
        if self.moving:
            given += f", moving={self.moving}"
        return f"Truncation({given})"


def _identity(size: int) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(int(row == column) for column in range(size)) for row in range(size))


def _check_orthogonal(matrix: Any, size: int) -> None:
    if len(matrix) != size or any(_length("rotation", row, "a number") != size for row in matrix):
        raise argument_error(
            "rotation", _shown(matrix), "has another shape", f"give an orthogonal ({size}, {size}) matrix"
        )
    for entry in (entry for row in matrix for entry in row):
        if not _is_number(entry) or not math.isfinite(entry):
            raise argument_error("rotation", entry, "is not a finite number", "give an orthogonal matrix")
    for first in range(size):
        for second in range(first + 1):
            product = sum(a * b for a, b in zip(matrix[first], matrix[second], strict=True))
            if abs(product - int(first == second)) > _ORTHOGONAL_WITHIN:
                problem = f"is not orthogonal: rows {second} and {first} have the inner product {product}"
                cure = "use W (W^T W)^(-1/2) of your weights, or scipy.linalg.polar"
                raise argument_error("rotation", _shown(matrix), problem, cure)


def _shape(name: str, value: Any, one: str) -> tuple[int, int]:
    """The shape of a matrix; of an array its own, of nested sequences that of every row."""
    count = _length(name, value, one)
    size = _length(name, value[0], "a coordinate")
    for row in (value[0], value[-1]) if hasattr(value, "shape") else value:
        if _length(name, row, "a coordinate") != size:
            problem = f"has a row of {len(row)} numbers, but its first has {size}"
            raise argument_error(name, _shown(value), problem, f"give {size} coordinates in every row")
    return count, size


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
