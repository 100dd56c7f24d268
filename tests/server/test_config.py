"""Settings from four places, and a word of help for every one that nobody can mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from opentrail.server.config import BadSetting, resolve, variable
from opentrail.settings import Settings, setting_fields


def written(directory: Path, text: str) -> Path:
    file = directory / "opentrail.toml"
    file.write_text(text)
    return file


def test_without_anything_the_defaults_hold():
    assert resolve({}, {}, None) == Settings()


def test_the_command_line_wins_then_the_environment_then_the_file(tmp_path):
    file = written(tmp_path, 'region = "file"\nport = 1\naccount-id = "111111111111"\n')
    environment = {"OPENTRAIL_REGION": "environment", "OPENTRAIL_PORT": "2", "UNRELATED": "x"}
    found = resolve({"region": "line", "port": None}, environment, file)
    assert (found.region, found.port, found.account_id) == ("line", 2, "111111111111")


def test_every_setting_has_a_variable_a_key_and_a_word_of_help(tmp_path):
    for name, default, help_text in setting_fields():
        assert variable(name) == f"OPENTRAIL_{name.upper()}"
        assert help_text.endswith(".")
        assert getattr(resolve({}, {variable(name): str(default)}, None), name) == default, name


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90.0), ("30s", 30.0), ("5m", 300.0), ("1h", 3600.0), ("1.5h", 5400.0), ("250ms", 0.25), (" 2d ", 172800.0)],
)
def test_durations(text, seconds, tmp_path):
    assert resolve({"delivery_interval": text}, {}, None).delivery_interval == pytest.approx(seconds)
    assert resolve({}, {}, written(tmp_path, f'delivery_interval = "{text}"')).delivery_interval == pytest.approx(
        seconds
    )


@pytest.mark.parametrize(("value", "seconds"), [("60", 60.0), ("0.5", 0.5)])
def test_durations_as_numbers_of_the_file(value, seconds, tmp_path):
    assert resolve({}, {}, written(tmp_path, f"digest-interval = {value}")).digest_interval == seconds


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("ON", True), ("1", True), ("no", False), ("False", False)]
)
def test_switches(text, value):
    assert resolve({}, {"OPENTRAIL_RECORD": text}, None).record is value


def test_a_home_directory_is_found():
    assert resolve({"data_dir": "~/trail"}, {}, None).data_dir == Path.home() / "trail"


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"PORT": "http"}, "port is 'http'; write a whole number"),
        ({"PORT": "-1"}, "port is '-1'; write a whole number"),
        ({"PORT": "²"}, "write a whole number"),
        ({"PORT": "٤٥٨٠"}, "write a whole number"),
        ({"PORT": "9" * 5_000}, "write a whole number"),
        ({"PORT": "65536"}, "port is 65536; write a number up to 65535, or 0 for a free one"),
        ({"ACCOUNT_ID": "12345"}, "account_id is '12345'; write twelve digits"),
        ({"ACCOUNT_ID": "١" * 12}, "write twelve digits"),
        ({"DELIVERY_INTERVAL": "soon"}, "delivery_interval is 'soon'; write a duration such as 30s, 5m or 1h"),
        ({"DELIVERY_INTERVAL": "-5s"}, "write a duration"),
        ({"DELIVERY_INTERVAL": "5 weeks"}, "write a duration"),
        ({"DELIVERY_INTERVAL": ""}, "write a duration"),
        ({"DELIVERY_INTERVAL": "9" * 400}, "write a duration"),
        (
            {"DELIVERY_INTERVAL": "50ms"},
            "delivery_interval, digest_interval and access_log_interval must be at least 100ms",
        ),
        ({"DIGEST_INTERVAL": "0"}, "must be at least 100ms"),
        ({"EVENT_NAMES": "pretty"}, "event_names is 'pretty'; write recorded or documented"),
        ({"LIFECYCLE_DAY": "0"}, "lifecycle_day must be at least 100ms"),
        ({"TLS_CERTIFICATE": "a.pem"}, "tls_certificate and tls_key go together"),
        ({"TLS_KEY": "a.pem"}, "tls_certificate and tls_key go together"),
        ({"ROOT_ACCESS_KEY_ID": "AKIA"}, "root_access_key_id and root_secret_access_key go together"),
        ({"ROOT_SECRET_ACCESS_KEY": "secret"}, "root_access_key_id and root_secret_access_key go together"),
        ({"RECORD": "ture"}, "record is 'ture'; write true or false"),
        ({"RECORD": ""}, "write true or false"),
        ({"POST_TO": "everywhere"}, "post_to is 'everywhere'; write networks such as 10.0.0.0/8"),
        ({"DATA_DIR": "~nobody-of-that-name/x"}, "there is no such home directory"),
    ],
)
def test_what_nobody_can_mean_is_refused_with_a_word_of_help(environment, message):
    with pytest.raises(BadSetting) as refused:
        resolve({}, {f"OPENTRAIL_{name}": value for name, value in environment.items()}, None)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("port = ", "is not TOML"),
        ("prot = 1\ncolour = 2", "no such setting: colour, prot; see opentrail serve --help"),
        ("port = true", "port is True; write a whole number"),
        ("port = [1]", "port is [1]; write one value"),
        ("delivery_interval = nan", "must be at least 100ms"),
        ("delivery_interval = inf", "must be at least 100ms"),
        ("[record]\nx = 1", "write one value"),
        ("data_dir = []", "write one value"),
    ],
)
def test_files_nobody_can_mean(text, message, tmp_path):
    with pytest.raises(BadSetting) as refused:
        resolve({}, {}, written(tmp_path, text))
    assert message in str(refused.value)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(BadSetting, match=r"cannot read .*No such file"):
        resolve({}, {}, tmp_path / "missing.toml")
    (tmp_path / "latin").write_bytes(b'region = "caf\xe9"')
    with pytest.raises(BadSetting, match="is not TOML"):
        resolve({}, {}, tmp_path / "latin")


def test_a_secret_is_not_in_what_is_said_about_it():
    with pytest.raises(BadSetting) as refused:
        resolve({}, {"OPENTRAIL_ROOT_SECRET_ACCESS_KEY": "hush"}, None)
    assert "hush" not in str(refused.value)
