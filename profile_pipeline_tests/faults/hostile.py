"""Texts that would do harm if anything ran them, and how often tests try them. Not here: any test."""

from hypothesis import settings
from hypothesis import strategies as st

HOSTILE = [
    "'; drop table raw.events; --", '"; drop table raw.events; --', "'), ('x", "x' or '1'='1", "$$; checkpoint; $$", "/* ", "*/ select 1", "--", ";", "\\", "$key", "?", "%s", "{{7*7}}",
    "{% raw %}", "${HOME}", "$(id)", "`id`", "<script>alert(1)</script>", "</script><img src=x onerror=alert(1)>", "[red]x[/red]", "[link=file:///etc/passwd]x[/]", "=1+1", "@SUM(A1)",
    "../../etc/passwd", "/etc/passwd", "*.csv", "[a-z]", "**", "read_csv('/etc/passwd')", "\u202e", "𝒂", "é", "e\u0301", "\u0000".replace("\u0000", "NUL"), "​", "＝1", " =1", "\t=1",
]  # fmt: skip
hostile = st.sampled_from(HOSTILE) | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
# No test asserts a time.
CALM = settings(max_examples=60)
