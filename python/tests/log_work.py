"""What the children of the tests of `ringway.logging` do."""

import logging
import threading

import ringway.logging


class Thing:
    def __init__(self, number):
        self.number = number

    def __eq__(self, other):
        return type(other) is Thing and other.number == self.number


class Record(logging.LogRecord):
    """Of an application that has its own."""


def broken():
    raise ArithmeticError("not here")


class Broken:
    """Cannot be unpickled."""

    def __reduce__(self):
        return broken, ()


def log_numbered(queue, who, count):
    ringway.logging.setup(queue, logging.DEBUG)
    logger = logging.getLogger(f"worker.{who}")
    for number in range(count):
        logger.info("number %d of %s", number, who, extra={"number": number, "things": [Thing(number)]})


def log_in_threads(queue, who, count):
    ringway.logging.setup(queue, logging.DEBUG)

    def work(thread):
        for number in range(count):
            logging.getLogger(who).info("number", extra={"thread_number": thread, "number": number})

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def log_an_exception(queue):
    ringway.logging.setup(queue)
    try:
        {}["missing"]
    except KeyError:
        logging.getLogger("child").exception("it failed for %s", "a reason")


def log_for_ever(queue, who):
    ringway.logging.setup(queue, logging.DEBUG)
    logger, number = logging.getLogger(who), 0
    while True:
        logger.info("x" * (number % 700), extra={"number": number})
        number += 1


def log_one(number):
    logging.getLogger("pool").info("%d", number)
    return number
