"""The permissions of RabbitMQ's users, as data: one user for each program, with the permissions that it needs.

RabbitMQ has permissions to configure, write and read by name, and on a topic exchange by routing key:
https://www.rabbitmq.com/docs/access-control.  What is not listed here is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dss_broker.topology import DEATH_EXCHANGE, EXCHANGE, REPLY_EXCHANGE

NOTHING = "^$"
SHARED = r"dss\.(tickets|replies|dead|deaths|retry\.[0-9]+m?s)"
"""Regular expression for the exchanges and queues that every program declares.  The program that starts first creates
them; the portal creates the retry queues.
"""


@dataclass(frozen=True, kw_only=True)
class Topic:
    """Regular expressions for the routing keys that a user may publish (``write``) and bind to a queue (``read``)."""

    write: str = NOTHING
    read: str = NOTHING


@dataclass(frozen=True, kw_only=True)
class Rights:
    """Permissions of one user: regular expressions for names and, by exchange, for routing keys.

    ``own`` are the names that the user may configure, write and read; ``write_too`` are more names to write; ``tags``
    are RabbitMQ's tags of the user.
    """

    own: str = NOTHING
    write_too: str = ""
    tags: str = ""
    topics: Mapping[str, Topic] = field(default_factory=dict)

    @property
    def write(self) -> str:
        return f"{self.own}|{self.write_too}" if self.write_too else self.own


def _named(*names: str) -> str:
    return f"^({'|'.join(names)})$"


_TO_REQUESTERS = Topic(write=r"^dss\.replies\.dispatch\.")


def _marks_of(part: str) -> Topic:
    """Permissions for the marks of messages in the queues ``dss.<part>.*``; ``part`` is a regular expression."""
    return Topic(write=rf"^dss\.deaths\.{part}\.", read=rf"^dss\.deaths\.{part}\.")


USERS: Mapping[str, Rights] = {
    "dss-portal": Rights(
        own=_named(
            SHARED,
            r"dss\.(deaths\.)?portal\..+",
            r"dss\.replies\.portal\..+",
            r"dss\.dead\.reader",
        ),
        write_too=r"^amq\.default$",  # dead letters are requeued by it
        topics={
            EXCHANGE: Topic(
                write=r"^(ticket\.|claim\.event\.LeaseOverdue$|results\.check$|upload\.read$)",
                read=r"^((claim\.requested|(claim|upload)\.event|(service|worker)\.announced)\.|reader\.announced$)",
            ),
            REPLY_EXCHANGE: Topic(write=_TO_REQUESTERS.write, read=r"^dss\.replies\.portal\."),
            DEATH_EXCHANGE: _marks_of("portal"),
        },
    ),
    "dss-dispatch": Rights(
        own=_named(
            SHARED,
            r"dss\.(deaths\.)?dispatch\..+",
            r"dss\.(check|uploads)",
            r"dss\.deaths\.(check|uploads)\..+",
            r"dss\.replies\.dispatch\..+",
        ),
        topics={
            EXCHANGE: Topic(
                write=r"^(claim\.requested|claim\.event\.Claim|upload\.event|(service|reader)\.announced|inference\.run)",
                read=r"^((ticket\.(ready|withdrawn)|worker\.announced)\.|(results\.check|upload\.read)$)",
            ),
            REPLY_EXCHANGE: Topic(
                write=r"^dss\.replies\.portal\.", read=r"^dss\.replies\.dispatch\."
            ),
            DEATH_EXCHANGE: _marks_of("(dispatch|check|uploads)"),
        },
    ),
    "dss-inference": Rights(
        own=_named(SHARED, r"dss\.(deaths\.)?inference\..+"),
        topics={
            EXCHANGE: Topic(
                write=r"^worker\.announced\.", read=r"^(inference\.run|ticket\.withdrawn)\."
            ),
            REPLY_EXCHANGE: _TO_REQUESTERS,
            DEATH_EXCHANGE: _marks_of("inference"),
        },
    ),
    "dss-monitor": Rights(
        tags="monitoring",  # reads everything in the console and its API
        topics={EXCHANGE: Topic(), REPLY_EXCHANGE: Topic(), DEATH_EXCHANGE: Topic()},
    ),
}


def definitions(passwords: Mapping[str, str], vhost: str = "/") -> dict[str, list[dict[str, Any]]]:
    """The content of a definitions file for RabbitMQ's ``load_definitions`` or ``rabbitmqctl import_definitions``.

    It contains ``vhost``, users, permissions and the topic exchanges: RabbitMQ 4.3 refuses permissions on an exchange
    that does not exist.  Raises KeyError if ``passwords``, by user, lacks a user of USERS.
    """
    return {
        "vhosts": [{"name": vhost}],
        "users": [
            {"name": user, "password": passwords[user], "tags": rights.tags}
            for user, rights in USERS.items()
        ],
        "permissions": [
            {"user": user, "vhost": vhost}
            | {"configure": rights.own, "write": rights.write, "read": rights.own}
            for user, rights in USERS.items()
        ],
        "exchanges": [
            {"name": name, "vhost": vhost, "type": "topic", "durable": True}
            | {"auto_delete": False, "internal": False, "arguments": {}}
            for name in (EXCHANGE, REPLY_EXCHANGE, DEATH_EXCHANGE)
        ],
        "topic_permissions": [
            {"user": user, "vhost": vhost, "exchange": exchange}
            | {"write": topic.write, "read": topic.read}
            for user, rights in USERS.items()
            for exchange, topic in rights.topics.items()
        ],
    }
