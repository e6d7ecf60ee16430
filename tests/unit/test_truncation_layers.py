"""The coupled flow of L layers: its statements, its arrays and how they are told apart, and which system is derived."""

import pytest
import sympy as sp

from hermiton.theory.errors import DerivationError
from hermiton.theory.rotating_flow import RotatingFlow
from hermiton.theory.systems import IndexSum, Inverse, PiecewiseFlow
from hermiton.theory.truncation import Truncation, derive_truncation
from hermiton.theory.truncation.chapter import _laws as derived_laws
from hermiton.theory.truncation.coupled_flow import Shape, coupled_flow, flow_statements

POINTS, LABELS, TARGETS = [[0.0, 1.0], [2.0, 3.0], [1.0, 0.5]], [0, 1, 0], [[3.0, 4.0], [5.0, 6.0]]

GENERAL = {"layer_map", "threshold", "bias_of_threshold", "truncated", "distance", "backward", "layers_separated"}
GENERAL |= {f"layer_{of}{cost}" for of in ("biases", "rotation") for cost in ("", "_standard")}
GENERAL |= {"one_layer_biases", "one_layer_rotation", "residual", "residual_standard", "residual_pulled_back", "error"}
GENERAL |= {"loss", "loss_standard", "rate_output_weights", "rate_output_bias", "cost_standard", "gap_below"}
GENERAL |= {"gap_above", "cluster_standard", "cluster_modes", "cluster_mode", "cluster_bound", "output_space"}
GENERAL |= {"output_space_path", "output_space_cost"}


def derived(**changes):
    return derive_truncation(Truncation(POINTS, LABELS, TARGETS, **changes))


class TestDerivation:
    @pytest.mark.parametrize(
        ("changes", "kind", "title"),
        [
            ({}, PiecewiseFlow, "one truncation with adapted weights"),
            (
                {"layers": 2, "truncates": (1, 0)},
                PiecewiseFlow,
                "2 truncations with adapted weights, cluster-separated",
            ),
            ({"truncates": (0,)}, PiecewiseFlow, "one truncation with adapted weights, cluster-separated"),
            ({"layers": 2}, RotatingFlow, "2 truncations with adapted weights"),
            ({"cost": "standard"}, RotatingFlow, "one truncation with adapted weights, standard cost"),
            ({"moving": "rotation"}, RotatingFlow, "one truncation with adapted weights; orthogonal parts moving"),
            (
                {"layers": 3, "cost": "standard", "moving": ("output", "rotation")},
                RotatingFlow,
                "3 truncations with adapted weights, standard cost; orthogonal parts and output layer moving",
            ),
        ],
    )
    def test_the_setting_chooses_the_system(self, changes: dict, kind: type, title: str) -> None:
        derivation = derived(**changes)
        (system,) = derivation.systems
        assert type(system) is kind
        assert derivation.title == f"Gradient flow of {title}"
        assert derivation.standing == "derived"
        keys = {s.key for s in derivation.statements}
        assert keys >= GENERAL | ({f"flow_{e.name}" for e in system.states} if kind is RotatingFlow else set())
        for statement in derivation.statements:
            assert "hermiton" in statement.source, statement.key
            assert statement.source == "hermiton" or statement.source.startswith("notion")

    def test_statements_are_proved_once(self) -> None:
        first, second = derived(layers=2), derived(layers=2, cost="standard")
        assert first.statement("backward") is second.statement("backward")
        assert derived(layers=2).systems[0] is first.systems[0]

    def test_it_prints(self) -> None:
        derivation = derived(layers=2, moving="rotation")
        rows = derivation.systems[0].latex_equations()
        assert not any("^" in lhs.partition("^")[2] for lhs, _ in rows)  # TeX refuses a double superscript
        assert r"\frac{d \beta^{(2)}_{n}}{dt}" in [lhs for lhs, _ in rows]
        assert derivation._repr_html_().count("<h4>") == len(derivation.statements)

    def test_what_the_last_checks_say(self) -> None:
        result = derived(layers=2).statement("flow_beta_1").steps[0].result
        assert result.kind == "symbolic"
        assert result.detail.startswith("the whole system at rational points, derivatives exact: N=3, d=2")


class TestSystem:
    def test_arrays_of_a_layer_are_slices(self) -> None:
        (system,) = derived(layers=2, moving="rotation").systems
        assert [(s.name, s.binding, s.slot) for s in system.states] == [
            ("beta_1", "bias", ("layer", 0)),
            ("beta_2", "bias", ("layer", 1)),
            ("R_1", "rotation", ("layer", 0)),
            ("R_2", "rotation", ("layer", 1)),
        ]
        assert [r.name for r in system.rotations] == ["R_1", "R_2"]
        seen = [(o.target.binding, o.target.slot, o.target.dimensions) for o in system.observables]
        assert seen[0] == ("loss", None, ())
        assert seen[-3:] == [
            ("threshold", ("layer", 1), ("coordinate",)),
            ("truncated_mass", ("layer", 1), ("coordinate",)),
            ("class_mass", ("layer", 1), ("class", "coordinate")),
        ]
        given = [(array.binding, array.slot, start.target.name) for array, start in system.starts]
        assert given == [
            ("biases", ("layer", 0), "beta_1"),
            ("thresholds", ("layer", 0), "beta_1"),
            ("biases", ("layer", 1), "beta_2"),
            ("thresholds", ("layer", 1), "beta_2"),
        ]

    def test_one_layer_has_no_slices(self) -> None:
        (system,) = derived(cost="standard", moving=("rotation", "output")).systems
        bindings = ["bias", "rotation", "output_weights", "output_bias"]
        assert [s.binding for s in system.states] == bindings
        arrays = (*system.states, *system.parameters, *(o.target for o in system.observables))
        assert all(array.slot is None for array in arrays)
        assert not {"rotation", "output_weights", "output_bias"} & {p.binding for p in system.parameters}
        assert [s.dimensions for s in system.states[1:]] == [
            ("coordinate", "component"),
            ("output", "component"),
            ("output",),
        ]

    def test_fixed_layers_are_parameters(self) -> None:
        (system,) = derived(layers=2).systems
        assert [p.name for p in system.parameters][-4:] == ["R_1", "R_2", "output_weights", "output_bias"]
        assert system.rotations == ()
        assert "every R_l fixed" in system.assumptions

    def test_only_the_input_cost_pulls_labels_back(self) -> None:
        for cost, wanted in (("input", True), ("standard", False)):
            (system,) = derived(layers=2, cost=cost).systems
            assert any(item.value.has(Inverse) for item in system.definitions) is wanted

    def test_sums_of_equations_are_contractions(self) -> None:
        """Each sum over samples is of products of entries, which needs no array of all products."""
        (system,) = derived(layers=3, cost="standard", moving=("rotation", "output")).systems
        for equation in system.equations:
            sums = [s for s in equation.value.atoms(IndexSum) if s.size == sp.Symbol("N", integer=True, positive=True)]
            assert sums
            assert all(f.is_Indexed for s in sums for f in sp.Mul.make_args(s.body))

    def test_deep_networks(self) -> None:
        """Six layers: all of it is checked, at one size."""
        shape = Shape(6, "input", ("rotation",))
        system = coupled_flow(shape, derived_laws())
        found = flow_statements(system, shape)
        assert [s.key for s in found] == [f"flow_{name}_{n}" for name in ("beta", "R") for n in range(1, 7)]
        assert "; " not in found[0].steps[0].result.detail.partition(": ")[2]

    def test_a_law_that_no_rule_evaluates_is_refused(self) -> None:
        laws = derived_laws()
        shape = Shape(1, "standard")
        with pytest.raises(DerivationError, match="no rule for its value"):
            flow_statements(coupled_flow(shape, {**laws, "loss_standard": sp.exp(laws["loss_standard"])}), shape)
