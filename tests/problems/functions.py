"""The functions that the problems integrate: what the engine is given, and an mpmath definition of our own.

The references come from the mpmath side alone. That both sides mean the same function is a test of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import mpmath
import sympy as sp
from mpmath import mp

__all__ = ["FUNCTIONS", "Function"]

Real = mpmath.mpf
Map = Callable[[Real], Real]
z = sp.Symbol("z", real=True)


@dataclass(frozen=True)
class Function:
    """A real function of one variable.

    `formula` is the engine's side. `value`, `slope` and `curvature` are the function and its derivatives at the current
    precision of mpmath; `cuts` are the points between which they are analytic; `centres` are pairs (place, distance) of
    complex singularities or, for an entire function, of places where it varies on that scale; a distance of 0 marks a
    cut at which a piece itself is singular. `frequency` is that of the fastest oscillation where the integral has its
    mass. |value| <= exp(gauss z**2 + rate |z|) times a power of z, and
    |value(x + iy)| grows like exp(bell y**2/2) at most. `degree` is that of a function homogeneous on each
    half-line, `polynomial` holds coefficients from the constant upwards.
    """

    formula: str | sp.Expr
    value: Map
    slope: Map | None = None
    curvature: Map | None = None
    cuts: tuple[Callable[[], Real], ...] = ()
    centres: tuple[tuple[float, float], ...] = ()
    frequency: float = 0.0
    bell: float = 0.0
    gauss: float = 0.0
    rate: float = 0.0
    parity: str | None = None
    degree: float | None = None
    polynomial: tuple[Fraction, ...] | None = None

    def part(self, derivative: int) -> Map:
        found = (self.value, self.slope, self.curvature)[derivative]
        assert found is not None, (self.formula, derivative)
        return found

    def cut_points(self) -> list[Real]:
        return [cut() for cut in self.cuts]


def _at(*points: int | str) -> tuple[Callable[[], Real], ...]:
    """Cuts at integers, ratios such as "1/2", or square roots such as "sqrt 2"."""

    def reader(point: int | str) -> Callable[[], Real]:
        text = str(point)
        if text.startswith("sqrt "):
            return lambda: mp.sqrt(int(text[5:]))
        top, _, bottom = text.partition("/")
        return lambda: mp.mpf(int(top)) / int(bottom or 1)

    return tuple(reader(point) for point in points)


def _poly(coefficients: str) -> tuple[Fraction, ...]:
    return tuple(Fraction(c) for c in coefficients.split())


def _sigmoid(x: Real) -> Real:
    return 1 / (1 + mp.exp(-x))


def _sigmoid1(x: Real) -> Real:
    return 1 / (2 + mp.exp(-x) + mp.exp(x))


def _softplus(x: Real) -> Real:
    return mp.log1p(mp.exp(x)) if x < 0 else x + mp.log1p(mp.exp(-x))


def _phi(x: Real) -> Real:
    return mp.exp(-x * x / 2) / mp.sqrt(2 * mp.pi)


def _cdf(x: Real) -> Real:
    return mp.erfc(-x / mp.sqrt(2)) / 2


def _sech2(x: Real) -> Real:
    return 1 / mp.cosh(x) ** 2


def _relu(x: Real) -> Real:
    return x if x > 0 else mp.zero


def _step(x: Real) -> Real:
    return mp.one if x > 0 else mp.zero


def _elu(x: Real) -> Real:
    return x if x > 0 else mp.expm1(x)


def _clamp(x: Real, lo: int = -1, hi: int = 1) -> Real:
    return min(max(x, mp.mpf(lo)), mp.mpf(hi))


def _hard_swish(x: Real) -> Real:
    return x * _clamp(x + 3, 0, 6) / 6


def _three_levels(x: Real) -> Real:
    return -mp.one if x < -1 else x * x if x < 1 else mp.mpf(2)


def _staircase(x: Real) -> Real:
    return mp.mpf(-2) if x < -1 else -mp.one if x < 0 else mp.one if x < 1 else mp.mpf(2)


def _he3(x: Real) -> Real:
    return x**3 - 3 * x


def _kinked(
    formula: str | sp.Expr,
    value: Map,
    cuts: tuple[Callable[[], Real], ...],
    slope: Map | None = None,
    centres: tuple[tuple[float, float], ...] = (),
    rate: float = 0.0,
    parity: str | None = None,
    degree: float | None = None,
) -> Function:
    return Function(formula, value, slope, None, cuts, centres, rate=rate, parity=parity, degree=degree)


_HALF_PI = 1.5707963267948966
_PI = 3.141592653589793

_SMOOTH: dict[str, Function] = {
    "identity": Function("z", lambda x: x, lambda x: mp.one, lambda x: mp.zero, parity="odd", polynomial=_poly("0 1")),
    "tanh": Function(
        "tanh(z)",
        mp.tanh,
        _sech2,
        lambda x: -2 * mp.tanh(x) * _sech2(x),
        centres=((0, _HALF_PI),),
        parity="odd",
    ),
    "sigmoid": Function(
        "sigmoid(z)",
        _sigmoid,
        _sigmoid1,
        lambda x: -_sigmoid1(x) * mp.tanh(x / 2),
        centres=((0, _PI),),
    ),
    "softplus": Function("softplus(z)", _softplus, _sigmoid, _sigmoid1, centres=((0, _PI),)),
    "silu": Function(
        "silu(z)", lambda x: x * _sigmoid(x), lambda x: _sigmoid(x) + x * _sigmoid1(x), centres=((0, _PI),)
    ),
    "gelu": Function(
        "gelu(z)", lambda x: x * _cdf(x), lambda x: _cdf(x) + x * _phi(x), lambda x: (2 - x * x) * _phi(x), bell=1
    ),
    "erf": Function(
        "erf",  # the catalogue's: erf(z/sqrt 2)
        lambda x: mp.erf(x / mp.sqrt(2)),
        lambda x: 2 * _phi(x),
        lambda x: -2 * x * _phi(x),
        parity="odd",
        bell=1,
    ),
    "atan": Function("atan(z)", mp.atan, lambda x: 1 / (1 + x * x), centres=((0, 1),), parity="odd"),
    "z/(1+z^2)": Function(
        "z/(1+z**2)",
        lambda x: x / (1 + x * x),
        lambda x: (1 - x * x) / (1 + x * x) ** 2,
        centres=((0, 1),),
        parity="odd",
    ),
    "1/cosh": Function(
        "1/cosh(z)", mp.sech, lambda x: -mp.sech(x) * mp.tanh(x), centres=((0, _HALF_PI),), parity="even"
    ),
    "log(1+z^2)": Function(
        "log(1+z**2)", lambda x: mp.log1p(x * x), lambda x: 2 * x / (1 + x * x), centres=((0, 1),), parity="even"
    ),
    "sqrt(1+z^2)": Function(
        "sqrt(1+z**2)", lambda x: mp.sqrt(1 + x * x), lambda x: x / mp.sqrt(1 + x * x), centres=((0, 1),), parity="even"
    ),
    "asinh": Function("asinh(z)", mp.asinh, lambda x: 1 / mp.sqrt(1 + x * x), centres=((0, 1),), parity="odd"),
    "z tanh": Function("z*tanh(z)", lambda x: x * mp.tanh(x), centres=((0, _HALF_PI),), parity="even"),
    "tanh^3": Function("tanh(z)**3", lambda x: mp.tanh(x) ** 3, centres=((0, _HALF_PI),), parity="odd"),
    "exp(-z^2)": Function("exp(-z**2)", lambda x: mp.exp(-x * x), centres=((0, 1),), parity="even", bell=2),
    "mish": Function("z*tanh(softplus(z))", lambda x: x * mp.tanh(_softplus(x)), centres=((0, 1.5), (0.4, 2.3))),
    "log cosh": Function("log(cosh(z))", lambda x: mp.log(mp.cosh(x)), centres=((0, _HALF_PI),), parity="even"),
    "1/(2+sin)": Function(
        "1/(2+sin(z))",
        lambda x: 1 / (2 + mp.sin(x)),
        centres=tuple((_HALF_PI * (2 * n + 1), 1.3) for n in range(-16, 16)),
    ),
}

_OSCILLATING: dict[str, Function] = {
    "sin": Function("sin(z)", mp.sin, mp.cos, lambda x: -mp.sin(x), frequency=1, parity="odd"),
    "cos": Function("cos(z)", mp.cos, lambda x: -mp.sin(x), lambda x: -mp.cos(x), frequency=1, parity="even"),
    "sin 3z": Function("sin(3*z)", lambda x: mp.sin(3 * x), lambda x: 3 * mp.cos(3 * x), frequency=3, parity="odd"),
    "cos 2z": Function("cos(2*z)", lambda x: mp.cos(2 * x), lambda x: -2 * mp.sin(2 * x), frequency=2, parity="even"),
    "sin 10z": Function("sin(10*z)", lambda x: mp.sin(10 * x), frequency=10, parity="odd"),
    "cos(25z+1)": Function("cos(25*z+1)", lambda x: mp.cos(25 * x + 1), frequency=25),
    "sin z^2": Function("sin(z**2)", lambda x: mp.sin(x * x), frequency=30, parity="even"),
    "sin exp(-z^2/3)": Function(
        "sin(z)*exp(-z**2/3)", lambda x: mp.sin(x) * mp.exp(-x * x / 3), frequency=1, parity="odd", bell=2 / 3
    ),
    "z sin 5z": Function("z*sin(5*z)", lambda x: x * mp.sin(5 * x), frequency=5, parity="even"),
    "sin(20z)/(1+z^2)": Function(
        "sin(20*z)/(1+z**2)", lambda x: mp.sin(20 * x) / (1 + x * x), frequency=20, centres=((0, 1),), parity="odd"
    ),
    "cos(3z)tanh": Function(
        "cos(3*z)*tanh(z)", lambda x: mp.cos(3 * x) * mp.tanh(x), frequency=3, centres=((0, _HALF_PI),), parity="odd"
    ),
    "sin 5z": Function("sin(5*z)", lambda x: mp.sin(5 * x), frequency=5, parity="odd"),
}

_GROWING: dict[str, Function] = {
    "exp": Function("exp(z)", mp.exp, mp.exp, mp.exp, rate=1),
    "exp 2z": Function("exp(2*z)", lambda x: mp.exp(2 * x), rate=2),
    "exp -3z": Function("exp(-3*z)", lambda x: mp.exp(-3 * x), rate=3),
    "exp z^2/8": Function("exp(z**2/8)", lambda x: mp.exp(x * x / 8), gauss=1 / 8, parity="even"),
    "exp z^2/5": Function("exp(z**2/5)", lambda x: mp.exp(x * x / 5), gauss=1 / 5, parity="even"),
    "z exp z^2/10": Function("z*exp(z**2/10)", lambda x: x * mp.exp(x * x / 10), gauss=1 / 10, parity="odd"),
    "z^8": Function("z**8", lambda x: x**8, parity="even", polynomial=_poly("0 0 0 0 0 0 0 0 1")),
    "z^20": Function("z**20", lambda x: x**20, parity="even", polynomial=_poly("0 " * 20 + "1")),
    "z^2": Function(
        "z**2", lambda x: x * x, lambda x: 2 * x, lambda x: mp.mpf(2), parity="even", polynomial=_poly("0 0 1")
    ),
    "he3": Function("he3", _he3, lambda x: 3 * x * x - 3, lambda x: 6 * x, parity="odd", polynomial=_poly("0 -3 0 1")),
    "cubic": Function(
        "z**3/4 - z + 1/2",
        lambda x: x**3 / 4 - x + mp.mpf(1) / 2,
        lambda x: 3 * x * x / 4 - 1,
        lambda x: 3 * x / 2,
        polynomial=_poly("1/2 -1 0 1/4"),
    ),
    "sinh 3z": Function("sinh(3*z)", lambda x: mp.sinh(3 * x), rate=3, parity="odd"),
    "z^3 exp(z/2)": Function("z**3*exp(z/2)", lambda x: x**3 * mp.exp(x / 2), rate=0.5),
    "exp(z)sin(4z)": Function("exp(z)*sin(4*z)", lambda x: mp.exp(x) * mp.sin(4 * x), frequency=4, rate=1),
}

_STEEP: dict[str, Function] = {
    "tanh 5z": Function(
        "tanh(5*z)", lambda x: mp.tanh(5 * x), lambda x: 5 * _sech2(5 * x), centres=((0, _HALF_PI / 5),), parity="odd"
    ),
    "tanh 40z": Function(
        "tanh(40*z)",
        lambda x: mp.tanh(40 * x),
        lambda x: 40 * _sech2(40 * x),
        centres=((0, _HALF_PI / 40),),
        parity="odd",
    ),
    "tanh 200z": Function("tanh(200*z)", lambda x: mp.tanh(200 * x), centres=((0, _HALF_PI / 200),), parity="odd"),
    "tanh(40z-20)": Function("tanh(40*z-20)", lambda x: mp.tanh(40 * x - 20), centres=((0.5, _HALF_PI / 40),)),
    "1/(1+1000z^2)": Function(
        "1/(1+1000*z**2)", lambda x: 1 / (1 + 1000 * x * x), centres=((0, 0.0316),), parity="even"
    ),
    "sigmoid 100z": Function("sigmoid(100*z)", lambda x: _sigmoid(100 * x), centres=((0, _PI / 100),)),
    "atan 50z": Function("atan(50*z)", lambda x: mp.atan(50 * x), centres=((0, 0.02),), parity="odd"),
    "atan(1000(z-1))": Function("atan(1000*(z-1))", lambda x: mp.atan(1000 * (x - 1)), centres=((1, 0.001),)),
    "softplus(60z)/60": Function("softplus(60*z)/60", lambda x: _softplus(60 * x) / 60, centres=((0, _PI / 60),)),
    "silu(50z)/50": Function("silu(50*z)/50", lambda x: x * _sigmoid(50 * x), centres=((0, _PI / 50),)),
    "sqrt(z^2+1e-4)": Function(
        "sqrt(z**2+0.0001)", lambda x: mp.sqrt(x * x + mp.mpf(1) / 10000), centres=((0, 0.01),), parity="even"
    ),
    "log(z^2+1e-3)": Function(
        "log(z**2+1/1000)", lambda x: mp.log(x * x + mp.mpf(1) / 1000), centres=((0, 0.0316),), parity="even"
    ),
    "erf 100z": Function("erf(100*z)", lambda x: mp.erf(100 * x), centres=((0, 0.01),), parity="odd"),
    "bump 500": Function("exp(-500*(z-1)**2)", lambda x: mp.exp(-500 * (x - 1) ** 2), centres=((1, 0.04),)),
    "bump 10^4": Function("exp(-10000*z**2)", lambda x: mp.exp(-10000 * x * x), centres=((0, 0.01),), parity="even"),
    "z bump 200": Function("z*exp(-200*z**2)", lambda x: x * mp.exp(-200 * x * x), centres=((0, 0.07),), parity="odd"),
    "1/cosh(100(z-1))": Function("1/cosh(100*(z-1))", lambda x: mp.sech(100 * (x - 1)), centres=((1, _HALF_PI / 100),)),
    "two bumps": Function(
        "exp(-100*(z+2)**2) - exp(-2000*(z-3)**2)",
        lambda x: mp.exp(-100 * (x + 2) ** 2) - mp.exp(-2000 * (x - 3) ** 2),
        centres=((-2, 0.1), (3, 0.02)),
    ),
}

_KINKED: dict[str, Function] = {
    "relu": _kinked("relu", _relu, _at(0), _step, degree=1),
    "leaky": _kinked(
        "leaky_relu", lambda x: x if x > 0 else x / 100, _at(0), lambda x: mp.one if x > 0 else mp.one / 100, degree=1
    ),
    "abs": _kinked("abs", abs, _at(0), lambda x: mp.sign(x), parity="even", degree=1),
    "max(z,2)": _kinked("Max(z,2)", lambda x: max(x, mp.mpf(2)), _at(2), lambda x: _step(x - 2)),
    "hard tanh": _kinked(
        "Min(Max(z,-1),1)", _clamp, _at(-1, 1), lambda x: mp.one if -1 < x < 1 else mp.zero, parity="odd"
    ),
    "max(0,tanh)": _kinked(
        "Max(0,tanh(z))", lambda x: mp.tanh(x) if x > 0 else mp.zero, _at(0), centres=((0, _HALF_PI),)
    ),
    "|z^2-1|": _kinked(
        "Abs(z**2-1)", lambda x: abs(x * x - 1), _at(-1, 1), lambda x: 2 * x * mp.sign(x * x - 1), parity="even"
    ),
    "elu": _kinked(
        sp.Piecewise((sp.exp(z) - 1, z < 0), (z, True)), _elu, _at(0), lambda x: mp.one if x > 0 else mp.exp(x)
    ),
    "selu": _kinked(
        sp.Piecewise((sp.Rational(7, 4) * (sp.exp(z) - 1), z < 0), (z, True)) * sp.Rational(21, 20),
        lambda x: mp.mpf(21) / 20 * (x if x > 0 else mp.mpf(7) / 4 * mp.expm1(x)),
        _at(0),
    ),
    "softsign": _kinked(
        "z/(1+Abs(z))",
        lambda x: x / (1 + abs(x)),
        _at(0),
        lambda x: 1 / (1 + abs(x)) ** 2,
        centres=((0, 1),),
        parity="odd",
    ),
    "relu^3": _kinked("Max(0,z)**3", lambda x: _relu(x) ** 3, _at(0), lambda x: 3 * _relu(x) ** 2, degree=3),
    "relu^2": _kinked("Max(0,z)**2", lambda x: _relu(x) ** 2, _at(0), lambda x: 2 * _relu(x), degree=2),
    "max(z-sqrt2,0)": _kinked(
        "Max(z-sqrt(2),0)", lambda x: _relu(x - mp.sqrt(2)), _at("sqrt 2"), lambda x: _step(x - mp.sqrt(2))
    ),
    "|z-sqrt2|": _kinked("Abs(z-sqrt(2))", lambda x: abs(x - mp.sqrt(2)), _at("sqrt 2")),
    "max(z-6,0)": _kinked("Max(z-6,0)", lambda x: _relu(x - 6), _at(6)),
    "max(z-12,0)": _kinked("Max(z-12,0)", lambda x: _relu(x - 12), _at(12)),
    "hard sigmoid": _kinked("Min(Max(z/6+1/2,0),1)", lambda x: _clamp(x / 6 + mp.mpf(1) / 2, 0, 1), _at(-3, 3)),
    "|z|^3": _kinked("Abs(z)**3", lambda x: abs(x) ** 3, _at(0), parity="even", degree=3),
    "soft shrink": _kinked(
        "Max(z-1/2,0)-Max(-z-1/2,0)",
        lambda x: _relu(x - mp.mpf(1) / 2) - _relu(-x - mp.mpf(1) / 2),
        _at("-1/2", "1/2"),
        parity="odd",
    ),
    "triangle": _kinked("Max(1-Abs(z),0)", lambda x: _relu(1 - abs(x)), _at(-1, 0, 1), parity="even"),
    "max(z,z^2-2)": _kinked("Max(z,z**2-2)", lambda x: max(x, x * x - 2), _at(-1, 2)),
    "relu exp(-z)": _kinked("Max(0,z)*exp(-z)", lambda x: _relu(x) * mp.exp(-x), _at(0)),
    "|z| tanh": _kinked(
        "Abs(z)*tanh(z)", lambda x: abs(x) * mp.tanh(x), _at(0), centres=((0, _HALF_PI),), parity="odd"
    ),
    "hard swish": _kinked("z*Min(Max(z+3,0),6)/6", _hard_swish, _at(-3, 3)),
    "exp(-|z|)": _kinked("exp(-Abs(z))", lambda x: mp.exp(-abs(x)), _at(0), parity="even"),
    "sin|5z|": _kinked("sin(5*Abs(z))", lambda x: mp.sin(5 * abs(x)), _at(0), parity="even"),
    "max(cut tail)": _kinked("Max(exp(z)-3,0)", lambda x: max(mp.exp(x) - 3, mp.zero), (lambda: mp.log(3),), rate=1),
    "sqrt|z|": _kinked("sqrt(Abs(z))", lambda x: mp.sqrt(abs(x)), _at(0), centres=((0, 0),), parity="even", degree=0.5),
    "relu^1.5": _kinked("Max(0,z)**(3/2)", lambda x: mp.sqrt(_relu(x)) ** 3, _at(0), centres=((0, 0),), degree=1.5),
    "cbrt(z^2)": _kinked(
        "Abs(z)**(2/3)", lambda x: mp.cbrt(abs(x)) ** 2, _at(0), centres=((0, 0),), parity="even", degree=2 / 3
    ),
}

_JUMPING: dict[str, Function] = {
    "sign": _kinked("sign", mp.sign, _at(0), parity="odd", degree=0),
    "step(z-1)": _kinked("Heaviside(z-1)", lambda x: _step(x - 1), _at(1)),
    "three levels": _kinked(sp.Piecewise((-1, z < -1), (z**2, z < 1), (2, True)), _three_levels, _at(-1, 1)),
    "staircase": _kinked(
        sp.Piecewise((-2, z < -1), (-1, z < 0), (1, z < 1), (2, True)), _staircase, _at(-1, 0, 1), parity="odd"
    ),
    "z sign(z-sqrt2)": _kinked("z*sign(z-sqrt(2))", lambda x: x * mp.sign(x - mp.sqrt(2)), _at("sqrt 2")),
    "box": _kinked("Heaviside(z)-Heaviside(z-1)", lambda x: _step(x) - _step(x - 1), _at(0, 1)),
    "sign exp(-z^2)": _kinked(
        "sign(z)*exp(-z**2)", lambda x: mp.sign(x) * mp.exp(-x * x), _at(0), centres=((0, 1),), parity="odd"
    ),
    "thin box": _kinked(
        "Heaviside(z-1)-Heaviside(z-1001/1000)",
        lambda x: _step(x - 1) - _step(x - mp.mpf(1001) / 1000),
        _at(1, "1001/1000"),
    ),
    "tanh in a slit": _kinked(
        "tanh(z)*(Heaviside(z-1)-Heaviside(z-11/10))",
        lambda x: mp.tanh(x) * (_step(x - 1) - _step(x - mp.mpf(11) / 10)),
        _at(1, "11/10"),
    ),
    "step(z-8)": _kinked("Heaviside(z-8)", lambda x: _step(x - 8), _at(8)),
}

FUNCTIONS: dict[str, Function] = {**_SMOOTH, **_OSCILLATING, **_GROWING, **_STEEP, **_KINKED, **_JUMPING}
