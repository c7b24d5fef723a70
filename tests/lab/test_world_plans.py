"""What a lab consists of, and how slow it is: the pure parts of the world."""

from collections import Counter

import pytest

from lab.latency import PROFILES, Latency, load_latency
from lab.places import REPOSITORIES, parse_distributions, plan_sites


def test_the_default_fleet_has_a_site_with_agents_between_two_small_ones():
    sites = plan_sites(3)
    assert [(site.name, [node.role for node in site.nodes]) for site in sites] == [
        ("oslo", ["server"]),
        ("rotterdam", ["server", "agent", "agent"]),
        ("singapore", ["server"]),
    ]


def test_names_of_sites_and_nodes_never_repeat():
    sites = plan_sites(300)
    names = [site.name for site in sites] + [node.name for site in sites for node in site.nodes]
    assert len(set(names)) == len(names)


def test_no_registry_gets_more_sites_than_azure_allows():
    counts = Counter(site.registry for site in plan_sites(120))
    assert sorted(counts.values()) == [20, 50, 50]


def test_a_distribution_is_for_all_sites_or_by_name():
    assert {site.distribution for site in plan_sites(3, parse_distributions("rke2"))} == {"rke2"}
    some = parse_distributions("rotterdam=containerd@1.7.24,singapore=rke2")
    assert [site.distribution for site in plan_sites(3, some)] == [
        "k3s",
        "containerd@1.7.24",
        "rke2",
    ]


def test_there_is_something_to_mirror_and_something_not_to():
    assert {"vessel", "office"} == {name.partition("/")[0] for name in REPOSITORIES}
    assert all(REPOSITORIES.values())


def test_a_latency_is_a_profile_or_a_file(tmp_path):
    assert load_latency("satellite") == PROFILES["satellite"]
    file = tmp_path / "slow.yaml"
    file.write_text("arm_ms: 5\nsync_seconds: 1.5\n")
    assert load_latency(str(file)) == Latency(arm_ms=5, sync_seconds=1.5)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("arm: 5\n", "only these keys"),
        ("arm_ms: -1\n", "not negative"),
        ("arm_ms: slow\n", "is a number"),
        ("- 5\n", "only these keys"),
        ("{", "neither none, lan, satellite nor a YAML file"),
    ],
)
def test_a_bad_latency_file_is_refused_in_words(tmp_path, content, words):
    file = tmp_path / "slow.yaml"
    file.write_text(content)
    with pytest.raises(ValueError, match=words):
        load_latency(str(file))


def test_an_unknown_latency_names_those_that_exist():
    with pytest.raises(ValueError, match="none, lan, satellite"):
        load_latency("dial-up")
