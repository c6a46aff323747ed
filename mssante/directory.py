"""Looks mailboxes up in the national directory (Annuaire Santé, FHIR R4, read only): by RPPS, FINESS or address.

Sources: Annuaire Santé guide v2 (`https://gateway.api.esante.gouv.fr/fhir/v2`, header ESANTE-API-KEY, 50 a page, `link[next]`).
Measured by ANS in June 2026: no search by mailbox type, no search over several types, no batch; so one query a type, and what
the server cannot filter is filtered here. Needs `requests` (extra `directory`).

A lookup that could not be finished says so (`is_complete`): fewer mailboxes than there are must never read as "none".
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests

from mssante.errors import MssanteError
from mssante.listed import FINESS_SYSTEMS, HOLDERS, IDNPS_SYSTEM, RPPS_SYSTEMS, Answer, Finding, ListedMailbox

BASE_URL = "https://gateway.api.esante.gouv.fr/fhir/v2"
_FHIR_JSON = "application/fhir+json"
_LONGEST_PAGE = 16 * 1024 * 1024
_PASSING = frozenset({408, 429, 500, 502, 503, 504})


class DirectoryError(MssanteError):
    """The directory cannot be asked as configured: key missing or refused, address wrong. Trying again does not help."""


@dataclass(frozen=True)
class DirectorySettings:
    """How to ask. `key_file` holds the API key and is read at each lookup, so that it can be renewed under us.

    `most_pages` bounds one query; `tries` counts the first one; waits between tries are `pause_seconds`, doubled each time,
    or what the server asks by Retry-After, never above `longest_pause_seconds`.
    """

    key_file: Path | None = None
    base_url: str = BASE_URL
    timeout_seconds: float = 30.0
    most_pages: int = 40
    tries: int = 3
    pause_seconds: float = 1.0
    longest_pause_seconds: float = 30.0
    authorities: Path | None = None


@dataclass(frozen=True)
class Lookup:
    """What the directory said at one moment. `is_complete` False: ask again before believing that something is not listed."""

    mailboxes: tuple[ListedMailbox, ...]
    at: datetime
    is_complete: bool = True
    findings: tuple[Finding, ...] = field(default_factory=tuple)

    def preferred(self) -> ListedMailbox | None:
        """The active holder's best ranked mailbox, when there is one."""
        return next((box for box in self.mailboxes if box.holder.is_active), None)


@dataclass(frozen=True)
class _Page:
    """One answer, or why there is none: `problem` is a finding's code."""

    bundle: Mapping[str, Any] | None
    problem: str = ""


class Directory:
    """Asks one directory. Safe to share between threads as far as its session is; keeps nothing but the connection."""

    def __init__(
        self,
        settings: DirectorySettings,
        *,
        session: requests.Session | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._settings = settings
        self._session = session or requests.Session()
        self._clock = clock
        self._pause = pause
        if settings.authorities is not None:
            self._session.verify = str(settings.authorities)

    def of_professional(self, rpps: str) -> Lookup:
        """Mailboxes of a person: their own, and those of each of their roles."""
        if not (len(rpps) == 11 and rpps.isascii() and rpps.isdigit()):
            raise DirectoryError("directory.rpps", "an RPPS number has 11 digits", where="rpps")
        asked = _Asked(self._clock())
        tokens = [f"{IDNPS_SYSTEM}|8{rpps}", f"{RPPS_SYSTEMS[0]}|{rpps}"]
        self._ask(asked, "Practitioner", {"identifier": ",".join(tokens)})
        for key, _ in tuple(asked.answer.of_type("Practitioner")):
            number = key.partition("/")[2]
            self._ask(asked, "PractitionerRole", {"practitioner": number, "_include": "PractitionerRole:organization"})
        return asked.lookup(lambda box: box.holder.rpps == rpps)

    def of_structure(self, finess: str) -> Lookup:
        """Mailboxes of a structure: its services' and applications', and those that people hold there."""
        if not (len(finess) == 9 and finess.isascii() and finess.isalnum()):
            raise DirectoryError("directory.finess", "a FINESS number has 9 characters", where="finess")
        asked = _Asked(self._clock())
        self._ask(asked, "Organization", {"identifier": f"{FINESS_SYSTEMS[0]}|{finess}"})
        for key, _ in tuple(asked.answer.of_type("Organization")):
            number = key.partition("/")[2]
            self._ask(asked, "PractitionerRole", {"organization": number, "_include": "PractitionerRole:practitioner"})
        return asked.lookup(lambda box: finess in (box.holder.finess, box.at_structure))

    def of_address(self, address: str) -> Lookup:
        """Who holds an address: nobody, one, or several. One query for each type of holder."""
        asked = _Asked(self._clock())
        wanted = address.strip().lower()
        for kind in HOLDERS:
            more = {"_include": "PractitionerRole:practitioner"} if kind == "PractitionerRole" else {}
            self._ask(asked, kind, {"mailbox-mss:exact": wanted, **more})
        return asked.lookup(lambda box: box.address == wanted)

    def check(self) -> str:
        """Reach the directory without looking anybody up: empty when fine, else what is wrong."""
        try:
            page = self._fetch(f"{self._base}metadata", {}, self._headers())
        except DirectoryError as error:
            return str(error)
        return page.problem

    # ── asking ────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def _base(self) -> str:
        return self._settings.base_url.rstrip("/") + "/"

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": _FHIR_JSON}
        if self._settings.key_file is not None:
            headers["ESANTE-API-KEY"] = _read_key(self._settings.key_file)
        return headers

    def _ask(self, asked: _Asked, kind: str, parameters: Mapping[str, str]) -> None:
        """One query to its last page. A page that cannot be had leaves what came before, and says so."""
        for page in self._pages(f"{self._base}{kind}", parameters):
            if page.bundle is None:
                asked.stop(page.problem, kind)
                return
            asked.answer.add(page.bundle)

    def _pages(self, url: str, parameters: Mapping[str, str]) -> Iterator[_Page]:
        headers, seen = self._headers(), set[str]()
        for _ in range(self._settings.most_pages):
            page = self._fetch(url, parameters, headers)
            yield page
            following = _next_link(page.bundle, url) if page.bundle is not None else ""
            if not following:
                return
            if not self._is_ours(following) or following in seen:
                # Our key would go wherever a page says, or round in circles.
                yield _Page(None, "directory.next-page-refused")
                return
            seen.add(following)
            url, parameters = following, {}
        yield _Page(None, "directory.too-many-pages")

    def _is_ours(self, url: str) -> bool:
        ours, theirs = urlsplit(self._base), urlsplit(url)
        return (ours.scheme, ours.netloc) == (theirs.scheme, theirs.netloc)

    def _fetch(self, url: str, parameters: Mapping[str, str], headers: Mapping[str, str]) -> _Page:
        wait, problem = self._settings.pause_seconds, ""
        for attempt in range(self._settings.tries):
            if attempt:
                self._pause(min(wait, self._settings.longest_pause_seconds))
                wait *= 2
            try:
                with self._session.get(
                    url,
                    params=dict(parameters),
                    headers=dict(headers),
                    timeout=self._settings.timeout_seconds,
                    allow_redirects=False,
                    stream=True,
                ) as response:
                    if response.status_code not in _PASSING:
                        return _read_page(response)
                    problem = f"directory.http-{response.status_code}"
                    wait = max(wait, _retry_after(response))
            except requests.RequestException as error:
                problem = f"directory.unreachable-{type(error).__name__}"
        return _Page(None, problem)


class _Asked:
    """The pages of one lookup, as they come."""

    def __init__(self, at: datetime) -> None:
        self.answer = Answer()
        self._at = at
        self._is_complete = True

    def stop(self, problem: str, where: str) -> None:
        """Something was not told."""
        self._is_complete = False
        self.answer.findings.append(Finding(problem, where))

    def lookup(self, wanted: Callable[[ListedMailbox], bool]) -> Lookup:
        """What was asked for among what was answered: a server may ignore a parameter that it does not know."""
        boxes = self.answer.mailboxes()
        kept = tuple(box for box in boxes if wanted(box))
        if len(kept) < len(boxes):
            self.answer.findings.append(Finding("directory.others-left-out", str(len(boxes) - len(kept))))
        return Lookup(kept, self._at, self._is_complete, tuple(self.answer.findings))


def _read_key(file: Path) -> str:
    try:
        key = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise DirectoryError("directory.key-missing", f"the key's file cannot be read ({type(error).__name__})") from error
    if not key or not key.isascii() or not key.isprintable():
        raise DirectoryError("directory.key-missing", "the key's file holds no usable key", where=str(file))
    return key


def _read_page(response: requests.Response) -> _Page:
    if response.status_code in (401, 403):
        raise DirectoryError("directory.key-refused", f"the directory answered {response.status_code}: check the API key")
    if response.status_code != 200:
        return _Page(None, f"directory.http-{response.status_code}")
    body = _bounded(response.iter_content(65_536))
    if body is None:
        return _Page(None, "directory.page-too-large")
    with suppress(ValueError):
        page = json.loads(body)
        if isinstance(page, Mapping) and page.get("resourceType") in ("Bundle", "CapabilityStatement"):
            return _Page(page)
    return _Page(None, "directory.not-fhir")


def _bounded(chunks: Iterator[bytes]) -> bytes | None:
    body = bytearray()
    for chunk in chunks:
        body += chunk
        if len(body) > _LONGEST_PAGE:
            return None
    return bytes(body)


def _next_link(bundle: Mapping[str, Any], base: str) -> str:
    links = bundle.get("link")
    for link in links if isinstance(links, Sequence) else ():
        url = link.get("url") if isinstance(link, Mapping) and link.get("relation") == "next" else None
        if isinstance(url, str):
            return urljoin(base, url)
    return ""


def _retry_after(response: requests.Response) -> float:
    """Seconds; a date is not worth reading for waits that are bounded anyway."""
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isascii() and value.isdigit() else 0.0
