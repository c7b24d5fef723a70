from datetime import UTC, datetime

from fleet.pages import site_facts
from fleet.passwords import PasswordMark
from fleet.records import SiteRecord

OLD = """{"fleet": "northsea", "site": "oslo", "registry": "main", "connected_registry": "oslo",
"repositories": ["office/intranet"], "endpoint": null, "chart_version": "0.10.1",
"node_versions": {"oslo-1": "v1.33.5+k3s1"}, "password": {"token": "oslo-client",
"slot": "password1", "created": "2026-11-24T12:00:00Z", "expires": null}, "evidence": null,
"onboarded_at": null, "last_verb": "onboard", "last_run_at": "2026-11-24T12:00:00Z",
"last_status": "done", "last_message": "", "last_changes": 12}"""


def test_a_record_from_before_sync_passwords_were_noted_still_loads() -> None:
    record = SiteRecord.model_validate_json(OLD)
    assert record.sync_password is None
    assert record.password is not None
    assert "sync password" not in site_facts(record)


def test_a_site_s_page_tells_when_both_passwords_end() -> None:
    made, ends = datetime(2026, 11, 1, tzinfo=UTC), datetime(2027, 1, 30, tzinfo=UTC)
    mark = PasswordMark(token="oslo-sync", slot="password2", created=made, expires=ends)
    record = SiteRecord.model_validate_json(OLD).model_copy(update={"sync_password": mark})
    facts = site_facts(SiteRecord.model_validate_json(record.model_dump_json()))
    assert facts["password expires"] == "never"
    assert facts["sync password expires"] == "2027-01-30 00:00 UTC"
