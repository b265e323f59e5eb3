"""A server of the S3 protocol in a container, with one bucket."""

import json
from dataclasses import dataclass

from deploy.engines import Engine
from support.waiting import wait_until

S3 = "dss-s3"
"""The container's name."""
CREDENTIALS = "[default]\naws_access_key_id = site\naws_secret_access_key = secret\n"
BUCKET = """
import boto3, json, sys
s3 = boto3.client("s3", endpoint_url="http://127.0.0.1:9000", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
if sys.argv[1] == "create":
    s3.create_bucket(Bucket="dss")
print(json.dumps([found["Key"] for found in s3.list_objects_v2(Bucket="dss").get("Contents", [])]))
"""


@dataclass(frozen=True)
class S3Container:
    engine: Engine

    def start(self, *networks: str) -> None:
        """Return when the bucket ``dss`` is made."""
        self.engine.podman("run", "--detach", "--name", S3, *networks, "s3:1")
        wait_until(self._makes_the_bucket, 60)

    def stop(self) -> None:
        self.engine.podman("rm", "--force", "--time", "0", S3, check=False)

    def address(self) -> str:
        """In the engine's default network."""
        words = ("inspect", S3, "--format", "{{.NetworkSettings.IPAddress}}")
        return f"http://{self.engine.podman(*words).stdout.strip()}:9000"

    def stored(self) -> list[str]:
        """Those of the bucket."""
        done = self.engine.podman("exec", S3, "python", "-c", BUCKET, "list")
        found: list[str] = json.loads(done.stdout)
        return found

    def _makes_the_bucket(self) -> bool:
        done = self.engine.podman("exec", S3, "python", "-c", BUCKET, "create", check=False)
        return done.returncode == 0
