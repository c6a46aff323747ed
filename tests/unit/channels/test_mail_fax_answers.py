"""What a provider's mail proves, and of which fax: foreign senders, ambiguous words, two faxes to one number, earlier tries."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.policy import SMTP

import pytest

from adapter.channels.mail_fax_answers import AnswerRules, News, ProviderMail, Silence, Told, Untold, understand
from adapter.config.mail_fax import filled
from adapter.config.mail_fax_account import FaxMailbox, FaxProvider, MailFax
from adapter.model.delivery import DeliveryState as S
from adapter.model.relayed_fax import RelayedFax
from mssante.incoming import read_mail

PRESET = filled(MailFax("h", "a@b.fr", FaxMailbox("i"), FaxProvider.ECOFAX)).answers
WORDS = {news: re.compile(getattr(PRESET, news.value), re.IGNORECASE) for news in News}
RULES = AnswerRules(("ecofax.example", "confirmations@fax.example"), WORDS)
NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
FIRST, SECOND, THIRD = (f"{n}f2c9a54-6a27-5d0b-9d55-0d8a3b1f7c10" for n in (1, 2, 3))


def fax(
    reference: str = FIRST, number: str = "+33 1 99 00 12 34", attempt: int = 3, state: S = S.ACCEPTED, **ago: int
) -> RelayedFax:
    return RelayedFax(reference, number, attempt, state, NOW - timedelta(**(ago or {"minutes": 10})))


def answer(
    subject: str, text: str = "", *, sender: str = "Fax <no-reply@ecofax.example>", reply_to: str = "", **headers: str
) -> ProviderMail:
    mail = EmailMessage(policy=SMTP)
    mail["From"], mail["To"], mail["Subject"], mail["Message-ID"] = sender, "fax@hopital.fr", subject, "<1@ecofax.example>"
    if reply_to:
        mail["In-Reply-To"] = reply_to
    for name, value in headers.items():
        mail[name.replace("_", "-")] = value
    mail.set_content(text or "Bonjour,\n")
    return ProviderMail(read_mail(mail.as_bytes()), NOW)


TO_FIRST = f"<{FIRST}.3@hopital.fr>"


@pytest.mark.parametrize(
    ("subject", "text", "news"),
    [
        ("Télécopie", "Votre demande a bien été prise en compte.", News.TAKEN),
        ("Télécopie de 'x.pdf' : prise en compte", "", News.TAKEN),
        ("Télécopie : bonne transmission", "Votre fax a été transmis.", News.TRANSMITTED),
        ("Télécopie", "Nous vous confirmons la bonne transmission de votre fax.", News.TRANSMITTED),
        ("Votre fax a bien été envoyé", "", News.TRANSMITTED),
        ("Télécopie : erreur de traitement", "Le mot de passe est erroné.", News.REFUSED),
        ("Télécopie : Erreur de traitement", "", News.REFUSED),
        ("Télécopie de '' : Numéros restreints", "", News.REFUSED),
        ("Télécopie : échec", "Le correspondant ne répond pas.", News.FAILED),
        ("Télécopie", "Votre fax n\u2019a pas pu aboutir.", News.FAILED),
    ],
)
def test_the_words_of_ecofax_are_understood(subject: str, text: str, news: News) -> None:
    assert understand(answer(subject, text, reply_to=TO_FIRST), RULES, [fax()]) == Told(FIRST, news)


@pytest.mark.parametrize(
    "text",
    [
        "Votre fax n'a pas été transmis. Demande prise en compte le 22/11.",
        "Le fax a bien été transmis, puis un échec est survenu.",
    ],
)
def test_words_that_say_two_things_prove_nothing_and_name_the_fax_to_ask_about(text: str) -> None:
    told = understand(answer("Télécopie", text, reply_to=TO_FIRST), RULES, [fax()])
    assert told == Untold(Silence.CONTRADICTORY, (FIRST,))


def test_other_words_prove_nothing() -> None:
    warning = answer("Télécopie de 'fax.pdf' : Numéro dupliqué", reply_to=TO_FIRST)
    assert understand(warning, RULES, [fax()]) == Untold(Silence.OTHER_WORDS, (FIRST,))


@pytest.mark.parametrize(
    "sender",
    [
        "Fax <no-reply@ecofax.example.evil.org>",
        "no-reply@notecofax.example",
        '"no-reply@ecofax.example" <someone@elsewhere.org>',
        "other@fax.example",
        "",
    ],
)
def test_a_mail_of_anybody_else_proves_nothing(sender: str) -> None:
    forged = answer("Télécopie : bonne transmission", sender=sender or "undisclosed:;", reply_to=TO_FIRST)
    assert understand(forged, RULES, [fax()]) == Untold(Silence.FOREIGN)


@pytest.mark.parametrize("sender", ["a@ecofax.example", "a@mail.ecofax.example", "Confirmations@Fax.example"])
def test_the_provider_may_be_an_address_a_domain_or_a_part_of_it(sender: str) -> None:
    told = understand(answer("Télécopie : bonne transmission", sender=sender, reply_to=TO_FIRST), RULES, [fax()])
    assert told == Told(FIRST, News.TRANSMITTED)


@pytest.mark.parametrize(
    ("results", "believed"),
    [
        ("mx.hopital.fr; dkim=pass header.d=ecofax.example", True),
        ("mx.hopital.fr; spf=fail; dmarc=pass (p=reject) header.from=ecofax.example", True),
        ("mx.hopital.fr; dkim=pass header.d=elsewhere.org", False),
        ("mx.hopital.fr; dkim=fail header.d=ecofax.example", False),
        ("mx.elsewhere.org; dkim=pass header.d=ecofax.example", False),
        ("", False),
    ],
)
def test_with_a_server_that_authenticates_only_a_proved_sender_is_believed(results: str, believed: bool) -> None:
    rules = AnswerRules(RULES.senders, WORDS, "mx.hopital.fr")
    mail = answer("bonne transmission", reply_to=TO_FIRST, **({"Authentication_Results": results} if results else {}))
    assert isinstance(understand(mail, rules, [fax()]), Told) is believed


def test_in_reply_to_prevails_over_a_name_in_the_text() -> None:
    mail = answer("bonne transmission", f"Voir aussi {SECOND}.1.pdf", reply_to=TO_FIRST)
    assert understand(mail, RULES, [fax(), fax(SECOND, attempt=1)]) == Told(FIRST, News.TRANSMITTED)


def test_the_name_of_our_file_is_enough() -> None:
    mail = answer(f"Télécopie de '{FIRST}.3.pdf' : bonne transmission")
    assert understand(mail, RULES, [fax(), fax(SECOND)]) == Told(FIRST, News.TRANSMITTED)


def test_a_test_page_is_known_by_its_name_and_never_taken_for_the_document_behind_it() -> None:
    page = fax(f"test-page-{SECOND}", attempt=1, state=S.DELIVERED)
    mail = answer(f"Télécopie de 'test-page-{SECOND}.1.pdf' : bonne transmission", "0199001234")
    assert understand(mail, RULES, [fax(), page]) == Told(f"test-page-{SECOND}", News.TRANSMITTED)
    nameless = answer("bonne transmission", "0199001234")
    assert isinstance(understand(nameless, RULES, [fax(), page]), Untold)


def test_two_of_our_files_in_one_mail_are_nobodys() -> None:
    mail = answer("bonne transmission", f"{FIRST}.3.pdf, {SECOND}.1.pdf")
    assert understand(mail, RULES, [fax(), fax(SECOND)]) == Untold(Silence.SEVERAL_FAXES, (FIRST, SECOND))


@pytest.mark.parametrize("written", ["0199001234", "01 99 00 12 34", "+33 1 99 00 12 34", "0033199001234", "01.99.00.12.34"])
def test_a_number_is_enough_when_only_one_fax_went_there(written: str) -> None:
    mail = answer("bonne transmission", f"Destinataire : {written}\nLigne : 09 87 65 43 21")
    assert understand(mail, RULES, [fax(), fax(SECOND, "+33199005678")]) == Told(FIRST, News.TRANSMITTED, by_number=True)


@pytest.mark.parametrize("other", [S.ACCEPTED, S.DELIVERED, S.REFUSED])
def test_with_two_faxes_to_one_number_the_number_proves_nothing(other: S) -> None:
    """Even when one of them is over: its answer may have been repeated."""
    mail = answer("bonne transmission", "0199001234")
    assert understand(mail, RULES, [fax(), fax(SECOND, state=other)]) == Untold(Silence.SEVERAL_FAXES, (FIRST, SECOND))


def test_another_number_is_nobodys() -> None:
    assert understand(answer("bonne transmission", "0199009999"), RULES, [fax()]) == Untold(Silence.NO_FAX)


def test_an_answer_that_came_before_the_fax_left_is_not_its_own() -> None:
    mail = answer("bonne transmission", "0199001234")
    assert understand(mail, RULES, [fax(minutes=-20)]) == Untold(Silence.NO_FAX)


def test_a_no_to_an_earlier_try_is_no_no_to_this_one_but_a_yes_is_a_yes() -> None:
    earlier = f"<{FIRST}.1@hopital.fr>"
    assert understand(answer("échec", reply_to=earlier), RULES, [fax()]) == Untold(Silence.EARLIER_TRY)
    assert understand(answer("bonne transmission", reply_to=earlier), RULES, [fax()]) == Told(FIRST, News.TRANSMITTED)


@pytest.mark.parametrize("state", [S.PARKED, S.UNCLEAR])
def test_a_no_to_what_waits_for_a_person_counts_although_it_was_claimed_again(state: S) -> None:
    mail = answer("échec", reply_to=f"<{FIRST}.1@hopital.fr>")
    assert understand(mail, RULES, [fax(attempt=2, state=state)]) == Told(FIRST, News.FAILED)


BOUNCE = """\
From: MAILER-DAEMON@smtp.hopital.fr
To: fax@hopital.fr
Subject: Undelivered Mail Returned to Sender
Message-ID: <b@smtp.hopital.fr>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary=x

--x
Content-Type: message/delivery-status

Reporting-MTA: dns; smtp.hopital.fr

Final-Recipient: rfc822; 0199001234@ecofax.example
Action: {action}
Status: 5.1.1

--x
Content-Type: text/rfc822-headers

Message-ID: {message_id}
Subject: 0987654321

--x--
"""


@pytest.mark.parametrize(
    ("action", "message_id", "told"),
    [
        ("failed", TO_FIRST, Told(FIRST, News.REFUSED)),
        ("delayed", TO_FIRST, Untold(Silence.OTHER_WORDS)),
        ("failed", f"<{FIRST}.1@hopital.fr>", Untold(Silence.EARLIER_TRY)),
        ("failed", f"<{THIRD}.1@hopital.fr>", Untold(Silence.OTHER_WORDS)),
    ],
)
def test_a_mail_that_never_reached_the_provider_is_known_by_its_message_id(
    action: str, message_id: str, told: Told | Untold
) -> None:
    bounce = read_mail(BOUNCE.format(action=action, message_id=message_id).encode())
    assert understand(ProviderMail(bounce, NOW), RULES, [fax()]) == told


def test_words_in_html_alone_are_read() -> None:
    mail = EmailMessage(policy=SMTP)
    mail["From"], mail["Subject"], mail["In-Reply-To"] = "a@ecofax.example", "Télécopie", TO_FIRST
    mail.set_content("<html><body><p>Votre fax a <b>bien été transmis</b>.</p></body></html>", subtype="html")
    told = understand(ProviderMail(read_mail(mail.as_bytes()), NOW), RULES, [fax()])
    assert told == Told(FIRST, News.TRANSMITTED)
