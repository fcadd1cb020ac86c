"""Who is meant by a name that a person typed: a profile_id, an alias, or a bare user_id.

Queries over open identities, each with the parameter `name`. Not here: running them.
"""

CANDIDATES = """
    select distinct profile_id,
        case when profile_id = $name then 1 when alias_id = $name then 2 else 3 end as place
    from cleaned.identities
    where profile_id = $name or alias_id = $name or alias_id = 'user:' || $name
    order by place, profile_id
"""

NEAR = """
    select distinct alias_id from cleaned.identities where alias_id like 'user:%' and contains(alias_id, $name) order by alias_id limit 5
"""
