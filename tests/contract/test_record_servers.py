"""One suite on the built-in record and on a third party's server: what each does is what docs/reference/record-contract.md says.

The page is the contract: a row per case, a column per server. The test acts, and compares with the row.
"""

from __future__ import annotations

import copy
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from adapter.record.refusals import REASONS
from tests.builders import record as r
from tests.builders.ledger import World
from tests.loudly import skip_loudly
from tests.servers.record import record_server
from tests.servers.sekmet import UnavailableError, sekmet_server

pytestmark = pytest.mark.contract

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "record-contract.md"
FHIR = "application/fhir+json"
SERVERS = ("built-in", "sekmet-fhir")


@dataclass
class Server:
    """A server to act on; each case has numbers of its own."""

    name: str
    base: str

    def send(self, method: str, path: str = "", body: Any = None, **headers: str) -> requests.Response:
        """One request as a feeder."""
        said = {"Accept": FHIR, "Content-Type": FHIR, "Authorization": f"Bearer {r.secret_of(r.FEEDER)}"}
        said |= {name.replace("_", "-"): value for name, value in headers.items()}
        data = body if isinstance(body, bytes) or body is None else r.written(body)
        return requests.request(method, self.base + path, data=data, headers=said, timeout=60)

    def post(self, bundle: r.Resource) -> str:
        """A transaction: its status, and those of its entries when they are not all alike."""
        answer = self.send("POST", "", bundle)
        if answer.status_code >= 300:
            return str(answer.status_code)
        kinds = [entry["response"]["status"][:3] for entry in answer.json()["entry"]]
        return f"{answer.status_code}: {kinds[0] if len(set(kinds)) == 1 else ' '.join(kinds)}"

    def count(self, number: int) -> int:
        """How many documents bear that unique id (either of the places where it may stand)."""
        found = self.send("GET", f"/DocumentReference?identifier={r.URI}|{r.unique_of(number)}").json()
        return len([e for e in found.get("entry", ()) if e["resource"]["resourceType"] == "DocumentReference"])


def searchable(bundle: r.Resource) -> r.Resource:
    """With the unique id among the identifiers too, and a set that is known by a tag: some servers search there alone."""
    made = copy.deepcopy(bundle)
    listed = next(one for one in made["entry"] if one["resource"]["resourceType"] == "List")
    unique = listed["resource"]["identifier"][0]["value"]
    listed["resource"]["meta"]["tag"] = [{"system": "urn:set", "code": unique}]
    if "ifNoneExist" in listed["request"]:
        listed["request"]["ifNoneExist"] = f"_tag=urn:set|{unique}"
    document = r.resource_in(made, "DocumentReference")
    document["identifier"].append({"use": "secondary", "system": r.URI, "value": document["masterIdentifier"]["value"]})
    return made


def sent(number: int, **changes: Any) -> Callable[[Server], str]:
    """A transaction whose document is changed so."""
    return lambda server: server.post(r.changed(searchable(r.transaction(number)), **changes))


def whole(server: Server) -> str:
    return server.post(searchable(r.transaction(101)))


def repeated(server: Server) -> str:
    server.post(searchable(r.transaction(102)))
    return f"{server.post(searchable(r.transaction(102)))}; {server.count(102)} document"


def unconditional(server: Server) -> str:
    for _ in range(2):
        status = server.post(searchable(r.transaction(103, conditional=False)))
    return f"{status}; {server.count(103)} document"


def replaced(server: Server) -> str:
    server.post(searchable(r.transaction(104)))
    status = server.post(searchable(r.transaction(105, replaces=r.unique_of(104))))
    found = server.send("GET", f"/DocumentReference?identifier={r.URI}|{r.unique_of(104)}").json()
    return f"{status}; old {found['entry'][0]['resource']['status']}"


def simultaneous(server: Server) -> str:
    body = r.written(searchable(r.transaction(106)))
    gate = threading.Barrier(16)

    def post(_: int) -> int:
        gate.wait(20)
        return server.send("POST", "", body).status_code

    with ThreadPoolExecutor(16) as pool:
        codes = Counter(pool.map(post, range(16)))
    one = "one document" if server.count(106) == 1 else "several documents"
    return f"{'all 200' if set(codes) == {200} else 'some refused'}; {one}"


def broken_entry(server: Server) -> str:
    bundle = searchable(r.transaction(107))
    bundle["entry"].append(
        {"fullUrl": "urn:uuid:broken", "request": {"method": "POST", "url": "Binary"}, "resource": {"resourceType": "Binary"}}
    )
    return f"{server.post(bundle)}; {server.count(107)} document"


def other_patient(server: Server) -> str:
    return server.post(r.changed(searchable(r.transaction(108)), contained__0__identifier__0__value=r.INS_TWO))


def document_missing(server: Server) -> str:
    bundle = searchable(r.transaction(109))
    bundle["entry"] = [one for one in bundle["entry"] if one["resource"]["resourceType"] != "Binary"]
    return server.post(bundle)


def fetched(server: Server) -> str:
    server.post(searchable(r.transaction(110, b"%PDF-1.7 fetched")))
    found = server.send("GET", f"/DocumentReference?identifier={r.URI}|{r.unique_of(110)}").json()
    url = found["entry"][0]["resource"]["content"][0]["attachment"]["url"]
    address = url if url.startswith("http") else f"{server.base}/{url}"
    raw = requests.get(
        address, headers={"Accept": "application/pdf", "Authorization": f"Bearer {r.secret_of(r.FEEDER)}"}, timeout=20
    )
    same = "the very bytes" if raw.content == b"%PDF-1.7 fetched" else "other bytes"
    return f"{raw.status_code}: {same}"


def patched(server: Server) -> str:
    server.post(searchable(r.transaction(111)))
    path = f"/DocumentReference?identifier={r.URI}|{r.unique_of(111)}"
    answer = server.send("PATCH", path, r.patch_labels("N", "MASQUE_PS"), Content_Type="application/json-patch+json")
    return str(answer.status_code)


def patched_elsewhere(server: Server) -> str:
    server.post(searchable(r.transaction(112)))
    path = f"/DocumentReference?identifier={r.URI}|{r.unique_of(112)}"
    patch = [{"op": "replace", "path": "/content/0/attachment/title", "value": "x"}]
    return str(server.send("PATCH", path, patch, Content_Type="application/json-patch+json").status_code)


def stale(server: Server) -> str:
    server.post(searchable(r.transaction(113)))
    found = server.send("GET", f"/DocumentReference?identifier={r.URI}|{r.unique_of(113)}").json()
    path = f"/DocumentReference/{found['entry'][0]['resource']['id']}"
    said = {"Content_Type": "application/json-patch+json", "If_Match": 'W/"99"'}
    return str(server.send("PATCH", path, r.patch_labels("N"), **said).status_code)


def asked(query: str) -> Callable[[Server], str]:
    return lambda server: str(server.send("GET", f"/DocumentReference?{query}").status_code)


def without_token(server: Server) -> str:
    return str(requests.get(f"{server.base}/DocumentReference", headers={"Accept": FHIR}, timeout=20).status_code)


def without_profile(server: Server) -> str:
    return server.post({key: value for key, value in searchable(r.transaction(114)).items() if key != "meta"})


CASES: dict[str, Callable[[Server], str]] = {
    "a right submission": whole,
    "the same submission again": repeated,
    "the same without conditions, twice": unconditional,
    "sixteen clients, the same conditional create": simultaneous,
    "a replacement": replaced,
    "a replaced document that is unknown": sent(201, relatesTo=[
        {"code": "replaces", "target": {"identifier": {"system": r.URI, "value": "urn:oid:1.2.3"}}}
    ]),
    "the bytes asked for": fetched,
    "an entry that is no resource": broken_entry,
    "a size that is not true": sent(202, content__0__attachment__size=1),
    "a hash that is not true": sent(203, content__0__attachment__hash="AAAA"),
    "a document that is not joined": document_missing,
    "a part about another patient": other_patient,
    "no profile on the Bundle": without_profile,
    "no visibility": sent(204, securityLabel=None),
    "an element that R4 does not know": sent(205, colour="red"),
    "an absurd date": sent(206, date="2026-02-31T10:00:00Z"),
    "a change of visibility (PATCH)": patched,
    "a change of the title (PATCH)": patched_elsewhere,
    "a change of a stale version": stale,
    "a search by an unknown parameter": asked("colour=red"),
    "a search by an absurd date": asked("date=2026-13-45"),
    "a page that nobody gave": asked("_page=forged"),
    "no token": without_token,
}  # fmt: skip


def contract() -> dict[str, dict[str, str]]:
    """The page's table: case → server → what it does."""
    rows = [line.strip("|").split("|") for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    header = [cell.strip() for cell in rows[0]]
    return {
        cells[0].strip(): dict(zip(header, (cell.strip() for cell in cells), strict=True))
        for cells in rows[1:]
        if cells[0].strip() in CASES
    }


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    if request.param == "built-in":
        world = World(f"sqlite:///{tmp_path}/ledger.db")
        world.ledger.migrate()
        with record_server(world.ledger) as base:
            yield Server(request.param, base)
        world.ledger.close()
        return
    try:
        with sekmet_server(tmp_path) as base:
            yield Server(request.param, base)
    except UnavailableError as error:
        skip_loudly(str(error))


@pytest.mark.timeout(240)
def test_each_server_does_what_the_contract_says(server: Server) -> None:
    done = {case: act(server) for case, act in CASES.items()}
    assert done == {case: row[server.name] for case, row in contract().items()}


def test_the_contract_tells_of_every_case() -> None:
    assert list(contract()) == list(CASES)


def test_the_page_lists_every_code_of_refusal_as_it_is() -> None:
    written = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `record.")]
    assert written == [f"| `{code}` | {one.status} | {one.issue_type} | {one.text} |" for code, one in REASONS.items()]
