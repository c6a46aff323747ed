"""MSSanté and IHE XDM for Python: usable alone, typed. The standard library and lxml suffice to send and to read documents.

address           syntax, dated white list of domains, the patient's address made from the INS
xdm, archive      IHE_XDM.zip and its METADATA.XML: `build_archive`, byte-reproducible, and `read_archive`
message, incoming the mail of the Référentiel socle #2: `write_message`, byte-reproducible, and `read_mail`
receipts          DSN, MDN and KO mails: `read_receipt`, `evidence_of`, `receipt_refusal`, `write_receipt`,
                  `write_failure_notice`; `advance`, the truth table of proofs (its page is the docstring of progress)
entries, findings what METADATA.XML says, as values; what a reader noticed without refusing
smtp              one mail to the operator, told stage by stage: `send`, `probe`
mailbox           one IMAP session: `Mailbox.open`; mailbox_reader follows a mailbox for good
auth, tls         who we are and whom we trust
token_sources     access tokens from a file, a command, a refresh token
trust, live_tls   certificates, revocation lists, what expires when, files renewed live (extra `trust`)
trusted_domains   the dated list of domains as a file
autoconfig        servers by SRV records (extra `dns`)
directory         mailboxes of the Annuaire Santé (extra `directory`)
errors            what is raised; what a partner does is a value
testing           an operator and (testing_mailbox) a mailbox on loopback, with scripted faults (extra `testing`)

README.md beside this file has examples that run as they stand.
"""

__version__ = "0.1.0"
