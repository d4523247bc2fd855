"""Pairs written by a model behind OpenAI's chat interface: asked concurrently, retried, and never paid for twice.

Every reply is kept in a folder under the hash of what was asked (model, prompt, seed and what else shapes the reply;
not the url, so that a server may move). A killed stage asks for the missing ones only; whoever wants other replies
removes the folder. The key is read from the environment when it is needed and stands in no file and no message.
"""

import asyncio
import hashlib
import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import openai
from openai.types import CompletionUsage
from openai.types.chat import ChatCompletion, ChatCompletionMessage
from openai.types.chat.chat_completion import Choice
from pydantic import SecretStr

from models import pairs
from models.configs import EndpointConfig
from models.files import read_json, write_json
from models.records import Experience, QAPair

log = logging.getLogger("selfparam")

NO_KEY = "none"  # the client wants one; servers that need none ignore it
SETTING = "synthesize.endpoint"
# What the client would tell about this machine with every request.
UNSAID = {f"X-Stainless-{name}": openai.Omit() for name in (
    "Lang", "Package-Version", "OS", "Arch", "Runtime", "Runtime-Version", "Async",
)}  # fmt: skip


class Reply(NamedTuple):
    """What the endpoint wrote, and what it says that it read and wrote (none: it does not say)."""

    text: str
    finish_reason: str | None
    input_tokens: int | None
    output_tokens: int | None


class Written(NamedTuple):
    """An experience's pairs as they were read, and every reply that it took."""

    pairs: list[QAPair]
    replies: list[Reply]


def write(
    experiences: Sequence[Experience], config: EndpointConfig, *, seed: int, cache: Path
) -> tuple[dict[str, list[QAPair]], dict[str, Any]]:
    """Each experience's pairs by its id, not filtered yet, and the report on tokens and cost."""
    written = asyncio.run(_write(experiences, config, seed, cache))
    replies = [reply for one in written.values() for reply in one.replies]
    return {id: one.pairs for id, one in written.items()}, report(replies, config)


def report(replies: Sequence[Reply], config: EndpointConfig) -> dict[str, Any]:
    """Tokens and cost of the replies. The same whether they were asked for now or before: a rerun changes nothing."""
    input_tokens = sum(reply.input_tokens or 0 for reply in replies)
    output_tokens = sum(reply.output_tokens or 0 for reply in replies)
    cost = None
    if config.price_per_million_input is not None and config.price_per_million_output is not None:
        cost = (
            input_tokens * config.price_per_million_input + output_tokens * config.price_per_million_output
        ) / 1_000_000
    return {
        "url": config.url,
        "model": config.model,
        "replies": len(replies),
        "unreadable": sum(not pairs.read(reply.text) for reply in replies),
        "cut_off": sum(reply.finish_reason == "length" for reply in replies),
        "without_token_counts": sum(reply.input_tokens is None or reply.output_tokens is None for reply in replies),
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        "cost": cost,
    }


async def _write(
    experiences: Sequence[Experience], config: EndpointConfig, seed: int, cache: Path
) -> dict[str, Written]:
    """Asks about `concurrency` experiences at a time. After an error nothing new is asked; what is under way ends."""
    written: dict[str, Written] = {}
    errors: list[ValueError] = []
    waiting = iter(experiences)
    key = _key(config)

    async def work(client: openai.AsyncOpenAI) -> None:
        for experience in waiting:  # shared by all workers
            if errors:
                return
            try:
                one = await _about(client, experience, config, seed, cache)
            except openai.OpenAIError as error:
                errors.append(ValueError(_explained(error, config, key)))
                return
            written[experience.id] = one
            log.info(
                "synthesize %d/%d %s: %d pairs by %s",
                len(written), len(experiences), experience.id, len(one.pairs), config.model,
            )  # fmt: skip

    async with openai.AsyncOpenAI(
        base_url=config.url,
        api_key=key.get_secret_value(),
        timeout=config.timeout_seconds,
        max_retries=config.max_retries,
    ) as client:
        await asyncio.gather(*(work(client) for _ in range(min(config.concurrency, len(experiences)))))
    if errors:
        raise errors[0]
    return {e.id: written[e.id] for e in experiences}


def _key(config: EndpointConfig) -> SecretStr:
    key = os.environ.get(config.key_env, "").strip()
    if not (key.isascii() and key.isprintable()):  # no header could carry it, and the error would show it
        raise ValueError(f"The environment variable {config.key_env} holds no key: it has signs that no key has.")
    return SecretStr(key or NO_KEY)


async def _about(
    client: openai.AsyncOpenAI, experience: Experience, config: EndpointConfig, seed: int, cache: Path
) -> Written:
    """Asks with the next seed while no pair can be read, `tries` times in all."""
    replies = []
    found: list[pairs.Pair] = []
    for attempt in range(config.tries):
        reply = await _reply(client, experience.text, config, seed + attempt, cache)
        replies.append(reply)
        found = [pair for pair in pairs.read(reply.text) if not pairs.copied(pair, experience.text)][: config.pairs]
        if reply.finish_reason == "length":
            log.warning("synthesize %s: reply cut off at %s.max_tokens", experience.id, SETTING)
        if found:
            break
    return Written(
        [
            QAPair(experience=experience.id, question=p.question, answer=p.answer, kind=p.kind, writer=config.model)
            for p in found
        ],
        replies,
    )


async def _reply(client: openai.AsyncOpenAI, text: str, config: EndpointConfig, seed: int, cache: Path) -> Reply:
    """From the cache, or else asked for and put there."""
    asked: dict[str, Any] = {
        "model": config.model,
        "messages": pairs.messages(text, config.pairs),
        "seed": seed,
        config.max_tokens_name: config.max_tokens,
    }
    if config.temperature is not None:
        asked["temperature"] = config.temperature
    kept = cache / f"{hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()}.json"
    if kept.exists():
        return Reply(**read_json(kept))
    completion: Any
    try:
        completion = await client.chat.completions.create(**asked, extra_headers=UNSAID)
    except json.JSONDecodeError:
        completion = None
    match completion:  # the client lets everything through
        case ChatCompletion(choices=[Choice(message=ChatCompletionMessage() as message) as choice, *_]):
            usage = completion.usage if isinstance(completion.usage, CompletionUsage) else None
        case _:
            raise openai.OpenAIError("no chat completion")  # a web page, or another interface
    reply = Reply(
        _text(message.content),
        choice.finish_reason,
        usage.prompt_tokens if usage else None,
        usage.completion_tokens if usage else None,
    )
    write_json(kept, reply._asdict())
    return reply


def _text(content: Any) -> str:
    """What was said, without lone surrogates. Some servers send it in parts."""
    parts = content if isinstance(content, list) else [{"text": content}]
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    return "".join(text for text in texts if isinstance(text, str)).encode("utf-8", "ignore").decode("utf-8")


def _said(error: openai.APIStatusError) -> str:
    """The status, and the server's own words."""
    words = error.body.get("message") or error.body.get("detail") if isinstance(error.body, dict) else error.body
    return f"status {error.status_code}: {str(words or error.message)[:500]}"


def _explained(error: openai.OpenAIError, config: EndpointConfig, key: SecretStr) -> str:
    """What went wrong at which url, and the setting to change. Nothing of the key, even where the server repeats it."""
    match error:
        case openai.APITimeoutError():
            told = (
                f"did not answer within {config.timeout_seconds:g} seconds, asked {config.max_retries + 1} times. "
                f"Raise {SETTING}.timeout_seconds, or lower {SETTING}.concurrency or .pairs"
            )
        case openai.APIConnectionError():
            why = error.__cause__ or "no connection"
            told = f"cannot be reached ({why}). Start the server, or correct {SETTING}.url"
        case openai.AuthenticationError() | openai.PermissionDeniedError():
            which = "asks for a key" if key.get_secret_value() == NO_KEY else "does not accept the key"
            told = (
                f"{which} (status {error.status_code}). Put a valid one into the environment variable "
                f"{config.key_env} ({SETTING}.key_env), and never into a file"
            )
        case openai.NotFoundError():
            told = (
                f"knows no model {config.model}, or nothing is at this path ({_said(error)}). "
                f"Correct {SETTING}.model or .url (it often ends in /v1)"
            )
        case openai.RateLimitError():
            told = (
                f"allows no more requests now ({_said(error)}). "
                f"Lower {SETTING}.concurrency, raise .max_retries, or look after the account's limits"
            )
        case openai.InternalServerError():
            told = f"failed {config.max_retries + 1} times ({_said(error)}). See the server's own log"
        case openai.APIStatusError():
            told = (
                f"refused the request ({_said(error)}). "
                f"Correct {SETTING}.model, .max_tokens, .max_tokens_name or .temperature"
            )
        case _:
            told = f"answered, but not with a chat completion. Correct {SETTING}.url (it often ends in /v1)"
    told = " ".join(told.split())
    if key.get_secret_value() != NO_KEY:
        told = told.replace(key.get_secret_value(), "***")
    return f"{config.url} {told}. Replies that came are kept: run again and only the missing ones are asked for."
