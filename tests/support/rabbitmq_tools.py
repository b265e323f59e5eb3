"""RabbitMQ's command-line tools, as an operator runs them in a shell on the machine of a node."""

import subprocess

from dss_stack.rabbitmq import RabbitNode
from dss_stack.servers import find_rabbitmq


def run_tool(node: RabbitNode, program: str, *words: str) -> str:
    """Run ``program``, such as rabbitmqctl, with ``words``, and return what it printed.  It must succeed."""
    programs = find_rabbitmq(node.sysroot)
    done = subprocess.run(
        [programs.path(program), *words],
        env=node._environment(programs),
        check=False,
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
