"""Finds an operator's servers from a mail domain: what was configured first, else DNS SRV records.

Sources: ECO 1.1.9 (auto-configuration by SRV; the names are those of RFC 6186 and 8314: the référentiel was not read), RFC 2782
(priority and weight), RFC 6186 §6 (a target outside the domain proves nothing by itself).
DNS is not signed here: a lying resolver can name any host. That host must still show a certificate of IGC-Santé for its own
name; the safe default takes no target outside the mail domain; an operator that serves many domains is named in `trusted_hosts`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from mssante.address import is_well_formed
from mssante.errors import AddressError, LookupFailedError


@dataclass(frozen=True)
class SrvRecord:
    """One SRV answer. Target `.` means: this service is decidedly not offered."""

    priority: int
    weight: int
    port: int
    target: str


# Gives the records of one name; none when there are none; LookupFailedError when nobody answered.
SrvLookup = Callable[[str], Sequence[SrvRecord]]


class Service(StrEnum):
    """What is looked for."""

    SUBMISSION = "submission"
    IMAP = "imap"


class Origin(StrEnum):
    """Where an answer comes from."""

    CONFIGURED = "configured"
    DNS = "dns"


class Absence(StrEnum):
    """Why there is no server to try."""

    NONE = ""
    NO_RECORD = "no-record"
    NOT_OFFERED = "not-offered"
    OUTSIDE_DOMAIN = "outside-domain"
    NO_ANSWER = "no-answer"


@dataclass(frozen=True)
class Endpoint:
    """A server. `immediate`: TLS from the first byte; otherwise STARTTLS. Its certificate must carry `host`."""

    host: str
    port: int
    immediate: bool = False


@dataclass(frozen=True)
class Discovery:
    """The servers of one service in the order to try them, or why there are none."""

    service: Service
    endpoints: tuple[Endpoint, ...]
    origin: Origin
    absence: Absence = Absence.NONE


# The label and whether TLS comes at once; the référentiel names STARTTLS ports, so these are tried first.
_LABELS: dict[Service, tuple[tuple[str, bool], ...]] = {
    Service.SUBMISSION: (("_submission._tcp", False), ("_submissions._tcp", True)),
    Service.IMAP: (("_imap._tcp", False), ("_imaps._tcp", True)),
}


def discover(
    domain: str,
    service: Service,
    *,
    lookup: SrvLookup,
    pick: Callable[[int], int],
    configured: Sequence[Endpoint] = (),
    trusted_hosts: Iterable[str] = (),
) -> Discovery:
    """The servers of a domain. `configured` wins and asks nobody. `pick(n)` draws from 0 to n: `random.randint(0, n)`."""
    if configured:
        return Discovery(service, tuple(configured), Origin.CONFIGURED)
    if not is_well_formed(f"x@{domain}"):
        raise AddressError("address.domain", "not the name of a mail domain", where="domain")
    trusted = frozenset(_plain(host) for host in trusted_hosts)
    endpoints: list[Endpoint] = []
    absences: list[Absence] = []
    for label, immediate in _LABELS[service]:
        try:
            records = lookup(f"{label}.{domain}")
        except LookupFailedError:
            absences.append(Absence.NO_ANSWER)
            continue
        found = [record for record in ordered(records, pick) if _plain(record.target)]
        ours = [record for record in found if _is_ours(record.target, domain, trusted)]
        endpoints += [Endpoint(_plain(record.target), record.port, immediate) for record in ours]
        absences.append(_absence(records, found))
    if endpoints:
        return Discovery(service, tuple(endpoints), Origin.DNS)
    return Discovery(service, (), Origin.DNS, _worst(absences))


def ordered(records: Iterable[SrvRecord], pick: Callable[[int], int]) -> tuple[SrvRecord, ...]:
    """RFC 2782: by priority; within one, drawn by weight, so that each is first as often as its weight says."""
    result: list[SrvRecord] = []
    known = sorted(records, key=lambda record: (record.priority, record.weight, record.target, record.port))
    for priority in sorted({record.priority for record in known}):
        left = [record for record in known if record.priority == priority]  # those of weight 0 come first, as the RFC wants
        while left:
            drawn, running = pick(sum(record.weight for record in left)), 0
            for record in left:
                running += record.weight
                if running >= drawn:
                    break
            left.remove(record)
            result.append(record)
    return tuple(result)


def _absence(records: Sequence[SrvRecord], found: Sequence[SrvRecord]) -> Absence:
    if not records:
        return Absence.NO_RECORD
    return Absence.OUTSIDE_DOMAIN if found else Absence.NOT_OFFERED


def _worst(absences: Iterable[Absence]) -> Absence:
    # What can be cured by people or time is told rather than a plain "there is none".
    order = (Absence.OUTSIDE_DOMAIN, Absence.NO_ANSWER, Absence.NOT_OFFERED, Absence.NO_RECORD)
    found = set(absences)
    return next(absence for absence in order if absence in found)


def _is_ours(target: str, domain: str, trusted: frozenset[str]) -> bool:
    host, own = _plain(target), domain.lower()
    return host == own or host.endswith(f".{own}") or host in trusted


def _plain(host: str) -> str:
    return host.rstrip(".").lower()


def dns_lookup(*, servers: Sequence[str] = (), port: int = 53, seconds: float = 5.0) -> SrvLookup:
    """A lookup by dnspython (extra `dns`). `servers` empty: those of this machine."""
    import dns.exception  # an extra: those who name their servers never need it
    import dns.resolver

    try:
        resolver = dns.resolver.Resolver(configure=not servers)
    except dns.exception.DNSException as error:
        raise LookupFailedError("dns.no-servers", type(error).__name__) from None
    if servers:
        resolver.nameservers = list(servers)
        resolver.port = port
    resolver.lifetime = seconds

    def lookup(name: str) -> Sequence[SrvRecord]:
        try:
            answer = resolver.resolve(f"{name}.", "SRV", search=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return ()
        except (dns.exception.DNSException, OSError) as error:
            raise LookupFailedError("dns.no-answer", type(error).__name__) from None
        return tuple(SrvRecord(data.priority, data.weight, data.port, data.target.to_text()) for data in answer)

    return lookup
