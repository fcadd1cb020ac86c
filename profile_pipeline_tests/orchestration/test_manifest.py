"""What a backup says of itself, when it is damaged or was made up: always one message, and never a way out of its folder."""

import hashlib
import json
from pathlib import Path

import pytest

from profile_pipeline.orchestration.keeping.manifest import BackupError, read_manifest

SOUND = {
    "format": 1, "release": "0.1.0", "schema": 1, "taken_at": "2026-03-30T04:15:00",
    "files": {"profile.duckdb": {"sha256": "a" * 64, "size_bytes": 1}},
    "archive": [{"file_id": "b" * 64, "size_bytes": 1, "sidecar": None}],
}  # fmt: skip


def signed(folder: Path, text: str) -> None:
    """Write a manifest with the digest that belongs to it, as whoever makes a backup up would."""
    (folder / "manifest.json").write_text(text, encoding="utf-8")
    (folder / "manifest.sha256").write_text(hashlib.sha256(text.encode()).hexdigest() + "\n", encoding="utf-8")


def test_a_manifest_is_read_as_it_was_written(tmp_path: Path) -> None:
    signed(tmp_path, json.dumps(SOUND))
    assert read_manifest(tmp_path) == SOUND


@pytest.mark.parametrize("name", ["../evil", "dagster_home/../../evil", "/tmp/evil", "//evil", "reports/", ""])
def test_a_file_that_leads_out_of_the_backup_is_refused(name: str, tmp_path: Path) -> None:
    signed(tmp_path, json.dumps(SOUND | {"files": SOUND["files"] | {name: {"sha256": "c" * 64}}}))
    with pytest.raises(BackupError) as told:
        read_manifest(tmp_path)
    assert f"found the file {name!r}, expected a path inside of the backup" in str(told.value)


@pytest.mark.parametrize("file_id", ["../../evil", "/evil", "A" * 64, "a" * 63, "a" * 64 + "\n", "", 7, None])
def test_a_file_of_the_archive_whose_id_is_no_sha256_is_refused(file_id: object, tmp_path: Path) -> None:
    signed(tmp_path, json.dumps(SOUND | {"archive": [{"file_id": file_id, "size_bytes": 1, "sidecar": "[]"}]}))
    with pytest.raises(BackupError) as told:
        read_manifest(tmp_path)
    assert f"found the file {file_id!r} of the archive, expected 64 hexadecimal digits" in str(told.value)


def test_all_that_no_backup_says_is_told_at_once(tmp_path: Path) -> None:
    made_up = {"files": {"../x": {"sha256": 1}}, "archive": [{"file_id": "b" * 64, "sidecar": 1}, *({"file_id": str(n), "sidecar": None} for n in range(7))]}  # fmt: skip
    signed(tmp_path, json.dumps(SOUND | made_up))
    with pytest.raises(BackupError) as told:
        read_manifest(tmp_path)
    assert str(told.value).splitlines() == [
        f"{tmp_path}/manifest.json says what no backup says:",
        "found the file '../x', expected a path inside of the backup",
        "found the sha256 1 of the file '../x', expected 64 hexadecimal digits",
        "found no file profile.duckdb, expected one",
        f"found the sidecar 1 of '{'b' * 64}', expected a text or null",
        "found the file '0' of the archive, expected 64 hexadecimal digits",
        "… and 6 more",
        "Nothing was changed. Restore another backup.",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{}", "xx", "null", "7", "[" * 100_000, "{\"format\": " + "9" * 5_000 + "}",
        *(json.dumps(SOUND | other) for other in ({"format": None}, {"schema": "1"}, {"format": 1, "schema": []}, {"files": []}, {"files": {"profile.duckdb": 1}}, {"archive": 1}, {"archive": ["x"]}, {"archive": [{}]})),
    ],
    ids=range(16),
)  # fmt: skip
def test_a_manifest_of_another_shape_is_one_message(text: str, tmp_path: Path) -> None:
    signed(tmp_path, text)
    with pytest.raises(BackupError, match=r"is no manifest of a backup: found .*Restore another backup\.$"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("digest", [b"\xff\xfe", b"", b"\xe1bc"])
def test_a_digest_that_was_damaged_is_one_message(digest: bytes, tmp_path: Path) -> None:
    signed(tmp_path, json.dumps(SOUND))
    (tmp_path / "manifest.sha256").write_bytes(digest)
    with pytest.raises(BackupError, match="is not as it was written: found the sha256"):
        read_manifest(tmp_path)


def test_a_backup_of_a_newer_release_names_it(tmp_path: Path) -> None:
    signed(tmp_path, json.dumps(SOUND | {"format": 2, "release": "7.0.0", "files": "of another shape"}))
    with pytest.raises(BackupError, match=r"was written by release 7\.0\.0, which is newer"):
        read_manifest(tmp_path)
