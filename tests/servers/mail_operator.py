"""A private MSSanté operator for tests: Postfix (submission) and Dovecot (LMTP, IMAP), loopback only, own folders.

An application's box is opened by a client certificate (mutual TLS, EXTERNAL), a person's by XOAUTH2 with an RS256 token that
Dovecot checks by itself. Two submission ports: one that demands a client certificate, one for tokens (`token_port`).
Needs root and the Debian packages postfix, dovecot-imapd, dovecot-lmtpd. Nothing of the machine's own mail set-up is read or
changed, no system service is started. Traps met: Postfix's user must be able to cross the folders above its queue (never
pytest's 0700 ones); Dovecot wants a CRL for each authority; failed logins slow down per source address; a client certificate
that is presented takes the place of the token's user, and the login is refused; Postfix's fingerprints ignore CRLs.
"""

from __future__ import annotations

import base64
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from mssante.testing import TestPki, issue, make_test_pki, write_revocation_list
from tests.servers.ports import free_port

DOMAIN = "test.mssante.fr"
SENDER = f"labo.app@{DOMAIN}"
DOCTOR = f"sacha.modele@{DOMAIN}"
TINY_BOX = f"boite.pleine@{DOMAIN}"
SHARED_BOX = f"secretariat.org@{DOMAIN}"
READ_ONLY_FOLDER = "Archives"
CLIENT_NAME = "labo-app"
REVOKED_NAME = "ancien-app"
ISSUER = "https://auth.esw.test/auth/realms/esante-wallet"
SIZE_LIMIT = 2_000_000
MASTER = Path("/usr/lib/postfix/sbin/master")

_MAIN_CF = """\
compatibility_level = 3.6
queue_directory = {home}/spool
data_directory = {home}/data
maillog_file = {home}/run/postfix.log
maillog_file_prefixes = {home}/run
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = operateur.test
mydestination =
mynetworks =
alias_maps =
alias_database =
virtual_mailbox_domains = {domain}
virtual_mailbox_maps = texthash:{home}/pf/boxes
virtual_transport = lmtp:unix:{home}/run/lmtp
lmtp_assume_final = {assumes_final}
default_transport = error:5.7.1 outside the trust space
message_size_limit = {size_limit}
smtpd_tls_security_level = encrypt
smtpd_tls_cert_file = {pki.server_certificate}
smtpd_tls_key_file = {pki.server_key}
smtpd_tls_CAfile = {pki.authority}
smtpd_tls_req_ccert = yes
smtpd_tls_mandatory_protocols = >=TLSv1.2
smtpd_tls_fingerprint_digest = sha256
smtpd_tls_session_cache_database =
relay_clientcerts = texthash:{home}/pf/certs
smtpd_sasl_type = dovecot
smtpd_sasl_path = {home}/run/auth-postfix
smtpd_relay_restrictions = permit_tls_clientcerts, permit_sasl_authenticated, reject
smtpd_recipient_restrictions = check_recipient_access texthash:{home}/pf/whitelist, reject
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_error_sleep_time = 0
"""

_MASTER_CF = """\
127.0.0.1:{smtp_port} inet n - n - - smtpd
127.0.0.1:{token_port} inet n - n - - smtpd
  -o smtpd_tls_req_ccert=no
  -o smtpd_sasl_auth_enable=yes
pickup    unix  n       -       n       60      1       pickup
cleanup   unix  n       -       n       -       0       cleanup
qmgr      unix  n       -       n       300     1       qmgr
tlsmgr    unix  -       -       n       1000?   1       tlsmgr
rewrite   unix  -       -       n       -       -       trivial-rewrite
bounce    unix  -       -       n       -       0       bounce
defer     unix  -       -       n       -       0       bounce
trace     unix  -       -       n       -       0       bounce
verify    unix  -       -       n       -       1       verify
flush     unix  n       -       n       1000?   0       flush
proxymap  unix  -       -       n       -       -       proxymap
proxywrite unix -       -       n       -       1       proxymap
showq     unix  n       -       n       -       -       showq
error     unix  -       -       n       -       -       error
retry     unix  -       -       n       -       -       error
discard   unix  -       -       n       -       -       discard
lmtp      unix  -       -       n       -       -       lmtp
anvil     unix  -       -       n       -       1       anvil
scache    unix  -       -       n       -       1       scache
postlog   unix-dgram n  -       n       -       1       postlogd
"""

_DOVECOT_CONF = """\
base_dir = {home}/run/dv
state_dir = {home}/run/st
log_path = {home}/run/dovecot.log
protocols = imap lmtp
listen = 127.0.0.1
ssl = required
ssl_min_protocol = TLSv1.2
ssl_cert = <{pki.server_certificate}
ssl_key = <{pki.server_key}
ssl_ca = <{home}/ca+crl.pem
ssl_verify_client_cert = yes
auth_ssl_username_from_cert = yes
auth_failure_delay = 0
auth_mechanisms = external xoauth2 oauthbearer
mail_location = maildir:{home}/mail/%u
mail_plugins = quota acl
plugin {{
  quota = maildir:Espace
  acl = vfile:{home}/dv/rights
}}
passdb {{
  driver = passwd-file
  mechanisms = external
  args = {home}/dv/cert-map
}}
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {home}/dv/oauth2.conf
}}
namespace inbox {{
  inbox = yes
  mailbox "Biologie reçue" {{
    auto = create
  }}
  mailbox {read_only} {{
    auto = create
  }}
  mailbox "Traités" {{
    auto = create
  }}
}}
service auth {{
  unix_listener {home}/run/auth-postfix {{
    mode = 0600
    user = postfix
  }}
}}
userdb {{
  driver = passwd-file
  args = {home}/dv/users
  default_fields = uid=nobody gid=nogroup home={home}/mail/%u
}}
service imap-login {{
  inet_listener imap {{
    port = {imap_port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service lmtp {{
  unix_listener {home}/run/lmtp {{
    mode = 0600
    user = postfix
  }}
}}
"""


def is_installed() -> bool:
    """True when Postfix and Dovecot are there."""
    return MASTER.is_file() and shutil.which("dovecot") is not None and Path("/usr/lib/dovecot/lmtp").is_file()


_OAUTH2_CONF = """\
introspection_mode = local
local_validation_key_dict = fs:posix:prefix={home}/jwt/
username_attribute = email
issuers = {issuer}
"""


@dataclass
class Wallet:
    """A sign-in service of our own: signs the access tokens that Dovecot checks. The key id is `k1`."""

    key: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048))

    def token(self, user: str, *, now: datetime | None = None, lives_seconds: int = 300, issuer: str = ISSUER) -> str:
        """An access token (JWT, RS256)."""
        issued = int((now or datetime.now(UTC)).timestamp())
        header = {"alg": "RS256", "typ": "JWT", "kid": "k1"}
        claims = {"iss": issuer, "sub": user, "email": user, "iat": issued, "exp": issued + lives_seconds}
        signed = f"{_json64(header)}.{_json64(claims)}"
        return f"{signed}.{_base64url(self.key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"

    def public_key(self) -> bytes:
        """What Dovecot checks with."""
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return self.key.public_key().public_bytes(serialization.Encoding.PEM, form)


@dataclass
class MailOperator:
    """One running operator. `start` and `stop` once each. `owner`: whose mailbox the client certificate opens."""

    mailboxes: tuple[str, ...] = (SENDER, DOCTOR, TINY_BOX, SHARED_BOX)
    domain: str = DOMAIN
    owner: str = SENDER
    size_limit: int = SIZE_LIMIT
    # Postfix says "relayed" of what it gave to Dovecot, unless it is told that nothing comes after.
    says_delivered: bool = False
    home: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="tdu-operator-")))
    smtp_port: int = field(default_factory=free_port)
    token_port: int = field(default_factory=free_port)
    imap_port: int = field(default_factory=free_port)
    wallet: Wallet = field(default_factory=Wallet)
    pki: TestPki = field(init=False)
    revoked_certificate: Path = field(init=False)
    revoked_key: Path = field(init=False)

    def start(self) -> MailOperator:
        """Write the configuration and start both servers."""
        self._lay_out()
        self._write_configuration()
        self._run("dovecot", "-c", str(self.home / "dv/dovecot.conf"))
        self._run("postfix", "-c", str(self.home / "pf"), "check")
        self._run(str(MASTER), "-c", str(self.home / "pf"), "-w")
        _wait_for_port(self.smtp_port)
        _wait_for_port(self.token_port)
        _wait_for_port(self.imap_port)
        return self

    def stop(self) -> None:
        """Stop the two servers that we started, by their own pid files, and remove everything."""
        for pid_file in (self.home / "spool/pid/master.pid", self.home / "run/dv/master.pid"):
            _terminate(pid_file)
        shutil.rmtree(self.home, ignore_errors=True)

    def mails(self, mailbox: str) -> tuple[EmailMessage, ...]:
        """The mails of a box as its owner would read them, in order of arrival."""
        folder = self.home / "mail" / mailbox
        files = sorted((*folder.glob("new/*"), *folder.glob("cur/*")), key=lambda file: file.stat().st_mtime_ns)
        return tuple(message_from_bytes(file.read_bytes(), policy=default) for file in files)  # type: ignore[misc]

    def wait_for_mail(self, mailbox: str, count: int = 1, seconds: float = 20.0) -> tuple[EmailMessage, ...]:
        """The mails of a box once there are so many."""
        deadline = time.monotonic() + seconds
        while len(found := self.mails(mailbox)) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(found)} mails of {count}\n{self.log()}")
            time.sleep(0.02)
        return found

    def log(self) -> str:
        """What both servers wrote, for a failing test."""
        files = (self.home / "run/start.log", self.home / "run/postfix.log", self.home / "run/dovecot.log")
        return "\n".join(file.read_text(errors="replace")[-4000:] for file in files if file.exists())

    def _run(self, *command: str) -> None:
        # Into a file, not a pipe: the daemons keep what they inherit open, and a pipe would never end.
        with (self.home / "run/start.log").open("ab") as output:
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=output, stderr=output, timeout=60)

    def _lay_out(self) -> None:
        self.home.chmod(0o755)
        for name in ("pf", "dv", "run", "run/dv", "run/st", "spool", "data", "mail", "pki", "jwt/default/RS256"):
            (self.home / name).mkdir(exist_ok=True, parents=True)
        nobody, postfix = pwd.getpwnam("nobody"), pwd.getpwnam("postfix")
        os.chown(self.home / "mail", nobody.pw_uid, -1)
        os.chown(self.home / "data", postfix.pw_uid, -1)
        self.pki = make_test_pki(self.home / "pki", server_name="operateur.test", client_name=CLIENT_NAME)
        now = datetime.now(UTC)
        self.revoked_certificate, self.revoked_key = self.home / "pki/revoked.pem", self.home / "pki/revoked.key"
        start = now - timedelta(hours=1)
        issue(self.pki, self.revoked_certificate, self.revoked_key, REVOKED_NAME, ExtendedKeyUsageOID.CLIENT_AUTH, start, 30)
        crl = write_revocation_list(self.pki, self.home / "crl.pem", [self.revoked_certificate], now)
        (self.home / "ca+crl.pem").write_bytes(self.pki.authority.read_bytes() + crl.read_bytes())

    def _write_configuration(self) -> None:
        values = {
            "home": self.home,
            "pki": self.pki,
            "domain": self.domain,
            "size_limit": self.size_limit,
            "smtp_port": self.smtp_port,
            "token_port": self.token_port,
            "imap_port": self.imap_port,
            "issuer": ISSUER,
            "read_only": READ_ONLY_FOLDER,
            "assumes_final": "yes" if self.says_delivered else "no",
        }
        fingerprint = x509.load_pem_x509_certificate(self.pki.client_certificate.read_bytes()).fingerprint(hashes.SHA256())
        files = {
            "pf/main.cf": _MAIN_CF.format(**values),
            "pf/master.cf": _MASTER_CF.format(**values),
            "pf/certs": f"{fingerprint.hex(':').upper()} {CLIENT_NAME}\n",
            "pf/whitelist": f"{self.domain} OK\n",
            "pf/boxes": "".join(f"{box} {box}\n" for box in self.mailboxes),
            "dv/dovecot.conf": _DOVECOT_CONF.format(**values),
            "dv/cert-map": "".join(
                f"{name}:::::::user={box} nopassword=y\n" for name, box in ((CLIENT_NAME, self.owner), (REVOKED_NAME, DOCTOR))
            ),
            "dv/users": "".join(f"{box}:::::::{_quota(box)}\n" for box in self.mailboxes),
            "dv/oauth2.conf": _OAUTH2_CONF.format(**values),
            # No `w`: keywords are refused there, and PERMANENTFLAGS says so.
            "dv/rights": f"{READ_ONLY_FOLDER} owner lrsi\n",
            "jwt/default/RS256/k1": self.wallet.public_key().decode("ascii"),
        }
        for name, text in files.items():
            (self.home / name).write_text(text)


def _quota(box: str) -> str:
    return "userdb_quota_rule=*:bytes=30000" if box == TINY_BOX else ""


def _json64(value: dict[str, object]) -> str:
    return _base64url(json.dumps(value, separators=(",", ":")).encode())


def _base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode("ascii")


def _terminate(pid_file: Path) -> None:
    if not pid_file.exists():
        return
    pid = int(pid_file.read_text().split()[0])
    try:
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            os.kill(pid, 0)
            time.sleep(0.02)
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _wait_for_port(port: int, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return
