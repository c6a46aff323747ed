"""Whatever recipients, dates, wishes and marks: no forbidden channel, no other organisation's role, one plan for one input."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapter.model.identity import Reliability
from adapter.model.parties import Recipient, RecipientKind
from adapter.model.plan import ChannelName
from adapter.model.submission import Destinations, Submission, Visibility
from adapter.routing.choose import RouteSettings, choose_route
from adapter.routing.consent import PatientWishes, Wish, patient_mail_objection, record_objection
from adapter.routing.entries import DomainKind
from adapter.routing.explain import plan_as_dict, render_plan
from adapter.routing.policy import PolicyTable, facts_of
from tests.builders.directory import (
    ABC,
    APHP_EJ,
    BAGNEUX,
    BCT,
    IVRY,
    SANDBOX,
    letter_header,
    qualified_patient,
    submission,
    territory,
)

pytestmark = pytest.mark.properties

ENTRIES = territory().entries
RPPS = sorted({role.rpps for role in ENTRIES.roles})
FINESS = [organisation.finess for organisation in ENTRIES.organisations]
BOXES = sorted({x.mailbox for x in (*ENTRIES.organisations, *ENTRIES.departments, *ENTRIES.roles, *ENTRIES.units) if x.mailbox})
UNITS = sorted({unit.code for unit in ENTRIES.units})

days = st.dates(date(2015, 1, 1), date(2029, 12, 31))
kinds = st.sampled_from([RecipientKind.PROFESSIONAL, RecipientKind.ORGANISATION, RecipientKind.APPLICATION])
care_team = st.builds(
    Recipient,
    kind=kinds,
    address=st.sampled_from(["", "", *BOXES, "x@unlisted.mssante.fr", "x@gmail.example", "@@"]),
    rpps=st.sampled_from(["", *RPPS, "10003000005"]),
    finess=st.sampled_from(["", "", *FINESS, APHP_EJ, "000000000"]),
    unit=st.sampled_from(["", "", *UNITS, "NOPE"]),
    name=st.sampled_from(["", "BCT", "ABC", "nulle part"]),
    role_hint=st.sampled_from(["", "RCT", "form-target:demande-imagerie", "PCP"]),
)
others = st.sampled_from([Recipient(RecipientKind.PATIENT), Recipient(RecipientKind.RECORD, role_hint="DESTDMP")])
wishes = st.builds(
    PatientWishes,
    record=st.sampled_from(Wish),
    mail=st.sampled_from(Wish),
    has_guardian=st.booleans(),
    is_deceased=st.booleans(),
)
patients = st.builds(
    qualified_patient,
    reliability=st.sampled_from(Reliability),
    birth_date=st.sampled_from(["1961-04-12", "2015-05-01", "2009", ""]),
)
documents = st.builds(letter_header, patient=patients, confidentiality=st.sampled_from(["N", "R", "V", "odd"]))
submissions = st.builds(
    lambda recipients, **fields: submission(*recipients, **fields),
    st.lists(st.one_of(care_team, others), max_size=4),
    header=documents,
    visibility=st.builds(
        Visibility,
        hidden_from_professionals=st.booleans(),
        hidden_from_patient=st.booleans(),
        hidden_from_representatives=st.booleans(),
    ),
    destinations=st.builds(Destinations, record=st.booleans(), professionals=st.booleans(), patient=st.booleans()),
    sender_finess=st.sampled_from(["", BCT, ABC, IVRY, "000000000"]),
    legal_entity=st.sampled_from([APHP_EJ, "949990220", "000000000"]),
    unit_codes=st.lists(st.tuples(st.just("medical"), st.sampled_from([*UNITS, "NOPE"])), max_size=2).map(tuple),
)
instances = st.sampled_from(
    [
        RouteSettings(production=True),
        RouteSettings(production=False, sandbox=SANDBOX),
        RouteSettings(production=False, sandbox=SANDBOX, policy=PolicyTable()),
        RouteSettings(production=False),
    ]
)
many = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@many
@given(submissions, days, wishes, instances)
def test_no_plan_uses_a_channel_that_consent_or_policy_forbids(
    sent: Submission, on: date, known: PatientWishes, instance: RouteSettings
) -> None:
    facts = facts_of(sent, territory(), on)
    for recipient in choose_route(sent, territory(), on, instance, known).recipients:
        for leg in recipient.legs:
            assert instance.policy.objection(facts, recipient.kind, leg.channel) is None
            if recipient.kind is RecipientKind.PATIENT:
                assert leg.channel is ChannelName.SECURE_MAIL
                assert patient_mail_objection(sent, known, on) is None
            if leg.channel is ChannelName.SHARED_RECORD:
                assert record_objection(sent, known) is None


@many
@given(care_team, days, st.sampled_from([BCT, ABC, IVRY, BAGNEUX, "", "000000000"]))
def test_a_role_of_another_person_or_organisation_than_the_one_named_is_never_chosen(
    recipient: Recipient, on: date, sender: str
) -> None:
    role = territory().resolve(recipient, sender_finess=sender, on=on, legal_entity=APHP_EJ).role
    if role is None:
        return
    assert role.period.holds(on)
    organisation = territory().organisation(role.organisation)
    if recipient.address:
        assert role.mailbox == recipient.address.lower()
    if recipient.rpps and role.rpps:
        assert role.rpps == recipient.rpps
    by_target = not recipient.address and not recipient.rpps and recipient.role_hint.startswith("form-target")
    if recipient.finess and organisation is not None and not by_target:
        entity = next(x.finess for x in ENTRIES.legal_entities if x.key == role.legal_entity)
        assert recipient.finess in {organisation.finess, entity}
    if recipient.rpps and not recipient.address and not recipient.finess and organisation is not None:
        assert organisation.finess != sender


@many
@given(submissions, days, wishes, instances)
def test_the_same_input_gives_the_same_plan_and_each_role_appears_once(
    sent: Submission, on: date, known: PatientWishes, instance: RouteSettings
) -> None:
    plan = choose_route(sent, territory(), on, instance, known)
    assert plan_as_dict(plan) == plan_as_dict(choose_route(sent, territory(), on, instance, known))
    assert plan == choose_route(sent, territory(), on, instance, known)
    roles = [recipient.role_id for recipient in plan.recipients]
    assert len(roles) == len(set(roles))


@many
@given(submissions, days, wishes, instances)
def test_every_recipient_leaves_or_waits_with_a_reason_that_a_person_can_read(
    sent: Submission, on: date, known: PatientWishes, instance: RouteSettings
) -> None:
    plan = choose_route(sent, territory(), on, instance, known)
    for recipient in plan.recipients:
        assert bool(recipient.legs) != bool(recipient.parked_because)
        assert recipient.explanation
        assert [leg.order for leg in recipient.legs] == list(range(1, len(recipient.legs) + 1))
        assert all(leg.reason and leg.address for leg in recipient.legs)
        assert all(rejected.reason for rejected in recipient.rejected)
        assert len({leg.channel for leg in recipient.legs}) == len(recipient.legs)
    ins = sent.document.patient.ins
    assert ins is not None
    assert ins.value not in render_plan(plan)


@many
@given(submissions, days, wishes)
def test_a_test_instance_never_keeps_a_real_address_and_production_never_takes_a_training_one(
    sent: Submission, on: date, known: PatientWishes
) -> None:
    rehearsed = choose_route(sent, territory(), on, RouteSettings(False, SANDBOX), known)
    assert all(leg.address == SANDBOX[leg.channel] for r in rehearsed.recipients for leg in r.legs)
    real = choose_route(sent, territory(), on, RouteSettings(True), known)
    for recipient in real.recipients:
        for leg in recipient.legs:
            if leg.channel is ChannelName.SECURE_MAIL:
                domain = territory().domain_of(leg.address, on)
                assert domain is not None
                assert not domain.training
                assert (domain.kind is DomainKind.PATIENT) == (recipient.kind is RecipientKind.PATIENT)


@many
@given(submissions, days, days)
def test_mail_once_open_stays_open_while_nothing_ends(sent: Submission, one: date, other: date) -> None:
    """Equipment of the reference territory has no end: only roles, agreements and units do."""
    early, late = sorted((one, other))
    instance = RouteSettings(False, SANDBOX)
    before = {r.role_id: r for r in choose_route(sent, territory(), early, instance).recipients}
    after = {r.role_id: r for r in choose_route(sent, territory(), late, instance).recipients}
    for role_id in before.keys() & after.keys():
        opened = {leg.channel: leg.opened_since for leg in before[role_id].legs}
        since = {leg.channel: leg.opened_since for leg in after[role_id].legs}
        for channel in opened.keys() & since.keys():
            assert opened[channel] == since[channel]
