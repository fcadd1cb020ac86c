import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[1]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
LOCKED = dict(re.findall(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", LOCK, re.MULTILINE))


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_lock_satisfies_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    locked = {normal(name): Version(version) for name, version in LOCKED.items()}
    for text in [*project["dependencies"], *project["optional-dependencies"]["dev"]]:
        wanted = Requirement(text)
        assert normal(wanted.name) in locked, f"{wanted.name} is not locked: make lock"
        assert wanted.specifier.contains(locked[normal(wanted.name)]), f"{text} is not satisfied by the lock: make lock"


def test_every_locked_package_carries_hashes_and_no_address() -> None:
    blocks = re.split(r"\n(?=[A-Za-z0-9])", LOCK.strip())
    assert len(blocks) > 50
    assert not [block.split("==")[0] for block in blocks if "--hash=sha256:" not in block]
    assert "://" not in LOCK
    assert "index-url" not in LOCK
