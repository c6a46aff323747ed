"""A practice that has nothing but a folder: what is sensitive takes the next way, and the plan says why."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from adapter.model.plan import ChannelName, RoutePlan
from adapter.model.submission import Submission
from adapter.routing.choose import RouteSettings, choose_route
from tests.builders.directory import equipped, letter_header, small_territory, submission, to_person

DIRECTORY = small_territory(
    role='channels = [{ channel = "inbox", address = "cabinet" }]', centre=equipped("2020-01-01"), site=equipped("2020-01-01")
)
TODAY = date(2026, 11, 21)


def plan(one: Submission, *foldered: str) -> RoutePlan:
    return choose_route(one, DIRECTORY, TODAY, RouteSettings(production=True, foldered=frozenset(foldered)))


def channels(one: RoutePlan) -> list[ChannelName]:
    return [leg.channel for recipient in one.recipients for leg in recipient.legs]


def letter(confidentiality: str = "N") -> Submission:
    made = submission(to_person("99900000029"))
    return replace(made, document=letter_header(confidentiality=confidentiality))


def test_an_ordinary_letter_is_for_the_folder_first() -> None:
    assert channels(plan(letter(), "cabinet"))[0] is ChannelName.INBOX


@pytest.mark.parametrize("code", ["R", "V"])
def test_a_restricted_letter_never_takes_a_folder_and_the_plan_says_why(code: str) -> None:
    made = plan(letter(code), "cabinet")
    assert ChannelName.INBOX not in channels(made)
    (recipient,) = made.recipients
    assert any("dossier d'échange" in rejected.reason for rejected in recipient.rejected)


@pytest.mark.parametrize("code", ["R", "V"])
def test_where_software_calls_the_api_a_restricted_letter_may_be_imported(code: str) -> None:
    assert channels(plan(letter(code)))[0] is ChannelName.INBOX
