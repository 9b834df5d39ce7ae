"""Ask, take the answer, and let a refused one be repaired once. Knows no kind of genome.

What an answer becomes is the caller's `apply`, which refuses with a `GenomeError`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from evolve.chat import Chat, Message, Reply
from evolve.errors import ExperimentError, GenomeError, Infertile
from evolve.genome import Json
from evolve.genomes.program.answer import spoken
from evolve.score import G, Needs, Objective, Record
from evolve.variation import Offspring
from operators.llm.wording import Draw, filled, said

BESIDE = Needs(cpus=0.0, waits=True)  # a chat keeps its own time


def asked(chat: Chat, opening: str, question: str, draw: Draw) -> tuple[list[Message], Reply]:
    """The conversation so far and the answer. `opening`: the text of the system's message."""
    messages = [Message("system", opening), Message("user", question)]
    return messages, chat.ask(messages, sample=draw.sample, temperature=draw.temperature)


def conceived(
    chat: Chat,
    question: str,
    apply: Callable[[str], G],
    draw: Draw,
    facts: Mapping[str, Json],
    before: Sequence[Reply] = (),
    opening: str | None = None,
) -> Offspring[G]:
    """The child that `apply` makes of the answer to `question`, or of its one repair.

    `before`: replies to earlier requests of this variation, for the sum of tokens.
    Raises `Infertile` if the repair is refused too; `ChatError` and `BudgetSpent` as `chat` does.
    """
    first = said(draw.opening) if opening is None else opening
    messages, reply = asked(chat, first, question, draw)
    replies = [*before, reply]
    repaired: dict[str, Json] = {}
    try:
        child = apply(reply.text)
    except GenomeError as refusal:
        repaired = {"repaired": str(refusal)}
        again = [
            *messages,
            Message("assistant", spoken(reply.text).strip() or "(nothing)"),
            Message("user", filled("repair", {"refusal": str(refusal)})),
        ]
        replies.append(chat.ask(again, sample=draw.sample, temperature=draw.temperature))
        try:
            child = apply(replies[-1].text)
        except GenomeError as error:
            raise Infertile(
                f"the answer was refused ({refusal}), and so was its repair ({error})",
                spending(replies),
            ) from error
    return Offspring(child, {**draw.facts, **spending(replies), **facts, **repaired})


def spending(replies: Sequence[Reply]) -> dict[str, Json]:
    """Facts of requests: keys of transcripts, tokens, and whether any were estimated."""
    return {
        "transcripts": [reply.key for reply in replies],
        "tokens_in": sum(reply.prompt_tokens for reply in replies),
        "tokens_out": sum(reply.completion_tokens for reply in replies),
        "estimated": any(reply.estimated for reply in replies),
    }


def taught(
    given: Sequence[Record[G]], arity: int, n_lessons: int, name: str
) -> tuple[Sequence[Record[G]], Sequence[Record[G]]]:
    """The parents and the failed children among `given`. Raises `ExperimentError`."""
    if not arity <= len(given) <= arity + n_lessons:
        raise ExperimentError(
            f"{name} was given {len(given)} records; give {arity} parents and at most "
            f"{n_lessons} failed children."
        )
    return given[:arity], given[arity:]


def check(
    name: str, objectives: Sequence[Objective], task: str, counts: Mapping[str, int]
) -> None:
    """Raise `ExperimentError` for fields that cannot be asked about."""
    if not objectives:
        raise ExperimentError(f"{name} has no objectives; give those of the fitness.")
    if not task.strip():
        raise ExperimentError(f"{name} has no task; say what the program is for.")
    for count, value in counts.items():
        if value < 0:
            raise ExperimentError(f"{name} has {count}={value}; give 0 or more.")
