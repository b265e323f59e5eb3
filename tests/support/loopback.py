"""HTTP to servers of this machine, which costs little: a test may look often."""

from functools import partial

import httpx

from dss_stack.health import NO_AUTHORITIES

client = partial(httpx.Client, verify=NO_AUTHORITIES)
request = partial(httpx.request, verify=NO_AUTHORITIES)
get = partial(httpx.get, verify=NO_AUTHORITIES)
post = partial(httpx.post, verify=NO_AUTHORITIES)
put = partial(httpx.put, verify=NO_AUTHORITIES)
delete = partial(httpx.delete, verify=NO_AUTHORITIES)
