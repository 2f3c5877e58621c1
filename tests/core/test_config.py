import pytest

from a1_trt.config import load_pair, make_pair
from a1_trt.errors import ConfigError
from a1_trt.locations import list_pairs

GOOD = '[draft]\nmodel = "d"\n[target]\nmodel = "t"\n'


def write(tmp_path, text):
    path = tmp_path / "pair.toml"
    path.write_text(text)
    return path


def test_a_small_pair_file_gets_the_published_settings(tmp_path):
    pair = load_pair(write(tmp_path, 'name = "p"\n' + GOOD))
    parameters = pair.parameters()
    assert (parameters.n_samples, parameters.max_turns, parameters.alpha) == (16, 15, 0.4)
    assert (parameters.draft_tokens, parameters.target_tokens, parameters.temperature) == (500, 500, 0.8)


@pytest.mark.parametrize(
    ("text", "field", "words"),
    [
        ('name = "p"\nfoo = 1\n' + GOOD, "foo", "unknown key"),
        ('name = "p"\n' + GOOD + "[conformal]\nalhpa = 0.3\n", "conformal.alhpa", "did you mean alpha"),
        ('name = "p"\n' + GOOD + "[conformal]\nalpha = 1.5\n", "conformal.alpha", "1.5"),
        ('name = "p"\n' + GOOD + "[conformal]\ndebt = 0.5\n", "conformal.debt", "at least 1"),
        ('name = "p"\n' + GOOD + "[scheduler]\nn_samples = 0\n", "scheduler.n_samples", "0"),
        ('name = "p"\n' + GOOD + '[scheduler]\nn_samples = "8"\n', "scheduler.n_samples", "8"),
        ('name = "p"\n' + GOOD + '[serving]\nengines = "inside"\ntarget = ["h:1"]\n', "serving", 'engines = "models"'),
        ('name = "../p"\n' + GOOD, "name", "../p"),
        (GOOD, "name", "required"),
        ('name = "p"\n[draft]\nmodel = "d"\n', "target", "required"),
        ('schema = 2\nname = "p"\n' + GOOD, "schema", "2"),
        ('name = "p"\n[target]\nmodel = "t"\n[draft]\nmodel = "d"\nprompt = "no place"\n', "prompt", "{problem}"),
    ],
)
def test_a_wrong_key_is_named_with_its_remedy(tmp_path, text, field, words):
    with pytest.raises(ConfigError) as caught:
        load_pair(write(tmp_path, text))
    assert caught.value.field == field
    assert words in str(caught.value)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("engine", ["simulated", "triton"])
def test_an_engine_that_no_pair_file_can_open_is_refused(engine):
    with pytest.raises(ConfigError, match="openvino"):
        make_pair({"name": "p", "draft": {"model": "d", "engine": engine}, "target": {"model": "t"}})


def test_no_toml_no_file_no_utf8(tmp_path):
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_pair(write(tmp_path, "name = "))
    (tmp_path / "bad.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_pair(tmp_path / "bad.toml")
    with pytest.raises(ConfigError, match="there is no pair"):
        load_pair(tmp_path / "absent.toml")


def test_a_misspelt_name_gets_the_nearest_pair():
    with pytest.raises(ConfigError, match="did you mean reference"):
        load_pair("refrence")
    assert "reference" in list_pairs()


def test_a_missing_model_and_a_missing_package_say_what_to_do(tmp_path):
    pair = load_pair(write(tmp_path, 'name = "p"\n' + GOOD))
    with pytest.raises(ConfigError, match="does not exist") as caught:
        pair.model_path("draft")
    assert caught.value.field == "draft.model"
    pair = make_pair({"name": "p", "draft": {"model": "package:no_such_pkg/x.gguf"}, "target": {"model": "t"}})
    with pytest.raises(ConfigError, match="pip install no-such-pkg"):
        pair.model_path("draft")


def test_the_environment_lies_over_the_file(tmp_path, monkeypatch):
    monkeypatch.setenv("A1_TRT_CONFORMAL__ALPHA", "0.25")
    monkeypatch.setenv("A1_TRT_SCHEDULER__ADMISSION", "barrier")
    pair = load_pair(write(tmp_path, 'name = "p"\n' + GOOD))
    assert pair.conformal.alpha == 0.25
    assert pair.scheduler.admission == "barrier"
    monkeypatch.setenv("A1_TRT_CONFORMAL__ALPHA", "2")
    with pytest.raises(ConfigError, match="alpha"):
        load_pair(write(tmp_path, 'name = "p"\n' + GOOD))


def test_the_fingerprint_follows_what_scores_depend_on():
    def pair(**draft):
        return make_pair({"name": "p", "draft": {"model": "d", **draft}, "target": {"model": "t"}})

    assert pair().fingerprint() == pair(max_in_flight=4).fingerprint()
    assert pair().fingerprint() != pair(model="e").fingerprint()
    assert pair().fingerprint() != pair(prompt="Q: {problem}").fingerprint()
