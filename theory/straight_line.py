"""SymPy expressions as straight-line code: lowered once to a list of operations, each shared part once.

The code is text for Python, over objects that have the functions as methods (balls, say); what the arguments can be is
for the caller to say. :mod:`hermiton.theory.balls` compiles it.
"""

from typing import Any, NamedTuple

import sympy as sp

from .errors import argument_error

__all__ = ["ENTIRE", "Step", "complex_code", "lowered", "real_code"]

# SymPy's function -> the method of arb and acb.
_METHODS: dict[type[sp.Function], str] = {
    getattr(sp, name): name
    for name in (
        *("exp", "log", "sin", "cos", "tan", "cot", "sec", "csc", "sinh", "cosh", "tanh", "coth", "sech", "csch"),
        *("erf", "erfc", "erfi", "asin", "acos", "atan", "asinh", "atanh"),
    )
}
# Branch cuts: on the real axis outside [-1, 1], or on the imaginary axis outside [-i, i].
_CUT_REAL = frozenset({"asin", "acos", "atanh"})
_CUT_IMAGINARY = frozenset({"atan", "asinh"})
# For these the caller gives functions of its own for complex balls.
_HELPED = frozenset({"acos", "asin", "asinh", "erf", "sigmoid", "tanh"})
ENTIRE = frozenset({"exp", "sin", "cos", "sinh", "cosh", "erf", "erfc", "erfi"})
"""Functions without a singularity in the complex plane."""


class Step(NamedTuple):
    """One operation.

    ``kind`` is "number", "symbol", "add", "mul", "pow", "root", "max", "min", "abs", the name of a function of one
    variable, or one of two functions that Python has no SymPy class for: "sigmoid" 1/(1 + exp(-u)) and "softplus"
    log(1 + exp(u)). ``args`` are the steps it uses; ``value`` is the number, the symbol, the integer exponent of "pow",
    or the pair (p, q) of "root", which means u^(p/q).
    """

    kind: str
    args: tuple[int, ...] = ()
    value: Any = None


class _Lowering:
    """A SymPy expression as a list of steps, each shared sub-expression once."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.known: dict[object, int] = {}

    def step(self, key: object, step: Step) -> int:
        self.steps.append(step)
        self.known[key] = len(self.steps) - 1
        return self.known[key]

    def of(self, expr: sp.Expr) -> int:
        found = self.known.get(expr)
        return self.step(expr, self._compute(expr)) if found is None else found

    def _compute(self, expr: sp.Expr) -> Step:
        if expr.is_Rational or expr is sp.pi or expr is sp.E:
            return Step("number", (), expr)
        if expr.is_Symbol:
            return Step("symbol", (), expr)
        if isinstance(expr, sp.Pow):
            return self._power(expr.base, expr.exp)
        if isinstance(expr, sp.log):
            inner = _one_plus_exp(expr.args[0])
            return Step("log", (self.of(expr.args[0]),)) if inner is None else Step("softplus", (self.of(inner),))
        kinds = {sp.Add: "add", sp.Mul: "mul", sp.Max: "max", sp.Min: "min", sp.Abs: "abs", **_METHODS}
        kind = next((name for cls, name in kinds.items() if isinstance(expr, cls)), None)
        if kind is None:
            raise argument_error(
                "expr",
                expr,
                f"holds a {type(expr).__name__}, which has no ball arithmetic here",
                "use elementary functions and erf",
            )
        return Step(kind, tuple(self.of(a) for a in expr.args))

    def _power(self, base: sp.Expr, exponent: sp.Expr) -> Step:
        if exponent.is_Integer:
            inner = _one_plus_exp(base) if exponent.is_negative else None
            if inner is None:
                return Step("pow", (self.of(base),), int(exponent))
            sigmoid = self.known.get(("sigmoid", inner))
            if sigmoid is None:
                sigmoid = self.step(("sigmoid", inner), Step("sigmoid", (self.of(-inner),)))
            return Step("pow", (sigmoid,), -int(exponent))
        if exponent.is_Rational:
            return Step("root", (self.of(base),), (int(exponent.p), int(exponent.q)))
        logarithm = self.step(("log", base), Step("log", (self.of(base),)))
        return Step("exp", (self.step((base, exponent), Step("mul", (logarithm, self.of(exponent)))),))


def _one_plus_exp(expr: sp.Expr) -> sp.Expr | None:
    """The u of 1 + exp(u): a sigmoid or a softplus of u is far tighter on wide balls than its parts."""
    if isinstance(expr, sp.Add) and len(expr.args) == 2 and expr.args[0] is sp.S.One:
        return expr.args[1].args[0] if isinstance(expr.args[1], sp.exp) else None
    return None


def lowered(expr: sp.Expr) -> tuple[Step, ...]:
    """The operations of an expression.

    Parameters
    ----------
    expr : sympy.Expr
        Of rationals, symbols, pi, E, + * **, Abs Max Min and elementary functions and erf, erfc, erfi.

    Returns
    -------
    tuple of Step
        In order; the last one is the value.

    Raises
    ------
    AssumptionError
        If the expression holds an unknown function.
    """
    lowering = _Lowering()
    lowering.of(expr)
    return tuple(lowering.steps)


def real_code(step: Step) -> str:
    """A step as Python text on real balls t0, t1, ...

    Parameters
    ----------
    step : Step
        Not a number and not a symbol.

    Returns
    -------
    str
    """
    args = [f"t{i}" for i in step.args]
    first = args[0]
    if step.kind in ("add", "mul"):
        return (" + " if step.kind == "add" else " * ").join(args)
    if step.kind == "pow":
        return {2: f"{first} * {first}", -1: f"1 / {first}", 1: first}.get(step.value, f"power({first}, {step.value})")
    if step.kind == "root":
        p, q = step.value
        root = f"{first}.sqrt()" if q == 2 else f"{first}.root({q})"
        return root if p == 1 else f"power({root}, {p})"
    if step.kind in ("max", "min"):
        return first + "".join(f".{step.kind}({other})" for other in args[1:])
    if step.kind == "abs":
        return f"abs({first})"
    if step.kind == "sigmoid":
        return f"1 / (1 + (-{first}).exp())"
    return f"{first}.exp().log1p()" if step.kind == "softplus" else f"{first}.{step.kind}()"


def complex_code(step: Step) -> str:
    """A step as Python text on complex balls; where `analytic` is true, a ball that touches a branch cut gives NAN.

    Parameters
    ----------
    step : Step
        Not a number and not a symbol.

    Returns
    -------
    str
        It uses ``analytic``, ``NAN``, ``cut_real`` and ``cut_imaginary``, which tell whether a ball touches a cut, and
        functions acos, asin, asinh, erf, power, sigmoid, tanh and softplus(u, analytic).

    Raises
    ------
    AssumptionError
        If the step is ``Abs``, ``Max`` or ``Min``.
    """
    first = f"t{step.args[0]}"
    if step.kind in ("max", "min", "abs"):
        raise argument_error("expr", step.kind, "is not analytic", "integrate between the kinks")
    if step.kind == "root":
        p, q = step.value
        if q == 2:
            return f"power({first}.sqrt(analytic=analytic), {p})"
        return f"({first}.log(analytic=analytic) * {p} / {q}).exp()"
    if step.kind == "log":
        return f"{first}.log(analytic=analytic)"
    if step.kind == "softplus":
        return f"softplus({first}, analytic)"
    value = f"{step.kind}({first})" if step.kind in _HELPED else f"{first}.{step.kind}()"
    if step.kind in _CUT_REAL or step.kind in _CUT_IMAGINARY:
        cut = "cut_real" if step.kind in _CUT_REAL else "cut_imaginary"
        return f"NAN if analytic and {cut}({first}) else {value}"
    return value if step.kind in _METHODS.values() or step.kind in _HELPED else real_code(step)
