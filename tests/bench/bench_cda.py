"""Speed of understanding CDA documents, beside what reading the XML alone costs and beside a peer, in one run.

    python tests/bench/bench_cda.py [FOLDER]          FOLDER: CDA files (default: the official samples, or our own letters)
    TDU_PEER_PYTHON=/venv/bin/python …                a Python that has `ccda-to-fhir`: the peer is measured in the same run
    TDU_COMPILED_PYTHON=/venv/bin/python …            a Python where the wheel of `make wheel-compiled` is installed

Ours is the whole way: read, understand, build the Bundle, check it ourselves, write it; `with models` has the R4B models too.
own on one core, three times in turn; figures are processor time of the best pass, and the peak of memory.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = 3
SECONDS = float(os.environ.get("TDU_BENCH_SECONDS", "3"))


def ours() -> Callable[[bytes], object]:
    """Everything but sending, with our own validation."""
    return _ours("SHAPE")


def ours_with_models() -> Callable[[bytes], object]:
    """The default of an installation: the R4B models judge as well."""
    return _ours("FULL")


def ours_compiled() -> Callable[[bytes], object]:
    """The same from the compiled wheel that is installed, never from the sources."""
    return _ours("SHAPE", sources=False)


def _ours(level: str, *, sources: bool = True) -> Callable[[bytes], object]:
    if sources:
        sys.path.insert(0, str(ROOT))
    from adapter.fhir.bundle import write_json
    from adapter.fhir.validate import Level, validate_bundle
    from adapter.mapping.from_cda import translate_cda
    from adapter.memory import settle_memory

    settle_memory()  # as `tdu` does

    def run(content: bytes) -> object:
        translated = translate_cda(content)
        validate_bundle(translated.bundle, Level[level])
        return write_json(translated.bundle)

    return run


def floor() -> Callable[[bytes], object]:
    """What nobody can go below: lxml makes a tree."""
    from lxml import etree

    parser = etree.XMLParser(huge_tree=True, resolve_entities=False)
    return lambda content: etree.fromstring(content, parser)


def peer() -> Callable[[bytes], object]:
    """ccda-to-fhir; it raises on what it does not understand."""
    import logging

    from ccda_to_fhir import convert_document  # type: ignore[import-not-found]

    logging.disable(logging.CRITICAL)
    return lambda content: json.dumps(convert_document(content.decode("utf-8-sig", "replace"))["bundle"], default=str)


CONTENDERS = {
    "ours": ours,
    "ours, compiled": ours_compiled,
    "with models": ours_with_models,
    "lxml": floor,
    "ccda-to-fhir": peer,
}


def measure(name: str, folder: Path) -> dict[str, Any]:
    """One contender in this process."""
    documents = [path.read_bytes() for path in sorted(folder.glob("*.xml"))]
    run = CONTENDERS[name]()
    taken = []
    for content in documents:
        try:
            run(content)
        except Exception:  # a peer may raise anything: it is counted
            continue
        taken.append(content)
    best, end = float("inf"), time.monotonic() + SECONDS
    while time.monotonic() < end or best == float("inf"):
        start = time.process_time()
        for content in taken:
            run(content)
        best = min(best, time.process_time() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    return {"documents": len(documents), "taken": len(taken), "seconds": best, "peak_mb": peak}


def compare(folder: Path) -> dict[str, dict[str, Any]]:
    """Every contender that can run here, in turn; the best of each."""
    found: dict[str, dict[str, Any]] = {}
    pythons = dict.fromkeys(CONTENDERS, sys.executable)
    pythons["ccda-to-fhir"] = os.environ.get("TDU_PEER_PYTHON", "")
    pythons["ours, compiled"] = os.environ.get("TDU_COMPILED_PYTHON", "")
    for _ in range(ROUNDS):
        for name, python in pythons.items():
            if not python:
                continue
            command = [python, __file__, "--one", name, str(folder)]
            done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
            result = json.loads(done.stdout)
            if name not in found or result["seconds"] < found[name]["seconds"]:
                found[name] = result
    return found


def own_letters(folder: Path) -> Path:
    """Documents of our own, where no official one is at hand."""
    sys.path.insert(0, str(ROOT))
    from tests.builders.cda import build_ldl_ses, build_n1

    for number in range(8):
        (folder / f"letter-{number}.xml").write_bytes(build_ldl_ses())
        (folder / f"scan-{number}.xml").write_bytes(build_n1(pdf=b"%PDF-1.4\n" + bytes(range(256)) * 1600))
    return folder


def folder_of(arguments: list[str], spare: Path) -> Path:
    """The folder asked for, else the official samples, else our own letters."""
    official = Path(os.environ.get("TDU_SHARED", ROOT.parent / "shared")) / "samples" / "cda"
    if arguments:
        return Path(arguments[0])
    return official if official.is_dir() else own_letters(spare)


def table(results: dict[str, dict[str, Any]]) -> str:
    """The figures, one line a contender."""
    lines = [f"{'':16}{'taken':>9}{'ms each':>10}{'a second':>10}{'peak MB':>9}"]
    for name, found in results.items():
        each = found["seconds"] / found["taken"] * 1000
        taken = f"{found['taken']}/{found['documents']}"
        lines.append(f"{name:16}{taken:>9}{each:>10.2f}{1000 / each:>10.0f}{found['peak_mb']:>9.0f}")
    return "\n".join(lines)


def test_documents_are_understood_and_checked_in_a_third_of_the_peers_time_once_compiled_within_120_megabytes(
    tmp_path: Path,
) -> None:
    """The peer and the compiled wheel are measured when TDU_PEER_PYTHON and TDU_COMPILED_PYTHON name them; memory always."""
    results = compare(folder_of([], tmp_path))
    print("\n" + table(results))
    for name in ("ours", "ours, compiled", "with models"):
        if name in results:
            assert results[name]["taken"] == results[name]["documents"], name
            assert results[name]["peak_mb"] <= 120, name
    for name, times in (("ours", 2), ("ours, compiled", 3)):
        if name in results and "ccda-to-fhir" in results:
            mine, other = results[name], results["ccda-to-fhir"]
            assert mine["taken"] / mine["seconds"] >= times * other["taken"] / other["seconds"], name


def main(arguments: list[str]) -> None:
    """Print the table, or measure one contender for it."""
    if arguments[:1] == ["--one"]:
        print(json.dumps(measure(arguments[1], Path(arguments[2]))))
        return
    with tempfile.TemporaryDirectory() as spare:
        print(table(compare(folder_of(arguments, Path(spare)))))


if __name__ == "__main__":
    main(sys.argv[1:])
