"""`ringway.logging`: records from all processes arrive whole and in order, whoever is killed."""

import copy
import io
import logging
import logging.handlers
import queue as std_queue
import random

import pytest

import log_work as work
import ringway
import ringway.logging
from conftest import end, kill
from ringway.logging import QueueHandler, QueueListener


class Collected(logging.Handler):
    def __init__(self, level=logging.NOTSET):
        super().__init__(level)
        self.records = []

    def emit(self, record):
        self.records.append(record)


@pytest.fixture
def logger(request):
    logger = logging.getLogger(request.node.name)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    yield logger
    logger.handlers.clear()


@pytest.fixture
def root():
    """For tests that change the root logger of this process."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield root
    root.handlers[:] = handlers
    root.setLevel(level)


def fields(record):
    return {key: value for key, value in vars(record).items() if key != "things"}


def test_records_of_processes_arrive_whole_and_in_order(mp):
    queue, collected = mp.Queue(), Collected()
    with QueueListener(queue, collected):
        end(*[mp.start(work.log_numbered, queue, f"w{who}", 500) for who in range(4)])
    assert len(collected.records) == 4 * 500
    processes = set()
    for who in range(4):
        of_one = [record for record in collected.records if record.name == f"worker.w{who}"]
        assert [record.number for record in of_one] == list(range(500))
        assert [record.getMessage() for record in of_one] == [f"number {n} of w{who}" for n in range(500)]
        assert all(record.things == [work.Thing(record.number)] for record in of_one)
        processes |= {(record.process, record.processName) for record in of_one}
        assert {record.funcName for record in of_one} == {"log_numbered"}
    assert len(processes) == 4


def test_threads_of_a_process_keep_their_order(mp):
    queue, collected = mp.Queue(), Collected()
    with QueueListener(queue, collected):
        end(*[mp.start(work.log_in_threads, queue, f"w{who}", 200) for who in range(2)])
    seen = {}
    for record in collected.records:
        seen.setdefault((record.name, record.thread_number), []).append(record.number)
    assert len(seen) == 6 and all(numbers == list(range(200)) for numbers in seen.values())


def test_the_text_of_an_exception_travels(mp):
    queue, text = mp.Queue(), io.StringIO()
    with QueueListener(queue, logging.StreamHandler(text)):
        mp.run(work.log_an_exception, queue)
    lines = text.getvalue().splitlines()
    assert lines[0] == "it failed for a reason" and lines[1].startswith("Traceback")
    assert lines[-1] == "KeyError: 'missing'" and text.getvalue().count("Traceback") == 1


LOGGED = [
    lambda logger: logger.info("plain"),
    lambda logger: logger.warning("%s and %d", "text", 7),
    lambda logger: logger.info("%(a)s", {"a": 1}),
    lambda logger: logger.info({"not": "text"}),
    lambda logger: logger.info("100 %"),
    lambda logger: logger.info("\ud800 alone"),
    lambda logger: logger.info("x" * 200_000),
    lambda logger: logger.log(17, "a level of its own"),
    lambda logger: logger.info("more", extra={"number": 2**70, "none": None, "bytes": b"\0", "yes": True, "f": 0.1}),
    lambda logger: logger.info("more", extra={"list": [1, [2]], "thing": work.Thing(3), "e": KeyError("k").args}),
    lambda logger: logger.info("where", stack_info=True),
    lambda logger: logger.info("no traceback", exc_info=(None, None, None)),
    lambda logger: logger.error("wrong", exc_info=ZeroDivisionError("by hand")),
]


@pytest.mark.parametrize("log", LOGGED)
def test_a_record_is_what_the_standard_library_makes_of_it(logger, log):
    theirs, ours, kept = std_queue.Queue(), ringway.Queue(), Collected()
    # The one that keeps the record itself comes last: it must not have been changed by then.
    logger.handlers[:] = [logging.handlers.QueueHandler(theirs), QueueHandler(ours), kept]
    log(logger)
    before = copy.copy(vars(kept.records[0]))
    found = QueueListener(ours).dequeue(True)
    assert type(found) is logging.LogRecord
    expected = theirs.get()
    # What later handlers may do with the text of an exception is up to the version of Python.
    assert vars(found) == vars(expected)
    assert vars(kept.records[0]) == before and "args" in before
    assert found.getMessage() == expected.getMessage()
    assert logging.Formatter().format(found) == logging.Formatter().format(expected)


def test_a_formatter_of_the_handler_makes_the_text(logger):
    handler = QueueHandler(ringway.Queue())
    handler.setFormatter(logging.Formatter("%(levelname)s %(asctime)s %(message)s"))
    logger.addHandler(handler)
    logger.info("text %d", 1)
    found = QueueListener(handler.queue).dequeue(True)
    assert found.getMessage() == f"INFO {found.asctime} text 1"


def test_plain_records_do_not_need_the_pickler(logger, monkeypatch):
    handler = QueueHandler()
    logger.addHandler(handler)
    logger.info("plain %s", object(), extra={"number": 1, "text": "é"})
    assert handler.queue.get_bytes()[0] < 0x80, "that is how pickles begin"
    logger.info("plain", extra={"thing": work.Thing(1)})
    assert handler.queue.get_bytes()[0] == 0x80


def test_levels_of_handlers(logger):
    everything, errors = Collected(), Collected(logging.ERROR)
    handler = QueueHandler()
    logger.addHandler(handler)
    for respects, expected in ((False, 2), (True, 1)):
        with QueueListener(handler.queue, everything, errors, respect_handler_level=respects):
            logger.info("not so bad")
            logger.error("bad")
        assert len(errors.records) == expected
        errors.records.clear()
    assert len(everything.records) == 4


def test_starting_and_stopping(logger):
    handler, collected = QueueHandler(), Collected()
    logger.addHandler(handler)
    listener = QueueListener(handler.queue, collected)
    listener.stop()  # was not started
    logger.info("before")
    for turn in range(3):
        listener.start()
        with pytest.raises(RuntimeError, match="already started"):
            listener.start()
        logger.info("during")
        listener.stop()
        listener.stop()
        assert len(collected.records) == 2 + turn, "what was put before stop() is handled"
    with listener as entered:
        assert entered is listener
    handler.queue.shutdown()
    with listener:
        pass


def test_a_queue_that_counts(logger):
    queue, collected = ringway.JoinableQueue(), Collected()
    logger.addHandler(QueueHandler(queue))
    with QueueListener(queue, collected):
        for number in range(100):
            logger.info("%d", number)
        queue.join()
        assert len(collected.records) == 100
    assert queue.join(timeout=60) and queue.unfinished() == 0


def test_a_full_queue_drops_records_as_in_the_standard_library(logger):
    handler, dropped = QueueHandler(ringway.Queue(2)), []
    handler.handleError = dropped.append
    logger.addHandler(handler)
    for number in range(3):
        logger.info("%d", number)
    assert [record.args for record in dropped] == [(2,)]
    # Which does not keep its listener from being stopped.
    collected = Collected()
    with QueueListener(handler.queue, collected):
        pass
    assert [record.msg for record in collected.records] == ["0", "1"]


def test_what_cannot_be_pickled_is_an_error_of_the_handler(logger):
    handler, failed = QueueHandler(), []
    handler.handleError = failed.append
    logger.addHandler(handler)
    logger.info("this one", extra={"function": lambda: 0})
    logger.info("that one")
    assert [record.msg for record in failed] == ["this one"]
    assert QueueListener(handler.queue).dequeue(False).msg == "that one"


def test_what_cannot_be_read_is_said_in_the_log(logger):
    handler, collected = QueueHandler(), Collected()
    logger.addHandler(handler)
    with QueueListener(handler.queue, collected):
        logger.info("broken", extra={"broken": work.Broken()})
        handler.queue.put({"no": "record"})
        handler.queue.put((17, 2))
        handler.queue.put(())
        handler.queue.put_bytes(b"\xff\xff")
        handler.queue.put_bytes(b"")
        logger.info("good")
    texts = [record.getMessage() for record in collected.records]
    assert [record.levelname for record in collected.records] == ["ERROR"] * 6 + ["INFO"]
    assert "ArithmeticError: not here" in texts[0] and "dict is no record" in texts[1] and texts[6] == "good"


def test_handlers_that_raise_do_not_end_the_listener(logger, capsys):
    class Raising(logging.Handler):
        def handle(self, record):
            raise ZeroDivisionError(record.msg)

    handler, collected = QueueHandler(), Collected()
    logger.addHandler(handler)
    with QueueListener(handler.queue, collected, Raising()):
        logger.info("one")
        logger.info("two")
    assert [record.msg for record in collected.records] == ["one", "two"]
    assert "ZeroDivisionError: two" in capsys.readouterr().err


def test_records_of_a_class_of_its_own(logger):
    before, collected = logging.getLogRecordFactory(), Collected()
    handler = QueueHandler()
    logger.addHandler(handler)
    try:
        logging.setLogRecordFactory(work.Record)
        logger.info("own", extra={"number": 1})
        with QueueListener(handler.queue, collected):
            pass
        logging.setLogRecordFactory(before)
        logger.info("plain", extra={"number": 2})
        logging.setLogRecordFactory(work.Record)
        with QueueListener(handler.queue, collected):
            pass
    finally:
        logging.setLogRecordFactory(before)
    assert [(type(r), r.msg, r.number) for r in collected.records] == [
        (work.Record, "own", 1),
        (work.Record, "plain", 2),
    ]


def test_together_with_the_standard_library(logger):
    # Its handler, our listener.
    queue, collected = ringway.Queue(), Collected()
    logger.handlers[:] = [logging.handlers.QueueHandler(queue)]
    logger.info("from theirs")
    with QueueListener(queue, collected):
        pass
    # Our handler and our listener, another kind of queue.
    plain = std_queue.SimpleQueue()
    logger.handlers[:] = [QueueHandler(plain)]
    logger.info("through theirs")
    with QueueListener(plain, collected):
        pass
    assert [record.msg for record in collected.records] == ["from theirs", "through theirs"]
    assert issubclass(QueueHandler, logging.handlers.QueueHandler)
    assert issubclass(QueueListener, logging.handlers.QueueListener)


def test_setup_leaves_one_handler(root):
    closed = Collected()
    closed.close = lambda: pytest.fail("it is not this process's to close")
    root.addHandler(closed)
    queue = ringway.Queue()
    handler = ringway.logging.setup(queue, logging.INFO)
    assert root.handlers == [handler] and root.level == logging.INFO
    assert ringway.logging.setup(queue) is not handler and root.level == logging.INFO
    logging.getLogger("any").info("where")
    assert QueueListener(queue).dequeue(False).msg == "where"
    assert closed.records == [] and queue.empty()


def test_workers_of_a_pool_log(mp):
    queue, collected = mp.Queue(), Collected()
    with QueueListener(queue, collected):
        with mp.Pool(3, ringway.logging.setup, (queue, logging.INFO)) as pool:
            assert pool.map(work.log_one, range(50), chunksize=1) == list(range(50))
            pool.close()
            pool.join()
    assert sorted(int(record.msg) for record in collected.records if record.name == "pool") == list(range(50))


def test_killed_loggers_block_nobody(mp):
    rng = random.Random(5)
    queue, collected = mp.Queue(2**16, message_size=512), Collected()
    names = (f"w{number}" for number in range(1000))
    with QueueListener(queue, collected):
        children = [mp.start(work.log_for_ever, queue, next(names)) for _ in range(4)]
        for _ in range({"fork": 20, "spawn": 4, "forkserver": 8}[mp.method]):
            enough = len(collected.records) + rng.randrange(1, 300)
            while len(collected.records) < enough:
                pass
            victim = rng.randrange(4)
            kill(children[victim])
            children[victim] = mp.start(work.log_for_ever, queue, next(names))
        for child in children:
            kill(child)
        mp.run(work.log_numbered, queue, "last", 100)
    seen = {}
    for record in collected.records:
        seen.setdefault(record.name, []).append(record)
    assert [record.number for record in seen.pop("worker.last")] == list(range(100))
    for records in seen.values():
        assert [record.number for record in records] == list(range(len(records)))
        assert all(record.msg == "x" * (record.number % 700) for record in records)
