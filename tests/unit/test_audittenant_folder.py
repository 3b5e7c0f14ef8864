"""Manifests in files: what cannot be read is named with its path, and spoils nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from audit_operator.local.folder_watch import ABSENT_ROUNDS, FolderWatch
from audit_operator.local.manifests import (
    MAX_FILE_BYTES,
    BrokenManifest,
    FolderUnreadable,
    ManifestFolder,
    parsed,
)
from audit_operator.local.notices import Notices
from audit_operator.local.yaml_documents import documents
from tests.support.audittenant import a_tenant, a_tenant_resource
from tests.support.output import Lines

ACME = yaml.safe_dump(a_tenant_resource("acme"))
GLOBEX = yaml.safe_dump(a_tenant_resource("globex"))

BROKEN: list[tuple[str, str, str]] = [
    ("empty", "", "there is no manifest in it"),
    ("only-comments", "# nothing\n---\n# yet\n", "there is no manifest in it"),
    ("unclosed", "metadata: {name: acme", "line 1: expected ',' or '}', but got '<stream end>'"),
    ("tab", "metadata:\n\tname: acme", "line 2: found character '\\t' that cannot start any token"),
    ("control-character", "name: \x01", "not YAML"),
    ("alias", "a: &x 1\nb: *x", "line 2: aliases are not supported"),
    ("repeated-key", "spec:\n  state: Active\n  state: Suspended", "line 3: the key 'state' stands twice"),
    ("unhashable-key", "{[1]: 2}: 3", "not YAML that can be read: TypeError"),
    (
        "python-object",
        "!!python/object/apply:os.system ['true']",
        "line 1: could not determine a constructor for the tag 'tag:yaml.org,2002:python/object/apply:os.system'",
    ),
    ("too-deep", "[" * 5000, "not YAML that can be read: RecursionError"),
    ("too-large", "#" * (MAX_FILE_BYTES + 1), f"larger than {MAX_FILE_BYTES} bytes"),
]


@pytest.mark.parametrize(("text", "reason"), [each[1:] for each in BROKEN], ids=[each[0] for each in BROKEN])
def test_a_file_that_cannot_be_read_is_named_with_the_reason(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    (tmp_path / "good.yaml").write_text(ACME)
    reading = ManifestFolder(tmp_path).read()
    assert [manifest.tenant for manifest in reading.manifests] == [a_tenant("acme")]
    assert reading.broken == (BrokenManifest(path=str(tmp_path / "bad.yaml"), name=None, reason=reason),)


def test_bytes_that_are_no_text_and_files_that_vanish_are_named(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"name: \xe9")
    (tmp_path / "gone.yaml").symlink_to(tmp_path / "nowhere")
    (tmp_path / "folder.yaml").mkdir()
    reading = ManifestFolder(tmp_path).read()
    assert [Path(each.path).name for each in reading.broken] == ["folder.yaml", "gone.yaml", "latin.yaml"]
    assert [each.reason for each in reading.broken[:2]] == ["Is a directory", "No such file or directory"]


def test_dates_are_text_as_the_api_server_has_them() -> None:
    assert documents("a: 2024-01-01\nb: 365d\nc: 10Gi\nd: 5\ne: true") == [
        {"a": "2024-01-01", "b": "365d", "c": "10Gi", "d": 5, "e": True}
    ]


def test_a_file_may_hold_several_documents_each_named_by_its_place() -> None:
    bad = yaml.safe_dump(a_tenant_resource("globex", foo=1))
    reading = parsed("all.yaml", f"{ACME}---\n{bad}---\n")
    assert [manifest.path for manifest in reading.manifests] == ["all.yaml#1"]
    assert reading.broken == (
        BrokenManifest(path="all.yaml#2", name="globex", reason="spec.foo: unknown field"),
    )


def test_only_visible_yaml_files_count(tmp_path: Path) -> None:
    for name in ("acme.yml", ".acme.yaml", "acme.yaml~", "README.md"):
        (tmp_path / name).write_text(ACME)
    assert len(ManifestFolder(tmp_path).read().manifests) == 1


def test_a_file_is_read_again_when_it_changed(tmp_path: Path) -> None:
    folder = ManifestFolder(tmp_path)
    path = tmp_path / "a.yaml"
    path.write_text(ACME)
    assert folder.read().manifests[0].tenant.name == "acme"
    path.write_text(GLOBEX)
    os.utime(path, ns=(1, 1))
    assert folder.read().manifests[0].tenant.name == "globex"
    path.unlink()
    assert folder.read().manifests == ()


def test_a_folder_that_is_not_there_is_not_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(FolderUnreadable, match="No such file"):
        ManifestFolder(tmp_path / "nowhere").read()


async def test_a_tenant_is_gone_only_after_several_looks_in_a_row(tmp_path: Path) -> None:
    """Editors take a file away for a moment."""
    watch = FolderWatch(ManifestFolder(tmp_path), Notices(Lines()))
    for _ in range(ABSENT_ROUNDS - 1):
        await watch.look(["acme"])
    assert watch.gone() == []
    (tmp_path / "acme.yaml").write_text(ACME)
    await watch.look(["acme"])
    (tmp_path / "acme.yaml").unlink()
    for _ in range(ABSENT_ROUNDS - 1):
        await watch.look(["acme"])
    assert watch.gone() == []
    await watch.look(["acme"])
    assert watch.gone() == ["acme"]


async def test_a_file_that_becomes_unreadable_goes_on_speaking_for_its_tenants(tmp_path: Path) -> None:
    watch = FolderWatch(ManifestFolder(tmp_path), Notices(Lines()))
    path = tmp_path / "acme.yaml"
    path.write_text(ACME)
    await watch.look(["acme", "globex"])
    path.write_text("metadata: {")
    for _ in range(2):
        wanted = await watch.look(["acme", "globex"])
        assert wanted is not None
        assert wanted.absent == {"globex"}
    path.unlink()
    wanted = await watch.look(["acme", "globex"])
    assert wanted is not None
    assert wanted.absent == {"acme", "globex"}


async def test_what_is_wrong_is_told_once_and_once_more_when_it_is_mended(tmp_path: Path) -> None:
    lines = Lines()
    watch = FolderWatch(ManifestFolder(tmp_path), Notices(lines))
    path = tmp_path / "acme.yaml"
    path.write_text(ACME.replace("spec: {}", "spec: {foo: 1}"))
    await watch.look([])
    await watch.look([])
    path.write_text(ACME)
    await watch.look([])
    path.unlink()
    await watch.look([])
    assert lines.said == [
        f"{path}: spec.foo: unknown field (tenant acme stays as it is)",
        f"{path}: well again",
    ]


async def test_a_folder_that_cannot_be_read_removes_nobody(tmp_path: Path) -> None:
    lines = Lines()
    watch = FolderWatch(ManifestFolder(tmp_path / "nowhere"), Notices(lines))
    for _ in range(ABSENT_ROUNDS + 1):
        assert await watch.look(["acme"]) is None
    assert watch.gone() == []
    assert len(lines.said) == 1
