"""Who is meant by a name that a person typed: a profile_id, an alias, a bare user_id, an e-mail address, or the sha256 of one.

Queries over open identities, and what they are asked for. Not here: running them.
"""

from profile_pipeline.raw.hashing import hashed, is_sha256

# `aliases` as `aliases_of` gives them: what comes first there is meant first.
CANDIDATES = """
    select profile_id, min(case when profile_id = $name then 0 else list_position($aliases, alias_id) end) as place
    from cleaned.identities
    where profile_id = $name or list_contains($aliases, alias_id)
    group by profile_id
    order by place, profile_id
"""

NEAR = """
    select distinct alias_id from cleaned.identities where alias_id like 'user:%' and contains(alias_id, $name) order by alias_id limit 5
"""


def aliases_of(name: str) -> list[str]:
    """Return the aliases that a name may stand for, what is meant first first.

    Examples
    --------
    >>> aliases_of("user:42")
    ['user:42', 'user:user:42']
    >>> [alias[:12] for alias in aliases_of(" Ann@Example.com ")]
    [' Ann@Example', 'user: Ann@Ex', 'email:71d4f5']
    """
    address = name.removeprefix("email:")
    by_hash: list[str] = []
    if "@" in address:
        by_hash = [f"email:{hashed(address, is_email=True)}"]
    elif is_sha256(name.strip().casefold()):
        by_hash = [f"{kind}:{name.strip().casefold()}" for kind in ("email", "phone")]
    return [name, f"user:{name}", *by_hash]
