"""Requests in the background: none is lost, none comes after the end, no more than allowed."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
from football import background, interruption
from football.background import Requests, requests_at_once
from football.errors import BadInputError

AT_ONCE = 3


def test_wait_returns_after_all_requests() -> None:
    done: list[int] = []
    gate = threading.Event()

    def request(number: int) -> None:
        gate.wait()
        done.append(number)

    with Requests(AT_ONCE) as requests:
        futures = [requests.send(request, number) for number in range(20)]
        assert not done
        gate.set()
        requests.wait()
        assert sorted(done) == list(range(20))
        assert all(future.done() for future in futures)


def test_no_more_than_allowed_are_sent_at_once() -> None:
    # Each waits for the others, so fewer would not pass; and none passes with one more.
    barrier = threading.Barrier(AT_ONCE, timeout=10)
    lock, under_way, most = threading.Lock(), 0, 0

    def request() -> None:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        barrier.wait()
        with lock:
            under_way -= 1

    with Requests(AT_ONCE) as requests:
        for _ in range(4 * AT_ONCE):
            requests.send(request)
        requests.wait()

    assert most == AT_ONCE


def test_one_at_a_time_keeps_the_order() -> None:
    done: list[int] = []
    with Requests(1) as requests:
        for number in range(50):
            requests.send(done.append, number)
        requests.wait()

    assert done == list(range(50))


def fail(text: str) -> None:
    raise ValueError(text)


def test_error_of_a_request_is_raised_as_it_was() -> None:
    with Requests(AT_ONCE) as requests:
        requests.send(time.monotonic)
        requests.send(fail, "refused")

        with pytest.raises(ValueError, match=r"^refused$"):
            requests.wait()


def test_error_is_raised_while_others_are_under_way() -> None:
    gate = threading.Event()
    with Requests(2) as requests:
        slow = requests.send(gate.wait)
        requests.send(fail, "refused")

        with pytest.raises(ValueError, match="refused"):
            requests.wait()
        assert not slow.done()
        gate.set()


def test_after_an_error_no_request_is_begun_and_none_is_left_under_way() -> None:
    begun: list[int] = []
    started, gate = threading.Event(), threading.Event()

    def request(number: int) -> int:
        begun.append(number)
        started.set()
        gate.wait()
        return number

    requests = Requests(1)
    first, second = requests.send(request, 1), requests.send(request, 2)
    started.wait()
    threading.Timer(0.2, gate.set).start()
    with pytest.raises(ValueError, match="computed"), requests:
        fail("computed")

    assert begun == [1]
    assert first.result(0) == 1
    assert second.cancelled()


def test_interruption_ends_the_wait_and_leaves_none_under_way() -> None:
    gate = threading.Event()
    requests = Requests(1)
    with interruption.listening():
        first, second = requests.send(gate.wait), requests.send(gate.wait)
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        threading.Timer(0.8, gate.set).start()
        with pytest.raises(KeyboardInterrupt), requests:
            requests.wait()
        interruption.acknowledge()

    assert first.result(0) is True
    assert second.cancelled()


def test_stop_of_another_process_ends_the_wait() -> None:
    """A worker on a cluster runs its tasks in a thread that gets no signals."""
    asked, gate = threading.Event(), threading.Event()
    raised: list[BaseException] = []

    def work() -> None:
        with interruption.listening(asked.is_set):
            try:
                with Requests(1) as requests:
                    requests.send(gate.wait)
                    threading.Timer(0.2, asked.set).start()
                    threading.Timer(0.2 + 3 * background._LOOK_SECONDS, gate.set).start()
                    requests.wait()
            except KeyboardInterrupt as error:
                raised.append(error)
            interruption.acknowledge()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert len(raised) == 1


@pytest.mark.parametrize(("text", "number"), [("", 4), ("1", 1), ("64", 64), ("08", 8)])
def test_valid_numbers_of_requests(text: str, number: int) -> None:
    assert requests_at_once({"FOOTBALL_REQUESTS_AT_ONCE": text}) == number


@pytest.mark.parametrize("text", ["0", "65", "-1", "1.5", "many", "٣", "9" * 5000])
def test_invalid_number_of_requests_is_an_error_with_the_cure(text: str) -> None:
    said = r"FOOTBALL_REQUESTS_AT_ONCE: .* is not a valid number of requests: .* Write a number"
    with pytest.raises(BadInputError, match=said):
        requests_at_once({"FOOTBALL_REQUESTS_AT_ONCE": text})
