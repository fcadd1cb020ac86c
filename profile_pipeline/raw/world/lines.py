"""How a day's events are written down: a shop's CSV for browsers, Segment's shape in JSON Lines for the app, some of it broken.

Here is text and nothing else: what is drawn comes from `days`. Not here: compression and files.
"""

import duckdb
import numpy as np

BAD_BYTES = "\ue000"
WEB_HEADER = "id,ts,received,cookie,uid,session,action,sku,category,qty,unit_price,currency,stars,q,url,referrer,utm_campaign,device,ua,ip,country,city"
WEB_ACTIONS = {
    "view": "pageview", "search": "search", "add_to_cart": "cart", "remove_from_cart": "uncart", "purchase": "order", "refund": "return",
    "rate": "review", "play": "play", "read": "read", "share": "share", "follow": "follow", "sign_in": "login",
}  # fmt: skip
APP_EVENTS = {
    "view": "Product Viewed", "search": "Products Searched", "add_to_cart": "Product Added", "remove_from_cart": "Product Removed",
    "purchase": "Order Completed", "refund": "Order Refunded", "rate": "Product Reviewed", "play": "Video Content Started",
    "read": "Article Read", "share": "Product Shared", "follow": "Author Followed", "sign_in": "Signed In",
}  # fmt: skip
# Of a thousand records five are broken, each in one of these ways; three of them still load and are judged later.
N_FAULTS, FAULT_SHARE = 10, 0.005


def lines_by_day(
    connection: duckdb.DuckDBPyConnection, *, first_day: int, last_day: int, is_web: bool
) -> dict[int, list[str]]:
    """Return the lines of each day's file: what a collector received on that day, a little out of order."""
    query = _web_sql() if is_web else _app_sql()
    lines = connection.sql(query, params={"first_day": first_day, "last_day": last_day}).to_arrow_table()
    days = lines.column("received_day").to_numpy()
    found = {}
    for day in range(first_day, last_day + 1):
        begin, end = np.searchsorted(days, [day, day + 1])
        found[day] = lines.column("line").slice(begin, end - begin).to_pylist()
    return found


def forget_days(connection: duckdb.DuckDBPyConnection, *, last_day: int) -> None:
    """Drop what is written: memory holds the late events of the future and no past."""
    connection.execute("delete from spill where received_day <= $day", {"day": last_day})


def _named(roles: dict[str, str]) -> str:
    return "case role " + " ".join(f"when '{role}' then '{name}'" for role, name in roles.items()) + " end"


def _common(is_web: str) -> str:
    faults = f"case when draw(event_no, 201) < {FAULT_SHARE} then cast(mixed(event_no, 202) % {N_FAULTS} as integer) else -1 end"
    return f"""
        with records as (
            select *, {faults} as fault, strftime(received, '%Y-%m-%dT%H:%M:%S.%gZ') as received_text,
                case {faults} when 1 then 'yesterday' when 2 then '2031-13-45T25:00:00Z' when 3 then strftime(happened + interval 700 day, '%Y-%m-%dT%H:%M:%S.%gZ')
                    when 4 then strftime(happened - interval 3000 day, '%Y-%m-%dT%H:%M:%S.%gZ') else strftime(happened, '%Y-%m-%dT%H:%M:%S.%gZ') end as at_text,
                case {faults} when 0 then '' else id end as id_text,
                case {faults} when 5 then 'free' else cast(price as varchar) end as price_text,
                case {faults} when 6 then -3 else quantity end as quantity_text
            from spill where received_day between $first_day and $last_day and is_web = {is_web}
        )
    """


def _web_sql() -> str:
    return f"""
        {_common("true")}
        select received_day, case fault when 7 then line || ',surplus,fields' when 8 then substring(line, 1, length(line) // 2) when 9 then line || '{BAD_BYTES}' else line end as line
        from (
            select received_day, fault, event_no, received, id, concat_ws(',', id_text, at_text, received_text, coalesce(cookie, ''), coalesce(user_id, ''), coalesce(visit, ''),
                {_named(WEB_ACTIONS)}, coalesce(item_id, ''), coalesce(category, ''), coalesce(cast(quantity_text as varchar), ''), coalesce(price_text, ''), coalesce(currency, ''),
                coalesce(cast(number as varchar), ''), coalesce('"' || query || '"', ''),
                'https://shop.example' || coalesce('/item/' || item_id || '?ref=' || cast(mixed(event_no, 203) % 7 as varchar), case when role = 'search' then '/search?q=' || cast(mixed(event_no, 203) % 999 as varchar) else '/account' end),
                case when mixed(event_no, 204) % 4 = 0 then 'https://search.example/' else '' end, coalesce(campaign, ''), 'desktop', '"' || agent || '"',
                '198.51.100.' || cast(mixed(event_no, 205) % 250 as varchar), 'CN', city) as line
            from records
        ) order by received_day, date_trunc('minute', received), mixed(event_no, 206), id, received
    """


def _app_sql() -> str:
    return f"""
        {_common("false")}
        select received_day, case fault when 7 then line || line when 8 then substring(line, 1, length(line) // 2) when 9 then replace(line, 'Android', '{BAD_BYTES}') else line end as line
        from (
            select received_day, fault, event_no, received, id, cast(to_json({{
                'messageId': id_text, 'type': 'track', 'event': {_named(APP_EVENTS)}, 'timestamp': at_text, 'receivedAt': received_text, 'userId': user_id,
                'context': {{'device': {{'id': device, 'type': 'phone'}}, 'userAgent': agent, 'locale': 'zh-CN', 'timezone': 'Asia/Shanghai'}},
                'sessionId': visit, 'properties': {{'product_id': item_id, 'category': category, 'quantity': quantity_text, 'price': price_text, 'currency': currency, 'value': number,
                    'query': query, 'order_id': order_id, 'campaign': campaign, 'city': city}}
            }}) as varchar) as line
            from records
        ) order by received_day, date_trunc('minute', received), mixed(event_no, 206), id, received
    """
