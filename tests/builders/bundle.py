"""A bundle as a golden case keeps it: without its maker's versions, or each edit of a mapping would change all cases."""

from __future__ import annotations

import json
from typing import Any

from adapter.fhir.bundle import write_json
from adapter.model.effects import Translation


def kept_bundle(translation: Translation) -> Any:
    """The bundle as JSON data, its Provenance without our version and the mapping revision."""
    from adapter import __version__

    text = write_json(translation.bundle).decode()
    whole = translation.mapping_revision
    for value, word in ((whole, "REVISION"), (whole.rpartition("+")[2], "REVISION"), (__version__, "VERSION")):
        text = text.replace(f'"value":"{value}"', f'"value":"{word}"')
        text = text.replace(f"correspondances {value}<", f"correspondances {word}<")
    return json.loads(text.replace(f"{__version__}, correspondances", "VERSION, correspondances"))
