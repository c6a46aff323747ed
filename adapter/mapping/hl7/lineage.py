"""What a message and its document say of the version they replace or delete, and whether they agree.

Sources: CI-SIS volet 2.1 §Remplacement, §Suppression: the new version names the old one in `relatedDocument[RPLC]`, and an MDM
repeats it in TXA-13; a deletion carries the very version to delete. A change of visibility alone is a replacement.
Law: the document rules; TXA-13 stands in for a parent that the document forgot. An original nobody knows is no fault (seam 6).
"""

from __future__ import annotations

from adapter.mapping.engine import Extraction, Values
from adapter.mapping.hl7.profile import Profile
from adapter.model.document import DocumentHeader
from adapter.model.finding import Finding, Severity
from adapter.model.parties import Organisation, Party
from adapter.model.submission import Intent

_ERROR, _WARNING = Severity.ERROR, Severity.WARNING


def parent_in_message(found: Extraction) -> str:
    """The id of the version to replace as TXA-13 gives it (`root`, or `root^extension`); empty when it says nothing."""
    record = found.groups.get("document_record")
    if not record or not record["parent_id"]:
        return ""
    root = record["parent_root"]
    return f"{root}^{record['parent_id']}" if is_oid(root) else str(record["parent_id"])


def is_named_by(written: str, unique_id: str) -> bool:
    """True when TXA-12 or TXA-13 names this document: as `root`, as `root^extension`, or joined by a dot as samples do."""
    return written in (unique_id, unique_id.replace("^", "."), unique_id.partition("^")[2] or unique_id)


def check_document_record(found: Extraction, header: DocumentHeader) -> tuple[Finding, ...]:
    """TXA-12 must be the document's id; the document's own id rules."""
    record = found.groups.get("document_record")
    if not record or not record["unique_id"] or is_named_by(_written(record), header.unique_id):
        return ()
    text = "TXA-12 is not the id of the document: the document's own id is used."
    return (_finding(_WARNING, "hl7.other-document-id", text, "TXA-12", "199"),)


def check_lineage(profile: Profile, found: Extraction, intent: Intent, header: DocumentHeader, place: str) -> tuple[Finding, ...]:
    """Whether the version to replace is named, and the same, wherever it is named."""
    match intent:
        case Intent.REPLACE:
            return _check_replacement(profile, parent_in_message(found), header, place)
        case Intent.NEW if header.replaces or parent_in_message(found):
            text = "A document to replace is named, but the message says that this one is new: it is sent as new."
            return (_finding(_WARNING, "hl7.new-replaces", text, place if header.replaces else "TXA-13", "199"),)
        case _:
            return ()


def _check_replacement(profile: Profile, named: str, header: DocumentHeader, place: str) -> tuple[Finding, ...]:
    findings: list[Finding] = []
    lenient = _WARNING if profile.is_older else _ERROR
    if not named and profile.names_parent:
        findings.append(_finding(lenient, "hl7.required-field", "TXA-13 is required on a replacement.", "TXA-13", "101"))
    if not header.replaces:
        text = "The document does not say which one it replaces" + (": TXA-13 tells it." if named else ".")
        findings.append(_finding(_WARNING, "hl7.no-parent", text, place, "199"))
    elif named and not is_named_by(named, header.replaces):
        text = "TXA-13 and the document do not replace the same version."
        findings.append(_finding(lenient, "hl7.other-parent", text, "TXA-13", "199"))
    return tuple(findings)


def check_requester(intent: Intent, sender: Party | None, header: DocumentHeader) -> tuple[Finding, ...]:
    """901, told and not refused: who replaces or deletes should be an author of the document or work where it was made.

    A structure is known by several numbers (FINESS of the site, of the legal entity), so a difference proves nothing by itself.
    """
    if intent is Intent.NEW or sender is None:
        return ()
    ours = _numbers(sender)
    theirs = {n for party in (*header.authors, header.legal_authenticator) if party is not None for n in _numbers(party)}
    theirs |= _structure_numbers(header.custodian)
    if not ours or not theirs or ours & theirs:
        return ()
    text = "The sender is neither an author of the document nor of the structure that made it."
    return (Finding(_WARNING, "hl7.other-requester", text, "PRT", hl7_code="207", app_code="901"),)


def check_visibility_change(intent: Intent, changes: bool) -> tuple[Finding, ...]:
    """MODIF_CONF_CODE speaks of a document that exists already: with a creation it means nothing."""
    if intent is not Intent.NEW or not changes:
        return ()
    text = "MODIF_CONF_CODE is Y for a new document: there is nothing to change yet."
    return (_finding(_WARNING, "hl7.change-of-new", text, "OBX", "199"),)


def _written(record: Values) -> str:
    root = record["unique_id_root"]
    return f"{root}^{record['unique_id']}" if is_oid(root) else str(record["unique_id"])


def is_oid(text: str) -> bool:
    """TXA-12.3 holds an OID, or the name of an authority: only the former is a part of the id."""
    return "." in text and text.replace(".", "").isdigit()


def _numbers(party: Party) -> set[str]:
    found = _structure_numbers(party.organisation)
    if party.professional is not None:
        found |= {party.professional.rpps, party.professional.national_id}
    return found - {""}


def _structure_numbers(organisation: Organisation | None) -> set[str]:
    return {organisation.finess, organisation.national_id} - {""} if organisation is not None else set()


def _finding(severity: Severity, code: str, text: str, place: str, hl7_code: str) -> Finding:
    return Finding(severity, code, text, place, hl7_code=hl7_code)
