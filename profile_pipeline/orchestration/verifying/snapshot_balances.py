"""Sums that have to agree over whole tables of snapshots, of profiles and of what is made of them.

Each is a query as in `balances`, where those of raw, cleaned and tiles are. Not here: what is compared for sampled people
(`verifying`).
"""

from collections.abc import Iterator

from profile_pipeline.features.tables import BEHAVIOR, DEMAND, USER_FEATURES
from profile_pipeline.profiles.tables import BEHAVIOR_SHOWN, DEMAND_SHOWN, USER_PROFILES
from profile_pipeline.raw.roles import COUNT_OF_ROLE
from profile_pipeline.table import Table
from profile_pipeline.verification.compare import Balance

WINDOW_DAYS = (1, 7, 30, 90)
ADDED_UP = (
    "n_events",
    *COUNT_OF_ROLE.values(),
    "n_orders",
    "purchase_amount",
    "refund_amount",
    "n_sessions",
    "session_seconds",
    "n_night_events",
)
SNAPSHOTS = ("features.demand", "features.user_features")


def balances_of_snapshots(matrix: Table, *, activity_days: int) -> list[Balance]:
    """Return those of features and profiles where there are events."""
    return [*_windows(activity_days), *_interests(), *_matrix(matrix)]


def balances_of_deliveries() -> list[Balance]:
    """Return those of applications: daily metrics of everybody, members and insights of the newest day.

    Of past days members are what was delivered then, whatever tags say since.
    """
    newest = "(select max(as_of_date) from applications.audiences)"
    return [
        _daily_metrics(),
        Balance(
            "applications.insights", "count the members who have the value",
            f"with counted as (select a.as_of_date, a.audience, t.tag, t.value, count(*) as n from applications.audiences as a"
            f" join profiles.tags as t using (as_of_date, profile_id) where a.as_of_date = {newest} group by all)"
            " select cast(i.as_of_date as varchar), 'people of ' || i.audience || ' with ' || i.tag || ' ' || i.value, i.n_people, coalesce(c.n, 0)"
            " from applications.insights as i left join counted as c using (as_of_date, audience, tag, value)"
            f" where i.as_of_date = {newest} and i.n_people <> coalesce(c.n, 0)",
        ),
        Balance(
            "applications.audiences", "hold people who have a profile",
            "select cast(as_of_date as varchar), 'members without a profile', count(*), 0 from applications.audiences"
            f" anti join profiles.user_profiles using (as_of_date, profile_id) where as_of_date = {newest} group by as_of_date",
        ),
        Balance(
            "applications.recommendations", "ranks go from 1 without a hole, by score, and no item twice",
            "select cast(as_of_date as varchar), 'lists out of order', count(*), 0 from (select as_of_date, profile_id from"
            " (select *, lag(score) over (partition by as_of_date, profile_id order by rank) as before from applications.recommendations)"
            " group by as_of_date, profile_id having max(rank) <> count(*) or count(distinct item_id) <> count(*)"
            " or count(*) filter (where score > before) > 0) group by as_of_date",
        ),
    ]  # fmt: skip


def _daily_metrics() -> Balance:
    of_sessions = {"n_sessions": "count(*)", "n_converted": "count(*) filter (where is_converted)"}
    measures = {
        "pv": "count(*) filter (where role = 'view')",
        "uv": "count(distinct stream_id)",
        "n_orders": "count(distinct if(order_id is null, 't' || coalesce(alias_id, '') || cast(event_time as varchar), 'o' || order_id))"
        " filter (where role = 'purchase')",
        "revenue_amount": "coalesce(sum(case role when 'purchase' then amount when 'refund' then -amount end), 0)",
    }
    unlike = " union all ".join(
        f"select cast(event_date as varchar), '{name} of all', cast(m.{name} as varchar), cast(coalesce({side}.{name}, 0) as varchar) from m"
        f" left join {side} using (event_date) where m.{name} <> coalesce({side}.{name}, 0)"
        for name, side in (*((name, "t") for name in measures), *((name, "s") for name in of_sessions))
    )
    return Balance(
        "applications.daily_metrics", "count the events of the day",
        "with m as (select *, coalesce(cast(round(conversion * n_sessions) as bigint), 0) as n_converted"
        " from applications.daily_metrics where segment = 'all'),"
        f" t as (select event_date, {', '.join(f'{of} as {name}' for name, of in measures.items())} from cleaned.events group by event_date),"
        f" s as (select event_date, {', '.join(f'{of} as {name}' for name, of in of_sessions.items())} from cleaned.sessions group by event_date) {unlike}",
    )  # fmt: skip


def _windows(activity_days: int) -> Iterator[Balance]:
    """What all people of a snapshot did within a window is what all tiles of its days hold; and what is said again is said so.

    Of a window that is longer than people stay in the snapshots somebody may be gone who did something within it.
    """
    behavior = BEHAVIOR.name
    for days in (n for n in WINDOW_DAYS if n <= activity_days):
        mine = ", ".join(f"sum({name}_{days}d) as {name}" for name in ADDED_UP)
        theirs = ", ".join(f"coalesce(sum(t.{name}), 0) as {name}" for name in ADDED_UP)
        unlike = " union all ".join(
            f"select cast(as_of_date as varchar), '{name}_{days}d, summed', cast(m.{name} as varchar), cast(t.{name} as varchar)"
            f" from m join t using (as_of_date) where m.{name} <> t.{name}"
            for name in ADDED_UP
        )
        yield Balance(
            behavior, f"sums of {days} days are those of features.user_days",
            f"with m as (select as_of_date, {mine} from {behavior} group by as_of_date),"
            f" by_day as (select event_date, {', '.join(f'sum({name}) as {name}' for name in ADDED_UP)} from features.user_days group by event_date),"
            f" t as (select m.as_of_date, {theirs} from m left join by_day as t on t.event_date <= m.as_of_date"
            f" and t.event_date > m.as_of_date - {days} group by m.as_of_date) {unlike}",
        )  # fmt: skip
    whole = ", ".join(f"t.{name}" for name in ADDED_UP)
    unlike = " or ".join(f"b.{name}_all <> s.{name}" for name in ADDED_UP)
    yield Balance(
        behavior, "sums of all days are those of features.user_days",
        f"with so_far as (select alias_id, event_date, {', '.join(f'sum({n}) over (partition by alias_id order by event_date) as {n}' for n in ADDED_UP)} from features.user_days),"
        f" held as (select b.as_of_date, b.profile_id, i.alias_id from {behavior} as b join cleaned.identities as i on i.profile_id = b.profile_id"
        " and i.valid_from <= b.as_of_date and (i.valid_to is null or i.valid_to > b.as_of_date)),"
        f" seen as (select h.as_of_date, h.profile_id, {whole} from held as h asof join so_far as t on t.alias_id = h.alias_id and t.event_date <= h.as_of_date),"
        f" s as (select as_of_date, profile_id, {', '.join(f'sum({name}) as {name}' for name in ADDED_UP)} from seen group by all)"
        f" select cast(b.as_of_date as varchar), 'people unlike their tiles', count(*), 0 from {behavior} as b join s using (as_of_date, profile_id)"
        f" where {unlike} group by b.as_of_date",
    )  # fmt: skip
    yield Balance(
        DEMAND.name, "repeated purchases are those of features.user_days",
        "with spent as (select alias_id, event_date, n_purchases, purchase_amount - refund_amount as net from features.user_days"
        " where n_purchases > 0 or purchase_amount <> 0 or refund_amount <> 0),"
        f" dates as (select d.as_of_date, d.profile_id, t.event_date, sum(t.net) as net from {DEMAND.name} as d join cleaned.identities as i"
        " on i.profile_id = d.profile_id and i.valid_from <= d.as_of_date and (i.valid_to is null or i.valid_to > d.as_of_date)"
        " join spent as t on t.alias_id = i.alias_id and t.event_date <= d.as_of_date group by all having sum(t.n_purchases) > 0),"
        " s as (select as_of_date, profile_id, count(*) - 1 as n, sum(net) - arg_min(net, event_date) as net from dates group by all)"
        f" select cast(as_of_date as varchar), 'people unlike their tiles', count(*), 0 from {DEMAND.name} as d left join s using (as_of_date, profile_id)"
        f" where d.clv_frequency <> coalesce(s.n, 0) or (d.clv_monetary is null) <> (coalesce(s.n, 0) = 0)"
        f" or {_is_no_mean('d.clv_monetary', 'cast(s.net as double) / nullif(s.n, 0)')} group by as_of_date",
    )  # fmt: skip
    net = " or ".join(f"d.net_amount_{w} <> b.purchase_amount_{w} - b.refund_amount_{w}" for w in ("90d", "all"))
    exact = "cast(b.purchase_amount_all as double) / nullif(b.n_orders_all, 0)"
    mean = (
        f"{_is_no_mean('d.mean_order_amount_all', exact)} or (d.mean_order_amount_all is null) <> (b.n_orders_all = 0)"
    )
    yield _again(DEMAND.name, "amounts follow from", behavior, f"{net} or {mean}")
    for upstream, names in ((behavior, BEHAVIOR_SHOWN), (DEMAND.name, DEMAND_SHOWN)):
        unlike = " or ".join(f"d.{name} is distinct from b.{name}" for name in names)
        yield _again(USER_PROFILES.name, "says what is said by", upstream, unlike)


def _is_no_mean(mean: str, exact: str) -> str:
    """Say that a mean is not the amount in cents that comes nearest: by more than half a cent and what doubles of this size can't tell."""
    return f"abs({mean} - {exact}) > 0.005001 + abs({exact}) * 1e-15"


def _again(table: str, what: str, upstream: str, unlike: str) -> Balance:
    """Compare rows d of a table with rows b of another of the same people and day."""
    return Balance(
        table, f"{what} {upstream}",
        f"select cast(b.as_of_date as varchar), 'people for whom they differ', count(*), 0 from {upstream} as b join {table} as d"
        f" using (as_of_date, profile_id) where {unlike} group by b.as_of_date",
    )  # fmt: skip


def _interests() -> list[Balance]:
    return [
        Balance(
            "features.interests", "ranks go from 1 without a hole",
            "select cast(as_of_date as varchar), 'interests of ' || profile_id, max(rank), count(*) from features.interests"
            " group by as_of_date, profile_id, kind having max(rank) <> count(*)",
        ),
    ]  # fmt: skip


def _matrix(matrix: Table) -> list[Balance]:
    """The rows of a day are the same people in each table, and what stands in two tables is the same."""
    shared = [
        name
        for name in BEHAVIOR.column_names
        if name in matrix.column_names and name not in USER_FEATURES.key and name in BEHAVIOR.types
    ]
    differs = " or ".join(f"cast(b.{name} as double) is distinct from d.{name}" for name in shared)
    mean = "cast(b.purchase_amount_90d as double) / nullif(cast(b.n_orders_90d as double), 0)"
    differs += f" or d.mean_order_amount_90d is distinct from {mean}"
    return [
        *(
            Balance(
                name, "has the people of features.behavior",
                f"select cast(as_of_date as varchar), 'people without a row in features.behavior', count(*), 0 from {name}"
                " anti join features.behavior using (as_of_date, profile_id) group by as_of_date"
                " union all select cast(as_of_date as varchar), 'people of features.behavior without a row', count(*), 0 from features.behavior"
                f" anti join {name} using (as_of_date, profile_id) group by as_of_date",
            )
            for name in SNAPSHOTS
        ),
        _again(matrix.name, "says what is said by", BEHAVIOR.name, differs),
    ]  # fmt: skip


def rows_of_nobody() -> list[Balance]:
    """Rows of profiles that nobody was on that day."""
    tables = (
        "features.behavior",
        "features.interests",
        "features.user_features",
        "profiles.user_profiles",
        "profiles.tags",
        "profiles.scores",
    )
    return [
        Balance(
            name, "are of people known that day",
            f"select cast(t.as_of_date as varchar), 'rows of nobody', count(*), 0 from {name} as t where not exists (select 1 from cleaned.identities as i"
            " where i.profile_id = t.profile_id and i.valid_from <= t.as_of_date and (i.valid_to is null or i.valid_to > t.as_of_date))"
            " group by t.as_of_date",
        )
        for name in tables
    ]  # fmt: skip
