"""Metrics of neural collapse along a solution: class statistics of features, and matrix formulas evaluated on them.

The formulas come with the system's `Classifier`; none is known here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial, reduce
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import ArrayLike, NDArray
from sympy.matrices.expressions.diagonal import DiagonalOf

from hermiton.theory.systems import Classifier, Disagreement, Norm, PseudoInverse

__all__ = ["CollapseMetrics", "Measured", "Undefined"]

Real = NDArray[np.float64]

_EPS = float(np.finfo(np.float64).eps)
# Roundings of a feature, and of the sums over features.
_ROUNDINGS = 8
# Where class means differ by less than this many errors, nothing is known of their difference.
_RESOLVED = 4.0
# Samples that are looked at together fit into a cache, and their products are too small for BLAS to start threads.
_WINDOW, _PRODUCT = 1 << 14, 1 << 17
# Samples, and patterns of signs, by which the response of decisions to errors of the inputs is found.
_PROBES = 64
_PATTERNS = 6


@dataclass(frozen=True)
class Undefined:
    """Why a metric has no value."""

    reason: str


@dataclass(frozen=True)
class Measured:
    """A metric at one time, and a bound for its error as far as features are known."""

    value: float
    error: float


class CollapseMetrics:
    """The metrics of a classifier on samples whose classes are known.

    Parameters
    ----------
    classifier : Classifier
        Has the formulas.
    labels : (N,) array_like of int
        Class of each sample. Classes without samples do not count.
    """

    def __init__(self, classifier: Classifier, labels: ArrayLike) -> None:
        self._metrics = classifier.metrics
        classes, inverse, counts = np.unique(np.asarray(labels, dtype=np.intp), return_inverse=True, return_counts=True)
        self._classes, self._counts = classes, counts
        self._order = None if (np.diff(inverse) >= 0).all() else np.argsort(inverse, kind="stable")
        self._first = np.concatenate([[0], np.cumsum(counts)[:-1]])
        self._signs = np.where(np.random.default_rng(0).random((_PATTERNS, 4096)) < 0.5, -1.0, 1.0)

    def __call__(
        self, features: Real, weights: Real, bias: Real, uncertain: Real | float = 0.0
    ) -> dict[str, Measured | Undefined]:
        """Evaluate all metrics.

        Parameters
        ----------
        features : (N, d) array
            h_i.
        weights, bias : (m, d) and (m,) arrays
            W and b; a metric that needs them is defined if m is the number of classes, or of those with samples.
        uncertain : (d,) array or float
            Bound for the error of the features, beside rounding.

        Returns
        -------
        dict
            For each metric its value with its error, or why it has none.
        """
        ordered = np.ascontiguousarray((features if self._order is None else features[self._order]).T)
        size, count = ordered.shape
        spread = _ROUNDINGS * _EPS * np.abs(ordered).max(axis=1, keepdims=True) + np.reshape(uncertain, (-1, 1))
        # Differences to one sample: a class that sits at one point has exactly that point as its mean.
        anchors = ordered[:, self._first]
        deviations = ordered - np.repeat(anchors, self._counts, axis=1)
        shifts = np.add.reduceat(deviations, self._first, axis=1) / self._counts
        deviations -= np.repeat(shifts, self._counts, axis=1)
        within = deviations @ deviations.T / count
        del deviations
        means = anchors + shifts
        mean = (means * self._counts).sum(axis=1, keepdims=True) / count
        values: dict[str, Any] = {"H": ordered, "m": mean, "M": means - mean, "Sigma_W": within}
        values |= {"N": count, "d": size, "C": len(means.T)}
        chosen = self._rows(np.asarray(weights), np.asarray(bias))
        missing: dict[str, str] = {}
        if isinstance(chosen, str):
            missing |= {"W": chosen, "b": chosen}
        else:
            values |= {"W": chosen[0], "b": chosen[1]}
        resolved = _RESOLVED * float(np.linalg.norm(spread)) * np.sqrt(len(means.T))
        if len(means.T) < 2:
            missing["M"] = "one class alone has samples"
        elif np.linalg.norm(values["M"]) <= resolved:
            missing["M"] = "all class means agree"
        return {
            item.target.binding: self._measured(item.value, values, missing, spread, resolved) for item in self._metrics
        }

    def _rows(self, weights: Real, bias: Real) -> tuple[Real, Real] | str:
        """The rows of the classes that have samples."""
        outputs = len(weights)
        if outputs == len(self._classes):
            rows: Any = slice(None)
        elif outputs > self._classes[-1]:
            rows = self._classes
        else:
            return f"the classifier has {outputs} outputs for {len(self._classes)} classes"
        if not weights[rows].any():
            return "the weights of the classifier are zero"
        return weights[rows], bias[rows, None]

    def _measured(
        self, formula: sp.Expr, values: Mapping[str, Any], missing: Mapping[str, str], spread: Real, resolved: float
    ) -> Measured | Undefined:
        names = {symbol.name for symbol in formula.atoms(sp.MatrixSymbol)}
        for name in sorted(names & missing.keys()):
            return Undefined(missing[name])
        if isinstance(formula, Disagreement):
            return self._fraction(formula, values, spread)
        value = float(_value(formula, values, resolved))
        moved = [abs(float(_value(formula, other, resolved)) - value) for other in self._moved(values, names, spread)]
        return Measured(value, 2.0 * max(moved) + _ROUNDINGS * _EPS * abs(value))

    def _moved(self, values: Mapping[str, Any], names: set[str], spread: Real) -> list[dict[str, Any]]:
        """The same with every matrix changed by its error, in several patterns of signs."""
        scatter = np.sqrt(np.diagonal(values["Sigma_W"]))[:, None]
        product, wider = scatter @ scatter.T, (scatter + spread) @ (scatter + spread).T
        error = wider - product + _ROUNDINGS * _EPS * product
        errors: dict[str, Callable[[Real], Real]] = {
            "H": lambda matrix: np.broadcast_to(spread, matrix.shape),
            "m": lambda _: spread,
            "M": lambda matrix: np.broadcast_to(2.0 * spread, matrix.shape),
            "Sigma_W": lambda _: error,
            "W": lambda matrix: _EPS * np.abs(matrix),
            "b": lambda matrix: _EPS * np.abs(matrix),
        }
        moved = []
        for signs in self._signs:
            other, begin = dict(values), 0
            for name in sorted(names):
                by = errors[name](values[name])
                pattern = np.resize(np.roll(signs, -begin), by.shape)
                if name == "Sigma_W":  # symmetric
                    pattern = np.tril(pattern) + np.tril(pattern, -1).T
                other[name] = values[name] + pattern * by
                begin += by.size
            moved.append(other)
        return moved

    def _fraction(self, formula: Disagreement, values: Mapping[str, Any], spread: Real) -> Measured:
        """Columns in windows; uncertain are those whose two largest entries differ by less than their errors."""
        count = values["N"]
        names = {symbol.name for symbol in formula.atoms(sp.MatrixSymbol)}
        far = np.unique(np.concatenate([np.argpartition(row, [0, -1])[[0, -1]] for row in values["H"]]))
        probes = np.union1d(far, np.linspace(0, count - 1, _PROBES).astype(np.intp))
        few = {**values, "H": values["H"][:, probes], "N": len(probes)}
        margins = []
        for side in formula.args:
            seen = _value(side, few, 0.0)
            moved = (_value(side, other, 0.0) for other in self._moved(few, names, spread))
            margins.append(_RESOLVED * max(float(np.abs(other - seen).max()) for other in moved))
        differ = doubtful = 0
        length = max(1, min(_WINDOW, _PRODUCT // values["M"].size))
        for first in range(0, count, length):
            block = values["H"][:, first : first + length]
            own = {**values, "H": block, "N": block.shape[1]}
            chosen, open_ = [], np.zeros(block.shape[1], dtype=bool)
            for side, margin in zip(formula.args, margins, strict=True):
                scores = _value(side, own, 0.0)
                best = np.argmax(scores, axis=0)
                chosen.append(best)
                open_ |= (scores >= scores[best, np.arange(len(best))] - 2.0 * margin).sum(axis=0) > 1
            differ += int((chosen[0] != chosen[1]).sum())
            doubtful += int(open_.sum())
        return Measured(differ / count, doubtful / count)


_Evaluated = Callable[[Mapping[str, Any], float], Any]


def _value(formula: sp.Expr, values: Mapping[str, Any], resolved: float) -> Any:
    """A formula in matrices by name; singular values below `resolved` have no inverse."""
    return _evaluated(formula)(values, resolved)


@cache
def _evaluated(formula: sp.Expr) -> _Evaluated:
    if isinstance(formula, sp.MatrixSymbol):
        name = formula.name
        return lambda values, resolved: values[name]
    if isinstance(formula, PseudoInverse):
        return partial(_pseudo_inverse, _evaluated(formula.args[0]))
    rule = _RULES.get(type(formula))
    if rule is not None:
        parts = tuple(map(_evaluated, formula.args))
        return lambda values, resolved: rule(*(part(values, resolved) for part in parts))
    norms = sorted(formula.atoms(Norm), key=sp.default_sort_key)
    names = {norm: sp.Dummy() for norm in norms}
    plain = formula.xreplace(names)
    sizes = sorted(plain.free_symbols - set(names.values()), key=str)
    scalar = sp.lambdify([*names.values(), *sizes], plain, "math")
    return lambda values, resolved: scalar(
        *(_value(norm, values, resolved) for norm in norms), *(values[size.name] for size in sizes)
    )


def _pseudo_inverse(inner: _Evaluated, values: Mapping[str, Any], resolved: float) -> Real:
    matrix = inner(values, resolved)
    largest = float(np.linalg.norm(matrix, 2))
    return np.linalg.pinv(matrix, rcond=resolved / largest if largest > 0.0 else 1.0)


def _product(a: Any, b: Any) -> Any:
    return a @ b if np.ndim(a) and np.ndim(b) else a * b


_RULES: dict[type, Callable[..., Any]] = {
    sp.MatMul: lambda *factors: reduce(_product, factors),
    sp.MatAdd: lambda *terms: reduce(np.add, terms),
    sp.Transpose: np.transpose,
    sp.Identity: lambda size: np.eye(int(size)),
    type(sp.OneMatrix(1, 1)): lambda rows, columns: np.ones((int(rows), int(columns))),
    DiagonalOf: lambda matrix: np.diagonal(matrix)[:, None],
    sp.Trace: np.trace,
    Norm: np.linalg.norm,
}
