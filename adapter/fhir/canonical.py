"""A document Bundle in one canonical form, without the bytes of its files: what a fax carries, what two ends compare.

Law: keys in order, no blank, UTF-8 (as RFC 8785, but for numbers, which stay as Python writes what it read). A file's base64 is
replaced by its SHA-256: the page shows what it says, and whoever gets the file elsewhere can tell that it is the same.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pybase64

from adapter.fhir import profiles as p

# Base64 shorter than this is worth its place on the page.
LARGE_DATA = 400


def canonical_json(bundle: dict[str, Any]) -> bytes:
    """The canonical bytes of a Bundle whose large files are replaced by their hash."""
    return json.dumps(_without_files(bundle), ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode("utf-8")


def _without_files(value: Any) -> Any:
    match value:
        case {"data": str() as data} if len(data) > LARGE_DATA and "dimensions" not in value:  # SampledData: measures, no file
            rest = {key: _without_files(one) for key, one in value.items() if key != "data"}
            digest = hashlib.sha256(pybase64.b64decode(data)).hexdigest()
            return rest | {"_data": {"extension": [{"url": p.EXT_FILE_LEFT_OUT, "valueString": digest}]}}
        case dict():
            return {key: _without_files(one) for key, one in value.items()}
        case list():
            return [_without_files(one) for one in value]
        case _:
            return value
