"""What a mail-to-fax account's settings must agree on: templates that can be filled, words to look for, a risk that is known.

Source of the preset: OVHcloud's guide « Envoyer des fax par e-mail » (2022-06). It gives the subjects of errors only; for the two
confirmations the preset looks for the guide's own words on them, to be compared with the first mails that arrive.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from adapter.config.mail_fax_account import FaxProvider, MailFax
from adapter.config.reading import Problem
from adapter.config.secure_lines import is_loopback
from adapter.config.settings import Mode, Secret

_PLACE = "channels.fax.mail"
_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_DOMAIN = re.compile(r"@?[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
_WORD = re.compile(r"\{([a-z]*)\}")
_NUMBER_WORDS = frozenset({"number", "national", "digits"})
_ALLOWED = {
    "address": _NUMBER_WORDS,
    "subject": _NUMBER_WORDS | {"line", "reference", "password"},
    "body": _NUMBER_WORDS | {"line", "reference", "password", "quality"},
}
_TEMPLATES = ("address", "subject", "body")
_PATTERNS = ("taken", "transmitted", "failed", "refused")
_PRESETS: dict[FaxProvider, dict[str, str]] = {
    FaxProvider.ECOFAX: {
        "address": "{national}@ecofax.fr",
        "subject": "{line}",
        "body": "p:{password}",
        "taken": r"prise? en compte",
        "transmitted": r"(?<!non )(?:bien|correctement|été) (?:été )?(?:transmis|envoyé)|bonne transmission",
        "failed": r"échec|échoué|n'a pas (?:pu|été)|non transmis|erreur de transmission",
        "refused": r"erreur de traitement|numéros? restreints?",
    }
}
# Words that a provider reads in the body after a quality.
_QUALITY = {FaxProvider.ECOFAX: "\nqualite:{quality}"}
_QUALITIES = {FaxProvider.ECOFAX: ("normal", "premium", "best")}
# Domains behind which a real line dials.
_DIALLING = tuple(preset["address"].rpartition("@")[2] for preset in _PRESETS.values())


def filled(mail: MailFax) -> MailFax:
    """The account with its provider's preset wherever nothing else is written."""
    preset = _PRESETS.get(mail.provider, {})
    templates = {key: getattr(mail, key) or preset.get(key, "") for key in _TEMPLATES}
    if not mail.body and mail.quality:
        templates["body"] += _QUALITY.get(mail.provider, "")
    told = mail.answers
    words = replace(
        told,
        taken=told.taken or preset.get("taken", ""),
        transmitted=told.transmitted or preset.get("transmitted", ""),
        failed=told.failed or preset.get("failed", ""),
        refused=told.refused or preset.get("refused", ""),
    )
    return replace(mail, answers=words, address=templates["address"], subject=templates["subject"], body=templates["body"])


def check_mail_fax(written: MailFax, mode: Mode) -> Iterator[Problem]:
    """Every problem of `[channels.fax.mail]`."""
    mail = filled(written)
    if not mail.accepts_third_party:
        remedy = "Read docs/how-to/mail-to-fax.md (hosting of health data), then set accepts_third_party = true."
        yield Problem(f"{_PLACE}.accepts_third_party", "clinical pages and a password would travel to a third party.", remedy)
    if not _ADDRESS.fullmatch(mail.sender):
        yield Problem(f"{_PLACE}.sender", "must be the mail address that the provider knows.")
    yield from _check_entrance(mail)
    yield from _check_templates(mail)
    yield from _check_answers(mail)
    yield from _check_line(mail, mode)


def mail_fax_secrets(mail: MailFax) -> Iterator[tuple[str, Secret]]:
    """Where its secrets stand."""
    for key, secret in (("password", mail.password), ("fax_password", mail.fax_password)):
        if secret is not None:
            yield f"{_PLACE}.{key}", secret


def _check_entrance(mail: MailFax) -> Iterator[Problem]:
    if (mail.password is None) is (mail.tls.certificate is None):
        remedy = "Give user with password, or tls.certificate."
        yield Problem(_PLACE, "must prove who we are to the mail server, in one way.", remedy)
    if mail.password is not None and not mail.user:
        yield Problem(f"{_PLACE}.user", "missing: a password is somebody's.")


def _check_templates(mail: MailFax) -> Iterator[Problem]:
    for key in _TEMPLATES:
        template: str = getattr(mail, key)
        place, known = f"{_PLACE}.{key}", _ALLOWED[key]
        words = set(_WORD.findall(template))
        if words - known:
            may_be = ", ".join(f"{{{word}}}" for word in sorted(known))
            yield Problem(place, f"holds words that are not filled in: {', '.join(sorted(words - known))}.", f"Use {may_be}.")
        if key != "body" and any(not character.isprintable() for character in template):
            yield Problem(place, "must stand on one line.")
    if not _WORD.search(mail.address) or not _ADDRESS.fullmatch(_WORD.sub("0", mail.address)):
        yield Problem(f"{_PLACE}.address", "must be a mail address that holds the number.", 'For example "{number}@fax.example".')
    yield from _check_values(mail)


def _check_values(mail: MailFax) -> Iterator[Problem]:
    """What templates are filled with."""
    used = {word for key in _TEMPLATES for word in _WORD.findall(getattr(mail, key))}
    for word, value in (("line", mail.line), ("quality", mail.quality)):
        if word in used and not value:
            yield Problem(f"{_PLACE}.{word}", "missing: a template holds it.")
    if ("password" in used) != (mail.fax_password is not None):
        yield Problem(f"{_PLACE}.fax_password", "goes with {password} in a template: one is there without the other.")
    known_qualities = _QUALITIES.get(mail.provider)
    if mail.quality and known_qualities and mail.quality not in known_qualities:
        yield Problem(f"{_PLACE}.quality", f"must be one of: {', '.join(known_qualities)}.")
    for key in ("line", "quality"):
        if not str(getattr(mail, key)).isprintable():
            yield Problem(f"{_PLACE}.{key}", "must stand on one line.")


def _check_answers(mail: MailFax) -> Iterator[Problem]:
    answers, place = mail.answers, f"{_PLACE}.answers"
    if not answers.senders:
        remedy = "Write the address or domain that the provider's confirmations come from."
        yield Problem(f"{place}.senders", "there is none: no answer could be believed.", remedy)
    for n, sender in enumerate(answers.senders, start=1):
        if not (_ADDRESS.fullmatch(sender) or _DOMAIN.fullmatch(sender)):
            yield Problem(f"{place}.senders[{n}]", "must be a mail address or a domain.")
    for key in _PATTERNS:
        pattern: str = getattr(answers, key)
        try:
            re.compile(pattern)
        except re.error:
            yield Problem(f"{place}.{key}", "is no regular expression.")
        if not pattern and key != "taken":
            remedy = "Write words of the provider's mails."
            yield Problem(f"{place}.{key}", "missing: these answers would not be understood.", remedy)
    if answers.urgent_minutes > answers.minutes:
        yield Problem(f"{place}.urgent_minutes", "an urgent fax would wait longer than another.")


def _check_line(mail: MailFax, mode: Mode) -> Iterator[Problem]:
    if mode is Mode.PRODUCTION and mail.for_tests:
        remedy = "Name the provider that dials, or set for_tests = false."
        yield Problem(f"{_PLACE}.for_tests", "is set in a production instance.", remedy)
    if mode is not Mode.TEST:
        return
    if not mail.for_tests:
        remedy = "Set for_tests = true if this provider reaches no telephone line, or use spool_directory."
        yield Problem(_PLACE, "a test instance never dials.", remedy)
    elif mail.address.lower().endswith(_DIALLING) and not is_loopback(mail.host):
        remedy = "Write the address template of a provider that does not dial."
        yield Problem(f"{_PLACE}.address", "a test instance never dials, and this provider does.", remedy)
