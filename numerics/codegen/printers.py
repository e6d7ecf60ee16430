"""Five printers of one loop program: scalar kernel, lane kernel, NumPy, plain Python, and mpmath.

All print the same statements. The scalar and lane kernels are compiled by Numba; plain Python and mpmath run as they
are and are the oracles of the kernel tests. NumPy prints what is wanted at many times but not often: each statement
acts on all times at once, and nothing is compiled.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import mpmath
import sympy as sp
from sympy.printing.numpy import _known_functions_numpy
from sympy.printing.pycode import PythonCodePrinter

from hermiton.theory.errors import CodegenError

from .program import Accumulate, Assign, Call, Comment, Counter, Loop, Place, Program, Statement, VectorMap

__all__ = [
    "LanePrinter",
    "MpmathPrinter",
    "NumpyPrinter",
    "ProgramPrinter",
    "PythonPrinter",
    "ScalarPrinter",
    "expression_printer",
]

_INDENT = "    "


class _Expressions(PythonCodePrinter):  # type: ignore[misc]
    """Expressions in doubles: exact constants are rounded once, entries become offsets into flat arrays."""

    def __init__(self, program: ProgramPrinter | None) -> None:
        super().__init__({"fully_qualified_modules": True, "user_functions": {}})
        self.program = program

    def doprint_constant(self, value: sp.Expr) -> str:
        return repr(float(value.evalf(40)))

    def _print(self, expr: sp.Basic, **kwargs: object) -> str:
        if isinstance(expr, sp.Expr) and expr.is_number and not expr.is_infinite:
            if expr.is_real is False:
                raise CodegenError(f"a kernel can't hold the complex constant {expr}")
            return self.doprint_constant(expr)
        return str(super()._print(expr, **kwargs))

    def _print_Mul(self, expr: sp.Mul) -> str:
        numbers = [a for a in expr.args if a.is_number]
        others = [a for a in expr.args if not a.is_number]
        if len(numbers) > 1:
            return self._print(sp.Mul(sp.Mul(*numbers).evalf(40), *others))
        return str(super()._print_Mul(expr))

    def _print_Pow(self, expr: sp.Pow, rational: bool = False, sqrt: str = "math.sqrt") -> str:
        base, exponent = expr.args
        root = self.sqrt(self._print(base))
        if exponent == sp.Rational(1, 2):
            return root
        if exponent == sp.Rational(-1, 2):
            return f"({self.one}/{root})"
        if exponent.is_Integer and 1 < abs(int(exponent)) <= 4:
            factor = self.parenthesize(base, 100)
            product = "*".join([factor] * abs(int(exponent)))
            return f"({product})" if exponent > 0 else f"({self.one}/({product}))"
        if exponent == -1:
            return f"({self.one}/{self.parenthesize(base, 100)})"
        if exponent.is_Integer:
            return f"{self.parenthesize(base, 100)}**({int(exponent)})"
        if (2 * exponent).is_Integer:
            whole = self._print(base ** (exponent - sp.Rational(1, 2)))
            return f"({whole}*{root})"
        return f"({self._print(base)})**({self._print(exponent)})"

    one = "1.0"

    def sqrt(self, argument: str) -> str:
        return f"math.sqrt({argument})"

    def _print_Indexed(self, expr: sp.Indexed) -> str:
        if self.program is None:
            raise CodegenError(f"array entry {expr} outside a program")
        return self.program.entry(str(expr.base.label), expr.indices)

    def _print_Symbol(self, expr: sp.Symbol) -> str:
        return self.program.scalar(expr.name) if self.program is not None else expr.name

    def _print_sign(self, expr: sp.Expr) -> str:
        return f"math.copysign(1.0, {self._print(expr.args[0])})"

    def emptyPrinter(self, expr: sp.Basic) -> str:
        raise CodegenError(f"no kernel function for {type(expr).__name__} in {expr}")

    def _print_not_supported(self, expr: sp.Basic) -> str:
        raise CodegenError(f"no kernel function for {type(expr).__name__} in {expr}")


class _MpmathExpressions(_Expressions):
    """Expressions in mpmath: constants stay exact until the working precision rounds them."""

    one = "mp.mpf(1)"

    def doprint_constant(self, value: sp.Expr) -> str:
        if value.is_Rational:
            return f"(mp.mpf({value.p})/{value.q})" if value.q != 1 else f"mp.mpf({value.p})"
        if value.is_Float:
            return f"mp.mpf('{value}')"
        return f"mp.mpf('{value.evalf(80)}')"

    def _print_Mul(self, expr: sp.Mul) -> str:
        return str(PythonCodePrinter._print_Mul(self, expr))

    def sqrt(self, argument: str) -> str:
        return f"mp.sqrt({argument})"

    def _print_Function(self, expr: sp.Function) -> str:
        name = type(expr).__name__
        arguments = ", ".join(self._print(a) for a in expr.args)
        if name in ("Max", "Min"):
            return f"{name.lower()}({arguments})"
        name = "fabs" if name == "Abs" else name
        if not hasattr(mpmath, name):
            raise CodegenError(f"no kernel function for {name} in {expr}")
        return f"mp.{name}({arguments})"

    _print_asin = _print_sin = _print_cos = _print_tanh = _print_exp = _print_log = _print_erf = _print_Function


def expression_printer() -> PythonCodePrinter:
    """A printer of scalar expressions in doubles, for activations."""
    return _Expressions(None)


class ProgramPrinter(ABC):
    """Prints a program as the body of a function ``f(t, state, parameter, sizes, work, output)``."""

    one_lane = True

    def __init__(self, program: Program) -> None:
        self.of = program
        self.loops: list[sp.Symbol] = []
        self.exact = False  # targets keep the order of their indices, since they fill both triangles
        self.quadrature = any(isinstance(s, Call) for s in program.walk())
        self.expressions = self.make_expressions()

    def make_expressions(self) -> _Expressions:
        """The printer of right-hand sides."""
        return _Expressions(self)

    # -- names ------------------------------------------------------------------------------------------------------

    def integer(self, value: sp.Expr) -> str:
        """An integer expression in sizes and indices; sizes of concatenations by their names."""
        return str(value.xreplace({size: name for name, size in self.of.derived}))

    def factor(self, value: sp.Expr) -> str:
        """The same, in brackets if it is a sum."""
        text = self.integer(value)
        return text if text.isidentifier() or text.isdigit() else f"({text})"

    def length(self, place: Place) -> str:
        """The number of entries of an array."""
        if place.packed:
            n = self.factor(place.shape[0])
            return f"{n}*({n} + 1)//2"
        return "*".join(self.factor(extent) for extent in place.shape) or "1"

    def flat(self, place: Place, indices: Sequence[sp.Expr]) -> str:
        """The offset of an entry inside its slice."""
        if place.packed:
            i, j = (self.factor(index) for index in indices)
            return f"{i}*(2*{self.factor(place.shape[0])} - {i} - 1)//2 + {j}"
        if place.symmetric and not self.exact:
            indices = sorted(indices, key=self.depth)
        text = self.integer(indices[0])
        for extent, index in zip(place.shape[1:], indices[1:], strict=len(indices) > 1):
            text = f"{text if text.isidentifier() else f'({text})'}*{self.factor(extent)} + {self.integer(index)}"
        return text

    def depth(self, index: sp.Expr) -> int:
        """Depth of the innermost loop that moves an index."""
        return max((n for n, loop in enumerate(self.loops) if loop in index.free_symbols), default=-1)

    def entry(self, name: str, indices: Sequence[sp.Expr]) -> str:
        """An array entry."""
        return f"{name}[{self.flat(self.of.by_name[name], indices)}]"

    def scalar(self, name: str) -> str:
        """A scalar, parameter or temporary."""
        return name

    # -- statements -------------------------------------------------------------------------------------------------

    def function(self) -> list[str]:
        """The lines of the whole function, decorators included."""
        lines = [*self.header()]
        lines += [f"{_INDENT}{size} = sizes[{n}]" for n, size in enumerate(self.of.sizes)]
        lines += [f"{_INDENT}{name} = {size}" for name, size in self.of.derived]
        for storage, argument in (("state", "y"), ("parameter", "p"), ("work", "work"), ("output", "out")):
            lines += [_INDENT + line for line in self.bind(storage, argument)]
        lines += [_INDENT + line for line in self.block(self.of.body)]
        return lines

    @abstractmethod
    def header(self) -> list[str]:
        """Decorator and ``def`` line."""

    def rows(self, storage: str) -> list[tuple[str, str]]:
        """Names and lengths of what lies in a storage, in order; a length of "" is a scalar."""
        return [(p.name, self.length(p) if p.shape else "") for p in self.of.stored(storage)]

    def bind(self, storage: str, argument: str) -> list[str]:
        """Name the rows of a flat argument, with a running offset."""
        lines = []
        begin = "0"
        for name, length in self.rows(storage):
            end = f"{argument}_after_{name}"
            if not length:
                lines.append(f"{name} = {argument}[{begin}]")
                length = "1"
            elif self.of.by_name[name].shared if name in self.of.by_name else False:
                lines.append(f"{name} = {argument}[{begin} : {begin} + {length}]")
            else:
                lines.append(f"{name} = {self.slice(argument, begin, length)}")
            lines.append(f"{end} = {begin} + {length}" if begin != "0" else f"{end} = {length}")
            begin = end
        if self.quadrature and storage in ("parameter", "work"):
            return [*lines, f"{argument}_rest = {argument}[{begin}:]"]
        return lines[:-1]

    def slice(self, argument: str, begin: str, length: str) -> str:
        """A row of a flat argument."""
        return f"row({argument}, {begin})"

    def block(self, statements: Sequence[Statement]) -> list[str]:
        """The lines of a list of statements."""
        lines: list[str] = []
        for statement in statements:
            lines += self.statement(statement)
        return lines

    def statement(self, statement: Statement) -> list[str]:
        """The lines of one statement."""
        if isinstance(statement, Comment):
            return [f"# {statement.text}"]
        if isinstance(statement, Loop):
            start, stop = self.integer(statement.start), self.integer(statement.stop)
            span = stop if statement.start == 0 else f"{start}, {stop}"
            self.loops.append(statement.index)
            inner = self.loop_body(statement)
            self.loops.pop()
            return [f"for {statement.index} in range({span}):", *(_INDENT + line for line in inner)]
        if isinstance(statement, Counter):
            return [f"{statement.name} = 0" if statement.reset else f"{statement.name} += 1"]
        if isinstance(statement, VectorMap):
            return self.vector_map(statement)
        if isinstance(statement, Call):
            return self.call(statement)
        if isinstance(statement, Assign | Accumulate):
            return self.assignment(statement)
        raise CodegenError(f"can't print a {type(statement).__name__}: {statement}")

    def assignment(self, statement: Assign | Accumulate) -> list[str]:
        """The line of an assignment."""
        operator = "=" if isinstance(statement, Assign) else "+="
        self.exact = True
        target = self.expressions._print(statement.target)
        self.exact = False
        return [f"{target} {operator} {self.expressions._print(statement.value)}"]

    def loop_body(self, loop: Loop) -> list[str]:
        """The lines within a loop."""
        return self.block(loop.body)

    def call(self, statement: Call) -> list[str]:
        """The lines of a call of a quadrature routine."""
        raise CodegenError(f"only the scalar kernel has quadrature; {self.of.name} needs {statement.function}")

    @abstractmethod
    def vector_map(self, statement: VectorMap) -> list[str]:
        """The lines of a vectorised call."""


class ScalarPrinter(ProgramPrinter):
    """One trajectory: Numba, flat arrays, one asin loop for all arguments.

    A matrix that an outer loop's index selects a row of is read through a pointer to that row, which the outer loop
    sets once: ``C_k[a]`` for ``C[k, a]``.
    """

    def __init__(self, program: Program) -> None:
        super().__init__(program)
        self.rows_of: dict[sp.Symbol, dict[str, str]] = {}  # for each loop index the rows to point to, and how

    def entry(self, name: str, indices: Sequence[sp.Expr]) -> str:
        """An array entry, through a row pointer where an outer loop can hold one."""
        place = self.of.by_name[name]
        if len(indices) == 2 and len(place.shape) == 2 and not place.packed and not place.shared:
            ordered = sorted(indices, key=self.depth) if place.symmetric and not self.exact else list(indices)
            first, second = ordered
            if first in self.loops[:-1]:
                self.rows_of.setdefault(first, {})[f"{name}_{first}"] = (
                    f"shift({name}, {self.factor(first)}*{self.factor(place.shape[1])})"
                )
                return f"{name}_{first}[{self.integer(second)}]"
        return super().entry(name, indices)

    def loop_body(self, loop: Loop) -> list[str]:
        """The lines within a loop, after the rows that its index selects."""
        lines = self.block(loop.body)
        return [*(f"{name} = {value}" for name, value in self.rows_of.pop(loop.index, {}).items()), *lines]

    def header(self) -> list[str]:
        """Explicit signature, cached on disk; no nnan/ninf, because step control relies on NaN."""
        return ["@kernel", f"def {self.of.name}(t, y, p, sizes, work, out):"]

    def call(self, statement: Call) -> list[str]:
        """The rule follows the parameters and the sizes, the scratch follows the work arrays."""
        sizes = ", ".join(str(s) for s in self.of.sizes)
        rule = f"sizes[{len(self.of.sizes)}:], p_rest"
        arguments = f"{statement.source}, {sizes}, {rule}, {statement.target}"
        if statement.evaluates:
            arguments += ", work_rest, activation_pointer()"
        return [f"{statement.function}()({arguments})"]

    def vector_map(self, statement: VectorMap) -> list[str]:
        """A call of a vectorised kernel of ours."""
        return [f"map_{statement.function}({statement.buffer}, {statement.count})"]


class LanePrinter(ScalarPrinter):
    """Many trajectories in lockstep: the last axis of every array, scalars included, runs over lanes."""

    def call(self, statement: Call) -> list[str]:
        """Tables are filled for one trajectory at a time."""
        return ProgramPrinter.call(self, statement)

    def __init__(self, program: Program) -> None:
        super().__init__(program)
        self.lane_scalars = {*program.scalars, *(p.name for p in program.places if not p.shape)}

    def header(self) -> list[str]:
        """As the scalar kernel's, with one time a lane."""
        return ["@lane_kernel", f"def {self.of.name}_lanes(t, y, p, sizes, work, out):"]

    def rows(self, storage: str) -> list[tuple[str, str]]:
        """Each entry is a row of lanes; temporaries lie in the scratch too."""
        rows = [(p.name, f"L*{self.length(p)}") for p in self.of.stored(storage)]
        return [*rows, *((name, "L") for name in self.of.scalars)] if storage == "work" else rows

    def bind(self, storage: str, argument: str) -> list[str]:
        """Name the rows; there is one time a lane."""
        lines = super().bind(storage, argument)
        return ["L = t.size", *lines] if storage == "state" else lines

    def loop_body(self, loop: Loop) -> list[str]:
        """The lines within a loop; lanes are addressed in full."""
        return self.block(loop.body)

    def entry(self, name: str, indices: Sequence[sp.Expr]) -> str:
        """An array entry of the current lane."""
        return f"{name}[({self.flat(self.of.by_name[name], indices)})*L + lane]"

    def scalar(self, name: str) -> str:
        """Scalars differ between lanes, so they are rows too."""
        return f"{name}[lane]" if name in self.lane_scalars else name

    def block(self, statements: Sequence[Statement]) -> list[str]:
        """Runs of assignments share one loop over the lanes."""
        lines: list[str] = []
        run: list[str] = []

        def flush() -> None:
            if run:
                lines.append("for lane in range(L):")
                lines.extend(_INDENT + line for line in run)
                run.clear()

        for statement in statements:
            if isinstance(statement, Assign | Accumulate):
                run.extend(self.assignment(statement))
            else:
                flush()
                lines += self.statement(statement)
        flush()
        return lines

    def vector_map(self, statement: VectorMap) -> list[str]:
        """One loop over all entries of all lanes."""
        return [f"map_{statement.function}({statement.buffer}, {statement.count}*L)"]


class PythonPrinter(ScalarPrinter):
    """Plain Python with the math module: the same statements, nothing compiled."""

    def entry(self, name: str, indices: Sequence[sp.Expr]) -> str:
        """An array entry."""
        return ProgramPrinter.entry(self, name, indices)

    def call(self, statement: Call) -> list[str]:
        """The oracle printers have no quadrature."""
        return ProgramPrinter.call(self, statement)

    def slice(self, argument: str, begin: str, length: str) -> str:
        """An ordinary slice, so that NumPy checks the offsets that the compiled kernels trust."""
        return f"{argument}[{begin} : {begin} + {length}]"

    def header(self) -> list[str]:
        """No decorator."""
        return [f"def {self.of.name}(t, y, p, sizes, work, out):"]

    def vector_map(self, statement: VectorMap) -> list[str]:
        """A loop over the buffer."""
        return [
            f"for entry in range({statement.count}):",
            f"{_INDENT}{statement.buffer}[entry] = math.{statement.function}({statement.buffer}[entry])",
        ]


class _NumpyExpressions(_Expressions):
    """Expressions in NumPy functions, elementwise."""

    def __init__(self, program: ProgramPrinter | None) -> None:
        super().__init__(program)
        self.known_functions = {name: f"numpy.{function}" for name, function in _known_functions_numpy.items()}

    def sqrt(self, argument: str) -> str:
        return f"numpy.sqrt({argument})"


class NumpyPrinter(PythonPrinter):
    """The same statements with a last axis of points on every array, all points at once."""

    def make_expressions(self) -> _Expressions:
        """NumPy's functions."""
        return _NumpyExpressions(self)

    def vector_map(self, statement: VectorMap) -> list[str]:
        """A call of our function for the buffer at all points."""
        return ScalarPrinter.vector_map(self, statement)


class MpmathPrinter(PythonPrinter):
    """The same statements at any precision; arrays are object arrays of mpf."""

    def make_expressions(self) -> _Expressions:
        """Exact constants."""
        return _MpmathExpressions(self)

    def vector_map(self, statement: VectorMap) -> list[str]:
        """A loop over the buffer."""
        return [
            f"for entry in range({statement.count}):",
            f"{_INDENT}{statement.buffer}[entry] = mp.{statement.function}({statement.buffer}[entry])",
        ]
