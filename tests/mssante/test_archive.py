"""IHE_XDM.zip read: what was written comes back, what the field gets wrong is told, what is hostile is refused."""

from __future__ import annotations

import io
import re
import struct
import tracemalloc
import warnings
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from mssante.archive import Archive, ArchiveLimits, read_archive
from mssante.entries import Action, Extras, Person, Relation, Software
from mssante.errors import ArchiveError, MssanteError
from mssante.findings import Finding
from mssante.xdm import build_archive
from tests.builders.ebrim import metadata_grammar
from tests.builders.xdm import CDA, ENTRY, INS, PATIENT, SET, Submitted, rezipped, submissions, zipped

METADATA = "IHE_XDM/SUBSET01/METADATA.XML"
DOCUMENT = "IHE_XDM/SUBSET01/DOC00001.XML"
WRITTEN = build_archive(SET, [(ENTRY, CDA)])


def codes_of(archive: Archive) -> list[str]:
    return [finding.code for finding in archive.all_findings]


def with_metadata(change: Callable[[str], str], encoding: str = "utf-8") -> bytes:
    return rezipped(
        WRITTEN, lambda name, body: (name, change(body.decode()).encode(encoding)) if name == METADATA else (name, body)
    )


def metadata_text() -> str:
    with zipfile.ZipFile(io.BytesIO(WRITTEN)) as archive:
        return archive.read(METADATA).decode()


# ── there and back ──────────────────────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=60, deadline=None)
@given(submissions())
def test_whatever_is_written_is_valid_and_reads_back_as_it_was(submission: Submitted) -> None:
    wanted, documents = submission
    content = build_archive(wanted, documents)
    archive = read_archive(content)
    (subset,) = archive.subsets
    assert subset.submission_set == wanted
    assert [(document.entry, document.content) for document in subset.documents] == documents
    assert not any(finding.grave for finding in archive.all_findings)
    assert {finding.code for finding in archive.all_findings} <= {"attribute-missing"}
    assert build_archive(wanted, documents) == content
    metadata_grammar().assertValid(etree.fromstring(subset.metadata or b""))


def test_a_plain_archive_is_read_without_a_word() -> None:
    archive = read_archive(WRITTEN)
    assert archive.all_findings == ()
    assert [file.path for file in archive.others] == ["README.TXT", "INDEX.HTM"]
    (document,) = archive.documents
    assert (document.path, document.content, document.action, document.is_doubtful) == (DOCUMENT, CDA, None, False)
    assert document.entry == ENTRY


def test_times_written_with_another_zone_are_the_same_instants() -> None:
    entry = replace(ENTRY, created="2021-04-01T00:47:45+01:00", service_start="2021-01-04T13:47+01:00")
    read = read_archive(build_archive(SET, [(entry, CDA)])).documents[0].entry
    assert read is not None
    assert (read.created, read.service_start) == ("2021-03-31T23:47:45Z", "2021-01-04T12:47:00Z")


def test_a_birth_at_midnight_in_paris_stays_on_its_day() -> None:
    patient = replace(PATIENT, birth_date="1974-09-18T00:00+01:00")
    read = read_archive(build_archive(SET, [(replace(ENTRY, patient=patient), CDA)])).documents[0].entry
    assert read is not None
    assert read.patient.birth_date == "1974-09-18"


def test_a_machine_that_authenticates_is_not_a_person() -> None:
    machine = Software("AUTOMATE-7", "Labo 3", "Modèle 9", "1.2.250.1.999.5")
    read = read_archive(build_archive(SET, [(replace(ENTRY, legal_authenticator=machine), CDA)])).documents[0].entry
    assert read is not None
    assert read.legal_authenticator == machine


def test_a_value_longer_than_the_schema_allows_is_refused_with_its_place() -> None:
    with pytest.raises(MssanteError, match=r"xdm\.too-long \[authorRole\]"):
        build_archive(replace(SET, author=replace(SET.author, role="x" * 257)), [(ENTRY, CDA)])
    with pytest.raises(MssanteError, match=r"xdm\.too-long"):
        build_archive(SET, [(replace(ENTRY, title="x" * 1025), CDA)])


def test_two_documents_never_share_an_entry_uuid() -> None:
    same = replace(ENTRY, entry_uuid="urn:uuid:20744602-ba65-44e9-87ee-a52303a5183e")
    with pytest.raises(MssanteError, match="entry-uuid"):
        build_archive(SET, [(same, CDA), (same, CDA)])
    with pytest.raises(MssanteError, match="entry-uuid"):
        build_archive(SET, [(replace(ENTRY, entry_uuid="D1"), CDA)])


# ── as the field writes it ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("folder", ["", "IHE_XDM/SUBSET01/", "ihe_xdm/Subset01/", "envoi/IHE_XDM/SUBSET01/", "a/b/c/d/"])
@pytest.mark.parametrize("name", ["METADATA.XML", "metadata.xml", "Metadata.Xml"])
def test_metadata_is_found_whatever_its_folder_and_case(folder: str, name: str) -> None:
    def moved(path: str, body: bytes) -> tuple[str, bytes]:
        return (folder + (name if path == METADATA else path.rpartition("/")[2]), body)

    archive = read_archive(rezipped(WRITTEN, moved))
    assert archive.all_findings == ()
    assert archive.documents[0].content == CDA


def test_metadata_too_deep_is_another_file() -> None:
    archive = read_archive(rezipped(WRITTEN, lambda name, body: ("a/b/c/d/e/" + name.rpartition("/")[2], body)))
    assert codes_of(archive) == ["metadata-missing", "document-undescribed"]


@pytest.mark.parametrize(
    "uri", ["doc00001.xml", "./DOC00001.XML", "SUBSET01\\DOC00001.XML", "IHE_XDM/SUBSET01/DOC00001.XML", " DOC00001.XML "]
)
def test_the_document_is_found_by_its_own_name_in_any_case(uri: str) -> None:
    archive = read_archive(with_metadata(lambda text: text.replace("<Value>DOC00001.XML<", f"<Value>{uri}<")))
    assert archive.documents[0].content == CDA


def test_backslashes_separate_and_what_systems_leave_behind_is_skipped() -> None:
    def windows(name: str, body: bytes) -> tuple[zipfile.ZipInfo, bytes]:
        info = zipfile.ZipInfo("x")
        info.filename = name.replace("/", "\\")
        return info, body

    with zipfile.ZipFile(io.BytesIO(WRITTEN)) as archive:
        files = [windows(name, archive.read(name)) for name in archive.namelist()]
    junk = [("__MACOSX/IHE_XDM/._DOC00001.XML", b"x"), ("IHE_XDM/SUBSET01/._METADATA.XML", b"x"), ("IHE_XDM/.DS_Store", b"x")]
    read = read_archive(zipped([*files, ("IHE_XDM/", b""), *junk]))
    assert read.all_findings == ()
    assert read.documents[0].path == DOCUMENT
    assert [file.path for file in read.others] == ["README.TXT", "INDEX.HTM"]


def test_names_are_cp437_unless_the_entry_says_utf_8() -> None:
    content = zipped([("r\u00e9sum\u00e9.txt", b"1"), *[(METADATA, b"<x/>")]])
    assert read_archive(content).others[0].path == "résumé.txt"
    # The same name as DOS wrote it: one byte a letter, no flag.
    dos = zipped([("r_sum_.txt", b"1")]).replace(b"r_sum_.txt", b"r\x82sum\x82.txt")
    assert read_archive(dos).others[0].path == "résumé.txt"


def test_every_subset_is_read() -> None:
    with zipfile.ZipFile(io.BytesIO(WRITTEN)) as archive:
        one = [(name, archive.read(name)) for name in archive.namelist()]
    two = [(name.replace("SUBSET01", "SUBSET02"), body) for name, body in one if name.startswith("IHE_XDM")]
    read = read_archive(zipped([*two, *one]))
    assert [subset.folder for subset in read.subsets] == ["IHE_XDM/SUBSET01", "IHE_XDM/SUBSET02"]
    assert [document.content for document in read.documents] == [CDA, CDA]


def test_a_large_zip_may_be_zip64() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, archive.open(zipfile.ZipInfo(DOCUMENT), "w", force_zip64=True) as entry:
        entry.write(CDA)
    assert read_archive(buffer.getvalue()).documents[0].content == CDA


def test_without_metadata_a_cda_is_a_document_that_nothing_describes() -> None:
    archive = read_archive(zipped([("lettre.xml", CDA), ("lettre.pdf", b"%PDF-1.4"), ("note.xml", b"<note/>")]))
    assert codes_of(archive) == ["metadata-missing", "document-undescribed"]
    assert [(document.path, document.entry) for document in archive.documents] == [("lettre.xml", None)]
    assert [file.path for file in archive.others] == ["lettre.pdf", "note.xml"]


def test_an_archive_without_document_says_so() -> None:
    assert read_archive(zipped([("note.txt", b"x")])).all_findings == (
        Finding("metadata-missing"),
        Finding("no-document", grave=True),
    )


def test_a_cda_that_metadata_forgets_is_not_lost() -> None:
    archive = read_archive(zipped([*unzipped(WRITTEN), ("IHE_XDM/SUBSET01/DOC00002.XML", CDA)]))
    assert [(document.path, document.entry is None) for document in archive.documents] == [
        (DOCUMENT, False),
        ("IHE_XDM/SUBSET01/DOC00002.XML", True),
    ]


def unzipped(content: bytes) -> list[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return [(name, archive.read(name)) for name in archive.namelist()]


@pytest.mark.parametrize(
    ("change", "encoding"),
    [
        (lambda text: "\ufeff" + text, "utf-8"),
        (lambda text: text.replace("UTF-8", "UTF-16"), "utf-16"),
        (lambda text: text.replace("UTF-8", "ISO-8859-1"), "iso-8859-1"),
        (lambda text: "\n  " + text, "utf-8"),
        (lambda text: text.split("?>", 1)[1], "utf-8"),
    ],
)
def test_metadata_may_be_in_any_charset_that_it_declares(change: Callable[[str], str], encoding: str) -> None:
    archive = read_archive(with_metadata(change, encoding))
    assert archive.all_findings == ()
    assert archive.documents[0].entry == ENTRY


@pytest.mark.parametrize(
    ("change", "encoding"),
    [(lambda text: text, "iso-8859-1"), (lambda text: text.replace("UTF-8", "UTF-16"), "utf-8")],
)
def test_metadata_in_another_charset_than_it_declares_is_read_and_told(change: Callable[[str], str], encoding: str) -> None:
    archive = read_archive(with_metadata(change, encoding))
    assert archive.documents[0].entry == ENTRY
    assert codes_of(archive) == ["charset-wrong"]


def prefixed(text: str) -> str:
    """The same METADATA.XML as most Java writers put it: every element with a prefix, another root around."""
    body = re.sub(r"<(/?)([A-Z])", r"<\1q:\2", text.split("?>", 1)[1]).replace("lcm:", "l:")
    body = body.replace(' xmlns="urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0"', "")
    body = body.replace("xmlns:l:=", "xmlns:l=").replace("xmlns:lcm=", "xmlns:l=")
    body = body.replace(
        "<l:SubmitObjectsRequest", '<l:SubmitObjectsRequest xmlns:q="urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0"'
    )
    return f'<p:ProvideAndRegister xmlns:p="urn:ihe:iti:xds-b:2007">{body}</p:ProvideAndRegister>'


def test_prefixes_and_an_outer_request_change_nothing() -> None:
    archive = read_archive(with_metadata(prefixed))
    assert archive.all_findings == ()
    assert archive.documents[0].entry == ENTRY
    assert archive.subsets[0].submission_set == SET


def test_classifications_beside_their_object_count_as_within() -> None:
    def beside(text: str) -> str:
        classifications = re.findall(r"<Classification [^>]*/>|<Classification .*?</Classification>", text)
        for classification in classifications:
            text = text.replace(classification, "")
        return text.replace("</RegistryObjectList>", "".join(classifications) + "</RegistryObjectList>")

    archive = read_archive(with_metadata(beside))
    assert archive.all_findings == ()
    assert archive.documents[0].entry == ENTRY
    assert archive.subsets[0].submission_set == SET


def test_an_ampersand_escaped_twice_is_read_as_one() -> None:
    archive = read_archive(with_metadata(lambda text: text.replace("&amp;1.2.250.1.999.94.1", "&amp;amp;1.2.250.1.999.94.1")))
    assert archive.documents[0].entry == ENTRY
    assert codes_of(archive) == ["escaped-twice"]


def slot(name: str, value: str) -> str:
    return f'<Slot name="{name}"><ValueList><Value>{value}</Value></ValueList></Slot>'


@pytest.mark.parametrize(
    ("name", "value", "action"),
    [
        ("urn:action:extraMetadataSlot", "C", Action.REPLACE),
        ("urn:action:extraMetadataSlot", "d", Action.DELETE),
        ("action", "C", Action.REPLACE),
        ("urn:asip:ci-sis:action", "D", Action.DELETE),
    ],
)
@pytest.mark.parametrize("carrier", ["ExtrinsicObject", "RegistryPackage", "Association"])
def test_an_action_is_read_from_any_of_its_carriers(name: str, value: str, action: Action, carrier: str) -> None:
    archive = read_archive(
        with_metadata(lambda text: re.sub(f"(<{carrier} [^>]*>)", lambda m: m[1] + slot(name, value), text, count=1))
    )
    assert archive.documents[0].action is action
    assert archive.all_findings == ()


def test_an_unknown_action_is_grave_and_stays_readable() -> None:
    archive = read_archive(
        with_metadata(lambda text: re.sub("(<ExtrinsicObject [^>]*>)", lambda m: m[1] + slot("action", "Z"), text, count=1))
    )
    assert archive.documents[0].action is None
    assert archive.all_findings == (Finding("action-unknown", "document 1.action", grave=True),)
    entry = archive.documents[0].entry
    assert entry is not None
    assert [(extra.name, extra.values) for extra in entry.extras.slots] == [("action", ("Z",))]


def test_an_association_that_replaces_is_a_replacement() -> None:
    entry = replace(ENTRY, relations=(Relation("RPLC", "urn:uuid:20744602-ba65-44e9-87ee-a52303a5183e"),))
    (document,) = read_archive(build_archive(SET, [(entry, CDA)])).documents
    assert document.action is Action.REPLACE
    assert document.entry == entry


@pytest.mark.parametrize("name", ["hash", "size"])
def test_a_missing_hash_or_size_is_a_warning(name: str) -> None:
    archive = read_archive(with_metadata(lambda text: re.sub(f'<Slot name="{name}">.*?</Slot>', "", text)))
    assert archive.all_findings == (Finding("attribute-missing", f"document 1.{name}"),)
    assert not archive.documents[0].is_doubtful


@pytest.mark.parametrize(("name", "code"), [("hash", "hash-mismatch"), ("size", "size-mismatch")])
def test_a_hash_or_size_that_differs_is_grave(name: str, code: str) -> None:
    value = {"hash": "0" * 40, "size": "9"}[name]
    archive = read_archive(with_metadata(lambda text: re.sub(f'<Slot name="{name}">.*?</Slot>', slot(name, value), text)))
    assert archive.all_findings == (Finding(code, DOCUMENT, grave=True),)
    assert archive.documents[0].is_doubtful
    assert archive.documents[0].content == CDA


def test_a_hash_in_upper_case_is_the_same_hash() -> None:
    archive = read_archive(
        with_metadata(lambda text: re.sub(r'(<Slot name="hash"><ValueList><Value>)([^<]*)', lambda m: m[1] + m[2].upper(), text))
    )
    assert archive.all_findings == ()


def test_a_described_file_that_is_not_there_is_grave_and_keeps_its_metadata() -> None:
    archive = read_archive(rezipped(WRITTEN, lambda name, body: None if name == DOCUMENT else (name, body)))
    (document,) = archive.documents
    assert (document.content, document.entry) == (None, ENTRY)
    assert archive.all_findings == (Finding("document-missing", "document 1", grave=True),)


@pytest.mark.parametrize(
    ("pattern", "finding"),
    [
        (r'<Slot name="creationTime">.*?</Slot>', "document 1.creationTime"),
        (r'<Slot name="URI">.*?</Slot>', "document 1.URI"),
        (r'<Slot name="legalAuthenticator">.*?</Slot>', "document 1.legalAuthenticator"),
        (r"<ExternalIdentifier [^>]*urn:uuid:58a6f841.*?</ExternalIdentifier>", "document 1.patientId"),
        (r"<ExternalIdentifier [^>]*urn:uuid:96fdda7c.*?</ExternalIdentifier>", "SubmissionSet.uniqueId"),
        (r"<Classification [^>]*urn:uuid:f0306f51.*?</Classification>", "document 1.typeCode"),
        (r"<Classification [^>]*urn:uuid:93606bcf.*?</Classification>", "document 1.author"),
        (r"<Classification [^>]*urn:uuid:aa543740.*?</Classification>", "SubmissionSet.contentTypeCode"),
    ],
)
def test_a_missing_attribute_is_named_and_nothing_else_is_lost(pattern: str, finding: str) -> None:
    archive = read_archive(with_metadata(lambda text: re.sub(pattern, "", text, count=1)))
    assert Finding("attribute-missing", finding) in archive.all_findings
    assert archive.documents[0].entry is not None
    assert archive.documents[0].entry.title == ENTRY.title


def test_a_time_that_is_none_is_told_and_stays_readable() -> None:
    archive = read_archive(with_metadata(lambda text: text.replace("20210331234745", "hier")))
    assert archive.all_findings == (Finding("time-malformed", "document 1.creationTime"),)
    entry = archive.documents[0].entry
    assert entry is not None
    assert entry.created == ""
    assert entry.extras.slots[0].values == ("hier",)


def test_people_and_times_in_other_forms_are_understood() -> None:
    def foreign(text: str) -> str:
        text = text.replace("810009990001^DUTEST^Alix^^^^^^&amp;1.2.250.1.71.4.2.1&amp;ISO^D^^^IDNPS", "Alix Dutest")
        return text.replace("20210331234745", "202104010147+0200")

    entry = read_archive(with_metadata(foreign)).documents[0].entry
    assert entry is not None
    assert entry.authors[0].person == Person("", "Alix Dutest")
    assert entry.created == "2021-04-01T01:47+02:00"


def test_unreadable_metadata_leaves_the_document_undescribed_and_is_grave() -> None:
    archive = read_archive(with_metadata(lambda text: text[:900]))
    assert archive.all_findings == (
        Finding("metadata-unreadable", METADATA, grave=True),
        Finding("document-undescribed", DOCUMENT),
    )
    assert archive.documents[0].content == CDA


def test_metadata_of_another_patient_is_there_to_compare() -> None:
    other = replace(INS, value="255069999999934")
    archive = read_archive(build_archive(replace(SET, patient=replace(PATIENT, number=other)), [(ENTRY, CDA)]))
    submission, entry = archive.subsets[0].submission_set, archive.documents[0].entry
    assert submission is not None
    assert entry is not None
    assert submission.patient.number == other
    assert submission.patient.birth_name == ""  # no traits are lent to a number that no document bears
    assert entry.patient.number == INS


def test_an_archive_shows_nothing_of_its_patient() -> None:
    archive = read_archive(WRITTEN)
    shown = repr(archive) + repr(archive.subsets) + repr(archive.documents) + repr(archive.others)
    assert "BERTHIER" not in shown
    assert INS.value not in shown


# ── hostile ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def link(target: bytes) -> tuple[zipfile.ZipInfo, bytes]:
    info = zipfile.ZipInfo("IHE_XDM/SUBSET01/DOC00001.XML")
    info.create_system, info.external_attr = 3, 0o120777 << 16
    return info, target


def named(name: str) -> bytes:
    info = zipfile.ZipInfo("x")
    info.filename = name
    return zipped([(info, b"x")])


def duplicated(first: str, second: str) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return zipped([(first, b"<innocent/>"), (second, b"<autre/>")])


def flagged(flag: int) -> bytes:
    content = bytearray(zipped([("DOC.XML", CDA)]))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = content.index(signature) + offset
        content[place : place + 2] = struct.pack("<H", flag)
    return bytes(content)


def lying(declared: int, crc: bytes = b"") -> bytes:
    """A deflated entry of 50 MB of zeros that says it is small, and even has the checksum of the small one."""
    content = bytearray(zipped([("DOC.XML", b"\0" * 50_000_000)]))
    crc = crc or struct.pack("<I", zlib.crc32(b"\0" * declared))
    for signature, crc_offset, size_offset in ((b"PK\x03\x04", 14, 22), (b"PK\x01\x02", 16, 24)):
        place = content.index(signature)
        content[place + crc_offset : place + crc_offset + 4] = crc
        content[place + size_offset : place + size_offset + 4] = struct.pack("<I", declared)
    return bytes(content)


ATTACKS: list[tuple[str, Callable[[], bytes], str]] = [
    ("slip", lambda: named("../../etc/passwd"), "archive.unsafe-name"),
    ("slip inside", lambda: named("IHE_XDM/../../x"), "archive.unsafe-name"),
    ("slip with backslashes", lambda: named("..\\..\\x"), "archive.unsafe-name"),
    ("absolute", lambda: named("/etc/passwd"), "archive.unsafe-name"),
    ("absolute with backslash", lambda: named("\\x"), "archive.unsafe-name"),
    ("drive", lambda: named("C:\\x"), "archive.unsafe-name"),
    ("drive without slash", lambda: named("c:x"), "archive.unsafe-name"),
    ("nul in the name", lambda: zipped([("DOC_XML", b"x")]).replace(b"DOC_XML", b"DOC\0XML"), "archive.unsafe-name"),
    ("line end in the name", lambda: named("a\r\nb"), "archive.unsafe-name"),
    ("symbolic link", lambda: zipped([link(b"/etc/passwd")]), "archive.symbolic-link"),
    ("encrypted", lambda: flagged(1), "archive.encrypted"),
    ("strongly encrypted", lambda: flagged(0x41), "archive.encrypted"),
    ("duplicate", lambda: duplicated(METADATA, METADATA), "archive.duplicate-name"),
    ("duplicate in another case", lambda: duplicated(METADATA, METADATA.lower()), "archive.duplicate-name"),
    ("duplicate by backslash", lambda: duplicated("a/b", "a\\b"), "archive.duplicate-name"),
    ("duplicate by dot", lambda: duplicated("a/b", "a/./b"), "archive.duplicate-name"),
    ("bomb", lambda: zipped([("DOC.XML", b"\0" * 50_000_000)]), "archive.bomb"),
    ("bomb in pieces", lambda: zipped([(f"{n}", b"\0" * 1_000_000) for n in range(150)]), "archive.size"),
    ("bomb that lies", lambda: lying(100, b"????"), "archive.broken"),
    ("too many entries", lambda: zipped([(f"{n}", b"") for n in range(201)]), "archive.entries"),
    ("bzip2", lambda: zipped([("a", b"x" * 100)], zipfile.ZIP_BZIP2), "archive.method"),
    ("lzma", lambda: zipped([("a", b"x" * 100)], zipfile.ZIP_LZMA), "archive.method"),
    ("truncated", lambda: WRITTEN[: len(WRITTEN) // 2], "archive.broken"),
    ("wrong checksum", lambda: WRITTEN.replace(zlib.crc32(CDA).to_bytes(4, "little"), b"\0\0\0\0"), "archive.broken"),
    ("not a zip", lambda: b"PK\x03\x04 rien", "archive.broken"),
    ("empty", lambda: b"", "archive.broken"),
    (
        "entities",
        lambda: with_metadata(lambda text: text.replace("?>", '?><!DOCTYPE a [<!ENTITY b "c">]>', 1)),
        "xml.dtd",
    ),
    (
        "external entity",
        lambda: with_metadata(lambda text: text.replace("?>", '?><!DOCTYPE a SYSTEM "file:///etc/passwd">', 1)),
        "xml.dtd",
    ),
    (
        "entities in UTF-16",
        lambda: with_metadata(lambda text: text.replace("UTF-8", "UTF-16").replace("?>", "?><!DOCTYPE a []>", 1), "utf-16"),
        "xml.dtd",
    ),
    (
        "entities behind a long comment",
        lambda: with_metadata(lambda text: text.replace("?>", f"?><!--{'x' * 70_000}--><!DOCTYPE a []>", 1)),
        "xml.dtd",
    ),
    ("huge metadata", lambda: with_metadata(lambda text: text + " " * 9_000_000), "archive.bomb"),
]


@pytest.mark.parametrize(("make", "code"), [attack[1:] for attack in ATTACKS], ids=[attack[0] for attack in ATTACKS])
def test_a_hostile_archive_is_refused_whole(make: Callable[[], bytes], code: str) -> None:
    with pytest.raises(ArchiveError) as raised:
        read_archive(make())
    assert raised.value.code == code
    assert "passwd" not in str(raised.value)


def test_a_bomb_that_lies_about_its_size_never_unfolds() -> None:
    bomb = lying(100)
    tracemalloc.start()
    archive = read_archive(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [len(file.content) for file in archive.others] == [100]
    assert peak < 2_000_000


def test_metadata_beyond_its_limit_is_refused() -> None:
    with pytest.raises(ArchiveError, match=r"xml\.too-large"):
        read_archive(WRITTEN, ArchiveLimits(metadata_bytes=1000))


def test_a_small_file_of_blanks_is_no_bomb() -> None:
    assert read_archive(zipped([("DOC.XML", CDA + b" " * 60_000)])).documents


def test_a_tower_of_elements_is_not_well_formed_enough() -> None:
    tower = "<a>" * 100_000 + "</a>" * 100_000
    archive = read_archive(zipped([(METADATA, tower.encode()), ("README.TXT", b"x")], zipfile.ZIP_STORED))
    assert codes_of(archive)[0] == "metadata-unreadable"


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_archive_is_refused_or_read_never_a_crash(data: st.DataObject) -> None:
    damaged = bytearray(WRITTEN)
    for place in data.draw(st.lists(st.integers(0, len(damaged) - 1), min_size=1, max_size=12)):
        damaged[place] = data.draw(st.integers(0, 255))
    try:
        read_archive(bytes(damaged))
    except MssanteError:
        return


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_metadata_is_read_or_told_never_a_crash(data: st.DataObject) -> None:
    text = metadata_text()
    start = data.draw(st.integers(0, len(text)))
    length = data.draw(st.integers(0, 200))
    inserted = data.draw(
        st.text(max_size=30) | st.sampled_from(["&#0;", "<Slot/>", "<Name/>", "<Association/>", "^&~|\\", "&x;"])
    )
    damaged = (text[:start] + inserted + text[start + length :]).encode("utf-8", "replace")
    try:
        read_archive(rezipped(WRITTEN, lambda name, body: (name, damaged) if name == METADATA else (name, body)))
    except MssanteError:
        return


def test_nothing_added_is_nothing() -> None:
    assert not Extras()
    assert Extras(version="1")
