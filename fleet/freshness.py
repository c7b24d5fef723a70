"""How fresh the images at a site are: what Azure has under each tag against what the site has.

Azure tells when a tag was last moved (`lastUpdateTime`). A site whose digest differs, or that lacks
the tag, is behind since then or longer: an earlier move that it missed too is not seen any more.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from fleet.sites import Strict

NEWEST_TAGS = 5
"""Tags compared per repository, the newest first.

A site with 200 repositories then costs about 1,400 small requests (a token, a list and a digest per
tag), 90 s on a link of 60 ms, and 100 KB in storage. What runs is seldom older than five tags.
"""
MOST_RUNNING = 500
"""Different images that are kept of what runs at a site; K3s limits a node to 110 pods."""


MOST_LEFT = 20
"""Tags of a repository that are kept of those that Azure has no more."""


class CloudTag(Strict):
    """A tag in Azure: its digest and when it was last moved (UTC)."""

    tag: str
    digest: str
    updated: datetime


class CloudTags(Strict):
    """The tags of a repository in Azure, newest first; not `complete`: there are older ones."""

    tags: tuple[CloudTag, ...] = ()
    complete: bool = True


class ImageState(StrEnum):
    """How a tag at a site stands against the same tag in Azure."""

    FRESH = "fresh"
    BEHIND = "behind"
    MISSING = "missing"
    GONE = "gone"


LATE = (ImageState.BEHIND, ImageState.MISSING)
"""The states in which a site lacks what Azure has; `gone` means that Azure has the tag no more."""


class Image(Strict):
    """One tag, compared. `digest` is what the site holds, `wanted` what Azure has; None: nothing.

    `since` is when Azure's tag was last moved, UTC.
    """

    repository: str
    tag: str
    state: ImageState
    digest: str | None = None
    wanted: str | None = None
    since: datetime | None = None

    @property
    def name(self) -> str:
        """Return `repository:tag`."""
        return f"{self.repository}:{self.tag}"

    def behind(self, now: datetime) -> timedelta | None:
        """Return for how long the site has lacked what Azure has; None: it does not."""
        return now - self.since if self.state in LATE and self.since else None


class RunningImage(Strict):
    """An image that pods run: its name as the pods write it, and its digest."""

    image: str
    digest: str


class SiteImages(Strict):
    """The images of a site when they were last compared; kept beside the site's record.

    `checked_at` is when these figures were made, None: never. `failed_at` and `problem` tell of a
    later attempt that did not reach the site; the figures are then the last known ones.
    """

    fleet: str
    site: str
    checked_at: datetime | None = None
    images: tuple[Image, ...] = ()
    running: tuple[RunningImage, ...] = ()
    failed_at: datetime | None = None
    problem: str = ""

    def having(self, state: ImageState) -> tuple[Image, ...]:
        """Return the images in one state."""
        return tuple(image for image in self.images if image.state is state)

    @property
    def late(self) -> tuple[Image, ...]:
        """Return the images that the site lacks, those that it has lacked for longest first."""
        found = [image for image in self.images if image.state in LATE]
        return tuple(sorted(found, key=_since))

    @property
    def behind_since(self) -> datetime | None:
        """Return since when the site has been behind at least; None: it is not."""
        late = self.late
        return late[0].since if late else None

    def without_contact(self, now: datetime, problem: str) -> "SiteImages":
        """Return the last known figures, with a note why there are no newer ones."""
        return self.model_copy(update={"failed_at": now, "problem": problem})


def _since(image: Image) -> tuple[datetime, str]:
    assert image.since is not None  # noqa: S101 - what is late has a tag in Azure
    return image.since, image.name


def compare(
    cloud: Mapping[str, Sequence[CloudTag]],
    held: Mapping[str, Mapping[str, str]],
    left: Mapping[str, Sequence[str]],
) -> tuple[Image, ...]:
    """Compare the tags of Azure with those of a site.

    Args:
        cloud: For each repository the tags of Azure that count.
        held: For each repository the digest of each of these tags that the site holds.
        left: For each repository the tags at the site that Azure has no more.

    Returns:
        An image for each tag, by repository; within one as in `cloud`, newest first.
    """
    found: list[Image] = []
    for repository in sorted({*cloud, *left}):
        here = held.get(repository, {})
        found += [_compare_tag(repository, tag, here.get(tag.tag)) for tag in cloud[repository]]
        found += [
            Image(repository=repository, tag=tag, state=ImageState.GONE, digest=here.get(tag))
            for tag in sorted(left.get(repository, ()))
        ]
    return tuple(found)


def doubtful(images: Iterable[Image]) -> tuple[str, ...]:
    """Return the repositories of which a site holds something that Azure does not have so."""
    states = (ImageState.BEHIND, ImageState.GONE)
    return tuple(sorted({one.repository for one in images if one.state in states}))


def newest(cloud: CloudTags, count: int) -> tuple[CloudTag, ...]:
    """Return the tags of a repository that are compared."""
    return cloud.tags[:count]


def not_in_azure(here: Iterable[str], cloud: CloudTags) -> tuple[str, ...]:
    """Return tags of a site that Azure has no more; none where not all of Azure's are known."""
    if not cloud.complete:
        return ()
    return tuple(sorted({*here} - {tag.tag for tag in cloud.tags})[:MOST_LEFT])


def _compare_tag(repository: str, tag: CloudTag, digest: str | None) -> Image:
    state = ImageState.FRESH if digest == tag.digest else ImageState.BEHIND
    return Image(
        repository=repository,
        tag=tag.tag,
        state=ImageState.MISSING if digest is None else state,
        digest=digest,
        wanted=tag.digest,
        since=tag.updated,
    )


class Holder(Strict):
    """A site that has a digest: under which names its registry holds it and its pods run it."""

    site: str
    held: tuple[str, ...]
    running: tuple[str, ...]
    checked_at: datetime | None


def find_holders(sites: Iterable[SiteImages], digest: str) -> tuple[Holder, ...]:
    """Return the sites that hold or run a digest, as far as their last known figures tell.

    Args:
        sites: The sites' figures.
        digest: `sha256:...`, or the first characters of it (at least eight digits).
    """
    found = ((site, *_holding(site, digest)) for site in sites)
    return tuple(
        Holder(site=site.site, held=held, running=running, checked_at=site.checked_at)
        for site, held, running in found
        if held or running
    )


def _holding(site: SiteImages, digest: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    held = tuple(one.name for one in site.images if (one.digest or "").startswith(digest))
    running = tuple(one.image for one in site.running if one.digest.startswith(digest))
    return held, running


def describe_images(images: SiteImages, now: datetime) -> str:
    """Say in one line how a site's images stand."""
    if images.checked_at is None:
        return f"never compared: {images.problem}" if images.problem else "never compared"
    late, gone = images.late, images.having(ImageState.GONE)
    parts = [f"{len(late)} of {len(images.images) - len(gone)} images behind"]
    if late:
        parts.append(f"the oldest, {late[0].name}, for {age(late[0].behind(now))}")
    if gone:
        parts.append(f"{len(gone)} that Azure has no more")
    return ", ".join(parts)


def age(length: timedelta | None) -> str:
    """Return a length of time in its largest unit that fits: `4 d`, `7 h`, `12 min`."""
    if length is None:
        return ""
    seconds = max(0, int(length.total_seconds()))
    for unit, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds // unit} {name}"
    return f"{seconds} s"


def images_key(fleet: str, site: str) -> str:
    """Return the storage key of a site's images."""
    return f"images/{fleet}/{site}.json"
