"""Who lives in the synthetic world: people with known traits, their devices, and the catalogue.

Every draw is a hash of ids and the seed: no random state, the same on any machine and any number of threads. Not here: what
people do on a day (`days`), or how it is written down (`lines`).
"""

import duckdb

N_STYLES = 4
ITEMS_PER_STYLE = 15

# name, share, sessions a day, night sessions share, content share, cart rate, buy rate, price level, daily hazard of leaving
SEGMENTS = (
    ("bargain_hunter", 0.26, 0.38, 0.03, 0.15, 0.45, 0.35, 0.7, 0.004),
    ("regular", 0.30, 0.32, 0.03, 0.20, 0.35, 0.55, 1.0, 0.003),
    ("window_shopper", 0.18, 0.26, 0.05, 0.25, 0.12, 0.15, 1.0, 0.008),
    ("night_reader", 0.14, 0.42, 0.16, 0.80, 0.15, 0.35, 0.9, 0.004),
    ("big_spender", 0.12, 0.55, 0.02, 0.10, 0.55, 0.70, 1.6, 0.002),
)
# name, kind, in Chinese, leaning to women (+) or men (-), leaning to the old (+) or young (-), a search in either language
CATEGORIES = (
    ("Skincare", "product", "护肤", 1.5, 0.0, "moisturizer", "面霜"), ("Electronics", "product", "数码", -1.2, -0.2, "earphones", "蓝牙耳机"),
    ("Sports", "product", "运动", -0.7, -0.5, "running shoes", "跑步鞋"), ("Kitchen", "product", "厨具", 0.5, 0.9, "rice cooker", "电饭煲"),
    ("Fashion", "product", "服饰", 1.0, -0.6, "summer dress", "连衣裙"), ("Gaming", "product", "游戏", -1.4, -1.0, "game controller", "游戏手柄"),
    ("Baby", "product", "母婴", 1.0, 0.1, "diapers", "纸尿裤"), ("Garden", "product", "园艺", 0.1, 1.3, "plant pots", "花盆"),
    ("Tools", "product", "工具", -1.2, 0.7, "power drill", "电钻"), ("Tea", "product", "茶叶", -0.2, 1.2, "green tea", "龙井茶"),
    ("Books", "product", "图书", 0.2, 0.2, "novel", "小说"), ("Pets", "product", "宠物", 0.4, -0.3, "cat food", "猫粮"),
    ("Finance", "article", "财经", -0.8, 0.6, "stock market", "股票"), ("Lifestyle", "article", "生活", 0.9, 0.0, "home ideas", "收纳"),
    ("Technology", "article", "科技", -0.9, -0.4, "new phones", "新手机"), ("Comedy", "video", "喜剧", 0.0, -0.7, "funny videos", "搞笑视频"),
    ("Drama", "video", "剧集", 0.8, 0.3, "drama series", "电视剧"), ("Documentary", "video", "纪录片", -0.3, 0.8, "documentary", "纪录片"),
    ("Pop", "music", "流行", 0.4, -0.7, "pop songs", "流行歌曲"), ("Classical", "music", "古典", 0.0, 0.9, "piano", "钢琴曲"),
)  # fmt: skip
MACROS = """
    create or replace macro mixed(id, salt) as hash(xor(hash(id), hash({seed} * 1000003 + salt)));
    create or replace macro draw(id, salt) as cast(mixed(id, salt) >> 11 as double) / 9007199254740992.0;
"""


def open_world(seed: int) -> duckdb.DuckDBPyConnection:
    """Open the engine that the world is drawn in: in memory, ordered, with the draws as macros."""
    connection = duckdb.connect(":memory:", config={"threads": "1"})
    connection.execute("set timezone = 'UTC'")
    connection.execute(MACROS.format(seed=int(seed)))
    connection.execute(
        "create table segments (no integer, name varchar, upto double, rate double, night double, content double, cart double, buy double, price_level double, hazard double)"
    )
    reached = 0.0
    for number, (name, share, *rest) in enumerate(SEGMENTS):
        reached += share
        connection.execute(
            "insert into segments values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", [number, name, min(1.0, reached), *rest]
        )
    connection.execute(
        "create table categories (no integer, name varchar, kind varchar, chinese varchar, to_women double, to_old double, english_query varchar, chinese_query varchar)"
    )
    for number, row in enumerate(CATEGORIES):
        connection.execute("insert into categories values (?, ?, ?, ?, ?, ?, ?, ?)", [number, *row])
    return connection


def make_people(connection: duckdb.DuckDBPyConnection, *, n_users: int, n_days: int) -> None:
    """Make the table `people`, one row a person, and `tastes`, three favourite categories of each kind of use."""
    connection.execute(
        """
        create table people as
        with base as (
            select cast(pid as integer) as pid, draw(pid, 1) as u_segment, draw(pid, 2) as u_gender, draw(pid, 3) as u_age,
                sqrt(-2 * ln(greatest(draw(pid, 4), 1e-12))) * cos(2 * pi() * draw(pid, 5)) as normal_rate,
                draw(pid, 6) as u_arrival, draw(pid, 7) as u_leave, draw(pid, 8) as u_devices, draw(pid, 9) as u_guest, draw(pid, 10) as u_crm
            from range($n_users) as r(pid)
        ),
        placed as (
            select base.*, s.no as segment_no, s.name as segment, s.rate, s.night, s.content, s.cart, s.buy, s.price_level, s.hazard
            from base join segments as s on base.u_segment < s.upto and base.u_segment >= s.upto - (
                select upto from segments as x where x.no = s.no) + coalesce((select upto from segments as y where y.no = s.no - 1), 0)
        )
        select
            pid, 'u' || lpad(cast(pid + 1 as varchar), 7, '0') as user_id, segment_no, segment,
            case when u_gender < 0.5 then 'female' else 'male' end as gender,
            cast(1956 + floor(50 * (u_age + draw(pid, 11)) / 2) as integer) as birth_year,
            cast(1 + floor(12 * draw(pid, 12)) as integer) as birth_month,
            rate * exp(0.75 * normal_rate - 0.28) as rate, night, content, cart, buy, price_level,
            case when u_arrival < 0.72 then 0 else cast(floor((u_arrival - 0.72) / 0.28 * 0.85 * $n_days) as integer) end as arrival_day,
            cast(floor(-ln(greatest(u_leave, 1e-12)) / (hazard * 1.4)) as integer) + 10 as stay_days,
            case when u_devices < 0.70 then 1 when u_devices < 0.93 then 2 else 3 end as n_devices,
            u_guest < 0.06 as is_guest, u_crm < 0.60 as is_known,
            cast(floor(pid / 12) as integer) as community,
            mixed(pid, 13) % 1000 < 5 and pid % 5 = 0 as starts_ring,
            draw(pid, 14) as u_shared, draw(pid, 15) as u_treated,
            ['Beijing', 'Shanghai', 'Guangzhou', 'Shenzhen', 'Chengdu', 'Hangzhou', 'Wuhan', 'Xi''an'][1 + cast(mixed(pid, 16) % 8 as integer)] as city,
            ['student', 'engineer', 'teacher', 'nurse', 'manager', 'worker', 'retired', 'artist'][1 + cast(mixed(pid, 17) % 8 as integer)] as occupation,
            ['primary', 'secondary', 'bachelor', 'master', 'doctor'][1 + cast(mixed(pid, 18) % 5 as integer)] as education,
            ['low', 'middle', 'high'][1 + cast(mixed(pid, 19) % 3 as integer)] as income_band
        from placed order by pid
        """,
        {"n_users": n_users, "n_days": n_days},
    )
    # Fraud rings: five neighbours of one number share a device and its hours.
    connection.execute("alter table people add column ring integer")
    connection.execute(
        "update people set ring = r.pid from (select pid from people where starts_ring) as r where people.pid between r.pid and r.pid + 4"
    )
    connection.execute(
        """
        create table tastes as
        with scored as (
            select p.pid, c.no, c.kind = 'product' as is_product,
                (case when p.gender = 'female' then 1 else -1 end) * c.to_women * 0.62 + (1981 - p.birth_year) / 14.0 * c.to_old * 0.8
                + 0.9 * (-ln(-ln(greatest(draw(p.pid * 100 + c.no, 21), 1e-12))))
                + 0.8 * (-ln(-ln(greatest(draw(p.community * 100 + c.no, 22), 1e-12)))) as score
            from people as p cross join categories as c
        )
        select pid, is_product, no as category_no, row_number() over (partition by pid, is_product order by score desc, no) as place
        from scored qualify place <= 3
        """
    )
    connection.execute(
        "create table favourites as select pid, is_product, max(category_no) filter (where place = 1) as first, max(category_no) filter (where place = 2) as second,"
        " max(category_no) filter (where place = 3) as third from tastes group by pid, is_product"
    )
    _make_devices(connection)


def _make_devices(connection: duckdb.DuckDBPyConnection) -> None:
    """Make `devices`: what a person uses; one in twenty is shared by two to four people, and a ring shares one."""
    connection.execute(
        """
        create table devices as
        with own as (
            select pid, cast(slot as integer) as slot, (mixed(pid * 4 + slot, 31) % 100) < 58 as is_web, ring, u_shared from people, range(n_devices) as s(slot)
        )
        select pid, slot, is_web,
            case
                when ring is not null and slot = 0 then 'ring' || lpad(cast(ring as varchar), 7, '0')
                when slot = 0 and mixed(floor(pid / 4), 32) % 100 < 27 and pid % 4 < 2 + mixed(floor(pid / 4), 33) % 3 then 'home' || lpad(cast(floor(pid / 4) as bigint)::varchar, 7, '0')
                else lower(substring(to_hex(mixed(pid * 4 + slot, 34)) || to_hex(mixed(pid * 4 + slot, 35)), 1, 16))
            end as device_key
        from own
        """
    )
    # A shared thing is one thing: either a browser or an app for all who share it.
    connection.execute(
        "update devices set is_web = mixed(hash(device_key), 36) % 2 = 0 where device_key like 'ring%' or device_key like 'home%'"
    )
    connection.execute(
        "create view aliases as select pid, slot, is_web, case when is_web then 'anonymous:c' || device_key else 'device:d' || device_key end as alias_id, device_key from devices"
    )


def make_catalogue(connection: duckdb.DuckDBPyConnection) -> None:
    """Make `items`: per category four styles of fifteen items; the first of a style are the popular ones."""
    connection.execute(
        f"""
        create table items as
        select c.no as category_no, cast(style as integer) as style, cast(place as integer) as place,
            'i' || lpad(cast(c.no * 1000 + style * 100 + place as varchar), 6, '0') as item_id,
            c.kind, c.name as category, c.chinese,
            c.name || ' ' || chr(65 + cast(style as integer)) || cast(place + 1 as varchar) || ' ' || c.chinese as title,
            case when c.kind = 'product' then c.name || ' House ' || chr(65 + cast(style as integer)) end as brand,
            case when c.kind <> 'product' then 'Author ' || chr(65 + cast(c.no as integer)) || cast(style + 1 as varchar) end as author,
            case when c.kind = 'product' then cast(round(15 * exp(2.2 * draw(c.no * 1000 + style * 100 + place, 41)) * (1 + 0.25 * style), 2) as decimal(18, 2)) end as price
        from categories as c, range({N_STYLES}) as s(style), range({ITEMS_PER_STYLE}) as i(place)
        order by item_id
        """
    )
