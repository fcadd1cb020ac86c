"""What happened: the role of each event type by its name, and a type for files that hold one kind of event only.

Not here: the roles themselves and the names of common trackers (`raw.roles`).
"""

import re
from collections.abc import Iterable

from profile_pipeline.raw.roles import KNOWN_EVENT_TYPES

MOST_TYPES = 60
# A word within an event's name -> its role; the first that is found wins, so what undoes an act stands before the act.
_WORDS: tuple[tuple[str, str], ...] = (
    ("refund|return(ed|s)?\\b|chargeback|cancel|退货|退款|取消订单", "refund"),
    ("remove|uncart|delete.*cart|cart.*delete|移出|删除购物车|移除", "remove_from_cart"),
    ("cart|basket|\\bbag\\b|加购|购物车", "add_to_cart"),
    ("purchase|buy|bought|\\border|\\bpay|checkout.?complete|transaction|\\bsale\\b|deal|购买|下单|支付|成交|付款|订单", "purchase"),
    ("search|query|搜索|查询", "search"),
    ("\\brat(e|ing|ed)\\b|review|score|评分|评价|评论", "rate"),
    ("\\bplay|listen|watch|stream|scrobble|video|播放|收听|观看", "play"),
    ("\\bread\\b|article|阅读", "read"),
    ("share|retweet|repost|forward|分享|转发", "share"),
    ("follow|fav|like|collect|wish|subscribe|bookmark|收藏|关注|喜欢|点赞", "follow"),
    ("log.?in|sign.?in|登录|登陆", "sign_in"),
    ("message|\\bchat|\\bmail|\\bsms\\b|comment|私信|消息|留言", "message"),
    ("view|click|visit|page|impression|screen|browse|open|detail|request|浏览|点击|访问|曝光|查看", "view"),
)  # fmt: skip
# Of a mail or a parcel as well as of a page.
_DOUBTFUL_VIEW = re.compile("click|open|request|点击")
_OF_FILES = (
    ("click|view|visit|browse|pv", "view"), ("rating|review", "rating"), ("purchase|order|transaction|sale|invoice|buy", "purchase"),
    ("\\bplay|listen|scrobble|stream", "play"), ("search|query|queries", "search"), ("like|fav|follow", "follow"), ("tag", "tag"),
)  # fmt: skip


def role_of(event_type: str) -> str:
    """Return the role that the name of an event type suggests.

    Examples
    --------
    >>> role_of("加入购物车"), role_of("Order Completed"), role_of("heartbeat")
    ('add_to_cart', 'purchase', 'other')
    """
    word = event_type.strip().casefold()
    if word in KNOWN_EVENT_TYPES:
        return KNOWN_EVENT_TYPES[word]
    readable = re.sub(r"[_\-.]+", " ", word)
    return next((role for pattern, role in _WORDS if re.search(pattern, readable)), "other")


def is_doubtful_view(event_type: str) -> bool:
    """Say whether an event is taken for a view by a word that may mean something else."""
    return role_of(event_type) == "view" and _DOUBTFUL_VIEW.search(event_type.casefold()) is not None


def roles_for(event_types: Iterable[str], codes: dict[str, str]) -> dict[str, str]:
    """Return `roles:` for the types found: those that need saying, because the names of common trackers don't cover them."""
    found = [t for t in event_types if t.casefold() not in KNOWN_EVENT_TYPES]
    return {t: codes.get(t) or role_of(t) for t in found[:MOST_TYPES]}


def type_of_file(file_name: str) -> str | None:
    """Return the type of a file's events by its name, if it names one."""
    stem = file_name.lower()
    return next((kind for pattern, kind in _OF_FILES if re.search(pattern, stem)), None)
