"""Activation functions: a formula in ``z``, checked on entry, and its exact facts."""

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import sympy as sp

from .derivation import Derivation
from .derive import derive
from .errors import AccuracyError, argument_error
from .formula import FUNCTION_NAMES, MAX_DEGREE, hermite_he, parse_formula
from .notation import z
from .pieces import NotPiecewiseError, Piece, continuous_lines, smooth_pieces
from .real_line import NotRealError, Rate, Undecided, growth
from .symmetry import parity_of, vanishes

if TYPE_CHECKING:
    from .facts.table import Facts
    from .gaussian.dual import DualKernel
    from .gaussian.hermite import HermiteSeries

__all__ = ["CATALOGUE", "Activation", "register_projector"]

CATALOGUE: dict[str, Callable[[], sp.Expr]] = {
    "erf": lambda: sp.erf(z / sp.sqrt(2)),
    "relu": lambda: sp.Max(0, z),
    "leaky_relu": lambda: sp.Max(z / 100, z),
    "abs": lambda: sp.Abs(z),
    "sign": lambda: sp.sign(z),
    "tanh": lambda: sp.tanh(z),
    "sigmoid": lambda: 1 / (1 + sp.exp(-z)),
    "softplus": lambda: sp.log(1 + sp.exp(z)),
    "gelu": lambda: z * (1 + sp.erf(z / sp.sqrt(2))) / 2,
    "silu": lambda: z / (1 + sp.exp(-z)),
    "sin": lambda: sp.sin(z),
    "cos": lambda: sp.cos(z),
    "exp": lambda: sp.exp(z),
    "identity": lambda: z,
    "square": lambda: z**2,
}
"""Named activations; ``he1``, ``he2``, ... up to ``he64`` (probabilists' Hermite polynomials) are known besides."""

_HERMITE_NAME = re.compile(r"he([1-9][0-9]?)")
_QUARTER = sp.Rational(1, 4)
# Turns a Python function into an activation: an array computation, so another layer puts it here.
_projectors: list[Callable[..., "Activation"]] = []


def register_projector(projector: Callable[..., "Activation"]) -> None:
    """Set what :meth:`Activation.from_callable` calls.

    Parameters
    ----------
    projector : callable
        ``projector(function, **options)`` returns an Activation.
    """
    _projectors[:] = [projector]


@dataclass(frozen=True, init=False, repr=False)
class Activation:
    """An activation function sigma(z), checked to be real, non-constant and of finite Gaussian variance.

    Parameters
    ----------
    formula : str, sympy.Expr or Activation
        A name of the catalogue (``"relu"``; ``"erf"`` means erf(z/sqrt(2)); ``"he3"``), a formula in z as text (see
        :func:`hermiton.theory.formula.parse_formula`; there ``erf(z)`` is the plain error function), or a SymPy
        expression in :data:`hermiton.theory.notation.z`.

    Attributes
    ----------
    expression : sympy.Expr
        sigma(z), with exact numbers only: floats given are replaced by the rationals they stand for.
    name : str
        The catalogue's name, or the expression as text.
    projection : object or None
        For an activation from a Python function, how far its polynomial is from the function.

    Raises
    ------
    AssumptionError
        If the name is unknown, the formula has other variables than z, is constant, complex or infinite on the real
        line, has infinitely many kinks, or has an infinite Gaussian second moment.

    Notes
    -----
    *Validity.* E[sigma(x)^2] is finite for x ~ N(0, 1). For sigma(m + s x) it is finite if ``growth_exponent`` is below
    1/(4 s^2). Values at the kinks themselves play no role (they have probability zero).

    Examples
    --------
    >>> Activation("relu").kinks
    (0,)
    >>> Activation("he3").information_exponent
    3
    >>> Activation("z*tanh(z)").parity
    'even'
    """

    expression: sp.Expr
    name: str
    projection: Any = None

    def __init__(self, formula: "str | sp.Expr | Activation") -> None:
        if isinstance(formula, Activation):
            expression, name = formula.expression, formula.name
            object.__setattr__(self, "projection", formula.projection)
        else:
            expression, name = _read(formula)
        object.__setattr__(self, "expression", expression)
        object.__setattr__(self, "name", name)
        if not isinstance(formula, Activation):
            self._check(formula)

    @classmethod
    def from_callable(cls, function: Callable[[Any], Any], **options: Any) -> "Activation":
        """Replace a vectorised Python function by a polynomial, its projection under the standard normal law.

        Parameters
        ----------
        function : callable
            Takes and returns a float64 array of shape (n,).
        **options
            ``order``, ``tolerance``, ``name``: see :func:`hermiton.numerics.projection.project`.

        Returns
        -------
        Activation
            A polynomial with rational coefficients; ``projection`` says how far it is from the function.

        Raises
        ------
        AssumptionError
            If the function is refused: the message has the reason.
        """
        if not _projectors:
            raise argument_error(
                "function", function, "can't be sampled by exact theory alone", "import hermiton.numerics.projection"
            )
        return _projectors[0](function, **options)

    def __repr__(self) -> str:
        return f"Activation({self.name!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Activation) and bool(self.expression == other.expression)

    def __hash__(self) -> int:
        return hash(self.expression)

    def _check(self, formula: object) -> None:
        try:
            pieces = self.pieces
        except NotRealError as error:
            what, cure = _REFUSALS[error.kind]
            raise argument_error(
                "activation", formula, f"{what}: {error.sub_expression} {error.reason}", cure
            ) from None
        except NotPiecewiseError as error:
            raise argument_error(
                "activation",
                formula,
                f"can't be cut into smooth pieces: {error}",
                "use finitely many kinks at exact points",
            ) from None
        if all(vanishes(sp.diff(p.expression, z)) for p in pieces) and len({p.expression for p in pieces}) == 1:
            raise argument_error(
                "activation", formula, f"is the constant {pieces[0].expression}", "use a function of z"
            )
        try:
            exponent = self.growth_exponent
        except Undecided:
            raise argument_error(
                "activation", formula, "grows in a way that can't be read off its formula", "simplify the formula"
            ) from None
        if bool(exponent >= _QUARTER):
            bound = "faster than any exp(a*z**2)" if exponent.is_infinite else f"like exp(({exponent})*z**2)"
            raise argument_error(
                "activation",
                formula,
                f"has an infinite Gaussian second moment: it grows {bound}",
                "use a function below exp(a*z**2) with a < 1/4",
            )

    @property
    def latex(self) -> str:
        """The expression as LaTeX."""
        return str(sp.latex(self.expression))

    def _repr_latex_(self) -> str:
        return rf"$\displaystyle \sigma(z) = {self.latex}$"

    @cached_property
    def pieces(self) -> tuple[Piece, ...]:
        """Smooth expressions on neighbouring intervals, left to right; one piece if there is no kink."""
        return smooth_pieces(self.expression)

    @cached_property
    def lines(self) -> tuple[tuple[sp.Expr, sp.Expr], ...] | None:
        """Constant and slope of each piece, if sigma is continuous and piecewise linear; else None."""
        return continuous_lines(self.pieces)

    @property
    def kinks(self) -> tuple[sp.Expr, ...]:
        """The points where sigma is not smooth, exact, in increasing order."""
        return tuple(piece.lo for piece in self.pieces[1:])

    @cached_property
    def parity(self) -> str | None:
        """``'even'``, ``'odd'`` or None; even and odd are proved symbolically."""
        if len(self.pieces) == 1:
            return parity_of(self.pieces[0].expression)
        for name, sign in (("even", 1), ("odd", -1)):
            if self._mirrors(sign):
                return name
        return None

    def _mirrors(self, sign: int) -> bool:
        kinks = self.kinks
        if any(not (a + b).equals(0) for a, b in zip(kinks, reversed(kinks), strict=True)):
            return False
        half = (len(self.pieces) + 1) // 2
        for left, right in zip(self.pieces[:half], reversed(self.pieces), strict=False):
            difference = left.expression.subs(z, -z) - sign * right.expression
            if not vanishes(difference):
                return False
        return True

    @property
    def derivative(self) -> sp.Expr:
        """sigma'(z) as an expression in z; a jump of sigma shows as a ``DiracDelta``."""
        return sp.diff(self.expression, z)

    @property
    def is_polynomial(self) -> bool:
        """Whether sigma is a polynomial on the whole line."""
        return len(self.pieces) == 1 and bool(self.pieces[0].expression.is_polynomial(z))

    @property
    def degree(self) -> int | None:
        """Degree of the polynomial, None for any other function."""
        return int(sp.degree(self.pieces[0].expression, z)) if self.is_polynomial else None

    @property
    def is_analytic_on_reals(self) -> bool:
        """Whether sigma has no kink: every function that :class:`Activation` accepts is analytic between its kinks."""
        return len(self.pieces) == 1

    @cached_property
    def _rates(self) -> tuple[Rate, Rate]:
        first, last = self.pieces[0], self.pieces[-1]
        return growth(first.expression, -1, first.lo, first.hi), growth(last.expression, 1, last.lo, last.hi)

    @property
    def growth(self) -> str:
        """Upper class of the growth: ``'bounded'``, ``'polynomial'``, ``'exponential'`` or ``'gaussian'``.

        Exponential means up to exp(c|z|^q) with q < 2, Gaussian up to exp(a z^2) with a = `growth_exponent`.
        """
        if bool(self.growth_exponent > 0):
            return "gaussian"
        if any(rate.grows for rate in self._rates):
            return "exponential"
        return "polynomial" if any(bool(r.power > 0) and not r.decays for r in self._rates) else "bounded"

    @property
    def growth_exponent(self) -> sp.Expr:
        """The least known a >= 0 with log|sigma(z)| <= a z^2 (1 + o(1)); infinite if there is none."""
        worst: sp.Expr = sp.S.Zero
        for rate in self._rates:
            if not rate.grows:
                continue
            power, _, a = rate.exponents[0]
            value = sp.oo if bool(power > 2) else a if power == 2 else sp.S.Zero
            worst = value if bool(value > worst) else worst
        return worst

    @cached_property
    def information_exponent(self) -> int:
        """First k >= 1 with E[sigma(x) He_k(x)] != 0 for x ~ N(0, 1).

        Each zero before it has a reason (parity, or an exact coefficient), and the non-zero coefficient is exact or
        enclosed by a ball that excludes zero.

        Raises
        ------
        AccuracyError
            If a coefficient is zero to 30 digits and no reason is known.
        """
        from .gaussian.hermite import exact_coefficient, zero_by_parity

        for k in range(1, MAX_DEGREE + 1):
            if zero_by_parity(self, k):
                continue
            exact = exact_coefficient(self, k)
            if exact is not None:
                if not vanishes(exact):
                    return k
                continue
            from .balls import gaussian_integral_1d

            value = gaussian_integral_1d(self.expression * hermite_he(k, z), z, sp.S.One)
            if not value.contains(0):
                return k
            raise AccuracyError(
                f"the Hermite coefficient {k} of {self.name} is zero to 30 digits, but no reason for a zero is known:"
                " perturb the formula, or write it so that the zero is exact"
            )
        raise AccuracyError(
            f"the Hermite coefficients 1 to {MAX_DEGREE} of {self.name} are all zero: use a function with a lower one"
        )

    @property
    def generative_exponent(self) -> int:
        """First k >= 1 for which E[He_k(x) | sigma(x)] does not vanish, x ~ N(0, 1).

        See :func:`hermiton.theory.facts.exponents.generative_exponent`, which also gives the reasons.

        Raises
        ------
        AccuracyError
            If it is undecided.
        """
        from .facts.exponents import generative_exponent

        return generative_exponent(self).value

    def facts(self) -> "Facts":
        """What is known of sigma, as a table: parity, kinks, growth, exponents, decay of coefficients, strip, and more.

        Returns
        -------
        Facts
            Each entry with its reason and how well it stands; what can't be decided says so.
        """
        from .facts.collect import facts

        return facts(self)

    def dual_kernel(self, other: "str | sp.Expr | Activation | None" = None) -> "DualKernel":
        """The dual kernel kappa(rho) = E[sigma(x) g(y)] of standard Gaussians x, y with correlation rho.

        Parameters
        ----------
        other : Activation, str or sympy.Expr, optional
            g; sigma itself by default.

        Returns
        -------
        DualKernel
            In closed form where one is known, with its check; Mehler's series with a bound on its tail always.
        """
        from .gaussian.dual import dual_kernel

        return dual_kernel(self, other)

    def hermite(self, order: int, mean: sp.Expr | int = 0, std: sp.Expr | int = 1) -> "HermiteSeries":
        """Hermite coefficients h_k = E[sigma(m + s x) He_k(x)], x ~ N(0, 1), for k = 0, ..., `order`.

        Parameters
        ----------
        order : int
            Largest k.
        mean, std : sympy.Expr or int
            m and s > 0; may be symbols.

        Returns
        -------
        HermiteSeries
            Exact where a closed form is known, otherwise unevaluated expectations.

        Raises
        ------
        AssumptionError
            If `order` is negative, `std` is not positive, or the expectation is infinite at this `std`.
        """
        from .gaussian.hermite import hermite_series

        return hermite_series(self, order, mean, std)


@derive.register
def _derive(activation: Activation, order: int = 3, **options: Any) -> Derivation:
    from .gaussian.hermite_derivation import derive_hermite

    return derive_hermite(activation, order, **options)


_REFUSALS = {
    "complex": (
        "is not shown to be real on the whole real line",
        "keep roots and logarithms of quantities that are positive for every real z, such as sqrt(1 + z**2)",
    ),
    "pole": ("is not shown to be finite on the whole real line", "remove the pole, as in z/(1 + z**2)"),
    "unknown": (
        "can't be analysed",
        "write it with exp, log, sqrt, sin, cos, tanh, erf, atan, Abs, sign, Max, Min, Heaviside or Piecewise",
    ),
}


def _read(formula: object) -> tuple[sp.Expr, str]:
    if isinstance(formula, str):
        word = formula.strip()
        if word in CATALOGUE:
            return CATALOGUE[word](), word
        hermite = _HERMITE_NAME.fullmatch(word)
        if hermite and int(hermite[1]) <= MAX_DEGREE:
            return hermite_he(int(hermite[1]), z), word
        if word.isidentifier() and word not in FUNCTION_NAMES and word != "z":
            close = difflib.get_close_matches(word, [*CATALOGUE, "he2", "he3", "he4"], n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            names = ", ".join(CATALOGUE)
            raise argument_error(
                "activation",
                formula,
                "is not a known name",
                f"{hint}use a formula in z such as 'tanh(z)', or one of {names}, he2, he3",
            )
        return _exact(parse_formula(formula), formula), word
    if isinstance(formula, sp.Expr):
        expression = _exact(formula, formula)
        return expression, str(expression)
    raise argument_error(
        "activation",
        formula,
        f"is a {type(formula).__name__}",
        "pass a name, a formula in z as text, or a SymPy expression in z",
    )


def _exact(formula: sp.Expr, given: object) -> sp.Expr:
    """`formula` in the one symbol z, without floats; everything that is no real function of z is refused."""
    others = sorted((s for s in formula.free_symbols if s != z and s.name != "z"), key=str)
    if others:
        names = ", ".join(str(s) for s in others)
        raise argument_error(
            "activation",
            given,
            f"has other variables than z ({names})",
            "write it in hermiton.z and give the others numbers",
        )
    if formula.atoms(sp.core.function.AppliedUndef):
        raise argument_error("activation", given, "has an undefined function", "write its formula")
    replaced: dict[sp.Basic, sp.Basic] = {s: z for s in formula.free_symbols if s.name == "z"}
    if not replaced:
        raise argument_error("activation", given, "has no z", "write a formula in z, such as 'tanh(z)'")
    for number in formula.atoms(sp.Float):
        replaced[number] = sp.nsimplify(number, rational=True)
    expression = formula.xreplace(replaced)
    if expression.has(sp.I, sp.zoo, sp.nan, sp.oo, -sp.oo):
        raise argument_error("activation", given, "has a complex or infinite part", "keep every part real and finite")
    if expression.has(sp.Integral, sp.Sum, sp.Product, sp.Derivative, sp.Limit):
        raise argument_error("activation", given, "has an unevaluated operation", "call .doit() and pass a closed form")
    if not expression.has(z):
        raise argument_error("activation", given, f"is the constant {expression}", "use a function of z")
    return expression
