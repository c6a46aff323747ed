"""MSSanté and IHE XDM for Python: usable alone, typed, nothing but the standard library and lxml to write and send a document.

address   syntax, dated white list of domains, the patient's address made from the INS
xdm       IHE_XDM.zip and its METADATA.XML, byte-reproducible: `build_archive`
message   the mail of the Référentiel socle #2, byte-reproducible: `write_message`, `document_subject`, `pdf_name`
smtp      one mail to the operator, told stage by stage: `send`, `probe`
errors    what is raised; what a partner does is a value
testing   an operator on loopback with a client certificate and scripted faults (needs aiosmtpd and cryptography)

archive = build_archive(SubmissionSet(…), [(DocumentEntry(…), cda)])
mail = write_message(DocumentMail(…, attachments=(Attachment(ARCHIVE_NAME, "application/zip", archive), …)))
result = send(mail, ours, theirs, host="smtp.operateur.example", tls=TlsSettings(authorities, certificate, key))
result.verdict   # accepted, temporary, permanent, or unclear: the operator may have it
"""
