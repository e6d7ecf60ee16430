"""Formulas in ``z`` as text, read through a whitelist of Python's syntax tree.

The text is parsed by :mod:`ast` and rebuilt node by node from SymPy constructors. Nothing is ever evaluated as Python:
neither ``eval`` nor ``sympify`` sees the text. Sizes are bounded before SymPy computes anything, so a short text such
as ``9**9**9`` can't ask for a long computation.
"""

import ast
import difflib
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import sympy as sp

from .errors import AssumptionError, argument_error
from .notation import z

__all__ = ["FUNCTION_NAMES", "MAX_DEGREE", "MAX_DEPTH", "MAX_LENGTH", "hermite_he", "parse_formula"]

MAX_LENGTH = 2000
MAX_DEPTH = 50
MAX_DEGREE = 64
_MAX_BITS = 4096
_MAX_DECIMAL_EXPONENT = 300
_MAX_EXPONENTIAL = 2000

_HERMITE_NAME = re.compile(r"he([0-9]{1,3})")


def hermite_he(order: int, argument: sp.Expr) -> sp.Expr:
    """Probabilists' Hermite polynomial ``He_n`` (leading coefficient 1) of `argument`.

    >>> hermite_he(3, z)
    z**3 - 3*z
    """
    t = sp.Dummy("t")
    previous, current = sp.Poly(0, t), sp.Poly(1, t)
    for n in range(order):
        previous, current = current, sp.Poly(t, t) * current - n * previous
    return current.as_expr().xreplace({t: argument})


class _Function(NamedTuple):
    """A function of the whitelist: number of arguments (least, most) and how it is built."""

    least: int
    most: int
    build: Callable[..., sp.Expr]


_FUNCTIONS: dict[str, _Function] = {
    "sin": _Function(1, 1, sp.sin),
    "cos": _Function(1, 1, sp.cos),
    "tan": _Function(1, 1, sp.tan),
    "exp": _Function(1, 1, sp.exp),
    "log": _Function(1, 1, sp.log),
    "sqrt": _Function(1, 1, sp.sqrt),
    "tanh": _Function(1, 1, sp.tanh),
    "sinh": _Function(1, 1, sp.sinh),
    "cosh": _Function(1, 1, sp.cosh),
    "atan": _Function(1, 1, sp.atan),
    "asinh": _Function(1, 1, sp.asinh),
    "erf": _Function(1, 1, sp.erf),
    "erfc": _Function(1, 1, sp.erfc),
    "sign": _Function(1, 1, sp.sign),
    "abs": _Function(1, 1, sp.Abs),
    "Abs": _Function(1, 1, sp.Abs),
    "Max": _Function(2, 20, sp.Max),
    "Min": _Function(2, 20, sp.Min),
    "max": _Function(2, 20, sp.Max),
    "min": _Function(2, 20, sp.Min),
    "Heaviside": _Function(1, 1, lambda u: sp.Heaviside(u, sp.Rational(1, 2))),
    "sigmoid": _Function(1, 1, lambda u: 1 / (1 + sp.exp(-u))),
    "softplus": _Function(1, 1, lambda u: sp.log(1 + sp.exp(u))),
    "relu": _Function(1, 1, lambda u: sp.Max(0, u)),
    "leaky_relu": _Function(1, 1, lambda u: sp.Max(u / 100, u)),
    "gelu": _Function(1, 1, lambda u: u * (1 + sp.erf(u / sp.sqrt(2))) / 2),
    "silu": _Function(1, 1, lambda u: u / (1 + sp.exp(-u))),
}
FUNCTION_NAMES = frozenset({*_FUNCTIONS, "He"})
"""The functions a formula may call; he0, he1, ... are known besides."""

_EXPONENTIAL = frozenset({"exp", "sinh", "cosh", "sigmoid", "softplus", "silu"})
_CONSTANTS: dict[str, sp.Expr] = {"pi": sp.pi, "E": sp.E}

# What was found and what to do instead, for the parts of Python that a formula has no use for.
_REFUSED: tuple[tuple[tuple[type[ast.AST], ...], str, str], ...] = (
    ((ast.Attribute,), "an attribute access", "write functions by their bare name, as in tanh(z)"),
    ((ast.Subscript, ast.Slice), "a subscript", "remove the square brackets; a formula has one variable, z"),
    ((ast.Lambda,), "a lambda", "write only its body, as a formula in z"),
    ((ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp), "a comprehension", "write the terms out"),
    ((ast.JoinedStr, ast.FormattedValue), "a string", "remove the quotes"),
    ((ast.List, ast.Tuple, ast.Set, ast.Dict), "a collection", "a formula is a single expression in z"),
    ((ast.NamedExpr,), "an assignment", "write the value where it is used"),
    ((ast.IfExp, ast.Compare, ast.BoolOp), "a condition", "use Heaviside, Max or Abs, or pass a SymPy Piecewise"),
    ((ast.Starred,), "an unpacked argument", "write each argument out"),
    ((ast.Await, ast.Yield, ast.YieldFrom), "a coroutine", "a formula is a single expression in z"),
)


@dataclass(frozen=True)
class _Part:
    """A converted sub-expression and a bound of its degree in z (functions count by their arguments)."""

    expr: sp.Expr
    degree: sp.Rational


def parse_formula(text: str) -> sp.Expr:
    """Read a formula in ``z`` from text, without evaluating it as Python.

    Parameters
    ----------
    text : str
        A formula such as ``"z*tanh(z)/2"``. Integers are exact and decimals become exact rationals (``0.1`` is 1/10).
        Known are ``z``, ``pi``, ``E``, ``+ - * / **``, sin cos tan exp log sqrt tanh sinh cosh atan asinh erf erfc sign
        abs Max Min Heaviside sigmoid softplus relu leaky_relu gelu silu, and He(n, u) or he2(u), he3(u), ... for the
        probabilists' Hermite polynomials. Inside a formula ``erf`` is the plain error function.

    Returns
    -------
    sympy.Expr
        The expression in :data:`hermiton.theory.notation.z`; it has no ``Float``.

    Raises
    ------
    AssumptionError
        For anything else, saying what was found and what to write instead.

    >>> parse_formula("0.5*z + tanh(z)**2")
    z/2 + tanh(z)**2
    """
    if not isinstance(text, str):
        raise argument_error(
            "formula", text, f"is a {type(text).__name__}, not text", "pass a string such as 'tanh(z)'"
        )
    stripped = text.strip()
    if not stripped:
        raise argument_error("formula", text, "is empty", "write a formula in z, such as 'tanh(z)'")
    if len(stripped) > MAX_LENGTH:
        raise argument_error(
            "formula",
            text,
            f"has {len(stripped)} characters, more than {MAX_LENGTH}",
            "pass a SymPy expression instead",
        )
    tree = _tree(text, stripped)
    _check_depth(text, tree)
    _check_syntax(text, tree)
    _check_names(text, tree)
    expr = _Converter(text, stripped).convert(tree).expr
    if not expr.has(z):
        raise argument_error("formula", text, f"reduces to {expr}, which has no z", "write a formula that depends on z")
    return expr


def _tree(text: str, stripped: str) -> ast.expr:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the tokenizer warns about '1if'; such texts are refused below anyway
            return ast.parse(stripped, mode="eval").body
    except SyntaxError as error:
        where = f" at character {error.offset}" if error.offset else ""
        raise argument_error(
            "formula", text, f"is not a formula ({error.msg}{where})", "write it as in '(z + 1)*tanh(z)'"
        ) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise argument_error(
            "formula", text, f"can't be read ({type(error).__name__})", "write a shorter formula, less deeply nested"
        ) from None


def _check_depth(text: str, tree: ast.expr) -> None:
    level: list[ast.AST] = [tree]
    depth = 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise argument_error(
                "formula",
                text,
                f"is nested more than {MAX_DEPTH} deep",
                "group its terms in parentheses, or pass SymPy",
            )
        level = [child for node in level for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]


def _check_syntax(text: str, tree: ast.expr) -> None:
    for node in ast.walk(tree):
        for kinds, found, cure in _REFUSED:
            if isinstance(node, kinds):
                raise argument_error("formula", text, f"contains {found}", cure)


def _check_names(text: str, tree: ast.expr) -> None:
    """Refuse unknown variables all at once: one message names them all."""
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and id(n) not in called}
    functions = sorted(n for n in names if n in _FUNCTIONS or n == "He" or _HERMITE_NAME.fullmatch(n))
    if functions:
        raise argument_error(
            "formula", text, f"uses the function {functions[0]} without an argument", f"write {functions[0]}(z)"
        )
    unknown = sorted(names - {"z"} - set(_CONSTANTS))
    if not unknown:
        return
    if "z" in names or len(unknown) > 1:
        listed = ", ".join(unknown)
        raise argument_error(
            "formula", text, f"has other variables than z ({listed})", "give them numbers: z is the only variable"
        )
    raise argument_error("formula", text, f"has the unknown variable {unknown[0]}", "write the variable as z")


class _Converter:
    """The recursion over the syntax tree; carries the text for its messages."""

    def __init__(self, text: str, stripped: str) -> None:
        self.text = text
        self.stripped = stripped

    def error(self, problem: str, cure: str) -> AssumptionError:
        return argument_error("formula", self.text, problem, cure)

    def convert(self, node: ast.expr) -> _Part:
        if isinstance(node, ast.Constant):
            part = self.number(node)
        elif isinstance(node, ast.Name):
            part = _Part(z, sp.S.One) if node.id == "z" else _Part(_CONSTANTS[node.id], sp.S.Zero)
        elif isinstance(node, ast.UnaryOp):
            part = self.unary(node)
        elif isinstance(node, ast.BinOp):
            part = self.binary(node)
        elif isinstance(node, ast.Call):
            part = self.call(node)
        else:
            raise self.error(f"contains a {type(node).__name__}", "use numbers, z, + - * / ** and named functions")
        return self.checked(part)

    def checked(self, part: _Part) -> _Part:
        expr = part.expr
        if part.degree > MAX_DEGREE:
            raise self.error(
                f"has degree {part.degree} in z, more than {MAX_DEGREE}", f"keep powers within {MAX_DEGREE}"
            )
        if expr.has(sp.zoo, sp.nan, sp.oo, -sp.oo):
            raise self.error(
                "divides by zero or is infinite", "remove the constant sub-expression without a finite value"
            )
        if expr.has(sp.I) or (expr.is_number and expr.is_extended_real is False):
            raise self.error(f"has the complex part {expr}", "keep every part real for real z")
        if expr.is_Rational:
            self.check_bits(expr)
        return part

    def check_bits(self, value: sp.Rational) -> None:
        if max(int(value.p).bit_length(), int(value.q).bit_length()) > _MAX_BITS:
            raise self.error("contains a number of more than 1200 digits", "use smaller numbers")

    def number(self, node: ast.Constant) -> _Part:
        value = node.value
        if isinstance(value, bool) or value is None or value is Ellipsis:
            raise self.error(f"contains {value!r}", "use numbers and z")
        if isinstance(value, str | bytes):
            raise self.error("contains a string", "remove the quotes")
        if isinstance(value, complex):
            raise self.error("contains an imaginary number", "keep every part real for real z")
        if isinstance(value, int):
            return _Part(sp.Integer(value), sp.S.Zero)
        source = (ast.get_source_segment(self.stripped, node) or "").replace("_", "")
        mantissa, _, exponent = source.lower().partition("e")
        if exponent and abs(int(exponent)) > _MAX_DECIMAL_EXPONENT:
            raise self.error(f"contains {source}", f"keep decimal exponents within {_MAX_DECIMAL_EXPONENT}")
        # from the digits as written, not from the double next to them
        return _Part(sp.Rational(mantissa) * sp.Integer(10) ** int(exponent or 0), sp.S.Zero)

    def unary(self, node: ast.UnaryOp) -> _Part:
        part = self.convert(node.operand)
        if isinstance(node.op, ast.USub):
            return _Part(-part.expr, part.degree)
        if isinstance(node.op, ast.UAdd):
            return part
        raise self.error(f"contains the operator {type(node.op).__name__}", "use + - * / ** only")

    def binary(self, node: ast.BinOp) -> _Part:
        left, right = self.convert(node.left), self.convert(node.right)
        if isinstance(node.op, ast.Add):
            return _Part(left.expr + right.expr, max(left.degree, right.degree))
        if isinstance(node.op, ast.Sub):
            return _Part(left.expr - right.expr, max(left.degree, right.degree))
        if isinstance(node.op, ast.Mult):
            return _Part(left.expr * right.expr, left.degree + right.degree)
        if isinstance(node.op, ast.Div):
            if right.expr.is_zero:
                raise self.error("divides by zero", "remove the division")
            return _Part(left.expr / right.expr, left.degree + right.degree)
        if isinstance(node.op, ast.Pow):
            return self.power(left, right)
        cure = "write ** for a power" if isinstance(node.op, ast.BitXor) else "use + - * / ** only"
        raise self.error(f"contains the operator {type(node.op).__name__}", cure)

    def power(self, base: _Part, exponent: _Part) -> _Part:
        power = exponent.expr
        if power.is_Rational:
            if abs(power) > MAX_DEGREE or power.q > MAX_DEGREE:
                raise self.error(f"has the exponent {_short(power)}", f"keep exponents within {MAX_DEGREE}")
            if base.expr.is_Rational:
                bits = max(int(base.expr.p).bit_length(), int(base.expr.q).bit_length())
                if bits * abs(power) > _MAX_BITS:
                    raise self.error("contains a power of more than 1200 digits", "use smaller numbers")
            if base.expr.is_zero and power.is_negative:
                raise self.error("divides by zero", "remove the division")
            return _Part(base.expr**power, base.degree * abs(power))
        if power.is_number:
            self.check_exponential(power)
        return _Part(base.expr**power, base.degree + exponent.degree)

    def check_exponential(self, argument: sp.Expr) -> None:
        """Bound constant exponents: exp(exp(exp(99))) has no digits that a computer could hold."""
        if argument.is_number and bool(abs(argument) > _MAX_EXPONENTIAL):
            raise self.error("contains an exponential of a huge constant", f"keep constants within {_MAX_EXPONENTIAL}")

    def call(self, node: ast.Call) -> _Part:
        if not isinstance(node.func, ast.Name):
            raise self.error("calls something that is not a named function", "write products with *")
        name = node.func.id
        if name == "z" or name in _CONSTANTS:
            raise self.error(f"calls {name}, which is not a function", "write products with *")
        if node.keywords:
            raise self.error(f"passes a keyword to {name}", "pass arguments by position")
        hermite = _HERMITE_NAME.fullmatch(name)
        if name not in _FUNCTIONS and name != "He" and not hermite:
            close = difflib.get_close_matches(name, [*_FUNCTIONS, "He"], n=1)
            cure = f"did you mean {close[0]}?" if close else f"use one of {', '.join(sorted(_FUNCTIONS))}, He"
            raise self.error(f"calls the unknown function {name}", cure)
        parts = [self.convert(argument) for argument in node.args]
        if name == "He":
            if len(parts) != 2 or not parts[0].expr.is_Integer:
                raise self.error("calls He without an order and an argument", "write He(3, z)")
            return self.hermite(int(parts[0].expr), parts[1])
        if hermite:
            if len(parts) != 1:
                raise self.error(f"calls {name} with {len(parts)} arguments", f"write {name}(z)")
            return self.hermite(int(hermite[1]), parts[0])
        function = _FUNCTIONS[name]
        if not function.least <= len(parts) <= function.most:
            need = "one argument" if function.most == 1 else f"{function.least} to {function.most} arguments"
            raise self.error(f"calls {name} with {len(parts)} arguments", f"{name} takes {need}")
        if name in _EXPONENTIAL:
            self.check_exponential(parts[0].expr)
        degree = max(part.degree for part in parts)
        try:
            return _Part(function.build(*(part.expr for part in parts)), degree)
        except (TypeError, ValueError) as error:
            raise self.error(f"has no value for {name} ({error})", "keep every part real and finite") from None

    def hermite(self, order: int, argument: _Part) -> _Part:
        if not 0 <= order <= MAX_DEGREE or order * argument.degree > MAX_DEGREE:
            raise self.error(
                f"has a Hermite polynomial of order {_short(order)}", f"keep degrees within 0 and {MAX_DEGREE}"
            )
        return _Part(hermite_he(order, argument.expr), order * argument.degree)


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 20 else f"{text[:17]}..."
