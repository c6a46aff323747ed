"""Servers found from a mail domain: what was configured wins, DNS is ordered as it says, and is believed only so far."""

from __future__ import annotations

import random
import socket
import threading
from collections import Counter
from collections.abc import Iterator, Sequence

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mssante.autoconfig import Absence, Discovery, Endpoint, Origin, Service, SrvLookup, SrvRecord, discover, dns_lookup, ordered
from mssante.errors import AddressError, LookupFailedError

DOMAIN = "hopital-x.mssante.fr"


def answers(records: dict[str, Sequence[SrvRecord]]) -> SrvLookup:
    return lambda name: records.get(name.removesuffix(f".{DOMAIN}"), ())


def find(records: dict[str, Sequence[SrvRecord]], service: Service = Service.IMAP, **more: object) -> Discovery:
    return discover(DOMAIN, service, lookup=answers(records), pick=lambda _: 0, **more)  # type: ignore[arg-type]


def test_starttls_servers_are_tried_before_those_with_tls_at_once() -> None:
    found = find(
        {
            "_imaps._tcp": [SrvRecord(0, 0, 993, f"imap.{DOMAIN}.")],
            "_imap._tcp": [SrvRecord(20, 0, 143, f"b.{DOMAIN}."), SrvRecord(10, 0, 1143, f"A.{DOMAIN}.")],
        }
    )
    assert found.origin is Origin.DNS
    assert found.endpoints == (
        Endpoint(f"a.{DOMAIN}", 1143),
        Endpoint(f"b.{DOMAIN}", 143),
        Endpoint(f"imap.{DOMAIN}", 993, immediate=True),
    )


def test_submission_has_its_own_names() -> None:
    found = find({"_submission._tcp": [SrvRecord(0, 1, 587, f"smtp.{DOMAIN}")]}, Service.SUBMISSION)
    assert found.endpoints == (Endpoint(f"smtp.{DOMAIN}", 587),)


def test_what_was_configured_wins_and_asks_nobody() -> None:
    def nobody(_: str) -> Sequence[SrvRecord]:
        raise AssertionError("asked")

    ours = [Endpoint("smtp.operateur.fr", 587)]
    found = discover(DOMAIN, Service.SUBMISSION, lookup=nobody, pick=lambda _: 0, configured=ours)
    assert (found.endpoints, found.origin) == (tuple(ours), Origin.CONFIGURED)


def test_a_target_outside_the_domain_is_taken_only_when_named() -> None:
    records = {"_imap._tcp": [SrvRecord(0, 0, 143, "imap.operateur.fr."), SrvRecord(0, 0, 143, f"x{DOMAIN}.")]}
    assert find(records).absence is Absence.OUTSIDE_DOMAIN
    assert find(records, trusted_hosts=["IMAP.operateur.fr"]).endpoints == (Endpoint("imap.operateur.fr", 143),)


def test_why_there_is_no_server_is_told() -> None:
    assert find({}).absence is Absence.NO_RECORD
    assert find({"_imap._tcp": [SrvRecord(0, 0, 0, ".")]}).absence is Absence.NOT_OFFERED

    def silent(_: str) -> Sequence[SrvRecord]:
        raise LookupFailedError("dns.no-answer", "Timeout")

    found = discover(DOMAIN, Service.IMAP, lookup=silent, pick=lambda _: 0)
    assert (found.absence, found.endpoints) == (Absence.NO_ANSWER, ())


def test_a_domain_is_a_domain() -> None:
    with pytest.raises(AddressError):
        discover("a b", Service.IMAP, lookup=lambda _: (), pick=lambda _: 0)


RECORDS = st.lists(
    st.builds(SrvRecord, st.integers(0, 3), st.integers(0, 50), st.integers(1, 65535), st.sampled_from(["a.x", "b.x", "c.x"])),
    max_size=6,
)


@given(RECORDS, st.randoms(use_true_random=False))
def test_no_record_is_lost_and_priorities_hold(records: list[SrvRecord], draw: random.Random) -> None:
    result = ordered(records, lambda n: draw.randint(0, n))
    assert Counter(result) == Counter(records)
    assert [record.priority for record in result] == sorted(record.priority for record in records)


def test_each_is_first_as_often_as_its_weight_says() -> None:
    records = [SrvRecord(0, 10, 1, "a"), SrvRecord(0, 30, 2, "b")]
    draw = random.Random(7)
    first = Counter(ordered(records, lambda n: draw.randint(0, n))[0].target for _ in range(2000))
    assert 0.68 < first["b"] / 2000 < 0.80


# ── a name server of our own ────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def name_server() -> Iterator[int]:
    """Answers SRV questions over UDP; `_broken._tcp` gets SERVFAIL, unknown names NXDOMAIN."""
    line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    line.bind(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                asked, client = line.recvfrom(4096)
            except OSError:
                return
            if not asked:
                return
            question = dns.message.from_wire(asked)
            reply = dns.message.make_response(question)
            name = question.question[0].name.to_text()
            if name == f"_imap._tcp.{DOMAIN}.":
                texts = [f"5 0 143 imap.{DOMAIN}.", f"9 0 143 secours.{DOMAIN}."]
                reply.answer.append(dns.rrset.from_text(name, 60, "IN", "SRV", *texts))
            else:
                reply.set_rcode(dns.rcode.SERVFAIL if "broken" in name else dns.rcode.NXDOMAIN)
            line.sendto(reply.to_wire(), client)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    port: int = line.getsockname()[1]
    yield port
    line.sendto(b"", ("127.0.0.1", port))
    thread.join(5)
    line.close()


def test_real_questions_get_real_answers(name_server: int) -> None:
    lookup = dns_lookup(servers=["127.0.0.1"], port=name_server, seconds=2.0)
    found = discover(DOMAIN, Service.IMAP, lookup=lookup, pick=lambda n: random.Random(1).randint(0, n))
    assert [endpoint.host for endpoint in found.endpoints] == [f"imap.{DOMAIN}", f"secours.{DOMAIN}"]
    assert discover(DOMAIN, Service.SUBMISSION, lookup=lookup, pick=lambda _: 0).absence is Absence.NO_RECORD


def test_servers_that_fail_or_are_silent_mean_that_nothing_is_known(name_server: int) -> None:
    with pytest.raises(LookupFailedError):
        dns_lookup(servers=["127.0.0.1"], port=name_server, seconds=1.0)(f"_broken._tcp.{DOMAIN}")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        with pytest.raises(LookupFailedError):
            dns_lookup(servers=["127.0.0.1"], port=silent.getsockname()[1], seconds=0.3)(f"_imap._tcp.{DOMAIN}")
