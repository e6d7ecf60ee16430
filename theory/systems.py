"""What theory hands down to numerics: systems of equations in indexed form.

A system keeps its index structure. Sums over hidden units stay sums (`IndexSum`), expectations of products of
activations stay named moments (`Moment`), and sizes stay symbols, so one derivation serves every width. Numerics
compiles a system into loops; `instantiate` writes it out at concrete sizes, which is how derivations are checked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import sympy as sp
from sympy.printing.precedence import PRECEDENCE

from .errors import DerivationError

__all__ = [
    "Array",
    "BlockDefinition",
    "Classifier",
    "Condition",
    "Definition",
    "Disagreement",
    "IndexSet",
    "IndexSum",
    "Inverse",
    "Moment",
    "Norm",
    "OdeSystem",
    "Passed",
    "PiecewiseFlow",
    "PseudoInverse",
    "canonical",
    "instantiate",
    "moment_call",
]


@dataclass(frozen=True)
class IndexSet:
    """A named range of indices 0, 1, ..., size - 1, possibly the concatenation of other ranges.

    Parameters
    ----------
    name : str
        What is counted: ``"student"``, ``"teacher"``, ``"field"``.
    size : sympy.Expr
        The number of indices; a symbol, or for a concatenation the sum of its parts' sizes.
    parts : tuple of IndexSet
        The ranges that this one concatenates, in order; empty for a basic range.
    dimensions : tuple of str
        Names of labelled dimensions in results, for the first and second axis over this set.
    """

    name: str
    size: sp.Expr
    parts: tuple[IndexSet, ...] = ()
    dimensions: tuple[str, ...] = ()

    def offset(self, part: IndexSet) -> sp.Expr:
        """Where `part` begins inside this concatenation.

        >>> student, teacher = IndexSet("student", sp.Symbol("K")), IndexSet("teacher", sp.Symbol("M"))
        >>> IndexSet("field", student.size + teacher.size, (student, teacher)).offset(teacher)
        K
        """
        total: sp.Expr = sp.Integer(0)
        for candidate in self.parts:
            if candidate == part:
                return total
            total += candidate.size
        raise DerivationError(f"index set {self.name!r} has no part {part.name!r}")


class IndexSum(sp.Expr):  # type: ignore[misc]
    """A sum over an index set that stays a sum: ``IndexSum(body, index, size)`` is sum_{index < size} body.

    SymPy's own `Sum` rewrites its limits and tries to evaluate; loops need neither.
    """

    is_commutative = True
    precedence = PRECEDENCE["Mul"] + 1  # a power of a sum prints in brackets, a multiple does not

    def __new__(cls, body: sp.Expr, index: sp.Symbol, size: sp.Expr) -> IndexSum:
        """Keep the three arguments as they are."""
        return sp.Expr.__new__(cls, sp.sympify(body), index, sp.sympify(size))  # type: ignore[no-any-return]

    @property
    def body(self) -> sp.Expr:
        """The summand."""
        return self.args[0]

    @property
    def index(self) -> sp.Symbol:
        """The bound index."""
        return self.args[1]

    @property
    def size(self) -> sp.Expr:
        """The number of terms."""
        return self.args[2]

    @property
    def free_symbols(self) -> set[sp.Symbol]:
        """Free symbols: the bound index is not one of them."""
        return set((self.body.free_symbols - {self.index}) | self.size.free_symbols)

    def _latex(self, printer: Any) -> str:
        body = printer.parenthesize(self.body, PRECEDENCE["Add"])
        if body.startswith("-"):
            body = rf"\left({body}\right)"
        return rf"\sum_{{{printer._print(self.index)}}} {body}"

    def _sympystr(self, printer: Any) -> str:
        return f"sum[{printer._print(self.index)}]({printer._print(self.body)})"

    def unroll(self, size: int) -> sp.Expr:
        """The sum written out at a concrete size."""
        return sp.Add(*[self.body.xreplace({self.index: sp.Integer(i)}) for i in range(size)])


@dataclass(frozen=True)
class Array:
    """An array of a system: a state, a parameter, or an intermediate quantity.

    Parameters
    ----------
    name : str
        Its symbol in equations and kernels.
    axes : tuple of IndexSet
        Its index sets; empty for a scalar.
    symmetric : bool
        Whether a matrix equals its transpose; then only one triangle is a degree of freedom.
    latex, meaning : str
        How it prints and what it stands for.
    field : str
        The field of a setting or start that gives its value, where that has a longer name than the symbol.
    slot : (str, int), optional
        Name of a dimension and a place along it: the array is that slice of the value known as `field`, of which the
        dimension is the first, as in the biases of one layer among those of all.
    """

    name: str
    axes: tuple[IndexSet, ...] = ()
    symmetric: bool = False
    latex: str = ""
    meaning: str = ""
    field: str = ""
    slot: tuple[str, int] | None = None

    @property
    def binding(self) -> str:
        """The name under which settings, starts and solutions know it."""
        return self.field or self.name

    @property
    def base(self) -> sp.IndexedBase:
        """The SymPy base whose entries appear in equations."""
        return sp.IndexedBase(sp.Symbol(self.name, real=True))

    @property
    def symbol(self) -> sp.Symbol:
        """The SymPy symbol of a scalar."""
        return sp.Symbol(self.name, real=True)

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Names of its labelled dimensions in results."""
        names: list[str] = []
        for axis in self.axes:
            names.append(next((d for d in axis.dimensions if d not in names), f"{axis.name}_{len(names)}"))
        return tuple(names)

    def __getitem__(self, indices: Any) -> sp.Indexed:
        """An entry; entries of a symmetric matrix are written with sorted indices."""
        key = indices if isinstance(indices, tuple) else (indices,)
        if len(key) != len(self.axes):
            raise DerivationError(f"{self.name} has {len(self.axes)} axes, indexed with {len(key)}")
        if self.symmetric:
            key = tuple(sorted(key, key=sp.default_sort_key))
        return self.base[key]


@dataclass(frozen=True)
class Definition:
    """``target[indices] = value`` for all indices, each running over its set.

    Parameters
    ----------
    target : Array
        What is defined.
    indices : tuple of sympy.Symbol
        Index symbols, one an axis of the target.
    value : sympy.Expr
        The right-hand side in `Array` entries, scalar symbols, moments and `IndexSum`.
    """

    target: Array
    indices: tuple[sp.Symbol, ...]
    value: sp.Expr


@dataclass(frozen=True)
class BlockDefinition:
    """An array over a concatenated index set, given block by block.

    Parameters
    ----------
    target : Array
        An array whose axes are concatenations.
    indices : tuple of sympy.Symbol
        Index symbols, local to the block (each starts at 0 in every block).
    blocks : tuple of (tuple of IndexSet, sympy.Expr)
        For each combination of parts the value in local indices.
    """

    target: Array
    indices: tuple[sp.Symbol, ...]
    blocks: tuple[tuple[tuple[IndexSet, ...], sp.Expr], ...]


@dataclass(frozen=True)
class Moment:
    r"""A Gaussian expectation of a product of activations or their derivatives, one factor a field.

    ``E[prod_s g_{a_s}^{(orders[s])}(z_{a_s})]`` with zero-mean jointly Gaussian fields z of covariance `covariance`.

    Parameters
    ----------
    name : str
        Name of the moment function, as in ``I4``.
    orders : tuple of int
        Order of the derivative of the activation in each slot.
    axes : tuple of IndexSet
        Index set that each slot runs over.
    covariance : Array
        The covariance of the fields.
    closed_form : sympy.Expr or None
        Its value in the symbols ``c11, c12, ...`` (`covariance_symbol`) of the slots; None where only quadrature can
        tell.
    latex : str
        How the name prints.
    """

    name: str
    orders: tuple[int, ...]
    axes: tuple[IndexSet, ...]
    covariance: Array
    closed_form: sp.Expr | None = None
    latex: str = ""

    def __call__(self, *indices: sp.Expr) -> sp.Expr:
        """The moment of the fields `indices`, with equivalent slots in a standard order."""
        return moment_call(self.name, self.orders, indices)

    def inline(self, indices: tuple[sp.Expr, ...]) -> sp.Expr:
        """The closed form with the slots' covariances replaced by entries of the covariance array."""
        if self.closed_form is None:
            raise DerivationError(f"moment {self.name} has no closed form")
        entries = {
            covariance_symbol(i, j): self.covariance[indices[i], indices[j]]
            for i in range(len(indices))
            for j in range(i, len(indices))
        }
        # Evaluating a function of a long argument again (its sign? its zeros?) would take longer than all the rest.
        functions = {f: f.func(*(arg.xreplace(entries) for arg in f.args), evaluate=False) for f in self._functions}
        return self.closed_form.xreplace({**entries, **functions})

    @cached_property
    def _functions(self) -> tuple[sp.Function, ...]:
        """The functions in the closed form."""
        return tuple(self.closed_form.atoms(sp.Function)) if self.closed_form is not None else ()


def covariance_symbol(i: int, j: int) -> sp.Symbol:
    """Symbol of the covariance of slots i and j (from 0): ``c11`` for i = j = 0, ``c12`` for the first two slots."""
    low, high = min(i, j) + 1, max(i, j) + 1
    if low == high:
        return sp.Symbol(f"c{low}{high}", positive=True)
    return sp.Symbol(f"c{low}{high}", real=True)


# Operations of a closed form that still fits on a page.
_PRINTABLE = 150


class MomentFunction(sp.Function):  # type: ignore[misc]
    """A moment by name, applied to field indices; it has no value of its own."""

    @classmethod
    def eval(cls, *args: sp.Expr) -> None:
        """Stay unevaluated."""

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        name, *indices = self.args
        text = rf"{_moment_latex(str(name))}({', '.join(printer._print(i) for i in indices)})"
        return text if exp is None else rf"{text}^{{{exp}}}"

    def _sympystr(self, printer: Any) -> str:
        name, *indices = self.args
        return f"{name}({', '.join(printer._print(i) for i in indices)})"


def _moment_latex(name: str) -> str:
    return rf"{name[0]}_{{{name[1:]}}}" if len(name) > 1 else name


def moment_call(name: str, orders: tuple[int, ...], indices: Iterable[sp.Expr]) -> sp.Expr:
    """A moment applied to field indices; slots with equal derivative order are sorted, since they may be exchanged."""
    slots = list(indices)
    for order in set(orders):
        places = [i for i, o in enumerate(orders) if o == order]
        ranked = sorted((slots[i] for i in places), key=sp.default_sort_key)
        for place, index in zip(places, ranked, strict=True):
            slots[place] = index
    return MomentFunction(sp.Symbol(name), *slots)


class PseudoInverse(sp.MatrixExpr):  # type: ignore[misc]
    """The Moore-Penrose inverse of a matrix."""

    def __new__(cls, matrix: sp.MatrixExpr) -> PseudoInverse:
        """Keep the matrix."""
        return sp.MatrixExpr.__new__(cls, matrix)  # type: ignore[no-any-return]

    @property
    def shape(self) -> tuple[sp.Expr, sp.Expr]:
        """That of the transpose."""
        rows, columns = self.args[0].shape
        return columns, rows

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        return rf"{printer.parenthesize(self.args[0], PRECEDENCE['Pow'])}^{{+}}"

    def _sympystr(self, printer: Any) -> str:
        return f"pinv({printer._print(self.args[0])})"


class Norm(sp.Expr):  # type: ignore[misc]
    """The Frobenius norm of a matrix."""

    is_commutative = True
    is_nonnegative = True

    def __new__(cls, matrix: sp.MatrixExpr) -> Norm:
        """Keep the matrix."""
        return sp.Expr.__new__(cls, matrix)  # type: ignore[no-any-return]

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        text = rf"\left\|{printer._print(self.args[0])}\right\|_F"
        return text if exp is None else rf"{text}^{{{exp}}}"

    def _sympystr(self, printer: Any) -> str:
        return f"norm({printer._print(self.args[0])})"


class Disagreement(sp.Expr):  # type: ignore[misc]
    """``Disagreement(A, B)``: the fraction of columns whose largest entry is in another row of A than of B.

    Of equal entries the first counts.
    """

    is_commutative = True
    is_nonnegative = True

    def __new__(cls, first: sp.MatrixExpr, second: sp.MatrixExpr) -> Disagreement:
        """Keep both."""
        return sp.Expr.__new__(cls, first, second)  # type: ignore[no-any-return]

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        first, second = map(printer._print, self.args)
        return rf"\left\langle\operatorname{{argmax}} {first} \ne \operatorname{{argmax}} {second}\right\rangle"

    def _sympystr(self, printer: Any) -> str:
        first, second = map(printer._print, self.args)
        return f"disagreement({first}, {second})"


@dataclass(frozen=True)
class Classifier:
    """Features of labelled samples, an affine map of them to one score a class, and how far they have collapsed.

    Parameters
    ----------
    features : Array
        h_i, axes (sample, component): a state, a parameter, or the target of a definition.
    labels : Array
        Class of each sample.
    weights, bias : Array
        W, axes (output, component), and b, axes (output,); rows are classes where there are as many outputs.
    metrics : tuple of Definition
        Scalars in matrices by name: features H (d x N), the mean m (d x 1) of all, class means less that mean M
        (d x C), within-class scatter Sigma_W = (1/N) sum_i (h_i - mu_c)(h_i - mu_c)^T, W (C x d), b (C x 1), and in the
        sizes N, d and C, which counts classes with samples alone.
    """

    features: Array
    labels: Array
    weights: Array
    bias: Array
    metrics: tuple[Definition, ...]


@dataclass(frozen=True)
class Condition:
    """An assumption that is open in time: to be watched along a solution.

    Parameters
    ----------
    definition : Definition
        What has to be positive; its target's name says what then holds.
    where : sympy.Expr
        For the indices for which this is not zero.
    asserted : Array
        The parameter that asserts it.
    broken : str
        What happens where it is not positive, with the names of dimensions, and of parameters in `where`, in braces.
    cure : str
        What to do then.
    """

    definition: Definition
    where: sp.Expr
    asserted: Array
    broken: str
    cure: str


@dataclass(frozen=True)
class OdeSystem:
    """Ordinary differential equations in indexed form, generic in the sizes of their index sets.

    Parameters
    ----------
    name : str
        Name used in kernels, reports and errors.
    sets : tuple of IndexSet
        Basic index sets, in the order in which sizes are passed.
    states, parameters : tuple of Array
        What evolves and what stays; values are bound to them by name.
    definitions : tuple of Definition or BlockDefinition
        Intermediate quantities in the order in which they are evaluated.
    moments : tuple of Moment
        The expectations that the equations need.
    equations : tuple of Definition
        ``d target / dt = value``, one for each state.
    observables : tuple of Definition
        Quantities reported beside the states.
    activations : mapping of str to sympy.Expr
        For each basic index set of fields the activation in the symbol z.
    time : str
        What t means.
    assumptions : tuple of str
        Under which the equations hold.
    remainder : str
        Order of the neglected term.
    classifier : Classifier, optional
        What the metrics of neural collapse are taken of.
    """

    name: str
    sets: tuple[IndexSet, ...]
    states: tuple[Array, ...]
    parameters: tuple[Array, ...]
    definitions: tuple[Definition | BlockDefinition, ...]
    moments: tuple[Moment, ...]
    equations: tuple[Definition, ...]
    observables: tuple[Definition, ...]
    activations: Mapping[str, sp.Expr] = field(default_factory=dict)
    time: str = ""
    assumptions: tuple[str, ...] = ()
    remainder: str = ""
    classifier: Classifier | None = None

    def __post_init__(self) -> None:
        """Refuse a system whose equations don't match its states or that uses an undeclared name."""
        if [e.target for e in self.equations] != list(self.states):
            raise DerivationError(f"system {self.name}: needs exactly one equation for each state, in their order")
        declared = {a.name for a in (*self.states, *self.parameters)} | {
            str(s) for basic in self.sets for s in basic.size.free_symbols
        }
        moment_names = {m.name for m in self.moments}
        for item in (*self.definitions, *self.equations, *self.observables):
            values = [value for _, value in item.blocks] if isinstance(item, BlockDefinition) else [item.value]
            for value in values:
                unknown = _names(value) - declared - {str(i) for i in item.indices}
                if unknown:
                    raise DerivationError(f"system {self.name}: {item.target.name} uses undeclared {sorted(unknown)}")
                called = {str(call.args[0]) for call in value.atoms(MomentFunction)}
                if called - moment_names:
                    raise DerivationError(f"system {self.name}: undeclared moments {sorted(called - moment_names)}")
            declared.add(item.target.name)
        if self.classifier is not None:
            own = {getattr(self.classifier, name).name for name in ("features", "labels", "weights", "bias")}
            if own - declared:
                raise DerivationError(f"system {self.name}: its classifier uses undeclared {sorted(own - declared)}")

    def moment(self, name: str) -> Moment:
        """The moment of that name."""
        return next(m for m in self.moments if m.name == name)

    def array(self, name: str) -> Array:
        """The state, parameter or intermediate array of that name."""
        arrays = (*self.states, *self.parameters, *(d.target for d in (*self.definitions, *self.observables)))
        return next(a for a in arrays if a.name == name)

    @property
    def closed(self) -> bool:
        """Whether every moment has a closed form."""
        return all(m.closed_form is not None for m in self.moments)

    def latex_equations(self) -> list[tuple[str, str]]:
        """LaTeX of every closed form, definition and equation, as (left-hand side, right-hand side).

        A closed form is written in the covariances c_ij of its slots; one that would fill pages is left out.
        """
        rows = []
        for moment in self.moments:
            if moment.closed_form is not None and moment.closed_form.count_ops() <= _PRINTABLE:
                rows.append((_moment_latex(moment.name), sp.latex(moment.closed_form)))
        for d in self.definitions:
            if isinstance(d, Definition):
                rows.append((_entry_latex(d.target, d.indices), sp.latex(d.value)))
        for e in self.equations:
            rows.append((rf"\frac{{d {_entry_latex(e.target, e.indices)}}}{{dt}}", sp.latex(e.value)))
        for o in self.observables:
            rows.append((_entry_latex(o.target, o.indices), sp.latex(o.value)))
        return rows

    def _repr_latex_(self) -> str:
        lines = [rf"{lhs} &= {rhs}" for lhs, rhs in self.latex_equations()]
        return "$$\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}$$"


class Passed(sp.Function):  # type: ignore[misc]
    """``Passed(u, y)``: 1 where y is beyond u, u < y, and else 0. A y that equals u has not passed it."""

    nargs = 2

    @classmethod
    def eval(cls, u: sp.Expr, y: sp.Expr) -> sp.Expr | None:
        """The value where the order is known."""
        if (y - u).is_positive:
            return sp.S.One
        return sp.S.Zero if (y - u).is_nonpositive else None

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        u, y = map(printer._print, self.args)
        text = rf"\mathbf{{1}}[{u} < {y}]"
        return text if exp is None else rf"{text}^{{{exp}}}"


class Inverse(sp.Expr):  # type: ignore[misc]
    """``Inverse(W[j, k])``: the entry (j, k) of the inverse of W; of its pseudo-inverse if W is not square."""

    is_commutative = True

    def __new__(cls, entry: sp.Indexed) -> Inverse:
        """Keep the entry, whose indices are those of the inverse."""
        return sp.Expr.__new__(cls, entry)  # type: ignore[no-any-return]

    def _latex(self, printer: Any) -> str:
        (entry,) = self.args
        indices = " ".join(map(printer._print, entry.indices))
        return rf"\left({printer._print(entry.base.label)}^{{-1}}\right)_{{{indices}}}"

    def _sympystr(self, printer: Any) -> str:
        (entry,) = self.args
        return f"inverse({printer._print(entry.base.label)})[{', '.join(map(printer._print, entry.indices))}]"


@dataclass(frozen=True)
class PiecewiseFlow(OdeSystem):
    """An `OdeSystem` of scalar flows that are affine between breakpoints, so that their paths are exact event by event.

    Its one equation, for each entry y of its one state, is

        dy/dt = sum over i of Passed(u_i, y) (offset_i - rate_i y)

    with `rate`, `offset` and `breakpoint` free of y: entries do not couple, and each breakpoint u_i that y has passed
    pulls it towards offset_i / rate_i. The three are read off the equation, as the derivation produced it. Terms whose
    rate and offset are zero do not count. Definitions may depend on the state if the equation does not need them.

    Parameters
    ----------
    starts : tuple of (Array, Definition)
        Other arrays that a start may give instead of the state, each with the state in terms of it.
    conditions : tuple of Condition
        What has to stay positive along the solution.

    Raises
    ------
    DerivationError
        If the equation has another form.
    """

    starts: tuple[tuple[Array, Definition], ...] = ()
    conditions: tuple[Condition, ...] = ()

    def __post_init__(self) -> None:
        """Refuse an equation of another form."""
        super().__post_init__()
        if len(self.equations) != 1 or not self.equations[0].indices or self.moments:
            raise DerivationError(f"system {self.name}: needs one equation with indices, and no moments")
        self._terms  # noqa: B018  read it once: it raises
        moving = {item.target.name for item in self.following}
        if _names(self.equations[0].value) & moving:
            raise DerivationError(f"system {self.name}: its equation depends on the state through a definition")
        known = {a.name for a in (*self.states, *self.parameters)}
        extents = {str(s) for basic in self.sets for s in basic.size.free_symbols}
        declared = known | extents | {item.target.name for item in self.definitions}
        for condition in self.conditions:
            item = condition.definition
            unknown = (_names(item.value) | _names(condition.where)) - declared - set(map(str, item.indices))
            if unknown:
                raise DerivationError(f"system {self.name}: {item.target.name} uses undeclared {sorted(unknown)}")
        for given, start in self.starts:
            sizes = {str(s) for axis in given.axes for s in axis.size.free_symbols}
            unknown = _names(start.value) - known - sizes - {given.name, *map(str, start.indices)}
            if start.target not in self.states or unknown:
                raise DerivationError(f"system {self.name}: a start in {given.name} uses undeclared {sorted(unknown)}")

    @cached_property
    def following(self) -> tuple[Definition, ...]:
        """The definitions that depend on the state."""
        moving = {self.states[0].name}
        found = []
        for item in self.definitions:
            if isinstance(item, Definition) and _names(item.value) & moving:
                moving.add(item.target.name)
                found.append(item)
        return tuple(found)

    @cached_property
    def _terms(self) -> tuple[sp.Expr, sp.Expr, sp.Expr]:
        """Breakpoint, rate and offset of the term of one sample."""
        equation = self.equations[0]
        value, state = equation.value, equation.target[equation.indices]
        flags = value.atoms(Passed)
        flag = next(iter(flags)) if len(flags) == 1 else None
        if not isinstance(value, IndexSum) or flag is None or flag.args[1] != state or flag.args[0].has(state):
            raise DerivationError(f"system {self.name}: {value} is not one sum over breakpoints that {state} passes")
        y = sp.Dummy("y", real=True)
        pull = value.body.xreplace({flag: sp.S.One}).xreplace({state: y})
        rate, offset = -sp.diff(pull, y), sp.expand(pull.xreplace({y: sp.S.Zero}))
        if sp.expand(value.body.xreplace({flag: sp.S.Zero})) != 0 or rate.has(y) or sp.expand(pull - offset + rate * y):
            raise DerivationError(f"system {self.name}: {value.body} is not Passed times an affine function of {state}")
        return flag.args[0], sp.expand(rate), offset

    @property
    def sample(self) -> sp.Symbol:
        """The index of the breakpoints, which the sum runs over."""
        return self.equations[0].value.index

    @property
    def breakpoint(self) -> sp.Expr:
        """The breakpoint u_i."""
        return self._terms[0]

    @property
    def rate(self) -> sp.Expr:
        """The rate with which a passed breakpoint pulls."""
        return self._terms[1]

    @property
    def offset(self) -> sp.Expr:
        """The rate times where it pulls to."""
        return self._terms[2]


def _entry_latex(array: Array, indices: tuple[sp.Symbol, ...]) -> str:
    name = array.latex or array.name
    return f"{name}_{{{' '.join(sp.latex(i) for i in indices)}}}" if indices else name


def _names(value: sp.Expr) -> set[str]:
    """Names of all arrays and scalars in an expression, bound indices and moment names left out."""
    if isinstance(value, IndexSum):
        return (_names(value.body) - {str(value.index)}) | _names(value.size)
    if isinstance(value, MomentFunction):
        return set().union(*(_names(a) for a in value.args[1:]))
    if isinstance(value, sp.Indexed):
        return {str(value.base.label)}.union(*(_names(i) for i in value.indices))
    if isinstance(value, sp.Symbol):
        return {value.name}
    return set().union(*(_names(a) for a in value.args)) if value.args else set()


def canonical(value: sp.Expr, arrays: Mapping[str, Array], moments: Mapping[str, tuple[int, ...]]) -> sp.Expr:
    """Entries of symmetric arrays and exchangeable moment slots in their standard order, everywhere.

    Needed after indices were renamed or replaced by numbers.
    """
    replacements: dict[sp.Expr, sp.Expr] = {}
    for entry in value.atoms(sp.Indexed):
        array = arrays.get(str(entry.base.label))
        if array is not None and array.symmetric:
            replacements[entry] = array[tuple(entry.indices)]
    for call in value.atoms(MomentFunction):
        replacements[call] = moment_call(str(call.args[0]), moments[str(call.args[0])], call.args[1:])
    return value.xreplace(replacements)


def instantiate(value: sp.Expr, sizes: Mapping[sp.Symbol, int]) -> sp.Expr:
    """Write an indexed expression out at concrete sizes: every `IndexSum` becomes a sum of terms.

    >>> K, a = sp.Symbol("K"), sp.Symbol("a")
    >>> instantiate(IndexSum(sp.IndexedBase("s")[a], a, K), {K: 2})
    s[0] + s[1]
    """
    value = value.xreplace({symbol: sp.Integer(n) for symbol, n in sizes.items()})
    return _unroll(value)


def _unroll(value: sp.Expr) -> sp.Expr:
    if isinstance(value, IndexSum):
        return _unroll(value.unroll(int(value.size)))
    if not value.has(IndexSum):
        return value
    return value.func(*(_unroll(arg) for arg in value.args))
