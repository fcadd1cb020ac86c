"""Reading `profile.yaml`: every fault at once, each with file, line, setting, what was found and what is expected.

Not here: which settings there are (`settings`), or what one section says of another (`orchestration.configuration`).
"""

import difflib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from profile_pipeline import settings
from profile_pipeline.errors import ConfigurationError, did_you_mean
from profile_pipeline.paths import CONFIG_VARIABLE


def load_settings(path: Path) -> settings.Settings:
    """Read and validate `profile.yaml`.

    Raises
    ------
    ConfigurationError
        With every fault at once: file, line, setting, found, expected, remedy.
    """
    if not path.is_file():
        raise ConfigurationError(
            f"{path}: no such file. Copy profile.yaml of the project there, or name another with {CONFIG_VARIABLE}."
        )
    text = _text_of(path)
    try:
        tree, root = yaml.safe_load(text), yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise ConfigurationError(f"{path}{line}: not YAML: {getattr(error, 'problem', None) or error}") from None
    except RecursionError:
        raise ConfigurationError(
            f"{path}: found lists or mappings within each other by the hundred, expected a few"
        ) from None
    twice = [
        f"{path}:{line}: {key!r} stands here and in line {first}: one of them would be lost"
        for key, first, line in _twice(root)
    ]
    if twice:
        raise ConfigurationError("\n".join(twice))
    if not isinstance(tree, dict):
        raise ConfigurationError(
            f"{path}:1: found {type(tree).__name__}, expected settings by name, such as `calendar:` and `sources:`"
        )
    try:
        return settings.Settings.model_validate(tree)
    except ValidationError as error:
        faults = [_told(path, root, fault) for fault in error.errors()]
    raise ConfigurationError("\n".join(faults))


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise ConfigurationError(
            f"{path}:{line}: found bytes that are not UTF-8, expected UTF-8. Save the file in that encoding."
        ) from None


def _twice(root: yaml.Node | None) -> Iterator[tuple[str, int, int]]:
    """Find the keys that stand twice in one mapping: key, first line, second line. YAML would take the last without a word."""
    waiting, seen = [root], set()
    while waiting:
        node = waiting.pop()
        # An anchor may hold itself.
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            lines: dict[str, int] = {}
            for key, value in node.value:
                line = key.start_mark.line + 1
                if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                    if key.value in lines:
                        yield key.value, lines[key.value], line
                    lines.setdefault(key.value, line)
                waiting.append(value)
        elif isinstance(node, yaml.SequenceNode):
            waiting += node.value


def _told(path: Path, root: yaml.Node | None, fault: Any) -> str:
    """One fault of pydantic in words: file, line, setting, found, expected."""
    place = [part for part in fault["loc"] if part not in ("attribute", "outcome", "segments") or fault["type"] == "x"]
    line = _line_of(root, fault["loc"])
    setting = ".".join(str(part) for part in place)
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        known = _known_names(place[:-1])
        near = difflib.get_close_matches(str(place[-1]), known, n=3, cutoff=0.5)
        message = f"unknown setting{did_you_mean(near)}" + (f" (known here: {', '.join(known)})" if known else "")
    elif fault["type"] == "missing":
        message = "needed and missing"
    elif "found" not in message:
        message = f"found {fault['input']!r}, expected: {message[0].lower()}{message[1:]}"
    return f"{path}:{line}: {setting}: {message}"


def _known_names(place: list[Any]) -> list[str]:
    section: Any = settings.Settings
    for part in place:
        field = (
            section.model_fields.get(str(part))
            if isinstance(section, type) and issubclass(section, BaseModel)
            else None
        )
        candidates = (
            re.findall(r"profile_pipeline\.(?:source_)?settings\.(\w+)", str(field.annotation)) if field else []
        )
        section = getattr(settings, candidates[0], None) if candidates else section
    return sorted(section.model_fields) if isinstance(section, type) and issubclass(section, BaseModel) else []


def line_finder(path: Path) -> Callable[[str], int]:
    """Return what tells the line of a setting that is named by its dotted place, such as `tags.city.rules.0.when`."""
    root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    return lambda place: _line_of(root, tuple(int(p) if p.isdigit() else p for p in place.split(".")))


def _line_of(root: yaml.Node | None, place: tuple[Any, ...]) -> int:
    """Return the line of the deepest part of `place` that the file holds; of a key, the key's own line."""
    node, line = root, 1
    for part in place:
        if isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == str(part)), None)
            if found is None:
                continue
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
    return line
