r"""Writes the acknowledgement of an HL7 v2 message: AA, AE or AR, with one ERR for each error and warning.

Sources: HL7 v2.6 ch. 2 (MSA, ERR); CI-SIS volet 2.1 §ACK (`ACK^<event>^ACK`, 2.5 for ORU else 2.6, MSH-17 FRA, MSH-18 as asked);
tables 0357 (ERR-3), 0516 (ERR-4), 0533 (ERR-5). No value of the message but its control id is ever written back.

MSH-15 and MSH-16 (table 0155): the volet knows application answers only, one a message. Both empty (original mode), or MSH-16 AL
or empty: always. MSH-16 NE, ER or SU is honoured. Where it wants no application answer but MSH-15 wants to know that the message
was taken, the one answer is a commit acknowledgement (CA, CE, CR). Never two answers: some clients take the first for both.

ERR-7 is our stable code and its English sentence, for the integrator; ERR-8 a short French one, for the user's screen.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime

from adapter.formats.hl7v2 import encode_escapes
from adapter.formats.hl7v2_charset import CHARSETS
from adapter.model.finding import Finding, Severity
from adapter.model.receipt import MessageControl, Verdict

_APPLICATION_ANSWERS = {Verdict.ACCEPTED: "AA", Verdict.REFUSED: "AE", Verdict.TRY_LATER: "AR"}
_COMMIT_ANSWERS = {Verdict.ACCEPTED: "CA", Verdict.REFUSED: "CE", Verdict.TRY_LATER: "CR"}
# Table 0155: the verdicts after which an answer is wanted.
_WANTED: dict[str, frozenset[Verdict]] = {
    "NE": frozenset(),
    "ER": frozenset({Verdict.REFUSED, Verdict.TRY_LATER}),
    "SU": frozenset({Verdict.ACCEPTED}),
}
_ALWAYS = frozenset(Verdict)
_SEVERITIES = {Severity.ERROR: "E", Severity.WARNING: "W"}

# Table 0357, as profiled by the volet.
_CONDITIONS = {
    "0": "Message accepted",
    "100": "Segment sequence error",
    "101": "Required field missing",
    "102": "Data type error",
    "103": "Table value not found",
    "198": "Cardinality error",
    "199": "Other HL7 error",
    "200": "Unsupported message type",
    "201": "Unsupported event code",
    "202": "Unsupported processing id",
    "203": "Unsupported version id",
    "207": "Application error",
}
# Table 0533, as profiled by the volet.
_APPLICATION_CONDITIONS = {
    "900": "Version du document incorrecte",
    "901": "Demandeur ni auteur ni de la même structure",
    "902": "Identifiant patient inconnu",
    "903": "INS absente du document",
    "904": "INS ou traits différents",
    "905": "Traits incomplets pour cette INS",
    "906": "Autre erreur applicative",
}
_USER_SENTENCES = {
    "100": "Message non conforme : segment absent, inconnu ou mal placé.",
    "101": "Information obligatoire absente du message.",
    "102": "Donnée illisible ou mal codée.",
    "103": "Valeur hors de la table attendue.",
    "198": "Nombre d'éléments non conforme.",
    "199": "Message refusé : demande incohérente ou non prise en charge.",
    "200": "Type de message non pris en charge.",
    "201": "Événement non pris en charge.",
    "202": "Mode de traitement (production ou test) non accepté ici.",
    "203": "Version HL7 non prise en charge.",
    "207": "Document refusé par l'application.",
    "903": "L'INS du patient manque dans le document.",
    "904": "L'identité du document ne correspond pas à celle du message.",
    "905": "Les traits d'identité qui accompagnent l'INS sont incomplets.",
}
_USER_SENTENCES_BY_FINDING = {
    "ins.wrong-key": "L'INS du patient n'est pas valide : la vérifier auprès du téléservice.",
    "hl7.base64": "Le document joint est illisible ou incomplet.",
    "hl7.no-recipient": "Aucun destinataire professionnel n'a d'adresse ni d'identifiant.",
    "hl7.no-destination": "Aucune destination n'est demandée pour ce document.",
    "hl7.hidden-from-patient": "Ce document est masqué au patient : il ne peut pas lui être envoyé.",
    "hl7.hidden-from-professionals": "Ce document est masqué aux professionnels : il ne peut pas leur être envoyé.",
    "hl7.action-incoherent": "L'action demandée (création, remplacement, suppression) n'est pas la même partout.",
    "hl7.other-parent": "Le document à remplacer n'est pas le même dans le message et dans le document.",
    "repeat.conflict": "Ce numéro de message a déjà servi pour un autre contenu.",
    "hl7.not-taken": "Le message ne peut pas être pris maintenant : le renvoyer plus tard.",
}
# Enough to repair a message; a hostile one must not make a huge answer.
_MOST_ERRORS = 50
_LOCATION = re.compile(r"^(?P<segment>[A-Z][A-Z0-9]{2})(?:\[(?P<sequence>\d+)\])?(?:-(?P<field>\d+)(?:\((?P<rep>\d+)\))?)?"
                       r"(?:\.(?P<component>\d+))?(?:\.(?P<subcomponent>\d+))?$")  # fmt: skip


def write_ack(
    control: MessageControl, verdict: Verdict, findings: tuple[Finding, ...], *, now: datetime, control_id: str
) -> bytes:
    """The acknowledgement of the message that `control` identifies; no bytes at all when its sender wants no answer to this.

    `control` may be empty when nothing could be read.
    """
    code = acknowledgement_code(control, verdict)
    if not code:
        return b""
    lines = [_msh(control, now, control_id), f"MSA|{code}|{encode_escapes(control.control_id)}"]
    lines += [_err(finding) for finding in _told(verdict, findings)]
    text = "".join(line.rstrip("|") + "\r" for line in lines)
    return _encode(text, CHARSETS.get(_charset(control).upper(), "utf-8"))


def acknowledgement_code(control: MessageControl, verdict: Verdict) -> str:
    """MSA-1; empty when MSH-15 and MSH-16 want no answer to this verdict."""
    if verdict in _WANTED.get(control.application_ack, _ALWAYS):
        return _APPLICATION_ANSWERS[verdict]
    if control.accept_ack and verdict in _WANTED.get(control.accept_ack, _ALWAYS):
        return _COMMIT_ANSWERS[verdict]
    return ""


def _told(verdict: Verdict, findings: tuple[Finding, ...]) -> list[Finding]:
    errors = [f for f in findings if f.severity is Severity.ERROR]
    warnings = [f for f in findings if f.severity is Severity.WARNING]
    if verdict is not Verdict.ACCEPTED and not errors:
        errors = [Finding(Severity.ERROR, "hl7.not-taken", "The message cannot be taken now.", hl7_code="207")]
    # An accepted message shows no error, whatever was found: MSA-1 and ERR-4 must agree.
    return ((errors if verdict is not Verdict.ACCEPTED else []) + warnings)[:_MOST_ERRORS]


def _msh(control: MessageControl, now: datetime, control_id: str) -> str:
    code, event, *_ = (*(part.strip() for part in control.event.split("^")), "", "")
    pam = code == "ADT"
    fields = (
        "MSH",
        "^~\\&",
        _plain(control.to_application),
        _plain(control.to_facility),
        _plain(control.application),
        _plain(control.facility),
        now.strftime("%Y%m%d%H%M%S%z"),
        "",
        f"ACK^{encode_escapes(event)}^ACK" if event else "ACK",
        encode_escapes(control_id),
        _plain(control.processing) or "P",
        "2.5^FRA^2.11" if pam else "2.5" if code == "ORU" else "2.6",
        "",
        "",
        "",
        "",
        "FRA",
        _charset(control),
        "FR" if pam else "",
        "",
        "2.11^IHE_FRANCE-2.11-PAM" if pam else "",
    )
    return "|".join(fields).rstrip("|")


def _charset(control: MessageControl) -> str:
    return control.charset if control.charset.upper() in CHARSETS else "UNICODE UTF-8"


def _err(finding: Finding) -> str:
    code = finding.hl7_code if finding.hl7_code in _CONDITIONS else "199"
    application = ""
    if finding.app_code:
        text = _APPLICATION_CONDITIONS.get(finding.app_code, _APPLICATION_CONDITIONS["906"])
        application = f"{encode_escapes(finding.app_code)}^{encode_escapes(text)}^applicationErrorCondition"
    fields = (
        "ERR",
        "",
        error_location(finding.location),
        f"{code}^{_CONDITIONS[code]}^messageErrorCondition",
        _SEVERITIES[finding.severity],
        application,
        "",
        encode_escapes(f"{finding.code}: {finding.text} {finding.remedy}".strip()),
        encode_escapes(_user_sentence(finding, code)),
    )
    return "|".join(fields)


def _user_sentence(finding: Finding, code: str) -> str:
    """The most precise sentence known: of the finding, its application code, its condition. A warning asks nothing of a user."""
    if finding.severity is not Severity.ERROR:
        return ""
    known = _USER_SENTENCES_BY_FINDING.get(finding.code) or _USER_SENTENCES.get(finding.app_code)
    return known or _USER_SENTENCES.get(code, "Message refusé.")


def error_location(location: str) -> str:
    """`PID-3.4` as an ERL, `PID^1^3^1^4`; empty when the place is not one of a message."""
    found = _LOCATION.match(location)
    if found is None:
        return ""
    component = found["component"]
    repetition = found["rep"] or ("1" if component else None)
    parts = (found["segment"], found["sequence"] or "1", found["field"], repetition, component, found["subcomponent"])
    return "^".join(part or "" for part in parts).rstrip("^")


def _plain(value: str) -> str:
    """A field already in ER7 form (an HD keeps its `^` and `&`), without anything that would end it."""
    return re.sub(r"[\x00-\x1f|]", "", value)


def _encode(text: str, codec: str) -> bytes:
    """In the character set asked for; a letter that it lacks loses its accent rather than becoming a `?`."""
    try:
        return text.encode(codec)
    except UnicodeEncodeError:
        folded = unicodedata.normalize("NFKD", text)
        return folded.encode(codec, "ignore")
