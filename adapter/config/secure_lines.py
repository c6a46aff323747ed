"""What TLS tables and mail operators must agree on: files that exist, keys with certificates, one way to enter, one place to go.

Sources: ECO 1.1.6, 1.1.9, 1.2.1; blueprint seam 11. Each check yields problems; none raises.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from adapter.config.reading import Problem
from adapter.config.settings import AccessToken, Config, TlsClient, TlsServer


def check_tls(place: str, tls: TlsServer | TlsClient) -> Iterator[Problem]:
    """What is wrong with one TLS table."""
    for key in ("certificate", "key", "key_password_file", "client_ca", "ca"):
        file: Path | None = getattr(tls, key, None)
        if file is not None:
            yield from check_file(f"{place}.{key}", file)
    lists = tls.revocation_lists
    if lists is not None and not lists.is_dir():
        yield from check_file(f"{place}.revocation_lists", lists)
    is_container = tls.certificate is not None and tls.certificate.suffix.lower() in (".p12", ".pfx")
    if is_container and tls.key is not None:
        yield Problem(f"{place}.key", "a container (.p12, .pfx) holds its own key.", "Remove key.")
    if not is_container and (tls.certificate is None) != (tls.key is None):
        yield Problem(place, "certificate and key go together.")
    if isinstance(tls, TlsServer) and lists is not None and tls.client_ca is None:
        yield Problem(f"{place}.revocation_lists", "no client certificate is asked for.", "Set client_ca, or remove it.")


def check_mail_operator(config: Config) -> Iterator[Problem]:
    """What is wrong with how we reach and enter our operator."""
    operator = config.channels.mssante
    if operator is None:
        return
    place = "channels.mssante"
    if operator.token is not None:
        yield from check_token(f"{place}.token", operator.token)
        if not operator.user or operator.password is not None:
            yield Problem(f"{place}.user", "a token is the one of a user, without a password.", "Set user, remove password.")
        if operator.tls.certificate is not None:
            # Servers that see a certificate put its name in the place of the token's user.
            yield Problem(f"{place}.tls.certificate", "goes without a token.", "A mailbox is opened by one or the other.")
    if not operator.host and not any(entity.sender.mailbox for entity in config.legal_entities):
        yield Problem(f"{place}.host", "missing, and no sender's mailbox whose domain could tell it.", "Set it.")


def check_token(place: str, token: AccessToken) -> Iterator[Problem]:
    """What is wrong with where a token comes from."""
    if sum((token.file is not None, bool(token.command), token.refresh_token_file is not None)) != 1:
        yield Problem(place, "must name one of: file, command, refresh_token_file.")
    if token.refresh_token_file is not None:
        yield from check_file(f"{place}.refresh_token_file", token.refresh_token_file)
        parts = urlsplit(token.endpoint)
        if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname or "")):
            yield Problem(f"{place}.endpoint", "must be the https address of the sign-in service's token endpoint.")
        if not token.client_id:
            yield Problem(f"{place}.client_id", "missing.", "Write the name that the sign-in service gave to this software.")
    if token.ca is not None:
        yield from check_file(f"{place}.ca", token.ca)


def tls_settings(config: Config) -> Iterator[tuple[str, TlsServer | TlsClient]]:
    """Every TLS table of the file, with its place."""
    if config.doors.mllp and config.doors.mllp.tls:
        yield "doors.mllp.tls", config.doors.mllp.tls
    if config.doors.http and config.doors.http.tls:
        yield "doors.http.tls", config.doors.http.tls
    for n, box in enumerate(config.doors.mailboxes, start=1):
        yield f"doors.mailboxes[{n}].tls", box.tls
    if config.channels.mssante:
        yield "channels.mssante.tls", config.channels.mssante.tls
    if config.channels.fax and config.channels.fax.mail:
        yield "channels.fax.mail.tls", config.channels.fax.mail.tls
    if config.channels.shared_record:
        yield "channels.shared_record.tls", config.channels.shared_record.tls
    push = config.channels.hl7_push
    for n, partner in enumerate(push.partners if push else (), start=1):
        if partner.tls:
            yield f"channels.hl7_push.partners[{n}].tls", partner.tls


def check_file(place: str, path: Path) -> Iterator[Problem]:
    """A file that must be there."""
    if not path.is_file():
        yield Problem(place, f"there is no file {path}.")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach that address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
