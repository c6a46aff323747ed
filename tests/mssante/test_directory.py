"""The national directory, asked over HTTP: who holds which mailbox, and every way in which an answer may fall short."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from mssante.directory import Directory, DirectoryError, DirectorySettings
from mssante.listed import Answer, MailboxKind
from tests.servers.annuaire import KEY, Annuaire, Fault, mailbox, organisation, practitioner, role

RPPS = "10100000017"
OTHER_RPPS = "10100000025"
FINESS = "940000011"
OTHER_FINESS = "920000022"


@pytest.fixture
def annuaire() -> Iterator[Annuaire]:
    people = [
        practitioner("p1", RPPS, mailbox("Camille.Exemple@medecin.mssante.fr", rank=2)),
        role("r1", "p1", "o1", mailbox("camille.exemple@cms.mssante.fr", rank=1, style="code", description="Cabinet 2")),
        role("r2", "p1", "o2", mailbox("camille@hopital.mssante.fr", style="none")),
        practitioner("p2", OTHER_RPPS, mailbox("autre@medecin.mssante.fr", listeRouge=True)),
        role("r3", "p2", "o1", active=False),
    ]
    structures = [
        organisation(
            "o1",
            FINESS,
            mailbox("secretariat@cms.mssante.fr", "ORG", service="Accueil"),
            mailbox("logiciel@cms.mssante.fr", "APP", rank=1),
            mailbox("contact@mairie.example", marked=False),
        ),
        organisation("o2", OTHER_FINESS),
    ]
    with Annuaire(*people, *structures) as server:
        yield server


@pytest.fixture
def ask(annuaire: Annuaire, tmp_path: Path) -> Directory:
    key = tmp_path / "key"
    key.write_text(KEY + "\n", encoding="utf-8")
    settings = DirectorySettings(key_file=key, base_url=annuaire.url, timeout_seconds=5)
    return Directory(settings, pause=lambda seconds: None)


def test_a_professional_is_found_with_the_boxes_of_each_role_preferred_first(ask: Directory) -> None:
    found = ask.of_professional(RPPS)
    assert [box.address for box in found.mailboxes] == [
        "camille.exemple@cms.mssante.fr",
        "camille.exemple@medecin.mssante.fr",
        "camille@hopital.mssante.fr",
    ]
    assert [box.at_structure for box in found.mailboxes] == [FINESS, "", OTHER_FINESS]
    assert {box.holder.rpps for box in found.mailboxes} == {RPPS}
    assert found.is_complete
    preferred = found.preferred()
    assert preferred is not None and preferred.description == "Cabinet 2"


def test_a_structure_lists_its_secure_boxes_and_no_ordinary_mail(ask: Directory) -> None:
    found = ask.of_structure(FINESS)
    assert [(box.address, box.kind) for box in found.mailboxes] == [
        ("camille.exemple@cms.mssante.fr", MailboxKind.PERSON),
        ("logiciel@cms.mssante.fr", MailboxKind.APPLICATION),
        ("secretariat@cms.mssante.fr", MailboxKind.ORGANISATION),
    ]
    assert found.mailboxes[2].service == "Accueil"


def test_an_address_tells_who_holds_it_by_one_query_a_type(ask: Directory, annuaire: Annuaire) -> None:
    found = ask.of_address("CAMILLE.exemple@cms.mssante.fr")
    assert [(box.holder.key, box.holder.rpps) for box in found.mailboxes] == [("PractitionerRole/r1", RPPS)]
    assert len(annuaire.asked) == 3
    assert not any("_type" in path or "mailbox-mss-type" in path for path in annuaire.asked)


def test_an_address_that_nobody_holds_is_a_complete_answer(ask: Directory) -> None:
    found = ask.of_address("personne@cms.mssante.fr")
    assert found.mailboxes == () and found.is_complete


def test_every_page_is_read(ask: Directory, annuaire: Annuaire) -> None:
    annuaire.page_size = 1
    assert len(ask.of_professional(RPPS).mailboxes) == 3
    assert any("page=" in path for path in annuaire.asked)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 408])
def test_a_passing_fault_is_tried_again(ask: Directory, annuaire: Annuaire, status: int) -> None:
    annuaire.faults = [Fault(status, headers={"Retry-After": "1"})]
    found = ask.of_professional(RPPS)
    assert len(found.mailboxes) == 3 and found.is_complete


def test_the_wait_is_what_the_directory_asks_within_our_bound(annuaire: Annuaire, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY, encoding="utf-8")
    waits: list[float] = []
    settings = DirectorySettings(tmp_path / "key", annuaire.url, longest_pause_seconds=20)
    annuaire.faults = [Fault(429, headers={"Retry-After": "7"}), Fault(429, headers={"Retry-After": "86400"})]
    Directory(settings, pause=waits.append).of_address("a@b.mssante.fr")
    assert waits == [7.0, 20]


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault(503), "directory.http-503"),
        (Fault(400, b'{"resourceType":"OperationOutcome"}'), "directory.http-400"),
        (Fault(302, headers={"Location": "http://192.0.2.1/"}), "directory.http-302"),
        (Fault(200, b'{"resourceType":"Bundle","entry":[{"res'), "directory.not-fhir"),
        (Fault(200, b"<html>maintenance</html>"), "directory.not-fhir"),
        (Fault(200, b'{"resourceType":"OperationOutcome","issue":[]}'), "directory.not-fhir"),
    ],
)
def test_an_answer_that_falls_short_never_reads_as_nobody(ask: Directory, annuaire: Annuaire, fault: Fault, code: str) -> None:
    annuaire.faults = [fault] * 3
    found = ask.of_professional(RPPS)
    assert not found.is_complete
    assert code in {finding.code for finding in found.findings}


def test_a_directory_that_is_not_there_never_reads_as_nobody(tmp_path: Path) -> None:
    with Annuaire() as gone:
        url = gone.url
    found = Directory(DirectorySettings(base_url=url), pause=lambda seconds: None).of_professional(RPPS)
    assert not found.is_complete and found.findings[0].code.startswith("directory.unreachable-")


@pytest.mark.parametrize("following", ["http://192.0.2.7/fhir/v2/Practitioner?page=1", "Practitioner?page=loop"])
def test_a_next_page_elsewhere_or_in_a_circle_is_refused(ask: Directory, annuaire: Annuaire, following: str) -> None:
    page = {"resourceType": "Bundle", "link": [{"relation": "next", "url": following}], "entry": []}
    annuaire.faults = [Fault(body=json.dumps(page).encode())] * 5
    found = ask.of_professional(RPPS)
    assert not found.is_complete
    assert "directory.next-page-refused" in {finding.code for finding in found.findings}


def test_a_page_beyond_reason_is_refused(ask: Directory, annuaire: Annuaire) -> None:
    annuaire.faults = [Fault(body=b" " * (16 * 1024 * 1024 + 1))]
    assert "directory.page-too-large" in {finding.code for finding in ask.of_professional(RPPS).findings}


def test_a_wrong_key_is_an_error_that_never_shows_the_key(annuaire: Annuaire, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("perimee", encoding="utf-8")
    with pytest.raises(DirectoryError) as caught:
        Directory(DirectorySettings(tmp_path / "key", annuaire.url)).of_professional(RPPS)
    assert caught.value.code == "directory.key-refused" and "perimee" not in str(caught.value)


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe", "clé\n".encode()])
def test_a_key_that_cannot_be_used_is_told_before_anything_is_asked(
    annuaire: Annuaire, tmp_path: Path, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "key").write_bytes(content)
    with pytest.raises(DirectoryError, match=r"key-missing"):
        Directory(DirectorySettings(tmp_path / "key", annuaire.url)).of_professional(RPPS)
    assert annuaire.asked == []


@pytest.mark.parametrize("rpps", ["", "1", "٠١٢٣٤٥٦٧٨٩٠", "810100000017"])
def test_a_number_that_is_no_rpps_is_not_asked(ask: Directory, annuaire: Annuaire, rpps: str) -> None:
    with pytest.raises(DirectoryError):
        ask.of_professional(rpps)
    assert annuaire.asked == []


def test_a_server_that_ignores_a_parameter_gives_nobody_else(ask: Directory, annuaire: Annuaire) -> None:
    everybody = {"resourceType": "Bundle", "entry": [{"resource": r} for r in annuaire.resources]}
    annuaire.faults = [Fault(body=json.dumps(everybody).encode())] * 8
    found = ask.of_professional(RPPS)
    assert {box.holder.rpps for box in found.mailboxes} == {RPPS}
    assert "directory.others-left-out" in {finding.code for finding in found.findings}


def test_a_closed_role_is_listed_but_never_preferred() -> None:
    answer = Answer()
    person = practitioner("p", RPPS, active=False)
    closed = role("r", "p", "o", mailbox("parti@cms.mssante.fr"))
    answer.add({"entry": [{"resource": person}, {"resource": closed}]})
    assert [box.holder.is_active for box in answer.mailboxes()] == [False]


def test_what_cannot_be_read_is_a_finding_and_the_rest_is_kept() -> None:
    answer = Answer()
    good = mailbox("bon@cms.mssante.fr", "APP")
    broken = [mailbox("pas une adresse"), {"system": "email"}, "x", {**good, "rank": True}]
    resource = {**organisation("o", FINESS, good), "telecom": [*broken, good], "identifier": "x"}
    answer.add({"entry": [{"resource": resource}, {"resource": "x"}, 7, {}]})
    assert [box.address for box in answer.mailboxes()] == ["bon@cms.mssante.fr"]
    codes = [finding.code for finding in answer.findings]
    assert codes.count("directory.entry-without-resource") == 3 and "directory.unusable-address" in codes


def test_check_reaches_the_directory(ask: Directory, annuaire: Annuaire) -> None:
    assert ask.check() == ""
    annuaire.faults = [Fault(500)] * 3
    assert ask.check() == "directory.http-500"
