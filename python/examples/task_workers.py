"""Workers take tasks from a queue, and say when each is done. Nothing but the import line is Ringway's."""

import ringway as multiprocessing

WORKERS = 3
TASKS = 60


def is_prime(number):
    return number > 1 and all(number % divisor for divisor in range(2, int(number**0.5) + 1))


def work(tasks, results):
    while True:
        number = tasks.get()
        try:
            if number is None:
                break
            results.put((number, is_prime(number)))
        finally:
            tasks.task_done()


def main():
    tasks, results = multiprocessing.JoinableQueue(), multiprocessing.Queue()
    workers = [multiprocessing.Process(target=work, args=(tasks, results)) for _ in range(WORKERS)]
    for worker in workers:
        worker.start()
    for number in range(TASKS):
        tasks.put(number)
    for _ in workers:
        tasks.put(None)
    tasks.join()
    found = sorted(results.get() for _ in range(TASKS))
    for worker in workers:
        worker.join()
    print("primes:", *(number for number, is_one in found if is_one))


if __name__ == "__main__":
    main()
