"""Structured CDA documents of every model, about invented people, each entry written as the CI-SIS templates want it.

build_model("ldl-ees")            # a full one
build_model("img-da", sparse=True)  # one with null flavours, negations and text only
"""

from __future__ import annotations

import base64
from xml.sax.saxutils import escape

from lxml import etree

from tests.builders import cda
from tests.builders.cda import AUTHOR, LOINC, PATIENT, PCP, REFERRER, SNOMED, TA, V3, XSI, tiny_pdf

CIM10 = "2.16.840.1.113883.6.3"
DCM = "1.2.840.10008.2.16.4"
ENTRY = "1.2.250.1.213.1.1.3."
SECTION = "1.2.250.1.213.1.1.2."

# model → (its templateIds beside the two common ones, type code, type label, title)
MODELS = {
    "ldl-ees": (("1.2.250.1.213.1.1.1.21|2022.01",), "18761-7", "Lettre de liaison d'entrée", "Lettre de liaison d'entrée"),
    "img-da": (("1.2.840.10008.9.20", "1.2.250.1.213.1.1.1.47|2024.01"), "55115-0", "Demande d'imagerie", "Demande d'imagerie"),
    "img-cr": (("1.2.840.10008.9.1", "1.2.250.1.213.1.1.1.45|2024.01"), "18748-4", "CR d'imagerie", "Compte rendu d'imagerie"),
    "tlm-da": (("1.2.250.1.213.1.1.1.38|2022.01",), "75496-0", "Demande de télémédecine", "Demande d'acte de télémédecine"),
    "vsm": (("1.2.250.1.213.1.1.1.13|1.4",), "SYNTH", "Synthèse", "Volet de synthèse médicale"),
    "ips-fr": (("1.2.250.1.213.1.1.1.51|2024.01",), "60591-5", "Synthèse médicale", "Synthèse médicale (IPS)"),
}


def build_model(model: str, *, sparse: bool = False) -> bytes:
    """The document of a model. `sparse`: little is known, much is denied or null."""
    templates, code, label, title = MODELS[model]
    number = f"1.2.250.1.213.1.1.9.6{list(MODELS).index(model)}{int(sparse)}"
    header = cda._header(
        templates, PATIENT, AUTHOR, PCP, REFERRER, f"{number}.1", number, 1, "", (code, label), title, "20261120163000+0100", "N"
    )
    sections = _SPARSE[model]() if sparse else _FULL[model]()
    body = etree.fromstring(
        f'<component xmlns="{V3}" xmlns:xsi="{XSI}"><structuredBody>{"".join(sections)}</structuredBody></component>',
        etree.XMLParser(remove_blank_text=True),
    )
    return cda._write(header, body)


# -- parts -------------------------------------------------------------------------------------------------------------------


def section(template: str, code: str, title: str, rows: dict[str, str], *inside: str) -> str:
    """A section whose narrative names each row; entries and sub-sections follow."""
    words = "".join(f'<tr><td ID="{name}">{escape(text)}</td></tr>' for name, text in rows.items())
    narrative = f"<text><table><tbody>{words}</tbody></table></text>" if rows else ""
    return (
        f'<component><section><templateId root="{SECTION}{template}"/><code code="{code}" codeSystem="{LOINC}"/>'
        f"<title>{title}</title>{narrative}{''.join(inside)}</section></component>"
    )


def entry(act: str) -> str:
    """An entry."""
    return f"<entry>{act}</entry>"


def related(kind: str, act: str, inverted: str = "true") -> str:
    """A related act."""
    return f'<entryRelationship typeCode="{kind}" inversionInd="{inverted}">{act}</entryRelationship>'


def observation(
    template: str, code: str, label: str, value: str, *, row: str = "", system: str = TA, mood: str = "EVN",
    negated: bool = False, when: str = '<effectiveTime value="20261118"/>', inside: str = "", number: str = "",
) -> str:  # fmt: skip
    """An observation, its parts in the order of the schema."""
    denied = ' negationInd="true"' if negated else ""
    text = f'<text><reference value="#{row}"/></text>' if row else ""
    identifier = f'<id root="{cda._uuid(number)}"/>' if number else ""
    return (
        f'<observation classCode="OBS" moodCode="{mood}"{denied}><templateId root="{ENTRY}{template}"/>{identifier}'
        f'<code code="{code}" displayName="{label}" codeSystem="{system}"/>{text}<statusCode code="completed"/>{when}{value}'
        f"{inside}</observation>"
    )


def coded(code: str, label: str, system: str = SNOMED, row: str = "") -> str:
    """A coded value, with its words in the narrative."""
    words = f'<originalText><reference value="#{row}"/></originalText>' if row else ""
    return f'<value xsi:type="CD" code="{code}" displayName="{label}" codeSystem="{system}">{words}</value>'


def amount(value: str, unit: str) -> str:
    """A measured value."""
    return f'<value xsi:type="PQ" value="{value}" unit="{unit}"/>'


def truth(value: str) -> str:
    """A yes or no."""
    return f'<value xsi:type="BL" value="{value}"/>'


def comment(row: str) -> str:
    """A comment on the act around it."""
    return related(
        "SUBJ",
        f'<act classCode="ACT" moodCode="EVN"><templateId root="{ENTRY}32"/><code code="48767-8" displayName="Commentaire" '
        f'codeSystem="{LOINC}"/><text><reference value="#{row}"/></text><statusCode code="completed"/></act>',
    )


def concern(problem: str, *, state: str = "active", low: str = "2019", template: str = "39") -> str:
    """The act that follows a problem or an allergy."""
    return (
        f'<act classCode="ACT" moodCode="EVN"><templateId root="{ENTRY}{template}"/><id root="{cda._uuid("c" + low)}"/>'
        f'<code nullFlavor="NA"/><statusCode code="{state}"/><effectiveTime><low value="{low}"/></effectiveTime>'
        f"{related('SUBJ', problem, 'false')}</act>"
    )


def problem(code: str, label: str, row: str, *, negated: bool = False, inside: str = "", low: str = "201903") -> str:
    """A problem coded in CIM-10."""
    return observation(
        "37", "55607006", "problème", coded(code, label, CIM10, row), row=row, system=SNOMED, negated=negated, inside=inside,
        when=f'<effectiveTime><low value="{low}"/></effectiveTime>', number=row,
    )  # fmt: skip


def qualifiers(status: str, severity: str, certainty: str) -> str:
    """What only qualifies a problem: its state, how severe, how sure."""
    return (
        related("REFR", observation("30", "33999-4", "Statut du problème", coded(status, "statut"), system=LOINC))
        + related("SUBJ", observation("29", "SEV", "Sévérité", coded(severity, "gravité"), system="2.16.840.1.113883.5.4"))
        + related("SUBJ", observation("171", "66455-7", "Certitude", coded(certainty, "certitude"), system=LOINC))
    )


def allergy(row: str, *, negated: bool = False) -> str:
    """An allergy to penicillins."""
    agent = (
        '<participant typeCode="CSM"><participantRole classCode="MANU"><playingEntity classCode="MMAT">'
        '<code code="J01C" displayName="pénicillines" codeSystem="2.16.840.1.113883.6.73"/><name>pénicillines</name>'
        "</playingEntity></participantRole></participant>"
    )
    return observation(
        "41", "416098002", "allergie médicamenteuse", coded("294499007", "allergie à la pénicilline", row=row), row=row,
        system=SNOMED, negated=negated, when='<effectiveTime><low value="2019"/></effectiveTime>', inside=agent,
    )  # fmt: skip


def medicine(name: str, row: str, *, code: str = "DRUG", product: str = "") -> str:
    """A treatment, or the code that there is none."""
    system = "2.16.840.1.113883.5.4" if code == "DRUG" else "2.16.840.1.113883.5.1150.1"
    material = product or f'<code code="69990001" codeSystem="1.2.250.1.213.2.3.1"/><name>{name}</name>'
    return (
        f'<substanceAdministration classCode="SBADM" moodCode="EVN"><templateId root="{ENTRY}42"/><id root="{cda._uuid(row)}"/>'
        f'<code code="{code}" codeSystem="{system}"/><text><reference value="#{row}"/></text>'
        '<statusCode code="completed"/><effectiveTime xsi:type="IVL_TS"><low value="2025"/></effectiveTime>'
        f"<consumable><manufacturedProduct><manufacturedMaterial>{material}</manufacturedMaterial></manufacturedProduct>"
        "</consumable></substanceAdministration>"
    )


def procedure(row: str, *, mood: str = "EVN", negated: bool = False, template: str = "62", inside: str = "") -> str:
    """An act coded in CCAM."""
    denied = ' negationInd="true"' if negated else ""
    return (
        f'<procedure classCode="PROC" moodCode="{mood}"{denied}><templateId root="{ENTRY}{template}"/>'
        f'<id root="{cda._uuid(row)}"/><code code="HHFA001" displayName="Appendicectomie" codeSystem="1.2.250.1.215.300.1"/>'
        f'<text><reference value="#{row}"/></text><statusCode code="completed"/><effectiveTime value="2011"/>'
        f'<targetSiteCode code="66754008" displayName="appendice" codeSystem="{SNOMED}"/>{inside}</procedure>'
    )


def vital_signs() -> str:
    """Weight, height in metres, a pulse whose day nobody noted."""
    rows = (
        observation("50", "29463-7", "Poids", amount("58.0", "kg"), system=LOINC, row="poids", inside=comment("jeun")),
        observation("50", "8302-2", "Taille", amount("1.60", "m"), system=LOINC, row="taille"),
    )
    return _organizer("49", "85353-1", "Signes vitaux", *rows)


def undated_pulse() -> str:
    """A panel of one measure without a day."""
    pulse = observation(
        "50", "8867-4", "Fréquence cardiaque", amount("72", "/min"), system=LOINC, when='<effectiveTime nullFlavor="NA"/>'
    )
    return _organizer("49", "85353-1", "Signes vitaux", pulse)


def _organizer(template: str, code: str, label: str, *members: str, kind: str = "CLUSTER") -> str:
    inside = "".join(f'<component typeCode="COMP">{member}</component>' for member in members)
    return (
        f'<organizer classCode="{kind}" moodCode="EVN"><templateId root="{ENTRY}{template}"/><id root="{cda._uuid(code)}"/>'
        f'<code code="{code}" displayName="{label}" codeSystem="{LOINC}"/><statusCode code="completed"/>{inside}</organizer>'
    )


def laboratory() -> str:
    """A result with its range, interpretation and specimen."""
    range_ = (
        '<referenceRange><observationRange><text>3 à 5</text><value xsi:type="IVL_PQ"><low value="3" unit="mmol/L"/>'
        '<high value="5" unit="mmol/L"/></value></observationRange></referenceRange>'
    )
    specimen = (
        '<specimen><specimenRole><id root="1.2.250.1.999.94.7" extension="ECH-1"/><specimenPlayingEntity>'
        f'<code code="119297000" displayName="sang" codeSystem="{SNOMED}"/></specimenPlayingEntity></specimenRole></specimen>'
    )
    high = '<interpretationCode code="H" codeSystem="2.16.840.1.113883.5.83"/>'
    potassium = observation("80", "2823-3", "Potassium", amount("5.40", "mmol/L") + high + specimen + range_, system=LOINC)
    return _organizer("78", "24326-1", "Ionogramme", potassium, kind="BATTERY")


def family(*, negated: bool = False) -> str:
    """The mother's diabetes."""
    subject = (
        '<subject><relatedSubject classCode="PRS"><code code="MTH" displayName="Mère" codeSystem="2.16.840.1.113883.5.111"/>'
        '<subject><administrativeGenderCode code="F" codeSystem="2.16.840.1.113883.5.1"/><birthTime value="1950"/></subject>'
        "</relatedSubject></subject>"
    )
    known = observation(
        "51", "282291009", "interprétation diagnostique", coded("E11", "Diabète de type 2", CIM10, "famille"), row="famille",
        system=SNOMED, negated=negated, when='<effectiveTime><low value="1990"/></effectiveTime>',
    )  # fmt: skip
    return (
        f'<organizer classCode="CLUSTER" moodCode="EVN"><templateId root="{ENTRY}59"/><statusCode code="completed"/>{subject}'
        f"<component>{known}</component></organizer>"
    )


def vaccine(*, mood: str = "EVN", negated: bool = False, template: str = "45") -> str:
    """A vaccine, its rank, what followed."""
    rank = related("SUBJ", observation("82", "30973-2", "Rang", '<value xsi:type="INT" value="2"/>', system=LOINC, when=""))
    reaction = related("CAUS", problem("R50.2", "Fièvre due à des médicaments", "reaction", low="20260928"), "false")
    denied = ' negationInd="true"' if negated else ""
    when = '<effectiveTime nullFlavor="NAV"/>' if negated else '<effectiveTime value="20260928"/>'
    return (
        f'<substanceAdministration classCode="SBADM" moodCode="{mood}"{denied}><templateId root="{ENTRY}{template}"/>'
        f'<id root="{cda._uuid("vac" + mood)}"/><code code="BOOSTER" codeSystem="2.16.840.1.113883.5.4"/>'
        f'<text><reference value="#vaccin"/></text><statusCode code="completed"/>{when}'
        '<routeCode code="20035000" displayName="Voie intramusculaire" codeSystem="0.4.0.127.0.16.1.1.2.1"/>'
        "<consumable><manufacturedProduct><manufacturedMaterial>"
        '<code code="69990003" codeSystem="1.2.250.1.213.2.3.1"><originalText><reference value="#vaccin"/></originalText></code>'
        "<lotNumberText>LOT-7</lotNumberText></manufacturedMaterial></manufacturedProduct></consumable>"
        f"{rank if mood == 'EVN' else ''}{reaction if mood == 'EVN' and not negated else ''}</substanceAdministration>"
    )


def attachment(name: str = "DOC-1") -> str:
    """An attached PDF."""
    data = base64.b64encode(tiny_pdf("Courrier")).decode("ascii")
    kind = observation(
        "48.18", "69764-9", "Type de document", '<value xsi:type="CD"><originalText>Courrier</originalText></value>',
        system=LOINC, when='<effectiveTime nullFlavor="NA"/>',
    )  # fmt: skip
    file = (
        f'<observationMedia classCode="OBS" moodCode="EVN" ID="{name}"><value mediaType="application/pdf" representation="B64">'
        f"{data}</value></observationMedia>"
    )
    return _organizer("18", "55107-7", "Document attaché", kind, file)


def imaging_request(*, urgent: bool = True) -> str:
    """A scan of the skull that is asked for."""
    reason = '<originalText><reference value="#urgence"/></originalText>'
    priority = f'<priorityCode code="UR" displayName="Urgent" codeSystem="2.16.840.1.113883.5.7">{reason}</priorityCode>'
    site = (
        f'<targetSiteCode code="302548004" displayName="tête entière" codeSystem="{SNOMED}"><qualifier><name code="272741003" '
        f'codeSystem="{SNOMED}"/><value code="7771000" displayName="gauche" codeSystem="{SNOMED}"/></qualifier></targetSiteCode>'
    )
    call_back = related("COMP", observation("48", "GEN-297", "Rappel souhaité", truth("true"), when=""), "false")
    return (
        f'<observation classCode="OBS" moodCode="INT"><templateId root="{ENTRY}27"/><templateId root="{ENTRY}27.3"/>'
        f'<id root="{cda._uuid("acte")}"/><code code="CT" displayName="Tomodensitométrie" codeSystem="{DCM}"/>'
        '<text><reference value="#acte"/></text><statusCode code="active"/><effectiveTime value="20261130"/>'
        f"{priority if urgent else ''}{site}{comment('remarque')}{call_back}</observation>"
    )


def imaging_study() -> str:
    """One study, one series, one image."""
    image = (
        f'<observation classCode="DGIMG" moodCode="EVN"><templateId root="{ENTRY}157"/><id root="1.2.250.1.999.94.8.1.1"/>'
        '<code code="1.2.840.10008.5.1.4.1.1.2" displayName="CT Image Storage" codeSystem="1.2.840.10008.2.6.1"/>'
        '<text mediaType="application/dicom"><reference value="https://pacs.example/wado?objectUID=1"/></text></observation>'
    )
    modality = (
        f'<qualifier><name code="121139" displayName="Modalité" codeSystem="{DCM}"/>'
        f'<value code="CT" displayName="Tomodensitométrie" codeSystem="{DCM}"/></qualifier>'
    )
    series = (
        f'<act classCode="ACT" moodCode="EVN"><templateId root="{ENTRY}156"/><id root="1.2.250.1.999.94.8.1"/>'
        f'<code code="113015" displayName="Séries" codeSystem="{DCM}">{modality}</code>'
        f'<effectiveTime value="20261118101500+0100"/><entryRelationship typeCode="COMP">{image}</entryRelationship></act>'
    )
    return (
        f'<act classCode="ACT" moodCode="EVN"><templateId root="{ENTRY}155"/><id root="1.2.250.1.999.94.8"/>'
        f'<code code="113014" displayName="Examen" codeSystem="{DCM}"/><effectiveTime value="20261118101500+0100"/>'
        f'<entryRelationship typeCode="COMP">{series}</entryRelationship></act>'
    )


def contrast(*, negated: bool = False) -> str:
    """A contrast agent given."""
    denied = ' negationInd="true"' if negated else ""
    return (
        f'<substanceAdministration classCode="SBADM" moodCode="EVN"{denied}><templateId root="{ENTRY}151"/>'
        f'<text><reference value="#produit"/></text><statusCode code="completed"/>'
        '<routeCode code="20045000" displayName="Voie intraveineuse" codeSystem="0.4.0.127.0.16.1.1.2.1"/>'
        '<doseQuantity value="150" unit="mL"/><consumable><manufacturedProduct><manufacturedMaterial>'
        '<code><translation code="V08AB11" displayName="IOBITRIDOL" codeSystem="2.16.840.1.113883.6.73"/></code>'
        "<name>CONTRASTINE 350</name><lotNumberText>L-1</lotNumberText></manufacturedMaterial></manufacturedProduct></consumable>"
        "</substanceAdministration>"
    )


def dose() -> str:
    """A dose of radiation."""
    return observation("154", "113813", "PDL total", amount("1140.26", "mGy.cm"), system=DCM, row="dose")


# -- documents ---------------------------------------------------------------------------------------------------------------


def _history() -> list[str]:
    chronic = problem("I10", "Hypertension essentielle", "hta", inside=qualifiers("55561003", "6736007", "410605003"))
    past = problem("N10", "Pyélonéphrite aiguë", "pna", low="2018")
    return [
        section("132", "11450-4", "Problèmes actifs", {"hta": "Hypertension"}, entry(concern(chronic))),
        section("134", "11348-0", "Antécédents", {"pna": "Pyélonéphrite"}, entry(concern(past, state="completed", low="2018"))),
        section("136", "47519-4", "Actes", {"act": "Appendicectomie 2011"}, entry(procedure("act"))),
        section("137", "48765-2", "Allergies", {"all": "Pénicilline"}, entry(concern(allergy("all"), template="40"))),
        section("139", "10157-6", "Antécédents familiaux", {"famille": "Mère diabétique"}, entry(family())),
    ]


def _denied_history() -> list[str]:
    return [
        section("132", "11450-4", "Problèmes", {"hta": "Pas d'hypertension"},
                entry(concern(problem("I10", "Hypertension essentielle", "hta", negated=True)))),
        section("136", "47519-4", "Actes", {"act": "Pas d'appendicectomie"}, entry(procedure("act", negated=True))),
        section("137", "48765-2", "Allergies", {"all": "Pas d'allergie à la pénicilline"},
                entry(concern(allergy("all", negated=True), template="40"))),
        section("139", "10157-6", "Antécédents familiaux", {"famille": "Pas de diabète"}, entry(family(negated=True))),
    ]  # fmt: skip


def _treatments(template: str = "143") -> str:
    return section(template, "10160-0", "Traitements", {"med": "MODELOLOL 5 mg"}, entry(medicine("MODELOLOL 5 mg", "med")))


def _no_treatment(template: str = "143") -> str:
    nothing = medicine("", "med", code="no-known-medications", product='<code nullFlavor="NA"/>')
    return section(template, "10160-0", "Traitements", {"med": "Aucun traitement connu"}, entry(nothing))


def _clinical(*, sparse: bool = False) -> str:
    asked = section("211", "55115-0", "Justification", {"motif": "Céphalée brutale"})
    codes = (("11348-0", "Antécédents médicaux"), ("47519-4", "Antécédents chirurgicaux"), ("64100-1", "Contre-indications"))
    facts = [
        entry(observation("150", code, label, '<value xsi:type="ST">Néant</value>', system=LOINC, row=f"f{n}", negated=sparse))
        for n, (code, label) in enumerate(codes)
    ]
    rows = {f"f{n}": label for n, (_, label) in enumerate(codes)}
    return section("205", "55752-0", "Informations cliniques", {}, asked, section("213", "11329-0", "Antécédents", rows, *facts))


def _informed(value: str) -> str:
    told = observation(
        "48", "MED-1130", "Informé des risques", truth(value), row="risque", when='<effectiveTime nullFlavor="NA"/>'
    )
    return section("107", "34895-3", "Information du patient", {"risque": "Informé"}, entry(told))


def _attached() -> str:
    return section("37", "55107-7", "Documents liés", {"doc": "Courrier"}, entry(attachment()))


def _ldl_ees() -> list[str]:
    return [section("127", "42349-1", "Motif", {"m": "Fièvre"}), _treatments("144"), *_history()[1:4],
            section("73", "55112-7", "Autres informations", {"c": "Vit seule"})]  # fmt: skip


def _ldl_ees_sparse() -> list[str]:
    return [section("127", "42349-1", "Motif", {"m": "Fièvre"}), _no_treatment("144"), *_denied_history()[:3],
            section("73", "55112-7", "Autres informations", {"c": "Néant"})]  # fmt: skip


def _img_da() -> list[str]:
    rows = {"acte": "Scanner du crâne", "urgence": "Suspicion d'hémorragie", "remarque": "Patiente anxieuse"}
    return [_clinical(), _informed("true"), section("158.3", "18776-5", "Actes demandés", rows, entry(imaging_request())),
            _attached()]  # fmt: skip


def _img_da_sparse() -> list[str]:
    asked = imaging_request(urgent=False).replace('moodCode="INT"', 'moodCode="INT" negationInd="true"', 1)
    rows = {"acte": "Pas de scanner", "remarque": "Refus de la patiente"}
    return [_clinical(sparse=True), _informed("false"), section("158.3", "18776-5", "Actes demandés", rows, entry(asked))]


def _img_cr() -> list[str]:
    act = procedure("act", template="153")
    technique = section("206", "55111-9", "Technique", {"act": "Scanner", "produit": "Iobitridol"}, entry(act), entry(contrast()),
                        section("215", "73569-6", "Exposition", {"dose": "PDL 1140,26"}, entry(dose())),
                        section("217", "121181", "Catalogue", {}, entry(imaging_study())))  # fmt: skip
    return [_clinical(), technique, section("208", "59776-5", "Résultats", {"r": "Pas de saignement"}),
            section("209", "19005-8", "Conclusion", {"c": "Examen normal."}), _attached()]  # fmt: skip


def _img_cr_sparse() -> list[str]:
    act = procedure("act", template="153", negated=True)
    technique = section("206", "55111-9", "Technique", {"act": "Non fait", "produit": "Non injecté"}, entry(act),
                        entry(contrast(negated=True)))  # fmt: skip
    return [technique, section("209", "19005-8", "Conclusion", {"c": "Examen non réalisé."})]


def _tlm_da() -> list[str]:
    anamnesis = section("69", "34117-2", "Anamnèse", {}, *_history())
    habits = section("140", "29762-2", "Mode de vie", {"t": "Tabac : non"},
                     entry(observation("52", "63513-6", "Tabac", truth("false"), system=LOINC, row="t")))  # fmt: skip
    children = observation("53", "11636-8", "Naissances", '<value xsi:type="INT" value="2"/>', system=LOINC, row="n")
    return [section("68", "46612-8", "Anamnèse et facteurs de risques", {}, anamnesis, habits), _treatments(),
            section("75", "8716-3", "Signes vitaux", {"poids": "58 kg", "taille": "1,60 m", "jeun": "Tôt"}, entry(vital_signs())),
            section("77", "10162-6", "Grossesses", {"n": "2 enfants"}, entry(children)), _attached()]  # fmt: skip


def _tlm_da_sparse() -> list[str]:
    anamnesis = section("69", "34117-2", "Anamnèse", {}, *_denied_history())
    return [section("68", "46612-8", "Anamnèse et facteurs de risques", {}, anamnesis), _no_treatment(),
            section("75", "8716-3", "Signes vitaux", {"p": "72/min"}, entry(undated_pulse()))]  # fmt: skip


def _vsm() -> list[str]:
    return [section("29", "46612-8", "Pathologies", {}, section("30", "34117-2", "Antécédents", {}, *_history())),
            section("32", "18776-5", "Traitement au long cours", {}, _treatments())]  # fmt: skip


def _vsm_sparse() -> list[str]:
    return [section("29", "46612-8", "Pathologies", {}, section("30", "34117-2", "Antécédents", {}, *_denied_history())),
            section("32", "18776-5", "Traitement au long cours", {}, _no_treatment())]  # fmt: skip


def _ips_fr() -> list[str]:
    vaccines = section("147", "11369-6", "Vaccinations", {"vaccin": "Rappel DTP", "reaction": "Fièvre"}, entry(vaccine()),
                       entry(vaccine(mood="INT", template="47")))  # fmt: skip
    plan = section("158", "18776-5", "Plan de soins", {"act": "Appendicectomie prévue"}, entry(procedure("act", mood="INT")))
    signs = section("75", "8716-3", "Constantes", {"poids": "58 kg", "taille": "1,60 m", "jeun": "À jeun"}, entry(vital_signs()))
    results = section("244", "30954-2", "Résultats", {"k": "K 5,4"}, entry(laboratory()))
    return [*_history(), _treatments(), signs, vaccines, results, plan, _attached()]


def _ips_fr_sparse() -> list[str]:
    vaccines = section("147", "11369-6", "Vaccinations", {"vaccin": "Rappel refusé"}, entry(vaccine(negated=True)))
    return [*_denied_history(), _no_treatment(), vaccines]


_FULL = {"ldl-ees": _ldl_ees, "img-da": _img_da, "img-cr": _img_cr, "tlm-da": _tlm_da, "vsm": _vsm, "ips-fr": _ips_fr}
_SPARSE = {
    "ldl-ees": _ldl_ees_sparse, "img-da": _img_da_sparse, "img-cr": _img_cr_sparse, "tlm-da": _tlm_da_sparse, "vsm": _vsm_sparse,
    "ips-fr": _ips_fr_sparse,
}  # fmt: skip
