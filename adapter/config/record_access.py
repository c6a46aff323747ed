"""What the shared record's access must agree on: one way to get a token, a key that is there, endpoints that are https.

Source: SMART App Launch 2 §backend services. Each check yields problems; none raises.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from adapter.config.reading import Problem
from adapter.config.secure_lines import check_file, is_loopback
from adapter.config.settings import Config


def check_record_access(config: Config) -> Iterator[Problem]:
    """What is wrong with how we reach the shared record."""
    record = config.channels.shared_record
    if record is None or record.smart is None:
        return
    place = "channels.shared_record.smart"
    if record.token is not None:
        yield Problem("channels.shared_record.token", "goes without [channels.shared_record.smart].", "Keep one of the two.")
    for key in ("client_id", "kid", "scope"):
        if not getattr(record.smart, key):
            yield Problem(f"{place}.{key}", "must not be empty.")
    yield from check_file(f"{place}.key_file", record.smart.key_file)
    endpoint = urlsplit(record.smart.token_endpoint)
    if (
        endpoint.scheme
        and endpoint.scheme != "https"
        and not (endpoint.scheme == "http" and is_loopback(endpoint.hostname or ""))
    ):
        yield Problem(f"{place}.token_endpoint", "must be an https address.")
    if record.smart.token_endpoint and not endpoint.hostname:
        yield Problem(
            f"{place}.token_endpoint", "must be a whole address.", "Or leave it out: the record's own configuration tells it."
        )
