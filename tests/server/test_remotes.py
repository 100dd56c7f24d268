"""The file of buckets on other servers: what it may say."""

from __future__ import annotations

from pathlib import Path

import pytest

from opentrail.server.config import BadSetting, resolve
from opentrail.server.remotes import BadRemotes, read_remotes

GOOD = 'endpoint = "https://s3.example.org"\naccess-key-id = "a"\nsecret-access-key = "b"\n'


def test_what_is_named_is_read(tmp_path: Path):
    file = tmp_path / "remotes.toml"
    file.write_text(f'[one]\n{GOOD}\n["two.three"]\n{GOOD}bucket = "other"\nregion = "garage"\n')
    found = read_remotes(str(file))
    assert (found["one"].region, found["one"].bucket) == ("us-east-1", "")
    assert (found["two.three"].region, found["two.three"].bucket) == ("garage", "other")
    assert read_remotes("") == {}


@pytest.mark.parametrize(
    "text",
    [
        "[one",
        'one = "x"',
        "[one]",
        f"[one]\n{GOOD}extra = 1\n",
        f"[ONE]\n{GOOD}",
        f'[one]\n{GOOD}bucket = "../x"\n',
        "[one]\n" + GOOD.replace("https://s3.example.org", "ftp://x"),
        "[one]\n" + GOOD.replace("https://s3.example.org", "https://x/path"),
        "[one]\n" + GOOD.replace("https://s3.example.org", "https://u:p@x"),
        "[one]\n" + GOOD.replace("https://s3.example.org", "https://x:99999"),
        "[one]\n" + GOOD.replace('"b"', '""'),
        f"[one]\n{GOOD}region = 5\n",
    ],
)
def test_what_nobody_can_mean_ends_the_start(tmp_path: Path, text: str):
    file = tmp_path / "remotes.toml"
    file.write_text(text)
    with pytest.raises(BadRemotes, match=str(file)):
        read_remotes(str(file))
    with pytest.raises(BadSetting, match="replication_endpoints"):
        resolve({"replication_endpoints": str(file)}, {}, None)


def test_a_file_that_is_not_there(tmp_path: Path):
    with pytest.raises(BadRemotes, match="cannot read"):
        read_remotes(str(tmp_path / "none"))
