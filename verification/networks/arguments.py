"""Refusals of bad input, in one wording for every network: ``name=value problem: cure``."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

LARGEST_PARAMETER = 1e15  # keeps products of a few layers, squared, within the range of the numbers

Seed = int | np.random.SeedSequence | np.random.Generator


def refused(name: str, value: object, problem: str, cure: str) -> ValueError:
    """Build the error for an argument that cannot be used; an array is shown by its shape."""
    shown = (
        f"<array of shape {value.shape}>"
        if isinstance(value, np.ndarray) and value.size > 16
        else " ".join(repr(value).split())
    )
    return ValueError(f"{name}={shown} {problem}: {cure}")


def real_array(name: str, value: ArrayLike, shape: tuple[int | None, ...]) -> NDArray[np.float64]:
    """Copy `value` into a finite, contiguous float64 array of the given shape (None: any positive length)."""
    try:
        array = np.array(value, dtype=np.float64, order="C")
    except (TypeError, ValueError) as error:
        raise refused(name, value, "is not an array of real numbers", "give numbers in a rectangular array") from error
    wanted = tuple("any" if length is None else length for length in shape)
    fits = array.ndim == len(shape) and all(
        have > 0 and want in (None, have) for have, want in zip(array.shape, shape, strict=True)
    )
    if not fits:
        raise refused(name, array, f"has shape {array.shape}", f"give an array of shape {wanted}")
    if not np.isfinite(array).all():
        raise refused(name, array, "has an entry that is NaN or infinite", "give finite numbers")
    return array


def non_negative(name: str, value: float) -> float:
    """Return a finite number >= 0."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise refused(name, value, "is not a real number", "give one number >= 0")
    number = float(value)
    if not math.isfinite(number):
        raise refused(name, value, "is not finite", "give one number >= 0")
    if number < 0:
        raise refused(name, value, "is negative", "give one number >= 0")
    return number


def whole_number(name: str, value: int, least: int, why: str) -> int:
    """Return an integer that is at least `least`; `why` says where the bound comes from."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise refused(name, value, "is not an integer", f"give an integer >= {least} ({why})")
    if value < least:
        raise refused(name, value, "is too small", f"give an integer >= {least} ({why})")
    return int(value)


def checked_times(times: ArrayLike) -> NDArray[np.float64]:
    """Return times that are finite, >= 0 and strictly increasing."""
    checked = real_array("times", times, (None,))
    if checked[0] < 0:
        raise refused("times", checked, "starts before 0", "the run starts at time 0")
    if not (np.diff(checked) > 0).all():
        raise refused("times", checked, "is not increasing", "sort the times and drop repetitions")
    return checked


def generator(rng: Seed) -> np.random.Generator:
    """Return a NumPy generator, made from a seed if need be; None is refused, since nobody could repeat the run."""
    if isinstance(rng, np.random.Generator):
        return rng
    if isinstance(rng, np.random.SeedSequence) or (isinstance(rng, (int, np.integer)) and not isinstance(rng, bool)):
        if isinstance(rng, (int, np.integer)) and rng < 0:
            raise refused("rng", rng, "is negative", "give a seed >= 0, a SeedSequence or a numpy Generator")
        return np.random.Generator(np.random.SFC64(rng))
    raise refused("rng", rng, "is no source of random numbers", "give a seed >= 0, a SeedSequence or a numpy Generator")


def gram(
    Q: ArrayLike, R: ArrayLike, T: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Check overlaps Q (K,K), R (K,M), T (M,M) and return them with the Gram matrix C = [[Q, R], [R^T, T]]."""
    Q = real_array("Q", Q, (None, None))
    T = real_array("T", T, (None, None))
    for name, block in (("Q", Q), ("T", T)):
        if block.shape[0] != block.shape[1]:
            raise refused(name, block, f"has shape {block.shape}", "give a square matrix of overlaps")
        if np.abs(block - block.T).max() > 1e-12 * np.abs(block).max():
            raise refused(name, block, "is not symmetric", "overlaps are inner products: give a symmetric matrix")
    R = real_array("R", R, (len(Q), len(T)))
    C = np.block([[Q, R], [R.T, T]])
    C = (C + C.T) / 2
    smallest = float(np.linalg.eigvalsh(C)[0])
    if smallest < -1e-10 * np.abs(C).max():
        raise refused(
            "[[Q, R], [R^T, T]]",
            C,
            f"is not positive semidefinite (smallest eigenvalue {smallest:.3g})",
            "no weights have these overlaps; shrink R or enlarge Q",
        )
    return Q, R, T, C
