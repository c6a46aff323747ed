"""A role whose software imports: before any detour, by its own dates, in a test instance at the sandbox practice only."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from adapter.errors import ConfigurationError
from adapter.model.plan import ChannelName
from adapter.model.submission import Visibility
from adapter.routing.policy import read_policy
from tests.builders.directory import SANDBOX, production, rehearsal, small_territory
from tests.unit.routing.test_local_software import MAIL, plan, ways

INBOX = ChannelName.INBOX
BOTH = 'channels = [{ channel = "hl7_push", address = "ris" }, { channel = "inbox", address = "cabinet" }]'


def imports(since: str = "2026-01-05", name: str = "cabinet") -> str:
    return f'channels = [{{ channel = "inbox", address = "{name}", since = {since} }}]'


def test_a_practice_that_imports_comes_before_any_detour() -> None:
    assert ways(plan(small_territory(role=imports())))[0] == ("inbox", "cabinet")
    assert ways(plan(small_territory(role=BOTH)))[:2] == [("hl7_push", "ris"), ("inbox", "cabinet")]


@pytest.mark.parametrize(("on", "first"), [(date(2027, 1, 3), "fax"), (date(2027, 1, 4), "inbox")])
def test_it_opens_on_its_own_day(on: date, first: str) -> None:
    assert ways(plan(small_territory(role=imports(since="2027-01-04")), on=on))[0][0] == first


def test_the_most_precise_level_names_the_practice() -> None:
    found = plan(small_territory(centre=imports(name="centre"), role=imports(name="own")))
    assert ways(found)[0] == ("inbox", "own")


def test_what_came_by_mail_goes_to_the_practices_software_or_nowhere() -> None:
    assert ways(plan(small_territory(role=imports()), mail=MAIL)) == [("inbox", "cabinet")]


def test_sensitive_documents_reach_who_they_are_for_unless_the_table_says_otherwise() -> None:
    masked = {"visibility": Visibility(hidden_from_professionals=True)}
    assert ways(plan(small_territory(role=imports()), **masked)) == [("inbox", "cabinet")]
    columns, row = "when,recipient,channel,decision,reason_fr\n", "masked,*,inbox,park,masqué\n"
    strict = replace(production(), policy=read_policy((columns + row).encode()))
    assert plan(small_territory(role=imports()), routes=strict, **masked).parked_because == "masked"


def test_a_test_instance_publishes_for_its_sandbox_practice_only() -> None:
    sandboxed = rehearsal(sandbox={**SANDBOX, INBOX: "bac-a-sable"})
    (leg, *_) = plan(small_territory(role=imports()), routes=sandboxed).legs
    assert (leg.channel, leg.address, leg.intended) == (INBOX, "bac-a-sable", "cabinet")
    assert "inbox" not in [way for way, _ in ways(plan(small_territory(role=imports()), routes=rehearsal()))]
    assert sandboxed.may_reach(INBOX, "bac-a-sable") and not sandboxed.may_reach(INBOX, "cabinet")


def test_an_inbox_names_its_practice() -> None:
    with pytest.raises(ConfigurationError, match="address"):
        small_territory(role='channels = [{ channel = "inbox", since = 2026-01-05 }]')
