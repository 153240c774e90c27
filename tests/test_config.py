"""Settings: where values come from, and what is said of those that cannot be used."""

from pathlib import Path

import pytest

from codin.config import ConfigError, load_settings


def write(folder: Path, text: str) -> Path:
    file = folder / "codin.toml"
    file.write_text(text)
    return file


def test_paths_in_the_file_are_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "a.py").write_text("")
    file = write(
        tmp_path,
        'data = ["data"]\n[[agents]]\nsource = "agents/a.py:agent"\n'
        '[[agents]]\nsource = "package.module:agent"\n',
    )
    settings = load_settings(file)
    assert settings.data == (tmp_path / "data",)
    assert settings.agents[0].source == f"{tmp_path}/agents/a.py:agent"
    assert settings.agents[1].source == "package.module:agent"


def test_flags_win_over_environment_and_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path, 'model = "a:from-file"')
    assert load_settings(file).model == "a:from-file"
    monkeypatch.setenv("CODIN_MODEL", "b:from-env")
    assert load_settings(file).model == "b:from-env"
    assert load_settings(file, model="c:from-flag").model == "c:from-flag"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("modell = 'x'", "unknown key 'modell'; did you mean 'model'?"),
        ("[memory.recall]\ntoken = 1", "unknown key 'memory.recall.token'; did you mean 'tokens'?"),
        ("[memory.keep]\ntool_chars = [5, 1]", "memory.keep.tool_chars: give the least and the"),
        ("[server]\nprot = 1", "unknown key 'server.prot'; did you mean 'port'?"),
        ("[server]\nport = 70000", "server.port"),
        ("data = [", "is not TOML"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(write(tmp_path, text))
    assert said in str(caught.value)
    assert "codin.toml" in str(caught.value)


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_settings(tmp_path / "none.toml")


def test_an_agent_names_what_it_connects_to(tmp_path: Path) -> None:
    text = """
    [sandbox]
    private_network = ["DB.internal:5432", "[fd00::7]:80"]
    [[agents]]
    source = "a.b:agent"
    network = ["API.example.com.:443", "*.example.org:443"]
    """
    settings = load_settings(write(tmp_path, text))
    assert settings.agents[0].network == ("*.example.org:443", "api.example.com:443")
    assert settings.sandbox.private_network == ("db.internal:5432", "[fd00::7]:80")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[[agents]]\nsource = 'a:b'\nnetwork = ['https://a.example']",
            "agents.0.network: the network allows host:port, not 'https://a.example'",
        ),
        (
            "[[agents]]\nsource = 'https://a.example/'\nnetwork = ['a.example:443']",
            "network is for agents in a host",
        ),
        (
            "[[agents]]\nsource = 'a:b'\nisolation = 'process'\nnetwork = ['a.example:443']",
            "network is for agents in a host",
        ),
        ("[sandbox]\nprivate_network = ['169.254.169.254:80']", "is in no private network"),
        ("[sandbox]\nprivate_network = ['100.100.100.200:80']", "is in no private network"),
        ("[sandbox]\nprivate_network = ['10.0.0.0/8']", "is not host:port"),
        ("[sandbox]\nprivate_network = ['8.8.8.8:53']", "is in no private network"),
    ],
)
def test_a_network_that_cannot_be_used_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(write(tmp_path, text))
    assert said in str(caught.value)


def test_runs_are_bounded_by_agent_and_by_runtime(tmp_path: Path) -> None:
    text = "[runs]\nat_once = 8\nagents = {coder = 0}\nruntimes = {docker = 4, process = 2}"
    runs = load_settings(write(tmp_path, text)).runs
    assert (runs.at_once, runs.agents) == (8, {"coder": 0})
    assert runs.runtimes == {"docker": 4, "process": 2}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("runtimes = {podman = 4}", "Input should be 'process', 'local', 'docker' or 'http'"),
        ("runtimes = {docker = -1}", "greater than or equal to 0"),
        ("agents = {coder = -1}", "greater than or equal to 0"),
    ],
)
def test_a_limit_of_runs_that_is_none_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(write(tmp_path, f"[runs]\n{text}"))
    assert said in str(caught.value)
