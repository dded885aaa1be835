"""Reducers that are registered while there are picklers already: the last one counts, whatever there was before."""

import copyreg
from multiprocessing import reduction

import pytest

import ringway


class First:
    pass


class Second:
    pass


def as_text(text):
    return lambda _object: (str, (text,))


@pytest.fixture
def clean():
    yield
    for table in copyreg.dispatch_table, reduction.ForkingPickler._extra_reducers:
        for each in First, Second:
            table.pop(each, None)


def sent(obj):
    queue = ringway.Queue()
    queue.put([obj])
    return queue.get()[0]


@pytest.mark.parametrize("register", [copyreg.pickle, reduction.ForkingPickler.register])
def test_one_that_takes_anothers_place(clean, register):
    for text in "a", "b", "c":
        register(First, as_text(text))
        assert sent(First()) == text


def test_one_that_comes_as_another_goes(clean):
    copyreg.pickle(First, as_text("one"))
    assert sent(First()) == "one"
    del copyreg.dispatch_table[First]
    copyreg.pickle(Second, as_text("two"))
    assert isinstance(sent(First()), First)
    assert sent(Second()) == "two"
