"""Why a record or a file is refused: every code, what it means, and what to do.

The codes stand in `raw.rejected_records` and `raw.files`; the documentation lists this table. Not here: finding the faults.
"""

NO_SOURCE = "no_source"

OF_RECORDS: dict[str, tuple[str, str]] = {
    "bad_time": ("a time is not written as time_format says", "set time_format: iso, s, ms, us, or a format such as '%d/%m/%Y %H:%M'"),
    "bad_date": ("a date of birth is not a date", "write it as 2001-12-31, or convert it: cast(try_strptime(theirs, '%d.%m.%Y') as date)"),
    "bad_number": ("a number is not plain", "take signs and commas out: regexp_replace(theirs, '[^0-9.-]', '', 'g')"),
    "bad_boolean": ("a yes or no is neither", "map it: case when theirs = 'A' then 'true' else 'false' end"),
    "bad_text": ("a text holds control characters or half of a character", "mend it where the file is made"),
    "bad_expression": ("an expression of columns: fails on this record", "allow for blanks: nullif(theirs, ''), try_cast(…)"),
    "bad_encoding": ("bytes are no text in this encoding", "set encoding: gb18030, latin-1, utf-16, …"),
    "bad_json": ("what should be a JSON object is none", "write one object a line (jq -c), or one array of objects"),
    "bad_quotes": ("text follows a closing quote", "mend the file; a quote within quotes is written twice"),
    "open_quote": ("a quote is opened and not closed", "mend the file, or see whether delimiter is right"),
    "duplicate_key": ("a JSON object holds one name twice", "mend it where the file is made"),
    "repeated_header": ("a record is the header again", "nothing: it is no record"),
    "case_differs": ("a field's name and one that the mapping names differ by case only", "name it in columns: or attributes:, or mend it where the file is made"),
    "not_a_value": ("a field that the mapping names holds an object", "map its parts by their dotted names, such as price.amount"),
    "field_count": ("a line has more or fewer fields than the header", "see whether delimiter and header are right; else mend the line"),
    "no_match": ("a line is not as pattern says", "mend the pattern; a group may be left out: (?: …)?"),
    "too_long": ("a line is longer than 32 MiB, of format lines than 64 KiB", "mend it where the file is made"),
    "missing_event_id": ("the column mapped to event_id is blank", "leave event_id out: one is made from the record"),
    "missing_event_time": ("the time is blank", "see whether the right column is mapped"),
    "missing_event_type": ("the type of the event is blank", "give one: coalesce(nullif(theirs, ''), 'view')"),
    "missing_user_id": ("the id of the user is blank", "see whether the right column is mapped"),
    "missing_other_user_id": ("the id of the other user is blank", "see whether the right column is mapped"),
    "missing_item_id": ("the id of the item is blank", "see whether the right column is mapped"),
    "missing_campaign": ("the campaign is blank", "see whether the right column is mapped"),
}  # fmt: skip
OF_FILES: dict[str, tuple[str, str]] = {
    NO_SOURCE: ("no path of sources: matches where it lies", "move it into a folder that a source names, or mend path; then land it again"),
    "missing_column": ("the header lacks a column that the mapping names", "see whether delimiter and header are right, and the names in columns:"),
    "bad_header": ("the first line can't be read as names of columns", "see whether delimiter is right; without a header set header: [names]"),
    "duplicate_column": ("the header names a column twice, or two that differ by case only", "rename one of them, or name both in the mapping"),
    "empty_file": ("there is nothing in it", "nothing, or look why it is empty"),
    "wrong_encoding": ("it is in another encoding", "set encoding: utf-16, gb18030, latin-1, …"),
    "damaged_compression": ("the compressed file is cut or damaged", "deliver it again"),
    "unpacks_too_large": ("it unpacks to more than 250 times its size", "deliver it in parts, or not packed"),
    "too_long": ("an object that spans lines has no end within 32 MiB", "mend it where the file is made"),
    "reader_died": ("its reader was ended: by a fault, or for want of memory", "deliver it again, or in parts; else report it"),
    "reader_failed": ("it found a fault of its reader", "report it; it is kept in the archive, and recovered once the reader is mended"),
    "too_many_bad": ("more than two million of its records can't be loaded", "see whether delimiter, encoding and columns are right, or deliver it in parts"),
    "reader_stuck": ("a part of it took its reader more than 20 seconds", "mend `pattern`, or deliver the file in parts"),
    "damaged_parquet": ("the Parquet file is cut or damaged", "deliver it again"),
    "count_differs": ("the records counted are not those that were read", "report it: this should not happen"),
}  # fmt: skip


def remedy_of(reason: str) -> str:
    """Return what to do about a reason; of a file's reason only the code before the colon counts."""
    code = reason.split(":")[0]
    return (OF_RECORDS | OF_FILES).get(code, ("", ""))[1]
