"""DescribeInstances returns the new instance profile after a replacement.

moto replaces the association but not the instance's attribute, so DescribeInstances keeps returning
the old profile, and a playbook replaces it on every run. On AWS the instance has the new
profile: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ReplaceIamInstanceProfileAssociation.html.

Playbooks that change the role of a running host need this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.ec2.models.iam_instance_profile import IamInstanceProfileAssociationBackend

from local_aws.patching import replace

if TYPE_CHECKING:
    from local_aws.settings import Settings


def apply(settings: Settings) -> None:
    """Have the instance follow its association."""
    del settings

    def replace_association(self: Any, association_id: str, *profile: Any) -> Any:
        association = replace_in_moto(self, association_id, *profile)
        self.modify_instance_attribute(
            association.instance.id,
            "iam_instance_profile",
            {"Arn": association.iam_instance_profile.arn, "Id": association_id},
        )
        return association

    replace_in_moto = replace(
        IamInstanceProfileAssociationBackend,
        "replace_iam_instance_profile_association",
        replace_association,
    )
