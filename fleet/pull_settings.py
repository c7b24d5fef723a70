"""What a fleet file says of pull secrets and of client tokens besides a site's own."""

from pydantic import Field, ValidationInfo, field_validator

from fleet.azure_settings import Repositories
from fleet.strict import Strict
from fleet.validation import ClientTokenName, ImageReference, broken_combination
from fleet.validation_cluster import LabelKey, LabelValue, NamespaceName, ObjectName
from fleet.validation_time import Expiry


class PullSecrets(Strict):
    """Where the credentials for pulling are put."""

    name: ObjectName = Field("acrfleet-pull", description="Name of the Secret")
    namespaces: tuple[NamespaceName, ...] = Field(("default",), description="Namespaces by name")
    namespace_labels: dict[LabelKey, LabelValue] = Field(
        default_factory=dict,
        description="Namespaces that have all these labels, too",
        validate_default=True,
    )
    service_accounts: tuple[ObjectName, ...] = Field(
        ("default",), description="Service accounts that get the Secret, in each namespace"
    )
    expires_after: Expiry = Field(None, description="Lifetime of a password; none: no expiry")

    @field_validator("namespace_labels")
    @classmethod
    def _go_somewhere(cls, labels: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        if not labels and info.data.get("namespaces") == ():
            raise broken_combination("without namespaces it has to select some; add either")
        return labels


class ClientToken(Strict):
    """A client token besides the site's own: what it pulls, and where its credentials are put."""

    name: ClientTokenName = Field(description="Ends the names of its objects in Azure")
    repositories: Repositories | None = Field(
        None, description="Which of the site's repositories it pulls; none: all"
    )
    pull_secrets: PullSecrets = Field(
        description="Where its credentials go; the Secret's name is its own"
    )
    probe_image: ImageReference | None = Field(
        None, description="repo:tag to prove its pulls with; none: chosen"
    )
