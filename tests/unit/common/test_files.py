"""Files that are complete, or not there at all."""

import stat

import pytest

from point_diffusion.common.errors import UsageError
from point_diffusion.common.files import atomic_write, output_path, writable, write_text


def test_a_file_is_there_when_all_of_it_is(tmp_path):
    path = tmp_path / "new/a.txt"
    with atomic_write(path) as part:
        part.write_text("half")
        assert not path.exists()
        assert part.parent == path.parent  # renaming works within one disk alone
    assert path.read_text() == "half"
    assert [each.name for each in path.parent.iterdir()] == ["a.txt"]


def test_it_has_the_rights_of_any_new_file(tmp_path):
    (tmp_path / "usual").touch()
    write_text(tmp_path / "ours", "x")
    assert stat.S_IMODE((tmp_path / "ours").stat().st_mode) == stat.S_IMODE((tmp_path / "usual").stat().st_mode)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_of_a_writing_that_fails_nothing_is_left(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("before")

    def fail():
        with atomic_write(path) as part:
            part.write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_text() == "before"
    assert [each.name for each in tmp_path.iterdir()] == ["a.txt"]


def test_what_came_into_being_meanwhile_is_spared(tmp_path):
    path = tmp_path / "a.txt"

    def write():
        with atomic_write(path, "output", overwrite=False) as part:
            part.write_text("mine")
            path.write_text("theirs")

    with pytest.raises(UsageError, match="exists by now"):
        write()
    assert path.read_text() == "theirs"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_that_can_not_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(UsageError, match=r"^output=.*/file/a.txt: can't be written"),
        atomic_write(tmp_path / "file/a.txt", "output"),
    ):
        pass
    with pytest.raises(UsageError, match=r"^output_dir=.*: can't be written"):
        writable(tmp_path / "file/new", "output_dir")
    assert writable(tmp_path / "new/er", "output_dir").is_dir()
    assert list((tmp_path / "new/er").iterdir()) == []


def test_where_a_user_wants_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").touch()
    (tmp_path / "b.csv").mkdir()
    kinds = (".csv", ".npy")
    assert output_path("x.csv", kinds, False) == tmp_path / "x.csv"
    assert output_path("x.NPY", kinds, False) == tmp_path / "x.NPY"
    assert output_path("a.csv", kinds, True) == tmp_path / "a.csv"
    for typed, message in {
        "x.txt": "x.txt: must end in one of .csv, .npy",
        "a.csv": "a.csv: exists; overwrite=true replaces it",
        "b.csv": "b.csv: is a folder",
    }.items():
        with pytest.raises(UsageError, match=f"^output={message}$"):
            output_path(typed, kinds, False)
    assert not (tmp_path / "x.csv").exists()


def test_what_is_written_is_read(tmp_path):
    write_text(tmp_path / "a", "ü β\n")
    assert (tmp_path / "a").read_text(encoding="utf-8") == "ü β\n"
