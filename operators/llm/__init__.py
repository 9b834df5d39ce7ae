"""Operators that ask a language model. Each takes a `Chat`, keeps transcripts, and waits aside."""

from operators.llm.code import CodeCrossover, CodeMutation
from operators.llm.debate import Debate, break_ties
from operators.llm.ensemble import operators_of
from operators.llm.judging import Judge, LanguageJudge, MetricJudge, elo, tournament
from operators.llm.strategy import EvoLLM
from operators.llm.thought import EvolutionOfThought
from operators.llm.wording import PLAIN, ROLES, Style

__all__ = [
    "operators_of",
    "CodeMutation",
    "CodeCrossover",
    "EvolutionOfThought",
    "Debate",
    "break_ties",
    "Judge",
    "LanguageJudge",
    "MetricJudge",
    "elo",
    "tournament",
    "EvoLLM",
    "Style",
    "PLAIN",
    "ROLES",
]
