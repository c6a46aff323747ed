"""Building blocks of any CDA that we write: an element, a code, a time, an address, each left out when it says nothing."""

from __future__ import annotations

import re
from datetime import datetime
from zoneinfo import ZoneInfo

from lxml import etree

from adapter.errors import RenditionError
from adapter.model.document import Code
from adapter.model.identity import Address, Telecom
from adapter.packaging.code_tables import oid_of

V3 = "urn:hl7-org:v3"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
# What XML 1.0 cannot hold: a form's JSON can.
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_PARIS = ZoneInfo("Europe/Paris")
_CODE_SYSTEM_NAMES = {"2.16.840.1.113883.6.1": "LOINC"}
_TELECOM_SCHEMES = {"phone": "tel", "fax": "fax", "email": "mailto"}
_TELECOM_USES = {"home": "H", "work": "WP", "mobile": "MC"}
_ADDRESS_USES = {"home": "H", "work": "WP", "temp": "TMP"}

Element = etree._Element


def add(parent: Element, name: str, **attributes: str) -> Element:
    """A child element; blank attributes are left out, and so is what XML cannot hold."""
    clean = {key: NOT_XML.sub("", value).strip() for key, value in attributes.items()}
    return etree.SubElement(parent, f"{{{V3}}}{name}", {key: value for key, value in clean.items() if value})


def add_text(parent: Element, name: str, words: str, **attributes: str) -> None:
    """A child element with words; none when there are none."""
    clean = NOT_XML.sub("", words).strip()
    if clean:
        add(parent, name, **attributes).text = clean


def add_identifier(parent: Element, value: str, name: str = "id") -> None:
    """An II, from `root` or `root^extension`."""
    root, _, extension = value.partition("^")
    add(parent, name, root=root, extension=extension)


def add_code(parent: Element, name: str, code: Code, **defaults: str) -> None:
    """A CD or CE in the attributes of the CI-SIS."""
    system = system_oid(code.system)
    add(
        parent,
        name,
        code=code.code,
        displayName=code.label or defaults.get("label", code.code),
        codeSystem=system,
        codeSystemName=_CODE_SYSTEM_NAMES.get(system, ""),
    )


def system_oid(system: str) -> str:
    """The OID of a code system that its holder names by OID or by URI; empty when it has none."""
    return oid_of(system)


def cda_time(value: str) -> str:
    """`2026-11-21T09:30:00+01:00` → `20261121093000+0100`, with the precision of the source."""
    match = re.fullmatch(r"(\d{4})(?:-(\d\d))?(?:-(\d\d))?(?:T(\d\d):(\d\d)(?::(\d\d))?(?:\.\d+)?(Z|[+-]\d\d:?\d\d)?)?", value)
    if match is None:
        return ""
    *digits, zone = match.groups()
    return "".join(part for part in digits if part) + ("+0000" if zone == "Z" else (zone or "").replace(":", ""))


def add_moment(parent: Element, name: str, value: str) -> None:
    """A TS that must have a time and a zone."""
    shown = cda_time(value)
    if len(shown) == 8:
        midnight = datetime.fromisoformat(value).replace(tzinfo=_PARIS)
        shown = cda_time(midnight.isoformat())
    if len(shown) < 17:
        raise RenditionError("cda.time-incomplete", "a CDA needs a day, a time and a zone here", where=name)
    add(parent, name, value=shown)


def add_time(parent: Element, name: str, value: str, *, absent: str = "UNK") -> None:
    """A TS with the precision of the source, or a null flavour."""
    shown = cda_time(value)
    add(parent, name, **({"value": shown} if shown else {"nullFlavor": absent}))


def add_interval(parent: Element, name: str, start: str, end: str, *, absent: str) -> None:
    """An IVL_TS; the norm wants a low bound where it wants the interval."""
    if not cda_time(start) and not cda_time(end):
        add(parent, name, nullFlavor=absent)
        return
    interval = add(parent, name)
    if cda_time(start):
        add_time(interval, "low", start)
    if cda_time(end):
        add_time(interval, "high", end)


def add_reach(
    parent: Element, addresses: tuple[Address, ...], telecoms: tuple[Telecom, ...], *, telecom_first: bool = False
) -> None:
    """Addresses and telecoms, or that they were not asked."""
    if telecom_first:
        add_telecoms(parent, telecoms)
    for address in addresses or (Address(),):
        add_address(parent, address)
    if not telecom_first:
        add_telecoms(parent, telecoms)


def add_address(parent: Element, value: Address) -> None:
    """One postal address: in parts when it has one line, so that its town stays a town; else as lines (never both)."""
    use = _ADDRESS_USES.get(value.use, "")
    given = [line for line in value.lines if line.strip()]
    if len(given) <= 1 and (value.postal_code or value.city):
        made = add(parent, "addr", use=use)
        parts = (*(("streetName", line) for line in given), ("postalCode", value.postal_code), ("city", value.city))
        for name, words in (*parts, ("country", value.country)):
            add_text(made, name, words)
        return
    town = " ".join(part for part in (value.postal_code, value.city) if part)
    lines = [line for line in (*given, town, value.country) if line][:7]
    if not lines:
        add(parent, "addr", nullFlavor="NASK")
        return
    made = add(parent, "addr", use=use)
    for line in lines:
        add_text(made, "streetAddressLine", line)


def add_telecoms(parent: Element, telecoms: tuple[Telecom, ...]) -> None:
    """Those that can be written as a URL."""
    shown = [(telecom, telecom_value(telecom)) for telecom in telecoms if telecom_value(telecom)]
    for telecom, value in shown:
        add(parent, "telecom", value=value, use=_TELECOM_USES.get(telecom.use, ""))
    if not shown:
        add(parent, "telecom", nullFlavor="NASK")


def telecom_value(telecom: Telecom) -> str:
    """A telecom as a URL; empty when it cannot be one."""
    scheme = _TELECOM_SCHEMES.get(telecom.system)
    value = telecom.value.strip()
    if scheme is None:
        return value if re.match(r"(https?|ftp|mllp|tel|fax|mailto):", value) else ""
    return f"{scheme}:{value if scheme == 'mailto' else re.sub(r'[^0-9+]', '', value)}" if value else ""
