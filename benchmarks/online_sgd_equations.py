"""Order-parameter ODEs of the erf committee: hermiton against solve_ivp with a vectorised NumPy right-hand side.

CPU time, one thread, both in this run: ``python benchmarks/online_sgd_equations.py``. Exits with 1 if a target is
missed.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.integrate import solve_ivp

sys.path.insert(0, str(Path(__file__).parent))

from peers.numpy_order_parameters import right_hand_side

import hermiton as hm
from hermiton.numerics.ode import integrate
from hermiton.numerics.solve import bind

TIME = 1000.0
RTOL, ATOL = 1e-8, 1e-10
TARGETS = {2: 150.0, 4: 0.0, 8: 10.0}

_COLD = """
import time, numba
from hermiton.theory.online_sgd import order_parameter_system, OnlineSGD
import hermiton as hm, numpy as np
from hermiton.numerics.solve import bind
from hermiton.numerics.ode import integrate
d = hm.derive(OnlineSGD(hidden={k}, teacher_hidden={k}))
import numpy, scipy.integrate
begin = time.process_time()
from hermiton.numerics.codegen.kernel import compile_system
compiled = compile_system(d.systems[0])
print(time.process_time() - begin)
"""


def cpu(function: Callable[[], object], repeats: int) -> float:
    """Median CPU seconds of a call."""
    times = []
    for _ in range(repeats):
        begin = time.process_time()
        function()
        times.append(time.process_time() - begin)
    return float(np.median(times))


def start(width: int) -> hm.Overlaps:
    """A start with small generic overlaps and an orthonormal teacher."""
    rng = np.random.default_rng(width)
    own = rng.normal(size=(width, 40 * width)) * np.sqrt(0.25 / (40 * width))
    R = 0.05 + 0.05 * rng.random((width, width))
    ones = np.ones(width)
    return hm.Overlaps(Q=own @ own.T + R @ R.T, R=R, T=np.eye(width), v=ones, A=ones)


def main() -> int:
    """Print ratios; 0 if all targets are met."""
    missed = 0
    print(f"t <= {TIME:g}, rtol {RTOL:g}, eta 1; CPU ms (median)")
    for width, target in TARGETS.items():
        setting = hm.OnlineSGD(hidden=width, teacher_hidden=width, learning_rate=1.0)
        first = start(width)
        system = hm.derive(setting).systems[0]
        bound = bind(system, setting, first)
        arguments = bound.arguments()

        def ours(method: str = "DOP853", bound=bound, arguments=arguments):
            return integrate(
                bound.compiled.rhs, bound.start, [0.0, TIME], method=method, rtol=RTOL, atol=ATOL, **arguments
            )

        f = right_hand_side(width, width, first.T, first.v, first.A, 1.0)

        def peer(f=f, bound=bound):
            return solve_ivp(f, (0, TIME), bound.start, method="DOP853", rtol=RTOL, atol=ATOL)

        reference = integrate(
            bound.compiled.rhs, bound.start, [0.0, TIME], method="DOP853", rtol=1e-12, atol=1e-14, **arguments
        ).states[-1]
        ours()
        ours("Tsit5")
        theirs = peer()
        # interleaved, so that a change of the machine's load hits both
        ratios, mine, other = [], [], []
        for _ in range(5):
            mine.append(cpu(ours, 21))
            other.append(cpu(peer, 1))
            ratios.append(other[-1] / mine[-1])
        fast = cpu(lambda ours=ours: ours("Tsit5"), 21)
        ratio = float(np.median(ratios))
        result = ours()
        verdict = "" if not target else ("ok" if ratio >= target else "MISSED")
        missed += verdict == "MISSED"
        print(
            f"K=M={width}: DOP853 {1e3 * np.median(mine):8.3f} (error {abs(result.states[-1] - reference).max():.1e}, "
            f"{result.evaluations} evaluations)  Tsit5 {1e3 * fast:8.3f}  "
            f"solve_ivp+numpy {1e3 * np.median(other):8.1f} (error {abs(theirs.y[:, -1] - reference).max():.1e}, "
            f"{theirs.nfev} evaluations)  ratio {ratio:6.1f}  target {target:g}  {verdict}"
        )
    print("compilation of the kernels alone, CPU s (a fresh process each):")
    for width in (2, 8):
        with tempfile.TemporaryDirectory() as folder:
            environment = {**os.environ, "HERMITON_CACHE_DIR": folder}
            script = _COLD.replace("{k}", str(width))
            cold, warm = (
                float(
                    subprocess.run(
                        [sys.executable, "-c", script], env=environment, capture_output=True, check=True
                    ).stdout
                )
                for _ in range(2)
            )
        print(f"K=M={width}: cold {cold:.2f}, warm {warm:.2f}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
