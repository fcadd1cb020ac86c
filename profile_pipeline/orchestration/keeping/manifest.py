"""What a backup says of itself: written when it is whole, and read as something that may be damaged, or made by others.

Not here: what is put into a backup, or back (`backing_up`).
"""

import datetime as dt
import importlib.metadata
import json
import re
from pathlib import Path
from typing import Any

from profile_pipeline.disk import sha256_of, sync
from profile_pipeline.errors import ExpectedError
from profile_pipeline.orchestration.building.balance import LISTED
from profile_pipeline.orchestration.keeping.built_with import SCHEMA

FORMAT = 1
MANIFEST, DIGEST, DATABASE = "manifest.json", "manifest.sha256", "profile.duckdb"
SHA256 = re.compile("[0-9a-f]{64}")


class BackupError(ExpectedError):
    """A backup can't be taken or restored; the text says what was found and what to do."""


def write_manifest(folder: Path, archived: list[dict[str, Any]], now: dt.datetime) -> None:
    """Write down every file of a folder with its sha256, and which files of the archive belong to it; all of it is on the disk then."""
    files = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        sync(path)
        files[path.relative_to(folder).as_posix()] = {"sha256": sha256_of(path), "size_bytes": path.stat().st_size}
    told = {
        "format": FORMAT, "release": importlib.metadata.version("profile-pipeline"), "schema": SCHEMA, "taken_at": now.isoformat(),
        "files": files, "archive": archived,
    }  # fmt: skip
    manifest = folder / MANIFEST
    manifest.write_text(json.dumps(told, indent=1, ensure_ascii=False), encoding="utf-8")
    (folder / DIGEST).write_text(sha256_of(manifest) + "\n", encoding="utf-8")
    for path in (manifest, folder / DIGEST, *(p for p in folder.rglob("*") if p.is_dir()), folder):
        sync(path)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return what a backup says of itself. No name in it leads out of the folder, and every id is one of the archive.

    Raises
    ------
    BackupError
        If there is none, or it is not as it was written, or says something else than a manifest does; with all that it says so.
    """
    manifest = folder / MANIFEST
    if not manifest.is_file() or not (folder / DIGEST).is_file():
        raise BackupError(f"{folder} is no backup: expected a folder that holds {MANIFEST} and {DIGEST}")
    found, expected = sha256_of(manifest), (folder / DIGEST).read_bytes().strip()
    if found.encode() != expected:
        raise BackupError(
            f"{manifest} is not as it was written: found the sha256 {found}, expected that of {folder / DIGEST},"
            f" {expected[:64].decode(errors='replace')}. Nothing was changed. Restore another backup, or take a new one."
        )
    text = manifest.read_text(encoding="utf-8", errors="replace")
    try:
        told: dict[str, Any] = json.loads(text)
        if told["format"] > FORMAT or told["schema"] > SCHEMA:
            raise BackupError(f"{folder} was written by release {told['release']}, which is newer: install that one")
        faults = _faults_of(told)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BackupError(
            f"{manifest} is no manifest of a backup: found {text[:60]!r}, expected the JSON that `profile-pipeline backup` writes."
            " Nothing was changed. Restore another backup."
        ) from error
    if faults:
        listed = [*faults[:LISTED], *([f"… and {len(faults) - LISTED} more"] if len(faults) > LISTED else [])]
        raise BackupError(
            "\n".join(
                [f"{manifest} says what no backup says:", *listed, "Nothing was changed. Restore another backup."]
            )
        )
    return told


def _faults_of(told: dict[str, Any]) -> list[str]:
    """Say which names lead out of where they belong, and what no id or sidecar is."""
    faults = [
        f"found the file {name!r}, expected a path inside of the backup"
        for name in told["files"]
        # Of an absolute path the first part is empty.
        if not {"..", ""}.isdisjoint(name.split("/"))
    ]
    faults += [
        f"found the sha256 {entry['sha256']!r} of the file {name!r}, expected 64 hexadecimal digits"
        for name, entry in told["files"].items()
        if not _is_sha256(entry["sha256"])
    ]
    if DATABASE not in told["files"]:
        faults.append(f"found no file {DATABASE}, expected one")
    for entry in told["archive"]:
        if not _is_sha256(entry["file_id"]):
            faults.append(f"found the file {entry['file_id']!r} of the archive, expected 64 hexadecimal digits")
        if not isinstance(entry["sidecar"], str | None):
            faults.append(f"found the sidecar {entry['sidecar']!r} of {entry['file_id']!r}, expected a text or null")
    return faults


def _is_sha256(found: object) -> bool:
    return isinstance(found, str) and SHA256.fullmatch(found) is not None
