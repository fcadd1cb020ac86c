import duckdb
import pytest

from profile_pipeline.profiles.lookup import CANDIDATES, aliases_of
from profile_pipeline.raw.hashing import hashed

ANN, BOB, PHONE = (
    hashed("ann@example.com", is_email=True),
    hashed("bob@example.com", is_email=True),
    hashed("+49 30 773693", is_email=False),
)
IDENTITIES = {
    "p1": [f"email:{ANN}", "device:d1"],
    "p2": ["user:bob@example.com", "user:42"],
    "p3": [f"email:{BOB}"],
    "p4": [f"phone:{PHONE}"],
    "p5": ["user:p1"],
}


def found(name: str) -> list[str]:
    with duckdb.connect() as db:
        db.execute("create schema cleaned; create table cleaned.identities (profile_id text, alias_id text)")
        rows = [(profile_id, alias) for profile_id, aliases in IDENTITIES.items() for alias in aliases]
        db.executemany("insert into cleaned.identities values (?, ?)", rows)
        return [row[0] for row in db.execute(CANDIDATES, {"name": name, "aliases": aliases_of(name)}).fetchall()]


@pytest.mark.parametrize(
    ("name", "profiles"),
    [
        ("ann@example.com", ["p1"]), (" Ann@Example.COM ", ["p1"]), ("email:ann@example.com", ["p1"]), (ANN, ["p1"]), (ANN.upper(), ["p1"]), (PHONE, ["p4"]),
        ("bob@example.com", ["p2", "p3"]), ("42", ["p2"]), ("device:d1", ["p1"]), ("p1", ["p1", "p5"]), ("nobody@example.com", []),
    ],
)  # fmt: skip
def test_a_person_is_found_by_profile_alias_user_id_address_and_hash_in_this_order(
    name: str, profiles: list[str]
) -> None:
    assert found(name) == profiles
