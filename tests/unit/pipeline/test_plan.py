"""Rows come from the plan alone: the same plan gives the same rows again."""

from __future__ import annotations

from datetime import UTC, datetime

from adapter.model.delivery import DeliveryState
from adapter.model.document import BodyKind, Code, DocumentHeader
from adapter.model.identity import PatientIdentity
from adapter.model.parties import Organisation, RecipientKind
from adapter.model.plan import ChannelName, Leg, RecipientPlan, RoutePlan
from adapter.model.submission import Submission, Urgency
from adapter.packaging.parcel import SenderProfile
from adapter.pipeline.plan import deliveries_of, open_questions

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
SENDER = SenderProfile("750712184", "Hôpital", "750712184", "app@hopital.test.mssante.fr", "Hôpital", "1.2.3", "NIL")
HEADER = DocumentHeader(
    "1.2.3.4", Code("11490-0"), "Lettre", "2026-11-20", PatientIdentity("EXEMPLE"), (), Organisation("H"), BodyKind.FORM
)


def _submission(urgency: Urgency = Urgency.NONE) -> Submission:
    return Submission("s-1", "r-1", "750712184", HEADER, urgency=urgency)


def _plan(*recipients: RecipientPlan) -> RoutePlan:
    return RoutePlan("2026-11-21", "abc", recipients)


def _recipient(*channels: ChannelName, parked: str = "") -> RecipientPlan:
    legs = tuple(Leg(channel, "somewhere", rank, "because") for rank, channel in enumerate(channels, 1))
    return RecipientPlan("role:one", RecipientKind.PROFESSIONAL, "Dr X", legs, parked_because=parked, explanation="explique")


def test_the_first_leg_is_queued_and_its_fallback_waits() -> None:
    mail, fax = deliveries_of(_submission(), _plan(_recipient(ChannelName.SECURE_MAIL, ChannelName.FAX)), SENDER)
    assert (mail.state, fax.state) == (DeliveryState.QUEUED, DeliveryState.WAITING)


def test_the_same_plan_gives_the_same_ids_and_references() -> None:
    plan = _plan(_recipient(ChannelName.SECURE_MAIL))
    assert deliveries_of(_submission(), plan, SENDER) == deliveries_of(_submission(), plan, SENDER)


def test_a_mail_is_referred_to_by_a_message_id_of_the_sender_s_domain() -> None:
    [mail] = deliveries_of(_submission(), _plan(_recipient(ChannelName.SECURE_MAIL)), SENDER)
    assert mail.reference == f"<{mail.id}@hopital.test.mssante.fr>"


def test_an_urgent_document_goes_before_others() -> None:
    plan = _plan(_recipient(ChannelName.FAX))
    [urgent] = deliveries_of(_submission(Urgency.URGENT), plan, SENDER)
    [routine] = deliveries_of(_submission(), plan, SENDER)
    assert urgent.priority < routine.priority


def test_a_parked_recipient_becomes_a_question_that_says_why() -> None:
    [item] = open_questions(_submission(Urgency.URGENT), _plan(_recipient(parked="no-channel")), NOW)
    assert (item.reason, item.advice, item.urgent) == ("no-channel", "Dr X : explique", True)


def test_a_document_without_recipient_is_a_question_too() -> None:
    [item] = open_questions(_submission(), _plan(), NOW)
    assert item.reason == "no-recipient"


def test_a_served_recipient_asks_nothing() -> None:
    assert open_questions(_submission(), _plan(_recipient(ChannelName.FAX)), NOW) == ()
