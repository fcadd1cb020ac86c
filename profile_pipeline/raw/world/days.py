"""What people do on a day: visits by their rhythm, events within visits, and when the collector receives them.

A day is made from the people and the hashes of its visits alone; what is received later waits in `spill`. Not here: who the
people are, or the text of the files.
"""

import datetime as dt
from collections.abc import Sequence

import duckdb

HOURS = (
    1.2,
    0.7,
    0.4,
    0.25,
    0.2,
    0.4,
    1.2,
    2.5,
    4.5,
    5.5,
    6.0,
    6.2,
    6.8,
    5.8,
    5.2,
    5.0,
    5.3,
    5.6,
    6.2,
    7.4,
    8.8,
    9.0,
    6.8,
    3.0,
)
NIGHT_HOURS = (14.0, 11.0, 8.0, 4.0, 2.0, 1.5)
WEEKDAYS = (0.66, 0.64, 0.70, 0.80, 1.10, 1.60, 1.48)
LATEST_DAYS = 60
CAMPAIGN_DAYS = 7
DECLINE_DAYS = 21
# The cheaper for what one is used to pay, the more likely it is bought.
PRICE_SENSITIVITY = "least(1.4, greatest(0.1, 62 * price_level / i.price))"
# Of ten visits some never sign in, most of the others begin signed in: 35 % of all events come before a sign-in.
NEVER_SIGNS_IN, SIGNS_IN_AT_ONCE = 0.22, 0.66

SPILL_COLUMNS = "received_day integer, event_no ubigint, is_web boolean, id varchar, happened timestamp, received timestamp, cookie varchar, device varchar, user_id varchar, visit varchar, role varchar, item_id varchar, category varchar, quantity integer, price decimal(18,2), currency varchar, number integer, query varchar, order_id varchar, agent varchar, city varchar, campaign varchar"


def prepare(connection: duckdb.DuckDBPyConnection, *, campaign_day: int) -> None:
    """Make what all days share."""
    connection.execute(f"create table spill ({SPILL_COLUMNS})")
    connection.execute("create table hours (is_night boolean, hour integer, lower double, upper double)")
    for is_night, weights in ((False, HOURS), (True, NIGHT_HOURS)):
        reached = 0.0
        for hour, weight in enumerate(weights):
            share = weight / sum(weights)
            last = hour == len(weights) - 1
            connection.execute(
                "insert into hours values (?, ?, ?, ?)", [is_night, hour, reached, 2.0 if last else reached + share]
            )
            reached += share
    connection.execute(
        f"""
        create view campaign as select pid, user_id, u_treated < 0.25 as is_treated, {int(campaign_day)} as contact_day,
            case segment when 'bargain_hunter' then 1.7 when 'night_reader' then 0.8 else 1.0 end as effect
        from people where u_treated < 0.5 and arrival_day < {int(campaign_day)} and not is_guest
        """
    )


def intensity_sql(day: str) -> str:
    """Visits that a person may be expected to make on a day: none before arriving and after leaving, fewer before leaving."""
    return (
        f"case when {day} < arrival_day or {day} >= arrival_day + stay_days then 0 "
        f"when {day} >= arrival_day + stay_days - {DECLINE_DAYS} then rate * (0.12 + 0.88 * (arrival_day + stay_days - {day}) / {DECLINE_DAYS}.0) "
        "else rate end"
    )


# A table, not a step: the engine has to know how few visits there are to join what they do from the right side.
_VISITS = f"""
    create or replace temp table visits as
    with expected as (
        select people.*, days.day, days.date, ({intensity_sql("days.day")}) * days.weekday as visits_expected, draw(cast(pid as bigint) * 4096 + days.day, 51) as u
        from people cross join days
    ),
    counted as (
        select *, case when u < exp(-visits_expected) then 0 when u < exp(-visits_expected) * (1 + visits_expected) then 1
            when u < exp(-visits_expected) * (1 + visits_expected + visits_expected * visits_expected / 2) then 2 else 3 end as n_visits
        from expected
    ),
    each as (
        select *, mixed((cast(pid as bigint) * 4096 + day) * 4 + v, 52) as vid from (select *, unnest(range(n_visits)) as v from counted)
    ),
    timed_visits as (
        select each.*, draw(vid, 53) < night as is_night,
            case when ring is not null then 0 else cast(floor(draw(vid, 54) * n_devices) as integer) end as slot
        from each
    ),
    begun as (
        select t.*, d.is_web, d.device_key,
            cast(t.date as timestamp) + to_seconds(cast(h.hour as bigint) * 3600 + cast(floor(draw(vid, 56) * 3600) as bigint)) as local_start,
            draw(vid, 57) < content as is_content,
            least(24, 1 + cast(floor(-ln(greatest(draw(vid, 58), 1e-9)) * 5.4) as integer)) as n_steps,
            case when is_guest or draw(vid, 59) < {NEVER_SIGNS_IN} then 99 when draw(vid, 60) < {SIGNS_IN_AT_ONCE} then 0
                else 1 + cast(floor(draw(vid, 61) * 3) as integer) end as signs_in_at,
            coalesce(c.is_treated and t.day between c.contact_day and c.contact_day + {CAMPAIGN_DAYS - 1}, false) as is_reached, c.effect
        from timed_visits as t left join campaign as c on c.pid = t.pid
        join hours as h on h.is_night = t.is_night and draw(t.vid, 55) >= h.lower and draw(t.vid, 55) < h.upper
        join devices as d on d.pid = t.pid and d.slot = t.slot
    )
    select pid, user_id, cart, buy, price_level, city, ring, day, date, vid, is_web, device_key, local_start, is_content, n_steps, signs_in_at, is_reached, effect
    from begun
"""
_RECEIVED = f"""
    create or replace temp table received as
    with steps as (
        select vid, cast(s as integer) as step, mixed(vid, 1000 + s) as e, mixed(vid, 2000 + floor(s / 4)) as g, cast(s % 4 as integer) as part
        from (select vid, unnest(range(n_steps)) as s from visits)
    ),
    paced as (
        select *, sum(cast(floor(1000 * least(1500000.0, -ln(greatest(draw(e, 91), 1e-9)) * 75000 + 900)) as bigint)) over (
            partition by vid order by step rows between unbounded preceding and current row) as after_microseconds
        from steps
    ),
    stepped as (
        select v.*, p.step, p.e, p.g, p.part, cast(p.after_microseconds as bigint) as after_microseconds from paced as p join visits as v on v.vid = p.vid
    ),
    chosen as (
        select s.*, f.first, f.second, f.third, draw(g, 71) as u_category, draw(g, 72) as u_style, draw(g, 73) as u_place
        from stepped as s join favourites as f on f.pid = s.pid and f.is_product = (not s.is_content)
    ),
    placed as (
        select c.*,
            case when u_category < 0.46 then first when u_category < 0.72 then second when u_category < 0.86 then third
                when is_content then 12 + cast(mixed(g, 74) % 8 as integer) else cast(mixed(g, 74) % 12 as integer) end as category_no
        from chosen as c
    ),
    wanted as (
        select p.*, cast(case when u_style < 0.8 then mixed(cast(p.pid * 100 + p.category_no as hugeint), 75) % 4 else mixed(g, 76) % 4 end as integer) as style,
            cast(floor(15 * u_place * u_place) as integer) as place
        from placed as p
    ),
    rated as (
        select *, cart * (case when is_reached then effect else 1 end) as cart_rate, case when is_reached then 'spring' end as campaign from wanted
    ),
    acted as (
        select w.*, i.item_id, i.category, i.kind, i.price as list_price,
            case
                when step = signs_in_at and signs_in_at > 0 then 'sign_in'
                when is_content and part = 3 and draw(e, 81) < 0.10 then 'follow'
                when is_content and part = 2 and draw(e, 81) < 0.12 then 'share'
                when is_content and i.kind = 'article' then case when part = 0 then 'view' else 'read' end
                when is_content then case when part = 0 then 'view' else 'play' end
                when part = 0 and draw(e, 82) < 0.30 then 'search'
                when part = 2 and draw(g, 83) < cart_rate then 'add_to_cart'
                when part = 3 and draw(g, 83) < cart_rate and draw(g, 84) < buy * {PRICE_SENSITIVITY} then 'purchase'
                when part = 3 and draw(g, 83) < cart_rate and draw(g, 84) > 0.93 then 'remove_from_cart'
                when part = 3 and draw(e, 85) < 0.05 then 'rate'
                else 'view'
            end as role
        from rated as w join items as i on i.category_no = w.category_no and i.style = w.style and i.place = w.place
    ),
    timed as (
        select *, local_start - interval 8 hour + to_microseconds(after_microseconds) as happened
        from acted
    ),
    delayed as (
        select *,
            happened + to_seconds(cast(floor(case when draw(e, 92) < 0.003 then 86400 * (1 + {LATEST_DAYS - 2} * draw(e, 93) * draw(e, 93)) + 3600
                when draw(e, 92) < 0.05 then 7200 * draw(e, 93) else 1 + 20 * draw(e, 93) end) as bigint)) as received
        from timed
    )
    select e, g, vid, day, is_web, device_key, happened, received, role, item_id, category, category_no, kind, list_price, city, campaign, ring, user_id,
        step >= signs_in_at as is_signed_in, cast(date_diff('day', date, cast(received + interval 8 hour as date)) as integer) + day as received_day
    from delayed
"""
_DELIVERED = """
    insert into spill
    select received_day, e, is_web, lower(to_hex(mixed(e, 94)) || to_hex(mixed(e, 95))), happened, received,
        case when is_web then 'c' || device_key end, case when not is_web then 'd' || device_key end,
        case when is_signed_in then user_id end, lower(to_hex(vid)), role,
        case when role not in ('search', 'sign_in') then item_id end, case when role not in ('search', 'sign_in') and mixed(e, 96) % 3 = 0 then category end,
        case when role in ('purchase', 'add_to_cart') then 1 + cast(floor(draw(g, 97) * draw(g, 97) * 3) as integer) end,
        case when kind = 'product' and role in ('view', 'purchase', 'add_to_cart', 'remove_from_cart') then cast(round(list_price * (0.9 + 0.2 * draw(g, 98)), 2) as decimal(18, 2)) end,
        case when kind = 'product' and role in ('view', 'purchase', 'add_to_cart', 'remove_from_cart') then case when mixed(e, 99) % 100 = 0 then 'USD' else 'CNY' end end,
        case role when 'rate' then 1 + cast(mixed(e, 101) % 5 as integer) when 'play' then 30 + cast(mixed(e, 101) % 1200 as integer) end,
        case when role = 'search' then case when mixed(e, 102) % 5 < 3 then c.chinese_query else c.english_query end end,
        case when role = 'purchase' then 'o' || lower(to_hex(vid)) end,
        case when is_web then 'Mozilla/5.0 (Windows NT 10.0; Win64; x64)' else 'ShopApp/4.2 (Android 15)' end, city, campaign
    from received join (select no, chinese_query, english_query from categories) as c on c.no = received.category_no
"""
# Some of what was bought comes back within days; of a ring most does.
_SENT_BACK = """
    insert into spill
    select received_day + back, mixed(e, 111), is_web, lower(to_hex(mixed(e, 112)) || to_hex(mixed(e, 113))), happened + to_days(back), happened + to_days(back) + interval 5 second,
        case when is_web then 'c' || device_key end, case when not is_web then 'd' || device_key end, user_id, lower(to_hex(vid)), 'refund', item_id, null,
        1, cast(round(list_price * (0.9 + 0.2 * draw(g, 98)), 2) as decimal(18, 2)), 'CNY', null, null, 'o' || lower(to_hex(vid)),
        case when is_web then 'Mozilla/5.0 (Windows NT 10.0; Win64; x64)' else 'ShopApp/4.2 (Android 15)' end, city, null
    from (select *, cast(1 + mixed(e, 114) % 9 as integer) as back from received
          where role = 'purchase' and received_day = day and draw(e, 115) < case when ring is not null then 0.6 else 0.04 end)
"""
# One event in a hundred is delivered twice.
_TWICE = """
    insert into spill select s.* replace (received_day + cast(mixed(event_no, 116) % 20 = 0 as integer) as received_day, received + interval 90 second as received)
    from spill as s where event_no in (select e from received where mixed(e, 117) % 100 = 0)
"""
# Crawlers that say so, every day, and now and then a machine that does not, by the thousand on one day.
_BOTS = """
    insert into spill
    with bots as (
        select b, day, date, b % 3 > 0 as says_so, case when b % 3 > 0 then 24 when mixed(b * 4096 + day, 121) % 29 = 0 then 1150 else 0 end as n
        from days, range(cast(ceil((select count(*) from people) / 1000.0) as bigint)) as r(b)
    ),
    hits as (select *, mixed((b * 4096 + day) * 2048 + k, 122) as e from bots, range(n) as r(k))
    select day, e, true, lower(to_hex(mixed(e, 94)) || to_hex(mixed(e, 95))), cast(date as timestamp) + interval 1 hour + to_seconds(cast(k * 30 as bigint)),
        cast(date as timestamp) + interval 1 hour + to_seconds(cast(k * 30 + 2 as bigint)), 'cbot' || cast(b as varchar), null, null, null, 'view',
        i.item_id, null, null, null, null, null, null, null,
        case when says_so then 'Mozilla/5.0 (compatible; ExampleBot/2.1; +http://example.com/bot.html)' else 'Mozilla/5.0 (X11; Linux x86_64)' end, 'Nowhere', null
    from hits join items as i on i.category_no = hits.e % 20 and i.style = hits.e % 4 and i.place = (hits.e >> 8) % 15
"""


def make_days(connection: duckdb.DuckDBPyConnection, *, first_day: int, dates: Sequence[dt.date]) -> None:
    """Add the events of some days (numbers from `first_day`, local dates) to `spill`, each under the day of its reception.

    Several days at once cost less than each alone and draw the same: every draw is a hash of ids and the day.
    """
    connection.execute("create or replace temp table days (day integer, date date, weekday double)")
    connection.executemany(
        "insert into days values (?, ?, ?)",
        [(first_day + i, date, WEEKDAYS[date.weekday()]) for i, date in enumerate(dates)],
    )
    connection.execute(_VISITS)
    connection.execute(_RECEIVED)
    connection.execute(_DELIVERED)
    connection.execute(_SENT_BACK)
    connection.execute(_TWICE)
    connection.execute(_BOTS)
