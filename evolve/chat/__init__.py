"""Asking a language model behind any OpenAI-compatible endpoint, within caps, on record."""

from evolve.chat.account import Cap, Charge
from evolve.chat.chat import Chat, Reply
from evolve.chat.request import Message

__all__ = ["Chat", "Cap", "Charge", "Message", "Reply"]
