"""The flags of a run: each fills its field, a file stands in for those that are not typed."""

import dataclasses

import pytest
import typer
from typer.testing import CliRunner

from hpmkd_edge.errors import BadConfiguration
from hpmkd_edge.flags import FLAGS, read_config, takes_request
from hpmkd_edge.request import Request


@pytest.fixture
def asked():
    """Return a function that parses a command line, and returns the request that the command gets."""
    seen = []
    app = typer.Typer()

    @app.command()
    @takes_request
    def run(context: typer.Context, request: Request, loud: bool = False) -> None:
        seen.append((request, loud))

    def call(*arguments):
        found = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
        assert found.exit_code == 0, found.output
        return seen[-1]

    return call


def test_every_field_of_a_request_has_one_flag():
    """But those that the run itself sets."""
    fields = {field.name for field in dataclasses.fields(Request)} - {"command", "started_in"}

    assert sorted(flag.field for flag in FLAGS) == sorted(fields)
    assert len({flag.key for flag in FLAGS}) == len(FLAGS)


def test_no_flag_at_all_gives_the_defaults(asked):
    """Those of the request itself."""
    request, loud = asked()

    assert dataclasses.replace(request, command="") == Request()
    assert not loud


def test_flags_fill_their_fields_beside_the_command_s_own(asked):
    """Numbers, truth values, and those that may come again."""
    request, loud = asked("--epochs", "7", "--flip", "--teacher", "a.onnx", "--teacher", "b.onnx", "--loud")

    assert (request.epochs, request.flip, request.teachers, loud) == (7, True, ("a.onnx", "b.onnx"), True)


def test_a_file_stands_in_for_flags_and_what_is_typed_counts_more(asked, tmp_path):
    """Names with dashes or underscores; one value where several may stand; stages as a list."""
    file = tmp_path / "run.yaml"
    file.write_text("epochs: 60\nsplit-seed: 3\nteacher: net.onnx\nstages: [fitnet, kd]\nwithout: [chain, memory]\n")
    request, _ = asked("--config", str(file), "--epochs", "5")

    assert (request.epochs, request.split_seed, request.teachers) == (5, 3, ("net.onnx",))
    assert (request.stages, request.without) == ("fitnet,kd", ("chain", "memory"))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("epochs: 3\nepoch: 4\n", r"line 2: epoch: there is no such flag. Did you mean 'epochs'\?"),
        ("epochs: 3.5\n", "line 1: epochs: input should be a valid integer"),
        ("flip: maybe\n", "line 1: flip: input should be a valid boolean"),
        ("- epochs\n", "flags by name, such as `epochs: 60`, are needed"),
        ("without: [1]\n", "line 1: without.0: input should be a valid string"),
    ],
)
def test_a_mistake_in_a_file_is_one_sentence_with_its_line(tmp_path, text, wanted):
    """Found before anything is read or trained."""
    file = tmp_path / "run.yaml"
    file.write_text(text)

    with pytest.raises(BadConfiguration, match=wanted):
        read_config(file)
