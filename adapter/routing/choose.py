"""Chooses, for each recipient and one civil day, the legs to try and says why; what cannot leave is parked with a reason.

Law: domain §6, blueprint seams 3, 7, 12, 15, 16, 17, 22. A channel needs both ends equipped (the later date counts), a trusted
address, an agreement that provides it, and neither consent nor policy against it. Fax comes last and never to a patient.
The shared record beside other legs is a recipient of its own: the record is the patient's, it is fed once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from adapter.formats.phone_number import national
from adapter.model.finding import Finding, Severity
from adapter.model.identity import INS_TEST_OIDS
from adapter.model.parties import Recipient, RecipientKind
from adapter.model.plan import ChannelName, Leg, RecipientPlan, Rejected, RoutePlan
from adapter.model.submission import Intent, Submission, Urgency
from adapter.routing.consent import NOTHING_KNOWN, PatientWishes, patient_mail_objection, record_objection
from adapter.routing.directory import Directory, Resolution, SenderEnd
from adapter.routing.entries import DEFAULT_ORDER, NAMED_CHANNELS, Agreement, Record, Role
from adapter.routing.equipment import (
    Closed,
    Opened,
    Opening,
    both_ends,
    has_channel,
    one_end,
    receiver_end,
    sender_end_of,
    since_words,
    software_of,
)
from adapter.routing.policy import DROP_FOLDER, Objection, PolicyTable, facts_of, shipped_policy

# A recipient that nothing knows: when all are so, the door refuses. The others park: a person can settle them.
UNRESOLVABLE = frozenset({"unknown-recipient", "untrusted-domain", "bad-address", "unknown-target", "sender-not-allowed"})
_LABELS = {
    ChannelName.SECURE_MAIL: "Messagerie sécurisée",
    ChannelName.SHARED_RECORD: "Dossier partagé",
    ChannelName.FAX: "Télécopie",
    ChannelName.HL7_PUSH: "Logiciel local (HL7)",
    ChannelName.INBOX: "Import par le cabinet",
}

SUSPENDED = Objection("address-suspended", "adresse suspendue : un envoi précédent a appris qu'elle n'existe plus")


@dataclass(frozen=True)
class RouteSettings:
    """What the instance decides: production or test, where a test sends everything, the order without an agreement.

    `foldered`: practices that have nothing but a folder to import from.
    """

    production: bool
    sandbox: Mapping[ChannelName, str] = field(default_factory=dict)
    default_order: tuple[ChannelName, ...] = DEFAULT_ORDER
    policy: PolicyTable = field(default_factory=shipped_policy)
    foldered: frozenset[str] = frozenset()

    def may_reach(self, channel: ChannelName, address: str) -> bool:
        """Whether something may really be sent there: a test instance reaches its sandbox only, whatever a plan says."""
        return self.production or (bool(address) and address == self.sandbox.get(channel))


@dataclass(frozen=True)
class _Case:
    """One submission on one day, with all that decisions need."""

    submission: Submission
    directory: Directory
    on: date
    settings: RouteSettings
    wishes: PatientWishes
    sender: SenderEnd
    facts: tuple[str, ...]
    suspended: frozenset[str] = frozenset()

    def policy(self, kind: RecipientKind, channel: str) -> Objection | None:
        """What the policy table says against a channel."""
        return self.settings.policy.objection(self.facts, kind, channel)


@dataclass(frozen=True)
class _Open:
    """A channel that can be used, since when, towards which address."""

    address: str
    reason: str
    since: date | None = None
    pdf_only: bool = False
    record: Record | None = None


_Verdict = _Open | Objection


def choose_route(
    submission: Submission,
    directory: Directory,
    on: date,
    settings: RouteSettings,
    wishes: PatientWishes = NOTHING_KNOWN,
    suspended: frozenset[str] = frozenset(),
) -> RoutePlan:
    """The plan of one submission on one civil day. `suspended`: mailboxes, in lower case, that nobody is to write to.

    A cancellation goes to whoever had the document, whatever was learnt of the patient since: it tells nothing new.
    """
    if submission.intent is Intent.CANCEL:
        wishes = NOTHING_KNOWN
    sender = directory.sender_end(_sender_finess(submission), submission.legal_entity)
    case = _Case(submission, directory, on, settings, wishes, sender, facts_of(submission, directory, on), suspended)
    plans: dict[str, RecipientPlan] = {}
    for recipient in recipients_of(submission):
        for plan in _plans_for(recipient, case):
            # Two names for one role, or a record asked twice: one delivery.
            if plan.role_id not in plans:
                plans[plan.role_id] = plan
    finished = tuple(_in_sandbox(plan, settings) for plan in plans.values())
    return RoutePlan(on.isoformat(), directory.revision, finished)


def can_resolve_any(submission: Submission, directory: Directory, on: date) -> tuple[Finding, ...]:
    """A refusal when no recipient at all can be found; otherwise only whom to ring: what can be settled parks later.

    Nobody named is a missing field (101). Named but nowhere known is an application error (207, 906: no code of table 0533
    says "unknown recipient").
    """
    named = recipients_of(submission)
    if not named:
        return (_refusal("route.no-recipient", "No recipient is named.", "Name a recipient or a destination.", "101", ""),)
    resolutions = [_resolve(recipient, submission, directory, on) for recipient in named]
    if any(resolution.reason not in UNRESOLVABLE for resolution in resolutions):
        lines = {resolution.urgent_line: None for resolution in resolutions if resolution.urgent_line}
        return tuple(map(_line_to_ring, lines)) if submission.urgency is Urgency.URGENT else ()
    return (
        _refusal(
            "route.no-recipient-resolved",
            "None of the recipients can be found: address outside the trusted domains, or identifier in no directory.",
            "Correct the recipients, or add them to the directory.",
            "207",
            "906",
        ),
    )


def _line_to_ring(line: str) -> Finding:
    """An urgent request does not wait for a written answer."""
    text = f"Demande urgente : appeler aussi la ligne du senior du service, {national(line)}."
    return Finding(Severity.WARNING, "route.urgent-line", text, "urgence")


def recipients_of(submission: Submission) -> tuple[Recipient, ...]:
    """The recipients named, and those that an open destination implies."""
    named = submission.recipients
    kinds = {recipient.kind for recipient in named}
    if submission.destinations.record and RecipientKind.RECORD not in kinds:
        named = (*named, Recipient(RecipientKind.RECORD, role_hint="DESTDMP"))
    if submission.destinations.patient and RecipientKind.PATIENT not in kinds:
        named = (*named, Recipient(RecipientKind.PATIENT, role_hint="DESTMSSANTEPAT"))
    return named


def _refusal(code: str, text: str, remedy: str, hl7_code: str, app_code: str) -> Finding:
    return Finding(Severity.ERROR, code, text, "PRT", remedy, hl7_code=hl7_code, app_code=app_code)


def _sender_finess(submission: Submission) -> str:
    organisation = submission.sender.organisation if submission.sender else None
    return organisation.finess if organisation else ""


def _resolve(recipient: Recipient, submission: Submission, directory: Directory, on: date) -> Resolution:
    return directory.resolve(recipient, sender_finess=_sender_finess(submission), on=on, legal_entity=submission.legal_entity)


# ── one recipient ──────────────────────────────────────────────────────────────────────────────────────────────────


def _plans_for(recipient: Recipient, case: _Case) -> tuple[RecipientPlan, ...]:
    """The recipient's plan, and the record's when the agreement feeds it beside."""
    closed = _closed_destination(recipient, case)
    if closed is not None:
        return (_parked(recipient, closed.code, closed.reason),)
    resolution = _resolve(recipient, case.submission, case.directory, case.on)
    if resolution.role is None:
        return (_parked(recipient, resolution.reason, resolution.explanation),)
    role = resolution.role
    match role.kind:
        case RecipientKind.RECORD:
            return (_plan_of(role, resolution.explanation, {ChannelName.SHARED_RECORD: _feed(role, case)}),)
        case RecipientKind.PATIENT:
            return (_plan_of(role, resolution.explanation, _patient_verdicts(role, case)),)
        case RecipientKind.PROFESSIONAL | RecipientKind.ORGANISATION | RecipientKind.APPLICATION:
            return _care_team_plans(role, resolution.explanation, case)


def _closed_destination(recipient: Recipient, case: _Case) -> Objection | None:
    """PRT names somebody, but the flag that opens this destination says no: a person decides."""
    if recipient.role_hint != "RCT":
        return None
    destinations = case.submission.destinations
    if recipient.kind is RecipientKind.PATIENT:
        is_open = destinations.patient
    else:
        is_open = destinations.professionals
    if is_open:
        return None
    return Objection("destination-closed", "Destinataire nommé, mais l'émetteur n'ouvre pas cette destination.")


def _care_team_plans(role: Role, explanation: str, case: _Case) -> tuple[RecipientPlan, ...]:
    agreement = case.directory.agreement_between(case.sender, role, case.on)
    order = _with_local_software(agreement.order if agreement else case.settings.default_order, role, case)
    verdicts: dict[ChannelName, _Verdict] = {}
    for channel in order:
        verdicts[channel] = _verdict(channel, role, agreement, case)
    for channel in ChannelName:
        if channel not in verdicts and not _is_beside_the_point(channel, role):
            verdicts[channel] = Objection("not-in-agreement", "non prévu par l'accord" if agreement else "non prévu sans accord")
    if agreement:
        explanation = f"{explanation} Accord {agreement.key}."
    plan = _plan_of(role, explanation, verdicts)
    if agreement is None or not agreement.record_beside:
        return (plan,)
    return _with_record_beside(plan, role, case, first=agreement.record_first)


def _with_local_software(order: tuple[ChannelName, ...], role: Role, case: _Case) -> tuple[ChannelName, ...]:
    """Software that we feed comes before any detour. What came by mail goes there or nowhere: mailed on, it would come back."""
    if case.submission.mail is not None:
        return NAMED_CHANNELS
    return (*(channel for channel in NAMED_CHANNELS if channel not in order and has_channel(role, channel)), *order)


def _is_beside_the_point(channel: ChannelName, role: Role) -> bool:
    """True for a channel that nobody would expect towards this role: why it is not used needs no words."""
    if channel in NAMED_CHANNELS:
        return not has_channel(role, channel)
    return channel is ChannelName.SHARED_RECORD and role.is_bare_address


def _with_record_beside(plan: RecipientPlan, role: Role, case: _Case, *, first: bool) -> tuple[RecipientPlan, ...]:
    verdict = _record_by_agreement(role, case)
    record = case.directory.record_for(case.sender, case.on)
    if isinstance(verdict, Objection) or record is None:
        said = verdict.reason if isinstance(verdict, Objection) else "aucun dossier ouvert"
        kept = tuple(r for r in plan.rejected if r.channel is not ChannelName.SHARED_RECORD)
        return (replace(plan, rejected=(*kept, Rejected(ChannelName.SHARED_RECORD, said))),)
    beside = _plan_of(_record_role(record), "Dossier partagé, à côté des autres envois.", {ChannelName.SHARED_RECORD: verdict})
    kept = tuple(
        replace(r, reason="alimenté à côté (plan du dossier)") if r.channel is ChannelName.SHARED_RECORD else r
        for r in plan.rejected
    )
    return replace(plan, rejected=kept, legs=_after_record(plan.legs) if first else plan.legs), beside


def _after_record(legs: tuple[Leg, ...]) -> tuple[Leg, ...]:
    """The agreement says so: the mail leaves when the record answered, whatever it said. Legs are numbered after the record's."""
    waits = "après la réponse du dossier partagé"
    return tuple(
        replace(leg, order=leg.order + 1, after_record=True, reason=f"{leg.reason}, {waits}")
        if leg.channel is ChannelName.SECURE_MAIL
        else replace(leg, order=leg.order + 1)
        for leg in legs
    )


def _record_role(record: Record) -> Role:
    return Role(f"record:{record.key}", RecipientKind.RECORD, record.name, mailbox=record.base_url_key)


def _plan_of(role: Role, explanation: str, verdicts: Mapping[ChannelName, _Verdict]) -> RecipientPlan:
    """Legs in the order of the verdicts; what is against the rest, and why nothing can leave when it is so."""
    legs: list[Leg] = []
    rejected: list[Rejected] = []
    objections: list[Objection] = []
    for channel, verdict in verdicts.items():
        if isinstance(verdict, Objection):
            rejected.append(Rejected(channel, verdict.reason))
            objections.append(verdict)
            continue
        rank = len(legs) + 1
        reason = verdict.reason if rank == 1 else f"{verdict.reason} ; seulement si l'envoi précédent est refusé"
        since = verdict.since.isoformat() if verdict.since else ""
        leg = Leg(channel, verdict.address, rank, reason, since, pdf_only=verdict.pdf_only)
        if verdict.record is not None:
            leg = replace(leg, renditions=verdict.record.renditions, changes=verdict.record.changes)
        legs.append(leg)
    return RecipientPlan(
        role_id=role.id,
        kind=role.kind,
        display=role.display,
        legs=tuple(legs),
        rejected=tuple(rejected),
        parked_because="" if legs else _gravest(objections),
        explanation=explanation if legs else _why_nothing(explanation, rejected, role),
        phone_line=role.phone_line,
        rpps=role.rpps,
    )


def _gravest(objections: Iterable[Objection]) -> str:
    """The code that says most: any but the plain lack of equipment, address or agreement."""
    plain = {"not-equipped", "no-address", "not-in-agreement", "never-fax-patient", "record-consent-unknown"}
    return next((o.code for o in objections if o.code not in plain), "no-channel")


def _why_nothing(explanation: str, rejected: Sequence[Rejected], role: Role) -> str:
    reasons = " ; ".join(f"{_LABELS[r.channel].lower()} : {r.reason}" for r in rejected)
    line = f" Appeler {role.phone_line}." if role.phone_line else ""
    return f"{explanation} Aucun envoi possible — {reasons}.{line}"


def _parked(recipient: Recipient, code: str, explanation: str) -> RecipientPlan:
    named = recipient.address.lower() or ":".join(
        part for part in (recipient.rpps, recipient.finess, recipient.unit, recipient.role_hint, recipient.name) if part
    )
    identity = "patient" if recipient.kind is RecipientKind.PATIENT else f"unresolved:{named}"
    if recipient.kind is RecipientKind.RECORD:
        identity = "record:none"
    display = {RecipientKind.PATIENT: "Le patient", RecipientKind.RECORD: "Dossier partagé"}.get(
        recipient.kind, recipient.name or recipient.address or recipient.rpps or recipient.finess or recipient.unit
    )
    return RecipientPlan(identity, recipient.kind, display, parked_because=code, explanation=explanation)


# ── one channel towards one role ───────────────────────────────────────────────────────────────────────────────────


def _verdict(channel: ChannelName, role: Role, agreement: Agreement | None, case: _Case) -> _Verdict:
    match channel:
        case ChannelName.SECURE_MAIL:
            return _by_mail(role, agreement, case)
        case ChannelName.SHARED_RECORD:
            return _record_by_agreement(role, case)
        case ChannelName.FAX:
            return _by_fax(role, case)
        case ChannelName.HL7_PUSH | ChannelName.INBOX:
            return _by_name(channel, role, case)


def _by_mail(role: Role, agreement: Agreement | None, case: _Case) -> _Verdict:
    if not role.mailbox:
        return Objection("no-address", "pas d'adresse de messagerie sécurisée")
    domain = case.directory.domain_of(role.mailbox, case.on)
    if domain is None:
        return Objection("untrusted-domain", "le domaine de l'adresse n'est pas dans l'espace de confiance à cette date")
    if domain.training and case.settings.production:
        return Objection("training-domain", "adresse de formation, refusée par une instance de production")
    if role.mailbox.lower() in case.suspended:
        return SUSPENDED
    objection = case.policy(role.kind, ChannelName.SECURE_MAIL)
    if objection is not None:
        return objection
    opening = both_ends(ChannelName.SECURE_MAIL, case.sender, role, case.on)
    if isinstance(opening, Opened) and agreement is not None and agreement.all_centres_first:
        opening = _all_centres(opening, agreement, case)
    if isinstance(opening, Closed):
        return Objection("not-equipped", opening.reason)
    side = "ouverte de notre côté" if role.is_bare_address else "ouverte des deux côtés"
    form = ", PDF seul" if role.pdf_only else ""
    return _Open(role.mailbox, f"Messagerie sécurisée {side}{since_words(opening)}{form}", opening.since, role.pdf_only)


def _all_centres(opening: Opened, agreement: Agreement, case: _Case) -> Opening:
    """The agreement waits for its last centre: the channel opens at the latest date of all."""
    for centre in case.directory.centres_of(agreement.framework, case.on):
        theirs = one_end(centre.equipment, ChannelName.SECURE_MAIL, case.on)
        if isinstance(theirs, Closed):
            return Closed(f"l'accord attend que tous ses centres soient équipés : {centre.short} {theirs.reason}")
        opening = opening.joined(theirs)
    return opening


def _by_fax(role: Role, case: _Case) -> _Verdict:
    if not role.fax:
        return Objection("no-address", "pas de numéro de télécopie")
    objection = case.policy(role.kind, ChannelName.FAX)
    if objection is not None:
        return objection
    opening = both_ends(ChannelName.FAX, case.sender, role, case.on)
    if isinstance(opening, Closed):
        return Objection("not-equipped", opening.reason)
    return _Open(role.fax, "Télécopie, en dernier recours", opening.since)


_NAMED = {ChannelName.HL7_PUSH: "Logiciel local relié", ChannelName.INBOX: "Importé par le logiciel du cabinet"}


def _by_name(channel: ChannelName, role: Role, case: _Case) -> _Verdict:
    """Software of the role's own structure: the sender's equipment does not matter, we are the one who feeds it."""
    if not has_channel(role, channel):
        return Objection("no-address", "pas de logiciel local relié")
    software = software_of(role, channel, case.on)
    is_folder = channel is ChannelName.INBOX and software in case.settings.foldered
    objection = case.policy(role.kind, DROP_FOLDER if is_folder else channel)
    if objection is not None:
        return objection
    opening = receiver_end(channel, role, case.on)
    if isinstance(opening, Closed):
        return Objection("not-equipped", f"le destinataire {opening.reason}")
    return _Open(software, f"{_NAMED[channel]}{since_words(opening)}", opening.since)


def _record_by_agreement(role: Role, case: _Case) -> _Verdict:
    """The record instead of, or beside, another channel: both sides must take part."""
    record = case.directory.record_for(case.sender, case.on)
    if record is None:
        return Objection("no-record", "aucun dossier partagé ouvert à cette date")
    fed = _feed(_record_role(record), case)
    if isinstance(fed, Objection):
        return fed
    opening = both_ends(ChannelName.SHARED_RECORD, case.sender, role, case.on)
    if isinstance(opening, Closed):
        return Objection("not-equipped", opening.reason)
    return replace(fed, since=opening.since, reason=f"Dossier partagé : les deux côtés participent{since_words(opening)}")


def _feed(role: Role, case: _Case) -> _Verdict:
    """May this document feed the record at all, from this sender?"""
    objection = record_objection(case.submission, case.wishes) or case.policy(RecipientKind.RECORD, ChannelName.SHARED_RECORD)
    if objection is not None:
        return objection
    opening = sender_end_of(ChannelName.SHARED_RECORD, case.sender, case.on)
    if isinstance(opening, Closed):
        return Objection("not-equipped", opening.reason)
    record = case.directory.record_for(case.sender, case.on)
    return _Open(role.mailbox, f"Dossier partagé : l'émetteur participe{since_words(opening)}", opening.since, record=record)


def _patient_verdicts(role: Role, case: _Case) -> dict[ChannelName, _Verdict]:
    """Secure mail or nothing: never a fax to a patient (seam 16)."""
    return {
        ChannelName.SECURE_MAIL: _patient_mail(role, case),
        ChannelName.FAX: Objection("never-fax-patient", "jamais de télécopie à un patient"),
    }


def _patient_mail(role: Role, case: _Case) -> _Verdict:
    objection = patient_mail_objection(case.submission, case.wishes, case.on) or case.policy(
        RecipientKind.PATIENT, ChannelName.SECURE_MAIL
    )
    if objection is not None:
        return objection
    ins = case.submission.document.patient.ins
    if ins is None:
        return Objection("patient-identity-provisional", "l'identité du patient n'est pas qualifiée (INS)")
    own = case.directory.patient_domain(case.on, training=ins.oid in INS_TEST_OIDS)
    address = role.mailbox or (f"{ins.value}@{own.domain}".lower() if own else "")
    if not address:
        return Objection("no-patient-domain", "aucun domaine de messagerie des patients dans l'annuaire")
    if address.partition("@")[0] != ins.value.lower():
        return Objection("address-conflict", "l'adresse indiquée n'est pas celle de l'INS du document")
    if address in case.suspended:
        return SUSPENDED
    domain = case.directory.domain_of(address, case.on)
    if domain is not None and domain.training and case.settings.production:
        return Objection("training-domain", "adresse de formation, refusée par une instance de production")
    opening = sender_end_of(ChannelName.SECURE_MAIL, case.sender, case.on)
    if isinstance(opening, Closed):
        return Objection("not-equipped", opening.reason)
    return _Open(address, "Messagerie du patient (Mon espace santé), INS qualifiée", opening.since)


# ── a test instance sends to its sandbox only (seam 12) ────────────────────────────────────────────────────────────


def _in_sandbox(plan: RecipientPlan, settings: RouteSettings) -> RecipientPlan:
    if settings.production or not plan.legs:
        return plan
    kept = [leg for leg in plan.legs if settings.sandbox.get(leg.channel)]
    lost = [leg for leg in plan.legs if not settings.sandbox.get(leg.channel)]
    legs = tuple(
        replace(
            leg,
            address=settings.sandbox[leg.channel],
            intended=leg.address,
            order=rank,
            reason=f"{leg.reason} — instance de test : envoyé au bac à sable",
        )
        for rank, leg in enumerate(kept, plan.legs[0].order)
    )
    rejected = plan.rejected + tuple(
        Rejected(leg.channel, "instance de test sans adresse de bac à sable pour ce canal") for leg in lost
    )
    return replace(plan, legs=legs, rejected=rejected, parked_because="" if legs else "no-sandbox")
