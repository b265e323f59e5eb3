import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from dss_broker.descriptor import TagType
from dss_broker.dispatch_section import BUILT_IN_RULES
from dss_dispatch.__main__ import main
from dss_dispatch.errors import ServiceInvalid
from dss_dispatch.service import builtin_services, load_service, service_from
from dss_inference.bundle_catalogue import BUNDLES
from support.builders import LUNGS, service_json


def tag(**changes: Any) -> dict[str, Any]:
    return {"name": "CT", "type": "MainImage", "required": True, **changes}


def dispatch(**changes: Any) -> dict[str, Any]:
    return {"tag": "CT", "bundle": "b", "segmentation": "S", **changes}


def test_the_built_in_services_are_valid() -> None:
    assert {load_service(folder).name for folder in builtin_services().values()} == {
        "lung-segmentation",
        "lung-segmentation-demo",
        "nodule-detection",
    }


def test_clients_get_the_file_without_our_part_and_with_what_we_do_not_know() -> None:
    raw = service_json(citation="Doe 2020")

    assert service_from(raw).descriptor.published == {
        k: v for k, v in raw.items() if k != "dispatch"
    }


@pytest.mark.parametrize(
    ("documented", "real"),
    [("AnatomicImage", TagType.ANATOMICAL), ("Segmentation", TagType.SEGMENTATION)],
)
def test_types_that_only_the_documentation_has_are_corrected(
    documented: str, real: TagType
) -> None:
    other = tag(name="other", type=documented, required=False)

    service = service_from(service_json(tags=[tag(), other]))

    assert service.tags[1].type is real
    assert service.descriptor.published["tags"][1]["type"] == real.value


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": ""}, "^name: must not be empty"),
        ({"name": "a\nb"}, r"^name: must have no control characters, but has '\\n'"),
        ({"version": "1\x00"}, "^version: must have no control characters"),
        ({"name": "a "}, "^name: must not begin or end with a blank"),
        ({"name": "x" * 256}, "^name: has 256 characters, 255 at most"),
        ({"longdesc": "a\x00b"}, "^service.json: must have no NUL characters"),
        ({"deadlines": {"run_s": 1e12}}, "^deadlines.run_s: must be .* at most 10 years"),
        ({"deadlines": {"run_s": 0}}, "^deadlines.run_s: must be greater than 0"),
        ({"deadlines": {"run_s": "1h"}}, "^deadlines.run_s: must be a number or null, not a text"),
        (
            {"deadlines": {"run": 60}},
            "^deadlines.run: is unknown; did you mean run_s\\?$",
        ),
        ({"deadlines": {"x": 1}}, "^deadlines.x: is unknown; known are upload_s, queue_s, claim_s"),
        ({"Citations": "Doe"}, r"^Citations: is unknown; did you mean citation\?$"),
        ({"Deadline": {}}, r"^Deadline: is unknown; did you mean deadlines\?$"),
        (
            {"tags": [tag(requird=True)]},
            r"^tags\[0\].requird: is unknown; did you mean required\?$",
        ),
        ({"version": 1}, "^version: must be a text, not a whole number"),
        ({"tags": [tag(required="true")]}, r"^tags\[0\].required: must be true or false, not a t"),
        (
            {"tags": [tag(type="MainImg")]},
            r"^tags\[0\].type: 'MainImg' is unknown; it is one of MainImage, OverlayImage, Anat",
        ),
        ({"tags": [{"name": "CT"}]}, r"^tags\[0\].type: is needed"),
        ({"report": "pdf"}, "^report: 'pdf' is unknown; it is one of html"),
        ({"tags": [tag(name="Target Image")]}, r"^tags\[0\].name: must have no blanks"),
        ({"tags": [tag(), tag()]}, r"^tags\[0\].name: 'CT' is there more than once"),
        ({"tags": [tag(required=False)]}, "^dispatch.tag: 'CT' must be a required tag"),
        (
            {"tags": [tag(type="PointLandmark")]},
            "^dispatch.tag: 'CT' is no tag of an image; the service has none",
        ),
        (
            {"dispatch": dispatch(tag="MRI")},
            "^dispatch.tag: 'MRI' is no tag of an image; the service has 'CT'",
        ),
        (
            {"dispatch": {"tag": "CT"}},
            "^dispatch.provider: is needed; it is one of python, program",
        ),
        ({"dispatch": dispatch(segmentation=" ")}, "^dispatch.segmentation: must not be empty"),
        (
            {"dispatch": dispatch(cropbox=["a"])},
            r"^dispatch.cropbox: is unknown; did you mean crop_box\?$",
        ),
        (
            {"dispatch": dispatch(provider="python")},
            "^dispatch.provider: 'python' is for `dss service publish`; a dispatcher serves rules, bundle, server",
        ),
        (
            {"dispatch": dispatch(modality="MR")},
            "^dispatch.modality: a bundle is given a CT, not MR",
        ),
        ({"dispatch": dispatch(parameters={"a": 1})}, "^dispatch.parameters.a: must be a text"),
        (
            {"dispatch": dispatch(provider="server")},
            "^dispatch.url: '' is no address like http://w",
        ),
        ({"dispatch": dispatch(bundle="")}, "^dispatch.bundle: must not be empty"),
        ({"dispatch": dispatch(provider="rules")}, "^dispatch.rules: must not be empty"),
        (
            {"dispatch": dispatch(provider="luck")},
            "^dispatch.provider: 'luck' is unknown; it is one of",
        ),
        ({"dispatch": dispatch(labels=[{"value": 0, "name": "a", "rgb": [1, 2, 3]}])}, "value"),
        ({"dispatch": dispatch(labels=[{"value": 1, "name": "a", "rgb": [1, 2, 333]}])}, "rgb"),
        ({"longdesc": "x" * 50_000}, "48 kB"),
    ],
)
def test_a_wrong_field_is_named_in_the_sentence(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ServiceInvalid, match=said):
        service_from(service_json(**changes))


def test_a_service_may_rename_and_recolour_the_labels_of_its_bundle() -> None:
    style = {"value": 2, "name": "pulmo dexter", "rgb": [1, 2, 3]}

    styled = service_from(service_json(dispatch=dispatch(labels=[style]))).styled(LUNGS)

    assert [(label.name, label.rgb) for label in styled] == [
        ("left lung", (84, 155, 224)),
        ("pulmo dexter", (1, 2, 3)),
    ]


LONG = "Сегментация лёгких на компьютерных томограммах"


@pytest.mark.parametrize("name", [LONG, "肺 v1.2", "a/b", "*", "#", "é" * 255])
def test_a_service_may_have_a_name_in_any_script(name: str, tmp_path: Path) -> None:
    (tmp_path / "service.json").write_text(json.dumps(service_json(name=name)), encoding="utf-8")

    (changes := tmp_path / "changes").mkdir()

    assert load_service(tmp_path, changes=changes).name == name


def test_a_backslash_is_no_nul() -> None:
    assert service_from(service_json(longdesc=r"write \u0000 for none")).name


def test_the_command_line_lists_what_is_built_in() -> None:
    listed = CliRunner().invoke(main, ["services"])

    assert listed.exit_code == 0
    assert listed.output.startswith("lung-segmentation 1.1.0 : ")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[]", "service.json is not a JSON object"),
        ("{", "service.json is not valid JSON: it ends too early"),
        ('{"name": "x"}', "version: is needed."),
    ],
)
def test_the_command_line_says_what_is_wrong_with_a_folder(
    tmp_path: Path, text: str, sentence: str
) -> None:
    (tmp_path / "service.json").write_text(text, encoding="utf-8")

    checked = CliRunner().invoke(main, ["check", str(tmp_path)])

    assert checked.exit_code == 1
    assert sentence in checked.output


def test_a_server_of_service_json_is_used_unless_the_environment_names_another() -> None:
    server = dispatch(provider="server", url="http://worker:8080")

    service = service_from(service_json(dispatch=server))

    assert (service.server_url, service.dispatch.algorithm) == ("http://worker:8080", "b")
    assert service_from(service_json()).server_url == ""


def test_a_folder_without_a_service_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ServiceInvalid, match=r"no readable service\.json"):
        load_service(tmp_path)


def write_service(folder: Path) -> Path:
    folder.mkdir()
    both = dispatch(provider="rules", rules="nodule-detection", bundle="by-network")
    (folder / "service.json").write_text(
        json.dumps(service_json(dispatch=both, url="a.example")), encoding="utf-8"
    )
    return folder


def test_a_service_is_done_by_what_its_provider_names(tmp_path: Path) -> None:
    service = load_service(write_service(tmp_path / "service"))

    assert service.dispatch.algorithm == "nodule-detection"
    assert service_from(service_json(dispatch=dispatch())).dispatch.algorithm == "b"


def test_a_site_switches_a_service_over_and_says_so_to_its_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_service(tmp_path / "service")
    changes = {"longdesc": "By a network.", "url": None, "dispatch": {"provider": "bundle"}}
    (tmp_path / "lung-segmentation.json").write_text(json.dumps(changes), encoding="utf-8")
    monkeypatch.setenv("DSS_SERVICE_CHANGES", str(tmp_path))

    service = load_service(folder, tmp_path)
    checked = CliRunner().invoke(main, ["check", str(folder)])

    assert service.dispatch.algorithm == "by-network"
    assert service.dispatch.segmentation == load_service(folder).dispatch.segmentation
    assert service.descriptor.published["longdesc"] == "By a network."
    assert "url" not in service.descriptor.published
    assert checked.output == (
        "lung-segmentation 1.0.0 can be served, by the bundle 'by-network'.\n"
    )


def test_changes_of_another_service_change_nothing_and_wrong_ones_are_told(tmp_path: Path) -> None:
    folder = write_service(tmp_path / "service")
    (tmp_path / "hearts.json").write_text(json.dumps({"version": "2"}), encoding="utf-8")

    assert load_service(folder, tmp_path) == load_service(folder)
    (tmp_path / "lung-segmentation.json").write_text("[]", encoding="utf-8")
    with pytest.raises(ServiceInvalid, match=r"^lung-segmentation\.json is not a JSON object"):
        load_service(folder, tmp_path)


def test_rules_that_do_not_exist_are_refused_with_those_that_do(tmp_path: Path) -> None:
    changed = service_json(dispatch=dispatch(provider="rules", rules="no-such"))
    (tmp_path / "service.json").write_text(json.dumps(changed), encoding="utf-8")

    done = CliRunner().invoke(main, ["check", str(tmp_path)])

    assert done.exit_code == 1
    assert "dispatch.rules: must be lung-segmentation or nodule-detection" in done.output
    assert "no rules 'no-such'" in done.output


def test_the_rules_known_here_are_those_of_the_workers() -> None:
    assert set(BUILT_IN_RULES) == set(BUNDLES)
