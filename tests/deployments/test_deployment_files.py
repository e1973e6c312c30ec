"""The files of Docker, Kubernetes and systemd, checked as far as that goes without either of them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

PROJECT = Path(__file__).parents[2]
HERE = PROJECT / "deployments"
DOCKER = HERE / "docker"
UNITS = sorted((HERE / "systemd").glob("*.service"))


def accepted(tool: str, *arguments: str | Path) -> None:
    """A tool of the development environment has nothing to say against a file."""
    found = Path(sys.executable).with_name(tool)
    done = subprocess.run([found, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dockerfile_passes_its_linter() -> None:
    accepted("hadolint", DOCKER / "Dockerfile")


def test_the_image_has_what_it_needs_and_no_registry_but_the_default() -> None:
    text = (DOCKER / "Dockerfile").read_text(encoding="utf-8")
    bases = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    assert bases
    assert all(re.fullmatch(r"python:\d+\.\d+\.\d+-slim-\w+", base) for base in bases)
    assert re.search(r"^USER 10001:10001$", text, re.MULTILINE)
    assert "HEALTHCHECK" in text
    assert "--require-hashes" in text
    ignored = (DOCKER / "Dockerfile.dockerignore").read_text(encoding="utf-8").split()
    for copied in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE):
        for name in copied.split():
            assert (PROJECT / name).exists(), name
            assert any(line.startswith(f"!{name}") for line in ignored), name


def test_the_compose_file_fits_its_schema() -> None:
    accepted("check-jsonschema", "--builtin-schema", "vendor.compose-spec", DOCKER / "compose.yaml")


def test_the_compose_file_names_what_is_there() -> None:
    text = (DOCKER / "compose.yaml").read_text(encoding="utf-8")
    read = yaml.safe_load(text)
    services: dict[str, dict[str, Any]] = read["services"]
    for name, service in services.items():
        assert set(service.get("depends_on", {})) <= set(services), name
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            if source.startswith("./") and source != "./voipsync.toml":  # the user's own
                assert (DOCKER / source).is_file(), source
            elif source.startswith(".."):
                assert (DOCKER / source).resolve().is_file(), source
            elif not source.startswith("./"):
                assert source in read["volumes"]
        assert "healthcheck" in service or name == "worker"  # the image's own
    example = (DOCKER / ".env.example").read_text(encoding="utf-8")
    told = set(re.findall(r"^(?:# )?([A-Z_]+)=", example, re.MULTILINE))
    assert set(re.findall(r"\$\{([A-Z_]+)[:}]", text)) - {"PREFECT_UI_API_URL"} <= told
    handed_on = {
        name
        for service in services.values()
        for name, value in service.get("environment", {}).items()
        if value is None
    }
    assert handed_on <= told
    assert not re.search(r"^[A-Z_]+=\S", example, re.MULTILINE)


def test_no_worker_has_a_limit_of_its_own() -> None:
    """It would end where a suspended run is resumed before its process has ended (measured)."""
    every = [path for path in HERE.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")]
    lines = [line for path in every for line in path.read_text(encoding="utf-8").splitlines()]
    workers = [line for line in lines if re.search(r"worker\W+start", line)]
    assert len(workers) == 2
    assert [line for line in workers if "--limit" in line] == []


def test_a_password_that_is_not_set_is_not_set_to_nothing() -> None:
    """A Prefect server whose password is empty refuses everybody (measured)."""
    read = yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))
    found = [
        value
        for service in read["services"].values()
        for name, value in service.get("environment", {}).items()
        if name.endswith("_AUTH_STRING")
    ]
    assert found
    assert set(found) == {None}  # Compose hands on what is set in .env, and leaves out what is not


def test_the_worker_of_kubernetes_fits_its_schema() -> None:
    accepted("kubernetes-validate", "--strict", HERE / "kubernetes" / "worker.yaml")


def test_a_job_made_of_the_template_fits_its_schema(tmp_path: Path) -> None:
    template = json.loads((HERE / "kubernetes" / "work-pool.json").read_text(encoding="utf-8"))
    variables = template["variables"]["properties"]
    placed = set(re.findall(r"\{\{ (\w+) \}\}", json.dumps(template["job_configuration"])))
    assert placed == set(variables)

    def filled(value: Any) -> Any:
        """As a worker does: a place with nothing for it is left out."""
        if isinstance(value, dict):
            return {key: one for key, inner in value.items() if (one := filled(inner)) is not None}
        if isinstance(value, list):
            return [filled(one) for one in value]
        if not isinstance(value, str) or "{{" not in value:
            return value
        given = {"name": "sync-acme", "command": ["prefect", "flow-run", "execute"], "labels": {"a": "b"}}
        name = re.findall(r"\{\{ (\w+) \}\}", value)[0]
        found = given.get(name, variables[name].get("default"))
        if name == "env":
            return [{"name": key, "value": one} for key, one in found.items()]
        return found if value.startswith("{{") and value.endswith("}}") else f"{found}-"

    manifest = filled(template["job_configuration"]["job_manifest"])
    manifest["metadata"]["name"] = manifest["metadata"].pop("generateName") + "x"  # the tool asks for one
    (tmp_path / "job.json").write_text(json.dumps(manifest), encoding="utf-8")
    accepted("kubernetes-validate", "--strict", tmp_path / "job.json")
    assert manifest["spec"]["activeDeadlineSeconds"] > 8 * 3600


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_is_what_systemd_takes(unit: Path, tmp_path: Path) -> None:
    text = unit.read_text(encoding="utf-8")
    sections = re.findall(r"^\[(\w+)\]$", text, re.MULTILINE)
    assert sections == ["Unit", "Service", "Install"]
    for line in text.splitlines():
        assert re.fullmatch(r"|#.*|\[\w+\]|[A-Z]\w+=.*", line), line
    for setting in ("Restart=always", "NoNewPrivileges=yes", "ProtectSystem=strict", "User=voipsync"):
        assert setting in text
    if analyze := shutil.which("systemd-analyze"):
        for one in UNITS:
            there = one.read_text(encoding="utf-8").replace("/opt/voipsync/.venv/bin/prefect", "/bin/true")
            (tmp_path / one.name).write_text(there, encoding="utf-8")
        done = subprocess.run(
            [analyze, "verify", str(tmp_path / unit.name)], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr.strip()) == (0, "")
