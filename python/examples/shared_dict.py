"""Processes count words in one dictionary, without a server process and without losing any. One of them is killed."""

import os
import signal

import ringway

TEXTS = [
    "the quick brown fox jumps over the lazy dog",
    "the dog sleeps and the fox runs",
    "a fox is a fox is a fox",
]


def count(words, text):
    for word in text.split():
        # Read, change and write, as one.
        words.update(word, lambda old: old + 1, 0)


def die_in_the_middle(words):
    words.update("fox", lambda old: os.kill(os.getpid(), signal.SIGKILL))


def main():
    words = ringway.SharedDict(max_items=1000)
    processes = [ringway.Process(target=count, args=(words, text)) for text in TEXTS]
    processes += [ringway.Process(target=die_in_the_middle, args=(words,))]
    words["fox"] = 0
    for process in processes:
        process.start()
    for process in processes:
        process.join()

    # What was killed has changed nothing, and blocks nobody.
    print("killed:", [process.exitcode for process in processes].count(-signal.SIGKILL))
    for word, times in sorted(words.items(), key=lambda item: (-item[1], item[0]))[:3]:
        print(f"{times} {word}")

    # Several operations as one, for those who write.
    with words.lock():
        words["animals"] = words.pop("fox") + words.pop("dog")
    print("animals:", words["animals"])


if __name__ == "__main__":
    main()
