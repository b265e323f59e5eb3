"""Changes to other projects' libraries at run time, one module for each library or each change.

A test fails if an installed version differs from that in CHECKED.  Before you change a version there, compare the
replaced code of the library with these modules.
"""

CHECKED = {
    "asyncpg": "0.32.0",  # database.pool overrides Pool.release, and looks into PoolConnectionHolder and its connection
    "h11": "0.16.0",  # serving.bodies counts the bytes of a body in ContentLengthReader
    "hypercorn": "0.18.0",  # patches.hypercorn replaces H11Protocol.handle and run.TCPServer; serving.connections overrides TCPServer, and looks into H11Protocol
    "itsdangerous": "2.2.0",  # web.signing overrides URLSafeTimedSerializer.loads
    "quart": "0.22.0",  # patches.quart sets FileBody.buffer_size and make_conditional; web.asgi overrides ASGIHTTPConnection and Body
    "quart-auth": "0.12.0",  # web.signing overrides QuartAuth.load_token
    "tortoise-orm": "1.1.9",  # patches.tortoise_clock replaces timezone.now, tortoise_comments models._get_comments; database.engine overrides the client
    "werkzeug": "3.1.9",  # patches.werkzeug overrides Rule._compile_builder; web.multipart reads MultipartDecoder's buffer and state, and overrides _last_partial_boundary_index
}
"""By distribution, the version against which these modules and other overrides of library code were checked."""
