"""The copy of the national directory: it completes what is not written, contradicts what is, and never guesses."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from adapter.errors import ConfigurationError
from adapter.model.parties import Recipient, RecipientKind
from adapter.routing.directory import load_directory
from adapter.routing.national import Asked, ListedBox, NationalListing, read_listing, write_listing
from tests.builders.directory import APHP_EJ, BCT, EQUIPPED, IVRY, territory, territory_files, to_person

AT = datetime(2026, 11, 20, 3, tzinfo=UTC)
TODAY = date(2026, 11, 20)
SOMEBODY_ELSE = "99900000045"


def listing(*asked: Asked) -> NationalListing:
    return NationalListing(asked)


def person(rpps: str, *boxes: ListedBox) -> Asked:
    return Asked("rpps", rpps, AT, boxes)


def place(finess: str, *boxes: ListedBox) -> Asked:
    return Asked("finess", finess, AT, boxes)


def directory_with(*asked: Asked, remove: bytes = b""):  # type: ignore[no-untyped-def]
    files = {name: content.replace(remove, b"") if remove else content for name, content in territory_files().items()}
    return load_directory({**files, "annuaire.json": write_listing(listing(*asked))})


def test_a_copy_is_read_as_it_was_written() -> None:
    copy = listing(place("3"), person("1", ListedBox("a@b.mssante.fr", "PER", "1", "2", 1)))
    assert read_listing(write_listing(copy), "x") == copy
    assert copy.oldest() == AT


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b'{"format":"traitdunion-annuaire-1"}', b'{"format":"x","asked":[]}', b"\xff"]
)
def test_what_is_no_copy_is_told_with_its_file(content: bytes) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_listing(content, "annuaire.json")
    assert caught.value.where == "annuaire.json" and "refresh" in caught.value.remedy


def test_a_person_s_box_is_that_of_the_structure_and_no_other() -> None:
    copy = listing(
        person("1", ListedBox("la@b.mssante.fr", "PER", "1", "940000003"), ListedBox("ici@b.mssante.fr", "PER", "1", "x"))
    )
    assert copy.of_person("1", ("940000003", "")) == "la@b.mssante.fr"
    assert copy.of_person("1", ("750000000",)) == ""
    assert copy.of_person("2", ("940000003",)) == ""


def test_between_equals_nobody_is_guessed_and_a_rank_decides() -> None:
    two = (ListedBox("a@b.mssante.fr", "ORG", "", "1"), ListedBox("c@b.mssante.fr", "ORG", "", "1"))
    assert listing(place("1", *two)).of_structure("1") == ""
    ranked = (two[0], ListedBox("c@b.mssante.fr", "ORG", "", "1", rank=1))
    assert listing(place("1", *ranked)).of_structure("1") == "c@b.mssante.fr"


def test_software_s_box_comes_before_a_secretariat_s_and_a_person_s_is_not_the_structure_s() -> None:
    boxes = (
        ListedBox("secretariat@b.mssante.fr", "ORG", "", "1", 1),
        ListedBox("logiciel@b.mssante.fr", "APP", "", "1"),
        ListedBox("docteur@b.mssante.fr", "PER", "9", "1", 1),
    )
    assert listing(place("1", *boxes)).of_structure("1") == "logiciel@b.mssante.fr"
    assert listing(place("1", boxes[2])).of_structure("1") == ""


def test_an_address_listed_for_somebody_else_parks_the_recipient() -> None:
    known = territory().resolve(to_person(EQUIPPED), sender_finess=BCT, on=TODAY, legal_entity=APHP_EJ).role
    assert known is not None and known.mailbox
    stolen = directory_with(person(SOMEBODY_ELSE, ListedBox(known.mailbox, "PER", SOMEBODY_ELSE)))
    found = stolen.resolve(to_person(EQUIPPED), sender_finess=BCT, on=TODAY, legal_entity=APHP_EJ)
    assert (found.role, found.reason) == (None, "national-conflict") and found.explanation


def test_an_address_listed_for_the_same_person_or_for_nobody_changes_nothing() -> None:
    known = territory().resolve(to_person(EQUIPPED), sender_finess=BCT, on=TODAY, legal_entity=APHP_EJ).role
    assert known is not None
    for copy in (person(EQUIPPED, ListedBox(known.mailbox, "PER", EQUIPPED)), person(SOMEBODY_ELSE)):
        found = directory_with(copy).resolve(to_person(EQUIPPED), sender_finess=BCT, on=TODAY, legal_entity=APHP_EJ)
        assert found.role == known


def test_a_bare_address_that_is_somebody_else_s_parks_too() -> None:
    address = "inconnu@medecin.formation.mssante.fr"
    asked = Recipient(RecipientKind.PROFESSIONAL, address=address, rpps="10100000017")
    free = territory().resolve(asked, sender_finess=BCT, on=TODAY, legal_entity=APHP_EJ)
    assert free.role is not None
    copy = person(SOMEBODY_ELSE, ListedBox(address, "PER", SOMEBODY_ELSE))
    assert directory_with(copy).resolve(asked, sender_finess=BCT, on=TODAY, legal_entity=APHP_EJ).reason == "national-conflict"


def test_a_structure_without_a_mailbox_takes_the_one_listed_and_another_structure_s_stays_away() -> None:
    site = next(o for o in territory().entries.organisations if o.finess == IVRY)
    assert site.mailbox
    without = f'mailbox = "{site.mailbox}"\n'.encode()
    here, elsewhere = place(IVRY, ListedBox("nouvelle@cms.mssante.fr", "ORG", "", IVRY)), place("750000001")
    named = Recipient(RecipientKind.ORGANISATION, finess=IVRY)
    for copy, expected in ((here, "nouvelle@cms.mssante.fr"), (elsewhere, "")):
        found = directory_with(copy, remove=without).resolve(named, sender_finess=BCT, on=TODAY, legal_entity=APHP_EJ)
        assert found.role is not None and found.role.mailbox == expected


def test_another_copy_is_another_revision() -> None:
    assert directory_with(place(IVRY)).revision != directory_with(person(EQUIPPED)).revision
