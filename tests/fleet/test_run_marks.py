"""Which runs count as the same, and what of an interrupted one is done."""

from datetime import UTC, datetime, timedelta

from fleet.records import DoneMark, SiteRecord, site_digest
from fleet.run_marks import done_since, mark_key
from tests.builders import a_record, a_site

BEGAN = datetime(2026, 11, 1, tzinfo=UTC)
OSLO = a_site("oslo")


def a_record_done(how: str) -> dict[str, SiteRecord | None]:
    done = DoneMark(at=BEGAN + timedelta(hours=1), digest=site_digest(OSLO, how))
    return {"oslo": a_record("oslo").model_copy(update={"done": {"rotate": done}})}


def test_a_run_that_does_the_same_verb_otherwise_is_another_run() -> None:
    keys = {mark_key("northsea", "rotate", {"names": ["oslo"]}, how) for how in ("", "now")}
    assert len(keys) == 2
    assert mark_key("northsea", "rotate", {"names": ["a", "b"]}) == mark_key(
        "northsea", "rotate", {"names": ["b", "a"]}
    )


def test_what_a_run_of_another_kind_has_done_is_not_done() -> None:
    daily, asked = a_record_done(""), a_record_done("now")
    assert done_since("rotate", [OSLO], daily, BEGAN, "now") == {}
    assert done_since("rotate", [OSLO], asked, BEGAN) == {}
    assert list(done_since("rotate", [OSLO], asked, BEGAN, "now")) == ["oslo"]
    assert list(done_since("rotate", [OSLO], daily, BEGAN)) == ["oslo"]
