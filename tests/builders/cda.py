"""Builds our own CDA documents about invented people: N1 (with a tiny PDF) and a full discharge letter LDL-SES.

Everything is deterministic: same arguments, same bytes. Patients live under the test INS root only, with valid keys.

    build_n1()                                    # a discharge summary (34112-3) holding a one-page PDF
    build_n1(title="…", type_code="18748-4", patient=OTHER, referrer=None, pdf=tiny_pdf("…"))
    build_ldl_ses(version=2, replaces="1.2.250.1.213.1.1.9.501.1")
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field, replace

from lxml import etree
from lxml.builder import ElementMaker

from adapter.model.identity import ins_key

V3 = "urn:hl7-org:v3"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
XSI_TYPE = f"{{{XSI}}}type"
E = ElementMaker(namespace=V3, nsmap={None: V3, "xsi": XSI})  # type: ignore[dict-item]
Element = etree._Element

LOINC = "2.16.840.1.113883.6.1"
SNOMED = "2.16.840.1.113883.6.96"
TA = "1.2.250.1.213.1.1.4.322"
INS_TEST_OID = "1.2.250.1.213.1.4.10"
RPPS_OID = "1.2.250.1.71.4.2.1"
FINESS_OID = "1.2.250.1.71.4.2.2"
CUSTODIAN_IPP_OID = "1.2.250.1.999.94.1"


def matricule(thirteen: str) -> str:
    """A test matricule with its right key."""
    key = ins_key(thirteen)
    assert key is not None
    return f"{thirteen}{key:02d}"


@dataclass(frozen=True)
class SamplePatient:
    """An invented patient. Empty `ins` leaves the INS out."""

    birth_name: str = "EXEMPLE-BERTHIER"
    first_given: str = "CAMILLE"
    birth_given_names: str = "CAMILLE JEANNE"
    used_name: str = "EXEMPLE-MOREL"
    birth_date: str = "19740918"
    sex: str = "F"
    birth_insee: str = "94043"
    birth_city: str = "LE KREMLIN-BICETRE"
    ins: str = field(default_factory=lambda: matricule("2740994043217"))
    ins_oid: str = INS_TEST_OID
    ipp: str = "900000123"
    ipp_oid: str = CUSTODIAN_IPP_OID


@dataclass(frozen=True)
class SamplePro:
    """An invented professional in an invented structure. `rpps` is 11 digits, `finess` 9."""

    family: str
    given: str
    rpps: str
    finess: str = ""
    organisation: str = ""
    title: str = "DR"
    civility: str = "MME"
    specialty: str = "G15_10/SM26"
    specialty_label: str = "Médecin - Qualifié en Médecine Générale (SM)"
    phone: str = ""


PATIENT = SamplePatient()
AUTHOR = SamplePro(
    "DUTEST", "Alix", "10009990001", "940999901", "Hôpital d'essai du Kremlin", specialty="G15_10/SM27",
    specialty_label="Médecin - Médecine interne (SM)", phone="0100000001",
)  # fmt: skip
PCP = SamplePro("MODELE", "Sacha", "10009990002", "940999902", "Centre municipal de santé d'essai", phone="0100000002")
REFERRER = SamplePro("FICTIF", "Lou", "10009990003", "940999902", "Centre municipal de santé d'essai", civility="M")


def tiny_pdf(text: str = "Document d'essai") -> bytes:
    """A valid one-page PDF of a few hundred bytes."""
    stream = b"BT /F1 14 Tf 60 760 Td (" + text.encode("latin-1", "replace").replace(b"(", b"[").replace(b")", b"]") + b") Tj ET"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    out = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
    offsets = []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)
    return bytes(out)


def build_n1(
    *,
    patient: SamplePatient = PATIENT,
    author: SamplePro = AUTHOR,
    pcp: SamplePro | None = PCP,
    referrer: SamplePro | None = REFERRER,
    document_id: str = "1.2.250.1.213.1.1.9.500.1",
    set_id: str = "1.2.250.1.213.1.1.9.500",
    version: int = 1,
    replaces: str = "",
    type_code: str = "34112-3",
    type_label: str = "CR hospitalier (séjour)",
    title: str = "Compte rendu d'hospitalisation",
    created: str = "20261120101500+0100",
    confidentiality: str = "N",
    pdf: bytes | None = None,
    media_type: str = "application/pdf",
) -> bytes:
    """A CDA R2 level 1 document: CI-SIS header and a Base64 PDF, with line breaks in the Base64 as real ones have."""
    content = base64.encodebytes(tiny_pdf(title) if pdf is None else pdf).decode("ascii")
    body = E.component(E.nonXMLBody(E.text(content, mediaType=media_type, representation="B64")))
    header = _header(
        ("1.3.6.1.4.1.19376.1.2.20",), patient, author, pcp, referrer, document_id, set_id, version, replaces,
        (type_code, type_label), title, created, confidentiality,
    )  # fmt: skip
    return _write(header, body)


def build_ldl_ses(
    *,
    patient: SamplePatient = PATIENT,
    author: SamplePro = AUTHOR,
    pcp: SamplePro | None = PCP,
    referrer: SamplePro | None = REFERRER,
    document_id: str = "1.2.250.1.213.1.1.9.501.1",
    set_id: str = "1.2.250.1.213.1.1.9.501",
    version: int = 1,
    replaces: str = "",
    title: str = "Lettre de liaison à la sortie de l'établissement de santé",
    created: str = "20261120163000+0100",
    confidentiality: str = "N",
    status: tuple[str, str] = ("398166005", "effectué"),
) -> bytes:
    """A discharge letter with all nine sections of LDL-SES 2022.01, entries included."""
    header = _header(
        ("1.2.250.1.213.1.1.1.29|2022.01",), patient, author, pcp, referrer, document_id, set_id, version, replaces,
        ("11490-0", "Lettre de liaison à la sortie d'un établissement de soins"), title, created, confidentiality,
    )  # fmt: skip
    sections = [
        _status_section(status),
        _reason_section(),
        _stay_section(),
        _stopped_section(),
        _discharge_section(),
        _pending_section(),
        _follow_up_section(),
        _device_section(),
        _allergy_section(),
    ]
    return _write(header, E.component(E.structuredBody(*[E.component(section) for section in sections])))


def with_wrong_key(patient: SamplePatient) -> SamplePatient:
    """The same patient, their INS ending with a wrong key."""
    return replace(patient, ins=patient.ins[:13] + f"{(int(patient.ins[13:]) % 97) + 1:02d}")


# -- header ------------------------------------------------------------------------------------------------------------------


def _header(
    templates: tuple[str, ...],
    patient: SamplePatient,
    author: SamplePro,
    pcp: SamplePro | None,
    referrer: SamplePro | None,
    document_id: str,
    set_id: str,
    version: int,
    replaces: str,
    type_: tuple[str, str],
    title: str,
    created: str,
    confidentiality: str,
) -> list[Element]:
    labels = {"N": "Normal", "R": "Restreint", "V": "Très restreint"}
    found = [
        E.realmCode(code="FR"),
        E.typeId(root="2.16.840.1.113883.1.3", extension="POCD_HD000040"),
        *_templates("2.16.840.1.113883.2.8.2.1", "1.2.250.1.213.1.1.1.1", *templates),
        E.id(root=document_id),
        E.code(code=type_[0], displayName=type_[1], codeSystem=LOINC, codeSystemName="LOINC"),
        E.title(title),
        E.effectiveTime(value=created),
        E.confidentialityCode(code=confidentiality, codeSystem="2.16.840.1.113883.5.25", displayName=labels[confidentiality]),
        E.languageCode(code="fr-FR"),
        E.setId(root=set_id),
        E.versionNumber(value=str(version)),
        _record_target(patient),
        E.author(E.time(value=created), _assigned("assignedAuthor", author)),
        E.informant(
            E.relatedEntity(
                E.code(code="SIS", displayName="Soeur", codeSystem="2.16.840.1.113883.5.111"),
                E.addr(nullFlavor="NAV"),
                E.telecom(value="tel:0600000009", use="MC"),
                E.relatedPerson(E.name(E.family("EXEMPLE-BERTHIER"), E.given("Noa"))),
                classCode="ECON",
            )
        ),
        E.custodian(E.assignedCustodian(_organisation("representedCustodianOrganization", author))),
        E.legalAuthenticator(E.time(value=created), E.signatureCode(code="S"), _assigned("assignedEntity", author)),
    ]
    if pcp is not None:
        function = E.functionCode(code="PCP", displayName="Médecin Traitant", codeSystem="2.16.840.1.113883.5.88")
        found.append(_participant("INF", pcp, function))
    if referrer is not None:
        found.append(_participant("REFB", referrer))
    found.append(_service_event(author))
    if replaces:
        found.append(E.relatedDocument(E.parentDocument(E.id(root=replaces)), typeCode="RPLC"))
    found.append(_encounter())
    return found


def _record_target(patient: SamplePatient) -> Element:
    ids = [E.id(root=patient.ins_oid, extension=patient.ins)] if patient.ins else []
    ids.append(E.id(root=patient.ipp_oid, extension=patient.ipp))
    return E.recordTarget(
        E.patientRole(
            *ids,
            E.addr(
                E.houseNumber("3"), E.streetName("rue de l'Essai"), E.postalCode("94270"), E.city("LE KREMLIN-BICETRE"), use="H"
            ),
            E.telecom(value="tel:0100000009", use="H"),
            E.telecom(value="mailto:camille.exemple@example.org"),
            E.patient(
                E.name(
                    E.family(patient.birth_name, qualifier="BR"),
                    E.given(patient.birth_given_names),
                    E.given(patient.first_given, qualifier="BR"),
                    E.family(patient.used_name, qualifier="CL"),
                    E.given(patient.first_given, qualifier="CL"),
                ),
                E.administrativeGenderCode(code=patient.sex, codeSystem="2.16.840.1.113883.5.1", displayName="Sexe"),
                E.birthTime(value=patient.birth_date),
                E.birthplace(E.place(E.addr(E.county(patient.birth_insee), E.city(patient.birth_city)))),
                classCode="PSN",
            ),
        )
    )


def _assigned(tag: str, pro: SamplePro) -> Element:
    children = [E.id(root=RPPS_OID, extension=f"8{pro.rpps}")]
    if tag in ("assignedAuthor", "assignedEntity"):
        children.append(E.code(code=pro.specialty, displayName=pro.specialty_label, codeSystem="1.2.250.1.213.1.1.4.5"))
    children.append(_phone(pro))
    children.append(E.assignedPerson(_name(pro)))
    children.append(_organisation("representedOrganization", pro))
    return E(tag, *children)


def _participant(type_code: str, pro: SamplePro, *function: Element) -> Element:
    return E.participant(
        *function,
        E.time(nullFlavor="NA"),
        E.associatedEntity(
            E.id(root=RPPS_OID, extension=f"8{pro.rpps}"),
            E.code(code=pro.specialty, displayName=pro.specialty_label, codeSystem="1.2.250.1.213.1.1.4.5"),
            _phone(pro),
            E.associatedPerson(_name(pro)),
            _organisation("scopingOrganization", pro),
            classCode="PROV",
        ),
        typeCode=type_code,
    )


def _name(pro: SamplePro) -> Element:
    return E.name(E.prefix(pro.civility), E.given(pro.given), E.family(pro.family), E.suffix(pro.title))


def _phone(pro: SamplePro) -> Element:
    return E.telecom(value=f"tel:{pro.phone}", use="WP") if pro.phone else E.telecom(nullFlavor="NAV")


def _organisation(tag: str, pro: SamplePro, *more: Element) -> Element:
    return E(
        tag,
        E.id(root=FINESS_OID, extension=f"1{pro.finess}"),
        E.name(pro.organisation),
        _phone(pro),
        E.addr(E.houseNumber("1"), E.streetName("place du Modèle"), E.postalCode("94270"), E.city("LE KREMLIN-BICETRE")),
        *more,
    )


def _service_event(author: SamplePro) -> Element:
    setting = E.standardIndustryClassCode(
        code="ETABLISSEMENT", displayName="Etablissement de santé", codeSystem="1.2.250.1.213.1.1.4.9"
    )
    performer = _assigned("assignedEntity", author)
    organisation = performer.find(f"{{{V3}}}representedOrganization")
    assert organisation is not None
    organisation.append(setting)
    code = E.code(
        code="IMP",
        displayName="Hospitalisation (établissement, y compris HAD)",
        codeSystem="2.16.840.1.113883.5.4",
        codeSystemName="HL7:ActCode",
    )
    return E.documentationOf(E.serviceEvent(code, _interval("20261116090000+0100", "20261120143000+0100"), E.performer(
        performer, typeCode="PRF"
    )))  # fmt: skip


def _encounter() -> Element:
    return E.componentOf(
        E.encompassingEncounter(
            E.id(root="1.2.250.1.999.94.2", extension="26900456"),
            E.code(code="IMP", displayName="Hospitalisation", codeSystem="2.16.840.1.113883.5.4"),
            _interval("20261116090000+0100", "20261120143000+0100"),
            E.location(
                E.healthCareFacility(
                    E.id(root=FINESS_OID, extension="1940999901"),
                    E.code(code="SA01", displayName="Etablissement public de santé", codeSystem="1.2.250.1.71.4.2.4"),
                    E.location(E.name("Médecine interne, aile B")),
                )
            ),
        )
    )


# -- sections of the discharge letter ------------------------------------------------------------------------------------------


def _section(templates: tuple[str, ...], code: str, label: str, title: str, text: Element, *entries: Element) -> Element:
    return E.section(
        *_templates(*templates),
        E.id(root=_uuid(code)),
        E.code(code=code, displayName=label, codeSystem=LOINC, codeSystemName="LOINC"),
        E.title(title),
        text,
        *[E.entry(entry) for entry in entries],
    )


def _templates(*roots: str) -> list[Element]:
    found = []
    for value in roots:
        root, _, extension = value.partition("|")
        found.append(E.templateId(root=root, extension=extension) if extension else E.templateId(root=root))
    return found


def _uuid(seed: str) -> str:
    digits = "".join(c for c in seed if c.isdigit()).zfill(12)[-12:]
    return f"0DDBA11A-0000-4000-8000-{digits}"


def _rows(*rows: tuple[str, str, str]) -> Element:
    """A narrative table of (label, content id, value)."""
    cells = [E.tr(E.td(label), E.td(E.content(value, ID=key))) for label, key, value in rows]
    return E.text(E.table(E.tbody(*cells), border="0"))


def _observation(templates: tuple[str, ...], code: str, label: str, reference: str, value: Element, when: str) -> Element:
    return E.observation(
        *_templates("1.3.6.1.4.1.19376.1.5.3.1.4.13", "1.2.250.1.213.1.1.3.48", *templates),
        E.id(root=_uuid(code)),
        E.code(code=code, displayName=label, codeSystem=TA, codeSystemName="TA_ASIP"),
        E.text(E.reference(value=reference)),
        E.statusCode(code="completed"),
        E.effectiveTime(value=when),
        value,
        classCode="OBS",
        moodCode="EVN",
    )


def _coded(code: str, label: str, system: str = SNOMED, type_: str = "CD") -> Element:
    return E.value(code=code, displayName=label, codeSystem=system, **{XSI_TYPE: type_})


def _text(value: str) -> Element:
    return E.value(value, **{XSI_TYPE: "ST"})


def _truth(value: bool) -> Element:
    return E.value(value="true" if value else "false", **{XSI_TYPE: "BL"})


def _status_section(status: tuple[str, str]) -> Element:
    entry = _observation(
        ("1.2.250.1.213.1.1.3.48.16", "1.2.250.1.213.1.1.3.48.16.1"),
        "GEN-065", "Statut du document", "#statutDoc", _coded(*status), "20261120",
    )  # fmt: skip
    return _section(
        ("1.2.250.1.213.1.1.2.35", "1.2.250.1.213.1.1.2.35.1"), "33557-0", "Etat d'achèvement", "Statut du document",
        _rows(("Statut du document", "statutDoc", status[1])), entry,
    )  # fmt: skip


def _reason_section() -> Element:
    text = E.text(E.paragraph("Pneumopathie hypoxémiante ", E.content("fébrile", styleCode="Bold"), " au retour d'un voyage"))
    return _section(
        ("1.3.6.1.4.1.19376.1.5.3.1.3.1", "1.2.250.1.213.1.1.2.127"), "42349-1", "Raison de la recommandation",
        "Motif de l'hospitalisation", text,
    )  # fmt: skip


def _stay_section() -> Element:
    n = "1.2.250.1.213.1.1.3.48."
    rows = (
        ("Modalité et date d'entrée", "modaliteE", "16/11/2026, urgence"),
        ("Modalité et date de sortie", "modaliteS", "20/11/2026, domicile"),
        ("Synthèse médicale", "synthese", "Pneumopathie lobaire droite, évolution favorable sous antibiotique"),
        ("Evénements indésirables", "EvenementIndesirable", "Veinite superficielle"),
        ("Recherche de microorganismes multi-résistants", "RechercheMicro", "17/11/2026, oui"),
        ("Micro-organismes identifiés", "identMicroOrg", "Aucun"),
        ("Transfusion", "transfu", "Non"),
        ("Accidents transfusionnels", "AccidentsTransfu", "Aucun"),
        ("Dérivés du sang", "adminSang", "Non"),
    )
    admitted = _coded("183452005", "urgence", type_="CE")
    discharged = _coded("160849004", "domicile", type_="CE")
    entries = (
        _observation((n + "6",), "ORG-070", "Modalité d'entrée", "modaliteE", admitted, "20261116"),
        _observation((n + "7",), "ORG-074", "Modalité de sortie", "#modaliteS", discharged, "20261120"),
        _observation((n + "9",), "MED-142", "Synthèse médicale", "#synthese", _text("Pneumopathie lobaire"), "202611201430+0100"),
        _observation((n + "3",), "MED-143", "Evènements indésirables", "#EvenementIndesirable", _text("Veinite"), "20261118"),
        _observation((n + "8",), "MED-309", "Recherche de microorganismes", "#RechercheMicro", _truth(True), "20261117"),
        _observation((n + "5",), "MED-144", "Micro-organismes multirésistants", "#identMicroOrg", _text("Aucun"), "20261117"),
        _observation((n + "10",), "MED-145", "Transfusion de produits sanguins", "#transfu", _truth(False), "2026"),
        _observation((n + "1",), "MED-146", "Accidents transfusionnels", "#AccidentsTransfu", _text("Aucun"), "202611"),
        _observation((n + "2",), "MED-147", "Administration de dérivés du sang", "#adminSang", _truth(False), "20261120"),
        _observation(
            (n + "4",),
            "MED-148",
            "Evènements indésirables suite aux dérivés",
            "#jamais-defini",
            E.value(nullFlavor="NA", **{XSI_TYPE: "ST"}),
            "20261120",
        ),
    )
    return _section(
        ("1.3.6.1.4.1.19376.1.5.3.1.1.21.2.9", "1.3.6.1.4.1.19376.1.7.3.1.1.13.7", "1.2.250.1.213.1.1.2.163",
         "1.2.250.1.213.1.1.2.163.1"),
        "42545-4", "Evènements observés", "Synthèse médicale du séjour", _rows(*rows), *entries,
    )  # fmt: skip


def _medicine(
    number: str, name: str, cis: str, atc: tuple[str, str], times: Element, frequency: Element, dose: str, *more: Element,
    mode: str = "1.3.6.1.4.1.19376.1.5.3.1.4.7.1",
) -> Element:  # fmt: skip
    route = E.routeCode(code="20053000", displayName="Voie orale", codeSystem="0.4.0.127.0.16.1.1.2.1", codeSystemName="EDQM")
    product = E.consumable(
        E.manufacturedProduct(
            *_templates("1.2.250.1.213.1.1.3.43", "2.16.840.1.113883.10.20.1.53", "1.3.6.1.4.1.19376.1.5.3.1.4.7.2"),
            E.manufacturedMaterial(
                E.code(
                    E.originalText(E.reference(value=f"#{number}")),
                    E.translation(code=atc[0], displayName=atc[1], codeSystem="2.16.840.1.113883.6.73", codeSystemName="ATC"),
                    code=cis,
                    displayName=name,
                    codeSystem="1.2.250.1.213.2.3.1",
                    codeSystemName="CIS",
                ),
                E.name(name),
            ),
        )
    )
    return E.substanceAdministration(
        *_templates("1.2.250.1.213.1.1.3.42", "2.16.840.1.113883.10.20.1.24", "1.3.6.1.4.1.19376.1.5.3.1.4.7", mode),
        E.id(root=_uuid(cis)),
        E.code(code="DRUG", displayName="Médicament", codeSystem="2.16.840.1.113883.5.4", codeSystemName="HL7:ActCode"),
        E.text(E.reference(value=f"#{number}")),
        E.statusCode(code="completed"),
        times,
        frequency,
        route,
        E.doseQuantity(E.low(value=dose, unit="{tbl}"), E.high(value=dose, unit="{tbl}")),
        E.rateQuantity(E.low(value="500", unit="mg/d"), E.high(value="1000", unit="mg/d")),
        E.maxDoseQuantity(E.numerator(value="3000", unit="mg"), E.denominator(value="1", unit="d")),
        product,
        *more,
        classCode="SBADM",
        moodCode="EVN",
    )


def _interval(low: str, high: str, **attributes: str) -> Element:
    bounds = [E(tag, value=value) for tag, value in (("low", low), ("high", high)) if value]
    return E.effectiveTime(*bounds, **attributes)


def _every(value: str, unit: str) -> Element:
    return E.effectiveTime(E.period(value=value, unit=unit), operator="A", **{XSI_TYPE: "PIVL_TS"})


def _stopped_section() -> Element:
    stop = E.entryRelationship(
        E.observation(
            *_templates("1.3.6.1.4.1.19376.1.5.3.1.4.13", "1.2.250.1.213.1.1.3.48"),
            E.id(root=_uuid("52")),
            E.code(code="MED-052", displayName="Motif d'arrêt", codeSystem=TA),
            E.text(E.reference(value="#STOP-A1")),
            E.statusCode(code="completed"),
            E.effectiveTime(value="20261117"),
            _text("Bradycardie"),
            classCode="OBS",
            moodCode="EVN",
        ),
        typeCode="COMP",
    )
    entry = _medicine(
        "MED-A1", "ESSAILOL 50 mg, comprimé", "69990001", ("C07AB02", "métoprolol"),
        _interval("2025", "20261117", **{XSI_TYPE: "IVL_TS"}), _every("12", "h"), "1", stop,
    )  # fmt: skip
    rows = (("Médicament", "MED-A1", "ESSAILOL 50 mg matin et soir, arrêté"), ("Motif d'arrêt", "STOP-A1", "Bradycardie"))
    return _section(
        ("1.3.6.1.4.1.19376.1.5.3.1.3.21", "1.2.250.1.213.1.1.2.145"), "18610-6", "Traitements administrés",
        "Traitements arrêtés durant le séjour", _rows(*rows), entry,
    )  # fmt: skip


def _discharge_section() -> Element:
    first = _medicine(
        "MED-B1", "MODELICILLINE 1 g, comprimé", "69990002", ("J01CA04", "amoxicilline"),
        _interval("20261120", "20261127", **{XSI_TYPE: "IVL_TS"}), _every("8", "h"), "1",
    )  # fmt: skip
    meal = E.effectiveTime(E.event(code="ACM"), operator="A", **{XSI_TYPE: "EIVL_TS"})
    # The norm has no interval without a start: an unknown one bears a nullFlavor.
    open_start = E.effectiveTime(E.low(nullFlavor="UNK"), E.high(value="20270120"), **{XSI_TYPE: "IVL_TS"})
    second = _medicine(
        "MED-B2", "FICTIPRAZOLE 20 mg, gélule", "69990003", ("A02BC01", "oméprazole"),
        open_start, meal, "1",
    )  # fmt: skip
    rows = (
        ("Médicament", "MED-B1", "MODELICILLINE 1 g trois fois par jour pendant 7 jours"),
        ("Médicament", "MED-B2", "FICTIPRAZOLE 20 mg le matin avant le repas"),
    )
    return _section(
        ("1.3.6.1.4.1.19376.1.5.3.1.3.22", "1.2.250.1.213.1.1.2.146"), "10183-2", "Traitements à la sortie",
        "Traitements à la sortie", _rows(*rows), first, second,
    )  # fmt: skip


def _pending_section() -> Element:
    expected = (E.item("Hémocultures du 17/11 : résultat définitif attendu"), E.item("Sérologie en cours"))
    text = E.text(E.list(*expected, listType="unordered"))
    return _section(
        ("1.3.6.1.4.1.19376.1.5.3.1.3.27", "1.2.250.1.213.1.1.2.150"), "30954-2", "Résultats d'examens",
        "Résultats d'examens / Autres informations attendus", text,
    )  # fmt: skip


def _follow_up_section() -> Element:
    scan = E.procedure(
        *_templates("2.16.840.1.113883.10.20.1.25", "1.3.6.1.4.1.19376.1.5.3.1.4.19", "1.2.250.1.213.1.1.3.62"),
        E.id(root=_uuid("62")),
        E.code(code="ZBQK002", displayName="Radiographie du thorax", codeSystem="1.2.250.1.215.300.1", codeSystemName="CCAM"),
        E.text(E.reference(value="#ACT01")),
        E.statusCode(code="active"),
        _interval("20261215", "20261222", **{XSI_TYPE: "IVL_TS"}),
        E.priorityCode(code="R", displayName="Routine", codeSystem="2.16.840.1.113883.5.7", codeSystemName="HL7:ActPriority"),
        classCode="PROC",
        moodCode="INT",
    )
    check = E.observation(
        *_templates("2.16.840.1.113883.10.20.1.25", "1.3.6.1.4.1.19376.1.5.3.1.1.20.3.1", "1.2.250.1.213.1.1.3.27"),
        E.id(root=_uuid("27")),
        E.code(code="ORG-064", displayName="Demande d'examen ou de suivi", codeSystem=TA, codeSystemName="TA_ASIP"),
        E.text(E.reference(value="#EXAM01")),
        E.statusCode(code="active"),
        E.effectiveTime(value="20261204"),
        _text("Contrôle NFS et CRP à 15 jours"),
        classCode="OBS",
        moodCode="INT",
    )
    visit = E.encounter(
        *_templates("2.16.840.1.113883.10.20.1.21", "2.16.840.1.113883.10.20.1.25", "1.3.6.1.4.1.19376.1.5.3.1.4.14",
                    "1.2.250.1.213.1.1.3.58"),
        E.id(root=_uuid("58")),
        E.code(code="AMB", displayName="Ambulatoire", codeSystem="2.16.840.1.113883.5.4"),
        E.text(E.reference(value="#CONSULT01")),
        E.effectiveTime(value="202612011030"),
        E.priorityCode(code="CS", displayName="recontacter pour fixer RDV", codeSystem="2.16.840.1.113883.5.7"),
        classCode="ENC",
        moodCode="ARQ",
    )  # fmt: skip
    rows = (
        ("Acte", "ACT01", "Radiographie du thorax de contrôle à un mois"),
        ("Suivi", "EXAM01", "Contrôle NFS et CRP à 15 jours"),
        ("Consultation", "CONSULT01", "Médecin traitant, 01/12/2026 à 10 h 30"),
    )
    return _section(
        ("2.16.840.1.113883.10.20.1.10", "1.3.6.1.4.1.19376.1.5.3.1.3.36", "1.2.250.1.213.1.1.2.158"), "18776-5",
        "Plan de soins", "Suites à donner", _rows(*rows), scan, check, visit,
    )  # fmt: skip


def _device_section() -> Element:
    entry = E.supply(
        *_templates("2.16.840.1.113883.10.20.1.34", "1.2.250.1.213.1.1.3.20"),
        E.id(root="1.2.250.1.213.1.1.9.9", extension="DM-1"),
        _interval("20261119", "", **{XSI_TYPE: "IVL_TS"}),
        E.participant(
            E.participantRole(
                E.id(root="1.2.250.1.999.94.3", extension="(01)03700000000015(17)301231(10)LOT42(21)SN7"),
                E.playingDevice(
                    E.code(
                        E.originalText(E.reference(value="#DM001")),
                        E.translation(code="3499999", displayName="Cathéter d'essai", codeSystem="1.2.250.1.215.200.2.1"),
                        code="C0104", displayName="CATHETERS VEINEUX CENTRAUX", codeSystem="1.2.250.1.213.2.68",
                        codeSystemName="EMDN",
                    ),
                    classCode="DEV", determinerCode="INSTANCE",
                ),
                classCode="MANU",
            ),
            typeCode="DEV",
        ),
        classCode="SPLY",
        moodCode="EVN",
    )  # fmt: skip
    return _section(
        ("2.16.840.1.11383.10.20.1.7", "1.3.6.1.4.1.19376.1.5.3.1.1.5.3.5", "1.2.250.1.213.1.1.2.1"), "46264-8",
        "Dispositifs médicaux", "Dispositifs médicaux",
        _rows(("19/11/2026", "DM001", "Cathéter veineux central (picc-line)")), entry,
    )  # fmt: skip


def _allergy_section() -> Element:
    reaction = E.entryRelationship(
        E.observation(
            *_templates(
                "2.16.840.1.113883.10.20.1.28",
                "2.16.840.1.113883.10.20.1.54",
                "1.3.6.1.4.1.19376.1.5.3.1.4.5",
                "1.2.250.1.213.1.1.3.37",
            ),
            E.id(root=_uuid("54")),
            E.code(code="404684003", displayName="Constatation", codeSystem=SNOMED),
            E.text(E.reference(value="#REA01")),
            E.statusCode(code="completed"),
            E.effectiveTime(E.low(value="2019")),
            E.value(
                E.originalText(E.reference(value="#REA01")),
                code="271807003",
                displayName="éruption cutanée",
                codeSystem=SNOMED,
                **{XSI_TYPE: "CD"},
            ),
            classCode="OBS",
            moodCode="EVN",
        ),
        typeCode="MFST",
        inversionInd="true",
    )
    severity = E.entryRelationship(
        E.observation(
            *_templates("2.16.840.1.113883.10.20.1.55", "1.3.6.1.4.1.19376.1.5.3.1.4.1", "1.2.250.1.213.1.1.3.29"),
            E.code(code="SEV", displayName="Sévérité", codeSystem="2.16.840.1.113883.5.4"),
            E.text(E.reference(value="#SEV01")),
            E.statusCode(code="completed"),
            _coded("M", "modérée", "2.16.840.1.113883.5.1063"),
            classCode="OBS",
            moodCode="EVN",
        ),
        typeCode="SUBJ",
        inversionInd="true",
    )
    allergy = E.observation(
        *_templates(
            "2.16.840.1.113883.10.20.1.28", "2.16.840.1.113883.10.20.1.18", "1.3.6.1.4.1.19376.1.5.3.1.4.5",
            "1.3.6.1.4.1.19376.1.5.3.1.4.6", "1.2.250.1.213.1.1.3.41",
        ),
        E.id(root=_uuid("41")),
        E.code(code="416098002", displayName="allergie médicamenteuse", codeSystem=SNOMED, codeSystemName="SNOMED CT"),
        E.text(E.reference(value="#ALL01")),
        E.statusCode(code="completed"),
        _interval("2019", "", **{XSI_TYPE: "IVL_TS"}),
        E.value(E.originalText(E.reference(value="#ALL01")), code="294499007", displayName="allergie à la pénicilline",
                codeSystem=SNOMED, **{XSI_TYPE: "CD"}),
        E.participant(
            E.participantRole(
                E.playingEntity(
                    E.code(E.originalText(E.reference(value="#AGENT01")), code="J01C", displayName="pénicillines",
                           codeSystem="2.16.840.1.113883.6.73"),
                    E.name("pénicillines"),
                    classCode="MMAT",
                ),
                classCode="MANU",
            ),
            typeCode="CSM",
        ),
        severity,
        reaction,
        classCode="OBS",
        moodCode="EVN",
    )  # fmt: skip
    concern = E.act(
        *_templates("2.16.840.1.113883.10.20.1.27", "1.3.6.1.4.1.19376.1.5.3.1.4.5.1", "1.3.6.1.4.1.19376.1.5.3.1.4.5.3",
                    "1.2.250.1.213.1.1.3.40"),
        E.id(root=_uuid("40")),
        E.code(nullFlavor="NA"),
        E.statusCode(code="active"),
        E.effectiveTime(E.low(value="2019")),
        E.entryRelationship(allergy, typeCode="SUBJ", inversionInd="false"),
        classCode="ACT",
        moodCode="EVN",
    )  # fmt: skip
    rows = (
        ("Allergie", "ALL01", "Allergie à la pénicilline depuis 2019"),
        ("Agent", "AGENT01", "Pénicillines"),
        ("Réaction", "REA01", "Éruption cutanée"),
        ("Sévérité", "SEV01", "Modérée"),
    )
    return _section(
        ("2.16.840.1.113883.10.20.1.2", "1.3.6.1.4.1.19376.1.5.3.1.3.13", "1.2.250.1.213.1.1.2.137"), "48765-2",
        "Allergies et hypersensibilités", "Allergies identifiées pendant le séjour", _rows(*rows), concern,
    )  # fmt: skip


def _write(header: list[Element], body: Element) -> bytes:
    root = E.ClinicalDocument(*header, body)
    return etree.tostring(root, encoding="UTF-8", xml_declaration=True, pretty_print=True)
