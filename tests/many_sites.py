"""A fleet of many sites that has run for a while: its file, records, images and history.

Everything is made up from the number of a site, so that two calls make the same.
"""

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from random import Random

import yaml
from prefect._internal.result_records import ResultRecord, ResultRecordMetadata
from prefect.serializers import JSONSerializer

from fleet.freshness import CloudTag, Image, RunningImage, SiteImages, compare, images_key
from fleet.outcomes import SiteEndpoint
from fleet.passwords import PasswordMark
from fleet.records import SiteRecord, record_key
from fleet.results import Status
from fleet.verification import Evidence, NodeEvidence, ProbeImage, Rung, RungName

FLEET = "many"
REPOSITORIES = ("office/intranet", "vessel/navigation", "vessel/engine", "vessel/weather")
TAGS = 5
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
_PER_REGISTRY = 50
_EXAMPLE = Path(__file__).parents[1] / "deployments/fleet.example.yaml"


def names(count: int) -> list[str]:
    return [f"site-{number:03}" for number in range(count)]


def write_fleet_file(path: Path, count: int) -> None:
    """Write a fleet file with so many sites, fifty to a registry."""
    example = yaml.safe_load(_EXAMPLE.read_text())
    content = {key: example[key] for key in ("version", "fleet", "registries", "defaults")}
    registry = content["registries"]["northsea"]
    amount = -(-count // _PER_REGISTRY)
    content["registries"] = {
        f"reg{n:02}": {**registry, "name": f"reg{n:02}"} for n in range(amount)
    }
    del content["defaults"]["registry"]
    content["fleet"] = FLEET
    content["sites"] = [
        {
            "name": name,
            "registry": f"reg{number // _PER_REGISTRY:02}",
            "nodes": [{"name": f"{name}-1", "address": f"10.{number // 250}.{number % 250}.11"}],
            "tags": ["ship" if number % 3 else "plant"],
        }
        for number, name in enumerate(names(count))
    ]
    path.write_text(yaml.safe_dump(content, sort_keys=False))


def digest_of(repository: str, tag: str, age: int = 0) -> str:
    return f"sha256:{sha256(f'{repository}:{tag}:{age}'.encode()).hexdigest()}"


def record_of(name: str, now: datetime) -> SiteRecord | None:
    """Return a site's record; one in forty has never run."""
    luck = Random(name)
    if luck.random() < 0.025:
        return None
    status = luck.choices(list(Status)[:3], (88, 8, 4))[0]
    ran = now - timedelta(hours=luck.random() * (30 if status is Status.DONE else 2000))
    made = now - timedelta(days=luck.random() * 84)
    words = {
        Status.DONE: "pulls office/intranet:7.2",
        Status.WAITING: f"Still waiting for {name} to be online; run it again later.",
        Status.FAILED: f"The node {name}-1 refuses the key of edge; put it into authorized_keys.",
    }
    return SiteRecord(
        fleet=FLEET,
        site=name,
        registry="reg00",
        connected_registry=f"{FLEET}{name.replace('-', '')}",
        repositories=REPOSITORIES,
        endpoint=SiteEndpoint(address="10.43.84.150", port=80),
        chart_version="0.4.0",
        node_versions={f"{name}-1": "v1.33.5+k3s1"},
        password=_mark(f"{name}-client", made, 90),
        sync_password=_mark(f"{name}-sync", made - timedelta(days=30), 180),
        evidence=_evidence(name, ran),
        onboarded_at=now - timedelta(days=200),
        last_verb=luck.choice(("verify", "rotate", "onboard")),
        last_run_at=ran,
        last_status=status,
        last_message=words[status],
        last_changes=luck.choice((0, 0, 0, 2, 12)),
    )


def _mark(token: str, made: datetime, days: int) -> PasswordMark:
    end = made + timedelta(days=days)
    return PasswordMark(token=token, slot="password1", created=made, expires=end)


def _evidence(name: str, time: datetime) -> Evidence:
    image = ProbeImage(repository="office/intranet", tag="7.2", digest=digest_of("o", "7.2"))
    return Evidence(
        time=time,
        endpoint=SiteEndpoint(address="10.43.84.150", port=80),
        login_server="reg00.azurecr.io",
        image=image,
        rungs=tuple(Rung(name=rung, node=f"{name}-1", seen="x", seconds=0.2) for rung in RungName),
        nodes=(NodeEvidence(name=f"{name}-1", version="v1.33.5+k3s1"),),
        cluster_version="v1.33.5+k3s1",
        registry_version="0.11.0",
    )


def images_of(name: str, now: datetime) -> SiteImages | None:
    """Return how fresh a site's images are; one in thirty has never been compared."""
    luck = Random(f"images of {name}")
    if luck.random() < 0.03:
        return None
    cloud = {one: _cloud_tags(one, now) for one in REPOSITORIES}
    behind = luck.random() < 0.2
    held = {
        repository: {
            tag.tag: digest_of(repository, tag.tag, 1) if behind and number == 0 else tag.digest
            for number, tag in enumerate(tags)
            if not (behind and number == 1)
        }
        for repository, tags in cloud.items()
    }
    images: tuple[Image, ...] = compare(cloud, held, {"vessel/engine": ["0.9"]} if behind else {})
    probe = cloud["office/intranet"][0]
    return SiteImages(
        fleet=FLEET,
        site=name,
        checked_at=now - timedelta(hours=luck.random() * 24),
        images=images,
        running=(RunningImage(image="reg00.azurecr.io/office/intranet:7.2", digest=probe.digest),),
    )


def _cloud_tags(repository: str, now: datetime) -> list[CloudTag]:
    luck = Random(repository)
    return [
        CloudTag(
            tag=f"1.{TAGS - number}",
            digest=digest_of(repository, f"1.{TAGS - number}"),
            updated=now - timedelta(days=number * 9 + luck.random() * 8),
        )
        for number in range(TAGS)
    ]


def write_storage(folder: Path, count: int, now: datetime = NOW) -> None:
    """Write records and images into a folder as Prefect's result storage holds them."""
    for name in names(count):
        found = (
            (record_key(FLEET, name), record_of(name, now)),
            (images_key(FLEET, name), images_of(name, now)),
        )
        for key, value in found:
            if value is not None:
                write_document(folder / key, value.model_dump(mode="json"))


def write_document(path: Path, content: object) -> None:
    """Write one document as the task that keeps it does."""
    meta = ResultRecordMetadata(serializer=JSONSerializer(), storage_key=str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(ResultRecord(result=content, metadata=meta).serialize())
