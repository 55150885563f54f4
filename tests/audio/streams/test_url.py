"""URLs as they may be shown, and the file with user and password."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgmm.audio.streams.credentials import Credentials, read_credentials
from streamgmm.audio.streams.url import parse_url, without_secrets
from streamgmm.errors import ConfigError, StreamgmmError
from tests.narrowing import present

TEXT = st.text(st.characters(codec="ascii"), max_size=30)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://camera:554/a/b", "rtsp://camera:554/a/b"),
        ("RTSP://Camera", "rtsp://Camera"),
        ("http://u:p@[::1]:8000/a", "http://[::1]:8000/a"),
        ("http://u:p@w@h/a", "http://h/a"),
        ("http://h/a?k=v&t", "http://h/a?k=…&…"),
        ("http://h?k=a=b#f", "http://h?k=…"),
        ("http://h/a#secret", "http://h/a"),
        ("rtsp://user:pa/ss@host/a", "rtsp://…/…"),
        ("rtsp://user:12/ss@host/a", "rtsp://user:12/…"),
    ],
)
def test_A37_shown_without_user_and_values(url, shown):
    assert str(parse_url(url)) == shown


def test_urls_in_a_text():
    text = "Impossible to open 'http://u:p@h/a?b=c', from rtsp://u:p@h"
    assert without_secrets(text) == "Impossible to open 'http://h/a?b=…', from rtsp://h"


@given(user=TEXT, password=TEXT, query=TEXT)
def test_with_user_is_cut_into_the_same_parts(user, password, query):
    url = present(parse_url("http://h:80/p?" + query.replace("#", "")))
    again = present(parse_url(url.with_user(Credentials(user, password).quoted())))
    assert again._replace(user="") == url


@pytest.mark.parametrize("text", ["", "a.wav", "/a/b", "file:a", "http:/a", "://a", "1x://a"])
def test_no_url(text):
    assert parse_url(text) is None


@pytest.mark.parametrize("content", ["user:p:w\n", "user:p:w", "user:p:w\r\n"])
def test_credentials(tmp_path, content):
    path = tmp_path / "secret"
    path.write_bytes(content.encode())
    path.chmod(0o640)
    credentials = read_credentials(path)
    assert credentials.quoted() == "user:p%3Aw"
    assert repr(credentials) == "Credentials(...)"


@pytest.mark.parametrize(
    "content", [b"", b"user", b":password", b"user:a\nuser:b\n", b"user:\xff", b"u:p\0", 2000 * b":"]
)
def test_A37_what_is_not_a_user_and_a_password_is_refused(tmp_path, content):
    path = tmp_path / "secret"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(StreamgmmError) as raised:
        read_credentials(path)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o601, 0o777])
def test_A37_a_file_that_others_can_open_is_refused(tmp_path, mode):
    path = tmp_path / "secret"
    path.write_text("user:password")
    path.chmod(mode)
    with pytest.raises(ConfigError, match="chmod 640 or less"):
        read_credentials(path)
