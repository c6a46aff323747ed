"""What the mail tests share: a throw-away authority, and the one running operator (root only)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mssante.testing import TestPki, make_test_pki
from mssante.tls import TlsSettings
from tests.loudly import skip_loudly
from tests.servers.mail_operator import MailOperator, is_installed


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> TestPki:
    return make_test_pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def tls(pki: TestPki) -> TlsSettings:
    return TlsSettings(pki.authority, pki.client_certificate, pki.client_key, "localhost")


@pytest.fixture(scope="module")
def real_operator(require_root_servers: None) -> Iterator[MailOperator]:
    if not is_installed():
        skip_loudly("postfix, dovecot-imapd and dovecot-lmtpd are not installed (run `sudo make test`)")
    operator = MailOperator()
    try:
        yield operator.start()
    finally:
        operator.stop()
