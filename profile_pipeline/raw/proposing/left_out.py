"""What a file says and its mapping leaves out, a sentence each: columns, lists of objects, what became of an order.

Not here: what is mapped (`tables`, `writing`).
"""

import json
import re
from collections.abc import Iterator

from profile_pipeline.raw.mapping import columns_read
from profile_pipeline.raw.proposing.kinds import ColumnKind
from profile_pipeline.raw.proposing.sample import Sample, sql_of
from profile_pipeline.raw.proposing.vocabulary import folded
from profile_pipeline.source_settings import SourceSettings

MOST_NAMED, MOST_STATES, LISTS_LOOKED_AT, LONGEST = 40, 20, 200, 40
_BOUGHT = ("'order'", "'purchase'")
_STATES = frozenset(
    {"status", "orderstatus", "financialstatus", "paymentstatus", "paystatus", "tradestatus", "状态", "订单状态", "交易状态", "支付状态", "付款状态", "退款状态"}
)  # fmt: skip
_UNDONE = frozenset({
    "cancelledat", "canceledat", "cancelled", "canceled", "iscancelled", "iscanceled", "refundedamount", "refundamount", "refunded", "isrefunded",
    "refundedat", "returned", "isreturned", "退款金额", "是否退款", "取消时间",
})  # fmt: skip
_DONE = re.compile(
    "paid|complete|success|deliver|fulfil|shipped|closed.?won|成功|完成|已付|已支付|已收货|已发货|已签收", re.IGNORECASE
)
_NOT_DONE = re.compile("refund|return|cancel|unpaid|not|partial|fail|退|取消|关闭|未|失败", re.IGNORECASE)
_NO = frozenset({"0", "false", "no", "n", "f", "否", "无退款"})


def left_out(sample: Sample, source: SourceSettings, *, told: ColumnKind | None) -> list[str]:
    """Return what is to be told of what a source does not read; users and items keep all else as attributes.

    Parameters
    ----------
    told
        A column of which another note tells that it is not mapped.
    """
    if source.table in ("users", "items"):
        return []
    read = columns_read(source, [kind.name for kind in sample.columns])
    unread = [kind for kind in sample.columns if kind.name not in read and kind != told and not kind.is_blank]
    lists = [kind for kind in unread if kind.is_list]
    money = [kind.name for kind in unread if not kind.is_list and kind.looks_like_money]
    names = [kind.name for kind in unread if not kind.is_list and kind.name not in money]
    notes = [f"{kind.name} is a list, of which nothing is mapped{_told_of(kind)}" for kind in lists]
    if source.table == "events" and source.columns.get("event_type") in _BOUGHT:
        notes += _undone(unread, str(source.columns["event_type"]))
    if money:
        notes.append(f"not mapped, though the values look like amounts of money: {_some(money)}")
    if names:
        notes.append(f"not mapped: {_some(names)}")
    return notes


def _some(names: list[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f"{', '.join(names[:MOST_NAMED])}{more}"


def _told_of(kind: ColumnKind) -> str:
    """The names of what the objects of a list hold, if it holds objects."""
    names = list(dict.fromkeys(name for value in kind.values[:LISTS_LOOKED_AT] for name in _names_in(value)))
    if not names:
        return ""
    return f" ({', '.join(names[:MOST_NAMED])}): what an event should have of it must be a field beside the list"


def _names_in(value: str) -> Iterator[str]:
    """The names in the objects of one list; of pairs, as trackers write parameters, the names that are their keys."""
    for part in value.split(" | "):
        try:
            found = json.loads(part)
        except ValueError:
            continue
        if isinstance(found, dict):
            yield from [str(found["key"])] if found.keys() == {"key", "value"} else found


def _undone(unread: list[ColumnKind], bought: str) -> list[str]:
    """What tells that an order was not paid, or cancelled, or refunded: every record counts as bought all the same."""
    states = [k for k in unread if folded(k.name) in _STATES and 1 < k.n_distinct <= MOST_STATES]
    marks = [(k, n) for k in unread if folded(k.name) in _UNDONE and (n := _n_marked(k))]
    told = [
        f"{k.name} ({', '.join(f'{value[:LONGEST]}: {n:,}' for value, n in k.counts.most_common())})" for k in states
    ]
    told += [f"{k.name} (in {n:,} of {k.n_looked_at:,})" for k, n in marks]
    if not told:
        return []
    whole = next((k for k in states if len(k.values) == k.n_looked_at), None)
    done = ", ".join(_quoted(v) for v in whole.counts if _DONE.search(v) and not _NOT_DONE.search(v)) if whole else ""
    helps = (
        f", or with event_type: case when {sql_of(whole)} in ({done}) then {bought} else 'unfinished' end"
        if whole is not None and done
        else ""
    )
    return [
        "every record counts as bought, also what was cancelled, refunded or not paid, as told by"
        f" {', '.join(told)}: take it out where the file is made{helps}"
    ]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _n_marked(kind: ColumnKind) -> int:
    return sum(not _is_no(value) for value in kind.values)


def _is_no(value: str) -> bool:
    whole = value.rstrip("0").rstrip(".") if "." in value else value
    return (whole or "0").lower() in _NO
