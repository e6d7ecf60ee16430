"""The list: Gaussian integrals from plain to nasty, each with tags.

All means, deviations and covariances are doubles that the references take at their exact value; nearly all are dyadic,
so that reading them as decimals changes nothing. The tag ``benign`` asks for sharp error bounds, ``float input`` marks
numbers such as 0.3 that are no short binary fraction.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

__all__ = ["PROBLEMS", "REFUSALS", "Coefficients", "Layout", "Moment", "Problem"]

NEAR = 1 - 2.0**-20  # correlation 0.999999
NEARER = 1 - 2.0**-40  # 1 - 9e-13


@dataclass(frozen=True)
class Coefficients:
    """h_k = E[sigma(mean + std x) He_k(x)], k = 0, ..., order."""

    name: str
    tags: frozenset[str]
    function: str
    mean: float
    std: float
    order: int
    digits: int = 15
    kind: str = "coefficients"


@dataclass(frozen=True)
class Layout:
    """Fields from few independent standard normals w and u: z_i = mean_i + loadings_v . w + sqrt(noise_v) u_v.

    Here v = variables[i] is the variable of field i; fields of one variable are equal up to their means. The references
    integrate over w and u, while the engine gets only the covariance.
    """

    variables: tuple[int, ...]
    loadings: tuple[tuple[Fraction, ...], ...]
    noise: tuple[Fraction, ...]

    def covariance(self) -> tuple[tuple[float, ...], ...]:
        def entry(i: int, j: int) -> float:
            v, u = self.variables[i], self.variables[j]
            exact = sum((a * b for a, b in zip(self.loadings[v], self.loadings[u], strict=True)), Fraction(0))
            exact += self.noise[v] if v == u else 0
            assert Fraction(float(exact)) == exact, "the covariance has to be exact in doubles"
            return float(exact)

        fields = range(len(self.variables))
        return tuple(tuple(entry(i, j) for j in fields) for i in fields)


@dataclass(frozen=True)
class Moment:
    """E[prod_i g_i^(n_i)(z_i)], z ~ N(mean, covariance)."""

    name: str
    tags: frozenset[str]
    functions: tuple[str, ...]
    derivatives: tuple[int, ...]
    mean: tuple[float, ...]
    covariance: tuple[tuple[float, ...], ...]
    layout: Layout | None = None
    digits: int = 15
    kind: str = "moment"


Problem = Coefficients | Moment


# ---------------------------------------------------------------------------------------------------- one dimension
# function, mean, std, order; the tags are those of the row's group
_ONE: dict[str, tuple[tuple[str, float, float, int], ...]] = {
    "smooth benign": (
        ("tanh", 0, 1, 20),
        ("tanh", 0.5, 1.25, 20),
        ("sigmoid", 0, 1, 20),
        ("sigmoid", -1, 2, 20),
        ("softplus", 0, 1, 20),
        ("softplus", 0.75, 0.5, 20),
        ("silu", 0, 1, 20),
        ("silu", 0.25, 1.5, 20),
        ("gelu", 0, 1, 20),
        ("gelu", -0.5, 1.5, 20),
        ("erf", 0, 1, 20),
        ("erf", 1, 0.5, 20),
        ("atan", 0, 1, 20),
        ("z/(1+z^2)", 0, 1, 20),
        ("z/(1+z^2)", 1, 0.75, 20),
        ("1/cosh", 0, 1, 20),
        ("1/cosh", -0.5, 1, 20),
        ("log(1+z^2)", 0, 1, 20),
        ("sqrt(1+z^2)", 0, 1, 20),
        ("asinh", 0, 1, 20),
        ("asinh", 1.5, 1, 20),
        ("z tanh", 0, 1, 20),
        ("tanh^3", 0, 1, 20),
        ("exp(-z^2)", 0, 1, 20),
        ("mish", 0, 1, 20),
        ("log cosh", 0, 1, 20),
        ("1/(2+sin)", 0, 1, 20),
        ("tanh 5z", 0, 1, 20),
    ),
    "smooth benign float-input": (
        ("tanh", 0.3, 1.1, 20),
        ("gelu", -0.1, 0.7, 20),
        ("softplus", 0.2, 1.7, 20),
    ),
    "oscillatory benign": (
        ("sin", 0, 1, 20),
        ("cos", 0.5, 1, 20),
        ("sin 3z", 0.5, 1, 20),
        ("sin exp(-z^2/3)", 0, 1, 20),
        ("z sin 5z", 0, 1, 20),
        ("cos(3z)tanh", 0, 1, 20),
        ("exp(z)sin(4z)", 0, 1, 20),
    ),
    "oscillatory": (
        ("sin 10z", 0, 1, 20),
        ("sin 10z", 0.25, 2, 20),
        ("cos(25z+1)", 0, 1, 20),
        ("cos(25z+1)", 0, 0.125, 20),
        ("sin z^2", 0, 1, 20),
        ("sin z^2", 1, 1, 20),
        ("sin(20z)/(1+z^2)", 0, 1, 20),
        ("sin|5z|", 0, 1, 20),
    ),
    "growing": (
        ("exp", 0, 1, 20),
        ("exp 2z", 0, 1, 20),
        ("exp -3z", 0.5, 1, 20),
        ("exp z^2/8", 0, 1, 20),
        ("exp z^2/8", 0.5, 1.25, 20),
        ("exp z^2/5", 0, 1, 20),
        ("z exp z^2/10", 0, 1, 20),
        ("z^8", 0, 1, 20),
        ("z^8", -1, 2, 20),
        ("z^20", 0, 1, 24),
        ("z^2", 0.5, 1, 20),
        ("he3", 0, 1, 20),
        ("cubic", 0.5, 1.5, 6),
        ("sinh 3z", 0, 1, 20),
        ("z^3 exp(z/2)", 0, 1, 20),
        ("max(cut tail)", 0, 1, 20),
    ),
    "near-singular": (
        ("tanh 40z", 0, 1, 20),
        ("tanh 40z", 0.5, 1, 20),
        ("tanh 200z", 0, 1, 20),
        ("tanh(40z-20)", 0, 1, 20),
        ("1/(1+1000z^2)", 0, 1, 20),
        ("1/(1+1000z^2)", 2, 1, 20),
        ("sigmoid 100z", 0, 1, 20),
        ("atan 50z", 0, 1, 20),
        ("atan(1000(z-1))", 0, 1, 20),
        ("softplus(60z)/60", 0, 1, 20),
        ("silu(50z)/50", 0, 1, 20),
        ("sqrt(z^2+1e-4)", 0, 1, 20),
        ("log(z^2+1e-3)", 0, 1, 20),
        ("erf 100z", 0.25, 1, 20),
    ),
    "bump": (
        ("bump 500", 0, 1, 20),
        ("bump 10^4", 0, 1, 20),
        ("bump 10^4", 1, 2, 20),
        ("z bump 200", 0, 1, 20),
        ("1/cosh(100(z-1))", 0, 1, 20),
        ("two bumps", 0, 1, 20),
    ),
    "kinked benign": (
        ("relu", 0, 1, 20),
        ("relu", 0.5, 1.25, 20),
        ("leaky", 0, 1, 20),
        ("leaky", -1, 2, 20),
        ("abs", 0, 1, 20),
        ("abs", 0.75, 0.5, 20),
        ("max(z,2)", 0, 1, 20),
        ("hard tanh", 0, 1, 20),
        ("hard tanh", 0.5, 2, 20),
        ("max(0,tanh)", 0, 1, 20),
        ("|z^2-1|", 0, 1, 20),
        ("|z^2-1|", 0.5, 1, 20),
        ("elu", 0, 1, 20),
        ("elu", -0.5, 1.5, 20),
        ("selu", 0, 1, 20),
        ("softsign", 0, 1, 20),
        ("softsign", 1, 1, 20),
        ("relu^2", 0, 1, 20),
        ("relu^3", 0, 1, 20),
        ("|z|^3", 0.25, 1, 20),
        ("max(z-sqrt2,0)", 0, 1, 20),
        ("max(z-sqrt2,0)", 0.5, 0.75, 20),
        ("|z-sqrt2|", 0, 1, 20),
        ("hard sigmoid", 0, 1, 20),
        ("soft shrink", 0, 1, 20),
        ("triangle", 0, 1, 20),
        ("max(z,z^2-2)", 0, 1, 20),
        ("relu exp(-z)", 0, 1, 20),
        ("|z| tanh", 0, 1, 20),
        ("hard swish", 0.5, 2, 20),
        ("exp(-|z|)", 0, 1, 20),
    ),
    "kinked float-input": (("relu", 0.3, 1.1, 20), ("hard tanh", 0.1, 0.9, 20)),
    "kinked tail": (
        ("max(z-6,0)", 0, 1, 20),
        ("max(z-12,0)", 0, 1, 20),
        ("max(z-12,0)", 2, 1, 20),
        ("relu", -8, 1, 20),
    ),
    "kinked endpoint-singular": (
        ("sqrt|z|", 0, 1, 20),
        ("sqrt|z|", 0.5, 1, 20),
        ("relu^1.5", 0, 1, 20),
        ("cbrt(z^2)", 0.25, 1, 20),
    ),
    "discontinuous benign": (
        ("sign", 0, 1, 20),
        ("sign", 0.5, 2, 20),
        ("step(z-1)", 0, 1, 20),
        ("three levels", 0, 1, 20),
        ("staircase", 0.25, 1, 20),
        ("z sign(z-sqrt2)", 0, 1, 20),
        ("box", 0, 1, 20),
        ("sign exp(-z^2)", 0, 1, 20),
    ),
    "discontinuous tail": (("thin box", 0, 1, 20), ("tanh in a slit", 0, 1, 20), ("step(z-8)", 0, 1, 20)),
    "scale": (
        ("tanh", 0, 2.0**-10, 20),
        ("tanh", 0.5, 2.0**-20, 12),
        ("tanh", 0, 30, 20),
        ("tanh", 0, 100, 20),
        ("tanh", 3, 100, 20),
        ("sigmoid", 0, 100, 20),
        ("gelu", 0, 30, 20),
        ("softplus", 0, 100, 20),
        ("erf", 0, 100, 20),
        ("atan", -2, 30, 20),
        ("relu", 0, 2.0**-10, 20),
        ("relu", 0, 100, 20),
        ("hard tanh", 0, 100, 20),
        ("silu", 0, 2.0**-10, 20),
    ),
    "shift": (
        ("tanh", 30, 1, 20),
        ("tanh", -30, 1, 20),
        ("sigmoid", -30, 1, 20),
        ("softplus", 30, 1, 20),
        ("silu", -30, 2, 20),
        ("gelu", 30, 1, 20),
        ("gelu", -30, 1, 20),
        ("relu", 30, 1, 20),
        ("relu", -30, 1, 20),
        ("exp", 30, 1, 20),
        ("sin", 30, 1, 20),
        ("atan", 30, 1, 20),
        ("sqrt(1+z^2)", 1000, 1, 12),
    ),
    "high-order": (
        ("tanh", 0, 1, 60),
        ("gelu", 0, 1, 60),
        ("sin 3z", 0, 1, 80),
        ("exp", 0, 1, 100),
        ("relu", 0, 1, 100),
        ("abs", 0.5, 1, 60),
        ("sign", 0, 1, 100),
        ("tanh 5z", 0, 1, 60),
        ("softsign", 0, 1, 60),
    ),
}
_RIGOROUS = (
    ("tanh", 0, 1),
    ("erf", 0, 1),
    ("gelu", 0, 1),
    ("sigmoid", 0, 1),
    ("softplus", 0, 1),
    ("silu", 0, 1),
    ("sin exp(-z^2/3)", 0, 1),
    ("tanh", 0.5, 1.25),
    ("relu", 0.5, 1.25),
)


def _coefficients() -> Iterator[Coefficients]:
    for tags, rows in _ONE.items():
        for function, mean, std, order in rows:
            name = f"h[{function}] m={mean:g} s={std:g} k<={order}"
            yield Coefficients(name, frozenset({"1-D", *tags.split()}), function, mean, std, order)
    for function, mean, std in _RIGOROUS:
        name = f"h[{function}] m={mean:g} s={std:g} k<=20, 50 digits"
        yield Coefficients(name, frozenset({"1-D", "rigorous"}), function, mean, std, 20, digits=50)


# ----------------------------------------------------------------------------------------------------------- two points
# f, g, (variance, covariance, variance), (mean, mean), derivatives
_Pair = tuple[str, str, tuple[float, float, float], tuple[float, float], tuple[int, int]]
_ZERO = (0.0, 0.0)
_PLAIN = (0, 0)
_LAW = (1.0, 0.5, 1.5)
_LAW_2 = (1.25, -0.75, 0.875)
_MEAN = (0.25, -0.5)

_TWO: dict[str, tuple[_Pair, ...]] = {
    "smooth benign": (
        ("tanh", "tanh", (1, 0.5, 1), _ZERO, _PLAIN),
        ("tanh", "tanh", (1, -0.75, 1), _ZERO, _PLAIN),
        ("tanh", "tanh", (1, 0, 1), _MEAN, _PLAIN),
        ("tanh", "sigmoid", _LAW, _MEAN, _PLAIN),
        ("erf", "erf", (1, 0.5, 1), _ZERO, _PLAIN),
        ("erf", "erf", _LAW_2, _MEAN, _PLAIN),
        ("gelu", "silu", _LAW, _ZERO, _PLAIN),
        ("softplus", "atan", _LAW_2, _MEAN, _PLAIN),
        ("log(1+z^2)", "sqrt(1+z^2)", _LAW, _ZERO, _PLAIN),
        ("sin 3z", "z/(1+z^2)", (1, 0.5, 1), _ZERO, _PLAIN),
        ("exp", "tanh", _LAW, _ZERO, _PLAIN),
        ("he3", "cubic", _LAW_2, _MEAN, _PLAIN),
        ("tanh", "tanh", (1, 0.5, 1), _ZERO, (1, 1)),
        ("tanh", "tanh", _LAW, _MEAN, (1, 0)),
        ("tanh", "erf", _LAW, _ZERO, (2, 0)),
        ("gelu", "gelu", _LAW_2, _MEAN, (1, 1)),
        ("erf", "erf", _LAW, _ZERO, (1, 1)),
    ),
    "smooth benign float-input": (
        ("tanh", "tanh", (1.1, 0.3, 0.9), (0.1, -0.2), _PLAIN),
        ("erf", "erf", (1.1, 0.3, 0.9), (0.1, -0.2), _PLAIN),
    ),
    "smooth": (
        ("sin 5z", "sin 5z", (1, 0.5, 1), _ZERO, _PLAIN),
        ("exp z^2/8", "cos 2z", (1, 0.5, 1), _ZERO, _PLAIN),
        ("tanh 40z", "tanh 40z", (1, 0.5, 1), _ZERO, _PLAIN),
        ("1/(1+1000z^2)", "gelu", _LAW, _ZERO, _PLAIN),
        ("bump 500", "tanh", _LAW, _ZERO, _PLAIN),
        ("tanh", "tanh", (10000, 2500, 10000), _ZERO, _PLAIN),
        ("tanh", "tanh", (2.0**-20, 2.0**-21, 1), _ZERO, _PLAIN),
        ("tanh", "tanh", (1, 0.5, 1), (30, -30), _PLAIN),
    ),
    "smooth near-one": (
        ("tanh", "tanh", (1, NEAR, 1), _ZERO, _PLAIN),
        ("tanh", "tanh", (1, -NEAR, 1), _MEAN, _PLAIN),
        ("tanh", "sigmoid", (1, NEARER, 1), _ZERO, _PLAIN),
        ("gelu", "gelu", (1, -NEARER, 1), _ZERO, _PLAIN),
        ("tanh", "tanh", (1, NEAR, 1), _ZERO, (1, 1)),
    ),
    "smooth degenerate": (
        ("tanh", "tanh", (1, 1, 1), _ZERO, _PLAIN),
        ("tanh", "silu", (1, -1, 1), _MEAN, _PLAIN),
        ("tanh", "tanh", (1, 2, 4), _ZERO, (1, 1)),
        ("tanh", "tanh", (1, 0, 0), (0.25, 0.5), _PLAIN),
        ("gelu", "erf", (0, 0, 0), (0.5, -1), _PLAIN),
    ),
    "kinked benign": (
        ("relu", "relu", (1, 0.5, 1), _ZERO, _PLAIN),
        ("relu", "relu", (1, -0.75, 1), _ZERO, _PLAIN),
        ("relu", "relu", (1, 0, 1), _ZERO, _PLAIN),
        ("relu", "relu", _LAW, _MEAN, _PLAIN),
        ("relu", "relu", (1, 0.5, 1), _ZERO, (1, 1)),
        ("relu", "relu", _LAW_2, _MEAN, (1, 0)),
        ("relu", "relu", _LAW, _MEAN, (1, 1)),
        ("abs", "abs", _LAW, _ZERO, _PLAIN),
        ("sign", "sign", (1, 0.5, 1), _ZERO, _PLAIN),
        ("sign", "sign", _LAW_2, _MEAN, _PLAIN),
        ("leaky", "leaky", _LAW, _MEAN, _PLAIN),
        ("step(z-1)", "relu", _LAW, _ZERO, _PLAIN),
        ("hard tanh", "hard tanh", _LAW, _ZERO, _PLAIN),
        ("softsign", "softsign", _LAW, _ZERO, _PLAIN),
        ("elu", "relu", _LAW_2, _MEAN, _PLAIN),
        ("relu^3", "relu", _LAW, _ZERO, _PLAIN),
        ("|z^2-1|", "relu", _LAW, _MEAN, _PLAIN),
        ("three levels", "staircase", _LAW, _ZERO, _PLAIN),
    ),
    "kinked benign float-input": (("relu", "relu", (1.1, 0.3, 0.9), (0.1, -0.2), _PLAIN),),
    "kinked": (
        ("max(z-6,0)", "relu", (1, 0.5, 1), _ZERO, _PLAIN),
        ("thin box", "relu", (1, 0.5, 1), _ZERO, _PLAIN),
        ("thin box", "tanh", _LAW, _MEAN, _PLAIN),
        ("tanh in a slit", "relu", (1, 0.5, 1), _ZERO, _PLAIN),
        ("relu", "relu", (1, 0.5, 1), (-8, -8), _PLAIN),
        ("relu", "relu", (10000, 2, 2.0**-10), _ZERO, _PLAIN),
    ),
    "kinked near-one": (
        ("relu", "relu", (1, NEAR, 1), _ZERO, _PLAIN),
        ("relu", "relu", (1, -NEAR, 1), _ZERO, _PLAIN),
        ("relu", "relu", (1, NEARER, 1), _ZERO, _PLAIN),
        ("relu", "relu", (1, -NEARER, 1), _ZERO, _PLAIN),
        ("relu", "relu", (1, NEAR, 1), _ZERO, (1, 1)),
        ("sign", "sign", (1, NEARER, 1), _ZERO, _PLAIN),
        ("abs", "abs", (1, NEAR, 1), _MEAN, _PLAIN),
        ("max(z-sqrt2,0)", "max(z-sqrt2,0)", (1, NEAR, 1), _ZERO, _PLAIN),
        ("softsign", "hard tanh", (1, -NEAR, 1), _ZERO, _PLAIN),
    ),
    "kinked degenerate": (
        ("relu", "relu", (1, 1, 1), _ZERO, _PLAIN),
        ("relu", "relu", (1, -1, 1), _MEAN, _PLAIN),
        ("relu", "relu", (1, 1, 1), _ZERO, (1, 0)),
        ("hard tanh", "abs", (1, 2, 4), _ZERO, _PLAIN),
        ("relu", "relu", (0, 0, 1), (-1, 0.25), _PLAIN),
        ("relu", "abs", (0, 0, 1), (0, 0.25), _PLAIN),
    ),
    "mixed benign": (
        ("tanh", "relu", _LAW, _ZERO, _PLAIN),
        ("sign", "tanh", _LAW_2, _MEAN, _PLAIN),
        ("relu", "exp", _LAW, _MEAN, _PLAIN),
        ("step(z-1)", "gelu", _LAW, _MEAN, _PLAIN),
        ("relu", "tanh", _LAW, _ZERO, (1, 1)),
    ),
    "mixed": (
        ("abs", "sin 5z", (1, 0.5, 1), _ZERO, _PLAIN),
        ("tanh 40z", "relu", (1, 0.5, 1), _ZERO, _PLAIN),
        ("relu", "tanh", (1, NEAR, 1), _ZERO, _PLAIN),
        ("sqrt|z|", "tanh^3", (1, 0.5, 1), _MEAN, _PLAIN),
        ("tanh", "relu", (1, 0, 0), (0.5, 0.25), _PLAIN),
    ),
}
_RIGOROUS_PAIRS: tuple[_Pair, ...] = (
    ("tanh", "tanh", (1, 0.5, 1), _ZERO, _PLAIN),
    ("gelu", "erf", (1, -0.5, 1), _ZERO, _PLAIN),
    ("tanh", "sigmoid", _LAW, _MEAN, _PLAIN),
)
# one field: f, variance, mean, derivative
_SINGLE: tuple[tuple[str, float, float, int, str], ...] = (
    ("tanh", 1.5, 0.5, 1, "smooth benign"),
    ("gelu", 1, 0, 2, "smooth benign"),
    ("relu", 2, -0.5, 0, "kinked benign"),
    ("relu", 2, -0.5, 1, "kinked benign"),
    ("softplus", 0, 0.75, 0, "smooth degenerate"),
    ("sin 10z", 1, 0.25, 0, "oscillatory"),
)


def _correlation(law: tuple[float, float, float]) -> str:
    c = law[1]
    for name, value in (("1-2^-20", NEAR), ("1-2^-40", NEARER)):
        if abs(c) == value:
            return ("-(" if c < 0 else "") + name + (")" if c < 0 else "")
    return f"{c:g}"


def _primes(functions: tuple[str, ...], derivatives: tuple[int, ...]) -> str:
    return ", ".join(f + "'" * n for f, n in zip(functions, derivatives, strict=True))


def _pair(row: _Pair, tags: str, digits: int = 15) -> Moment:
    f, g, law, mean, derivatives = row
    a, c, b = (float(entry) for entry in law)
    name = f"E[{_primes((f, g), derivatives)}] C=({a:g}, {_correlation(law)}, {b:g}) m=({mean[0]:g}, {mean[1]:g})"
    return Moment(
        name + (f", {digits} digits" if digits > 15 else ""),
        frozenset({"2-point", *tags.split()}),
        (f, g),
        derivatives,
        (float(mean[0]), float(mean[1])),
        ((a, c), (c, b)),
        digits=digits,
    )


def _pairs() -> Iterator[Moment]:
    for f, variance, mean, n, tags in _SINGLE:
        name = f"E[{_primes((f,), (n,))}] C={variance:g} m={mean:g}"
        yield Moment(name, frozenset({"1-point", *tags.split()}), (f,), (n,), (float(mean),), ((float(variance),),))
    for tags, rows in _TWO.items():
        for row in rows:
            yield _pair(row, tags)
    for row in _RIGOROUS_PAIRS:
        yield _pair(row, "rigorous", digits=30)


# ------------------------------------------------------------------------------------------------ three and four points
def _layout(variables: str, loadings: str, noise: str) -> Layout:
    rows = tuple(tuple(Fraction(entry) for entry in row.split()) for row in loadings.split(";"))
    return Layout(tuple(int(v) for v in variables), rows, tuple(Fraction(entry) for entry in noise.split()))


_LAYOUTS = {
    # one common factor and independent noise
    "three": _layout("012", "1/2; 3/4; -1/2", "3/4 1/2 1"),
    "four": _layout("0123", "1/2; -1/2; 3/4; 1", "1 3/4 1/2 1/4"),
    # two factors: covariances of no special form
    "three, general": _layout("012", "1/2 1/4; 1/2 -1/2; -1/4 3/4", "3/4 1/2 1/2"),
    "four, general": _layout("0123", "3/4 1/4; 1/2 -1/2; -1/4 3/4; 1/2 1/2", "1/2 3/4 1/2 1/2"),
    "three, uncorrelated": _layout("012", "0; 0; 0", "1 2 1/2"),
    "four, uncorrelated": _layout("0123", "0; 0; 0; 0", "1 2 1/2 1"),
    # fields that are equal
    "three, a=b": _layout("001", "1/2; 3/4", "3/4 1/2"),
    "three, a=c": _layout("010", "1/2; 3/4", "3/4 1/2"),
    "three, all equal": _layout("000", "0", "3/2"),
    "four, a=b": _layout("0012", "1/2; -3/4; 1", "1 1/2 1/4"),
    "four, a=c": _layout("0102", "1/2; -3/4; 1", "1 1/2 1/4"),
    "four, a=c b=d": _layout("0101", "1/2; -3/4", "3/4 1/2"),
    "four, all equal": _layout("0000", "0", "5/4"),
    # rank 1 and 2
    "three, rank 1": _layout("012", "1; -1/2; 2", "0 0 0"),
    "four, rank 1": _layout("0123", "1; 1/2; 3/4; 2", "0 0 0 0"),
    "four, rank 2": _layout("0123", "1 0; 1/2 1/2; 1/2 3/4; 3/4 -1/4", "0 0 0 0"),
    "three, rank 2": _layout("012", "1 0; 0 1; 1/2 1/2", "0 0 0"),
    # a field of zero variance, fields that almost agree
    "three, zero variance": _layout("012", "1/2; 0; 3/4", "3/4 0 1/2"),
    "four, zero variance": _layout("0123", "1/2; -1/2; 0; 1", "1 3/4 0 1/4"),
    "three, near-one": _layout("012", "1; 1; 1/2", "1/1048576 1/1048576 3/4"),
    "four, near-one": _layout("0123", "1; 1; 1; 1", "1/1048576 1/1048576 1/1048576 1/1048576"),
}
_MEANS = (0.25, -0.5, 0.5, 0.125)
_NO_MEANS = (0.0, 0.0, 0.0, 0.0)
_I3 = (1, 0, 0)
_I4 = (1, 1, 0, 0)


def _three(
    name: str, g: str, layout: str, tags: str, h: str | None = None, mean: tuple[float, ...] = _NO_MEANS
) -> Moment:
    """E[g'(z_a) z_b h(z_c)]."""
    return _many(name, (g, "identity", h or g), _I3, layout, "3-point " + tags, mean)


def _four(
    name: str, g: str, layout: str, tags: str, h: str | None = None, mean: tuple[float, ...] = _NO_MEANS
) -> Moment:
    """E[g'(z_a) g'(z_b) g(z_c) h(z_d)]."""
    return _many(name, (g, g, g, h or g), _I4, layout, "4-point " + tags, mean)


def _many(
    name: str, functions: tuple[str, ...], derivatives: tuple[int, ...], layout: str, tags: str, mean: tuple[float, ...]
) -> Moment:
    law = _LAYOUTS[layout]
    return Moment(
        f"{name} ({layout})",
        frozenset(tags.split()),
        functions,
        derivatives,
        mean[: len(functions)],
        law.covariance(),
        law,
    )


_MANY: tuple[Moment, ...] = (
    _three("I3 erf", "erf", "three", "smooth benign"),
    _three("I3 erf", "erf", "three, general", "smooth benign"),
    _three("I3 erf, means", "erf", "three, general", "smooth benign", mean=_MEANS),
    _three("I3 tanh", "tanh", "three", "smooth benign"),
    _three("I3 tanh, means", "tanh", "three, general", "smooth benign", mean=_MEANS),
    _three("I3 tanh", "tanh", "three, uncorrelated", "smooth benign"),
    _three("I3 gelu, means", "gelu", "three", "smooth benign", mean=_MEANS),
    _three("I3 relu", "relu", "three", "kinked benign"),
    _three("I3 relu", "relu", "three, general", "kinked benign"),
    _three("I3 relu, means", "relu", "three, general", "kinked benign", mean=_MEANS),
    _three("I3 relu, tanh teacher", "relu", "three", "mixed benign", h="tanh"),
    _three("I3 tanh, relu teacher, means", "tanh", "three, general", "mixed benign", h="relu", mean=_MEANS),
    _three("I3 he3", "he3", "three, general", "polynomial benign", mean=_MEANS),
    _three("I3 hard tanh, means", "hard tanh", "three", "kinked benign", mean=_MEANS),
    _three("I3 erf", "erf", "three, a=b", "smooth degenerate"),
    _three("I3 tanh", "tanh", "three, a=b", "smooth degenerate"),
    _three("I3 tanh, means", "tanh", "three, a=c", "smooth degenerate", mean=_MEANS),
    _three("I3 relu", "relu", "three, a=b", "kinked degenerate"),
    _three("I3 relu", "relu", "three, a=c", "kinked degenerate"),
    _three("I3 relu, means", "relu", "three, all equal", "kinked degenerate", mean=_MEANS),
    _three("I3 tanh", "tanh", "three, rank 1", "smooth degenerate"),
    _three("I3 relu, means", "relu", "three, rank 1", "kinked degenerate", mean=_MEANS),
    _three("I3 relu", "relu", "three, rank 2", "kinked degenerate"),
    _three("I3 erf", "erf", "three, rank 2", "smooth degenerate"),
    _three("I3 tanh, means", "tanh", "three, zero variance", "smooth degenerate", mean=_MEANS),
    _three("I3 relu, means", "relu", "three, zero variance", "kinked degenerate", mean=_MEANS),
    _three("I3 tanh", "tanh", "three, near-one", "smooth near-one"),
    _three("I3 relu", "relu", "three, near-one", "kinked near-one"),
    _three("I3 tanh 5z", "tanh 5z", "three", "smooth"),
    _four("I4 erf", "erf", "four", "smooth benign"),
    _four("I4 erf", "erf", "four, general", "smooth benign"),
    _four("I4 erf, means", "erf", "four, general", "smooth benign", mean=_MEANS),
    _four("I4 tanh", "tanh", "four", "smooth benign"),
    _four("I4 tanh, means", "tanh", "four", "smooth benign", mean=_MEANS),
    _four("I4 tanh, means", "tanh", "four, uncorrelated", "smooth benign", mean=_MEANS),
    _four("I4 gelu", "gelu", "four", "smooth benign"),
    _four("I4 relu", "relu", "four", "kinked benign"),
    _four("I4 relu", "relu", "four, general", "kinked benign"),
    _four("I4 relu, tanh teacher", "relu", "four", "mixed benign", h="tanh"),
    _four("I4 he3", "he3", "four, general", "polynomial benign"),
    _four("I4 cubic, means", "cubic", "four", "polynomial benign", mean=_MEANS),
    _four("I4 erf", "erf", "four, a=b", "smooth degenerate"),
    _four("I4 tanh", "tanh", "four, a=c", "smooth degenerate"),
    _four("I4 tanh, means", "tanh", "four, a=c b=d", "smooth degenerate", mean=_MEANS),
    _four("I4 relu", "relu", "four, a=b", "kinked degenerate"),
    _four("I4 relu, means", "relu", "four, a=c", "kinked degenerate", mean=_MEANS),
    _four("I4 tanh", "tanh", "four, all equal", "smooth degenerate"),
    _four("I4 relu", "relu", "four, rank 1", "kinked degenerate"),
    _four("I4 relu", "relu", "four, rank 2", "kinked degenerate"),
    _four("I4 erf", "erf", "four, rank 2", "smooth degenerate"),
    _four("I4 relu, means", "relu", "four, zero variance", "kinked degenerate", mean=_MEANS),
    _four("I4 relu", "relu", "four, near-one", "kinked near-one"),
)


PROBLEMS: dict[str, Problem] = {}
for _problem in (*_coefficients(), *_pairs(), *_MANY):
    assert _problem.name not in PROBLEMS, f"two problems are named {_problem.name}"
    PROBLEMS[_problem.name] = _problem
    if isinstance(_problem, Moment):
        for _i, _row in enumerate(_problem.covariance):
            for _j, _entry in enumerate(_row):
                _most = _problem.covariance[_i][_i] * _problem.covariance[_j][_j]
                assert _entry**2 <= _most, f"{_problem.name}: no covariance"

#: What has no finite value or no finite description, and has to be refused rather than computed.
REFUSALS: dict[str, tuple[str, float, float]] = {
    "infinitely many kinks": ("Abs(sin(z))", 0, 1),
    "variance infinite at this std": ("exp(z**2/5)", 0, 2),
    "infinite at a point": ("log(Abs(z))", 0, 1),
    "pole on the line": ("1/z", 0, 1),
    "growth beyond every Gaussian": ("exp(z**4)", 0, 1),
    "not a number": ("tanh(z)", float("nan"), 1),
    "infinite std": ("tanh(z)", 0, float("inf")),
    "negative std": ("tanh(z)", 0, -1),
}
