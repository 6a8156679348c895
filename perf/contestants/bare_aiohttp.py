"""Bare aiohttp: the least that a Python client can do. No retries, no records, no checks."""

import asyncio

import aiohttp
from common import KEY, MODEL, SAMPLING, save, task


async def main():
    url, prompts, concurrency, output = task()
    todo, replies = iter(enumerate(prompts)), {}
    connector = aiohttp.TCPConnector(limit=concurrency)
    headers = {"Authorization": f"Bearer {KEY}"}
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:

        async def work():
            for index, prompt in todo:
                messages = [{"role": "user", "content": prompt}]
                body = {"model": MODEL, "messages": messages, **SAMPLING}
                async with session.post(f"{url}/chat/completions", json=body) as response:
                    response.raise_for_status()
                    reply = await response.json()
                replies[index] = reply["choices"][0]["message"]["content"]

        await asyncio.gather(*(work() for _ in range(concurrency)))
    save(replies.values(), output)


asyncio.run(main())
