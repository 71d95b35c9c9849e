"""Pauses that an event cuts short."""

import asyncio
from asyncio import Event


async def set_within(event: Event, seconds: float) -> bool:
    """Wait for an event; tell whether it came in time."""
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False
