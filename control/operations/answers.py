"""How components are asked, and how their answers are put into words."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from control.operations.operation import Asked, CannotBeDone, Choice, Outcome, done, failed, unanswered
from processors.components.instructions import Answer, NobodyThere, instruct
from processors.components.report import Component, components
from processors.store import Store

# A worker answers between two batches, `up` between two looks at its settings.
ANSWER_S: Final = 2.0


def reporting(store: Store, to: str) -> list[Component]:
    """Who reports under a name, of a kind, as `host:pid`, or `all`."""
    return [one for one in components(store.redis) if one.is_called(to)]


def label_of(component: Component) -> str:
    """What people call it."""
    return f"{component.name} (process {component.pid} on {component.host})"


def choices_of(store: Store, kind: str) -> list[Choice]:
    """The components of a kind that report now, by name."""
    names = {one.name: one for one in components(store.redis) if one.kind == kind}
    return [Choice(name, label_of(names[name])) for name in sorted(names)]


def answers_to(asked: Asked[Any], to: str, what: str, **arguments: Any) -> list[Answer]:
    """Instruct components and wait for their answers.

    Raises:
        CannotBeDone: Nobody of that name reports, or somebody refused.
    """
    try:
        answers = instruct(asked.store.redis, to, what, arguments, timeout_s=min(ANSWER_S, asked.left_s))
    except NobodyThere:
        raise CannotBeDone(f"No {to} reports, so nobody can be asked: is it running?") from None
    if answers and not any(answer.ok for answer in answers):
        raise CannotBeDone(_said(answers))
    return answers


def ask(asked: Asked[Any], to: str, what: str, **arguments: Any) -> Outcome:
    """Instruct components; the outcome is what they answered, each by its name.

    Raises:
        CannotBeDone: Nobody of that name reports, or all refused.
    """
    there = reporting(asked.store, to)
    answers = answers_to(asked, to, what, **arguments)
    return outcome_of(answers, there)


def outcome_of(answers: Sequence[Answer], there: Sequence[Component]) -> Outcome:
    """What came of an instruction.

    Args:
        answers: Those that came.
        there: Who should have answered.
    """
    heard = {(answer.host, answer.pid) for answer in answers}
    silent = [one for one in there if (one.host, one.pid) not in heard]
    namesakes = Counter(one.name for one in there)
    missing = sorted(one.name if namesakes[one.name] == 1 else label_of(one) for one in silent)
    before = {_key(answer, answers): answer.before for answer in answers}
    after = {_key(answer, answers): answer.after for answer in answers}
    said = _said(answers)
    if missing or not answers:
        unheard = f"No answer within {ANSWER_S:g} s from {', '.join(missing) or 'anybody'}"
        return unanswered(f"{said} {unheard}: it may still happen.".strip(), before, after)
    refused = not all(answer.ok for answer in answers)
    return (failed if refused else done)(said, before, after)


def successors(asked: Asked[Any], gone: Sequence[Component], at_most_s: float) -> dict[str, Component | None]:
    """Wait for those who follow components that end: the same name on the same host, begun later.

    Returns:
        By name; None for one that has not reported in time.
    """

    def found() -> dict[str, Component | None]:
        there = components(asked.store.redis)
        return {one.name: next((new for new in there if _follows(new, one)), None) for one in gone}

    asked.wait(lambda: all(found().values()), at_most_s)
    return found()


def _follows(new: Component, old: Component) -> bool:
    return (new.name, new.host) == (old.name, old.host) and (new.pid, new.since) != (old.pid, old.since)


def _key(answer: Answer, answers: Sequence[Answer]) -> str:
    """By its name; where several have the same, by host and process, too."""
    namesakes = sum(other.component == answer.component for other in answers)
    return answer.component if namesakes == 1 else f"{answer.component} {answer.host}:{answer.pid}"


def _said(answers: Sequence[Answer]) -> str:
    """What they said; who says the same is named once."""
    speakers: dict[str, list[str]] = {}
    for answer in answers:
        speakers.setdefault(answer.said, []).append(answer.component)
    sentences = [f"{', '.join(sorted(set(names)))}: {said}" for said, names in speakers.items()]
    return " ".join(sentence if sentence.endswith((".", "!")) else f"{sentence}." for sentence in sentences)
