import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profile_pipeline.raw.proposing.dialect import SampleError
from profile_pipeline.raw.proposing.propose import Proposal, propose
from profile_pipeline.raw.proposing.sample import sample_of_text
from profile_pipeline.raw.proposing.times import time_format_of


def proposal_of(text: str, **options: str) -> Proposal:
    return propose(sample_of_text(text.encode(), "file.csv"), **options)


@pytest.mark.parametrize(
    ("values", "written"),
    [
        (["2026-01-31T10:00:00Z"], "iso"),
        (["2026-01-31 10:00:00"], "iso"),
        (["881250949", "891717742"], "s"),
        (["1767225600000"], "ms"),
        (["1767225600000000"], "us"),
        (["20260131", "20251231"], "%Y%m%d"),
        (["31/01/2026 10:00", "01/02/2026 11:00"], "%d/%m/%Y %H:%M"),
        (["01/31/2026 10:00 PM", "02/01/2026 11:00 AM"], "%m/%d/%Y %I:%M %p"),
        (["2019-10-01 00:00:00 UTC"], "%Y-%m-%d %H:%M:%S UTC"),
        (["17/May/2015:10:05:03 +0000"], "%d/%b/%Y:%H:%M:%S %z"),
        (["2026年1月31日"], "%Y年%m月%d日"),
        (["2014-12-06 02"], "%Y-%m-%d %H"),
    ],
)
def test_how_times_are_written_is_told_from_the_values(values: list[str], written: str) -> None:
    found = time_format_of(values * 20)
    assert found is not None
    assert found.written == written


@pytest.mark.parametrize(
    "values", [["technician"], ["13800138000"], ["85711"], ["12.34"], ["A-12/34"], ["2026-13-45 10:00"], []]
)
def test_what_is_no_time_is_not_taken_for_one(values: list[str]) -> None:
    assert time_format_of(values) is None


def test_days_and_months_that_could_be_swapped_are_told_of() -> None:
    found = time_format_of(["01/02/2026", "03/04/2026"])
    assert found is not None and found.is_ambiguous


@given(
    st.datetimes(dt.datetime(1990, 1, 1), dt.datetime(2037, 1, 1)),
    st.sampled_from(["%d.%m.%Y %H:%M", "%Y/%m/%d %H:%M:%S", "%d-%b-%Y"]),
)
def test_a_proposed_format_reads_the_value_that_it_was_told_from(moment: dt.datetime, written: str) -> None:
    value = moment.strftime(written)
    found = time_format_of([value])
    assert found is not None
    assert dt.datetime.strptime(value, found.written)


@pytest.mark.parametrize("n_bad", [20, 10, 3])
def test_events_of_which_some_times_do_not_read_stay_events_and_it_is_told_how_many_with_one(n_bad: int) -> None:
    rows = (f"{i % 40},{'N/A' if i < n_bad else f'2026-01-{1 + i % 28:02d}'},{i}.5\n" for i in range(100))
    found = proposal_of("customer_id,order_date,amount\n" + "".join(rows))
    assert (found.settings["table"], found.settings["columns"]["event_time"]) == ("events", "order_date")
    told = f"order_date: {n_bad} of 100 records looked at do not read as a time (iso), such as 'N/A'; such records are refused"
    assert told in found.notes


def test_times_of_which_too_many_do_not_read_are_refused_with_their_column_an_example_and_what_helps() -> None:
    rows = (f"{i % 40},{f'2026-01-{1 + i % 28:02d}' if i % 2 else '31/01/2026'},view\n" for i in range(100))
    said = (
        "event_time reads as a time in 50 of 100 records looked at (%d/%m/%Y), and not where it is such as '2026-01-02'. Write all its times in one way"
        " where the file is made (or describe the source in profile.yaml by hand, with event_time:"
        " coalesce(try_strptime(event_time, '%d/%m/%Y'), try_cast(event_time as timestamp)))"
    )
    with pytest.raises(SampleError) as refused:
        proposal_of("user_id,event_time,event_type\n" + "".join(rows))
    assert str(refused.value) == f"this looks like events, but {said}"


def test_a_date_that_some_items_lack_does_not_cost_them_their_record() -> None:
    rows = "".join(f"s{i},book {i},{'unknown' if i < 10 else '2026-01-31'}\n" for i in range(60))
    found = proposal_of("item_id,title,date\n" + rows).settings
    assert (found["table"], found["columns"]) == ("items", {"item_id": "item_id", "title": "title"})


@pytest.mark.parametrize(
    ("date", "clock", "names", "expression", "time_format"),
    [
        ("2026-01-{:02d}", "18:04", "date,time", "date || ' ' || time", None),
        ("2026-01-{:02d}", "8:04", "date,time", "date || ' ' || time", "%Y-%m-%d %H:%M"),
        ("{:02d}/01/2026", "8:04:30", "order date,order time", "\"order date\" || ' ' || \"order time\"", "%d/%m/%Y %H:%M:%S"),
        ("2026-01-{:02d}", "18:04", "call_date,call_time", "call_date || ' ' || call_time", None),
        ("2026-01-{:02d}", "8:04 PM", "day,clock", "day || ' ' || clock", "%Y-%m-%d %I:%M %p"),
        ("2026-01-{:02d} 00:00:00", "18:04", "date,time", "substr(date, 1, 10) || ' ' || time", None),
    ],
)  # fmt: skip
def test_a_day_and_a_time_of_day_in_two_columns_are_one_time(
    date: str, clock: str, names: str, expression: str, time_format: str | None
) -> None:
    rows = "".join(f"u{i % 7},{date.format(1 + i % 28)},{clock},view\n" for i in range(60))
    found = proposal_of(f"user_id,{names},action\n" + rows)
    assert (found.settings["columns"]["event_time"], found.settings.get("time_format")) == (expression, time_format)
    assert f"{' and '.join(names.split(','))} are taken together as the time" in found.notes


def test_a_time_of_day_that_may_be_another_moment_is_not_used_and_that_is_told() -> None:
    rows = "".join(f"u{i % 7},2026-01-{1 + i % 28:02d},18:04,view\n" for i in range(60))
    found = proposal_of("user_id,date,delivered_until,action\n" + rows)
    assert found.settings["columns"]["event_time"] == "date"
    assert "delivered_until: a time of day that is not used, so that every event of a day is at midnight" in found.notes


def test_times_of_day_before_ten_read_with_the_day_that_is_given() -> None:
    rows = "".join(f"u{i % 7},{8 + i % 9}:04,view\n" for i in range(60))
    found = proposal_of("user_id,time,action\n" + rows, day="2026-01-31").settings
    assert (found["columns"]["event_time"], found["time_format"]) == ("'2026-01-31 ' || time", "%Y-%m-%d %H:%M")


def test_seconds_and_milliseconds_in_one_column_are_each_told_by_their_size() -> None:
    rows = "".join(f"u{i % 7},{1767600000 + i}{'000' * (i % 2)},view\n" for i in range(60))
    found = proposal_of("user_id,timestamp,action\n" + rows)
    assert (found.settings["columns"]["event_time"], found.settings["time_format"]) == ("timestamp", "epoch")
    assert "timestamp counts from 1970 in several units: each is told by its size (time_format: epoch)" in found.notes


@pytest.mark.parametrize(
    ("time", "said"),
    [
        ("2026-01-{:02d}", "--day 2026-01-31 is not used: ts says when"),
        ("week {:02d}", "no column says when, although ts may say when: it can't be read as a time: every event is put on 2026-01-31"),
    ],
)  # fmt: skip
def test_a_day_that_is_given_does_not_silently_go_before_a_column_that_says_when(time: str, said: str) -> None:
    rows = "".join(f"u{i % 7},{time.format(1 + i % 28)},view\n" for i in range(60))
    assert said in proposal_of("user_id,ts,action\n" + rows, day="2026-01-31").notes
