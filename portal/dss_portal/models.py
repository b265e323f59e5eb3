"""The portal's tables in PostgreSQL.  A change here needs a generated migration; new columns need ``db_default``.

More than 300 lines: one short class for each table, which Tortoise and its migrations find in one module.

``table_description`` is the table's comment in PostgreSQL as a migration created it, so that a docstring may change
without a migration.
"""

from enum import StrEnum

from tortoise import fields
from tortoise.models import Model

from dss_portal.patches import tortoise_comments

tortoise_comments.install()


class Status(StrEnum):
    """The state of a ticket, in ITK-SNAP's words.  Any other word in the ticket list would crash ITK-SNAP."""

    INIT = "init"
    READY = "ready"
    CLAIMED = "claimed"
    SUCCESS = "success"
    FAILED = "failed"
    TIMEOUT = "timeout"
    DELETED = "deleted"


class Tier(Model):
    """A class of users with the same limits on open tickets, stored bytes and stored files.

    In queues, tickets of its users are ordered as if they had been submitted ``priority_minutes`` earlier.
    """

    name = fields.CharField(max_length=64, primary_key=True)
    max_tickets = fields.IntField()
    max_stored_bytes = fields.BigIntField()
    max_files = fields.IntField(db_default=1000)
    priority_minutes = fields.IntField(db_default=0)

    class Meta(Model.Meta):
        table = "tier"
        table_description = "A class of users and what they may use."


class User(Model):
    id = fields.IntField(primary_key=True)
    email = fields.CharField(max_length=320, unique=True)
    display_name = fields.TextField(db_default="")
    sysadmin = fields.BooleanField(db_default=False)
    disabled = fields.BooleanField(db_default=False)
    terms_accepted_at = fields.DatetimeField(null=True)
    tier: fields.ForeignKeyRelation[Tier] = fields.ForeignKeyField("portal.Tier", to_field="name")
    created_at = fields.DatetimeField(auto_now_add=True)
    tier_id: str

    class Meta(Model.Meta):
        table = "user_account"


class LoginToken(Model):
    """A token for one sign-in.  The row contains the token's SHA-256, not the token."""

    sha256 = fields.CharField(max_length=64, primary_key=True)
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField("portal.User")
    expires_at = fields.DatetimeField()
    used_at = fields.DatetimeField(null=True)

    class Meta(Model.Meta):
        table = "login_token"
        table_description = "A token for one sign-in.  Only its SHA-256 is kept."


class Session(Model):
    """A signed-in client.  The row contains the SHA-256 of the session id in the client's cookie, not the id."""

    sha256 = fields.CharField(max_length=64, primary_key=True)
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField("portal.User")
    terms_accepted = fields.BooleanField(db_default=False)
    created_at = fields.DatetimeField(auto_now_add=True)
    revoked_at = fields.DatetimeField(null=True)
    user_id: int

    class Meta(Model.Meta):
        table = "session"
        table_description = "A signed-in client.  Only the SHA-256 of the id in its cookie is kept."


class ApiToken(Model):
    """A user's long-lived token for programs.  The row contains the token's SHA-256, not the token."""

    id = fields.IntField(primary_key=True)
    sha256 = fields.CharField(max_length=64, unique=True)
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField("portal.User")
    name = fields.TextField()
    scopes = fields.TextField()
    created_at = fields.DatetimeField(auto_now_add=True)
    expires_at = fields.DatetimeField(null=True)
    revoked_at = fields.DatetimeField(null=True)

    class Meta(Model.Meta):
        table = "api_token"
        table_description = "A long-lived token for programs.  Only its SHA-256 is kept."


class MachineSignIn(Model):
    """A request of a command line to be signed in as a user.  ``allowed`` is None until a user answers.

    The row contains SHA-256s of two secrets, not the secrets: ``sha256`` is of the secret that the command line keeps,
    ``passed_on`` of the secret that the browser on its machine delivers to it.
    """

    sha256 = fields.CharField(max_length=64, primary_key=True)
    code = fields.CharField(max_length=8, unique=True)
    machine = fields.TextField()
    scopes = fields.TextField()
    callback = fields.TextField()
    address = fields.TextField()
    expires_at = fields.DatetimeField()
    user: fields.ForeignKeyNullableRelation[User] = fields.ForeignKeyField("portal.User", null=True)
    allowed = fields.BooleanField(null=True)
    passed_on = fields.CharField(max_length=64, db_default="")
    user_id: int | None

    class Meta(Model.Meta):
        table = "machine_sign_in"
        table_description = (
            "A command line that asks to be signed in.  Only SHA-256s of its secrets are kept."
        )


class Service(Model):
    """One version of a service.  Clients know it by ``githash``, 40 hexadecimal digits."""

    id = fields.IntField(primary_key=True)
    githash = fields.CharField(max_length=40, unique=True)
    name = fields.TextField()
    version = fields.TextField()
    shortdesc = fields.TextField()
    descriptor: "fields.Field[dict[str, object]]" = fields.JSONField()
    current = fields.BooleanField(db_default=True)
    heard_at = fields.DatetimeField(null=True)
    created_at = fields.DatetimeField(null=True, auto_now_add=True)
    polled_at = fields.DatetimeField(null=True)  # last poll by a provider over HTTP

    class Meta(Model.Meta):
        table = "service"
        table_description = (
            "One version of a service, known to clients by a hash of 40 hexadecimal digits."
        )


class Provider(Model):
    id = fields.IntField(primary_key=True)
    name = fields.CharField(max_length=78, unique=True)
    current = fields.BooleanField(db_default=True)

    class Meta(Model.Meta):
        table = "provider"


class ProviderService(Model):
    """A service that a provider offers, or has offered before (then ``current`` is false)."""

    id = fields.IntField(primary_key=True)
    provider: fields.ForeignKeyRelation[Provider] = fields.ForeignKeyField("portal.Provider")
    service: fields.ForeignKeyRelation[Service] = fields.ForeignKeyField("portal.Service")
    current = fields.BooleanField(db_default=True)
    provider_id: int

    class Meta(Model.Meta):
        table = "provider_service"
        table_description = "A provider that works for a service."
        unique_together = (("provider", "service"),)


class ProviderAccess(Model):
    """A user's right to claim tickets for a provider; with ``admin``, also to manage its users and services."""

    id = fields.IntField(primary_key=True)
    provider: fields.ForeignKeyRelation[Provider] = fields.ForeignKeyField("portal.Provider")
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField("portal.User")
    admin = fields.BooleanField(db_default=False)
    provider_id: int
    user_id: int

    class Meta(Model.Meta):
        table = "provider_access"
        table_description = (
            "A user who may claim for a provider; ``admin`` may also manage its users and services."
        )
        unique_together = (("provider", "user"),)


class Dispatcher(Model):
    """A dispatcher process that has announced itself, with the service that it serves and the bundle that it needs.

    The bundle is "" if the dispatcher needs no inference worker.  ``parallel`` is the largest number of tickets that it
    holds claims of at a time; 0 if it has not stated that.
    """

    id = fields.IntField(primary_key=True)
    service = fields.TextField()
    instance = fields.CharField(max_length=255)
    bundle = fields.CharField(max_length=255)
    heard_at = fields.DatetimeField()
    ended = fields.BooleanField(db_default=False)
    parallel = fields.IntField(db_default=0)

    class Meta(Model.Meta):
        table = "dispatcher"
        table_description = 'A dispatcher that said which service it takes tickets of, and whose workers it asks ("": none of ours).'
        unique_together = (("service", "instance"),)


class Publisher(Model):
    """A provider's program, such as ``dss service publish``, that serves a service over HTTP and announces itself.

    ``parallel`` is the largest number of tickets that it processes at a time; ``ended``: it claims no more tickets.  If
    one of its threads claims a ticket, the claim's ``instance`` is that of this row, followed by a hyphen and a number.
    """

    id = fields.IntField(primary_key=True)
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField("portal.User")
    service = fields.TextField()
    instance = fields.CharField(max_length=255)
    parallel = fields.IntField()
    heard_at = fields.DatetimeField()
    ended = fields.BooleanField(db_default=False)
    versions = fields.TextField(db_default="")
    """The ids of the service's versions that it serves, separated by spaces; "" if they are not known."""

    class Meta(Model.Meta):
        table = "publisher"
        table_description = (
            "A provider's program that said over HTTP that it serves a service; ``ended``: and that it "
            "takes nothing any more."
        )
        unique_together = (("user", "service", "instance"),)


class Worker(Model):
    """An inference worker process that has announced itself.  ``ended``: it has announced its end."""

    id = fields.IntField(primary_key=True)
    bundle = fields.CharField(max_length=255)
    instance = fields.CharField(max_length=255)
    device = fields.TextField()
    heard_at = fields.DatetimeField()
    ended = fields.BooleanField(db_default=False)

    class Meta(Model.Meta):
        table = "worker"
        table_description = "An inference worker that said where it runs; ``ended``: and that it takes nothing any more."
        unique_together = (("bundle", "instance"),)


class Ticket(Model):
    """A user's request to a service, with its current state.

    ``queued_at`` is when its wait began, ``claimed_at`` when its current attempt began; a lost attempt does not change
    ``queued_at``.  ``announcements`` counts the messages that announced the current wait; ``traceparent`` is that of
    the request that queued it.  ``uploaded_at`` is when the last part of a file was received.  ``missed`` is the kind
    of program that its log last reported as missing: ``dispatcher``, ``worker`` or "".  ``title`` is the owner's name
    for it, which is shown only to the owner.  ``verdict`` is the algorithm's verdict on the result: ``good``, ``look at
    it`` or "".  ``delete_at`` is when its planned deletion takes effect; None if none is planned.  ``voxels`` is the
    number of voxels of its largest image; None if unknown.  ``expected_at`` is its expected end, as its log last
    reported it.
    """

    id = fields.IntField(primary_key=True)
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField("portal.User")
    service: fields.ForeignKeyRelation[Service] = fields.ForeignKeyField("portal.Service")
    status = fields.CharEnumField(Status, max_length=32)
    attempt = fields.IntField(db_default=1)
    claim_id = fields.CharField(max_length=32, null=True)
    announced_at = fields.DatetimeField(null=True)
    announcements = fields.IntField(db_default=0)
    queued_at = fields.DatetimeField(null=True)
    claimed_at = fields.DatetimeField(null=True)
    uploaded_at = fields.DatetimeField(null=True)
    traceparent = fields.CharField(max_length=55, null=True)
    missed = fields.CharField(max_length=16, db_default="")
    title = fields.TextField(db_default="")
    verdict = fields.CharField(max_length=32, db_default="")
    delete_at = fields.DatetimeField(null=True)
    voxels = fields.BigIntField(null=True)
    expected_at = fields.DatetimeField(null=True)
    created_at = fields.DatetimeField(auto_now_add=True)
    user_id: int
    service_id: int

    class Meta(Model.Meta):
        table = "ticket"
        table_description = "``queued_at`` begins its wait, ``claimed_at`` its present attempt; a lost attempt keeps the former."
        indexes = (("user_id",), ("service_id", "status"), ("status",))


class Turn(Model):
    """The time at which a user's ticket was last claimed for a service, in any version of the service.  In queues, the
    user's waiting tickets are ordered as if they had come at this time at the earliest.
    """

    id = fields.IntField(primary_key=True)
    service = fields.TextField()
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField("portal.User")
    at = fields.DatetimeField()

    class Meta(Model.Meta):
        table = "turn"
        table_description = (
            "When a ticket of this user was last given out to a service, whichever version of it."
        )
        unique_together = (("user", "service"),)


class TicketKey(Model):
    """The idempotency key with which a user has created a ticket, and the SHA-256, as hexadecimal digits, of the form
    that was sent with it.
    """

    id = fields.BigIntField(primary_key=True)
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField("portal.User")
    key = fields.CharField(max_length=255)
    sha256 = fields.CharField(max_length=64)
    ticket: fields.ForeignKeyRelation[Ticket] = fields.ForeignKeyField("portal.Ticket")
    created_at = fields.DatetimeField()

    class Meta(Model.Meta):
        table = "ticket_key"
        table_description = "The idempotency key with which a user has created a ticket."
        unique_together = (("user", "key"),)


class TicketHistory(Model):
    id = fields.BigIntField(primary_key=True)
    ticket: fields.ForeignKeyRelation[Ticket] = fields.ForeignKeyField("portal.Ticket")
    status = fields.CharEnumField(Status, max_length=32)
    at = fields.DatetimeField(auto_now_add=True)
    ticket_id: int

    class Meta(Model.Meta):
        table = "ticket_history"
        indexes = (("ticket_id",), ("at",))


class Claim(Model):
    """A lease of a dispatcher or provider on a ticket.  The ticket's ``claim_id`` names its current claim.

    A dispatcher's claim has a ``delivery_id``.  A claim over HTTP has a ``user``, and a ``delivery_id`` if its
    request may be repeated.  ``silence_s`` is the longest time so far between two signs of life.  ``deliveries`` is
    the number of times that the dispatcher's message had been delivered when it claimed.
    """

    id = fields.CharField(max_length=32, primary_key=True)
    ticket: fields.ForeignKeyRelation[Ticket] = fields.ForeignKeyField("portal.Ticket")
    provider = fields.TextField()
    instance = fields.TextField()
    user: fields.ForeignKeyNullableRelation[User] = fields.ForeignKeyField("portal.User", null=True)
    delivery_id = fields.TextField(null=True)
    deliveries = fields.IntField(db_default=1)
    granted_at = fields.DatetimeField(auto_now_add=True)
    lease_s = fields.FloatField()
    expires_at = fields.DatetimeField()
    silence_s = fields.FloatField(db_default=0)
    ticket_id: int
    user_id: int | None

    class Meta(Model.Meta):
        table = "claim"
        table_description = "One hold of one worker on one ticket.  The ticket's ``claim_id`` names the current one."
        indexes = (("ticket_id",), ("delivery_id",))


class TicketFile(Model):
    """A file that a client may fetch.  ``index`` is its place in the order of first uploads, and never changes.

    ``folder`` is the folder of its attempt (``layout.attempt_dir``); "" if the file is in the folder of its area.
    """

    id = fields.BigIntField(primary_key=True)
    ticket: fields.ForeignKeyRelation[Ticket] = fields.ForeignKeyField("portal.Ticket")
    area = fields.CharField(max_length=16)
    index = fields.IntField()
    name = fields.CharField(max_length=255)
    size_bytes = fields.BigIntField()
    folder = fields.CharField(max_length=64, db_default="")
    ticket_id: int

    @property
    def place(self) -> str:
        """``folder/name``, or ``name`` if ``folder`` is "": what ``layout.file_path`` expects as ``place``."""
        return f"{self.folder}/{self.name}" if self.folder else self.name

    class Meta(Model.Meta):
        table = "ticket_file"
        table_description = "A file that a client may fetch.  ``index`` is the order of first upload and never changes."
        unique_together = (("ticket", "area", "index"), ("ticket", "area", "name"))


class TicketLabel(Model):
    """A label of the segmentation in the ticket's results; ``colour`` is ``#rrggbb``."""

    id = fields.BigIntField(primary_key=True)
    ticket: fields.ForeignKeyRelation[Ticket] = fields.ForeignKeyField("portal.Ticket")
    value = fields.IntField()
    name = fields.TextField()
    colour = fields.CharField(max_length=7)
    volume_ml = fields.FloatField()
    ticket_id: int

    class Meta(Model.Meta):
        table = "ticket_label"
        table_description = (
            "A label of the segmentation that the ticket's results hold; ``colour`` is ``#rrggbb``."
        )
        unique_together = (("ticket", "value"),)


class Run(Model):
    """The duration of a ticket that succeeded, for estimates.  It names no ticket and no user, and is kept after both
    are deleted.

    ``device`` is the worker's name for its device, without its number; "" for a provider over HTTP.  ``size_bytes``
    is the size of the files that the user sent.
    """

    id = fields.BigIntField(primary_key=True)
    service = fields.TextField()
    device = fields.TextField()
    voxels = fields.BigIntField(null=True)
    size_bytes = fields.BigIntField()
    seconds = fields.FloatField()
    ended_at = fields.DatetimeField()

    class Meta(Model.Meta):
        table = "run"
        table_description = "What a ticket that succeeded has cost, for estimates.  It names no ticket and no user, and outlives both."
        indexes = (("service", "id"),)


class Opening(Model):
    """A link from which ITK-SNAP opens a ticket's results.  The row contains the SHA-256 of the link's secret, not the
    secret.
    """

    sha256 = fields.CharField(max_length=64, primary_key=True)
    ticket: fields.ForeignKeyRelation[Ticket] = fields.ForeignKeyField("portal.Ticket")
    expires_at = fields.DatetimeField()

    class Meta(Model.Meta):
        table = "opening"
        table_description = "A link that ITK-SNAP opens the ticket's results from.  Only the SHA-256 of its capability is kept."
        indexes = (("ticket_id",),)


class Upload(Model):
    """An upload in progress, with the number of bytes that are reserved for it in the user's quota."""

    id = fields.BigIntField(primary_key=True)
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField("portal.User")
    reserved_bytes = fields.BigIntField()
    heard_at = fields.DatetimeField()
    user_id: int

    class Meta(Model.Meta):
        table = "upload"
        table_description = (
            "An upload under way: the room that is kept for it, so that parallel uploads add up."
        )
        indexes = (("user_id",),)


class ResumableUpload(Model):
    """A file of a ticket that is received by the tus protocol, over any number of connections.

    Its part is the temporary file that collects its bytes; the first ``received_bytes`` are on disk.  ``holder`` names
    the request that writes to it, whose last sign of life was at ``heard_at``; "" if there is none.  ``sha256`` is the
    client's checksum of the whole file; "" if the client gave none, or if it was checked already.  ``finished``: the
    part has become the file ``name`` of the ticket.

    ``area`` is input, results or attachments.  ``claim_id`` is that of the provider's claim; "" for an upload of a
    user.  ``description`` and ``mime_type`` are those of an attachment.
    """

    id = fields.CharField(max_length=32, primary_key=True)
    ticket: fields.ForeignKeyRelation[Ticket] = fields.ForeignKeyField("portal.Ticket")
    name = fields.CharField(max_length=255)
    length_bytes = fields.BigIntField()
    received_bytes = fields.BigIntField(db_default=0)
    holder = fields.CharField(max_length=32, db_default="")
    heard_at = fields.DatetimeField()
    sha256 = fields.CharField(max_length=64, db_default="")
    finished = fields.BooleanField(db_default=False)
    area = fields.CharField(max_length=16, db_default="input")
    claim_id = fields.CharField(max_length=32, db_default="")
    description = fields.TextField(db_default="")
    mime_type = fields.TextField(db_default="")
    ticket_id: int

    class Meta(Model.Meta):
        table = "resumable_upload"
        table_description = (
            "A file of a ticket that comes by the tus protocol, over any number of connections."
        )
        indexes = (("ticket_id",),)


class Intake(Model):
    """The files that a browser uploads for a ticket, and how far a program has read them: see
    ``dss_portal.intake.store``.

    ``request``, ``series`` and ``images`` are JSON.  ``request`` says which file belongs to which image; ``series`` are
    the DICOM series from which the user may choose; ``images`` are those that were read, until their files belong to
    the ticket.  ``attempt_id`` is the fencing token that the reading program's answer must contain.
    """

    id = fields.IntField(primary_key=True)
    ticket: fields.ForeignKeyRelation[Ticket] = fields.ForeignKeyField("portal.Ticket", unique=True)
    attempt_id = fields.CharField(max_length=32)
    state = fields.CharField(max_length=16)
    request = fields.TextField()
    asked_at = fields.DatetimeField(null=True)
    reason = fields.TextField(db_default="")
    series = fields.TextField(db_default="[]")
    images = fields.TextField(db_default="[]")
    ticket_id: int

    class Meta(Model.Meta):
        table = "intake"
        table_description = (
            "What a browser uploads for a ticket, and how far another program has read it."
        )
        indexes = (("state",),)


class UploadReaderProgram(Model):
    """A program that reads the images that browsers upload, and has announced itself.  ``ended``: it has announced its
    end.
    """

    instance = fields.CharField(max_length=255, primary_key=True)
    heard_at = fields.DatetimeField()
    ended = fields.BooleanField(db_default=False)

    class Meta(Model.Meta):
        table = "upload_reader"
        table_description = "A program that said that it reads uploads of browsers."


class BatchItem(Model):
    """One of several cases that a user sends from the browser; each becomes a ticket.  ``key`` is the browser's id for
    its files; ``ticket`` is None until its upload begins.  ``name`` is shown only to the user.
    """

    id = fields.BigIntField(primary_key=True)
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField("portal.User")
    key = fields.CharField(max_length=64)
    name = fields.TextField()
    service = fields.TextField()
    size_bytes = fields.BigIntField()
    files = fields.IntField()
    ticket: fields.ForeignKeyNullableRelation[Ticket] = fields.ForeignKeyField(
        "portal.Ticket", null=True
    )
    created_at = fields.DatetimeField(auto_now_add=True)
    ticket_id: int | None

    class Meta(Model.Meta):
        table = "batch_item"
        table_description = (
            "A case that a user sends from the browser, also while its page is closed."
        )
        unique_together = (("user", "key"),)


class TicketLog(Model):
    """A line of a ticket's log.  ``message_id`` is the id of the event that added it, so that a redelivered event adds
    no second line.
    """

    id = fields.BigIntField(primary_key=True)
    ticket: fields.ForeignKeyRelation[Ticket] = fields.ForeignKeyField("portal.Ticket")
    at = fields.DatetimeField(auto_now_add=True)
    category = fields.CharField(max_length=16)
    message = fields.TextField()
    message_id = fields.CharField(max_length=64, null=True, unique=True)

    class Meta(Model.Meta):
        table = "ticket_log"
        table_description = "``message_id`` is that of the event it came with, so that an event told twice is logged once."
        indexes = (("ticket_id",),)


class Attachment(Model):
    """A file that is attached to a log line.  Anyone who has ``public_id`` may read it."""

    id = fields.BigIntField(primary_key=True)
    ticket: fields.ForeignKeyRelation[Ticket] = fields.ForeignKeyField("portal.Ticket")
    log: fields.ForeignKeyNullableRelation[TicketLog] = fields.ForeignKeyField(
        "portal.TicketLog", null=True, related_name="attachments"
    )
    public_id = fields.CharField(max_length=32, unique=True)
    description = fields.TextField()
    mime_type = fields.TextField()
    file_name = fields.CharField(max_length=255)
    size_bytes = fields.BigIntField()
    ticket_id: int
    log_id: int | None

    class Meta(Model.Meta):
        table = "attachment"
        table_description = (
            "A file that a provider attached to a log line.  Who knows ``public_id`` may read it."
        )
        indexes = (("ticket_id",),)


class TicketProgress(Model):
    id = fields.BigIntField(primary_key=True)
    ticket: fields.ForeignKeyRelation[Ticket] = fields.ForeignKeyField("portal.Ticket")
    chunk_start = fields.FloatField()
    chunk_end = fields.FloatField()
    progress = fields.FloatField()
    ticket_id: int

    class Meta(Model.Meta):
        table = "ticket_progress"
        unique_together = (("ticket", "chunk_start", "chunk_end"),)


class NotificationChannel(Model):
    """A way to notify a user of ended tickets.  ``secret`` is the signing secret of a webhook, or ntfy's access
    token.
    """

    id = fields.IntField(primary_key=True)
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField("portal.User")
    kind = fields.CharField(max_length=16)
    address = fields.TextField()
    secret = fields.TextField(db_default="")
    told_at = fields.DatetimeField(null=True)
    user_id: int

    class Meta(Model.Meta):
        table = "notification_channel"
        table_description = "A way to tell a user that a ticket has ended.  ``secret`` signs a webhook, or is ntfy's access token."
        unique_together = (("user", "kind"),)


class Notification(Model):
    """A notification for a channel.  It waits, or is being sent until ``taken_until``, or was set aside with its
    ``reason`` because it cannot be delivered.

    ``key`` is the same in every attempt.  A notification that only tries the channel has no ``ticket_id``.
    """

    id = fields.BigIntField(primary_key=True)
    channel: fields.ForeignKeyRelation[NotificationChannel] = fields.ForeignKeyField(
        "portal.NotificationChannel"
    )
    key = fields.CharField(max_length=32)
    ticket_id = fields.IntField(null=True)
    service = fields.TextField(db_default="")
    outcome = fields.CharField(max_length=32, db_default="")
    ended_at = fields.DatetimeField()
    created_at = fields.DatetimeField(auto_now_add=True)
    tries = fields.IntField(db_default=0)
    not_before = fields.DatetimeField(null=True)
    taken_until = fields.DatetimeField(null=True)
    taken_by = fields.CharField(max_length=32, null=True)
    set_aside_at = fields.DatetimeField(null=True)
    reason = fields.TextField(null=True)

    class Meta(Model.Meta):
        table = "notification"
        table_description = "A message for a channel that waits, is being sent until ``taken_until``, or was set aside with its ``reason``."
        indexes = (("channel_id",),)


class OutboxMessage(Model):
    """A message about a committed change that the broker has not confirmed yet.  After a failed attempt it waits
    until ``not_before``.

    A message that can never be sent is set aside with its ``reason``; operators see it among the dead letters.
    """

    id = fields.BigIntField(primary_key=True)
    message_id = fields.CharField(max_length=32)
    type_name = fields.CharField(max_length=64)
    body = fields.BinaryField()
    traceparent = fields.CharField(max_length=55, null=True)  # of the request that caused it
    created_at = fields.DatetimeField(auto_now_add=True)
    ticket_id = fields.IntField(null=True)
    tries = fields.IntField(db_default=0)
    not_before = fields.DatetimeField(null=True)
    set_aside_at = fields.DatetimeField(null=True)
    reason = fields.TextField(null=True)

    class Meta(Model.Meta):
        table = "outbox"
        table_description = (
            "A message that belongs to a committed change and is not yet with the broker."
        )
