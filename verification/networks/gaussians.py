"""Many standard normals, fast: 64 xoshiro128++ streams side by side and a polynomial Box-Muller transform.

Each lane is one xoshiro128++ generator (Blackman and Vigna, "Scrambled linear pseudorandom number generators", 2021),
started at its own random point of the period 2^128 - 1. A lane gives two 32-bit words a turn: 31 bits of the first make
the radius, the last one a common sign, the second the angle in [-pi/2, pi/2). Logarithm, sine and cosine are
polynomials, so the whole transform is one branch-free loop over the lanes that the compiler turns into SIMD
instructions.

The polynomials are fitted here, when the module is imported, by interpolation at Chebyshev points (within a small
factor of the minimax error): no coefficient comes from elsewhere. Their errors are below 1e-7, the rounding level of
float32.

*Validity.* The largest radius is sqrt(64 log 2) = 6.66: no draw lies farther out, where a normal has 2.7e-11 of its
mass. Meant for inputs of simulated networks, where sums over many coordinates matter; not for the study of extreme
tails.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.polynomial import Chebyshev, Polynomial
from numpy.typing import NDArray

from .arguments import Seed, generator, whole_number
from .compiled import compiled

LANES = 64
BLOCK = 2 * LANES  # normals made in one turn of all lanes

Lanes = NDArray[np.uint32]


def _fit(function: Callable[[Any], Any], low: float, high: float, degree: int) -> tuple[np.float32, ...]:
    """Coefficients, lowest first, of the polynomial that meets `function` at the degree + 1 Chebyshev points."""
    fitted = Chebyshev.interpolate(function, degree, domain=[low, high]).convert(kind=Polynomial)
    return tuple(np.float32(c) for c in fitted.coef)


# log(1+y)/y where 1+y runs over [sqrt(1/2), sqrt(2)]; sin(pi t)/t and cos(pi t) in t^2, |t| <= 1/2. Interpolation
# points avoid y = 0 and t = 0.
_LOG = _fit(lambda y: np.log1p(y) / y, np.sqrt(0.5) - 1, np.sqrt(2.0) - 1, 9)
_SIN = _fit(lambda s: np.sin(np.pi * np.sqrt(s)) / np.sqrt(s), 0.0, 0.25, 4)
_COS = _fit(lambda s: np.cos(np.pi * np.sqrt(s)), 0.0, 0.25, 5)
L0, L1, L2, L3, L4, L5, L6, L7, L8, L9 = _LOG
S0, S1, S2, S3, S4 = _SIN
C0, C1, C2, C3, C4, C5 = _COS

HALF = np.float32(0.5)
ONE = np.float32(1.0)
MINUS_TWO = np.float32(-2.0)
LN2 = np.float32(np.log(2.0))
BITS = np.int32(31)
TURN = np.float32(2.0**-32)
SQRT_HALF_BITS = np.int32(np.array(np.sqrt(0.5), dtype=np.float32).view(np.int32))


def _reinterpretation(source: Any, target: Any, bits: ir.Type) -> Any:
    def typed(typing_context: Any, x: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.bitcast(arguments[0], bits)

        return target(source), generate

    return intrinsic(typed)


# The same 32 bits read as a float or as an integer, without a detour through memory.
bits_of = _reinterpretation(types.float32, types.int32, ir.IntType(32))
float_of = _reinterpretation(types.int32, types.float32, ir.FloatType())


@compiled
def rotated(x: np.uint32, count: np.uint32) -> np.uint32:
    """Rotate 32 bits to the left."""
    return np.uint32(np.uint32(x << count) | np.uint32(x >> np.uint32(np.uint32(32) - count)))


@compiled
def fill_words(lanes: Lanes, first: NDArray[np.uint32], second: NDArray[np.uint32]) -> None:
    """Advance every lane by two words of xoshiro128++; word pairs go to `first` and `second`, shape (LANES,)."""
    for lane in range(LANES):
        s0, s1, s2, s3 = lanes[0, lane], lanes[1, lane], lanes[2, lane], lanes[3, lane]
        first[lane] = np.uint32(rotated(np.uint32(s0 + s3), np.uint32(7)) + s0)
        shifted = np.uint32(s1 << np.uint32(9))
        s2 = np.uint32(s2 ^ s0)
        s3 = np.uint32(s3 ^ s1)
        s1 = np.uint32(s1 ^ s2)
        s0 = np.uint32(s0 ^ s3)
        s2 = np.uint32(s2 ^ shifted)
        s3 = rotated(s3, np.uint32(11))
        second[lane] = np.uint32(rotated(np.uint32(s0 + s3), np.uint32(7)) + s0)
        shifted = np.uint32(s1 << np.uint32(9))
        s2 = np.uint32(s2 ^ s0)
        s3 = np.uint32(s3 ^ s1)
        s1 = np.uint32(s1 ^ s2)
        s0 = np.uint32(s0 ^ s3)
        s2 = np.uint32(s2 ^ shifted)
        s3 = rotated(s3, np.uint32(11))
        lanes[0, lane], lanes[1, lane], lanes[2, lane], lanes[3, lane] = s0, s1, s2, s3


@compiled
def words_to_normals(
    first: NDArray[np.uint32], second: NDArray[np.uint32], head: NDArray[np.float32], tail: NDArray[np.float32]
) -> None:
    """Turn pairs of words into pairs of standard normals by the Box-Muller transform; four arrays of one length."""
    for lane in range(first.size):
        word = first[lane]
        # the radius: u = (31 bits + 1/2)/2^31, log u by its exponent and a polynomial of its mantissa; log u <= 0
        # always, since the exponent is at most 31 and the polynomial has the sign of y
        bits = bits_of(np.float32(np.int32(word >> np.uint32(1))) + HALF)
        exponent = np.int32(np.int32(bits - SQRT_HALF_BITS) >> np.int32(23))
        y = float_of(np.int32(bits - np.int32(exponent << np.int32(23)))) - ONE
        p = L5 + y * (L6 + y * (L7 + y * (L8 + y * L9)))
        p = L0 + y * (L1 + y * (L2 + y * (L3 + y * (L4 + y * p))))
        log = np.float32(np.int32(exponent - BITS)) * LN2 + y * p
        radius = np.sqrt(MINUS_TWO * log)
        radius = float_of(np.int32(bits_of(radius) | np.int32(word << np.uint32(31))))
        # the angle pi t, t in [-1/2, 1/2); the sign of the radius supplies the other half of the circle
        t = np.float32(np.int32(second[lane])) * TURN
        s = t * t
        head[lane] = radius * (C0 + s * (C1 + s * (C2 + s * (C3 + s * (C4 + s * C5)))))
        tail[lane] = radius * t * (S0 + s * (S1 + s * (S2 + s * (S3 + s * S4))))


@compiled
def fill_normals(lanes: Lanes, words: NDArray[np.uint32], out: NDArray[np.float32]) -> None:
    """Fill `out`, of length a multiple of BLOCK, with standard normals; `words` is scratch, shape (2, len(out)/2)."""
    half = out.size // 2
    for start in range(0, half, LANES):
        fill_words(lanes, words[0, start : start + LANES], words[1, start : start + LANES])
    words_to_normals(words[0], words[1], out[:half], out[half:])


def seeded_lanes(rng: Seed) -> Lanes:
    """Draw the states of the 64 lanes, shape (4, LANES), from a seed, a SeedSequence or a Generator.

    The lanes start at independent random points of one cycle of length 2^128 - 1: two lanes of length n overlap with
    probability 64^2 n / 2^128, that is 1e-20 for n = 1e15.
    """
    lanes = generator(rng).integers(0, 2**32, size=(4, LANES), dtype=np.uint32)
    lanes[0, ~lanes.any(axis=0)] = 1  # the all-zero state is the one point off the cycle
    return lanes


def normals(lanes: Lanes, count: int) -> NDArray[np.float32]:
    """Draw `count` standard normals (float32) and advance `lanes` in place by whole blocks of 128."""
    count = whole_number("count", count, 1, "an empty sample has no use")
    out = np.empty(-(-count // BLOCK) * BLOCK, dtype=np.float32)
    fill_normals(lanes, np.empty((2, out.size // 2), dtype=np.uint32), out)
    return out[:count]
