"""Workers log into a queue; one process collects, until it gets the sentinel. Nothing but the import line is Ringway's."""

import logging
import logging.handlers

import ringway as multiprocessing

WORKERS = 4
STEPS = 250


def collect(queue, counts):
    """The only process that writes."""
    console = logging.StreamHandler()
    console.setLevel(logging.WARNING)
    console.setFormatter(logging.Formatter("%(processName)s %(levelname)s %(message)s"))
    count = 0
    while True:
        record = queue.get()
        if record is None:
            break
        count += 1
        if record.levelno >= console.level:
            console.handle(record)
    counts.put(count)


def work(queue, number):
    root = logging.getLogger()
    root.handlers = [logging.handlers.QueueHandler(queue)]
    root.setLevel(logging.INFO)
    logger = logging.getLogger("worker")
    for step in range(STEPS):
        logger.info("step %d", step)
    try:
        1 // (number % 2)
    except ZeroDivisionError:
        logger.warning("worker %d cannot go on", number)


def main():
    queue, counts = multiprocessing.Queue(), multiprocessing.SimpleQueue()
    collector = multiprocessing.Process(target=collect, args=(queue, counts), name="collector")
    collector.start()
    workers = [
        multiprocessing.Process(target=work, args=(queue, number), name=f"worker-{number}") for number in range(WORKERS)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    queue.put(None)
    print(f"{counts.get()} records of {WORKERS} workers")
    collector.join()


if __name__ == "__main__":
    main()
