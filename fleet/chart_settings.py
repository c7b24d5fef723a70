"""The part of the fleet's vocabulary that is about the Helm chart; `fleet.sites` passes it on."""

from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from fleet.strict import Strict
from fleet.validation import FilePath, Flag, WholeNumber, broken_combination
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

Installer = Literal["helm-controller", "helm"]


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


class Tls(Strict):
    """Whom the site trusts and where the certificate is from, when its registry speaks https."""

    ca_file: FilePath | None = Field(
        None, description="PEM file here with the CA of the registry's certificate, for all nodes"
    )
    ca_secret: ObjectName | None = Field(
        None, description="Or: Secret in the chart's namespace whose ca.crt is that CA"
    )
    secret: ObjectName | None = Field(
        None, description="Secret with the registry's certificate and key (chart: tls.secret)"
    )
    cert_manager: Literal["install", "existing"] | None = Field(
        None, description="Who makes the certificate; none: as the chart does, or nobody (secret)"
    )

    @field_validator("ca_secret")
    @classmethod
    def _one_source(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("ca_file") is not None:
            raise broken_combination("the CA is in ca_file already; remove one of the two")
        return value

    @field_validator("cert_manager")
    @classmethod
    def _one_maker(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("secret") is not None:
            raise broken_combination(
                "the registry's certificate is in secret already; remove one of the two"
            )
        return value


class Chart(Strict):
    """The connected registry's Helm chart and the values given to it."""

    reference: ChartReference = Field(
        "oci://mcr.microsoft.com/acr/connected-registry/chart", description="Where the chart is"
    )
    version: ChartVersion = Field(description="Exact version", examples=["0.4.0"])
    namespace: NamespaceName = Field("connected-registry", description="Namespace it goes into")
    release: ReleaseName = Field("connected-registry", description="Name of the Helm release")
    installer: Literal["auto", "helm-controller", "helm"] = Field(
        "auto",
        description="Who installs it: K3s' helm-controller, or helm on the machine that runs "
        "acrfleet; auto: the helm-controller where the cluster has a fitting one",
    )
    http_enabled: Flag = Field(
        True, description="Serve http inside the site, no https (chart: httpEnabled)"
    )
    tls: Tls | None = Field(
        None, description="Certificate and CA of an https registry; none: nodes know the CA already"
    )
    chunk_size_mb: WholeNumber | None = Field(
        None, ge=1, le=1024, description="Download chunks (chart: sync.chunkSizeInMb)"
    )
    storage: Storage = Field(Storage(), description="Volume of the mirrored images")
    service: Service = Field(Service(), description="How it is reached inside the site")
    extra_values: dict[str, Any] = Field(
        default_factory=dict, description="Further chart values, as the chart spells them"
    )

    @field_validator("tls")
    @classmethod
    def _only_with_https(cls, tls: Tls | None, info: ValidationInfo) -> Tls | None:
        if tls is not None and info.data.get("http_enabled"):
            raise broken_combination(
                "a site that serves http has no certificate; set http_enabled: false, or tls: null"
            )
        return tls

    @field_validator("extra_values")
    @classmethod
    def _leave_the_fields_above_alone(
        cls, values: dict[str, Any], info: ValidationInfo
    ) -> dict[str, Any]:
        return refuse_typed_values(values, http=bool(info.data.get("http_enabled")))
