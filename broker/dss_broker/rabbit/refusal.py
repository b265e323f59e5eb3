"""Sentences for operators about a refusal by RabbitMQ: with the setting to change, without the password."""

import re
import ssl

from pika.adapters.utils.connection_workflow import (  # no py.typed
    AMQPConnectionWorkflowFailed,
    AMQPConnectorTransportSetupError,
)
from pika.exceptions import (
    AuthenticationError,
    ChannelClosedByBroker,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
)

ACCESS_REFUSED = 403

OLDEST = (3, 10)
"""The oldest RabbitMQ.  3.10 is the first whose quorum queues have a message TTL, which the retry queues need, and dead
letters that are not lost (at-least-once).
"""

_VERSION = re.compile(r"(\d+)\.(\d+)")


def refusal(error: BaseException, parameters: object) -> str:
    """A sentence for operators about the refusal ``error``; "" for an error that is no refusal.

    ``parameters`` are pika's parameters of the connection, from which the user and the virtual host are read.
    """
    user = getattr(getattr(parameters, "credentials", None), "username", "?")
    vhost = getattr(parameters, "virtual_host", "?")
    match error:
        case AuthenticationError() | ProbableAuthenticationError():
            return f"RabbitMQ refuses the user '{user}' or the password in DSS_AMQP_URL."
        case ProbableAccessDeniedError() if f"vhost {vhost} not found" in str(error):
            return f"RabbitMQ has no virtual host '{vhost}', which DSS_AMQP_URL names."
        case ProbableAccessDeniedError() if "refused for user" in str(error):
            return (
                f"RabbitMQ does not let the user '{user}' of DSS_AMQP_URL into the virtual host '{vhost}': "
                f"{_words(error)}."
            )
        case ChannelClosedByBroker() if _is_about_retries(error):
            return (
                f"RabbitMQ refuses the user '{user}' of DSS_AMQP_URL to create the retry queues: {error.reply_text}. "
                "A portal creates them when it starts, and the program waits for that. If a portal runs, its user lacks "
                "rights: 'python -m dss_broker' prints them."
            )
        case ChannelClosedByBroker() if error.reply_code == ACCESS_REFUSED:
            return (
                f"RabbitMQ refuses the user '{user}' of DSS_AMQP_URL a right that the program needs: "
                f"{error.reply_text}. 'python -m dss_broker' prints the rights."
            )
        case AMQPConnectionWorkflowFailed(
            exceptions=(*_, AMQPConnectorTransportSetupError(exception=ssl.SSLError() as failure))
        ):
            return _not_encrypted(failure)
    return ""


def too_old(properties: object) -> str:
    """A sentence for operators if RabbitMQ is older than OLDEST; otherwise "", also for a server that does not say which
    RabbitMQ it is.  ``properties`` are the server's properties of the connection.
    """
    named = properties if isinstance(properties, dict) else {}
    if named.get("product") != "RabbitMQ" or not (
        found := _VERSION.match(str(named.get("version")))
    ):
        return ""
    if (int(found[1]), int(found[2])) >= OLDEST:
        return ""
    oldest = ".".join(map(str, OLDEST))
    return f"DSS_AMQP_URL leads to RabbitMQ {named['version']}, which is too old: RabbitMQ {oldest} or newer is needed."


def no_leader(queue: str, parameters: object) -> str:
    """A sentence for operators about a quorum queue for which RabbitMQ does not answer.  ``parameters`` as for
    ``refusal``.

    A node of RabbitMQ 3.10 that is killed within seconds of the first declaration of a queue forgets that it is a member;
    it makes the queue anew, empty, and never elects a leader.  An election loses nothing.
    """
    vhost = str(getattr(parameters, "virtual_host", "/"))
    member = f"{'%2F' if vhost == '/' else vhost}_{queue}"
    return (
        f"RabbitMQ does not answer for the queue '{queue}', which may have no leader.  If all nodes of RabbitMQ run, this "
        f"elects one and loses no message: rabbitmqctl eval \"ra:trigger_election({{'{member}', node()}}).\""
    )


def _not_encrypted(failure: ssl.SSLError) -> str:
    found = re.sub(r"^\[.*?\] | \(_ssl\.c:\d+\)$", "", str(failure.args[-1])).rstrip(".")
    hint = ""
    if isinstance(failure, ssl.SSLCertVerificationError):
        hint = " SSL_CERT_FILE can name a file with the certificate of the server's authority."
    return f"The encrypted connection to RabbitMQ at DSS_AMQP_URL failed: {found}.{hint}"


def _is_about_retries(error: ChannelClosedByBroker) -> bool:
    """True if RabbitMQ refused the declaration of a retry queue because the user may not write to the default
    exchange.
    """
    return error.reply_code == ACCESS_REFUSED and "'amq.default'" in str(error.reply_text)


def _words(error: BaseException) -> str:
    return str(error).rpartition("NOT_ALLOWED - ")[2].rstrip("'\",)(")
