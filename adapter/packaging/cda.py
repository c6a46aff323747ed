"""A CDA R2 N1 around a PDF, for documents that were not born as one (a form, a bare PDF): what secure mail and records demand.

Source: IHE XDS-SD (N1 = three templateIds, no model). The header is that of any document that we write (`cda_header`).
"""

from __future__ import annotations

import base64

from lxml import etree

from adapter.model.submission import Submission
from adapter.packaging.cda_out.header import write_header
from adapter.packaging.cda_out.xml import add

_XDS_SD = "1.3.6.1.4.1.19376.1.2.20"


def wrap_as_n1(submission: Submission, pdf: bytes) -> bytes:
    """The CDA N1 of a submission's document. RenditionError when the header lacks what no nullFlavor can stand for."""
    root = write_header(submission, (_XDS_SD,))
    body = add(add(root, "component"), "nonXMLBody")
    add(body, "text", mediaType="application/pdf", representation="B64").text = base64.b64encode(pdf).decode("ascii")
    return etree.tostring(root, encoding="UTF-8", xml_declaration=True)
