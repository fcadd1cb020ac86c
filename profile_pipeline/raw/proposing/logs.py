"""Logs of web servers: Apache's and nginx's line, and the lines of W3C whose fields the log itself names.

Not here: telling that a file is a log by its lines (`dialect`), or what its columns are for us (`tables`, `writing`).
"""

import re
from collections.abc import Sequence

# Common and combined; a lone hyphen is no value.
LOG_PATTERN = (
    r'(?P<ip>\S+) \S+ (?P<user>\S+) \[(?P<request_time>[^\]]+)\] "(?:[A-Z]+ )?(?P<url>\S*)[^"]*" (?P<status>\d{3}) \S+'
    r'(?: "(?P<referrer>[^"]*)" "(?P<user_agent>.*)")?.*'
)
_FIELDS = "#Fields:"
# A field of W3C's extended log -> the name that Apache's line has for the same here.
_W3C_NAMES = {
    "c-ip": "ip", "cs-username": "user", "cs-uri-stem": "url", "sc-status": "status", "cs(referer)": "referrer", "cs(user-agent)": "user_agent",
}  # fmt: skip


def w3c_pattern(lines: Sequence[str]) -> str | None:
    r"""Return the pattern of the lines below `#Fields:`, or None where the file is no such log.

    Day and time stand in two fields, and are taken as one. Lines of comments match no such pattern.

    Examples
    --------
    >>> w3c_pattern(["#Fields: date time c-ip cs-uri-stem"])
    '(?P<request_time>[0-9]\\S* \\S+) (?P<ip>\\S+) (?P<url>\\S+)'
    """
    told = next((line for line in lines[:50] if line.startswith(_FIELDS)), None)
    fields = told.removeprefix(_FIELDS).split() if told else []
    if fields[:2] != ["date", "time"] or not {"c-ip", "cs-uri-stem"} <= set(fields):
        return None
    names = [_W3C_NAMES.get(field.lower()) or re.sub(r"\W+", "_", field).strip("_") for field in fields[2:]]
    groups = [r"(?P<request_time>[0-9]\S* \S+)", *(rf"(?P<{name}>\S+)" for name in names)]
    return " ".join(groups)
