"""A profile as a card for a terminal.

Values in, something to print out. Not here: reading the published copy.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

# Column of a profile -> what is said of its value.
_SEEN = (("recency_days", "last seen {} days ago"), ("tenure_days", "known for {} days"))
_RECENT = (("n_active_days_30d", "{} active days"), ("n_sessions_30d", "{} sessions"), ("n_events_30d", "{} events"))
_NEEDS = (
    ("n_orders_all", "{} orders"),
    ("net_amount_90d", "{} net in 90 days"),
    ("n_open_cart_items", "{} items in an open cart"),
    ("n_intent_items_7d", "{} items looked at closely this week"),
)


def render_card(
    profile: Mapping[str, Any],
    *,
    tags: Sequence[Mapping[str, Any]],
    scores: Sequence[Mapping[str, Any]],
    recommendations: Sequence[Mapping[str, Any]],
    titles: Mapping[str, str],
    traits: Sequence[Mapping[str, Any]],
    aliases: Sequence[str],
) -> RenderableType:
    """Return a card.

    Parameters
    ----------
    profile
        A row of `profiles.user_profiles`.
    traits
        Rows of `models.segment_traits` of the person's segment.
    """
    who = ", ".join(profile["user_ids"]) or "not signed in"
    head = Text.assemble(
        (profile["profile_id"], "bold"),
        "  ",
        who,
        "  ",
        (f"as of {profile['as_of_date']}{'' if profile['is_final'] else ', provisional'}", "dim"),
    )
    parts: list[RenderableType] = [
        head,
        Text(f"aliases: {', '.join(aliases)}", style="dim", overflow="ellipsis", no_wrap=True),
    ]
    facts = [
        f"{name.replace('_', ' ')} {profile[name]}"
        for name in ("gender", "birth_year", "city", "occupation", "education", "income_band")
        if profile.get(name) is not None
    ]
    parts.append(_line("basic", ", ".join(facts) or "nothing known"))
    seen, recent = _told(profile, _SEEN), _told(profile, _RECENT)
    behaviour = "; ".join(part for part in (seen, recent and f"in 30 days {recent}") if part)
    parts += [_line("behaviour", behaviour or "no event"), _line("needs", _told(profile, _NEEDS) or "no event")]
    for kind, items in json.loads(profile["interests"] or "{}").items():
        parts.append(_line(kind, ", ".join(f"{name} {float(score):.1f}" for name, score in items)))
    if profile.get("segment"):
        words = "; ".join(
            f"{'high' if t['z_score'] > 0 else 'low'} {t['feature']}"
            for t in sorted(traits, key=lambda t: t["rank"])[:3]
        )
        parts.append(_line("segment", f"{profile['segment']}" + (f": {words}" if words else "")))
    parts += [_tags_table(tags), _scores_table(scores), _recommendations_table(recommendations, titles)]
    return Panel(Group(*parts), title="profile", title_align="left", padding=(0, 1))


def _told(profile: Mapping[str, Any], phrases: Sequence[tuple[str, str]]) -> str:
    """What is known of a person; of one without events some of it is not."""
    return ", ".join(text.format(profile[column]) for column, text in phrases if profile[column] is not None)


def _line(name: str, text: str) -> Text:
    return Text.assemble((f"{name:<10} ", "bold cyan"), text)


def _table(*columns: str) -> Table:
    table = Table(*columns, box=None, padding=(0, 2, 0, 0), header_style="bold cyan", show_edge=False)
    return table


def _tags_table(tags: Sequence[Mapping[str, Any]]) -> RenderableType:
    if not tags:
        return _line("tags", "none")
    table = _table("tag", "value", "kind", "confidence", "because")
    for tag in tags:
        evidence = json.loads(tag["evidence"] or "{}")
        source = f"{evidence['model']} of {evidence['week']}" if "model" in evidence else evidence.get("source", "")
        sure = "" if tag["confidence"] is None else f"{tag['confidence']:.2f}"
        if evidence.get("class", tag["value"]) != tag["value"]:
            # The value is a band of the chance of another class: `low` at 0.01 would read as hardly sure of it.
            source, sure = f"chance of {evidence['class']} {evidence['probability']:.0%}, {source}", ""
        elif "model" in evidence and evidence["probability"] is None:
            # Segments have no probability: 0 is the border to the next one, 1 the middle of one's own.
            source, sure = f"{sure} from the border to the next, {source}", ""
        because = evidence.get("when") or source
        # As text: a string is read for markup, and values come from data.
        table.add_row(
            Text(tag["tag"]),
            Text(tag["value"]),
            tag["kind"],
            sure,
            Text(str(because), overflow="ellipsis", no_wrap=True),
        )
    return table


def _scores_table(scores: Sequence[Mapping[str, Any]]) -> RenderableType:
    told = [s for s in scores if s["probability"] is not None]
    if not told:
        return _line("scores", "no model yet")
    table = _table("score", "class", "probability", "percentile", "week")
    for s in told:
        table.add_row(s["model"], Text(s["class"]), f"{s['probability']:.2f}", f"{s['percentile']:.0%}", str(s["week"]))
    return table


def _recommendations_table(rows: Sequence[Mapping[str, Any]], titles: Mapping[str, str]) -> RenderableType:
    if not rows:
        return _line("items", "nothing to recommend")
    table = _table("", "recommended", "reason")
    for r in rows:
        table.add_row(
            str(r["rank"]),
            Text(titles.get(r["item_id"], r["item_id"]), overflow="ellipsis", no_wrap=True),
            Text(r["reason"], overflow="ellipsis", no_wrap=True),
        )
    return table
