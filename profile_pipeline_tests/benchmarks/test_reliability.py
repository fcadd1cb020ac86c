from benchmarks.reliability import law_of, page, read_results

XML = """<testsuites><testsuite>
<testcase classname="profile_pipeline_tests.faults.test_counting" name="test_a_load[an event is lost]" time="1.5"/>
<testcase classname="profile_pipeline_tests.faults.test_counting" name="test_a_load[doubled]" time="0.5"><failure message="x"/></testcase>
<testcase classname="profile_pipeline_tests.faults.test_delivery" name="test_any" time="30"><properties><property name="examples" value="50"/></properties></testcase>
<testcase classname="profile_pipeline_tests.faults.test_delivery" name="test_root" time="0"><skipped message="needs root"/></testcase>
</testsuite></testsuites>"""
TOLD = {
    "numbers": "the short numbers of CI", "date": "2026-11-27", "version": "0.1.0", "commit": "abc",
    "machine": {"cores": 2, "processor": "a processor", "memory_gb": 4.0, "system": "Linux", "python": "3.11"},
}  # fmt: skip


def test_cases_of_a_test_are_told_together_with_the_examples_that_they_tried() -> None:
    results = read_results(XML)
    load = results["profile_pipeline_tests.faults.test_counting"]["test_a_load"]
    assert (load.examples, load.seconds, load.result) == (2, 2.0, "**1 failed**")
    assert results["profile_pipeline_tests.faults.test_delivery"]["test_any"].examples == 50


def test_the_page_says_what_failed_with_which_numbers_and_what_was_not_tried() -> None:
    told = page(read_results(XML), TOLD)
    assert "**the short numbers of CI**. 3 tests, 52 examples, 1 test failed, 32 seconds." in told
    assert "| any | 50 | held | 30.0 |" in told
    assert "| a load | 2 | **1 failed** | 2.0 |" in told
    assert "| root | 0 | skipped: needs root | 0.0 |" in told
    assert "Power loss" in told
    assert law_of("profile_pipeline_tests.faults.test_counting").startswith("The law of counting")
