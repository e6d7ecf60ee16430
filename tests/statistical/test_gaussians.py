"""Battery for the SIMD normal generator. All z-scores and p-values share one false-alarm rate: 1e-4 for the file."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from hermiton.verification.networks.gaussians import BLOCK, LANES, fill_words, normals, seeded_lanes, words_to_normals

pytestmark = pytest.mark.statistical

DRAWS = 2**23
FALSE_ALARMS = 1e-4
# moments 8, tails 5, lags 64, lane pairs 2 x 2016 squared into chi-squares 4, words 32 x 2, KS 9, streams 2
TESTS = 200
LEVEL = FALSE_ALARMS / TESTS
Z = float(stats.norm.isf(LEVEL / 2))

Single = NDArray[np.float32]


@pytest.fixture(scope="module")
def sample() -> NDArray[np.float64]:
    return normals(seeded_lanes(20240601), DRAWS).astype(np.float64)


@pytest.fixture(scope="module")
def words() -> NDArray[np.uint32]:
    """Words of all lanes, shape (2, turns, LANES)."""
    lanes = seeded_lanes(77)
    out = np.empty((2, 2**14, LANES), dtype=np.uint32)
    for turn in range(out.shape[1]):
        fill_words(lanes, out[0, turn], out[1, turn])
    return out


def within(value: float, expected: float, variance: float, draws: int) -> None:
    assert abs(value - expected) <= Z * math.sqrt(variance / draws)


def double_factorial(n: int) -> int:
    return math.prod(range(n, 0, -2))


def test_words_are_those_of_xoshiro128plusplus() -> None:
    """The state 1, 2, 3, 4 and its first ten words, the vector that reference implementations test against."""
    lanes = np.repeat(np.arange(1, 5, dtype=np.uint32)[:, None], LANES, axis=1)
    expected = [
        641,
        1573767,
        3222811527,
        3517856514,
        836907274,
        4247214768,
        3867114732,
        1355841295,
        495546011,
        621204420,
    ]
    first, second = np.empty((2, LANES), dtype=np.uint32)
    for turn in range(5):
        fill_words(lanes, first, second)
        assert (first == expected[2 * turn]).all() and (second == expected[2 * turn + 1]).all()


def test_transform_is_box_muller(words: NDArray[np.uint32]) -> None:
    """Against NumPy's log, sine and cosine in float64, on random words and on the extreme ones."""
    first, second = words[0].ravel().copy(), words[1].ravel().copy()
    first[:8] = [0, 1, 2, 3, 2**32 - 1, 2**32 - 2, 2**31, 2**31 - 1]
    second[8:16] = [0, 1, 2**31, 2**31 - 1, 2**32 - 1, 2**30, 3 * 2**30, 2]
    head, tail = np.empty((2, first.size), dtype=np.float32)
    words_to_normals(first, second, head, tail)
    uniform = ((first >> np.uint32(1)).astype(np.float64) + 0.5) / 2**31
    radius = np.sqrt(-2 * np.log(uniform)) * np.where(first & 1, -1.0, 1.0)
    angle = np.pi * second.view(np.int32).astype(np.float64) / 2**32
    assert math.sqrt(64 * math.log(2)) == pytest.approx(np.abs(radius).max())  # the word 0 is among them
    # near uniform = 1 the radius has the square root of the rounding of 1 - uniform: 2^-24 gives 3.5e-4
    tolerance = np.where(1 - uniform < 1e-3, 4e-4, 2e-6)
    assert (np.abs(head - radius * np.cos(angle)) <= tolerance).all()
    assert (np.abs(tail - radius * np.sin(angle)) <= tolerance).all()
    assert np.isfinite(head).all() and np.isfinite(tail).all()


@pytest.mark.parametrize("order", range(1, 9))
def test_moments(sample: NDArray[np.float64], order: int) -> None:
    """Mean, variance, skewness, kurtosis and on to order 8."""
    expected = double_factorial(order - 1) if order % 2 == 0 else 0
    variance = double_factorial(2 * order - 1) - expected**2
    within(float((sample**order).mean()), expected, variance, DRAWS)


@pytest.mark.parametrize("sigma", [1, 2, 3, 4, 5])
def test_tails(sample: NDArray[np.float64], sigma: int) -> None:
    probability = 2 * stats.norm.sf(sigma)
    found = int((np.abs(sample) > sigma).sum())
    assert stats.binomtest(found, DRAWS, probability).pvalue > LEVEL


def test_kolmogorov_smirnov(sample: NDArray[np.float64]) -> None:
    """On a million draws, and on eight lanes and positions of their own."""
    assert stats.kstest(sample[:1_000_000], "norm").pvalue > LEVEL
    blocks = sample.reshape(-1, 2 * LANES)
    for position in range(0, 2 * LANES, 16):
        assert stats.kstest(blocks[:, position], "norm").pvalue > LEVEL


@pytest.mark.parametrize("power", [1, 2])
def test_lag_correlations(sample: NDArray[np.float64], power: int) -> None:
    """Between draws 1 to 16 apart, between the partners of one Box-Muller pair, and from turn to turn of one lane."""
    centred = sample**power - (power == 2)
    variance = 1.0 if power == 1 else 4.0
    for lag in [*range(1, 17), LANES - 1, LANES, LANES + 1, *(BLOCK * k for k in range(1, 9)), DRAWS // 2]:
        within(float((centred[lag:] * centred[:-lag]).mean()), 0.0, variance, DRAWS - lag)


def test_lanes_are_uncorrelated() -> None:
    """The sum of all squared correlations between positions of a block is a chi-square; so it is for squares."""
    turns = 2**16
    blocks = normals(seeded_lanes(5), turns * BLOCK).astype(np.float64)
    # `normals` puts the first of each pair in the first half of the whole array, turn by turn
    positions = np.concatenate(np.split(blocks.reshape(2 * turns, LANES), 2), axis=1)
    for values, variance in ((positions, 1.0), ((positions**2 - 1) / math.sqrt(2), 1.0)):
        for shift in (0, 1):  # within one turn, and from one turn to the next
            products = values[shift:].T @ values[: len(values) - shift] / math.sqrt((turns - shift) * variance)
            pairs = products[np.triu_indices(2 * LANES, 1)] if shift == 0 else products.ravel()
            p = stats.chi2.sf((pairs**2).sum(), pairs.size)
            assert min(p, 1 - p) * 2 > LEVEL


def test_word_bits_are_balanced(words: NDArray[np.uint32]) -> None:
    """Every bit of either word is set half of the time, the sign bit among them."""
    for side in words:
        for bit in range(32):
            found = int(((side >> np.uint32(bit)) & np.uint32(1)).sum())
            within(found / side.size, 0.5, 0.25, side.size)


def test_streams_repeat_and_differ() -> None:
    first, again, other = (normals(seeded_lanes(seed), 2**18) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    children = [normals(seeded_lanes(child), 2**18) for child in np.random.SeedSequence(9).spawn(2)]
    for a, b in ((first, other), (children[0], children[1])):
        within(float((a.astype(np.float64) * b).mean()), 0.0, 1.0, 2**18)
    assert len(np.unique(seeded_lanes(3), axis=1).T) == LANES


def test_a_stream_continues_where_it_stopped() -> None:
    lanes = seeded_lanes(4)
    state = lanes.copy()
    pieces = normals(lanes, BLOCK), normals(lanes, BLOCK)
    whole = normals(state, 2 * BLOCK)  # two turns: first halves, then second halves
    np.testing.assert_array_equal(pieces[0], np.concatenate([whole[:LANES], whole[BLOCK : BLOCK + LANES]]))
    np.testing.assert_array_equal(pieces[1], np.concatenate([whole[LANES:BLOCK], whole[BLOCK + LANES :]]))
    with pytest.raises(ValueError, match="count=0 is too small"):
        normals(lanes, 0)
