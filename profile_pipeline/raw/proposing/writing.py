"""The columns of a source written down: each of ours as a column of theirs, an expression, or a list.

Not here: which column is what (`tables`), or the rest of a source's settings (`propose`).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from profile_pipeline.raw.proposing.amount_columns import (
    MONEY,
    cast_sql,
    is_below_zero,
    notes_on_amounts,
    number_sql,
)
from profile_pipeline.raw.proposing.event_types import type_of_file
from profile_pipeline.raw.proposing.kinds import ColumnKind
from profile_pipeline.raw.proposing.layouts import unknown_codes
from profile_pipeline.raw.proposing.sample import Sample, sql_of
from profile_pipeline.raw.proposing.tables import Assigned
from profile_pipeline.raw.proposing.times import PER_SECOND, TimeFormat
from profile_pipeline.raw.proposing.vocabulary import DIRECT_IDENTIFIERS, folded, meanings_of
from profile_pipeline.raw.tables import RECORD_TABLES
from profile_pipeline.source_settings import KEY_COLUMNS

FEW_FLAGS = 3
UNKNOWN_WORDS = frozenset({"unknown", "u", "n/a", "na", "none", "null", "-1", "?", "未知", "保密"})
PAGE_PARTS = "[.](css|js|map|png|jpe?g|gif|ico|svg|webp|woff2?|ttf)([?]|$)"
# What our tables call a meaning, where it is not the meaning's own name.
OURS = {"email": "email_hash", "phone": "phone_hash"}
_TIMES = ("event_time", "received_at", "sent_at", "registered_at", "updated_at", "contacted_at")
_IDS = (
    "user_id",
    "other_user_id",
    "anonymous_id",
    "device_id",
    "session_id",
    "order_id",
    "item_id",
    "category",
    "brand",
)
_WHO = ("user_id", "anonymous_id", "device_id")


@dataclass(frozen=True)
class Writer:
    """Writes the settings of one source."""

    sample: Sample
    found: Assigned
    notes: list[str]

    def _column(self, meaning: str) -> ColumnKind | None:
        return self.found.columns.get(meaning)

    def _other(self, name: str) -> ColumnKind | None:
        """A column of this folded name that is taken for nothing else."""
        return next((k for k in self.found.others if folded(k.name) == name), None)

    def columns(self) -> dict[str, Any]:
        special: dict[str, Callable[[], dict[str, Any]]] = {
            "events": self._event_columns, "users": self._user_columns, "items": self._item_columns,
        }  # fmt: skip
        skipped = {
            "events": {"rating", "duration", "amount", "quantity", "event_type", "event_time", "category"},
            "items": {"category", "categories", "event_time"},
        }
        plain: dict[str, Any] = {}
        for meaning, kind in self.found.columns.items():
            if meaning not in skipped.get(self.found.table, {"event_time"} if self.found.table != "events" else set()):
                text = self._written(meaning, kind)
                if text is not None:
                    plain[OURS.get(meaning, meaning)] = text
        if self.found.table in ("relations", "items") and "updated_at" not in plain and self._column("event_time"):
            plain |= self._secondary_time("updated_at", "event_time")
        if self.found.table == "contacts" and "contacted_at" not in plain and self._column("event_time"):
            plain |= self._secondary_time("contacted_at", "event_time")
        made = special.get(self.found.table, dict)()
        order = list(
            dict.fromkeys([*KEY_COLUMNS[self.found.table], *_WHO, *RECORD_TABLES[self.found.table].column_names])
        )
        return {name: (made | plain)[name] for name in order if name in made or name in plain}

    def _secondary_time(self, ours: str, meaning: str) -> dict[str, Any]:
        kind = self._column(meaning)
        text = None if kind is None else self._written(meaning, kind)
        return {} if text is None else {ours: text}

    def _written(self, meaning: str, kind: ColumnKind) -> str | None:
        if meaning in _IDS and kind.has_scientific_ids:
            self.notes.append(
                f"{kind.name} was made of floats, such as {kind.values[0]}: digits of longer ids are lost, so that several can be one, and no other"
                " file may write them so; deliver them as text or whole numbers"
            )
        if meaning in _IDS and kind.has_float_ids:
            return f"regexp_replace({sql_of(kind)}, '[.]0$', '')"
        if meaning in MONEY:
            return number_sql(self.sample, meaning, kind)
        name = self._other("lineitemname") if meaning == "item_id" else None
        if name is not None and len(kind.values) < kind.n_looked_at:
            self.notes.append(f"where {kind.name} is blank, {name.name} stands for the item")
            return f"coalesce(nullif({sql_of(kind)}, ''), {sql_of(name)})"
        if meaning in _TIMES:
            return self._time(meaning, kind)
        if meaning == "birth_date" and kind.time is not None and kind.time.written != "iso":
            if "%" not in kind.time.written:
                return None
            return f"cast(try_strptime(nullif(trim({sql_of(kind)}), ''), '{kind.time.written}') as date)"
        if meaning == "gender":
            return self._known_only(kind)
        if meaning == "currency" and any(v != v.upper() for v in kind.counts):
            return f"upper({sql_of(kind)})"
        return kind.reference

    def _known_only(self, kind: ColumnKind) -> str:
        """A column of which words for "not known" are left blank: they are no label."""
        codes = unknown_codes((k.name for k in self.sample.columns), kind.name)
        unknown = [value for value in kind.counts if value.lower() in UNKNOWN_WORDS or value in codes]
        if not unknown:
            return kind.reference
        words = ", ".join(f"'{value}'" for value in sorted(unknown))
        self.notes.append(f"of {kind.name}, {words} is taken as not known")
        return f"case when trim({sql_of(kind)}) in ({words}) then '' else {sql_of(kind)} end"

    # ---- times

    def _main_time(self) -> TimeFormat | None:
        """The format that `time_format` names: of the event's own time, else of the first column that is a time."""
        kinds = [self._column(meaning) for meaning in _TIMES]
        return next((k.time for k in kinds if k is not None and k.time is not None), None)

    def _time(self, meaning: str, kind: ColumnKind) -> str | None:
        main = self._main_time()
        if kind.time is None or main is None:
            return None
        if kind.time.written == main.written or (main.written == "epoch" and kind.time.written in PER_SECOND):
            return kind.reference
        self.notes.append(
            f"{kind.name} is left out: it writes times as {kind.time.written}, and a source has one time_format ({main.written})"
        )
        return None

    def times(self) -> dict[str, Any]:
        main = self._main_time()
        if main is None:
            return {}
        if main.is_ambiguous:
            other = main.written.translate(str.maketrans("dm", "md"))
            self.notes.append(
                f"days and months can't be told apart by the values: read as {main.written}; if it is the other way round, time_format: '{other}'"
            )
        return {} if main.written == "iso" else {"time_format": main.written}

    def has_naive_times(self) -> bool:
        main = self._main_time()
        return main is not None and not main.is_zoned

    # ---- events

    def _event_columns(self) -> dict[str, Any]:
        made = self._event_type()
        when = self._column("event_time")
        if when is not None:
            made["event_time"] = when.reference
        quantity, value = self._column("quantity"), self._value()
        if quantity is not None:
            is_signed = is_below_zero(quantity)
            made["quantity"] = (
                f"abs({self._cast('quantity')})" if is_signed else number_sql(self.sample, "quantity", quantity)
            )
        if value is not None:
            is_signed = value == "amount" and is_below_zero(self.found.columns[value])
            made["value"] = (
                f"abs({self._cast(value)})" if is_signed else number_sql(self.sample, value, self.found.columns[value])
            )
            if is_signed and self._column("event_type") is not None:
                self.notes.append(
                    f"{self.found.columns[value].name} is taken without its sign: the type of an event says, by its role, whether money goes back"
                )
        category = self._column("category")
        if category is not None:
            made["category"] = self._written("category", category)
        if self.sample.is_log:
            made["device_id"] = (
                f"md5(concat_ws(' ', {', '.join(sql_of(k) for k in self.sample.columns if k.name in ('ip', 'user_agent'))}))"
            )
            self.notes.append(
                "a visitor is an address with a browser: people behind one router with the same browser are one"
            )
        if not any(m in self.found.columns for m in ("user_id", "anonymous_id", "device_id")) and self._column(
            "session_id"
        ):
            made["anonymous_id"] = self._written("session_id", self.found.columns["session_id"])
            self.notes.append("no column names a person: each session stands for one")
        self._tell_of_amounts(value)
        return made

    def amount_beside_price(self) -> ColumnKind | None:
        """The amount of an event that is not mapped, because its price is; what is lost by it is told by a note of its own."""
        is_beside = self.found.table == "events" and self._column("price") is not None and self._value() is None
        return self._column("amount") if is_beside else None

    def _tell_of_amounts(self, value: str | None) -> None:
        price, amount = self._column("price"), self.amount_beside_price()
        if price is not None and amount is not None:
            self.notes.append(
                f"an amount is quantity x {price.name}, and {amount.name} is not mapped: discounts, shipping and taxes of an order are not in it"
            )
        left = {"rating", "duration", "amount"} - {value}
        mapped = [(meaning, kind) for meaning, kind in self.found.columns.items() if meaning not in left]
        self.notes.extend(notes_on_amounts(self.sample, mapped))

    def _cast(self, meaning: str) -> str:
        return cast_sql(self.sample, meaning, self.found.columns[meaning])

    def _event_type(self) -> dict[str, Any]:
        kind, order, quantity = self._column("event_type"), self._column("order_id"), self._column("quantity")
        if kind is not None:
            other = next((k for k in self.sample.columns if k.name == "type"), None)
            if other is not None and other is not kind and kind.name == "event":
                return {"event_type": f"coalesce(nullif(event, ''), {sql_of(other)})"}
            return {
                "event_type": f"regexp_replace({sql_of(kind)}, '[.]0$', '')" if kind.has_float_ids else kind.reference
            }
        if quantity is not None and is_below_zero(quantity):
            is_marked = order is not None and _is_cancelled_by_letter(order)
            is_return = (
                f"{sql_of(order)} like 'C%'" if order is not None and is_marked else f"{self._cast('quantity')} < 0"
            )
            return {"event_type": f"case when {is_return} then 'return' else 'order' end"}
        if self._value() == "amount" and is_below_zero(self.found.columns["amount"]):
            return {"event_type": f"case when {self._cast('amount')} < 0 then 'return' else '{self._one_type()}' end"}
        if self.sample.is_log:
            url = next(sql_of(k) for k in self.sample.columns if k.name == "url")
            return {
                "event_type": f"case when regexp_matches({url}, '{PAGE_PARTS}') then 'page_part' else 'page_view' end"
            }
        return {"event_type": f"'{self._one_type()}'"}

    def _one_type(self) -> str:
        """The type of all events of a file that names none."""
        if self.sample.layout is not None and self.sample.layout.event_type:
            return self.sample.layout.event_type
        if self._column("rating") is not None:
            return "rating"
        if self._column("order_id") is not None or (
            self._column("quantity") is not None and (self._column("price") or self._column("amount"))
        ):
            return "order"
        names = {folded(k.name) for k in self.sample.columns}
        if self._column("query") is not None:
            return "search"
        if "tagid" in names or "tag" in names:
            return "tag"
        if self._column("duration") is not None or any("artist" in n or "track" in n or "song" in n for n in names):
            return "play"
        if self._column("url") is not None:
            return "page_view"
        if self._column("amount") is not None:
            return "purchase"
        kind = type_of_file(self.sample.file_name)
        if kind is None:
            self.notes.append(
                "no column says what happened: every event is called 'event'; name it, and give it a role"
            )
        return kind or "event"

    def _value(self) -> str | None:
        """What `value` is; of an amount beside a price nothing is kept: the price counts."""
        meanings = ("rating", "duration", *(("amount",) if self._column("price") is None else ()))
        return next((meaning for meaning in meanings if self._column(meaning) is not None), None)

    def identical_records(self, columns: dict[str, Any]) -> dict[str, Any]:
        """Lines of orders count each; elsewhere two identical records are one that was sent twice."""
        is_lines = self.found.table == "events" and "quantity" in columns and "event_id" not in columns
        if not is_lines:
            return {}
        self.notes.append(
            "two identical lines count as two, as lines of an order do (identical_records: each); if they are one that was sent twice, take it out"
        )
        return {"identical_records": "each"}

    # ---- users and items

    def _user_columns(self) -> dict[str, Any]:
        if self._column("user_id") is not None:
            return {}
        self.notes.append(
            "no column identifies a person: the id is the record's place in its file, so that only one file of this kind can be loaded"
        )
        return {"user_id": "row_number"}

    def _item_columns(self) -> dict[str, Any]:
        kind = self._column("categories") or self._column("category")
        if kind is not None:
            separator = None if kind.is_list or self._column("categories") is None else kind.separator
            if separator:
                return {"categories": {"split": kind.name, "on": separator}}
            return {"categories": self._written("category", kind)}
        flags = [k.name for k in self.found.others if k.is_flag and set(k.counts) <= {"0", "1", "0.0", "1.0"}]
        return {"categories": {"flags": flags}} if len(flags) >= FEW_FLAGS else {}

    def attributes(self) -> dict[str, Any]:
        """What else is said of a person or an item; who a person is, in clear, is left out."""
        if self.found.table not in ("users", "items"):
            return {}
        in_clear = [k.name for k in self.found.others if _names_a_person(k)]
        others = [k.name for k in self.found.others if k.name not in in_clear]
        if self.found.table == "items":
            flags = self._item_columns().get("categories")
            others = [n for n in others if not (isinstance(flags, dict) and n in flags.get("flags", ()))]
        if not in_clear:
            return {"attributes": "all"} if others else {}
        whom = "the person" if self.found.table == "users" else "people"
        self.notes.append(f"left out, because they name {whom}: {', '.join(in_clear)}")
        return {"attributes": others} if others else {}

    def currency(self) -> str | None:
        kind = self._column("currency")
        if kind is not None and kind.n_distinct == 1:
            return next(iter(kind.counts)).upper()
        money = [self._column(m) for m in MONEY]
        found = next((k.currency for k in money if k is not None and k.amounts is not None and k.currency), None)
        if found:
            self.notes.append(f"the sign beside amounts is taken for {found}")
        return found


def _names_a_person(kind: ColumnKind) -> bool:
    """A name, an address or a number by which a person is reached; whether there is one may be said."""
    is_of_contact = bool({"email", "phone"} & meanings_of(kind.name).keys()) and not kind.is_flag
    return folded(kind.name) in DIRECT_IDENTIFIERS or is_of_contact or kind.is_email


def _is_cancelled_by_letter(order: ColumnKind) -> bool:
    """Orders are numbers, and some carry a C before theirs."""
    marked = [v for v in order.counts if re.match(r"^[Cc]\d+$", v)]
    return bool(marked) and len(marked) < 0.5 * order.n_distinct
