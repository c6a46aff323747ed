"""Local software as a reader: named in the partners file at any level, dated as equipment is, before mail and fax."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from adapter.errors import ConfigurationError
from adapter.model.plan import ChannelName, RecipientPlan
from adapter.model.submission import MailOrigin, Visibility
from adapter.routing.choose import RouteSettings, choose_route
from adapter.routing.directory import Directory
from adapter.routing.explain import render_plan
from adapter.routing.policy import read_policy
from tests.builders.directory import letter_header, production, rehearsal, small_territory, submission, to_person

TODAY = date(2026, 11, 20)
READER = "99900000029"
HL7 = ChannelName.HL7_PUSH
MAIL = MailOrigin("<1@a.fr>", "XDM/1.0/DDM", "", "alix@a.mssante.fr")


def software(since: str = "2026-01-05", name: str = "ris") -> str:
    return f'channels = [{{ channel = "hl7_push", address = "{name}", since = {since} }}]'


def plan(directory: Directory, *, on: date = TODAY, routes: RouteSettings | None = None, **changes: object) -> RecipientPlan:
    letter = submission(to_person(READER), sender_finess="949990121", **changes)  # type: ignore[arg-type]
    (recipient,) = choose_route(letter, directory, on, routes or production()).recipients
    return recipient


def ways(recipient: RecipientPlan) -> list[tuple[str, str]]:
    return [(leg.channel.value, leg.address) for leg in recipient.legs]


def test_a_role_with_software_is_served_there_first_whatever_the_sender_is_equipped_with() -> None:
    found = plan(small_territory(role=software()))
    assert ways(found) == [("hl7_push", "ris"), ("fax", "+33199000002")]
    assert found.legs[0].opened_since == "2026-01-05" and found.rpps == READER


@pytest.mark.parametrize(("on", "first"), [(date(2027, 1, 3), "fax"), (date(2027, 1, 4), "hl7_push")])
def test_it_opens_on_its_day(on: date, first: str) -> None:
    found = plan(small_territory(role=software("2027-01-04")), on=on)
    assert found.legs[0].channel.value == first
    if first == "fax":
        assert "2027" in next(r.reason for r in found.rejected if r.channel is HL7)


def test_the_most_precise_level_decides_and_the_others_stand_in_for_it() -> None:
    assert ways(plan(small_territory(centre=software(name="centre"))))[0] == ("hl7_push", "centre")
    assert ways(plan(small_territory(centre=software(name="centre"), role=software(name="own"))))[0] == ("hl7_push", "own")
    closed = small_territory(centre=software(name="centre"), role=software("2027-01-04", "own"))
    assert ways(plan(closed))[0][0] == "fax"


def test_a_role_without_software_hears_nothing_of_it() -> None:
    found = plan(small_territory())
    assert HL7 not in {leg.channel for leg in found.legs} | {rejected.channel for rejected in found.rejected}


def test_what_came_by_mail_goes_to_software_or_to_nobody() -> None:
    """Mailed on, it would come back to our own mailbox."""
    assert ways(plan(small_territory(role=software()), mail=MAIL)) == [("hl7_push", "ris")]
    nowhere = plan(small_territory(), mail=MAIL)
    assert (nowhere.legs, nowhere.parked_because) == ((), "no-channel")


def test_a_test_instance_sends_to_its_sandbox_partner_and_remembers_whom_it_was_for() -> None:
    settings = rehearsal(sandbox={HL7: "sandbox", ChannelName.FAX: "+33199009999"})
    found = plan(small_territory(role=software()), routes=settings)
    assert [(leg.address, leg.intended) for leg in found.legs] == [("sandbox", "ris"), ("+33199009999", "+33199000002")]
    assert settings.may_reach(HL7, "sandbox") and not settings.may_reach(HL7, "ris")


def test_a_test_instance_without_sandbox_partner_does_not_reach_software() -> None:
    assert ways(plan(small_territory(role=software()), routes=rehearsal())) == [("fax", "+33199009999")]


def test_sensitive_documents_enter_the_software_of_their_reader_unless_the_table_says_otherwise() -> None:
    masked = {"visibility": Visibility(hidden_from_professionals=True)}
    assert ways(plan(small_territory(role=software()), **masked)) == [("hl7_push", "ris")]
    columns, row = "when,recipient,channel,decision,reason_fr\n", "masked,*,hl7_push,park,masqué\n"
    strict = replace(production(), policy=read_policy((columns + row).encode()))
    assert plan(small_territory(role=software()), routes=strict, **masked).parked_because == "masked"
    restricted = letter_header(confidentiality="R")
    assert ways(plan(small_territory(role=software()), header=restricted)) == [("hl7_push", "ris")]


def test_software_without_a_partners_name_and_a_name_on_another_channel_are_told() -> None:
    with pytest.raises(ConfigurationError, match="address"):
        small_territory(role='channels = [{ channel = "hl7_push", since = 2026-01-05 }]')
    with pytest.raises(ConfigurationError, match="is for hl7_push and inbox only"):
        small_territory(role='channels = [{ channel = "mssante", address = "x", since = 2026-01-05 }]')


def test_an_agreement_may_put_software_where_it_wants() -> None:
    agreement = """
[[agreement]]
key = "a"
framework = "f"
hospital = "site"
centre = "centre"
since = 2026-01-01
order = ["fax", "hl7_push"]
"""
    assert [way for way, _ in ways(plan(small_territory(role=software(), more=agreement)))] == ["fax", "hl7_push"]


def test_the_plan_tells_a_person_of_it() -> None:
    letter = submission(to_person(READER), sender_finess="949990121")
    text = render_plan(choose_route(letter, small_territory(role=software()), TODAY, production()))
    assert "logiciel local (HL7) vers ris" in text
