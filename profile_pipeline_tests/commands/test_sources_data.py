import json
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from profile_pipeline.cli import app

DATA = Path(__file__).parents[3] / "shared" / "data"
pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not DATA.is_dir(), reason="the data sets do not lie beside the project"),
]
# Files -> table, some of the columns, options. What a set lacks (a day, an id) is told by the options and the columns.
SOUND = {
    "movielens-100k/ml-100k/u.data": ("events", {"event_time": "timestamp", "user_id": "user_id", "item_id": "item_id", "value": "rating"}, []),
    "movielens-100k/ml-100k/u.user": ("users", {"user_id": "user_id", "gender": "gender", "occupation": "occupation"}, []),
    "movielens-100k/ml-100k/u.item": ("items", {"item_id": "item_id", "title": "title"}, []),
    "online-retail/by-day/2010-12-*.csv": (
        "events",
        {"user_id": "regexp_replace(CustomerID, '[.]0$', '')", "order_id": "InvoiceNo", "item_id": "StockCode", "price": "UnitPrice",
         "event_type": "case when InvoiceNo like 'C%' then 'return' else 'order' end"},
        [],
    ),
    "cdnow/CDNOW_sample.txt": ("events", {"user_id": "user_id", "event_time": "purchase_date", "value": "amount"}, []),
    "hillstrom/hillstrom_half.csv": ("users", {"user_id": "row_number"}, []),
    "telco-churn/Telco-Customer-Churn.csv": ("users", {"user_id": "customerID", "gender": "gender"}, []),
    "customer-personality/marketing_campaign.csv": ("users", {"user_id": "ID", "birth_year": "Year_Birth", "registered_at": "Dt_Customer"}, []),
    "payment-fraud/payment_fraud.csv": ("users", {"user_id": "row_number"}, []),
    "lastfm-hetrec2011/user_artists.dat": ("events", {"user_id": "userID", "item_id": "artistID", "value": "weight"}, ["--day", "2011-05-09"]),
    "lastfm-hetrec2011/user_taggedartists.dat": ("events", {"user_id": "userID", "item_id": "artistID"}, []),
    "lastfm-hetrec2011/user_friends.dat": ("relations", {"user_id": "userID", "other_user_id": "friendID"}, []),
    "lastfm-hetrec2011/artists.dat": ("items", {"item_id": "id", "title": "name"}, []),
    "sogouq-sample/SogouQ.sample": ("events", {"user_id": "user_id", "query": "query", "url": "url"}, ["--day", "2008-06-01"]),
    "jdata-sample/JData_Action_*.csv": ("events", {"user_id": "regexp_replace(user_id, '[.]0$', '')", "item_id": "sku_id", "event_type": "type"}, []),
    "jdata-sample/JData_User.csv": ("users", {"user_id": "user_id", "registered_at": "user_reg_tm"}, []),
    "jdata-sample/JData_Product.csv": ("items", {"item_id": "sku_id", "categories": "cate", "brand": "brand"}, []),
    "jdata-sample/JData_Comment.csv": ("items", {"item_id": "sku_id", "updated_at": "dt"}, []),
    "rees46-sample/2019-Oct.csv": (
        "events",
        {"event_time": "event_time", "event_type": "event_type", "user_id": "user_id", "item_id": "product_id", "category": "category_code", "price": "price"},
        [],
    ),
    "yoochoose-100k/yoochoose-clicks-100k_train_full.txt": ("events", {"anonymous_id": "SessionId", "item_id": "ItemId", "event_time": "Time"}, []),
    "weblogs/elastic_apache_logs": ("events", {"ip": "ip", "url": "url", "user_agent": "user_agent", "event_time": "request_time"}, []),
    "identity-resolution/febrl/dataset1.csv": ("users", {"user_id": "rec_id", "city": "suburb"}, []),
    "identity-resolution/splink/fake_1000.csv": ("users", {"user_id": "unique_id", "birth_date": "dob", "email_hash": "email"}, []),
    "snowplow-samples/snowplow_events.csv": (
        "events", {"event_id": "event_id", "event_time": "derived_tstamp", "user_id": "user_id", "anonymous_id": "domain_userid", "url": "page_url"}, [],
    ),
}  # fmt: skip
UNSOUND = {
    "complete-journey/demographics.rda": "binary data",
    "anomaly-adbench/23_mammography.npz": "ZIP archive",
    "snowplow-samples/contexts_com_snowplowanalytics_user_identifier_1_0_0.csv": "context table of Snowplow",
    "sogouq-sample/SogouQ.sample": "times of day without a date",
    "lastfm-hetrec2011/user_artists.dat": "no column says when",
    "lastfm-hetrec2011/tags.dat": "--table",
    "movielens-100k/ml-100k/u.occupation": "one column only",
}


def told_of(files: list[Path], options: list[str], config: Path) -> dict:
    result = CliRunner().invoke(app, ["sources", "add", *map(str, files), *options, "--json", "--config", str(config)])
    if result.exception is not None:
        raise result.exception
    ((_, told),) = json.loads(result.output)["sources"].items()
    return told


@pytest.mark.parametrize("name", SOUND)
def test_a_public_data_set_is_recognized_and_its_records_load(name: str, tmp_path: Path) -> None:
    table, columns, options = SOUND[name]
    files = sorted(DATA.glob(name))
    if not files:
        pytest.skip(f"{name} is not among the data sets")
    told = told_of(files, options, tmp_path / "profile.yaml")
    assert told["settings"]["table"] == table
    found = told["settings"]["columns"]
    assert {ours: found.get(ours) for ours in columns} == columns
    assert told["n_loaded"] >= 0.95 * told["n_records"] > 0
    assert len(told["rows"]) == 10


@pytest.mark.parametrize("name", UNSOUND)
def test_what_holds_no_source_is_one_message(name: str, tmp_path: Path) -> None:
    with pytest.raises(Exception, match=UNSOUND[name]):
        told_of([DATA / name], [], tmp_path / "profile.yaml")


def test_bank_marketing_is_people_with_a_label_and_without_an_id(tmp_path: Path) -> None:
    with zipfile.ZipFile(DATA / "bank-marketing" / "bank-additional.zip") as archive:
        archive.extract("bank-additional/bank-additional.csv", tmp_path)
    told = told_of([tmp_path / "bank-additional" / "bank-additional.csv"], [], tmp_path / "profile.yaml")
    assert (told["settings"]["table"], told["settings"]["columns"]["user_id"]) == ("users", "row_number")
    assert told["settings"]["columns"]["occupation"] == "job"
    assert told["n_loaded"] == told["n_records"] == 4119


def test_codes_of_a_well_known_set_get_their_roles(tmp_path: Path) -> None:
    told = told_of([DATA / "jdata-sample" / "JData_Action_201602.csv"], [], tmp_path / "profile.yaml")
    roles = {"1": "view", "2": "add_to_cart", "3": "remove_from_cart", "4": "purchase", "5": "follow", "6": "other"}
    assert told["settings"]["roles"] == roles
