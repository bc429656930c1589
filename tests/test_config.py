from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mycelnode.config import Setting, Settings
from mycelnode.config_keys import KEY, KEYS, find_key, parse_duration, parse_value
from mycelnode.encoding import decode, encode
from mycelnode.errors import ConfigError, MycelError
from mycelnode.paths import DataDir

COMMENTED = """\
# mine
[mesh]
lan = false  # the café's network

[models]
ollama_url = "http://10.0.0.2:11434"
"""


@pytest.fixture
def data(tmp_path: Path) -> DataDir:
    return DataDir(tmp_path)


def settings(data: DataDir, **environ: str) -> Settings:
    return Settings(data, environ=environ)


# --- the registry ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", KEYS.values(), ids=lambda key: key.name)
def test_every_setting_is_well_formed(key: Any) -> None:
    assert KEY.fullmatch(key.name)
    assert key.about
    shown = list(key.default) if isinstance(key.default, tuple) else key.default
    assert parse_value(key.name, shown) == shown
    assert key.variable.startswith("MYCEL_")


def test_what_a_stolen_device_must_not_set_belongs_to_the_device() -> None:
    for section in ("mesh", "swarm", "kubo", "near", "log"):
        assert {key.scope for key in KEYS.values() if key.name.startswith(f"{section}.")} == {"device"}
    assert KEYS["models.ollama_url"].scope == "device"


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("mesh.lan", "off", False),
        ("mesh.lan", "YES", True),
        ("mesh.listen", "/ip4/10.0.0.1/tcp/4101, /ip6/::1/tcp/0", ["/ip4/10.0.0.1/tcp/4101", "/ip6/::1/tcp/0"]),
        ("mesh.invite_ttl", "1h30m", 5400.0),
        ("log.files", " 7 ", 7),
        ("log.level", "DEBUG", "debug"),
        ("models.temperature", "1", 1.0),
        ("assistant.tone", "short, please", "short, please"),
        ("kubo.url", "", ""),
        ("near.rpc", "https://a.example,https://b.example/rpc", ["https://a.example", "https://b.example/rpc"]),
        ("user.counter", "5", 5),
        ("user.ratio", "0.5", 0.5),
        ("user.flag", "true", True),
        ("user.flag", "false", False),
        ("user.deep.name", "text", "text"),
    ],
)
def test_text_becomes_a_typed_value(key: str, text: str, value: object) -> None:
    parsed = parse_value(key, text)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("key", "raw", "sentence"),
    [
        ("mesh.lan", "maybe", "mesh.lan must be true or false, not 'maybe'"),
        ("log.files", "many", "log.files must be a whole number, not 'many'"),
        ("log.files", 1000, "log.files must be a number from 2 to 100, not '1000'"),
        ("log.level", "loud", "log.level must be one of debug, info, warning, error, not 'loud'"),
        ("mesh.invite_ttl", "soon", "mesh.invite_ttl must be a length of time such as 10m, 1h30m or 45s, not 'soon'"),
        (
            "mesh.listen",
            "0.0.0.0:80",
            "mesh.listen must be a list of multiaddrs such as /ip4/0.0.0.0/tcp/4101, not '0.0.0.0:80'",
        ),
        (
            "models.ollama_url",
            "localhost",
            "models.ollama_url must be an address such as http://127.0.0.1:11434, not 'localhost'",
        ),
        (
            "assistant.tone",
            "two\nlines",
            "assistant.tone must be one line of at most 4096 characters, not 'two\\nlines'",
        ),
        ("models.temperature", float("nan"), "models.temperature must be a number, not 'nan'"),
        ("models.temperature", 10**400, None),
        ("assistant.tone", 5, None),
        ("user.x", [1], None),
        ("user.x", None, None),
    ],
)
def test_a_wrong_value_is_explained(key: str, raw: object, sentence: str | None) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_value(key, raw)
    assert sentence is None or str(caught.value) == sentence


@pytest.mark.parametrize(
    ("name", "hint"),
    [("mesh.lam", "did you mean mesh.lan"), ("xxx", "config list"), ("user.", "config"), ("user.A b", "config")],
)
def test_an_unknown_setting_is_refused_with_a_hint(name: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=hint):
        find_key(name)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from([*KEYS, "user.x"]), ANYTHING)
def test_parsing_raises_nothing_else_and_what_it_takes_is_stable_and_travels(key: str, raw: object) -> None:
    try:
        value = parse_value(key, raw)
    except ConfigError:
        return
    assert parse_value(key, value) == value
    assert decode(encode(value)) == value
    json.dumps(value)


@pytest.mark.parametrize(
    ("text", "seconds"), [("10m", 600), ("90", 90), ("500ms", 0.5), ("1d 2h", 93600), ("1.5h", 5400)]
)
def test_lengths_of_time(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@given(st.text(alphabet="0123456789.msdh -x"))
def test_a_length_of_time_is_a_number_or_refused(text: str) -> None:
    try:
        assert parse_duration(text) >= 0
    except ConfigError as error:
        assert str(error)  # noqa: PT017


# --- precedence ------------------------------------------------------------------------------------------------------------


def test_environment_then_file_then_mesh_then_default(data: DataDir) -> None:
    key = "assistant.tone"
    assert settings(data).explain(key).source == "default"
    found = settings(data)
    found.set_shared({key: "from the mesh"})
    assert (found.get(key), found.explain(key).source) == ("from the mesh", "mesh")
    found.set_local(key, "from the file")
    assert (found.get(key), found.explain(key).source) == ("from the file", "config.toml")
    found = settings(data, MYCEL_ASSISTANT_TONE="from the environment")
    found.set_shared({key: "from the mesh"})
    assert found.explain(key).as_json() == {
        "key": key,
        "value": "from the environment",
        "source": "environment",
        "scope": "mesh",
        "about": KEYS[key].about,
        "variable": "MYCEL_ASSISTANT_TONE",
    }


def test_our_variable_wins_over_the_ecosystems(data: DataDir) -> None:
    assert settings(data, OLLAMA_URL="http://a:1").get("models.ollama_url") == "http://a:1"
    both = settings(data, OLLAMA_URL="http://a:1", MYCEL_MODELS_OLLAMA_URL="http://b:1")
    assert both.explain("models.ollama_url").variable == "MYCEL_MODELS_OLLAMA_URL"
    assert both.get("models.ollama_url") == "http://b:1"
    assert settings(data, OLLAMA_URL="").explain("models.ollama_url").source == "default"


def test_a_wrong_variable_is_named(data: DataDir) -> None:
    with pytest.raises(ConfigError, match=r"environment variable MYCEL_MESH_LAN: mesh\.lan must be true or false"):
        settings(data, MYCEL_MESH_LAN="perhaps")


def test_other_variables_are_not_ours(data: DataDir) -> None:
    assert settings(data, MYCEL_DATA_DIR="/x", MYCEL_ANYTHING="y").all() == settings(data).all()


def test_the_mesh_cannot_set_what_belongs_to_a_device_nor_stop_us(data: DataDir) -> None:
    found = settings(data)
    found.set_shared(
        {
            "mesh.public": True,
            "near.account": "thief.near",
            "models.temperature": "hot",
            "from.the.future": 1,
            "user.x": b"?",
        }
    )
    assert found.all() == settings(data).all()


def test_users_own_settings_are_listed_once_set(data: DataDir) -> None:
    found = settings(data, MYCEL_USER_COLOUR="blue")
    found.set_shared({"user.count": 3})
    found.set_local("user.deep.note", "hello")
    assert [setting.key for setting in found.all() if setting.key.startswith("user.")] == [
        "user.colour",
        "user.count",
        "user.deep.note",
    ]
    assert found.get("user.nobody") is None
    assert found.scope("user.nobody") == "mesh"


def test_what_is_returned_cannot_change_the_settings(data: DataDir) -> None:
    found = settings(data)
    found.get("mesh.listen").append("/ip4/1.2.3.4/tcp/1")
    assert len(found.get("mesh.listen")) == 2


# --- config.toml -----------------------------------------------------------------------------------------------------------


def test_comments_and_order_survive_a_change(data: DataDir) -> None:
    data.config.write_text(COMMENTED)
    found = settings(data)
    found.set_local("mesh.lan", "on")
    found.set_local("log.level", "debug")
    found.set_local("mesh.listen", ["/ip4/127.0.0.1/tcp/0"])
    text = data.config.read_text()
    assert "# mine" in text
    assert "lan = true # the café's network" in text.replace("  #", " #")
    assert text.index("[mesh]") < text.index("[models]") < text.index("[log]")
    again = settings(data)
    assert again.get("mesh.listen") == ["/ip4/127.0.0.1/tcp/0"]
    assert again.get("log.level") == "debug"
    assert stat.S_IMODE(data.config.stat().st_mode) == 0o600
    again.unset_local("mesh.lan")
    assert again.explain("mesh.lan").source == "default"
    again.unset_local("kubo.url")
    assert "kubo" not in data.config.read_text()


def test_a_person_may_edit_the_file_meanwhile(data: DataDir) -> None:
    found = settings(data)
    data.config.write_text("[log]\nlevel = 'error'\n")
    found.set_local("mesh.lan", False)
    assert (found.get("log.level"), found.get("mesh.lan")) == ("error", False)
    data.config.write_text("[log\n")
    with pytest.raises(ConfigError):
        found.set_local("mesh.lan", True)
    assert data.config.read_text() == "[log\n"


def test_a_linked_file_stays_a_link(data: DataDir, tmp_path: Path) -> None:
    (tmp_path / "dotfiles").mkdir()
    (tmp_path / "dotfiles" / "mycel.toml").write_text(COMMENTED)
    data.config.symlink_to(tmp_path / "dotfiles" / "mycel.toml")
    settings(data).set_local("mesh.lan", True)
    assert data.config.is_symlink()
    assert settings(data).get("mesh.lan") is True


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"[mesh]\nlan = \n", r"config\.toml is not valid TOML: .*line 2"),
        (b"\n\n\xff", r"config\.toml, line 3: not UTF-8"),
        (b"[mesh]\nlan = 'perhaps'\n", r"config\.toml: mesh\.lan must be true or false"),
        (b"[mesh]\nlam = true\n", r"config\.toml: there is no setting 'mesh\.lam'; did you mean mesh\.lan"),
        (b"lan = true\n", r"config\.toml: there is no setting 'lan'"),
        (b"[log]\nfiles = " + b"9" * 5000, r"config\.toml is not valid TOML"),
        (b"x = " + b"[" * 5000, r"config\.toml is not valid TOML"),
        (b"#" * (2 << 20), r"config\.toml is larger than"),
    ],
)
def test_a_damaged_file_is_named_and_left_alone(data: DataDir, content: bytes, sentence: str) -> None:
    data.config.write_bytes(content)
    with pytest.raises(ConfigError, match=sentence):
        settings(data)
    assert data.config.read_bytes() == content


@given(content=st.binary(max_size=200) | st.text(alphabet="[]=.'\"\n amesh#lantrue", max_size=80).map(str.encode))
def test_any_file_is_read_or_refused_in_one_sentence(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    data = DataDir(tmp_path_factory.getbasetemp())
    data.config.write_bytes(content)
    try:
        settings(data)
    except MycelError as error:
        assert "config.toml" in str(error)  # noqa: PT017


def test_a_value_and_a_section_of_one_name_do_not_mix(data: DataDir) -> None:
    found = settings(data)
    found.set_local("user.a", 1)
    with pytest.raises(ConfigError, match=r"user\.a\.b cannot be set, because a is a value there"):
        found.set_local("user.a.b", 2)
    found.set_local("user.c.d", 1)
    with pytest.raises(ConfigError, match="section"):
        found.set_local("user.c", 2)
    assert settings(data).get("user.c.d") == 1


@given(values=st.dictionaries(st.sampled_from([f"user.k{n}" for n in range(4)]), ANYTHING, max_size=4))
def test_what_is_set_comes_back(tmp_path_factory: pytest.TempPathFactory, values: dict[str, object]) -> None:
    data = DataDir(tmp_path_factory.mktemp("config"))
    expected = {}
    for key, raw in values.items():
        try:
            settings(data).set_local(key, raw)
            expected[key] = parse_value(key, raw)
        except ConfigError:
            continue
    again = settings(data)
    assert {key: again.get(key) for key in expected} == expected


# --- watching --------------------------------------------------------------------------------------------------------------


def test_watchers_fire_when_the_value_in_force_changes_and_only_then(data: DataDir) -> None:
    found = settings(data, MYCEL_ASSISTANT_LANGUAGE="de")
    seen: list[Setting] = []
    stop = found.watch("assistant.tone", seen.append)
    found.watch("assistant.language", seen.append)  # hidden by the environment: never fires
    found.set_shared({"assistant.tone": "kind", "assistant.language": "fr"})
    found.set_shared({"assistant.tone": "kind", "user.other": 1})
    assert [(setting.value, setting.source) for setting in seen] == [("kind", "mesh")]
    found.set_local("assistant.tone", "brief")
    found.set_shared({"assistant.tone": "hidden now"})
    found.unset_local("assistant.tone")
    found.set_shared({})
    assert [setting.value for setting in seen] == ["kind", "brief", "hidden now", ""]
    stop()
    stop()
    found.set_shared({"assistant.tone": "unseen"})
    assert len(seen) == 4


def test_a_failing_watcher_is_logged_and_stops_nobody(data: DataDir, caplog: pytest.LogCaptureFixture) -> None:
    found = settings(data)
    seen: list[str] = []

    def fail(setting: Setting) -> None:
        raise RuntimeError("mine")

    found.watch("*", fail)
    found.watch("*", lambda setting: seen.append(setting.key))
    found.set_shared({"user.x": 1, "assistant.tone": "kind"})
    assert seen == ["assistant.tone", "user.x"]
    assert "a watcher of the setting user.x failed" in caplog.text


def test_watching_an_unknown_setting_is_refused(data: DataDir) -> None:
    with pytest.raises(ConfigError):
        settings(data).watch("no.such", print)
