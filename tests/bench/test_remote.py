"""Measuring by ssh on a real sshd: a record of the board, an error for whatever goes wrong, nothing left behind."""

import ast
import os
import signal
import socket
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, load, numpy_helper
from sample_sshd import bare_environment, make_key, start_board, user, wait_until
from typer.testing import CliRunner

from hpmkd_edge.bench import board_runner, ssh
from hpmkd_edge.bench.__main__ import main as bench_main
from hpmkd_edge.bench.address import Address, parse_address
from hpmkd_edge.bench.measurement import compare, measure
from hpmkd_edge.bench.profile import read_profile, write_profile
from hpmkd_edge.bench.protocol import SAMPLINGS
from hpmkd_edge.bench.refusal import Ending, explain
from hpmkd_edge.bench.remote import connect
from hpmkd_edge.bench.runtimes.feeds import feeds_of_file
from hpmkd_edge.cli import app
from hpmkd_edge.errors import BadConfiguration, MeasurementFailed, RuntimeUnavailable


@pytest.fixture
def board(tmp_path, monkeypatch):
    """A board, and an ssh first on the PATH that knows its keys."""
    place = tmp_path / "board"
    place.mkdir()
    running = start_board(place)
    monkeypatch.setenv("PATH", f"{place / 'client-bin'}:{os.environ['PATH']}")
    yield running
    running.stop()


def profile_of(board, path, sampling, **more):
    feeds = feeds_of_file(path)
    return measure(path, runtime="onnxruntime", feeds=feeds, sampling=sampling, host=board.address, **more)


def command_of(process):
    return (Path("/proc") / str(process) / "cmdline").read_bytes()


def parent_of(process):
    return int((Path("/proc") / str(process) / "stat").read_text().rpartition(")")[2].split()[1])


def worker_of(board):
    return next((process for process in board.sessions() if b"hpmkd_edge.bench.worker" in command_of(process)), None)


def while_measuring(board, act):
    """Do *act* in a thread, with the measuring process's number, once it runs."""

    def wait():
        wait_until(lambda: worker_of(board))
        act(worker_of(board))

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def test_a_record_taken_by_ssh_is_the_boards(tmp_path, board, images_file, brief):
    """It names the board; it is read back as any other; two processes found their files; nothing is left."""
    named = tmp_path / "named"
    named.mkdir()
    (named / "sitecustomize.py").write_text("import platform\nplatform.node = lambda: 'the-board'\n")
    board.python(f'export PYTHONPATH={named}; exec {{python}} "$@"')
    taken = profile_of(board, images_file, brief(processes=2))
    write_profile(taken, tmp_path / "profile.json")

    assert read_profile(tmp_path / "profile.json") == taken
    assert taken.host.name == "the-board"
    assert len(taken.samples_ns) == len(taken.reference_ns) >= 64
    assert taken.processes == 2
    assert taken.peak_memory_mb > 0
    assert board.left() == []


def test_both_commands_measure_there(tmp_path, board, images_file, brief, monkeypatch, capsys):
    """`python -m hpmkd_edge.bench` and `hpmkd-edge profile`, by the same flag."""
    monkeypatch.setitem(SAMPLINGS, "quick", brief())
    asked = [str(images_file), "--protocol", "quick", "--host", board.address]
    code = bench_main([*asked, "--output", str(tmp_path / "one.json")])
    ended = CliRunner().invoke(app, ["profile", *asked, "--output", str(tmp_path / "two.json")])

    assert code == 0
    assert ended.exit_code in (0, 5), ended.output  # met, or inconclusive on a busy machine
    assert read_profile(tmp_path / "one.json").model_sha256 == read_profile(tmp_path / "two.json").model_sha256
    assert "p90" in capsys.readouterr().out
    assert board.left() == []


def test_files_in_turn_and_strings_reach_the_board(tmp_path, board, table_file, brief):
    """Two files of one name, with names of inputs that no archive would take."""
    other = tmp_path / "other" / table_file.name
    other.parent.mkdir()
    other.write_bytes(table_file.read_bytes())
    feeds = feeds_of_file(table_file)
    first, second = compare(
        [table_file, other], feeds=[feeds, feeds], runtime="onnxruntime", sampling=brief(), host=board.address
    )

    assert (first.model, second.model) == ("table.onnx", "table.onnx")
    assert first.reference_ns == second.reference_ns
    assert board.left() == []


def test_weights_beside_a_file_reach_the_board(board, weights_beside, brief):
    """In a folder of their own, as the file says."""
    assert profile_of(board, weights_beside, brief()).model_bytes == weights_beside.stat().st_size + 192 * 3 * 4
    assert board.left() == []


def test_a_file_that_looks_outside_its_folder_is_not_sent(board, weights_beside, brief):
    """Nothing else of this machine goes to a board."""
    inner = weights_beside.parent / "inner"
    inner.mkdir()
    model = load(weights_beside, load_external_data=False)
    (place,) = [one for one in model.graph.initializer[0].external_data if one.key == "location"]
    place.value = "../data/weights.bin"
    (inner / "split.onnx").write_bytes(model.SerializeToString())
    feeds = feeds_of_file(weights_beside)

    with pytest.raises(BadConfiguration, match=r"looks for the tensor 'weights' at '\.\./data/weights\.bin'"):
        measure(inner / "split.onnx", runtime="onnxruntime", feeds=feeds, sampling=brief(), host=board.address)
    assert board.left() == []


def test_what_the_board_met_keeps_its_class_and_words(tmp_path, board, brief):
    """And says where."""
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "x"], ["y"])],
        "crooked",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 3])],
    )
    path = tmp_path / "crooked.onnx"
    path.write_bytes(helper.make_model(graph, ir_version=10).SerializeToString())

    with pytest.raises(MeasurementFailed, match=rf"on {user()}@127\.0\.0\.1: ONNX Runtime cannot load .*crooked\.onnx"):
        measure(path, runtime="onnxruntime", feeds={}, sampling=brief(), host=board.address)
    assert board.left() == []


def test_what_a_login_shell_prints_is_skipped(board, images_file, brief):
    """Many a profile file greets."""
    board.python('echo "Welcome to the board"; echo; exec {python} "$@"')

    assert profile_of(board, images_file, brief()).p90_ms > 0


@pytest.mark.parametrize("name", ["alias", "behind"])
def test_openssh_s_own_configuration_holds(board, name):
    """A name that stands for a host, port and user; a board behind another."""
    with connect(f"ssh://{name}"):
        assert [path.name[:11] for path in board.temporary.iterdir()] == ["hpmkd-edge-"]
    assert board.left() == []


def no_python(board):
    board.python(None)


def old_python(board):
    board.python('shift 2; exec {python} -I -c "import sys; sys.version_info = (3, 6, 9); $1"')


def no_numpy(board):
    board.python(f'exec {bare_environment(board.place / "bare")} "$@"')


def no_runtime(board):
    board.python(f'exec {bare_environment(board.place / "bare", np)} "$@"')


def no_server(board):
    board.stop()


def no_key(board):
    (board.place / "authorized").write_text("")


def unknown_host_key(board):
    (board.place / "known_hosts").write_text("")


def other_host_key(board):
    make_key(board.place / "other")
    key = (board.place / "other.pub").read_text()
    (board.place / "known_hosts").write_text(f"[127.0.0.1]:{board.port} {key}")


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        (no_python, "has no python3 on the PATH .* Python 3.8 is needed"),
        (old_python, r"its python3 is Python 3\.6\.9; Python 3\.8 or newer is needed"),
        (no_numpy, r"its Python \(.*\) cannot import numpy; numpy and a runtime are needed"),
        (no_runtime, "on .*: the runtime onnxruntime cannot run here: the onnxruntime package is not installed"),
        (no_server, r"refuses connections on port \d+; an ssh server that runs there is needed"),
        (no_key, r"does not accept a key of ours \(.*publickey.*\); .*`ssh-copy-id -p \d+ \w+@127\.0\.0\.1`"),
        (unknown_host_key, r"is not known here; run `ssh -p \d+ \w+@127\.0\.0\.1` once and compare the fingerprint"),
        (other_host_key, "is not the one that is known: .* remove the old key with `ssh-keygen -f .*known_hosts.* -R"),
    ],
)
def test_a_board_that_cannot_measure_is_said(board, images_file, brief, break_it, reason):
    """Exit code 3, one sentence, what to do; a host key is never taken unseen."""
    break_it(board)
    known = (board.place / "known_hosts").read_text()

    with pytest.raises(RuntimeUnavailable, match=reason):
        profile_of(board, images_file, brief())
    assert (board.place / "known_hosts").read_text() == known
    assert board.left() == []


def test_a_name_that_does_not_resolve_is_said(board):
    """By the name that was given."""
    with pytest.raises(RuntimeUnavailable, match=r"there is no host 'board\.invalid': its name cannot be resolved"):
        connect("ssh://someone@board.invalid").__enter__()


def test_a_host_that_does_not_answer_is_waited_for_only_so_long(board, monkeypatch):
    """A port that takes connections and says nothing."""
    monkeypatch.setattr(ssh, "CONNECT_S", 1)
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        with pytest.raises(RuntimeUnavailable, match=r"cannot be reached \(.*timed out"):
            connect(f"ssh://127.0.0.1:{mute.getsockname()[1]}").__enter__()


def test_a_full_disk_is_said(tmp_path, board, brief):
    """And what was written until then is gone."""
    weights = numpy_helper.from_array(np.ones((192, 600), np.float32), "weights")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "weights"], ["y"])],
        "large",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 192])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 600])],
        [weights],
    )
    path = tmp_path / "large.onnx"
    path.write_bytes(helper.make_model(graph, ir_version=10).SerializeToString())
    board.restart(file_bytes=400_000)

    with pytest.raises(MeasurementFailed, match=r"cannot take the files: it has no room left in .*board-tmp \("):
        measure(path, runtime="onnxruntime", feeds={}, sampling=brief(), host=board.address)
    assert board.left() == []


def test_a_time_out_ends_the_process_on_the_board(board, images_file, brief):
    """With the sentence that a process here gets."""
    with pytest.raises(MeasurementFailed, match=r"on .*: measuring images\.onnx took longer than the 2 s"):
        profile_of(board, images_file, brief(least_seconds=60), timeout_s=2)
    assert board.left() == []


def kill_connection(board, worker):
    """End sshd's process of the session, the parent of the runner."""
    os.kill(parent_of(parent_of(worker)), signal.SIGKILL)


def kill_runner(board, worker):
    os.kill(parent_of(worker), signal.SIGKILL)


def end_runner(board, worker):
    os.kill(parent_of(worker), signal.SIGTERM)


def kill_client(board, worker):
    """End our own ssh, whose arguments name the port."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        process = int(path.parent.name)
        if parent_of(process) == os.getpid() and b"exec python3" in path.read_bytes():
            os.kill(process, signal.SIGKILL)


@pytest.mark.parametrize("act", [kill_connection, kill_runner, end_runner, kill_client])
def test_a_line_that_breaks_leaves_nothing_on_the_board(board, images_file, brief, act):
    """Neither the folder nor a process, whichever end was killed."""
    thread = while_measuring(board, lambda worker: act(board, worker))

    with pytest.raises(MeasurementFailed, match=r"the connection to .* ended before the measurement did"):
        profile_of(board, images_file, brief(least_seconds=60))
    thread.join()
    assert board.left() == []


def test_a_measuring_process_that_is_killed_is_said(board, images_file, brief):
    """As of one here."""
    while_measuring(board, lambda worker: os.kill(worker, signal.SIGKILL))

    with pytest.raises(MeasurementFailed, match=r"on .* measured images\.onnx was killed by SIGKILL"):
        profile_of(board, images_file, brief(least_seconds=60))
    assert board.left() == []


def test_an_interrupt_leaves_nothing_on_the_board(board, images_file, brief):
    """Ctrl-C while the board measures."""
    while_measuring(board, lambda _: os.kill(os.getpid(), signal.SIGINT))

    with pytest.raises(KeyboardInterrupt):
        profile_of(board, images_file, brief(least_seconds=60))
    assert board.left() == []


def test_a_board_that_hears_nothing_cleans_up(board, images_file, brief, monkeypatch):
    """A connection can end without a word: the client stands still, and the board gives up by itself."""
    monkeypatch.setattr(ssh, "PATIENCE_S", 1.0)
    monkeypatch.setattr(ssh, "BEAT_S", 0.2)
    monkeypatch.setattr(ssh.Line, "_beat", lambda self: None)
    left = []

    def watch(_):
        wait_until(lambda: not board.sessions())
        left.append(board.left())

    thread = while_measuring(board, watch)
    with pytest.raises(MeasurementFailed, match="ended before the measurement did"):
        profile_of(board, images_file, brief(least_seconds=60))
    thread.join()

    assert left == [[]]


def test_signs_of_life_keep_a_long_measurement_going(board, images_file, brief, monkeypatch):
    """It takes longer than the board's patience."""
    monkeypatch.setattr(ssh, "PATIENCE_S", 0.6)
    monkeypatch.setattr(ssh, "BEAT_S", 0.1)

    assert profile_of(board, images_file, brief(least_seconds=1.5)).p90_ms > 0


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("ssh://me@board", Address(user="me", host="board", port=None)),
        ("ssh://me@board.local:2222", Address(user="me", host="board.local", port=2222)),
        ("ssh://10.0.0.7", Address(user=None, host="10.0.0.7", port=None)),
        ("ssh://me@[fe80::1]:22", Address(user="me", host="fe80::1", port=22)),
    ],
)
def test_an_address_names_user_host_and_port(text, address):
    """What is left out is OpenSSH's to say."""
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "board",
        "ssh://",
        "ssh://-oProxyCommand=x@board",
        "ssh://me@-oProxyCommand=x",
        "ssh://me@board;reboot",
        "ssh://me@board$(reboot)",
        "ssh://me@board:0x16",
        "ssh://me@board:70000",
        "ssh://me@board/tmp",
        "ssh://me@board\n",
    ],
)
def test_what_is_no_address_is_refused(text):
    """Nothing of it comes to ssh, as an option least of all."""
    with pytest.raises(BadConfiguration, match=r"ssh://user@board\[:port\] is needed"):
        parse_address(text)


@pytest.mark.parametrize(
    ("ending", "words", "code", "kind", "reason"),
    [
        (
            Ending.REFUSED,
            "ssh: connect to host b port 22: No route to host",
            255,
            RuntimeUnavailable,
            "cannot be reach",
        ),
        (
            Ending.REFUSED,
            "something new",
            255,
            RuntimeUnavailable,
            r"code 255 \(something new\); `ssh me@b python3 -V`",
        ),
        (Ending.SILENT, "", None, RuntimeUnavailable, "let us in and then said nothing"),
        (
            Ending.LOST,
            "client_loop: Broken pipe\r",
            255,
            MeasurementFailed,
            r"ended before .* \(client_loop: Broken pipe",
        ),
    ],
)
def test_other_endings_are_told_in_ssh_s_words(ending, words, code, kind, reason):
    """Its last line is quoted, and the rest of the sentence says what is needed."""
    error = explain(Address(user="me", host="b", port=None), ending, words, code)

    assert type(error) is kind
    with pytest.raises(kind, match=reason):
        raise error


def test_any_python_3_can_read_the_runner():
    """It is the runner that says that a Python is too old; it has no more than the standard library."""
    tree = ast.parse(Path(board_runner.__file__).read_text(), feature_version=(3, 6))
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in ([node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    }

    assert "__future__" not in imported  # 3.7's
    assert imported <= sys.stdlib_module_names
