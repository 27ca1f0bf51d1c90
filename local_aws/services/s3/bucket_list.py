"""Buckets are listed page by page, and with their regions.

moto cuts the list at the number that was asked for and gives no token for the rest, and does not
say in which region a bucket is. AWS does both where a page, a prefix or a region is asked for:
https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListBuckets.html.

S3 answers with the buckets of all regions; a teardown needs to know those of its own.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from moto.core.responses import ActionResult
from moto.s3.responses import S3Response

from local_aws.patching import replace

if TYPE_CHECKING:
    from local_aws.settings import Settings

PAGE = 10_000


def apply(settings: Settings) -> None:
    """Answer ListBuckets."""
    del settings

    def all_buckets(self: Any) -> Any:
        self.data["Action"] = "ListAllMyBuckets"
        self._authenticate_and_authorize_s3_action()
        asked = {
            name: self._get_param(name)
            for name in ("prefix", "bucket-region", "max-buckets", "continuation-token")
        }
        found = self.backend.list_buckets(
            prefix=asked["prefix"], bucket_region=asked["bucket-region"], max_buckets=None
        )
        after = base64.b64decode(asked["continuation-token"] or "").decode()
        buckets = sorted((b for b in found if b.name > after), key=lambda bucket: bucket.name)
        page = buckets[: int(asked["max-buckets"] or PAGE)]
        answer: dict[str, Any] = {
            "Owner": {"ID": self.current_account},
            "Buckets": [
                {"Name": bucket.name, "CreationDate": bucket.creation_date_ISO8601}
                | ({"BucketRegion": bucket.region_name} if any(asked.values()) else {})
                for bucket in page
            ],
        }
        if len(page) < len(buckets):
            answer["ContinuationToken"] = base64.b64encode(page[-1].name.encode()).decode()
        self.data["Action"] = "ListBuckets"
        return self.serialized(ActionResult(answer))

    replace(S3Response, "all_buckets", all_buckets)
