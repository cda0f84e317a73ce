from ipaddress import ip_network

import pytest

from config import parsers


@pytest.mark.parametrize("raw", ["1", "true", "TRUE", "yes", "On"])
def test_yes(raw):
    assert parsers.boolean(raw) is True


@pytest.mark.parametrize("raw", ["0", "false", "No", "OFF"])
def test_no(raw):
    assert parsers.boolean(raw) is False


@pytest.mark.parametrize(
    ("parse", "raw", "value"),
    [
        (parsers.integer(1, 65535), "8000", 8000),
        (parsers.number(0, 60), "0.25", 0.25),
        (parsers.number(0, 60), ".5", 0.5),
        (parsers.three_numbers(0, 1000), "5, 15,40.5", (5.0, 15.0, 40.5)),
        (parsers.one_of("a", "b"), "b", "b"),
        (parsers.languages, "en, DE,yue", ("en", "de", "yue")),
        (parsers.networks, "", ()),
        (parsers.networks, "10.0.0.0/8, fd00::/8,127.0.0.1",
         (ip_network("10.0.0.0/8"), ip_network("fd00::/8"), ip_network("127.0.0.1/32"))),
        (parsers.host, "0.0.0.0", "0.0.0.0"),
        (parsers.host, "::1", "::1"),
        (parsers.host, "stt-1.example.com", "stt-1.example.com"),
        (parsers.hosts, "stt.example.com, .example.org,10.0.0.5,*,[::1]",
         ("stt.example.com", ".example.org", "10.0.0.5", "*", "[::1]")),
        (parsers.addresses(2), "", ()),
        (parsers.addresses(2), "stt.example.com, [::1]:8443,", (("stt.example.com", 443), ("::1", 8443))),
        (parsers.addresses(1), "a.example,a.example:443", (("a.example", 443),)),
        (parsers.url("redis", "unix"), "redis://h", "redis://h"),
        (parsers.url("redis", "unix"), "unix:///run/valkey.sock", "unix:///run/valkey.sock"),
        (parsers.url("postgresql"), "postgresql:///stenogate", "postgresql:///stenogate"),
        (parsers.url("postgresql"), "postgresql://u:p%40%2F@h:5432/d?sslmode=require",
         "postgresql://u:p%40%2F@h:5432/d?sslmode=require"),
        (parsers.url("postgresql"), "postgresql://u:p@ss@[::1]:5432/d", "postgresql://u:p@ss@[::1]:5432/d"),
        (parsers.optional_url("https"), "", ""),
        (parsers.optional_url("https"), "https://h", "https://h"),
        (parsers.receipt_keys, "", ()),
        (parsers.receipt_keys, f"2026-11:{'A' * 43}, old_1.x:{'_' * 42}8,",
         (("2026-11", bytes(32)), ("old_1.x", b"\xff" * 32))),
        (parsers.key(3), "abc", "abc"),
        (parsers.name, "eu-1", "eu-1"),
        (parsers.identifier, "stenogate_app", "stenogate_app"),
    ],
)  # fmt: skip
def test_taken(parse, raw, value):
    assert parse(raw) == value


@pytest.mark.parametrize(
    ("parse", "raw", "because"),
    [
        (parsers.boolean, "maybe", "not a boolean"),
        (parsers.integer(1, 65535), "0", "between 1 and 65535"),
        (parsers.integer(1, 65535), "65536", "between"),
        (parsers.integer(1, 65535), "8_000", "whole number"),
        (parsers.integer(1, 65535), "٨٠", "whole number"),
        (parsers.integer(1, 65535), "80.0", "whole number"),
        (parsers.integer(1, 65535), "9" * 5000, "whole number"),
        (parsers.number(0, 60), "nan", "not a number"),
        (parsers.number(0, 60), "inf", "not a number"),
        (parsers.number(0, 60), "-1", "between 0 and 60"),
        (parsers.number(0, 60), "1,5", "not a number"),
        (parsers.three_numbers(0, 1000), "5,15", "three numbers"),
        (parsers.three_numbers(0, 1000), "5,15,40,80", "three numbers"),
        (parsers.three_numbers(0, 1000), "5,,40", "part that is not a number"),
        (parsers.three_numbers(0, 1000), "5,-1,40", "part that is not between"),
        (parsers.one_of("a", "b"), "A", "one of a, b"),
        (parsers.languages, "en-GB", "two or three letters"),
        (parsers.languages, "en,,de", "two or three letters"),
        (parsers.networks, "10.0.0.1/8", "no network"),
        (parsers.networks, "10.0.0.0/8 fd00::/8", "no network"),
        (parsers.host, "0.0.0.0:8000", "without a scheme or a port"),
        (parsers.host, "http://h", "without a scheme or a port"),
        (parsers.host, "999.1.1.1", "not an address"),
        (parsers.host, "-h", "not an address"),
        (parsers.hosts, " , ", "names no host"),
        (parsers.hosts, "a.example, https://b.example", "has a part"),
        (parsers.addresses(2), "https://a.example", "no host, or host:port"),
        (parsers.addresses(2), "me@a.example", "no host, or host:port"),
        (parsers.addresses(2), "a.example/v1", "no host, or host:port"),
        (parsers.addresses(2), "a.example:0", "no host, or host:port"),
        (parsers.addresses(2), "a.example:65536", "port is no number"),
        (parsers.addresses(2), "a_b.example", "not an address or a host name"),
        (parsers.addresses(2), "a.example,b.example,c.example", "more than 2"),
        (parsers.url("redis"), "localhost:6379", "starting with redis://"),
        (parsers.url("redis"), "http://h", "starting with redis://"),
        (parsers.url("redis"), "redis://", "without a host"),
        (parsers.url("redis"), "redis://:secret@/0", "without a host"),
        (parsers.url("redis"), "redis://h:port", "has a port"),
        (parsers.url("redis"), "redis://h:0", "has a port"),
        (parsers.url("redis"), "redis://h:70000", "has a port"),
        (parsers.url("postgresql"), "postgresql://u:a/b@h/d", "%2F"),
        (parsers.url("postgresql"), "postgresql://u@h/d#x", "%23"),
        (parsers.url("postgresql"), "postgresql://u:100%@h/d", "escape"),
        (parsers.url("postgresql"), "postgresql://u @h/d", "space"),
        (parsers.url("postgresql"), "postgresql://[h/d", "not a URL"),
        (parsers.optional_url("https"), "http://h", "starting with https://"),
        (parsers.receipt_keys, "A" * 43, "not 32 bytes"),
        (parsers.receipt_keys, f":{'A' * 43}", "key without a name"),
        (parsers.receipt_keys, f"a b:{'A' * 43}", "key without a name"),
        (parsers.receipt_keys, f"k:{'A' * 42}", "not 32 bytes"),
        (parsers.receipt_keys, f"k:{'A' * 43}=", "not 32 bytes"),
        (parsers.receipt_keys, f"k:{'A' * 42}+", "not 32 bytes"),
        (parsers.receipt_keys, f"k:{'A' * 43},k:{'B' * 42}A", "two keys of the same name"),
        (parsers.key(32), "short", "shorter than 32"),
        (parsers.name, "EU 1", "not a name"),
        (parsers.name, "x" * 33, "not a name"),
        (parsers.identifier, "app; drop", "not a database identifier"),
    ],
)  # fmt: skip
def test_refused(parse, raw, because):
    with pytest.raises(ValueError, match=because) as refusal:
        parse(raw)
    assert len(raw) < 10 or raw not in str(refusal.value)


def test_zero_or_a_number_in_bounds():
    parse = parsers.zero_or(1.1, 100)
    assert [parse("0"), parse("1.5")] == [0.0, 1.5]
    for wrong in ("1", "0.0", "-2", "never"):
        with pytest.raises(ValueError, match="and not 0"):
            parse(wrong)
