"""What lies in the landing folder: taken when it is whole, left alone when it is not, never followed."""

import os
import socket
from pathlib import Path

import pytest

from profile_pipeline.raw import archive as archive_module
from profile_pipeline.raw.archive import NotReadableError, state_of, store
from profile_pipeline.raw.landing import complete_files, not_followed
from profile_pipeline_tests.raw.test_readers import source

ANY = {"shop": source(path="**")}


def names(folder: Path, *, now_seconds: float = 1e12, stable_seconds: float = 0) -> list[str]:
    files = complete_files(folder, ANY, now_seconds=now_seconds, stable_seconds=stable_seconds)
    return [file.name for file in files]


def test_hidden_and_unfinished_files_are_left_alone(tmp_path: Path) -> None:
    for name in (
        ".hidden.csv",
        "a.csv.tmp",
        "b.PART",
        "c.csv.crdownload",
        ".folder/d.csv",
        "folder.tmp/e.csv",
        "f.csv",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert names(tmp_path) == ["f.csv"]
    assert not_followed(tmp_path) == []


def test_a_file_that_changed_lately_is_left_until_it_rests(tmp_path: Path) -> None:
    (tmp_path / "f.csv").touch()
    os.utime(tmp_path / "f.csv", (1000, 1000))
    assert names(tmp_path, now_seconds=1009, stable_seconds=10) == []
    assert names(tmp_path, now_seconds=1010, stable_seconds=10) == ["f.csv"]


def test_what_is_no_plain_file_is_told_and_never_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.csv").write_text("secret", encoding="utf-8")
    landing = tmp_path / "landing"
    landing.mkdir()
    (landing / "f.csv").touch()
    (landing / "x.csv").mkdir()
    (landing / "link.csv").symlink_to(outside / "secret.csv")
    (landing / "folder").symlink_to(outside)
    (landing / "broken.csv").symlink_to(outside / "nothing")
    (landing / "loop.csv").symlink_to(landing / "loop.csv")
    os.mkfifo(landing / "pipe.csv")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(landing / "s.csv"))
        assert names(landing) == ["f.csv"]
        assert not_followed(landing) == [
            ("broken.csv", "a link, which is not followed"),
            ("folder", "a link, which is not followed"),
            ("link.csv", "a link, which is not followed"),
            ("loop.csv", "a link, which is not followed"),
            ("pipe.csv", "a pipe"),
            ("s.csv", "a socket"),
        ]


ODD_NAMES = ["a'b.csv", "');drop table x;--.csv", "*.csv", "[ab]?.csv", "$x {y} %s.csv", "用户 事件.csv", "\N{PILE OF POO}.csv", "line\nend.csv", "-rf.csv", "z" * 250 + ".csv"]  # fmt: skip


def test_names_are_names_whatever_they_are(tmp_path: Path) -> None:
    for name in ODD_NAMES:
        (tmp_path / name).touch()
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.csv"))).touch()
    found = names(tmp_path)
    assert sorted(found) == sorted([*ODD_NAMES, "\\xff\\xfe.csv"])
    assert all(name.encode("utf-8") for name in found)


def test_a_folder_that_can_not_be_looked_into_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "closed").mkdir()
    (tmp_path / "f.csv").touch()
    scan = os.scandir

    def refusing(path: str | Path):  # type: ignore[no-untyped-def]
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refusing)
    assert names(tmp_path) == ["f.csv"]
    assert not_followed(tmp_path) == [("closed", "a folder that can't be looked into: Permission denied")]


@pytest.mark.parametrize("how", ["link", "pipe", "folder", "gone"])
def test_what_takes_the_place_of_a_listed_file_is_not_opened(how: str, tmp_path: Path) -> None:
    place, kept = tmp_path / "f.csv", tmp_path / "archive"
    if how == "link":
        (tmp_path / "secret").touch()
        place.symlink_to(tmp_path / "secret")
    elif how == "pipe":
        os.mkfifo(place)
    elif how == "folder":
        place.mkdir()
    with pytest.raises(NotReadableError):
        store(place, archive=kept)
    assert list(kept.iterdir()) == []


@pytest.mark.parametrize("how", ["appended", "replaced", "removed", "replaced by one like it"])
def test_a_file_that_changes_while_it_is_copied_is_not_archived(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, kept = tmp_path / "f.csv", tmp_path / "archive"
    place.write_bytes(b"first")
    block_of = archive_module._block_of

    def changing(source):  # type: ignore[no-untyped-def]
        block = block_of(source)
        if not block:
            before = place.stat()
            if how == "appended":
                with place.open("ab") as file:
                    file.write(b"more")
            elif how == "removed":
                place.unlink()
            else:
                other = tmp_path / "other"
                other.write_bytes(b"other" if how == "replaced by one like it" else b"longer")
                if how == "replaced by one like it":
                    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
                other.replace(place)
        return block

    monkeypatch.setattr(archive_module, "_block_of", changing)
    with pytest.raises(NotReadableError, match="changed while it was read"):
        store(place, archive=kept)
    assert list(kept.iterdir()) == []


def test_the_archive_keeps_the_bytes_under_their_sha256_and_knows_the_file(tmp_path: Path) -> None:
    place = tmp_path / "f.csv"
    place.write_bytes(b"abc")
    archived = store(place, archive=tmp_path / "archive")
    assert archived.file_id == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert archived.path.read_bytes() == b"abc"
    assert archived.state == state_of(place)
