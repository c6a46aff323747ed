"""Archives for tests: an invented submission, any archive that hypothesis can think of, and zips written entry by entry."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from uuid import UUID

from hypothesis import strategies as st

from mssante.xdm import (
    Action,
    Author,
    ClassifiedAs,
    Coded,
    DocumentEntry,
    Extras,
    Institution,
    Patient,
    PatientNumber,
    Person,
    Reference,
    Relation,
    Slot,
    Software,
    SubmissionSet,
    submission_unique_id,
)

INS = PatientNumber("279035121518989", "1.2.250.1.213.1.4.10", "NH")
PATIENT = Patient(
    INS,
    PatientNumber("900000123", "1.2.250.1.999.94.1"),
    "EXEMPLE-BERTHIER",
    "CAMILLE",
    "CAMILLE JEANNE",
    "EXEMPLE-MOREL",
    "CAMILLE",
    "1974-09-18",
    "F",
    "94043",
)
AUTHOR = Author(
    Person("810009990001", "DUTEST", "Alix"),
    Institution("Laboratoire d'essai & Cie", "1940999901"),
    "Médecin",
    Coded("G15_10/SM03", "1.2.250.1.213.1.1.4.5", "Médecin - Biologie médicale (SM)"),
)
ENTRY = DocumentEntry(
    unique_id="1.2.250.1.213.1.1.9.500.1",
    title="Compte rendu d'examens biologiques",
    created="2021-03-31T23:47:45Z",
    patient=PATIENT,
    authors=(AUTHOR,),
    class_code=Coded("10", "1.2.250.1.213.1.1.4.1", "Compte rendu"),
    type_code=Coded("11502-2", "2.16.840.1.113883.6.1", "CR d'examens biologiques"),
    format_code=Coded("urn:ihe:iti:xds-sd:pdf:2008", "1.3.6.1.4.1.19376.1.2.3", "Pdf/A-1"),
    facility_type=Coded("SA25", "1.2.250.1.71.4.2.4", "Laboratoire de biologie médicale"),
    practice_setting=Coded("AMBULATOIRE", "1.2.250.1.213.1.1.4.9", "Ambulatoire"),
    confidentiality=(Coded("N", "2.16.840.1.113883.5.25", "Normal"),),
    legal_authenticator=Person("810009990001", "DUTEST", "Alix"),
    service_start="2021-01-04",
)
SET = SubmissionSet(
    unique_id=submission_unique_id(329800735698586629295641978511506172918),
    source_id="1.2.250.1.999.1.1.7898",
    submitted=datetime(2021, 4, 1, 1, 30, tzinfo=UTC),
    title="Compte rendu d'examens biologiques",
    author=AUTHOR,
    content_type=Coded("07", "1.2.250.1.213.2.2", "Consultation Soins Externes"),
    patient=PATIENT,
)
CDA = "<ClinicalDocument xmlns='urn:hl7-org:v3'>é</ClinicalDocument>".encode()

# ── any archive ─────────────────────────────────────────────────────────────────────────────────────────────────────

_LETTERS = st.characters(min_codepoint=0x20, max_codepoint=0x2FF, exclude_categories=("Cc", "Cs"))


def _no_outer_blanks(text: str) -> bool:
    return text == text.strip() and "&amp;" not in text


@cache
def words(least: int = 0, most: int = 20) -> st.SearchStrategy[str]:
    """Text without outer blanks; HL7 separators, backslashes and XML's own characters included."""
    return st.text(_LETTERS, min_size=least, max_size=most).filter(_no_outer_blanks)


@cache
def oids() -> st.SearchStrategy[str]:
    return st.lists(st.integers(0, 9999), min_size=2, max_size=6).map(lambda steps: f"1.2.{'.'.join(map(str, steps))}")


@cache
def codes() -> st.SearchStrategy[Coded]:
    return st.builds(Coded, words(1), oids(), words(1))


@cache
def numbers() -> st.SearchStrategy[PatientNumber]:
    return st.builds(PatientNumber, words(1), oids(), st.sampled_from(["NH", "PI", "INS-C"]))


@cache
def _people() -> st.SearchStrategy[Person | Software]:
    numbered = st.builds(
        Person, words(1), words(1), words(), st.just("") | oids(), words(), words(), words(), st.sampled_from(["", "XX"])
    )
    unnumbered = st.builds(Person, st.just(""), words(1), words(), further_given=words(), suffix=words(), prefix=words())
    machines = st.builds(Software, words(1), words(), words(), oids())
    return numbered | unnumbered | machines


@cache
def _institutions() -> st.SearchStrategy[Institution]:
    numbered = st.builds(Institution, words(), words(1), st.just("") | oids(), st.sampled_from(["", "FINEG"]))
    return numbered | st.builds(Institution, words(1))


@cache
def authors() -> st.SearchStrategy[Author]:
    whole = st.builds(
        Author, _people(), _institutions(), words(1), codes(), st.sampled_from([(), (Slot("authorTelecommunication", ("^^X",)),)])
    )
    partial = st.builds(Author, _people()) | st.builds(Author, institution=_institutions())
    several = Slot("authorInstitution", ("Deuxième lieu",))
    return whole | partial | whole.map(lambda author: replace(author, further=(several, *author.further)))


@cache
def patients() -> st.SearchStrategy[Patient]:
    def with_source(patient: Patient) -> Patient:
        return replace(patient, source_number=patient.source_number or patient.number)

    days = st.dates(min_value=datetime(1890, 1, 1, tzinfo=UTC).date()).map(lambda day: day.isoformat())
    built = st.builds(
        Patient,
        st.none() | numbers(),
        st.none() | numbers(),
        words(1),
        words(),
        words(),
        st.just(""),
        st.just(""),
        st.just("") | days | days.map(lambda day: day[:7]),
        st.sampled_from(["", "F", "M", "U"]),
        st.sampled_from(["", "94043", "2A004"]),
        st.sampled_from([(), ("PID-11|1 rue d'essai^^Le Kremlin^^94270",)]),
    )
    used = st.builds(lambda patient, name, first: replace(patient, used_name=name, used_given=first), built, words(1), words())
    return (built | used).map(with_source)


@cache
def _instants() -> st.SearchStrategy[str]:
    moments = st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2200, 1, 1))  # noqa: DTZ001 - Z is written below
    return moments.map(lambda moment: f"{moment:%Y-%m-%dT%H:%M:%S}Z") | st.dates().map(lambda day: day.isoformat())


@cache
def _uuids() -> st.SearchStrategy[str]:
    return st.just("") | st.uuids().map(lambda number: f"urn:uuid:{number}")


@cache
def _extras() -> st.SearchStrategy[Extras]:
    whole = st.builds(
        Extras,
        st.just((Slot("urn:exemple:lieu", ("a", "b")),)),
        st.builds(lambda code: (ClassifiedAs("urn:uuid:11111111-2222-4333-8444-555555555555", code),), codes()),
        st.just((("urn:uuid:66666666-2222-4333-8444-555555555555", "valeur"),)),
        st.just("urn:uuid:20744602-ba65-44e9-87ee-a52303a5183e"),
        st.just("urn:oid:1.2.3"),
        st.just("urn:oasis:names:tc:ebxml-regrep:StatusType:Approved"),
        st.just("3"),
    )
    return st.just(Extras()) | whole


@cache
def entries() -> st.SearchStrategy[DocumentEntry]:
    """Any document entry that the writer takes, its times already in UTC."""
    return st.builds(
        DocumentEntry,
        unique_id=oids() | st.builds(lambda root, number: f"{root}^{number}", oids(), st.integers(1, 10**9)),
        title=words(1, 200),
        created=_instants(),
        patient=st.just(PATIENT),
        authors=st.lists(authors(), min_size=1, max_size=3).map(tuple),
        class_code=codes(),
        type_code=codes(),
        format_code=codes(),
        facility_type=codes(),
        practice_setting=codes(),
        confidentiality=st.lists(codes(), min_size=1, max_size=4).map(tuple),
        events=st.lists(codes(), max_size=3).map(tuple),
        legal_authenticator=st.none() | _people(),
        service_start=st.just("") | _instants(),
        service_stop=st.just("") | _instants(),
        language=st.sampled_from(["fr-FR", "en"]),
        mime_type=st.sampled_from(["text/xml", "application/xslt+xml", "application/pdf"]),
        action=st.sampled_from([None, Action.REPLACE, Action.DELETE]),
        comments=st.just("") | words(1, 60),
        references=st.lists(st.builds(Reference, words(1), oids(), words(1)), max_size=2).map(tuple),
        relations=st.sampled_from([(), (Relation("RPLC", f"urn:uuid:{UUID(int=5)}"),), (Relation("urn:x:autre", "urn:uuid:1"),)]),
        entry_uuid=_uuids(),
        extras=_extras(),
    )


@cache
def _sets() -> st.SearchStrategy[SubmissionSet]:
    moments = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - see timezones
    return st.builds(
        SubmissionSet,
        unique_id=oids(),
        source_id=oids(),
        submitted=moments.map(lambda moment: moment.replace(microsecond=0)),
        title=words(1, 200),
        author=authors(),
        content_type=codes(),
        patient=st.just(PATIENT),
        further_authors=st.lists(authors(), max_size=2).map(tuple),
        intended_recipients=st.sampled_from([(), ("Cabinet d'essai^^^^^&1.2.3&ISO^^^^1|^DUTEST^Alix",)]),
        comments=st.just("") | words(1, 60),
        entry_uuid=_uuids(),
        extras=_extras(),
    )


Submitted = tuple[SubmissionSet, list[tuple[DocumentEntry, bytes]]]


@cache
def submissions() -> st.SearchStrategy[Submitted]:
    """A submission of one patient's one to three documents."""

    def of_one_patient(submission: SubmissionSet, documents: list[tuple[DocumentEntry, bytes]], patient: Patient) -> Submitted:
        return replace(submission, patient=patient), [(replace(entry, patient=patient), body) for entry, body in documents]

    documents = st.lists(st.tuples(entries(), st.binary(max_size=300)), min_size=1, max_size=3)
    return st.builds(of_one_patient, _sets(), documents, patients())


# ── zips, entry by entry ────────────────────────────────────────────────────────────────────────────────────────────


def zipped(files: Iterable[tuple[str | zipfile.ZipInfo, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip with these entries, in this order, whatever their names."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return buffer.getvalue()


def rezipped(content: bytes, change: Callable[[str, bytes], tuple[str, bytes] | None]) -> bytes:
    """The archive again, each file renamed, rewritten or (None) left out by `change`."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        changed = [change(name, archive.read(name)) for name in archive.namelist()]
    return zipped(file for file in changed if file is not None)
