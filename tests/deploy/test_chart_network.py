"""NetworkPolicies, read as a cluster reads them: what one of them allows is open, all else is closed."""

from support.charts import Manifest, containers, environment, of_kind, part


def policies_of(objects: list[Manifest], deployment: Manifest) -> list[Manifest]:
    labels = deployment["spec"]["template"]["metadata"]["labels"].items()
    return [
        p
        for p in of_kind(objects, "NetworkPolicy")
        if p["spec"]["podSelector"]["matchLabels"].items() <= labels
    ]


def open_ports(objects: list[Manifest], deployment: Manifest, way: str) -> set[int]:
    """``way``: ingress or egress."""
    return {
        number
        for policy in policies_of(objects, deployment)
        for rule in policy["spec"].get(way, [])
        for port in rule["ports"]
        for number in range(port["port"], port.get("endPort", port["port"]) + 1)
    }


def test_every_pod_is_closed_but_for_what_is_named(rendered: dict[str, list[Manifest]]) -> None:
    for site in ("lab", "openshift", "airgapped", "everything"):
        for deployment in of_kind(rendered[site], "Deployment"):
            found = policies_of(rendered[site], deployment)

            assert {"Ingress", "Egress"} <= {w for p in found for w in p["spec"]["policyTypes"]}


def test_each_program_reaches_what_it_needs_and_no_more(
    rendered: dict[str, list[Manifest]],
) -> None:
    always = {53, 5353, 5671, 5672}
    needs = {"portal": always | {5432, 443}, "dispatch": always, "inference": always}
    for deployment in of_kind(rendered["openshift"], "Deployment"):
        found = open_ports(rendered["openshift"], deployment, "egress")

        assert found == needs[part(deployment)]


def test_a_disconnected_site_has_no_way_out(rendered: dict[str, list[Manifest]]) -> None:
    inner = {"ipBlock": {"cidr": "10.0.0.0/8"}}
    for policy in of_kind(rendered["airgapped"], "NetworkPolicy"):
        for rule in policy["spec"]["egress"]:
            names = {p["port"] for p in rule["ports"]} <= {53, 5353}

            assert names or rule["to"] == [inner]


def test_a_collector_and_a_server_over_http_are_reached_at_their_ports(
    rendered: dict[str, list[Manifest]],
) -> None:
    for deployment in of_kind(rendered["everything"], "Deployment"):
        found = open_ports(rendered["everything"], deployment, "egress")

        assert 4318 in found
        assert (8080 in found) is (deployment["metadata"]["name"] == "dss-dispatch-old")


def test_every_port_of_a_pod_is_open_to_those_who_ask_it(
    rendered: dict[str, list[Manifest]],
) -> None:
    for deployment in of_kind(rendered["everything"], "Deployment"):
        *_, container = containers(deployment)
        ports = {p["containerPort"] for p in container["ports"]}

        assert open_ports(rendered["everything"], deployment, "ingress") == ports
        assert environment(container)["DSS_METRICS_BIND"].endswith(":9100")


def test_the_old_interface_of_a_worker_is_for_dispatchers(
    rendered: dict[str, list[Manifest]],
) -> None:
    (policy,) = [
        p
        for p in of_kind(rendered["everything"], "NetworkPolicy")
        if p["metadata"]["name"] == "dss-inference-rules"
    ]
    (rule,) = policy["spec"]["ingress"]
    (peer,) = rule["from"]

    assert peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "dispatch"


def test_only_portals_reach_the_mail_server_and_at_its_port(
    rendered: dict[str, list[Manifest]],
) -> None:
    for deployment in of_kind(rendered["everything"], "Deployment"):
        found = open_ports(rendered["everything"], deployment, "egress")

        assert (465 in found) is (part(deployment) == "portal")
