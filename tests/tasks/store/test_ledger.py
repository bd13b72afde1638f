"""A finished request is found again: at once, after a kill, and after damage."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import zlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracemill.schemas.errors import StoreError
from tracemill.tasks.engines.base import Completion
from tracemill.tasks.store import Ledger, RunStore
from tracemill.tasks.store import ledger as module


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "_ledger" / "shard_1.sqlite")


def reopened(path: str) -> Ledger:
    return Ledger(path)


def test_a_row_is_seen_at_once_and_after_reopening_with_every_field(path, said):
    ledger = Ledger(path)
    assert ledger.get("r_1") is None
    ledger.put("r_1", 100, said("one"))
    assert ledger.get("r_1") == said("one")
    ledger.close()
    ledger.close()
    again = reopened(path)
    assert again.get("r_1") == said("one")
    assert again.get("r_2") is None
    again.discard()
    assert os.listdir(os.path.dirname(path)) == []


def test_the_longest_completion_wins_buffered_or_saved_and_the_shorter_is_kept(path, said):
    ledger = Ledger(path)
    ledger.put("r_1", 200, said("long"))
    ledger.put("r_1", 100, said("short"))
    assert ledger.get("r_1") == said("long")
    ledger.close()
    again = reopened(path)
    assert again.get("r_1") == said("long")
    again.put("r_1", 150, said("middle"))
    assert again.get("r_1") == said("long")
    again.put("r_1", 300, said("longest"))
    assert again.get("r_1") == said("longest")
    again.put("r_1", 300, said("asked again"))
    assert again.get("r_1") == said("asked again")
    again.close()
    reader = module.Reader(path)
    assert sorted(limit for _, limit in reader.paid_for()) == [100, 150, 200, 300]
    assert reader.find("r_1") == (300, said("asked again"))
    reader.close()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 5), st.text()), max_size=30), st.data())
def test_it_is_a_map_whatever_the_order_of_puts_and_reopenings(tmp_path_factory, puts, data):
    path = str(tmp_path_factory.mktemp("ledger") / "a.sqlite")
    ledger, expected = Ledger(path), {}
    for key, limit, text in puts:
        completion = Completion(text, "stop")
        ledger.put(str(key), limit, completion)
        expected.setdefault(key, {})[limit] = completion
        if data.draw(st.integers(0, 9)) == 0:
            ledger.close()
            ledger = Ledger(path)
        for k, held in expected.items():
            assert ledger.get(str(k)) == held[max(held)]
    ledger.close()


def test_text_that_is_no_unicode_is_kept_as_it_came(path, said):
    strange = "nul \0, lone \ud800, astral \U0001f600, crlf \r\n"
    ledger = Ledger(path)
    ledger.put("r_1", 1, said(strange))
    ledger.close()
    again = reopened(path)
    assert again.get("r_1") == said(strange)
    again.close()


def test_rows_are_durable_within_a_tenth_of_a_second_or_256_rows(path, said):
    ledger = Ledger(path)
    reader = module.Reader(path)

    def wait_for(rows: int, seconds: float) -> bool:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if len(reader.paid_for()) == rows:
                return True
            time.sleep(0.005)
        return False

    ledger.put("one", 1, said("x"))
    assert wait_for(1, 5)  # without another put and without close
    for i in range(module.BATCH_ROWS):
        ledger.put(f"r_{i}", 1, said("x"))
    assert wait_for(1 + module.BATCH_ROWS, 5)
    assert ledger._unsaved == {}
    reader.close()
    ledger.close()


def test_a_full_batch_does_not_wait_for_the_clock(path, said, monkeypatch):
    monkeypatch.setattr(module, "BATCH_SECONDS", 60.0)
    ledger = Ledger(path)
    reader = module.Reader(path)
    for i in range(module.BATCH_ROWS):
        ledger.put(f"r_{i}", 1, said("x"))
    until = time.monotonic() + 20
    while len(reader.paid_for()) < module.BATCH_ROWS and time.monotonic() < until:
        time.sleep(0.005)
    assert len(reader.paid_for()) == module.BATCH_ROWS
    reader.close()
    ledger.close()


def test_many_threads_may_put_and_get(path, said):
    ledger = Ledger(path)

    def work(number: int) -> None:
        for i in range(200):
            ledger.put(f"{number}-{i}", 1, said(f"{number}-{i}"))
            assert ledger.get(f"{number}-{i // 2}") == said(f"{number}-{i // 2}")

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ledger.close()
    reader = module.Reader(path)
    assert len(reader.paid_for()) == 800
    reader.close()


def test_a_kill_costs_at_most_the_last_batch(path):
    code = (
        "import sys, time; from tracemill.tasks.store import Ledger; from tracemill.tasks.engines.base import Completion\n"
        "ledger = Ledger(sys.argv[1])\n"
        "for i in range(10**6):\n"
        "    ledger.put(f'r_{i}', 1, Completion('text ' * 200 + str(i), 'stop'))\n"
        "    if i % 16 == 0: time.sleep(0.001)\n"
        "    if i % 64 == 0: print(i, time.time(), flush=True)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    while int(process.stdout.readline().split()[0]) < 2000:
        pass
    process.send_signal(signal.SIGKILL)
    rest, _ = process.communicate()
    last = max([2000, *(int(line.split()[0]) for line in rest.splitlines() if len(line.split()) == 2)])
    ledger = Ledger(path)
    assert ledger.warnings == []
    found = [i for i in range(last + 200) if ledger.get(f"r_{i}") is not None]
    assert found == list(range(len(found)))  # none lost in the middle
    assert len(found) >= last - 2 * module.BATCH_ROWS  # one batch waiting, one being written
    assert ledger.get("r_7") == Completion("text " * 200 + "7", "stop")
    ledger.close()


def filled(path: str, said, rows: int = 400) -> None:
    ledger = Ledger(path)
    for i in range(rows):
        ledger.put(f"r_{i}", 1, said(f"{i} " * 800))
    ledger.close()


def test_a_damaged_ledger_is_set_aside_and_its_readable_rows_are_kept(tmp_path, make_recipe, said):
    run = RunStore.start(tmp_path, make_recipe())
    path = str(tmp_path / "_ledger/shard_1.sqlite")
    filled(path, said)
    with open(path, "r+b") as file:  # a few pages in the middle
        file.seek((os.path.getsize(path) // 2) // module.PAGE_BYTES * module.PAGE_BYTES)
        file.write(os.urandom(3 * module.PAGE_BYTES))
    ledger = run.ledger("shard_1")
    assert len(run.warnings) == 1
    assert "salvaged" in run.warnings[0]
    held = [i for i in range(400) if (c := ledger.get(f"r_{i}")) is not None and c == said(f"{i} " * 800)]
    assert 300 < len(held) < 400
    assert all(ledger.get(f"r_{i}") is None for i in range(400) if i not in held)
    ledger.put("r_new", 1, said("goes on"))
    ledger.close()
    assert f": {len(held)} finished requests" in run.warnings[0]
    assert any(".corrupt-" in name for name in os.listdir(tmp_path / "_ledger"))
    run.collect()
    assert not any(".corrupt-" in name for name in os.listdir(tmp_path / "_ledger"))
    assert run.ledgers() == [path]


@pytest.mark.parametrize("damage", ["header", "cut short", "not a database", "empty"])
def test_no_damage_stops_a_ledger_from_being_opened(path, said, damage):
    filled(path, said, 50)
    size = os.path.getsize(path)
    with open(path, "r+b") as file:
        if damage == "header":
            file.write(b"\0" * 100)
        elif damage == "cut short":
            file.truncate(size // 2)
        elif damage == "not a database":
            file.write(b"once upon a time " * 1000)
        else:
            file.truncate(0)
    ledger = Ledger(path)
    assert len(ledger.warnings) == (0 if damage == "empty" else 1)
    for i in range(50):
        assert ledger.get(f"r_{i}") in (None, said(f"{i} " * 800))
    ledger.put("r_1", 1, said("again"))
    assert ledger.get("r_1") == said("again")
    ledger.close()


def test_a_text_whose_bits_flipped_is_not_served(path, said):
    filled(path, said, 3)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE paid SET text = ? WHERE request_key = 'r_1'", (b"something else",))
    connection.close()
    ledger = Ledger(path)
    assert ledger.get("r_1") is None
    assert ledger.get("r_2") is not None
    ledger.close()
    assert zlib.crc32(b"something else") != zlib.crc32(("1 " * 800).encode())


def test_confidences_are_kept_to_the_bit_and_a_ledger_from_before_them_is_read_and_written_on(path, said):
    filled(path, said, 3)
    with sqlite3.connect(path) as connection:
        connection.execute("ALTER TABLE paid DROP COLUMN confidence")
    connection.close()
    found = module.Reader(path).find("r_1")
    assert found is not None
    assert found[1].confidence is None
    ledger = Ledger(path)
    sure = replace(said("sure"), confidence=(0.1, 1 / 3, 17.0))
    ledger.put("r_9", 100, sure)
    ledger.close()
    again = reopened(path)
    assert again.get("r_9") == sure
    assert again.get("r_2") is not None
    assert {key: c for key, _, c in module.readable(path)}["r_9"] == sure
    again.close()


def test_a_ledger_of_a_later_version_is_refused(path, said):
    filled(path, said, 3)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 9")
    connection.close()
    with pytest.raises(StoreError, match="version 9"):
        Ledger(path)


def test_a_ledger_that_cannot_be_written_stops_its_run(path, said):
    ledger = Ledger(path)
    ledger._writing.execute("DROP TABLE paid")
    ledger.put("r_1", 1, said("x"))
    ledger._writer.join(10)
    with pytest.raises(StoreError, match="cannot be used"):
        ledger.put("r_2", 1, said("y"))
    with pytest.raises(StoreError, match="cannot be used"):
        ledger.close()
    ledger.close()


def test_a_put_costs_less_than_forty_microseconds(path, said):
    completion = said("step by step " * 160)  # 2 KB
    keys = [f"r_{i:032x}" for i in range(6000)]
    best = float("inf")
    for part in range(3):
        ledger = Ledger(f"{path}{part}")
        start = time.process_time()
        for i, key in enumerate(keys):
            ledger.put(key, 2048, completion)
            if i % 64 == 0:
                time.sleep(0.001)
        ledger.close()
        best = min(best, (time.process_time() - start) / len(keys))
    assert best < 80e-6  # measured at 20 to 30 on a quiet machine; twice the bound for a busy one
