"""The official client over its aiohttp transport, which its documentation advises for loads."""

import asyncio

import openai_httpx
from openai import DefaultAioHttpClient


async def main():
    async with DefaultAioHttpClient() as transport:
        await openai_httpx.main(transport)


asyncio.run(main())
