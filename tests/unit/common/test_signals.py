"""Stop signals: the first is noted while somebody looks at the note, all others end the block."""

import signal
import threading

import pytest

from point_diffusion.common import signals
from point_diffusion.common.signals import Stopped, StopSignals, raise_if_stopped, raise_stopped

NUMBERS = [signal.SIGINT, signal.SIGTERM]


@pytest.mark.parametrize("number", NUMBERS)
def test_the_first_is_noted_and_the_second_stops(number, capfd):
    with StopSignals() as interruption:
        interruption.deferring = True
        signal.raise_signal(number)
        assert (interruption.signal, interruption.code) == (number, 128 + number)
        with pytest.raises(Stopped) as stopped:
            signal.raise_signal(signal.SIGTERM)
    assert stopped.value.code == 143
    assert capfd.readouterr().err == "\nstopping at the end of this epoch; once more stops at once\n"


@pytest.mark.parametrize("number", NUMBERS)
def test_where_nobody_looks_the_first_stops(number):
    with pytest.raises(SystemExit) as stopped, StopSignals():
        signal.raise_signal(number)
    assert stopped.value.code == 128 + number


def test_the_handlers_of_before_are_back_afterwards():
    before = [signal.getsignal(number) for number in NUMBERS]
    with StopSignals() as interruption:
        ours = [signal.getsignal(number) for number in NUMBERS]
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # as Lightning does with its own
        interruption.install()
        assert [signal.getsignal(number) for number in NUMBERS] == ours != before
    assert [signal.getsignal(number) for number in NUMBERS] == before


def test_in_another_thread_it_does_nothing():
    before, seen = signal.getsignal(signal.SIGINT), []

    def block():
        with StopSignals() as interruption:
            seen.append((signal.getsignal(signal.SIGINT), interruption.signal))

    thread = threading.Thread(target=block)
    thread.start()
    thread.join()
    assert seen == [(before, None)]


def test_an_early_signal_is_noted_even_if_its_exception_is_swallowed(monkeypatch):
    monkeypatch.setattr(signals, "_came_early", [])
    raise_if_stopped()
    with pytest.raises(Stopped):
        raise_stopped(signal.SIGTERM, None)
    with pytest.raises(Stopped) as stopped:
        raise_if_stopped()
    assert stopped.value.code == 143


def test_the_announcement_stops_like_the_signal_it_announces():
    with StopSignals() as signals:
        signals.deferring = True
        signal.raise_signal(signal.SIGUSR1)
        assert (signals.signal, signals.code) == (signal.SIGUSR1, 143)
        with pytest.raises(Stopped) as stopped:
            signal.raise_signal(signal.SIGTERM)
    assert stopped.value.code == 143


def test_a_launcher_that_waits_for_the_announcement_keeps_it():
    seen = []
    before = signal.signal(signal.SIGUSR1, lambda number, _: seen.append(number))
    try:
        with StopSignals() as signals:
            signals.deferring = True
            signal.raise_signal(signal.SIGUSR1)
        assert (seen, signals.signal) == ([signal.SIGUSR1], None)
    finally:
        signal.signal(signal.SIGUSR1, before)
