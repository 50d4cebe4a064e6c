import json
import re
from typing import Annotated, Literal

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from libs.config.errors import ConfigError
from libs.config.load import load, override, parse_set, parse_sets
from libs.config.section import Section, amount, setting, whole
from libs.contract.codec import decode, encode
from libs.venues.catalogue import VENUES
from proto.operator import Config
from proto.units import ONE, Price, show
from services.feed.live.gamma_pages import WINDOW_S
from services.risk.params import RiskParams
from tools.system.composition import CONFIG_DIRECTORY as CONFIG
from tools.system.composition import models, venue_models, venue_sections

Fraction = Annotated[int, amount(0, ONE)]


class Rung(Section):
    gain: Fraction
    share: Fraction = 500_000


class Params(Section):
    fraction: Fraction = setting(500_000, "a fraction", former="fraction_old")
    loose: int = 0
    wait_s: Annotated[int, whole(1, 100)] = 5
    on: bool = False
    mode: Literal["fast", "no"] = "fast"
    step: Literal[0, 1] = 0
    name: str = "x"
    names: tuple[str, ...] = ()
    rungs: tuple[Rung, ...] = ()
    ceiling: Annotated[int, amount(-10 * ONE, 10 * ONE)] | None = None
    ratio: float = 1.0
    price: Price = 0


MODELS = {"demo": Params, "signal.demo": Params}


@pytest.fixture
def directory(tmp_path):
    (tmp_path / "signal").mkdir()
    (tmp_path / "demo.yaml").write_text("{}")
    (tmp_path / "signal" / "demo.yaml").write_text("# only comments\n{}\n")
    return tmp_path


def read(directory, text, overrides=None):
    (directory / "demo.yaml").write_text(text)
    return load(directory, MODELS, overrides)["demo"]


def test_a_section_is_complete_with_its_defaults(directory):
    sections = load(directory, MODELS)
    assert sections["demo"] == sections["signal.demo"]
    assert sections["demo"]["fraction"] == 500_000
    assert set(sections["demo"]) == set(Params.model_fields)


@pytest.mark.parametrize("text", ["", "\n", "# only comments\n", "---\n"])
def test_an_empty_file_is_not_the_defaults(directory, text):
    with pytest.raises(ConfigError, match=r"demo\.yaml.*was"):
        read(directory, text)


def test_a_section_survives_the_tape(directory):
    document = read(directory, "rungs:\n- gain: 0.02\n- {gain: 0.05, share: 1.0}\nnames: [a, b]\n")
    message = Config(section="demo", document=document, nonce="n", expires_at=0)
    stored = decode(message.subject(), encode(message))
    assert isinstance(stored, Config)
    assert stored == message
    assert Params.model_validate(stored.document).rungs == (Rung(gain=20_000), Rung(gain=50_000, share=ONE))


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("fraction: 0.1", "fraction", 100_000),
        ("fraction: '0.1'", "fraction", 100_000),
        ("fraction: .5", "fraction", 500_000),
        ("fraction: 1.", "fraction", ONE),
        ("price: 0.000001", "price", 1),
        ("loose: -7", "loose", -7),
        ("ceiling: -1.5", "ceiling", -1_500_000),
        ("step: 1", "step", 1),
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


SCALARS = st.one_of(
    st.sampled_from(
        ["", "~", "true", "1", "1.0", "-0.5", ".", "1e3", ".inf", "0o7", "[", "&a x", "*a", "{a: 1}"]
    ),
    st.text(max_size=8),
)
LINES = st.tuples(st.sampled_from([*Params.model_fields, "fraction_old", "a", "<<"]), SCALARS)


@given(st.lists(LINES.map(": ".join), max_size=6).map("\n".join) | st.text(max_size=40))
@example('name: "\\ud800"')
@example('"\\ud800": 1')
def test_any_text_is_read_or_refused_in_words(tmp_path_factory, text):
    directory = tmp_path_factory.getbasetemp()
    (directory / "demo.yaml").write_text(text, encoding="utf-8", errors="replace")
    document, told = None, []
    try:
        document = load(directory, {"demo": Params})["demo"]
    except ConfigError as e:
        told = [problem.text for problem in e.problems]
    if document is None:
        assert told
        assert all("expected" in text for text in told), told
    else:
        assert Params.model_validate(document).document() == document


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1", r"demo\.yaml:1: a: expected a known key, was 'a'"),
        ("\nfractoin: 0.1", r"demo\.yaml:2: fractoin: .*did you mean fraction\?"),
        ("fraction_old: 0.1", r"demo\.yaml:1: fraction_old: expected the key fraction, was its former name"),
        ("# x\nfraction: 1", r"demo\.yaml:2: fraction: .*write 1\.0 \(or 0\.000001 for that"),
        ("fraction: 1.5", r"demo\.yaml:1: fraction: expected at most 1, was 1\.5"),
        ("fraction: 0.0000001", r"demo\.yaml:1: fraction: .*six decimals"),
        ("fraction: 1e-3", r"demo\.yaml:1: fraction: expected a number, was '1e-3'"),
        ("fraction: .", r"demo\.yaml:1: fraction: expected a number, was '\.'"),
        ("fraction: .nan", r"demo\.yaml:1: fraction: expected a number, was '\.nan'"),
        ("fraction:", r"demo\.yaml:1: fraction: expected a number, was ''"),
        ("fraction: [0.1]", r"demo\.yaml:1: fraction: expected a number, was a list"),
        ("fraction: {a: 0.1}", r"demo\.yaml:1: fraction: expected a number, was a mapping"),
        ("wait_s: 1.0", r"demo\.yaml:1: wait_s: expected a whole number, was '1\.0'"),
        ("wait_s: 0", r"demo\.yaml:1: wait_s: expected at least 1, was 0"),
        ("loose: 0.5", r"demo\.yaml:1: loose: expected a whole number"),
        ("loose: 0x10", r"demo\.yaml:1: loose: expected a number"),
        ("loose: 1_000", r"demo\.yaml:1: loose: expected a number"),
        ("loose: 99999999999999999999999999", r"demo\.yaml:1: loose: expected a number"),
        ("on: yes", r"demo\.yaml:1: on: expected true or false, was 'yes'"),
        ("mode: slow", r"demo\.yaml:1: mode: expected one of fast, no, was 'slow'"),
        ("step: 2", r"demo\.yaml:1: step: expected one of 0, 1, was '2'"),
        ("ratio: many", r"demo\.yaml:1: ratio: expected a plain number, was 'many'"),
        ("names: many", r"demo\.yaml:1: names: expected a list, was 'many'"),
        ("name: [a]", r"demo\.yaml:1: name: expected text, was a list"),
        ("ceiling: no", r"demo\.yaml:1: ceiling: expected a number, was 'no'"),
        ("rungs: [1]", r"demo\.yaml:1: rungs\.0: expected a mapping, was '1'"),
        ("rungs:\n- gain: 0.1\n- gain: 2.0", r"demo\.yaml:3: rungs\.1\.gain: expected at most 1, was 2\.0"),
        ("rungs:\n- gain: 0.1\n  gane: 0.1", r"demo\.yaml:3: rungs\.0\.gane: .*did you mean gain\?"),
        ("rungs:\n- share: 0.1", r"demo\.yaml:2: rungs\.0\.gain: expected a value, was none"),
        ("on: true\non: false", r"demo\.yaml:2: on: expected once, was also on line 1"),
        ("- 1", r"demo\.yaml:1: expected keys and values"),
        ("a: [", r"demo\.yaml:1: expected YAML"),
        ("a: b: c", r"demo\.yaml:1: expected YAML"),
        ("&a rungs: *a", r"demo\.yaml:1"),
        ("rungs: &x [*x]", r"demo\.yaml:1: rungs: expected at most 8 levels"),
        ("? {a: 1}\n: 2", r"demo\.yaml:1: \?: expected a name as key"),
        ("<<: {on: true}", r"demo\.yaml:1: \?: expected a name as key"),
        ("a: !!python/object:os.system x", r"demo\.yaml:1"),
        ("a: \x00", r"demo\.yaml: expected YAML"),
    ],
)
def test_what_is_wrong_is_named_with_file_line_and_key(directory, text, message):
    with pytest.raises(ConfigError, match=message) as caught:
        read(directory, text)
    assert len(caught.value.problems) == 1, caught.value


def test_everything_that_is_wrong_with_all_files_is_told_at_once(directory):
    (directory / "signal" / "demo.yaml").unlink()
    text = "fraction: 2.0\nwait_s: 0.5\nfractoin: 0.1\npassword: abc\non: maybe\nrungs:\n- gain: 1\n"
    with pytest.raises(ConfigError) as caught:
        read(directory, text)
    places = [(problem.line, problem.key) for problem in caught.value.problems]
    assert places == [
        (1, "fraction"),
        (2, "wait_s"),
        (3, "fractoin"),
        (4, "password"),
        (5, "on"),
        (7, "rungs.0.gain"),
        (0, ""),
    ]
    assert (
        str(caught.value).splitlines()[1].endswith("demo.yaml:2: wait_s: expected a whole number, was '0.5'")
    )
    assert "signal" in caught.value.problems[-1].source


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
    with pytest.raises(ConfigError, match="expected no secret") as caught:
        read(directory, text)
    assert "demo.yaml:" in str(caught.value)
    assert "abc" not in str(caught.value)


def test_a_word_that_only_contains_a_secret_is_none(directory):
    with pytest.raises(ConfigError, match="expected a known key"):
        read(directory, "monkey: 1")


def test_missing_large_and_undecodable_files(directory):
    (directory / "demo.yaml").unlink()
    with pytest.raises(ConfigError, match=r"demo\.yaml: expected the file of a section"):
        load(directory, MODELS)
    (directory / "demo.yaml").write_text("# " + "x" * 300_000)
    with pytest.raises(ConfigError, match="expected at most"):
        load(directory, MODELS)
    (directory / "demo.yaml").write_bytes(b"name: \xff")
    with pytest.raises(ConfigError, match="UTF-8"):
        load(directory, MODELS)


# ── overrides ──


def test_overrides_follow_the_rules_of_the_file(directory):
    sections = load(
        directory,
        MODELS,
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
    ("text", "message"),
    [
        ("demo.fraction=1", r"--set: demo\.fraction: .*write 1\.0"),
        ("demo.fraction=2.0", r"--set: demo\.fraction: expected at most 1, was 2\.0"),
        ("demo.fractoin=0.1", r"--set: demo\.fractoin: .*did you mean fraction"),
        ("demo.fraction_old=0.1", r"--set: demo\.fraction_old: expected the key fraction"),
        ("demo.password=x", "no secret"),
        ("demo.name=postgres://u:p@h/d", "no secret"),
        ("other.a=1", "expected a path in one of demo, signal.demo"),
        ("demo.rungs.0.gain=0.1", r"demo\.rungs\.0\.gain: expected a key"),
        ("demo.name=[", "expected YAML"),
    ],
)
def test_wrong_overrides(directory, text, message):
    with pytest.raises(ConfigError, match=message) as caught:
        load(directory, MODELS, parse_sets([text]))
    assert len(caught.value.problems) == 1


def test_all_wrong_overrides_are_told_at_once(directory):
    texts = ["demo.fraction=2.0", "demo.wait_s=0", "signal.demo.on=maybe"]
    with pytest.raises(ConfigError) as caught:
        load(directory, MODELS, parse_sets(texts))
    assert [problem.key for problem in caught.value.problems] == [
        "demo.fraction",
        "demo.wait_s",
        "signal.demo.on",
    ]


@pytest.mark.parametrize(
    "text", ["demo.fraction", "fraction=1", "=1", "demo.fraction=", "demo..a=1", "", "a b.c=1"]
)
def test_set_wants_path_and_value(text):
    with pytest.raises(ConfigError, match=r"expected SECTION\.KEY=VALUE"):
        parse_set(text)


def test_override_keeps_the_given_sections_as_they_are(directory):
    sections = load(directory, MODELS)
    before = json.dumps(sections)
    changed = override(sections, MODELS, {"demo.on": True, "demo.wait_s": "7"})
    assert changed["demo"]["on"] is True
    assert changed["demo"]["wait_s"] == 7
    assert json.dumps(sections) == before


def test_overrides_are_validated_together_with_the_rest(directory):
    sections = load(CONFIG, {"risk": RiskParams})
    with pytest.raises(ConfigError, match="expected drawdown_reduce below drawdown_stop"):
        override(sections, {"risk": RiskParams}, {"risk.drawdown_stop": "0.05"})
    both = {"risk.drawdown_stop": "0.05", "risk.drawdown_reduce": "0.01"}
    assert override(sections, {"risk": RiskParams}, both)["risk"]["drawdown_stop"] == 50_000


# ── names ──


def test_both_names_of_a_key_at_once_are_refused():
    with pytest.raises(ValueError, match="fraction"):
        Params.model_validate({"fraction": 1, "fraction_old": 2})


def test_names_have_the_noun_first_and_the_unit_last():
    for section, model in (models() | venue_models()).items():
        for key in model.model_fields:
            assert not re.match(r"(max|min)_", key), f"{section}.{key}"
            assert not re.search(r"_(s|ms|hours|ticks|contracts|count)_(max|min)\Z", key), f"{section}.{key}"


# ── the shipped files ──


def test_the_shipped_files_say_what_the_defaults_are():
    """Whoever leaves a line out gets what the file would have said."""
    shipped = models() | venue_models()
    for section, document in load(CONFIG, shipped).items():
        assert document == shipped[section]().document(), section


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
    for section, params in (models() | venue_models()).items():
        keys = yaml.safe_load(CONFIG.joinpath(*section.split(".")).with_suffix(".yaml").read_text())
        assert set(keys) == set(params.model_fields) - set(params.skipping.values()), section


def test_a_venue_that_does_not_exist_is_named_with_those_that_do():
    with pytest.raises(ConfigError, match=r"expected one of kalshi, .*, was 'kalhsi'"):
        venue_sections(["kalhsi"])


@pytest.mark.parametrize(
    "override",
    [
        "venues.polymarket.clob_url=https://user:pass@example.org",
        "venues.polymarket.clob_url=https://user@example.org",
        "venues.kalshi.private_key=abc",
        "venues.kalshi.serie=KXBTC",
        "venues.kalshi.series=[../../etc]",
        "venues.binance.symbols=[btcusdt]",
        "venues.manifold.time_to_close_max_hours=1.5",
    ],
)
def test_a_venue_takes_no_secret_no_stranger_and_no_odd_address(override):
    path, value = parse_set(override)
    with pytest.raises(ConfigError) as caught:
        venue_sections([path.split(".")[1]], overrides={path: value})
    assert "@" not in str(caught.value)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (
            "polymarket.windows=[btc-updown-5min]",
            "in -up-or-down (bitcoin-up-or-down), was 'btc-updown-5min'",
        ),
        ("polymarket.windows=[btc-updown]", "(bitcoin-up-or-down), was 'btc-updown'"),
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
    with pytest.raises(ConfigError) as caught:
        venue_sections([path.split(".")[1]], overrides={path: value})
    assert said in str(caught.value)
    assert "^" not in str(caught.value)


def test_windows_of_every_length_the_feed_knows_are_taken():
    windows = [f"btc-updown-{length}" for length in WINDOW_S]
    found = venue_sections(["polymarket"], overrides={"venues.polymarket.windows": f"[{', '.join(windows)}]"})
    assert found["venues.polymarket"]["windows"] == windows


def test_every_form_of_a_venues_text_has_words():
    """So that nobody is shown a regular expression."""
    for name, venue in VENUES.items():
        for key, schema in venue.params.model_json_schema(by_alias=False)["properties"].items():
            item = schema.get("items", schema)
            assert ("pattern" in item) == ("form" in item), f"{name}.{key}"


def test_another_host_takes_the_place_of_the_real_one():
    path, value = parse_set("venues.polymarket.gamma_url=http://127.0.0.1:8080")
    assert venue_sections(["polymarket"], overrides={path: value})["venues.polymarket"]["gamma_url"] == value
