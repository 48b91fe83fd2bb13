"""What is the URL of a team server, and which origin a token given for it belongs to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.sync.remote import origin, parse_url
from store import errors


@pytest.mark.parametrize(
    ("text", "url", "of"),
    [
        ("http://127.0.0.1:8420", "http://127.0.0.1:8420", "http://127.0.0.1:8420"),
        ("HTTPS://Team.Example.ORG/", "https://team.example.org", "https://team.example.org:443"),
        ("https://team.example.org:443/", "https://team.example.org", "https://team.example.org:443"),
        ("http://h:443", "http://h:443", "http://h:443"),
        ("http://h:0080//", "http://h", "http://h:80"),
        ("https://h/Team/A~b/", "https://h/Team/A~b", "https://h:443"),
        ("http://[::1]:8420/x", "http://[::1]:8420/x", "http://[::1]:8420"),
        ("http://[0:0:0:0:0:0:0:1]", "http://[::1]", "http://[::1]:80"),
        ("http://xn--bcher-kva.example", "http://xn--bcher-kva.example", "http://xn--bcher-kva.example:80"),
        ("http://my_host-1", "http://my_host-1", "http://my_host-1:80"),
    ],
)
def test_a_url_has_one_spelling_and_one_origin(text: str, url: str, of: str) -> None:
    assert parse_url(text) == url
    assert parse_url(url) == url
    assert origin(url) == of


@pytest.mark.parametrize(
    "text",
    [
        "", "h", "h:8420", "//h", "ftp://h", "file:///etc/passwd", "http:h", "http:///x", "http://", "http://:80",
        "http://h:", "http://h:0", "http://h:65536", "http://h:x", "http://h:-1", "http://h:1:2", "http://h/a b",
        "http://h\\x", "http://h/\n", " http://h", "http://h ", "http://h\t", "http://h/../x", "http://h/./x", "http://h//x",
        "http://h.", "http://.h", "http://h..h", "http://-h", "http://h-", f"http://{'x' * 64}", f"http://{'x.' * 127}x",
        "http://127.1", "http://2130706433", "http://0x7f.0.0.1", "http://0177.0.0.1", "http://1.2.3.256",
        "http://[::1", "http://::1", "http://[::1]x", "http://[fe80::1%25eth0]", "http://[]", "http://[1.2.3.4]",
        "http://bücher.example", "http://h/\u2028", "http://h\0", "http://h/[", "http://%31/", f"http://h/{'x' * 2048}",
    ],
)  # fmt: skip
def test_what_is_no_url_of_a_server_is_refused(text: str) -> None:
    with pytest.raises(errors.InvalidArgumentError) as caught:
        parse_url(text)

    assert caught.value.message.isprintable()
    assert caught.value.suggestions != []


@pytest.mark.parametrize(
    "text", ["http://ada:hunter2@h", "http://hunter2@h/", "http://h/?token=hunter2", "http://h/#hunter2"]
)
def test_what_may_be_a_secret_is_not_repeated(text: str) -> None:
    with pytest.raises(errors.InvalidArgumentError) as caught:
        parse_url(text)

    assert "hunter2" not in f"{caught.value.message}{caught.value.detail}{caught.value.suggestions}"


@given(st.text(alphabet="htps:/[].@?#%-_:0123456789abcxABC \\\n\u00e9", max_size=40))
def test_any_text_is_a_url_or_refused(text: str) -> None:
    try:
        url = parse_url(f"http://{text}")
    except errors.InvalidArgumentError:
        return
    assert parse_url(url) == url
    assert url.startswith(origin(url).removesuffix(":80"))
