"""An MCP server with two tools, on stdin and stdout."""
import sys

from mcp.server import MCPServer

server = MCPServer("example")


@server.tool()
def count(text: str, part: str) -> int:
    """How often `part` occurs in `text`, overlapping occurrences included."""
    return sum(text.startswith(part, at) for at in range(len(text)))


@server.tool()
def python() -> str:
    """Which python serves this, and in which environment."""
    return f"{sys.version.split()[0]} in {sys.prefix}"


if __name__ == "__main__":
    server.run()
