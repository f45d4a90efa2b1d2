"""Arguments as Hydra's grammar takes them."""

from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from point_diffusion.cli.quoting import PATH_KEYS, quote_override
from point_diffusion.common.paths import typed_path

PATHS = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="$"), min_size=1, max_size=30)


def value_of(argument):
    return OverridesParser.create().parse_override(argument).value()


@given(st.sampled_from([key for key in PATH_KEYS if not key.startswith("hydra")]), PATHS)
def test_a_path_is_taken_as_it_was_typed(key, path):
    if path == "null" or path[0] in "'\"":  # quoted by the user
        assert quote_override(f"{key}={path}") == f"{key}={path}"
    else:
        # points may lie elsewhere than where the run is resumed
        taken = str(typed_path(path)) if key == "data.path" else path
        assert value_of(quote_override(f"{key}={path}")) == taken


@pytest.mark.parametrize(
    ("typed", "taken"),
    [
        ("num_step=5", "num_step=5"),
        ("resume=", "resume="),
        ("resume=null", "resume=null"),
        ("run='x y'", "run='x y'"),
        ("run=x y", "run='x y'"),
        ("+data.path=a=b", "+data.path='a=b'"),
        ("logger=false", "logger='false'"),
        ("logger=None", "logger='false'"),
        ("logger=csv", "logger=csv"),
        ("-m", "-m"),
        ("+logger.csv.prefix=a#b=c", "+logger.csv.prefix='a#b=c'"),
        ("seed=1=2", "seed='1=2'"),
        ("schedule.betas=[0.1,0.2", "schedule.betas='[0.1,0.2'"),
        ("nu#m=3", "nu#m=3"),
        ("~logger", "~logger"),
        ("runs=null", "runs=null"),
        ("runs=[]", "runs=[]"),
        ("runs=[a,b c]", "runs=['a','b c']"),
        ("runs=a", "runs=['a']"),
        ("plugins=null", "plugins=null"),
        ("plugins=[/a.py,/b c.py]", "plugins=['/a.py','/b c.py']"),
        ("plugins=/a.py", "plugins=['/a.py']"),
        ("plugins=here.py", f"plugins=['{Path.cwd()}/here.py']"),
    ],
)
def test_arguments_as_they_are_taken(typed, taken):
    assert quote_override(typed) == taken


def test_a_list_knows_the_commas_of_folders_that_are_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "num_step=5,seed=1").mkdir()
    assert quote_override("runs=[num_step=5,seed=1,other]") == "runs=['num_step=5,seed=1','other']"
    assert quote_override("runs=['num_step=5,seed=1']") == "runs=['num_step=5,seed=1']"
