"""News feeds as bytes: three formats, and whatever else a server may send."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proto.feed import News
from services.feed.news.parse import parse_feed

RSS = b"""<?xml version="1.0"?><rss version="2.0"><channel><title>Agency</title>
<item><title>Rates &amp; rain</title><link>https://example.org/a</link><guid>a1</guid>
<description>&lt;p&gt;It &lt;b&gt;rains&lt;/b&gt;.&lt;/p&gt;</description>
<pubDate>Tue, 12 May 2026 10:00:00 GMT</pubDate></item>
<item><description>without a title</description></item></channel></rss>"""
ATOM = b"""<?xml version="1.0"?><feed xmlns="http://www.w3.org/2005/Atom"><title>A</title>
<entry><id>urn:1</id><title>Rates &amp; rain</title><link href="https://example.org/a"/>
<summary>It rains.</summary><updated>2026-05-12T10:00:00Z</updated></entry></feed>"""
JSON_FEED = json.dumps(
    {
        "version": "https://jsonfeed.org/version/1.1",
        "items": [
            {
                "id": "1",
                "url": "https://example.org/a",
                "title": "Rates & rain",
                "content_text": "It rains.",
                "date_published": "2026-05-12T12:00:00+02:00",
            },
            "no item",
        ],
    }
).encode()


@pytest.mark.parametrize("body", [RSS, ATOM, JSON_FEED], ids=["rss", "atom", "json"])
def test_the_three_formats_say_the_same(body: bytes):
    (item,) = parse_feed(body)
    assert (item.title, item.address) == ("Rates & rain", "https://example.org/a")
    # Where a tag stood there is a space.
    assert item.summary.replace(" .", ".") == "It rains."
    assert item.published_s == 1_778_580_000
    assert len(item.item) == 32


@pytest.mark.parametrize(
    "body", [b"", b"<html><body>Sign in</body></html>", b"{}", b'{"items": 3}', b"{", b"\xff\xfe"]
)
def test_what_is_no_feed_is_an_error_in_words(body: bytes):
    with pytest.raises(ValueError, match="expected"):
        parse_feed(body)


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=200), st.text(max_size=200), st.text(max_size=80), st.integers())
def test_every_item_fits_a_message(title: str, summary: str, url: str, published: int):
    row = {"id": published, "url": url, "title": title, "summary": summary, "date_published": str(published)}
    for item in parse_feed(json.dumps({"items": [row]}).encode()):
        made = News(
            source="agency",
            item=item.item,
            title=item.title,
            summary=item.summary,
            address=item.address,
            at=1,
            published_at=item.published_s,
        )
        assert made.title.strip()
        assert made.address == "" or made.address.startswith("http")
