from typing import Annotated, Literal

import msgspec
import msgspec.inspect as mi
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from libs.config.errors import (
    ConfigError,
    DocumentError,
    MissingFileError,
    OverrideError,
    RefusedValueError,
    SecretError,
    UnknownKeyError,
)
from libs.config.load import config_hash, load, override, parse_set, parse_sets
from libs.config.wording import form_of
from proto.operator import Config
from proto.units import MILLIONTHS, ONE, show
from services.feed.live.gamma_pages import WINDOW_S
from services.risk.params import RiskParams
from tools.system.composition import CONFIG_DIRECTORY as CONFIG
from tools.system.composition import VENUES, schemas, venue_schemas, venue_sections


class Rung(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    gain: Annotated[int, msgspec.Meta(ge=0, le=ONE, extra=MILLIONTHS)]
    share: Annotated[int, msgspec.Meta(ge=0, le=ONE, extra=MILLIONTHS)] = 500_000


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    fraction: Annotated[int, msgspec.Meta(ge=0, le=ONE, extra=MILLIONTHS)] = 500_000
    loose: int = 0
    wait_s: Annotated[int, msgspec.Meta(ge=1)] = 5
    on: bool = False
    mode: Literal["fast", "no"] = "fast"
    name: str = "x"
    names: tuple[str, ...] = ()
    rungs: tuple[Rung, ...] = ()
    ceiling: Annotated[int, msgspec.Meta(extra=MILLIONTHS)] | None = None
    ratio: float = 1.0


SCHEMAS = {"demo": Params, "signal.demo": Params}


@pytest.fixture
def directory(tmp_path):
    (tmp_path / "signal").mkdir()
    (tmp_path / "demo.yaml").write_text("")
    (tmp_path / "signal" / "demo.yaml").write_text("# only comments\n")
    return tmp_path


def read(directory, text, overrides=None):
    (directory / "demo.yaml").write_text(text)
    return load(directory, SCHEMAS, overrides)["demo"]


def test_a_section_is_complete_with_its_defaults(directory):
    sections = load(directory, SCHEMAS)
    assert sections["demo"] == sections["signal.demo"]
    assert sections["demo"]["fraction"] == 500_000
    assert set(sections["demo"]) == set(Params.__struct_fields__)


def test_a_section_survives_the_tape(directory):
    document = read(directory, "rungs:\n- gain: 0.02\n- {gain: 0.05, share: 1.0}\nnames: [a, b]\n")
    message = Config(section="demo", document=document, nonce="n", expires_at=0)
    stored = msgspec.msgpack.decode(msgspec.msgpack.encode(message), type=Config)
    assert stored == message
    assert msgspec.convert(stored.document, Params).rungs == (Rung(20_000), Rung(50_000, ONE))


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("fraction: 0.1", "fraction", 100_000),
        ("fraction: '0.1'", "fraction", 100_000),
        ("fraction: .5", "fraction", 500_000),
        ("fraction: 1.", "fraction", ONE),
        ("loose: 0.000001", "loose", 1),
        ("loose: 7", "loose", 7),
        ("loose: -1.5", "loose", -1_500_000),
        ("wait_s: 60", "wait_s", 60),
        ("on: true", "on", True),
        ("mode: no", "mode", "no"),
        ("name: 007", "name", "007"),
        ("name: on", "name", "on"),
        ("names: [yes, 1.0]", "names", ["yes", "1.0"]),
        ("ceiling: null", "ceiling", None),
        ("ceiling: 2.5", "ceiling", 2_500_000),
        ("ratio: 3", "ratio", 3.0),
        ("ratio: 0.25", "ratio", 0.25),
    ],
)
def test_values_are_read_as_written(directory, text, key, value):
    assert read(directory, text)[key] == value


@given(st.integers(0, ONE))
def test_every_fraction_is_exact(tmp_path_factory, value):
    text = show(value) if value % ONE else f"{value // ONE}.0"
    directory = tmp_path_factory.getbasetemp()
    (directory / "demo.yaml").write_text(f"fraction: {text}")
    assert load(directory, {"demo": Params})["demo"]["fraction"] == value


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("a: 1", UnknownKeyError, r"demo\.yaml:1: a: expected a known parameter"),
        ("\nfractoin: 0.1", UnknownKeyError, r"demo\.yaml:2: fractoin: .*did you mean fraction\?"),
        ("# x\nfraction: 1", RefusedValueError, r"demo\.yaml:2: fraction: .*write 1\.0 "),
        ("fraction: 1.5", RefusedValueError, r"demo\.yaml:1: fraction: expected at most 1, was 1\.5"),
        ("fraction: 0.0000001", RefusedValueError, r"demo\.yaml:1: fraction: .*six decimals"),
        ("fraction: 1e-3", RefusedValueError, r"demo\.yaml:1: fraction: expected a number, was '1e-3'"),
        ("fraction: .", RefusedValueError, r"demo\.yaml:1: fraction"),
        ("fraction: .nan", RefusedValueError, r"demo\.yaml:1: fraction: expected a number, was '\.nan'"),
        ("fraction:", RefusedValueError, r"demo\.yaml:1: fraction: expected a number"),
        ("fraction: [0.1]", RefusedValueError, r"demo\.yaml:1: fraction: expected a number, was a list"),
        (
            "fraction: {a: 0.1}",
            RefusedValueError,
            r"demo\.yaml:1: fraction: expected a number, was a mapping",
        ),
        ("wait_s: 1.0", RefusedValueError, r"demo\.yaml:1: wait_s: expected a whole number"),
        ("wait_s: 0", RefusedValueError, r"demo\.yaml:1: wait_s: expected at least 1, was 0"),
        ("loose: 0x10", RefusedValueError, r"demo\.yaml:1: loose"),
        ("loose: 1_000", RefusedValueError, r"demo\.yaml:1: loose"),
        ("loose: 99999999999999999999999999", RefusedValueError, r"demo\.yaml:1: loose"),
        ("on: yes", RefusedValueError, r"demo\.yaml:1: on: expected true or false, was 'yes'"),
        ("mode: slow", RefusedValueError, r"demo\.yaml:1: mode: expected one of fast, no, was 'slow'"),
        (
            "rungs:\n- gain: 0.1\n- gain: 2.0",
            RefusedValueError,
            r"demo\.yaml:3: rungs\.1\.gain: expected at most 1",
        ),
        ("rungs:\n- gane: 0.1", UnknownKeyError, r"demo\.yaml:2: rungs\.0\.gane: .*did you mean gain\?"),
        (
            "rungs:\n- share: 0.1",
            RefusedValueError,
            r"demo\.yaml:2: rungs\.0: .*missing required field `gain`",
        ),
        ("on: true\non: false", DocumentError, r"demo\.yaml:2: on: expected once, was also on line 1"),
        ("- 1", DocumentError, r"demo\.yaml:1: expected keys and values"),
        ("a: [", DocumentError, r"demo\.yaml:1: expected YAML"),
        ("a: b: c", DocumentError, r"demo\.yaml:1: expected YAML"),
        ("&a rungs: *a", ConfigError, r"demo\.yaml:1"),
        ("rungs: &x [*x]", ConfigError, r"demo\.yaml"),
        ("? {a: 1}\n: 2", DocumentError, r"demo\.yaml:1"),
        ("<<: {on: true}", DocumentError, r"demo\.yaml:1"),
        ("a: !!python/object:os.system x", ConfigError, r"demo\.yaml:1"),
        ("a: \x00", DocumentError, r"demo\.yaml"),
    ],
)
def test_what_is_wrong_is_named_with_file_line_and_key(directory, text, error, message):
    with pytest.raises(error, match=message):
        read(directory, text)


@pytest.mark.parametrize(
    "text",
    [
        "api_key: abc",
        "password: abc",
        "names: [a]\nprivate: abc",
        "AUTH-TOKEN: abc",
        "name: '-----BEGIN PRIVATE KEY-----abc'",
        "name: postgresql://user:abc@host/db",
    ],
)
def test_secrets_are_refused_and_not_repeated(directory, text):
    with pytest.raises(SecretError) as caught:
        read(directory, text)
    assert "demo.yaml:" in str(caught.value)
    assert "abc" not in str(caught.value)


def test_a_word_that_only_contains_a_secret_is_none(directory):
    with pytest.raises(UnknownKeyError):
        read(directory, "monkey: 1")


def test_missing_large_and_undecodable_files(directory):
    (directory / "demo.yaml").unlink()
    with pytest.raises(MissingFileError, match=r"demo\.yaml: expected the file of a section"):
        load(directory, SCHEMAS)
    (directory / "demo.yaml").write_text("# " + "x" * 300_000)
    with pytest.raises(DocumentError, match="expected at most"):
        load(directory, SCHEMAS)
    (directory / "demo.yaml").write_bytes(b"name: \xff")
    with pytest.raises(DocumentError, match="UTF-8"):
        load(directory, SCHEMAS)


# ── overrides ──


def test_overrides_follow_the_rules_of_the_file(directory):
    sections = load(
        directory,
        SCHEMAS,
        parse_sets(
            ["demo.fraction=0.01", "signal.demo.wait_s = 9", "demo.names=[a, b]", "demo.rungs=[{gain: 0.1}]"]
        ),
    )
    assert sections["demo"]["fraction"] == 10_000
    assert sections["demo"]["names"] == ["a", "b"]
    assert sections["demo"]["rungs"] == [{"gain": 100_000, "share": 500_000}]
    assert sections["signal.demo"]["wait_s"] == 9
    assert sections["signal.demo"]["fraction"] == 500_000


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("demo.fraction=1", RefusedValueError, r"--set demo\.fraction: .*write 1\.0"),
        ("demo.fraction=2.0", RefusedValueError, "expected at most 1, was 2.0"),
        ("demo.fractoin=0.1", UnknownKeyError, "did you mean fraction"),
        ("demo.password=x", SecretError, "no secret"),
        ("demo.name=postgres://u:p@h/d", SecretError, "no secret"),
        ("other.a=1", OverrideError, "expected a path in one of demo, signal.demo"),
        ("demo.rungs.0.gain=0.1", ConfigError, "rungs"),
        ("demo.name=[", DocumentError, "expected YAML"),
    ],
)
def test_wrong_overrides(directory, text, error, message):
    with pytest.raises(error, match=message):
        load(directory, SCHEMAS, parse_sets([text]))


@pytest.mark.parametrize(
    "text", ["demo.fraction", "fraction=1", "=1", "demo.fraction=", "demo..a=1", "", "a b.c=1"]
)
def test_set_wants_path_and_value(text):
    with pytest.raises(OverrideError, match=r"expected SECTION\.KEY=VALUE"):
        parse_set(text)


def test_override_keeps_the_given_sections_as_they_are(directory):
    sections = load(directory, SCHEMAS)
    before = config_hash(sections)
    changed = override(sections, SCHEMAS, {"demo.on": True, "demo.wait_s": "7"})
    assert changed["demo"]["on"] is True
    assert changed["demo"]["wait_s"] == 7
    assert config_hash(sections) == before != config_hash(changed)


def test_overrides_are_validated_together_with_the_rest(directory):
    sections = load(CONFIG, {"risk": RiskParams})
    with pytest.raises(RefusedValueError, match="expected drawdown_reduce below drawdown_stop"):
        override(sections, {"risk": RiskParams}, {"risk.drawdown_stop": "0.05"})


def test_the_hash_does_not_depend_on_order(directory):
    one = {"a": {"x": 1, "y": [2]}, "b": {}}
    other = {"b": {}, "a": {"y": [2], "x": 1}}
    assert config_hash(one) == config_hash(other)
    assert config_hash(one) != config_hash({"a": {"x": 1, "y": [3]}, "b": {}})
    assert len(config_hash(one)) == 64


# ── the shipped files ──


def test_the_shipped_files_say_what_the_defaults_are():
    """Whoever leaves a line out gets what the file would have said."""
    shipped = schemas() | venue_schemas()
    for section, document in load(CONFIG, shipped).items():
        assert msgspec.convert(document, shipped[section]) == shipped[section](), section


@pytest.mark.parametrize("path", sorted(CONFIG.rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_key_is_there_with_a_comment_above_it(path):
    """A run of lines without a blank one between shares the comment above its first."""
    lines = path.read_text().splitlines()
    root = yaml.compose(path.read_text(), Loader=yaml.SafeLoader)
    tops = [key.start_mark.line for key, _ in root.value]
    for line in tops:
        above = next(n for n in range(line - 1, -1, -1) if n not in tops)
        assert lines[above].lstrip().startswith(("#", "-")), f"{path.name}:{line + 1}: {lines[line]}"


def test_the_shipped_files_leave_no_parameter_out():
    for section, params in (schemas() | venue_schemas()).items():
        keys = yaml.safe_load(CONFIG.joinpath(*section.split(".")).with_suffix(".yaml").read_text())
        assert set(keys) == set(params.__struct_fields__), section


def test_a_venue_that_does_not_exist_is_named_with_those_that_do():
    with pytest.raises(UnknownKeyError, match=r"expected one of polymarket, .*, was 'kalhsi'"):
        venue_sections(["kalhsi"])


@pytest.mark.parametrize(
    ("override", "error"),
    [
        ("venues.polymarket.clob_url=https://user:pass@example.org", RefusedValueError),
        ("venues.polymarket.clob_url=https://user@example.org", RefusedValueError),
        ("venues.kalshi.private_key=abc", SecretError),
        ("venues.kalshi.serie=KXBTC", ConfigError),
        ("venues.kalshi.series=[../../etc]", RefusedValueError),
        ("venues.binance.symbols=[btcusdt]", RefusedValueError),
        ("venues.manifold.hours_ahead=1.5", RefusedValueError),
    ],
)
def test_a_venue_takes_no_secret_no_stranger_and_no_odd_address(override, error):
    path, value = parse_set(override)
    with pytest.raises(error) as caught:
        venue_sections([path.split(".")[1]], overrides={path: value})
    assert "@" not in str(caught.value)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (
            "polymarket.windows=[btc-updown-5min]",
            "ends in -5m, -15m, -1h or -4h (btc-updown-5m), was 'btc-updown-5min'",
        ),
        ("polymarket.windows=[btc-updown]", "(btc-updown-5m), was 'btc-updown'"),
        ("polymarket.gamma_url=gamma.example.org", "expected an address https://…"),
        ("polymarket.funder=0x12", "expected an address of 0x and 40 digits, or nothing, was '0x12'"),
        (
            f"polymarket.funder=0x{'7b' * 32}",
            "expected an address of 0x and 40 digits, or nothing, was something else",
        ),
        ("kalshi.series=[KX BTC]", "expected a name of letters, digits, '.', '_' and '-', was 'KX BTC'"),
        ("kalshi.websocket_url=https://example.org", "expected an address wss://…"),
        ("binance.symbols=[BTC-USD]", "expected a pair in capitals such as BTCUSDT, was 'BTC-USD'"),
        ("coinbase.products=[BTCUSD]", "expected a pair in capitals such as BTC-USD, was 'BTCUSD'"),
    ],
)
def test_a_wrong_form_is_said_in_words(override: str, said: str):
    path, value = parse_set(f"venues.{override}")
    with pytest.raises(RefusedValueError) as caught:
        venue_sections([path.split(".")[1]], overrides={path: value})
    assert said in str(caught.value)
    assert "^" not in str(caught.value)


def test_windows_of_every_length_the_feed_knows_are_taken():
    windows = [f"btc-updown-{length}" for length in WINDOW_S]
    found = venue_sections(["polymarket"], overrides={"venues.polymarket.windows": f"[{', '.join(windows)}]"})
    assert found["venues.polymarket"]["windows"] == windows


def test_every_form_of_a_venues_text_has_words():
    """So that nobody is shown a regular expression."""
    for name, params in VENUES.items():
        for field in mi.type_info(params).fields:
            wanted = field.type
            item = wanted.item_type if isinstance(wanted, mi.VarTupleType) else wanted
            bare = item.type if isinstance(item, mi.Metadata) else item
            if isinstance(bare, mi.StrType) and bare.pattern is not None:
                assert form_of(item), f"{name}.{field.name}"


def test_another_host_takes_the_place_of_the_real_one():
    path, value = parse_set("venues.polymarket.gamma_url=http://127.0.0.1:8080")
    assert venue_sections(["polymarket"], overrides={path: value})["venues.polymarket"]["gamma_url"] == value
