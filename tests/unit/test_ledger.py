"""The ledger: what a claim rests on and its weakest link."""

import pytest

from hermiton.theory.errors import AssumptionError
from hermiton.verification.ledger import STANDINGS, Entry, Ledger


def diamond() -> Ledger:
    ledger = Ledger()
    ledger.add("conditioning", "derived")
    ledger.add("equivalence", "cited", citation="[G]")
    ledger.add("moments", "cross-checked", rests_on=["conditioning"])
    ledger.add("drift", "derived", rests_on=["conditioning", "equivalence"])
    ledger.add("equations", "derived", rests_on=["moments", "drift"])
    return ledger


def test_the_weakest_link_is_found_through_every_path() -> None:
    ledger = diamond()
    assert ledger.standing("equations") == "cited"
    assert ledger.weakest("equations").citation == "[G]"
    assert ledger.standing("moments") == "cross-checked"
    assert ledger.standing("conditioning") == "derived"


@pytest.mark.parametrize("standing", STANDINGS)
def test_a_statement_is_no_firmer_than_itself(standing: str) -> None:
    ledger = diamond()
    ledger.add("last", standing, rests_on=["conditioning"])
    assert ledger.standing("last") == standing


def test_support_lists_foundations_first_and_once() -> None:
    names = [entry.name for entry in diamond().support("equations")]
    assert sorted(names) == ["conditioning", "drift", "equations", "equivalence", "moments"]
    assert names.index("conditioning") < names.index("moments") < names.index("equations")
    assert names.index("equivalence") < names.index("drift") < names.index("equations")


def test_what_does_not_fit_is_refused() -> None:
    ledger = diamond()
    with pytest.raises(AssumptionError, match=r"^standing='proved'.*derived, cross-checked, cited, stated"):
        ledger.add("new", "proved")
    with pytest.raises(AssumptionError, match=r"^name='drift' is in the ledger already"):
        ledger.add("drift", "stated")
    with pytest.raises(AssumptionError, match=r"^name='nowhere' is not in the ledger"):
        ledger.add("new", "derived", rests_on=["nowhere"])
    with pytest.raises(AssumptionError, match=r"^name='nowhere'"):
        ledger.standing("nowhere")
    ledger.entries["conditioning"] = Entry("conditioning", "derived", ("equations",))
    with pytest.raises(AssumptionError, match="rest on each other"):
        ledger.support("equations")
