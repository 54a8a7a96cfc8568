"""How an answer to an exercise is graded."""

from collections.abc import Callable


class Slip(Exception):
    """What is wrong with an answer; the message is for the student."""


def grade(answer: object, reference: object, find_slip: Callable[[], str | None]) -> object:
    """Print the verdict on an answer; return the answer if right, else the reference."""
    if answer is ... or answer is None:
        print("not attempted yet")
        return reference
    try:
        slip = find_slip()
    except Slip as error:
        slip = str(error)
    except Exception as error:  # whatever the student's code raises is a slip, not a crash
        slip = f"your code stopped with {type(error).__name__}: {error}"
    if slip:
        print(f"not yet: {slip}")
        return reference
    print("right")
    return answer


def call_answer(function: Callable, *arguments: object) -> object:
    """Call a student's function; a result of None is the forgotten `return`."""
    result = function(*arguments)
    if result is None:
        raise Slip("your function returns nothing; did you forget `return`?")
    return result
