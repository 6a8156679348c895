"""The official client as it comes: AsyncOpenAI over its default httpx transport."""

import asyncio

from common import KEY, MODEL, SAMPLING, save, task
from openai import AsyncOpenAI


async def main(transport=None):
    """Ask by `concurrency` workers; `transport` replaces the client's default HTTP client."""
    url, prompts, concurrency, output = task()
    todo, replies = iter(enumerate(prompts)), {}
    async with AsyncOpenAI(base_url=url, api_key=KEY, http_client=transport) as client:

        async def work():
            for index, prompt in todo:
                messages = [{"role": "user", "content": prompt}]
                reply = await client.chat.completions.create(
                    model=MODEL, messages=messages, **SAMPLING
                )
                replies[index] = reply.choices[0].message.content

        await asyncio.gather(*(work() for _ in range(concurrency)))
    save(replies.values(), output)


if __name__ == "__main__":
    asyncio.run(main())
