"""The corpus of bodies that must be refused, as `tests/corpus/bad_bodies/manifest.yaml` lists them."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

import msgspec
import yaml
import zstandard

CORPUS: Final = Path(__file__).parents[1] / "corpus" / "bad_bodies"


class BadItem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One refused entry of a batch. `pointer` is relative to the entry; None where no field is to blame."""

    index: int
    status: int
    pointer: str | None = None


class BadBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One request that must be refused, wholly or in part. The manifest's head explains the fields."""

    file: str
    endpoint: Literal["single", "batch", "ndjson"] = "single"
    content_type: str = "application/json"
    content_encoding: str | None = None
    status: int | list[int] | None = None
    pointer: str | None = None
    items: list[BadItem] = []
    kept: list[str] = []

    @property
    def body(self) -> bytes:
        """The bytes to send."""
        return (CORPUS / self.file).read_bytes()

    @property
    def statuses(self) -> tuple[int, ...]:
        """The answers that are right; none for ndjson."""
        if self.status is None:
            return ()
        return (self.status,) if isinstance(self.status, int) else tuple(self.status)


class _Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    bodies: list[BadBody]


def bad_bodies() -> list[BadBody]:
    """Return the corpus in the order of its manifest."""
    listed = yaml.safe_load((CORPUS / "manifest.yaml").read_text())
    return msgspec.convert(listed, _Manifest).bodies


def entries_of(bad: BadBody) -> list[bytes]:
    """Return the events of a batch or of ndjson, as sent."""
    if bad.endpoint == "ndjson":
        return [line for line in bad.body.split(b"\n") if line.strip()]
    lists = msgspec.json.decode(bad.body, type=dict[str, list[msgspec.Raw]])
    return [bytes(entry) for entry in next(iter(lists.values()))]


def inflated(bad: BadBody) -> Iterator[bytes]:
    """Yield a compressed body in plain, piece by piece."""
    compressed = io.BytesIO(bad.body)
    reader = (
        zstandard.ZstdDecompressor().stream_reader(compressed) if bad.content_encoding == "zstd" else None
    )
    stream = reader or gzip.GzipFile(fileobj=compressed)
    while piece := stream.read(1 << 20):
        yield piece


def ids_in(bad: BadBody) -> dict[int, str]:
    """Return the ids of the entries that are objects with one, by index, read with the standard library."""
    found: dict[int, str] = {}
    for index, entry in enumerate(entries_of(bad)):
        try:
            value = json.loads(entry)
        except ValueError:
            continue
        if isinstance(value, dict) and isinstance(value.get("id"), str):
            found[index] = value["id"]
    return found
