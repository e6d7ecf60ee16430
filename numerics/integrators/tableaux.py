"""Coefficients of the Runge-Kutta methods, and nothing else."""

from dataclasses import dataclass
from fractions import Fraction

__all__ = ["DOP853", "SDIRK4", "TSIT5", "DiagonallyImplicitTableau", "ExplicitTableau", "explicit_tableau"]


@dataclass(frozen=True)
class ExplicitTableau:
    """An explicit Runge-Kutta method with an embedded error estimate.

    With k_1 = f(t, y), stage j is k_j = f(t + c_j h, y + h sum_{l<j} a_jl k_l) and the step is y + h sum_j b_j k_j.

    Attributes
    ----------
    name : str
        What the method is called in `hermiton.numerics.ode.integrate`.
    order : int
        Order of the solution that is kept (local extrapolation).
    error_order : int
        Order q of the error estimate's lower method: the step size follows error**(-1/(q + 1)).
    nodes : tuple of float, length s
        The c_j; c_1 = 0.
    stages : tuple of tuples of float
        The a_jl, row j of length j - 1.
    weights : tuple of float, length s
        The b_j.
    errors : tuple of tuples of float, each of length s
        One row e: the local error is estimated by h sum_j e_j k_j. Two rows (e5, e3): by the pair of
        `combined_error` in `hermiton.numerics.integrators.control`.
    first_same_as_last : bool
        The last stage is f at the new point, so it is the next step's first.
    safety : float
        Factor on the ideal step size, below one.
    growth : float
        Largest factor from one step size to the next. An error estimate of few components can vanish by accident at
        one step size; where steps then grow freely they land where the estimate means nothing. Chosen, with safety,
        among nine pairs on y' = a cos(a t) y and Kepler orbits. On problems not used in the choice (y' = y times two
        cosines, van der Pol, pendulum) a limit of 1.5 instead of 10, both at safety 0.9, took the worst error of
        DOP853 from 1133 to 288 tolerances on the first and changed little on the others.
    """

    name: str
    order: int
    error_order: int
    nodes: tuple[float, ...]
    stages: tuple[tuple[float, ...], ...]
    weights: tuple[float, ...]
    errors: tuple[tuple[float, ...], ...]
    first_same_as_last: bool
    safety: float
    growth: float


@dataclass(frozen=True)
class DiagonallyImplicitTableau:
    """A singly diagonally implicit Runge-Kutta method, stiffly accurate: the last stage is the new point.

    Stage i solves z_i = h gamma f(t + c_i h, y + h sum_{j<i} a_ij k_j + z_i) for z_i = h gamma k_i.

    Attributes
    ----------
    name : str
        What the method is called in `hermiton.numerics.ode.integrate`.
    order, error_order : int
        As in `ExplicitTableau`.
    gamma : Fraction
        The common diagonal entry.
    nodes : tuple of Fraction, length s
        The c_i.
    stages : tuple of tuples of Fraction
        The a_ij, row i of length i, its last entry being gamma; the last row is also the weights.
    embedded : tuple of Fraction, length s
        Weights of the lower order method; the error is estimated by h sum_i (b_i - embedded_i) k_i.
    """

    name: str
    order: int
    error_order: int
    gamma: Fraction
    nodes: tuple[Fraction, ...]
    stages: tuple[tuple[Fraction, ...], ...]
    embedded: tuple[Fraction, ...]

    @property
    def weights(self) -> tuple[Fraction, ...]:
        """The weights b_i, which are the last row of stages."""
        return self.stages[-1]


# fmt: off
# Ch. Tsitouras, Runge-Kutta pairs of order 5(4) satisfying only the first column simplifying assumption,
# Comput. Math. Appl. 62 (2011) 770. The last error coefficient is 1/66.
TSIT5 = ExplicitTableau(
    name="Tsit5",
    order=5,
    error_order=4,
    nodes=(0.0, 0.161, 0.327, 0.9, 0.9800255409045097, 1.0, 1.0),
    stages=(
        (),
        (0.161,),
        (-0.008480655492356989, 0.335480655492357),
        (2.8971530571054935, -6.359448489975075, 4.3622954328695815),
        (5.325864828439257, -11.748883564062828, 7.4955393428898365, -0.09249506636175525),
        (5.86145544294642, -12.92096931784711, 8.159367898576159, -0.071584973281401, -0.028269050394068383),
        (0.09646076681806523, 0.01, 0.4798896504144996, 1.379008574103742, -3.290069515436081, 2.324710524099774),
    ),
    weights=(0.09646076681806523, 0.01, 0.4798896504144996, 1.379008574103742, -3.290069515436081, 2.324710524099774,
             0.0),
    errors=(
        (
            -0.00178001105222577714,
            -0.0008164344596567469,
            0.007880878010261995,
            -0.1447110071732629,
            0.5823571654525552,
            -0.45808210592918697,
            0.015151515151515152,
        ),
    ),
    first_same_as_last=True,
    safety=0.9,
    growth=1.5,
)


# J. R. Dormand, P. J. Prince; E. Hairer, S. P. Norsett, G. Wanner, Solving Ordinary Differential Equations I, section
# II.10: order 8 with error estimates of orders 5 and 3. The same doubles as scipy.integrate.DOP853.A, .B, .C, .E5, .E3,
# which a test compares; they are written out because importing SciPy's integrators takes longer than loading ours.
DOP853 = ExplicitTableau(
    name="DOP853",
    order=8,
    error_order=7,
    nodes=(
        0.0, 0.05260015195876773, 0.0789002279381516, 0.1183503419072274, 0.2816496580927726, 0.3333333333333333,
        0.25, 0.3076923076923077, 0.6512820512820513, 0.6, 0.8571428571428571, 1.0,
    ),
    stages=(
        (),
        (0.05260015195876773,),
        (0.0197250569845379, 0.0591751709536137),
        (0.02958758547680685, 0.0, 0.08876275643042054),
        (0.2413651341592667, 0.0, -0.8845494793282861, 0.924834003261792),
        (0.037037037037037035, 0.0, 0.0, 0.17082860872947386, 0.12546768756682242),
        (0.037109375, 0.0, 0.0, 0.17025221101954405, 0.06021653898045596, -0.017578125),
        (
            0.03709200011850479, 0.0, 0.0, 0.17038392571223998, 0.10726203044637328, -0.015319437748624402,
            0.008273789163814023,
        ),
        (
            0.6241109587160757, 0.0, 0.0, -3.3608926294469414, -0.868219346841726, 27.59209969944671,
            20.154067550477894, -43.48988418106996,
        ),
        (
            0.47766253643826434, 0.0, 0.0, -2.4881146199716677, -0.590290826836843, 21.230051448181193,
            15.279233632882423, -33.28821096898486, -0.020331201708508627,
        ),
        (
            -0.9371424300859873, 0.0, 0.0, 5.186372428844064, 1.0914373489967295, -8.149787010746927,
            -18.52006565999696, 22.739487099350505, 2.4936055526796523, -3.0467644718982196,
        ),
        (
            2.273310147516538, 0.0, 0.0, -10.53449546673725, -2.0008720582248625, -17.9589318631188,
            27.94888452941996, -2.8589982771350235, -8.87285693353063, 12.360567175794303, 0.6433927460157636,
        ),
    ),
    weights=(
        0.054293734116568765, 0.0, 0.0, 0.0, 0.0, 4.450312892752409, 1.8915178993145003, -5.801203960010585,
        0.3111643669578199, -0.1521609496625161, 0.20136540080403034, 0.04471061572777259,
    ),
    errors=(
        (
            0.01312004499419488, 0.0, 0.0, 0.0, 0.0, -1.2251564463762044, -0.4957589496572502, 1.6643771824549864,
            -0.35032884874997366, 0.3341791187130175, 0.08192320648511571, -0.022355307863886294,
        ),
        (
            -0.18980075407240762, 0.0, 0.0, 0.0, 0.0, 4.450312892752409, 1.8915178993145003, -5.801203960010585,
            -0.4226823213237919, -0.1521609496625161, 0.20136540080403034, 0.02265179219836082,
        ),
    ),
    first_same_as_last=False,
    safety=0.8,  # 0.9 costs six per cent more evaluations on Kepler orbits, in rejected steps
    growth=1.5,
)


# fmt: on


def _fractions(*texts: str) -> tuple[Fraction, ...]:
    return tuple(Fraction(text) for text in texts)


# E. Hairer, G. Wanner, Solving Ordinary Differential Equations II, section IV.6, table 6.5: L-stable.
SDIRK4 = DiagonallyImplicitTableau(
    name="SDIRK4",
    order=4,
    error_order=3,
    gamma=Fraction(1, 4),
    nodes=_fractions("1/4", "3/4", "11/20", "1/2", "1"),
    stages=(
        _fractions("1/4"),
        _fractions("1/2", "1/4"),
        _fractions("17/50", "-1/25", "1/4"),
        _fractions("371/1360", "-137/2720", "15/544", "1/4"),
        _fractions("25/24", "-49/48", "125/16", "-85/12", "1/4"),
    ),
    embedded=_fractions("59/48", "-17/96", "225/32", "-85/12", "0"),
)


def explicit_tableau(method: str) -> ExplicitTableau:
    """Return the explicit tableau of that name, "Tsit5" or "DOP853"."""
    return {"Tsit5": TSIT5, "DOP853": DOP853}[method]
