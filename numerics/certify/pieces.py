"""The sum over the pieces of an activation, each by the method that suits it, until the balls are small enough."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import sympy as sp
from flint import arb

from ...theory.balls import ball_program, precision
from ...theory.errors import AccuracyError
from .envelope import envelope, least_reach, reach, tail_bound
from .half_lines import exponential_terms, interval_integrals
from .law import BOUND_BITS, Law, NotEnclosed
from .panels import panel_sum, panels
from .taylor import factorials, root_factorials
from .trapezoid import Grid, plan, sum_on

__all__ = ["SmoothPiece", "enclosed", "tail"]

_MAX_NODES = 2_000_000
# A trapezoidal grid is uniform: from about here on, panels that are short only near the singularities are cheaper. At
# high precision the making of their rules counts, so that this grows with the square of the bits.
_MANY_NODES = 2500
_ATTEMPTS = 6


class SmoothPiece(NamedTuple):
    """A smooth expression between two exact ends."""

    lo: sp.Expr
    hi: sp.Expr
    expression: sp.Expr


class _Part(NamedTuple):
    """What one piece adds, divided by k!; a bound on its error over sqrt(k!); how it was found.

    If ``vanishing`` is 0 or 1, the coefficients with even or odd k are exactly zero, by parity.
    """

    values: list[Any]
    error: Any
    method: str
    vanishing: int | None = None


def enclosed(
    name: str,
    pieces: Sequence[SmoothPiece],
    where: Law,
    order: int,
    log_goal: float,
    digits: int,
    finish: Callable[[list[Any]], list[Any]],
) -> tuple[tuple[Any, ...], int, str, int]:
    """Enclose E[sigma(m + s x) He_k(x)], k = 0, ..., order, with more bits or a finer rule until the balls are small.

    Parameters
    ----------
    name : str
        What is computed, for the errors.
    pieces : sequence of SmoothPiece
        sigma.
    where : Law
        m and s.
    order : int
        Largest k.
    log_goal : float
        Logarithm of the error to aim for, in units of sqrt(k!).
    digits : int
        The final radii are below 10^-digits max(sqrt(k!), |value|).
    finish : callable
        From the balls to those that are returned, and whose radii count.

    Returns
    -------
    tuple
        Balls, digits, method and bits.

    Raises
    ------
    AccuracyError
        If the radii can't be had.
    """
    wanted = max(-log_goal / math.log(2.0), 0.0) + 0.5 * order + 40.0
    goal = log_goal - math.log(4.0 * len(pieces))
    worst = arb.pos_inf()
    for _ in range(_ATTEMPTS):
        bits = 32 * math.ceil(wanted / 32.0)
        with precision(bits):
            try:
                parts = [_part(p, where, order, goal, bits) for p in pieces if not p.expression.is_zero]
            except NotEnclosed as reason:
                raise AccuracyError(
                    f"{name} at mean {where.mean} and std {where.std}: asked for {digits} digits,"
                    f" got none, since {reason}; simplify the formula, or use the estimates in double precision"
                ) from None
            errors = [sum((p.error for p in parts if p.vanishing != odd), arb(0)) for odd in (0, 1)]
            values = [sum((p.values[k] for p in parts), arb(0)) for k in range(order + 1)]
            roots = root_factorials(order, bits)
            balls = [c * v for c, v in zip(factorials(order, bits), values, strict=True)]
            around = [arb(0, e.upper()) for e in errors]
            balls = [v + c * around[k % 2] for k, (c, v) in enumerate(zip(roots, balls, strict=True))]
            balls = finish(balls)
            worst = _excess(balls, digits)
            if worst < 1:
                methods = dict.fromkeys(p.method for p in parts)
                return tuple(balls), digits, " and ".join(methods) or "closed form", bits
            if worst.is_finite():
                wanted += float(worst.log().mid()) / math.log(2.0) + 8.0
                if errors[0].max(errors[1]) > arb(log_goal - 1.0).exp():
                    goal -= max(1.0, float(worst.log().mid()) + 1.0)
            else:
                wanted *= 2.0
    raise AccuracyError(
        f"{name} at mean {where.mean} and std {where.std}: asked for {digits} digits, missed by a"
        f" factor {worst.str(3, radius=False)} with {bits} bits; ask for fewer digits"
    )


def _excess(balls: Sequence[Any], digits: int) -> Any:
    """The largest radius over 10^-digits max(sqrt(k!), |h_k|)."""
    worst = arb(0)
    with precision(BOUND_BITS):
        for ball, root in zip(balls, root_factorials(len(balls) - 1, BOUND_BITS), strict=True):
            if not ball.is_finite():
                return arb.pos_inf()
            worst = worst.max(ball.rad() / root.max(abs(ball)))
        return (worst * arb(10) ** digits).upper()


def _part(piece: SmoothPiece, where: Law, order: int, log_goal: float, bits: int) -> _Part:
    terms = exponential_terms(piece.expression)
    if terms is not None:
        values = interval_integrals(terms, where, piece.lo, piece.hi, order)
        if values is not None:
            return _Part(values, arb(0), "closed form")
    if not (piece.lo.is_infinite and piece.hi.is_infinite):
        return _panel_part(piece, where, order, log_goal, bits)
    program = ball_program(piece.expression)
    grid: Grid | None = None
    try:
        grid = plan(program, where, order, log_goal)
        reason = NotEnclosed(f"{grid.nodes} nodes are needed")
    except NotEnclosed as error:
        reason = error
    if grid is None or grid.nodes > _MANY_NODES * max(1.0, bits / 256.0) ** 2:
        try:
            return _panel_part(piece, where, order, log_goal, bits)
        except NotEnclosed as other:
            if grid is None or grid.nodes > _MAX_NODES:
                raise NotEnclosed(f"{reason}, and by panels, {other}") from None
    text = f"trapezoidal rule, {grid.nodes} nodes of distance {grid.step:.3g}, strip {grid.height:.3g}"
    return _Part(sum_on(grid, program, where, order), grid.error, text, _vanishing(grid.parity))


def _vanishing(parity: str | None) -> int | None:
    return {"even": 1, "odd": 0, None: None}[parity]


def _panel_part(piece: SmoothPiece, where: Law, order: int, log_goal: float, bits: int) -> _Part:
    m, s = where.balls()
    program = ball_program(piece.expression)
    error = arb(0)
    symmetric = piece.lo.is_infinite and piece.hi.is_infinite and where.mean.is_zero and program.parity is not None
    ends = []
    for end, sign in ((piece.lo, -1), (piece.hi, 1)):
        if not end.is_infinite:
            ends.append((ball_program(end, ()).real()() - m) / s)
        elif symmetric and sign < 0:
            ends.append(arb(0))
        else:
            with precision(BOUND_BITS):
                last, beyond = tail(piece, where, sign, order, log_goal - 1.0)
            ends.append(sign * arb(last))
            error += beyond
    cut = panels(program, where, ends[0], ends[1], order, log_goal - 1.0, bits)
    total = [arb(0)] * (order + 1)
    for panel in cut:
        error += panel.error
        if panel.nodes:
            for k, value in enumerate(panel_sum(panel, program, where, order)):
                total[k] += value
    vanishing = _vanishing(program.parity) if symmetric else None
    if symmetric:
        total = [arb(0) if k % 2 == vanishing else 2 * v for k, v in enumerate(total)]
        error *= 2
    nodes = sum(p.nodes for p in cut)
    return _Part(total, error, f"Gauss-Legendre panels, {nodes} nodes on {len(cut)} panels", vanishing)


def tail(piece: SmoothPiece, where: Law, sign: int, order: int, log_goal: float) -> tuple[float, Any]:
    """Choose an end of integration beyond the piece's kink, and bound what lies beyond it.

    Parameters
    ----------
    piece : SmoothPiece
        With an infinite end.
    where : Law
        m and s.
    sign : int
        1 for the end at +oo, -1 for the one at -oo.
    order : int
        Largest k.
    log_goal : float
        Logarithm of the tail wanted, in units of sqrt(k!).

    Returns
    -------
    tuple
        The end in |x|, and the bound.

    Raises
    ------
    NotEnclosed
        If no bound is found.
    """
    m, s = where.balls()
    start = least_reach(order, log_goal)
    kink = piece.lo if sign > 0 else piece.hi
    if not kink.is_infinite:
        start = max(start, float(sign * (ball_program(kink, ()).real()() - m).mid() / s.mid()) + 1.0)
    beyond = m + sign * s * start
    program = ball_program(piece.expression)
    bound = envelope(program, *((beyond, arb.pos_inf()) if sign > 0 else (arb.neg_inf(), beyond)))
    last = max(start, reach(bound, m, s, order, log_goal))
    return last, tail_bound(bound, m, s, arb(last), order)
