"""Who gets which of a registry's tokens, and what they are worth."""

import pytest

from tests.lab.azure_client import azure_on

READ = ("repositories/vessel/*/content/read", "repositories/vessel/nav/metadata/read")

pytestmark = pytest.mark.lab


@pytest.fixture
def azure(tmp_path):
    with azure_on(tmp_path) as client:
        yield client


@pytest.fixture
def puller(azure):
    """A function that gives an access token of a scope-mapped token for a scope."""
    password = azure.password(azure.add_token("oslo-client", *READ))
    return lambda scope: azure.pull_token("oslo-client", password, scope).json()["access_token"]


def test_a_scope_mapped_token_pulls_what_its_map_allows(azure, puller):
    nav = azure.data("/v2/vessel/nav/manifests/1.0", puller("repository:vessel/nav:pull"))
    crew = azure.data("/v2/vessel/crew/manifests/2.0", puller("repository:vessel/crew:pull"))
    mail = azure.data("/v2/shore/mail/manifests/3.0", puller("repository:shore/mail:pull"))
    wrong = azure.data("/v2/vessel/nav/manifests/1.0", puller("repository:vessel/crew:pull"))

    assert [each.status_code for each in (nav, crew, mail, wrong)] == [200, 200, 401, 401]
    assert 'error="insufficient_scope"' in mail.headers["Www-Authenticate"]


def test_tags_need_metadata_read(azure, puller):
    nav = azure.data("/v2/vessel/nav/tags/list", puller("repository:vessel/nav:metadata_read"))
    crew = azure.data("/v2/vessel/crew/tags/list", puller("repository:vessel/crew:metadata_read"))

    assert nav.json() == {"name": "vessel/nav", "tags": ["1.0", "1.1"]}
    assert crew.status_code == 401


def test_a_scope_mapped_token_cannot_list_the_catalog(azure, puller):
    answer = azure.data("/v2/_catalog", puller("registry:catalog:*"))

    assert answer.status_code == 401
    assert answer.json()["errors"][0]["code"] == "UNAUTHORIZED"


def test_a_changed_scope_map_counts_for_the_next_token(azure, puller):
    scope = "repository:shore/mail:pull"
    azure.add_scope_map("oslo-client", "repositories/shore/*/content/read")

    answer = azure.data("/v2/shore/mail/manifests/3.0", puller(scope))

    assert answer.status_code == 200


@pytest.mark.parametrize("user", ["oslo-client", "nobody", "00000000-0000-0000-0000-000000000000"])
def test_wrong_credentials_get_no_token(azure, puller, user):
    answer = azure.pull_token(user, "wrong")

    assert answer.status_code == 401
    assert answer.json()["errors"][0]["code"] == "UNAUTHORIZED"


def test_the_password_grant_works_as_docker_and_az_use_it(azure):
    server = azure.registry.login_server
    password = azure.password(azure.add_token("oslo-client", *READ))
    form = {
        "grant_type": "password",
        "service": server,
        "scope": "repository:vessel/nav:pull",
        "username": "oslo-client",
        "password": password,
        "access_type": "offline",
    }

    answer = azure.anonymous.post(f"https://{server}/oauth2/token", data=form).json()
    pulled = azure.data("/v2/vessel/nav/manifests/1.0", answer["access_token"])
    user = "00000000-0000-0000-0000-000000000000"
    again = azure.pull_token(user, answer["refresh_token"])
    azure.send("PATCH", "tokens/oslo-client", {"properties": {"status": "disabled"}})

    assert (pulled.status_code, again.status_code) == (200, 200)
    assert azure.pull_token(user, answer["refresh_token"]).status_code == 401


def test_basic_credentials_are_taken_by_the_api_itself(azure):
    password = azure.password(azure.add_token("oslo-client", *READ))
    url = f"https://{azure.registry.login_server}/v2/vessel/nav/manifests/1.0"

    good = azure.anonymous.get(url, auth=("oslo-client", password))
    bad = azure.anonymous.get(url, auth=("oslo-client", "wrong"))
    application = azure.anonymous.get(url, auth=(azure.lab.client_id, azure.lab.client_secret))

    assert [each.status_code for each in (good, bad, application)] == [200, 401, 200]


def test_a_refresh_token_is_no_access_token(azure):
    server = azure.registry.login_server
    form = {"grant_type": "access_token", "service": server, "access_token": azure.token}
    exchange = azure.anonymous.post(f"https://{server}/oauth2/exchange", data=form)

    answer = azure.data("/v2/", exchange.json()["refresh_token"])

    assert answer.status_code == 401
    assert azure.data("/v2/", azure.catalog_token()).status_code == 200


def test_a_token_of_one_registry_is_worth_nothing_at_another(azure):
    other = azure.add_registry("harbour")

    answer = azure.data("/v2/_catalog", azure.catalog_token(other))

    assert answer.status_code == 401


def test_a_registry_can_refuse_tokens_that_were_made_for_resource_manager(azure):
    policy = {"azureADAuthenticationAsArmPolicy": {"status": "disabled"}}
    azure.send("PATCH", "", {"properties": {"policies": policy}})
    server = azure.registry.login_server
    form = {"grant_type": "access_token", "service": server, "access_token": azure.token}

    answer = azure.anonymous.post(f"https://{server}/oauth2/exchange", data=form)

    assert answer.status_code == 401
    assert list(azure.catalog().list_repository_names()) == [
        "shore/mail",
        "vessel/crew",
        "vessel/nav",
    ]


def test_nobody_lists_the_catalog_with_a_forged_token(azure):
    server = azure.registry.login_server
    form = {"grant_type": "access_token", "service": server, "access_token": "x.y.z"}

    answer = azure.anonymous.post(f"https://{server}/oauth2/exchange", data=form)

    assert answer.status_code == 401


def test_the_challenge_says_where_to_get_which_token(azure):
    server = azure.registry.login_server
    start = f'Bearer realm="https://{server}/oauth2/token",service="{server}"'

    challenges = [
        azure.data(path).headers["Www-Authenticate"]
        for path in ("/v2/", "/v2/_catalog", "/v2/vessel/nav/manifests/1.0")
    ]

    assert challenges == [
        start,
        f'{start},scope="registry:catalog:*"',
        f'{start},scope="repository:vessel/nav:pull"',
    ]
