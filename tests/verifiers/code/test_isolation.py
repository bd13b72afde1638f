"""A program reaches nothing of the host, with each set of layers that a host may have, and leaves nothing behind."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tracemill.schemas.enums import Outcome
from tracemill.schemas.errors import TracemillError
from tracemill.verifiers.code.inside.fence import Layers, Limits
from tracemill.verifiers.code.judging import Spent, judge_calls, judge_cases
from tracemill.verifiers.code.layers import described, missing, require
from tracemill.verifiers.code.server import Server, close_servers, server_for
from tracemill.verifiers.code.shapes import shape_of

attacks = runpy.run_path(str(Path(__file__).with_name("attacks.py")))
LIMITS = Limits(cpu=2.0, wall=4.0)
#: What a host may lack, and what is used instead.
HOSTS = {"all": (), "no namespaces": ("namespaces",), "no landlock": ("landlock",), "no seccomp": ("seccomp",)}

#: Each tells what it could do; a wall says no with an OSError.
PROBES = {
    "tcp": "import socket\nsocket.create_connection(('127.0.0.1', {port}), 1)",
    "udp": "import socket\nsocket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', {port}))",
    "unix": "import socket\nsocket.socket(socket.AF_UNIX).connect('{unix}')",
    "read": "open('{secret}').read()",
    "read_passwd": "open('/etc/passwd').read()",
    "read_proc": "open('/proc/{pid}/environ', 'rb').read()",
    "write": "open('{victim}', 'w').write('x')",
    "write_library": "import os\nopen(os.__file__, 'a').write('x')",
    "mkdir": "import os\nos.mkdir('{folder}/made')",
    "remove": "import os\nos.remove('{secret}')",
    "chmod": "import os\nos.chmod('{secret}', 0o777)",
    "link": "import os\nos.symlink('/etc', '{folder}/etc')",
    "signal": "import os\nos.kill({pid}, 0)",
    "signal_all": "import os\nos.kill(-1, 0)",
    "run": "import subprocess\nsubprocess.run(['/bin/true'], check=True)",
    "python": "import os, sys\nos.execv(sys.executable, ['python', '-c', ''])",
    "fork": "import os\nif os.fork() == 0: os._exit(0)",
    "mount": "import ctypes, os\nif ctypes.CDLL(None, use_errno=True).mount(b'x', b'/tmp', b'tmpfs', 0, None): raise OSError",
    "unshare": "import ctypes\nif ctypes.CDLL(None).unshare(0x10000000): raise OSError",
    "ptrace": "import ctypes\nif ctypes.CDLL(None).ptrace(16, {pid}, 0, 0): raise OSError",
    "device": "import os\nos.mknod('/tmp/d', 0o20666, os.makedev(1, 1))",
    "listen": "import socket\nsocket.create_server(('127.0.0.1', 0))",
    "raise_limits": "import resource\nresource.setrlimit(resource.RLIMIT_AS, (-1, -1))\nbytearray(3 << 30)",
}  # fmt: skip


@pytest.fixture(scope="module", params=HOSTS)
def server(request):
    """A server on a host with some of the layers."""
    with Server(forbid=HOSTS[request.param]) as made:
        if missing(made.layers):
            pytest.skip("this host has too few layers for that")
        yield made


@pytest.fixture
def host(tmp_path):
    """Things of the host's that a program should not reach."""
    import socket

    unix = socket.socket(socket.AF_UNIX)
    path = tempfile.mktemp(dir="/tmp")
    unix.bind(path)
    unix.listen()
    with socket.create_server(("127.0.0.1", 0)) as tcp, unix:
        secret = tmp_path / "secret"
        secret.write_text("told")
        os.chmod(tmp_path, 0o777)
        os.chmod(secret, 0o666)
        yield {
            "port": tcp.getsockname()[1],
            "unix": path,
            "secret": secret,
            "victim": tmp_path / "victim",
            "folder": tmp_path,
            "pid": os.getpid(),
        }
    os.unlink(path)


def said(server: Server, text: str) -> str:
    """What ``f()`` returns: ``done``, or the wall that it met."""
    body = "".join(f"        {line}\n" for line in text.splitlines())
    program = f"def f():\n    try:\n{body}    except (OSError, ValueError, ImportError) as e:\n        return 'wall'\n    return 'done'\n"
    shape = shape_of({"calls": [{"args": [], "output": "wall"}], "entry_point": "f"})
    found = judge_calls(server, [program], shape, LIMITS, Spent())
    return "wall" if found.outcome is Outcome.CORRECT else str(found.evidence.get("got", found.reason)).strip("'")


@pytest.mark.parametrize("name", PROBES)
def test_a_wall_stands(server, host, name):
    if (
        name in ("mount", "unshare", "ptrace", "fork", "listen", "signal", "signal_all", "unix", "udp")
        and not server.layers.seccomp
    ):
        pytest.skip("harmless in name spaces of its own, or met by their walls alone")
    before = {path.name: path.stat().st_mode for path in host["folder"].iterdir()}
    assert said(server, PROBES[name].format(**host)) == "wall"
    assert {path.name: path.stat().st_mode for path in host["folder"].iterdir()} == before
    assert host["secret"].read_text() == "told"


def test_what_a_program_sees_of_the_host_is_the_library(server):
    if not server.layers.namespaces:
        pytest.skip("names are seen without name spaces; what is behind them is not")
    program = "import os\ndef f():\n    return sorted(os.listdir('/')) + sorted(os.listdir('/dev')) + os.listdir('/tmp') + [os.getpid()]"
    shape = shape_of({"calls": [{"args": [], "output": []}], "entry_point": "f"})
    got = str(judge_calls(server, [program], shape, LIMITS, Spent()).evidence["got"])
    if server.layers.landlock:
        assert "Permission denied" in got
        return
    top = Path(os.__file__).parts[1]
    assert got == str([*sorted({"dev", "tmp", top}), "null", "urandom", 1])


def test_the_environment_is_empty_of_ours(server, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "secret")
    program = "import os\ndef f(): return sorted(os.environ)"
    names = sorted(
        ["PYTHONHASHSEED", "PYTHONUTF8", "LANG", "HOME", "TMPDIR", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"]
    )
    shape = shape_of({"calls": [{"args": [], "output": names}], "entry_point": "f"})
    with Server() as fresh:
        assert judge_calls(fresh, [program], shape, LIMITS, Spent()).outcome is Outcome.CORRECT


def test_no_file_of_one_program_is_there_for_the_next(server):
    assert said(server, "open('left', 'w').write('x')") == "done"
    assert said(server, "open('left').read()") == "wall"


def test_no_descriptor_of_ours_is_left_open(server):
    program = "import os\ndef f():\n    found = []\n    for fd in range(4096):\n        try: os.fstat(fd); found.append(fd)\n        except OSError: pass\n    return found"
    shape = shape_of({"calls": [{"args": [], "output": [0, 1, 2, 3]}], "entry_point": "f"})
    assert judge_calls(server, [program], shape, LIMITS, Spent()).outcome is Outcome.CORRECT


def test_scratch_is_bounded_in_bytes_and_files(server):
    if not server.layers.namespaces:
        pytest.skip("without a mount name space only each file is bounded")
    fill = "n = 0\nwhile True:\n    open(str(n), 'wb').write(b'x' * (1 << 20)); n += 1"
    assert said(server, fill) == "wall"
    assert said(server, "n = 0\nwhile True:\n    open(str(n), 'w').close(); n += 1") == "wall"


def test_nothing_is_left_of_any_attack(judged, descendants, tmp_path):
    close_servers()
    processes = descendants()
    fds = set(os.listdir("/proc/self/fd"))
    for text in [*attacks["FORGERIES"].values(), *attacks["CONTROLS"].values()]:
        judged(text)
    daemon = "import os, time\ndef mul(a, b):\n    if os.fork() == 0:\n        os.setsid()\n        if os.fork() == 0: time.sleep(99)\n        os._exit(0)\n    return a * b"
    assert judged(daemon).outcome is Outcome.INCORRECT
    if server_for("programs").layers.namespaces:
        assert judged(daemon, processes=8).outcome is Outcome.CORRECT
    close_servers()
    assert descendants() == processes
    assert set(os.listdir("/proc/self/fd")) == fds
    assert not [name for name in os.listdir(tempfile.gettempdir()) if name.startswith("tracemill-program-")]


def test_an_interrupted_check_ends_its_program():
    def interrupted(server: Server) -> None:
        with server.child("candidate", LIMITS) as child:
            child.line.send({"programs": ["while True: pass"], "entries": []})
            time.sleep(0.1)
            raise KeyboardInterrupt

    with Server() as server:
        with pytest.raises(KeyboardInterrupt):
            interrupted(server)
        assert not server.alive


def test_a_program_ends_with_a_killed_worker(descendants, tmp_path):
    code = (
        "import time\nfrom tracemill.verifiers.code.server import Server\n"
        "from tracemill.verifiers.code.inside.fence import Limits\n"
        "s = Server()\nwith s.child('candidate', Limits(cpu=60, wall=60)) as c:\n"
        "    c.line.send({'programs': ['while True: pass'], 'entries': []})\n    print('up', flush=True)\n    time.sleep(60)\n"
    )
    worker = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert worker.stdout is not None
    assert worker.stdout.readline() == b"up\n"
    time.sleep(0.3)
    below = descendants(worker.pid)
    assert len(below) >= 2
    worker.kill()
    worker.wait()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and any(Path(f"/proc/{pid}").exists() for pid in below):
        time.sleep(0.05)
    assert not [pid for pid in below if Path(f"/proc/{pid}").exists()]
    worker.stdout.close()


def test_a_host_without_a_layer_is_refused_in_words_that_say_what_is_given_up():
    bare = Layers(namespaces=False, landlock=0, seccomp=False)
    assert missing(bare) == ("processes", "network", "files")
    with pytest.raises(TracemillError) as error:
        require(bare, ("network",))
    assert "read your files" in str(error.value)
    assert "without: [processes, files]" in str(error.value)
    require(bare, ("processes", "network", "files"))
    assert described(bare) == "rlimits, no protection of processes, no protection of network, no protection of files"
    require(Layers(namespaces=False, landlock=3, seccomp=True), ())
    require(Layers(namespaces=True, landlock=0, seccomp=False), ())


def test_every_verdict_says_its_layers(judged, layers):
    assert judged("def mul(a, b): return 0").isolation == described(layers)


def test_without_root_the_same_walls_stand(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("this run is without root already")
    code = (
        "import os, sys\nos.setgroups([]); os.setresgid(12345, 12345, 12345); os.setresuid(12345, 12345, 12345)\n"
        "from tracemill.verifiers.code.verifier import check, verifier\nfrom tracemill.verifiers.base import Candidate\n"
        "j = check(Candidate('a', 'import os\\ndef f(): return [os.path.exists(\"/etc/passwd\"), os.getpid()]',"
        " spec={'calls': [{'args': [], 'output': [False, 1]}], 'entry_point': 'f'}), verifier({}).config)\n"
        "print(j.outcome, j.isolation)\n"
    )
    script = tmp_path / "script.py"
    script.write_text("import tracemill.verifiers.code.verifier\n" + code)
    ran = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, cwd="/")
    if "Permission denied" in ran.stderr:
        pytest.skip("the interpreter is in a folder of root's")
    assert ran.stdout.startswith("correct user+pid+mount"), ran.stderr[-2000:]


def test_cases_run_apart_from_each_other(server):
    program = "import os\nprint(os.path.exists('seen'))\nopen('seen', 'w').close()"
    shape = shape_of({"cases": [["", "False"], ["", "False"]]})
    assert judge_cases(server, [program], shape, LIMITS, Spent()).outcome is Outcome.CORRECT
