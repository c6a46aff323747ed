"""Faxes by a provider's mails, on the doubles and on real Postfix and Dovecot: answers late, twice, out of order, forged or none,
and deaths between the server's 250 and our commit. What left is judged from the provider's side.
"""

from __future__ import annotations

import io
import os
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pypdfium2
import pytest
import structlog.testing

from adapter.assembly import build_channels
from adapter.channels.base import Channel
from adapter.channels.mail_fax import MailFaxChannel, MailFaxSettings
from adapter.channels.mail_fax_answers import AnswerRules, News
from adapter.channels.mail_fax_letter import LetterTemplates
from adapter.checkup import check_instance
from adapter.config import load_config
from adapter.config.mail_fax import filled
from adapter.config.mail_fax_account import FaxMailbox, MailFax
from adapter.config.mail_fax_account import FaxProvider as Preset
from adapter.errors import ConfigurationError
from adapter.ledger.relayed_faxes import UNCONFIRMED
from adapter.model.delivery import DeliveryState, OutcomeKind
from adapter.model.plan import ChannelName
from adapter.packaging.parcel import FaxContent, FaxForm, FaxPdfContent, Parcel
from adapter.routing.choose import RouteSettings
from adapter.tracking.causes import load_causes
from mssante.errors import MailboxLostError
from mssante.testing import Fault, Moment, OperatorDouble, make_test_pki
from mssante.testing_mailbox import MailboxDouble
from tests.builders.cda import build_ldl_ses, tiny_pdf
from tests.builders.hl7 import FAX_DOCTOR, build_mdm
from tests.builders.instance import UNCLEAR_WAIT, Instance, ScriptedChannel
from tests.servers.fax_provider import DoublePost, FaxProvider, Post, RealPost
from tests.servers.mail_operator import CLIENT_NAME, DOMAIN, SENDER, MailOperator, is_installed

pytestmark = pytest.mark.contract

FAX = ChannelName.FAX
NUMBER, NATIONAL = "+33199004641", "0199004641"
LINE, PASSWORD = "0987654321", "motdepassefax"
PROVIDERS_BOX = f"{NATIONAL}@{DOMAIN}"
MORNING = datetime(2026, 11, 21, 8, 50, tzinfo=UTC)  # the double's mails bear nine o'clock
ECOFAX = filled(MailFax("h", SENDER, FaxMailbox("h"), Preset.ECOFAX, quality="premium"))
WORDS = {news: re.compile(getattr(ECOFAX.answers, news.value), re.IGNORECASE) for news in News}


@pytest.fixture(scope="module")
def real_operator(require_root_servers: None) -> Iterator[MailOperator]:
    if not is_installed():
        reason = "postfix, dovecot-imapd and dovecot-lmtpd are not installed (run `sudo make test`)"
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(f"{reason} — and CI=true allows no skip", pytrace=False)
        warnings.warn(pytest.PytestWarning(f"SKIPPED: {reason}"), stacklevel=2)
        pytest.skip(reason)
    operator = MailOperator(mailboxes=(SENDER, PROVIDERS_BOX))
    try:
        yield operator.start()
    finally:
        operator.stop()


@pytest.fixture
def doubles(tmp_path: Path) -> Iterator[DoublePost]:
    pki = make_test_pki(tmp_path / "pki", server_name="operateur.test", client_name=CLIENT_NAME)
    with OperatorDouble(pki) as operator, MailboxDouble(pki) as box:
        yield DoublePost(pki, operator, box)


@pytest.fixture(params=["double", "postfix-dovecot"])
def post(request: pytest.FixtureRequest) -> Post:
    if request.param == "postfix-dovecot":
        return RealPost(request.getfixturevalue("real_operator"))
    return cast(Post, request.getfixturevalue("doubles"))


class Site:
    """A house whose faxes leave by the provider, and the provider."""

    def __init__(self, folder: Path, post: Post) -> None:
        self.post = post
        self.provider = FaxProvider(post)
        scripted = {name: ScriptedChannel(name) for name in ChannelName}
        self.house = Instance(folder, routes=RouteSettings(production=True), channels=scripted, fax_form=FaxForm.PDF)
        self.house.clock.now = MORNING
        self.settings = MailFaxSettings(
            relay=post.relay,
            mailbox=post.mailbox,
            book=self.house.ledger.relayed_faxes,
            sender=SENDER,
            templates=LetterTemplates(f"{{national}}@{DOMAIN}", ECOFAX.subject, ECOFAX.body),
            rules=AnswerRules((f"no-reply@{DOMAIN}",), WORDS),
            password=lambda: PASSWORD,
            line=LINE,
            quality="premium",
            poll_seconds=0.0,
        )
        self.channel = MailFaxChannel(self.settings, clock=self.house.clock)
        cast(dict[ChannelName, Channel], self.house.channels)[FAX] = self.channel
        if isinstance(post, RealPost):
            self.settle()  # what other tests left in the box is read before anything leaves

    def fax(self, number: int = 1) -> str:
        """A letter for a doctor who has a fax and nothing else, on its way; its receipt."""
        document = build_ldl_ses(document_id=f"1.2.250.1.999.94.1.{number}")
        receipt = self.house.letter(build_mdm(document, control_id=f"M{number}", recipients=(FAX_DOCTOR,)))
        self.house.dispatch(FAX)
        return receipt

    def settle(self) -> None:
        """A round: answers are read, what ran out is taken back."""
        self.house.pipeline.settle_some()

    def state(self, receipt: str) -> str:
        """How the fax stands."""
        return self.house.states(receipt)["fax"]

    def details(self, receipt: str) -> str:
        """What the trace says."""
        return " | ".join(f"{event.kind} {event.detail}" for event in self.house.timeline(receipt).events)


@pytest.fixture
def site(tmp_path: Path, post: Post) -> Site:
    return Site(tmp_path, post)


@pytest.fixture
def double_site(tmp_path: Path, doubles: DoublePost) -> Site:
    return Site(tmp_path, doubles)


# ── the suite, on both posts ────────────────────────────────────────────────────────────────────────────────────────


def test_the_provider_gets_what_its_guide_asks_for(site: Site) -> None:
    receipt = site.fax()
    (letter,) = site.post.letters(PROVIDERS_BOX, 1)
    assert site.state(receipt) == "accepted"
    assert (letter["To"], letter["Subject"], letter["From"]) == (PROVIDERS_BOX, LINE, SENDER)
    body = letter.get_body(("plain",))
    assert body is not None and body.get_content().split() == [f"p:{PASSWORD}", "qualite:premium"]
    (attached,) = letter.iter_attachments()
    pages = pypdfium2.PdfDocument(io.BytesIO(attached.get_content()))
    assert len(pages) >= 2 and "ZEBULONNE" not in pages[0].get_textpage().get_text_range()
    pages.close()


def test_both_confirmations_are_told_and_the_second_is_a_proof_of_the_providers_word_only(site: Site) -> None:
    receipt = site.fax()
    (letter,) = site.post.letters(PROVIDERS_BOX, 1)
    site.provider.takes(letter)
    site.settle()
    assert site.state(receipt) == "accepted", "submitted is not transmitted"
    assert "taken by the provider" in site.details(receipt)
    site.provider.transmits(letter)
    site.settle()
    assert site.state(receipt) == "delivered"
    assert "confirmed by the provider, pages not proved" in site.details(receipt)
    (call,) = [kept.call for kept in site.house.timeline(receipt).calls]
    assert (call.seconds, call.pages, call.cause, call.device) == (None, 0, "", "mail-fax")
    assert site.house.items() == [] and site.house.conservation().holds
    assert site.channel.capabilities.proof_is_secondhand and not site.channel.capabilities.resend_is_safe


def test_confirmations_out_of_order_and_twice_end_at_delivered(site: Site) -> None:
    receipt = site.fax()
    (letter,) = site.post.letters(PROVIDERS_BOX, 1)
    again = site.provider.transmits(letter)
    site.settle()
    site.provider.takes(letter)
    site.post.post(again)
    site.settle()
    assert site.state(receipt) == "delivered" and site.house.items() == []
    assert len(site.house.timeline(receipt).calls) == 1


@pytest.mark.parametrize(
    ("subject", "cause"),
    [
        ("Télécopie : erreur de traitement", "fax-provider-refused"),
        ("Télécopie de '' : Numéros restreints", "fax-provider-refused"),
        ("Télécopie : échec de transmission", "fax-provider-failed"),
    ],
)
def test_an_error_ends_with_a_person_and_no_second_fax(site: Site, subject: str, cause: str) -> None:
    receipt = site.fax()
    (letter,) = site.post.letters(PROVIDERS_BOX, 1)
    site.provider.answer(letter, subject, "Le mot de passe de la ligne est peut-être erroné.")
    site.settle()
    assert site.state(receipt) == "refused" and site.house.reasons() == [cause]
    for _ in range(3):
        site.house.clock.advance(hours=2)
        site.settle()
        site.house.dispatch(FAX)
    assert site.post.count(PROVIDERS_BOX) == 1
    assert cause in load_causes()


def test_a_confirmation_of_anybody_else_proves_nothing(site: Site) -> None:
    receipt = site.fax()
    (letter,) = site.post.letters(PROVIDERS_BOX, 1)
    site.provider.answer(letter, "Télécopie : bonne transmission", sender="no-reply@ailleurs.example")
    site.settle()
    assert site.state(receipt) == "accepted"


def test_a_confirmation_for_another_number_proves_nothing(site: Site) -> None:
    receipt = site.fax()
    site.post.letters(PROVIDERS_BOX, 1)
    site.provider.answer(None, "Télécopie : bonne transmission", "Destinataire : 01 99 00 99 99")
    site.settle()
    assert site.state(receipt) == "accepted"


def test_a_number_alone_proves_the_only_fax_that_went_there_and_none_of_two(site: Site) -> None:
    first = site.fax(1)
    site.post.letters(PROVIDERS_BOX, 1)
    site.provider.answer(None, "Télécopie : bonne transmission", f"Destinataire : {NATIONAL}")
    site.settle()
    assert site.state(first) == "delivered" and "matched by its number" in site.details(first)
    second = site.fax(2)
    site.post.letters(PROVIDERS_BOX, 2)
    site.provider.answer(None, "Télécopie : bonne transmission", f"Destinataire : {NATIONAL}")
    site.settle()
    assert site.state(second) == "accepted", "it may be the first one's again"
    assert "fax-answer-unsure" in site.house.reasons()


def test_a_fax_that_is_never_confirmed_becomes_a_persons_and_a_late_confirmation_settles_it(site: Site) -> None:
    receipt = site.fax()
    (letter,) = site.post.letters(PROVIDERS_BOX, 1)
    site.house.clock.advance(hours=5)
    site.settle()
    assert site.state(receipt) == "parked" and site.house.reasons() == [UNCONFIRMED]
    site.provider.transmits(letter)
    site.settle()
    assert site.state(receipt) == "delivered" and site.house.items() == []


def test_a_person_may_send_again_what_was_never_confirmed_and_each_try_bears_its_own_name(site: Site) -> None:
    receipt = site.fax()
    (first,) = site.post.letters(PROVIDERS_BOX, 1)
    site.house.clock.advance(hours=5)
    site.settle()
    site.house.resolve("retry")
    site.house.dispatch(FAX)
    first, second = site.post.letters(PROVIDERS_BOX, 2)
    assert first["Message-ID"] != second["Message-ID"]
    site.provider.answer(first, "Télécopie : échec")
    site.settle()
    assert site.state(receipt) == "accepted", "the first try's failure says nothing of the second"
    site.provider.transmits(second)
    site.settle()
    assert site.state(receipt) == "delivered"


def test_checking_enters_both_servers_and_sends_nothing(site: Site) -> None:
    assert site.channel.check() == ""
    assert site.post.count(PROVIDERS_BOX) == 0
    closed = replace(site.post.relay, server=replace(site.post.relay.server, port=1))
    assert "connect" in MailFaxChannel(replace(site.settings, relay=closed)).check()
    assert "mailbox." in MailFaxChannel(replace(site.settings, mailbox=replace(site.post.mailbox, port=1))).check()
    assert "no-folder" in MailFaxChannel(replace(site.settings, folder="Nowhere")).check()


CONFIGURED = """
[instance]
mode = "test"
name = "essai"
[instance.sandbox]
mail = "b@x.formation.mssante.fr"
fax = "{number}"
record = "http://127.0.0.1:1/fhir"
[[legal_entities]]
finess_ej = "750712184"
name = "AP-HP"
source_oid = "1.2.250.1.71.4.2.1"
[channels.fax.mail]
provider = "ecofax"
accepts_third_party = true
for_tests = true
host = "127.0.0.1"
port = {smtp_port}
security = "starttls"
server_name = "operateur.test"
sender = "{sender}"
line = "{line}"
fax_password = {{ file = "line.password" }}
address = "{{national}}@{domain}"
[channels.fax.mail.tls]
ca = "{tls.authorities}"
certificate = "{tls.certificate}"
key = "{tls.key}"
[channels.fax.mail.mailbox]
host = "127.0.0.1"
port = {imap_port}
security = "starttls"
[channels.fax.mail.answers]
senders = ["{domain}"]
"""


def test_the_configuration_alone_says_how_faxes_leave_and_answers_come(site: Site, tmp_path: Path) -> None:
    (tmp_path / "line.password").write_text(f"{PASSWORD}\n")
    values = {"number": NUMBER, "sender": SENDER, "line": LINE, "domain": DOMAIN, "tls": site.post.relay.tls}
    ports = {"smtp_port": site.post.relay.server.port, "imap_port": site.post.mailbox.port}
    (tmp_path / "tdu.toml").write_text(CONFIGURED.format(**values, **ports))
    config = load_config(tmp_path / "tdu.toml", {})
    channel = build_channels(config, relayed=site.house.ledger.relayed_faxes)[FAX]
    assert channel.check() == ""
    told = [check for check in check_instance(config, datetime.now(UTC)) if check.subject == "fax by mail"]
    assert [(check.ok, "HDS" in check.detail) for check in told] == [(True, True)]
    assert channel.send(_parcel()).kind is OutcomeKind.ACCEPTED
    (letter,) = site.post.letters(PROVIDERS_BOX, 1)
    body = letter.get_body(("plain",))
    assert body is not None and body.get_content().strip() == f"p:{PASSWORD}"


# ── deaths between the server's 250 and our commit ──────────────────────────────────────────────────────────────────


class Killed(BaseException):
    """The process dies here."""


def _die_before_commit(site: Site, monkeypatch: pytest.MonkeyPatch) -> str:
    """The provider has the mail, the ledger does not know. Returns the fax's reference."""

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(site.house.ledger, "settle_send", die)
        with pytest.raises(Killed):
            site.fax()
    site.post.letters(PROVIDERS_BOX, 1)
    site.house.clock.advance(minutes=2)
    site.settle()
    (fax,) = site.house.ledger.relayed_faxes.handed_over(site.house.clock() - timedelta(days=1))
    assert site.state(fax.reference) == "unclear"
    return fax.reference


def test_a_death_after_the_250_makes_no_second_fax_when_the_provider_confirms(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    receipt = _die_before_commit(site, monkeypatch)
    (letter,) = site.post.letters(PROVIDERS_BOX, 1)
    site.provider.takes(letter)
    site.settle()
    assert site.state(receipt) == "accepted"
    site.provider.transmits(letter)
    site.settle()
    assert site.state(receipt) == "delivered" and site.post.count(PROVIDERS_BOX) == 1


def test_a_death_after_the_250_without_any_answer_is_a_persons_and_never_doubled(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    receipt = _die_before_commit(site, monkeypatch)
    for _ in range(4):
        site.house.clock.advance(hours=1)
        site.settle()
        site.house.dispatch(FAX)
    assert site.state(receipt) == "parked" and site.post.count(PROVIDERS_BOX) == 1
    assert site.house.reasons() in (["no-answer"], ["unclear-twice"])
    site.house.resolve("retry")
    site.house.dispatch(FAX)
    site.post.letters(PROVIDERS_BOX, 2)
    assert site.state(receipt) == "accepted" and site.house.items() == []


def test_a_death_before_the_answers_are_committed_reads_them_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    receipt = site.fax()
    (letter,) = site.post.letters(PROVIDERS_BOX, 1)
    site.provider.transmits(letter)

    def die(*_: object, **__: object) -> int:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(site.house.ledger, "record_evidence", die)
        with pytest.raises(Killed):
            site.settle()
    assert site.state(receipt) == "accepted"
    site.settle()
    assert site.state(receipt) == "delivered"


# ── what only the doubles do ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("fault", [Fault.drop(Moment.KEPT), Fault.drop(Moment.END_OF_DATA), Fault.stall(Moment.END_OF_DATA)])
def test_a_line_that_breaks_after_the_last_byte_is_doubt_and_never_a_second_mail(double_site: Site, fault: Fault) -> None:
    site = double_site
    operator = cast(DoublePost, site.post).operator
    operator.script(fault)
    site.channel = MailFaxChannel(
        replace(site.settings, relay=replace(site.post.relay, timeout_seconds=0.3)), clock=site.house.clock
    )
    cast(dict[ChannelName, Channel], site.house.channels)[FAX] = site.channel
    receipt = site.fax()
    assert site.state(receipt) == "unclear"
    before = site.post.count(PROVIDERS_BOX)
    site.house.clock.now += UNCLEAR_WAIT * 2
    site.settle()
    site.house.dispatch(FAX)
    assert site.state(receipt) == "parked" and site.post.count(PROVIDERS_BOX) == before
    assert site.house.items() != []


@pytest.mark.parametrize(
    ("fault", "kind", "cause"),
    [
        (Fault.drop(Moment.CONNECT), OutcomeKind.DEFERRED, "connect-failed"),
        (Fault.answer(Moment.MAIL, "550 5.7.1 Non"), OutcomeKind.REFUSED, "auth-refused"),
        (Fault.answer(Moment.RCPT, "550 5.1.1 Inconnue"), OutcomeKind.REFUSED, "fax-provider-refused"),
        (Fault.answer(Moment.RCPT, "554 5.7.1 Domaine"), OutcomeKind.REFUSED, "fax-provider-refused"),
        (Fault.answer(Moment.RCPT, "450 4.2.1 Plus tard"), OutcomeKind.DEFERRED, "partner-busy"),
        (Fault.answer(Moment.END_OF_DATA, "554 5.6.0 Contenu"), OutcomeKind.REFUSED, "fax-provider-refused"),
        (Fault.answer(Moment.END_OF_DATA, "552 5.3.4 Trop gros"), OutcomeKind.REFUSED, "too-large"),
        (Fault.drop(Moment.RCPT), OutcomeKind.DEFERRED, "connect-failed"),
    ],
)
def test_what_the_mail_server_does_becomes_a_cause_that_suspends_no_mailbox(
    double_site: Site, fault: Fault, kind: OutcomeKind, cause: str
) -> None:
    cast(DoublePost, double_site.post).operator.script(fault)
    outcome = double_site.channel.send(_parcel())
    assert (outcome.kind, outcome.cause) == (kind, cause)
    assert not load_causes()[cause].suspends
    assert NATIONAL not in repr(outcome) and PASSWORD not in repr(outcome)


def test_a_server_of_another_authority_gets_neither_pages_nor_password(double_site: Site, tmp_path: Path) -> None:
    other = make_test_pki(tmp_path / "other")
    tls = replace(double_site.post.relay.tls, authorities=other.authority)  # type: ignore[type-var]
    channel = MailFaxChannel(replace(double_site.settings, relay=replace(double_site.post.relay, tls=tls)))
    outcome = channel.send(_parcel())
    assert (outcome.kind, outcome.cause) == (OutcomeKind.DEFERRED, "tls-failed")
    assert double_site.post.count(PROVIDERS_BOX) == 0


@pytest.mark.parametrize("number", ["3646", "0899 00 00 00", "nobody", ""])
def test_a_number_that_no_fax_dials_never_leaves(double_site: Site, number: str) -> None:
    outcome = double_site.channel.send(_parcel(number))
    assert (outcome.kind, outcome.cause) == (OutcomeKind.REFUSED, "no-such-number")


def test_pages_of_a_line_and_a_password_that_cannot_be_read_leave_nothing(double_site: Site) -> None:
    tiff = Parcel("d", "r", NUMBER, False, FaxContent(b"", 0))
    assert double_site.channel.send(tiff).cause == "rendition-impossible"

    def gone() -> str:
        raise ConfigurationError("config.secret-missing", "the secret's file is empty.")

    outcome = MailFaxChannel(replace(double_site.settings, password=gone)).send(_parcel())
    assert (outcome.kind, outcome.cause) == (OutcomeKind.DEFERRED, "auth-refused")
    small = MailFaxChannel(replace(double_site.settings, size_limit_bytes=500)).send(_parcel())
    assert (small.kind, small.cause) == (OutcomeKind.REFUSED, "too-large")
    assert double_site.post.count(PROVIDERS_BOX) == 0


def test_a_mailbox_that_is_numbered_anew_is_read_again_and_changes_nothing(double_site: Site) -> None:
    site = double_site
    receipt = site.fax()
    (letter,) = site.post.letters(PROVIDERS_BOX, 1)
    site.provider.transmits(letter)
    site.settle()
    cast(DoublePost, site.post).box.renumber()
    site.settle()
    assert site.state(receipt) == "delivered" and site.house.items() == []


def test_the_mailbox_is_asked_no_oftener_than_it_should_even_while_it_is_away(double_site: Site) -> None:
    now = [0.0]
    ticking: Callable[[], float] = lambda: now[0]  # noqa: E731
    away = replace(double_site.settings, mailbox=replace(double_site.post.mailbox, port=1), poll_seconds=30.0)
    channel = MailFaxChannel(away, clock=double_site.house.clock, monotonic=ticking)
    with pytest.raises(MailboxLostError):
        channel.collect("")
    assert channel.collect("") == ((), "")
    now[0] = 31.0
    with pytest.raises(MailboxLostError):
        channel.collect("")


def test_a_mail_that_is_none_and_one_beyond_all_measure_stop_nothing(double_site: Site) -> None:
    site = double_site
    receipt = site.fax()
    (letter,) = site.post.letters(PROVIDERS_BOX, 1)
    site.post.post(b"X: y\r\n" * 2_000)
    site.provider.answer(letter, "Télécopie : bonne transmission", "x" * 5_000_000)
    site.settle()
    assert site.state(receipt) == "delivered", "read by its head"


def test_no_log_line_holds_a_number_a_password_or_a_providers_words(double_site: Site) -> None:
    with structlog.testing.capture_logs() as lines:
        receipt = double_site.fax()
        (letter,) = double_site.post.letters(PROVIDERS_BOX, 1)
        double_site.provider.answer(None, "Télécopie : bonne transmission", f"Fax {NATIONAL}", sender="a@ailleurs.example")
        double_site.provider.answer(letter, "Télécopie : échec, bonne transmission")
        double_site.settle()
    assert double_site.state(receipt) == "accepted" and "fax-answer-unsure" in double_site.house.reasons()
    shown = repr(lines)
    assert "mail-fax.no-proof" in shown
    assert not any(word in shown for word in (NATIONAL, NUMBER, PASSWORD, "échec", "ailleurs"))


def _parcel(number: str = NUMBER) -> Parcel:
    return Parcel("d-1", "3f2c9a54-6a27-5d0b-9d55-0d8a3b1f7c10", number, False, FaxPdfContent(tiny_pdf(), 1, 1))


def test_the_port_of_channels_is_kept(double_site: Site) -> None:
    channel: Channel = double_site.channel
    assert channel.capabilities.proves == (DeliveryState.ACCEPTED, DeliveryState.DELIVERED)
    found = channel.find(_parcel())
    assert found is not None and found.kind is OutcomeKind.UNCLEAR, "never: send it again"
