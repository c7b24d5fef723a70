"""The part of the fleet's vocabulary that is about the Helm chart; `fleet.sites` passes it on."""

from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from fleet.strict import Strict
from fleet.validation import Flag, WholeNumber
from fleet.validation_chart import refuse_typed_values
from fleet.validation_cluster import (
    ChartReference,
    ChartVersion,
    ClusterIp,
    NamespaceName,
    ObjectName,
    ReleaseName,
    StorageSize,
)


class Storage(Strict):
    """The volume that holds the mirrored images."""

    class_name: ObjectName = Field("local-path", description="Storage class of the volume")
    size: StorageSize = Field("20Gi", description="Size of the volume")


class Service(Strict):
    """How the site's registry is reached inside the site."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = Field(
        "ClusterIP", description="Type of the Kubernetes Service"
    )
    cluster_ip: ClusterIp = Field(
        None, description="Fixed address from the service network; none: the cluster chooses"
    )


class Chart(Strict):
    """The connected registry's Helm chart and the values given to it."""

    reference: ChartReference = Field(
        "oci://mcr.microsoft.com/acr/connected-registry/chart", description="Where the chart is"
    )
    version: ChartVersion = Field(description="Exact version", examples=["0.4.0"])
    namespace: NamespaceName = Field("connected-registry", description="Namespace it goes into")
    release: ReleaseName = Field("connected-registry", description="Name of the Helm release")
    http_enabled: Flag = Field(
        True, description="Serve http inside the site (chart: httpEnabled); https is still refused"
    )
    chunk_size_mb: WholeNumber | None = Field(
        None, ge=1, le=1024, description="Download chunks (chart: sync.chunkSizeInMb)"
    )
    storage: Storage = Field(Storage(), description="Volume of the mirrored images")
    service: Service = Field(Service(), description="How it is reached inside the site")
    extra_values: dict[str, Any] = Field(
        default_factory=dict, description="Further chart values, as the chart spells them"
    )

    @field_validator("extra_values")
    @classmethod
    def _leave_the_fields_above_alone(
        cls, values: dict[str, Any], info: ValidationInfo
    ) -> dict[str, Any]:
        return refuse_typed_values(values, http=bool(info.data.get("http_enabled")))
