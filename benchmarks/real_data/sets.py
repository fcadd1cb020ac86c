"""The real data sets that the recipes are tried on: which files land where, what is documented of them, what others reached.

Here are facts and queries. Not here: building (`build`), the page (`page`). The data never enter this repository; who has none of
them gets each from its publisher, as `about` says.
"""

import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

SHARED = Path(__file__).parents[3] / "shared" / "data"
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Fact:
    """A number of a set, and the query that finds it in our tables.

    Attributes
    ----------
    documented
        What is known of it, in words that are shown; None: nothing.
    exact
        What must be found; where it is not given, what is documented if that is a number.
    """

    name: str
    sql: str
    documented: str | None = None
    exact: str | None = None

    @property
    def expected(self) -> str | None:
        """What must be found, written as it is found; None where anything may be."""
        is_number = self.documented and self.documented.replace(",", "").replace(".", "", 1).isdigit()
        return self.exact or (self.documented if is_number else None)


@dataclass(frozen=True)
class Reference:
    """What others reached with a model of ours beside it: the split and metric on which both can be set side by side."""

    model: str
    split: str
    metric: str
    told: str
    at_least: float | None = None


@dataclass(frozen=True)
class DataSet:
    """A set: its recipe, and what is to be found when it has been built."""

    name: str
    title: str
    about: str
    folder: str
    land: Callable[[Path, Path], None]
    facts: tuple[Fact, ...]
    references: tuple[Reference, ...] = field(default=())

    @property
    def recipe(self) -> Path:
        return ROOT / "recipes" / self.name / "profile.yaml"

    @property
    def source(self) -> Path:
        return SHARED / self.folder


def copying(*patterns: str, into: str = "") -> Callable[[Path, Path], None]:
    """Return what copies the files of some patterns into a folder of the landing folder."""

    def land(source: Path, landing: Path) -> None:
        target = landing / into
        target.mkdir(parents=True, exist_ok=True)
        files = sorted(path for pattern in patterns for path in source.glob(pattern))
        if not files:
            raise FileNotFoundError(f"no file {' or '.join(patterns)} in {source}")
        for path in files:
            (target / path.name).write_bytes(path.read_bytes())

    return land


def unzipping(archive: str, member: str) -> Callable[[Path, Path], None]:
    """Return what takes one file out of an archive."""

    def land(source: Path, landing: Path) -> None:
        landing.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(source / archive) as opened:
            (landing / Path(member).name).write_bytes(opened.read(member))

    return land


def _newest(table: str) -> str:
    return f"as_of_date = (select max(as_of_date) from {table})"


_USUAL_CLEANING = (
    "from raw.events as r semi join cleaned.events as c on c.file_id = r.file_id and c.row_number = r.row_number"
    " where r.role = 'purchase' and r.user_id is not null and r.quantity > 0 and r.price > 0"
)

SETS: tuple[DataSet, ...] = (
    DataSet(
        "movielens", "MovieLens 100k", "GroupLens; research use, not to be passed on. Three files: u.data, u.user, u.item.", "movielens-100k",
        copying("ml-100k/u.data", "ml-100k/u.user", "ml-100k/u.item"),
        (
            Fact("ratings that count", "select count(*) from cleaned.events where role = 'rate'", "100,000"),
            Fact("people", "select count(*) from cleaned.users where valid_to is null", "943"),
            Fact("films", "select count(*) from cleaned.items where valid_to is null", "1,682"),
            Fact("women", "select count(*) from cleaned.users where valid_to is null and gender = 'F'", "273"),
            Fact("people without an event in the last 90 days", f"select count(*) from features.behavior where n_events_90d = 0 and {_newest('features.behavior')}"),
        ),
        (
            Reference("gender", "validation", "roc_auc", "0.769 by logistic regression on ratings alone, 5 folds by person, all 943 people", 0.76),
            Reference("gender", "test", "roc_auc", "the same figure; these people stood in no fold"),
            Reference("recommendations", "future", "recall@10", "none published for this cut; popularity is the one to beat"),
        ),
    ),
    DataSet(
        "online-retail", "Online Retail, December 2010 to May 2011", "UCI Machine Learning Repository 352, CC BY 4.0, as one CSV a day.", "online-retail",
        copying("by-day/*.csv", into="invoices"),
        (
            Fact("lines", "select count(*) from raw.events"),
            Fact("lines without a customer", "select count(*) from raw.events where user_id is null"),
            Fact("lines after the usual cleaning", f"select count(*) {_USUAL_CLEANING}", "145,450"),
            Fact("customers after the usual cleaning", f"select count(distinct r.user_id) {_USUAL_CLEANING}", "2,718"),
            Fact("amount after the usual cleaning", f"select sum(cast(round(r.quantity * r.price, 2) as decimal(18, 2))) {_USUAL_CLEANING}", "3,332,591.96"),
            Fact("the same amount by cleaned.events", "select sum(amount) from cleaned.events where role = 'purchase' and alias_id is not null", "3,332,591.96"),
        ),
        (
            Reference("repurchase", "future", "roc_auc", "none published for this cut"),
            Reference("recommendations", "future", "recall@10", "none published for this cut; popularity is the one to beat"),
        ),
    ),
    DataSet(
        "rees46", "REES46 shop events, the first minutes of October 2019", "REES46 Marketing Platform; the file is the beginning of the month.", "rees46-sample",
        copying("2019-Oct.csv"),
        (
            Fact("records in the file", "select sum(n_records) from raw.files", "17,435, the last one cut off", "17,435"),
            Fact("events loaded", "select count(*) from raw.events", "17,434"),
            Fact("people", "select count(distinct user_id) from raw.events", "4,505, one by the id that is cut off", "4,504"),
            Fact("exact copies", "select count(*) from cleaned.excluded_events where reason_code = 'duplicate'", "5"),
        ),
    ),
    DataSet(
        "jdata", "JData, a cut of 京东's contest", "JData contest; no terms are stated. The files were cut at their heads.", "jdata-sample",
        copying("JData_Action*.csv", "JData_User.csv", "JData_Product.csv"),
        (
            Fact("actions loaded", "select count(*) from raw.events", "3 x 29,999", "89,997"),
            Fact("exact copies, share of the actions", "select round(100.0 * count(*) / (select count(*) from raw.events), 1) || ' %' from cleaned.excluded_events where reason_code = 'duplicate'", "25 to 29 % of each file"),
            Fact("people who acted", "select count(distinct user_id) from raw.events", "3,009"),
            Fact("of these in the file of users", "select count(*) from (select distinct user_id from raw.events) semi join raw.users using (user_id)", "885"),
            Fact("users", "select count(*) from raw.users", "29,999"),
            Fact("products", "select count(*) from raw.items", "24,187"),
        ),
    ),
    DataSet(
        "lastfm", "Last.fm of HetRec 2011", "GroupLens and Last.fm, research use.", "lastfm-hetrec2011",
        copying("user_artists.dat", "user_taggedartists.dat", "user_friends.dat", "artists.dat"),
        (
            Fact("plays (person and artist)", "select count(*) from raw.events where role = 'play'", "92,834"),
            Fact("tags given", "select count(*) from raw.events where role = 'rate'", "186,479, one of them lost by who keeps the copy", "186,478"),
            Fact("tags before Last.fm was there (1956 to 1979)", "select count(*) from raw.events where event_time < timestamp '2000-01-01'", "5"),
            Fact("friendships, each way", "select count(*) from cleaned.relations", "2 x 12,717", "25,434"),
            Fact("artists", "select count(*) from cleaned.items", "17,632"),
            Fact("people", "select count(distinct user_id) from raw.events", "1,892"),
        ),
        (Reference("recommendations", "future", "recall@10", "none published for this cut; popularity is the one to beat"),),
    ),
    DataSet(
        "web-log", "A web server's log", "Elastic's sample of an Apache log, May 2015.", "weblogs", lambda source, landing: copying("elastic_apache_logs", into="log")(source, landing),
        (
            Fact("lines", "select sum(n_records) from raw.files", "10,000"),
            Fact("lines that the pattern does not match", "select count(*) from raw.rejected_records"),
            Fact("requests by programs that say so", "select count(*) from cleaned.excluded_events where reason_code like 'bot%'"),
            Fact("visitors", "select count(distinct stream_id) from cleaned.events"),
            Fact("page views (PV)", "select sum(pv) from applications.daily_metrics where segment = 'all'"),
            Fact("sessions", "select count(*) from cleaned.sessions"),
            Fact("whole addresses that stayed", "select count(*) from raw.events where regexp_matches(ip, '[.][1-9][0-9]*$')", "0"),
        ),
    ),
    DataSet(
        "bank-marketing", "Bank marketing, with the economy's indicators", "UCI Machine Learning Repository 222, CC BY 4.0: bank-additional-full.csv.", "bank-marketing",
        unzipping("bank-additional.zip", "bank-additional/bank-additional-full.csv"),
        (
            Fact("people who were called", "select count(*) from cleaned.users", "41,188"),
            Fact("who said yes", "select count(*) from cleaned.users where json_extract_string(attributes, '$.y') = 'yes'", "4,640"),
            Fact("yes among the first four fifths", "select round(100.0 * avg(case when json_extract_string(attributes, '$.y') = 'yes' then 1 else 0 end), 1) || ' %' from cleaned.users where cast(json_extract_string(attributes, '$.row_number') as integer) <= 32950"),
            Fact("yes among the last fifth", "select round(100.0 * avg(case when json_extract_string(attributes, '$.y') = 'yes' then 1 else 0 end), 1) || ' %' from cleaned.users where cast(json_extract_string(attributes, '$.row_number') as integer) > 32950"),
        ),
        (
            Reference("response", "test", "roc_auc", "0.80 (random folds, without `duration`: linear 0.76 to 0.79, trees 0.79 to 0.80)", 0.76),
            Reference("response_later", "future", "roc_auc", "0.62 on the last 10 % in order of time, where the base rate moves from 7 % to 46 %: the honest kind of figure"),
            Reference("response_with_duration", "test", "roc_auc", "0.95: the leak, for nobody knows how long a call will take before it is made"),
        ),
    ),
    DataSet(
        "telco-churn", "Telco churn", "IBM sample data; the company is fictitious.", "telco-churn", copying("Telco-Customer-Churn.csv"),
        (
            Fact("customers", "select count(*) from cleaned.users", "7,043"),
            Fact("who left", "select count(*) from cleaned.users where json_extract_string(attributes, '$.Churn') = 'Yes'", "1,869"),
            Fact("without a total charge (a blank)", "select count(*) from cleaned.users where json_extract_string(attributes, '$.TotalCharges') is null", "11"),
        ),
        (
            Reference("churn", "validation", "roc_auc", "0.845 (logistic regression) to 0.849 (trees), 10 folds by person, all people", 0.84),
            Reference("churn", "test", "roc_auc", "the same figures; these people stood in no fold"),
        ),
    ),
)  # fmt: skip


def named(name: str) -> DataSet:
    """Return a set by name."""
    return next(found for found in SETS if found.name == name)
