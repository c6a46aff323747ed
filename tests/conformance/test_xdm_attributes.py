"""METADATA.XML, attribute by attribute, against what the norm's table derives from the CDA: derived here anew, with lxml alone.

Source: `specs/mssante-xdm` §4 (table of DocumentEntry and SubmissionSet), CI-SIS volet 2.1 §8. Nothing of the product is used to
derive: not its reader, not its tables. Each official CDA is compared, those beside the messages and those carried inside them.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from lxml import etree

from adapter.mapping.from_cda import read_cda_header
from adapter.packaging.xdm import build_xdm_zip
from tests.builders.secure_mail import SENDER, SENT_AT, SUBMISSION, delivery

pytestmark = pytest.mark.conformance

H = {"h": "urn:hl7-org:v3"}
R = {"r": "urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0"}
INS = "1.2.250.1.213.1.4."
PRO, STRUCTURE = "1.2.250.1.71.4.2.1", "1.2.250.1.71.4.2.2"
SCHEMES = {
    "author": "urn:uuid:93606bcf-9494-43ec-9b4e-a7748d1a838d",
    "classCode": "urn:uuid:41a5887f-8865-4c09-adf7-e362475b143a",
    "confidentialityCode": "urn:uuid:f4f85eac-e6cb-4883-b524-f2705394840f",
    "eventCodeList": "urn:uuid:2c6b8cb7-8b2a-4051-b291-b1ae6a575ef4",
    "formatCode": "urn:uuid:a09d5840-386c-46f2-b5ad-9c3699a4309d",
    "healthcareFacilityTypeCode": "urn:uuid:f33fb8ac-18af-42cc-ae0e-ed0b0bdb91e1",
    "practiceSettingCode": "urn:uuid:cccf5598-8b07-4b77-a05e-ae952c785ead",
    "typeCode": "urn:uuid:f0306f51-975f-434e-a61c-c59651d33983",
}
SET_CONTENT_TYPE = "urn:uuid:aa543740-bdda-424e-8c96-df4873be8500"
SET_AUTHOR = "urn:uuid:a7058bb9-b4e4-4307-ba5b-e3f0ab85e12d"
# ASS_X04 and ASS_A11 for the types and models met in the samples.
CLASSES = {
    "11488-4": "10", "11490-0": "10", "11502-2": "10", "18748-4": "31", "18761-7": "11", "34133-9": "11", "34112-3": "10",
    "34794-8": "10", "55115-0": "42", "57828-6": "42", "60591-5": "11", "68817-6": "11", "74207-2": "11", "75492-9": "10",
    "75496-0": "10", "77436-4": "10", "78513-9": "10", "80788-3": "44", "83901-9": "11", "85208-7": "10", "96349-6": "10",
    "34842-5": "11", "34874-8": "10", "34875-5": "10", "74465-6": "90", "88348-8": "11", "28570-0": "10", "BIL_AUTO": "10",
    "SYNTH": "11", "REMB": "60", "18776-5": "44", "15507-7": "10", "11369-6": "52", "75482-0": "10", "52521-2": "42",
}  # fmt: skip
FORMATS = {
    "1.2.250.1.213.1.1.1.12.4": "urn:asip:ci-sis:obp-scm:2023",
    "1.2.250.1.213.1.1.1.13": "urn:asip:ci-sis:vsm:2012",
    "1.2.250.1.213.1.1.1.16": "urn:asip:ci-sis:eunv:2013",
    "1.2.250.1.213.1.1.1.17": "urn:asip:ci-sis:sunv:2013",
    "1.2.250.1.213.1.1.1.21": "urn:asip:ci-sis:ldl-ees:2017",
    "1.2.250.1.213.1.1.1.22": "urn:asip:ci-sis:dlu:2015",
    "1.2.250.1.213.1.1.1.24": "urn:asip:ci-sis:fludr:2017",
    "1.2.250.1.213.1.1.1.29": "urn:asip:ci-sis:ldl-ses:2017",
    "1.2.250.1.213.1.1.1.30": "urn:asip:ci-sis:sdm-mr:2017",
    "1.2.250.1.213.1.1.1.38": "urn:asip:ci-sis:tlm-da:2020",
    "1.2.250.1.213.1.1.1.41": "urn:asip:ci-sis:cr-cpa:2020",
    "1.2.250.1.213.1.1.1.45": "urn:ihe:rad:CDA:ImagingReportStructuredHeadings:2013",
    "1.2.250.1.213.1.1.1.47": "urn:ans:ci-sis:img-da:2022",
    "1.2.250.1.213.1.1.1.5.4": "urn:ans:ci-sis:cse-mde:2023",
    "1.2.250.1.213.1.1.1.51": "urn:ihe:pcc:ips:2020",
    "1.2.250.1.213.1.1.1.55": "urn:ihe:lab:xd-lab:2008",
    "1.3.6.1.4.1.19376.1.3.3": "urn:ihe:lab:xd-lab:2008",
}
ACTIVITIES = {"IMP": "03", "EMER": "07", "AMB": "07", "EXTERNE": "07", "VR": "07"}
# ANS's own generator writes the IHE scheme for formats of IHE, its own for its own.
FORMAT_SCHEMES = {"urn:ihe:": "1.3.6.1.4.1.19376.1.2.3", "urn:a": "1.2.250.1.213.1.1.4.2.282"}


# ── the samples ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _documents(shared: Path) -> Iterator[tuple[str, bytes]]:
    for folder in ("cda", "hl7v2"):
        for path in sorted((shared / "samples" / folder).iterdir()):
            if path.suffix.lower() == ".xml":
                yield path.name, path.read_bytes()
            elif path.suffix in (".er7", ".hl7"):
                yield from _carried(path)


def _carried(path: Path) -> Iterator[tuple[str, bytes]]:
    """Documents inside a message: what stands after `^Base64^` and is long enough to be one."""
    for number, data in enumerate(re.findall(r"\^Base64\^([A-Za-z0-9+/=]{2000,})", path.read_text("utf-8")), 1):
        yield f"{path.name}#{number}", base64.b64decode(data + "=" * (-len(data) % 4))


# ── the table, applied with lxml alone ──────────────────────────────────────────────────────────────────────────────────────


class Cda:
    """One CDA and what the table takes from it."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.root = etree.fromstring(content)

    def text(self, path: str, node: Any = None) -> str:
        found = (self.root if node is None else node).xpath(f"string({path})", namespaces=H)
        return " ".join(str(found).split())

    def nodes(self, path: str, node: Any = None) -> list[Any]:
        return list((self.root if node is None else node).xpath(path, namespaces=H))

    # slots

    def slots(self) -> dict[str, list[str]]:
        start = self._low("h:documentationOf[1]/h:serviceEvent/h:effectiveTime") or self._low(
            "h:componentOf/h:encompassingEncounter/h:effectiveTime"
        )
        stop = self.text("h:documentationOf[1]/h:serviceEvent/h:effectiveTime/h:high/@value")
        created = _utc(self.text("h:effectiveTime/@value"))
        wanted = {
            "URI": ["DOC00001.XML"],
            "hash": [hashlib.sha1(self.content).hexdigest()],
            "size": [str(len(self.content))],
            "creationTime": [created],
            "languageCode": [self.text("h:languageCode/@code") or "fr-FR"],
            "serviceStartTime": [_utc(start) if start else created],
            "sourcePatientId": [self._source_patient_id()],
            "sourcePatientInfo": self._patient_info(),
        }
        if stop:
            wanted["serviceStopTime"] = [_utc(stop)]
        signer = self.nodes("h:legalAuthenticator/h:assignedEntity")
        people = [*signer, *self.nodes("h:author/h:assignedAuthor")]
        wanted["legalAuthenticator"] = [next(filter(None, map(self.xcn, people)))]
        return wanted

    def _low(self, path: str) -> str:
        return self.text(f"{path}/h:low/@value") or self.text(f"{path}/@value")

    def _ids(self) -> tuple[tuple[str, str] | None, tuple[str, str] | None]:
        """The INS and the first other number."""
        ids = [(i.get("root", ""), i.get("extension", "")) for i in self.nodes("h:recordTarget/h:patientRole/h:id")]
        ins = next(((r, e) for r, e in ids if r.startswith(INS) and r[len(INS) :] in ("8", "9", "10", "11") and e), None)
        other = next(((r, e) for r, e in ids if (r, e) != ins and e), None)
        return ins, other

    def _qualified_ins(self) -> tuple[str, str] | None:
        """A number with a right key and every trait: anything less identifies nobody."""
        ins, _ = self._ids()
        traits = [self._family("BR"), self._first_given(), self.text("h:recordTarget//h:administrativeGenderCode/@code")]
        traits += [self.text("h:recordTarget//h:birthplace//h:county"), self._birth() if len(self._birth()) == 8 else ""]
        return ins if ins and _key_is_right(ins[1]) and all(traits) else None

    def patient_id(self) -> str:
        ins, (_, other) = self._qualified_ins(), self._ids()
        if ins:
            return f"{ins[1]}^^^&{ins[0]}&ISO^NH"
        return f"{other[1]}^^^{_authority(other[0])}^PI" if other else ""

    def _source_patient_id(self) -> str:
        ins, other = self._ids()
        return f"{other[1]}^^^{_authority(other[0])}^PI" if other else f"{ins[1]}^^^&{ins[0]}&ISO^NH" if ins else ""

    def _family(self, qualifier: str) -> str:
        return self.text(f"h:recordTarget/h:patientRole/h:patient/h:name/h:family[@qualifier='{qualifier}']")

    def _given(self, condition: str) -> str:
        return self.text(f"h:recordTarget/h:patientRole/h:patient/h:name/h:given[{condition}]")

    def _first_given(self) -> str:
        return self._given("@qualifier='BR'") or self._given("not(@qualifier)").partition(" ")[0]

    def _birth(self) -> str:
        return self.text("h:recordTarget/h:patientRole/h:patient/h:birthTime/@value")[:8]

    def _patient_info(self) -> list[str]:
        birth_name = self._family("BR") or self.text("h:recordTarget/h:patientRole/h:patient/h:name/h:family[not(@qualifier)]")
        lines = [f"PID-5|{birth_name}^{self._first_given()}^{self._given('not(@qualifier)') or self._first_given()}^^^^L"]
        used, used_given = self._family("CL") or self._family("SP"), self._given("@qualifier='CL'")
        if used or used_given:
            lines.append(f"PID-5|{used or birth_name}^{used_given}^^^^^D")
        if self._birth():
            lines.append(f"PID-7|{self._birth()}")
        if sex := self.text("h:recordTarget/h:patientRole/h:patient/h:administrativeGenderCode/@code"):
            lines.append(f"PID-8|{'U' if sex == 'UN' else sex}")
        if insee := self.text("h:recordTarget/h:patientRole/h:patient/h:birthplace/h:place/h:addr/h:county"):
            lines.append(f"PID-11|^^^^^^BDL^^{insee}")
        return lines

    # people

    def xcn(self, assigned: Any) -> str:
        """A professional or a device as XCN; empty when neither is named."""
        number, root = self.text("h:id[1]/@extension", assigned), self.text("h:id[1]/@root", assigned)
        family = self.text("h:assignedPerson/h:name/h:family", assigned)
        given = self.text("h:assignedPerson/h:name/h:given", assigned)
        if self.nodes("h:assignedAuthoringDevice", assigned):
            software = self.text("h:assignedAuthoringDevice/h:softwareName", assigned)
            model = self.text("h:assignedAuthoringDevice/h:manufacturerModelName", assigned)
            return f"{number}^{software}^{model}^^^^^^&{root}&ISO^U^^^RI"
        if not family:
            return ""
        if root != PRO:
            number = f"{root}^{number}" if number else root
        kind = "EI" if "/" in number else "IDNPS"
        return f"{number}^{family}^{given}^^^^^^&{PRO}&ISO^D^^^{kind}"

    def xon(self, organisation: Any) -> str:
        name, number = self.text("h:name[1]", organisation), self.text("h:id[1]/@extension", organisation)
        # A Struct_IdNat is `1` + FINESS: five samples forgot the `1`.
        number = f"1{number}" if len(number) == 9 else number
        return f"{name}^^^^^&{STRUCTURE}&ISO^IDNST^^^{number}" if number else name

    def authors(self) -> list[dict[str, str]]:
        found = []
        for author in self.nodes("h:author"):
            (assigned,) = self.nodes("h:assignedAuthor", author)
            organisations = self.nodes("h:representedOrganization", assigned)
            code = self.nodes("h:code", assigned)
            slots = {
                "authorInstitution": self.xon(organisations[0]) if organisations else "",
                "authorPerson": self.xcn(assigned),
                "authorRole": self.text("h:functionCode/@displayName", author),
                "authorSpecialty": _specialty(code[0]) if code else "",
            }
            found.append({name: value for name, value in slots.items() if value})
        return found

    # codes

    def codes(self) -> dict[str, list[tuple[str, str]]]:
        type_code = self.text("h:code/@code")
        event_codes = [(c.get("code"), c.get("codeSystem")) for c in self.nodes("h:documentationOf/h:serviceEvent/h:code[@code]")]
        confidentiality = self.text("h:confidentialityCode/@code") or "N"
        facility = self.text("h:componentOf/h:encompassingEncounter/h:location/h:healthCareFacility/h:code/@code")
        return {
            "classCode": [(CLASSES.get(type_code, "10"), "1.2.250.1.213.1.1.4.1")],
            "confidentialityCode": [(confidentiality, "2.16.840.1.113883.5.25")],
            "eventCodeList": event_codes,
            "formatCode": [self._format()],
            "healthcareFacilityTypeCode": [(facility, "1.2.250.1.71.4.2.4")],
            "practiceSettingCode": [(self._setting(), "1.2.250.1.213.1.1.4.9")],
            "typeCode": [(type_code, self.text("h:code/@codeSystem"))],
        }

    def _setting(self) -> str:
        return self.text(
            "h:documentationOf[1]/h:serviceEvent/h:performer/h:assignedEntity/h:representedOrganization"
            "/h:standardIndustryClassCode/@code"
        )

    def _format(self) -> tuple[str, str]:
        templates = [t.get("root") for t in self.nodes("h:templateId")]
        if self.nodes("h:component/h:nonXMLBody"):
            code = "urn:ihe:iti:xds-sd:pdf:2008"
        else:
            known = [FORMATS[t] for t in templates if t in FORMATS]
            code = known[-1] if known else "urn:asipSante:modelesHorsProfils:2011"
        return code, next(scheme for prefix, scheme in FORMAT_SCHEMES.items() if code.startswith(prefix))

    def unique_id(self) -> str:
        root, extension = self.text("h:id/@root"), self.text("h:id/@extension")
        return f"{root}^{extension}" if extension else root


def _utc(value: str) -> str:
    """A CDA time in UTC, to the second; a date stays one; without a zone it is French civil time."""
    digits, zone = re.match(r"(\d+)(?:\.\d+)?([+-]\d{4})?", value).groups()  # type: ignore[union-attr]
    if len(digits) <= 8:
        return str(digits)
    offset = datetime.strptime(zone, "%z").tzinfo if zone else ZoneInfo("Europe/Paris")
    moment = datetime.strptime(digits.ljust(14, "0"), "%Y%m%d%H%M%S").replace(tzinfo=offset)
    return moment.astimezone(UTC).strftime("%Y%m%d%H%M%S")


def _key_is_right(number: str) -> bool:
    body = number[:13].replace("2A", "19").replace("2B", "18")
    return len(number) == 15 and body.isdigit() and int(number[13:]) == 97 - int(body) % 97


def _authority(root: str) -> str:
    return f"&{root}&ISO"


def _specialty(code: Any) -> str:
    return f"{code.get('code')}^{code.get('displayName', '')}^{code.get('codeSystem')}" if code.get("code") else ""


# ── what we wrote ───────────────────────────────────────────────────────────────────────────────────────────────────────────


class Written:
    """METADATA.XML of the archive that we make of a CDA."""

    def __init__(self, cda: bytes) -> None:
        submission = replace(SUBMISSION, document=read_cda_header(cda), sender=None, encounter_class="")
        archive = zipfile.ZipFile(io.BytesIO(build_xdm_zip(delivery(), submission, cda, SENDER, SENT_AT)))
        self.root = etree.fromstring(archive.read("IHE_XDM/SUBSET01/METADATA.XML"))
        (self.entry,) = self.root.findall(".//r:ExtrinsicObject", R)
        (self.set,) = self.root.findall(".//r:RegistryPackage", R)

    def slots(self, node: Any) -> dict[str, list[str]]:
        return {s.get("name"): s.xpath("r:ValueList/r:Value/text()", namespaces=R) for s in node.findall("r:Slot", R)}

    def codes(self, node: Any, scheme: str) -> list[tuple[str, str]]:
        found = node.xpath("r:Classification[@classificationScheme=$s]", namespaces=R, s=scheme)
        return [(c.get("nodeRepresentation"), self.slots(c)["codingScheme"][0]) for c in found]

    def authors(self) -> list[dict[str, str]]:
        found = self.entry.xpath("r:Classification[@classificationScheme=$s]", namespaces=R, s=SCHEMES["author"])
        return [{name: values[0] for name, values in self.slots(c).items()} for c in found]

    def identifiers(self, node: Any) -> dict[str, str]:
        found = node.findall("r:ExternalIdentifier", R)
        return {e.xpath("string(r:Name/r:LocalizedString/@value)", namespaces=R): e.get("value") for e in found}


def test_every_attribute_of_every_sample_is_what_the_table_derives(shared_dir: Path) -> None:
    differing: list[str] = []
    compared = attributes = 0
    for name, content in _documents(shared_dir):
        cda, written = Cda(content), Written(content)
        compared += 1
        pairs = [
            ("mimeType", written.entry.get("mimeType"), "text/xml"),
            ("title", written.entry.xpath("string(r:Name/r:LocalizedString/@value)", namespaces=R), cda.text("h:title")),
            ("author", written.authors(), cda.authors()),
            ("patientId", written.identifiers(written.entry)["XDSDocumentEntry.patientId"], cda.patient_id()),
            ("uniqueId", written.identifiers(written.entry)["XDSDocumentEntry.uniqueId"], cda.unique_id()),
        ]
        ours, theirs = written.slots(written.entry), cda.slots()
        pairs += [(slot, ours.get(slot), theirs.get(slot)) for slot in sorted(ours.keys() | theirs.keys())]
        pairs += [(code, written.codes(written.entry, SCHEMES[code]), expected) for code, expected in cda.codes().items()]
        pairs += _set_pairs(cda, written)
        attributes += len(pairs)
        differing += [f"{name}: {what}: {wrote!r}, not {expected!r}" for what, wrote, expected in pairs if wrote != expected]
    assert compared >= 45
    assert attributes >= 25 * compared
    assert not differing, "\n".join(differing)


def _set_pairs(cda: Cda, written: Written) -> list[tuple[str, Any, Any]]:
    """The submission set: ours but for the patient, the title and the kind of activity."""
    identifiers = written.identifiers(written.set)
    setting = cda._setting()
    activity = ACTIVITIES.get(cda.text("h:componentOf/h:encompassingEncounter/h:code/@code"))
    (author,) = written.set.xpath("r:Classification[@classificationScheme=$s]", namespaces=R, s=SET_AUTHOR)
    return [
        ("set.submissionTime", written.slots(written.set)["submissionTime"], [SENT_AT.strftime("%Y%m%d%H%M%S")]),
        ("set.title", written.set.xpath("string(r:Name/r:LocalizedString/@value)", namespaces=R), cda.text("h:title")),
        ("set.patientId", identifiers["XDSSubmissionSet.patientId"], cda.patient_id()),
        ("set.sourceId", identifiers["XDSSubmissionSet.sourceId"], SENDER.source_oid),
        ("set.uniqueId", bool(re.fullmatch(r"2\.25\.\d+", identifiers["XDSSubmissionSet.uniqueId"])), True),
        (
            "set.author",
            written.slots(author)["authorInstitution"],
            [f"{SENDER.name}^^^^^&{STRUCTURE}&ISO^IDNST^^^1{SENDER.finess}"],
        ),
        (
            "set.contentTypeCode",
            written.codes(written.set, SET_CONTENT_TYPE),
            [(activity or ("07" if setting == "AMBULATOIRE" else "97"), "1.2.250.1.213.2.2")],
        ),
    ]
