"""Settings: defaults, the two homes of the token, and every mistake named at once."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestration.demo import demo_settings
from orchestration.division import Landing
from orchestration.hypertracker.datasets import DATASETS
from orchestration.service_commands import trial_settings
from orchestration.settings import PRODUCTION_API_URL, Settings, SettingsError, load_offline_settings, load_settings

SECRET = "htk_a1b2c3d4"
LOOPBACK = "http://127.0.0.1:8000"


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable and no `.env` of whoever runs the tests."""
    for name in [name for name in os.environ if name.startswith("HTW_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(f"{SECRET}\n")
    return path


def test_only_the_token_has_no_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HTW_API_TOKEN", SECRET)
    settings = load_settings()
    assert settings.api_url == PRODUCTION_API_URL
    assert (settings.plan, settings.coins, settings.datasets) == ("free", "top:20", "all")
    assert settings.storage_hosts == ("*.amazonaws.com",)
    assert settings.data_dir == tmp_path / "data"
    assert settings.warehouse_file == tmp_path / "data" / "warehouse.duckdb"
    assert settings.wanted_datasets() == DATASETS
    assert settings.access().token.get_secret_value() == SECRET


def test_the_environment_file_is_read_and_its_empty_lines_are_defaults(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        f"HTW_API_TOKEN={SECRET}\nHTW_PLAN=\nHTW_COINS=BTC, xyz:GOLD\nHTW_STORAGE_HOSTS=a.example,b.example\n"
    )
    settings = load_settings()
    assert settings.plan == "free"
    assert settings.wanted_coins([]) == ["BTC", "xyz:GOLD"]
    assert settings.storage_hosts == ("a.example", "b.example")


def test_the_token_file_is_read_without_its_line_break(monkeypatch: pytest.MonkeyPatch, token_file: Path) -> None:
    monkeypatch.setenv("HTW_API_TOKEN_FILE", str(token_file))
    assert load_settings().access().token.get_secret_value() == SECRET


def test_the_token_itself_goes_before_the_file(monkeypatch: pytest.MonkeyPatch, token_file: Path) -> None:
    monkeypatch.setenv("HTW_API_TOKEN_FILE", str(token_file))
    monkeypatch.setenv("HTW_API_TOKEN", "htk_other")
    assert load_settings().access().token.get_secret_value() == "htk_other"


@pytest.mark.proves("token-source", sees="a token file that went away is named, and nothing is sent")
def test_a_token_file_that_went_away_is_named_and_no_other_token_is_sent(
    monkeypatch: pytest.MonkeyPatch, token_file: Path
) -> None:
    monkeypatch.setenv("HTW_API_TOKEN_FILE", str(token_file))
    settings = load_settings()
    token_file.unlink()
    with pytest.raises(SettingsError, match=f"HTW_API_TOKEN_FILE names {token_file}, which cannot be read"):
        settings.access()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(None, "cannot be read (No such file", id="absent"),
        pytest.param(b"\xff\xfe", "cannot be read (not UTF-8 text)", id="binary"),
        pytest.param(b" \n", "is empty", id="empty"),
        pytest.param(b"htk_one\nhtk_two\n", "no token", id="two lines"),
    ],
)
def test_a_token_file_without_a_token_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None, words: str
) -> None:
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    monkeypatch.setenv("HTW_API_TOKEN_FILE", "secret")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert "HTW_API_TOKEN_FILE" in str(caught.value)
    assert words in str(caught.value)
    assert "HTW_API_TOKEN (or" not in str(caught.value), "the file is the one thing to mend"
    assert "htk_one" not in str(caught.value)


def test_everything_missing_or_wrong_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = {
        "HTW_PLAN": "gratis", "HTW_COINS": "top:0", "HTW_DATASETS": "coins,moon_phases", "HTW_WAREHOUSE_URL": "x/other.duckdb",
    }  # fmt: skip
    for name, value in wrong.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    message = str(caught.value)
    assert "HTW_API_TOKEN (or HTW_API_TOKEN_FILE) is not set" in message
    assert [name for name in wrong if name not in message] == []
    assert [word for word in ("gratis", "top:0", "moon_phases", "other.duckdb") if word not in message] == []
    assert "htw demo" in message


@pytest.mark.parametrize("url", ["ht-api.example", "ftp://ht-api.example", "https://", "https://me:word@ht-api.example"])
def test_an_api_url_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("HTW_API_URL", url)
    with pytest.raises(SettingsError, match="HTW_API_URL") as caught:
        load_settings(api_token=SECRET)
    assert "me:word" not in str(caught.value)


@pytest.mark.parametrize("name", ["HTW_COINS", "HTW_DATASETS"])
def test_a_list_of_nothing_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, " , ")
    with pytest.raises(SettingsError, match=name):
        load_settings(api_token=SECRET)


def test_who_polls_nothing_needs_no_token() -> None:
    assert load_settings(datasets="none").wanted_datasets() == ()
    with pytest.raises(SettingsError, match="unknown datasets none"):
        load_settings(api_token=SECRET, datasets="none,coins")


@pytest.mark.parametrize("landing", ["send", "take"])
@pytest.mark.parametrize(
    "of_a_try",
    [lambda: demo_settings(Path("data/demo").absolute(), LOOPBACK, SECRET), lambda: trial_settings(LOOPBACK)],
    ids=["demo", "dev"],
)
def test_a_try_is_alone_in_its_folder_whatever_is_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, landing: str, of_a_try: Callable[[], Settings]
) -> None:
    monkeypatch.setattr(os, "environ", {**os.environ})  # what is set in it goes with the test
    (tmp_path / ".env").write_text(
        f"HTW_LANDING={landing}\nHTW_LAKE_URL=postgres://htw@db.example/lake\nHTW_LAKE_DATA=/srv/lake\nHTW_CODE_SERVER=code:4000\n"
        "HTW_RUN_LAUNCHER=docker\nHTW_DAGSTER_STORAGE=postgres://htw@db.example/dagster\nHTW_WAREHOUSE_URL=/srv/warehouse.duckdb\n"
    )
    settings = of_a_try()
    assert (settings.landing, settings.run_launcher, settings.code_address) == (Landing.HERE, "local", None)
    assert settings.dagster_storage.get_secret_value() == "sqlite"
    places = (settings.warehouse_file, Path(str(settings.lake.catalog)), Path(str(settings.lake.data)))
    assert all(place.is_relative_to(settings.data_dir) for place in places)


@pytest.mark.parametrize("landing", ["send", "take"])
def test_raw_rows_go_through_a_lake_that_machines_share(landing: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    with pytest.raises(SettingsError, match=f"HTW_LANDING is {landing}, which needs a lake that machines share"):
        load_settings(api_token=SECRET, landing=landing, lake_url=f"sqlite:{tmp_path}/catalog.sqlite")
    shared = {"lake_url": "ducklake:postgres://htw@db.example:5432/lake", "lake_data": str(tmp_path / "lake")}
    assert load_settings(api_token=SECRET, landing=landing, **shared).landing == landing


@pytest.mark.parametrize("url", [LOOPBACK, "http://localhost:1", "http://[::1]:1"])
def test_an_api_on_this_machine_needs_no_token(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("HTW_API_URL", url)
    assert load_settings().token_value() is None


@pytest.mark.parametrize("url", [PRODUCTION_API_URL, "http://127.0.0.1.example.com", "http://10.0.0.1"])
def test_any_other_api_needs_one(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("HTW_API_URL", url)
    with pytest.raises(SettingsError, match=r"HTW_API_TOKEN \(or HTW_API_TOKEN_FILE\) is not set"):
        load_settings()
    assert load_offline_settings().api_url == url


@pytest.mark.proves("token-printed", sees="settings show `**********` for a token")
def test_the_token_is_in_no_repr_and_no_message(monkeypatch: pytest.MonkeyPatch, token_file: Path) -> None:
    settings = load_settings(api_token=SECRET)
    from_file = load_settings(api_token_file=token_file)
    shown = [repr(settings), str(settings), repr(from_file), repr(settings.access()), settings.model_dump_json()]
    assert [text for text in shown if SECRET in text] == []
    for token in (f"{SECRET} {SECRET}", f"{SECRET}\n{SECRET}", f"{SECRET}é"):
        with pytest.raises(SettingsError, match="HTW_API_TOKEN holds something that is no token") as caught:
            load_settings(api_token=token, plan="gratis")
        assert SECRET not in str(caught.value)


HOOK = "https://hooks.slack.example/services/T000/B000/s3cr3tpath"


def test_alerts_are_off_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings(api_token=SECRET)
    assert (settings.alert_slack_webhook, settings.alert_webhook, settings.alert_email_to) == (None, None, ())
    assert (settings.smtp_port, settings.smtp_starttls) == (587, True)


def test_webhooks_and_passwords_are_in_no_repr() -> None:
    settings = load_settings(
        api_token=SECRET, alert_slack_webhook=HOOK, alert_webhook=HOOK, smtp_user="me@a.example", smtp_password="pass-word-1"
    )
    shown = [repr(settings), str(settings), settings.model_dump_json()]
    assert [text for text in shown if "s3cr3tpath" in text or "pass-word-1" in text] == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        pytest.param({"ALERT_WEBHOOK": "hooks.example/s3cr3tpath"}, ["HTW_ALERT_WEBHOOK is no web address"], id="no address"),
        pytest.param({"ALERT_EMAIL_TO": "me@a.example"}, ["needs HTW_SMTP_HOST and HTW_ALERT_EMAIL_FROM too"], id="no host"),
        pytest.param(
            {"ALERT_EMAIL_TO": "me@a.example", "SMTP_HOST": "mail.a.example"}, ["needs HTW_ALERT_EMAIL_FROM too"], id="no sender"
        ),
        pytest.param({"SMTP_USER": "me"}, ["HTW_SMTP_PASSWORD and HTW_SMTP_USER belong together"], id="no password"),
        pytest.param({"ALERT_EMAIL_FROM": "somebody"}, ["HTW_ALERT_EMAIL_FROM holds 'somebody'"], id="no mail address"),
        pytest.param(
            {"PLAN": "gratis", "ALERT_SLACK_WEBHOOK": "s3cr3tpath", "ALERT_EMAIL_TO": "me@a.example", "SMTP_PORT": "70000"},
            ["HTW_PLAN", "HTW_ALERT_SLACK_WEBHOOK", "HTW_ALERT_EMAIL_TO", "HTW_SMTP_PORT"],
            id="all at once",
        ),
    ],
)
def test_alert_settings_that_do_not_fit_are_named(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], words: list[str]
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(f"HTW_{name}", value)
    with pytest.raises(SettingsError) as caught:
        load_settings(api_token=SECRET)
    assert [word for word in words if word not in str(caught.value)] == []
    assert "s3cr3tpath" not in str(caught.value)


def test_a_mail_user_that_is_an_address_is_the_sender(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"SMTP_HOST": "mail.a.example", "SMTP_USER": "me@a.example", "SMTP_PASSWORD": "x", "ALERT_EMAIL_TO": "a@b.c, d@e.f"}
    for name, value in given.items():
        monkeypatch.setenv(f"HTW_{name}", value)
    assert load_settings(api_token=SECRET).alert_email_to == ("a@b.c", "d@e.f")


@pytest.mark.parametrize("folder", ["/tmp/100%20", "/tmp/what?"])
def test_a_data_folder_that_dagster_cannot_use_is_named(folder: str) -> None:
    with pytest.raises(SettingsError, match=r"HTW_DATA_DIR is '.*'; Dagster cannot keep its runs"):
        load_settings(api_token=SECRET, data_dir=Path(folder))


@pytest.mark.parametrize(
    ("url", "data", "catalog", "folder"),
    [
        pytest.param(None, None, "data/lake/catalog.sqlite", "data/lake/data", id="usual"),
        pytest.param("sqlite:///srv/l/c.sqlite", None, "/srv/l/c.sqlite", "/srv/l/data", id="elsewhere"),
        pytest.param("sqlite:c.sqlite", "file:///big/data", "c.sqlite", "/big/data", id="apart"),
        pytest.param("/srv/c.sqlite", "/big", "/srv/c.sqlite", "/big", id="plain-paths"),
    ],
)
def test_the_lake_is_where_it_is_said_to_be(url: str | None, data: str | None, catalog: str, folder: str) -> None:
    lake = load_settings(api_url=LOOPBACK, lake_url=url, lake_data=data).lake
    assert (lake.catalog, lake.data) == (Path(catalog).absolute(), Path(folder).absolute())


@pytest.mark.parametrize(
    "url",
    [
        "ducklake:postgres://htw@db:5433/lake",
        "postgresql://htw@db:5433/lake",
        "ducklake:postgres:dbname=lake host=db user=htw port=5433",
    ],
)
def test_a_shared_lake_takes_its_secrets_from_files_and_shows_them_nowhere(url: str, tmp_path: Path) -> None:
    for name in ("password", "secret"):
        (tmp_path / name).write_text(f"{name} word\n")
    settings = load_settings(
        api_url=LOOPBACK, lake_url=url, lake_password_file=tmp_path / "password", lake_data="s3://bucket/lake/",
        lake_s3_endpoint="http://minio:9000", lake_s3_key_id="key", lake_s3_secret_file=tmp_path / "secret",
    )  # fmt: skip
    lake = settings.lake
    assert (str(lake.catalog), str(lake.data)) == ("postgresql://htw@db:5433/lake", "s3://bucket/lake")
    assert (lake.catalog.password, lake.data.secret, lake.data.host) == ("password word", "secret word", "minio:9000")
    assert "word" not in f"{settings!r} {lake!r}".replace("password", "")


def test_the_address_of_a_bucket_holds_no_key(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret word")
    keys = {"lake_s3_key_id": "key", "lake_s3_secret_file": tmp_path / "secret"}
    with pytest.raises(SettingsError, match="HTW_LAKE_DATA holds a key; name bucket and prefix alone") as caught:
        load_settings(api_url=LOOPBACK, lake_url="postgres://htw@db/lake", lake_data="s3://me:se/word@bucket/lake", **keys)
    assert "word" not in str(caught.value)


def test_a_shared_lake_needs_data_that_others_reach_and_a_store_its_key() -> None:
    with pytest.raises(SettingsError, match="HTW_LAKE_DATA is not set, and the lake of HTW_LAKE_URL is shared"):
        load_settings(api_url=LOOPBACK, lake_url="postgres://htw@db/lake")
    with pytest.raises(SettingsError, match="needs HTW_LAKE_S3_KEY_ID and HTW_LAKE_S3_SECRET_FILE too"):
        load_settings(api_url=LOOPBACK, lake_url="postgres://htw@db/lake", lake_data="s3://bucket/lake")


@pytest.mark.parametrize(
    "wrong",
    [
        {"lake_url": "postgres://me:word@db/lake"}, {"lake_url": "sqlite:"}, {"lake_data": "s3://bucket/lake"}, {"hot_days": 0},
        {"lake_history_days": 1}, {"lake_url": "mysql://me:word@db/lake"}, {"lake_url": "ducklake:postgres:password=word"},
        {"lake_url": "postgres://me@db/lake?sslmode=require", "lake_data": "/srv/lake"}, {"lake_data": "s3://me:word@bucket"},
        {"lake_password_file": "/nowhere"}, {"lake_s3_endpoint": "minio:9000"}, {"lake_s3_secret_file": "/nowhere"},
    ],
    ids=str,
)  # fmt: skip
def test_a_lake_that_cannot_be_is_named_without_its_password(wrong: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match=f"HTW_{next(iter(wrong)).upper()}") as caught:
        load_settings(api_url=LOOPBACK, **wrong)
    assert "word" not in str(caught.value).lower().replace("password", "")
