"""What a partners file holds, as frozen values: structures, roles, units, dated equipment, agreements, records.

Law: domain §1 and §6, blueprint seams 3, 15, 17. Everything is dated in civil days: a period runs from 00:00 of `since` to the
end of `until` (last day included, Europe/Paris); no `until` means open-ended.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from adapter.model.parties import RecipientKind
from adapter.model.plan import ChannelName

DEFAULT_ORDER = (ChannelName.SECURE_MAIL, ChannelName.FAX)
# Ways to software that we feed ourselves, by its name in the configuration: before any detour, and in this order.
NAMED_CHANNELS = (ChannelName.HL7_PUSH, ChannelName.INBOX)


@dataclass(frozen=True)
class Period:
    """A dated validity; an absent `since` was always so."""

    since: date | None = None
    until: date | None = None

    def holds(self, on: date) -> bool:
        """True on a day of the period."""
        return (self.since is None or self.since <= on) and (self.until is None or on <= self.until)

    def overlaps(self, other: Period) -> bool:
        """True when some day belongs to both."""
        return (self.until is None or other.since is None or other.since <= self.until) and (
            other.until is None or self.since is None or self.since <= other.until
        )


@dataclass(frozen=True)
class Equipment:
    """One channel that one end can use during a period. `address`: the name of an HL7 partner, or of a practice that imports."""

    channel: ChannelName
    period: Period
    address: str = ""


class DomainKind(StrEnum):
    """Who has mailboxes under a domain."""

    PROFESSIONAL = "professional"
    PATIENT = "patient"


@dataclass(frozen=True)
class TrustedDomain:
    """A mail domain of the trust space and its sub-domains. `training` ones are for test instances only."""

    domain: str
    kind: DomainKind
    period: Period
    training: bool = False


@dataclass(frozen=True)
class LegalEntity:
    """A FINESS EJ. With `checks_units`, its unit table rules on every unit that its messages name."""

    key: str
    name: str
    finess: str
    checks_units: bool = False


@dataclass(frozen=True)
class Organisation:
    """A place where care is given (FINESS EG): hospital site, health centre, support platform."""

    key: str
    name: str
    short: str
    legal_entity: str
    finess: str
    kind: str
    commune: str = ""
    insee: str = ""
    address: str = ""
    phone: str = ""
    fax: str = ""
    mailbox: str = ""
    equipment: tuple[Equipment, ...] = ()
    aliases: tuple[str, ...] = ()
    pdf_only: bool = False


@dataclass(frozen=True)
class Pole:
    """A clinical pole of the hospital group."""

    key: str
    name: str
    legal_entity: str


@dataclass(frozen=True)
class Department:
    """A service of a site, with its own mailbox, fax and senior's line."""

    key: str
    name: str
    organisation: str
    pole: str = ""
    speciality: str = ""
    mailbox: str = ""
    fax: str = ""
    senior_line: str = ""
    local_application: str = ""
    period: Period = field(default_factory=Period)
    equipment: tuple[Equipment, ...] = ()
    pdf_only: bool = False


@dataclass(frozen=True)
class PractitionerRole:
    """One function of one person in one place, dated, with its own mailbox, fax and inbox."""

    key: str
    rpps: str
    display: str
    organisation: str
    department: str = ""
    mailbox: str = ""
    fax: str = ""
    inbox: str = ""
    phone: str = ""
    period: Period = field(default_factory=Period)
    equipment: tuple[Equipment, ...] = ()
    pdf_only: bool = False


@dataclass(frozen=True)
class Unit:
    """One dated line of a unit table: UF → department, pole, site, mailbox, fax, senior's line, local application."""

    code: str
    name: str
    legal_entity: str
    site: str
    department: str
    pole: str = ""
    mailbox: str = ""
    fax: str = ""
    senior_line: str = ""
    local_application: str = ""
    period: Period = field(default_factory=Period)


@dataclass(frozen=True)
class Record:
    """A shared record that can be fed. `base_url_key` names a setting: addresses and secrets are not in the directory.

    `renditions`: the forms that it wants, the main one first (none: each document as it came). `changes`: how it takes a
    cancellation or a change of visibility, `patch` or `transaction`; empty when it takes none.
    """

    key: str
    name: str
    base_url_key: str
    period: Period
    legal_entities: tuple[str, ...] = ()
    renditions: tuple[str, ...] = ()
    changes: str = ""


@dataclass(frozen=True)
class Agreement:
    """What a hospital and a centre agreed, during a period: order of channels, delays of answers.

    `hospital` is an organisation's or a legal entity's key. Agreements of one `framework` share `all_centres_first`: none
    opens secure mail before all of its centres are equipped. `record_beside` feeds the record beside the other legs; with
    `record_first` the mail waits until the record answered, whatever it said.
    `urgent_imaging`: what the hours of an urgent exam promise, the exam itself (`exam`) or a date found (`date`).
    """

    key: str
    framework: str
    hospital: str
    centre: str
    period: Period
    order: tuple[ChannelName, ...] = DEFAULT_ORDER
    record_beside: bool = False
    record_first: bool = False
    all_centres_first: bool = False
    answer_hours: int = 48
    urgent_imaging_hours: int = 48
    semi_urgent_imaging_days: int = 15
    orientation_days: int = 7
    urgent_imaging: str = "exam"
    clock: str = "elapsed"

    @property
    def delays(self) -> dict[str, int]:
        """The delays by the names that forms use. An urgent exam is due within none when only its date is (domain §3)."""
        return {
            "answer_hours": self.answer_hours,
            "urgent_imaging_hours": self.urgent_imaging_hours if self.urgent_imaging == "exam" else 0,
            "semi_urgent_imaging_days": self.semi_urgent_imaging_days,
            "orientation_days": self.orientation_days,
        }


@dataclass(frozen=True)
class FormTarget:
    """Who receives a form at a site: a department's key, or a structure's (a support platform, a health centre).

    `site` is the name that the form gives its target. `pathway`: how the service takes it (simple: one entry point, direct
    booking; complex: an orientation consultation first). `senders`: kinds of structures that may send it, empty for all.
    `call_when_urgent`: who sends it as urgent is told the senior's telephone line at once. `switched_off`: the form's alerts that
    this site does not want (the page then says that nothing was searched).
    """

    form: str
    site: str
    department: str = ""
    organisation: str = ""
    pathway: str = ""
    senders: tuple[str, ...] = ()
    call_when_urgent: bool = False
    switched_off: tuple[str, ...] = ()


@dataclass(frozen=True)
class FaxLine:
    """What is known of a fax number (E.164) whoever has it: `standard_only`, its machine is sent no fine pages."""

    number: str
    standard_only: bool = False


@dataclass(frozen=True)
class Entries:
    """All that the files hold, checked; every key points to something."""

    name: str
    domains: tuple[TrustedDomain, ...]
    legal_entities: tuple[LegalEntity, ...]
    organisations: tuple[Organisation, ...]
    poles: tuple[Pole, ...]
    departments: tuple[Department, ...]
    roles: tuple[PractitionerRole, ...]
    units: tuple[Unit, ...]
    records: tuple[Record, ...]
    agreements: tuple[Agreement, ...]
    form_targets: tuple[FormTarget, ...]
    fax_lines: tuple[FaxLine, ...] = ()


@dataclass(frozen=True)
class Role:
    """Whom a document can be sent to: a person's role, a department, a unit, a structure, or a bare address.

    `levels` are the equipment lists from the structure down to the role: a level that says nothing of a channel takes the
    level above. `phone_line` is whom to call when it is urgent. `is_bare_address`: in no directory, mail only.
    `pdf_only`: whoever reads there chokes on archives: a mail carries the readable PDF alone.
    """

    id: str
    kind: RecipientKind
    display: str
    organisation: str = ""
    legal_entity: str = ""
    department: str = ""
    rpps: str = ""
    mailbox: str = ""
    fax: str = ""
    inbox: str = ""
    phone_line: str = ""
    local_application: str = ""
    period: Period = field(default_factory=Period)
    levels: tuple[tuple[Equipment, ...], ...] = ()
    is_bare_address: bool = False
    pdf_only: bool = False
