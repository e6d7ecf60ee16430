"""The coupled flow of L layers: biases, and as wanted orthogonal parts and output layer, under either cost.

Depth is unrolled: the arrays of each layer have its number in their names, and in results they are slices along the
dimension ``layer``. Right-hand sides are those of the statements, with the names of the layer put in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import sympy as sp

from ..derivation import Statement
from ..errors import DerivationError
from ..rotating_flow import RotatingFlow
from ..systems import Array, Definition, IndexSum
from .entries import (
    BETA,
    CLASS,
    COORDINATE,
    ERROR,
    INPUT,
    LABEL,
    LAST,
    OUTPUT,
    OUTPUT_BIAS,
    OUTPUT_WEIGHTS,
    PRE,
    SAMPLE,
    TARGET,
    THETA,
    WEIGHT,
    C,
    E,
    F,
    M,
    N,
    Q,
    R,
    U,
    X,
    Z,
    d,
)
from .labels import PULLED_BACK
from .layers import o
from .network_cases import Cost
from .observables import CLAMPED, CLASS_MASS, COLLAPSE, of_each_class
from .setting import Truncation
from .statements import a, i, j, k, m, n
from .variations import Layer, Trial, gradient_flow

__all__ = ["Shape", "coupled_flow", "flow_statements"]

_LOSS = Array("loss", latex=r"\mathcal C", meaning="the cost")
_THRESHOLD = Array("threshold", (COORDINATE,), latex=r"\theta", meaning="thresholds of the layer, -R beta")
_MASS = Array("truncated_mass", (COORDINATE,), latex="F", meaning="weight of the samples that a unit truncates")


@dataclass(frozen=True)
class Shape:
    """What a coupled flow depends on.

    Parameters
    ----------
    layers : int
        Number of hidden layers.
    cost : {"input", "standard"}
        Whose gradient is followed.
    moving : tuple of {"rotation", "output"}
        What moves beside the biases.
    """

    layers: int
    cost: Cost
    moving: tuple[str, ...] = ()

    @classmethod
    def of(cls, setting: Truncation) -> Shape:
        """That of a setting."""
        return cls(int(setting.layers), setting.cost, tuple(setting.moving))

    @property
    def suffix(self) -> str:
        """What the keys of statements on this cost end in."""
        return "" if self.cost == "input" else "_standard"


@dataclass(frozen=True)
class _Layer:
    """The arrays of one layer."""

    number: int
    layers: int

    def own(self, array: Array, field: str = "", latex: str = "") -> Array:
        """An array of this layer, known as `field`."""
        if self.layers == 1:
            return replace(array, field=field or array.field)
        number = self.number
        # An array of "the layer" has that in its exponent already.
        latex = latex or (array.name if "^" in array.latex else array.latex) or array.name
        # What no setting, start or result knows needs no place among the layers.
        slot = ("layer", number - 1) if field else None
        return replace(array, name=f"{array.name}_{number}", field=field, latex=rf"{latex}^{{({number})}}", slot=slot)

    @property
    def biases(self) -> Array:
        return self.own(BETA, "bias", r"\beta")

    @property
    def rotation(self) -> Array:
        return self.own(R, "rotation")

    @property
    def before(self) -> Array:
        """Samples in front of the layer."""
        return X if self.number == 1 else replace(self, number=self.number - 1).behind

    @property
    def behind(self) -> Array:
        """Samples behind the layer."""
        return LAST if self.number == self.layers else self.own(Z, latex="z")

    def named(self, value: sp.Expr) -> sp.Expr:
        """A law with the names of this layer."""
        own = [(array, self.own(array)) for array in (THETA, U, Q, PRE, CLAMPED, E, F)]
        own += [(BETA, self.biases), (R, self.rotation), (Z, self.before)]
        return value.xreplace({array.base: other.base for array, other in own})

    def define(self, array: Array, indices: tuple[sp.Symbol, ...], value: sp.Expr) -> Definition:
        """A definition of this layer, of a law in the names of any."""
        return Definition(self.own(array), indices, self.named(value))


def _forward(layer: _Layer, turning: bool, laws: Mapping[str, sp.Expr]) -> tuple[Definition, ...]:
    clamp = laws["clamp"]
    if not laws["layer_map"].has(clamp):
        raise DerivationError(f"the map of a layer, {laws['layer_map']}, is not made of the clamp {clamp}")
    return (
        layer.define(U, (i, j), IndexSum(R[j, k] * Z[i, k], k, d)),
        layer.define(THETA, (j,), laws["threshold"]),
        layer.define(Q, (i, j), laws["truncated"]),
        *((layer.define(PRE, (i, j), laws["distance"]),) if turning else ()),
        layer.define(CLAMPED, (i, j), clamp),
        Definition(layer.behind, (i, k), layer.named(laws["layer_map"].xreplace({clamp: CLAMPED[i, j]}))),
    )


def _backward(layers: tuple[_Layer, ...], shape: Shape, laws: Mapping[str, sp.Expr]) -> tuple[Definition, ...]:
    definitions = []
    if shape.cost == "standard":
        definitions.append(Definition(ERROR, (i, o), laws["error"]))
    for layer in reversed(layers):
        if layer.number == shape.layers:
            definitions.append(layer.define(E, (i, k), laws[f"residual{shape.suffix}"]))
        else:
            following = layers[layer.number]
            definitions.append(Definition(layer.own(E), (i, m), following.named(laws["backward"])))
        definitions.append(layer.define(F, (i, j), IndexSum(R[j, k] * E[i, k], k, d)))
    return tuple(definitions)


def _equations(layers: tuple[_Layer, ...], shape: Shape, laws: Mapping[str, sp.Expr]) -> tuple[Definition, ...]:
    biases = [Definition(x.biases, (n,), x.named(laws[f"layer_biases{shape.suffix}"])) for x in layers]
    turns, output = [], []
    if "rotation" in shape.moving:
        turns = [Definition(x.rotation, (j, n), x.named(laws[f"layer_rotation{shape.suffix}"])) for x in layers]
    if "output" in shape.moving:
        output.append(Definition(OUTPUT_WEIGHTS, (o, k), laws["rate_output_weights"]))
        output.append(Definition(OUTPUT_BIAS, (o,), laws["rate_output_bias"]))
    return (*biases, *turns, *output)


def _observables(layers: tuple[_Layer, ...], loss: sp.Expr, laws: Mapping[str, sp.Expr]) -> tuple[Definition, ...]:
    """The cost; and of each layer thresholds and truncated mass, of all samples and by class."""
    mass = laws["relaxation"]
    found = [Definition(_LOSS, (), loss)]
    for layer in layers:
        found += [
            Definition(layer.own(array, array.name), indices, layer.named(value))
            for array, indices, value in (
                (_THRESHOLD, (j,), THETA[j]),
                (_MASS, (j,), mass),
                (CLASS_MASS, (a, j), of_each_class(mass)),
            )
        ]
    return tuple(found)


def _starts(layers: tuple[_Layer, ...], laws: Mapping[str, sp.Expr]) -> tuple[tuple[Array, Definition], ...]:
    """Biases may also be given by their plural name, or by thresholds."""
    found = []
    for layer in layers:
        plural, level = layer.own(BETA, "biases"), layer.own(THETA, "thresholds")
        found.append((plural, Definition(layer.biases, (k,), plural[k])))
        found.append((level, Definition(layer.biases, (k,), layer.named(laws["bias_of_threshold"]))))
    return tuple(found)


def _loss(layers: tuple[_Layer, ...], shape: Shape, laws: Mapping[str, sp.Expr]) -> sp.Expr:
    return layers[-1].named(laws[f"loss{shape.suffix}"])


def _layers(shape: Shape) -> tuple[_Layer, ...]:
    return tuple(_Layer(number, shape.layers) for number in range(1, shape.layers + 1))


def coupled_flow(shape: Shape, laws: Mapping[str, sp.Expr]) -> RotatingFlow:
    """The system of all layers.

    Parameters
    ----------
    shape : Shape
        Depth, cost, and what moves.
    laws : mapping of str to sympy.Expr
        Right-hand sides by the keys of their statements.

    Returns
    -------
    RotatingFlow
        Generic in N, d, C and M.
    """
    layers = _layers(shape)
    equations = _equations(layers, shape, laws)
    states = tuple(equation.target for equation in equations)
    rotations = tuple(layer.rotation for layer in layers)
    fixed = (*rotations, OUTPUT_WEIGHTS, OUTPUT_BIAS)
    turning = "rotation" in shape.moving
    forward = tuple(item for layer in layers for item in _forward(layer, turning, laws))
    return RotatingFlow(
        name="_".join(("truncation", str(shape.layers), shape.cost, *shape.moving)),
        sets=(SAMPLE, COORDINATE, INPUT, CLASS, OUTPUT),
        states=states,
        parameters=(X, LABEL, TARGET, WEIGHT, *(array for array in fixed if array not in states)),
        definitions=(
            *((PULLED_BACK,) if shape.cost == "input" else ()),
            *forward,
            *_backward(layers, shape, laws),
        ),
        moments=(),
        equations=equations,
        observables=_observables(layers, _loss(layers, shape, laws), laws),
        time="time of the gradient flow",
        assumptions=(
            "W^(l) = D_l R_l with D_l positive diagonal, at all times, and R_l orthogonal",
            "every R_l follows its gradient in the metric tr(A^T B)" if turning else "every R_l fixed",
            "output layer follows its gradient" if "output" in shape.moving else "output layer fixed",
        ),
        rotations=rotations if turning else (),
        starts=_starts(layers, laws),
        plain="thresholds",
        classifier=COLLAPSE,
    )


# -- that it is the gradient flow of its cost -------------------------------------------------------------------------

_SIZES = ({N: 3, d: 2, C: 2, M: 2}, {N: 2, d: 3, C: 2, M: 2})
# From here on a second size would take long.
_DEEP = 4


def flow_statements(system: RotatingFlow, shape: Shape) -> tuple[Statement, ...]:
    """Each equation of a coupled flow, its abbreviations included, is minus the gradient of the cost it reports.

    Parameters
    ----------
    system : RotatingFlow
        As `coupled_flow` makes it.
    shape : Shape
        What it was made for.

    Returns
    -------
    tuple of Statement
        One for each state.

    Raises
    ------
    DerivationError
        If one is not.
    """
    arrays = tuple(Layer(x.biases, x.rotation, x.own(U)) for x in _layers(shape))
    sizes = _SIZES[:1] if shape.layers >= _DEEP else _SIZES
    square = shape.cost == "input"
    points = tuple(Trial.found(system, {**s, M: s[d]} if square else s, arrays) for s in sizes)
    return gradient_flow(system, points)
