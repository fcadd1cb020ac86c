"""Shell commands that put the files of a source, and no others, into its landing folder.

Not here: proposing the source (`sources`), or running the commands: a person does.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from profile_pipeline.raw.proposing.naming import suffixes_of
from profile_pipeline.shell import word

FILES_A_LINE = 12
# What a shell hands to one command is bounded; the smallest bound that is met is some 250,000 characters.
MOST_CHARACTERS = 100_000


def landing_commands(files: Iterable[Path], folder: Path) -> list[str]:
    """Return lines for a shell that copy files into a folder; those that lie there already are left out.

    Files of one name from two folders get names of their own. A wildcard is used for many files of a folder, and only where
    it stands for exactly them.
    """
    listed = list(files)
    taken = {f.name.casefold() for f in listed if f.absolute().parent == folder}
    taken |= {f.name.casefold() for f in (folder.iterdir() if folder.is_dir() else ())}
    by_folder: dict[Path, list[Path]] = {}
    renamed: list[tuple[Path, str]] = []
    for file in (f for f in listed if f.absolute().parent != folder):
        name = _free(file.name, taken)
        taken.add(name.casefold())
        if name == file.name:
            by_folder.setdefault(file.parent, []).append(file)
        else:
            renamed.append((file, name))
    into = f"{word(folder)}/"
    lines = [f"cp {words} {into}" for parent, of_it in by_folder.items() for words in _sources(parent, of_it)]
    lines += [f"cp {word(file)} {word(folder / name)}" for file, name in renamed]
    return [f"mkdir -p {word(folder)} && {lines[0]}", *lines[1:]] if lines else []


def _free(name: str, taken: set[str]) -> str:
    """The name, or the first of `name_2.csv`, `name_3.csv`, … that is free."""
    if name.casefold() not in taken:
        return name
    ending = suffixes_of(name)
    stem = name[: len(name) - len(ending)]
    number = 2
    while (free := f"{stem}_{number}{ending}").casefold() in taken:
        number += 1
    return free


def _sources(parent: Path, files: Sequence[Path]) -> list[str]:
    """The files of a folder as words of a command, a line each."""
    endings = {suffixes_of(file.name) for file in files}
    if len(files) > FILES_A_LINE and len(endings) == 1 and sum(len(str(file)) + 1 for file in files) < MOST_CHARACTERS:
        (ending,) = endings
        found = {entry.name for entry in parent.iterdir() if entry.name.endswith(ending) and entry.name[0] != "."}
        if found == {file.name for file in files}:
            return [f"{word(parent)}/*{word(ending) if ending else ''}"]
    some_of_them = (files[n : n + FILES_A_LINE] for n in range(0, len(files), FILES_A_LINE))
    return [" ".join(map(word, some)) for some in some_of_them]
