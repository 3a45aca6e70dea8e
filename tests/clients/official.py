"""The official Python client against a server: lists the tools, makes the calls it is told, prints what came as JSON.

    official.py MODE http URL            < calls.json
    official.py MODE stdio PROGRAM ARG…  < calls.json

`calls.json` is a list of [tool, arguments]. Where the variable TOOLGATE_LEAVE holds one such call, that one is begun instead, and
the client closes when stdin ends, without waiting for its answer. Where TOOLGATE_CREDENTIALS holds ID:SECRET, the client gets its tokens by them from TOOLGATE_ISSUER.
"""

import asyncio
import json
import os
import sys

from mcp import Client
from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import create_mcp_http_client, streamable_http_client


class Storage:
    """Tokens in memory."""

    tokens = None
    client = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens) -> None:
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client_info) -> None:
        self.client = client_info


def with_credentials(url: str):
    client, secret = os.environ["TOOLGATE_CREDENTIALS"].split(":")
    provider = ClientCredentialsOAuthProvider(
        url, Storage(), client, secret, issuer=os.environ["TOOLGATE_ISSUER"]
    )
    return streamable_http_client(url, http_client=create_mcp_http_client(auth=provider))


def server_of(transport: str, rest: list[str]):
    if transport == "http":
        return with_credentials(rest[0]) if "TOOLGATE_CREDENTIALS" in os.environ else rest[0]
    return stdio_client(StdioServerParameters(command=rest[0], args=rest[1:], env=dict(os.environ)))


async def leave(mode: str, transport: str, rest: list[str], tool: str, arguments: dict) -> None:
    async with Client(server_of(transport, rest), mode=mode) as client:
        call = asyncio.ensure_future(client.call_tool(tool, arguments))
        await asyncio.to_thread(sys.stdin.read)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)


async def main(mode: str, transport: str, rest: list[str], calls: list) -> dict:
    async with Client(server_of(transport, rest), mode=mode) as client:
        listed = await client.list_tools()
        answers = []
        for tool, arguments in calls:
            result = await client.call_tool(tool, arguments)
            texts = [block.text for block in result.content]
            answers.append({"error": bool(result.is_error), "texts": texts, "value": result.structured_content})
        return {
            "version": client.session.protocol_version,
            "tools": [tool.name for tool in listed.tools],
            "answers": answers,
        }


if __name__ == "__main__":
    if left := os.environ.get("TOOLGATE_LEAVE"):
        asyncio.run(leave(sys.argv[1], sys.argv[2], sys.argv[3:], *json.loads(left)))
        sys.exit()
    told = asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3:], json.load(sys.stdin)))
    print(json.dumps(told))
