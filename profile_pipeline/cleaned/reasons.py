"""Why an event that was loaded does not count: each reason with what it means and what can be done.

Not here: judging (`excluded_events.sql`), or why a record is not loaded (`raw.readers.reasons`).
"""

OF_EVENTS: dict[str, tuple[str, str]] = {
    "duplicate": ("the same event, or one of its event_id, is there already", "nothing; lines of orders that are alike count each by identical_records: each"),
    "bot_user_agent": ("its user agent is a program's", "nothing, or see user_agents of bots:"),
    "bot_volume": ("its stream did more on that day than a person does", "nothing, or see max_events_per_stream_day of bots:"),
    "out_of_calendar": ("its day is none of the calendar", "set calendar:, or see whether time_format is right"),
    "out_of_calendar_future": ("it happened more than a day after it arrived", "see whether time_format and timezone are right"),
    "invalid_price": ("the price is below zero", "map what is given back with a price above zero and a type of the role refund"),
    "invalid_quantity": ("the quantity is below zero or beyond all measure, or none was bought or given back", "see whether the right column is mapped; what is given back has a quantity above zero and the role refund"),
    "invalid_amount": ("quantity times price is beyond all measure", "see whether the right columns are mapped"),
    "invalid_value": ("the value is beyond all measure", "see whether the right column is mapped"),
}  # fmt: skip
