"""The recipes: each is a configuration that loads, and claims and reads the layouts that its comment names."""

from pathlib import Path

import pytest

from profile_pipeline.orchestration.configuration import load_checked
from profile_pipeline.paths import Paths
from profile_pipeline.raw.landing import complete_files
from profile_pipeline.raw.readers.evaluate import connect
from profile_pipeline.raw.readers.read import read_file
from profile_pipeline.settings import Settings
from profile_pipeline_tests.conftest import ROOT

RECIPES = sorted((ROOT / "recipes").glob("*/profile.yaml"))


def settings_of(name: str) -> Settings:
    return load_checked(Paths(config=ROOT / "recipes" / name / "profile.yaml", data=ROOT / "data"))


def loaded(name: str, landing: Path) -> dict[str, list[dict]]:
    """Every record of the landed files by source; none may be rejected, and no file be without a source."""
    settings, engine = settings_of(name), connect()
    found: dict[str, list[dict]] = {}
    for file in complete_files(landing, settings.sources, now_seconds=1e12, stable_seconds=0):
        assert file.source is not None, file.name
        read = read_file(file.path, name=file.source, source=settings.sources[file.source], engine=engine)
        found.setdefault(file.source, []).extend(row for batch in read.batches for row in batch.to_pylist())
        assert read.rejected.num_rows == 0
    return found


def land(folder: Path, files: dict[str, str], encoding: str = "utf-8") -> Path:
    for name, text in files.items():
        path = folder / "landing" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode(encoding))
    return folder / "landing"


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.parent.name)
def test_a_recipe_is_a_configuration_that_loads(path: Path) -> None:
    settings = settings_of(path.parent.name)
    assert settings.calendar.end is not None
    assert settings.tags and settings.audiences


MOVIELENS = {
    "100k": ({"ml/u.data": "196\t242\t3\t881250949\n", "ml/u.user": "196|49|M|writer|55105\n", "ml/u.item": "242|Kolya é (1996)|24-Jan-1997||http://x|" + "|".join("0000010000000000000") + "\n"}, "1949", "Comedy"),
    "1m": ({"ratings.dat": "196::242::3::978300760\n", "users.dat": "196::M::25::20::55105\n", "movies.dat": "242::Kolya é: a tale (1996)::Comedy|Drama\n"}, "1975", "Comedy"),
    "later": ({"ml-latest/ratings.csv": "userId,movieId,rating,timestamp\n196,242,3.5,1112486027\n", "ml-latest/movies.csv": 'movieId,title,genres\n242,"Kolya, é (1996)",Comedy|Drama\n'}, None, "Comedy"),
}  # fmt: skip


@pytest.mark.parametrize("layout", MOVIELENS)
def test_one_recipe_reads_the_layouts_of_movielens(layout: str, tmp_path: Path) -> None:
    files, born, genre = MOVIELENS[layout]
    found = loaded("movielens", land(tmp_path, files, "utf-8" if layout == "later" else "latin-1"))
    (rating,) = found[f"ratings_{layout}"]
    (film,) = found[f"films_{layout}"]
    assert (rating["user_id"], rating["item_id"], rating["role"]) == ("196", "242", "rate")
    assert film["categories"][0] == genre and "é" in film["title"]
    if born:
        (person,) = found[f"people_{layout}"]
        assert (str(person["birth_year"]), person["gender"], person["occupation"]) == (born, "M", "writer")


def test_a_cancelled_invoice_line_is_a_refund_of_a_positive_quantity(tmp_path: Path) -> None:
    text = (
        "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
        "536365,85123A,HOLDER,6,2010-12-01 08:26:00,2.55,17850.0,United Kingdom\n"
        "C536379,D,Discount,-1,2010-12-01 09:41:00,27.5,,United Kingdom\n"
    )
    line, refund = loaded("online-retail", land(tmp_path, {"invoices/2010-12-01.csv": text}))["invoices"]
    assert (line["user_id"], line["role"], str(line["quantity"])) == ("17850", "purchase", "6.0000")
    assert (refund["user_id"], refund["role"], str(refund["quantity"])) == (None, "refund", "1.0000")


def test_an_address_of_a_log_keeps_its_network_only(tmp_path: Path) -> None:
    lines = (
        '10.20.30.40 - - [17/May/2015:10:05:03 +0000] "GET /a.html?x=1 HTTP/1.1" 200 7697 "-" "Mozilla/5.0 \\"odd\\" one"\n'
        '10.20.30.40 - ann [17/May/2015:10:05:04 +0000] "GET /a.css HTTP/1.1" 200 7 "http://y" "Mozilla/5.0 \\"odd\\" one"\n'
        '2001:db8::1:2 - - [17/May/2015:10:05:05 +0000] "POST /b HTTP/1.1" 404 -\n'
    )
    page, style, other = loaded("web-log", land(tmp_path, {"log/access.log": lines}))["log"]
    assert [(r["role"], r["item_id"], r["ip"]) for r in (page, style, other)] == [
        ("view", "/a.html", "10.20.30.0"), ("other", None, "10.20.30.0"), ("other", None, "2001:db8::1:0"),
    ]  # fmt: skip
    assert page["anonymous_id"] == style["anonymous_id"] != other["anonymous_id"]


def test_ids_of_one_person_are_one_id_in_all_files_of_jdata(tmp_path: Path) -> None:
    files = {
        "JData_Action_201602.csv": "user_id,sku_id,time,model_id,type,cate,brand\n266079.0,138778,2016-01-31 23:59:02,,1,8,403\n",
        "JData_User.csv": "user_id,age,sex,user_lv_cd,user_reg_tm\n266079,26-35岁,2,5,2016-01-26\n",
    }
    found = loaded("jdata", land(tmp_path, files, "gb18030"))
    assert {row["user_id"] for rows in found.values() for row in rows} == {"266079"}
    assert found["users"][0]["gender"] is None
    assert "26-35岁" in found["users"][0]["attributes"]
