"""The R4B models of fhir.resources as a second judge: a resource that they refuse does not leave.

Why R4B and not the package's top level: that is R5; R4B has the same elements as R4 for our resource types (digest fhir-profiles
§7). They cost 10 ms a letter and catch structure only: they come after our own walk, and a level leaves them out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from pydantic import ValidationError

from adapter.model.finding import Finding, Severity


@lru_cache(maxsize=128)
def _model(kind: str) -> Any:
    # Imported late: 0.1 s and 48 MB that a process which validates nothing should not pay.
    from fhir.resources.R4B import get_fhir_model_class

    return get_fhir_model_class(kind)


def model_findings(resource: Mapping[str, Any], kind: str) -> Iterator[Finding]:
    """What the model of this resource type refuses: places and kinds of error, never values."""
    try:
        model = _model(kind)
    except (LookupError, ImportError, ValueError):
        yield _refusal("fhir.unknown-resource", "No such resource in FHIR R4.", kind)
        return
    try:
        model.model_validate(resource)
    except ValidationError as error:
        for one in error.errors(include_url=False, include_context=False, include_input=False):
            place = ".".join(str(step) for step in one["loc"])
            yield _refusal("fhir.structure", f"Refused by the R4 model ({one['type']}).", f"{kind}.{place}")
    except (TypeError, ValueError, AttributeError, LookupError, RecursionError) as error:
        yield _refusal("fhir.structure", f"Refused by the R4 model ({type(error).__name__}).", kind)


def _refusal(code: str, text: str, place: str) -> Finding:
    return Finding(Severity.ERROR, code, text, place)
