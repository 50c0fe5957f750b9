"""Bundles: what they hold, their bill of materials, and every later change named. Made of small wheels, without an index."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cyclonedx_schema import bill_validator

from dovetail.serve.govern.airgap.bundle import Plan, check_bundle, make_bundle
from dovetail.serve.govern.airgap.sbom import bill_of_materials
from dovetail.serve.govern.airgap.wheels import BundleProblem, read_wheel, read_wheels


def write_wheel(folder: Path, name: str, version: str, *more: str, tag: str = "py3-none-any") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-{version}-{tag}.whl"
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        metadata = "\n".join(["Metadata-Version: 2.4", f"Name: {name}", f"Version: {version}", *more, "", ""])
        archive.writestr(f"{name}/__init__.py", "")
        archive.writestr(f"{info}/METADATA", metadata)
        archive.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: {tag}\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    index = tmp_path / "index"
    write_wheel(index, "first_part", "1.0", "License-Expression: MIT", "Requires-Dist: second>=2", "Summary: Parts.")
    write_wheel(index, "first_part", "1.1", "License-Expression: MIT")
    write_wheel(index, "second", "2.0", "Classifier: License :: OSI Approved :: BSD License")
    wheel = write_wheel(
        tmp_path / "own", "dovetail", "9.9", "Requires-Dist: first-part", 'Requires-Dist: x; extra == "dev"'
    )
    (tmp_path / "constraints.txt").write_text("first-part==1.0\nsecond==2.0\n")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    return Plan(source=tmp_path, wheel=wheel, constraints=tmp_path / "constraints.txt")


def test_a_bundle_holds_the_pinned_wheels_and_says_so(plan: Plan, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    made = make_bundle(out, plan)
    assert [(wheel.name, wheel.version) for wheel in made] == [
        ("dovetail", "9.9"),
        ("first-part", "1.0"),
        ("second", "2.0"),
    ]
    assert check_bundle(out) == made
    assert [line.split(" --hash=sha256:")[0] for line in (out / "requirements.lock").read_text().splitlines()] == [
        "dovetail==9.9",
        "first-part==1.0",
        "second==2.0",
    ]
    with pytest.raises(BundleProblem, match="not empty"):
        make_bundle(out, plan)


OTHER = {"python": "3.12", "platforms": ("manylinux_2_28_x86_64",)}


def test_a_bundle_for_another_python_and_platform(plan: Plan, tmp_path: Path) -> None:
    later = 'Requires-Dist: later; python_version >= "3.12"'
    windows = 'Requires-Dist: windows-only; platform_system == "Windows"'
    index = tmp_path / "index"
    (index / "first_part-1.0-py3-none-any.whl").unlink()
    tag = "cp312-cp312-manylinux_2_17_x86_64"
    write_wheel(index, "first_part", "1.0", "Requires-Dist: second", later, windows, tag=tag)
    write_wheel(index, "later", "3.0", 'Requires-Dist: second; python_version < "3.12"')
    own = write_wheel(tmp_path / "own", "dovetail", "9.9", "Requires-Dist: first-part", tag="py3-none-linux_x86_64")
    out = tmp_path / "bundle"
    made = make_bundle(out, replace(plan, wheel=own, **OTHER))
    assert [wheel.name for wheel in made] == ["dovetail", "first-part", "later", "second"]
    assert [wheel.name for wheel in check_bundle(out)] == [wheel.name for wheel in made]
    assert next(wheel for wheel in made if wheel.name == "first-part").needs == ("later", "second")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"platforms": ("manylinux_2_28_aarch64",)}, "has libraries for linux_x86_64.*--wheel FILE"),
        ({"platforms": ("macosx_14_0_arm64",)}, "has libraries for linux_x86_64.*--wheel FILE"),
        ({"platforms": ("manylinux_2_28_x86_64",)}, "pip download failed.*first.part"),
        ({"platforms": ("arm",)}, "--platform arm: a tag"),
        ({"python": "three"}, "--python three: a version"),
    ],
)
def test_what_no_bundle_can_be_made_for_is_refused_by_name(
    plan: Plan, tmp_path: Path, changed: dict[str, object], reason: str
) -> None:
    (tmp_path / "index/first_part-1.0-py3-none-any.whl").unlink()
    own = write_wheel(tmp_path / "own", "dovetail", "9.9", "Requires-Dist: first-part", tag="py3-none-linux_x86_64")
    with pytest.raises(BundleProblem, match=reason):
        make_bundle(tmp_path / "bundle", replace(plan, wheel=own, **{**OTHER, **changed}))


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a wheel": (
        lambda out: next(out.glob("wheels/second*")).write_bytes(b"x"),
        "second-2.0-py3-none-any.whl was changed",
    ),
    "a wheel less": (lambda out: next(out.glob("wheels/second*")).unlink(), "second-2.0-py3-none-any.whl is missing"),
    "a wheel more": (lambda out: write_wheel(out / "wheels", "third", "1"), "third-1-py3-none-any.whl was added"),
    "the script": (lambda out: (out / "install.sh").write_text("rm -rf /"), "install.sh was changed"),
    "the lock": (lambda out: (out / "requirements.lock").write_text(""), "requirements.lock was changed"),
    "the bill": (lambda out: (out / "sbom.cdx.json").write_text("{}"), "sbom.cdx.json was changed"),
    "the sums": (lambda out: (out / "SHA256SUMS").unlink(), "is no bundle"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_each_change_is_named(plan: Plan, tmp_path: Path, change: str) -> None:
    out = tmp_path / "bundle"
    make_bundle(out, plan)
    act, said = CHANGES[change]
    act(out)
    with pytest.raises(BundleProblem, match=said.replace(".", r"\.")):
        check_bundle(out)


def test_the_bill_fits_the_schema_of_cyclonedx(plan: Plan, tmp_path: Path) -> None:
    validator = bill_validator()
    out = tmp_path / "bundle"
    make_bundle(out, plan)
    bill = json.loads((out / "sbom.cdx.json").read_text())
    assert [error.message for error in validator.iter_errors(bill)] == []
    assert bill["components"][0]["licenses"] == [{"license": {"name": "MIT"}}]
    refs = {each["ref"]: each["dependsOn"] for each in bill["dependencies"]}
    assert refs == {
        "pkg:pypi/dovetail@9.9": ["pkg:pypi/first-part@1.0"],
        "pkg:pypi/first-part@1.0": ["pkg:pypi/second@2.0"],
        "pkg:pypi/second@2.0": [],
    }
    bill["components"][0]["hashes"][0]["alg"] = "md4"
    assert list(validator.iter_errors(bill)), "the schema is looked at"


def test_what_is_missing_is_said(plan: Plan, tmp_path: Path) -> None:
    plan.constraints.write_text("first-part==7\n")
    with pytest.raises(BundleProblem, match="pip download failed"):
        make_bundle(tmp_path / "bundle", plan)
    plan.constraints.unlink()
    with pytest.raises(BundleProblem, match="--constraints"):
        make_bundle(tmp_path / "other", plan)
    (tmp_path / "no.whl").write_bytes(b"no")
    with pytest.raises(BundleProblem, match="no wheel"):
        read_wheel(tmp_path / "no.whl")


def test_two_versions_of_one_project_are_refused(tmp_path: Path) -> None:
    write_wheel(tmp_path / "w", "dovetail", "1")
    write_wheel(tmp_path / "w", "dovetail", "2")
    with pytest.raises(BundleProblem, match="several wheels of dovetail"):
        read_wheels(tmp_path / "w")
    assert (
        bill_of_materials([read_wheel(tmp_path / "w" / "dovetail-1-py3-none-any.whl")], "dovetail")["components"] == []
    )
