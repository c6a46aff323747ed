"""The reference territory with a record that declares how it wants documents and changes, and agreements that wait for it.

record_territory('changes = "patch"', first=True)
"""

from __future__ import annotations

from adapter.routing.directory import Directory, load_directory
from tests.builders.directory import territory_files

_RECORD = 'base_url_key = "terr-esante"\n'
_BESIDE = "record_beside = true\n"


def record_territory(record: str = "", *, first: bool = False) -> Directory:
    """`record`: lines of its [[record]] entry; `first`: the one agreement that feeds the record beside waits for it."""
    files = territory_files()
    (name,) = [name for name, content in files.items() if _RECORD.encode() in content]
    text = files[name].decode()
    assert (text.count(_RECORD), text.count(_BESIDE)) == (1, 1)
    text = text.replace(_RECORD, f"{_RECORD}{record}\n").replace(_BESIDE, _BESIDE + ("record_first = true\n" if first else ""))
    return load_directory({**files, name: text.encode()})
