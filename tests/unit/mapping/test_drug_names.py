"""The list of names and its matcher: what raises the alert, what is known to hold no metformin, what stays unknown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.mapping.forms.drug_names import SHORTEST_NEAR, distance, load_drug_names, named_in_prose, recognise

NAMES = load_drug_names("metformine")

# Fixed dose combinations of the WHO index, read one by one: those that hold metformin, and the others.
WITH_METFORMIN = [f"{n:02}" for n in (2, 3, 5, 7, 8, 10, 11, 13, 14, 15, 16, 17, 18, 20, 22, 23, 25, 26, 27)]
WITHOUT = [f"{n:02}" for n in (4, 6, 9, 12, 19, 21, 24)]


@pytest.mark.parametrize(
    "text",
    [
        "METFORMINE 1000 mg matin et soir", "metformine1000", "Metformin", "Glucophage® 850", "STAGID 700", "janumet 50/1000",
        "VELMETIA", "Eucreas", "ICANDRA", "Komboglyze", "Synjardy", "XIGDUO", "Glucovance", "competact", "JENTADUETO",
        "sitagliptine/metformine", "insuline lantus + glucophage", "biguanides", "GLUCOSULFA", "DIAMIPHAGE", "GLUCINAN",
        "metformine arrêtée il y a deux jours",
    ],
)  # fmt: skip
def test_a_name_of_metformin_is_found_however_it_stands_in_the_text(text: str) -> None:
    assert recognise(text, NAMES).alerting


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("metformne", "metformine"), ("methformine", "metformine"), ("metphormine", "metformine"), ("mteformine", "metformine"),
        ("meformine", "metformine"), ("metforminne", "metformine"), ("glucofage", "glucofage"), ("glucopahge", "glucophage"),
        ("gluccophage", "glucofage"), ("stagide", "stagid"), ("januvmet", "janumet"), ("eucréas", "eucreas"),
        ("sinjardi", "synjardy"), ("comboglize", "komboglyze"), ("gluco phage", "glucophage"), ("met-formine", "metformine"),
    ],
)  # fmt: skip
def test_a_near_spelling_is_the_name_that_was_meant(text: str, name: str) -> None:
    assert name in recognise(text, NAMES).alerting


def test_glucagon_is_a_hormone_and_raises_nothing_although_the_paper_lists_it() -> None:
    for text in ("GLUCAGON", "GlucaGen", "glucagon 1 mg injection"):
        found = recognise(text, NAMES)
        assert (found.alerting, found.has_unknown) == ((), False)
        assert found.others


def test_a_misspelt_glucagon_is_unknown_and_not_taken_for_an_old_biguanide() -> None:
    found = recognise("glucagone", NAMES)
    assert (found.alerting, found.has_unknown) == ((), True)


@pytest.mark.parametrize("number", WITH_METFORMIN)
def test_a_combination_that_holds_metformin_alerts_by_its_code(number: str) -> None:
    assert recognise(f"a10bd{number} 1 cp", NAMES).alerting == (f"A10BD{number}",)


@pytest.mark.parametrize("number", WITHOUT)
def test_a_combination_without_metformin_is_known_and_does_not_alert(number: str) -> None:
    found = recognise(f"A10BD{number}", NAMES)
    assert (found.alerting, found.others, found.has_unknown) == ((), (f"A10BD{number}",), False)


@pytest.mark.parametrize("code", ["A10BA01", "A10BA02", "A10BA03", "A10BD01"])
def test_every_biguanide_alerts_by_its_code(code: str) -> None:
    assert recognise(code, NAMES).alerting == (code,)


@pytest.mark.parametrize("code", ["A10BD28", "A10BD99", "A10BD", "A10B"])
def test_a_code_that_the_list_does_not_hold_is_unknown(code: str) -> None:
    found = recognise(code, NAMES)
    assert (found.alerting, found.others, found.has_unknown) == ((), (), True)


@pytest.mark.parametrize(
    "text",
    ["Lantus 12 UI le soir", "insuline glargine et novorapid selon glycémie", "DIAMICRON 60 mg LP le matin", "Januvia",
     "Jardiance", "Forxiga 10", "Trulicity une injection par semaine", "Amarel + Glucor 3 fois par jour"],
)  # fmt: skip
def test_other_treatments_of_diabetes_are_known_word_for_word(text: str) -> None:
    found = recognise(text, NAMES)
    assert found.others
    assert (found.alerting, found.has_unknown) == ((), False)


@pytest.mark.parametrize("text", ["lantis 12 UI", "ADO", "traitement habituel", "cf ordonnance", "sitagliptine met", "truc 500"])
def test_a_word_that_the_list_does_not_hold_leaves_the_treatment_unknown(text: str) -> None:
    found = recognise(text, NAMES)
    assert (found.alerting, found.has_unknown) == ((), True)


@pytest.mark.parametrize(
    "prose",
    ["Compétent pour la conformité de l’examen, performances conservées, staff du stage",
     "Gluconate de calcium, glucose, glycémie, uniforme, informations, diaphragme, diaphyse, eucalyptus, glucides",
     "Douleurs abdominales fébriles : recherche d’un abcès. Métastases ? Myélome. Transformation, déformation."],
)  # fmt: skip
def test_usual_words_of_medical_prose_raise_nothing(prose: str) -> None:
    assert named_in_prose([prose], NAMES) == ()


def test_no_name_without_metformin_is_near_to_one_that_holds_it() -> None:
    for line in NAMES.by_name.values():
        if line.kind in ("autre", "mot"):
            assert recognise(line.name, NAMES).alerting == (), line.name


def test_a_name_in_prose_raises_the_alert_too() -> None:
    assert named_in_prose(["Patient sous Glucophage", "rien"], NAMES) == ("glucophage",)


def test_the_list_is_dated_and_each_line_has_its_code() -> None:
    assert NAMES.revision == "2026-11-21"
    assert all(line.atc for line in NAMES.by_name.values() if line.kind != "mot")


@pytest.mark.parametrize(
    ("first", "second", "slips"),
    [("", "", 0), ("a", "", 1), ("", "abc", 3), ("abc", "abc", 0), ("abc", "acb", 1), ("abcd", "abxd", 1), ("abcd", "bcd", 1),
     ("ca", "abc", 3)],
)  # fmt: skip
def test_slips_are_counted(first: str, second: str, slips: int) -> None:
    assert distance(first, second) == slips


WORDS = st.text("abcdef", max_size=8)


@given(WORDS, WORDS)
def test_slips_go_both_ways_and_never_exceed_the_longer_word(first: str, second: str) -> None:
    assert distance(first, second) == distance(second, first) <= max(len(first), len(second))
    assert (distance(first, second) == 0) == (first == second)


ALERTING = [line.name for line in NAMES.by_name.values() if line.kind == "metformine" and len(line.name) >= SHORTEST_NEAR]


@given(st.sampled_from(ALERTING), st.data())
def test_one_slip_anywhere_in_a_name_still_raises_the_alert(name: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(name) - 1))
    letter = data.draw(st.sampled_from("abcdefghijlmnoqrstuvxz"))
    kind = data.draw(st.sampled_from(["replace", "drop", "insert"]))
    slipped = name[:at] + {"replace": letter, "drop": "", "insert": letter}[kind] + name[at + (kind != "insert") :]
    if len(slipped) >= SHORTEST_NEAR:
        assert recognise(slipped, NAMES).alerting


@given(st.text(max_size=300))
def test_any_text_is_read(text: str) -> None:
    recognise(text, NAMES)
